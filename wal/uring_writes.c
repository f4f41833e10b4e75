/* SPDX-License-Identifier: Apache-2.0 */
#include "wal/uring_writes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "wal/writer.h"

_Static_assert(WAL_BLOCKS_IN_FLIGHT_MAX < WAL_URING_FILES,
	       "a slot is free again before its turn comes, even with one block a segment");

/* Slot of the file that carries the lock, behind those for writing. */
#define LOCK_SLOT  WAL_URING_FILES
#define FILE_SLOTS (WAL_URING_FILES + 1)

int wal_uring_open(struct wal_uring *uring, int lock_fd, char *error)
{
	uring->in_flight = 0;
	int result = io_uring_queue_init(WAL_DISK_WRITES_MAX, &uring->ring, 0);
	if (result < 0) {
		snprintf(
		    error, WAL_TEXT_BYTES,
		    "io_uring is not available: %s. Allow it (sysctl kernel.io_uring_disabled, "
		    "or the container's seccomp profile).",
		    strerror(-result));
		return result;
	}
	int files[FILE_SLOTS];
	memset(files, 0xff, sizeof(files)); /* -1: an empty slot */
	files[LOCK_SLOT] = lock_fd;
	result = io_uring_register_files(&uring->ring, files, FILE_SLOTS);
	if (result < 0) {
		snprintf(error, WAL_TEXT_BYTES, "io_uring cannot register files: %s.",
			 strerror(-result));
		io_uring_queue_exit(&uring->ring);
		return result;
	}
	return 0;
}

int wal_uring_set_file(struct wal_uring *uring, unsigned slot, int fd)
{
	CHECK(slot < WAL_URING_FILES);
	int result = io_uring_register_files_update(&uring->ring, slot, &fd, 1);
	return result < 0 ? result : 0;
}

int wal_uring_write(struct wal_uring *uring, unsigned slot, uint64_t offset,
		    const struct iovec *vectors, unsigned count, uint64_t tag)
{
	CHECK(slot < WAL_URING_FILES && uring->in_flight < WAL_DISK_WRITES_MAX);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
	if (sqe == NULL)
		return -EAGAIN;
	io_uring_prep_writev2(sqe, (int)slot, vectors, count, offset, RWF_DSYNC);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data64(sqe, tag);
	int submitted;
	do {
		submitted = io_uring_submit(&uring->ring);
	} while (submitted == -EINTR);
	if (submitted < 0)
		return submitted;
	uring->in_flight++;
	return 0;
}

int wal_uring_reap(struct wal_uring *uring, struct wal_completion *completions, unsigned capacity)
{
	struct io_uring_cqe *cqes[WAL_DISK_WRITES_MAX];
	if (capacity > WAL_DISK_WRITES_MAX)
		capacity = WAL_DISK_WRITES_MAX;
	unsigned count = io_uring_peek_batch_cqe(&uring->ring, cqes, capacity);
	for (unsigned i = 0; i < count; i++)
		completions[i] =
		    (struct wal_completion){.tag = cqes[i]->user_data, .result = cqes[i]->res};
	io_uring_cq_advance(&uring->ring, count);
	CHECK(count <= uring->in_flight);
	uring->in_flight -= count;
	return (int)count;
}

int wal_uring_wait(struct wal_uring *uring, uint64_t timeout_ns)
{
	struct io_uring_cqe *cqe;
	struct __kernel_timespec timeout = {.tv_sec = (long long)(timeout_ns / 1000000000u),
					    .tv_nsec = (long long)(timeout_ns % 1000000000u)};
	int result = io_uring_wait_cqe_timeout(&uring->ring, &cqe, &timeout);
	if (result == -ETIME || result == -EINTR)
		return 0;
	return result < 0 ? result : 1;
}

void wal_uring_close(struct wal_uring *uring)
{
	struct wal_completion completions[WAL_DISK_WRITES_MAX];
	while (uring->in_flight != 0) {
		if (wal_uring_reap(uring, completions, WAL_DISK_WRITES_MAX) == 0 &&
		    wal_uring_wait(uring, 1000000000u) < 0)
			break;
	}
	/* The ring itself is freed by the kernel some time later; the files shall go now. */
	io_uring_unregister_files(&uring->ring);
	io_uring_queue_exit(&uring->ring);
}
