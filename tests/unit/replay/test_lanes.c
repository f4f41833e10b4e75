/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "replay/lanes.h"

static struct lanes lanes;
static pthread_t owner;

/* The linker leads calls of pthread_create() here (meson.build). */
static int threads_to_be_had = SHARDS_MAX;
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument)
{
	if (threads_to_be_had == 0)
		return EAGAIN;
	threads_to_be_had--;
	return __real_pthread_create(thread, attributes, start, argument);
}

struct turn {
	atomic_uint calls[SHARDS_MAX];
	atomic_uint by_owner;
	atomic_bool go;
};

static void count(void *context, uint32_t lane)
{
	struct turn *turn = context;

	turn->calls[lane]++;
	turn->by_owner += pthread_equal(pthread_self(), owner) != 0;
}

static void count_when_told(void *context, uint32_t lane)
{
	struct turn *turn = context;

	while (!turn->go)
		sched_yield();
	count(context, lane);
}

TestSuite(lanes, .timeout = 60);

Test(lanes, each_does_its_share_once_a_turn)
{
	owner = pthread_self();
	for (uint32_t threads = 1; threads <= 5; threads++) {
		static struct turn turn;
		memset(&turn, 0, sizeof(turn));
		lanes_open(&lanes, threads, NULL, NULL);
		cr_assert(lanes_count(&lanes) == threads);
		for (uint32_t i = 1; i <= 100; i++) {
			lanes_run(&lanes, count, &turn);
			for (uint32_t lane = 0; lane < SHARDS_MAX; lane++)
				cr_assert(turn.calls[lane] == (lane < threads ? i : 0));
		}
		cr_assert(turn.by_owner == 0);
		lanes_close(&lanes);
	}
}

/* What the owner does meanwhile is what they wait for: if begin() waited, this would not end. */
Test(lanes, the_owner_goes_on_between_begin_and_end)
{
	static struct turn turn;

	owner = pthread_self();
	lanes_open(&lanes, 2, NULL, NULL);
	lanes_begin(&lanes, count_when_told, &turn);
	cr_assert(turn.calls[0] == 0 && turn.calls[1] == 0);
	turn.go = true;
	lanes_end(&lanes);
	cr_assert(turn.calls[0] == 1 && turn.calls[1] == 1);
	lanes_close(&lanes);
}

Test(lanes, without_threads_the_owner_does_all_in_begin)
{
	static struct turn turn;

	owner = pthread_self();
	cr_assert(lanes_count(NULL) == 1);
	lanes_begin(NULL, count, &turn);
	cr_assert(turn.calls[0] == 1 && turn.by_owner == 1);
	lanes_end(NULL);
	/* None is to be had. */
	threads_to_be_had = 0;
	lanes_open(&lanes, 4, NULL, NULL);
	cr_assert(lanes_count(&lanes) == 1);
	lanes_run(&lanes, count, &turn);
	cr_assert(turn.calls[0] == 2 && turn.by_owner == 2);
	lanes_close(&lanes);
}

Test(lanes, with_fewer_threads_than_asked_for_each_does_more)
{
	static struct turn turn;

	owner = pthread_self();
	threads_to_be_had = 3;
	lanes_open(&lanes, 8, NULL, NULL);
	cr_assert(lanes_count(&lanes) == 3);
	lanes_run(&lanes, count, &turn);
	for (uint32_t lane = 0; lane < SHARDS_MAX; lane++)
		cr_assert(turn.calls[lane] == (lane < 3));
	cr_assert(turn.by_owner == 0);
	lanes_close(&lanes);
}

Test(lanes, each_thread_settles_before_it_works)
{
	static struct turn settled;
	static struct turn turn;

	owner = pthread_self();
	lanes_open(&lanes, 3, count, &settled);
	lanes_run(&lanes, count, &turn);
	for (uint32_t lane = 0; lane < 3; lane++)
		cr_assert(settled.calls[lane] == 1 && turn.calls[lane] == 1);
	cr_assert(settled.by_owner == 0);
	lanes_close(&lanes);
}

Test(lanes, as_many_as_there_is_work_and_cpus)
{
	cpu_set_t one;

	cr_assert(lanes_wanted(3, 8) == 3);
	cr_assert(lanes_wanted(9, 8) == 8);
	cr_assert(lanes_wanted(9, 0) == 1);
	cr_assert(lanes_wanted(0, 1) == 1);
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	cr_assert(sched_setaffinity(0, sizeof(one), &one) == 0);
	cr_assert(lanes_wanted(0, 8) == 1);
}
