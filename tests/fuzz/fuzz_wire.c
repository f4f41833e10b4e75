/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a wire datagram, both ways. Input: one byte of choices, then the payload.
 *
 *   bit 0   put the right magic and checksum in, so that what lies behind them is reached
 *   bit 1   leave the kind as it is, else the low bits of the choice byte pick a known one
 */
#include <stdlib.h>
#include <string.h>

#include "net/wire.h"
#include "tests/fuzz/target.h"

enum {
	PASSED = 0, /* + kind - 1 */
	REFUSED = WIRE_LOOKUP_TRANSFER,
	FAULT = REFUSED + STATUS_BAD_COUNT,
	REPLY_TAKEN = FAULT + 4,
	REPLY_REFUSED,
	REPLY_BAD_COUNT,
	RECORD_RESERVED,
	RECORD_ACCOUNT_ZERO,
	INFO_BAD,
	BRANCHES
};
_Static_assert(WIRE_FAULT_CHECKSUM == -4, "four faults");

struct fuzz_branch fuzz_branches[BRANCHES + 1] = {
    {"INFO passed", 0},
    {"TRANSFER passed", 0},
    {"ACCOUNT passed", 0},
    {"LOOKUP_ACCOUNT passed", 0},
    {"LOOKUP_TRANSFER passed", 0},
    {"BAD_VERSION", 0},
    {"BAD_KIND", 0},
    {"BAD_COUNT", 0},
    {"dropped: length", 0},
    {"dropped: magic", 0},
    {"dropped: direction", 0},
    {"dropped: checksum", 0},
    {"reply taken", 0},
    {"reply that refuses the whole", 0},
    {"reply of a wrong count", 0},
    {"lookup with a reserved field", 0},
    {"lookup of account zero", 0},
    {"INFO of a page that does not exist", 0},
};

static void reach_record(enum status status)
{
	if (status == STATUS_RESERVED_NOT_ZERO)
		fuzz_reach(RECORD_RESERVED);
	if (status == STATUS_ACCOUNT_ZERO)
		fuzz_reach(RECORD_ACCOUNT_ZERO);
}

static void make_sound(uint8_t *payload, size_t size, unsigned choice)
{
	struct wire_header header;
	memcpy(&header, payload, sizeof(header));
	header.magic = WIRE_MAGIC;
	if (!(choice & 2))
		header.kind = (uint8_t)(choice >> 2 & (7 | WIRE_REPLY));
	memcpy(payload, &header, sizeof(header));
	header.checksum = wire_checksum(payload, size);
	memcpy(payload, &header.checksum, sizeof(header.checksum));
}

/* A request that passed has the records that it counts, and can be answered within its size. */
static void answer(uint8_t *payload, size_t size)
{
	struct wire_header header;
	memcpy(&header, payload, sizeof(header));
	CHECK(header.count > 0);
	CHECK(size == sizeof(header) + header.count * wire_request_record_bytes(header.kind));
	fuzz_reach(PASSED + header.kind - 1u);
	if (header.kind == WIRE_INFO &&
	    wire_check_info((const struct wire_info_request *)(payload + sizeof(header))) !=
		STATUS_OK)
		fuzz_reach(INFO_BAD);
	for (unsigned i = 0; i < header.count; i++) {
		const uint8_t *record = payload + sizeof(header) + i * (size_t)WIRE_RECORD_BYTES;
		if (header.kind == WIRE_LOOKUP_ACCOUNT)
			reach_record(
			    wire_check_lookup_account((const struct wire_lookup_account *)record));
		if (header.kind == WIRE_LOOKUP_TRANSFER)
			reach_record(wire_check_lookup_transfer(
			    (const struct wire_lookup_transfer *)record));
	}
	size_t reply = wire_seal_reply(payload, header.count, STATUS_OK, 0, 1);
	CHECK(reply <= size);
	CHECK(wire_check_reply(payload, reply, header.kind) == 0);
	CHECK(wire_check_request(payload, reply) == WIRE_FAULT_REPLY);
}

/* A request that is refused as a whole is answered with a header. */
static void refuse(uint8_t *payload, size_t size, unsigned status)
{
	uint8_t kind = payload[offsetof(struct wire_header, kind)];
	size_t reply = wire_seal_reply(payload, 0, status, 0, 1);
	CHECK(reply == sizeof(struct wire_header) && reply <= size);
	CHECK(wire_check_reply(payload, reply, kind) == (int)status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	unsigned choice = *data++;
	size--;
	/* An allocation of its own size, so that a sanitizer sees one byte too far. */
	uint8_t *payload = malloc(size > 0 ? size : 1);
	CHECK(payload != NULL);
	memcpy(payload, data, size);
	if (choice & 1 && size >= sizeof(struct wire_header))
		make_sound(payload, size, choice);

	for (unsigned kind = 0; kind < 8; kind++) {
		int verdict = wire_check_reply(payload, size, kind);
		CHECK(verdict >= 0 ? verdict <= UINT16_MAX : verdict >= WIRE_FAULT_CHECKSUM);
		if (verdict >= 0)
			fuzz_reach(verdict == 0			 ? REPLY_TAKEN
				   : verdict == STATUS_BAD_COUNT ? REPLY_BAD_COUNT
								 : REPLY_REFUSED);
	}
	int verdict = wire_check_request(payload, size);
	CHECK(verdict >= WIRE_FAULT_CHECKSUM && verdict <= STATUS_BAD_COUNT);
	if (verdict == 0) {
		answer(payload, size);
	} else if (verdict > 0) {
		fuzz_reach(REFUSED + (unsigned)verdict - 1);
		refuse(payload, size, (unsigned)verdict);
	} else {
		fuzz_reach(FAULT + (unsigned)-verdict - 1);
	}
	free(payload);
	return 0;
}
