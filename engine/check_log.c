/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/log_writer.h"
#include "engine/sysfs.h"

#define WRITE_BYTES 4096u
/* What a durable 4 KiB write may take: a data centre's NVMe needs some 20 us, one without power loss
 * protection a millisecond, a disk ten. */
#define WRITE_SLOW_NS  UINT64_C(1000000)
#define EXTENTS_MAX    16 /* of a segment, before it is worth a word */
#define XFS_MAGIC      0x58465342
#define SEGMENT_SUFFIX ".wal"
#define ROOM_SEGMENTS  8 /* less room than this many is worth a word */

/* Where the log would be written. */

struct file_system {
	long magic;
	const char *name;
	enum check_verdict verdict;
	const char *advice;
};

static const struct file_system file_systems[] = {
    {EXT4_SUPER_MAGIC, "ext4", CHECK_OK, NULL},
    {XFS_MAGIC, "xfs", CHECK_OK, NULL},
    {TMPFS_MAGIC, "tmpfs", CHECK_WARN, "what is acknowledged is lost with the power"},
    {RAMFS_MAGIC, "ramfs", CHECK_WARN, "what is acknowledged is lost with the power"},
    {BTRFS_SUPER_MAGIC, "btrfs", CHECK_WARN,
     "it copies on write: every block changes metadata; take ext4, xfs or a raw device"},
    {OVERLAYFS_SUPER_MAGIC, "overlay", CHECK_WARN,
     "a container's own layer: mount a volume for the log"},
    {NFS_SUPER_MAGIC, "nfs", CHECK_WARN, "a network in the way of every block"},
    {FUSE_SUPER_MAGIC, "fuse", CHECK_WARN, "whether it keeps its word is for its author to say"},
};

static void check_file_system(struct check_report *report, const char *path)
{
	struct statfs status;

	if (statfs(path, &status) != 0)
		return;
	for (size_t i = 0; i < sizeof(file_systems) / sizeof(file_systems[0]); i++) {
		const struct file_system *each = &file_systems[i];
		if ((unsigned long)status.f_type != (unsigned long)each->magic)
			continue;
		check_say(report, each->verdict, "file system", "%s", each->name);
		if (each->advice != NULL)
			check_advise(report, "%s", each->advice);
		return;
	}
	check_say(report, CHECK_WARN, "file system", "of type %#lx, not tried with giro",
		  (unsigned long)status.f_type);
	check_advise(report, "take ext4, xfs or a raw device");
}

static void check_space(struct check_report *report, const struct engine_config *config)
{
	uint64_t payload = config->section_bytes * config->limits.shards;
	uint64_t ahead =
	    log_writer_segments_ahead(config->epochs, payload, config->segment_bytes) + 1;
	struct statvfs status;

	if (statvfs(config->log_path, &status) != 0)
		return;
	uint64_t free_bytes = status.f_bavail * status.f_frsize;
	uint64_t segments = free_bytes / config->segment_bytes;
	bool scarce = segments < ahead + ROOM_SEGMENTS;
	check_say(report, scarce ? CHECK_WARN : CHECK_OK, "log space",
		  "%" PRIu64 " MiB free: %" PRIu64 " segments of %" PRIu64 " MiB", free_bytes >> 20,
		  segments, config->segment_bytes >> 20);
	if (scarce)
		check_advise(report,
			     "%" PRIu64 " are kept ready; without room for more, new work is "
			     "answered BUSY",
			     ahead);
}

/* How many pieces the file is in, or a negative errno. */
static int count_extents(int directory, const char *name)
{
	struct fiemap map = {.fm_length = FIEMAP_MAX_OFFSET, .fm_flags = 0};
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int result = ioctl(fd, FS_IOC_FIEMAP, &map) == 0 ? (int)map.fm_mapped_extents : -errno;
	close(fd);
	return result;
}

static void check_extents(struct check_report *report, const char *path)
{
	DIR *list = opendir(path);
	struct dirent *file;
	unsigned segments = 0;
	int most = 0;

	if (list == NULL)
		return;
	while ((file = readdir(list)) != NULL) {
		const char *suffix = strrchr(file->d_name, '.');
		if (suffix == NULL || strcmp(suffix, SEGMENT_SUFFIX) != 0)
			continue;
		int extents = count_extents(dirfd(list), file->d_name);
		if (extents < 0)
			continue;
		segments++;
		most = extents > most ? extents : most;
	}
	closedir(list);
	if (segments == 0) {
		check_say(report, CHECK_OK, "log extents", "no segments yet");
		return;
	}
	check_say(report, most > EXTENTS_MAX ? CHECK_WARN : CHECK_OK, "log extents",
		  "%u segments, %d extents in the most scattered", segments, most);
	if (most > EXTENTS_MAX)
		check_advise(report, "the file system is full or worn: a block may become several "
				     "writes");
}

/* Is an engine writing there? Its lock is only tried, as the next engine would. */
static void check_lock(struct check_report *report, const char *path)
{
	char lock[CONFIG_TEXT_MAX + 8];

	snprintf(lock, sizeof(lock), "%s/lock", path);
	int fd = open(lock, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
		check_say(report, CHECK_WARN, "log lock", "an engine is writing this log");
		check_advise(report, "what follows is measured beside it; a second one is refused");
	}
	close(fd);
}

/* The device beneath. */

static void check_cache(struct check_report *report, const char *root, const char *queue)
{
	char cache[SYSFS_TEXT_BYTES];
	int64_t fua = sysfs_number(root, 0, "%s/fua", queue);

	if (!sysfs_text(root, cache, "%s/write_cache", queue))
		return;
	if (strcmp(cache, "write back") != 0) {
		check_say(report, CHECK_OK, "write cache", "%.32s: a write is durable when it ends",
			  cache);
		return;
	}
	if (fua == 1) {
		check_say(report, CHECK_OK, "write cache",
			  "volatile; single writes can pass through it (FUA)");
		return;
	}
	check_say(report, CHECK_WARN, "write cache", "volatile, and no write can pass through it");
	check_advise(report, "every block flushes the whole cache: take a device with power loss "
			     "protection; never tell the kernel that the cache is safe when it is "
			     "not");
}

/* Polled completions are reported, not wanted: the writer sleeps until its block is done. */
static void check_poll_queues(struct check_report *report, const char *root, const char *queue)
{
	int64_t polled = sysfs_number(root, -1, "/sys/module/nvme/parameters/poll_queues");
	int64_t poll = sysfs_number(root, 0, "%s/io_poll", queue);

	check_say(report, CHECK_OK, "poll queues", "%s; the log writer uses interrupts",
		  polled > 0  ? "some"
		  : poll == 1 ? "possible"
			      : "none");
}

static void check_scheduler(struct check_report *report, const char *root, const char *queue,
			    const char *name)
{
	char schedulers[SYSFS_TEXT_BYTES];

	if (!sysfs_text(root, schedulers, "%s/scheduler", queue))
		return;
	if (strstr(schedulers, "[none]") != NULL || strcmp(schedulers, "none") == 0) {
		check_say(report, CHECK_OK, "io scheduler", "none");
		return;
	}
	check_say(report, CHECK_WARN, "io scheduler", "%.64s", schedulers);
	check_advise(report, "the log's writes have nothing to be ordered with");
	check_command(report, "echo none >/sys/block/%s/queue/scheduler", name);
}

void check_block_device(struct check_report *report, const struct check_subject *subject,
			unsigned device_major, unsigned device_minor)
{
	char device[SYSFS_PATH_BYTES];
	char queue[SYSFS_PATH_BYTES];
	char event[SYSFS_PATH_BYTES];
	char name[64] = "";
	char text[SYSFS_TEXT_BYTES];
	const char *root = subject->root;

	snprintf(device, sizeof(device), "/sys/dev/block/%u:%u", device_major, device_minor);
	/* A partition's queue is that of its disk. */
	const char *up = sysfs_text(root, text, "%s/partition", device) ? "/.." : "";
	snprintf(queue, sizeof(queue), "%.256s%s/queue", device, up);
	snprintf(event, sizeof(event), "%s%.256s%s/uevent", root, device, up);
	FILE *file = fopen(event, "re");
	while (file != NULL && fgets(text, sizeof(text), file) != NULL)
		(void)sscanf(text, "DEVNAME=%63s", name);
	if (file != NULL)
		fclose(file);
	if (name[0] == '\0') {
		check_say(report, CHECK_WARN, "log device", "not known (%u:%u)", device_major,
			  device_minor);
		check_advise(report, "no block device of its own: whatever is beneath decides how "
				     "durable and how fast the log is");
		return;
	}
	bool rotates = sysfs_number(root, 0, "%s/rotational", queue) == 1;
	check_say(report, rotates ? CHECK_WARN : CHECK_OK, "log device", "%s%s", name,
		  rotates ? ", a disk that turns" : "");
	if (rotates)
		check_advise(report, "every block waits for a turn: take an NVMe device. (Virtual "
				     "disks often say so wrongly)");
	check_cache(report, root, queue);
	check_scheduler(report, root, queue, name);
	check_poll_queues(report, root, queue);
}

/* Measuring. */

static int by_time(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;
	return (left > right) - (left < right);
}

/* As the log is written: into blocks that are there already, past the page cache. */
static int time_writes(int fd, void *page, uint64_t times_ns[CHECK_WRITES])
{
	const struct iovec vector = {.iov_base = page, .iov_len = WRITE_BYTES};

	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < CHECK_WRITES; i++) {
			uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
			ssize_t wrote = pwritev2(fd, &vector, 1, (off_t)i * WRITE_BYTES,
						 pass == 0 ? 0 : RWF_DSYNC);
			if (wrote != (ssize_t)WRITE_BYTES)
				return wrote < 0 ? -errno : -EIO;
			times_ns[i] = clock_ns(CLOCK_MONOTONIC) - start_ns;
		}
		if (pass == 0 && fsync(fd) != 0)
			return -errno;
	}
	return 0;
}

int check_time_writes(const char *directory, uint64_t times_ns[CHECK_WRITES])
{
	char name[CONFIG_TEXT_MAX + 32];
	int result = -ENOMEM;

	int fd = open(directory, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		snprintf(name, sizeof(name), "%s/.giro-check-%d", directory, getpid());
		fd = open(name, O_CREAT | O_EXCL | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
		if (fd >= 0)
			unlink(name);
	}
	if (fd < 0)
		return -errno;
	void *page = aligned_alloc(WRITE_BYTES, WRITE_BYTES);
	if (page != NULL) {
		memset(page, 0x5a, WRITE_BYTES);
		result = time_writes(fd, page, times_ns);
	}
	free(page);
	close(fd);
	if (result == 0)
		qsort(times_ns, CHECK_WRITES, sizeof(times_ns[0]), by_time);
	return result;
}

static void check_latency(struct check_report *report, const char *path)
{
	uint64_t times_ns[CHECK_WRITES];
	int failed = check_time_writes(path, times_ns);

	if (failed != 0) {
		check_say(report, CHECK_FAIL, "dsync latency", "no file can be written in %s: %s",
			  path, strerror(-failed));
		check_advise(report, "the engine needs to create and write files there: see mount "
				     "options, owner, lsattr, and space");
		return;
	}
	uint64_t median_ns = times_ns[CHECK_WRITES / 2];
	bool slow = median_ns > WRITE_SLOW_NS;
	check_say(report, slow ? CHECK_WARN : CHECK_OK, "dsync latency",
		  "%.3f ms, at most %.3f ms, over %d writes of 4 KiB", (double)median_ns / 1e6,
		  (double)times_ns[CHECK_WRITES - 1] / 1e6, CHECK_WRITES);
	if (slow)
		check_advise(report,
			     "no transfer is answered sooner than one such write; throughput "
			     "does not suffer");
}

/* Both kinds of place. */

static void check_directory(struct check_report *report, const struct check_subject *subject,
			    const struct stat *status)
{
	const struct engine_config *config = subject->config;
	struct statvfs flags;

	if (statvfs(config->log_path, &flags) == 0 && (flags.f_flag & ST_RDONLY) != 0) {
		check_say(report, CHECK_FAIL, "log path", "%s is mounted read-only",
			  config->log_path);
		check_command(report, "mount -o remount,rw %s", config->log_path);
		return;
	}
	check_say(report, CHECK_OK, "log path", "directory %s", config->log_path);
	check_lock(report, config->log_path);
	check_file_system(report, config->log_path);
	check_space(report, config);
	check_extents(report, config->log_path);
	check_block_device(report, subject, major(status->st_dev), minor(status->st_dev));
	check_latency(report, config->log_path);
}

void check_log(struct check_report *report, const struct check_subject *subject)
{
	const char *path = subject->config->log_path;
	struct stat status;

	if (stat(path, &status) != 0) {
		check_say(report, CHECK_FAIL, "log path", "%s: %s", path, strerror(errno));
		check_command(report, "mkdir -p -m 700 %s", path);
		return;
	}
	if (S_ISDIR(status.st_mode)) {
		check_directory(report, subject, &status);
		return;
	}
	if (!S_ISBLK(status.st_mode)) {
		check_say(report, CHECK_FAIL, "log path",
			  "%s is neither a directory nor a block device", path);
		return;
	}
	int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (fd < 0 && errno == EBUSY)
		check_say(report, CHECK_WARN, "log path",
			  "block device %s is in use, by an engine or a mount", path);
	else if (fd < 0)
		check_say(report, CHECK_FAIL, "log path", "block device %s: %s", path,
			  strerror(errno));
	else
		check_say(report, CHECK_OK, "log path", "block device %s", path);
	if (fd >= 0)
		close(fd);
	check_block_device(report, subject, major(status.st_rdev), minor(status.st_rdev));
	check_say(report, CHECK_OK, "dsync latency",
		  "not measured: all of a raw device is the log's");
}
