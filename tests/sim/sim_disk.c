/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_disk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/sim.h"

static struct sim_disk *disk_of(struct wal_disk *base)
{
	return (struct sim_disk *)base;
}

/* Every function passes here: a node may die in any of them. */
static bool is_dead(struct sim_disk *disk)
{
	if (disk->dies_after != 0 && --disk->dies_after == 0 && !disk->dead) {
		trace("the node dies");
		sim_disk_lose_power(disk);
	}
	return disk->dead;
}

static int64_t list(struct wal_disk *base, struct wal_segment_entry *entries, size_t capacity)
{
	struct sim_disk *disk = disk_of(base);
	size_t count = 0;

	if (is_dead(disk))
		return -EIO;
	for (uint64_t s = 0; s < SIM_SEGMENTS_MAX; s++) {
		if (disk->segments[s].bytes == NULL)
			continue;
		if (count < capacity)
			entries[count] = (struct wal_segment_entry){
			    .segment = s,
			    .bytes = disk->segments[s].size,
			};
		count++;
	}
	return (int64_t)count;
}

static int64_t read_segment(struct sim_disk *disk, uint64_t segment, uint64_t offset, void *buffer,
			    size_t bytes)
{
	CHECK(bytes % WAL_PAGE == 0 && offset % WAL_PAGE == 0 && bytes > 0);
	CHECK((uintptr_t)buffer % WAL_PAGE == 0);
	if (segment >= SIM_SEGMENTS_MAX || disk->segments[segment].bytes == NULL)
		return -ENOENT;
	if (disk->unreadable && segment == disk->unreadable_segment &&
	    offset <= disk->unreadable_offset && disk->unreadable_offset < offset + bytes)
		return -EIO;
	uint64_t size = disk->segments[segment].size;
	if (offset >= size)
		return 0;
	if (bytes > size - offset)
		bytes = size - offset;
	memcpy(buffer, disk->segments[segment].bytes + offset, bytes);
	return (int64_t)bytes;
}

static int64_t read_disk(struct wal_disk *base, uint64_t segment, uint64_t offset, void *buffer,
			 size_t bytes)
{
	struct sim_disk *disk = disk_of(base);

	if (is_dead(disk))
		return -EIO;
	return read_segment(disk, segment, offset, buffer, bytes);
}

/* What will become of a write. */
static void plan_write(struct sim_disk *disk, struct sim_write *write)
{
	struct sim *sim = disk->sim;
	const struct shape *shape = &sim->shape;

	write->result = (int64_t)write->bytes;
	write->due_us = sim->now_us + rng_below(&sim->rng, shape->write_us + 1);
	if (sim->settling)
		return;
	if (rng_chance(&sim->rng, shape->write_spike)) {
		reach(sim, REACH_WRITE_SPIKE);
		write->due_us += rng_below(&sim->rng, shape->write_us * 50 + 1);
	}
	if (rng_chance(&sim->rng, shape->write_error)) {
		write->result = rng_chance(&sim->rng, 500) ? -EIO : -ENOSPC;
	} else if (rng_chance(&sim->rng, shape->write_short)) {
		write->result =
		    (int64_t)(rng_below(&sim->rng, write->bytes / SIM_SECTOR) * SIM_SECTOR);
	}
}

static int submit_write(struct wal_disk *base, uint64_t segment, uint64_t offset,
			const struct iovec *vectors, unsigned count, uint64_t tag)
{
	struct sim_disk *disk = disk_of(base);
	struct sim *sim = disk->sim;

	if (is_dead(disk))
		return -EIO;
	CHECK(disk->write_count < WAL_DISK_WRITES_MAX && count <= 1 + WAL_SECTIONS_MAX);
	CHECK(segment < SIM_SEGMENTS_MAX && disk->segments[segment].bytes != NULL);
	if (!sim->settling && rng_below(&sim->rng, 4000) < sim->shape.write_error) {
		reach(sim, REACH_WRITE_REFUSED);
		return -EIO;
	}
	struct sim_write *write = &disk->writes[disk->write_count++];
	*write = (struct sim_write){
	    .segment = segment,
	    .offset = offset,
	    .tag = tag,
	    .vector_count = count,
	};
	for (unsigned i = 0; i < count; i++) {
		CHECK((uintptr_t)vectors[i].iov_base % WAL_PAGE == 0);
		CHECK(vectors[i].iov_len % WAL_PAGE == 0 && vectors[i].iov_len > 0);
		write->vectors[i] = vectors[i];
		write->bytes += vectors[i].iov_len;
	}
	CHECK(offset % WAL_PAGE == 0 && offset + write->bytes <= disk->base.segment_bytes);
	write->data = malloc(write->bytes);
	CHECK(write->data != NULL);
	uint64_t at = 0;
	for (unsigned i = 0; i < count; i++) {
		memcpy(write->data + at, vectors[i].iov_base, vectors[i].iov_len);
		at += vectors[i].iov_len;
	}
	plan_write(disk, write);
	oracle_submitted(sim, segment, offset, write->data, write->bytes);
	return 0;
}

void sim_disk_land(struct sim_disk *disk, const struct sim_write *write, uint64_t sector)
{
	uint8_t *at = disk->segments[write->segment].bytes + write->offset + sector * SIM_SECTOR;

	if (disk->unflushed_count == disk->unflushed_capacity) {
		disk->unflushed_capacity = disk->unflushed_capacity * 2 + 64;
		disk->unflushed =
		    realloc(disk->unflushed, disk->unflushed_capacity * sizeof(disk->unflushed[0]));
		CHECK(disk->unflushed != NULL);
	}
	struct sim_unflushed *unflushed = &disk->unflushed[disk->unflushed_count++];
	unflushed->segment = write->segment;
	unflushed->offset = write->offset + sector * SIM_SECTOR;
	memcpy(unflushed->before, at, SIM_SECTOR);
	memcpy(at, write->data + sector * SIM_SECTOR, SIM_SECTOR);
}

/* A durable write supersedes what may have been in the cache for the same place. */
static void forget_unflushed(struct sim_disk *disk, uint64_t segment, uint64_t from, uint64_t to)
{
	size_t kept = 0;

	for (size_t i = 0; i < disk->unflushed_count; i++) {
		const struct sim_unflushed *sector = &disk->unflushed[i];
		if (sector->segment == segment && sector->offset >= from && sector->offset < to)
			continue;
		if (kept != i)
			disk->unflushed[kept] = *sector;
		kept++;
	}
	disk->unflushed_count = kept;
}

static void check_untouched(struct sim_disk *disk, const struct sim_write *write)
{
	uint64_t at = 0;

	for (unsigned i = 0; i < write->vector_count; i++) {
		const struct iovec *vector = &write->vectors[i];
		if (memcmp(write->data + at, vector->iov_base, vector->iov_len) != 0)
			sim_fail(disk->sim,
				 "buffer changed while its write was in flight: segment %" PRIu64
				 ", offset %" PRIu64 ", byte %" PRIu64 " on",
				 write->segment, write->offset, at);
		at += vector->iov_len;
	}
}

static void take_out(struct sim_disk *disk, uint32_t index)
{
	free(disk->writes[index].data);
	disk->write_count--;
	memmove(&disk->writes[index], &disk->writes[index + 1],
		(disk->write_count - index) * sizeof(disk->writes[0]));
}

static void complete(struct sim_disk *disk, uint32_t index)
{
	struct sim *sim = disk->sim;
	struct sim_write *write = &disk->writes[index];
	uint64_t sectors = write->bytes / SIM_SECTOR;
	bool whole = write->result == (int64_t)write->bytes;

	check_untouched(disk, write);
	if (whole) {
		memcpy(disk->segments[write->segment].bytes + write->offset, write->data,
		       write->bytes);
		forget_unflushed(disk, write->segment, write->offset, write->offset + write->bytes);
	} else if (write->result >= 0) {
		reach(sim, REACH_WRITE_SHORT);
		for (uint64_t i = 0; i < (uint64_t)write->result / SIM_SECTOR; i++)
			sim_disk_land(disk, write, i);
	} else {
		reach(sim, REACH_WRITE_FAILED);
		for (uint64_t i = rng_below(&sim->rng, sectors + 1); i < sectors; i++)
			sim_disk_land(disk, write, i);
	}
	if (write->result < 0 || !whole)
		trace("write of segment %" PRIu64 " offset %" PRIu64 " gives %" PRId64,
		      write->segment, write->offset, write->result);
	disk->done[disk->done_count++] = (struct wal_completion){
	    .tag = write->tag,
	    .result = write->result,
	};
	oracle_completed(sim, write->segment, write->offset, whole);
	take_out(disk, index);
}

bool sim_disk_complete(struct sim_disk *disk)
{
	uint32_t due[WAL_DISK_WRITES_MAX];
	uint32_t count = 0;

	for (uint32_t i = 0; i < disk->write_count; i++) {
		if (disk->writes[i].due_us <= disk->sim->now_us)
			due[count++] = i;
	}
	if (count == 0)
		return false;
	complete(disk, due[rng_below(&disk->sim->rng, count)]);
	return true;
}

static int reap(struct wal_disk *base, struct wal_completion *completions, unsigned capacity)
{
	struct sim_disk *disk = disk_of(base);
	unsigned count = 0;

	if (is_dead(disk)) {
		/* So that the dead node's writer lets go of its memory. */
		for (; count < capacity && disk->write_count > 0; count++) {
			completions[count] = (struct wal_completion){
			    .tag = disk->writes[0].tag,
			    .result = -EIO,
			};
			take_out(disk, 0);
		}
	}
	for (; count < capacity && disk->done_count > 0; count++)
		completions[count] = disk->done[--disk->done_count];
	return (int)count;
}

/* Time passes until something completes; now and then the caller's patience ends first. */
static int wait_done(struct wal_disk *base, uint64_t timeout_ns)
{
	struct sim_disk *disk = disk_of(base);
	struct sim *sim = disk->sim;

	(void)timeout_ns;
	if (is_dead(disk) || disk->done_count > 0)
		return 1;
	if (rng_chance(&sim->rng, 100))
		return 0;
	uint64_t soonest = UINT64_MAX;
	for (uint32_t i = 0; i < disk->write_count; i++)
		soonest = disk->writes[i].due_us < soonest ? disk->writes[i].due_us : soonest;
	if (disk->write_count == 0)
		return 0;
	if (soonest > sim->now_us)
		sim->now_us = soonest;
	return sim_disk_complete(disk);
}

static int flush(struct wal_disk *base, uint64_t segment)
{
	struct sim_disk *disk = disk_of(base);

	if (is_dead(disk))
		return -EIO;
	CHECK(segment < SIM_SEGMENTS_MAX);
	if (disk->segments[segment].bytes == NULL)
		return -ENOENT;
	forget_unflushed(disk, segment, 0, disk->base.segment_bytes);
	return 0;
}

/* What a recycled segment may hold: the content of another one, and pages of anything. */
static void fill_with_old_content(struct sim_disk *disk, uint64_t segment)
{
	struct rng *rng = &disk->sim->rng;
	uint8_t *bytes = disk->segments[segment].bytes;

	reach(disk->sim, REACH_SEGMENT_RECYCLED);
	if (segment > 0)
		memcpy(bytes, disk->segments[rng_below(rng, segment)].bytes,
		       disk->base.segment_bytes);
	for (uint64_t at = 0; at < disk->base.segment_bytes; at += WAL_PAGE) {
		if (rng_chance(rng, 100))
			memset(bytes + at, (int)rng_below(rng, 256), WAL_PAGE);
	}
}

static int prepare(struct wal_disk *base, uint64_t segment)
{
	struct sim_disk *disk = disk_of(base);

	if (is_dead(disk))
		return -EIO;
	CHECK(segment < SIM_SEGMENTS_MAX);
	if (disk->segments[segment].bytes != NULL)
		return 0;
	if (disk->full) {
		reach(disk->sim, REACH_DISK_FULL);
		return -ENOSPC;
	}
	disk->segments[segment].bytes = calloc(1, disk->base.segment_bytes);
	disk->segments[segment].size = disk->base.segment_bytes;
	CHECK(disk->segments[segment].bytes != NULL);
	if (disk->sim->shape.recycled)
		fill_with_old_content(disk, segment);
	return 0;
}

static int retire(struct wal_disk *base, uint64_t segment)
{
	(void)base;
	(void)segment;
	return -EINVAL; /* nobody does yet: the log is kept from its first byte */
}

/* The disk outlives the node. */
static void close_disk(struct wal_disk *base)
{
	(void)base;
}

static const struct wal_disk_ops disk_ops = {
    .list = list,
    .read = read_disk,
    .submit_write = submit_write,
    .reap = reap,
    .wait = wait_done,
    .flush = flush,
    .prepare = prepare,
    .retire = retire,
    .close = close_disk,
};

void sim_disk_init(struct sim_disk *disk, struct sim *sim, uint64_t segment_bytes)
{
	memset(disk, 0, sizeof(*disk));
	disk->base = (struct wal_disk){.ops = &disk_ops, .segment_bytes = segment_bytes};
	disk->sim = sim;
}

void sim_disk_free(struct sim_disk *disk)
{
	while (disk->write_count > 0)
		take_out(disk, 0);
	for (uint32_t s = 0; s < SIM_SEGMENTS_MAX; s++)
		free(disk->segments[s].bytes);
	free(disk->unflushed);
	memset(disk, 0, sizeof(*disk));
}

void sim_disk_revive(struct sim_disk *disk)
{
	while (disk->write_count > 0)
		take_out(disk, 0);
	disk->done_count = 0;
	disk->dead = false;
	disk->dies_after = 0;
}

void sim_disk_copy(struct sim_disk *copy, const struct sim_disk *disk)
{
	sim_disk_init(copy, NULL, disk->base.segment_bytes);
	for (uint32_t s = 0; s < SIM_SEGMENTS_MAX; s++) {
		if (disk->segments[s].bytes == NULL)
			continue;
		copy->segments[s].size = disk->segments[s].size;
		copy->segments[s].bytes = malloc(disk->base.segment_bytes);
		CHECK(copy->segments[s].bytes != NULL);
		memcpy(copy->segments[s].bytes, disk->segments[s].bytes, disk->base.segment_bytes);
	}
}

/* The view. */

static int64_t view_list(struct wal_disk *base, struct wal_segment_entry *entries, size_t capacity)
{
	return list(&((struct sim_view *)base)->disk->base, entries, capacity);
}

static int64_t view_read(struct wal_disk *base, uint64_t segment, uint64_t offset, void *buffer,
			 size_t bytes)
{
	struct sim_disk *disk = ((struct sim_view *)base)->disk;

	sim_let_pass(disk->sim);
	return read_segment(disk, segment, offset, buffer, bytes);
}

static const struct wal_disk_ops view_ops = {.list = view_list, .read = view_read};

void sim_view_init(struct sim_view *view, struct sim_disk *disk)
{
	*view = (struct sim_view){
	    .base = {.ops = &view_ops, .segment_bytes = disk->base.segment_bytes},
	    .disk = disk,
	};
}
