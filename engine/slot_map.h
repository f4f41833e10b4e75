/* SPDX-License-Identifier: Apache-2.0
 *
 * The slot map: which shard has which slot of the accounts, and which UDP port and worker each
 * shard has. Read by every worker on every transfer, replaced as a whole while they run: published
 * with RCU (liburcu, QSBR), so readers pay a plain load. A map never changes once it is published.
 *
 * What one map may have other than the one before: the workers of shards (engine/shard_move.h). A
 * slot's shard stays for the life of a log, since the accounts lie in it, and so do the ports.
 */
#ifndef GIRO_ENGINE_SLOT_MAP_H
#define GIRO_ENGINE_SLOT_MAP_H

#include <stdint.h>

#include "base/id.h"
#include "base/limits.h"

struct slot_map {
	uint32_t version; /* counts the maps published, from 1; clients compare it */
	uint32_t shards;
	uint16_t port[SHARDS_MAX];  /* UDP port of each shard */
	uint8_t worker[SHARDS_MAX]; /* worker that owns each shard */
	uint8_t slot[SLOTS];	    /* shard of each slot */
};

/* The first map: slot s belongs to shard s % shards, shard i to worker i % workers and UDP port
 * udp_port + i. */
void slot_map_init(struct slot_map *map, uint32_t shards, uint32_t workers, uint16_t udp_port);

#define SLOT_MAP_FAULT_MAX 160

/* The worker of each of `shards` shards: `list` where it has `count` of them, or, where `count` is 0,
 * worker i % workers for shard i. Every worker must get a shard: one without would take a core only to
 * hand datagrams on. Returns 0, or -1 with what is wrong, for people, in `fault`. */
int slot_map_owners(uint8_t owner[SHARDS_MAX], const uint8_t *list, uint32_t count, uint32_t shards,
		    uint32_t workers, char fault[SLOT_MAP_FAULT_MAX]);

/* The map that comes after `map`, with these owners. */
void slot_map_follow(struct slot_map *next, const struct slot_map *map,
		     const uint8_t owner[SHARDS_MAX]);

/* The shard of the account with this id_hash(). */
static inline uint8_t slot_map_shard(const struct slot_map *map, uint64_t hash)
{
	return map->slot[hash % SLOTS];
}

#endif
