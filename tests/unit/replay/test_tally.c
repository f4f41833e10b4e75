/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "replay/tally.h"
#include "tests/unit/replay/books.h"

/* No shard lets an account fall below its floor: one is made to. */
Test(tally, an_account_below_its_floor_is_told_once_it_is_touched)
{
	struct books *books = books_new(1);
	static struct tally tally;
	const struct wal_block_header block = {.seq = 5, .epoch = 6};
	struct record_head head = {.kind = RECORD_TRANSFER};

	books_fill(books);
	struct id128 debit = books_account(books, 0, 1);
	struct id128 credit = books_account(books, 0, 2);
	struct account *account = account_find(&books->shard[0]->accounts, debit, id_hash(debit));
	const struct shard_input input = {
	    .kind = SHARD_INPUT_TRANSFER,
	    .hash = id_hash(debit),
	    .credit_hash = id_hash(credit),
	    .transfer = {.debit = debit, .credit = credit, .amount = 1, .ledger = 1},
	};
	tally_init(&tally);
	const struct replay_observer *observer = &tally.observer;
	observer->before(&tally, &block, books->shard[0], &input, &head, 1);
	account->held = 1000; /* all of it */
	observer->after(&tally, &block, books->shard[0], &input, &head, 1);
	cr_assert_not(tally.below_floor);

	observer->before(&tally, &block, books->shard[0], &input, &head, 1);
	account->balance -= 1;
	observer->after(&tally, &block, books->shard[0], &input, &head, 1);
	cr_assert(tally.below_floor && tally.fault.seq == 5 && tally.fault.epoch == 6);
	cr_assert_str_eq(tally.fault.found, "balance 999, held 1000");
	tally_close_block(&tally, 5);
	cr_assert(tally.closed.count == 1 && tally.closed.rows[0].change == -1);
	tally_free(&tally);
	books_free(books);
}
