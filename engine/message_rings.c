/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/message_rings.h"

#include <stdio.h>

#include <rte_common.h>
#include <rte_ring_elem.h>

#include "base/check.h"

#define FLAGS (RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ)

static size_t ring_bytes(uint32_t count)
{
	/* As rte_ring_init() rounds it: one entry stays free. */
	ssize_t bytes =
	    rte_ring_get_memsize_elem(sizeof(struct shard_message), rte_align32pow2(count + 1));

	CHECK(bytes > 0);
	return RTE_ALIGN_CEIL((size_t)bytes, CACHE_LINE);
}

size_t message_rings_bytes(const struct shard_limits *limits, uint32_t workers)
{
	/* Rounding to a power of two doubles at most: a pair of shards is a power of two of messages,
	 * and every worker has a shard. */
	size_t messages = 2 * (size_t)limits->shards * limits->shards *
			  worker_messages_max(1, 1, limits) * sizeof(struct shard_message);

	return messages +
	       (size_t)workers * workers * RTE_ALIGN_CEIL(sizeof(struct rte_ring), CACHE_LINE);
}

void message_rings_cut(struct lcore_shared *shared, void *memory, const struct shard_limits *limits,
		       const struct slot_map *map)
{
	uint8_t *at = memory;
	uint32_t shards_of[WORKERS_MAX] = {0};

	for (uint32_t shard = 0; shard < map->shards; shard++)
		shards_of[map->worker[shard]]++;
	for (uint32_t from = 0; from < shared->workers; from++) {
		for (uint32_t to = 0; to < shared->workers; to++) {
			struct rte_ring *ring = (struct rte_ring *)(void *)at;
			char name[RTE_RING_NAMESIZE];
			uint32_t count =
			    worker_messages_max(shards_of[from], shards_of[to], limits);
			snprintf(name, sizeof(name), "giro-m-%u-%u", from, to);
			CHECK(rte_ring_init(ring, name, count, FLAGS) == 0);
			shared->messages[from][to] = ring;
			at += ring_bytes(count);
		}
	}
	CHECK((size_t)(at - (uint8_t *)memory) <= message_rings_bytes(limits, shared->workers));
}

bool message_rings_are_empty(const struct lcore_shared *shared)
{
	for (uint32_t from = 0; from < shared->workers; from++) {
		for (uint32_t to = 0; to < shared->workers; to++) {
			if (!rte_ring_empty(shared->messages[from][to]))
				return false;
		}
	}
	return true;
}
