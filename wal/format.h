/* SPDX-License-Identifier: Apache-2.0
 *
 * The log on disk, version 1. docs/log-format.md is its text for people; the two must agree to the
 * byte.
 *
 *   segment 0          segment 1               one block
 *  +--------+         +--------+              +-------------------------+  4 KiB
 *  | header |  4 KiB  | header |              | header: place, number,  |
 *  +--------+         +--------+              | chain, checksums, rows  |
 *  | block  |         | block  |              +-------------------------+  row 0's offset
 *  +--------+         +--------+              | section 0   | zero pad  |  n * 4 KiB
 *  | block  |         | block  |              +-------------------------+  row 1's offset
 *  +--------+         +--------+              | section 1   | zero pad  |  n * 4 KiB
 *  | unused |         |  ...   |              +-------------------------+
 *  +--------+         +--------+
 *
 * A log is a sequence of segments of one fixed size, numbered from 0; a block lies inside one
 * segment. Blocks are numbered without gaps over the whole log. Each one is written by one durable
 * write, several are in flight at once, and a block tells how many leading blocks were known to be
 * durable when it was written: that is what tells a torn tail from corruption.
 *
 * Everything is little-endian and a multiple of 4 KiB. Reserved bytes are zero and checked.
 */
#ifndef GIRO_WAL_FORMAT_H
#define GIRO_WAL_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

#define WAL_PAGE    4096u
#define WAL_VERSION 1

#define WAL_SEGMENT_MAGIC 0x316765732d6f7267ull /* "gro-seg1" in memory */
#define WAL_BLOCK_MAGIC	  0x316b6c622d6f7267ull /* "gro-blk1" in memory */
#define WAL_DEVICE_MAGIC  0x317665642d6f7267ull /* "gro-dev1" in memory */

#define WAL_SECTIONS_MAX SHARDS_MAX
#define WAL_META_MAX	 3072u

/* The largest payload of one block: what the reader must be able to hold in memory. */
#define WAL_PAYLOAD_MAX (64u << 20)

#define WAL_SEGMENT_BYTES_MIN (16u * WAL_PAGE)
#define WAL_SEGMENT_BYTES_MAX (1ull << 40)
/* Segments of one log, at most. */
#define WAL_SEGMENTS_MAX (1u << 20)

/* XXH3-128, seed 0. */
struct wal_hash {
	uint64_t lo;
	uint64_t hi;
};
_Static_assert(sizeof(struct wal_hash) == 16, "no padding");

/* The first page of a segment. It is written together with the segment's first block, which counts
 * as durable only when both are. */
struct wal_segment_header {
	uint64_t checksum; /* XXH3-64 of the page from `magic` to its end */
	uint64_t magic;
	uint32_t version;
	uint32_t meta_bytes;
	uint64_t log_id;	/* random, never zero: the identity of the log */
	uint64_t segment;	/* number of this segment */
	uint64_t segment_bytes; /* the same in all segments of a log */
	uint64_t first_seq;	/* these four are copies from the first block's header */
	uint64_t first_epoch;
	uint64_t first_time_ms;
	uint64_t first_incarnation;
	struct wal_hash prev_hash; /* hash of the header page of block first_seq - 1 */
	uint8_t reserved[928];
	uint8_t meta[WAL_META_MAX]; /* opaque to the log; what the caller must know to read on */
};
_Static_assert(sizeof(struct wal_segment_header) == WAL_PAGE, "one page");
_Static_assert(offsetof(struct wal_segment_header, first_seq) == 48, "no hole");
_Static_assert(offsetof(struct wal_segment_header, prev_hash) == 80, "no hole");
_Static_assert(offsetof(struct wal_segment_header, meta) == 1024, "meta ends the page");

enum wal_block_type {
	WAL_DATA = 1,
	WAL_OPEN = 2,  /* first block of an incarnation; durable before anything follows */
	WAL_CLOSE = 3, /* last block of a clean shutdown; everything before it is durable */
};

struct wal_section_row {
	uint64_t offset; /* from the block's start; a multiple of 4 KiB */
	uint64_t bytes;	 /* without the padding */
	uint8_t digest[16];
};
_Static_assert(sizeof(struct wal_section_row) == 32, "no padding");

struct wal_block_header {
	uint64_t checksum; /* XXH3-64 of the page from `magic` to its end */
	uint64_t magic;
	uint16_t version;
	uint16_t type; /* enum wal_block_type */
	uint32_t section_count;
	uint64_t log_id;
	uint64_t segment;	      /* where the block belongs, so that a write gone astray or */
	uint64_t offset;	      /* a recycled segment's old content is never taken for it */
	uint64_t seq;		      /* number of the block in the log, from 0, without gaps */
	uint64_t epoch;		      /* strictly increasing, gaps allowed */
	uint64_t time_ms;	      /* Unix milliseconds; never decreasing */
	uint64_t durable_count;	      /* blocks 0 .. durable_count - 1 were durable; <= seq */
	uint64_t incarnation;	      /* of the engine; grows by one with each WAL_OPEN, from 1 */
	uint64_t payload_bytes;	      /* all sections with their padding */
	struct wal_hash prev_hash;    /* of the previous block's header page; block 0: zero */
	struct wal_hash payload_hash; /* of the payload_bytes after this page */
	struct wal_section_row sections[WAL_SECTIONS_MAX];
	uint8_t reserved[1920];
};
_Static_assert(sizeof(struct wal_block_header) == WAL_PAGE, "one page");
_Static_assert(offsetof(struct wal_block_header, log_id) == 24, "no hole");
_Static_assert(offsetof(struct wal_block_header, prev_hash) == 96, "no hole");
_Static_assert(offsetof(struct wal_block_header, sections) == 128, "no hole");
_Static_assert(offsetof(struct wal_block_header, reserved) == 2176, "no hole");

/* The first sector of a raw device that holds a log. It is overwritten in place when a segment is
 * retired, hence no larger than the 512 bytes that every device writes as a whole. */
struct wal_device_header {
	uint64_t checksum; /* XXH3-64 of the sector from `magic` to its end */
	uint64_t magic;
	uint32_t version;
	uint32_t reserved32;
	uint64_t log_id;
	uint64_t segment_bytes;
	uint64_t region_count;	/* segment s lies in region s mod region_count */
	uint64_t region_offset; /* bytes from the device's start to region 0 */
	uint64_t first_segment; /* the oldest segment that is not retired */
	uint8_t reserved[448];
};
_Static_assert(sizeof(struct wal_device_header) == 512, "one sector");
_Static_assert(offsetof(struct wal_device_header, first_segment) == 56, "no hole");

#define WAL_DEVICE_REGION_OFFSET (1u << 20)

/* `bytes` rounded up to whole pages. */
static inline uint64_t wal_padded(uint64_t bytes)
{
	return (bytes + WAL_PAGE - 1) & ~(uint64_t)(WAL_PAGE - 1);
}

/* Checksum that a header of `bytes` bytes (a page, or a device's sector) should carry in front. */
uint64_t wal_header_checksum(const void *header, size_t bytes);

/* Hash of a block's header page: the next block's prev_hash. */
struct wal_hash wal_header_hash(const struct wal_block_header *header);

static inline int wal_hash_equal(struct wal_hash a, struct wal_hash b)
{
	return ((a.lo ^ b.lo) | (a.hi ^ b.hi)) == 0;
}

#endif
