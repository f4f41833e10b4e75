/* SPDX-License-Identifier: Apache-2.0 */
#include "shard/record.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const struct transfer transfer = {
    .id = {.lo = 0x0807060504030201, .hi = 0x100f0e0d0c0b0a09},
    .debit = {.lo = 0x1817161514131211, .hi = 0x201f1e1d1c1b1a19},
    .credit = {.lo = 0x2827262524232221, .hi = 0x302f2e2d2c2b2a29},
    .amount = 0x3837363534333231,
    .ledger = 0x3c3b3a39,
    .code = 0x3e3d,
    .flags = 0x403f,
};

static const struct account_operation operation = {
    .id = {.lo = 0x0807060504030201, .hi = 0x100f0e0d0c0b0a09},
    .account = {.lo = 0x1817161514131211, .hi = 0x201f1e1d1c1b1a19},
    .floor = 0x2827262524232221,
    .ledger = 0x2c2b2a29,
    .action = 0x2e2d,
    .flags = 0x302f,
    .reserved = {0x3837363534333231, 0x403f3e3d3c3b3a39},
};

static const struct record_try try = {
    .amount = 0x0807060504030201,
    .transfer = {.lo = 0x100f0e0d0c0b0a09, .hi = 0x1817161514131211},
    .credit = {.lo = 0x201f1e1d1c1b1a19, .hi = 0x2827262524232221},
    .ledger = 0x2c2b2a29,
    .code = 0x2e2d,
    .low_delta = 0x302f,
};

/* The bodies above hold the bytes 1, 2, 3, ... in the log. */
static const struct {
	enum record_kind kind;
	const char *name;
	size_t bytes;
	uint8_t golden_head[8];
} rows[] = {
    {RECORD_TRANSFER, "TRANSFER", 72, {1, 0xa1, 0xb1, 0xb2, 0xc1, 0xc2, 0xc3, 0xc4}},
    {RECORD_ACCOUNT, "ACCOUNT", 72, {2, 0xa1, 0xb1, 0xb2, 0xc1, 0xc2, 0xc3, 0xc4}},
    {RECORD_TRY, "TRY", 56, {3, 0xa1, 0xb1, 0xb2, 0xc1, 0xc2, 0xc3, 0xc4}},
    {RECORD_VOTE, "VOTE", 8, {4, 0xa1, 0xb1, 0xb2, 0xc1, 0xc2, 0xc3, 0xc4}},
    {RECORD_CONFIRM, "CONFIRM", 8, {5, 0xa1, 0xb1, 0xb2, 0xc1, 0xc2, 0xc3, 0xc4}},
    {RECORD_CANCEL, "CANCEL", 8, {6, 0xa1, 0xb1, 0xb2, 0xc1, 0xc2, 0xc3, 0xc4}},
    {RECORD_ACK, "ACK", 8, {7, 0xa1, 0xb1, 0xb2, 0xc1, 0xc2, 0xc3, 0xc4}},
    {RECORD_TIMEOUT, "TIMEOUT", 8, {8, 0xa1, 0xb1, 0xb2, 0xc1, 0xc2, 0xc3, 0xc4}},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static struct record record_of(size_t row)
{
	struct record record = {
	    .head =
		{
		    .kind = (uint8_t)rows[row].kind,
		    .peer = 0xa1,
		    .arg = 0xb2b1,
		    .seq_low = 0xc4c3c2c1,
		},
	};

	if (rows[row].kind == RECORD_TRANSFER)
		record.transfer = transfer;
	if (rows[row].kind == RECORD_ACCOUNT)
		record.operation = operation;
	if (rows[row].kind == RECORD_TRY)
		record.try = try;
	return record;
}

Test(record, golden_bytes)
{
	for (size_t i = 0; i < ROWS; i++) {
		struct record record = record_of(i);
		uint8_t golden[RECORD_BYTES_MAX];
		uint8_t bytes[RECORD_BYTES_MAX + 8];

		memcpy(golden, rows[i].golden_head, 8);
		for (size_t at = 8; at < rows[i].bytes; at++)
			golden[at] = (uint8_t)(at - 7);
		memset(bytes, 0xee, sizeof(bytes));
		cr_assert_eq(record_encode(&record, bytes), rows[i].bytes, "%s", rows[i].name);
		cr_assert_arr_eq(bytes, golden, rows[i].bytes, "%s", rows[i].name);
		for (size_t at = rows[i].bytes; at < sizeof(bytes); at++)
			cr_assert_eq(bytes[at], 0xee, "%s writes beyond its end", rows[i].name);
	}
}

Test(record, decoding_gives_back_what_was_encoded)
{
	for (size_t i = 0; i < ROWS; i++) {
		const struct record record = record_of(i);
		struct record again = {.head = {.kind = 0}};
		uint8_t bytes[RECORD_BYTES_MAX];

		record_encode(&record, bytes);
		cr_assert_eq(record_decode(bytes, sizeof(bytes), &again), rows[i].bytes);
		cr_assert_arr_eq(&again, &record, rows[i].bytes, "%s", rows[i].name);
	}
}

/* Each piece in memory of its own size, so that a sanitizer sees a read beyond it. */
static size_t decode_piece(const uint8_t *bytes, size_t size)
{
	struct record record;
	uint8_t *piece = malloc(size);

	memcpy(piece, bytes, size);
	size_t used = record_decode(piece, size, &record);
	free(piece);
	return used;
}

Test(record, truncated_at_every_length)
{
	for (size_t i = 0; i < ROWS; i++) {
		const struct record record = record_of(i);
		uint8_t bytes[RECORD_BYTES_MAX];

		record_encode(&record, bytes);
		for (size_t size = 0; size < rows[i].bytes; size++)
			cr_assert_eq(decode_piece(bytes, size), 0, "%s of %zu bytes", rows[i].name,
				     size);
		cr_assert_eq(decode_piece(bytes, rows[i].bytes), rows[i].bytes);
	}
}

Test(record, names_and_sizes_of_every_kind)
{
	for (unsigned kind = 0; kind < 300; kind++) {
		bool known = kind >= RECORD_TRANSFER && kind <= RECORD_TIMEOUT;

		cr_expect_eq(record_bytes(kind), known ? rows[kind - 1].bytes : 0, "kind %u", kind);
		cr_expect_str_eq(record_name(kind), known ? rows[kind - 1].name : "?");
	}
}

Test(record, unknown_kinds_are_refused)
{
	for (unsigned kind = 0; kind < 256; kind++) {
		uint8_t bytes[256] = {(uint8_t)kind};
		struct record record;

		cr_expect_eq(record_decode(bytes, sizeof(bytes), &record), record_bytes(kind));
	}
}

Test(record, encoding_an_unknown_kind_is_a_broken_invariant, .signal = SIGABRT)
{
	const struct record record = {.head = {.kind = 9}};
	uint8_t bytes[RECORD_BYTES_MAX];

	record_encode(&record, bytes);
}
