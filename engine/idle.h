/* SPDX-License-Identifier: Apache-2.0
 *
 * What a polling thread does when a loop found no work. With the policy `sleep` it yields for a while,
 * then naps (after A. Karlin et al., "Empirical Studies of Competitive Spinning for a Shared-Memory
 * Multiprocessor", 1991). To yield costs nobody anything who has work on the same core, and a nap
 * costs a wake-up: so it yields for longer than a round over client, disk and back takes, which keeps
 * naps out of latency under any load, and naps when nothing happens. Naps grow with the time since the
 * last work: what one adds to a latency is a small share of the pause before it, and a thread that has
 * long been idle costs little.
 *
 * One per thread.
 */
#ifndef GIRO_ENGINE_IDLE_H
#define GIRO_ENGINE_IDLE_H

#include <stdbool.h>
#include <stdint.h>

enum idle_policy {
	IDLE_POLL,  /* looks again at once: lowest latency, a whole core */
	IDLE_YIELD, /* lets others on the same core run first, but still takes its share of it */
	IDLE_SLEEP, /* yields, then naps for microseconds: for cores shared with other work */
};

/* A nap costs a wake-up: 15 to 20 us of CPU on a virtual machine, a few on metal, however short. */
#define IDLE_YIELD_NS	300000
#define IDLE_NAP_MIN_NS 20000
#define IDLE_NAP_MAX_NS 100000
/* A nap is this share of the time since the last work. */
#define IDLE_NAP_SHARE 8

/* How long the scheduler shall let a thread run at a time where it shares its core. */
#define IDLE_SLICE_NS 100000

struct idle {
	enum idle_policy policy;
	uint64_t since_ns; /* when work ran out; 0: there was some in the last loop */
};

/* For the calling thread; with IDLE_SLEEP, makes its timers exact and asks the scheduler for short
 * slices. */
void idle_init(struct idle *idle, enum idle_policy policy);

/* After a loop that did something. */
static inline void idle_end(struct idle *idle)
{
	idle->since_ns = 0;
}

/* How long to nap now, nanoseconds; 0: not yet, or with policies that do not nap. */
uint64_t idle_nap_ns(struct idle *idle);

/* After a loop that did nothing: polls on, yields, or naps. */
void idle_rest(struct idle *idle);

#endif
