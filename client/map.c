/* SPDX-License-Identifier: Apache-2.0 */
#include "client/map.h"

#include <string.h>

_Static_assert(SLOTS % WIRE_INFO_SLOTS == 0, "pages of equal size");
_Static_assert(MAP_PAGES <= 8, "a bit per page");

void client_map_begin(struct client_map_reading *reading, uint8_t wanted)
{
	reading->active = true;
	reading->wanted = wanted;
	reading->got = 0;
}

size_t client_map_ask(uint8_t *payload, unsigned page, uint64_t request_id)
{
	struct wire_info_request request = {.first_slot = (uint16_t)(page * WIRE_INFO_SLOTS)};

	memcpy(payload + sizeof(struct wire_header), &request, sizeof(request));
	return wire_seal_request(payload, WIRE_INFO, 1, request_id);
}

static bool valid(const struct wire_info *info, unsigned page)
{
	if (info->first_slot != page * WIRE_INFO_SLOTS)
		return false;
	if (info->shards == 0 || info->shards > SHARDS_MAX || info->records_max == 0)
		return false;
	if (info->datagram_max < sizeof(struct wire_header) + sizeof(struct wire_info_request))
		return false;
	for (unsigned i = 0; i < info->shards; i++) {
		if (info->port[i] == 0)
			return false;
	}
	for (unsigned i = 0; i < WIRE_INFO_SLOTS; i++) {
		if (info->slot[i] >= info->shards)
			return false;
	}
	return true;
}

enum client_map_verdict client_map_take(struct client_map_reading *reading, unsigned page,
					uint32_t version, const struct wire_info *info)
{
	struct client_map *map = &reading->map;

	if (!valid(info, page))
		return MAP_INVALID;
	if (!reading->active)
		return MAP_MORE;
	if (reading->got != 0 && map->version != version)
		reading->got = 0;
	map->version = version;
	map->shards = info->shards;
	memcpy(map->port, info->port, sizeof(map->port));
	memcpy(map->slot + info->first_slot, info->slot, WIRE_INFO_SLOTS);
	reading->info = *info;
	reading->got |= (uint8_t)(1u << page);
	if ((reading->got & reading->wanted) != reading->wanted)
		return MAP_MORE;
	reading->active = false;
	return MAP_DONE;
}
