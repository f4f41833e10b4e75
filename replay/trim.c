/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay trim: gives up the segments before a checkpoint that was proved, and keeps them in an
 * archive if there is one.
 *
 *   prove -> archive 0, 1, 2 -> retire 0, 1, 2 -> remove checkpoints that nothing is behind any more
 *
 * Killed anywhere, it leaves a log without a hole whose every missing segment is whole in the archive,
 * and a checkpoint behind which the log goes on; run again, it does the rest.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replay/command.h"
#include "replay/proof.h"
#include "wal/archive.h"

/* Checkpoints behind which the log still goes on, so that the engine has another one if the newest is
 * damaged. */
#define SPARE_CHECKPOINTS 2

struct trimming {
	struct proof_request request;
	struct proof proof;
	struct node node;
	const char *archive; /* NULL: segments are removed for good */
	uint64_t spare;
	bool dry_run;
	uint64_t first; /* segment of the log */
	uint64_t end;	/* the first that stays */
	struct proof_point point;
	uint64_t bytes;
	uint64_t packed_bytes;
};

__attribute__((format(printf, 2, 3))) static enum node_end fail(struct trimming *trimming,
								const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(trimming->node.text, sizeof(trimming->node.text), format, args);
	va_end(args);
	return NODE_UNREADABLE;
}

/* The newest checkpoint that looks like one: nothing behind it needs to be read. */
static bool find_newest(struct trimming *trimming)
{
	uint64_t seqs[CHECKPOINTS_MAX];
	uint32_t count = checkpoint_list(trimming->request.checkpoints, seqs, CHECKPOINTS_MAX);
	struct checkpoint_header header;

	for (uint32_t i = 0; i < count; i++) {
		if (checkpoint_peek(trimming->request.checkpoints, seqs[i], &header) == 0) {
			trimming->request.to.epoch = header.epoch;
			return true;
		}
	}
	return false;
}

/* From which segment on the log stays. */
static void find_end(struct trimming *trimming)
{
	const struct proof *proof = &trimming->proof;
	size_t count;
	const struct wal_segment_entry *entries =
	    wal_reader_segments(&trimming->node.reader, &count);

	trimming->first = entries[0].segment;
	trimming->end = trimming->first;
	if (proof->equal_count < trimming->spare)
		return;
	trimming->point = proof->equal[proof->equal_count - trimming->spare];
	trimming->end = trimming->point.segment;
}

/* The archive's folder, made if it is not there. */
static int open_archive(const char *path)
{
	if (mkdir(path, 0755) == 0) {
		char parent[PATH_MAX];
		snprintf(parent, sizeof(parent), "%s/..", path);
		int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int error = fd < 0 || fsync(fd) != 0 ? -errno : 0;
		if (fd >= 0)
			close(fd);
		if (error != 0)
			return error;
	}
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static enum node_end archive_all(struct trimming *trimming)
{
	char error[WAL_TEXT_BYTES];
	int folder = open_archive(trimming->archive);
	int result = 0;

	if (folder < 0)
		return fail(trimming, "archive %s: %s", trimming->archive, strerror(-folder));
	for (uint64_t segment = trimming->first; segment < trimming->end && result == 0;
	     segment++) {
		uint64_t packed = 0;
		result = wal_archive_put(folder, trimming->node.disk, segment, &packed, error);
		trimming->packed_bytes += packed;
	}
	close(folder);
	return result == 0 ? NODE_SOUND
			   : fail(trimming, "archive %s: %s; no segment was removed",
				  trimming->archive, error);
}

/* Retired segments of a directory wait to be used again; what is not wanted any more goes, also what a
 * killed trim left. An engine that takes one of them for itself meanwhile is welcome to it. */
static void remove_retired(const char *log)
{
	static const char suffix[] = ".free";
	DIR *list = opendir(log);
	const struct dirent *file;

	while (list != NULL && (file = readdir(list)) != NULL) {
		size_t digits = strspn(file->d_name, "0123456789");
		if (digits == 20 && strcmp(file->d_name + digits, suffix) == 0)
			unlinkat(dirfd(list), file->d_name, 0);
	}
	if (list != NULL)
		closedir(list);
}

static enum node_end retire_all(struct trimming *trimming, struct wal_disk *disk)
{
	for (uint64_t segment = trimming->first; segment < trimming->end; segment++) {
		int error = disk->ops->retire(disk, segment);
		if (error != 0)
			return fail(trimming, "segment %" PRIu64 " cannot be removed: %s", segment,
				    strerror(-error));
		trimming->bytes += disk->segment_bytes;
	}
	remove_retired(trimming->request.log);
	return NODE_SOUND;
}

static enum node_end trim(struct trimming *trimming)
{
	find_end(trimming);
	if (trimming->end == trimming->first) {
		printf("nothing to trim: %" PRIu32 " checkpoints are proved, and the log goes on "
		       "behind the newest %" PRIu64 " of them from segment %" PRIu64 "\n",
		       trimming->proof.equal_count, trimming->spare, trimming->first);
		if (!trimming->dry_run)
			remove_retired(trimming->request.log);
		return NODE_SOUND;
	}
	printf("segments %" PRIu64 " to %" PRIu64 " are before the checkpoint behind block %" PRIu64
	       ", epoch %" PRIu64 ", which is what the log gives\n",
	       trimming->first, trimming->end - 1, trimming->point.seq, trimming->point.epoch);
	if (trimming->proof.trusted)
		printf("on trust: the checkpoint behind block %" PRIu64 ", epoch %" PRIu64
		       ", at which the log begins\n",
		       trimming->proof.base.seq, trimming->proof.base.epoch);
	if (trimming->dry_run) {
		puts("nothing was changed");
		return NODE_SOUND;
	}
	enum node_end end = trimming->archive != NULL ? archive_all(trimming) : NODE_SOUND;
	if (end == NODE_SOUND)
		end = retire_all(trimming, trimming->node.disk);
	if (end != NODE_SOUND)
		return end;
	/* With an archive they can still be begun at. */
	if (trimming->archive == NULL)
		checkpoint_remove_before(trimming->request.checkpoints, trimming->point.seq);
	printf("%" PRIu64 " segments removed, %" PRIu64 " MiB", trimming->end - trimming->first,
	       trimming->bytes >> 20);
	if (trimming->archive != NULL)
		printf("; kept in %s, %" PRIu64 " MiB", trimming->archive,
		       trimming->packed_bytes >> 20);
	putchar('\n');
	return NODE_SOUND;
}

/* What was named, or the log's own folder if there is one. */
static const char *choose_archive(const char *log, char own[PATH_MAX])
{
	const char *named = command_archive();
	struct stat status;

	if (named != NULL)
		return strcmp(named, "none") == 0 ? NULL : named;
	snprintf(own, PATH_MAX, "%s/archive", log);
	return stat(own, &status) == 0 && S_ISDIR(status.st_mode) ? own : NULL;
}

static enum node_end prove_and_trim(struct trimming *trimming)
{
	bool opened = false;
	enum node_end end =
	    proof_run(&trimming->proof, &trimming->node, &trimming->request, &opened);

	if (end == NODE_SOUND)
		end = trim(trimming);
	else if (opened)
		puts("nothing was trimmed: the log is not proved");
	if (end != NODE_SOUND && trimming->node.text[0] != '\0')
		command_error("%s", trimming->node.text);
	if (opened)
		proof_close(&trimming->proof);
	return end;
}

enum node_end command_trim(int argc, char **argv)
{
	static struct trimming trimming;
	static char own[PATH_MAX];
	struct proof_request *request = &trimming.request;
	const char *log[1];
	const struct command_option options[] = {
	    {"checkpoints", OPTION_TEXT, &request->checkpoints},
	    {"spare", OPTION_COUNT, &trimming.spare},
	    {"dry-run", OPTION_FLAG, &trimming.dry_run},
	    {NULL, OPTION_END, NULL},
	};

	trimming = (struct trimming){.request = {.to = MOMENT_LAST}, .spare = SPARE_CHECKPOINTS};
	if (!command_parse(argc, argv, options, log, 1,
			   "trim LOG [--archive DIR|none] [--spare N] [--checkpoints DIR] "
			   "[--dry-run]"))
		return NODE_USAGE;
	request->log = log[0];
	if (request->checkpoints == NULL)
		request->checkpoints = request->log;
	trimming.archive = choose_archive(request->log, own);
	/* Only what the log itself holds is proved, and goes. */
	node_use_archive("none");
	struct stat status;
	if (stat(request->log, &status) == 0 && S_ISBLK(status.st_mode)) {
		/* The engine has nowhere to look for a checkpoint then: it would never start again. */
		command_error(
		    "a log on a block device cannot be trimmed: the engine starts it from "
		    "its first byte");
		return NODE_USAGE;
	}
	int hold = checkpoint_hold(request->checkpoints);
	if (hold < 0) {
		command_error("%s: %s", request->checkpoints,
			      hold == -EBUSY ? "another giro-replay trims or removes checkpoints"
					     : strerror(-hold));
		return NODE_UNREADABLE;
	}
	enum node_end end = NODE_NOT_FOUND;
	if (find_newest(&trimming))
		end = prove_and_trim(&trimming);
	else
		command_error("there is no checkpoint in %s: make one with giro-replay checkpoint",
			      request->checkpoints);
	close(hold);
	return end;
}
