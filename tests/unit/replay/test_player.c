/* SPDX-License-Identifier: Apache-2.0
 *
 * Shards played side by side: the same state and the same verdict whatever the number of threads.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "replay/player.h"
#include "tests/unit/replay/books.h"

#define SHARDS 4

static struct books *books;
static struct books_log disk_log;
static struct node node;

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
}

static void stop(void)
{
	books_free(books);
	log_remove(&disk_log);
}

TestSuite(player, .init = start, .fini = stop);

/* Transfers within and between all shards, some of them under way over many blocks. */
static void write_traffic(void)
{
	for (uint32_t round = 0; round < 40; round++) {
		for (uint32_t from = 0; from < SHARDS; from++) {
			uint32_t to = (from + round) % SHARDS;
			books_pay(books, books_account(books, from, 1),
				  books_account(books, to, to == from ? 2 : 1), 1 + round, 1);
		}
		while (books->wire_count > 20)
			books_deliver(books);
		log_put(&disk_log, books, WAL_DATA);
	}
}

/* 0 threads: this one alone. */
static enum node_end play(uint32_t threads, const struct player_options *options,
			  struct player_proof *proof)
{
	cr_assert(node_open(&node, disk_log.path) == NODE_SOUND, "%s", node.text);
	if (threads > 0)
		node_share(&node, threads);
	return player_run(&node, options, proof);
}

Test(player, any_number_of_threads_gives_the_same_state)
{
	write_traffic();
	struct shard_digest before_settling[SHARDS];
	for (uint32_t i = 0; i < SHARDS; i++)
		before_settling[i] = shard_digest(books->shard[i]);
	log_close(&disk_log);
	for (uint32_t threads = 0; threads <= SHARDS + 1; threads++) {
		const struct player_options options = {.prove = true};
		struct player_proof proof;
		cr_assert(play(threads, &options, &proof) == NODE_SOUND, "%s", node.text);
		cr_assert(proof.threads == (threads == 0       ? 1
					    : threads < SHARDS ? threads
							       : SHARDS));
		cr_assert(proof.epochs == 42 && proof.audits == 1);
		cr_assert(node.replay.counts.blocks == 42);
		cr_assert(node.replay.counts.transfers_cross > 20);
		for (uint32_t i = 0; i < SHARDS; i++) {
			struct shard_digest digest = shard_digest(node.shards[i]);
			cr_assert(memcmp(&digest, &before_settling[i], sizeof(digest)) == 0,
				  "%u threads, shard %u", threads, i);
		}
		node_close(&node);
	}
}

/* The block in which the money goes wrong is named, not a later one. */
Test(player, money_that_grows_between_shards_is_found_in_its_block)
{
	books_pay(books, books_account(books, 0, 1), books_account(books, 1, 1), 30, 1);
	books->wire[0].amount = 31;
	log_put(&disk_log, books, WAL_DATA); /* epoch 3: tried */
	books_deliver(books);
	log_put(&disk_log, books, WAL_DATA); /* 4: voted */
	books_deliver(books);
	log_put(&disk_log, books, WAL_DATA); /* 5: 30 taken */
	books_deliver(books);
	log_put(&disk_log, books, WAL_DATA); /* 6: 31 given */
	books_settle(books);
	log_put(&disk_log, books, WAL_DATA);
	log_close(&disk_log);
	for (uint32_t threads = 0; threads <= 2; threads++) {
		const struct player_options options = {.prove = true};
		cr_assert(play(threads, &options, NULL) == NODE_DIVERGED);
		cr_assert(node.diverged && node.fault.epoch == 6, "%s", node.text);
		cr_assert_str_eq(node.fault.expected, "30 of ledger 1 taken");
		cr_assert_str_eq(node.fault.found, "31 of ledger 1 given");
		node_close(&node);
	}
	/* Not looked for, not found. */
	const struct player_options blind = {.prove = false};
	cr_assert(play(1, &blind, NULL) == NODE_SOUND);
	node_close(&node);
}

Test(player, of_faults_in_two_shards_the_first_block_is_told)
{
	books_pay(books, books_account(books, 3, 1), books_account(books, 3, 2), 1, 1);
	books->section[3][2] = STATUS_CREDIT_CLOSED;
	log_put(&disk_log, books, WAL_DATA);
	books_pay(books, books_account(books, 0, 1), books_account(books, 0, 2), 1, 1);
	books->section[0][2] = STATUS_CREDIT_CLOSED;
	log_put(&disk_log, books, WAL_DATA);
	log_close(&disk_log);
	for (uint32_t threads = 0; threads <= SHARDS; threads++) {
		const struct player_options options = {.prove = true};
		cr_assert(play(threads, &options, NULL) == NODE_DIVERGED);
		cr_assert(node.fault.epoch == 3 && node.fault.shard == 3, "%s", node.text);
		cr_assert(node.fault.segment == 0 && node.fault.block_offset > 0);
		cr_assert(strstr(node.fault.expected, "TRANSFER") != NULL);
		node_close(&node);
	}
}

struct visit {
	uint64_t stop_behind;
	uint64_t cut_at;
	uint64_t paused_at;
};

static bool wanted(void *context, const struct wal_block_header *block)
{
	return block->epoch <= ((struct visit *)context)->stop_behind;
}

static bool cut(void *context, const struct wal_block_header *block)
{
	return block->epoch == ((struct visit *)context)->cut_at;
}

static enum node_end pause_there(void *context, struct node *at,
				 const struct wal_block_header *block)
{
	struct visit *visit = context;

	visit->paused_at = block->epoch;
	for (uint32_t i = 0; i < SHARDS; i++)
		cr_assert(at->shards[i]->epoch == block->epoch);
	return NODE_SOUND;
}

Test(player, pauses_and_stops_where_it_is_told)
{
	struct visit visit = {.stop_behind = 20, .cut_at = 11};
	const struct player_options options = {
	    .context = &visit,
	    .wanted = wanted,
	    .cut = cut,
	    .pause = pause_there,
	};

	write_traffic();
	log_close(&disk_log);
	cr_assert(play(3, &options, NULL) == NODE_SOUND);
	cr_assert(visit.paused_at == 11 && node.epoch == 20 && node.replay.counts.blocks == 20);
	node_close(&node);
}

Test(player, a_torn_tail_is_told_when_all_before_it_is_applied)
{
	write_traffic();
	uint64_t last = disk_log.writer.tail.offset - WAL_PAGE;
	log_close(&disk_log);
	log_flip(&disk_log, last + 40);
	const struct player_options options = {.prove = true};
	cr_assert(play(2, &options, NULL) == NODE_TORN);
	cr_assert(node.text[0] != '\0' && node.replay.counts.blocks >= 40);
	node_close(&node);
}
