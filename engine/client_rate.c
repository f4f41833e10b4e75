/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/client_rate.h"

#include <string.h>

#define NS_A_SECOND	   UINT64_C(1000000000)
#define NS_A_MS		   UINT64_C(1000000)
#define RETRY_AFTER_MS_MAX 60000u

static struct client_set *set_of(struct client_table *table, uint32_t address)
{
	_Static_assert(CLIENT_TABLE_SETS == 1u << 10, "ten bits of the hash");
	return &table->sets[(address * 0x9e3779b1u) >> 22];
}

/* The client's place; or that of the one which loses least, now the client's. */
static uint64_t *due_of(struct client_table *table, uint32_t address, uint64_t now_ns)
{
	struct client_set *set = set_of(table, address);
	uint32_t earliest = 0;

	for (uint32_t way = 0; way < CLIENT_TABLE_WAYS; way++) {
		if (set->address[way] == address)
			return &set->due_ns[way];
		if (set->due_ns[way] < set->due_ns[earliest])
			earliest = way;
	}
	table->forgotten += set->due_ns[earliest] > now_ns;
	set->address[earliest] = address;
	set->due_ns[earliest] = now_ns;
	return &set->due_ns[earliest];
}

bool client_table_admit(struct client_table *table, const struct client_limits *limits,
			uint32_t address, uint32_t records, uint64_t now_ns,
			uint16_t *retry_after_ms)
{
	if (limits->records_per_second == 0)
		return true;
	if (table->version != limits->version) {
		memset(table->sets, 0, sizeof(table->sets));
		table->version = limits->version;
	}

	uint64_t *due_ns = due_of(table, address, now_ns);
	uint64_t until_ns = now_ns + limits->burst_ms * NS_A_MS;
	if (*due_ns > until_ns) {
		uint64_t wait_ms = (*due_ns - until_ns + NS_A_MS - 1) / NS_A_MS;
		*retry_after_ms =
		    (uint16_t)(wait_ms < RETRY_AFTER_MS_MAX ? wait_ms : RETRY_AFTER_MS_MAX);
		table->refused++;
		return false;
	}
	if (*due_ns < now_ns)
		*due_ns = now_ns;
	*due_ns += records * NS_A_SECOND / limits->records_per_second;
	return true;
}
