/* SPDX-License-Identifier: Apache-2.0
 *
 * The journal of an import: what a later run must know so that no line is paid twice.
 *
 * An append-only file of 32-byte records, little-endian:
 *
 *   0               8   9  10  12      16              24              32
 *  +---------------+---+---+---+-------+---------------+---------------+
 *  |     check     |typ|lst|sts| count |     first     |     value     |
 *  +---------------+---+---+---+-------+---------------+---------------+
 *
 *  check: XXH3-64 of the other 24 bytes, seeded with the record's number (from 0).
 *
 *  OPEN   record 0: first = magic, value = the engine's log id
 *  FILE   records 1 and 2: digest (lo, hi in first, value) of accounts.csv and transfers.csv
 *  BASE   rows [first, first + count) of list may be sent, with ids of time `value` (Unix ms);
 *         a later BASE for a row holds instead of an earlier one. Durable before the first of
 *         these rows is sent
 *  DONE   rows [first, first + count) of list ended with status
 *
 * The id of a row follows from its base time, the two digests, its list and its number: a run that
 * does not know what became of a row sends it with the same id again.
 *
 * A kill leaves a whole file or a cut last record; a power failure may leave a garbled tail. Both
 * cost DONE records at most, which the engine's window makes good, so the tail is dropped. A BASE
 * behind a garbled record cannot come from that: the journal is then refused as damaged.
 */
#ifndef GIRO_CLIENT_IMPORT_JOURNAL_H
#define GIRO_CLIENT_IMPORT_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

#define JOURNAL_SUFFIX	      ".giro-journal"
#define JOURNAL_MESSAGE_BYTES 512

/* The lists of an import, in the order in which they are sent. */
enum import_list {
	LIST_ACCOUNTS,
	LIST_OPENINGS,
	LIST_TRANSFERS,
	LISTS,
};

struct journal_record {
	uint64_t check;
	uint8_t type;
	uint8_t list;
	uint16_t status;
	uint32_t count;
	uint64_t first;
	uint64_t value;
};
_Static_assert(sizeof(struct journal_record) == 32, "no padding");

/* What the journal must be about. */
struct journal_subject {
	uint64_t log_id;
	struct id128 accounts; /* digests */
	struct id128 transfers;
	uint64_t rows[LISTS];
};

/* Called for each BASE and DONE of an earlier run, in order. */
typedef void journal_replay(void *context, const struct journal_record *record);

struct journal {
	char path[4096];
	int fd;
	uint64_t records;
	bool resumed;		/* there was one */
	uint64_t dropped_bytes; /* of a garbled tail */
};

enum journal_type {
	JOURNAL_OPEN = 1,
	JOURNAL_FILE = 2,
	JOURNAL_BASE = 3,
	JOURNAL_DONE = 4,
};

/* Opens or creates the journal beside `transfers_path`, locks it against other imports, and replays
 * it. False with one line in `message` when it is locked, damaged, or about something else. */
bool journal_open(struct journal *journal, const char *transfers_path,
		  const struct journal_subject *subject, journal_replay *replay, void *context,
		  char message[JOURNAL_MESSAGE_BYTES]);

void journal_close(struct journal *journal);

/* Each appends; false with errno. journal_base() returns when it is durable. */
bool journal_base(struct journal *journal, enum import_list list, uint64_t first, uint32_t count,
		  uint64_t base_ms);

struct journal_outcome {
	uint64_t row;
	uint16_t status;
};

/* Sorts the `count` outcomes of a list and appends them, runs of equal status as one record. */
bool journal_done(struct journal *journal, enum import_list list, struct journal_outcome *outcomes,
		  size_t count);

bool journal_sync(struct journal *journal);

#endif
