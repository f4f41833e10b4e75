/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/wal/log_session.h"
#include "tests/unit/wal/loop_device.h"

#define SEGMENT (1u << 20)

static char path[SCRATCH_PATH_BYTES];
static char error[WAL_TEXT_BYTES];

static int try_open(struct wal_disk **disk, bool write, bool format)
{
	struct wal_disk_options options = {
	    .write = write, .format = format, .segment_bytes = write ? SEGMENT : 0};
	*disk = NULL;
	return wal_disk_open(disk, path, &options, error);
}

static void poke(uint64_t offset, const void *bytes, size_t count)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert(fd >= 0 && pwrite(fd, bytes, count, (off_t)offset) == (ssize_t)count);
	cr_assert(fsync(fd) == 0);
	close(fd);
}

Test(disk_device, only_an_empty_device_is_taken_unasked)
{
	const uint64_t places[] = {0, 1080, 65536, (1u << 20) - 8};
	for (int i = 0; i < 4; i++) {
		struct wal_disk *disk;
		scratch_loop_device(path, 6 * SEGMENT);
		poke(places[i], "file sys", 8);
		cr_assert(try_open(&disk, true, false) == -EEXIST, "%lu", places[i]);
		cr_assert(strstr(error, "something else") != NULL);
		cr_assert(try_open(&disk, false, false) == -ENOENT);
		cr_assert(try_open(&disk, true, true) == 0, "%s", error);
		cr_assert(disk->log_id != 0);
		disk->ops->close(disk);
		cr_assert(try_open(&disk, true, false) == 0, "%s", error);
		disk->ops->close(disk);
	}
}

Test(disk_device, formatting_leaves_a_log_alone)
{
	scratch_loop_device(path, 6 * SEGMENT);
	struct wal_disk *disk;
	struct session session;
	cr_assert(try_open(&disk, true, true) == 0);
	uint64_t log_id = disk->log_id;
	session_start(&session, disk);
	cr_assert(session.writer.tail.log_id == log_id);
	session_close(&session);
	disk->ops->close(disk);
	cr_assert(try_open(&disk, true, true) == 0);
	cr_assert(disk->log_id == log_id);
	struct wal_reader reader;
	cr_assert(session_read(&reader, disk) == WAL_NEXT_END);
	cr_assert(wal_reader_tail(&reader)->next_seq == 1);
	wal_reader_close(&reader);
	disk->ops->close(disk);
}

Test(disk_device, damaged_header_is_refused_even_for_formatting)
{
	scratch_loop_device(path, 6 * SEGMENT);
	struct wal_disk *disk;
	cr_assert(try_open(&disk, true, false) == 0);
	disk->ops->close(disk);
	poke(300, "x", 1);
	cr_assert(try_open(&disk, true, false) == -EUCLEAN);
	cr_assert(try_open(&disk, true, true) == -EUCLEAN);
	cr_assert(try_open(&disk, false, false) == -EUCLEAN);
	cr_assert(strstr(error, "Restore") != NULL);
}

Test(disk_device, too_small)
{
	struct wal_disk *disk;
	scratch_loop_device(path, 3 * SEGMENT);
	cr_assert(try_open(&disk, true, false) == -EINVAL);
	scratch_loop_device(path, SEGMENT / 2);
	cr_assert(try_open(&disk, true, false) == -EINVAL);
}

Test(disk_device, full_until_a_segment_is_retired)
{
	scratch_loop_device(path, 5 * SEGMENT);
	struct wal_disk *disk;
	cr_assert(try_open(&disk, true, false) == 0, "%s", error);
	struct session session;
	session_start(&session, disk);
	int64_t seq;
	while ((seq = session_put(&session, WAL_DATA, 60000)) >= 0)
		;
	cr_assert(seq == -ENOSPC);
	cr_assert(session_settle(&session) == 0);
	cr_assert(session.writer.tail.segment == 3);
	cr_assert(disk->ops->retire(disk, 0) == 0);
	cr_assert(session_put(&session, WAL_DATA, 60000) > 0);
	cr_assert(session_settle(&session) == 0);
	cr_assert(session.writer.tail.segment == 4);
	session_close(&session);
	disk->ops->close(disk);

	cr_assert(try_open(&disk, false, false) == 0);
	struct wal_segment_entry entries[8];
	cr_assert(disk->ops->list(disk, entries, 8) == 4);
	cr_assert(entries[0].segment == 1 && entries[3].segment == 4);
	disk->ops->close(disk);
}

/* A new log on a device that held another: what the old one left in the regions is not part of it,
 * nor evidence against it. */
Test(disk_device, content_of_an_older_log_is_ignored)
{
	scratch_loop_device(path, 6 * SEGMENT);
	struct wal_disk *disk;
	struct session session;
	cr_assert(try_open(&disk, true, false) == 0);
	session_start(&session, disk);
	for (int i = 0; i < 30; i++) {
		cr_assert(session_put(&session, WAL_DATA, 60000) > 0);
		cr_assert(session_settle(&session) == 0);
	}
	session_close(&session);
	disk->ops->close(disk);
	uint8_t zero[4096] = {0};
	poke(0, zero, sizeof(zero));
	cr_assert(try_open(&disk, true, false) == 0);
	struct wal_reader reader;
	cr_assert(session_read(&reader, disk) == WAL_NEXT_END, "%s", reader.fault.text);
	cr_assert(wal_reader_tail(&reader)->next_seq == 0);
	wal_reader_close(&reader);
	session_start(&session, disk);
	cr_assert(session_put(&session, WAL_DATA, 10) == 1);
	cr_assert(session_settle(&session) == 0);
	session_close(&session);
	cr_assert(session_read(&reader, disk) == WAL_NEXT_END, "%s", reader.fault.text);
	cr_assert(wal_reader_tail(&reader)->next_seq == 2);
	wal_reader_close(&reader);
	disk->ops->close(disk);
}
