/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/idle.h"

#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

void idle_init(struct idle *idle, enum idle_policy policy)
{
	*idle = (struct idle){.policy = policy};
	/* The default slack of 50 us would drown the naps. */
	if (policy == IDLE_SLEEP)
		prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
}

uint64_t idle_nap_ns(struct idle *idle)
{
	struct timespec now;

	if (idle->policy != IDLE_SLEEP)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	if (idle->since_ns == 0)
		idle->since_ns = now_ns;
	uint64_t nap_ns = (now_ns - idle->since_ns) / IDLE_NAP_SHARE;
	if (nap_ns < IDLE_NAP_MIN_NS)
		return IDLE_NAP_MIN_NS;
	return nap_ns < IDLE_NAP_MAX_NS ? nap_ns : IDLE_NAP_MAX_NS;
}

void idle_rest(struct idle *idle)
{
	const struct timespec nap = {.tv_nsec = (long)idle_nap_ns(idle)};

	if (idle->policy == IDLE_SLEEP)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
	else if (idle->policy == IDLE_YIELD)
		sched_yield();
	else
		__builtin_ia32_pause();
}
