/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/slot_map.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void slot_map_init(struct slot_map *map, uint32_t shards, uint32_t workers, uint16_t udp_port)
{
	*map = (struct slot_map){.version = 1, .shards = shards};
	for (uint32_t shard = 0; shard < shards; shard++) {
		map->port[shard] = (uint16_t)(udp_port + shard);
		map->worker[shard] = (uint8_t)(shard % workers);
	}
	for (uint32_t slot = 0; slot < SLOTS; slot++)
		map->slot[slot] = (uint8_t)(slot % shards);
}

int slot_map_owners(uint8_t owner[SHARDS_MAX], const uint8_t *list, uint32_t count, uint32_t shards,
		    uint32_t workers, char fault[SLOT_MAP_FAULT_MAX])
{
	bool has_shard[SHARDS_MAX] = {false};

	if (count != 0 && count != shards) {
		snprintf(fault, SLOT_MAP_FAULT_MAX,
			 "%" PRIu32 " workers are named for %" PRIu32 " shards: name one for each",
			 count, shards);
		return -1;
	}
	memset(owner, 0, SHARDS_MAX);
	for (uint32_t shard = 0; shard < shards; shard++) {
		owner[shard] = (uint8_t)(count != 0 ? list[shard] : shard % workers);
		if (owner[shard] >= workers) {
			snprintf(fault, SLOT_MAP_FAULT_MAX,
				 "shard %" PRIu32
				 " is given to worker %u, but the workers are 0..%" PRIu32
				 ": every lcore but the first is one",
				 shard, owner[shard], workers - 1);
			return -1;
		}
		has_shard[owner[shard]] = true;
	}
	for (uint32_t worker = 0; worker < workers; worker++) {
		if (has_shard[worker])
			continue;
		snprintf(fault, SLOT_MAP_FAULT_MAX,
			 "worker %" PRIu32 " of %" PRIu32
			 " has no shard: give it one, or start with fewer lcores",
			 worker, workers);
		return -1;
	}
	return 0;
}

void slot_map_follow(struct slot_map *next, const struct slot_map *map,
		     const uint8_t owner[SHARDS_MAX])
{
	*next = *map;
	next->version++;
	memcpy(next->worker, owner, sizeof(next->worker));
}
