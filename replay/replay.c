/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Rows of both sides of the links are told apart by as many bits: a power of two. */
#define SECTION_ROW_BITS 512

/* One section on its way through its shard. */
struct section {
	struct replay *replay;
	const struct wal_block_header *header;
	struct shard *shard;
	const uint8_t *bytes;
	uint64_t size;
	uint64_t applied; /* bytes that were applied and found equal */
	uint64_t records; /* records before `applied` */

	/* Inputs read ahead: those between `applied` and `read`. */
	uint64_t read;
	uint32_t count;
	uint64_t rows[SECTION_ROW_BITS / 64]; /* phase rows that they are about, by some bits */
	struct shard_input inputs[SHARD_BURST_MAX];
	struct record_head heads[SHARD_BURST_MAX];
};

void replay_init(struct replay *replay, struct shard *const *shards, uint32_t shard_count)
{
	*replay = (struct replay){.shards = shards, .shard_count = shard_count};
}

__attribute__((format(printf, 2, 3))) static int fault(const struct section *section,
						       const char *format, ...)
{
	struct replay_fault *fault = &section->replay->fault;
	va_list args;

	fault->seq = section->header->seq;
	fault->epoch = section->header->epoch;
	fault->segment = section->header->segment;
	fault->block_offset = section->header->offset;
	fault->shard = section->shard->index;
	fault->record = section->records;
	fault->offset = section->applied;
	int used = snprintf(fault->text, sizeof(fault->text),
			    "block %" PRIu64 " (epoch %" PRIu64 "), shard %u, record %" PRIu64
			    " (byte %" PRIu64 " of its section): ",
			    fault->seq, fault->epoch, fault->shard, fault->record, fault->offset);
	va_start(args, format);
	vsnprintf(fault->text + used, sizeof(fault->text) - (size_t)used, format, args);
	va_end(args);
	return -EBADMSG;
}

static void describe_record(const uint8_t *bytes, uint64_t size, char *text, size_t text_size)
{
	struct record record;

	if (record_decode(bytes, size, &record) == 0)
		snprintf(text, text_size, "nothing");
	else
		snprintf(text, text_size, "%s peer %u arg %u seq %" PRIu32,
			 record_name(record.head.kind), record.head.peer, record.head.arg,
			 record.head.seq_low);
}

/* The burst came out differently: finds the first record that did. */
static int fault_differs(struct section *section, const uint8_t *again, uint64_t again_bytes)
{
	uint64_t end = section->read - section->applied;
	uint64_t at = 0;
	struct replay_fault *values = &section->replay->fault;

	for (;;) {
		const uint8_t *record = section->bytes + section->applied;
		size_t bytes = record_bytes(record[0]);
		if (at + bytes > again_bytes || at + bytes > end ||
		    memcmp(record, again + at, bytes) != 0)
			break;
		at += bytes;
		section->applied += bytes;
		section->records++;
	}
	describe_record(section->bytes + section->applied, section->size - section->applied,
			values->expected, sizeof(values->expected));
	describe_record(again + at, again_bytes - at, values->found, sizeof(values->found));
	return fault(section, "the log says %s, the shard computes %s", values->expected,
		     values->found);
}

/* Decided on arrival: refused, or done within the shard. */
static void count_decided(struct replay_counts *counts, const struct record *record)
{
	if (record->head.kind != RECORD_TRANSFER || record->head.arg == STATUS_PENDING)
		return;
	counts->transfers++;
	counts->transfers_done += record->head.arg == STATUS_OK;
}

/* Decided by the second phase. */
static void count_finished(struct replay_counts *counts, const uint64_t before[SHARD_EVENTS],
			   const uint64_t after[SHARD_EVENTS])
{
	uint64_t confirmed =
	    after[SHARD_EVENT_CROSS_CONFIRMED] - before[SHARD_EVENT_CROSS_CONFIRMED];
	uint64_t cancelled =
	    after[SHARD_EVENT_CROSS_CANCELLED] - before[SHARD_EVENT_CROSS_CANCELLED];

	counts->transfers += confirmed + cancelled;
	counts->transfers_done += confirmed;
	counts->transfers_cross += confirmed + cancelled;
}

/* Applies what was read ahead and compares. */
static int flush(struct section *section)
{
	uint8_t again[SHARD_BURST_MAX * RECORD_BYTES_MAX];
	struct shard_message messages[SHARD_BURST_MAX];
	struct shard_reply replies[SHARD_BURST_MAX];
	struct shard_effects effects = {
	    .log = again,
	    .messages = messages,
	    .replies = replies,
	};
	struct replay_counts *counts = &section->replay->counts;
	const struct replay_observer *observer = section->replay->observer;

	if (section->count == 0)
		return 0;
	if (observer != NULL)
		observer->before(observer->context, section->header, section->shard,
				 section->inputs, section->heads, section->count);
	shard_apply(section->shard, section->inputs, section->count, &effects);
	uint64_t bytes = section->read - section->applied;
	if (effects.log_bytes != bytes ||
	    memcmp(again, section->bytes + section->applied, bytes) != 0)
		return fault_differs(section, again, effects.log_bytes);
	if (observer != NULL)
		observer->after(observer->context, section->header, section->shard, section->inputs,
				section->heads, section->count);

	counts->records += section->count;
	counts->record_bytes += bytes;
	section->records += section->count;
	section->applied = section->read;
	section->count = 0;
	memset(section->rows, 0, sizeof(section->rows));
	return 0;
}

static bool is_from_client(const struct record *record)
{
	return record->head.kind == RECORD_TRANSFER || record->head.kind == RECORD_ACCOUNT;
}

/* Takes the bit of the phase row that a record is about. False when it is taken: by a record about
 * the same row, as a rule. */
static bool take_row(struct section *section, const struct record_head *head)
{
	bool participant =
	    head->kind == RECORD_TRY || head->kind == RECORD_CONFIRM || head->kind == RECORD_CANCEL;
	if (head->kind == RECORD_ACCOUNT ||
	    (head->kind == RECORD_TRANSFER && head->arg != STATUS_PENDING))
		return true;
	uint32_t bit = (participant ? SECTION_ROW_BITS / 2 : 0) +
		       (head->peer * 67 + head->seq_low) % (SECTION_ROW_BITS / 2);
	uint64_t *word = &section->rows[bit / 64];
	uint64_t mask = UINT64_C(1) << bit % 64;
	bool free = (*word & mask) == 0;

	*word |= mask;
	return free;
}

/* Makes the next input of a record. What a peer said is judged by the state that it finds: what does
 * not fit the state before the burst may fit the one behind it. Returns 1, 0 when it fits neither,
 * or an error. */
static int add_input(struct section *section, const struct record *record)
{
	if (shard_input_from_record(section->shard, record, &section->inputs[section->count]))
		return 1;
	if (section->count == 0)
		return 0;
	int error = flush(section);
	if (error != 0)
		return error;
	take_row(section, &record->head);
	return shard_input_from_record(section->shard, record, &section->inputs[0]);
}

/* Records are applied in bursts, so that their memory accesses overlap: no two of a burst about the
 * same phase row, and those of peers one by one for an observer who wants that. */
static int replay_records(struct section *section)
{
	const struct replay_observer *observer = section->replay->observer;
	bool bursts_of_peers = observer == NULL || observer->bursts_of_peers;

	while (section->read < section->size) {
		struct record record;
		size_t bytes = record_decode(section->bytes + section->read,
					     section->size - section->read, &record);
		bool alone = bytes != 0 && !is_from_client(&record) && !bursts_of_peers;
		if (bytes == 0 || alone || section->count == SHARD_BURST_MAX ||
		    !take_row(section, &record.head)) {
			int error = flush(section);
			if (error != 0)
				return error;
			if (bytes == 0)
				return fault(section, "there is no whole record of a known kind");
			take_row(section, &record.head);
		}
		int added = add_input(section, &record);
		if (added <= 0)
			return added < 0 ? added
					 : fault(section, "%s is not possible here",
						 record_name(record.head.kind));
		section->heads[section->count] = record.head;
		count_decided(&section->replay->counts, &record);
		section->read += bytes;
		section->count++;
		if (alone) {
			int error = flush(section);
			if (error != 0)
				return error;
		}
	}
	return flush(section);
}

int replay_section(struct replay *replay, const struct wal_block *block, uint32_t shard)
{
	const struct wal_block_header *header = block->header;
	struct section section = {
	    .replay = replay,
	    .header = header,
	    .shard = replay->shards[shard],
	};
	uint64_t before[SHARD_EVENTS];

	if (header->section_count != replay->shard_count)
		return fault(&section, "the block has %u sections for %u shards",
			     header->section_count, replay->shard_count);
	section.bytes = wal_block_section(block, shard, &section.size);
	shard_enter_epoch(section.shard, header->epoch, header->time_ms);
	memcpy(before, section.shard->events, sizeof(before));
	int error = replay_records(&section);
	if (error == 0)
		count_finished(&replay->counts, before, section.shard->events);
	return error;
}

int replay_block(struct replay *replay, const struct wal_block *block)
{
	for (uint32_t i = 0; i < replay->shard_count; i++) {
		int error = replay_section(replay, block, i);
		if (error != 0)
			return error;
	}
	replay->counts.blocks++;
	return 0;
}

int replay_compare_digest(struct replay *replay, const struct wal_block_header *header,
			  uint32_t shard, const struct shard_digest *digest)
{
	struct section section = {
	    .replay = replay,
	    .header = header,
	    .shard = replay->shards[shard],
	};
	struct shard_digest logged;

	memcpy(&logged, header->sections[shard].digest, sizeof(logged));
	if (memcmp(digest, &logged, sizeof(logged)) != 0) {
		struct replay_fault *values = &replay->fault;
		snprintf(values->expected, sizeof(values->expected), "%016" PRIx64 "%016" PRIx64,
			 logged.hi, logged.lo);
		snprintf(values->found, sizeof(values->found), "%016" PRIx64 "%016" PRIx64,
			 digest->hi, digest->lo);
		return fault(&section, "the log's digest is %s, the shard's is %s",
			     values->expected, values->found);
	}
	replay->counts.digests_checked++;
	return 0;
}

int replay_check_digest(struct replay *replay, const struct wal_block_header *header,
			uint32_t shard)
{
	struct shard_digest digest = shard_digest(replay->shards[shard]);

	return replay_compare_digest(replay, header, shard, &digest);
}

int replay_check_digests(struct replay *replay, const struct wal_block_header *header)
{
	int error = 0;

	for (uint32_t i = 0; i < replay->shard_count && error == 0; i++)
		error = replay_check_digest(replay, header, i);
	return error;
}

void replay_counts_add(struct replay_counts *counts, const struct replay_counts *more)
{
	counts->blocks += more->blocks;
	counts->records += more->records;
	counts->record_bytes += more->record_bytes;
	counts->transfers += more->transfers;
	counts->transfers_done += more->transfers_done;
	counts->transfers_cross += more->transfers_cross;
	counts->digests_checked += more->digests_checked;
}
