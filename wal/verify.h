/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a page is the header that it should be: pure functions on bytes, any thread. A page that
 * passes wal_segment_header_check() or wal_block_header_check() is valid in itself; whether it is
 * the next one of the log is a question of its own.
 */
#ifndef GIRO_WAL_VERIFY_H
#define GIRO_WAL_VERIFY_H

#include <stdint.h>

#include "wal/format.h"
#include "wal/reader.h"

/* Valid in itself: magic, checksum, log, version, place, fields. `log_id` zero takes any log. */
enum wal_reason wal_segment_header_check(const struct wal_segment_header *header, uint64_t log_id,
					 uint64_t segment, uint64_t segment_bytes);
enum wal_reason wal_block_header_check(const struct wal_block_header *header, uint64_t log_id,
				       uint64_t segment, uint64_t segment_bytes, uint64_t offset);

/* A valid segment header announces the block that comes next at `tail`. */
enum wal_reason wal_segment_header_follows(const struct wal_segment_header *header,
					   const struct wal_tail *tail);

/* A valid block header is the next block behind `tail`. */
enum wal_reason wal_block_follows(const struct wal_block_header *header,
				  const struct wal_tail *tail);

/* A valid block header is the first block that its segment's header announces. */
enum wal_reason wal_block_is_first(const struct wal_block_header *header,
				   const struct wal_segment_header *segment);

/* The payload_bytes behind a valid block header have its payload_hash. */
enum wal_reason wal_payload_check(const struct wal_block_header *header, const void *payload);

#endif
