/* SPDX-License-Identifier: Apache-2.0
 *
 * What an import is to send: the two files, checked as a whole before anything is sent, and the
 * records that their rows stand for.
 *
 * An opening balance is a transfer from its ledger's issuer: the first account of that ledger with
 * floor `issuer`. A transfer has the ledger of its debit account, else of its credit account, else
 * the one given on the command line.
 */
#ifndef GIRO_CLIENT_IMPORT_INPUT_H
#define GIRO_CLIENT_IMPORT_INPUT_H

#include "client/import_csv.h"
#include "client/import_journal.h"

struct input_issuer {
	uint32_t ledger;
	struct giro_id account;
};

struct import_input {
	struct csv_file accounts;
	struct csv_file transfers;
	struct csv_account *account; /* by row */
	uint64_t account_count;
	uint32_t *place; /* open-addressed: row + 1 by id, zero where empty */
	uint64_t place_mask;
	struct input_issuer *issuer; /* one a ledger */
	size_t issuer_count;
	uint32_t other_ledger; /* of accounts not in the file; zero: none given */
};

/* Opens and checks both files. False with one line in `message`. */
bool input_load(struct import_input *input, const char *accounts_path, const char *transfers_path,
		uint32_t other_ledger, char message[CSV_MESSAGE_BYTES]);
void input_free(struct import_input *input);

/* The records of a row; the caller sets the id. */
struct giro_operation input_creation(const struct import_input *input, uint64_t row);
struct giro_transfer input_opening(const struct import_input *input, uint64_t row);
struct giro_transfer input_transfer(const struct import_input *input,
				    const struct csv_transfer *row);

/* The id of a row that is sent with `base_ms`. */
struct giro_id input_id(const struct import_input *input, enum import_list list, uint64_t row,
			uint64_t base_ms);

#endif
