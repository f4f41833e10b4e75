/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/slot_map.h"

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
