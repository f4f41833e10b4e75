/* SPDX-License-Identifier: Apache-2.0 */
#include "net/wire.h"

#include <string.h>

/* Record sizes by kind; a kind is known when it has one. */
static const struct {
	uint16_t request;
	uint16_t result;
} record_bytes[] = {
    [WIRE_INFO] = {sizeof(struct wire_info_request), sizeof(struct wire_info)},
    [WIRE_TRANSFER] = {sizeof(struct transfer), sizeof(struct wire_result)},
    [WIRE_ACCOUNT] = {sizeof(struct account_operation), sizeof(struct wire_result)},
    [WIRE_LOOKUP_ACCOUNT] = {sizeof(struct wire_lookup_account), sizeof(struct wire_account)},
    [WIRE_LOOKUP_TRANSFER] = {sizeof(struct wire_lookup_transfer), sizeof(struct wire_result)},
};
#define KINDS (sizeof(record_bytes) / sizeof(record_bytes[0]))

size_t wire_request_record_bytes(unsigned kind)
{
	return kind < KINDS ? record_bytes[kind].request : 0;
}

size_t wire_result_record_bytes(unsigned kind)
{
	return kind < KINDS ? record_bytes[kind].result : 0;
}

uint64_t wire_checksum(const uint8_t *payload, size_t size)
{
	const size_t covered = offsetof(struct wire_header, magic);
	return XXH3_64bits(payload + covered, size - covered);
}

/* What both directions check first; fills `header`. */
static int check_datagram(const uint8_t *payload, size_t size, struct wire_header *header)
{
	if (size < sizeof(*header) || size > WIRE_DATAGRAM_MAX)
		return WIRE_FAULT_SHORT;
	memcpy(header, payload, sizeof(*header));
	if (header->magic != WIRE_MAGIC)
		return WIRE_FAULT_MAGIC;
	if (header->checksum != wire_checksum(payload, size))
		return WIRE_FAULT_CHECKSUM;
	return 0;
}

int wire_check_request(const uint8_t *payload, size_t size)
{
	struct wire_header header;
	int fault = check_datagram(payload, size, &header);
	if (fault != 0)
		return fault;
	/* A reply is never answered, whatever its version: two engines must not talk for ever. */
	if (header.kind & WIRE_REPLY)
		return WIRE_FAULT_REPLY;
	if (header.version != WIRE_VERSION)
		return STATUS_BAD_VERSION;
	size_t bytes = wire_request_record_bytes(header.kind);
	if (bytes == 0)
		return STATUS_BAD_KIND;
	if (header.count == 0 || (header.kind == WIRE_INFO && header.count != 1) ||
	    size != sizeof(header) + header.count * bytes)
		return STATUS_BAD_COUNT;
	if (header.map_version != 0 || header.status != 0 || header.retry_after_ms != 0)
		return STATUS_BAD_COUNT;
	return 0;
}

int wire_check_reply(const uint8_t *payload, size_t size, unsigned kind)
{
	struct wire_header header;
	int fault = check_datagram(payload, size, &header);
	if (fault != 0)
		return fault;
	if (header.kind != (kind | WIRE_REPLY))
		return WIRE_FAULT_REPLY;
	if (header.version != WIRE_VERSION)
		return STATUS_BAD_VERSION;
	if (header.status != STATUS_OK)
		return header.status;
	size_t bytes = wire_result_record_bytes(kind);
	if (bytes == 0 || header.count == 0 || size != sizeof(header) + header.count * bytes)
		return STATUS_BAD_COUNT;
	return 0;
}

const char *wire_fault_name(int fault)
{
	switch (fault) {
	case WIRE_FAULT_SHORT:
		return "length";
	case WIRE_FAULT_MAGIC:
		return "magic";
	case WIRE_FAULT_REPLY:
		return "direction";
	case WIRE_FAULT_CHECKSUM:
		return "checksum";
	default:
		return "none";
	}
}

size_t wire_seal_request(uint8_t *payload, unsigned kind, unsigned count, uint64_t request_id)
{
	size_t size = sizeof(struct wire_header) + count * wire_request_record_bytes(kind);
	struct wire_header header = {
	    .magic = WIRE_MAGIC,
	    .version = WIRE_VERSION,
	    .kind = (uint8_t)kind,
	    .count = (uint16_t)count,
	    .request_id = request_id,
	};

	memcpy(payload, &header, sizeof(header));
	header.checksum = wire_checksum(payload, size);
	memcpy(payload, &header.checksum, sizeof(header.checksum));
	return size;
}

size_t wire_seal_reply(uint8_t *payload, unsigned count, unsigned status, unsigned retry_after_ms,
		       uint32_t map_version)
{
	struct wire_header header;

	memcpy(&header, payload, sizeof(header));
	size_t size = sizeof(header) + count * wire_result_record_bytes(header.kind);
	header.version = WIRE_VERSION;
	header.kind |= WIRE_REPLY;
	header.count = (uint16_t)count;
	header.map_version = map_version;
	header.status = (uint16_t)status;
	header.retry_after_ms = (uint16_t)retry_after_ms;
	memcpy(payload, &header, sizeof(header));
	header.checksum = wire_checksum(payload, size);
	memcpy(payload, &header.checksum, sizeof(header.checksum));
	return size;
}

static bool all_zero(const void *field, size_t size)
{
	const uint8_t *bytes = field;

	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

enum status wire_check_info(const struct wire_info_request *request)
{
	const size_t behind = offsetof(struct wire_info_request, reserved16);

	if (!all_zero(request->reserved16, sizeof(*request) - behind) ||
	    request->first_slot % WIRE_INFO_SLOTS != 0 || request->first_slot >= SLOTS)
		return STATUS_RESERVED_NOT_ZERO;
	return STATUS_OK;
}

enum status wire_check_lookup_account(const struct wire_lookup_account *lookup)
{
	if (!all_zero(lookup->reserved, sizeof(lookup->reserved)))
		return STATUS_RESERVED_NOT_ZERO;
	return id_is_zero(lookup->account) ? STATUS_ACCOUNT_ZERO : STATUS_OK;
}

enum status wire_check_lookup_transfer(const struct wire_lookup_transfer *lookup)
{
	if (!all_zero(lookup->reserved, sizeof(lookup->reserved)))
		return STATUS_RESERVED_NOT_ZERO;
	return id_is_zero(lookup->debit) ? STATUS_ACCOUNT_ZERO : STATUS_OK;
}
