/* SPDX-License-Identifier: Apache-2.0
 *
 * What a log is stored on: numbered segments of one size that can be read, written durably in
 * 4 KiB units, prepared and retired. Writer, reader and preparer see only this table of functions,
 * so that tests and the simulator can put their own storage underneath.
 *
 *   writer thread                 preparer thread           any reader
 *   submit_write, reap, wait      prepare                   list, read (own wal_disk, no lock)
 *          |                         |                          |
 *          +----------- struct wal_disk ------------------------+
 *             directory of files  |  raw block device  |  a test's own
 *
 * Errors are negative errno values. A write's outcome is seen only in its completion; completions
 * may come in any order.
 */
#ifndef GIRO_WAL_DISK_H
#define GIRO_WAL_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "wal/format.h"

/* Durable writes that may be in flight at once; a new segment's first block takes two. */
#define WAL_DISK_WRITES_MAX 64

struct wal_disk;

struct wal_completion {
	uint64_t tag;
	int64_t result; /* bytes written, or a negative errno */
};

/* One segment as the storage knows it. */
struct wal_segment_entry {
	uint64_t segment;
	uint64_t bytes; /* what is really there; a truncated file has less than segment_bytes */
};

struct wal_disk_ops {
	/* All segments, oldest first, prepared ones included. Stores up to `capacity` and returns
	 * how many there are, which may be more. Blocks. */
	int64_t (*list)(struct wal_disk *disk, struct wal_segment_entry *entries, size_t capacity);

	/* Reads `bytes` (4 KiB multiple) at `offset` (4 KiB multiple) into `buffer` (4 KiB
	 * aligned). Returns the bytes read, less than asked for only at the segment's end; -ENOENT
	 * for no such segment, -EIO for a sector that cannot be read. Blocks. */
	int64_t (*read)(struct wal_disk *disk, uint64_t segment, uint64_t offset, void *buffer,
			size_t bytes);

	/* Starts one durable write of `count` vectors (addresses and sizes 4 KiB multiples; vectors
	 * and memory stay untouched until the completion) inside a prepared segment. Returns 0, or
	 * an error after which no completion comes. Does not block. Writer's thread. */
	int (*submit_write)(struct wal_disk *disk, uint64_t segment, uint64_t offset,
			    const struct iovec *vectors, unsigned count, uint64_t tag);

	/* Takes up to `capacity` completions. Returns how many, or an error. Does not block.
	 * Writer's thread. */
	int (*reap)(struct wal_disk *disk, struct wal_completion *completions, unsigned capacity);

	/* Blocks until reap() has something or `timeout_ns` is over. Returns 1, 0 on time-out, or
	 * an error. Writer's thread. */
	int (*wait)(struct wal_disk *disk, uint64_t timeout_ns);

	/* Makes durable whatever of `segment` was written by a process that died before it saw its
	 * completions. Blocks. Writer's thread. */
	int (*flush)(struct wal_disk *disk, uint64_t segment);

	/* Makes `segment` exist, in full size and durably, so that writes to it change no metadata
	 * and cannot run out of space. A segment that exists already is left as it is or zeroed,
	 * the storage chooses: old content in a new segment is harmless, see docs/log-format.md.
	 * Segments are prepared in ascending order. Returns 0, -ENOSPC, or another error. Blocks;
	 * may run beside everything else. */
	int (*prepare)(struct wal_disk *disk, uint64_t segment);

	/* Gives up the oldest segment for reuse by prepare(), durably. The caller no longer needs
	 * its blocks, and a later segment holds a durable block. Returns 0, -EINVAL if it is not
	 * the oldest, or another error. Blocks; may run beside everything else. */
	int (*retire)(struct wal_disk *disk, uint64_t segment);

	/* Waits for writes in flight, gives up the lock and frees the disk. */
	void (*close)(struct wal_disk *disk);
};

/* The first member of every implementation. */
struct wal_disk {
	const struct wal_disk_ops *ops;
	uint64_t segment_bytes; /* zero if not known yet: an empty directory opened for reading */
	uint64_t log_id;	/* nonzero where the storage itself keeps the log's identity */
};

struct wal_disk_options {
	bool write;		/* take the exclusive lock; false: read only, beside an engine */
	bool format;		/* device: take it over even if something else is on it */
	uint64_t segment_bytes; /* 4 KiB multiple; needed for writing, else may be zero */
	uint32_t lock_wait_ms;	/* how long to wait for a dying engine to let go of the lock */
};

#define WAL_TEXT_BYTES 512

/* Opens the log at `path`: an existing directory of segment files or a raw block device. On
 * success stores a disk that the caller closes with ops->close. On failure returns a negative errno
 * (-EBUSY: another engine has it; -EUCLEAN: damaged) and a text for people in `error`
 * (WAL_TEXT_BYTES). Blocks; start only. */
int wal_disk_open(struct wal_disk **disk, const char *path, const struct wal_disk_options *options,
		  char *error);

#endif
