/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "replay/node.h"
#include "tests/unit/replay/books.h"

static struct books *books;
static struct books_log disk_log;
static struct node node;
static struct wal_block block;
static enum node_end end;

static void put_meta(const struct shard_limits *limits)
{
	const struct log_meta meta = log_meta_from_limits(limits);

	log_open(&disk_log, &meta, sizeof(meta));
}

static void start(void)
{
	books = books_new(2);
	log_new(&disk_log);
}

static void stop(void)
{
	books_free(books);
	log_remove(&disk_log);
}

TestSuite(node, .init = start, .fini = stop);

/* OPEN, accounts, a transfer between shards in two epochs, CLOSE: epochs 1 to 5. */
static void write_log(void)
{
	put_meta(&books->limits);
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	log_put(&disk_log, books, WAL_DATA);
	books_pay(books, books_account(books, 0, 1), books_account(books, 1, 1), 30, 1);
	log_put(&disk_log, books, WAL_DATA);
	books_settle(books);
	log_put(&disk_log, books, WAL_DATA);
	log_put(&disk_log, books, WAL_CLOSE);
	log_close(&disk_log);
}

static bool step(void)
{
	return node_peek(&node, &block, &end) && node_apply(&node, true, &block, &end);
}

Test(node, gives_the_books_again)
{
	write_log();
	cr_assert(node_open(&node, disk_log.path) == NODE_SOUND, "%s", node.text);
	cr_assert(memcmp(&node.limits, &books->limits, sizeof(node.limits)) == 0);
	for (uint64_t epoch = 1; epoch <= 5; epoch++) {
		cr_assert(step(), "%s", node.text);
		cr_assert(node.epoch == epoch);
		cr_assert(node.time_ms == BOOKS_START_MS + 10 * (epoch - 1));
	}
	cr_assert_not(step());
	cr_assert(end == NODE_SOUND);
	cr_assert(node.replay.counts.blocks == 5 && node.replay.counts.digests_checked == 4);
	for (uint32_t i = 0; i < 2; i++) {
		struct id128 wallet = books_account(books, i, 1);
		cr_assert(shard_account(node.shards[i], wallet)->balance ==
			  shard_account(books->shard[i], wallet)->balance);
	}
	node_close(&node);
}

Test(node, peeks_before_it_applies)
{
	write_log();
	cr_assert(node_open(&node, disk_log.path) == NODE_SOUND, "%s", node.text);
	cr_assert(step());
	for (int again = 0; again < 3; again++) {
		cr_assert(node_peek(&node, &block, &end));
		cr_assert(block.header->epoch == 2 && node.epoch == 1);
	}
	cr_assert(node.shards[0]->accounts.count == 0);
	cr_assert(node_apply(&node, true, &block, &end));
	cr_assert(node.shards[0]->accounts.count == 3);
	node_skip(&node);
	cr_assert(node_peek(&node, &block, &end) && block.header->epoch == 3);
	node_skip(&node);
	cr_assert(node_peek(&node, &block, &end) && block.header->epoch == 4);
	node_close(&node);
}

Test(node, skipping_makes_it_diverge)
{
	write_log();
	cr_assert(node_open(&node, disk_log.path) == NODE_SOUND, "%s", node.text);
	cr_assert(step() && step());
	cr_assert(node_peek(&node, &block, &end));
	node_skip(&node);
	cr_assert_not(step());
	cr_assert(end == NODE_DIVERGED);
	cr_assert(strstr(node.text, "epoch 4") != NULL, "%s", node.text);
	node_close(&node);
}

Test(node, empty_log_is_sound_and_has_no_shards)
{
	cr_assert(node_open(&node, disk_log.path) == NODE_SOUND, "%s", node.text);
	cr_assert(node.limits.shards == 0);
	cr_assert_not(step());
	cr_assert(end == NODE_SOUND);
	node_close(&node);
}

Test(node, takes_the_largest_tables_of_all_segments)
{
	struct shard_limits larger = books->limits;

	write_log();
	larger.accounts_max *= 8;
	larger.rows *= 2;
	larger.ids_per_second += 100;
	put_meta(&larger);
	books_turn(books, 10);
	log_put(&disk_log, books, WAL_OPEN);
	log_close(&disk_log);
	cr_assert(node_open(&node, disk_log.path) == NODE_SOUND, "%s", node.text);
	cr_assert(node.limits.accounts_max == larger.accounts_max);
	cr_assert(node.limits.rows == larger.rows);
	cr_assert(node.limits.ids_per_second == larger.ids_per_second);
	for (int i = 0; i < 6; i++)
		cr_assert(step(), "%s", node.text);
	cr_assert_not(step());
	cr_assert(end == NODE_SOUND, "%s", node.text);
	node_close(&node);
}

/* Shards are made from the first block on. */
Test(node, log_without_its_beginning_is_corrupt)
{
	struct shard_limits larger = books->limits;

	write_log();
	larger.rows *= 2; /* other meta: a new segment */
	put_meta(&larger);
	books_turn(books, 10);
	log_put(&disk_log, books, WAL_OPEN);
	log_close(&disk_log);
	log_lose_first(&disk_log);
	cr_assert(node_open(&node, disk_log.path) == NODE_SOUND, "%s", node.text);
	cr_assert(node_peek(&node, &block, &end) && block.header->segment == 1);
	cr_assert_not(node_apply(&node, false, &block, &end));
	cr_assert(end == NODE_CORRUPT);
	cr_assert(strstr(node.text, "begins with block 5 in segment 1") != NULL, "%s", node.text);
	node_close(&node);
}

/* An engine began it just now: the number of shards is not known yet. */
Test(node, log_begun_after_it_was_opened_is_unreadable)
{
	cr_assert(node_open(&node, disk_log.path) == NODE_SOUND);
	block = books_block(books, WAL_OPEN);
	cr_assert_not(node_apply(&node, false, &block, &end));
	cr_assert(end == NODE_UNREADABLE && node.text[0] != '\0');
	node_close(&node);
}

Test(node, digest_that_differs_diverges_only_when_asked)
{
	put_meta(&books->limits);
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	books_turn(books, 1); /* what was filled is lost on the way to the log */
	log_put(&disk_log, books, WAL_CLOSE);
	log_close(&disk_log);

	cr_assert(node_open(&node, disk_log.path) == NODE_SOUND, "%s", node.text);
	cr_assert(step());
	cr_assert_not(step());
	cr_assert(end == NODE_DIVERGED && strstr(node.text, "digest") != NULL, "%s", node.text);
	node_close(&node);

	cr_assert(node_open(&node, disk_log.path) == NODE_SOUND, "%s", node.text);
	while (node_peek(&node, &block, &end))
		cr_assert(node_apply(&node, false, &block, &end));
	cr_assert(end == NODE_SOUND);
	node_close(&node);
}

Test(node, meta_that_is_not_understood_is_unreadable)
{
	struct log_meta meta = log_meta_from_limits(&books->limits);

	meta.version = META_VERSION + 1;
	log_open(&disk_log, &meta, sizeof(meta));
	log_put(&disk_log, books, WAL_OPEN);
	log_close(&disk_log);
	cr_assert(node_open(&node, disk_log.path) == NODE_UNREADABLE);
	cr_assert(strstr(node.text, "segment 0: the meta is of another version") != NULL, "%s",
		  node.text);
}

Test(node, no_log_there_is_unreadable)
{
	cr_assert(node_open(&node, "/nowhere/log") == NODE_UNREADABLE);
	cr_assert(strstr(node.text, "/nowhere/log") != NULL, "%s", node.text);
}

/* Beside an engine that holds the lock and writes. */
Test(node, reads_beside_a_writer)
{
	put_meta(&books->limits);
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	log_put(&disk_log, books, WAL_DATA);
	cr_assert(node_open(&node, disk_log.path) == NODE_SOUND, "%s", node.text);
	cr_assert(step() && step());
	cr_assert_not(step());
	cr_assert(end == NODE_SOUND);
	node_close(&node);
	log_close(&disk_log);
}
