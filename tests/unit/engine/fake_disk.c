/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine/fake_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static struct fake_disk *fake_of(struct wal_disk *disk)
{
	return (struct fake_disk *)disk;
}

static int64_t fake_list(struct wal_disk *disk, struct wal_segment_entry *entries, size_t capacity)
{
	struct fake_disk *fake = fake_of(disk);
	size_t count = 0;

	for (uint64_t s = 0; s < FAKE_SEGMENTS_MAX; s++) {
		if (fake->segments[s] == NULL)
			continue;
		if (count < capacity)
			entries[count] = (struct wal_segment_entry){s, disk->segment_bytes};
		count++;
	}
	return (int64_t)count;
}

static int64_t fake_read(struct wal_disk *disk, uint64_t segment, uint64_t offset, void *buffer,
			 size_t bytes)
{
	struct fake_disk *fake = fake_of(disk);

	if (segment >= FAKE_SEGMENTS_MAX || fake->segments[segment] == NULL)
		return -ENOENT;
	if (offset >= disk->segment_bytes)
		return 0;
	if (bytes > disk->segment_bytes - offset)
		bytes = disk->segment_bytes - offset;
	memcpy(buffer, fake->segments[segment] + offset, bytes);
	return (int64_t)bytes;
}

static int fake_submit(struct wal_disk *disk, uint64_t segment, uint64_t offset,
		       const struct iovec *vectors, unsigned count, uint64_t tag)
{
	struct fake_disk *fake = fake_of(disk);

	CHECK(fake->write_count < WAL_DISK_WRITES_MAX && fake->segments[segment] != NULL);
	struct fake_write *write = &fake->writes[fake->write_count++];
	*write = (struct fake_write){segment, offset, tag, 0, count, {{NULL, 0}}};
	for (unsigned i = 0; i < count; i++) {
		write->vectors[i] = vectors[i];
		write->bytes += vectors[i].iov_len;
	}
	CHECK(offset + write->bytes <= disk->segment_bytes);
	if (!fake->held)
		fake_disk_finish_all(fake);
	return 0;
}

static int fake_reap(struct wal_disk *disk, struct wal_completion *completions, unsigned capacity)
{
	struct fake_disk *fake = fake_of(disk);
	unsigned count = fake->done_count < capacity ? fake->done_count : capacity;

	memcpy(completions, fake->done, count * sizeof(*completions));
	memmove(fake->done, fake->done + count, (fake->done_count - count) * sizeof(*completions));
	fake->done_count -= count;
	return (int)count;
}

/* Nobody else finishes writes: waiting does. */
static int fake_wait(struct wal_disk *disk, uint64_t timeout_ns)
{
	(void)timeout_ns;
	fake_disk_finish_all(fake_of(disk));
	return fake_of(disk)->done_count != 0;
}

static int fake_flush(struct wal_disk *disk, uint64_t segment)
{
	return fake_of(disk)->segments[segment] == NULL ? -ENOENT : 0;
}

static int fake_prepare(struct wal_disk *disk, uint64_t segment)
{
	struct fake_disk *fake = fake_of(disk);

	if (segment >= fake->capacity)
		return -ENOSPC;
	if (fake->segments[segment] == NULL)
		fake->segments[segment] = calloc(1, disk->segment_bytes);
	return fake->segments[segment] == NULL ? -ENOMEM : 0;
}

static int fake_retire(struct wal_disk *disk, uint64_t segment)
{
	(void)disk;
	(void)segment;
	return -EINVAL;
}

static void fake_close(struct wal_disk *disk)
{
	fake_disk_free(fake_of(disk));
}

static const struct wal_disk_ops fake_ops = {
    .list = fake_list,
    .read = fake_read,
    .submit_write = fake_submit,
    .reap = fake_reap,
    .wait = fake_wait,
    .flush = fake_flush,
    .prepare = fake_prepare,
    .retire = fake_retire,
    .close = fake_close,
};

struct fake_disk *fake_disk_new(uint64_t segment_bytes, uint64_t capacity)
{
	struct fake_disk *disk = calloc(1, sizeof(*disk));

	CHECK(disk != NULL && capacity <= FAKE_SEGMENTS_MAX);
	disk->base = (struct wal_disk){.ops = &fake_ops, .segment_bytes = segment_bytes};
	disk->capacity = capacity;
	return disk;
}

void fake_disk_finish(struct fake_disk *disk, unsigned index, int error)
{
	CHECK(index < disk->write_count && disk->done_count < WAL_DISK_WRITES_MAX);
	const struct fake_write *write = &disk->writes[index];
	uint8_t *at = disk->segments[write->segment] + write->offset;

	for (unsigned i = 0; error == 0 && i < write->count; i++) {
		memcpy(at, write->vectors[i].iov_base, write->vectors[i].iov_len);
		at += write->vectors[i].iov_len;
	}
	disk->done[disk->done_count++] = (struct wal_completion){
	    .tag = write->tag,
	    .result = error != 0 ? error : (int64_t)write->bytes,
	};
	disk->write_count--;
	memmove(&disk->writes[index], &disk->writes[index + 1],
		(disk->write_count - index) * sizeof(*write));
}

void fake_disk_finish_all(struct fake_disk *disk)
{
	while (disk->write_count > 0)
		fake_disk_finish(disk, 0, 0);
}

void fake_disk_free(struct fake_disk *disk)
{
	for (unsigned s = 0; s < FAKE_SEGMENTS_MAX; s++)
		free(disk->segments[s]);
	free(disk);
}
