/* SPDX-License-Identifier: Apache-2.0
 *
 * docs/protocol.md against the code: its worked examples are the codec's bytes, its table of
 * statuses is base/status.h, its slots are id_slot(), its hashes are XXH3-64.
 *
 * An example is a block of hexadecimal lines under a comment that names it:
 *
 *   <!-- example transfer-request -->
 *   ```
 *   0000  d3 b1 ...      | remarks
 *   *                    | zeros up to the next offset
 *   0060                 | the size, at the end
 *   ```
 */
#include <criterion/criterion.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/giro.h"
#include "net/wire.h"

#define TEXT_MAX (1 << 18)

static char text[TEXT_MAX];

static void setup(void)
{
	FILE *in = fopen(GIRO_PROTOCOL_TEXT, "r");

	cr_assert(in != NULL, "%s", GIRO_PROTOCOL_TEXT);
	const size_t size = fread(text, 1, sizeof(text) - 1, in);
	cr_assert(size < sizeof(text) - 1);
	text[size] = '\0';
	fclose(in);
}

TestSuite(protocol_text, .init = setup);

static struct id128 id(uint64_t hi, uint64_t lo)
{
	return (struct id128){.lo = lo, .hi = hi};
}

#define TRANSFER_ID  id(0x0190a5b01c007001, 0x8000000000000001)
#define OPERATION_ID id(0x0190a5b01bff7000, 0x8000000000000002)
#define REQUEST_ID   0x1122334455667788

static void put(uint8_t *payload, unsigned index, const void *record, size_t size)
{
	memcpy(payload + sizeof(struct wire_header) + index * size, record, size);
}

static size_t transfer_request(uint8_t *payload)
{
	const struct transfer transfer = {
	    .id = TRANSFER_ID,
	    .debit = id(0, 1000),
	    .credit = id(0, 1001),
	    .amount = 2500,
	    .ledger = 1,
	    .code = 4,
	};

	put(payload, 0, &transfer, sizeof(transfer));
	return wire_seal_request(payload, WIRE_TRANSFER, 1, REQUEST_ID);
}

static size_t transfer_reply(uint8_t *payload)
{
	const struct wire_result result = {.status = STATUS_OK, .epoch = 77};

	transfer_request(payload);
	put(payload, 0, &result, sizeof(result));
	return wire_seal_reply(payload, 1, STATUS_OK, 0, 1);
}

static size_t busy_reply(uint8_t *payload)
{
	transfer_request(payload);
	return wire_seal_reply(payload, 0, STATUS_BUSY, 2, 1);
}

static size_t create_request(uint8_t *payload)
{
	const struct account_operation operation = {
	    .id = OPERATION_ID,
	    .account = id(0x0190a5b000007000, 0x8000000000000abc),
	    .floor = FLOOR_ISSUER,
	    .ledger = 1,
	    .action = CREATE_ACCOUNT,
	};

	put(payload, 0, &operation, sizeof(operation));
	return wire_seal_request(payload, WIRE_ACCOUNT, 1, REQUEST_ID + 1);
}

static size_t account_request(uint8_t *payload)
{
	const struct wire_lookup_account lookups[] = {
	    {.account = id(0, 1000)},
	    {.account = id(0, 1002)},
	};

	put(payload, 0, &lookups[0], sizeof(lookups[0]));
	put(payload, 1, &lookups[1], sizeof(lookups[1]));
	return wire_seal_request(payload, WIRE_LOOKUP_ACCOUNT, 2, REQUEST_ID + 2);
}

static size_t account_reply(uint8_t *payload)
{
	const struct wire_account accounts[] = {
	    {
		.account = id(0, 1000),
		.balance = 97500,
		.held = 300,
		.floor = -10000,
		.ledger = 1,
		.flags = ACCOUNT_FROZEN,
		.epoch = 78,
	    },
	    {.account = id(0, 1002), .status = STATUS_ACCOUNT_NOT_FOUND, .epoch = 78},
	};

	account_request(payload);
	put(payload, 0, &accounts[0], sizeof(accounts[0]));
	put(payload, 1, &accounts[1], sizeof(accounts[1]));
	return wire_seal_reply(payload, 2, STATUS_OK, 0, 1);
}

static size_t outcome_request(uint8_t *payload)
{
	const struct wire_lookup_transfer lookup = {.id = TRANSFER_ID, .debit = id(0, 1000)};

	put(payload, 0, &lookup, sizeof(lookup));
	return wire_seal_request(payload, WIRE_LOOKUP_TRANSFER, 1, REQUEST_ID + 3);
}

static size_t info_request(uint8_t *payload)
{
	const struct wire_info_request request = {.first_slot = 1024};

	put(payload, 0, &request, sizeof(request));
	return wire_seal_request(payload, WIRE_INFO, 1, REQUEST_ID + 4);
}

static size_t info_reply(uint8_t *payload)
{
	struct wire_info info = {
	    .version_min = 1,
	    .version_max = 1,
	    .shards = 2,
	    .first_slot = 1024,
	    .datagram_max = 1472,
	    .records_max = 22,
	    .window_ms = 3600000,
	    .ahead_ms = 5000,
	    .now_ms = 1720713460736,
	    .committed = 78,
	    .log_id = 0xfeedc0de,
	    .accounts_max = 1000000,
	    .port = {7400, 7401},
	};

	memset(info.slot + 1008, 1, 16);
	info_request(payload);
	put(payload, 0, &info, sizeof(info));
	return wire_seal_reply(payload, 1, STATUS_OK, 0, 1);
}

/* Writes the example as it should stand in the text. */
static void dump(const char *name, const uint8_t *bytes, size_t size)
{
	printf("== %s\n", name);
	for (size_t at = 0; at < size; at += 16) {
		printf("%04zx ", at);
		for (size_t i = at; i < at + 16 && i < size; i++)
			printf("%s%02x", i % 8 == 0 && i % 16 != 0 ? "  " : " ", bytes[i]);
		printf("\n");
	}
	printf("%04zx\n", size);
}

/* Reads the block behind `name`; returns its size. */
static size_t read_example(const char *name, uint8_t *bytes)
{
	char mark[64];

	snprintf(mark, sizeof(mark), "<!-- example %s -->", name);
	const char *at = strstr(text, mark);
	cr_assert(at != NULL, "no example %s", name);
	at = strstr(at, "```");
	at = strchr(at, '\n') + 1;
	memset(bytes, 0, WIRE_DATAGRAM_MAX);
	size_t offset = 0;
	for (; strncmp(at, "```", 3) != 0; at = strchr(at, '\n') + 1) {
		if (*at == '*')
			continue;
		char *end;
		offset = strtoul(at, &end, 16);
		cr_assert(end == at + 4, "%s: %.20s", name, at);
		while (*end == ' ' && isxdigit((unsigned char)end[end[1] == ' ' ? 2 : 1]))
			bytes[offset++] = (uint8_t)strtoul(end, &end, 16);
	}
	return offset;
}

Test(protocol_text, examples_are_the_codecs_bytes)
{
	static const struct {
		const char *name;
		size_t (*make)(uint8_t *payload);
	} rows[] = {
	    {"transfer-request", transfer_request},
	    {"transfer-reply", transfer_reply},
	    {"busy-reply", busy_reply},
	    {"create-request", create_request},
	    {"account-request", account_request},
	    {"account-reply", account_reply},
	    {"outcome-request", outcome_request},
	    {"info-request", info_request},
	    {"info-reply", info_reply},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		static uint8_t want[WIRE_DATAGRAM_MAX], got[WIRE_DATAGRAM_MAX];
		memset(want, 0, sizeof(want));
		const size_t want_size = rows[i].make(want);
		const size_t got_size = read_example(rows[i].name, got);
		const bool same = want_size == got_size && memcmp(want, got, want_size) == 0;
		cr_expect(same, "example %s differs; it should be as printed", rows[i].name);
		if (!same)
			dump(rows[i].name, want, want_size);
	}
}

Test(protocol_text, statuses_are_those_of_the_code)
{
	unsigned rows = 0;

#define IN_TEXT(name, number, meaning)                                      \
	do {                                                                \
		char row[64];                                               \
		snprintf(row, sizeof(row), "| %d | %s | ", number, #name);  \
		cr_expect(strstr(text, row) != NULL, "no row \"%s\"", row); \
		rows++;                                                     \
	} while (0);
	STATUS_LIST(IN_TEXT)
#undef IN_TEXT
	const char *at = strstr(text, "<!-- statuses -->");
	cr_assert(at != NULL);
	const char *end = strstr(at, "<!-- end of statuses -->");
	cr_assert(end != NULL);
	unsigned in_text = 0;
	for (; at < end; at = strchr(at, '\n') + 1)
		in_text += at[0] == '|' && isdigit((unsigned char)at[2]);
	cr_expect(in_text == rows, "%u rows, %u statuses", in_text, rows);
}

Test(protocol_text, slots_are_those_of_the_code)
{
	const char *at = strstr(text, "<!-- slots -->");
	unsigned rows = 0;

	cr_assert(at != NULL);
	while ((at = strchr(at, '\n') + 1)[0] != '<') {
		char account[GIRO_ID_TEXT_BYTES];
		char bytes[40];
		uint64_t hash;
		unsigned slot;
		struct giro_id number;
		if (sscanf(at, "| `%39[0-9a-f-]` | `%39[0-9a-f]` | `%" SCNx64 "` | %u |", account,
			   bytes, &hash, &slot) != 4)
			continue;
		cr_assert(giro_id_parse(account, &number) == 0);
		const struct id128 key = {number.lo, number.hi};
		char want[40];
		for (unsigned i = 0; i < 16; i++)
			snprintf(want + 2 * i, 3, "%02x", ((const uint8_t *)&key)[i]);
		cr_expect_str_eq(bytes, want, "%s: bytes %s", account, want);
		cr_expect(hash == id_hash(key), "%s: %016" PRIx64, account, id_hash(key));
		cr_expect(slot == id_slot(key), "%s: slot %u", account, id_slot(key));
		rows++;
	}
	cr_expect(rows == 4, "%u rows", rows);
}

Test(protocol_text, hashes_are_xxh3)
{
	static uint8_t bytes[WIRE_DATAGRAM_MAX];
	const char *at = strstr(text, "<!-- xxh3 -->");
	unsigned rows = 0;

	cr_assert(at != NULL);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	while ((at = strchr(at, '\n') + 1)[0] != '<') {
		size_t size;
		uint64_t hash;
		if (sscanf(at, "| %zu | `%" SCNx64 "` |", &size, &hash) != 2)
			continue;
		cr_assert(size <= sizeof(bytes));
		cr_expect(hash == XXH3_64bits(bytes, size), "%zu bytes", size);
		rows++;
	}
	cr_expect(rows == 8, "%u rows", rows);
}
