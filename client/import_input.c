/* SPDX-License-Identifier: Apache-2.0 */
#include "client/import_input.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/uuid7.h"

#define ROWS_MAX (UINT32_MAX - 1)

__attribute__((format(printf, 2, 3))) static bool fail(char *message, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, CSV_MESSAGE_BYTES, format, arguments);
	va_end(arguments);
	return false;
}

/* The entry of `place` that holds the account, or the empty one where it would be. */
static uint32_t *find(const struct import_input *input, struct giro_id id)
{
	uint64_t at = id_hash((struct id128){id.lo, id.hi}) & input->place_mask;

	while (input->place[at] != 0) {
		const struct csv_account *account = &input->account[input->place[at] - 1];
		if (account->id.lo == id.lo && account->id.hi == id.hi)
			break;
		at = (at + 1) & input->place_mask;
	}
	return &input->place[at];
}

static const struct input_issuer *issuer_of(const struct import_input *input, uint32_t ledger)
{
	for (size_t i = 0; i < input->issuer_count; i++) {
		if (input->issuer[i].ledger == ledger)
			return &input->issuer[i];
	}
	return NULL;
}

static bool add_issuer(struct import_input *input, const struct csv_account *account, char *message)
{
	if (account->floor != GIRO_FLOOR_ISSUER || issuer_of(input, account->ledger) != NULL)
		return true;
	struct input_issuer *more =
	    realloc(input->issuer, (input->issuer_count + 1) * sizeof(*input->issuer));
	if (more == NULL)
		return fail(message, "out of memory for the issuers");
	input->issuer = more;
	input->issuer[input->issuer_count++] = (struct input_issuer){
	    .ledger = account->ledger,
	    .account = account->id,
	};
	return true;
}

static bool load_accounts(struct import_input *input, char *message)
{
	const char *path = input->accounts.path;
	struct csv_cursor cursor = csv_begin(&input->accounts);
	struct csv_account account;
	enum csv_read got;

	while ((got = csv_next_account(&cursor, &account, message)) == CSV_ROW) {
		uint32_t *place = find(input, account.id);
		const uint64_t row = input->account_count;
		if (*place != 0)
			return fail(message,
				    "%s:%" PRIu64 ": the account is also on line %" PRIu64
				    "; remove one of them",
				    path, row + 2, (uint64_t)*place + 1);
		input->account[row] = account;
		input->account_count++;
		*place = (uint32_t)input->account_count;
		if (!add_issuer(input, &account, message))
			return false;
	}
	if (got == CSV_BAD)
		return false;

	for (uint64_t row = 0; row < input->account_count; row++) {
		const struct csv_account *opened = &input->account[row];
		const struct input_issuer *issuer = issuer_of(input, opened->ledger);
		if (opened->opening == 0)
			continue;
		if (issuer == NULL)
			return fail(message,
				    "%s:%" PRIu64
				    ": an opening balance needs an account of ledger %u "
				    "with floor issuer to pay it; add one",
				    path, row + 2, opened->ledger);
		if (issuer->account.lo == opened->id.lo && issuer->account.hi == opened->id.hi)
			return fail(message,
				    "%s:%" PRIu64 ": the issuer pays the opening balances of its "
				    "ledger and must have opening 0",
				    path, row + 2);
	}
	return true;
}

static uint32_t ledger_of(const struct import_input *input, const struct csv_transfer *row)
{
	uint32_t place = *find(input, row->debit);

	if (place == 0)
		place = *find(input, row->credit);
	return place != 0 ? input->account[place - 1].ledger : input->other_ledger;
}

static bool check_transfers(const struct import_input *input, char *message)
{
	struct csv_cursor cursor = csv_begin(&input->transfers);
	struct csv_transfer transfer;
	enum csv_read got;

	while ((got = csv_next_transfer(&cursor, &transfer, message)) == CSV_ROW) {
		if (ledger_of(input, &transfer) == 0)
			return fail(message,
				    "%s:%" PRIu64
				    ": neither account is in %s, so the ledger is not "
				    "known; add the account or pass --ledger N",
				    input->transfers.path, cursor.row + 1, input->accounts.path);
	}
	return got == CSV_END;
}

bool input_load(struct import_input *input, const char *accounts_path, const char *transfers_path,
		uint32_t other_ledger, char message[CSV_MESSAGE_BYTES])
{
	*input = (struct import_input){.other_ledger = other_ledger};
	if (!csv_open(&input->accounts, accounts_path, CSV_ACCOUNTS_HEADING, message) ||
	    !csv_open(&input->transfers, transfers_path, CSV_TRANSFERS_HEADING, message))
		return false;
	if (input->accounts.rows > ROWS_MAX || input->transfers.rows > ROWS_MAX)
		return fail(message, "%s: more than %u rows; split it",
			    input->accounts.rows > ROWS_MAX ? accounts_path : transfers_path,
			    ROWS_MAX);
	uint64_t places = 16;
	while (places < 2 * input->accounts.rows)
		places *= 2;
	input->place_mask = places - 1;
	input->place = calloc(places, sizeof(*input->place));
	input->account = calloc(input->accounts.rows + 1, sizeof(*input->account));
	if (input->place == NULL || input->account == NULL)
		return fail(message, "%s: out of memory for %" PRIu64 " accounts", accounts_path,
			    input->accounts.rows);
	return load_accounts(input, message) && check_transfers(input, message);
}

void input_free(struct import_input *input)
{
	csv_close(&input->accounts);
	csv_close(&input->transfers);
	free(input->account);
	free(input->place);
	free(input->issuer);
}

struct giro_operation input_creation(const struct import_input *input, uint64_t row)
{
	const struct csv_account *account = &input->account[row];

	return (struct giro_operation){
	    .account = account->id,
	    .floor = account->floor,
	    .ledger = account->ledger,
	    .action = GIRO_CREATE,
	};
}

struct giro_transfer input_opening(const struct import_input *input, uint64_t row)
{
	const struct csv_account *account = &input->account[row];

	return (struct giro_transfer){
	    .debit = issuer_of(input, account->ledger)->account,
	    .credit = account->id,
	    .amount = account->opening,
	    .ledger = account->ledger,
	};
}

struct giro_transfer input_transfer(const struct import_input *input,
				    const struct csv_transfer *row)
{
	return (struct giro_transfer){
	    .debit = row->debit,
	    .credit = row->credit,
	    .amount = row->amount,
	    .ledger = ledger_of(input, row),
	    .code = row->code,
	};
}

struct giro_id input_id(const struct import_input *input, enum import_list list, uint64_t row,
			uint64_t base_ms)
{
	const struct {
		uint64_t base_ms;
		uint64_t list;
		uint64_t row;
		struct id128 accounts;
		struct id128 transfers;
	} source = {base_ms, list, row, input->accounts.digest, input->transfers.digest};
	const XXH128_hash_t digest = XXH3_128bits(&source, sizeof(source));
	const struct id128 id =
	    client_uuid7_derive(base_ms, (struct id128){.lo = digest.low64, .hi = digest.high64});

	return (struct giro_id){.lo = id.lo, .hi = id.hi};
}
