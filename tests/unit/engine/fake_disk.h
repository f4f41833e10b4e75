/* SPDX-License-Identifier: Apache-2.0
 *
 * A log's storage in memory, whose writes are durable when the test says so, in any order, or fail.
 * What is complete can be read back as a log.
 */
#ifndef GIRO_TESTS_ENGINE_FAKE_DISK_H
#define GIRO_TESTS_ENGINE_FAKE_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/disk.h"

#define FAKE_SEGMENTS_MAX 64

struct fake_write {
	uint64_t segment;
	uint64_t offset;
	uint64_t tag;
	uint64_t bytes;
	unsigned count;
	struct iovec vectors[1 + WAL_SECTIONS_MAX]; /* the caller's memory, as a device reads it */
};

struct fake_disk {
	struct wal_disk base;
	uint64_t capacity; /* segments that fit */
	bool held;	   /* writes wait for fake_disk_finish() */
	uint8_t *segments[FAKE_SEGMENTS_MAX];
	struct fake_write writes[WAL_DISK_WRITES_MAX]; /* under way, oldest first */
	unsigned write_count;
	struct wal_completion done[WAL_DISK_WRITES_MAX];
	unsigned done_count;
};

/* `capacity` <= FAKE_SEGMENTS_MAX segments of `segment_bytes`. Writes are durable at once. */
struct fake_disk *fake_disk_new(uint64_t segment_bytes, uint64_t capacity);

/* The write at `index` under way is on the disk, or has failed with `error` < 0. */
void fake_disk_finish(struct fake_disk *disk, unsigned index, int error);

/* All of them are on the disk, oldest first. */
void fake_disk_finish_all(struct fake_disk *disk);

void fake_disk_free(struct fake_disk *disk);

#endif
