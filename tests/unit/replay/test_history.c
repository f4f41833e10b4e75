/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking back: statements, stories of transfers, balances then, against what the test itself knows.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/node.h"
#include "tests/unit/replay/books.h"
#include "tests/unit/replay/tool.h"

#define SHARDS 3
#define ROUNDS 60

static struct books *books;
static struct books_log disk_log;
static struct id128 wallet; /* account 1 of shard 0 */
static char wallet_text[24];

/* What the wallet held behind each epoch, as its shard had it. */
static int64_t held_then[ROUNDS + 8];

static void put(enum wal_block_type type)
{
	uint64_t epoch = log_put(&disk_log, books, type);
	const struct account *account = shard_account(books->shard[0], wallet);

	cr_assert(epoch < ROUNDS + 8);
	held_then[epoch] = account != NULL ? account->balance : 0;
}

/* An account on shard 1 that was never opened. */
static struct id128 nobody(void)
{
	return books_account(books, 1, 7);
}

/* Traffic between all shards, most of it through the wallet; messages stay on the way for blocks. */
static void write_log(void)
{
	put(WAL_OPEN);
	books_fill(books);
	put(WAL_DATA);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct id128 other = books_account(books, round % SHARDS, round % 3 == 0 ? 2 : 1);
		bool pays = round % 2 == 0;
		if (!id_equal(other, wallet))
			books_pay(books, pays ? wallet : other, pays ? other : wallet, 5 + round,
				  1);
		books_pay(books, books_account(books, 1, 2), books_account(books, 2, 2), 1, 1);
		if (round % 10 == 5)
			books_pay(books, wallet, nobody(), 3, 1);
		while (books->wire_count > 9)
			books_deliver(books);
		put(WAL_DATA);
	}
	log_close(&disk_log);
}

static void start(void)
{
	const struct shard_limits limits = books_limits(SHARDS);
	const struct log_meta meta = log_meta_from_limits(&limits);

	books = books_new(SHARDS);
	wallet = books_account(books, 0, 1);
	snprintf(wallet_text, sizeof(wallet_text), "%" PRIu64, wallet.lo);
	log_new(&disk_log);
	log_open(&disk_log, &meta, sizeof(meta));
	write_log();
}

static void stop(void)
{
	books_free(books);
	log_remove(&disk_log);
}

TestSuite(history, .init = start, .fini = stop);

static const char *number(int64_t value)
{
	static char text[8][24];
	static int next;
	char *at = text[next++ % 8];

	snprintf(at, sizeof(text[0]), "%" PRId64, value);
	return at;
}

static int64_t json_number(const char *key)
{
	char pattern[64];

	snprintf(pattern, sizeof(pattern), "\"%s\":", key);
	const char *at = strstr(out, pattern);
	cr_assert_not_null(at, "%s in %s", key, out);
	return strtoll(at + strlen(pattern), NULL, 10);
}

Test(history, balance_at_every_epoch)
{
	for (int64_t epoch = 2; epoch < ROUNDS + 3; epoch++) {
		cr_assert(run("balance", disk_log.path, wallet_text, "--at", number(epoch),
			      "--json", NULL) == NODE_SOUND,
			  "%s", err);
		cr_assert(json_number("balance") == held_then[epoch], "epoch %" PRId64 ": %s",
			  epoch, out);
		cr_assert(json_number("epoch") == epoch);
	}
	cr_assert(run("balance", disk_log.path, wallet_text, "--at", "1", NULL) == NODE_NOT_FOUND);
	cr_assert(complains("there is no account"));
}

/* Every line's running balance is right, and epochs agree with the shard's own balance then. */
static void check_statement(int64_t from, int64_t to)
{
	int64_t balance = held_then[from - 1];
	int64_t last_epoch = from - 1;

	cr_assert(run("statement", disk_log.path, wallet_text, "--from", number(from), "--to",
		      number(to), "--csv", NULL) == NODE_SOUND,
		  "%s", err);
	for (char *line = strchr(out, '\n') + 1; *line != '\0'; line = strchr(line, '\n') + 1) {
		int64_t epoch;
		int64_t amount;
		int64_t after;
		unsigned code;
		char time[40];
		char id[48];
		char other[48];
		int fields =
		    sscanf(line, "%" SCNd64 ",%39[^,],%47[^,],%47[^,],%u,%" SCNd64 ",%" SCNd64 "\n",
			   &epoch, time, id, other, &code, &amount, &after);
		cr_assert(fields == 7, "%s", line);
		cr_assert(epoch >= from && epoch <= to && epoch >= last_epoch, "%s", line);
		if (epoch != last_epoch)
			cr_assert(balance == held_then[epoch - 1], "before %s", line);
		balance += amount;
		last_epoch = epoch;
		cr_assert(after == balance, "%s", line);
		cr_assert(strtoull(other, NULL, 10) >= 100 && strcmp(other, wallet_text) != 0, "%s",
			  line);
		cr_assert(code == 9 || epoch == 2, "%s", line);
	}
	cr_assert(balance == held_then[to]);
}

Test(history, statement_is_the_sum_of_its_movements)
{
	check_statement(2, ROUNDS + 2);
	check_statement(3, 30);
	for (int64_t from = 3; from < ROUNDS; from += 7)
		check_statement(from, from + 2);
}

Test(history, statement_for_people_and_programs)
{
	cr_assert(run("statement", disk_log.path, wallet_text, "--from", "10", "--to", "40",
		      NULL) == NODE_SOUND);
	char line[128];
	snprintf(line, sizeof(line), "opening balance %" PRId64 " as of epoch 9\n", held_then[9]);
	cr_assert(prints(line), "%s", out);
	snprintf(line, sizeof(line), "closing balance %" PRId64 " as of epoch 40\n", held_then[40]);
	cr_assert(prints(line), "%s", out);
	cr_assert(run("statement", disk_log.path, wallet_text, "--from", "10", "--to", "40",
		      "--json", NULL) == NODE_SOUND);
	cr_assert(json_number("opening_balance") == held_then[9]);
	cr_assert(json_number("closing_balance") == held_then[40]);
	cr_assert(json_number("opening_balance") + json_number("credited") -
		      json_number("debited") ==
		  held_then[40]);
	cr_assert(run("statement", disk_log.path, "5", NULL) == NODE_NOT_FOUND);
	cr_assert(run("statement", disk_log.path, "five", NULL) == NODE_USAGE);
	cr_assert(run("statement", disk_log.path, wallet_text, "--from", "soon", NULL) ==
		  NODE_USAGE);
}

/* Ids of the test's transfers are its times and a number. */
static const char *id_text(uint64_t ms, uint64_t lo)
{
	static char text[64];

	snprintf(text, sizeof(text), "0x%016" PRIx64 "%016" PRIx64, (BOOKS_START_MS + ms) << 16,
		 lo);
	return text;
}

Test(history, transfer_tells_its_story)
{
	/* The first of the traffic: epoch 3, at 20 ms, behind 15 of books_fill(). It is within shard
	 * 0. The second is between shards. */
	cr_assert(run("transfer", disk_log.path, id_text(20, 16), NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("outcome   OK\n") && prints("received; done"), "%s", out);
	cr_assert(run("transfer", disk_log.path, id_text(20, 17), NULL) == NODE_SOUND, "%s", err);
	static const char *const steps[] = {
	    "received; amount held; try 0 sent to shard 2",
	    "try: credit expected; votes yes",
	    "decision: confirm; debited",
	    "confirmed; credited",
	    "acknowledged; finished, answered: OK",
	};
	const char *at = out;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		at = strstr(at, steps[i]);
		cr_assert_not_null(at, "%s, in this order: %s", steps[i], out);
	}
	cr_assert(run("transfer", disk_log.path, id_text(20, 17), "--json", NULL) == NODE_SOUND);
	cr_assert(prints("\"finished\":true,\"outcome\":\"OK\",\"out_of_order\":false"), "%s", out);
	cr_assert(run("transfer", disk_log.path, id_text(20, 9999), NULL) == NODE_NOT_FOUND);
	cr_assert(run("transfer", disk_log.path, "12,5", NULL) == NODE_USAGE);
}

Test(history, a_cancelled_transfer_tells_why)
{
	/* Round 5, epoch 8, at 70 ms: its third transfer. */
	char id[64] = "";

	for (uint64_t number = 16; number < 40 && id[0] == '\0'; number++) {
		if (run("transfer", disk_log.path, id_text(70, number), NULL) == NODE_SOUND &&
		    prints("amount    3 "))
			snprintf(id, sizeof(id), "%s", id_text(70, number));
	}
	cr_assert(id[0] != '\0');
	cr_assert(prints("outcome   CREDIT_NOT_FOUND"), "%s", out);
	cr_assert(prints("votes no: credit account does not exist"), "%s", out);
	cr_assert(prints("decision: cancel; hold released"), "%s", out);
	cr_assert(run("transfer", disk_log.path, id, "--json", NULL) == NODE_SOUND);
	cr_assert(prints("\"out_of_order\":false"), "%s", out);
}

Test(history, phases_name_what_is_under_way)
{
	uint64_t pending = 0;

	for (uint32_t i = 0; i < SHARDS; i++)
		pending += books->shard[i]->phase.in_flight;
	cr_assert(pending > 0);
	cr_assert(run("phases", disk_log.path, NULL) == NODE_SOUND, "%s", err);
	char line[64];
	snprintf(line, sizeof(line), "\n%" PRIu64 " under way\n", pending);
	cr_assert(prints(line), "%s", out);
	cr_assert(run("phases", disk_log.path, "--at", "2", NULL) == NODE_SOUND);
	cr_assert(prints("\n0 under way\n"), "%s", out);
	cr_assert(run("phases", disk_log.path, "--json", NULL) == NODE_SOUND);
	cr_assert(prints("\"debit_phase\":\""), "%s", out);
}

Test(history, filters)
{
	static const struct {
		const char *filter;
		int count; /* of accounts; -1: no filter */
	} rows[] = {
	    {"balance<0", SHARDS},
	    {"balance>=0", 2 * SHARDS},
	    {"ledger=1", 3 * SHARDS},
	    {"ledger!=1", 0},
	    {"floor=0", 2 * SHARDS},
	    {"frozen=1", 0},
	    {"closed==0", 3 * SHARDS},
	    {"balance<=-2000", SHARDS},
	    {"balance>-2000", 2 * SHARDS},
	    {"balance", -1},
	    {"balance<", -1},
	    {"colour=1", -1},
	    {"balance<zero", -1},
	    {"<3", -1},
	    {"balance<0x", -1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int status =
		    run("accounts", disk_log.path, "--csv", "--where", rows[i].filter, NULL);
		cr_assert(status == (rows[i].count < 0 ? NODE_USAGE : NODE_SOUND), "%s: %s",
			  rows[i].filter, err);
		int lines = -1;
		for (char *at = out; *at != '\0'; at++)
			lines += *at == '\n';
		cr_assert(rows[i].count < 0 || lines == rows[i].count, "%s: %s", rows[i].filter,
			  out);
	}
	cr_assert(run("accounts", disk_log.path, "--where", "balance>=0", "--where", "balance<0",
		      "--json", NULL) == NODE_SOUND);
	cr_assert(prints("\"accounts\":[]"), "%s", out);
}

Test(history, stats_add_up)
{
	cr_assert(run("stats", disk_log.path, "--json", "--every", "1", NULL) == NODE_SOUND, "%s",
		  err);
	const char *total = strstr(out, "\"total\":");
	cr_assert_not_null(total, "%s", out);
	memmove(out, total, strlen(total) + 1);
	cr_assert(json_number("blocks") == ROUNDS + 2);
	cr_assert(json_number("account_operations") == 3 * SHARDS);
	uint64_t received = 0;
	for (uint32_t i = 0; i < SHARDS; i++)
		received += books->shard[i]->events[SHARD_EVENT_LOCAL_DONE] +
			    books->shard[i]->events[SHARD_EVENT_CROSS_TRIED];
	cr_assert(json_number("transfers_received") == (int64_t)received, "%s", out);
	cr_assert(run("stats", disk_log.path, "--from", "10", "--to", "19", "--json", NULL) ==
		  NODE_SOUND);
	cr_assert(json_number("blocks") == 10, "%s", out);
}

Test(history, diff_finds_the_first_record)
{
	struct books_log other;
	const struct shard_limits limits = books_limits(SHARDS);
	const struct log_meta meta = log_meta_from_limits(&limits);

	cr_assert(run("diff", disk_log.path, disk_log.path, NULL) == NODE_SOUND);
	cr_assert(prints("equal: 62 blocks"), "%s", out);
	books_free(books);
	books = books_new(SHARDS);
	log_new(&other);
	log_open(&other, &meta, sizeof(meta));
	log_put(&other, books, WAL_OPEN);
	books_fill(books);
	log_put(&other, books, WAL_DATA);
	cr_assert(run("diff", disk_log.path, other.path, NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("equal for 2 blocks") && prints(disk_log.path), "%s", out);
	books_pay(books, books_account(books, 0, 2), books_account(books, 0, 1), 5, 1);
	log_put(&other, books, WAL_DATA);
	log_close(&other);
	cr_assert(run("diff", disk_log.path, other.path, NULL) == NODE_DIVERGED);
	cr_assert(prints("block 2 differs") && prints("shard 0, record 0 (byte 0"), "%s", out);
	log_remove(&other);
}

Test(history, verify_as_json_and_up_to_a_moment)
{
	cr_assert(run("verify", disk_log.path, "--json", "--to", "20", "--threads", "2", NULL) ==
		  NODE_SOUND);
	cr_assert(json_number("epoch") == 20 && json_number("blocks") == 20, "%s", out);
	cr_assert(json_number("epochs_conserved") == 20 && json_number("threads") == 2);
	cr_assert(prints("\"verdict\":\"sound\"") && prints("\"sum\":\"0\""));
	log_flip(&disk_log, 2 * WAL_PAGE + 100);
	cr_assert(run("verify", disk_log.path, "--json", NULL) == NODE_CORRUPT);
	cr_assert(json_number("exit_status") == NODE_CORRUPT && json_number("block") == 1);
	cr_assert(json_number("offset") == 2 * WAL_PAGE, "%s", out);
}
