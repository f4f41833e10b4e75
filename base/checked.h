/* SPDX-License-Identifier: Apache-2.0
 *
 * Checked arithmetic on money. Amounts are u64 minor units, balances are i64 minor units.
 * Each function returns true and stores the result, or returns false and stores nothing, when the
 * exact result does not fit its type. Any thread; pure.
 */
#ifndef GIRO_BASE_CHECKED_H
#define GIRO_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool checked_add_u64(uint64_t a, uint64_t b, uint64_t *sum)
{
	uint64_t exact;
	if (__builtin_add_overflow(a, b, &exact))
		return false;
	*sum = exact;
	return true;
}

/* balance + amount */
static inline bool checked_credit(int64_t balance, uint64_t amount, int64_t *sum)
{
	int64_t exact;
	if (__builtin_add_overflow(balance, amount, &exact))
		return false;
	*sum = exact;
	return true;
}

/* balance - amount */
static inline bool checked_debit(int64_t balance, uint64_t amount, int64_t *difference)
{
	int64_t exact;
	if (__builtin_sub_overflow(balance, amount, &exact))
		return false;
	*difference = exact;
	return true;
}

#endif
