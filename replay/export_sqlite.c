/* SPDX-License-Identifier: Apache-2.0
 *
 * The export as a SQLite file. Rows and the position that they reach to are of one transaction.
 *
 * The file is in WAL mode while it is written, so that others can read it meanwhile, and a single file
 * again when it is closed. A loss of power may take back the last commits (synchronous=NORMAL): whole,
 * with their positions, and they are exported again.
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/command.h"
#include "replay/export.h"

#define APPLICATION_ID 0x6769726f /* "giro", big-endian, as the first bytes of the file say it */
#define BUSY_MS	       10000

#define TEXT_(x) #x
#define TEXT(x)	 TEXT_(x)

/* Amounts that can be above INT64_MAX are columns without a type: SQLite would make a rounded number of
 * their text. */
static const char schema[] =
    "CREATE TABLE position (\n"
    "  only INTEGER PRIMARY KEY CHECK (only = 1),\n"
    "  log_id TEXT NOT NULL,\n"
    "  blocks INTEGER NOT NULL,\n"
    "  epoch INTEGER NOT NULL,\n"
    "  time TEXT NOT NULL,\n"
    "  hash TEXT NOT NULL,\n"
    "  movements INTEGER NOT NULL);\n"
    "CREATE TABLE epochs (\n"
    "  epoch INTEGER PRIMARY KEY,\n"
    "  time TEXT NOT NULL,\n"
    "  block INTEGER NOT NULL,\n"
    "  type TEXT NOT NULL,\n"
    "  incarnation INTEGER NOT NULL,\n"
    "  hash TEXT NOT NULL);\n"
    "CREATE TABLE accounts (\n"
    "  id TEXT PRIMARY KEY,\n"
    "  ledger INTEGER NOT NULL,\n"
    "  floor INTEGER NOT NULL,\n"
    "  balance INTEGER NOT NULL,\n"
    "  held NOT NULL,\n"
    "  incoming NOT NULL,\n"
    "  frozen INTEGER NOT NULL,\n"
    "  closed INTEGER NOT NULL) WITHOUT ROWID;\n"
    "CREATE TABLE operations (\n"
    "  id TEXT NOT NULL,\n"
    "  account TEXT NOT NULL,\n"
    "  action TEXT NOT NULL,\n"
    "  ledger INTEGER NOT NULL,\n"
    "  floor INTEGER NOT NULL,\n"
    "  status TEXT NOT NULL,\n"
    "  epoch INTEGER NOT NULL REFERENCES epochs,\n"
    "  time TEXT NOT NULL,\n"
    "  PRIMARY KEY (id, account)) WITHOUT ROWID;\n"
    "CREATE TABLE transfers (\n"
    "  id TEXT NOT NULL,\n"
    "  debit TEXT NOT NULL,\n"
    "  credit TEXT NOT NULL,\n"
    "  amount NOT NULL,\n"
    "  ledger INTEGER NOT NULL,\n"
    "  code INTEGER NOT NULL,\n"
    "  status TEXT NOT NULL,\n"
    "  received TEXT NOT NULL,\n"
    "  epoch INTEGER REFERENCES epochs,\n"
    "  time TEXT,\n"
    "  PRIMARY KEY (id, debit)) WITHOUT ROWID;\n"
    "CREATE TABLE movements (\n"
    "  number INTEGER PRIMARY KEY,\n"
    "  epoch INTEGER NOT NULL REFERENCES epochs,\n"
    "  time TEXT NOT NULL,\n"
    "  account TEXT NOT NULL REFERENCES accounts,\n"
    "  amount NOT NULL,\n"
    "  balance INTEGER NOT NULL,\n"
    "  counterparty TEXT NOT NULL REFERENCES accounts,\n"
    "  transfer TEXT NOT NULL,\n"
    "  code INTEGER NOT NULL,\n"
    "  ledger INTEGER NOT NULL);\n"
    "CREATE VIEW in_flight AS\n"
    "  SELECT t.id AS transfer, t.ledger AS ledger, -sum(m.amount) AS amount\n"
    "  FROM transfers t JOIN movements m ON m.transfer = t.id\n"
    "  WHERE t.status = 'PENDING' AND m.account IN (t.debit, t.credit)\n"
    "    AND m.counterparty IN (t.debit, t.credit)\n"
    "  GROUP BY t.id, t.debit HAVING sum(m.amount) <> 0;\n"
    "CREATE VIEW ledgers AS\n"
    "  SELECT ledger, count(*) AS accounts, sum(balance) AS balances,\n"
    "    (SELECT coalesce(sum(amount), 0) FROM in_flight f WHERE f.ledger = a.ledger)\n"
    "      AS in_flight\n"
    "  FROM accounts a GROUP BY ledger;\n"
    "PRAGMA application_id = " TEXT(APPLICATION_ID) ";\n"
						    "PRAGMA user_version = " TEXT(
							EXPORT_VERSION) ";\n";

/* Made when the first rows are in: sorting them once is faster than inserting each in its place. */
static const char indexes[] =
    "CREATE INDEX IF NOT EXISTS accounts_by_ledger ON accounts (ledger);\n"
    "CREATE INDEX IF NOT EXISTS operations_by_account ON operations (account);\n"
    "CREATE INDEX IF NOT EXISTS transfers_by_debit ON transfers (debit);\n"
    "CREATE INDEX IF NOT EXISTS transfers_by_credit ON transfers (credit);\n"
    "CREATE INDEX IF NOT EXISTS transfers_pending ON transfers (id) WHERE status = 'PENDING';\n"
    "CREATE INDEX IF NOT EXISTS movements_by_account ON movements (account, epoch);\n"
    "CREATE INDEX IF NOT EXISTS movements_by_transfer ON movements (transfer);\n";

enum statement {
	BEGIN,
	OURS,
	COMMIT,
	EPOCH,
	OPERATION,
	TRANSFER,
	FINISH,
	MOVEMENT,
	ACCOUNT,
	POSITION,
	STATEMENTS,
};

static const char *const statement_texts[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [OURS] = "UPDATE position SET blocks = blocks WHERE blocks = ?",
    [COMMIT] = "COMMIT",
    [EPOCH] = "INSERT INTO epochs VALUES (?, ?, ?, ?, ?, ?)",
    [OPERATION] = "INSERT INTO operations VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [TRANSFER] = "INSERT INTO transfers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [FINISH] = ("UPDATE transfers SET status = ?, epoch = ?, time = ? "
		"WHERE id = ? AND debit = ? AND status = 'PENDING'"),
    [MOVEMENT] = "INSERT INTO movements VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ACCOUNT] = "REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [POSITION] = "UPDATE position SET blocks = ?, epoch = ?, time = ?, hash = ?, movements = ?",
};

struct sqlite_sink {
	struct export_sink sink;
	sqlite3 *file;
	sqlite3_stmt *statements[STATEMENTS];
	bool begun; /* a transaction is open */
	const char *path;
	struct id128 *touched; /* accounts to be written anew with the next commit */
	size_t touched_count;
	size_t touched_capacity;
	char time[32]; /* of the block at hand */
};

static struct sqlite_sink *self_of(struct export_sink *sink)
{
	return (struct sqlite_sink *)sink;
}

static bool refuse(struct sqlite_sink *self, const char *what)
{
	snprintf(self->sink.text, sizeof(self->sink.text), "%s: %s: %s", self->path, what,
		 sqlite3_errmsg(self->file));
	return false;
}

static bool execute(struct sqlite_sink *self, const char *text, const char *what)
{
	return sqlite3_exec(self->file, text, NULL, NULL, NULL) == SQLITE_OK || refuse(self, what);
}

/* Runs a statement whose values are bound. */
static bool step(struct sqlite_sink *self, enum statement statement, const char *what)
{
	sqlite3_stmt *prepared = self->statements[statement];
	bool done = sqlite3_step(prepared) == SQLITE_DONE;

	if (!done)
		refuse(self, what);
	sqlite3_reset(prepared);
	return done;
}

/* An INTEGER, or text where SQLite's 64 bits cannot hold it. */
static void bind_amount(sqlite3_stmt *prepared, int at, uint64_t amount, bool negative)
{
	char text[24];

	if (amount <= INT64_MAX) {
		int64_t value = (int64_t)amount;
		sqlite3_bind_int64(prepared, at, negative ? -value : value);
		return;
	}
	snprintf(text, sizeof(text), "%s%" PRIu64, negative ? "-" : "", amount);
	sqlite3_bind_text(prepared, at, text, -1, SQLITE_TRANSIENT);
}

/* Binds one value after the other: 'i' int64_t; 'u' uint64_t; 'n' uint64_t, to be taken negative;
 * 't' const char *, which must be there until the statement was run; 'd' struct id128; '0' NULL. It
 * fails only for want of memory, and then so does the statement, by its NOT NULLs. */
static void bind(struct sqlite_sink *self, enum statement statement, const char *kinds, ...)
{
	sqlite3_stmt *prepared = self->statements[statement];
	char text[48];
	va_list args;

	va_start(args, kinds);
	for (int at = 1; *kinds != '\0'; kinds++, at++) {
		switch (*kinds) {
		case 'i':
			sqlite3_bind_int64(prepared, at, va_arg(args, int64_t));
			break;
		case 'u':
		case 'n':
			bind_amount(prepared, at, va_arg(args, uint64_t), *kinds == 'n');
			break;
		case 't':
			sqlite3_bind_text(prepared, at, va_arg(args, const char *), -1,
					  SQLITE_STATIC);
			break;
		case 'd':
			command_id_text(va_arg(args, struct id128), text);
			sqlite3_bind_text(prepared, at, text, -1, SQLITE_TRANSIENT);
			break;
		default:
			sqlite3_bind_null(prepared, at);
			break;
		}
	}
	va_end(args);
}

/* Opens a transaction. Between two of them another process may have gone on with the export. */
static bool begin(struct sqlite_sink *self)
{
	if (!step(self, BEGIN, "it cannot be written now"))
		return false;
	self->begun = true;
	bind(self, OURS, "u", self->sink.position.blocks);
	if (!step(self, OURS, "the position"))
		return false;
	if (sqlite3_changes(self->file) == 1)
		return true;
	snprintf(self->sink.text, sizeof(self->sink.text),
		 "%s: another process goes on with this export: end one of them", self->path);
	return false;
}

static bool put_epoch(struct export_sink *sink, const struct wal_block_header *block)
{
	struct sqlite_sink *self = self_of(sink);
	char hash[33];

	if (!self->begun && !begin(self))
		return false;
	command_time_text(block->time_ms, self->time);
	bind(self, EPOCH, "ututut", block->epoch, self->time, block->seq,
	     command_block_type(block->type), block->incarnation,
	     export_hash_text(wal_header_hash(block), hash));
	return step(self, EPOCH, "an epoch");
}

static bool put_operation(struct export_sink *sink, const struct wal_block_header *block,
			  const struct journal_operation *row)
{
	struct sqlite_sink *self = self_of(sink);
	const struct account_operation *operation = &row->operation;

	bind(self, OPERATION, "ddtuitut", operation->id, operation->account,
	     export_action_text(operation->action), (uint64_t)operation->ledger, operation->floor,
	     status_name(row->status), block->epoch, self->time);
	return step(self, OPERATION, "an account operation");
}

/* What was written as under way is finished. */
static bool finish_transfer(struct sqlite_sink *self, const struct wal_block_header *block,
			    const struct decision *decision)
{
	bind(self, FINISH, "tutdd", status_name(decision->status), block->epoch, self->time,
	     decision->transfer.id, decision->transfer.debit);
	if (!step(self, FINISH, "a transfer's end"))
		return false;
	if (sqlite3_changes(self->file) == 1)
		return true;
	snprintf(self->sink.text, sizeof(self->sink.text),
		 "%s: a transfer that was under way is not in it: it was changed; begin a new "
		 "export",
		 self->path);
	return false;
}

static bool put_decision(struct export_sink *sink, const struct wal_block_header *block,
			 const struct decision *decision)
{
	struct sqlite_sink *self = self_of(sink);
	const struct transfer *transfer = &decision->transfer;
	bool pending = decision->status == STATUS_PENDING;
	char received[32];

	if (decision->was_pending)
		return finish_transfer(self, block, decision);
	bind(self, TRANSFER, pending ? "ddduuutt00" : "ddduuuttut", transfer->id, transfer->debit,
	     transfer->credit, transfer->amount, (uint64_t)transfer->ledger,
	     (uint64_t)transfer->code, status_name(decision->status),
	     command_time_text(decision->received_ms, received), block->epoch, self->time);
	return step(self, TRANSFER, "a transfer");
}

static bool put_movement(struct export_sink *sink, uint64_t number, const struct movement *movement)
{
	struct sqlite_sink *self = self_of(sink);

	bind(self, MOVEMENT, movement->debit ? "uutdnidduu" : "uutduidduu", number, movement->epoch,
	     self->time, movement->account, movement->amount, movement->balance,
	     movement->counterparty, movement->transfer, (uint64_t)movement->code,
	     (uint64_t)movement->ledger);
	return step(self, MOVEMENT, "a movement");
}

static bool put_touched(struct export_sink *sink, struct id128 account)
{
	struct sqlite_sink *self = self_of(sink);

	if (self->touched_count == self->touched_capacity) {
		size_t capacity = self->touched_capacity * 2 + 1024;
		struct id128 *grown = realloc(self->touched, capacity * sizeof(*grown));
		if (grown == NULL) {
			snprintf(sink->text, sizeof(sink->text), "no memory for the accounts");
			return false;
		}
		self->touched = grown;
		self->touched_capacity = capacity;
	}
	self->touched[self->touched_count++] = account;
	return true;
}

static int by_id(const void *left, const void *right)
{
	const struct id128 *a = left;
	const struct id128 *b = right;

	if (a->hi != b->hi)
		return a->hi < b->hi ? -1 : 1;
	return a->lo < b->lo ? -1 : a->lo > b->lo;
}

/* Accounts as they now stand, each once. */
static bool put_accounts(struct sqlite_sink *self, const struct node *node)
{
	if (self->touched_count > 0)
		qsort(self->touched, self->touched_count, sizeof(*self->touched), by_id);
	for (size_t i = 0; i < self->touched_count; i++) {
		const struct account *account = node_account(node, self->touched[i]);
		bool again = i > 0 && id_equal(self->touched[i], self->touched[i - 1]);
		if (account == NULL || again)
			continue;
		bind(self, ACCOUNT, "duiiuuuu", account->id, (uint64_t)account->ledger,
		     account->floor, account->balance, account->held, account->incoming,
		     (uint64_t)((account->flags & ACCOUNT_FROZEN) != 0),
		     (uint64_t)((account->flags & ACCOUNT_CLOSED) != 0));
		if (!step(self, ACCOUNT, "an account"))
			return false;
	}
	self->touched_count = 0;
	return true;
}

static bool commit(struct export_sink *sink, const struct node *node,
		   const struct export_position *position)
{
	struct sqlite_sink *self = self_of(sink);
	char time[32];
	char hash[33];

	if (!put_accounts(self, node))
		return false;
	bind(self, POSITION, "uuttuu", position->blocks, position->epoch,
	     command_time_text(position->time_ms, time), export_hash_text(position->hash, hash),
	     position->movements);
	if (!step(self, POSITION, "the position") ||
	    !step(self, COMMIT, "rows could not be committed"))
		return false;
	self->begun = false;
	sink->position = *position;
	return true;
}

static bool caught_up(struct export_sink *sink)
{
	return execute(self_of(sink), indexes, "the indexes could not be made");
}

static void close_sink(struct export_sink *sink)
{
	struct sqlite_sink *self = self_of(sink);
	bool ours = self->statements[BEGIN] != NULL;

	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(self->statements[i]);
	if (self->begun)
		sqlite3_exec(self->file, "ROLLBACK", NULL, NULL, NULL);
	/* Fails, without harm, while others read. */
	if (ours)
		sqlite3_exec(self->file, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
	sqlite3_close(self->file);
	free(self->touched);
	free(self);
}

static const struct export_sink_ops sqlite_ops = {
    .epoch = put_epoch,
    .operation = put_operation,
    .decision = put_decision,
    .movement = put_movement,
    .touched = put_touched,
    .commit = commit,
    .caught_up = caught_up,
    .close = close_sink,
};

/* One number that a query gives. */
static bool query_number(struct sqlite_sink *self, const char *query, int64_t *number)
{
	sqlite3_stmt *prepared = NULL;
	bool got = sqlite3_prepare_v2(self->file, query, -1, &prepared, NULL) == SQLITE_OK &&
		   sqlite3_step(prepared) == SQLITE_ROW;

	if (got)
		*number = sqlite3_column_int64(prepared, 0);
	else
		refuse(self, "it cannot be read");
	sqlite3_finalize(prepared);
	return got;
}

/* An empty file becomes an export; another one must be one. */
static bool begin_file(struct sqlite_sink *self, uint64_t log_id)
{
	char text[256];
	int64_t application;
	int64_t version;
	int64_t tables;

	if (!query_number(self, "PRAGMA application_id", &application) ||
	    !query_number(self, "PRAGMA user_version", &version) ||
	    !query_number(self, "SELECT count(*) FROM sqlite_master", &tables))
		return false;
	if (application == 0 && version == 0 && tables == 0) {
		snprintf(text, sizeof(text),
			 "INSERT INTO position VALUES (1, '%016" PRIx64 "', 0, 0, '', '', 0)",
			 log_id);
		return execute(self, schema, "the tables could not be made") &&
		       execute(self, text, "the tables could not be made");
	}
	if (application == APPLICATION_ID && version == EXPORT_VERSION)
		return true;
	snprintf(self->sink.text, sizeof(self->sink.text), "%s %s", self->path,
		 application == APPLICATION_ID ? "was made by another version of giro-replay: "
						 "begin a new export"
					       : "holds something else: name a file that is not "
						 "there yet");
	return false;
}

static bool parse_hash(const char *text, struct wal_hash *hash)
{
	return sscanf(text, "%16" SCNx64 "%16" SCNx64, &hash->hi, &hash->lo) == 2;
}

static bool read_position(struct sqlite_sink *self)
{
	struct export_position *position = &self->sink.position;
	sqlite3_stmt *prepared = NULL;
	const char *query = "SELECT log_id, blocks, epoch, hash, movements, time FROM position";
	bool got = sqlite3_prepare_v2(self->file, query, -1, &prepared, NULL) == SQLITE_OK &&
		   sqlite3_step(prepared) == SQLITE_ROW;

	if (!got) {
		refuse(self, "its position cannot be read");
	} else {
		position->blocks = (uint64_t)sqlite3_column_int64(prepared, 1);
		position->epoch = (uint64_t)sqlite3_column_int64(prepared, 2);
		position->movements = (uint64_t)sqlite3_column_int64(prepared, 4);
		moment_parse_time((const char *)sqlite3_column_text(prepared, 5),
				  &position->time_ms);
		got = sscanf((const char *)sqlite3_column_text(prepared, 0), "%" SCNx64,
			     &position->log_id) == 1 &&
		      (position->blocks == 0 ||
		       parse_hash((const char *)sqlite3_column_text(prepared, 3), &position->hash));
		if (!got)
			snprintf(self->sink.text, sizeof(self->sink.text),
				 "%s: its position was changed: begin a new export", self->path);
	}
	sqlite3_finalize(prepared);
	return got;
}

static bool open_file(struct sqlite_sink *self, uint64_t log_id)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

	if (sqlite3_open_v2(self->path, &self->file, flags, NULL) != SQLITE_OK)
		return refuse(self, "it cannot be opened");
	sqlite3_busy_timeout(self->file, BUSY_MS);
	/* One transaction, so that of two that begin an empty file one finds an export. */
	if (!execute(self, "BEGIN IMMEDIATE", "it cannot be written now"))
		return false;
	if (!begin_file(self, log_id))
		return false;
	if (!execute(self, "COMMIT", "the tables could not be made") ||
	    !execute(self,
		     "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; "
		     "PRAGMA cache_size = -65536",
		     "it cannot be written now"))
		return false;
	if (!read_position(self))
		return false;
	for (int i = 0; i < STATEMENTS; i++) {
		if (sqlite3_prepare_v3(self->file, statement_texts[i], -1,
				       SQLITE_PREPARE_PERSISTENT, &self->statements[i],
				       NULL) != SQLITE_OK)
			return refuse(self, "its tables were changed; begin a new export");
	}
	return true;
}

struct export_sink *export_sqlite_open(const char *path, uint64_t log_id, char *text)
{
	struct sqlite_sink *self = calloc(1, sizeof(*self));

	if (self == NULL) {
		snprintf(text, EXPORT_TEXT_BYTES, "no memory");
		return NULL;
	}
	self->sink.ops = &sqlite_ops;
	self->path = path;
	if (open_file(self, log_id))
		return &self->sink;
	snprintf(text, EXPORT_TEXT_BYTES, "%s", self->sink.text);
	close_sink(&self->sink);
	return NULL;
}
