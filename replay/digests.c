/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/digests.h"

struct computing {
	struct shard *const *shards;
	uint32_t shard_count;
	uint32_t lane_count;
	struct shard_digest *digests;
};

static void compute(void *context, uint32_t lane)
{
	const struct computing *computing = context;

	for (uint32_t i = lane; i < computing->shard_count; i += computing->lane_count)
		computing->digests[i] = shard_digest(computing->shards[i]);
}

void digests_compute(struct shard *const *shards, uint32_t shard_count, struct lanes *lanes,
		     struct shard_digest *digests)
{
	struct computing computing = {
	    .shards = shards,
	    .shard_count = shard_count,
	    .lane_count = lanes_count(lanes),
	    .digests = digests,
	};

	lanes_run(lanes, compute, &computing);
}
