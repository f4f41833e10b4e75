/* SPDX-License-Identifier: Apache-2.0
 *
 * A log to read of which the older segments lie in an archive: one more storage, made of the log's own
 * and a folder of archived segments.
 *
 *   archive   0 1 2 3 4
 *   live              4 5 6 7
 *   joined    0 1 2 3 4 5 6 7     4 is read from the log itself
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wal/archive.h"
#include "wal/storage.h"

struct joined {
	struct wal_disk base;
	struct wal_disk *live;
	int folder_fd;
	struct wal_archive *open; /* the archived segment that was read last, or NULL */
	uint64_t open_segment;
};

static struct joined *joined_of(struct wal_disk *disk)
{
	return (struct joined *)disk;
}

static int by_number(const void *a, const void *b)
{
	uint64_t left = ((const struct wal_segment_entry *)a)->segment;
	uint64_t right = ((const struct wal_segment_entry *)b)->segment;
	return (left > right) - (left < right);
}

/* Appends to the `live` first entries, which are in order, what lies in the archive only. Returns how
 * many there are in all, or a negative errno. */
static int64_t list_archive(const struct joined *joined, struct wal_segment_entry *entries,
			    size_t live, size_t capacity)
{
	int fd = openat(joined->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	if (list == NULL) {
		int error = errno;
		if (fd >= 0)
			close(fd);
		return -error;
	}
	struct dirent *file;
	size_t count = live;
	struct wal_segment_entry entry = {.bytes = joined->base.segment_bytes};
	errno = 0;
	while ((file = readdir(list)) != NULL) {
		/* With too little room it is not known which are live; then too many are counted. */
		if (!wal_archive_parse_name(file->d_name, &entry.segment) ||
		    (live > 0 && live <= capacity &&
		     bsearch(&entry, entries, live, sizeof(entry), by_number) != NULL))
			continue;
		if (count < capacity)
			entries[count] = entry;
		count++;
		errno = 0;
	}
	int error = errno;
	closedir(list);
	return error != 0 ? -error : (int64_t)count;
}

static int64_t joined_list(struct wal_disk *disk, struct wal_segment_entry *entries,
			   size_t capacity)
{
	struct joined *joined = joined_of(disk);
	int64_t live = joined->live->ops->list(joined->live, entries, capacity);
	int64_t count = live < 0 ? live : list_archive(joined, entries, (size_t)live, capacity);
	if (count < 0)
		return count;
	size_t stored = (size_t)count < capacity ? (size_t)count : capacity;
	if (stored > 1)
		qsort(entries, stored, sizeof(*entries), by_number);
	return count > WAL_SEGMENTS_MAX ? -EFBIG : count;
}

static int64_t joined_read(struct wal_disk *disk, uint64_t segment, uint64_t offset, void *buffer,
			   size_t bytes)
{
	struct joined *joined = joined_of(disk);
	bool archived = joined->open != NULL && joined->open_segment == segment;
	if (!archived) {
		int64_t got = joined->live->ops->read(joined->live, segment, offset, buffer, bytes);
		if (got != -ENOENT)
			return got;
		struct wal_archive *archive;
		int error = wal_archive_open(&archive, joined->folder_fd, segment);
		if (error != 0)
			return error;
		if (joined->open != NULL)
			wal_archive_close(joined->open);
		joined->open = archive;
		joined->open_segment = segment;
		if (wal_archive_header(archive)->segment_bytes != disk->segment_bytes)
			return -EBADMSG;
	}
	return wal_archive_read(joined->open, offset, buffer, bytes);
}

static void joined_close(struct wal_disk *disk)
{
	struct joined *joined = joined_of(disk);
	if (joined->open != NULL)
		wal_archive_close(joined->open);
	joined->live->ops->close(joined->live);
	close(joined->folder_fd);
	free(joined);
}

/* Only to read from: the rest is never called. */
static const struct wal_disk_ops joined_ops = {
    .list = joined_list,
    .read = joined_read,
    .close = joined_close,
};

/* With no segment of its own left, the log has those of the archive, which say how large they are. */
static int settle_segment_bytes(struct joined *joined)
{
	struct wal_segment_entry entry;
	struct wal_archive *archive;

	joined->base.segment_bytes = joined->live->segment_bytes;
	if (joined->base.segment_bytes != 0)
		return 0;
	int64_t count = list_archive(joined, &entry, 0, 1);
	if (count <= 0)
		return (int)count;
	int error = wal_archive_open(&archive, joined->folder_fd, entry.segment);
	if (error != 0)
		return error;
	joined->base.segment_bytes = wal_archive_header(archive)->segment_bytes;
	wal_archive_close(archive);
	return 0;
}

int wal_archive_join(struct wal_disk **disk, struct wal_disk *live, const char *path, char *error)
{
	struct joined *joined = calloc(1, sizeof(*joined));
	int result = joined == NULL ? -ENOMEM : 0;

	if (result == 0) {
		joined->base = (struct wal_disk){.ops = &joined_ops, .log_id = live->log_id};
		joined->live = live;
		joined->folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		result = joined->folder_fd < 0 ? -errno : settle_segment_bytes(joined);
	}
	if (result == 0) {
		*disk = &joined->base;
		return 0;
	}
	if (joined != NULL && joined->folder_fd >= 0)
		close(joined->folder_fd);
	free(joined);
	live->ops->close(live);
	return wal_disk_refuse(error, result, "archive %s: %s.", path,
			       result == -EBADMSG ? "an archived segment is damaged"
						  : strerror(-result));
}
