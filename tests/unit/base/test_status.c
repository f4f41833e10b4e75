/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include <stdint.h>
#include <string.h>

#include <criterion/criterion.h>

/* Version 1 of the protocol, written out once more: a number that moves breaks every client and
 * every log, and the order is the precedence. */
static const struct {
	unsigned number;
	const char *name;
	bool transient;
} statuses[] = {
    {0, "OK", false},
    {1, "BAD_VERSION", false},
    {2, "BAD_KIND", false},
    {3, "BAD_COUNT", false},
    {10, "RESERVED_NOT_ZERO", false},
    {11, "BAD_ACTION", false},
    {12, "ACCOUNT_ZERO", false},
    {13, "SAME_ACCOUNT", false},
    {14, "AMOUNT_ZERO", false},
    {15, "LEDGER_ZERO", false},
    {16, "FLOOR_POSITIVE", false},
    {20, "WRONG_SHARD", true},
    {21, "PENDING", true},
    {22, "ID_EXPIRED", false},
    {23, "ID_AHEAD", true},
    {24, "ID_REUSED", false},
    {25, "TRANSFER_NOT_FOUND", false},
    {26, "BUSY", true},
    {30, "DEBIT_NOT_FOUND", false},
    {31, "DEBIT_LEDGER_MISMATCH", false},
    {32, "DEBIT_CLOSED", false},
    {33, "DEBIT_FROZEN", false},
    {34, "INSUFFICIENT_FUNDS", false},
    {40, "CREDIT_NOT_FOUND", false},
    {41, "CREDIT_LEDGER_MISMATCH", false},
    {42, "CREDIT_CLOSED", false},
    {43, "CREDIT_FROZEN", false},
    {44, "CREDIT_OVERFLOW", false},
    {45, "TRY_TIMEOUT", false},
    {50, "ACCOUNT_EXISTS", false},
    {51, "ACCOUNT_DIFFERS", false},
    {52, "ACCOUNT_NOT_FOUND", false},
    {53, "ACCOUNT_ALREADY_CLOSED", false},
    {54, "ACCOUNT_NOT_EMPTY", false},
};
#define STATUSES (sizeof(statuses) / sizeof(statuses[0]))

Test(status, numbers_names_and_transience_are_version_1)
{
	for (size_t i = 0; i < STATUSES; i++) {
		cr_expect_str_eq(status_name(statuses[i].number), statuses[i].name);
		cr_expect_eq(status_is_transient(statuses[i].number), statuses[i].transient, "%s",
			     statuses[i].name);
	}
}

Test(status, none_beyond_the_table)
{
	size_t known = 0;
	for (unsigned number = 0; number < 1024; number++)
		known += strcmp(status_name(number), "UNKNOWN_STATUS") != 0;
	cr_expect_eq(known, STATUSES);
	cr_expect_str_eq(status_name(UINT32_MAX), "UNKNOWN_STATUS");
	cr_expect_str_eq(status_text(UINT32_MAX), "unknown status");
	cr_expect_not(status_is_transient(UINT32_MAX));
}

Test(status, the_list_is_in_order_of_precedence)
{
#define NUMBER(name, number, text) number,
	static const unsigned order[] = {STATUS_LIST(NUMBER)};
#undef NUMBER
	cr_assert_eq(sizeof(order) / sizeof(order[0]), STATUSES);
	for (size_t i = 1; i < STATUSES; i++)
		cr_expect_lt(order[i - 1], order[i]);
}

Test(status, texts_differ_and_are_one_line)
{
	for (size_t i = 0; i < STATUSES; i++) {
		const char *text = status_text(statuses[i].number);
		cr_expect_gt(strlen(text), 0);
		cr_expect_null(strchr(text, '\n'));
		cr_expect_neq(text[strlen(text) - 1], '.');
		for (size_t j = 0; j < i; j++)
			cr_expect_str_neq(text, status_text(statuses[j].number));
	}
}
