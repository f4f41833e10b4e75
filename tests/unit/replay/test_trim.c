/* SPDX-License-Identifier: Apache-2.0
 *
 * Trimming: what goes, what stays, what the archive gives back, and what is left by a crash or a failing
 * disk at every step.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replay/checkpoint.h"
#include "replay/node.h"
#include "tests/unit/replay/books.h"
#include "tests/unit/replay/tool.h"
#include "wal/archive.h"

#define SHARDS	  3
#define ROUNDS	  200 /* of 16 KiB and one page: 63 blocks a segment */
#define STEPS_MAX 400

static struct books *books;
static struct books_log disk_log;
static char archive[96];
static char whole[OUTPUT_MAX]; /* what the untrimmed log says */

static void write_log(void)
{
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	log_put(&disk_log, books, WAL_DATA);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t from = 0; from < SHARDS; from++)
			books_pay(books, books_account(books, from, 1),
				  books_account(books, (from + round) % SHARDS, 2), 1 + round % 5,
				  1);
		while (books->wire_count > 8)
			books_deliver(books);
		log_put(&disk_log, books, WAL_DATA);
	}
	books_settle(books);
	log_put(&disk_log, books, WAL_CLOSE);
	log_close(&disk_log);
}

static void start(void)
{
	const struct shard_limits limits = books_limits(SHARDS);
	const struct log_meta meta = log_meta_from_limits(&limits);

	books = books_new(SHARDS);
	log_new(&disk_log);
	snprintf(archive, sizeof(archive), "%s-archive", disk_log.path);
	log_open(&disk_log, &meta, sizeof(meta));
	write_log();
}

static void stop(void)
{
	books_free(books);
	folder_remove(archive);
	log_remove(&disk_log);
}

TestSuite(trim, .init = start, .fini = stop);

static void make_checkpoints(const char *every)
{
	cr_assert(run("checkpoint", disk_log.path, "--every", every, "--keep", "100", NULL) ==
		      NODE_SOUND,
		  "%s", err);
}

/* Files in a folder whose names end so; -1: no folder. */
static int count_files(const char *path, const char *suffix)
{
	DIR *list = opendir(path);
	const struct dirent *file;
	int count = 0;

	if (list == NULL)
		return -1;
	while ((file = readdir(list)) != NULL) {
		size_t size = strlen(file->d_name);
		count += size >= strlen(suffix) &&
			 strcmp(file->d_name + size - strlen(suffix), suffix) == 0;
	}
	closedir(list);
	return count;
}

static bool has_segment(uint64_t segment)
{
	char name[128];

	snprintf(name, sizeof(name), "%s/%020" PRIu64 ".wal", disk_log.path, segment);
	return access(name, F_OK) == 0;
}

static void copy_log(const struct books_log *from, struct books_log *to)
{
	char command[300];

	log_new(to);
	snprintf(command, sizeof(command), "cp -a %s/. %s", from->path, to->path);
	cr_assert(system(command) == 0);
}

/* The state at some moments, every block and the whole proof, without what depends on the run. */
static void describe(char *text, bool archived)
{
	static const char *const questions[][6] = {
	    {"balances", "--at", "30", "--json", "--checkpoints", "none"},
	    {"balances", "--at", "110", "--json", NULL, NULL},
	    {"phases", "--at", "90", "--json", NULL, NULL},
	    {"balances", "--json", NULL, NULL, NULL, NULL},
	    {"stats", "--every", "1", "--json", NULL, NULL},
	};
	size_t used = 0;

	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		const char *const *ask = questions[i];
		const char *more[8] = {0};
		int count = 0;
		for (int j = 1; j < 6 && ask[j] != NULL; j++)
			more[count++] = ask[j];
		if (archived) {
			more[count++] = "--archive";
			more[count++] = archive;
		}
		cr_assert(run(ask[0], disk_log.path, more[0], more[1], more[2], more[3], more[4],
			      more[5], more[6], NULL) == NODE_SOUND,
			  "%s: %s", ask[0], err);
		used += (size_t)snprintf(text + used, OUTPUT_MAX - used, "%s", out);
		cr_assert(used < OUTPUT_MAX);
	}
}

static void proves_all(const char *with)
{
	cr_assert(run("verify", disk_log.path, "--archive", with, NULL) == NODE_SOUND, "%s%s", out,
		  err);
	char line[64];
	snprintf(line, sizeof(line), "log               %d blocks", ROUNDS + 3);
	cr_assert(prints(line), "%s", out);
	cr_assert_not(prints("on trust"), "%s", out);
}

Test(trim, removes_what_two_proved_checkpoints_cover)
{
	make_checkpoints(
	    "30"); /* the last: 30 60 90 120 150 180 and behind the last but one block */
	cr_assert(has_segment(0) && has_segment(1) && has_segment(2) && has_segment(3));
	cr_assert(run("trim", disk_log.path, "--dry-run", NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("segments 0 to 1 are before") && prints("nothing was changed"), "%s", out);
	cr_assert(has_segment(0));
	cr_assert(run("trim", disk_log.path, NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("2 segments removed"), "%s", out);
	cr_assert(!has_segment(0) && !has_segment(1) && has_segment(2) && has_segment(3));
	cr_assert(count_files(disk_log.path, ".free") == 0);
	cr_assert(count_files(disk_log.path, ".checkpoint") == 2, "the older serve nobody");

	/* What is left is proved from the checkpoint at which it begins, and that is said. */
	cr_assert(run("verify", disk_log.path, NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("on trust          the checkpoint behind block 179, epoch 180"), "%s",
		  out);
	cr_assert(prints("1 equal to the replay"), "%s", out);
	cr_assert(run("balances", disk_log.path, NULL) == NODE_SOUND, "%s", err);
	cr_assert(run("balances", disk_log.path, "--at", "100", NULL) == NODE_CORRUPT);
	cr_assert(complains("If they were trimmed, name the archive"), "%s", err);
	cr_assert(run("transfer", disk_log.path, "4711", NULL) == NODE_NOT_FOUND);
	cr_assert(complains("or it is in the part that was trimmed"), "%s", err);
	cr_assert(run("trim", disk_log.path, NULL) == NODE_SOUND && prints("nothing to trim"));
}

Test(trim, keeps_the_checkpoint_that_the_log_begins_at)
{
	uint64_t seqs[CHECKPOINTS_MAX];

	make_checkpoints("30");
	cr_assert(run("trim", disk_log.path, NULL) == NODE_SOUND, "%s", err);
	cr_assert(run("checkpoint", disk_log.path, "--every", "3", "--from-first-byte", NULL) ==
		      NODE_CORRUPT,
		  "it has no first byte");
	cr_assert(run("checkpoint", disk_log.path, "--keep", "1", NULL) == NODE_SOUND);
	cr_assert(prints("nothing new"), "%s", out);
	/* As if more had come meanwhile: the newest is made again. */
	cr_assert(checkpoint_list(disk_log.path, seqs, CHECKPOINTS_MAX) == 2);
	char name[128];
	snprintf(name, sizeof(name), "%s/%020" PRIu64 ".checkpoint", disk_log.path, seqs[0]);
	cr_assert(unlink(name) == 0);
	cr_assert(run("checkpoint", disk_log.path, "--keep", "1", NULL) == NODE_SOUND, "%s", err);
	cr_assert(checkpoint_list(disk_log.path, seqs, CHECKPOINTS_MAX) == 2, "%s", out);
	cr_assert(seqs[1] == 179, "the base stays");
	cr_assert(run("verify", disk_log.path, NULL) == NODE_SOUND, "%s", err);
}

Test(trim, needs_checkpoints_that_the_log_gives)
{
	struct checkpoint_header header;
	char name[128];

	cr_assert(run("trim", disk_log.path, NULL) == NODE_NOT_FOUND);
	cr_assert(complains("no checkpoint"), "%s", err);
	make_checkpoints("90"); /* behind blocks 89, 179, and the end */
	snprintf(name, sizeof(name), "%s/%020d.checkpoint", disk_log.path, 179);
	int fd = open(name, O_RDWR);
	cr_assert(fd >= 0);
	/* Damaged, it does not count: of those that are left the last but one is behind block 89. */
	cr_assert(pread(fd, &header, sizeof(header), 0) == sizeof(header));
	cr_assert(pwrite(fd, "x", 1, WAL_PAGE + 100) == 1);
	cr_assert(run("trim", disk_log.path, "--dry-run", NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("segments 0 to 0 are before the checkpoint behind block 89"), "%s", out);
	/* Whole, but of another state: then nothing is believed. */
	make_checkpoints("90");
	header.rows[1].digest.lo ^= 1;
	header.checksum = wal_header_checksum(&header, sizeof(header));
	cr_assert(pwrite(fd, &header, sizeof(header), 0) == sizeof(header));
	uint8_t *bytes = malloc(header.payload_bytes);
	cr_assert(pread(fd, bytes, header.payload_bytes, WAL_PAGE) > 0);
	XXH128_hash_t hash = XXH3_128bits(bytes, header.payload_bytes);
	header.payload_hash = (struct wal_hash){.lo = hash.low64, .hi = hash.high64};
	header.checksum = wal_header_checksum(&header, sizeof(header));
	cr_assert(pwrite(fd, &header, sizeof(header), 0) == sizeof(header));
	free(bytes);
	close(fd);
	cr_assert(run("trim", disk_log.path, NULL) == NODE_DIVERGED, "%s%s", out, err);
	cr_assert(has_segment(0) && prints("nothing was trimmed"), "%s", out);
	cr_assert(run("trim", disk_log.path, "--spare", "9", NULL) == NODE_DIVERGED);
}

Test(trim, needs_a_sound_log)
{
	make_checkpoints("30");
	log_flip(&disk_log, 3 * WAL_PAGE);
	cr_assert(run("trim", disk_log.path, "--archive", archive, NULL) == NODE_CORRUPT);
	cr_assert(has_segment(0) && count_files(archive, "") < 0);
}

Test(trim, archive_and_log_answer_as_the_whole_log_did)
{
	static char again[OUTPUT_MAX];
	struct books_log copy;

	make_checkpoints("30");
	describe(whole, false);
	copy_log(&disk_log, &copy);
	cr_assert(run("trim", disk_log.path, "--archive", archive, NULL) == NODE_SOUND, "%s", err);
	cr_assert(!has_segment(1) && count_files(archive, ".wal.zst") == 2);
	cr_assert(count_files(archive, "-unfinished") == 0);
	cr_assert(count_files(disk_log.path, ".checkpoint") == 7, "they still serve");
	describe(again, true);
	cr_assert_str_eq(again, whole);
	proves_all(archive);
	cr_assert(prints("7 equal to the replay, 0 damaged"), "%s", out);
	cr_assert(run("diff", disk_log.path, copy.path, "--archive", archive, NULL) == NODE_SOUND);
	cr_assert(prints("equal: 203 blocks"), "%s", out);
	cr_assert(run("dump", disk_log.path, "--archive", archive, NULL) == NODE_SOUND);
	cr_assert(run("diff", disk_log.path, copy.path, NULL) == NODE_SOUND, "the end alone");

	/* In the log's own folder it is found without being named. */
	char own[128];
	snprintf(own, sizeof(own), "%s/archive", disk_log.path);
	cr_assert(rename(archive, own) == 0);
	cr_assert(run("verify", disk_log.path, NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("203 blocks") && !prints("on trust"), "%s", out);
	cr_assert(run("verify", disk_log.path, "--archive", "none", NULL) == NODE_SOUND);
	cr_assert(prints("on trust"), "%s", out);
	/* A log that was lost altogether is still there as far as the archive goes. */
	cr_assert(rename(own, archive) == 0);
	log_remove(&copy);
	log_new(&copy);
	cr_assert(run("verify", copy.path, "--archive", archive, NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("log               127 blocks"), "%s", out);
	log_remove(&copy);
	cr_assert(run("verify", disk_log.path, "--archive", NULL) == NODE_USAGE);
	cr_assert(run("verify", disk_log.path, "--archive", "/nowhere", NULL) == NODE_UNREADABLE);
	cr_assert(complains("archive /nowhere"), "%s", err);
}

/* zstd itself gives the segment back. */
Test(trim, archived_segments_are_ordinary_zstd_files)
{
	char command[512];
	char before[128];

	snprintf(before, sizeof(before), "%s/%020d.wal", disk_log.path, 1);
	make_checkpoints("30");
	snprintf(command, sizeof(command), "mkdir %s && cp %s %s/before", archive, before, archive);
	cr_assert(system(command) == 0);
	cr_assert(run("trim", disk_log.path, "--archive", archive, NULL) == NODE_SOUND, "%s", err);
	snprintf(command, sizeof(command),
		 "zstd -dqc %s/%020d.wal.zst | cmp -s - %s/before && rm %s/before", archive, 1,
		 archive, archive);
	cr_assert(system(command) == 0);
}

static void flip(const char *name, uint64_t offset)
{
	uint8_t byte;
	int fd = open(name, O_RDWR);

	cr_assert(fd >= 0, "%s: %s", name, strerror(errno));
	cr_assert(pread(fd, &byte, 1, (off_t)offset) == 1);
	byte ^= 4;
	cr_assert(pwrite(fd, &byte, 1, (off_t)offset) == 1);
	close(fd);
}

Test(trim, a_damaged_archive_is_never_believed)
{
	char name[160];
	struct stat stat_of;

	make_checkpoints("30");
	cr_assert(run("trim", disk_log.path, "--archive", archive, NULL) == NODE_SOUND, "%s", err);
	snprintf(name, sizeof(name), "%s/%020d.wal.zst", archive, 1);
	cr_assert(stat(name, &stat_of) == 0);
	uint64_t size = (uint64_t)stat_of.st_size;
	for (uint64_t offset = 0; offset < size; offset += offset < 160 ? 3 : 1501) {
		/* The magic of a frame that is skipped has 16 values that mean the same to zstd. */
		flip(name, offset);
		int status = run("verify", disk_log.path, "--archive", archive, NULL);
		cr_assert(status == NODE_CORRUPT || status == NODE_UNREADABLE,
			  "byte %" PRIu64 " of %" PRIu64 ": %d", offset, size, status);
		cr_assert(complains("segment 1"), "byte %" PRIu64 ": %s", offset, err);
		flip(name, offset);
	}
	for (uint64_t back = 1; back < 40; back++) {
		flip(name, size - back);
		cr_assert(run("verify", disk_log.path, "--archive", archive, NULL) == NODE_CORRUPT,
			  "byte -%" PRIu64, back);
		flip(name, size - back);
	}
	proves_all(archive);
	cr_assert(truncate(name, (off_t)size - 1) == 0);
	cr_assert(run("verify", disk_log.path, "--archive", archive, NULL) == NODE_CORRUPT);
	cr_assert(complains("segment 1: its archived copy is damaged"), "%s", err);
	cr_assert(unlink(name) == 0);
	cr_assert(run("verify", disk_log.path, "--archive", archive, NULL) == NODE_CORRUPT);
	cr_assert(complains("segment 1: the segment is missing"), "%s", err);
}

Test(trim, a_damaged_archive_file_is_written_again)
{
	struct books_log copy;
	char name[160];

	make_checkpoints("30");
	copy_log(&disk_log, &copy);
	cr_assert(run("trim", disk_log.path, "--archive", archive, NULL) == NODE_SOUND, "%s", err);
	snprintf(name, sizeof(name), "%s/%020d.wal.zst", archive, 0);
	flip(name, 5000);
	log_remove(&disk_log);
	disk_log = copy;
	cr_assert(run("trim", disk_log.path, "--archive", archive, NULL) == NODE_SOUND, "%s", err);
	proves_all(archive);
}

/* Whatever has an archived segment's name is one. */
static void archive_is_whole(long step, const char *how)
{
	char command[200];

	if (count_files(archive, ".wal.zst") <= 0)
		return;
	snprintf(command, sizeof(command), "zstd -tq %s/*.wal.zst", archive);
	cr_assert(system(command) == 0, "%s at step %ld", how, step);
}

/* No hole, and every segment is in the log or whole in the archive; then trimming again does the rest. */
static void check_left_over(long step, const char *how)
{
	int status = run("verify", disk_log.path, "--archive",
			 count_files(archive, "") < 0 ? "none" : archive, NULL);

	archive_is_whole(step, how);
	cr_assert(status == NODE_SOUND, "%s at step %ld: %s", how, step, err);
	cr_assert(prints("203 blocks") && !prints("on trust"), "%s at step %ld: %s", how, step,
		  out);
	cr_assert(run("trim", disk_log.path, "--archive", archive, NULL) == NODE_SOUND,
		  "%s at step %ld: %s", how, step, err);
	proves_all(archive);
	cr_assert(!has_segment(1) && has_segment(2) && count_files(archive, ".wal.zst") == 2);
	cr_assert(count_files(archive, "-unfinished") == 0 &&
		      count_files(disk_log.path, ".free") == 0,
		  "%s at step %ld", how, step);
}

static void fail_at_every_step(const char *how)
{
	const struct books_log original = disk_log;
	bool struck = true;
	long step = 0;

	make_checkpoints("60");
	while (struck) {
		cr_assert(++step < STEPS_MAX);
		copy_log(&original, &disk_log);
		int status =
		    run_failing(step, how, "trim", disk_log.path, "--archive", archive, NULL);
		struck = complains("fail_at: ");
		cr_assert(struck || status == NODE_SOUND, "step %ld: %s", step, err);
		/* A failing disk is said to be one, except where nothing depends on it. */
		if (struck && strcmp(how, "error") == 0 && status == NODE_SOUND)
			cr_assert(complains("unlinkat") || complains("mkdir"), "step %ld: %s", step,
				  err);
		check_left_over(step, how);
		log_remove(&disk_log);
		folder_remove(archive);
	}
	cr_assert(step > (strcmp(how, "half") == 0 ? 3 : 15), "%ld", step);
	disk_log = original;
}

Test(trim, killed_at_every_step_loses_nothing, .timeout = 120)
{
	fail_at_every_step("kill");
}

Test(trim, killed_in_the_middle_of_every_write_loses_nothing, .timeout = 120)
{
	fail_at_every_step("half");
}

Test(trim, a_failing_disk_loses_nothing, .timeout = 120)
{
	fail_at_every_step("error");
}

/* The same of the checkpoints themselves: the old one stays whole until the new one is. */
static void checkpoint_at_every_step(const char *how)
{
	const struct books_log original = disk_log;
	bool struck = true;
	long step = 0;

	cr_assert(run("checkpoint", disk_log.path, "--every", "100", "--keep", "1", NULL) ==
		  NODE_SOUND);
	while (struck) {
		cr_assert(++step < STEPS_MAX);
		copy_log(&original, &disk_log);
		run_failing(step, how, "checkpoint", disk_log.path, "--every", "60",
			    "--from-first-byte", NULL);
		struck = complains("fail_at: ");
		int good = count_files(disk_log.path, ".checkpoint");
		cr_assert(good >= 1, "%s at step %ld", how, step);
		cr_assert(run("verify", disk_log.path, NULL) == NODE_SOUND, "step %ld: %s", step,
			  err);
		char line[64];
		snprintf(line, sizeof(line), "%d equal to the replay, 0 damaged", good);
		cr_assert(prints(line), "%s at step %ld: %s", how, step, out);
		log_remove(&disk_log);
	}
	cr_assert(step > (strcmp(how, "half") == 0 ? 3 : 15), "%ld", step);
	disk_log = original;
}

Test(trim, checkpoints_are_whole_or_not_there, .timeout = 120)
{
	checkpoint_at_every_step("kill");
	checkpoint_at_every_step("half");
	checkpoint_at_every_step("error");
}

Test(trim, one_at_a_time)
{
	make_checkpoints("30");
	int hold = checkpoint_hold(disk_log.path);
	cr_assert(hold >= 0);
	cr_assert(run("trim", disk_log.path, NULL) == NODE_UNREADABLE);
	cr_assert(complains("another giro-replay"), "%s", err);
	/* Nor are those removed that a trim relies on. */
	cr_assert(run("checkpoint", disk_log.path, "--from-first-byte", "--keep", "1", NULL) ==
		  NODE_SOUND);
	cr_assert(count_files(disk_log.path, ".checkpoint") == 7);
	close(hold);
	cr_assert(run("trim", disk_log.path, NULL) == NODE_SOUND && prints("2 segments removed"));
}
