/* SPDX-License-Identifier: Apache-2.0 */
#include "wal/format.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t wal_header_checksum(const void *header, size_t bytes)
{
	return XXH3_64bits((const uint8_t *)header + sizeof(uint64_t), bytes - sizeof(uint64_t));
}

struct wal_hash wal_header_hash(const struct wal_block_header *header)
{
	XXH128_hash_t hash = XXH3_128bits(header, sizeof(*header));
	return (struct wal_hash){.lo = hash.low64, .hi = hash.high64};
}
