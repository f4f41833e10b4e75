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

#define SHARDS 2

static struct books *books;
static struct books_log disk_log;
static struct recovery recovery;
static char error[RECOVERY_ERROR_MAX];

static void write_blocks(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		books_pay(books, books_account(books, i % 2, 1), books_account(books, 1, 2), 1 + i,
			  1);
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

static void damage(uint64_t seq)
{
	char name[128];

	snprintf(name, sizeof(name), "%s/%020" PRIu64 ".checkpoint", disk_log.path, seq);
	cr_assert(truncate(name, 4500) == 0);
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
