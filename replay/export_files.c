/* SPDX-License-Identifier: Apache-2.0
 *
 * The export as a folder of CSV files, or of files with a JSON object a line. Rows are only ever put
 * behind those that are there; `position` says how long each file was when they all ended with the same
 * block:
 *
 *   flush the files -> position-unfinished, flushed -> renamed to position -> flush the folder
 *
 * What a crash left behind those lengths is cut off by the next run.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replay/command.h"
#include "replay/export.h"
#include "replay/json.h"

#define BUFFER_BYTES   (1u << 20)
#define POSITION_BYTES 1024

enum file { EPOCHS, OPERATIONS, TRANSFERS, MOVEMENTS, FILES };

static const struct {
	const char *name;
	const char *columns;
} files[FILES] = {
    [EPOCHS] = {"epochs", "epoch,time,block,type,incarnation,hash"},
    [OPERATIONS] = {"operations", "epoch,time,operation,account,action,ledger,floor,status"},
    [TRANSFERS] = {"transfers",
		   "epoch,time,transfer,debit,credit,amount,ledger,code,status,received"},
    [MOVEMENTS] = {"movements",
		   "number,epoch,time,account,amount,balance,counterparty,transfer,code,ledger"},
};

static const char position_name[] = "position";
static const char unfinished_name[] = "position-unfinished";

struct files_sink {
	struct export_sink sink;
	const char *path;
	enum export_format format;
	int folder;	       /* locked: one process at a time */
	uint64_t bytes[FILES]; /* committed */
	FILE *out[FILES];
	char time[32]; /* of the block at hand */
};

static struct files_sink *self_of(struct export_sink *sink)
{
	return (struct files_sink *)sink;
}

static bool refuse(struct files_sink *self, const char *name, const char *what)
{
	snprintf(self->sink.text, sizeof(self->sink.text), "%s/%s: %s", self->path, name, what);
	return false;
}

static const char *suffix_of(const struct files_sink *self)
{
	return self->format == EXPORT_CSV ? "csv" : "jsonl";
}

static void name_of(const struct files_sink *self, int file, char name[32])
{
	snprintf(name, 32, "%s.%s", files[file].name, suffix_of(self));
}

/* A row is written value by value, named as in the heading of the CSV file. */
struct row {
	FILE *out;
	bool csv;
	bool more; /* a value stands before */
	struct json json;
};

static struct row row_begin(const struct files_sink *self, enum file file)
{
	struct row row = {.out = self->out[file], .csv = self->format == EXPORT_CSV};

	row.json = json_begin(row.out);
	if (!row.csv)
		json_object(&row.json, NULL);
	return row;
}

static void row_put(struct row *row, const char *text)
{
	if (row->more)
		putc_unlocked(',', row->out);
	row->more = true;
	fputs_unlocked(text, row->out);
}

static void row_text(struct row *row, const char *key, const char *text)
{
	if (row->csv)
		row_put(row, text);
	else
		json_text(&row->json, key, text);
}

static void row_number(struct row *row, const char *key, const char *digits)
{
	if (row->csv)
		row_put(row, digits);
	else
		json_number(&row->json, key, digits);
}

static void row_id(struct row *row, const char *key, struct id128 id)
{
	char text[48];

	row_text(row, key, command_id_text(id, text));
}

static void row_u64(struct row *row, const char *key, uint64_t value)
{
	char text[48];

	row_number(row, key, command_id_text((struct id128){.lo = value}, text));
}

/* What an account gained, or lost: perhaps more than an int64_t holds. */
static void row_amount(struct row *row, const char *key, uint64_t amount, bool negative)
{
	char text[48];

	text[0] = '-';
	command_id_text((struct id128){.lo = amount}, text + negative);
	row_number(row, key, text);
}

static void row_i64(struct row *row, const char *key, int64_t value)
{
	uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	row_amount(row, key, size, value < 0);
}

static bool row_end(struct row *row)
{
	if (row->csv)
		putc_unlocked('\n', row->out);
	else
		json_close(&row->json);
	return true; /* whether it was written is asked at the commit */
}

static bool put_epoch(struct export_sink *sink, const struct wal_block_header *block)
{
	struct files_sink *self = self_of(sink);
	struct row row = row_begin(self, EPOCHS);
	char hash[33];

	command_time_text(block->time_ms, self->time);
	row_u64(&row, "epoch", block->epoch);
	row_text(&row, "time", self->time);
	row_u64(&row, "block", block->seq);
	row_text(&row, "type", command_block_type(block->type));
	row_u64(&row, "incarnation", block->incarnation);
	row_text(&row, "hash", export_hash_text(wal_header_hash(block), hash));
	return row_end(&row);
}

static bool put_operation(struct export_sink *sink, const struct wal_block_header *block,
			  const struct journal_operation *done)
{
	struct files_sink *self = self_of(sink);
	const struct account_operation *operation = &done->operation;
	struct row row = row_begin(self, OPERATIONS);

	row_u64(&row, "epoch", block->epoch);
	row_text(&row, "time", self->time);
	row_id(&row, "operation", operation->id);
	row_id(&row, "account", operation->account);
	row_text(&row, "action", export_action_text(operation->action));
	row_u64(&row, "ledger", operation->ledger);
	row_i64(&row, "floor", operation->floor);
	row_text(&row, "status", status_name(done->status));
	return row_end(&row);
}

/* Files only grow: a transfer is a row when its outcome is final. */
static bool put_decision(struct export_sink *sink, const struct wal_block_header *block,
			 const struct decision *decision)
{
	struct files_sink *self = self_of(sink);
	const struct transfer *transfer = &decision->transfer;
	char received[32];

	if (decision->status == STATUS_PENDING)
		return true;
	struct row row = row_begin(self, TRANSFERS);
	row_u64(&row, "epoch", block->epoch);
	row_text(&row, "time", self->time);
	row_id(&row, "transfer", transfer->id);
	row_id(&row, "debit", transfer->debit);
	row_id(&row, "credit", transfer->credit);
	row_u64(&row, "amount", transfer->amount);
	row_u64(&row, "ledger", transfer->ledger);
	row_u64(&row, "code", transfer->code);
	row_text(&row, "status", status_name(decision->status));
	row_text(&row, "received", command_time_text(decision->received_ms, received));
	return row_end(&row);
}

static bool put_movement(struct export_sink *sink, uint64_t number, const struct movement *movement)
{
	struct files_sink *self = self_of(sink);
	struct row row = row_begin(self, MOVEMENTS);

	row_u64(&row, "number", number);
	row_u64(&row, "epoch", movement->epoch);
	row_text(&row, "time", self->time);
	row_id(&row, "account", movement->account);
	row_amount(&row, "amount", movement->amount, movement->debit);
	row_i64(&row, "balance", movement->balance);
	row_id(&row, "counterparty", movement->counterparty);
	row_id(&row, "transfer", movement->transfer);
	row_u64(&row, "code", movement->code);
	row_u64(&row, "ledger", movement->ledger);
	return row_end(&row);
}

/* The position as text, for people too. */
static void render(const struct files_sink *self, const struct export_position *position,
		   const uint64_t bytes[FILES], char text[POSITION_BYTES])
{
	char time[32];
	char hash[33];
	char name[32];
	int used = snprintf(text, POSITION_BYTES,
			    "giro export %d\nlog_id %016" PRIx64 "\nblocks %" PRIu64
			    "\nepoch %" PRIu64 "\ntime %s\nhash %s\nmovements %" PRIu64 "\n",
			    EXPORT_VERSION, position->log_id, position->blocks, position->epoch,
			    command_time_text(position->time_ms, time),
			    export_hash_text(position->hash, hash), position->movements);

	for (int i = 0; i < FILES; i++) {
		name_of(self, i, name);
		used += snprintf(text + used, POSITION_BYTES - (size_t)used, "%s %" PRIu64 "\n",
				 name, bytes[i]);
	}
}

/* What render() wrote, and nothing else. */
static bool parse(const struct files_sink *self, const char *text, struct export_position *position,
		  uint64_t bytes[FILES])
{
	static const char head[] =
	    "giro export %d log_id %" SCNx64 " blocks %" SCNu64 " epoch %" SCNu64
	    " time %31s hash %16" SCNx64 "%16" SCNx64 " movements %" SCNu64 " %n";
	char again[POSITION_BYTES];
	char time[32];
	int version;
	int used = 0;

	if (sscanf(text, head, &version, &position->log_id, &position->blocks, &position->epoch,
		   time, &position->hash.hi, &position->hash.lo, &position->movements,
		   &used) != 8 ||
	    !moment_parse_time(time, &position->time_ms))
		return false;
	for (int i = 0; i < FILES; i++) {
		int more = 0;
		if (sscanf(text + used, "%*s %" SCNu64 " %n", &bytes[i], &more) != 1)
			return false;
		used += more;
	}
	render(self, position, bytes, again);
	return strcmp(text, again) == 0;
}

/* Replaces the position; the folder's other files are flushed already. */
static bool write_position(struct files_sink *self, const struct export_position *position,
			   const uint64_t bytes[FILES])
{
	char text[POSITION_BYTES];

	render(self, position, bytes, text);
	int fd =
	    openat(self->folder, unfinished_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return refuse(self, unfinished_name, strerror(errno));
	ssize_t wrote = write(fd, text, strlen(text));
	int error = wrote < 0			     ? errno
		    : wrote != (ssize_t)strlen(text) ? ENOSPC
		    : fsync(fd) != 0		     ? errno
						     : 0;
	close(fd);
	if (error != 0)
		return refuse(self, unfinished_name, strerror(error));
	if (renameat(self->folder, unfinished_name, self->folder, position_name) != 0 ||
	    fsync(self->folder) != 0)
		return refuse(self, position_name, strerror(errno));
	return true;
}

static bool commit(struct export_sink *sink, const struct node *node,
		   const struct export_position *position)
{
	struct files_sink *self = self_of(sink);
	uint64_t bytes[FILES];
	char name[32];

	(void)node;
	for (int i = 0; i < FILES; i++) {
		name_of(self, i, name);
		off_t at = ftello(self->out[i]);
		if (at < 0 || ferror(self->out[i]) || fflush(self->out[i]) != 0)
			return refuse(self, name, strerror(errno));
		bytes[i] = (uint64_t)at;
		if (bytes[i] != self->bytes[i] && fdatasync(fileno(self->out[i])) != 0)
			return refuse(self, name, strerror(errno));
	}
	if (!write_position(self, position, bytes))
		return false;
	memcpy(self->bytes, bytes, sizeof(bytes));
	sink->position = *position;
	return true;
}

static bool put_touched(struct export_sink *sink, struct id128 account)
{
	(void)sink;
	(void)account;
	return true;
}

static bool caught_up(struct export_sink *sink)
{
	(void)sink;
	return true;
}

static void close_sink(struct export_sink *sink)
{
	struct files_sink *self = self_of(sink);

	for (int i = 0; i < FILES; i++) {
		if (self->out[i] == NULL)
			continue;
		__fpurge(self->out[i]);
		if (ftruncate(fileno(self->out[i]), (off_t)self->bytes[i]) != 0)
			fprintf(stderr, "giro-replay: %s: %s\n", self->path, strerror(errno));
		fclose(self->out[i]);
	}
	if (self->folder >= 0)
		close(self->folder);
	free(self);
}

static const struct export_sink_ops files_ops = {
    .epoch = put_epoch,
    .operation = put_operation,
    .decision = put_decision,
    .movement = put_movement,
    .touched = put_touched,
    .commit = commit,
    .caught_up = caught_up,
    .close = close_sink,
};

/* Opens the folder, and nobody else has it open. */
static bool lock_folder(struct files_sink *self)
{
	if (mkdir(self->path, 0755) != 0 && errno != EEXIST)
		return refuse(self, "", strerror(errno));
	self->folder = open(self->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (self->folder < 0)
		return refuse(self, "", strerror(errno));
	if (flock(self->folder, LOCK_EX | LOCK_NB) == 0)
		return true;
	return refuse(self, "",
		      errno == EWOULDBLOCK ? "another process goes on with this export: end one "
					     "of them"
					   : strerror(errno));
}

/* Without a position there is none yet, and then none of its files either. */
static bool read_position(struct files_sink *self, uint64_t log_id)
{
	char text[POSITION_BYTES] = "";
	char name[32];
	int fd = openat(self->folder, position_name, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		ssize_t got = read(fd, text, sizeof(text) - 1);
		close(fd);
		if (got > 0 && parse(self, text, &self->sink.position, self->bytes))
			return true;
		return refuse(self, position_name,
			      "it is not the position of an export in this format: name a folder "
			      "that is not there yet");
	}
	if (errno != ENOENT)
		return refuse(self, position_name, strerror(errno));
	for (int i = 0; i < FILES; i++) {
		name_of(self, i, name);
		if (faccessat(self->folder, name, F_OK, 0) == 0)
			return refuse(self, name,
				      "it is here, and no position that says what is in it: name a "
				      "folder that is not there yet");
	}
	self->sink.position.log_id = log_id;
	return write_position(self, &self->sink.position, self->bytes);
}

/* Opens a file behind what was committed, and cuts off the rest. */
static bool open_file(struct files_sink *self, int file)
{
	char name[32];
	struct stat stat;

	name_of(self, file, name);
	int fd = openat(self->folder, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return refuse(self, name, strerror(errno));
	self->out[file] = fdopen(fd, "r+");
	if (self->out[file] == NULL) {
		close(fd);
		return refuse(self, name, strerror(errno));
	}
	setvbuf(self->out[file], NULL, _IOFBF, BUFFER_BYTES);
	if (fstat(fd, &stat) != 0)
		return refuse(self, name, strerror(errno));
	if ((uint64_t)stat.st_size < self->bytes[file])
		return refuse(self, name,
			      "it is shorter than it was: restore it, or begin a new export");
	if (ftruncate(fd, (off_t)self->bytes[file]) != 0 ||
	    fseeko(self->out[file], 0, SEEK_END) != 0)
		return refuse(self, name, strerror(errno));
	if (self->format == EXPORT_CSV && self->bytes[file] == 0)
		fprintf(self->out[file], "%s\n", files[file].columns);
	return true;
}

struct export_sink *export_files_open(enum export_format format, const char *path, uint64_t log_id,
				      char *text)
{
	struct files_sink *self = calloc(1, sizeof(*self));

	if (self == NULL) {
		snprintf(text, EXPORT_TEXT_BYTES, "no memory");
		return NULL;
	}
	self->sink.ops = &files_ops;
	self->path = path;
	self->format = format;
	self->folder = -1;
	bool opened = lock_folder(self) && read_position(self, log_id);
	/* Of another log: nothing is cut off. */
	bool ours = opened && self->sink.position.log_id == log_id;
	for (int i = 0; opened && ours && i < FILES; i++)
		opened = open_file(self, i);
	if (opened)
		return &self->sink;
	snprintf(text, EXPORT_TEXT_BYTES, "%s", self->sink.text);
	close_sink(&self->sink);
	return NULL;
}
