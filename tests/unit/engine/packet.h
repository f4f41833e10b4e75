/* SPDX-License-Identifier: Apache-2.0
 *
 * A datagram and, once answered, its reply in the same bytes; and what else the tests of the engine
 * need beneath any framework: memory, and accounts by their place. Stops on a broken expectation,
 * so that programs without a test framework can use it.
 */
#ifndef GIRO_TESTS_ENGINE_PACKET_H
#define GIRO_TESTS_ENGINE_PACKET_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/wire.h"

struct packet {
	alignas(CACHE_LINE) uint8_t payload[WIRE_DATAGRAM_MAX];
	size_t size;
	unsigned kind;
	unsigned count;
	bool answered;
	size_t reply_size;
};

/* Writes a sealed request of `count` records into `packet`. */
void packet_fill(struct packet *packet, unsigned kind, const void *records, unsigned count,
		 uint64_t request_id);

/* Results of an answered packet, which is first checked as a client checks it. */
struct wire_result packet_result(const struct packet *packet, uint32_t at);
struct wire_account packet_account(const struct packet *packet, uint32_t at);
struct wire_header packet_header(const struct packet *packet);

/* Page-aligned zeroed memory of whole pages; free() it. */
void *pages_new(size_t bytes);

/* Account `number` of those that are placed on `shard` among `shards`. */
struct id128 account_on(uint32_t shards, uint32_t shard, uint32_t number);

#endif
