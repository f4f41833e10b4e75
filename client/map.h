/* SPDX-License-Identifier: Apache-2.0
 *
 * The slot map as the client knows it, and the reading of a newer one.
 *
 * The map is read in pages of WIRE_INFO_SLOTS slots, one INFO a page. A new map is taken when all
 * its pages carry the same map version; pages of different versions (the map changed between two
 * of them) start the reading over. Bytes in, map out: sockets and time are the session's.
 */
#ifndef GIRO_CLIENT_MAP_H
#define GIRO_CLIENT_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "net/wire.h"

#define MAP_PAGES (SLOTS / WIRE_INFO_SLOTS)

struct client_map {
	uint32_t version;
	uint16_t shards;
	uint16_t port[SHARDS_MAX];
	uint8_t slot[SLOTS];
};

struct client_map_reading {
	bool active;
	uint8_t wanted; /* bit per page asked for */
	uint8_t got;	/* bit per page read, all of map.version */
	struct client_map map;
	struct wire_info info; /* the page read last */
};

enum client_map_verdict {
	MAP_INVALID = -1, /* contradicts the protocol; the page was ignored */
	MAP_MORE = 0,	  /* pages are missing still */
	MAP_DONE = 1,	  /* reading->map holds the pages wanted; the reading has ended */
};

/* Begins to read the pages in `wanted`, a bit each. */
void client_map_begin(struct client_map_reading *reading, uint8_t wanted);

/* Writes the INFO request for `page` to `payload`, which has room for
 * sizeof(struct wire_header) + sizeof(struct wire_info_request) bytes. Returns its size. */
size_t client_map_ask(uint8_t *payload, unsigned page, uint64_t request_id);

/* Takes a checked INFO reply for `page` whose header said `version`. */
enum client_map_verdict client_map_take(struct client_map_reading *reading, unsigned page,
					uint32_t version, const struct wire_info *info);

#endif
