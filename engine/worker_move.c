/* SPDX-License-Identifier: Apache-2.0
 *
 * Shards from one worker to another.
 */
#include <string.h>

#include "base/check.h"
#include "engine/worker.h"

bool worker_is_settled(const struct worker *worker)
{
	for (uint32_t i = 0; i < worker->shard_count; i++) {
		const struct worker_batch *batch = &worker->batches[i];
		if (batch->count > 0 || batch->shard->phase.in_flight > 0)
			return false;
	}
	return worker->requests_used == worker->counts.held - worker->counts.released;
}

/* What goes with a shard. */
struct luggage {
	struct shard *shard;
	struct intake intake;
};

static void leave(struct worker *worker, struct luggage *luggage)
{
	CHECK(worker_is_settled(worker) && worker->epoch == epoch_newest(worker->config.clock));
	for (uint32_t i = 0; i < worker->shard_count; i++) {
		const struct worker_batch *batch = &worker->batches[i];
		/* What was logged in this epoch stays in the section; the new owner goes on behind. */
		CHECK(batch->shard->epoch == worker->epoch);
		luggage[batch->shard->index] = (struct luggage){batch->shard, batch->intake};
	}
	memset(worker->batch_of, 0, sizeof(worker->batch_of));
	worker->shard_count = 0;
}

static void arrive(struct worker *worker, const struct luggage *luggage)
{
	CHECK(worker->shard_count < worker->config.shards_max);
	struct worker_batch *batch = &worker->batches[worker->shard_count++];

	batch->shard = luggage->shard;
	batch->intake = luggage->intake;
	worker->batch_of[luggage->shard->index] = batch;
}

void workers_move_shards(struct worker *const *workers, uint32_t worker_count,
			 const uint8_t owner[SHARDS_MAX])
{
	struct luggage luggage[SHARDS_MAX] = {0};

	for (uint32_t w = 0; w < worker_count; w++)
		leave(workers[w], luggage);
	for (uint32_t i = 0; i < SHARDS_MAX; i++) {
		if (luggage[i].shard == NULL)
			continue;
		CHECK(owner[i] < worker_count);
		arrive(workers[owner[i]], &luggage[i]);
	}
	for (uint32_t w = 0; w < worker_count; w++)
		CHECK(workers[w]->shard_count >= 1);
}
