/* SPDX-License-Identifier: Apache-2.0
 *
 * The codec against datagrams that an encoder of its own made: tests/golden/wire/make_golden.py.
 * The values here and there are the same by intent, and written twice.
 */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "net/wire.h"

#define REQUEST_ID  UINT64_C(0x1122334455667788)
#define MAP_VERSION 7
#define TIME_MS	    UINT64_C(0x0191a2b3c4d5)

static const struct id128 alice = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
static const struct id128 bob = {0xb0b, 0};
static const struct id128 issuer = {1, 0};

struct payload {
	_Alignas(8) uint8_t bytes[WIRE_DATAGRAM_MAX];
	size_t size;
};

static struct payload golden(const char *name)
{
	struct payload payload = {0};
	char path[512];
	unsigned byte;

	snprintf(path, sizeof(path), "%s/%s.hex", GOLDEN_WIRE, name);
	FILE *file = fopen(path, "r");
	cr_assert_not_null(file, "%s cannot be read", path);
	while (fscanf(file, " %2x", &byte) == 1) {
		cr_assert_lt(payload.size, sizeof(payload.bytes), "%s is too long", path);
		payload.bytes[payload.size++] = (uint8_t)byte;
	}
	cr_assert(feof(file), "%s is no hexadecimal", path);
	fclose(file);
	return payload;
}

static void expect_golden(const char *name, const struct payload *made)
{
	struct payload wanted = golden(name);
	cr_assert_eq(made->size, wanted.size, "%s: %zu bytes, not %zu", name, made->size,
		     wanted.size);
	for (size_t i = 0; i < wanted.size; i++)
		cr_assert_eq(made->bytes[i], wanted.bytes[i], "%s: byte %zu is %02x, not %02x",
			     name, i, made->bytes[i], wanted.bytes[i]);
}

static void expect_request(const char *name, unsigned kind, const void *records, unsigned count)
{
	struct payload made = {0};
	memcpy(made.bytes + sizeof(struct wire_header), records,
	       count * wire_request_record_bytes(kind));
	made.size = wire_seal_request(made.bytes, kind, count, REQUEST_ID);
	expect_golden(name, &made);
	cr_expect_eq(wire_check_request(made.bytes, made.size), 0, "%s", name);
}

static void expect_reply(const char *name, unsigned kind, const void *results, unsigned count)
{
	struct payload made = {0};
	wire_seal_request(made.bytes, kind, 1, REQUEST_ID);
	memcpy(made.bytes + sizeof(struct wire_header), results,
	       count * wire_result_record_bytes(kind));
	made.size = wire_seal_reply(made.bytes, count, STATUS_OK, 0, MAP_VERSION);
	expect_golden(name, &made);
	cr_expect_eq(wire_check_reply(made.bytes, made.size, kind), 0, "%s", name);
}

/* UUIDv7 of TIME_MS + n with the random bits that make_golden.py takes. */
static struct id128 transfer_id(unsigned n)
{
	return (struct id128){
	    .lo = (UINT64_C(0x8000000000000000) | UINT64_C(0x0123456789abcdef)) + n,
	    .hi = (TIME_MS + n) << 16 | 0x7000 | 0x554,
	};
}

static struct transfer transfer(unsigned n)
{
	return (struct transfer){
	    .id = transfer_id(n),
	    .debit = {alice.lo + n, alice.hi},
	    .credit = bob,
	    .amount = UINT64_C(0x0102030405060708) + n,
	    .ledger = 978,
	    .code = 42,
	};
}

Test(golden, transfer)
{
	struct transfer records[WIRE_RECORDS_MAX];
	for (unsigned n = 0; n < WIRE_RECORDS_MAX; n++)
		records[n] = transfer(n);
	expect_request("transfer.request", WIRE_TRANSFER, records, 1);
	expect_request("transfer-3.request", WIRE_TRANSFER, records, 3);
	cr_assert_eq(WIRE_RECORDS_MAX, 139);
	expect_request("transfer-139.request", WIRE_TRANSFER, records, 139);

	static const struct wire_result results[] = {
	    {.status = STATUS_OK, .epoch = 0xe0},
	    {.status = STATUS_INSUFFICIENT_FUNDS, .epoch = 0xe1},
	    {.status = STATUS_BUSY, .retry_after_ms = 15, .epoch = 0xe2},
	};
	expect_reply("transfer.reply", WIRE_TRANSFER, results, 1);
	expect_reply("transfer-3.reply", WIRE_TRANSFER, results, 3);
}

Test(golden, account)
{
	const struct account_operation records[] = {
	    {.id = transfer_id(0),
	     .account = issuer,
	     .floor = FLOOR_ISSUER,
	     .ledger = 978,
	     .action = CREATE_ACCOUNT},
	    {.id = transfer_id(1),
	     .account = alice,
	     .floor = -5000,
	     .ledger = 978,
	     .action = CREATE_ACCOUNT},
	    {.id = transfer_id(2), .account = alice, .action = FREEZE_ACCOUNT},
	    {.id = transfer_id(3), .account = alice, .action = UNFREEZE_ACCOUNT},
	    {.id = transfer_id(4), .account = alice, .action = CLOSE_ACCOUNT},
	};
	expect_request("account.request", WIRE_ACCOUNT, records, 5);

	static const struct wire_result results[] = {
	    {.status = STATUS_OK, .epoch = 0xe0},
	    {.status = STATUS_ACCOUNT_EXISTS, .epoch = 0xe1},
	    {.status = STATUS_OK, .epoch = 0xe2},
	    {.status = STATUS_OK, .epoch = 0xe3},
	    {.status = STATUS_ACCOUNT_NOT_EMPTY, .epoch = 0xe4},
	};
	expect_reply("account.reply", WIRE_ACCOUNT, results, 5);
}

Test(golden, lookup_account)
{
	const struct wire_lookup_account records[] = {{.account = alice}, {.account = bob}};
	expect_request("lookup-account.request", WIRE_LOOKUP_ACCOUNT, records, 2);

	const struct wire_account results[] = {
	    {.account = alice,
	     .balance = -1234,
	     .held = 56,
	     .incoming = 78,
	     .floor = -5000,
	     .ledger = 978,
	     .flags = ACCOUNT_FROZEN,
	     .epoch = 99},
	    {.account = bob, .status = STATUS_ACCOUNT_NOT_FOUND, .epoch = 99},
	};
	expect_reply("lookup-account.reply", WIRE_LOOKUP_ACCOUNT, results, 2);
}

Test(golden, lookup_transfer)
{
	const struct wire_lookup_transfer record = {.id = transfer_id(0), .debit = alice};
	expect_request("lookup-transfer.request", WIRE_LOOKUP_TRANSFER, &record, 1);

	static const struct wire_result result = {.status = STATUS_TRANSFER_NOT_FOUND,
						  .epoch = 0xe0};
	expect_reply("lookup-transfer.reply", WIRE_LOOKUP_TRANSFER, &result, 1);
}

Test(golden, info)
{
	const struct wire_info_request record = {.first_slot = 1024};
	expect_request("info.request", WIRE_INFO, &record, 1);

	struct wire_info info = {
	    .version_min = 1,
	    .version_max = 1,
	    .shards = 3,
	    .first_slot = 1024,
	    .datagram_max = 1472,
	    .records_max = 22,
	    .window_ms = 3600000,
	    .ahead_ms = 60000,
	    .now_ms = TIME_MS,
	    .committed = 0x1234,
	    .log_id = UINT64_C(0xfedcba9876543210),
	    .accounts_max = 1 << 20,
	    .port = {7000, 7001, 7002},
	};
	for (unsigned i = 0; i < WIRE_INFO_SLOTS; i++)
		info.slot[i] = (uint8_t)((1024 + i) * 3 / SLOTS);
	expect_reply("info.reply", WIRE_INFO, &info, 1);
}

Test(golden, refusals)
{
	struct payload made = {0};
	wire_seal_request(made.bytes, WIRE_TRANSFER, 1, REQUEST_ID);
	made.size = wire_seal_reply(made.bytes, 0, STATUS_BUSY, 20, MAP_VERSION);
	expect_golden("busy.reply", &made);

	wire_seal_request(made.bytes, 77, 0, REQUEST_ID);
	made.size = wire_seal_reply(made.bytes, 0, STATUS_BAD_KIND, 0, MAP_VERSION);
	expect_golden("bad-kind.reply", &made);
}
