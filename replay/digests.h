/* SPDX-License-Identifier: Apache-2.0
 *
 * The digests of all shards of a node. Each walks all tables of its shard, which takes seconds when
 * they are large: the lanes share the shards out.
 */
#ifndef GIRO_REPLAY_DIGESTS_H
#define GIRO_REPLAY_DIGESTS_H

#include <stdint.h>

#include "replay/lanes.h"
#include "shard/shard.h"

/* Fills digests[shard_count]. `lanes` may be NULL. Blocks. */
void digests_compute(struct shard *const *shards, uint32_t shard_count, struct lanes *lanes,
		     struct shard_digest *digests);

#endif
