/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a log, its checkpoint, its archive and its summary, as they are in tests/golden/history:
 * made again they are the same, and those that are there are read. read_history.py beside them reads them
 * too, and shares no code with giro.
 *
 * With GIRO_GOLDEN_WRITE=1 in the environment the files are written: after a change of format, which
 * needs a new version and a folder of its own.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/node.h"
#include "tests/unit/replay/books.h"
#include "tests/unit/replay/tool.h"

#define SHARDS 2
#define BLOCKS 20

static struct books *books;
static struct books_log disk_log;

static bool on_the_wire(enum message_kind kind)
{
	for (uint32_t i = 0; i < books->wire_count; i++) {
		if (books->wire[i].kind == kind)
			return true;
	}
	return false;
}

/* Messages are held back, so that there are rows in every state behind the checkpoint. */
static void write_log(void)
{
	const struct shard_limits limits = books_limits(SHARDS);
	const struct log_meta meta = log_meta_from_limits(&limits);

	books = books_new(SHARDS);
	log_new(&disk_log);
	disk_log.segment_bytes = WAL_SEGMENT_BYTES_MIN;
	log_open(&disk_log, &meta, sizeof(meta));
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	log_put(&disk_log, books, WAL_DATA);
	for (uint32_t block = 2; block < BLOCKS; block++) {
		uint32_t from = block % SHARDS;
		struct id128 none = books_account(books, 1 - from, 30);
		books_pay(books, books_account(books, from, 1), books_account(books, 1 - from, 2),
			  block, 1);
		books_pay(books, books_account(books, from, 0),
			  block % 3 == 0 ? none : books_account(books, 1 - from, 1), 100, 1);
		books_pay(books, books_account(books, from, 2), books_account(books, from, 1),
			  block % 5 == 0 ? 100000 : 2, 1);
		while (books->wire_count > 0 &&
		       (!on_the_wire(MESSAGE_VOTE) || !on_the_wire(MESSAGE_CONFIRM)))
			books_deliver(books);
		log_put(&disk_log, books, WAL_DATA);
	}
	log_close(&disk_log);
}

static void start(void)
{
	char archive[96];

	write_log();
	snprintf(archive, sizeof(archive), "%s/archive", disk_log.path);
	cr_assert(run("checkpoint", disk_log.path, NULL) == NODE_SOUND, "%s", err);
	cr_assert(run("trim", disk_log.path, "--archive", archive, "--spare", "1", NULL) ==
		      NODE_SOUND,
		  "%s", err);
	cr_assert(prints("segments removed"), "%s", out);
	char summary[96];
	snprintf(summary, sizeof(summary), "%s/summary", disk_log.path);
	cr_assert(run("seal-check", disk_log.path, "--output", summary, NULL) == NODE_SOUND, "%s",
		  err);
	if (getenv("GIRO_GOLDEN_WRITE") != NULL) {
		char command[300];
		snprintf(command, sizeof(command), "cd %s && rm -f lock && cp -r . %s",
			 disk_log.path, GOLDEN);
		cr_assert(system(command) == 0);
	}
}

static void stop(void)
{
	char archive[96];

	books_free(books);
	snprintf(archive, sizeof(archive), "%s/archive", disk_log.path);
	folder_remove(archive);
	log_remove(&disk_log);
}

TestSuite(golden, .init = start, .fini = stop);

/* But for the archive, where another release of zstd may find other bytes for the same segment, and the
 * checkpoint, whose accounts and outcomes come in any order: the decoder reads those. */
Test(golden, made_again_the_files_are_the_same)
{
	char command[400];

	snprintf(command, sizeof(command),
		 "cd %s && for f in *.wal summary; do cmp $f %s/$f || exit 1; done", disk_log.path,
		 GOLDEN);
	cr_assert(system(command) == 0);
	snprintf(
	    command, sizeof(command),
	    "cd %s/archive && for f in *; do zstd -dqc $f >plain && zstd -dqc %s/archive/$f | cmp "
	    "- plain || exit 1; rm plain; done",
	    disk_log.path, GOLDEN);
	cr_assert(system(command) == 0);
	snprintf(command, sizeof(command), "python3 -B %s/read_history.py --check %s", GOLDEN,
		 disk_log.path);
	cr_assert(system(command) == 0);
}

Test(golden, what_is_there_is_read)
{
	char summary[200];
	char blocks[64];

	snprintf(summary, sizeof(summary), "%s/summary", GOLDEN);
	cr_assert(run("verify", GOLDEN, "--against", summary, NULL) == NODE_SOUND, "%s%s", out,
		  err);
	snprintf(blocks, sizeof(blocks), "log               %d blocks to epoch %d ", BLOCKS,
		 BLOCKS);
	cr_assert(prints(blocks) && prints("1 equal to the replay, 0 damaged") &&
		      prints("every byte, by SHA-256"),
		  "%s", out);
	cr_assert(run("verify", GOLDEN, "--archive", "none", NULL) == NODE_SOUND, "%s%s", out, err);
	cr_assert(prints("on trust"), "%s", out);
}
