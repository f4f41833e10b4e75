/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/import_journal.h"

static char folder[] = "/tmp/giro-journal-XXXXXX";
static char transfers[64];
static char path[96];
static struct journal journal;
static char message[JOURNAL_MESSAGE_BYTES];
static char trace[4096];

static const struct journal_subject subject = {
    .log_id = 5,
    .accounts = {1, 2},
    .transfers = {3, 4},
    .rows = {100, 100, 1000000},
};

static void setup(void)
{
	cr_assert(mkdtemp(folder) != NULL);
	snprintf(transfers, sizeof(transfers), "%s/t.csv", folder);
	snprintf(path, sizeof(path), "%s%s", transfers, JOURNAL_SUFFIX);
}

static void teardown(void)
{
	unlink(path);
	rmdir(folder);
}

TestSuite(journal, .init = setup, .fini = teardown);

static void note(void *context, const struct journal_record *record)
{
	const size_t length = strlen(trace);

	(void)context;
	snprintf(trace + length, sizeof(trace) - length, "%s %u %lu+%u %lu\n",
		 record->type == JOURNAL_BASE ? "base" : "done", record->list,
		 (unsigned long)record->first, record->count,
		 (unsigned long)(record->type == JOURNAL_BASE ? record->value : record->status));
}

static bool reopen(const struct journal_subject *about)
{
	trace[0] = '\0';
	message[0] = '\0';
	return journal_open(&journal, transfers, about, note, NULL, message);
}

/* A journal with two bases and three runs of outcomes: 8 records. */
static const char story[] = "base 2 0+1000 77\n"
			    "done 2 3+3 0\n"
			    "done 2 6+1 34\n"
			    "done 2 8+1 0\n"
			    "base 2 1000+50 78\n";

static void write_story(void)
{
	struct journal_outcome outcomes[] = {{8, 0}, {4, 0}, {6, 34}, {3, 0}, {5, 0}};

	cr_assert(reopen(&subject), "%s", message);
	cr_expect(!journal.resumed);
	cr_assert(journal_base(&journal, LIST_TRANSFERS, 0, 1000, 77));
	cr_assert(journal_done(&journal, LIST_TRANSFERS, outcomes, 5));
	cr_assert(journal_base(&journal, LIST_TRANSFERS, 1000, 50, 78));
	journal_close(&journal);
}

static off_t size_of_file(void)
{
	struct stat stat_of;

	cr_assert(stat(path, &stat_of) == 0);
	return stat_of.st_size;
}

static void damage(off_t offset)
{
	const int fd = open(path, O_RDWR);
	uint8_t byte;

	cr_assert(pread(fd, &byte, 1, offset) == 1);
	byte ^= 0x40;
	cr_assert(pwrite(fd, &byte, 1, offset) == 1);
	close(fd);
}

Test(journal, says_again_what_it_was_told)
{
	write_story();
	cr_assert(reopen(&subject), "%s", message);
	cr_expect(journal.resumed);
	cr_expect(journal.dropped_bytes == 0);
	cr_expect_str_eq(trace, story);
	/* And goes on behind it. */
	struct journal_outcome outcome = {.row = 1001, .status = 22};
	cr_assert(journal_done(&journal, LIST_TRANSFERS, &outcome, 1));
	journal_close(&journal);
	cr_assert(reopen(&subject));
	cr_expect(strncmp(trace, story, strlen(story)) == 0);
	cr_expect_str_eq(trace + strlen(story), "done 2 1001+1 22\n");
	journal_close(&journal);
}

Test(journal, is_cut_anywhere_and_still_read)
{
	write_story();
	const off_t whole = size_of_file();
	cr_assert(whole == 8 * 32);
	for (off_t size = whole; size >= 0; size--) {
		cr_assert(truncate(path, size) == 0);
		cr_assert(reopen(&subject), "%ld bytes: %s", (long)size, message);
		cr_expect(strncmp(trace, story, strlen(trace)) == 0);
		/* Head records alone, or less, are a beginning. */
		cr_expect(journal.resumed == (size >= 3 * 32));
		if (journal.resumed) {
			cr_expect(journal.dropped_bytes == (uint64_t)size % 32);
			cr_expect(size_of_file() == size / 32 * 32);
		}
		journal_close(&journal);
	}
}

Test(journal, a_garbled_tail_is_dropped)
{
	write_story();
	/* The last record, a base: whatever it allowed was not sent, for it was not durable. */
	damage(7 * 32 + 20);
	cr_assert(reopen(&subject), "%s", message);
	cr_expect(journal.dropped_bytes == 32);
	cr_expect(size_of_file() == 7 * 32);
	cr_expect(strncmp(trace, story, strlen(trace)) == 0);
	cr_expect(strlen(trace) == strlen(story) - strlen("base 2 1000+50 78\n"));
	journal_close(&journal);
}

Test(journal, damage_before_a_base_is_refused)
{
	for (off_t record = 3; record < 7; record++) {
		unlink(path);
		write_story();
		damage(record * 32 + 9);
		cr_expect(!reopen(&subject), "record %ld", (long)record);
		cr_expect(strstr(message, "damaged at byte") != NULL, "\"%s\"", message);
		cr_expect(size_of_file() == 8 * 32, "it is left as it was");
	}
}

Test(journal, a_damaged_head_is_refused)
{
	for (off_t record = 0; record < 3; record++) {
		unlink(path);
		write_story();
		damage(record * 32 + 17);
		cr_expect(!reopen(&subject));
		cr_expect(strstr(message, "not a journal") != NULL, "\"%s\"", message);
	}
}

Test(journal, another_subject_is_refused)
{
	struct journal_subject other;

	write_story();
	other = subject;
	other.log_id = 6;
	cr_expect(!reopen(&other));
	cr_expect(strstr(message, "log is another") != NULL, "\"%s\"", message);
	other = subject;
	other.accounts.hi++;
	cr_expect(!reopen(&other));
	cr_expect(strstr(message, "accounts file has changed") != NULL, "\"%s\"", message);
	other = subject;
	other.transfers.lo++;
	cr_expect(!reopen(&other));
	cr_expect(strstr(message, "transfers file has changed") != NULL, "\"%s\"", message);
	cr_expect(reopen(&subject));
	journal_close(&journal);
}

Test(journal, rows_that_the_files_do_not_have_are_refused)
{
	struct journal_subject shorter = subject;

	write_story();
	shorter.rows[LIST_TRANSFERS] = 1049;
	cr_expect(!reopen(&shorter));
	cr_expect(strstr(message, "makes no sense") != NULL, "\"%s\"", message);
}

Test(journal, two_imports_of_one_file_exclude_each_other)
{
	struct journal second;

	cr_assert(reopen(&subject));
	cr_expect(!journal_open(&second, transfers, &subject, note, NULL, message));
	cr_expect(strstr(message, "another import") != NULL, "\"%s\"", message);
	journal_close(&journal);
}

Test(journal, more_outcomes_than_a_batch_holds)
{
	static struct journal_outcome outcomes[4096];
	char last[32] = "";

	for (unsigned i = 0; i < 4096; i++)
		outcomes[i] = (struct journal_outcome){.row = 2 * (4095 - i), .status = 0};
	cr_assert(reopen(&subject));
	cr_assert(journal_done(&journal, LIST_TRANSFERS, outcomes, 4096));
	cr_expect(journal.records == 3 + 4096);
	journal_close(&journal);
	cr_expect(size_of_file() == (3 + 4096) * 32);
	cr_assert(reopen(&subject));
	snprintf(last, sizeof(last), "done 2 0+1 0\ndone 2 2+1 0\n");
	cr_expect(strncmp(trace, last, strlen(last)) == 0);
	journal_close(&journal);
}
