/* SPDX-License-Identifier: Apache-2.0
 *
 * The storage under a simulated node: segments in memory behind the wal's own table of functions.
 *
 *   submit_write --> in flight --> completes in any order, late, short or with an error
 *                        |
 *                   power lost: any subset of its sectors landed
 *
 * What landed of a write that nobody saw complete may still sit in the device's cache: until the
 * next flush of the segment, another loss of power may take it back.
 *
 * A disk dies with its node: from then on all functions give errors and nothing changes.
 */
#ifndef GIRO_TESTS_SIM_SIM_DISK_H
#define GIRO_TESTS_SIM_SIM_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/disk.h"

struct sim;

#define SIM_SEGMENTS_MAX 8192
#define SIM_SECTOR	 512u

struct sim_write {
	uint64_t segment;
	uint64_t offset;
	uint64_t bytes;
	uint64_t tag;
	uint64_t due_us; /* not complete before */
	int64_t result;	 /* that the completion will tell */
	uint8_t *data;	 /* as it was when submitted */
	struct iovec vectors[1 + WAL_SECTIONS_MAX];
	unsigned vector_count;
};

/* A sector that landed and may go back. */
struct sim_unflushed {
	uint64_t segment;
	uint64_t offset;
	uint8_t before[SIM_SECTOR];
};

struct sim_segment {
	uint8_t *bytes; /* NULL: no such segment */
	uint64_t size;	/* less than segment_bytes: truncated by damage */
};

struct sim_disk {
	struct wal_disk base;
	struct sim *sim; /* NULL in a copy: nobody watches what is done to it */
	struct sim_segment segments[SIM_SEGMENTS_MAX];
	struct sim_write writes[WAL_DISK_WRITES_MAX]; /* in flight */
	uint32_t write_count;
	struct wal_completion done[WAL_DISK_WRITES_MAX];
	uint32_t done_count;
	struct sim_unflushed *unflushed;
	size_t unflushed_count;
	size_t unflushed_capacity;

	bool dead;
	uint64_t dies_after; /* so many calls of its functions; zero: never */
	bool full;	     /* prepare() gives -ENOSPC */
	bool unreadable;     /* read() gives -EIO at the place below */
	uint64_t unreadable_segment;
	uint64_t unreadable_offset;
};

void sim_disk_init(struct sim_disk *disk, struct sim *sim, uint64_t segment_bytes);
void sim_disk_free(struct sim_disk *disk);

/* Completes one write whose time has come, if there is one. False: there is none. */
bool sim_disk_complete(struct sim_disk *disk);

/* One sector of a write reaches the disk's cache. */
void sim_disk_land(struct sim_disk *disk, const struct sim_write *write, uint64_t sector);

/* The node dies here, and the power with it: decides what landed. */
void sim_disk_lose_power(struct sim_disk *disk);

/* The node starts again on what is there. */
void sim_disk_revive(struct sim_disk *disk);

/* A copy of what is on the disk now, without what is in flight. */
void sim_disk_copy(struct sim_disk *copy, const struct sim_disk *disk);

/* A reader's view of a disk beside the running node: only list and read. Its reads may make time go
 * on. */
struct sim_view {
	struct wal_disk base;
	struct sim_disk *disk;
};

void sim_view_init(struct sim_view *view, struct sim_disk *disk);

#endif
