/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay as people and scripts use it: exit statuses, output, errors.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/node.h"
#include "tests/unit/replay/books.h"
#include "tests/unit/replay/tool.h"

/* Blocks as they are laid out in segment 0: the segment's header, OPEN, then four blocks. */
#define OPEN_AT WAL_PAGE
#define DATA_AT (2 * WAL_PAGE)

static struct books *books;
static struct books_log disk_log;

static void start(void)
{
	const struct shard_limits limits = books_limits(2);
	const struct log_meta meta = log_meta_from_limits(&limits);

	books = books_new(2);
	log_new(&disk_log);
	log_open(&disk_log, &meta, sizeof(meta));
}

static void stop(void)
{
	books_free(books);
	log_remove(&disk_log);
}

TestSuite(command, .init = start, .fini = stop);

/* OPEN; accounts (epoch 2, at 08:00:00.010Z); a transfer between shards: tried (3), settled (4);
 * another within a shard (5); CLOSE (6). */
static void write_log(bool close)
{
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	log_put(&disk_log, books, WAL_DATA);
	books_pay(books, books_account(books, 0, 1), books_account(books, 1, 1), 30, 1);
	log_put(&disk_log, books, WAL_DATA);
	books_settle(books);
	log_put(&disk_log, books, WAL_DATA);
	books_pay(books, books_account(books, 0, 1), books_account(books, 0, 2), 7, 1);
	log_put(&disk_log, books, WAL_DATA);
	if (close)
		log_put(&disk_log, books, WAL_CLOSE);
	log_close(&disk_log);
}

Test(command, verify_sound)
{
	write_log(true);
	cr_assert(run("verify", disk_log.path, NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("log               6 blocks to epoch 6 (2026-11-23T08:00:00.050Z), id "
			 "1122334455667788, incarnation 1\n"),
		  "%s", out);
	cr_assert(prints("shards            2\n"));
	cr_assert(prints("transfers         6 decided, 6 done, 1 between shards\n"), "%s", out);
	/* 6 accounts, 4 openings, 2 transfers, and TRY, VOTE, CONFIRM, ACK */
	cr_assert(prints("records           16, every outcome computed again and equal\n"), "%s",
		  out);
	cr_assert(prints("digests           4 compared and equal\n"));
	cr_assert(prints("ledger 1          6 accounts, 4000 in credit, 0 in flight, sum 0\n"),
		  "%s", out);
	cr_assert(prints("rows pending      0\n"));
	cr_assert(prints("verdict           sound\n"));
	cr_assert_str_eq(err, "");
}

Test(command, verify_counts_money_under_way)
{
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	books_pay(books, books_account(books, 0, 1), books_account(books, 1, 1), 30, 1);
	books_deliver(books);
	books_deliver(books);
	log_put(&disk_log, books, WAL_DATA);
	log_close(&disk_log);
	cr_assert(run("verify", disk_log.path, NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("ledger 1          6 accounts, 3970 in credit, 30 in flight, sum 0\n"),
		  "%s", out);
	cr_assert(prints("rows pending      1\n"));
}

Test(command, torn_tail_is_sound_but_told)
{
	write_log(false);
	/* the last block's records: nothing behind it says that it was durable */
	uint64_t last = disk_log.writer.tail.offset - WAL_PAGE;
	log_flip(&disk_log, last + 40);
	cr_assert(run("verify", disk_log.path, NULL) == NODE_TORN, "%s%s", out, err);
	cr_assert(prints("verdict           sound, with a torn tail\n"), "%s", out);
	cr_assert(prints("log               4 blocks to epoch 4"), "%s", out);
	cr_assert(run("balances", disk_log.path, "--csv", NULL) == NODE_TORN);
	cr_assert(prints("id,balance\n"));
	cr_assert(complains_in_full(), "'%s'", err);
	cr_assert(run("dump", disk_log.path, NULL) == NODE_TORN);
	cr_assert(prints("block 3 ") && !prints("block 4 "));
	cr_assert(complains_in_full(), "'%s'", err);
}

Test(command, corruption_is_named)
{
	static const uint64_t places[] = {OPEN_AT + 100, DATA_AT + 8, DATA_AT + WAL_PAGE + 3, 20};

	write_log(true);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		log_flip(&disk_log, places[i]);
		cr_assert(run("verify", disk_log.path, NULL) == NODE_CORRUPT, "byte %lu: %s%s",
			  places[i], out, err);
		cr_assert(complains_in_full(), "byte %lu: '%s'", places[i], err);
		int balances = run("balances", disk_log.path, NULL);
		cr_assert(balances == NODE_CORRUPT && !prints("account"), "no wrong balances");
		cr_assert(complains_in_full());
		cr_assert(run("dump", disk_log.path, NULL) == NODE_CORRUPT);
		log_flip(&disk_log, places[i]);
	}
	cr_assert(run("verify", disk_log.path, NULL) == NODE_SOUND, "it is as it was");
}

Test(command, divergence_is_named_with_its_place)
{
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	/* a record whose outcome is wrong, under a block that is sound */
	books->section[1][3 * 72 + 2] = STATUS_CREDIT_CLOSED;
	log_put(&disk_log, books, WAL_DATA);
	log_close(&disk_log);
	cr_assert(run("verify", disk_log.path, NULL) == NODE_DIVERGED, "%s%s", out, err);
	cr_assert(complains("block 1 (epoch 2), shard 1, record 3 (byte 216 of its section)"), "%s",
		  err);
	cr_assert(prints("verdict           DIVERGED\n"));
	cr_assert_not(prints("every outcome computed again and equal"), "%s", out);
	cr_assert(run("balances", disk_log.path, NULL) == NODE_DIVERGED);
	cr_assert_not(prints("account"), "no wrong balances");
	/* dump does not replay */
	cr_assert(run("dump", disk_log.path, NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("CREDIT_CLOSED"));
}

Test(command, digest_of_another_state_diverges)
{
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	books_turn(books, 10);
	log_put(&disk_log, books, WAL_CLOSE);
	log_close(&disk_log);
	cr_assert(run("verify", disk_log.path, NULL) == NODE_DIVERGED);
	cr_assert(complains("digest"), "%s", err);
}

Test(command, broken_invariant_diverges)
{
	struct id128 wallet = books_account(books, 1, 1);

	/* A confirm whose amount is not what was taken: each shard's records are right by
	 * themselves. */
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	books_pay(books, books_account(books, 0, 1), wallet, 30, 1);
	books->wire[0].amount = 31;
	books_settle(books);
	log_put(&disk_log, books, WAL_DATA);
	log_close(&disk_log);
	cr_assert(run("verify", disk_log.path, NULL) == NODE_DIVERGED, "%s", out);
	cr_assert(prints("sum 1\n"), "%s", out);
	cr_assert(complains("does not sum to zero"), "%s", err);
}

Test(command, unreadable)
{
	write_log(true);
	for (int i = 0; i < 3; i++) {
		static const char *const commands[] = {"verify", "balances", "dump"};
		cr_assert(run(commands[i], "/nowhere/log", NULL) == NODE_UNREADABLE);
		cr_assert(complains("/nowhere/log") && complains_in_full(), "%s", err);
	}
}

Test(command, usage)
{
	static const char *const calls[][4] = {
	    {NULL},
	    {"frobnicate", NULL},
	    {"verify", NULL},
	    {"verify", "a", "b", NULL},
	    {"balances", NULL},
	    {"balances", "--at-epoch", NULL},
	    {"balances", "a", "b", NULL},
	    {"balances", "--cvs", "a", NULL},
	    {"balances", "--at-epoch=", "a", NULL},
	    {"balances", "--at-epoch=-1", "a", NULL},
	    {"balances", "--at-epoch=7x", "a", NULL},
	    {"balances", "--at-epoch=99999999999999999999", "a", NULL},
	    {"dump", NULL},
	    {"dump", "--from-epoch=x", "a", NULL},
	    {"dump", "--to-epoch=", "a", NULL},
	    {"dump", "--to-epoch=99999999999999999999", "a", NULL},
	    {"dump", "--sideways", "a", NULL},
	};

	log_close(&disk_log);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int status = run(calls[i][0], calls[i][1], calls[i][2], NULL);
		cr_assert(status == NODE_USAGE, "row %zu: %d %s", i, status, err);
		cr_assert(err[0] != '\0' && out[0] == '\0', "row %zu", i);
	}
	cr_assert(run("--help", NULL) == 0 && prints("exit status:"));
	cr_assert(run("-h", NULL) == 0 && prints("usage:"));
}

/* The line of an account: "id,balance". */
static const char *csv_line(uint32_t shard, uint32_t number, int64_t balance)
{
	static char line[64];
	struct id128 id = books_account(books, shard, number);

	cr_assert(id.hi == 0);
	snprintf(line, sizeof(line), "\n%lu,%ld\n", id.lo, balance);
	return line;
}

Test(command, balances_csv)
{
	write_log(true);
	cr_assert(run("balances", disk_log.path, "--csv", NULL) == NODE_SOUND, "%s", err);
	cr_assert(strncmp(out, "id,balance\n", 11) == 0);
	cr_assert(prints(csv_line(0, 0, -2000)) && prints(csv_line(1, 0, -2000)), "%s", out);
	cr_assert(prints(csv_line(0, 1, 963)) && prints(csv_line(0, 2, 1007)), "%s", out);
	cr_assert(prints(csv_line(1, 1, 1030)) && prints(csv_line(1, 2, 1000)), "%s", out);
	uint64_t last = 0;
	int lines = 0;
	for (char *line = strchr(out, '\n'); line != NULL && line[1] != '\0';
	     line = strchr(line + 1, '\n')) {
		uint64_t id = strtoull(line + 1, NULL, 10);
		cr_assert(id > last, "in the order of the ids");
		last = id;
		lines++;
	}
	cr_assert(lines == 6);
	cr_assert_str_eq(err, "");
}

Test(command, balances_for_people)
{
	write_log(true);
	cr_assert(run("balances", disk_log.path, "--at-epoch", "3", NULL) == NODE_SOUND, "%s", err);
	cr_assert(strncmp(out, "as of epoch 3\n", 14) == 0, "%s", out);
	cr_assert(prints("issuer") && prints("held"), "%s", out);
	char line[256];
	snprintf(line, sizeof(line), "%-39lu %10u %20d %20d %20d %20d",
		 books_account(books, 0, 1).lo, 1, 1000, 30, 0, 0);
	cr_assert(prints(line), "%s", out);
}

struct as_of {
	const char *option;
	const char *value;
	int64_t payer; /* balance of account 1 on shard 0 then; 0: there is none yet */
};

static const struct as_of moments[] = {
    {"--at-epoch", "0", 0},
    {"--at-epoch", "1", 0},
    {"--at-epoch", "2", 1000},
    {"--at-epoch", "3", 1000},
    {"--at-epoch", "4", 970},
    {"--at-epoch", "5", 963},
    {"--at-epoch", "6", 963},
    {"--at-epoch", "18446744073709551615", 963},
    /* epoch 2 is of 08:00:00.010, 4 of .030, 5 of .040 */
    {"--at-time", "1970-01-01T00:00:00Z", 0},
    {"--at-time", "2026-11-23T08:00:00.009Z", 0},
    {"--at-time", "2026-11-23T08:00:00.010Z", 1000},
    {"--at-time", "2026-11-23T08:00:00.0109999Z", 1000},
    {"--at-time", "2026-11-23T08:00:00.029Z", 1000},
    {"--at-time", "2026-11-23T08:00:00.03Z", 970},
    {"--at-time", "2026-11-23T08:00:00.039999999Z", 970},
    {"--at-time", "2026-11-23T08:00:00.04Z", 963},
    {"--at-time", "2026-11-23T08:00:01Z", 963},
    {"--at-time", "2026-11-23T09:30:00.030+01:30", 970},
    {"--at-time", "2026-11-23T00:00:00.030-08:00", 970},
    {"--at-time", "2026-11-22T23:59:59.999-08:00", 0},
    {"--at-time", "9999-12-31T23:59:59Z", 963},
};

Test(command, balances_as_of_a_moment)
{
	write_log(true);
	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
		const struct as_of *row = &moments[i];
		cr_assert(run("balances", disk_log.path, "--csv", row->option, row->value, NULL) ==
			      NODE_SOUND,
			  "%s %s: %s", row->option, row->value, err);
		if (row->payer == 0)
			cr_assert_str_eq(out, "id,balance\n", "%s", row->value);
		else
			cr_assert(prints(csv_line(0, 1, row->payer)), "%s: %s", row->value, out);
	}
}

static const char *const bad_times[] = {
    "",
    "now",
    "2026-11-23",
    "2026-11-23T08:00Z",
    "2026-11-23 08:00:00Z",
    "2026-11-23T08:00:00",
    "2026-11-23T08:00:00.Z",
    "2026-11-23T08:00:00,5Z",
    "2026-11-23T08:00:00Zulu",
    "2026-11-23T08:00:00+1:00",
    "2026-11-23T08:00:00+01",
    "2026-11-23T08:00:00+0100",
    "2026-11-23T08:00:00+-1:30",
    "2026-11-23T08:00:00+ 1:30",
    "2026-11-23T08:00:00+24:00",
    "2026-11-23T08:00:00+01:60",
    "2026-13-01T08:00:00Z",
    "2026-00-01T08:00:00Z",
    "2026-11-31T08:00:00Z",
    "2026-02-29T08:00:00Z",
    "2026-11-23T24:00:00Z",
    "2026-11-23T08:60:00Z",
    "2026-11-23T08:00:61Z",
    "2026-1-2T3:4:5Z",
    " 2026-11-23T08:00:00Z",
    "1969-12-31T23:59:59Z",
};

Test(command, times_that_are_none_are_refused)
{
	write_log(true);
	for (size_t i = 0; i < sizeof(bad_times) / sizeof(bad_times[0]); i++) {
		cr_assert(run("balances", disk_log.path, "--at-time", bad_times[i], NULL) ==
			      NODE_USAGE,
			  "'%s' was taken", bad_times[i]);
		cr_assert(complains("--at-time wants RFC 3339"), "'%s': %s", bad_times[i], err);
	}
}

Test(command, dump_shows_blocks_and_records)
{
	write_log(true);
	cr_assert(run("dump", disk_log.path, NULL) == NODE_SOUND, "%s", err);
	static const char *const lines[] = {
	    "block 0 OPEN epoch 1 2026-11-23T08:00:00.000Z segment 0 offset 4096 incarnation 1 ",
	    "block 1 DATA epoch 2 2026-11-23T08:00:00.010Z ",
	    "block 5 CLOSE epoch 6 ",
	    "  shard 0: 360 bytes\n",
	    "    ACCOUNT  OK id ",
	    " action 1 ledger 1 floor -9223372036854775808\n",
	    "    TRANSFER OK id ",
	    "    TRANSFER PENDING id ",
	    " amount 30 ledger 1 code 9 to shard 1 seq 0\n",
	    "    TRY      OK shard 0 seq 0 id ",
	    " amount 30 ledger 1 code 9 low -0\n",
	    "    VOTE     OK shard 1 seq 0\n",
	    "    CONFIRM  shard 0 seq 0 low -0\n",
	    "    ACK      shard 1 seq 0\n",
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		cr_assert(prints(lines[i]), "no '%s' in:\n%s", lines[i], out);
	cr_assert_str_eq(err, "");
}

Test(command, dump_of_some_epochs)
{
	write_log(true);
	cr_assert(run("dump", disk_log.path, "--from-epoch", "3", "--to-epoch", "4", NULL) == 0);
	cr_assert(prints("epoch 3 ") && prints("epoch 4 "));
	cr_assert_not(prints("epoch 2 ") || prints("epoch 5 "));
	cr_assert(run("dump", "--from-epoch=7", disk_log.path, NULL) == 0);
	cr_assert_str_eq(out, "");
}

Test(command, dump_of_a_broken_record_says_where)
{
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	books->section[0][72] = 99;
	log_put(&disk_log, books, WAL_DATA);
	log_close(&disk_log);
	cr_assert(run("dump", disk_log.path, NULL) == NODE_CORRUPT);
	cr_assert(complains("block 1, shard 0, byte 72") && complains_in_full(), "%s", err);
}

Test(command, empty_log_is_sound)
{
	log_close(&disk_log);
	cr_assert(run("verify", disk_log.path, NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("verdict           sound\n"));
	cr_assert(run("balances", disk_log.path, "--csv", NULL) == NODE_SOUND, "%s", err);
	cr_assert_str_eq(out, "id,balance\n");
	cr_assert(run("dump", disk_log.path, NULL) == NODE_SOUND, "%s", err);
}
