/* SPDX-License-Identifier: Apache-2.0
 *
 * What holds on every real storage: a directory of files and a raw block device.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/wal/log_session.h"
#include "tests/unit/wal/loop_device.h"

#define SEGMENT (1u << 20)

static char path[SCRATCH_PATH_BYTES];
static char error[WAL_TEXT_BYTES];

/* The parameter of a test: which storage. */
enum { DIRECTORY, DEVICE };

static int storages[] = {DIRECTORY, DEVICE};

static void make(int storage)
{
	if (storage == DIRECTORY)
		scratch_directory(path);
	else
		scratch_loop_device(path, (uint64_t)12 * SEGMENT + 12345 * 512);
}

static void discard(int storage)
{
	if (storage == DIRECTORY)
		scratch_remove(path);
}

static struct wal_disk *open_disk(bool write)
{
	struct wal_disk_options options = {
	    .write = write, .segment_bytes = write ? SEGMENT : 0, .lock_wait_ms = 5000};
	struct wal_disk *disk = NULL;
	int result = wal_disk_open(&disk, path, &options, error);
	cr_assert(result == 0, "%s", error);
	return disk;
}

#define ON_STORAGES(name)                                     \
	ParameterizedTestParameters(storage, name)            \
	{                                                     \
		return cr_make_param_array(int, storages, 2); \
	}                                                     \
	ParameterizedTest(int *storage, storage, name)

/* Several incarnations, each reading what the ones before wrote; segments are retired and used
 * again, so that new segments lie where old ones were. */
ON_STORAGES(what_is_written_is_read)
{
	make(*storage);
	uint64_t blocks = 0;
	for (unsigned round = 0; round < 6; round++) {
		struct wal_disk *disk = open_disk(true);
		struct wal_reader reader;
		int end = session_read(&reader, disk);
		cr_assert(end == WAL_NEXT_END, "round %u: %d %s", round, end, reader.fault.text);
		cr_assert(wal_reader_tail(&reader)->next_seq == blocks);
		uint64_t oldest = 0;
		size_t count;
		const struct wal_segment_entry *entries = wal_reader_segments(&reader, &count);
		if (count != 0)
			oldest = entries[0].segment;
		struct session session;
		cr_assert(session_open(&session, disk, wal_reader_tail(&reader), "meta") == 0);
		uint64_t current = wal_reader_tail(&reader)->segment;
		wal_reader_close(&reader);
		while (oldest + 1 < current)
			cr_assert(disk->ops->retire(disk, oldest++) == 0);
		cr_assert(disk->ops->retire(disk, oldest + 1) == -EINVAL);
		cr_assert(wal_preparer_start(&session.preparer) == 0);
		int64_t seq = -ENOSPC;
		while ((seq = session_append(&session, WAL_OPEN, 0)) == -ENOSPC)
			sched_yield();
		cr_assert(seq == (int64_t)blocks);
		for (unsigned i = 0; i < 60; i++) {
			do {
				seq = session_append(&session, WAL_DATA, 1 + i * 997 % 60000);
				if (seq == -EAGAIN)
					cr_assert(wal_writer_wait(&session.writer, 1000000000) >=
						  0);
				if (seq == -ENOSPC)
					sched_yield();
			} while (seq == -EAGAIN || seq == -ENOSPC);
			cr_assert(seq > 0, "%ld", seq);
		}
		cr_assert(session_settle(&session) == 0);
		cr_assert(session_put(&session, WAL_CLOSE, 0) > 0);
		cr_assert(session_settle(&session) == 0);
		blocks = session.writer.durable_count;
		session_close(&session);
		disk->ops->close(disk);
	}
	struct wal_disk *disk = open_disk(false);
	struct wal_reader reader;
	cr_assert(session_read(&reader, disk) == WAL_NEXT_END);
	cr_assert(wal_reader_tail(&reader)->next_seq == blocks && blocks == 6 * 62);
	cr_assert(wal_reader_tail(&reader)->segment > 12, "regions were used again");
	cr_assert(wal_reader_tail(&reader)->closed);
	wal_reader_close(&reader);
	disk->ops->close(disk);
	discard(*storage);
}

ON_STORAGES(second_writer_is_locked_out)
{
	make(*storage);
	struct wal_disk *disk = open_disk(true);
	struct wal_disk *second;
	struct wal_disk_options options = {.write = true, .segment_bytes = SEGMENT};
	cr_assert(wal_disk_open(&second, path, &options, error) == -EBUSY);
	cr_assert(strstr(error, path) != NULL && strstr(error, "another engine") != NULL);
	struct wal_disk *reading = open_disk(false);
	reading->ops->close(reading);
	disk->ops->close(disk);
	cr_assert(wal_disk_open(&second, path, &options, error) == 0, "%s", error);
	second->ops->close(second);
	discard(*storage);
}

/* The lock outlives a killed engine until its last write is over: a new one waits for it. */
ON_STORAGES(killed_writer_lets_go_of_the_lock)
{
	make(*storage);
	int ready[2];
	cr_assert(pipe(ready) == 0);
	pid_t engine = fork();
	if (engine == 0) {
		struct session session;
		struct wal_disk *disk = open_disk(true);
		session_start(&session, disk);
		for (int i = 0; i < 5; i++)
			session_append(&session, WAL_DATA, 60000);
		(void)!write(ready[1], "x", 1);
		for (;;)
			pause();
	}
	char byte;
	cr_assert(read(ready[0], &byte, 1) == 1);
	kill(engine, SIGKILL);
	struct session session;
	struct wal_disk *disk = open_disk(true);
	session_start(&session, disk);
	cr_assert(session.writer.tail.next_seq >= 2);
	cr_assert(session.writer.tail.incarnation == 2);
	session_close(&session);
	disk->ops->close(disk);
	waitpid(engine, NULL, 0);
	discard(*storage);
}

ON_STORAGES(segment_size_cannot_be_changed)
{
	make(*storage);
	struct session session;
	struct wal_disk *disk = open_disk(true);
	session_start(&session, disk);
	session_close(&session);
	disk->ops->close(disk);
	struct wal_disk_options options = {.write = true, .segment_bytes = 2 * SEGMENT};
	cr_assert(wal_disk_open(&disk, path, &options, error) == -EINVAL);
	cr_assert(strstr(error, "cannot be changed") != NULL);
	options.segment_bytes = SEGMENT + 512;
	cr_assert(wal_disk_open(&disk, path, &options, error) == -EINVAL);
	disk = open_disk(false);
	cr_assert(disk->segment_bytes == SEGMENT);
	disk->ops->close(disk);
	discard(*storage);
}

ON_STORAGES(reads_stop_at_the_end_of_a_segment)
{
	make(*storage);
	struct wal_disk *disk = open_disk(true);
	uint8_t *buffer = aligned_alloc(WAL_PAGE, 4 * WAL_PAGE);
	cr_assert(disk->ops->prepare(disk, 0) == 0);
	cr_assert(disk->ops->read(disk, 0, SEGMENT - WAL_PAGE, buffer, 4 * WAL_PAGE) == WAL_PAGE);
	cr_assert(disk->ops->read(disk, 0, SEGMENT, buffer, WAL_PAGE) == 0);
	cr_assert(disk->ops->read(disk, 1000, 0, buffer, WAL_PAGE) == -ENOENT);
	free(buffer);
	disk->ops->close(disk);
	discard(*storage);
}

Test(storage_open, other_paths_are_refused)
{
	scratch_directory(path);
	struct wal_disk *disk;
	struct wal_disk_options options = {.write = true, .segment_bytes = SEGMENT};
	cr_assert(wal_disk_open(&disk, "/nonexistent/log", &options, error) == -ENOENT);
	cr_assert(strstr(error, "Create the directory") != NULL);
	cr_assert(wal_disk_open(&disk, "/dev/null", &options, error) == -ENOTDIR);
	scratch_remove(path);
}
