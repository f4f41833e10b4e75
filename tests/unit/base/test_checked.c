/* SPDX-License-Identifier: Apache-2.0 */
#include "base/checked.h"

#include <criterion/criterion.h>

/* What a refused operation must leave alone. */
#define UNTOUCHED 0x5aa5

Test(checked, add_u64)
{
	static const struct {
		uint64_t a, b;
		bool fits;
		uint64_t sum;
	} rows[] = {
	    {0, 0, true, 0},
	    {UINT64_MAX, 0, true, UINT64_MAX},
	    {UINT64_MAX - 1, 1, true, UINT64_MAX},
	    {UINT64_MAX, 1, false, 0},
	    {1, UINT64_MAX, false, 0},
	    {UINT64_MAX, UINT64_MAX, false, 0},
	    {UINT64_C(1) << 63, UINT64_C(1) << 63, false, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t sum = UNTOUCHED;
		bool fits = checked_add_u64(rows[i].a, rows[i].b, &sum);
		cr_expect_eq(fits, rows[i].fits, "row %zu", i);
		cr_expect_eq(sum, fits ? rows[i].sum : UNTOUCHED, "row %zu", i);
	}
}

Test(checked, credit)
{
	static const struct {
		int64_t balance;
		uint64_t amount;
		bool fits;
		int64_t sum;
	} rows[] = {
	    {0, 0, true, 0},
	    {-5, 7, true, 2},
	    {0, INT64_MAX, true, INT64_MAX},
	    {1, INT64_MAX, false, 0},
	    {INT64_MAX, 1, false, 0},
	    /* an amount above INT64_MAX is no negative number */
	    {-1, UINT64_C(1) << 63, true, INT64_MAX},
	    {0, UINT64_C(1) << 63, false, 0},
	    {INT64_MIN, UINT64_MAX, true, INT64_MAX},
	    {INT64_MIN + 1, UINT64_MAX, false, 0},
	    {INT64_MIN, 0, true, INT64_MIN},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t sum = UNTOUCHED;
		bool fits = checked_credit(rows[i].balance, rows[i].amount, &sum);
		cr_expect_eq(fits, rows[i].fits, "row %zu", i);
		cr_expect_eq(sum, fits ? rows[i].sum : UNTOUCHED, "row %zu", i);
	}
}

Test(checked, debit)
{
	static const struct {
		int64_t balance;
		uint64_t amount;
		bool fits;
		int64_t difference;
	} rows[] = {
	    {0, 0, true, 0},
	    {5, 7, true, -2},
	    {0, UINT64_C(1) << 63, true, INT64_MIN},
	    {-1, UINT64_C(1) << 63, false, 0},
	    {INT64_MIN, 1, false, 0},
	    {INT64_MIN, 0, true, INT64_MIN},
	    {INT64_MAX, UINT64_MAX, true, INT64_MIN},
	    {INT64_MAX - 1, UINT64_MAX, false, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t difference = UNTOUCHED;
		bool fits = checked_debit(rows[i].balance, rows[i].amount, &difference);
		cr_expect_eq(fits, rows[i].fits, "row %zu", i);
		cr_expect_eq(difference, fits ? rows[i].difference : UNTOUCHED, "row %zu", i);
	}
}
