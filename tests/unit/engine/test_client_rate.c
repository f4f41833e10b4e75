/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "engine/client_rate.h"

#define SECOND UINT64_C(1000000000)
#define MS     UINT64_C(1000000)
#define START  (1000 * SECOND)

static struct client_table table;
static uint16_t wait_ms;

static bool admit(const struct client_limits *limits, uint32_t address, uint32_t records,
		  uint64_t now_ns)
{
	wait_ms = 0;
	return client_table_admit(&table, limits, address, records, now_ns, &wait_ms);
}

Test(client_rate, without_a_limit_all_is_taken_and_nothing_is_kept)
{
	const struct client_limits none = {.records_per_second = 0, .burst_ms = 1};

	for (int i = 0; i < 100000; i++)
		cr_assert(admit(&none, 7, 22, START));
	for (unsigned set = 0; set < CLIENT_TABLE_SETS; set++)
		cr_assert_eq(table.sets[set].address[0], 0);
}

/* A client that always repeats at once gets its rate, and not one burst more. */
Test(client_rate, a_greedy_client_gets_its_rate)
{
	const struct client_limits limits = {.records_per_second = 1000, .burst_ms = 100};
	uint64_t taken = 0;

	for (uint64_t now = START; now < START + 10 * SECOND; now += 100 * 1000)
		taken += admit(&limits, 7, 1, now) ? 1 : 0;
	cr_assert(taken >= 10000 && taken <= 10000 + 100 + 1, "%lu", (unsigned long)taken);
	cr_assert(table.refused > 80000);
}

Test(client_rate, records_count_not_datagrams)
{
	const struct client_limits limits = {.records_per_second = 1000, .burst_ms = 100};
	uint64_t taken = 0;

	for (uint64_t now = START; now < START + 10 * SECOND; now += MS)
		taken += admit(&limits, 7, 22, now) ? 22 : 0;
	cr_assert(taken >= 10000 - 22 && taken <= 10000 + 100 + 22, "%lu", (unsigned long)taken);
}

/* Even a datagram of more records than a burst has: it is taken, and paid for afterwards. */
Test(client_rate, the_first_datagram_is_always_taken)
{
	const struct client_limits limits = {.records_per_second = 1, .burst_ms = 1};

	cr_assert(admit(&limits, 7, 22, START));
	cr_assert(!admit(&limits, 7, 1, START + SECOND));
	cr_assert(admit(&limits, 7, 1, START + 22 * SECOND));
}

/* The time to wait is exact: one millisecond less is too early, and then it is taken. */
Test(client_rate, whoever_waits_as_told_is_taken)
{
	const struct client_limits limits = {.records_per_second = 100, .burst_ms = 50};
	uint64_t now = START;

	while (admit(&limits, 7, 3, now))
		now += MS;
	uint16_t told = wait_ms;
	cr_assert(told > 1, "%u", told);
	cr_assert(!admit(&limits, 7, 3, now + (told - 1u) * MS - 1));
	cr_assert_eq(wait_ms, 2);
	cr_assert(admit(&limits, 7, 3, now + told * MS));
}

Test(client_rate, the_wait_fits_its_field)
{
	const struct client_limits limits = {.records_per_second = 1, .burst_ms = 1};

	cr_assert(admit(&limits, 7, 200000, START));
	cr_assert(!admit(&limits, 7, 1, START));
	cr_assert_eq(wait_ms, 60000);
}

Test(client_rate, one_client_does_not_pay_for_another)
{
	const struct client_limits limits = {.records_per_second = 10, .burst_ms = 1};

	for (uint32_t client = 1; client <= 1000; client++)
		cr_assert(admit(&limits, client, 10, START), "client %u", client);
	cr_assert_eq(table.forgotten, 0);
	for (uint32_t client = 1; client <= 1000; client++)
		cr_assert(!admit(&limits, client, 10, START), "client %u", client);
}

/* More clients than places: nobody is refused for it; only debts are forgotten, and counted. */
Test(client_rate, a_full_table_forgets_the_smallest_debt)
{
	const struct client_limits limits = {.records_per_second = 10, .burst_ms = 1};
	uint32_t clients = 16 * CLIENT_TABLE_SETS * CLIENT_TABLE_WAYS;

	cr_assert(admit(&limits, 1, 100000, START));
	for (uint32_t client = 2; client <= clients; client++)
		cr_assert(admit(&limits, client, 1, START), "client %u", client);
	cr_assert(table.forgotten > 0);
	cr_assert(!admit(&limits, 1, 1, START + SECOND), "the largest debt was forgotten");
	/* Debts paid off are no loss. */
	uint64_t forgotten = table.forgotten;
	for (uint32_t client = clients + 1; client <= clients + CLIENT_TABLE_SETS; client++)
		cr_assert(admit(&limits, client, 1, START + 3600 * SECOND));
	cr_assert_eq(table.forgotten, forgotten);
}

/* New limits while clients are in debt: the new rate holds at once, for everyone. */
Test(client_rate, limits_change_under_way)
{
	const struct client_limits tight = {1, 100, 1};
	const struct client_limits wide = {1000000, 1, 2};
	const struct client_limits none = {0, 1, 3};
	const struct client_limits again = {1, 100, 4};

	cr_assert(admit(&tight, 7, 1000, START));
	cr_assert(!admit(&tight, 7, 1, START));
	cr_assert(admit(&wide, 7, 1000, START));
	cr_assert(!admit(&wide, 7, 1000, START - MS));
	cr_assert(admit(&none, 7, 1, START));
	cr_assert(admit(&again, 7, 1, START));
	cr_assert(!admit(&again, 7, 1, START));
}
