/* SPDX-License-Identifier: Apache-2.0 */
#include "shard/account.h"

#include "base/check.h"

#define LINES_MIN 16

static uint64_t line_count(uint64_t count_max)
{
	return count_max > LINES_MIN / 2 ? count_max * 2 : LINES_MIN;
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
	    .line_count = line_count(count_max),
	    .count_max = count_max,
	};
}

struct account *account_add(struct account_table *table, struct id128 id, uint64_t hash,
			    uint32_t ledger, int64_t floor)
{
	uint64_t home = account_line(table, hash);
	uint64_t at = home;
	uint32_t near = 1;

	if (table->count == table->count_max)
		return NULL;
	while (!id_is_zero(table->lines[at].id)) {
		CHECK(!id_equal(table->lines[at].id, id));
		at = account_line_behind(table, at, 1);
		near <<= 1;
	}
	table->count++;
	table->lines[home].near[account_tag(hash)] |= (uint16_t)(near & ~1u);
	table->lines[at] = (struct account){.id = id, .ledger = ledger, .floor = floor};
	return &table->lines[at];
}

struct account *account_find(const struct account_table *table, struct id128 id, uint64_t hash)
{
	/* Ends: half of the lines are free. */
	for (uint64_t at = account_line(table, hash); !id_is_zero(table->lines[at].id);
	     at = account_line_behind(table, at, 1)) {
		if (id_equal(table->lines[at].id, id))
			return &table->lines[at];
	}
	return NULL;
}
