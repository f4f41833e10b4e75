/* SPDX-License-Identifier: Apache-2.0
 *
 * What a polling thread does when a loop found no work. Naps grow with the time since the last
 * work: a thread that just worked looks again soon, one that has long been idle costs little. What
 * a nap adds to a latency is thus a small share of the pause before it.
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
	IDLE_SLEEP, /* naps for microseconds: for cores shared with other work */
};

#define IDLE_NAP_MIN_NS 4000
#define IDLE_NAP_MAX_NS 100000
/* A nap is this share of the time since the last work. */
#define IDLE_NAP_SHARE 8

struct idle {
	enum idle_policy policy;
	uint64_t since_ns; /* when work ran out; 0: there was some in the last loop */
};

/* For the calling thread; with IDLE_SLEEP, makes its timers exact. */
void idle_init(struct idle *idle, enum idle_policy policy);

/* After a loop that did something. */
static inline void idle_end(struct idle *idle)
{
	idle->since_ns = 0;
}

/* How long to nap now, nanoseconds; 0 with policies that do not nap. */
uint64_t idle_nap_ns(struct idle *idle);

/* After a loop that did nothing: polls on, yields, or naps. */
void idle_rest(struct idle *idle);

#endif
