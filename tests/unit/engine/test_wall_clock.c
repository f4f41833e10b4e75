/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "engine/wall_clock.h"

#define REAL  UINT64_C(1700000000000)
#define HOUR  UINT64_C(3600000)
#define AHEAD UINT64_C(10000)

static struct wall_clock wall;
static uint64_t monotonic;
static int64_t shift; /* of the wall clock */

static void begin(uint64_t step_max_ms)
{
	monotonic = 5000;
	shift = 0;
	wall_clock_init(&wall, step_max_ms, REAL + monotonic, monotonic);
}

/* How far the epochs' time is from a clock that nobody sets, `ms` later. */
static int64_t off(uint64_t ms)
{
	monotonic += ms;
	uint64_t now = wall_clock_ms(&wall, REAL + monotonic + (uint64_t)shift, monotonic);
	return (int64_t)(now - REAL - monotonic);
}

Test(wall_clock, small_steps_are_followed_both_ways)
{
	begin(AHEAD);
	cr_assert_eq(off(1), 0);
	shift = (int64_t)AHEAD;
	cr_assert_eq(off(0), AHEAD);
	shift = 0;
	cr_assert_eq(off(5), 0);
	shift = -1;
	cr_assert_eq(off(5), -1);
}

Test(wall_clock, a_far_step_ahead_is_not_followed_however_long_it_lasts)
{
	begin(AHEAD);
	shift = (int64_t)AHEAD + 1;
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(off(100), 0);
	shift = (int64_t)HOUR;
	cr_assert_eq(off(7), 0);
	shift = 20;
	cr_assert_eq(off(7), 20, "believed again once it is near");
}

Test(wall_clock, set_back_and_set_right_is_no_step_ahead)
{
	begin(AHEAD);
	shift = -(int64_t)HOUR;
	for (int i = 0; i < 100; i++)
		cr_assert_eq(off(100), -(int64_t)HOUR);
	shift = 0;
	cr_assert_eq(off(5), 0);
}

/* A clock that is corrected by and by, as chrony does it, is followed however far it goes. */
Test(wall_clock, a_slow_clock_drags_time_along)
{
	begin(0);
	for (int i = 1; i <= 100000; i++) {
		shift = -i;
		cr_assert_eq(off(1000), -i);
	}
	for (int i = 1; i <= 100; i++) {
		shift += WALL_CLOCK_STEP_MIN_MS;
		cr_assert_eq(off(5), shift);
	}
}
