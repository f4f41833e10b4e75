/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/wal/log_session.h"
#include "tests/unit/wal/memory_disk.h"

#define SEGMENT (32u * WAL_PAGE)

static struct memory_disk *disk;
static struct session session;

static void start(void)
{
	disk = memory_disk_new(SEGMENT, 8);
	session_start(&session, &disk->base);
}

static void stop(void)
{
	session_close(&session);
	memory_disk_free(disk);
}

TestSuite(writer, .init = start, .fini = stop);

Test(writer, durable_count_waits_for_the_hole)
{
	for (int i = 0; i < 4; i++)
		cr_assert(session_append(&session, WAL_DATA, 100) == 1 + i);
	uint64_t last_epoch = session.epoch;
	cr_assert(disk->pending_count == 4);
	memory_disk_complete(disk, 3, 0);
	memory_disk_complete(disk, 1, 0);
	cr_assert(wal_writer_poll(&session.writer) == 0);
	cr_assert(session.writer.durable_count == 1);
	cr_assert(session.writer.counts.completed_early == 2);
	memory_disk_complete(disk, 0, 0);
	cr_assert(wal_writer_poll(&session.writer) == 2);
	cr_assert(session.writer.durable_count == 3);
	cr_assert(session.writer.durable_epoch < last_epoch);
	memory_disk_complete(disk, 0, 0);
	cr_assert(wal_writer_poll(&session.writer) == 2);
	cr_assert(session.writer.durable_count == 5);
	cr_assert(session.writer.durable_epoch == last_epoch);
	cr_assert(session.writer.durable_time_ms == session.writer.tail.time_ms);
}

struct bad_write {
	const char *name;
	int64_t result;
	int error;
};

static const struct bad_write bad_writes[] = {
    {"device error", -EIO, -EIO},
    {"full device", -ENOSPC, -ENOSPC},
    {"one page short", 2 * WAL_PAGE, -EIO},
    {"one byte short", 3 * WAL_PAGE - 1, -EIO},
    {"one byte", 1, -EIO},
};

Test(writer_from_scratch, bad_write_stops_it_for_good)
{
	for (size_t i = 0; i < sizeof(bad_writes) / sizeof(bad_writes[0]); i++) {
		const struct bad_write *row = &bad_writes[i];
		start();
		cr_assert(session_append(&session, WAL_DATA, 100) == 1);
		cr_assert(session_append(&session, WAL_DATA, 100) == 2);
		cr_assert(session_append(&session, WAL_DATA, 100) == 3);
		memory_disk_complete(disk, 0, 0);
		memory_disk_complete(disk, 0, row->result);
		cr_assert(wal_writer_poll(&session.writer) == row->error, "%s", row->name);
		uint64_t durable = session.writer.durable_count;
		cr_assert(durable <= 2, "%s", row->name);
		memory_disk_complete(disk, 0, 0);
		cr_assert(wal_writer_poll(&session.writer) == row->error, "%s", row->name);
		cr_assert(session.writer.durable_count == durable, "%s", row->name);
		cr_assert(session_append(&session, WAL_DATA, 100) == row->error, "%s", row->name);
		cr_assert(wal_writer_can_append(&session.writer, 0) == row->error);
		cr_assert(wal_writer_room(&session.writer, 0) == 0);
		stop();
	}
}

Test(writer, refused_submission_stops_it_for_good)
{
	disk->submit_error = -EBADF;
	cr_assert(session_append(&session, WAL_DATA, 100) == -EBADF);
	disk->submit_error = 0;
	cr_assert(session_append(&session, WAL_DATA, 100) == -EBADF);
	cr_assert(wal_writer_poll(&session.writer) == -EBADF);
	cr_assert(session.writer.durable_count == 1);
}

Test(writer_from_scratch, nothing_follows_open_before_it_is_durable)
{
	disk = memory_disk_new(SEGMENT, 8);
	struct wal_tail tail = {0};
	cr_assert(session_open(&session, &disk->base, &tail, "meta") == 0);
	cr_assert(session_append(&session, WAL_OPEN, 0) == -ENOSPC);
	cr_assert(session_prepare(&session) == 0);
	cr_assert(session_append(&session, WAL_OPEN, 0) == 0);
	cr_assert(session_append(&session, WAL_DATA, 10) == -EAGAIN);
	/* the segment's header alone is not enough, nor is the block alone */
	cr_assert(disk->pending_count == 2);
	memory_disk_complete(disk, 1, 0);
	cr_assert(wal_writer_poll(&session.writer) == 0);
	cr_assert(session_append(&session, WAL_DATA, 10) == -EAGAIN);
	memory_disk_complete(disk, 0, 0);
	cr_assert(wal_writer_poll(&session.writer) == 1);
	cr_assert(session_append(&session, WAL_DATA, 10) == 1);
	stop();
}

Test(writer, close_waits_for_everything_before_it)
{
	cr_assert(session_append(&session, WAL_DATA, 100) == 1);
	cr_assert(session_append(&session, WAL_CLOSE, 0) == -EAGAIN);
	memory_disk_complete_all(disk);
	cr_assert(wal_writer_poll(&session.writer) == 1);
	cr_assert(session_append(&session, WAL_CLOSE, 0) == 2);
	cr_assert(wal_writer_room(&session.writer, 0) == 0);
	const struct wal_block_header *header =
	    (const struct wal_block_header *)disk->pending[0].data;
	cr_assert(header->type == WAL_CLOSE && header->durable_count == 2);
}

Test(writer, as_many_blocks_in_flight_as_configured)
{
	for (int i = 0; i < 8; i++)
		cr_assert(session_append(&session, WAL_DATA, 0) == 1 + i);
	cr_assert(session_append(&session, WAL_DATA, 0) == -EAGAIN);
	memory_disk_complete(disk, 1, 0);
	wal_writer_poll(&session.writer);
	cr_assert(session_append(&session, WAL_DATA, 0) == -EAGAIN, "its slot is behind a hole");
	memory_disk_complete(disk, 0, 0);
	cr_assert(wal_writer_poll(&session.writer) == 2);
	cr_assert(session_append(&session, WAL_DATA, 0) == 9);
	cr_assert(session.writer.counts.refused_in_flight >= 2);
}

Test(writer, new_segment_is_durable_only_with_its_header)
{
	disk->at_once = true;
	while (session.writer.tail.segment == 0 &&
	       SEGMENT - session.writer.tail.offset >= 4 * WAL_PAGE) {
		cr_assert(session_put(&session, WAL_DATA, 4000) > 0);
		session_settle(&session);
	}
	disk->at_once = false;
	int64_t seq = session_put(&session, WAL_DATA, 3 * WAL_PAGE);
	cr_assert(session.writer.tail.segment == 1);
	cr_assert(disk->pending_count == 2);
	cr_assert(disk->pending[0].offset == 0 && disk->pending[1].offset == WAL_PAGE);
	memory_disk_complete(disk, 1, 0);
	cr_assert(wal_writer_poll(&session.writer) == 0);
	cr_assert(session.writer.durable_count == (uint64_t)seq);
	memory_disk_complete(disk, 0, 0);
	cr_assert(wal_writer_poll(&session.writer) == 1);
	cr_assert(session.writer.durable_count == (uint64_t)seq + 1);
	cr_assert(session.writer.counts.rolls == 1);
}

Test(writer, room_is_what_can_really_be_appended)
{
	disk->at_once = true;
	const uint64_t sizes[] = {0, 1, WAL_PAGE, 5 * WAL_PAGE, 9 * WAL_PAGE};
	for (size_t i = 0; i < 5; i++) {
		uint64_t payload = wal_padded(sizes[i]) + wal_padded(sizes[i] / 3);
		for (int n = 0; n < 3; n++)
			session_put(&session, WAL_DATA, sizes[i]);
		uint64_t room = wal_writer_room(&session.writer, payload);
		cr_assert(room > 0);
		uint64_t appended = 0;
		while (session_append(&session, WAL_DATA, sizes[i]) >= 0) {
			session_settle(&session);
			appended++;
		}
		cr_assert(appended == room, "%lu of %lu", appended, room);
		cr_assert(wal_writer_room(&session.writer, payload) == 0);
		cr_assert(session.writer.counts.refused_space > 0);
		disk->capacity++;
		session_prepare(&session);
	}
}

Test(writer, room_holds_for_smaller_blocks_too)
{
	disk->at_once = true;
	uint64_t payload = 9 * WAL_PAGE + 3 * WAL_PAGE;
	uint64_t room = wal_writer_room(&session.writer, payload);
	for (uint64_t i = 0; i < room; i++) {
		uint64_t pages = 1 + i * 7 % 9;
		cr_assert(session_append(&session, WAL_DATA, pages * WAL_PAGE) > 0, "%lu of %lu", i,
			  room);
		session_settle(&session);
	}
}

Test(writer, full_disk_is_refused_and_goes_on_when_there_is_space)
{
	disk->at_once = true;
	disk->capacity = 3;
	int64_t seq;
	while ((seq = session_put(&session, WAL_DATA, 20000)) >= 0)
		session_settle(&session);
	cr_assert(seq == -ENOSPC);
	cr_assert(wal_preparer_error(&session.preparer) == -ENOSPC);
	cr_assert(session.writer.error == 0);
	cr_assert(wal_writer_poll(&session.writer) == 0);
	disk->capacity = 5;
	cr_assert(session_put(&session, WAL_DATA, 20000) > 0);
	cr_assert(session_settle(&session) == 0);
}

struct bad_config {
	const char *name;
	struct wal_writer_config config;
	uint64_t segment_bytes;
};

#define CONFIG(flight, ahead, size, id)                                                  \
	{                                                                                \
		.log_id = (id), .blocks_in_flight = (flight), .segments_ahead = (ahead), \
		.meta_bytes = (size), .meta = "",                                        \
	}

static const struct bad_config bad_configs[] = {
    {"none in flight", CONFIG(0, 1, 0, 1), SEGMENT},
    {"too many in flight", CONFIG(WAL_BLOCKS_IN_FLIGHT_MAX + 1, 1, 0, 1), SEGMENT},
    {"none ahead", CONFIG(1, 0, 0, 1), SEGMENT},
    {"too many ahead", CONFIG(1, WAL_SEGMENTS_AHEAD_MAX + 1, 0, 1), SEGMENT},
    {"meta too long", CONFIG(1, 1, WAL_META_MAX + 1, 1), SEGMENT},
    {"no identity", CONFIG(1, 1, 0, 0), SEGMENT},
    {"segments too small", CONFIG(1, 1, 0, 1), WAL_SEGMENT_BYTES_MIN - WAL_PAGE},
    {"segments not of pages", CONFIG(1, 1, 0, 1), SEGMENT + 1},
};

Test(writer, bad_configurations_are_refused)
{
	for (size_t i = 0; i < sizeof(bad_configs) / sizeof(bad_configs[0]); i++) {
		const struct bad_config *row = &bad_configs[i];
		struct memory_disk *other = memory_disk_new(row->segment_bytes, 4);
		struct wal_writer writer;
		struct wal_preparer preparer;
		struct wal_tail tail = {0};
		wal_preparer_init(&preparer, &other->base, 0);
		cr_assert(wal_writer_open(&writer, &other->base, &preparer, &row->config, &tail) ==
			      -EINVAL,
			  "%s", row->name);
		wal_preparer_stop(&preparer);
		memory_disk_free(other);
	}
}

Test(writer, block_larger_than_a_segment_is_refused)
{
	cr_assert(wal_writer_can_append(&session.writer, SEGMENT - 2 * WAL_PAGE) == 0);
	cr_assert(wal_writer_can_append(&session.writer, SEGMENT - WAL_PAGE) == -EINVAL);
	cr_assert(wal_writer_can_append(&session.writer, 100) == -EINVAL);
}
