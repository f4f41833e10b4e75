/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads a log from its oldest segment, or from a given one, block by block, checking everything:
 * checksums, place, numbering, chain, incarnation. Recovery, the replay tool and the tests use it.
 *
 *   wal_reader_open -> wal_reader_next ... WAL_NEXT_BLOCK
 *                      wal_reader_next ... WAL_NEXT_END | WAL_NEXT_TORN | error
 *                      wal_reader_tail -> where a writer continues
 *
 * When the next block n is not there, everything behind is searched for a block that says that n
 * was durable. One such block makes it corruption (-EUCLEAN): the log has lost something that was
 * acknowledged, and nobody may write to it. None makes it the end: the log is cut in front of n.
 *
 * One thread at a time. All functions block on reads of the disk.
 */
#ifndef GIRO_WAL_READER_H
#define GIRO_WAL_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/disk.h"
#include "wal/format.h"

/* Bytes of one sequential read. */
#define WAL_READ_BYTES (2u << 20)

/* Start at the oldest segment there is. */
#define WAL_OLDEST UINT64_MAX

enum wal_next {
	WAL_NEXT_BLOCK = 1, /* a block */
	WAL_NEXT_END = 2,   /* no block n, nor anything of this incarnation behind it */
	WAL_NEXT_TORN = 3,  /* the torn tail of a crash begins here; none of it was durable */
};

/* Why a page is not the block or segment header that should be there. */
#define WAL_REASON_LIST(X)                                                          \
	X(NONE, "nothing is wrong")                                                 \
	X(ZERO, "nothing was written there")                                        \
	X(SEGMENT_ENDS, "the segment ends there")                                   \
	X(MAGIC, "it is no block header")                                           \
	X(CHECKSUM, "the header's checksum does not match")                         \
	X(VERSION, "it was written in another version of the format")               \
	X(LOG_ID, "it belongs to another log")                                      \
	X(PLACE, "it belongs to another place of the log")                          \
	X(LAYOUT, "the header's fields contradict each other")                      \
	X(INCARNATION, "it was left over by an earlier incarnation of the engine")  \
	X(SEQ, "it has another block number")                                       \
	X(CHAIN, "it does not follow the block before it")                          \
	X(EPOCH, "its epoch is not above that of the block before it")              \
	X(TIME, "its time is before that of the block before it")                   \
	X(SEGMENT_FIRST, "it is not the block that the segment's header announces") \
	X(PAYLOAD, "the payload's hash does not match")                             \
	X(SEGMENT_HEADER, "the segment's header is damaged")                        \
	X(SEGMENT_MISSING, "the segment is missing")                                \
	X(SEGMENT_SIZE, "the segment has the wrong size")                           \
	X(UNREADABLE, "the device cannot read it")                                  \
	X(ARCHIVE, "its archived copy is damaged")                                  \
	X(REMOVED, "it was removed while the log was read")

enum wal_reason {
#define WAL_REASON_ENUM(name, text) WAL_REASON_##name,
	WAL_REASON_LIST(WAL_REASON_ENUM)
#undef WAL_REASON_ENUM
};

/* The text of a reason; static. */
const char *wal_reason_text(enum wal_reason reason);

/* What made wal_reader_open() or wal_reader_next() fail. */
struct wal_fault {
	int error; /* -EUCLEAN corruption, -EIO unreadable, -EPROTONOSUPPORT version, ... */
	enum wal_reason reason;
	uint64_t segment; /* where the trouble is */
	uint64_t offset;
	uint64_t seq;		  /* of the block that should be there */
	uint64_t witness_segment; /* corruption: the block that says that it was durable */
	uint64_t witness_offset;
	uint64_t witness_seq;
	char text[WAL_TEXT_BYTES]; /* for people: what, where, what to do */
};

/* Where a log ends and a writer goes on. */
struct wal_tail {
	uint64_t log_id;  /* zero: a new log whose storage has no identity yet */
	uint64_t segment; /* position of the next block; offset zero: segment not begun */
	uint64_t offset;
	uint64_t next_seq;
	uint64_t flush_from; /* blocks in segments before this one are known to be durable */
	struct wal_hash prev_hash;
	uint64_t incarnation; /* of the last block; zero in an empty log */
	uint64_t epoch;	      /* of the last block; zero in an empty log */
	uint64_t time_ms;
	bool closed;	     /* the last block is WAL_CLOSE */
	uint32_t meta_bytes; /* of the segment that the last block is in */
	uint8_t meta[WAL_META_MAX];
};

/* One block inside the reader's buffer. */
struct wal_block {
	const struct wal_block_header *header; /* followed by the payload */
};

/* Bytes of section `index` < header->section_count; `*bytes` without the padding. */
static inline const uint8_t *wal_block_section(const struct wal_block *block, uint32_t index,
					       uint64_t *bytes)
{
	const struct wal_section_row *row = &block->header->sections[index];
	*bytes = row->bytes;
	return (const uint8_t *)block->header + row->offset;
}

/* Rare branches, for the simulator's table of reach and for people. */
struct wal_reader_counts {
	uint64_t blocks;
	uint64_t rolls;		   /* went on in the next segment */
	uint64_t rolls_early;	   /* ... though this one had room for more blocks */
	uint64_t ends_clean;	   /* WAL_NEXT_END */
	uint64_t ends_torn;	   /* WAL_NEXT_TORN */
	uint64_t beyond_cut;	   /* valid blocks of this incarnation ignored behind the cut */
	uint64_t stale_at_cut;	   /* an older incarnation's block sat where the next one goes */
	uint64_t stale_beyond_cut; /* valid blocks of older incarnations behind the cut */
	uint64_t header_without_block; /* the next segment has its header, not its first block */
	uint64_t block_without_header; /* the next segment has its first block, not its header */
	uint64_t header_stale;	       /* the next segment has an older incarnation's header */
	uint64_t header_torn;	       /* the next segment's header is neither whole nor empty */
	uint64_t arrived_late;	       /* live log: the block appeared while it was looked for */
	uint64_t corruptions;	       /* -EUCLEAN */
};

struct wal_reader_options {
	uint64_t first_segment; /* WAL_OLDEST, or a segment that exists */
	/* Zero, or a place in first_segment where block `first_seq`, not 0, is known to begin: whoever
	 * knows it compares the block that comes. */
	uint64_t first_offset;
	uint64_t first_seq;
	/* The log is being written: a missing block is WAL_NEXT_END at once, without the search
	 * behind it, and wal_reader_next() may be called again later. */
	bool follow;
};

/* A part of one segment in memory. */
struct wal_window {
	uint8_t *buffer;
	size_t capacity;
	uint64_t segment;
	uint64_t offset; /* of buffer[0] in the segment */
	size_t bytes;
	size_t ahead; /* bytes to read beyond what is asked for, at most WAL_READ_BYTES */
};

struct wal_reader {
	struct wal_disk *disk;
	struct wal_reader_options options;
	struct wal_segment_entry *entries;
	size_t entry_count;
	struct wal_window window;
	struct wal_segment_header *header; /* of the segment being read */
	struct wal_segment_header *next_header;
	bool begun; /* `header` is valid: position.offset is inside a segment in use */
	int ended;  /* WAL_NEXT_END, WAL_NEXT_TORN or an error once found */
	struct wal_tail position;
	struct wal_fault fault;
	struct wal_reader_counts counts;
};

/* Lists the segments and reads the header of the first. An empty log is no error. Allocates the
 * read buffer. On failure returns the negative errno that is in reader->fault too; the reader needs
 * no close (but bears one). The disk stays the caller's and must outlive the reader. */
int wal_reader_open(struct wal_reader *reader, struct wal_disk *disk,
		    const struct wal_reader_options *options);

/* Opens another reader of the same log that stands where `other` does, without reading what is before
 * it. `other` has read a block, or stands in front of its first. As wal_reader_open(). */
int wal_reader_open_beside(struct wal_reader *reader, const struct wal_reader *other, bool follow);

/* The next block (valid until the next call), or how the log ends, see enum wal_next; or a negative
 * errno with reader->fault filled. Ends and errors are final unless `follow` was asked for. */
int wal_reader_next(struct wal_reader *reader, struct wal_block *block);

/* Lets the reader read anew, from the disk, what it had read ahead in memory: blocks that were not
 * durable when they were read may have been cut and replaced since. */
void wal_reader_refresh(struct wal_reader *reader);

/* Header of the segment that the last block came from; before the first block, of the first
 * segment; NULL if that has none (an empty log). Valid until the next wal_reader_next(). */
const struct wal_segment_header *wal_reader_header(const struct wal_reader *reader);

/* Where the next block goes. Meaningful for a writer after WAL_NEXT_END or WAL_NEXT_TORN. */
const struct wal_tail *wal_reader_tail(const struct wal_reader *reader);

/* The segments found at open, oldest first; `*count` of them. */
const struct wal_segment_entry *wal_reader_segments(const struct wal_reader *reader, size_t *count);

void wal_reader_close(struct wal_reader *reader);

/* Reads and checks the header page of one segment by itself: the index by time and epoch, and the
 * meta. `header` is 4 KiB aligned. Returns 1 when it is valid, 0 when the segment is not begun or
 * its header is damaged, or the disk's error. A header behind the end of the log may be one that
 * was cut: only segments that wal_reader_next() went through are part of the log. */
int wal_segment_header_read(struct wal_disk *disk, uint64_t segment,
			    struct wal_segment_header *header);

#endif
