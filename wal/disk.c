/* SPDX-License-Identifier: Apache-2.0 */
#include "wal/disk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "wal/storage.h"

#define LOCK_STEP_MS 20

int wal_disk_refuse(char *error, int result, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(error, WAL_TEXT_BYTES, format, arguments);
	va_end(arguments);
	return result;
}

int64_t wal_pread(int fd, void *buffer, size_t bytes, uint64_t offset)
{
	size_t done = 0;
	while (done < bytes) {
		ssize_t got =
		    pread(fd, (uint8_t *)buffer + done, bytes - done, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		done += (size_t)got;
		/* An unaligned end of a file: O_DIRECT would refuse to read on from there. */
		if (got == 0 || (size_t)got % WAL_PAGE != 0)
			break;
	}
	return (int64_t)done;
}

int wal_pwrite(int fd, const void *buffer, size_t bytes, uint64_t offset)
{
	size_t done = 0;
	while (done < bytes) {
		ssize_t put = pwrite(fd, (const uint8_t *)buffer + done, bytes - done,
				     (off_t)(offset + done));
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		if (put == 0)
			return -EIO;
		done += (size_t)put;
	}
	return 0;
}

bool wal_lock_again(uint32_t wait_ms, uint32_t *waited_ms)
{
	if (*waited_ms >= wait_ms)
		return false;
	struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000};
	nanosleep(&step, NULL);
	*waited_ms += LOCK_STEP_MS;
	return true;
}

int wal_disk_open(struct wal_disk **disk, const char *path, const struct wal_disk_options *options,
		  char *error)
{
	error[0] = '\0';
	uint64_t bytes = options->segment_bytes;
	bool unset = bytes == 0 && !options->write;
	if (!unset && (bytes < WAL_SEGMENT_BYTES_MIN || bytes > WAL_SEGMENT_BYTES_MAX ||
		       bytes % WAL_PAGE != 0))
		return wal_disk_refuse(error, -EINVAL,
				       "segment size %" PRIu64
				       " is not a multiple of %u from %u to "
				       "%llu bytes.",
				       bytes, WAL_PAGE, WAL_SEGMENT_BYTES_MIN,
				       (unsigned long long)WAL_SEGMENT_BYTES_MAX);
	struct stat status;
	if (stat(path, &status) != 0)
		return wal_disk_refuse(error, -errno,
				       "log %s: %s. Create the directory, or name a block device.",
				       path, strerror(errno));
	if (S_ISDIR(status.st_mode))
		return wal_directory_open(disk, path, options, error);
	if (S_ISBLK(status.st_mode))
		return wal_device_open(disk, path, options, error);
	return wal_disk_refuse(error, -ENOTDIR, "log %s is neither a directory nor a block device.",
			       path);
}
