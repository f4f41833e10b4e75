/* SPDX-License-Identifier: Apache-2.0 */
#include "client/import_csv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COLUMNS_MAX 5
/* The longest field that is shown in full. */
#define SHOWN_MAX 60

struct field {
	const char *text;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static bool fail(char *message, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, CSV_MESSAGE_BYTES, format, arguments);
	va_end(arguments);
	return false;
}

static uint64_t count_rows(const struct csv_file *file)
{
	uint64_t lines = 0;
	const char *at = file->bytes;
	const char *end = file->bytes + file->size;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		lines++;
		at = newline ? newline + 1 : end;
	}
	return lines > 0 ? lines - 1 : 0;
}

static bool map_file(struct csv_file *file, char *message)
{
	struct stat stat;
	const int fd = open(file->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail(message, "%s: %s", file->path, strerror(errno));
	if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
		close(fd);
		return fail(message, "%s: not a regular file", file->path);
	}
	file->size = (size_t)stat.st_size;
	if (file->size == 0) {
		close(fd);
		return fail(message, "%s: the file is empty", file->path);
	}
	void *bytes = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
	const int why = errno;
	close(fd);
	if (bytes == MAP_FAILED)
		return fail(message, "%s: cannot map it: %s", file->path, strerror(why));
	file->bytes = bytes;
	return true;
}

bool csv_open(struct csv_file *file, const char *path, const char *heading,
	      char message[CSV_MESSAGE_BYTES])
{
	const char *text = NULL;
	size_t size = 0;

	*file = (struct csv_file){.path = path};
	if (!map_file(file, message))
		return false;
	struct csv_cursor cursor = {.file = file};
	csv_line(&cursor, &text, &size);
	if (size != strlen(heading) || memcmp(text, heading, size) != 0) {
		fail(message, "%s:1: the first line must be \"%s\"", path, heading);
		csv_close(file);
		return false;
	}
	const XXH128_hash_t digest = XXH3_128bits(file->bytes, file->size);
	file->digest = (struct id128){.lo = digest.low64, .hi = digest.high64};
	file->rows = count_rows(file);
	return true;
}

void csv_close(struct csv_file *file)
{
	if (file->bytes != NULL)
		munmap((void *)(uintptr_t)file->bytes, file->size);
	file->bytes = NULL;
}

bool csv_line(struct csv_cursor *cursor, const char **text, size_t *size)
{
	const struct csv_file *file = cursor->file;
	const size_t left = file->size - cursor->offset;

	if (left == 0)
		return false;
	*text = file->bytes + cursor->offset;
	const char *newline = memchr(*text, '\n', left);
	*size = newline ? (size_t)(newline - *text) : left;
	cursor->offset += newline ? *size + 1 : *size;
	cursor->row++;
	if (*size > 0 && (*text)[*size - 1] == '\r')
		--*size;
	return true;
}

struct csv_cursor csv_begin(const struct csv_file *file)
{
	struct csv_cursor cursor = {.file = file};
	const char *text;
	size_t size;

	csv_line(&cursor, &text, &size);
	cursor.row = 0;
	return cursor;
}

/* A row being read; the first thing wrong with it ends up in `message`. */
struct row {
	const char *path;
	uint64_t line;
	struct field field[COLUMNS_MAX];
	char *message;
};

static bool bad(const struct row *row, unsigned column, const char *name, const char *expected)
{
	const struct field *field = &row->field[column];
	const int shown = (int)(field->size < SHOWN_MAX ? field->size : SHOWN_MAX);

	return fail(row->message, "%s:%" PRIu64 ": %s \"%.*s%s\": expected %s", row->path,
		    row->line, name, shown, field->text, field->size > SHOWN_MAX ? "..." : "",
		    expected);
}

static enum csv_read read_row(struct csv_cursor *cursor, struct row *row, unsigned columns)
{
	const char *text;
	size_t size;

	if (!csv_line(cursor, &text, &size))
		return CSV_END;
	row->path = cursor->file->path;
	row->line = cursor->row + 1;
	unsigned column = 0;
	const char *end = text + size;
	for (;;) {
		const char *comma = memchr(text, ',', (size_t)(end - text));
		if (column < columns)
			row->field[column] = (struct field){
			    .text = text,
			    .size = (size_t)((comma ? comma : end) - text),
			};
		column++;
		if (comma == NULL)
			break;
		text = comma + 1;
	}
	if (column != columns) {
		fail(row->message, "%s:%" PRIu64 ": %u fields instead of %u", row->path, row->line,
		     column, columns);
		return CSV_BAD;
	}
	return CSV_ROW;
}

static bool number(const struct row *row, unsigned column, const char *name, uint64_t low,
		   uint64_t high, uint64_t *value)
{
	const struct field *field = &row->field[column];
	char expected[64];

	*value = 0;
	bool good = field->size > 0;
	for (size_t i = 0; i < field->size && good; i++) {
		const unsigned digit = (unsigned)(unsigned char)field->text[i] - '0';
		good = digit <= 9 && !__builtin_mul_overflow(*value, 10u, value) &&
		       !__builtin_add_overflow(*value, digit, value);
	}
	if (good && *value >= low && *value <= high)
		return true;
	snprintf(expected, sizeof(expected), "a number from %" PRIu64 " to %" PRIu64, low, high);
	return bad(row, column, name, expected);
}

static bool id(const struct row *row, unsigned column, const char *name, struct giro_id *value)
{
	const struct field *field = &row->field[column];
	char text[GIRO_ID_TEXT_BYTES];

	if (field->size < sizeof(text) && memchr(field->text, '\0', field->size) == NULL) {
		memcpy(text, field->text, field->size);
		text[field->size] = '\0';
		if (giro_id_parse(text, value) == 0 && (value->lo | value->hi) != 0)
			return true;
	}
	return bad(row, column, name, "a decimal number from 1 to 2^128-1 or a UUID");
}

static bool floor_of(const struct row *row, unsigned column, int64_t *value)
{
	const struct field *field = &row->field[column];
	struct row digits = *row;
	char ignored[CSV_MESSAGE_BYTES];
	uint64_t magnitude;

	if (field->size == 6 && memcmp(field->text, "issuer", 6) == 0) {
		*value = GIRO_FLOOR_ISSUER;
		return true;
	}
	digits.message = ignored;
	const bool negative = field->size > 0 && field->text[0] == '-';
	if (negative) {
		digits.field[column].text++;
		digits.field[column].size--;
	}
	if (!number(&digits, column, "floor", 0, negative ? INT64_MAX : 0, &magnitude))
		return bad(row, column, "floor",
			   "a number from -9223372036854775807 to 0, or issuer");
	*value = -(int64_t)magnitude;
	return true;
}

enum csv_read csv_next_account(struct csv_cursor *cursor, struct csv_account *account,
			       char message[CSV_MESSAGE_BYTES])
{
	struct row row = {.message = message};
	uint64_t ledger;
	const enum csv_read got = read_row(cursor, &row, 4);

	if (got != CSV_ROW)
		return got;
	if (!id(&row, 0, "id", &account->id) ||
	    !number(&row, 1, "ledger", 1, UINT32_MAX, &ledger) ||
	    !floor_of(&row, 2, &account->floor) ||
	    !number(&row, 3, "opening", 0, INT64_MAX, &account->opening))
		return CSV_BAD;
	account->ledger = (uint32_t)ledger;
	return CSV_ROW;
}

enum csv_read csv_next_transfer(struct csv_cursor *cursor, struct csv_transfer *transfer,
				char message[CSV_MESSAGE_BYTES])
{
	struct row row = {.message = message};
	uint64_t code;
	const enum csv_read got = read_row(cursor, &row, 5);

	if (got != CSV_ROW)
		return got;
	if (!number(&row, 0, "time_ms", 0, UINT64_MAX, &transfer->time_ms) ||
	    !number(&row, 1, "code", 0, UINT16_MAX, &code) ||
	    !id(&row, 2, "debit", &transfer->debit) || !id(&row, 3, "credit", &transfer->credit) ||
	    !number(&row, 4, "amount", 1, UINT64_MAX, &transfer->amount))
		return CSV_BAD;
	transfer->code = (uint16_t)code;
	if (transfer->debit.lo == transfer->credit.lo &&
	    transfer->debit.hi == transfer->credit.hi) {
		bad(&row, 3, "credit", "another account than debit");
		return CSV_BAD;
	}
	return CSV_ROW;
}
