/* SPDX-License-Identifier: Apache-2.0
 *
 * An export: what happened in a log, as rows that other programs read. docs/audit.md describes them.
 *
 *   log -> node -> journal -> rows of each block -> sink: a SQLite file, or a folder of CSV or JSON
 *                                                         files, and the position
 *
 * A sink keeps rows and the position that they reach to together: after a crash at any moment it holds
 * the rows of all blocks before some position, and no others. So an export goes on where it stopped.
 *
 * A sink is told of each block: export_epoch, then its operations, decisions and movements, then
 * perhaps export_commit. Rows that were not committed may be lost, and then come again.
 *
 * One thread. Allocates and blocks. Each function returns false when the sink failed, with the reason
 * in its text; then it can only be closed.
 */
#ifndef GIRO_REPLAY_EXPORT_H
#define GIRO_REPLAY_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "replay/journal.h"
#include "replay/node.h"

#define EXPORT_VERSION	  1
#define EXPORT_TEXT_BYTES 512

/* How far an export has come: blocks 0 .. blocks - 1 are in it. */
struct export_position {
	uint64_t log_id;
	uint64_t blocks;
	uint64_t epoch; /* these three are of the last of them */
	uint64_t time_ms;
	struct wal_hash hash; /* of its header page: what the next block calls prev_hash */
	uint64_t movements;   /* in it; they are numbered from 1 */
};

enum export_format { EXPORT_SQLITE, EXPORT_CSV, EXPORT_JSONL };

struct export_sink {
	const struct export_sink_ops *ops;
	struct export_position position; /* committed */
	char text[EXPORT_TEXT_BYTES];	 /* why it failed */
};

struct export_sink_ops {
	bool (*epoch)(struct export_sink *sink, const struct wal_block_header *block);
	bool (*operation)(struct export_sink *sink, const struct wal_block_header *block,
			  const struct journal_operation *operation);
	bool (*decision)(struct export_sink *sink, const struct wal_block_header *block,
			 const struct decision *decision);
	bool (*movement)(struct export_sink *sink, uint64_t number,
			 const struct movement *movement);
	bool (*touched)(struct export_sink *sink, struct id128 account);

	/* All rows up to `position` become part of the export at once. `node` stands there. */
	bool (*commit)(struct export_sink *sink, const struct node *node,
		       const struct export_position *position);

	/* All that there was is in. NULL: nothing to do. */
	bool (*caught_up)(struct export_sink *sink);

	/* Frees the sink; what was not committed is dropped. */
	void (*close)(struct export_sink *sink);
};

/* Opens or begins an export of the log `log_id`: of the one file `path`, or of the files in the folder
 * `path`. Only one process at a time can go on with it. Returns it, positioned at its last commit: of
 * another log, if position.log_id is another, and then only to be closed. NULL, with the reason in `text`
 * (EXPORT_TEXT_BYTES), when it is something else or cannot be had. */
struct export_sink *export_open(enum export_format format, const char *path, uint64_t log_id,
				char *text);

/* The two kinds of sinks, as export_open(). */
struct export_sink *export_sqlite_open(const char *path, uint64_t log_id, char *text);
struct export_sink *export_files_open(enum export_format format, const char *path, uint64_t log_id,
				      char *text);

/* Gives a sink the rows of one block, which the journal has just applied. Counts its movements in
 * `position` and moves it behind the block. */
bool export_block(struct export_sink *sink, const struct journal *journal,
		  const struct wal_block_header *block, struct export_position *position);

/* "create", "freeze", "unfreeze", "close". Static. */
const char *export_action_text(unsigned action);

/* 32 hexadecimal digits; `text` has room for 33 bytes. Returns text. */
char *export_hash_text(struct wal_hash hash, char text[33]);

#endif
