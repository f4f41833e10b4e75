/* SPDX-License-Identifier: Apache-2.0 */
#include "net/wire.h"

#include <string.h>

#include <criterion/criterion.h>

#define REQUEST_ID UINT64_C(0x1122334455667788)

struct datagram {
	uint8_t bytes[WIRE_DATAGRAM_MAX + 1];
	size_t size;
};

static struct wire_header header_of(const struct datagram *datagram)
{
	struct wire_header header;
	memcpy(&header, datagram->bytes, sizeof(header));
	return header;
}

/* Puts a header that was changed back, with the right checksum. */
static void put_header(struct datagram *datagram, struct wire_header header)
{
	memcpy(datagram->bytes, &header, sizeof(header));
	header.checksum = wire_checksum(datagram->bytes, datagram->size);
	memcpy(datagram->bytes, &header.checksum, sizeof(header.checksum));
}

static struct datagram sound_request(unsigned kind, unsigned count)
{
	struct datagram datagram = {0};
	memset(datagram.bytes, 0x5a, sizeof(datagram.bytes));
	datagram.size = wire_seal_request(datagram.bytes, kind, count, REQUEST_ID);
	return datagram;
}

static struct datagram sound_reply(unsigned kind, unsigned count)
{
	struct datagram datagram = sound_request(kind, count);
	datagram.size = wire_seal_reply(datagram.bytes, count, STATUS_OK, 0, 7);
	return datagram;
}

Test(wire, every_kind_has_its_record_sizes)
{
	static const struct {
		unsigned kind;
		size_t request, result;
	} rows[] = {
	    {0, 0, 0},
	    {WIRE_INFO, 1216, 1216},
	    {WIRE_TRANSFER, 64, 16},
	    {WIRE_ACCOUNT, 64, 16},
	    {WIRE_LOOKUP_ACCOUNT, 64, 64},
	    {WIRE_LOOKUP_TRANSFER, 64, 16},
	    {6, 0, 0},
	    {WIRE_TRANSFER | WIRE_REPLY, 0, 0},
	    {255, 0, 0},
	    {UINT32_MAX, 0, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(wire_request_record_bytes(rows[i].kind), rows[i].request, "row %zu",
			     i);
		cr_expect_eq(wire_result_record_bytes(rows[i].kind), rows[i].result, "row %zu", i);
		cr_expect_leq(rows[i].result, rows[i].request, "a reply is never longer");
	}
}

Test(wire, sound_datagrams_pass_both_ways)
{
	static const struct {
		unsigned kind, count;
	} rows[] = {
	    {WIRE_INFO, 1},
	    {WIRE_TRANSFER, 1},
	    {WIRE_TRANSFER, 22},
	    {WIRE_TRANSFER, WIRE_RECORDS_MAX},
	    {WIRE_ACCOUNT, 5},
	    {WIRE_LOOKUP_ACCOUNT, WIRE_RECORDS_MAX},
	    {WIRE_LOOKUP_TRANSFER, 22},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned kind = rows[i].kind;
		struct datagram request = sound_request(kind, rows[i].count);
		cr_expect_eq(wire_check_request(request.bytes, request.size), 0, "row %zu", i);
		struct datagram reply = sound_reply(kind, rows[i].count);
		cr_expect_eq(wire_check_reply(reply.bytes, reply.size, kind), 0, "row %zu", i);
		cr_expect_leq(reply.size, request.size);
		cr_expect_eq(header_of(&reply).request_id, REQUEST_ID, "echoed");
		cr_expect_eq(header_of(&reply).map_version, 7);
		/* neither passes for the other */
		cr_expect_eq(wire_check_request(reply.bytes, reply.size), WIRE_FAULT_REPLY);
		cr_expect_eq(wire_check_reply(request.bytes, request.size, kind), WIRE_FAULT_REPLY);
	}
}

enum field { VERSION, KIND, COUNT, MAP_VERSION, STATUS, RETRY, MAGIC, SIZE };

/* The datagram with one header field (or its size) set, and a right checksum. */
static struct datagram altered(struct datagram datagram, enum field field, unsigned value)
{
	struct wire_header header = header_of(&datagram);
	switch (field) {
	case VERSION:
		header.version = (uint8_t)value;
		break;
	case KIND:
		header.kind = (uint8_t)value;
		break;
	case COUNT:
		header.count = (uint16_t)value;
		break;
	case MAP_VERSION:
		header.map_version = value;
		break;
	case STATUS:
		header.status = (uint16_t)value;
		break;
	case RETRY:
		header.retry_after_ms = (uint16_t)value;
		break;
	case MAGIC:
		header.magic = value;
		break;
	case SIZE:
		datagram.size = value;
		break;
	}
	put_header(&datagram, header);
	return datagram;
}

Test(wire, requests_malformed)
{
	/* Each row alters one thing in a request of two transfers, 160 bytes. */
	static const struct {
		const char *name;
		enum field field;
		unsigned value;
		int verdict;
	} rows[] = {
	    {"unaltered", SIZE, 160, 0},
	    {"header alone", SIZE, 32, STATUS_BAD_COUNT},
	    {"a byte short", SIZE, 159, STATUS_BAD_COUNT},
	    {"a byte long", SIZE, 161, STATUS_BAD_COUNT},
	    {"a record short", SIZE, 96, STATUS_BAD_COUNT},
	    {"longest datagram", SIZE, WIRE_DATAGRAM_MAX, STATUS_BAD_COUNT},
	    {"count zero", COUNT, 0, STATUS_BAD_COUNT},
	    {"count one", COUNT, 1, STATUS_BAD_COUNT},
	    {"count largest", COUNT, UINT16_MAX, STATUS_BAD_COUNT},
	    /* 0x402 * 64 is 128 more than 0x10000 */
	    {"count that wraps 16 bits", COUNT, 0x402, STATUS_BAD_COUNT},
	    {"kind zero", KIND, 0, STATUS_BAD_KIND},
	    {"kind unknown", KIND, 6, STATUS_BAD_KIND},
	    {"kind largest", KIND, 0x7f, STATUS_BAD_KIND},
	    {"kind of other record size", KIND, WIRE_INFO, STATUS_BAD_COUNT},
	    {"a reply", KIND, WIRE_REPLY | WIRE_TRANSFER, WIRE_FAULT_REPLY},
	    {"a reply of unknown kind", KIND, 0xff, WIRE_FAULT_REPLY},
	    {"version zero", VERSION, 0, STATUS_BAD_VERSION},
	    {"version two", VERSION, 2, STATUS_BAD_VERSION},
	    {"version largest", VERSION, 255, STATUS_BAD_VERSION},
	    {"map version set", MAP_VERSION, 1, STATUS_BAD_COUNT},
	    {"status set", STATUS, STATUS_BUSY, STATUS_BAD_COUNT},
	    {"retry set", RETRY, 1, STATUS_BAD_COUNT},
	    {"magic of another", MAGIC, WIRE_MAGIC + 1, WIRE_FAULT_MAGIC},
	    {"magic zero", MAGIC, 0, WIRE_FAULT_MAGIC},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct datagram datagram =
		    altered(sound_request(WIRE_TRANSFER, 2), rows[i].field, rows[i].value);
		cr_expect_eq(wire_check_request(datagram.bytes, datagram.size), rows[i].verdict,
			     "%s", rows[i].name);
	}
}

Test(wire, no_records_are_no_request_and_no_reply)
{
	struct datagram datagram = sound_request(WIRE_TRANSFER, 0);
	cr_assert_eq(datagram.size, sizeof(struct wire_header));
	cr_expect_eq(wire_check_request(datagram.bytes, datagram.size), STATUS_BAD_COUNT);
	datagram.size = wire_seal_reply(datagram.bytes, 0, STATUS_OK, 0, 1);
	cr_expect_eq(wire_check_reply(datagram.bytes, datagram.size, WIRE_TRANSFER),
		     STATUS_BAD_COUNT);
}

Test(wire, a_reply_of_a_later_version_is_not_answered)
{
	struct datagram datagram = altered(sound_reply(WIRE_TRANSFER, 1), VERSION, 2);
	cr_expect_eq(wire_check_request(datagram.bytes, datagram.size), WIRE_FAULT_REPLY);
}

Test(wire, sizes_that_hold_no_header)
{
	struct datagram datagram = sound_request(WIRE_TRANSFER, 2);
	for (size_t size = 0; size < 32; size++) {
		cr_expect_eq(wire_check_request(datagram.bytes, size), WIRE_FAULT_SHORT);
		cr_expect_eq(wire_check_reply(datagram.bytes, size, WIRE_TRANSFER),
			     WIRE_FAULT_SHORT);
	}
	cr_expect_eq(wire_check_request(datagram.bytes, WIRE_DATAGRAM_MAX + 1), WIRE_FAULT_SHORT);
}

Test(wire, any_bit_that_flips_is_noticed)
{
	struct datagram datagram = sound_request(WIRE_TRANSFER, 1);
	for (size_t bit = 0; bit < datagram.size * 8; bit++) {
		datagram.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		int verdict = wire_check_request(datagram.bytes, datagram.size);
		cr_expect(verdict == WIRE_FAULT_CHECKSUM || verdict == WIRE_FAULT_MAGIC,
			  "bit %zu: %d", bit, verdict);
		datagram.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	cr_expect_eq(wire_check_request(datagram.bytes, datagram.size), 0);
}

Test(wire, replies_malformed_or_refusing)
{
	/* Each row alters one thing in a reply of two results of transfers, 64 bytes. */
	static const struct {
		const char *name;
		enum field field;
		unsigned value;
		int verdict;
	} rows[] = {
	    {"unaltered", SIZE, 64, 0},
	    {"a byte short", SIZE, 63, STATUS_BAD_COUNT},
	    {"a byte long", SIZE, 65, STATUS_BAD_COUNT},
	    {"count zero", COUNT, 0, STATUS_BAD_COUNT},
	    {"count three", COUNT, 3, STATUS_BAD_COUNT},
	    {"refused, busy", STATUS, STATUS_BUSY, STATUS_BUSY},
	    {"refused, bad version", STATUS, STATUS_BAD_VERSION, STATUS_BAD_VERSION},
	    {"another version", VERSION, 2, STATUS_BAD_VERSION},
	    {"another kind", KIND, WIRE_REPLY | WIRE_ACCOUNT, WIRE_FAULT_REPLY},
	    {"a request", KIND, WIRE_TRANSFER, WIRE_FAULT_REPLY},
	    {"magic of another", MAGIC, 1, WIRE_FAULT_MAGIC},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct datagram datagram =
		    altered(sound_reply(WIRE_TRANSFER, 2), rows[i].field, rows[i].value);
		cr_expect_eq(wire_check_reply(datagram.bytes, datagram.size, WIRE_TRANSFER),
			     rows[i].verdict, "%s", rows[i].name);
	}
}

Test(wire, a_reply_may_refuse_the_whole_datagram)
{
	/* Of a request that the engine cannot read it keeps the kind and the id. */
	struct datagram datagram = altered(sound_request(WIRE_TRANSFER, 2), KIND, 77);
	datagram.size = wire_seal_reply(datagram.bytes, 0, STATUS_BAD_KIND, 0, 9);
	cr_expect_eq(datagram.size, sizeof(struct wire_header));
	cr_expect_eq(wire_check_reply(datagram.bytes, datagram.size, 77), STATUS_BAD_KIND);

	datagram = altered(sound_request(WIRE_TRANSFER, 2), VERSION, 9);
	datagram.size = wire_seal_reply(datagram.bytes, 0, STATUS_BAD_VERSION, 0, 9);
	cr_expect_eq(header_of(&datagram).version, WIRE_VERSION, "replies speak our version");
	cr_expect_eq(wire_check_reply(datagram.bytes, datagram.size, WIRE_TRANSFER),
		     STATUS_BAD_VERSION);

	datagram = sound_request(WIRE_TRANSFER, 2);
	datagram.size = wire_seal_reply(datagram.bytes, 0, STATUS_BUSY, 250, 9);
	cr_expect_eq(header_of(&datagram).retry_after_ms, 250);
	cr_expect_eq(wire_check_reply(datagram.bytes, datagram.size, WIRE_TRANSFER), STATUS_BUSY);
}

Test(wire, lookups_check_their_content)
{
	struct wire_lookup_account account = {.account = {.hi = 1}};
	cr_expect_eq(wire_check_lookup_account(&account), STATUS_OK);
	account.reserved[5] = 1;
	cr_expect_eq(wire_check_lookup_account(&account), STATUS_RESERVED_NOT_ZERO);
	account.account.hi = 0;
	cr_expect_eq(wire_check_lookup_account(&account), STATUS_RESERVED_NOT_ZERO,
		     "the lower number is given");
	account.reserved[5] = 0;
	cr_expect_eq(wire_check_lookup_account(&account), STATUS_ACCOUNT_ZERO);

	struct wire_lookup_transfer transfer = {.debit = {.lo = 1}};
	cr_expect_eq(wire_check_lookup_transfer(&transfer), STATUS_OK);
	transfer.reserved[0] = UINT64_C(1) << 63;
	cr_expect_eq(wire_check_lookup_transfer(&transfer), STATUS_RESERVED_NOT_ZERO);
	transfer.reserved[0] = 0;
	transfer.debit.lo = 0;
	cr_expect_eq(wire_check_lookup_transfer(&transfer), STATUS_ACCOUNT_ZERO);
}

Test(wire, info_is_one_page_a_datagram)
{
	struct datagram datagram = sound_request(WIRE_INFO, 2);
	cr_assert_eq(datagram.size, 32 + 2 * 1216);
	cr_expect_eq(wire_check_request(datagram.bytes, datagram.size), STATUS_BAD_COUNT);
}

Test(wire, info_checks_its_content)
{
	/* `at`: a byte of the record to set to one; 0: none */
	static const struct {
		uint16_t first_slot;
		size_t at;
		enum status status;
	} rows[] = {
	    {0, 0, STATUS_OK},
	    {1024, 0, STATUS_OK},
	    {3072, 0, STATUS_OK},
	    {4096, 0, STATUS_RESERVED_NOT_ZERO},
	    {1, 0, STATUS_RESERVED_NOT_ZERO},
	    {1023, 0, STATUS_RESERVED_NOT_ZERO},
	    {65535, 0, STATUS_RESERVED_NOT_ZERO},
	    {0, 2, STATUS_RESERVED_NOT_ZERO},
	    {0, 8, STATUS_RESERVED_NOT_ZERO},
	    {0, 64, STATUS_RESERVED_NOT_ZERO},
	    {0, 1215, STATUS_RESERVED_NOT_ZERO},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wire_info_request request = {.first_slot = rows[i].first_slot};
		if (rows[i].at != 0)
			((uint8_t *)&request)[rows[i].at] = 1;
		cr_expect_eq(wire_check_info(&request), rows[i].status, "row %zu", i);
	}
}

Test(wire, faults_have_names_of_their_own)
{
	cr_expect_str_eq(wire_fault_name(WIRE_FAULT_SHORT), "length");
	cr_expect_str_eq(wire_fault_name(WIRE_FAULT_MAGIC), "magic");
	cr_expect_str_eq(wire_fault_name(WIRE_FAULT_REPLY), "direction");
	cr_expect_str_eq(wire_fault_name(WIRE_FAULT_CHECKSUM), "checksum");
	cr_expect_str_eq(wire_fault_name(0), "none");
}
