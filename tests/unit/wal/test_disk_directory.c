/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/wal/log_session.h"
#include "tests/unit/wal/loop_device.h"

#define SEGMENT (1u << 20)

static char path[SCRATCH_PATH_BYTES];
static char error[WAL_TEXT_BYTES];

static struct wal_disk *open_disk(void)
{
	struct wal_disk_options options = {.write = true, .segment_bytes = SEGMENT};
	struct wal_disk *disk = NULL;
	cr_assert(wal_disk_open(&disk, path, &options, error) == 0, "%s", error);
	return disk;
}

static char *file(const char *name)
{
	static char full[2 * SCRATCH_PATH_BYTES];
	snprintf(full, sizeof(full), "%s/%s", path, name);
	return full;
}

static bool exists(const char *name)
{
	return access(file(name), F_OK) == 0;
}

static bool is_zero(struct wal_disk *disk, uint64_t segment)
{
	uint8_t *buffer = aligned_alloc(WAL_PAGE, SEGMENT);
	cr_assert(disk->ops->read(disk, segment, 0, buffer, SEGMENT) == SEGMENT);
	bool zero = buffer[0] == 0 && memcmp(buffer, buffer + 1, SEGMENT - 1) == 0;
	free(buffer);
	return zero;
}

Test(disk_directory, segments_are_whole_from_the_start)
{
	scratch_directory(path);
	struct wal_disk *disk = open_disk();
	cr_assert(disk->ops->list(disk, NULL, 0) == 0);
	cr_assert(disk->ops->prepare(disk, 0) == 0);
	cr_assert(disk->ops->prepare(disk, 0) == 0, "again is no error");
	struct stat status;
	cr_assert(stat(file("00000000000000000000.wal"), &status) == 0);
	cr_assert(status.st_size == SEGMENT);
	cr_assert(status.st_blocks >= SEGMENT / 512, "all of it is allocated");
	cr_assert(is_zero(disk, 0));
	disk->ops->close(disk);
	scratch_remove(path);
}

Test(disk_directory, retired_files_are_used_again_zeroed)
{
	scratch_directory(path);
	struct wal_disk *disk = open_disk();
	struct session session;
	session_start(&session, disk);
	while (session.writer.tail.segment < 1)
		cr_assert(session_put(&session, WAL_DATA, 60000) > 0);
	session_settle(&session);
	struct stat old;
	struct stat new;
	cr_assert(stat(file("00000000000000000000.wal"), &old) == 0);
	cr_assert(disk->ops->retire(disk, 0) == 0);
	cr_assert(exists("00000000000000000000.free"));
	uint64_t next = wal_preparer_ready(&session.preparer);
	cr_assert(next == 2);
	cr_assert(disk->ops->prepare(disk, next) == 0);
	cr_assert(!exists("00000000000000000000.free"));
	cr_assert(stat(file("00000000000000000002.wal"), &new) == 0);
	cr_assert(old.st_ino == new.st_ino);
	cr_assert(is_zero(disk, next));
	session_close(&session);
	disk->ops->close(disk);
	scratch_remove(path);
}

Test(disk_directory, interrupted_preparation_starts_over)
{
	scratch_directory(path);
	int fd = open(file("00000000000000000000.tmp"), O_CREAT | O_WRONLY, 0600);
	cr_assert(write(fd, "left over", 9) == 9 && ftruncate(fd, 3 * SEGMENT) == 0);
	close(fd);
	struct wal_disk *disk = open_disk();
	cr_assert(disk->ops->list(disk, NULL, 0) == 0, "it is no segment");
	cr_assert(disk->ops->prepare(disk, 0) == 0);
	struct stat status;
	cr_assert(stat(file("00000000000000000000.wal"), &status) == 0);
	cr_assert(status.st_size == SEGMENT && is_zero(disk, 0));
	cr_assert(!exists("00000000000000000000.tmp"));
	disk->ops->close(disk);
	scratch_remove(path);
}

Test(disk_directory, other_files_are_left_alone)
{
	scratch_directory(path);
	const char *names[] = {"README", "0.wal", "00000000000000000001.wal.gz",
			       "000000000000000000001.wal", "00000000000000000001.bak"};
	for (int i = 0; i < 5; i++)
		close(open(file(names[i]), O_CREAT | O_WRONLY, 0600));
	struct wal_disk *disk = open_disk();
	cr_assert(disk->ops->list(disk, NULL, 0) == 0);
	struct session session;
	session_start(&session, disk);
	session_close(&session);
	disk->ops->close(disk);
	for (int i = 0; i < 5; i++)
		cr_assert(exists(names[i]), "%s", names[i]);
	scratch_remove(path);
}

/* One file cut short, by a copy that ran out of space say, is damage; the reader says so. */
Test(disk_directory, truncated_file_is_refused)
{
	const off_t sizes[] = {0, 1, 4096, 4097, SEGMENT / 2, SEGMENT - 1, SEGMENT + 4096};
	for (int i = 0; i < 7; i++) {
		scratch_directory(path);
		struct wal_disk *disk = open_disk();
		struct session session;
		session_start(&session, disk);
		session_close(&session);
		disk->ops->close(disk);
		cr_assert(truncate(file("00000000000000000000.wal"), sizes[i]) == 0);
		disk = open_disk();
		struct wal_reader reader;
		cr_assert(session_read(&reader, disk) == -EUCLEAN, "%ld", sizes[i]);
		cr_assert(reader.fault.segment == 0);
		cr_assert(reader.fault.reason == WAL_REASON_SEGMENT_SIZE);
		disk->ops->close(disk);

		/* and a log whose only file is cut short, read by somebody who knows no size */
		unlink(file("00000000000000000001.wal"));
		unlink(file("00000000000000000002.wal"));
		struct wal_disk_options options = {.write = false};
		cr_assert(wal_disk_open(&disk, path, &options, error) == 0);
		cr_assert(session_read(&reader, disk) == -EUCLEAN, "%ld", sizes[i]);
		cr_assert(reader.fault.reason == WAL_REASON_SEGMENT_SIZE);
		disk->ops->close(disk);
		scratch_remove(path);
	}
}

/* A real full file system: the writer is refused a new segment and goes on when space is there. */
Test(disk_directory, full_file_system)
{
	scratch_directory(path);
	scratch_small_ext4(path, 8 * SEGMENT);
	int ballast = open(file("ballast"), O_CREAT | O_WRONLY, 0600);
	cr_assert(posix_fallocate(ballast, 0, 2 * SEGMENT) == 0);
	struct wal_disk *disk = open_disk();
	struct session session;
	session_start(&session, disk);
	int64_t seq;
	while ((seq = session_put(&session, WAL_DATA, 60000)) >= 0)
		;
	cr_assert(seq == -ENOSPC, "%ld", seq);
	cr_assert(session_settle(&session) == 0 && session.writer.error == 0);
	cr_assert(wal_writer_room(&session.writer, 80000) == 0);
	cr_assert(wal_preparer_error(&session.preparer) == -ENOSPC);
	uint64_t refused = (uint64_t)session.writer.tail.next_seq;

	struct wal_disk_options options = {.write = false};
	struct wal_disk *other;
	struct wal_reader reader;
	cr_assert(wal_disk_open(&other, path, &options, error) == 0);
	cr_assert(session_read(&reader, other) == WAL_NEXT_END, "what is there can be read");
	cr_assert(wal_reader_tail(&reader)->next_seq == refused);
	wal_reader_close(&reader);
	other->ops->close(other);

	cr_assert(unlink(file("ballast")) == 0);
	close(ballast);
	cr_assert(session_put(&session, WAL_DATA, 60000) == (int64_t)refused);
	cr_assert(session_settle(&session) == 0);
	session_close(&session);
	disk->ops->close(disk);
	cr_assert(umount(path) == 0, "%s", strerror(errno));
	scratch_remove(path);
}
