/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "engine/slot_map.h"

struct shape {
	uint32_t shards;
	uint32_t workers;
};

static const struct shape shapes[] = {{1, 1}, {2, 1}, {4, 2}, {5, 3}, {SHARDS_MAX, SHARDS_MAX}};

Test(slot_map, first_map_spreads_slots_shards_and_ports)
{
	for (size_t row = 0; row < sizeof(shapes) / sizeof(shapes[0]); row++) {
		const struct shape *shape = &shapes[row];
		static struct slot_map map;
		uint32_t slots_of[SHARDS_MAX] = {0};
		slot_map_init(&map, shape->shards, shape->workers, 7400);
		cr_assert(map.version == 1 && map.shards == shape->shards);
		for (uint32_t slot = 0; slot < SLOTS; slot++) {
			cr_assert(map.slot[slot] == slot % shape->shards);
			slots_of[map.slot[slot]]++;
		}
		for (uint32_t i = 0; i < SHARDS_MAX; i++) {
			if (i >= shape->shards) {
				cr_assert(map.port[i] == 0 && slots_of[i] == 0);
				continue;
			}
			cr_assert(map.port[i] == 7400 + i);
			cr_assert(map.worker[i] == i % shape->workers);
			cr_assert(slots_of[i] - SLOTS / shape->shards <= 1);
		}
	}
}

Test(slot_map, hash_and_account_agree_on_the_shard)
{
	static struct slot_map map;

	slot_map_init(&map, 7, 2, 7400);
	for (uint64_t n = 1; n < 2000; n++) {
		const struct id128 id = {.lo = n * UINT64_C(0x9e3779b97f4a7c15), .hi = n};
		cr_assert(slot_map_shard(&map, id_hash(id)) == map.slot[id_slot(id)]);
	}
}

/* Owners. */

struct owners {
	const char *name;
	uint8_t list[8];
	uint32_t count;
	uint32_t shards;
	uint32_t workers;
	const char *fault; /* part of it; NULL: none */
	uint8_t owner[8];
};

static const struct owners owners[] = {
    {"nothing said", {0}, 0, 5, 2, NULL, {0, 1, 0, 1, 0}},
    {"one of each", {2, 0, 1}, 3, 3, 3, NULL, {2, 0, 1}},
    {"nearly all to one", {1, 1, 0, 1}, 4, 4, 2, NULL, {1, 1, 0, 1}},
    {"one worker", {0, 0}, 2, 2, 1, NULL, {0, 0}},
    {"too few", {0, 1}, 2, 3, 2, "2 workers are named for 3 shards", {0}},
    {"too many", {0, 1, 0}, 3, 2, 2, "3 workers are named for 2 shards", {0}},
    {"no such worker",
     {0, 2, 1},
     3,
     3,
     2,
     "shard 1 is given to worker 2, but the workers are 0..1",
     {0}},
    {"first without", {1, 1}, 2, 2, 2, "worker 0 of 2 has no shard", {0}},
    {"last without", {0, 1, 0}, 3, 3, 3, "worker 2 of 3 has no shard", {0}},
};

Test(slot_map, every_worker_has_a_shard_and_no_shard_a_worker_that_is_not)
{
	for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
		const struct owners *row = &owners[i];
		char fault[SLOT_MAP_FAULT_MAX] = "";
		uint8_t owner[SHARDS_MAX];
		int result =
		    slot_map_owners(owner, row->list, row->count, row->shards, row->workers, fault);
		cr_assert(result == (row->fault != NULL ? -1 : 0), "%s: %s", row->name, fault);
		if (row->fault != NULL)
			cr_assert_not_null(strstr(fault, row->fault), "%s: %s", row->name, fault);
		else
			cr_assert(memcmp(owner, row->owner, row->shards) == 0, "%s", row->name);
	}
}

Test(slot_map, next_map_has_other_owners_and_nothing_else)
{
	static const uint8_t owner[SHARDS_MAX] = {2, 2, 1, 0, 0};
	static struct slot_map map;
	static struct slot_map next;

	slot_map_init(&map, 5, 3, 7400);
	slot_map_follow(&next, &map, owner);
	cr_assert_eq(next.version, 2);
	cr_assert(memcmp(next.worker, owner, sizeof(owner)) == 0);
	cr_assert(next.shards == 5 && memcmp(next.port, map.port, sizeof(map.port)) == 0 &&
		  memcmp(next.slot, map.slot, sizeof(map.slot)) == 0);
	slot_map_follow(&map, &next, owner);
	cr_assert_eq(map.version, 3);
}
