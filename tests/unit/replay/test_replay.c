/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/replay.h"
#include "tests/unit/replay/books.h"

static struct books *books;
static struct shard *twins[BOOKS_SHARDS_MAX];
static struct replay replay;

static void start(void)
{
	books = books_new(2);
	books_twins(books, twins);
	replay_init(&replay, twins, 2);
}

static void stop(void)
{
	books_twins_free(books, twins);
	books_free(books);
}

TestSuite(replay, .init = start, .fini = stop);

/* Empty twins again. */
static void begin_again(void)
{
	books_twins_free(books, twins);
	books_twins(books, twins);
	replay_init(&replay, twins, 2);
}

static int replay_now(enum wal_block_type type)
{
	struct wal_block block = books_block(books, type);
	int error = replay_block(&replay, &block);

	return error == 0 && type != WAL_DATA ? replay_check_digests(&replay, block.header) : error;
}

static bool says(const char *text)
{
	return strstr(replay.fault.text, text) != NULL;
}

Test(replay, blocks_give_the_same_state_again)
{
	struct id128 wallet[2] = {books_account(books, 0, 1), books_account(books, 1, 1)};

	cr_assert(replay_now(WAL_OPEN) == 0, "%s", replay.fault.text);
	books_turn(books, 5);
	books_fill(books);
	cr_assert(replay_now(WAL_DATA) == 0, "%s", replay.fault.text);
	for (uint64_t i = 0; i < 50; i++) {
		books_turn(books, 20);
		books_pay(books, wallet[i % 2], wallet[(i + 1) % 2], 10 * i, 1);
		books_pay(books, wallet[0], books_account(books, 0, 2), 1 + i, 1);
		books_pay(books, wallet[1], books_account(books, 1, 2), 100000, 1);
		for (uint64_t n = 0; n < i % 4 && books->wire_count > 0; n++)
			books_deliver(books);
		cr_assert(replay_now(WAL_DATA) == 0, "%s", replay.fault.text);
	}
	books_turn(books, 5);
	books_settle(books);
	cr_assert(replay_now(WAL_DATA) == 0, "%s", replay.fault.text);
	books_turn(books, 5);
	cr_assert(replay_now(WAL_CLOSE) == 0, "%s", replay.fault.text);
	cr_assert(replay.counts.digests_checked == 4 && replay.counts.blocks == 54);
	cr_assert(twins[0]->epoch == books->epoch && twins[1]->now_ms == books->now_ms);
}

Test(replay, counts_are_of_what_was_decided)
{
	books_fill(books);
	books_pay(books, books_account(books, 0, 1), books_account(books, 0, 2), 5, 1);
	books_pay(books, books_account(books, 0, 1), books_account(books, 0, 2), 5000, 1);
	books_pay(books, books_account(books, 0, 1), books_account(books, 1, 2), 5, 1);
	books_pay(books, books_account(books, 0, 1), books_account(books, 1, 9), 5, 1);
	cr_assert(replay_now(WAL_DATA) == 0);
	cr_assert(replay.counts.transfers == 4 + 2, "the crossing ones are under way");
	cr_assert(replay.counts.transfers_done == 4 + 1);
	cr_assert(replay.counts.transfers_cross == 0);
	books_turn(books, 5);
	books_settle(books);
	cr_assert(replay_now(WAL_DATA) == 0);
	cr_assert(replay.counts.transfers == 4 + 2 + 2);
	cr_assert(replay.counts.transfers_done == 4 + 1 + 1);
	cr_assert(replay.counts.transfers_cross == 2);
	/* 6 accounts, 4 openings, 4 transfers; 2 tries, 2 votes, confirm, cancel, 2 acks */
	cr_assert(replay.counts.records == 6 + 4 + 4 + 8);
	cr_assert(replay.counts.record_bytes == 14 * 72 + 2 * 56 + 6 * 8);
}

/* More client records in a row than one burst takes, and a peer's among them. */
Test(replay, bursts_are_as_long_as_they_need_be)
{
	books_fill(books);
	for (uint32_t i = 0; i < 3 * SHARD_BURST_MAX + 1; i++) {
		books_pay(books, books_account(books, 0, 1), books_account(books, 0, 2), 1, 1);
		if (i % 50 == 7)
			books_pay(books, books_account(books, 1, 1), books_account(books, 0, 1), 1,
				  1);
		if (i % 50 == 9)
			books_deliver(books);
	}
	cr_assert(replay_now(WAL_DATA) == 0, "%s", replay.fault.text);
	books_turn(books, 1);
	cr_assert(replay_now(WAL_CLOSE) == 0, "%s", replay.fault.text);
}

/* Epochs 1 to 6 of a short story: accounts; two transfers between shards, step by step; one within.
 * The block of epoch `stop_at` is returned, those before are replayed. */
static struct wal_block story(uint64_t stop_at)
{
	struct wal_block block;

	books_free(books);
	books = books_new(2);
	begin_again();
	books_fill(books);
	for (;;) {
		block = books_block(books, books->epoch == 7 ? WAL_CLOSE : WAL_DATA);
		if (books->epoch == stop_at)
			return block;
		cr_assert(replay_block(&replay, &block) == 0, "%s", replay.fault.text);
		books_turn(books, 10);
		if (books->epoch == 2) {
			books_pay(books, books_account(books, 0, 1), books_account(books, 1, 1), 30,
				  1);
			books_pay(books, books_account(books, 0, 1), books_account(books, 1, 9), 30,
				  1);
			books_pay(books, books_account(books, 0, 1), books_account(books, 0, 2),
				  600, 1);
			books_pay(books, books_account(books, 0, 1), books_account(books, 0, 2),
				  600, 1);
		} else if (books->epoch < 7) {
			uint32_t messages = books->wire_count;
			for (uint32_t i = 0; i < messages; i++)
				books_deliver(books);
		}
	}
}

struct change {
	const char *name;
	uint64_t epoch; /* of the story */
	uint32_t shard;
	uint64_t offset; /* in its section */
	uint8_t value;
	uint64_t record; /* where it must be found */
	const char *says;
};

/* Records of epoch 2: four transfers, PENDING, PENDING, OK, INSUFFICIENT_FUNDS. Epoch 3: two tries
 * at shard 1. 4: two votes at shard 0. 5: confirm, cancel. 6: two acks. */
static const struct change changes[] = {
    {"a refusal made a success", 2, 0, 3 * 72 + 2, STATUS_OK, 3, "the log says TRANSFER"},
    {"a success made a refusal", 2, 0, 2 * 72 + 2, STATUS_CREDIT_FROZEN, 2, "the shard computes"},
    {"a try made a success", 2, 0, 0 * 72 + 2, STATUS_OK, 0, "the log says TRANSFER"},
    {"more than there is", 2, 0, 2 * 72 + 8 + 48 + 1, 0xff, 2, "the log says TRANSFER"},
    {"less, so that the next one fits", 2, 0, 2 * 72 + 8 + 48 + 1, 0, 3, "the log says TRANSFER"},
    {"another number", 2, 0, 1 * 72 + 4, 7, 1, "the log says TRANSFER"},
    {"the credit here", 2, 0, 0 * 72 + 1, 0, 0, "the log says TRANSFER"},
    {"no such shard", 2, 0, 1 * 72 + 1, 2, 1, "TRANSFER is not possible here"},
    {"unknown kind", 2, 0, 1 * 72, 99, 1, "no whole record of a known kind"},
    {"kind zero", 2, 0, 0, 0, 0, "no whole record of a known kind"},
    {"a yes made a no", 3, 1, 2, STATUS_CREDIT_CLOSED, 0, "the log says TRY"},
    {"a no made a yes", 3, 1, 56 + 2, STATUS_OK, 1, "the log says TRY"},
    {"a try of its own", 3, 1, 1, 1, 0, "TRY is not possible here"},
    {"a try of another ledger", 3, 1, 8 + 40, 2, 0, "the log says TRY"},
    {"a try twice", 3, 1, 56 + 4, 0, 1, "TRY is not possible here"},
    {"a vote for nothing", 4, 0, 4, 9, 0, "the log says VOTE"},
    {"a vote twice", 4, 0, 8 + 4, 0, 1, "the log says VOTE"},
    {"a vote that is none", 4, 0, 2, STATUS_PENDING, 0, "VOTE is not possible here"},
    {"a confirm of a refused try", 5, 1, 4, 1, 0, "CONFIRM is not possible here"},
    {"a cancel made a confirm", 5, 1, 8, RECORD_CONFIRM, 1, "CONFIRM is not possible here"},
    {"a confirm made an ack", 5, 1, 0, RECORD_ACK, 0, "the log says ACK"},
    {"an ack for nothing", 6, 0, 4, 5, 0, "the log says ACK"},
    {"an ack twice", 6, 0, 8 + 4, 0, 1, "the shard computes nothing"},
    {"an ack of itself", 6, 0, 1, 0, 0, "ACK is not possible here"},
};

Test(replay, changed_records_are_found_where_they_are)
{
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const struct change *row = &changes[i];
		struct wal_block block = story(row->epoch);
		uint8_t *byte = block_section(&block, row->shard) + row->offset;
		char where[64];
		cr_assert(*byte != row->value, "%s: it is that already", row->name);
		*byte = row->value;
		cr_assert(replay_block(&replay, &block) == -EBADMSG, "%s", row->name);
		cr_assert(replay.fault.record == row->record, "%s: %s", row->name,
			  replay.fault.text);
		cr_assert(replay.fault.shard == row->shard && replay.fault.epoch == row->epoch);
		cr_assert(replay.fault.seq == row->epoch - 1);
		cr_assert(says(row->says), "%s: '%s'", row->name, replay.fault.text);
		snprintf(where, sizeof(where), "block %lu (epoch %lu), shard %u, record %lu",
			 row->epoch - 1, row->epoch, row->shard, row->record);
		cr_assert(says(where), "%s: '%s'", row->name, replay.fault.text);
	}
}

/* Is this byte of the story in the head of a record? */
static bool is_head(uint64_t epoch, uint64_t byte)
{
	uint64_t size = epoch < 3 ? 72 : epoch == 3 ? 56 : 8;

	return byte % size < 8;
}

/* Does this bit of the story decide anything? A try's code is kept for readers, and its ledger where
 * there is no account; so is the credit account's shard, if it is one, where the debit account's
 * refused. */
static bool decides(uint64_t epoch, uint32_t shard, uint64_t bit)
{
	uint64_t byte = bit / 8;

	if (epoch == 3 && shard == 1)
		return byte % 56 < 48 || byte % 56 > 53 || (byte < 56 && byte < 52);
	return !(epoch == 2 && shard == 0 && bit == 8 * (3 * 72 + 1));
}

/* Whatever bit is wrong: no crash, and it is found by the block itself, by one behind it, or by the
 * digests at the close. */
Test(replay, any_bit_that_matters_is_found)
{
	for (uint64_t epoch = 1; epoch < 7; epoch++) {
		struct wal_block block = story(epoch);
		uint64_t sizes[2] = {block.header->sections[0].bytes,
				     block.header->sections[1].bytes};
		for (uint32_t shard = 0; shard < 2; shard++) {
			/* every bit of the heads, one of each byte behind them */
			for (uint64_t bit = 0; bit < 8 * sizes[shard];
			     bit += is_head(epoch, bit / 8) ? 1 : 9) {
				block = story(epoch);
				block_section(&block, shard)[bit / 8] ^= (uint8_t)(1 << bit % 8);
				int error = replay_block(&replay, &block);
				/* the rest of the story as it was */
				while (error == 0 && books->epoch < 7) {
					uint32_t messages = books->wire_count;
					books_turn(books, 10);
					for (uint32_t i = 0; i < messages; i++)
						books_deliver(books);
					error =
					    replay_now(books->epoch == 7 ? WAL_CLOSE : WAL_DATA);
				}
				cr_assert((error == -EBADMSG) == decides(epoch, shard, bit),
					  "epoch %lu shard %u byte %lu bit %lu", epoch, shard,
					  bit / 8, bit % 8);
			}
		}
	}
}

Test(replay, section_cut_short_is_found)
{
	struct wal_block block = story(2);
	uint64_t whole = block.header->sections[0].bytes;

	cr_assert(whole == 4 * 72);
	for (uint64_t cut = 1; cut <= 72; cut++) {
		block = story(2);
		block_header(&block)->sections[0].bytes = whole - cut;
		if (cut == 72)
			break;
		cr_assert(replay_block(&replay, &block) == -EBADMSG);
		cr_assert(replay.fault.record == 3 && replay.fault.offset == 3 * 72,
			  "%lu bytes off: %s", cut, replay.fault.text);
		cr_assert(says("no whole record"));
	}
	/* a whole record less: nothing to see here, but the state is another */
	cr_assert(replay_block(&replay, &block) == 0);
	books_turn(books, 10);
	cr_assert(replay_now(WAL_CLOSE) == -EBADMSG);
	cr_assert(says("digest"));
}

Test(replay, record_that_changes_nothing_is_found)
{
	struct wal_block block = story(2);
	uint8_t *section = block_section(&block, 0);

	memcpy(section + 4 * 72, section + 2 * 72, 72);
	block_header(&block)->sections[0].bytes += 72;
	cr_assert(replay_block(&replay, &block) == -EBADMSG);
	cr_assert(replay.fault.record == 4);
	cr_assert(says("the shard computes nothing"), "%s", replay.fault.text);
}

Test(replay, sections_are_as_many_as_shards)
{
	static const uint32_t counts[] = {0, 1, 3, SHARDS_MAX};

	for (size_t i = 0; i < 4; i++) {
		struct wal_block block = story(2);
		block_header(&block)->section_count = counts[i];
		cr_assert(replay_block(&replay, &block) == -EBADMSG, "%u", counts[i]);
		cr_assert(says("sections for 2 shards"), "%s", replay.fault.text);
	}
}

Test(replay, digests_are_compared_shard_by_shard)
{
	for (uint32_t shard = 0; shard < 2; shard++) {
		for (uint32_t byte = 0; byte < 16; byte++) {
			struct wal_block block = story(7);
			block_header(&block)->sections[shard].digest[byte] ^= 0x80;
			cr_assert(replay_block(&replay, &block) == 0);
			cr_assert(replay_check_digests(&replay, block.header) == -EBADMSG);
			cr_assert(replay.fault.shard == shard && says("digest"));
			cr_assert(replay.fault.epoch == 7);
		}
	}
}

Test(replay, rows_under_way_wait_for_the_blocks_behind)
{
	struct wal_block block = story(3);

	cr_assert(replay_block(&replay, &block) == 0);
	cr_assert(twins[0]->phase.in_flight == 2);
	cr_assert(shard_account(twins[0], books_account(books, 0, 1))->held == 60);
	cr_assert(shard_account(twins[1], books_account(books, 1, 1))->incoming == 30);
}
