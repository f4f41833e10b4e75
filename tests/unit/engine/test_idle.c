/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/idle.h"

#include <criterion/criterion.h>

#include "engine/clock.h"

Test(idle, only_sleep_naps)
{
	static const enum idle_policy policies[] = {IDLE_POLL, IDLE_YIELD};

	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		struct idle idle;
		idle_init(&idle, policies[i]);
		idle.since_ns = 1;
		cr_assert_eq(idle_nap_ns(&idle), 0);
	}
}

Test(idle, naps_when_the_yielding_is_over)
{
	struct idle idle;

	idle_init(&idle, IDLE_SLEEP);
	idle.since_ns = 1;
	cr_assert_eq(idle_nap_ns(&idle), IDLE_NAP_MAX_NS);
	idle.since_ns = clock_ns(CLOCK_MONOTONIC) - 50 * IDLE_YIELD_NS;
	uint64_t nap_ns = idle_nap_ns(&idle);
	cr_assert(nap_ns >= IDLE_NAP_MIN_NS && nap_ns <= IDLE_NAP_MAX_NS);
}

Test(idle, work_begins_the_yielding_anew)
{
	struct idle idle;

	idle_init(&idle, IDLE_SLEEP);
	idle.since_ns = 1;
	idle_end(&idle);
	cr_assert_eq(idle_nap_ns(&idle), 0);
	cr_assert_neq(idle.since_ns, 0);
}
