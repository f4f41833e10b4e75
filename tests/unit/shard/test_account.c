/* SPDX-License-Identifier: Apache-2.0 */
#include "shard/account.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void *lines_alloc(uint64_t count_max)
{
	void *lines = aligned_alloc(CACHE_LINE, account_table_bytes(count_max));

	memset(lines, 0, account_table_bytes(count_max));
	return lines;
}

/* A hash whose first line in the table is `line`. */
static uint64_t hash_at(const struct account_table *table, uint64_t line)
{
	uint64_t hash = UINT64_MAX / table->line_count * line + line;

	cr_assert_eq(account_line(table, hash), line);
	return hash;
}

static struct id128 id_of(uint64_t number)
{
	return (struct id128){.lo = number};
}

Test(account, table_is_at_most_half_full)
{
	static const struct {
		uint64_t count_max;
		uint64_t lines;
	} rows[] = {
	    {1, 16}, {8, 16}, {9, 18}, {16, 32}, {17, 34}, {100, 200}, {1 << 20, 1 << 21},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(account_table_bytes(rows[i].count_max), rows[i].lines * CACHE_LINE,
			     "row %zu", i);
		cr_expect_leq(rows[i].count_max * 2, rows[i].lines, "row %zu", i);
	}
}

Test(account, added_accounts_are_found_and_others_are_not)
{
	struct account_table table;
	void *lines = lines_alloc(500);

	account_table_init(&table, lines, 500);
	for (uint64_t i = 1; i <= 500; i++) {
		struct account *account =
		    account_add(&table, id_of(i), id_hash(id_of(i)), (uint32_t)i, -(int64_t)i);
		cr_assert_not_null(account);
		account->balance = (int64_t)i * 3;
	}
	cr_assert_eq(table.count, 500);
	for (uint64_t i = 1; i <= 500; i++) {
		const struct account *account = account_find(&table, id_of(i), id_hash(id_of(i)));
		cr_assert_not_null(account);
		cr_assert_eq(account->id.lo, i);
		cr_assert_eq(account->ledger, i);
		cr_assert_eq(account->floor, -(int64_t)i);
		cr_assert_eq(account->balance, (int64_t)i * 3);
	}
	for (uint64_t i = 501; i <= 1000; i++)
		cr_assert_null(account_find(&table, id_of(i), id_hash(id_of(i))));
	cr_assert_null(account_find(&table, (struct id128){.lo = 7, .hi = 1}, id_hash(id_of(7))),
		       "both halves of the id count");
	cr_assert_null(account_find(&table, id_of(0), 0), "zero is no account");
	free(lines);
}

Test(account, new_account_is_empty)
{
	struct account_table table;
	void *lines = lines_alloc(1);

	account_table_init(&table, lines, 1);
	const struct account *account = account_add(&table, id_of(5), 5, 840, -20);
	const struct account expected = {.id = {.lo = 5}, .ledger = 840, .floor = -20};
	cr_assert_arr_eq(account, &expected, sizeof(expected));
	free(lines);
}

Test(account, table_at_its_limit_takes_no_more)
{
	struct account_table table;
	void *lines = lines_alloc(12);

	account_table_init(&table, lines, 12);
	for (uint64_t i = 1; i <= 12; i++)
		cr_assert_not_null(account_add(&table, id_of(i), hash_at(&table, 3), 1, 0));
	cr_assert_null(account_add(&table, id_of(13), hash_at(&table, 3), 1, 0));
	cr_assert_eq(table.count, 12);
	cr_assert_null(account_find(&table, id_of(13), hash_at(&table, 3)), "a full probe ends");
	free(lines);
}

Test(account, limit_is_the_number_given_not_the_lines)
{
	struct account_table table;
	void *lines = lines_alloc(2);

	account_table_init(&table, lines, 2);
	cr_assert_not_null(account_add(&table, id_of(1), hash_at(&table, 0), 1, 0));
	cr_assert_not_null(account_add(&table, id_of(2), hash_at(&table, 1), 1, 0));
	cr_assert_null(account_add(&table, id_of(3), hash_at(&table, 2), 1, 0));
	free(lines);
}

Test(account, probing_wraps_around_the_end)
{
	struct account_table table;
	void *lines = lines_alloc(8);

	account_table_init(&table, lines, 8);
	for (uint64_t i = 1; i <= 4; i++) {
		const struct account *account =
		    account_add(&table, id_of(i), hash_at(&table, 15), 1, 0);
		cr_assert_eq(account - table.lines, (ptrdiff_t)((14 + i) % 16));
	}
	for (uint64_t i = 1; i <= 4; i++) {
		const struct account *account = account_find(&table, id_of(i), hash_at(&table, 15));
		cr_assert_not_null(account);
		cr_assert_eq(account->id.lo, i);
	}
	/* One whose own line is taken by the run stands behind it. */
	const struct account *behind = account_add(&table, id_of(5), hash_at(&table, 1), 1, 0);
	cr_assert_eq(behind - table.lines, 3);
	cr_assert_eq(account_find(&table, id_of(5), hash_at(&table, 1)), behind);
	free(lines);
}

/* Hashes whose probe begins with the same line, with all tags in turn. */
static uint64_t hash_tagged(const struct account_table *table, uint64_t line, uint64_t tag)
{
	uint64_t hash = (hash_at(table, line) | 0x3fff) + 1 + (tag << 12);

	cr_assert_eq(account_line(table, hash), line);
	cr_assert_eq(account_tag(hash), tag);
	return hash;
}

/* More accounts than a line remembers begin with the last line: one look finds the first and the first
 * displaced one of each tag, and a probe the rest. */
Test(account, look_is_exact_or_probed_from)
{
	struct account_table table;
	const struct account *accounts[40];
	uint64_t hashes[40];

	account_table_init(&table, lines_alloc(64), 64);
	for (uint64_t i = 0; i < 40; i++) {
		hashes[i] = hash_tagged(&table, table.line_count - 1, i % ACCOUNT_TAGS);
		accounts[i] = account_add(&table, id_of(i + 1), hashes[i], 1, 0);
	}
	for (uint64_t i = 0; i < 40; i++) {
		struct account *looked = account_look(&table, id_of(i + 1), hashes[i]);
		if (i <= ACCOUNT_TAGS)
			cr_expect_eq(looked, accounts[i], "account %zu", (size_t)i);
		cr_expect_eq(account_found(&table, looked, id_of(i + 1), hashes[i]), accounts[i]);
	}
	struct account *looked = account_look(&table, id_of(99), hashes[0]);
	cr_expect_null(account_found(&table, looked, id_of(99), hashes[0]));
	free(table.lines);
}

/* A burst looks before any of it is applied: what is created meanwhile must still be found. */
Test(account, what_is_added_after_the_look_is_found)
{
	struct account_table table;

	account_table_init(&table, lines_alloc(8), 8);
	for (uint64_t i = 1; i <= 4; i++) {
		uint64_t hash = hash_at(&table, 3);
		struct account *looked = account_look(&table, id_of(i), hash);
		cr_assert_null(account_found(&table, looked, id_of(i), hash));
		const struct account *added = account_add(&table, id_of(i), hash, 1, 0);
		cr_assert_eq(account_found(&table, looked, id_of(i), hash), added);
	}
	free(table.lines);
}

Test(account, adding_the_same_account_twice_is_a_broken_invariant, .signal = SIGABRT)
{
	struct account_table table;

	account_table_init(&table, lines_alloc(12), 12);
	account_add(&table, id_of(1), hash_at(&table, 3), 1, 0);
	account_add(&table, id_of(1), hash_at(&table, 3), 1, 0);
}

/* Accounts of the check tables below: ledger 7 unless the row says otherwise. */
struct check_row {
	const char *name;
	int64_t balance;
	uint64_t held;
	uint64_t incoming;
	int64_t floor;
	uint32_t flags;
	uint32_t ledger;
	uint64_t amount;
	enum status status;
};

static struct account account_of(const struct check_row *row)
{
	return (struct account){
	    .id = {.lo = 1},
	    .balance = row->balance,
	    .held = row->held,
	    .incoming = row->incoming,
	    .floor = row->floor,
	    .ledger = row->ledger,
	    .flags = row->flags,
	};
}

Test(account, check_debit)
{
	static const struct check_row rows[] = {
	    {"to the floor", 100, 0, 0, 0, 0, 7, 100, STATUS_OK},
	    {"below the floor", 100, 0, 0, 0, 0, 7, 101, STATUS_INSUFFICIENT_FUNDS},
	    {"held counts", 100, 40, 0, 0, 0, 7, 60, STATUS_OK},
	    {"held counts, one more", 100, 40, 0, 0, 0, 7, 61, STATUS_INSUFFICIENT_FUNDS},
	    {"incoming does not", 100, 0, 50, 0, 0, 7, 101, STATUS_INSUFFICIENT_FUNDS},
	    {"overdraft", 0, 0, 0, -50, 0, 7, 50, STATUS_OK},
	    {"overdraft, one more", 0, 0, 0, -50, 0, 7, 51, STATUS_INSUFFICIENT_FUNDS},
	    {"issuer", 0, 0, 0, INT64_MIN, 0, 7, UINT64_C(1) << 63, STATUS_OK},
	    {"issuer, one more", 0, 0, 0, INT64_MIN, 0, 7, (UINT64_C(1) << 63) + 1,
	     STATUS_INSUFFICIENT_FUNDS},
	    {"issuer at the end", INT64_MIN, 0, 0, INT64_MIN, 0, 7, 1, STATUS_INSUFFICIENT_FUNDS},
	    {"issuer from the top", INT64_MAX, 0, 0, INT64_MIN, 0, 7, UINT64_MAX, STATUS_OK},
	    {"issuer all held", INT64_MAX, UINT64_MAX, 0, INT64_MIN, 0, 7, 1,
	     STATUS_INSUFFICIENT_FUNDS},
	    {"issuer, all but one held", INT64_MAX, UINT64_MAX - 1, 0, INT64_MIN, 0, 7, 1,
	     STATUS_OK},
	    {"sum of held and amount wraps", INT64_MAX, UINT64_MAX, 0, INT64_MIN, 0, 7, UINT64_MAX,
	     STATUS_INSUFFICIENT_FUNDS},
	    {"largest amount", INT64_MAX, 0, 0, 0, 0, 7, UINT64_MAX, STATUS_INSUFFICIENT_FUNDS},
	    {"largest balance", INT64_MAX, 0, 0, 0, 0, 7, INT64_MAX, STATUS_OK},
	    {"other ledger", 100, 0, 0, 0, 0, 8, 1, STATUS_DEBIT_LEDGER_MISMATCH},
	    {"frozen", 100, 0, 0, 0, ACCOUNT_FROZEN, 7, 1, STATUS_DEBIT_FROZEN},
	    {"closed", 0, 0, 0, 0, ACCOUNT_CLOSED, 7, 1, STATUS_DEBIT_CLOSED},
	    {"closed and frozen", 0, 0, 0, 0, ACCOUNT_CLOSED | ACCOUNT_FROZEN, 7, 1,
	     STATUS_DEBIT_CLOSED},
	    {"all at once", 0, 0, 0, 0, ACCOUNT_CLOSED | ACCOUNT_FROZEN, 8, 1,
	     STATUS_DEBIT_LEDGER_MISMATCH},
	    {"frozen and poor", 0, 0, 0, 0, ACCOUNT_FROZEN, 7, 1, STATUS_DEBIT_FROZEN},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct account account = account_of(&rows[i]);
		enum status status = account_check_debit(&account, 7, rows[i].amount);
		cr_expect_eq(status, rows[i].status, "%s: %s", rows[i].name, status_name(status));
	}
	cr_expect_eq(account_check_debit(NULL, 7, 1), STATUS_DEBIT_NOT_FOUND);
}

Test(account, check_credit)
{
	static const struct check_row rows[] = {
	    {"to the top", INT64_MAX - 5, 0, 0, 0, 0, 7, 5, STATUS_OK},
	    {"above the top", INT64_MAX - 5, 0, 0, 0, 0, 7, 6, STATUS_CREDIT_OVERFLOW},
	    {"incoming counts", INT64_MAX - 5, 0, 3, 0, 0, 7, 2, STATUS_OK},
	    {"incoming counts, one more", INT64_MAX - 5, 0, 3, 0, 0, 7, 3, STATUS_CREDIT_OVERFLOW},
	    {"held does not help", INT64_MAX, 100, 0, 0, 0, 7, 1, STATUS_CREDIT_OVERFLOW},
	    {"at the top", INT64_MAX, 0, 0, 0, 0, 7, 1, STATUS_CREDIT_OVERFLOW},
	    {"largest amount", 0, 0, 0, 0, 0, 7, UINT64_MAX, STATUS_CREDIT_OVERFLOW},
	    {"from the bottom to the top", INT64_MIN, 0, 0, INT64_MIN, 0, 7, UINT64_MAX, STATUS_OK},
	    {"all incoming already", INT64_MIN, 0, UINT64_MAX, INT64_MIN, 0, 7, 1,
	     STATUS_CREDIT_OVERFLOW},
	    {"all but one incoming", INT64_MIN, 0, UINT64_MAX - 1, INT64_MIN, 0, 7, 1, STATUS_OK},
	    {"sum of incoming and amount wraps", INT64_MIN, 0, UINT64_MAX, INT64_MIN, 0, 7,
	     UINT64_MAX, STATUS_CREDIT_OVERFLOW},
	    {"other ledger", 0, 0, 0, 0, 0, 8, 1, STATUS_CREDIT_LEDGER_MISMATCH},
	    {"frozen", 0, 0, 0, 0, ACCOUNT_FROZEN, 7, 1, STATUS_CREDIT_FROZEN},
	    {"closed", 0, 0, 0, 0, ACCOUNT_CLOSED, 7, 1, STATUS_CREDIT_CLOSED},
	    {"closed and frozen", 0, 0, 0, 0, ACCOUNT_CLOSED | ACCOUNT_FROZEN, 7, 1,
	     STATUS_CREDIT_CLOSED},
	    {"all at once", INT64_MAX, 0, 0, 0, ACCOUNT_CLOSED | ACCOUNT_FROZEN, 8, 1,
	     STATUS_CREDIT_LEDGER_MISMATCH},
	    {"frozen and full", INT64_MAX, 0, 0, 0, ACCOUNT_FROZEN, 7, 1, STATUS_CREDIT_FROZEN},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct account account = account_of(&rows[i]);
		enum status status = account_check_credit(&account, 7, rows[i].amount);
		cr_expect_eq(status, rows[i].status, "%s: %s", rows[i].name, status_name(status));
	}
	cr_expect_eq(account_check_credit(NULL, 7, 1), STATUS_CREDIT_NOT_FOUND);
}
