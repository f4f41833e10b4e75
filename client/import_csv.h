/* SPDX-License-Identifier: Apache-2.0
 *
 * The two input files of `giro import`, mapped into memory and read line by line.
 *
 *   accounts.csv    id,ledger,floor,opening           floor: 0 or below, or `issuer`
 *   transfers.csv   time_ms,code,debit,credit,amount
 *
 * The first line is exactly that; no quotes, no spaces; lines end in LF or CRLF. Ids are decimal
 * numbers or UUIDs. Row i (from 0) is line i + 2 of its file.
 */
#ifndef GIRO_CLIENT_IMPORT_CSV_H
#define GIRO_CLIENT_IMPORT_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "client/giro.h"

#define CSV_MESSAGE_BYTES 512

struct csv_file {
	const char *path;
	const char *bytes;
	size_t size;
	struct id128 digest; /* XXH3-128 of all of it */
	uint64_t rows;	     /* lines without the first one */
};

/* A place in a file: the next row. */
struct csv_cursor {
	const struct csv_file *file;
	size_t offset;
	uint64_t row;
};

struct csv_account {
	struct giro_id id;
	uint32_t ledger;
	int64_t floor;
	uint64_t opening;
};

struct csv_transfer {
	uint64_t time_ms;
	uint16_t code;
	struct giro_id debit;
	struct giro_id credit;
	uint64_t amount;
};

/* Maps a file whose first line must be `heading`. False with one line in `message`. */
bool csv_open(struct csv_file *file, const char *path, const char *heading,
	      char message[CSV_MESSAGE_BYTES]);
void csv_close(struct csv_file *file);

#define CSV_ACCOUNTS_HEADING  "id,ledger,floor,opening"
#define CSV_TRANSFERS_HEADING "time_ms,code,debit,credit,amount"

struct csv_cursor csv_begin(const struct csv_file *file);

/* The text of the next row, without its line end; false at the end. */
bool csv_line(struct csv_cursor *cursor, const char **text, size_t *size);

enum csv_read {
	CSV_BAD = -1, /* `message` says "FILE:LINE: what is wrong" */
	CSV_END = 0,
	CSV_ROW = 1,
};

/* Each reads the next row. */
enum csv_read csv_next_account(struct csv_cursor *cursor, struct csv_account *account,
			       char message[CSV_MESSAGE_BYTES]);
enum csv_read csv_next_transfer(struct csv_cursor *cursor, struct csv_transfer *transfer,
				char message[CSV_MESSAGE_BYTES]);

#endif
