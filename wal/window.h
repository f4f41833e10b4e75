/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of a segment that the reader has in memory: filled by large sequential reads, slid
 * forward so that a block is always in one piece.
 */
#ifndef GIRO_WAL_WINDOW_H
#define GIRO_WAL_WINDOW_H

#include "wal/disk.h"
#include "wal/reader.h"

/* Read-ahead after the first block behind a pause. */
#define WAL_READ_AHEAD_FIRST (64u << 10)

/* Allocates room for the largest block of the disk's segments. Returns 0 or -ENOMEM. */
int wal_window_open(struct wal_window *window, const struct wal_disk *disk);

/* Brings `bytes` at `offset` of `segment` into memory (all three 4 KiB multiples, inside the
 * segment). Stores their address, valid until the next call, and returns 1; 0 when the segment ends
 * before; or the disk's error. */
int wal_window_load(struct wal_window *window, struct wal_disk *disk, uint64_t segment,
		    uint64_t offset, size_t bytes, const void **address);

/* Forgets what is in memory: the disk may have changed. */
void wal_window_forget(struct wal_window *window);

/* A block was there: read further ahead from now on, doubling up to WAL_READ_BYTES. */
void wal_window_found(struct wal_window *window);

/* A live log has no more blocks yet: forget, and read only what is asked for. */
void wal_window_caught_up(struct wal_window *window);

void wal_window_close(struct wal_window *window);

#endif
