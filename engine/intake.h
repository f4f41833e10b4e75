/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast a shard takes new ids: `ids_per_second`, which its exactly-once window was sized for, and
 * a burst of a quarter of a generation's ids. A token bucket (RFC 2697's single rate), in epoch time.
 *
 *   ids taken
 *     |            . ' allowed
 *     |        . '  .-'
 *     |    . '  .--'         beyond it new work is BUSY until time has gone on; repeats are answered
 *     |  '   .-' taken
 *     +---------------------> now
 *
 * Without it, ids above the rate would fill their generation's table, and those left over would be
 * refused until they expire, however little there is to do by then: a client must repeat a transfer
 * under its own id. So the rate is kept when ids arrive, and a table is larger than what arrives in
 * its time by the burst and by as much again for ids that come late.
 *
 * What is taken is found out afterwards, so a datagram that begins within the rate is taken whole. */
#ifndef GIRO_ENGINE_INTAKE_H
#define GIRO_ENGINE_INTAKE_H

#include <stdbool.h>
#include <stdint.h>

/* Thousandths of an id, so that a millisecond at any rate is a whole number of them. */
struct intake {
	int64_t credit;	    /* what may be taken now; below 0: was taken too much */
	int64_t credit_max; /* the burst */
	uint64_t rate;	    /* ids a second = thousandths a millisecond */
	uint64_t now_ms;    /* when credit was last given */
	uint64_t taken;	    /* ids, as last seen */
};

/* Begins with a whole burst. `burst_ms`: that much of the rate may come at once; at least one id.
 * `taken`: ids so far. 1 <= ids_per_second <= 2^30, burst_ms <= 2^30. */
void intake_init(struct intake *intake, uint64_t ids_per_second, uint64_t burst_ms, uint64_t taken,
		 uint64_t now_ms);

/* May a new id be taken at `now_ms`, which never goes back, when `taken` have been? */
bool intake_is_open(struct intake *intake, uint64_t taken, uint64_t now_ms);

#endif
