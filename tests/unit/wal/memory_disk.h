/* SPDX-License-Identifier: Apache-2.0
 *
 * A storage in memory whose writes complete when the test says so, whole, short, failed, or with
 * only some of their sectors on the disk, as after a loss of power.
 */
#ifndef GIRO_TEST_MEMORY_DISK_H
#define GIRO_TEST_MEMORY_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/disk.h"

#define MEMORY_SEGMENTS 64
#define MEMORY_SECTOR	512u

struct memory_write {
	uint64_t segment;
	uint64_t offset;
	uint64_t tag;
	uint64_t bytes;
	uint8_t *data; /* a copy: what the device would transfer */
};

struct memory_disk {
	struct wal_disk base;
	uint8_t *segments[MEMORY_SEGMENTS]; /* NULL: not there */
	uint64_t sizes[MEMORY_SEGMENTS];
	uint64_t first;	   /* oldest segment listed */
	uint64_t capacity; /* segments below this number can be prepared */
	struct memory_write pending[WAL_DISK_WRITES_MAX];
	unsigned pending_count;
	struct wal_completion done[WAL_DISK_WRITES_MAX];
	unsigned done_count;
	bool at_once; /* writes complete as they are submitted */
	int submit_error;
	uint64_t unreadable_segment; /* read of this page gives -EIO ... */
	uint64_t unreadable_offset;  /* ... unless zero */
	unsigned flushes;
	unsigned reads;
};

/* A disk on which `capacity` segments of `segment_bytes` can be prepared. */
struct memory_disk *memory_disk_new(uint64_t segment_bytes, uint64_t capacity);

/* A copy with the same content and nothing pending: the disk after a crash. */
struct memory_disk *memory_disk_crash(const struct memory_disk *disk);

/* Puts the sectors [from, to) of pending write `index` on the disk, without completing it. */
void memory_disk_land(struct memory_disk *disk, unsigned index, uint64_t from, uint64_t to);

/* Completes pending write `index`: writes all of it and reports `result`, or its size if that is
 * zero. The later ones move up. */
void memory_disk_complete(struct memory_disk *disk, unsigned index, int64_t result);

/* Completes all pending writes in order. */
void memory_disk_complete_all(struct memory_disk *disk);

void memory_disk_free(struct memory_disk *disk);

#endif
