/* SPDX-License-Identifier: Apache-2.0
 *
 * 128-bit ids of accounts, transfers and account operations.
 *
 * In memory, on the wire and in the log an id is one little-endian 128-bit integer:
 *
 *   byte  0               7 8              15
 *        +-----------------+-----------------+
 *        |       lo        |       hi        |
 *        +-----------------+-----------------+
 *
 * An account id is any non-zero number (a UUID, say). The id of a transfer or of an account
 * operation is time-ordered: the top 48 bits of the number (the top 48 bits of `hi`) are Unix
 * milliseconds, the layout of a UUIDv7 (RFC 9562, section 5.7) read as a big-endian number.
 */
#ifndef GIRO_BASE_ID_H
#define GIRO_BASE_ID_H

#include <stdbool.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/limits.h"

struct id128 {
	uint64_t lo;
	uint64_t hi;
};
_Static_assert(sizeof(struct id128) == 16, "an id is 16 bytes on the wire and in the log");

static inline bool id_equal(struct id128 a, struct id128 b)
{
	return ((a.lo ^ b.lo) | (a.hi ^ b.hi)) == 0;
}

static inline bool id_is_zero(struct id128 id)
{
	return (id.lo | id.hi) == 0;
}

/* Unix milliseconds in the top 48 bits of a transfer or operation id. */
#define ID_TIME_SHIFT 16

static inline uint64_t id_time_ms(struct id128 id)
{
	return id.hi >> ID_TIME_SHIFT;
}

/* XXH3-64 of the id's 16 little-endian bytes, seed 0. */
static inline uint64_t id_hash(struct id128 id)
{
	return XXH3_64bits(&id, sizeof(id));
}

/* The slot of an account id: XXH3-64 mod 4096. Part of the protocol: clients compute it too. */
static inline uint32_t id_slot(struct id128 account)
{
	return (uint32_t)(id_hash(account) % SLOTS);
}

#endif
