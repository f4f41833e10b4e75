/* SPDX-License-Identifier: Apache-2.0
 *
 * Summaries kept apart from a log, and proofs that begin in its middle.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/node.h"
#include "tests/unit/replay/books.h"
#include "tests/unit/replay/tool.h"

#define SHARDS 2
#define ROUNDS 40

static struct books *books;
static struct books_log disk_log;
static char file[96];
static char text[OUTPUT_MAX]; /* of the summary */

static void pay_round(uint32_t round, uint64_t amount)
{
	for (uint32_t from = 0; from < SHARDS; from++)
		books_pay(books, books_account(books, from, 1),
			  books_account(books, (from + round) % SHARDS, 2), amount, 1);
	while (books->wire_count > 4)
		books_deliver(books);
	log_put(&disk_log, books, WAL_DATA);
}

/* A log in which the transfers of one round are of another amount. */
static void write_log(uint32_t odd_round)
{
	const struct shard_limits limits = books_limits(SHARDS);
	const struct log_meta meta = log_meta_from_limits(&limits);

	books = books_new(SHARDS);
	log_new(&disk_log);
	log_open(&disk_log, &meta, sizeof(meta));
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	log_put(&disk_log, books, WAL_DATA);
	for (uint32_t round = 0; round < ROUNDS; round++)
		pay_round(round, round == odd_round ? 7 : 3);
	log_close(&disk_log);
}

static void remove_log(void)
{
	books_free(books);
	log_remove(&disk_log);
}

static void start(void)
{
	write_log(ROUNDS);
	snprintf(file, sizeof(file), "%s-summary", disk_log.path);
}

static void stop(void)
{
	remove_log();
	unlink(file);
}

TestSuite(summary, .init = start, .fini = stop);

static void sum_up(const char *at)
{
	cr_assert(run("seal-check", disk_log.path, "--at", at, "--output", file, NULL) ==
		      NODE_SOUND,
		  "%s", err);
	FILE *in = fopen(file, "r");
	cr_assert_not_null(in);
	text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
	fclose(in);
}

static void put_file(const char *changed, size_t size)
{
	FILE *to = fopen(file, "w");

	cr_assert(to != NULL && fwrite(changed, 1, size, to) == size);
	fclose(to);
}

static enum node_end against(void)
{
	return (enum node_end)run("verify", disk_log.path, "--against", file, NULL);
}

Test(summary, proves_that_the_log_is_the_one_it_was_made_of)
{
	sum_up("30");
	cr_assert(strstr(text, "giro-summary 1\nlog 1122334455667788\nblock 29\nepoch 30\n") ==
		      text,
		  "%s", text);
	cr_assert(strstr(text, "\nshards 2\ndigest 0 ") != NULL &&
		  strstr(text, "\nledgers 1\nledger 1 accounts 6 credit ") != NULL);
	cr_assert(against() == NODE_SOUND, "%s%s", out, err);
	cr_assert(prints("the log up to block 29, epoch 30, is the one it was made of (every byte, "
			 "by SHA-256)"),
		  "%s", out);
	cr_assert(run("verify", disk_log.path, "--against", file, "--json", NULL) == NODE_SOUND);
	cr_assert(prints("\"summary_by_sha256\": true") || prints("\"summary_by_sha256\":true"),
		  "%s", out);
	/* What came later changes nothing. */
	cr_assert(run("seal-check", disk_log.path, "--at", "30", NULL) == NODE_SOUND);
	cr_assert_str_eq(out, text);
	cr_assert(run("verify", disk_log.path, "--against", file, "--to", "10", NULL) ==
		  NODE_NOT_FOUND);
	cr_assert(complains("behind the moment asked for"), "%s", err);
}

/* Not the last one: nobody says of it that it is durable. */
Test(summary, stands_behind_a_durable_block)
{
	cr_assert(run("seal-check", disk_log.path, NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("block 40\n"), "%s", out);
	cr_assert(run("seal-check", disk_log.path, "--output", "/nowhere/file", NULL) ==
		  NODE_UNREADABLE);
	cr_assert(complains("/nowhere/file: No such file"), "%s", err);
	cr_assert(run("seal-check", disk_log.path, "--at", "0", NULL) == NODE_NOT_FOUND, "%s", err);
}

/* A log that is sound in itself, with the same identity, and another story. */
Test(summary, names_what_differs)
{
	sum_up("30");
	remove_log();
	write_log(20);
	cr_assert(run("verify", disk_log.path, NULL) == NODE_SOUND);
	cr_assert(against() == NODE_DIVERGED, "%s", err);
	cr_assert(complains("chain: the block, or one before it, is another one"), "%s", err);
	cr_assert(complains("sha256: some byte") && complains("digest: the state of shard 0"), "%s",
		  err);
	cr_assert(complains("is not the one that the summary was made of"), "%s", err);
	/* Before the difference it is the same log. */
	remove_log();
	write_log(35);
	cr_assert(against() == NODE_SOUND, "%s%s", out, err);
}

/* The state came out as it was, the way there did not: only the hashes tell. */
Test(summary, another_way_to_the_same_state_is_another_log)
{
	sum_up("30");
	char *line = strstr(text, "\nchain ");
	line[7] = line[7] == '0' ? '1' : '0';
	char *end = strstr(text, "checksum ");
	snprintf(end, 64, "checksum %016" PRIx64 "\n",
		 (uint64_t)XXH3_64bits(text, (size_t)(end - text)));
	put_file(text, strlen(text));
	cr_assert(against() == NODE_DIVERGED);
	cr_assert(complains("chain: ") && !complains("digest: ") && !complains("sha256: "), "%s",
		  err);
}

Test(summary, a_log_that_lost_its_end_is_told)
{
	sum_up("40");
	char name[128];
	snprintf(name, sizeof(name), "%s/%020u.wal", disk_log.path, 0);
	/* Everything from block 30 on is gone, as if it had never been written. */
	cr_assert(run("dump", disk_log.path, "--from-epoch", "31", "--to-epoch", "31", NULL) ==
		  NODE_SOUND);
	const char *at = strstr(out, " offset ");
	cr_assert_not_null(at);
	unsigned long offset = strtoul(at + 8, NULL, 10);
	int fd = open(name, O_RDWR);
	cr_assert(fd >= 0 && ftruncate(fd, (off_t)offset) == 0 &&
		  ftruncate(fd, BOOKS_SEGMENT) == 0);
	close(fd);
	cr_assert(run("verify", disk_log.path, NULL) == NODE_SOUND, "nothing tells: %s", err);
	cr_assert(against() == NODE_CORRUPT, "%s", out);
	cr_assert(complains("the log ends at epoch 30, before the summary's block 39"), "%s", err);
}

Test(summary, another_logs_summary_is_told)
{
	sum_up("30");
	char *id = strstr(text, "log 1122");
	id[4] = '2';
	char *end = strstr(text, "checksum ");
	snprintf(end, 64, "checksum %016" PRIx64 "\n",
		 (uint64_t)XXH3_64bits(text, (size_t)(end - text)));
	put_file(text, strlen(text));
	cr_assert(against() == NODE_DIVERGED);
	cr_assert(complains("the summary is of another log: 2122334455667788"), "%s", err);
}

Test(summary, a_changed_summary_is_refused)
{
	sum_up("30");
	size_t size = strlen(text);
	for (size_t i = 0; i < size; i++) {
		text[i] ^= 1;
		put_file(text, size);
		cr_assert(against() == NODE_UNREADABLE, "byte %zu", i);
		cr_assert(complains("summary "), "byte %zu: %s", i, err);
		text[i] ^= 1;
		if (i > 40)
			i += 5;
	}
	for (size_t i = 0; i < size; i += 9) {
		put_file(text, i);
		cr_assert(against() == NODE_UNREADABLE, "%zu bytes", i);
	}
	put_file("giro-summary 2\n", 15);
	cr_assert(against() == NODE_UNREADABLE && complains("of another version"), "%s", err);
	unlink(file);
	cr_assert(against() == NODE_UNREADABLE && complains("No such file"), "%s", err);
}

Test(summary, verify_from_the_middle_says_what_it_trusts)
{
	cr_assert(run("checkpoint", disk_log.path, "--every", "10", "--keep", "9", NULL) ==
		  NODE_SOUND);
	sum_up("35");
	cr_assert(run("verify", disk_log.path, "--from", "25", NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("log               22 blocks to epoch 42"), "%s", out);
	cr_assert(prints("on trust          the checkpoint behind block 19, epoch 20"), "%s", out);
	cr_assert(run("verify", disk_log.path, "--from", "20", NULL) == NODE_SOUND);
	cr_assert(prints("on trust          the checkpoint behind block 9, epoch 10"), "%s", out);
	cr_assert(run("verify", disk_log.path, "--from", "5", NULL) == NODE_SOUND);
	cr_assert(!prints("on trust") && prints("log               42 blocks"), "%s", out);
	cr_assert(run("verify", disk_log.path, "--from", "25", "--json", NULL) == NODE_SOUND);
	cr_assert(prints("trusted_block"), "%s", out);
	/* The chain ties even a part of the log to the summary. */
	cr_assert(run("verify", disk_log.path, "--from", "25", "--against", file, NULL) ==
		  NODE_SOUND);
	cr_assert(prints("by the chain of hashes; SHA-256 was not compared"), "%s", out);
	cr_assert(run("verify", disk_log.path, "--from", "42", "--against", file, NULL) ==
		  NODE_NOT_FOUND);
	cr_assert(complains("is before the checkpoint behind block 40"), "%s", err);
	/* Damage before it is not seen; behind it, it is. */
	log_flip(&disk_log, 3 * WAL_PAGE);
	cr_assert(run("verify", disk_log.path, "--from", "25", NULL) == NODE_SOUND, "%s", err);
	cr_assert(run("verify", disk_log.path, NULL) == NODE_CORRUPT);
}
