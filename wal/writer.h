/* SPDX-License-Identifier: Apache-2.0
 *
 * Appends blocks to a log, several durable writes in flight, and tells how far the log is durable
 * without a hole.
 *
 *   append(seq 7)  append(8)  append(9)            poll()
 *        |             |          |                  |
 *        v             v          v        completions in any order
 *      [in flight]  [done]    [done]       durable_count = 7 until 7 is done, then 10
 *
 * Sections are not copied: one vectored write takes them from the caller's own buffers, which stay
 * untouched until the block is durable.
 *
 * Fail-stop: after one failed or short write the writer is failed for good and durable_count stands
 * still. Nothing is tried again: after an error nobody knows what is on the disk, only a new start
 * can find out.
 *
 * One thread at a time. Only wal_writer_wait() and open/close block.
 */
#ifndef GIRO_WAL_WRITER_H
#define GIRO_WAL_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/disk.h"
#include "wal/format.h"
#include "wal/preparer.h"
#include "wal/reader.h"

/* Blocks in flight, at most; each may need a segment header beside it. */
#define WAL_BLOCKS_IN_FLIGHT_MAX (WAL_DISK_WRITES_MAX / 2)

/* Segments that the writer asks to be ready behind the current one, at most. */
#define WAL_SEGMENTS_AHEAD_MAX 8

struct wal_writer_config {
	uint64_t log_id;	   /* nonzero; of a new log whose tail and disk have none yet */
	uint32_t blocks_in_flight; /* 1 .. WAL_BLOCKS_IN_FLIGHT_MAX */
	uint32_t segments_ahead;   /* 1 .. WAL_SEGMENTS_AHEAD_MAX */
	uint32_t meta_bytes;	   /* 0 .. WAL_META_MAX */
	const void *meta;	   /* copied; goes into the header of every new segment */
};

/* One section of a block to append. */
struct wal_section {
	void *data;	/* 4 KiB aligned, room for the bytes rounded up to 4 KiB; may be NULL if
			   bytes is zero. The writer zeroes the padding. */
	uint64_t bytes; /* may be zero */
	uint8_t digest[16];
};

struct wal_append {
	enum wal_block_type type;
	uint64_t epoch;	  /* above that of the block before */
	uint64_t time_ms; /* not below that of the block before */
	uint32_t section_count;
	const struct wal_section *sections;
};

struct wal_writer_counts {
	uint64_t blocks;
	uint64_t bytes;		    /* written, headers and padding included */
	uint64_t rolls;		    /* new segment because the block did not fit */
	uint64_t rolls_meta;	    /* new segment because the meta changed */
	uint64_t completed_early;   /* a write completed before an older one */
	uint64_t refused_in_flight; /* -EAGAIN from append */
	uint64_t refused_space;	    /* -ENOSPC from append */
};

/* A block in flight and its memory. */
struct wal_slot {
	struct wal_block_header *header;	/* page of this slot's own */
	struct wal_segment_header *new_segment; /* page of this slot's own */
	struct iovec vectors[1 + WAL_SECTIONS_MAX];
	struct iovec segment_vector;
	uint64_t epoch;
	uint64_t time_ms;
	uint64_t write_bytes;
	uint32_t writes_left;
};

struct wal_writer {
	struct wal_disk *disk;
	struct wal_preparer *preparer;
	struct wal_writer_config config;
	void *pages;
	int error; /* 0, or the negative errno that failed the writer */

	struct wal_tail tail; /* where the next block goes; advances with each append */
	bool opened;	      /* WAL_OPEN was appended */
	bool closed;	      /* WAL_CLOSE was appended */
	bool meta_differs;    /* the next block must begin a new segment */

	uint64_t durable_count; /* blocks 0 .. durable_count - 1 are durable */
	uint64_t durable_epoch; /* of the last durable block; of the tail found at open */
	uint64_t durable_time_ms;
	uint32_t writes_in_flight;

	struct wal_slot slots[WAL_BLOCKS_IN_FLIGHT_MAX];
	struct wal_writer_counts counts;
};

/* Continues the log behind `tail`, which a reader of this disk found at WAL_NEXT_END or
 * WAL_NEXT_TORN with nobody writing in between. Makes durable what the reader saw and asks the
 * preparer (initialised with wal_writer_first_segment(); its thread may run) for the segments
 * ahead. Allocates all its memory. Returns 0 or a negative errno (-EINVAL: the config contradicts
 * itself or the log), in which case nothing was written. Disk and preparer stay the caller's and
 * must outlive the writer. */
int wal_writer_open(struct wal_writer *writer, struct wal_disk *disk, struct wal_preparer *preparer,
		    const struct wal_writer_config *config, const struct wal_tail *tail);

/* The first segment that a preparer has to care for when a log goes on behind `tail`. */
static inline uint64_t wal_writer_first_segment(const struct wal_tail *tail)
{
	return tail->offset == 0 ? tail->segment : tail->segment + 1;
}

/* 0 if a block with `payload_bytes` (sections padded to 4 KiB each) can be appended now; -EAGAIN if
 * blocks in flight must become durable first; -ENOSPC if the next segment is not ready; or the
 * error that failed the writer. */
int wal_writer_can_append(struct wal_writer *writer, uint64_t payload_bytes);

/* Starts the durable write of one block and returns its number; or an error as
 * wal_writer_can_append() gives it, in which case nothing was done and it may be tried again unless
 * the writer failed. The first block of an incarnation must be WAL_OPEN, and nothing is taken
 * (-EAGAIN) until it is durable; WAL_CLOSE is taken only when all before it is durable, and ends
 * the writer: appending after it is a broken invariant. */
int64_t wal_writer_append(struct wal_writer *writer, const struct wal_append *append);

/* Takes completions and advances durable_count, durable_epoch and durable_time_ms over the prefix
 * without a hole. Returns how many blocks became durable (their buffers are the caller's again), or
 * the error that failed the writer. */
int wal_writer_poll(struct wal_writer *writer);

/* Waits up to `timeout_ns` for a completion, unless nothing is in flight, then polls. */
int wal_writer_wait(struct wal_writer *writer, uint64_t timeout_ns);

/* How many blocks of up to `payload_bytes` each can certainly still be appended into the segments
 * that are ready: when it comes near the blocks that work under way will need, new work must be
 * refused. */
uint64_t wal_writer_room(const struct wal_writer *writer, uint64_t payload_bytes);

/* Blocks appended and not yet durable. */
static inline uint64_t wal_writer_in_flight(const struct wal_writer *writer)
{
	return writer->tail.next_seq - writer->durable_count;
}

/* Waits for the writes in flight, whatever their outcome, and frees. Appends nothing: a clean
 * shutdown appends WAL_CLOSE and waits for it first. */
void wal_writer_close(struct wal_writer *writer);

#endif
