/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads that share out the shards of a node: lane i has shards i, i + lanes, i + 2 lanes, ...
 *
 *   owner    | begin(work)  something else         end() | begin(work) ...
 *   lane 0   |       work(0): shards 0, 2 ...            |
 *   lane 1   |       work(1): shards 1, 3 ...    |       |
 *
 * Whatever a lane does with its shards depends on them alone, so that the result is the same for any
 * number of lanes. Where lanes are optional, NULL means that the owner does all the work itself, in
 * begin(): then there is no thread and nothing that depends on timing.
 *
 * All calls are the owner's, one thread. They block, and lanes_open() allocates.
 */
#ifndef GIRO_REPLAY_LANES_H
#define GIRO_REPLAY_LANES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

struct lanes;

struct lane_thread {
	struct lanes *lanes;
	pthread_t thread;
	uint32_t index;
};

struct lanes {
	uint32_t count; /* of threads; written by lanes_open() only */
	void *context;	/* of settle() */
	void (*settle)(void *context, uint32_t lane);

	/* Under the mutex. */
	pthread_mutex_t mutex;
	pthread_cond_t begun;
	pthread_cond_t ended;
	uint64_t turn;	  /* how often work was begun */
	uint32_t running; /* lanes that are not through with it */
	bool closing;
	void (*work)(void *context, uint32_t lane);
	void *work_context;

	struct lane_thread threads[SHARDS_MAX];
};

/* How many lanes serve `shards` shards when `wanted` are asked for: at most one for each shard. 0: one
 * for each CPU that this process may use. */
uint32_t lanes_wanted(uint32_t wanted, uint32_t shards);

/* Starts `count` (<= SHARDS_MAX) threads. Each calls `settle` first, unless it is NULL: to choose the
 * CPU that it runs on. With fewer to be had than asked for, each does more; with none at all, the
 * owner does all. */
void lanes_open(struct lanes *lanes, uint32_t count, void (*settle)(void *context, uint32_t lane),
		void *context);

/* Among how many work is shared out: 1 for NULL. */
uint32_t lanes_count(const struct lanes *lanes);

/* Calls `work` once for each lane, in its thread. Then, and not before lanes_end(), the owner may not
 * touch what they work on. */
void lanes_begin(struct lanes *lanes, void (*work)(void *context, uint32_t lane), void *context);

/* Waits until all are through: what they wrote is the owner's again. */
void lanes_end(struct lanes *lanes);

/* Both in one. */
void lanes_run(struct lanes *lanes, void (*work)(void *context, uint32_t lane), void *context);

/* Ends the threads. Not between lanes_begin() and lanes_end(). */
void lanes_close(struct lanes *lanes);

#endif
