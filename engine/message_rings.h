/* SPDX-License-Identifier: Apache-2.0
 *
 * The rings for messages between all pairs of workers, in one piece of memory.
 *
 * Between two workers there can be as many messages as their shards' rows can have under way, so a
 * ring is sized by how many shards stand at its two ends. All rings together are the same size for
 * every assignment of shards to workers: the piece is cut anew when the assignment changes, and
 * nothing is allocated.
 *
 *   | 0 -> 0 | 0 -> 1 | 0 -> 2 | 1 -> 0 | ...          with 4, 1 and 1 shards
 *   | 4 x 4  | 4 x 1  | 4 x 1  | 1 x 4  | ...          the sum is 6 x 6
 */
#ifndef GIRO_ENGINE_MESSAGE_RINGS_H
#define GIRO_ENGINE_MESSAGE_RINGS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/lcore.h"

/* Bytes for the rings between `workers` workers that have all shards of `limits`, whoever has which. */
size_t message_rings_bytes(const struct shard_limits *limits, uint32_t workers);

/* Makes shared->messages, empty, for the owners in `map`. `memory`: message_rings_bytes() bytes,
 * aligned to a cache line. While no worker runs. */
void message_rings_cut(struct lcore_shared *shared, void *memory, const struct shard_limits *limits,
		       const struct slot_map *map);

/* Is no message on its way? While no worker runs. */
bool message_rings_are_empty(const struct lcore_shared *shared);

#endif
