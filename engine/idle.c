/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/idle.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/clock.h"

/* What sched_setattr(2) takes, as far as it is used here; glibc 2.36 does not declare it, and the
 * kernel's header cannot stand beside <sched.h>. */
struct scheduling {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns; /* of a thread that is not real-time: its slice */
	uint64_t deadline_ns;
	uint64_t period_ns;
};
_Static_assert(sizeof(struct scheduling) == 48, "SCHED_ATTR_SIZE_VER0");

/* Whoever else runs on this core: a thread that wakes up with a little to do goes first. Linux
 * before 6.12 knows no slice of a thread's own and changes nothing. */
static void ask_for_short_slices(void)
{
	const struct scheduling scheduling = {
	    .size = sizeof(scheduling),
	    .policy = SCHED_OTHER,
	    .nice = getpriority(PRIO_PROCESS, 0),
	    .runtime_ns = IDLE_SLICE_NS,
	};

	syscall(SYS_sched_setattr, 0, &scheduling, 0);
}

void idle_init(struct idle *idle, enum idle_policy policy)
{
	*idle = (struct idle){.policy = policy};
	if (policy != IDLE_SLEEP)
		return;
	/* The default slack of 50 us would drown the naps. */
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	ask_for_short_slices();
}

uint64_t idle_nap_ns(struct idle *idle)
{
	if (idle->policy != IDLE_SLEEP)
		return 0;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	if (idle->since_ns == 0)
		idle->since_ns = now_ns;
	if (now_ns - idle->since_ns < IDLE_YIELD_NS)
		return 0;
	uint64_t nap_ns = (now_ns - idle->since_ns) / IDLE_NAP_SHARE;
	if (nap_ns < IDLE_NAP_MIN_NS)
		return IDLE_NAP_MIN_NS;
	return nap_ns < IDLE_NAP_MAX_NS ? nap_ns : IDLE_NAP_MAX_NS;
}

void idle_rest(struct idle *idle)
{
	const struct timespec nap = {.tv_nsec = (long)idle_nap_ns(idle)};

	if (nap.tv_nsec > 0)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
	else if (idle->policy != IDLE_POLL)
		sched_yield();
	else
		__builtin_ia32_pause();
}
