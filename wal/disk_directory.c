/* SPDX-License-Identifier: Apache-2.0
 *
 * A log in a directory of files:
 *
 *   lock                        held with flock() by the engine that writes
 *   00000000000000000007.wal    segment 7, whole and zero-filled before it has this name
 *   00000000000000000008.tmp    segment 8 while it is prepared
 *   00000000000000000003.free   retired, to be zeroed and used again
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wal/storage.h"
#include "wal/uring_writes.h"

#define NAME_BYTES   32
#define NUMBER_CHARS 20
#define NO_SEGMENT   UINT64_MAX

struct directory {
	struct wal_disk base;
	int fd;
	int lock_fd; /* -1 when opened for reading */
	struct wal_uring uring;
	uint64_t slots[WAL_URING_FILES]; /* segment whose file is registered under each slot */
	int read_fd;			 /* file of read_segment */
	uint64_t read_segment;
	void *zeros; /* WAL_ZERO_BYTES, for the thread that prepares */
};

static struct directory *directory_of(struct wal_disk *disk)
{
	return (struct directory *)disk;
}

static void name_of(char *name, uint64_t segment, const char *suffix)
{
	snprintf(name, NAME_BYTES, "%020" PRIu64 "%s", segment, suffix);
}

/* The number in front of `suffix`, or NO_SEGMENT for a file that is not of this kind. */
static uint64_t number_of(const char *name, const char *suffix)
{
	if (strspn(name, "0123456789") != NUMBER_CHARS || strcmp(name + NUMBER_CHARS, suffix) != 0)
		return NO_SEGMENT;
	return strtoull(name, NULL, 10);
}

/* A stream of its own over the directory: prepare() may list beside others. */
static DIR *open_list(const struct directory *directory)
{
	int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	if (list == NULL && fd >= 0)
		close(fd);
	return list;
}

static int by_number(const void *a, const void *b)
{
	uint64_t left = ((const struct wal_segment_entry *)a)->segment;
	uint64_t right = ((const struct wal_segment_entry *)b)->segment;
	return (left > right) - (left < right);
}

static int64_t directory_list(struct wal_disk *disk, struct wal_segment_entry *entries,
			      size_t capacity)
{
	struct directory *directory = directory_of(disk);
	DIR *list = open_list(directory);
	if (list == NULL)
		return -errno;
	size_t count = 0;
	struct dirent *file;
	errno = 0;
	while ((file = readdir(list)) != NULL) {
		struct stat status;
		uint64_t segment = number_of(file->d_name, ".wal");
		if (segment == NO_SEGMENT ||
		    fstatat(directory->fd, file->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (count < capacity)
			entries[count] = (struct wal_segment_entry){
			    .segment = segment, .bytes = (uint64_t)status.st_size};
		count++;
		errno = 0;
	}
	int error = errno;
	closedir(list);
	if (error != 0)
		return -error;
	size_t stored = count < capacity ? count : capacity;
	if (stored > 1)
		qsort(entries, stored, sizeof(*entries), by_number);
	return count > WAL_SEGMENTS_MAX ? -EFBIG : (int64_t)count;
}

static int64_t directory_read(struct wal_disk *disk, uint64_t segment, uint64_t offset,
			      void *buffer, size_t bytes)
{
	struct directory *directory = directory_of(disk);
	if (directory->read_segment != segment || directory->read_fd < 0) {
		char name[NAME_BYTES];
		name_of(name, segment, ".wal");
		int fd = openat(directory->fd, name, O_RDONLY | O_DIRECT | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (directory->read_fd >= 0)
			close(directory->read_fd);
		directory->read_fd = fd;
		directory->read_segment = segment;
	}
	return wal_pread(directory->read_fd, buffer, bytes, offset);
}

/* Registers the segment's file for writing; the ring holds on to it. */
static int register_segment(struct directory *directory, uint64_t segment)
{
	unsigned slot = (unsigned)(segment % WAL_URING_FILES);
	if (directory->slots[slot] == segment)
		return 0;
	char name[NAME_BYTES];
	name_of(name, segment, ".wal");
	int fd = openat(directory->fd, name, O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int error = wal_uring_set_file(&directory->uring, slot, fd);
	close(fd);
	if (error == 0)
		directory->slots[slot] = segment;
	return error;
}

static int directory_submit(struct wal_disk *disk, uint64_t segment, uint64_t offset,
			    const struct iovec *vectors, unsigned count, uint64_t tag)
{
	struct directory *directory = directory_of(disk);
	int error = register_segment(directory, segment);
	if (error != 0)
		return error;
	return wal_uring_write(&directory->uring, (unsigned)(segment % WAL_URING_FILES), offset,
			       vectors, count, tag);
}

static int directory_reap(struct wal_disk *disk, struct wal_completion *completions,
			  unsigned capacity)
{
	return wal_uring_reap(&directory_of(disk)->uring, completions, capacity);
}

static int directory_wait(struct wal_disk *disk, uint64_t timeout_ns)
{
	return wal_uring_wait(&directory_of(disk)->uring, timeout_ns);
}

static int directory_flush(struct wal_disk *disk, uint64_t segment)
{
	char name[NAME_BYTES];
	name_of(name, segment, ".wal");
	int fd = openat(directory_of(disk)->fd, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int error = fsync(fd) == 0 ? 0 : -errno;
	close(fd);
	return error;
}

/* Renames some retired file to `name`, if there is one. */
static void take_retired(struct directory *directory, const char *name)
{
	DIR *list = open_list(directory);
	if (list == NULL)
		return;
	struct dirent *file;
	while ((file = readdir(list)) != NULL) {
		if (number_of(file->d_name, ".free") != NO_SEGMENT &&
		    renameat(directory->fd, file->d_name, directory->fd, name) == 0)
			break;
	}
	closedir(list);
}

/* Gives the file its full size in written zeros, durably: later writes change no metadata. */
static int fill_with_zeros(const struct directory *directory, int fd)
{
	uint64_t bytes = directory->base.segment_bytes;
	struct stat status;
	if (fstat(fd, &status) != 0)
		return -errno;
	if ((uint64_t)status.st_size > bytes && ftruncate(fd, (off_t)bytes) != 0)
		return -errno;
	/* All blocks at once: contiguous, and a full disk shows before anything is written. */
	if (fallocate(fd, 0, 0, (off_t)bytes) != 0 && errno != EOPNOTSUPP)
		return -errno;
	for (uint64_t offset = 0; offset < bytes; offset += WAL_ZERO_BYTES) {
		uint64_t rest = bytes - offset;
		size_t piece = rest < WAL_ZERO_BYTES ? (size_t)rest : WAL_ZERO_BYTES;
		int error = wal_pwrite(fd, directory->zeros, piece, offset);
		if (error != 0)
			return error;
	}
	return fsync(fd) == 0 ? 0 : -errno;
}

static int directory_prepare(struct wal_disk *disk, uint64_t segment)
{
	struct directory *directory = directory_of(disk);
	char name[NAME_BYTES];
	char unfinished[NAME_BYTES];
	name_of(name, segment, ".wal");
	name_of(unfinished, segment, ".tmp");
	struct stat status;
	if (fstatat(directory->fd, name, &status, 0) == 0)
		return (uint64_t)status.st_size == disk->segment_bytes ? 0 : -EINVAL;

	if (fstatat(directory->fd, unfinished, &status, 0) != 0)
		take_retired(directory, unfinished);
	int fd = openat(directory->fd, unfinished, O_WRONLY | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int error = fill_with_zeros(directory, fd);
	close(fd);
	if (error != 0) {
		/* What a full disk could still give is left to others until the next attempt. */
		unlinkat(directory->fd, unfinished, 0);
		return error;
	}
	if (renameat(directory->fd, unfinished, directory->fd, name) != 0)
		return -errno;
	return fsync(directory->fd) == 0 ? 0 : -errno;
}

static int directory_retire(struct wal_disk *disk, uint64_t segment)
{
	struct directory *directory = directory_of(disk);
	struct wal_segment_entry oldest;
	DIR *list = open_list(directory);
	if (list == NULL)
		return -errno;
	oldest.segment = NO_SEGMENT;
	struct dirent *file;
	while ((file = readdir(list)) != NULL) {
		uint64_t number = number_of(file->d_name, ".wal");
		if (number < oldest.segment)
			oldest.segment = number;
	}
	closedir(list);
	if (oldest.segment != segment)
		return -EINVAL;
	char name[NAME_BYTES];
	char retired[NAME_BYTES];
	name_of(name, segment, ".wal");
	name_of(retired, segment, ".free");
	if (renameat(directory->fd, name, directory->fd, retired) != 0)
		return -errno;
	return fsync(directory->fd) == 0 ? 0 : -errno;
}

static void directory_close(struct wal_disk *disk)
{
	struct directory *directory = directory_of(disk);
	if (directory->lock_fd >= 0) {
		wal_uring_close(&directory->uring);
		flock(directory->lock_fd, LOCK_UN);
		close(directory->lock_fd);
	}
	if (directory->read_fd >= 0)
		close(directory->read_fd);
	close(directory->fd);
	free(directory->zeros);
	free(directory);
}

static const struct wal_disk_ops directory_ops = {
    .list = directory_list,
    .read = directory_read,
    .submit_write = directory_submit,
    .reap = directory_reap,
    .wait = directory_wait,
    .flush = directory_flush,
    .prepare = directory_prepare,
    .retire = directory_retire,
    .close = directory_close,
};

static int take_lock(struct directory *directory, const char *path,
		     const struct wal_disk_options *options, char *error)
{
	directory->lock_fd = openat(directory->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (directory->lock_fd < 0)
		return wal_disk_refuse(error, -errno, "log %s/lock: %s.", path, strerror(errno));
	uint32_t waited_ms = 0;
	int result;
	do {
		result = flock(directory->lock_fd, LOCK_EX | LOCK_NB) == 0 ? 0 : -errno;
	} while (result == -EWOULDBLOCK && wal_lock_again(options->lock_wait_ms, &waited_ms));
	if (result == -EWOULDBLOCK)
		result =
		    wal_disk_refuse(error, -EBUSY,
				    "log %s is being written by another engine; stop that one, "
				    "or give this one a log of its own.",
				    path);
	else if (result != 0)
		wal_disk_refuse(error, result, "log %s/lock: %s.", path, strerror(-result));
	else
		result = wal_uring_open(&directory->uring, directory->lock_fd, error);
	if (result != 0) {
		close(directory->lock_fd);
		directory->lock_fd = -1;
	}
	return result;
}

/* The size of the segments that are there, against the one that is asked for. */
static int settle_segment_bytes(struct directory *directory, const char *path, char *error)
{
	struct wal_disk *disk = &directory->base;
	int64_t count = directory_list(disk, NULL, 0);
	struct wal_segment_entry *entries = count < 0 ? NULL : calloc((size_t)count + 1, 16);
	_Static_assert(sizeof(*entries) == 16, "calloc above");
	if (count >= 0)
		count = entries == NULL ? -ENOMEM : directory_list(disk, entries, (size_t)count);
	uint64_t largest = 0;
	uint64_t smallest = UINT64_MAX;
	for (int64_t i = 0; i < count; i++) {
		largest = entries[i].bytes > largest ? entries[i].bytes : largest;
		smallest = entries[i].bytes < smallest ? entries[i].bytes : smallest;
	}
	free(entries);
	if (count < 0)
		return wal_disk_refuse(error, (int)count, "log %s: %s.", path,
				       strerror((int)-count));
	if (disk->segment_bytes == 0)
		disk->segment_bytes = largest;
	/* One file of another size is damage, which the reader reports; all of them are a log that
	 * was made with another configuration. */
	if (count > 0 && smallest == largest && largest != disk->segment_bytes)
		return wal_disk_refuse(error, -EINVAL,
				       "log %s has segments of %" PRIu64 " bytes, not %" PRIu64
				       "; the size of a log's segments cannot be changed.",
				       path, largest, disk->segment_bytes);
	return 0;
}

/* Not every file system takes O_DIRECT: better to know now than at the first block. */
static int try_direct(struct directory *directory, const char *path, char *error)
{
	int fd = openat(directory->fd, "lock", O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return wal_disk_refuse(error, -errno,
				       "log %s: its file system does not take O_DIRECT (%s); put "
				       "the log on ext4, XFS or a block device.",
				       path, strerror(errno));
	close(fd);
	return 0;
}

int wal_directory_open(struct wal_disk **disk, const char *path,
		       const struct wal_disk_options *options, char *error)
{
	struct directory *directory = calloc(1, sizeof(*directory));
	if (directory == NULL)
		return wal_disk_refuse(error, -ENOMEM, "log %s: out of memory.", path);
	directory->base =
	    (struct wal_disk){.ops = &directory_ops, .segment_bytes = options->segment_bytes};
	directory->lock_fd = -1;
	directory->read_fd = -1;
	for (unsigned i = 0; i < WAL_URING_FILES; i++)
		directory->slots[i] = NO_SEGMENT;
	int result = 0;
	directory->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory->fd < 0) {
		result = wal_disk_refuse(error, -errno, "log %s: %s.", path, strerror(errno));
		free(directory);
		return result;
	}
	if (options->write) {
		directory->zeros = aligned_alloc(WAL_PAGE, WAL_ZERO_BYTES);
		if (directory->zeros == NULL)
			result = wal_disk_refuse(error, -ENOMEM, "log %s: out of memory.", path);
		else
			memset(directory->zeros, 0, WAL_ZERO_BYTES);
		if (result == 0)
			result = take_lock(directory, path, options, error);
		if (result == 0)
			result = try_direct(directory, path, error);
	}
	if (result == 0)
		result = settle_segment_bytes(directory, path, error);
	if (result != 0) {
		directory_close(&directory->base);
		return result;
	}
	*disk = &directory->base;
	return 0;
}
