/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine/packet.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define PAGE 4096u

void packet_fill(struct packet *packet, unsigned kind, const void *records, unsigned count,
		 uint64_t request_id)
{
	size_t bytes = count * wire_request_record_bytes(kind);

	CHECK(sizeof(struct wire_header) + bytes <= WIRE_DATAGRAM_MAX);
	memcpy(packet->payload + sizeof(struct wire_header), records, bytes);
	packet->kind = kind;
	packet->count = count;
	packet->answered = false;
	packet->size = wire_seal_request(packet->payload, kind, count, request_id);
}

struct wire_header packet_header(const struct packet *packet)
{
	struct wire_header header;

	memcpy(&header, packet->payload, sizeof(header));
	return header;
}

/* A reply that a client would take, with all of its results. */
static void check_reply(const struct packet *packet)
{
	CHECK(packet->answered && packet->reply_size <= packet->size);
	CHECK(wire_check_reply(packet->payload, packet->reply_size, packet->kind) == 0);
	CHECK(packet_header(packet).count == packet->count);
}

struct wire_result packet_result(const struct packet *packet, uint32_t at)
{
	struct wire_result result;

	check_reply(packet);
	CHECK(at < packet->count && packet->kind != WIRE_LOOKUP_ACCOUNT);
	memcpy(&result, packet->payload + sizeof(struct wire_header) + at * sizeof(result),
	       sizeof(result));
	return result;
}

struct wire_account packet_account(const struct packet *packet, uint32_t at)
{
	struct wire_account account;

	check_reply(packet);
	CHECK(at < packet->count && packet->kind == WIRE_LOOKUP_ACCOUNT);
	memcpy(&account, packet->payload + sizeof(struct wire_header) + at * sizeof(account),
	       sizeof(account));
	return account;
}

void *pages_new(size_t bytes)
{
	size_t pages = (bytes + PAGE - 1) / PAGE * PAGE;
	void *memory = aligned_alloc(PAGE, pages);

	CHECK(memory != NULL);
	return memset(memory, 0, pages);
}

struct id128 account_on(uint32_t shards, uint32_t shard, uint32_t number)
{
	struct id128 id = {.lo = 1, .hi = 7};

	for (;; id.lo++) {
		if (id_slot(id) % shards == shard && number-- == 0)
			return id;
	}
}
