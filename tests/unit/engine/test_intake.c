/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "engine/intake.h"

#define START_MS UINT64_C(1700000000000)

/* Takes one id a try, `tries` a millisecond, for `for_ms`; returns how many were taken. */
static uint64_t press(struct intake *intake, uint64_t *taken, uint64_t from_ms, uint64_t for_ms,
		      uint32_t tries)
{
	uint64_t before = *taken;

	for (uint64_t ms = from_ms; ms < from_ms + for_ms; ms++) {
		for (uint32_t i = 0; i < tries; i++)
			*taken += intake_is_open(intake, *taken, ms) ? 1 : 0;
	}
	return *taken - before;
}

Test(intake, under_pressure_the_rate_is_taken_and_one_burst)
{
	static const uint64_t rates[] = {1, 7, 999, 1000, 100000};

	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct intake intake;
		uint64_t taken = 55;
		intake_init(&intake, rates[i], 250, taken, START_MS);
		uint64_t burst = rates[i] / 4 > 0 ? rates[i] / 4 : 1;
		uint64_t got = press(&intake, &taken, START_MS, 10000, 200);
		cr_assert(got + 1 >= rates[i] * 10 + burst - rates[i] / 1000 &&
			      got <= rates[i] * 10 + burst + 1,
			  "rate %lu: %lu", (unsigned long)rates[i], (unsigned long)got);
	}
}

Test(intake, a_pause_saves_one_burst_and_no_more)
{
	struct intake intake;
	uint64_t taken = 0;

	intake_init(&intake, 1000, 500, taken, START_MS);
	press(&intake, &taken, START_MS, 2000, 10);
	cr_assert_eq(press(&intake, &taken, START_MS + 2000 + 3600000, 1, 10000), 500);
}

/* A whole datagram is taken on the last credit; it is paid for before the next. */
Test(intake, a_debt_is_paid_with_time)
{
	struct intake intake;

	intake_init(&intake, 1000, 10, 0, START_MS);
	cr_assert(intake_is_open(&intake, 9, START_MS));
	cr_assert_not(intake_is_open(&intake, 9 + 140, START_MS));
	cr_assert_not(intake_is_open(&intake, 149, START_MS + 139));
	cr_assert(intake_is_open(&intake, 149, START_MS + 140));
}

/* However far the clock goes ahead, and at the largest rate. */
Test(intake, a_clock_set_ahead_gives_one_burst)
{
	struct intake intake;
	uint64_t taken = 0;

	intake_init(&intake, UINT64_C(1) << 30, 1, 0, START_MS);
	cr_assert(intake_is_open(&intake, taken, UINT64_MAX));
	taken = (UINT64_C(1) << 30) / 1000 + 1;
	cr_assert_not(intake_is_open(&intake, taken, UINT64_MAX));
}
