/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/log_writer.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "replay/digests.h"

/* How long the opening and the closing block may wait for the disk before a look at the writer. */
#define MARK_WAIT_NS 100000000u

static uint64_t round_to_page(uint64_t bytes)
{
	return (bytes + WAL_PAGE - 1) / WAL_PAGE * WAL_PAGE;
}

void log_writer_init(struct log_writer *writer, struct epoch_clock *clock, struct wal_writer *wal)
{
	uint64_t open = epoch_newest(clock);
	uint64_t *time_ms = &clock->time_ms[open % clock->slots];

	if (*time_ms < wal->tail.time_ms)
		*time_ms = wal->tail.time_ms;
	*writer = (struct log_writer){
	    .clock = clock,
	    .wal = wal,
	    .payload_max = clock->shards * clock->section_bytes,
	    .reserve = log_writer_reserve(clock->slots),
	    .next = epoch_committed(clock) + 1,
	};
}

static void commit(struct log_writer *writer)
{
	struct epoch_clock *clock = writer->clock;
	uint64_t durable = writer->wal->durable_epoch;

	while (writer->in_flight_count > 0 &&
	       writer->in_flight[writer->in_flight_first] <= durable) {
		writer->in_flight_first = (writer->in_flight_first + 1) % EPOCH_SLOTS_MAX;
		writer->in_flight_count--;
	}
	/* Empty epochs between two blocks are durable with the one before them. */
	uint64_t committed = writer->in_flight_count > 0
				 ? writer->in_flight[writer->in_flight_first] - 1
				 : writer->next - 1;
	if (committed > epoch_committed(clock))
		epoch_commit(clock, committed);
}

/* Has the log been silent for long behind a block that nothing speaks for? */
static bool witness_is_due(const struct log_writer *writer, uint64_t epoch)
{
	const struct epoch_clock *clock = writer->clock;

	return writer->unwitnessed && wal_writer_in_flight(writer->wal) == 0 &&
	       clock->time_ms[epoch % clock->slots] >=
		   writer->wal->tail.time_ms + LOG_WRITER_WITNESS_MS;
}

/* Gives a sealed epoch to the wal. Returns 1, or 0 when it must wait, or the error. */
static int append(struct log_writer *writer, uint64_t epoch)
{
	struct epoch_clock *clock = writer->clock;
	struct wal_section sections[SHARDS_MAX];
	uint64_t payload = 0;

	for (uint32_t shard = 0; shard < clock->shards; shard++) {
		const struct epoch_section *section = epoch_section(clock, shard, epoch);
		sections[shard] = (struct wal_section){
		    .data = section->data,
		    .bytes = section->bytes,
		};
		payload += round_to_page(section->bytes);
	}
	if (payload == 0 && !witness_is_due(writer, epoch)) {
		writer->empty_epochs++;
		return 1;
	}

	const struct wal_append block = {
	    .type = WAL_DATA,
	    .epoch = epoch,
	    .time_ms = clock->time_ms[epoch % clock->slots],
	    .section_count = clock->shards,
	    .sections = sections,
	};
	int64_t seq = wal_writer_append(writer->wal, &block);
	/* A witness is a courtesy: without room for it, time goes on. */
	if (seq == -ENOSPC && payload == 0) {
		writer->empty_epochs++;
		return 1;
	}
	if (seq == -EAGAIN || seq == -ENOSPC)
		return 0;
	if (seq < 0)
		return (int)seq;
	writer->unwitnessed = payload > 0;
	writer->witnesses += payload == 0;
	uint32_t last = (writer->in_flight_first + writer->in_flight_count) % EPOCH_SLOTS_MAX;
	writer->in_flight[last] = epoch;
	writer->in_flight_count++;
	return 1;
}

static bool should_open(const struct log_writer *writer, uint64_t now_ms)
{
	struct epoch_clock *clock = writer->clock;
	uint64_t open = atomic_load_explicit(&clock->open, memory_order_relaxed);

	if (!epoch_can_open(clock))
		return false;
	if (now_ms >= clock->time_ms[open % clock->slots] + LOG_WRITER_TICK_MS)
		return true;
	/* Opening it sooner would only make its predecessors' queue longer and the blocks smaller.
	 */
	return epoch_is_dirty(clock) && writer->next == open &&
	       wal_writer_can_append(writer->wal, writer->payload_max) == 0;
}

static void publish_space(struct log_writer *writer)
{
	bool has_space = wal_writer_room(writer->wal, writer->payload_max) > writer->reserve;

	if (has_space != atomic_load_explicit(&writer->clock->has_space, memory_order_relaxed))
		atomic_store_explicit(&writer->clock->has_space, has_space, memory_order_relaxed);
}

/* Gives the wal all sealed epochs that it takes, and commits what is durable. */
static int advance(struct log_writer *writer)
{
	uint64_t sealed = epoch_sealed_by_all(writer->clock);
	int moved = 0;

	while (writer->next <= sealed) {
		int appended = append(writer, writer->next);
		if (appended < 0)
			return appended;
		if (appended == 0)
			break;
		cut_logged(&writer->clock->cut, writer->next, writer->wal->tail.next_seq,
			   writer->wal->tail.prev_hash);
		writer->next++;
		moved = 1;
	}
	commit(writer);
	return moved;
}

int log_writer_finish(struct log_writer *writer)
{
	int error = wal_writer_wait(writer->wal, MARK_WAIT_NS);

	if (error >= 0)
		error = advance(writer);
	return error < 0 ? error : 0;
}

int log_writer_turn(struct log_writer *writer, uint64_t now_ms)
{
	int durable = wal_writer_poll(writer->wal);
	if (durable < 0)
		return durable;
	int moved = advance(writer);
	if (moved < 0)
		return moved;
	moved |= durable > 0;
	publish_space(writer);
	if (should_open(writer, now_ms)) {
		epoch_open(writer->clock, now_ms);
		moved = 1;
	}
	return moved > 0;
}

int64_t log_writer_mark(struct wal_writer *wal, enum wal_block_type type, uint64_t epoch,
			uint64_t now_ms, struct shard *const *shards, uint32_t shard_count,
			struct lanes *lanes)
{
	struct wal_section sections[SHARDS_MAX] = {0};
	struct shard_digest digests[SHARDS_MAX];
	uint64_t time_ms = now_ms > wal->tail.time_ms ? now_ms : wal->tail.time_ms;

	/* The block's time must be the shards' own: replay knows no other. */
	for (uint32_t i = 0; i < shard_count; i++)
		time_ms = shards[i]->now_ms > time_ms ? shards[i]->now_ms : time_ms;
	for (uint32_t i = 0; i < shard_count; i++)
		shard_enter_epoch(shards[i], epoch, time_ms);
	digests_compute(shards, shard_count, lanes, digests);
	_Static_assert(sizeof(digests[0]) == sizeof(sections[0].digest), "digests fit rows");
	for (uint32_t i = 0; i < shard_count; i++)
		memcpy(sections[i].digest, &digests[i], sizeof(digests[i]));

	const struct wal_append block = {
	    .type = type,
	    .epoch = epoch,
	    .time_ms = time_ms,
	    .section_count = shard_count,
	    .sections = sections,
	};
	int64_t seq;
	while ((seq = wal_writer_append(wal, &block)) == -EAGAIN) {
		int error = wal_writer_wait(wal, MARK_WAIT_NS);
		if (error < 0)
			return error;
	}
	if (seq < 0)
		return seq;
	while (wal_writer_in_flight(wal) > 0) {
		int error = wal_writer_wait(wal, MARK_WAIT_NS);
		if (error < 0)
			return error;
	}
	return (int64_t)epoch;
}
