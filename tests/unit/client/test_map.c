/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "client/map.h"

static struct client_map_reading reading;

static struct wire_info page(unsigned number, uint8_t shard)
{
	struct wire_info info = {
	    .version_min = 1,
	    .version_max = 1,
	    .shards = 4,
	    .first_slot = (uint16_t)(number * WIRE_INFO_SLOTS),
	    .datagram_max = 1472,
	    .records_max = 22,
	    .port = {1, 2, 3, 4},
	};

	memset(info.slot, shard, sizeof(info.slot));
	return info;
}

static enum client_map_verdict take(unsigned number, uint32_t version, uint8_t shard)
{
	const struct wire_info info = page(number, shard);

	return client_map_take(&reading, number, version, &info);
}

Test(map, is_done_when_all_pages_are_of_one_version)
{
	client_map_begin(&reading, 0xf);
	cr_expect(take(2, 7, 2) == MAP_MORE);
	cr_expect(take(0, 7, 0) == MAP_MORE);
	cr_expect(take(0, 7, 0) == MAP_MORE, "twice the same page");
	cr_expect(take(3, 7, 3) == MAP_MORE);
	cr_expect(reading.active);
	cr_expect(take(1, 7, 1) == MAP_DONE);
	cr_expect(!reading.active);
	cr_expect(reading.map.version == 7);
	cr_expect(reading.map.shards == 4);
	cr_expect(reading.map.port[3] == 4);
	for (unsigned slot = 0; slot < SLOTS; slot++)
		cr_expect(reading.map.slot[slot] == slot / WIRE_INFO_SLOTS);
}

Test(map, a_change_between_two_pages_starts_over)
{
	client_map_begin(&reading, 0xf);
	take(0, 7, 0);
	take(1, 7, 0);
	take(2, 7, 0);
	cr_expect(take(3, 8, 1) == MAP_MORE);
	cr_expect(take(0, 8, 1) == MAP_MORE);
	cr_expect(take(1, 8, 1) == MAP_MORE);
	cr_expect(take(2, 8, 1) == MAP_DONE);
	cr_expect(reading.map.version == 8);
	for (unsigned slot = 0; slot < SLOTS; slot++)
		cr_expect(reading.map.slot[slot] == 1);
}

Test(map, one_page_may_be_all_that_is_wanted)
{
	client_map_begin(&reading, 1);
	cr_expect(take(0, 7, 0) == MAP_DONE);
}

Test(map, what_contradicts_the_protocol_is_ignored)
{
	for (unsigned what = 0; what < 8; what++) {
		struct wire_info info = page(1, 0);
		switch (what) {
		case 0:
			info.first_slot = 0;
			break;
		case 1:
			info.shards = 0;
			break;
		case 2:
			info.shards = SHARDS_MAX + 1;
			break;
		case 3:
			info.records_max = 0;
			break;
		case 4:
			info.datagram_max = 1247;
			break;
		case 5:
			info.port[3] = 0;
			break;
		case 6:
			info.slot[WIRE_INFO_SLOTS - 1] = 4;
			break;
		default:
			break;
		}
		client_map_begin(&reading, 0xf);
		const enum client_map_verdict want = what < 7 ? MAP_INVALID : MAP_MORE;
		cr_expect(client_map_take(&reading, 1, 7, &info) == want, "row %u", what);
		cr_expect(reading.got == (what < 7 ? 0 : 2), "row %u", what);
	}
}

Test(map, asks_for_a_page_with_a_request_as_long_as_its_reply)
{
	uint8_t payload[sizeof(struct wire_header) + sizeof(struct wire_info_request)];

	for (unsigned number = 0; number < MAP_PAGES; number++) {
		memset(payload, 0xff, sizeof(payload));
		cr_expect(client_map_ask(payload, number, 99) == 1248);
		cr_expect(wire_check_request(payload, sizeof(payload)) == 0);
		uint16_t first;
		memcpy(&first, payload + sizeof(struct wire_header), sizeof(first));
		cr_expect(first == number * WIRE_INFO_SLOTS);
	}
}
