/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/lanes.h"

#include <sched.h>

#include "base/check.h"

uint32_t lanes_wanted(uint32_t wanted, uint32_t shards)
{
	cpu_set_t cpus;

	if (wanted == 0)
		wanted =
		    sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (uint32_t)CPU_COUNT(&cpus) : 1;
	if (wanted > shards)
		wanted = shards;
	return wanted == 0 ? 1 : wanted;
}

static void *lane_main(void *argument)
{
	const struct lane_thread *lane = argument;
	struct lanes *lanes = lane->lanes;
	uint64_t done = 0;

	if (lanes->settle != NULL)
		lanes->settle(lanes->context, lane->index);
	pthread_mutex_lock(&lanes->mutex);
	for (;;) {
		while (lanes->turn == done && !lanes->closing)
			pthread_cond_wait(&lanes->begun, &lanes->mutex);
		if (lanes->closing)
			break;
		done = lanes->turn;
		pthread_mutex_unlock(&lanes->mutex);
		lanes->work(lanes->work_context, lane->index);
		pthread_mutex_lock(&lanes->mutex);
		if (--lanes->running == 0)
			pthread_cond_signal(&lanes->ended);
	}
	pthread_mutex_unlock(&lanes->mutex);
	return NULL;
}

void lanes_open(struct lanes *lanes, uint32_t count, void (*settle)(void *context, uint32_t lane),
		void *context)
{
	CHECK(count <= SHARDS_MAX);
	*lanes = (struct lanes){.context = context, .settle = settle};
	pthread_mutex_init(&lanes->mutex, NULL);
	pthread_cond_init(&lanes->begun, NULL);
	pthread_cond_init(&lanes->ended, NULL);
	for (; lanes->count < count; lanes->count++) {
		struct lane_thread *lane = &lanes->threads[lanes->count];
		lane->lanes = lanes;
		lane->index = lanes->count;
		if (pthread_create(&lane->thread, NULL, lane_main, lane) != 0)
			break;
	}
}

uint32_t lanes_count(const struct lanes *lanes)
{
	return lanes == NULL || lanes->count == 0 ? 1 : lanes->count;
}

void lanes_begin(struct lanes *lanes, void (*work)(void *context, uint32_t lane), void *context)
{
	if (lanes == NULL || lanes->count == 0) {
		work(context, 0);
		return;
	}
	pthread_mutex_lock(&lanes->mutex);
	CHECK(lanes->running == 0);
	lanes->work = work;
	lanes->work_context = context;
	lanes->running = lanes->count;
	lanes->turn++;
	pthread_cond_broadcast(&lanes->begun);
	pthread_mutex_unlock(&lanes->mutex);
}

void lanes_end(struct lanes *lanes)
{
	if (lanes == NULL || lanes->count == 0)
		return;
	pthread_mutex_lock(&lanes->mutex);
	while (lanes->running > 0)
		pthread_cond_wait(&lanes->ended, &lanes->mutex);
	pthread_mutex_unlock(&lanes->mutex);
}

void lanes_run(struct lanes *lanes, void (*work)(void *context, uint32_t lane), void *context)
{
	lanes_begin(lanes, work, context);
	lanes_end(lanes);
}

void lanes_close(struct lanes *lanes)
{
	pthread_mutex_lock(&lanes->mutex);
	lanes->closing = true;
	pthread_cond_broadcast(&lanes->begun);
	pthread_mutex_unlock(&lanes->mutex);
	for (uint32_t i = 0; i < lanes->count; i++)
		pthread_join(lanes->threads[i].thread, NULL);
	pthread_cond_destroy(&lanes->ended);
	pthread_cond_destroy(&lanes->begun);
	pthread_mutex_destroy(&lanes->mutex);
	lanes->count = 0;
}
