/* SPDX-License-Identifier: Apache-2.0 */
#include "shard/account.h"

#include "base/check.h"

/* Exact sums and differences of money; 128 bits hold them all. */
__extension__ typedef __int128 exact;

static uint64_t line_count(uint64_t count_max)
{
	uint64_t lines = 16;

	while (lines / 2 < count_max)
		lines *= 2;
	return lines;
}

size_t account_table_bytes(uint64_t count_max)
{
	return line_count(count_max) * sizeof(struct account);
}

void account_table_init(struct account_table *table, void *lines, uint64_t count_max)
{
	CHECK(((uintptr_t)lines & (CACHE_LINE - 1)) == 0);
	*table = (struct account_table){
	    .lines = lines,
	    .mask = line_count(count_max) - 1,
	    .count_max = count_max,
	};
}

struct account *account_add(struct account_table *table, struct id128 id, uint64_t hash,
			    uint32_t ledger, int64_t floor)
{
	uint64_t at = account_line(table, hash);

	if (table->count == table->count_max)
		return NULL;
	while (!id_is_zero(table->lines[at].id)) {
		CHECK(!id_equal(table->lines[at].id, id));
		at = (at + 1) & table->mask;
	}
	table->count++;
	table->lines[at] = (struct account){.id = id, .ledger = ledger, .floor = floor};
	return &table->lines[at];
}

enum status account_check_debit(const struct account *account, uint32_t ledger, uint64_t amount)
{
	if (account == NULL)
		return STATUS_DEBIT_NOT_FOUND;
	if (account->ledger != ledger)
		return STATUS_DEBIT_LEDGER_MISMATCH;
	if (account->flags & ACCOUNT_CLOSED)
		return STATUS_DEBIT_CLOSED;
	if (account->flags & ACCOUNT_FROZEN)
		return STATUS_DEBIT_FROZEN;
	if ((exact)account->balance - account->held - amount < account->floor)
		return STATUS_INSUFFICIENT_FUNDS;
	return STATUS_OK;
}

enum status account_check_credit(const struct account *account, uint32_t ledger, uint64_t amount)
{
	if (account == NULL)
		return STATUS_CREDIT_NOT_FOUND;
	if (account->ledger != ledger)
		return STATUS_CREDIT_LEDGER_MISMATCH;
	if (account->flags & ACCOUNT_CLOSED)
		return STATUS_CREDIT_CLOSED;
	if (account->flags & ACCOUNT_FROZEN)
		return STATUS_CREDIT_FROZEN;
	if ((exact)account->balance + account->incoming + amount > INT64_MAX)
		return STATUS_CREDIT_OVERFLOW;
	return STATUS_OK;
}
