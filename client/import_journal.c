/* SPDX-License-Identifier: Apache-2.0 */
#include "client/import_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC	      0x314c4e524a524947ull /* "GIRJRNL1" in memory */
#define HEAD_RECORDS  3
#define BATCH_RECORDS 512

__attribute__((format(printf, 2, 3))) static bool fail(char *message, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, JOURNAL_MESSAGE_BYTES, format, arguments);
	va_end(arguments);
	return false;
}

static uint64_t check_of(const struct journal_record *record, uint64_t number)
{
	const size_t covered = offsetof(struct journal_record, type);

	return XXH3_64bits_withSeed(&record->type, sizeof(*record) - covered, number);
}

/* Writes records behind the others; all of them or, after an error, a tail that counts for none. */
static bool append(struct journal *journal, struct journal_record *records, size_t count)
{
	const size_t size = count * sizeof(*records);
	size_t done = 0;

	for (size_t i = 0; i < count; i++)
		records[i].check = check_of(&records[i], journal->records + i);
	while (done < size) {
		const ssize_t wrote =
		    pwrite(journal->fd, (const uint8_t *)records + done, size - done,
			   (off_t)(journal->records * sizeof(*records) + done));
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return false;
		done += (size_t)wrote;
	}
	journal->records += count;
	return true;
}

bool journal_sync(struct journal *journal)
{
	return fdatasync(journal->fd) == 0;
}

bool journal_base(struct journal *journal, enum import_list list, uint64_t first, uint32_t count,
		  uint64_t base_ms)
{
	struct journal_record record = {
	    .type = JOURNAL_BASE,
	    .list = (uint8_t)list,
	    .count = count,
	    .first = first,
	    .value = base_ms,
	};

	return append(journal, &record, 1) && journal_sync(journal);
}

static int by_row(const void *a, const void *b)
{
	const uint64_t x = ((const struct journal_outcome *)a)->row;
	const uint64_t y = ((const struct journal_outcome *)b)->row;

	return x < y ? -1 : x > y;
}

bool journal_done(struct journal *journal, enum import_list list, struct journal_outcome *outcomes,
		  size_t count)
{
	struct journal_record batch[BATCH_RECORDS];
	size_t filled = 0;

	qsort(outcomes, count, sizeof(*outcomes), by_row);
	for (size_t i = 0; i < count; i++) {
		struct journal_record *last = filled > 0 ? &batch[filled - 1] : NULL;
		if (last && last->status == outcomes[i].status &&
		    last->first + last->count == outcomes[i].row && last->count < UINT32_MAX) {
			last->count++;
			continue;
		}
		if (filled == BATCH_RECORDS) {
			if (!append(journal, batch, filled))
				return false;
			filled = 0;
		}
		batch[filled++] = (struct journal_record){
		    .type = JOURNAL_DONE,
		    .list = (uint8_t)list,
		    .status = outcomes[i].status,
		    .count = 1,
		    .first = outcomes[i].row,
		};
	}
	return append(journal, batch, filled);
}

static bool read_record(const struct journal *journal, uint64_t number,
			struct journal_record *record)
{
	return pread(journal->fd, record, sizeof(*record), (off_t)(number * sizeof(*record))) ==
		   (ssize_t)sizeof(*record) &&
	       record->check == check_of(record, number);
}

static void head(const struct journal_subject *subject, struct journal_record records[HEAD_RECORDS])
{
	records[0] = (struct journal_record){
	    .type = JOURNAL_OPEN,
	    .first = MAGIC,
	    .value = subject->log_id,
	};
	records[1] = (struct journal_record){
	    .type = JOURNAL_FILE,
	    .list = LIST_ACCOUNTS,
	    .first = subject->accounts.lo,
	    .value = subject->accounts.hi,
	};
	records[2] = (struct journal_record){
	    .type = JOURNAL_FILE,
	    .list = LIST_TRANSFERS,
	    .first = subject->transfers.lo,
	    .value = subject->transfers.hi,
	};
}

/* True when the journal is about the same input and log. */
static bool check_head(const struct journal *journal, const struct journal_subject *subject,
		       char *message)
{
	static const char *const changed[HEAD_RECORDS] = {
	    "the engine's log is another one than when this journal was written",
	    "the accounts file has changed since this journal was written",
	    "the transfers file has changed since this journal was written",
	};
	struct journal_record want[HEAD_RECORDS];
	struct journal_record got;

	head(subject, want);
	for (uint64_t i = 0; i < HEAD_RECORDS; i++) {
		if (!read_record(journal, i, &got) || got.type != want[i].type ||
		    (i == 0 && got.first != MAGIC))
			return fail(message,
				    "%s: not a journal of this version of giro, or damaged at byte "
				    "%zu; without it, it is not known which lines were paid",
				    journal->path, (size_t)i * sizeof(got));
		if (got.first != want[i].first || got.value != want[i].value)
			return fail(
			    message,
			    "%s: %s. To import everything as new payments, move the journal "
			    "away; to go on, restore what was there",
			    journal->path, changed[i]);
	}
	return true;
}

static bool in_range(const struct journal_record *record, const struct journal_subject *subject)
{
	return record->list < LISTS && record->count > 0 &&
	       record->first < subject->rows[record->list] &&
	       record->count <= subject->rows[record->list] - record->first;
}

/* Replays the good part and drops the tail behind it. */
static bool resume(struct journal *journal, const struct journal_subject *subject, uint64_t size,
		   journal_replay *replay, void *context, char *message)
{
	struct journal_record record;
	uint64_t number = HEAD_RECORDS;

	if (!check_head(journal, subject, message))
		return false;
	for (; read_record(journal, number, &record); number++) {
		if ((record.type != JOURNAL_BASE && record.type != JOURNAL_DONE) ||
		    !in_range(&record, subject))
			return fail(message,
				    "%s: record %" PRIu64 " makes no sense; the journal was "
				    "written by another version of giro, or damaged",
				    journal->path, number);
		replay(context, &record);
	}
	journal->records = number;
	journal->dropped_bytes = size - number * sizeof(record);
	for (uint64_t i = number; i * sizeof(record) < size; i++) {
		if (read_record(journal, i, &record) && record.type == JOURNAL_BASE)
			return fail(message,
				    "%s: damaged at byte %" PRIu64 ", before the end; it cannot be "
				    "known which lines were paid. Restore it from a copy",
				    journal->path, number * (uint64_t)sizeof(record));
	}
	if (journal->dropped_bytes > 0 &&
	    ftruncate(journal->fd, (off_t)(number * sizeof(record))) != 0)
		return fail(message, "%s: cannot cut its garbled tail: %s", journal->path,
			    strerror(errno));
	return true;
}

/* Makes the file's name durable too. */
static bool sync_folder(const struct journal *journal)
{
	char folder[sizeof(journal->path)];

	memcpy(folder, journal->path, sizeof(folder));
	const int fd = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	const bool good = fsync(fd) == 0;
	close(fd);
	return good;
}

static bool begin(struct journal *journal, const struct journal_subject *subject, char *message)
{
	struct journal_record records[HEAD_RECORDS];

	head(subject, records);
	if (ftruncate(journal->fd, 0) != 0 || !append(journal, records, HEAD_RECORDS) ||
	    fsync(journal->fd) != 0 || !sync_folder(journal))
		return fail(message, "%s: cannot write: %s", journal->path, strerror(errno));
	return true;
}

bool journal_open(struct journal *journal, const char *transfers_path,
		  const struct journal_subject *subject, journal_replay *replay, void *context,
		  char message[JOURNAL_MESSAGE_BYTES])
{
	struct stat stat;

	*journal = (struct journal){.fd = -1};
	const int length =
	    snprintf(journal->path, sizeof(journal->path), "%s%s", transfers_path, JOURNAL_SUFFIX);
	if (length < 0 || (size_t)length >= sizeof(journal->path))
		return fail(message, "%s: the path is too long", transfers_path);
	journal->fd = open(journal->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (journal->fd < 0)
		return fail(message,
			    "%s: %s; an import keeps its journal beside the transfers, so that "
			    "folder must be writable",
			    journal->path, strerror(errno));
	bool good;
	if (flock(journal->fd, LOCK_EX | LOCK_NB) != 0)
		good = fail(message, "%s: another import of this file is running", journal->path);
	else if (fstat(journal->fd, &stat) != 0)
		good = fail(message, "%s: %s", journal->path, strerror(errno));
	else if ((size_t)stat.st_size < HEAD_RECORDS * sizeof(struct journal_record))
		/* Killed while it began: nothing was sent. */
		good = begin(journal, subject, message);
	else
		good = journal->resumed =
		    resume(journal, subject, (uint64_t)stat.st_size, replay, context, message);
	if (!good)
		journal_close(journal);
	return good;
}

void journal_close(struct journal *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	journal->fd = -1;
}
