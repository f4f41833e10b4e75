/* SPDX-License-Identifier: Apache-2.0
 *
 * `giro import` as a process, against the stand-in engine: killed, run again, the engine restarted.
 * The stand-in counts distinct ids, so a line sent under two ids is seen.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/client/stand_in.h"

#define ACCOUNTS   300
#define OPENINGS   299
#define TRANSFERS  4000
#define ALL	   (ACCOUNTS + OPENINGS + TRANSFERS)
#define DEADLINE_S 60

static struct stand_in engine;
static char folder[] = "/tmp/giro-import-XXXXXX";
static char file[6][96]; /* accounts, transfers, journal, refused, output, errors */

static void setup(void)
{
	static const char *const names[] = {"a.csv",	   "t.csv", "t.csv.giro-journal",
					    "refused.csv", "out",   "err"};

	cr_assert(mkdtemp(folder) != NULL);
	for (unsigned i = 0; i < 6; i++)
		snprintf(file[i], sizeof(file[i]), "%s/%s", folder, names[i]);
	FILE *out = fopen(file[0], "w");
	fprintf(out, "id,ledger,floor,opening\n1,1,issuer,0\n");
	for (unsigned i = 2; i <= ACCOUNTS; i++)
		fprintf(out, "%u,1,0,%u\n", i, i * 100);
	fclose(out);
	out = fopen(file[1], "w");
	fprintf(out, "time_ms,code,debit,credit,amount\n");
	for (unsigned i = 0; i < TRANSFERS; i++)
		fprintf(out, "%u,4,%u,%u,1\n", i, 2 + i % (ACCOUNTS - 1),
			2 + (i + 7) % (ACCOUNTS - 1));
	fclose(out);
	engine.shards = 2;
	engine.log_id = 11;
	engine.map_version = 1;
	stand_in_start(&engine);
}

static void teardown(void)
{
	stand_in_end(&engine);
	for (unsigned i = 0; i < 6; i++)
		unlink(file[i]);
	rmdir(folder);
}

TestSuite(import, .init = setup, .fini = teardown);

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Starts an import; `option` may be NULL. */
static pid_t begin(const char *option)
{
	const pid_t pid = fork();

	if (pid == 0) {
		const int out = open(file[4], O_CREAT | O_WRONLY | O_TRUNC, 0600);
		const int err = open(file[5], O_CREAT | O_WRONLY | O_TRUNC, 0600);
		dup2(out, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
		execl(GIRO_COMMAND, "giro", "--server", stand_in_server(&engine), "import", file[0],
		      file[1], "--refused", file[3], "--patience", "50", option, NULL);
		_exit(99);
	}
	cr_assert(pid > 0);
	return pid;
}

/* Waits for its end; returns its exit code, or -1 when it was killed. */
static int end(pid_t pid)
{
	const double deadline = now_s() + DEADLINE_S;
	int status;

	for (;;) {
		const pid_t got = waitpid(pid, &status, WNOHANG);
		if (got == pid)
			break;
		if (now_s() > deadline) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			cr_assert(false, "the import has not ended in %d s", DEADLINE_S);
		}
		const struct timespec pause = {.tv_nsec = 1000000};
		nanosleep(&pause, NULL);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int run(const char *option)
{
	return end(begin(option));
}

/* Waits until the engine has executed so many records, or the import has ended. */
static void wait_executed(unsigned count)
{
	const double deadline = now_s() + DEADLINE_S;

	while (engine.executed < count && now_s() < deadline) {
		const struct timespec pause = {.tv_nsec = 200000};
		nanosleep(&pause, NULL);
	}
	cr_assert(engine.executed >= count);
}

static bool says(unsigned which, const char *text)
{
	static char content[1 << 20];
	FILE *in = fopen(file[which], "r");

	cr_assert(in != NULL);
	const size_t size = fread(content, 1, sizeof(content) - 1, in);
	content[size] = '\0';
	fclose(in);
	return strstr(content, text) != NULL;
}

static unsigned lines(unsigned which)
{
	FILE *in = fopen(file[which], "r");
	unsigned count = 0;

	cr_assert(in != NULL);
	for (int c; (c = fgetc(in)) != EOF;)
		count += c == '\n';
	fclose(in);
	return count;
}

Test(import, pays_each_line_once_and_a_second_run_nothing)
{
	cr_expect(run(NULL) == 0);
	cr_expect(engine.executed == ALL);
	cr_expect(says(4, "transfers  4000 of 4000, 4000 OK"));
	cr_expect(lines(3) == 1, "the heading alone");
	const unsigned requests = engine.requests;
	cr_expect(run(NULL) == 0);
	cr_expect(engine.requests == requests, "nothing was sent again");
	cr_expect(says(4, "transfers  4000 of 4000, 4000 OK"));
	cr_expect(says(5, "have their outcome already"));
}

static enum fate losses(struct stand_in *stand_in, unsigned n)
{
	static const enum fate fates[] = {ANSWER, ANSWER, TWICE, ANSWER,     ANSWER, LOSE_REPLY,
					  ANSWER, ANSWER, LATE,	 BUSY_WHOLE, ANSWER, LOSE_REQUEST};

	(void)stand_in;
	return fates[n % 12];
}

Test(import, killed_again_and_again_pays_each_line_once)
{
	engine.fate = losses;
	for (unsigned i = 1; i <= 8; i++) {
		const pid_t pid = begin(NULL);
		wait_executed(ALL * i / 10);
		kill(pid, SIGKILL);
		end(pid);
	}
	cr_expect(run(NULL) == 0);
	cr_expect(engine.executed == ALL, "%u instead of %u", (unsigned)engine.executed, ALL);
	cr_expect(engine.executed_again == 0);
	cr_expect(engine.malformed == 0);
}

Test(import, killed_with_a_cut_journal_pays_each_line_once)
{
	for (unsigned i = 1; i <= 4; i++) {
		const pid_t pid = begin(NULL);
		wait_executed(ALL * i / 6);
		kill(pid, SIGKILL);
		end(pid);
		const int fd = open(file[2], O_WRONLY | O_APPEND);
		cr_assert(write(fd, "garbled tail of a journal that was being written", 7 * i) > 0);
		close(fd);
	}
	cr_expect(run(NULL) == 0);
	cr_expect(engine.executed == ALL);
}

Test(import, lives_through_restarts_of_the_engine)
{
	const pid_t pid = begin(NULL);

	for (unsigned i = 1; i <= 3; i++) {
		wait_executed(ALL * i / 5);
		stand_in_stop(&engine);
		stand_in_start(&engine);
	}
	cr_expect(end(pid) == 0);
	cr_expect(engine.executed == ALL);
}

static unsigned refuse_some(struct stand_in *stand_in, uint64_t id_lo, unsigned times)
{
	(void)times;
	/* Creations come first; refuse none of them. */
	if (stand_in->executed < ACCOUNTS + OPENINGS)
		return 0;
	return id_lo % 7 == 0 ? 34 : 0;
}

Test(import, counts_refusals_and_writes_them_down)
{
	engine.judge = refuse_some;
	cr_expect(run(NULL) == 1);
	cr_expect(engine.executed == ALL);
	cr_expect(says(4, "INSUFFICIENT_FUNDS"));
	const unsigned refused = lines(3) - 1;
	cr_expect(refused > TRANSFERS / 10 && refused < TRANSFERS / 5, "%u", refused);
	cr_expect(says(3, ",INSUFFICIENT_FUNDS,\""));
	/* A second run knows them from the journal. */
	unlink(file[3]);
	cr_expect(run(NULL) == 1);
	cr_expect(lines(3) == refused + 1);
}

static unsigned expire_some(struct stand_in *stand_in, uint64_t id_lo, unsigned times)
{
	(void)times;
	return stand_in->executed >= ACCOUNTS + OPENINGS && id_lo % 50 == 0 ? 22 : 0;
}

Test(import, an_expired_id_is_reported_as_unknown)
{
	engine.judge = expire_some;
	cr_expect(run(NULL) == 4);
	cr_expect(says(4, "unknown: ID_EXPIRED"));
	cr_expect(says(3, ",ID_EXPIRED,\""));
	cr_expect(engine.executed == ALL, "none was sent under another id");
}

static unsigned accounts_expire(struct stand_in *stand_in, uint64_t id_lo, unsigned times)
{
	(void)times;
	if (stand_in->executed < ACCOUNTS)
		return id_lo % 10 == 0 ? 22 : 0;
	return 0;
}

/* An account cannot be created twice, so its creation is asked for again under a new id. */
Test(import, an_expired_creation_is_sent_anew)
{
	engine.judge = accounts_expire;
	cr_expect(run(NULL) == 0);
	cr_expect(says(4, "accounts   300 of 300, 300 OK"));
	cr_expect(engine.executed > ALL);
}

static unsigned all_exist(struct stand_in *stand_in, uint64_t id_lo, unsigned times)
{
	(void)times;
	(void)id_lo;
	return stand_in->executed < ACCOUNTS ? 50 : 0;
}

Test(import, existing_accounts_stop_it_before_money_moves)
{
	engine.judge = all_exist;
	cr_expect(run(NULL) == 1);
	cr_expect(engine.executed == ACCOUNTS);
	cr_expect(says(5, "--existing"));
	cr_expect(run(NULL) == 1, "also with its journal");
	cr_expect(engine.executed == ACCOUNTS);
	cr_expect(run("--existing") == 0);
	cr_expect(engine.executed == ALL);
}

/* The most records that one round trip holds is one. */
Test(import, in_order_sends_one_line_at_a_time)
{
	cr_expect(run("--in-order") == 0);
	cr_expect(engine.executed == ALL);
	cr_expect(engine.records_largest == 1);
}

Test(import, a_changed_file_or_another_log_is_refused)
{
	cr_expect(run(NULL) == 0);
	FILE *out = fopen(file[1], "a");
	fprintf(out, "1,4,2,3,1\n");
	fclose(out);
	cr_expect(run(NULL) == 2);
	cr_expect(says(5, "transfers file has changed"));
	cr_expect(engine.executed == ALL);
}

Test(import, another_log_is_refused)
{
	cr_expect(run(NULL) == 0);
	engine.log_id = 12;
	cr_expect(run(NULL) == 2);
	cr_expect(says(5, "log is another"));
	cr_expect(engine.executed == ALL);
}

Test(import, bad_input_sends_nothing)
{
	FILE *out = fopen(file[1], "a");
	fprintf(out, "1,4,2,2,1\n");
	fclose(out);
	cr_expect(run(NULL) == 2);
	cr_expect(says(5, "t.csv:4002: credit \"2\""));
	cr_expect(engine.requests == 0 && engine.infos == 0);
}
