/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's start: newest good checkpoint and the tail behind it, or the whole log.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/recovery.h"
#include "replay/checkpoint.h"
#include "replay/node.h"
#include "tests/unit/replay/books.h"

#define SHARDS 3

static struct books *books;
static struct books_log disk_log;
static struct recovery recovery;
static char error[RECOVERY_ERROR_MAX];
static struct lanes *lanes; /* of the next recoveries */

static void write_blocks(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		books_pay(books, books_account(books, i % SHARDS, 1), books_account(books, 1, 2),
			  1 + i, 1);
		while (books->wire_count > 4)
			books_deliver(books);
		log_put(&disk_log, books, WAL_DATA);
	}
}

/* A checkpoint behind block `seq`. */
static void make_checkpoint(uint64_t seq)
{
	static struct node node;
	char why[WAL_TEXT_BYTES];
	struct wal_block block;
	enum node_end end = NODE_SOUND;

	cr_assert(node_open(&node, disk_log.path) == NODE_SOUND);
	while (node.next_seq <= seq && node_peek(&node, &block, &end) &&
	       node_apply(&node, true, &block, &end))
		;
	cr_assert(node.last.seq == seq);
	cr_assert(checkpoint_write(disk_log.path, &node.last, node.shards, SHARDS, why) == 0, "%s",
		  why);
	node_close(&node);
}

static void start(void)
{
	const struct shard_limits limits = books_limits(SHARDS);
	const struct log_meta meta = log_meta_from_limits(&limits);

	books = books_new(SHARDS);
	log_new(&disk_log);
	log_open(&disk_log, &meta, sizeof(meta));
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	log_put(&disk_log, books, WAL_DATA);
	write_blocks(30);
	log_close(&disk_log);
}

static void stop(void)
{
	books_free(books);
	log_remove(&disk_log);
}

/* Opens the log again behind its end. */
static void go_on(void)
{
	const struct log_meta meta = log_meta_from_limits(&books->limits);

	log_open(&disk_log, &meta, sizeof(meta));
	log_put(&disk_log, books, WAL_OPEN);
}

TestSuite(recovery, .init = start, .fini = stop);

/* Reads the log into fresh twins with tables of twice the size; whether that went well. */
static bool recover(const char *checkpoints)
{
	const struct wal_disk_options disk_options = {.segment_bytes = BOOKS_SEGMENT};
	const struct recovery_options options = {
	    .log = disk_log.path,
	    .limits = &books->limits,
	    .new_log_id = 1,
	    .writes = 2,
	    .checkpoints = checkpoints,
	    .lanes = lanes,
	};
	char why[WAL_TEXT_BYTES];
	struct shard *twins[BOOKS_SHARDS_MAX];
	struct wal_disk *disk;

	cr_assert(wal_disk_open(&disk, disk_log.path, &disk_options, why) == 0, "%s", why);
	books_twins(books, twins);
	bool done = recovery_read(&recovery, disk, &options, twins, error) == 0;
	for (uint32_t i = 0; i < SHARDS && done; i++) {
		struct shard_digest here = shard_digest(twins[i]);
		struct shard_digest there = shard_digest(books->shard[i]);
		cr_assert(memcmp(&here, &there, sizeof(here)) == 0, "shard %u", i);
	}
	books_twins_free(books, twins);
	disk->ops->close(disk);
	return done;
}

/* Whatever happens, it is the same with any number of lanes, and with none: the last is left. */
static bool recover_by_lanes(const char *checkpoints)
{
	static char alone[RECOVERY_ERROR_MAX];
	static struct recovery first;
	static struct lanes own;

	error[0] = '\0';
	bool done = recover(checkpoints);
	memcpy(alone, error, sizeof(alone));
	first = recovery;
	lanes = &own;
	for (uint32_t count = 1; count <= SHARDS + 1; count++) {
		lanes_open(lanes, count, NULL, NULL);
		error[0] = '\0';
		cr_assert(recover(checkpoints) == done, "%u lanes: %s", count, error);
		lanes_close(lanes);
		cr_assert_str_eq(error, alone, "%u lanes: %s", count, error);
		cr_assert(recovery.torn == first.torn && recovery.clean == first.clean);
		cr_assert(recovery.resumed == first.resumed &&
			  recovery.checkpoints_bad == first.checkpoints_bad);
		if (!done)
			continue;
		cr_assert(recovery.tail.next_seq == first.tail.next_seq);
		cr_assert(memcmp(&recovery.counts, &first.counts, sizeof(first.counts)) == 0);
		cr_assert_str_eq(recovery.checkpoint_note, first.checkpoint_note);
	}
	lanes = NULL;
	return done;
}

static void damage(uint64_t seq)
{
	char name[128];

	snprintf(name, sizeof(name), "%s/%020" PRIu64 ".checkpoint", disk_log.path, seq);
	cr_assert(truncate(name, 4500) == 0);
}

/* Behind a restart and a clean end, from the first byte and from a checkpoint. */
Test(recovery, lanes_give_the_state_that_one_thread_gives)
{
	cr_assert(recover_by_lanes(NULL), "%s", error);
	cr_assert(recovery.counts.transfers_cross > 0 && recovery.counts.blocks == 32);
	make_checkpoint(17);
	cr_assert(recover_by_lanes(disk_log.path), "%s", error);
	cr_assert(recovery.resumed && recovery.counts.blocks == 14);
	go_on();
	log_put(&disk_log, books, WAL_CLOSE);
	log_close(&disk_log);
	cr_assert(recover_by_lanes(disk_log.path), "%s", error);
	cr_assert(recovery.clean && recovery.counts.digests_checked == SHARDS);
	make_checkpoint(20);
	damage(20);
	cr_assert(recover_by_lanes(disk_log.path), "%s", error);
	cr_assert(recovery.resumed && recovery.checkpoints_bad == 1);
}

/* A transfer within `shard` as it should be, and one whose logged outcome is not what replay finds. */
static void write_wrong_outcome(uint32_t shard)
{
	struct id128 from = books_account(books, shard, 1);
	struct id128 to = books_account(books, shard, 2);

	books_pay(books, from, to, 1, 1);
	uint64_t at = books->bytes[shard];
	books_pay(books, from, to, 1, 1);
	books->section[shard][at + offsetof(struct record_head, arg)] = STATUS_CREDIT_CLOSED;
}

Test(recovery, the_first_fault_in_the_log_is_told_whichever_lane_finds_it)
{
	char where[64];

	for (uint32_t first = 0; first < SHARDS; first++) {
		go_on();
		uint64_t epoch = books->epoch;
		write_wrong_outcome(first);
		log_put(&disk_log, books, WAL_DATA);
		for (uint32_t later = 0; later < SHARDS; later++) {
			write_wrong_outcome((first + 1 + later) % SHARDS);
			log_put(&disk_log, books, WAL_DATA);
		}
		log_close(&disk_log);
		cr_assert_not(recover_by_lanes(NULL));
		snprintf(where, sizeof(where), "(epoch %" PRIu64 "), shard %u, record 1 ", epoch,
			 first);
		cr_assert_not_null(strstr(error, where), "%s: %s", where, error);
		cr_assert_not_null(strstr(error, "and this engine disagree"), "%s", error);
		stop();
		start();
	}
	/* Of one block the first shard. */
	go_on();
	write_wrong_outcome(2);
	write_wrong_outcome(1);
	log_put(&disk_log, books, WAL_DATA);
	log_close(&disk_log);
	cr_assert_not(recover_by_lanes(NULL));
	cr_assert_not_null(strstr(error, "shard 1, record 1 "), "%s", error);
}

Test(recovery, what_stops_the_reading_is_told_behind_what_was_read)
{
	/* a wrong outcome, and behind it a lost block that later ones witness */
	go_on();
	uint64_t epoch = books->epoch;
	write_wrong_outcome(1);
	log_put(&disk_log, books, WAL_DATA);
	uint64_t lost = disk_log.writer.tail.offset;
	write_blocks(3);
	log_close(&disk_log);
	log_flip(&disk_log, lost + 100);
	cr_assert_not(recover_by_lanes(NULL));
	char where[64];
	snprintf(where, sizeof(where), "(epoch %" PRIu64 "), shard 1, record 1 ", epoch);
	cr_assert_not_null(strstr(error, where), "%s", error);
	/* without the wrong outcome, the lost block */
	stop();
	start();
	go_on();
	lost = disk_log.writer.tail.offset;
	uint64_t seq = disk_log.writer.tail.next_seq;
	write_blocks(3);
	log_close(&disk_log);
	log_flip(&disk_log, lost + 100);
	cr_assert_not(recover_by_lanes(NULL));
	snprintf(where, sizeof(where), "block %" PRIu64, seq);
	cr_assert_not_null(strstr(error, where), "%s", error);
	cr_assert_null(strstr(error, "disagree"), "%s", error);
	/* limits that the log cannot go on with: nothing is replayed at all */
	stop();
	start();
	books->limits.accounts_max--;
	cr_assert_not(recover_by_lanes(NULL));
	cr_assert_not_null(strstr(error, "cannot go on with this configuration"), "%s", error);
	books->limits.accounts_max++;
}

Test(recovery, replays_only_what_is_behind_the_checkpoint)
{
	cr_assert(recover(NULL), "%s", error);
	cr_assert(!recovery.resumed && recovery.counts.blocks == 32);
	cr_assert(recover(disk_log.path), "%s", error);
	cr_assert(!recovery.resumed && recovery.counts.blocks == 32, "there is none yet");
	make_checkpoint(10);
	make_checkpoint(20);
	cr_assert(recover(disk_log.path), "%s", error);
	cr_assert(recovery.resumed && recovery.checkpoint_epoch == 21);
	cr_assert(recovery.counts.blocks == 11 && !recovery.fresh);
	cr_assert(recovery.tail.next_seq == 32);
	/* the last block of all: nothing is left to replay */
	make_checkpoint(31);
	cr_assert(recover(disk_log.path), "%s", error);
	cr_assert(recovery.resumed && recovery.counts.blocks == 0 && !recovery.fresh);
	cr_assert(recovery.tail.next_seq == 32);
}

Test(recovery, bad_checkpoints_are_passed_over_and_told)
{
	make_checkpoint(10);
	make_checkpoint(20);
	damage(20);
	cr_assert(recover(disk_log.path), "%s", error);
	cr_assert(recovery.resumed && recovery.checkpoint_epoch == 11);
	cr_assert(recovery.checkpoints_bad == 1);
	cr_assert(strstr(recovery.checkpoint_note, "00020.checkpoint is not used") != NULL, "%s",
		  recovery.checkpoint_note);
	damage(10);
	cr_assert(recover(disk_log.path), "%s", error);
	cr_assert(!recovery.resumed && recovery.checkpoints_bad == 2);
	cr_assert(recovery.counts.blocks == 32);
}

Test(recovery, a_log_cut_before_its_checkpoint_is_refused)
{
	make_checkpoint(31);
	/* the last block's records: without the checkpoint it would pass for a torn tail */
	log_flip(&disk_log, disk_log.writer.tail.offset - WAL_PAGE + 40);
	cr_assert_not(recover(disk_log.path));
	cr_assert(strstr(error, "was durable") != NULL, "%s", error);
}

Test(recovery, checkpoint_without_segments_is_refused)
{
	char name[128];

	make_checkpoint(20);
	for (uint64_t segment = 0; segment < 64; segment++) {
		snprintf(name, sizeof(name), "%s/%020" PRIu64 ".wal", disk_log.path, segment);
		unlink(name);
	}
	cr_assert_not(recover(disk_log.path));
	cr_assert_not_null(strstr(error, "no segments"), "%s", error);
}
