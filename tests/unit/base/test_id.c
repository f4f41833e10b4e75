/* SPDX-License-Identifier: Apache-2.0 */
#include "base/id.h"

#include <string.h>

#include <criterion/criterion.h>

Test(id, is_one_little_endian_number)
{
	static const uint8_t bytes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	struct id128 id;
	memcpy(&id, bytes, sizeof(id));
	cr_expect_eq(id.lo, UINT64_C(0x0706050403020100));
	cr_expect_eq(id.hi, UINT64_C(0x0f0e0d0c0b0a0908));
}

Test(id, time_is_the_top_48_bits)
{
	/* 0190a2b3-c4d5-7123-9234-56789abcdef0, a UUIDv7 */
	struct id128 uuid = {.lo = UINT64_C(0x923456789abcdef0),
			     .hi = UINT64_C(0x0190a2b3c4d57123)};
	cr_expect_eq(id_time_ms(uuid), UINT64_C(0x0190a2b3c4d5));
	cr_expect_eq(id_time_ms((struct id128){.lo = UINT64_MAX, .hi = 0xffff}), 0);
	cr_expect_eq(id_time_ms((struct id128){.hi = UINT64_MAX}), (UINT64_C(1) << 48) - 1);
}

Test(id, equal_and_zero_look_at_all_128_bits)
{
	for (unsigned bit = 0; bit < 128; bit++) {
		struct id128 one = bit < 64 ? (struct id128){.lo = UINT64_C(1) << bit}
					    : (struct id128){.hi = UINT64_C(1) << (bit - 64)};
		struct id128 zero = {0};
		cr_expect_not(id_equal(one, zero), "bit %u", bit);
		cr_expect(id_equal(one, one), "bit %u", bit);
		cr_expect_not(id_is_zero(one), "bit %u", bit);
	}
	cr_expect(id_is_zero((struct id128){0}));
	/* equal halves swapped are another id */
	cr_expect_not(id_equal((struct id128){1, 2}, (struct id128){2, 1}));
}

/* Placement is part of the protocol and of every log: these values come from an implementation of
 * XXH3-64 of its own (tests/e2e/giro_wire.py). */
Test(id, hash_and_slot_are_pinned)
{
	static const struct {
		struct id128 id;
		uint64_t hash;
		uint32_t slot;
	} rows[] = {
	    {{0, 0}, 0xd0a66a65c7528968, 2408},
	    {{1, 0}, 0x26f2a1148cf52011, 17},
	    {{2, 0}, 0xcccf6ae5672fb05e, 94},
	    {{0, 1}, 0x0cfbaea74a8cc0e5, 229},
	    {{UINT64_MAX, UINT64_MAX}, 0x722a202f07a4b313, 787},
	    {{0x0706050403020100, 0x0f0e0d0c0b0a0908}, 0x8355e3a6f61770db, 219},
	    {{0x923456789abcdef0, 0x0190a2b3c4d57123}, 0x319c8f53cd4b6082, 130},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(id_hash(rows[i].id), rows[i].hash, "row %zu", i);
		cr_expect_eq(id_slot(rows[i].id), rows[i].slot, "row %zu", i);
	}
}
