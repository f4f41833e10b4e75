/* SPDX-License-Identifier: Apache-2.0
 *
 * A log on a raw block device:
 *
 *   0          4 KiB       1 MiB
 *   +--------+-----------+-------------+-------------+---     ---+------+
 *   | header | zero      | region 0    | region 1    |    ...    | rest |
 *   +--------+-----------+-------------+-------------+---     ---+------+
 *
 * Segment s lies in region s mod region_count, and the header names the oldest segment in use: so a
 * region is used again once its segment is retired, and what lies in it before says by itself, with
 * its segment number, that it is old.
 *
 * The lock is the kernel's exclusive open of a block device: it keeps a second engine out like
 * flock() would, and file systems, swap and volume managers too.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "wal/storage.h"
#include "wal/uring_writes.h"

#define REGIONS_MIN 3
#define DEVICE_SLOT 0

struct device {
	struct wal_disk base;
	int fd;
	bool write;
	struct wal_uring uring;
	uint64_t region_count;
	/* Writer: retire(). Readers: prepare() and the others. */
	_Atomic uint64_t first_segment;
	void *page; /* the header page, for retire() */
};

static struct device *device_of(struct wal_disk *disk)
{
	return (struct device *)disk;
}

static bool in_range(struct device *device, uint64_t segment)
{
	uint64_t first = atomic_load_explicit(&device->first_segment, memory_order_acquire);
	return segment >= first && segment - first < device->region_count;
}

static uint64_t offset_of(const struct device *device, uint64_t segment)
{
	return WAL_DEVICE_REGION_OFFSET +
	       segment % device->region_count * device->base.segment_bytes;
}

static int64_t device_list(struct wal_disk *disk, struct wal_segment_entry *entries,
			   size_t capacity)
{
	struct device *device = device_of(disk);
	uint64_t first = atomic_load_explicit(&device->first_segment, memory_order_acquire);
	for (uint64_t i = 0; i < device->region_count && i < capacity; i++)
		entries[i] =
		    (struct wal_segment_entry){.segment = first + i, .bytes = disk->segment_bytes};
	return (int64_t)device->region_count;
}

static int64_t device_read(struct wal_disk *disk, uint64_t segment, uint64_t offset, void *buffer,
			   size_t bytes)
{
	struct device *device = device_of(disk);
	if (!in_range(device, segment))
		return -ENOENT;
	if (offset >= disk->segment_bytes)
		return 0;
	if (bytes > disk->segment_bytes - offset)
		bytes = disk->segment_bytes - offset;
	return wal_pread(device->fd, buffer, bytes, offset_of(device, segment) + offset);
}

static int device_submit(struct wal_disk *disk, uint64_t segment, uint64_t offset,
			 const struct iovec *vectors, unsigned count, uint64_t tag)
{
	struct device *device = device_of(disk);
	if (!in_range(device, segment))
		return -ENOENT;
	return wal_uring_write(&device->uring, DEVICE_SLOT, offset_of(device, segment) + offset,
			       vectors, count, tag);
}

static int device_reap(struct wal_disk *disk, struct wal_completion *completions, unsigned capacity)
{
	return wal_uring_reap(&device_of(disk)->uring, completions, capacity);
}

static int device_wait(struct wal_disk *disk, uint64_t timeout_ns)
{
	return wal_uring_wait(&device_of(disk)->uring, timeout_ns);
}

static int device_flush(struct wal_disk *disk, uint64_t segment)
{
	(void)segment;
	return fsync(device_of(disk)->fd) == 0 ? 0 : -errno;
}

static int device_prepare(struct wal_disk *disk, uint64_t segment)
{
	struct device *device = device_of(disk);
	if (!in_range(device, segment))
		return -ENOSPC;
	/* Zeros that stay allocated: the kernel writes them if the device has no faster way. */
	uint64_t range[2] = {offset_of(device, segment), disk->segment_bytes};
	if (ioctl(device->fd, BLKZEROOUT, range) != 0)
		return -errno;
	return fsync(device->fd) == 0 ? 0 : -errno;
}

/* Writes the header page: its first sector, zeros behind. `page` is 4 KiB aligned. */
static int write_header(struct device *device, void *page, uint64_t first_segment)
{
	memset(page, 0, WAL_PAGE);
	struct wal_device_header *header = page;
	header->magic = WAL_DEVICE_MAGIC;
	header->version = WAL_VERSION;
	header->log_id = device->base.log_id;
	header->segment_bytes = device->base.segment_bytes;
	header->region_count = device->region_count;
	header->region_offset = WAL_DEVICE_REGION_OFFSET;
	header->first_segment = first_segment;
	header->checksum = wal_header_checksum(header, sizeof(*header));
	int error = wal_pwrite(device->fd, page, WAL_PAGE, 0);
	if (error != 0)
		return error;
	return fsync(device->fd) == 0 ? 0 : -errno;
}

static int device_retire(struct wal_disk *disk, uint64_t segment)
{
	struct device *device = device_of(disk);
	if (segment != atomic_load_explicit(&device->first_segment, memory_order_relaxed))
		return -EINVAL;
	int error = write_header(device, device->page, segment + 1);
	if (error != 0)
		return error;
	/* pairs with the acquire in in_range(): the region may be zeroed only when it is given up
	 * on the disk */
	atomic_store_explicit(&device->first_segment, segment + 1, memory_order_release);
	return 0;
}

static void device_close(struct wal_disk *disk)
{
	struct device *device = device_of(disk);
	if (device->write)
		wal_uring_close(&device->uring);
	close(device->fd);
	free(device->page);
	free(device);
}

static const struct wal_disk_ops device_ops = {
    .list = device_list,
    .read = device_read,
    .submit_write = device_submit,
    .reap = device_reap,
    .wait = device_wait,
    .flush = device_flush,
    .prepare = device_prepare,
    .retire = device_retire,
    .close = device_close,
};

static int open_device(struct device *device, const char *path,
		       const struct wal_disk_options *options, char *error)
{
	int flags = options->write ? O_RDWR | O_EXCL : O_RDONLY;
	uint32_t waited_ms = 0;
	do {
		device->fd = open(path, flags | O_DIRECT | O_CLOEXEC);
	} while (device->fd < 0 && errno == EBUSY &&
		 wal_lock_again(options->lock_wait_ms, &waited_ms));
	if (device->fd < 0 && errno == EBUSY)
		return wal_disk_refuse(
		    error, -EBUSY,
		    "log device %s is in use, by another engine or a mount; stop "
		    "that, or give this engine a device of its own.",
		    path);
	if (device->fd < 0)
		return wal_disk_refuse(error, -errno, "log device %s: %s.", path, strerror(errno));
	int sector_bytes = 0;
	if (ioctl(device->fd, BLKSSZGET, &sector_bytes) != 0 || sector_bytes > (int)WAL_PAGE)
		return wal_disk_refuse(error, -EINVAL,
				       "log device %s has sectors of %d bytes, more than %u.", path,
				       sector_bytes, WAL_PAGE);
	return 0;
}

/* Takes over the geometry that the device's header gives. */
static int adopt_header(struct device *device, const struct wal_device_header *header,
			uint64_t device_bytes, const char *path,
			const struct wal_disk_options *options, char *error)
{
	if (header->checksum != wal_header_checksum(header, sizeof(*header)))
		return wal_disk_refuse(
		    error, -EUCLEAN,
		    "log device %s: its header is damaged (checksum). Restore "
		    "the first 4096 bytes from a backup; zero the first MiB only "
		    "to give up the log.",
		    path);
	if (header->version != WAL_VERSION)
		return wal_disk_refuse(error, -EPROTONOSUPPORT,
				       "log device %s: its format has version %u, this giro reads "
				       "%d.",
				       path, header->version, WAL_VERSION);
	uint64_t bytes = header->segment_bytes;
	bool sound = bytes >= WAL_SEGMENT_BYTES_MIN && bytes <= WAL_SEGMENT_BYTES_MAX &&
		     bytes % WAL_PAGE == 0 && header->log_id != 0 &&
		     header->region_count >= REGIONS_MIN &&
		     header->region_count <= WAL_SEGMENTS_MAX &&
		     header->region_offset == WAL_DEVICE_REGION_OFFSET;
	if (!sound || header->region_count > (device_bytes - WAL_DEVICE_REGION_OFFSET) / bytes)
		return wal_disk_refuse(error, -EUCLEAN,
				       "log device %s: its header asks for %" PRIu64
				       " segments of %" PRIu64 " bytes, the device has %" PRIu64
				       " bytes. Was it copied to a smaller one?",
				       path, header->region_count, bytes, device_bytes);
	if (options->segment_bytes != 0 && options->segment_bytes != bytes)
		return wal_disk_refuse(error, -EINVAL,
				       "log device %s has segments of %" PRIu64
				       " bytes, not %" PRIu64
				       "; the size of a log's segments cannot be changed.",
				       path, bytes, options->segment_bytes);
	device->base.segment_bytes = bytes;
	device->base.log_id = header->log_id;
	device->region_count = header->region_count;
	atomic_store(&device->first_segment, header->first_segment);
	return 0;
}

static int format_device(struct device *device, uint64_t device_bytes, const char *path,
			 const struct wal_disk_options *options, char *error)
{
	device->base.segment_bytes = options->segment_bytes;
	device->region_count =
	    (device_bytes - WAL_DEVICE_REGION_OFFSET) / device->base.segment_bytes;
	if (device->region_count > WAL_SEGMENTS_MAX)
		device->region_count = WAL_SEGMENTS_MAX;
	if (device->region_count < REGIONS_MIN)
		return wal_disk_refuse(error, -EINVAL,
				       "log device %s has %" PRIu64
				       " bytes, too few for %d segments of %" PRIu64 ".",
				       path, device_bytes, REGIONS_MIN, device->base.segment_bytes);
	while (device->base.log_id == 0) {
		uint64_t *id = &device->base.log_id;
		if (getrandom(id, sizeof(*id), 0) != (ssize_t)sizeof(*id))
			*id = 0;
	}
	int result = write_header(device, device->page, 0);
	return result == 0
		   ? 0
		   : wal_disk_refuse(error, result, "log device %s: %s.", path, strerror(-result));
}

/* Our header, nothing at all, or something else in front of the first region. */
static int settle_header(struct device *device, const char *path,
			 const struct wal_disk_options *options, char *error)
{
	uint64_t device_bytes = 0;
	if (ioctl(device->fd, BLKGETSIZE64, &device_bytes) != 0 ||
	    device_bytes <= WAL_DEVICE_REGION_OFFSET)
		return wal_disk_refuse(error, -EINVAL, "log device %s is too small.", path);
	uint8_t *front = aligned_alloc(WAL_PAGE, WAL_DEVICE_REGION_OFFSET);
	if (front == NULL)
		return wal_disk_refuse(error, -ENOMEM, "log device %s: out of memory.", path);
	int64_t got = wal_pread(device->fd, front, WAL_DEVICE_REGION_OFFSET, 0);
	const struct wal_device_header *header = (const struct wal_device_header *)front;
	/* The whole of it, since some file systems leave the first page alone. */
	bool empty = got == (int64_t)WAL_DEVICE_REGION_OFFSET && front[0] == 0 &&
		     memcmp(front, front + 1, (size_t)WAL_DEVICE_REGION_OFFSET - 1) == 0;
	int result;
	if (got != (int64_t)WAL_DEVICE_REGION_OFFSET)
		result = wal_disk_refuse(error, got < 0 ? (int)got : -EIO,
					 "log device %s: its header cannot be read: %s.", path,
					 strerror(got < 0 ? (int)-got : EIO));
	else if (header->magic == WAL_DEVICE_MAGIC)
		result = adopt_header(device, header, device_bytes, path, options, error);
	else if (!options->write)
		result = wal_disk_refuse(error, -ENOENT, "log device %s holds no log.", path);
	else if (empty || options->format)
		result = format_device(device, device_bytes, path, options, error);
	else
		result = wal_disk_refuse(error, -EEXIST,
					 "log device %s holds something else. Zero its first MiB, "
					 "or ask for formatting, if that may be overwritten.",
					 path);
	free(front);
	return result;
}

int wal_device_open(struct wal_disk **disk, const char *path,
		    const struct wal_disk_options *options, char *error)
{
	struct device *device = calloc(1, sizeof(*device));
	if (device == NULL)
		return wal_disk_refuse(error, -ENOMEM, "log device %s: out of memory.", path);
	device->base.ops = &device_ops;
	device->page = aligned_alloc(WAL_PAGE, WAL_PAGE);
	int result = 0;
	if (device->page == NULL) {
		result = wal_disk_refuse(error, -ENOMEM, "log device %s: out of memory.", path);
		goto free;
	}
	result = open_device(device, path, options, error);
	if (result == 0)
		result = settle_header(device, path, options, error);
	if (result == 0 && options->write)
		result = wal_uring_open(&device->uring, device->fd, error);
	if (result != 0)
		goto close;
	device->write = options->write;
	if (device->write) {
		result = wal_uring_set_file(&device->uring, DEVICE_SLOT, device->fd);
		if (result != 0) {
			wal_disk_refuse(error, result, "log device %s: %s.", path,
					strerror(-result));
			device_close(&device->base);
			return result;
		}
	}
	*disk = &device->base;
	return 0;
close:
	if (device->fd >= 0)
		close(device->fd);
free:
	free(device->page);
	free(device);
	return result;
}
