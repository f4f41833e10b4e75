/* SPDX-License-Identifier: Apache-2.0
 *
 * The time of epochs: the machine's wall clock, as long as that can be believed.
 *
 *   wall clock  ....          .....                 ....  far ahead: not followed
 *                   ....  ....     ....                 \
 *   epoch time  ........~~.............................. goes on at the pace of a clock nobody sets
 *
 * The log's time can never go back, since an id is forgotten for good once its window is over. A
 * clock set far ahead for a moment would push the log's time there, and every new id would be too old
 * until the real time had caught up. So a step ahead larger than ids may be is not followed: until
 * the engine is started again, or the clock is back, time goes on at its own pace. A clock set back
 * is believed: epochs stand still until it has caught up (epoch_open()).
 *
 * Pure: both clocks come with the call. One thread.
 */
#ifndef GIRO_ENGINE_WALL_CLOCK_H
#define GIRO_ENGINE_WALL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Steps ahead of up to so much are always followed. */
#define WALL_CLOCK_STEP_MIN_MS 1000u

struct wall_clock {
	uint64_t own_ms;       /* the latest time that was believed, and what has passed since */
	uint64_t monotonic_ms; /* when that was */
	uint64_t step_max_ms;  /* larger steps ahead are not followed */
};

/* `step_max_ms`: the shards' ahead_ms; below WALL_CLOCK_STEP_MIN_MS it is that. */
void wall_clock_init(struct wall_clock *clock, uint64_t step_max_ms, uint64_t realtime_ms,
		     uint64_t monotonic_ms);

/* Unix milliseconds for an epoch that opens now. */
uint64_t wall_clock_ms(struct wall_clock *clock, uint64_t realtime_ms, uint64_t monotonic_ms);

#endif
