/* SPDX-License-Identifier: Apache-2.0
 *
 * Exports: however often they are cut short and gone on with, they end as if made in one go; and they
 * are gone on with by nothing but their own log.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fcntl.h>

#include "replay/export.h"
#include "replay/node.h"
#include "tests/unit/replay/books.h"
#include "tests/unit/replay/tool.h"

#define SHARDS 3
#define ROUNDS 40
#define BLOCKS (ROUNDS + 2)

static struct books *books;
static struct books_log disk_log;
static char scratch[64];

static const char *const stems[] = {"epochs", "operations", "transfers", "movements"};

/* Within shards and between them, some refused on either side; messages stay on the way. */
static void write_rounds(uint32_t count)
{
	for (uint32_t round = 0; round < count; round++) {
		for (uint32_t from = 0; from < SHARDS; from++) {
			struct id128 debit = books_account(books, from, 1);
			struct id128 credit = books_account(books, (from + round) % SHARDS, 2);
			if (round % 7 == 3)
				credit.hi = 1; /* of whatever shard: there is no such account */
			books_pay(books, debit, credit, 1 + round, 1);
			books_pay(books, debit, books_account(books, from, 2), 2, 1);
			books_pay(books, books_account(books, from, 2), debit, 1, 1);
		}
		books_pay(books, books_account(books, 0, 2), books_account(books, 0, 1),
			  round == 9 ? UINT64_MAX : 1 << 20, 1);
		while (books->wire_count > 8)
			books_deliver(books);
		/* Transfers are then in different phases. */
		for (uint32_t i = 0; i < round % 6; i++)
			books_deliver(books);
		log_put(&disk_log, books, WAL_DATA);
	}
}

static void open_log(void)
{
	const struct shard_limits limits = books_limits(SHARDS);
	const struct log_meta meta = log_meta_from_limits(&limits);

	log_open(&disk_log, &meta, sizeof(meta));
}

static void start(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(scratch, sizeof(scratch), "%s/giro-export-XXXXXX", base != NULL ? base : "/tmp");
	cr_assert_not_null(mkdtemp(scratch));
	books = books_new(SHARDS);
	log_new(&disk_log);
	open_log();
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	log_put(&disk_log, books, WAL_DATA);
	write_rounds(ROUNDS);
	log_close(&disk_log);
}

static void stop(void)
{
	char command[96];

	books_free(books);
	log_remove(&disk_log);
	snprintf(command, sizeof(command), "rm -rf %s", scratch);
	cr_assert(system(command) == 0);
}

TestSuite(export, .init = start, .fini = stop);

/* A name in the scratch folder; good until some more were asked for. */
static const char *in_scratch(const char *name, const char *more)
{
	static char names[8][192];
	static int next;
	char *at = names[next++ % 8];

	snprintf(at, sizeof(names[0]), "%s/%s%s", scratch, name, more);
	return at;
}

static char *read_file(const char *name, size_t *size)
{
	FILE *file = fopen(name, "rb");
	cr_assert_not_null(file, "%s", name);
	cr_assert(fseek(file, 0, SEEK_END) == 0);
	*size = (size_t)ftell(file);
	char *bytes = calloc(1, *size + 1);
	rewind(file);
	cr_assert(fread(bytes, 1, *size, file) == *size);
	fclose(file);
	return bytes;
}

static bool same_files(const char *a, const char *b)
{
	size_t a_size;
	size_t b_size;
	char *a_bytes = read_file(a, &a_size);
	char *b_bytes = read_file(b, &b_size);
	bool same = a_size == b_size && memcmp(a_bytes, b_bytes, a_size) == 0;

	free(a_bytes);
	free(b_bytes);
	return same;
}

/* Two folders of exports are equal byte for byte. */
static void assert_same_folders(const char *a, const char *b, const char *suffix)
{
	char tail[64];

	for (size_t i = 0; i < 4; i++) {
		snprintf(tail, sizeof(tail), "/%s.%s", stems[i], suffix);
		cr_assert(same_files(in_scratch(a, tail), in_scratch(b, tail)), "%s", tail);
	}
	cr_assert(same_files(in_scratch(a, "/position"), in_scratch(b, "/position")));
}

/* What the sqlite3 shell answers. */
static const char *ask(const char *file, const char *query)
{
	static char answer[OUTPUT_MAX];
	char command[1024];

	snprintf(command, sizeof(command), "sqlite3 -batch -bail %s \"%s\"", file, query);
	FILE *shell = popen(command, "r");
	cr_assert_not_null(shell);
	size_t size = fread(answer, 1, sizeof(answer) - 1, shell);
	cr_assert(pclose(shell) == 0, "%s", query);
	while (size > 0 && answer[size - 1] == '\n')
		size--;
	answer[size] = '\0';
	return answer;
}

static int64_t ask_number(const char *file, const char *query)
{
	const char *answer = ask(file, query);
	char *end;
	int64_t number = strtoll(answer, &end, 10);

	cr_assert(*answer != '\0' && *end == '\0', "%s: '%s'", query, answer);
	return number;
}

/* Everything in a SQLite file, as a hash. */
static const char *dump_of(const char *file)
{
	static char sums[2][128];
	static int next;
	char command[256];
	char *sum = sums[next++ % 2];

	snprintf(command, sizeof(command), "sqlite3 -batch -bail %s .dump | md5sum", file);
	FILE *shell = popen(command, "r");
	cr_assert_not_null(shell);
	cr_assert_not_null(fgets(sum, sizeof(sums[0]), shell));
	cr_assert(pclose(shell) == 0);
	return sum;
}

static void export_as(const char *format, const char *path, const char *to)
{
	int status = to != NULL ? run("export", disk_log.path, format, path, "--to", to, NULL)
				: run("export", disk_log.path, format, path, NULL);

	cr_assert(status == NODE_SOUND, "%d: %s", status, err);
	cr_assert_str_eq(err, "");
}

static const char *number(uint64_t value)
{
	static char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return text;
}

Test(export, in_steps_as_in_one_go)
{
	static const uint64_t steps[] = {1, 1, 2, 3, 8, 9, 10, 25, 41};
	static const char *const formats[] = {"csv", "jsonl"};
	char option[16];

	for (size_t f = 0; f < 2; f++) {
		snprintf(option, sizeof(option), "--%s", formats[f]);
		export_as(option, in_scratch("whole-", formats[f]), NULL);
		for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
			export_as(option, in_scratch("steps-", formats[f]), number(steps[i]));
		export_as(option, in_scratch("steps-", formats[f]), NULL);
		char steps_name[32];
		char whole_name[32];
		snprintf(steps_name, sizeof(steps_name), "steps-%s", formats[f]);
		snprintf(whole_name, sizeof(whole_name), "whole-%s", formats[f]);
		assert_same_folders(steps_name, whole_name, formats[f]);
	}
	const char *whole = in_scratch("whole.db", "");
	const char *stepped = in_scratch("steps.db", "");
	export_as("--sqlite", whole, NULL);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		export_as("--sqlite", stepped, number(steps[i]));
	export_as("--sqlite", stepped, NULL);
	/* Indexes are made when an export first catches up: the same, and later in the schema. */
	cr_assert_str_eq(dump_of(whole), dump_of(stepped));
}

/* At every epoch, from a checkpoint and from the first byte. */
Test(export, goes_on_from_checkpoints_too)
{
	cr_assert(run("checkpoint", disk_log.path, "--every", "6", "--keep", "100", NULL) ==
		  NODE_SOUND);
	export_as("--csv", in_scratch("whole", ""), NULL);
	for (uint64_t epoch = 1; epoch <= BLOCKS; epoch++) {
		export_as("--csv", in_scratch("near", ""), number(epoch));
		cr_assert(run("export", disk_log.path, "--csv", in_scratch("far", ""), "--to",
			      number(epoch), "--checkpoints", "none", NULL) == NODE_SOUND,
			  "%s", err);
	}
	assert_same_folders("near", "whole", "csv");
	assert_same_folders("far", "whole", "csv");
}

/* Of the last block nothing says that it is durable: the next start of the engine may cut it. */
Test(export, only_what_is_known_to_be_durable)
{
	const char *file = in_scratch("file", "");

	export_as("--sqlite", file, NULL);
	cr_assert(prints("exported 41 blocks"), "%s", out);
	cr_assert(ask_number(file, "SELECT max(block) FROM epochs") == BLOCKS - 2);
	cr_assert(ask_number(file, "SELECT blocks FROM position") == BLOCKS - 1);
	export_as("--sqlite", file, NULL);
	cr_assert(prints("nothing new is known to be durable\n"), "%s", out);
	open_log();
	log_put(&disk_log, books, WAL_OPEN);
	log_close(&disk_log);
	export_as("--sqlite", file, NULL);
	cr_assert(prints("exported 1 blocks"), "%s", out);
	cr_assert(ask_number(file, "SELECT max(block) FROM epochs") == BLOCKS - 1);
}

static void append(const char *name, const char *text)
{
	FILE *file = fopen(name, "a");

	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

/* What a process leaves that was killed between two commits, or while it replaced the position. */
Test(export, rows_behind_the_position_are_cut_off)
{
	export_as("--jsonl", in_scratch("whole", ""), NULL);
	export_as("--jsonl", in_scratch("cut", ""), "20");
	append(in_scratch("cut", "/movements.jsonl"), "{\"number\":100,\"epo");
	append(in_scratch("cut", "/epochs.jsonl"), "{\"epoch\":21}\n{\"epoch\":22}\n");
	append(in_scratch("cut", "/position-unfinished"), "giro exp");
	export_as("--jsonl", in_scratch("cut", ""), NULL);
	assert_same_folders("cut", "whole", "jsonl");
	cr_assert(access(in_scratch("cut", "/position-unfinished"), F_OK) != 0);
}

/* Killed before the first commit. */
Test(export, one_that_had_not_begun)
{
	export_as("--csv", in_scratch("whole", ""), NULL);
	export_as("--csv", in_scratch("cut", ""), "0");
	append(in_scratch("cut", "/epochs.csv"), "epoch,ti");
	export_as("--csv", in_scratch("cut", ""), NULL);
	assert_same_folders("cut", "whole", "csv");
}

/* Books of other movements, under the same identity: as a log that an old copy of it was restored to,
 * and went on. */
static void write_other_log(struct books_log *other)
{
	struct books_log kept = disk_log;
	struct books *kept_books = books;

	books = books_new(SHARDS);
	log_new(&disk_log);
	open_log();
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	log_put(&disk_log, books, WAL_DATA);
	books_pay(books, books_account(books, 1, 1), books_account(books, 1, 2), 77, 1);
	log_put(&disk_log, books, WAL_DATA);
	write_rounds(10);
	log_close(&disk_log);
	books_free(books);
	*other = disk_log;
	disk_log = kept;
	books = kept_books;
}

Test(export, goes_on_only_with_its_own_log)
{
	struct books_log other;
	static const char *const formats[] = {"--sqlite", "--csv", "--jsonl"};

	write_other_log(&other);
	for (size_t f = 0; f < 3; f++) {
		const char *path = in_scratch("export", formats[f]);
		export_as(formats[f], path, "2");
		/* The same up to there. */
		cr_assert(run("export", other.path, formats[f], path, "--to", "2", NULL) ==
			      NODE_SOUND,
			  "%s", err);
		export_as(formats[f], path, "3");
		cr_assert(run("export", other.path, formats[f], path, NULL) == NODE_DIVERGED, "%s",
			  out);
		cr_assert(
		    complains("ends with block 2 (epoch 3, 2026-11-23T08:00:00.020Z, hash ") &&
			complains("not the log that was exported"),
		    "%s", err);
		export_as(formats[f], path, NULL);
		/* Shorter than what was exported. */
		cr_assert(run("export", other.path, formats[f], path, NULL) == NODE_DIVERGED);
		cr_assert(complains("ends with block 40 "), "%s", err);
		cr_assert(complains_in_full());
	}
	log_remove(&other);
}

static void replace_in(const char *name, const char *old, const char *new)
{
	size_t size;
	char *bytes = read_file(name, &size);
	char *at = strstr(bytes, old);

	cr_assert(at != NULL && strlen(old) == strlen(new), "%s in %s", old, name);
	memcpy(at, new, strlen(new));
	FILE *file = fopen(name, "wb");
	cr_assert(fwrite(bytes, 1, size, file) == size);
	fclose(file);
	free(bytes);
}

Test(export, another_identity_is_named)
{
	const char *file = in_scratch("file", "");

	export_as("--csv", in_scratch("folder", ""), "9");
	replace_in(in_scratch("folder", "/position"), "1122334455667788", "1122334455667789");
	cr_assert(run("export", disk_log.path, "--csv", in_scratch("folder", ""), NULL) ==
		  NODE_DIVERGED);
	cr_assert(complains("is an export of the log 1122334455667789, and this is the log "
			    "1122334455667788"),
		  "%s", err);
	export_as("--sqlite", file, "9");
	ask(file, "UPDATE position SET log_id = '1122334455667789'");
	cr_assert(run("export", disk_log.path, "--sqlite", file, NULL) == NODE_DIVERGED);
	cr_assert(complains("is an export of the log 1122334455667789"), "%s", err);
}

Test(export, what_is_no_export_is_left_alone)
{
	const char *file = in_scratch("file", "");
	const char *folder = in_scratch("folder", "");

	ask(file, "CREATE TABLE mine (a)");
	cr_assert(run("export", disk_log.path, "--sqlite", file, NULL) == NODE_UNREADABLE);
	cr_assert(complains("holds something else"), "%s", err);
	cr_assert_str_eq(ask(file, ".tables"), "mine");
	append(in_scratch("text", ""), "these are some words, and there is no table in them");
	cr_assert(run("export", disk_log.path, "--sqlite", in_scratch("text", ""), NULL) ==
		  NODE_UNREADABLE);
	cr_assert(complains("not a database"), "%s", err);
	cr_assert(mkdir(folder, 0700) == 0);
	append(in_scratch("folder", "/movements.csv"), "mine\n");
	cr_assert(run("export", disk_log.path, "--csv", folder, NULL) == NODE_UNREADABLE);
	cr_assert(complains("movements.csv: it is here, and no position"), "%s", err);
	export_as("--jsonl", folder, NULL);
	/* The position is of the other format. */
	cr_assert(run("export", disk_log.path, "--csv", folder, NULL) == NODE_UNREADABLE);
	cr_assert(complains("position: it is not the position of an export in this format"), "%s",
		  err);
}

Test(export, files_that_were_changed_are_refused)
{
	const char *folder = in_scratch("folder", "");
	char name[200];

	export_as("--csv", folder, "20");
	snprintf(name, sizeof(name), "%s/transfers.csv", folder);
	cr_assert(truncate(name, 60) == 0);
	cr_assert(run("export", disk_log.path, "--csv", folder, NULL) == NODE_UNREADABLE);
	cr_assert(complains("transfers.csv: it is shorter than it was"), "%s", err);
	replace_in(in_scratch("folder", "/position"), "giro export 1", "giro export 2");
	cr_assert(run("export", disk_log.path, "--csv", folder, NULL) == NODE_UNREADABLE);
	cr_assert(complains("it is not the position"), "%s", err);
}

Test(export, one_process_at_a_time)
{
	const char *folder = in_scratch("folder", "");

	export_as("--csv", folder, "20");
	int fd = open(folder, O_RDONLY | O_DIRECTORY);
	cr_assert(fd >= 0 && flock(fd, LOCK_EX) == 0);
	cr_assert(run("export", disk_log.path, "--csv", folder, NULL) == NODE_UNREADABLE);
	cr_assert(complains("another process goes on with this export"), "%s", err);
	close(fd);
	export_as("--csv", folder, NULL);
}

/* The shell's own sums. */
Test(export, sqlite_adds_up)
{
	const char *file = in_scratch("file", "");
	char query[160];
	int in_flight = 0;

	for (uint64_t epoch = 2; epoch < BLOCKS; epoch++) {
		export_as("--sqlite", file, number(epoch));
		cr_assert(ask_number(file, "SELECT balances + in_flight FROM ledgers") == 0);
		in_flight += ask_number(file, "SELECT in_flight FROM ledgers") > 0;
	}
	cr_assert(in_flight > 5, "%d", in_flight);
	cr_assert_str_eq(ask(file, "PRAGMA integrity_check"), "ok");
	cr_assert_str_eq(ask(file, "PRAGMA foreign_key_check"), "");
	cr_assert_str_eq(ask(file, "SELECT id FROM accounts a WHERE balance <> (SELECT "
				   "coalesce(sum(amount), 0) FROM movements WHERE account = a.id)"),
			 "");
	cr_assert_str_eq(ask(file, "SELECT id FROM accounts a WHERE balance <> coalesce((SELECT "
				   "balance FROM movements WHERE account = a.id ORDER BY number "
				   "DESC LIMIT 1), 0)"),
			 "");
	/* Every movement's balance is the one before it and its amount. */
	cr_assert_str_eq(ask(file, "SELECT * FROM (SELECT balance - amount AS was, lag(balance, 1, "
				   "0) OVER (PARTITION BY account ORDER BY number) AS is_ FROM "
				   "movements) WHERE was <> is_"),
			 "");
	cr_assert(ask_number(file, "SELECT max(number) = count(*) FROM movements") == 1);
	cr_assert(ask_number(file, "SELECT count(*) FROM transfers WHERE status = 'PENDING'") > 0);
	/* Refused by the other shard; and nothing is done of which nothing moved. */
	cr_assert(ask_number(file, "SELECT count(*) FROM transfers WHERE status = "
				   "'CREDIT_NOT_FOUND'") > 0);
	cr_assert_str_eq(ask(file, "SELECT id FROM transfers t WHERE (status = 'OK') <> (SELECT "
				   "count(*) = 2 FROM movements WHERE transfer = t.id) AND status "
				   "<> 'PENDING'"),
			 "");
	/* More than SQLite's integers hold, and not rounded. */
	cr_assert_str_eq(ask(file, "SELECT amount, status FROM transfers WHERE typeof(amount) <> "
				   "'integer'"),
			 "18446744073709551615|INSUFFICIENT_FUNDS");
	cr_assert(ask_number(file, "SELECT count(DISTINCT status) FROM transfers") >= 4);
	for (uint32_t shard = 0; shard < SHARDS; shard++) {
		struct id128 id = books_account(books, shard, 1);
		snprintf(query, sizeof(query), "SELECT balance FROM accounts WHERE id = %" PRIu64,
			 id.lo);
		int64_t balance = ask_number(file, query);
		cr_assert(run("balance", disk_log.path, number(id.lo), "--at", "41", "--json",
			      NULL) == NODE_SOUND);
		snprintf(query, sizeof(query), "\"balance\":%" PRId64 ",", balance);
		cr_assert(prints(query), "%s in %s", query, out);
	}
}

/* What is expected at the other shard is no more, and never was a movement. */
Test(export, cancelled_for_want_of_a_vote)
{
	const char *file = in_scratch("file", "");
	struct id128 credit = books_account(books, 1, 2);
	char query[160];

	open_log();
	books_settle(books);
	log_put(&disk_log, books, WAL_OPEN);
	books_pay(books, books_account(books, 0, 1), credit, 4, 1);
	books_deliver(books);
	log_put(&disk_log, books, WAL_DATA);
	log_put(&disk_log, books, WAL_DATA);
	export_as("--sqlite", file, NULL);
	snprintf(query, sizeof(query), "SELECT incoming FROM accounts WHERE id = %" PRIu64,
		 credit.lo);
	cr_assert(ask_number(file, query) == 4);
	cr_assert(ask_number(file, "SELECT sum(held) FROM accounts") == 4);
	books_turn(books, books->limits.try_timeout_ms + 1);
	books_time_out(books, 0);
	books_settle(books);
	log_put(&disk_log, books, WAL_DATA);
	log_put(&disk_log, books, WAL_DATA);
	log_close(&disk_log);
	export_as("--sqlite", file, NULL);
	cr_assert(ask_number(file, query) == 0);
	cr_assert(ask_number(file, "SELECT sum(held) FROM accounts") == 0);
	cr_assert(ask_number(file, "SELECT count(*) FROM transfers WHERE status = 'TRY_TIMEOUT' "
				   "AND amount = 4 AND time > received") == 1);
	cr_assert(ask_number(file, "SELECT count(*) FROM in_flight") == 0);
}

Test(export, command_line)
{
	cr_assert(run("export", disk_log.path, NULL) == NODE_USAGE);
	cr_assert(complains("one of --sqlite FILE, --csv FOLDER and --jsonl FOLDER"), "%s", err);
	cr_assert(run("export", disk_log.path, "--csv", "a", "--jsonl", "b", NULL) == NODE_USAGE);
	cr_assert(run("export", disk_log.path, "--csv", in_scratch("no", "/such"), NULL) ==
		  NODE_UNREADABLE);
	cr_assert(complains("No such file"), "%s", err);
	cr_assert(run("export", scratch, "--csv", in_scratch("a", ""), NULL) == NODE_NOT_FOUND);
	cr_assert(complains("the log is empty"), "%s", err);
	cr_assert(access(in_scratch("a", ""), F_OK) != 0);
}

/* A log that is damaged before its end is not taken for a short one. */
Test(export, corruption_is_told)
{
	const char *folder = in_scratch("folder", "");

	log_flip(&disk_log, 20 * WAL_PAGE + 100);
	cr_assert(run("export", disk_log.path, "--csv", folder, NULL) == NODE_CORRUPT, "%s", out);
	cr_assert(complains("offset"), "%s", err);
	log_flip(&disk_log, 20 * WAL_PAGE + 100);
	export_as("--csv", folder, NULL);
	export_as("--csv", in_scratch("whole", ""), NULL);
	assert_same_folders("folder", "whole", "csv");
}
