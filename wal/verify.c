/* SPDX-License-Identifier: Apache-2.0 */
#include "wal/verify.h"

#include <stdbool.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static bool all_zero(const void *bytes, size_t count)
{
	const uint8_t *byte = bytes;
	return count == 0 || (byte[0] == 0 && memcmp(byte, byte + 1, count - 1) == 0);
}

enum wal_reason wal_segment_header_check(const struct wal_segment_header *header, uint64_t log_id,
					 uint64_t segment, uint64_t segment_bytes)
{
	if (header->magic != WAL_SEGMENT_MAGIC)
		return all_zero(header, sizeof(*header)) ? WAL_REASON_ZERO : WAL_REASON_MAGIC;
	if (header->checksum != wal_header_checksum(header, sizeof(*header)))
		return WAL_REASON_CHECKSUM;
	if (header->log_id == 0 || (log_id != 0 && header->log_id != log_id))
		return WAL_REASON_LOG_ID;
	if (header->version != WAL_VERSION)
		return WAL_REASON_VERSION;
	if (header->segment != segment)
		return WAL_REASON_PLACE;
	if (header->segment_bytes != segment_bytes)
		return WAL_REASON_SEGMENT_SIZE;
	if (header->meta_bytes > WAL_META_MAX || header->first_incarnation == 0 ||
	    header->first_epoch == 0 || (header->segment == 0) != (header->first_seq == 0))
		return WAL_REASON_LAYOUT;
	if (!all_zero(header->reserved, sizeof(header->reserved)) ||
	    !all_zero(header->meta + header->meta_bytes, WAL_META_MAX - header->meta_bytes))
		return WAL_REASON_LAYOUT;
	return WAL_REASON_NONE;
}

/* Sections lie one behind the other from the second page on, and fill the payload exactly. */
static bool rows_are_sound(const struct wal_block_header *header)
{
	uint64_t offset = WAL_PAGE;
	uint64_t end = WAL_PAGE + header->payload_bytes;
	for (uint32_t i = 0; i < header->section_count; i++) {
		const struct wal_section_row *row = &header->sections[i];
		if (row->offset != offset || row->bytes > end - offset)
			return false;
		offset += wal_padded(row->bytes);
	}
	const struct wal_section_row *unused = header->sections + header->section_count;
	size_t unused_count = WAL_SECTIONS_MAX - header->section_count;
	return offset == end && all_zero(unused, unused_count * sizeof(*unused)) &&
	       all_zero(header->reserved, sizeof(header->reserved));
}

enum wal_reason wal_block_header_check(const struct wal_block_header *header, uint64_t log_id,
				       uint64_t segment, uint64_t segment_bytes, uint64_t offset)
{
	if (header->magic != WAL_BLOCK_MAGIC)
		return all_zero(header, sizeof(*header)) ? WAL_REASON_ZERO : WAL_REASON_MAGIC;
	if (header->checksum != wal_header_checksum(header, sizeof(*header)))
		return WAL_REASON_CHECKSUM;
	if (header->log_id == 0 || (log_id != 0 && header->log_id != log_id))
		return WAL_REASON_LOG_ID;
	if (header->version != WAL_VERSION)
		return WAL_REASON_VERSION;
	if (header->segment != segment || header->offset != offset)
		return WAL_REASON_PLACE;
	if (header->type < WAL_DATA || header->type > WAL_CLOSE ||
	    header->section_count > WAL_SECTIONS_MAX || header->incarnation == 0 ||
	    header->epoch == 0 || header->durable_count > header->seq)
		return WAL_REASON_LAYOUT;
	if (header->payload_bytes % WAL_PAGE != 0 || header->payload_bytes > WAL_PAYLOAD_MAX ||
	    offset > segment_bytes || segment_bytes - offset < WAL_PAGE + header->payload_bytes)
		return WAL_REASON_LAYOUT;
	return rows_are_sound(header) ? WAL_REASON_NONE : WAL_REASON_LAYOUT;
}

enum wal_reason wal_segment_header_follows(const struct wal_segment_header *header,
					   const struct wal_tail *tail)
{
	if (header->first_incarnation < tail->incarnation)
		return WAL_REASON_INCARNATION;
	if (header->first_seq != tail->next_seq)
		return WAL_REASON_SEQ;
	if (!wal_hash_equal(header->prev_hash, tail->prev_hash))
		return WAL_REASON_CHAIN;
	return WAL_REASON_NONE;
}

enum wal_reason wal_block_follows(const struct wal_block_header *header,
				  const struct wal_tail *tail)
{
	if (header->incarnation < tail->incarnation)
		return WAL_REASON_INCARNATION;
	if (header->seq != tail->next_seq)
		return WAL_REASON_SEQ;
	if (!wal_hash_equal(header->prev_hash, tail->prev_hash))
		return WAL_REASON_CHAIN;
	uint64_t incarnation = tail->incarnation + (header->type == WAL_OPEN ? 1 : 0);
	if (header->incarnation != incarnation || (tail->closed && header->type != WAL_OPEN))
		return WAL_REASON_CHAIN;
	if (header->epoch <= tail->epoch)
		return WAL_REASON_EPOCH;
	if (header->time_ms < tail->time_ms)
		return WAL_REASON_TIME;
	return WAL_REASON_NONE;
}

enum wal_reason wal_block_is_first(const struct wal_block_header *header,
				   const struct wal_segment_header *segment)
{
	bool same = header->seq == segment->first_seq && header->epoch == segment->first_epoch &&
		    header->time_ms == segment->first_time_ms &&
		    header->incarnation == segment->first_incarnation &&
		    wal_hash_equal(header->prev_hash, segment->prev_hash);
	return same ? WAL_REASON_NONE : WAL_REASON_SEGMENT_FIRST;
}

enum wal_reason wal_payload_check(const struct wal_block_header *header, const void *payload)
{
	XXH128_hash_t hash = XXH3_128bits(payload, header->payload_bytes);
	struct wal_hash have = {.lo = hash.low64, .hi = hash.high64};
	return wal_hash_equal(have, header->payload_hash) ? WAL_REASON_NONE : WAL_REASON_PAYLOAD;
}
