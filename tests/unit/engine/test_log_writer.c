/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "engine/log_writer.h"
#include "tests/unit/engine/fake_disk.h"
#include "tests/unit/engine/stand.h"
#include "wal/reader.h"

#define SECTION UINT64_C(8192)
#define WORKERS 2
#define SHARDS	2

/* The OPEN block's epoch; the first one to be written into follows. */
#define OPENED UINT64_C(1)
#define FIRST  (OPENED + 1)

struct setup {
	uint32_t slots;
	uint32_t writes;
	uint32_t ahead;
	uint64_t segment_bytes;
	uint64_t capacity;
	uint64_t clock_ms; /* of the machine as the epochs begin */
};

static const struct setup usual = {.slots = 8,
				   .writes = 4,
				   .ahead = 1,
				   .segment_bytes = 4 << 20,
				   .capacity = 8,
				   .clock_ms = STAND_START_MS};

static struct fake_disk *disk;
static struct wal_preparer preparer;
static struct wal_writer wal;
static struct epoch_clock epochs;
static struct log_writer writer;
static struct shard *shards[SHARDS];
static void *clock_memory;
static uint64_t now_ms;
static uint8_t next_byte;

static void prepare(void)
{
	while (wal_preparer_step(&preparer) > 0)
		;
}

static void start(const struct setup *setup)
{
	const struct wal_writer_config config = {
	    .log_id = STAND_LOG_ID,
	    .blocks_in_flight = setup->writes,
	    .segments_ahead = setup->ahead,
	};
	const struct shard_limits limits = stand_limits(&(struct stand_options){.shards = SHARDS});
	const struct wal_tail tail = {0};

	disk = fake_disk_new(setup->segment_bytes, setup->capacity);
	wal_preparer_init(&preparer, &disk->base, 0);
	cr_assert(wal_writer_open(&wal, &disk->base, &preparer, &config, &tail) == 0);
	prepare();
	for (uint32_t i = 0; i < SHARDS; i++)
		shards[i] = shard_new(pages_new(shard_bytes(&limits)), &limits, i);
	now_ms = STAND_START_MS;
	cr_assert(log_writer_mark(&wal, WAL_OPEN, OPENED, now_ms, shards, SHARDS, NULL) == OPENED);
	prepare();
	clock_memory = pages_new(epoch_clock_bytes(SHARDS, setup->slots, SECTION));
	epoch_clock_init(&epochs, clock_memory, WORKERS, SHARDS, setup->slots, SECTION, OPENED,
			 setup->clock_ms);
	log_writer_init(&writer, &epochs, &wal);
}

static void stop(void)
{
	wal_writer_close(&wal);
	wal_preparer_stop(&preparer);
	fake_disk_free(disk);
	free(clock_memory);
	for (uint32_t i = 0; i < SHARDS; i++)
		free(shards[i]);
}

TestSuite(log_writer, .fini = stop);

/* As a worker does: records of `bytes` into the shard's section of its open epoch. */
static void work(uint32_t worker, uint64_t bytes)
{
	uint64_t epoch = epoch_newest(&epochs);
	struct epoch_section *section = epoch_section(&epochs, worker, epoch);

	memset(section->data + section->bytes, ++next_byte, bytes);
	section->bytes += bytes;
	atomic_store(&epochs.worker[worker].wrote, epoch);
}

/* As a worker does that sees a new epoch: empties its section there, seals the ones before. */
static void enter(uint32_t worker)
{
	uint64_t epoch = epoch_newest(&epochs);
	uint64_t sealed = atomic_load(&epochs.worker[worker].sealed);

	for (uint64_t e = sealed + 2; e <= epoch; e++)
		epoch_section(&epochs, worker, e)->bytes = 0;
	epoch_seal(&epochs, worker, epoch - 1);
}

static void enter_all(void)
{
	for (uint32_t w = 0; w < WORKERS; w++)
		enter(w);
}

static int turn(void)
{
	return log_writer_turn(&writer, now_ms);
}

/* Turns of everybody until nothing moves. */
static void settle(void)
{
	do {
		enter_all();
	} while (turn() > 0);
}

Test(log_writer, lone_record_waits_for_nothing_but_its_own_write)
{
	start(&usual);
	disk->held = true;
	cr_assert(turn() == 0, "nothing to do");
	work(0, 100);
	cr_assert(turn() == 1);
	cr_assert(epoch_newest(&epochs) == FIRST + 1, "at once, without a tick");
	cr_assert(disk->write_count == 0, "not sealed");
	enter(0);
	cr_assert(turn() == 0 && disk->write_count == 0, "the other has not sealed");
	enter(1);
	cr_assert(turn() == 1);
	cr_assert(disk->write_count == 1);
	cr_assert(epoch_committed(&epochs) == OPENED, "on its way is not durable");
	cr_assert(turn() == 0);
	fake_disk_finish(disk, 0, 0);
	cr_assert(turn() == 1);
	cr_assert(epoch_committed(&epochs) == FIRST);
}

Test(log_writer, under_load_an_epoch_lasts_as_long_as_a_write)
{
	struct setup setup = usual;

	setup.writes = 1;
	start(&setup);
	disk->held = true;
	work(0, 100);
	turn();
	enter_all();
	turn();
	cr_assert(disk->write_count == 1 && epoch_newest(&epochs) == FIRST + 1);
	for (uint32_t i = 0; i < 5; i++) {
		work(i % WORKERS, 100);
		turn();
		enter_all();
		cr_assert(epoch_newest(&epochs) == FIRST + 1, "no free write: no epoch");
	}
	fake_disk_finish_all(disk);
	turn();
	cr_assert(epoch_newest(&epochs) == FIRST + 2);
	enter_all();
	turn();
	cr_assert(disk->write_count == 1);
	cr_assert(disk->writes[0].bytes == 3 * WAL_PAGE, "one block of all of them");
	cr_assert(wal.counts.blocks == 3);
}

/* A slow worker does not make the queue of epochs longer and the blocks smaller. */
Test(log_writer, next_epoch_waits_until_the_last_is_on_its_way)
{
	start(&usual);
	work(0, 100);
	turn();
	cr_assert(epoch_newest(&epochs) == FIRST + 1);
	enter(0);
	work(0, 100);
	cr_assert(turn() == 0 && epoch_newest(&epochs) == FIRST + 1);
	enter(1);
	cr_assert(turn() == 1 && epoch_newest(&epochs) == FIRST + 2);
}

Test(log_writer, several_writes_are_in_flight)
{
	start(&usual);
	disk->held = true;
	for (uint32_t i = 0; i < usual.writes + 2; i++) {
		work(0, 100);
		settle();
	}
	cr_assert(disk->write_count == usual.writes);
	cr_assert(wal_writer_in_flight(&wal) == usual.writes);
	cr_assert(epoch_committed(&epochs) == OPENED);
	fake_disk_finish_all(disk);
	settle();
	fake_disk_finish_all(disk);
	settle();
	cr_assert(epoch_committed(&epochs) == epoch_newest(&epochs) - 1);
}

Test(log_writer, idle_epochs_tick_and_cost_no_block)
{
	start(&usual);
	uint64_t blocks = wal.counts.blocks;
	uint64_t opened = epoch_newest(&epochs);
	for (int i = 0; i < 100; i++) {
		now_ms += LOG_WRITER_TICK_MS - 1;
		settle();
		cr_assert(epoch_newest(&epochs) == opened, "not yet");
		now_ms++;
		settle();
		cr_assert(epoch_newest(&epochs) == ++opened);
		cr_assert(epochs.time_ms[opened % epochs.slots] == now_ms);
		cr_assert(epoch_committed(&epochs) == opened - 1, "durable with the one before");
	}
	cr_assert(wal.counts.blocks == blocks && writer.empty_epochs == 100);
}

Test(log_writer, idle_epochs_tick_no_further_than_there_are_slots)
{
	start(&usual);
	for (int i = 0; i < 100; i++) {
		now_ms += LOG_WRITER_TICK_MS;
		cr_assert(turn() >= 0); /* nobody seals */
	}
	cr_assert(epoch_newest(&epochs) == OPENED + usual.slots - 1);
	cr_assert(epoch_committed(&epochs) == OPENED);
}

Test(log_writer, clock_that_steps_back_stands_still)
{
	start(&usual);
	now_ms -= 3600000;
	settle();
	cr_assert(epoch_newest(&epochs) == FIRST);
	work(0, 100);
	settle();
	cr_assert(epoch_committed(&epochs) == FIRST);
	cr_assert(epochs.time_ms[(FIRST + 1) % epochs.slots] == STAND_START_MS);
}

/* The machine's clock was set back while no engine ran: the log's time goes on all the same. */
Test(log_writer, epochs_begin_no_earlier_than_the_log_ends)
{
	struct setup setup = usual;

	setup.clock_ms = STAND_START_MS - 3600000;
	start(&setup);
	now_ms = setup.clock_ms;
	cr_assert(epochs.time_ms[FIRST % epochs.slots] == STAND_START_MS);
	work(0, 100);
	settle();
	cr_assert(epoch_committed(&epochs) == FIRST);
}

/* A damaged last block would look like a torn tail: some time after it, an empty block says that it
 * was durable. */
Test(log_writer, last_block_gets_a_witness_when_the_log_falls_silent)
{
	const struct wal_reader_options options = {.first_segment = WAL_OLDEST};
	struct wal_reader reader;
	struct wal_block block;

	start(&usual);
	work(0, 100);
	settle();
	work(1, 100);
	settle();
	uint64_t blocks = wal.counts.blocks;
	uint64_t last_ms = wal.tail.time_ms;
	while (now_ms < last_ms + LOG_WRITER_WITNESS_MS - 1) {
		now_ms++;
		settle();
		cr_assert(wal.counts.blocks == blocks, "%lu ms", now_ms - last_ms);
	}
	for (int i = 0; i < 1000; i++) {
		now_ms++;
		settle();
	}
	cr_assert(wal.counts.blocks == blocks + 1, "one is enough");
	cr_assert(wal.tail.time_ms <=
		  last_ms + LOG_WRITER_WITNESS_MS + (uint64_t)2 * LOG_WRITER_TICK_MS);
	cr_assert(epoch_committed(&epochs) == epoch_newest(&epochs) - 1);

	cr_assert(wal_reader_open(&reader, &disk->base, &options) == 0);
	for (uint64_t i = 0; i <= blocks; i++)
		cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
	cr_assert(block.header->payload_bytes == 0 && block.header->durable_count == blocks);
	wal_reader_close(&reader);
}

/* Blocks of FIRST, FIRST + 2 and FIRST + 4 in flight, nothing in the epochs between. */
static void three_blocks_and_gaps(void)
{
	start(&usual);
	disk->held = true;
	for (int i = 0; i < 3; i++) {
		work(0, 100);
		settle();
		now_ms += LOG_WRITER_TICK_MS;
		settle();
	}
	cr_assert(disk->write_count == 3 && epoch_newest(&epochs) == FIRST + 6);
	cr_assert(epoch_committed(&epochs) == OPENED);
}

Test(log_writer, nothing_is_committed_past_a_hole)
{
	three_blocks_and_gaps();
	fake_disk_finish(disk, 2, 0);
	settle();
	cr_assert(epoch_committed(&epochs) == OPENED);
	fake_disk_finish(disk, 1, 0);
	settle();
	cr_assert(epoch_committed(&epochs) == OPENED);
	fake_disk_finish(disk, 0, 0);
	settle();
	cr_assert(epoch_committed(&epochs) == FIRST + 5, "and the empty ones behind");
}

Test(log_writer, empty_epochs_are_committed_with_the_block_before_them)
{
	three_blocks_and_gaps();
	for (uint64_t e = 0; e < 3; e++) {
		fake_disk_finish(disk, 0, 0);
		settle();
		cr_assert(epoch_committed(&epochs) == FIRST + 2 * e + 1);
	}
}

struct failure {
	const char *name;
	unsigned index;
	int error;
};

static const struct failure failures[] = {
    {"the first of three", 0, -EIO},
    {"the second of three", 1, -EIO},
    {"the last of three", 2, -ENOSPC},
};

Test(log_writer, failed_write_stops_commits_for_good)
{
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		const struct failure *row = &failures[i];
		three_blocks_and_gaps();
		for (unsigned before = 0; before < row->index; before++)
			fake_disk_finish(disk, 0, 0);
		fake_disk_finish(disk, 0, row->error);
		cr_assert(turn() == row->error, "%s", row->name);
		uint64_t committed = epoch_committed(&epochs);
		uint64_t opened = epoch_newest(&epochs);
		cr_assert(committed < FIRST + 2 * row->index, "%s", row->name);
		fake_disk_finish_all(disk);
		for (int again = 0; again < 10; again++) {
			now_ms += LOG_WRITER_TICK_MS;
			work(0, 100);
			enter_all();
			cr_assert(turn() == row->error, "%s", row->name);
			cr_assert(log_writer_finish(&writer) == row->error, "%s", row->name);
		}
		cr_assert(epoch_committed(&epochs) == committed, "%s", row->name);
		cr_assert(epoch_newest(&epochs) == opened, "%s", row->name);
		if (row != &failures[sizeof(failures) / sizeof(failures[0]) - 1])
			stop();
	}
}

/* Fills epoch after epoch until new work is refused. */
static void fill(void)
{
	for (int i = 0; i < 10000 && atomic_load(&epochs.has_space); i++) {
		work(0, SECTION);
		work(1, SECTION);
		settle();
		cr_assert(epoch_committed(&epochs) == epoch_newest(&epochs) - 1);
	}
	cr_assert_not(atomic_load(&epochs.has_space));
}

Test(log_writer, reserve_is_left_when_new_work_is_refused)
{
	struct setup setup = usual;

	setup.capacity = 2;
	setup.segment_bytes = 1 << 20;
	start(&setup);
	fill();
	/* all that may be under way still finds room */
	for (uint64_t i = 0; i < log_writer_reserve(usual.slots); i++) {
		work(0, SECTION);
		work(1, SECTION);
		settle();
		cr_assert(epoch_committed(&epochs) == epoch_newest(&epochs) - 1, "block %lu", i);
	}
	cr_assert_not(atomic_load(&epochs.has_space));

	disk->capacity = 4;
	prepare();
	settle();
	cr_assert(atomic_load(&epochs.has_space), "the disk gave more");
}

Test(log_writer, sealed_epochs_wait_for_space_and_lose_nothing)
{
	struct setup setup = usual;

	setup.capacity = 1;
	setup.segment_bytes = 256 << 10;
	start(&setup);
	for (int i = 0; i < 100; i++) {
		if (epoch_section(&epochs, 0, epoch_newest(&epochs))->bytes == 0) {
			work(0, SECTION);
			work(1, SECTION);
		}
		now_ms += LOG_WRITER_TICK_MS;
		settle();
	}
	uint64_t stuck = epoch_committed(&epochs);
	cr_assert(wal.counts.refused_space > 0 && wal.tail.segment == 0);
	cr_assert(epoch_newest(&epochs) == stuck + usual.slots - 1);
	disk->capacity = 2;
	prepare();
	settle();
	cr_assert(epoch_committed(&epochs) == epoch_newest(&epochs) - 1);
	cr_assert(wal.tail.segment == 1);
}

struct shape {
	uint32_t slots;
	uint64_t segment_bytes;
};

static const struct shape shapes[] = {
    {8, 2 * WAL_PAGE + 4 * 2 * SECTION},
    {8, 16 * 5 * WAL_PAGE},
    {8, 17 * 5 * WAL_PAGE},
    {3, 7 * 5 * WAL_PAGE},
    {64, 64 * WAL_PAGE},
    {64, 1 << 20},
};

/* With the segments ahead that the size of the reserve asks for, new work is never refused at the
 * end of a segment: nothing else would ever fill it up. */
Test(log_writer, segments_ahead_are_enough_to_go_on)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct setup setup = usual;
		setup.slots = shapes[i].slots;
		setup.segment_bytes = shapes[i].segment_bytes;
		setup.capacity = FAKE_SEGMENTS_MAX;
		uint64_t ahead =
		    log_writer_segments_ahead(setup.slots, SHARDS * SECTION, setup.segment_bytes);
		setup.ahead = (uint32_t)ahead;
		if (ahead > WAL_SEGMENTS_AHEAD_MAX)
			cr_skip_test("row %zu", i);
		start(&setup);
		while (wal.tail.segment < 10) {
			cr_assert(turn() >= 0 && atomic_load(&epochs.has_space),
				  "row %zu: refused in segment %lu at %lu", i, wal.tail.segment,
				  wal.tail.offset);
			work(0, SECTION);
			work(1, SECTION);
			settle();
			prepare();
		}
		if (i + 1 < sizeof(shapes) / sizeof(shapes[0]))
			stop();
	}
}

Test(log_writer, finish_takes_what_the_workers_sealed_last)
{
	start(&usual);
	work(0, 100);
	turn();
	enter_all();
	work(1, 200);
	epoch_seal(&epochs, 0, FIRST + 1);
	epoch_seal(&epochs, 1, FIRST + 1);
	for (int i = 0; i < 3; i++)
		cr_assert(log_writer_finish(&writer) == 0);
	cr_assert(epoch_committed(&epochs) == FIRST + 1);
	cr_assert(epoch_newest(&epochs) == FIRST + 1, "opens none");
}

Test(log_writer, blocks_hold_the_sections_of_their_epoch)
{
	const struct wal_reader_options options = {.first_segment = WAL_OLDEST};
	struct wal_reader reader;
	struct wal_block block;

	start(&usual);
	/* the two shards' sections in three epochs */
	static const uint64_t bytes[3][2] = {{100, 0}, {0, 5000}, {4096, 1}};
	next_byte = 0;
	for (int i = 0; i < 3; i++) {
		now_ms += 2;
		if (bytes[i][0] > 0)
			work(0, bytes[i][0]);
		if (bytes[i][1] > 0)
			work(1, bytes[i][1]);
		settle();
	}
	cr_assert(log_writer_mark(&wal, WAL_CLOSE, FIRST + 9, now_ms, shards, SHARDS, NULL) ==
		  FIRST + 9);

	cr_assert(wal_reader_open(&reader, &disk->base, &options) == 0);
	cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
	cr_assert(block.header->type == WAL_OPEN && block.header->epoch == OPENED);
	uint8_t byte = 0;
	for (uint64_t i = 0; i < 3; i++) {
		cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
		cr_assert(block.header->type == WAL_DATA && block.header->epoch == FIRST + i);
		cr_assert(block.header->time_ms == STAND_START_MS + 2 * i);
		cr_assert(block.header->section_count == SHARDS);
		for (uint32_t shard = 0; shard < SHARDS; shard++) {
			uint64_t size;
			const uint8_t *data = wal_block_section(&block, shard, &size);
			cr_assert(size == bytes[i][shard]);
			byte = (uint8_t)(byte + (size > 0));
			for (uint64_t at = 0; at < size; at++)
				cr_assert(data[at] == byte);
		}
	}
	cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
	cr_assert(block.header->type == WAL_CLOSE);
	cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_END);
	wal_reader_close(&reader);
}

/* Gives the digests that a worker would, once it has sealed the cut's epoch. */
static void give_digests(void)
{
	for (uint32_t i = 0; i < SHARDS; i++)
		cut_give(&epochs.cut, i, epochs.cut.epoch, (struct shard_digest){.lo = i}, 7 + i);
}

/* How much of the log belongs to the cut: blocks of later epochs are not counted, those that are on
 * their way are. */
Test(log_writer, cut_says_where_the_log_stood)
{
	struct cut_result result;

	start(&usual);
	cut_ask(&epochs.cut);
	now_ms += LOG_WRITER_TICK_MS;
	settle();
	cr_assert(epochs.cut.epoch == FIRST + 1 && epoch_newest(&epochs) == FIRST + 1);
	disk->held = true;
	work(0, 100);
	settle();
	give_digests();
	work(1, 5000);
	settle();
	cr_assert_not(cut_take(&epochs.cut, epoch_committed(&epochs), &result), "not durable");
	cr_assert(wal.tail.next_seq == 3, "OPEN, the cut's block, and one behind it");
	fake_disk_finish_all(disk);
	settle();
	cr_assert(cut_take(&epochs.cut, epoch_committed(&epochs), &result));
	cr_assert(result.epoch == FIRST + 1 && result.time_ms == now_ms && result.blocks == 2);
	cr_assert(result.cycles_max == 7 + SHARDS - 1 && result.digest[1].lo == 1);

	const struct wal_reader_options options = {.first_segment = WAL_OLDEST};
	struct wal_reader reader;
	struct wal_block block;
	cr_assert(wal_reader_open(&reader, &disk->base, &options) == 0);
	for (uint64_t i = 0; i < result.blocks; i++)
		cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
	cr_assert(block.header->epoch == result.epoch);
	cr_assert(wal_hash_equal(wal_reader_tail(&reader)->prev_hash, result.chain));
	wal_reader_close(&reader);
}

/* Nothing is written: time goes on, and the cut's epoch is as durable as the block before it. */
Test(log_writer, cut_of_an_idle_engine_costs_no_block)
{
	struct cut_result result;

	start(&usual);
	cut_ask(&epochs.cut);
	for (int i = 0; i < 3; i++) {
		now_ms += LOG_WRITER_TICK_MS;
		settle();
	}
	give_digests();
	cr_assert(cut_take(&epochs.cut, epoch_committed(&epochs), &result));
	cr_assert(result.epoch == FIRST + 1 && result.blocks == 1);
	cr_assert(result.time_ms == STAND_START_MS + LOG_WRITER_TICK_MS);
	cr_assert(cut_is_idle(&epochs.cut));
}

Test(log_writer, marks_carry_every_shards_digest)
{
	const struct wal_reader_options options = {.first_segment = WAL_OLDEST};
	struct wal_reader reader;
	struct wal_block block;

	start(&usual);
	struct shard_digest empty = shard_digest(shards[0]);
	/* a clock behind the shards' own: the block's time is theirs */
	shard_enter_epoch(shards[1], FIRST + 1, now_ms + 500);
	int64_t closed = log_writer_mark(&wal, WAL_CLOSE, FIRST + 2, now_ms, shards, SHARDS, NULL);
	cr_assert(closed == (int64_t)FIRST + 2);
	for (uint32_t i = 0; i < SHARDS; i++)
		cr_assert(shards[i]->epoch == FIRST + 2 && shards[i]->now_ms == now_ms + 500);

	cr_assert(wal_reader_open(&reader, &disk->base, &options) == 0);
	cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
	cr_assert(memcmp(block.header->sections[0].digest, &empty, sizeof(empty)) == 0);
	cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
	cr_assert(block.header->type == WAL_CLOSE && block.header->epoch == FIRST + 2);
	cr_assert(block.header->time_ms == now_ms + 500);
	for (uint32_t i = 0; i < SHARDS; i++) {
		struct shard_digest digest = shard_digest(shards[i]);
		cr_assert(memcmp(block.header->sections[i].digest, &digest, sizeof(digest)) == 0);
	}
	cr_assert(memcmp(block.header->sections[0].digest, block.header->sections[1].digest, 16) !=
		  0);
	wal_reader_close(&reader);
}

Test(log_writer, mark_waits_until_it_is_durable_or_says_why_not)
{
	start(&usual);
	disk->held = true;
	work(0, 100);
	turn();
	enter_all();
	turn();
	cr_assert(disk->write_count == 1);
	cr_assert(log_writer_mark(&wal, WAL_CLOSE, FIRST + 5, now_ms, shards, SHARDS, NULL) ==
		  (int64_t)FIRST + 5);
	cr_assert(disk->write_count == 0 && wal_writer_in_flight(&wal) == 0);
}

Test(log_writer, mark_on_a_failed_log_fails)
{
	start(&usual);
	disk->held = true;
	work(0, 100);
	turn();
	enter_all();
	turn();
	fake_disk_finish(disk, 0, -EIO);
	cr_assert(turn() == -EIO);
	cr_assert(log_writer_mark(&wal, WAL_CLOSE, FIRST + 5, now_ms, shards, SHARDS, NULL) ==
		  -EIO);
}
