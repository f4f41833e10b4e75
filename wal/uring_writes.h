/* SPDX-License-Identifier: Apache-2.0
 *
 * Durable vectored writes through io_uring to registered files: what the directory and the device
 * have in common. One thread at a time.
 *
 * A block is one IORING_OP_WRITEV with RWF_DSYNC. Registered buffers would save pinning its pages,
 * but WRITEV cannot use them in the kernel and liburing of Debian 12 (2.3), and a block split into
 * one WRITE_FIXED a section would be several durable writes, each with its own flush.
 */
#ifndef GIRO_WAL_URING_WRITES_H
#define GIRO_WAL_URING_WRITES_H

#include <liburing.h>
#include <stdint.h>
#include <sys/uio.h>

#include "wal/disk.h"

/* Files that can be written to at once. Writes in flight reach over fewer segments than this, so
 * that a directory can give segment s the slot s mod WAL_URING_FILES. */
#define WAL_URING_FILES 64u

struct wal_uring {
	struct io_uring ring;
	unsigned in_flight;
};

/* Opens a ring that holds on to `lock_fd`: the kernel keeps the file, and with it the lock, until
 * the last write of a process that died is over, so that the next engine never reads a log that is
 * still changing. Returns 0 or a negative errno with a text in `error`. */
int wal_uring_open(struct wal_uring *uring, int lock_fd, char *error);

/* Registers a file under slot < WAL_URING_FILES; the caller may close its own descriptor. */
int wal_uring_set_file(struct wal_uring *uring, unsigned slot, int fd);

int wal_uring_write(struct wal_uring *uring, unsigned slot, uint64_t offset,
		    const struct iovec *vectors, unsigned count, uint64_t tag);
int wal_uring_reap(struct wal_uring *uring, struct wal_completion *completions, unsigned capacity);
int wal_uring_wait(struct wal_uring *uring, uint64_t timeout_ns);

/* Waits for the writes in flight, then lets go of all files. Blocks. */
void wal_uring_close(struct wal_uring *uring);

#endif
