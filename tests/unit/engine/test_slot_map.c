/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

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
