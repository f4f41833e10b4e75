/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/wal/memory_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static struct memory_disk *memory(struct wal_disk *disk)
{
	return (struct memory_disk *)disk;
}

static int64_t list(struct wal_disk *disk, struct wal_segment_entry *entries, size_t capacity)
{
	struct memory_disk *m = memory(disk);
	size_t count = 0;
	for (uint64_t s = m->first; s < MEMORY_SEGMENTS; s++) {
		if (m->segments[s] == NULL)
			continue;
		if (count < capacity)
			entries[count] =
			    (struct wal_segment_entry){.segment = s, .bytes = m->sizes[s]};
		count++;
	}
	return (int64_t)count;
}

static int64_t read_segment(struct wal_disk *disk, uint64_t segment, uint64_t offset, void *buffer,
			    size_t bytes)
{
	struct memory_disk *m = memory(disk);
	m->reads++;
	CHECK(bytes % WAL_PAGE == 0 && offset % WAL_PAGE == 0);
	CHECK((uintptr_t)buffer % WAL_PAGE == 0);
	if (segment >= MEMORY_SEGMENTS || m->segments[segment] == NULL)
		return -ENOENT;
	if (m->unreadable_offset != 0 && segment == m->unreadable_segment &&
	    offset <= m->unreadable_offset && m->unreadable_offset < offset + bytes)
		return -EIO;
	if (offset >= m->sizes[segment])
		return 0;
	if (bytes > m->sizes[segment] - offset)
		bytes = m->sizes[segment] - offset;
	memcpy(buffer, m->segments[segment] + offset, bytes);
	return (int64_t)bytes;
}

static int submit(struct wal_disk *disk, uint64_t segment, uint64_t offset,
		  const struct iovec *vectors, unsigned count, uint64_t tag)
{
	struct memory_disk *m = memory(disk);
	if (m->submit_error != 0)
		return m->submit_error;
	CHECK(m->pending_count < WAL_DISK_WRITES_MAX);
	CHECK(m->segments[segment] != NULL);
	struct memory_write *write = &m->pending[m->pending_count++];
	*write = (struct memory_write){.segment = segment, .offset = offset, .tag = tag};
	for (unsigned i = 0; i < count; i++) {
		CHECK((uintptr_t)vectors[i].iov_base % WAL_PAGE == 0);
		CHECK(vectors[i].iov_len % WAL_PAGE == 0);
		write->bytes += vectors[i].iov_len;
	}
	CHECK(offset + write->bytes <= disk->segment_bytes);
	write->data = malloc(write->bytes);
	uint64_t at = 0;
	for (unsigned i = 0; i < count; i++) {
		memcpy(write->data + at, vectors[i].iov_base, vectors[i].iov_len);
		at += vectors[i].iov_len;
	}
	if (m->at_once)
		memory_disk_complete_all(m);
	return 0;
}

static int reap(struct wal_disk *disk, struct wal_completion *completions, unsigned capacity)
{
	struct memory_disk *m = memory(disk);
	unsigned count = m->done_count < capacity ? m->done_count : capacity;
	memcpy(completions, m->done, count * sizeof(*completions));
	memmove(m->done, m->done + count, (m->done_count - count) * sizeof(*completions));
	m->done_count -= count;
	return (int)count;
}

/* Nobody else completes writes: waiting does. */
static int wait_done(struct wal_disk *disk, uint64_t timeout_ns)
{
	(void)timeout_ns;
	struct memory_disk *m = memory(disk);
	if (m->done_count == 0)
		memory_disk_complete_all(m);
	return m->done_count != 0;
}

static int flush(struct wal_disk *disk, uint64_t segment)
{
	CHECK(memory(disk)->segments[segment] != NULL);
	memory(disk)->flushes++;
	return 0;
}

static int prepare(struct wal_disk *disk, uint64_t segment)
{
	struct memory_disk *m = memory(disk);
	if (segment >= m->capacity)
		return -ENOSPC;
	CHECK(segment < MEMORY_SEGMENTS);
	if (m->segments[segment] == NULL) {
		m->segments[segment] = calloc(1, disk->segment_bytes);
		m->sizes[segment] = disk->segment_bytes;
	}
	return 0;
}

static int retire(struct wal_disk *disk, uint64_t segment)
{
	struct memory_disk *m = memory(disk);
	if (segment != m->first)
		return -EINVAL;
	free(m->segments[segment]);
	m->segments[segment] = NULL;
	m->first++;
	return 0;
}

static void close_disk(struct wal_disk *disk)
{
	memory_disk_free(memory(disk));
}

static const struct wal_disk_ops memory_ops = {
    .list = list,
    .read = read_segment,
    .submit_write = submit,
    .reap = reap,
    .wait = wait_done,
    .flush = flush,
    .prepare = prepare,
    .retire = retire,
    .close = close_disk,
};

struct memory_disk *memory_disk_new(uint64_t segment_bytes, uint64_t capacity)
{
	struct memory_disk *disk = calloc(1, sizeof(*disk));
	disk->base = (struct wal_disk){.ops = &memory_ops, .segment_bytes = segment_bytes};
	disk->capacity = capacity;
	return disk;
}

struct memory_disk *memory_disk_crash(const struct memory_disk *disk)
{
	struct memory_disk *copy = memory_disk_new(disk->base.segment_bytes, disk->capacity);
	copy->first = disk->first;
	for (unsigned s = 0; s < MEMORY_SEGMENTS; s++) {
		if (disk->segments[s] == NULL)
			continue;
		copy->sizes[s] = disk->sizes[s];
		copy->segments[s] = malloc(disk->base.segment_bytes);
		memcpy(copy->segments[s], disk->segments[s], disk->base.segment_bytes);
	}
	return copy;
}

void memory_disk_land(struct memory_disk *disk, unsigned index, uint64_t from, uint64_t to)
{
	const struct memory_write *write = &disk->pending[index];
	uint64_t end = write->bytes / MEMORY_SECTOR;
	if (to > end)
		to = end;
	if (from < to)
		memcpy(disk->segments[write->segment] + write->offset + from * MEMORY_SECTOR,
		       write->data + from * MEMORY_SECTOR, (to - from) * MEMORY_SECTOR);
}

void memory_disk_complete(struct memory_disk *disk, unsigned index, int64_t result)
{
	CHECK(index < disk->pending_count);
	struct memory_write write = disk->pending[index];
	memory_disk_land(disk, index, 0, write.bytes);
	disk->done[disk->done_count++] = (struct wal_completion){
	    .tag = write.tag, .result = result != 0 ? result : (int64_t)write.bytes};
	free(write.data);
	disk->pending_count--;
	memmove(&disk->pending[index], &disk->pending[index + 1],
		(disk->pending_count - index) * sizeof(write));
}

void memory_disk_complete_all(struct memory_disk *disk)
{
	while (disk->pending_count != 0)
		memory_disk_complete(disk, 0, 0);
}

void memory_disk_free(struct memory_disk *disk)
{
	for (unsigned i = 0; i < disk->pending_count; i++)
		free(disk->pending[i].data);
	for (unsigned s = 0; s < MEMORY_SEGMENTS; s++)
		free(disk->segments[s]);
	free(disk);
}
