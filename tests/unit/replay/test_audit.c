/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "replay/audit.h"
#include "tests/unit/replay/books.h"

static struct books *books;
static struct audit audit;

static void start(void)
{
	books = books_new(2);
	books_fill(books);
}

static void stop(void)
{
	audit_free(&audit);
	books_free(books);
}

TestSuite(audit, .init = start, .fini = stop);

static bool is_sound(void)
{
	audit_free(&audit);
	cr_assert(audit_shards(&audit, books->shard, books->limits.shards) == 0);
	return audit.sound;
}

static struct account *account(uint32_t shard, uint32_t number)
{
	struct id128 id = books_account(books, shard, number);

	return account_find(&books->shard[shard]->accounts, id, id_hash(id));
}

Test(audit, empty_node_is_sound)
{
	struct books *empty = books_new(3);
	struct audit none;

	cr_assert(audit_shards(&none, empty->shard, 3) == 0);
	cr_assert(none.sound && none.accounts == 0 && none.ledger_count == 0);
	audit_free(&none);
	books_free(empty);
}

Test(audit, money_at_rest)
{
	cr_assert(is_sound());
	cr_assert(audit.accounts == 6 && audit.ledger_count == 1 && audit.rows_pending == 0);
	cr_assert(audit.ledgers[0].ledger == 1 && audit.ledgers[0].accounts == 6);
	cr_assert(audit.ledgers[0].positive == 4000 && audit.ledgers[0].balances == 0);
	cr_assert(audit.ledgers[0].in_flight == 0 && audit.ledgers[0].below_floor == 0);
	cr_assert(audit.held == 0 && audit.incoming == 0);
}

struct stage {
	const char *name;
	int balances;
	int in_flight;
	int held;
	int incoming;
	uint64_t rows;
};

/* After so many messages of TRY, VOTE, CONFIRM, ACK. */
static const struct stage stages[] = {
    {"held, asked", 0, 0, 30, 0, 1}, {"promised", 0, 0, 30, 30, 1},
    {"taken", -30, 30, 0, 30, 1},    {"given, not acknowledged", 0, 0, 0, 0, 1},
    {"finished", 0, 0, 0, 0, 0},
};

Test(audit, money_under_way_is_counted_at_every_stage)
{
	books_pay(books, books_account(books, 0, 1), books_account(books, 1, 1), 30, 1);
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
		const struct stage *row = &stages[i];
		if (i > 0)
			books_deliver(books);
		cr_assert(is_sound(), "%s", row->name);
		cr_assert(audit.ledgers[0].balances == row->balances, "%s", row->name);
		cr_assert(audit.ledgers[0].in_flight == row->in_flight, "%s", row->name);
		cr_assert(audit.held == row->held && audit.held_rows == row->held, "%s", row->name);
		cr_assert(audit.incoming == row->incoming, "%s", row->name);
		cr_assert(audit.incoming_rows == row->incoming, "%s", row->name);
		cr_assert(audit.rows_pending == row->rows, "%s", row->name);
	}
	cr_assert(books->wire_count == 0);
}

Test(audit, refused_try_is_sound_at_every_stage)
{
	books_pay(books, books_account(books, 0, 1), books_account(books, 1, 9), 30, 1);
	for (int i = 0; i < 4; i++) {
		cr_assert(is_sound(), "stage %d", i);
		cr_assert(audit.ledgers[0].in_flight == 0 && audit.rows_pending == 1);
		books_deliver(books);
	}
	cr_assert(is_sound() && audit.rows_pending == 0 && books->wire_count == 0);
}

Test(audit, lost_and_found_money_is_seen)
{
	account(0, 1)->balance++;
	cr_assert_not(is_sound());
	cr_assert(audit.ledgers[0].balances == 1);
	account(1, 1)->balance--;
	cr_assert(is_sound());
}

Test(audit, money_lost_under_way_is_seen)
{
	books_pay(books, books_account(books, 0, 1), books_account(books, 1, 1), 30, 1);
	books_deliver(books);
	books_deliver(books);
	cr_assert(is_sound());
	/* the row of money that was taken disappears */
	struct coordinator_row *row = phase_row(&books->shard[0]->phase, 1, 0);
	row->state = COORDINATOR_FREE;
	cr_assert_not(is_sound());
}

Test(audit, account_below_its_floor_is_seen)
{
	struct account *wallet = account(0, 1);

	wallet->floor = 1000;
	cr_assert(is_sound(), "on its floor");
	wallet->floor = 1001;
	cr_assert_not(is_sound());
	cr_assert(audit.ledgers[0].below_floor == 1 && audit.ledgers[0].balances == 0);
	wallet->floor = 0;
	cr_assert(is_sound());
	/* what is held counts */
	books_pay(books, books_account(books, 0, 1), books_account(books, 1, 1), 30, 1);
	wallet->floor = 970;
	cr_assert(is_sound());
	wallet->floor = 971;
	cr_assert_not(is_sound());
	cr_assert(audit.ledgers[0].below_floor == 1);
}

Test(audit, floor_arithmetic_is_exact)
{
	struct account *wallet = account(0, 1);
	struct account *issuer = account(0, 0);

	/* no balance is below INT64_MIN, whatever is held */
	issuer->balance = INT64_MIN;
	wallet->balance = INT64_MAX;
	account(0, 2)->balance = 0;
	account(1, 0)->balance = 1;
	account(1, 1)->balance = account(1, 2)->balance = 0;
	cr_assert(is_sound());
	issuer->held = UINT64_MAX;
	cr_assert_not(is_sound());
	cr_assert(audit.ledgers[0].below_floor == 1);
}

Test(audit, hold_without_a_row_is_seen)
{
	account(0, 1)->held = 1;
	cr_assert_not(is_sound());
	cr_assert(audit.held == 1 && audit.held_rows == 0);
	account(0, 1)->held = 0;
	account(1, 1)->incoming = 2;
	cr_assert_not(is_sound());
	cr_assert(audit.incoming == 2 && audit.incoming_rows == 0);
	account(1, 1)->incoming = 0;
	cr_assert(is_sound());
}

Test(audit, ledgers_are_apart_and_in_order)
{
	static const uint32_t ledgers[] = {9, 3, UINT32_MAX, 5};

	for (uint32_t i = 0; i < 4; i++) {
		for (uint32_t shard = 0; shard < 2; shard++) {
			struct id128 from = books_account(books, shard, 10 + 2 * i);
			struct id128 to = books_account(books, shard, 11 + 2 * i);
			books_open(books, from, ledgers[i], FLOOR_ISSUER);
			books_open(books, to, ledgers[i], 0);
			cr_assert(books_pay(books, from, to, 100 + i, ledgers[i]) == STATUS_OK);
		}
	}
	cr_assert(is_sound());
	static const uint32_t order[] = {1, 3, 5, 9, UINT32_MAX};
	static const int positive[] = {4000, 202, 206, 200, 204};
	cr_assert(audit.ledger_count == 5);
	for (uint32_t i = 0; i < 5; i++) {
		cr_assert(audit.ledgers[i].ledger == order[i]);
		cr_assert(audit.ledgers[i].positive == positive[i]);
		cr_assert(audit.ledgers[i].accounts == (i == 0 ? 6 : 4));
	}
	/* one ledger's surplus does not make up for another's loss */
	account(0, 1)->balance++;
	account(0, 10)->balance--;
	cr_assert_not(is_sound());
}

Test(audit, sums_in_decimal)
{
	const audit_sum half = (audit_sum)1 << 126;
	const audit_sum most = half - 1 + half;
	const struct {
		audit_sum sum;
		const char *text;
	} rows[] = {
	    {0, "0"},
	    {7, "7"},
	    {-7, "-7"},
	    {10, "10"},
	    {(audit_sum)INT64_MIN * 2, "-18446744073709551616"},
	    {most, "170141183460469231731687303715884105727"},
	    {-most - 1, "-170141183460469231731687303715884105728"},
	};
	char text[48];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert_str_eq(audit_sum_text(rows[i].sum, text), rows[i].text);
}
