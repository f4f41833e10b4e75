/* SPDX-License-Identifier: Apache-2.0
 *
 * The two real storages behind wal_disk_open(), and what they share.
 */
#ifndef GIRO_WAL_STORAGE_H
#define GIRO_WAL_STORAGE_H

#include "wal/disk.h"

/* Zeros are written in pieces of this size. */
#define WAL_ZERO_BYTES (1u << 20)

/* As wal_disk_open(), for a path that is known to be a directory or a block device. */
int wal_directory_open(struct wal_disk **disk, const char *path,
		       const struct wal_disk_options *options, char *error);
int wal_device_open(struct wal_disk **disk, const char *path,
		    const struct wal_disk_options *options, char *error);

/* Puts a text for people into `error` (WAL_TEXT_BYTES) and returns `result`. */
__attribute__((format(printf, 3, 4))) int wal_disk_refuse(char *error, int result,
							  const char *format, ...);

/* pread until `bytes` are there or the file ends; bytes read, or a negative errno. */
int64_t wal_pread(int fd, void *buffer, size_t bytes, uint64_t offset);

/* pwrite until all is written; 0 or a negative errno. */
int wal_pwrite(int fd, const void *buffer, size_t bytes, uint64_t offset);

/* One step of waiting for a lock: sleeps a little and returns true while less than `wait_ms` have
 * passed since `*waited_ms` was 0. */
bool wal_lock_again(uint32_t wait_ms, uint32_t *waited_ms);

#endif
