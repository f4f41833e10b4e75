/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/wall_clock.h"

void wall_clock_init(struct wall_clock *clock, uint64_t step_max_ms, uint64_t realtime_ms,
		     uint64_t monotonic_ms)
{
	*clock = (struct wall_clock){
	    .own_ms = realtime_ms,
	    .monotonic_ms = monotonic_ms,
	    .step_max_ms =
		step_max_ms > WALL_CLOCK_STEP_MIN_MS ? step_max_ms : WALL_CLOCK_STEP_MIN_MS,
	};
}

uint64_t wall_clock_ms(struct wall_clock *clock, uint64_t realtime_ms, uint64_t monotonic_ms)
{
	clock->own_ms += monotonic_ms - clock->monotonic_ms;
	clock->monotonic_ms = monotonic_ms;
	if (realtime_ms > clock->own_ms + clock->step_max_ms)
		return clock->own_ms;
	/* A clock set far back is remembered as what it was: to set it right is no step ahead. */
	if (realtime_ms + WALL_CLOCK_STEP_MIN_MS > clock->own_ms)
		clock->own_ms = realtime_ms;
	return realtime_ms;
}
