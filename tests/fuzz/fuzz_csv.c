/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as the two files of `giro import`. Input: one byte, the ledger of accounts that are not
 * in the file; the accounts file; a byte 0x1e; the transfers file.
 *
 * What is taken as a whole gives records that the engine would take, row by row; a refusal is one line
 * that names a file.
 */
#include <stdbool.h>

#include "client/import_input.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/target.h"

#define BETWEEN_FILES 0x1e

enum { TAKEN, TAKEN_OPENINGS, TAKEN_TRANSFERS, TAKEN_OVERDRAFT, REFUSALS };

struct fuzz_branch fuzz_branches[] = {
    [TAKEN] = {"taken", 0},
    [TAKEN_OPENINGS] = {"taken, with opening balances", 0},
    [TAKEN_TRANSFERS] = {"taken, with transfers", 0},
    [TAKEN_OVERDRAFT] = {"taken, with an overdraft", 0},
    {"the file is empty", 0},
    {"the first line must be", 0},
    {"fields instead of", 0},
    {"a decimal number from 1 to 2^128-1 or a UUID", 0},
    {"a number from -9223372036854775807 to 0, or issuer", 0},
    {"ledger \"", 0},
    {"opening \"", 0},
    {"time_ms \"", 0},
    {"code \"", 0},
    {"amount \"", 0},
    {"another account than debit", 0},
    {"the account is also on line", 0},
    {"an opening balance needs an account", 0},
    {"the issuer pays the opening balances", 0},
    {"neither account is in", 0},
    {NULL, 0},
};

static void check_account(const struct import_input *input, uint64_t row)
{
	const struct giro_operation creation = input_creation(input, row);

	CHECK((creation.account.lo | creation.account.hi) != 0);
	CHECK(creation.ledger != 0 && creation.floor <= 0 && creation.action == GIRO_CREATE);
	if (creation.floor < 0 && creation.floor != GIRO_FLOOR_ISSUER)
		fuzz_reach(TAKEN_OVERDRAFT);
	if (input->account[row].opening == 0)
		return;
	const struct giro_transfer opening = input_opening(input, row);
	CHECK(opening.amount > 0 && opening.ledger == creation.ledger);
	CHECK(opening.debit.lo != opening.credit.lo || opening.debit.hi != opening.credit.hi);
	fuzz_reach(TAKEN_OPENINGS);
}

static void check_taken(const struct import_input *input)
{
	struct csv_cursor cursor = csv_begin(&input->transfers);
	char message[CSV_MESSAGE_BYTES];
	struct csv_transfer row;
	uint64_t rows = 0;

	CHECK(input->account_count == input->accounts.rows);
	for (uint64_t i = 0; i < input->account_count; i++)
		check_account(input, i);
	for (; csv_next_transfer(&cursor, &row, message) == CSV_ROW; rows++) {
		const struct giro_transfer transfer = input_transfer(input, &row);
		CHECK(transfer.amount > 0 && transfer.ledger != 0);
		CHECK((transfer.debit.lo | transfer.debit.hi) != 0);
		CHECK((transfer.credit.lo | transfer.credit.hi) != 0);
	}
	CHECK(rows == input->transfers.rows);
	fuzz_reach(rows > 0 ? TAKEN_TRANSFERS : TAKEN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct import_input input;
	char message[CSV_MESSAGE_BYTES];

	if (size == 0)
		return 0;
	uint32_t other_ledger = *data++;
	size--;
	const uint8_t *between = memchr(data, BETWEEN_FILES, size);
	size_t first = between == NULL ? size : (size_t)(between - data);
	size_t second = between == NULL ? 0 : size - first - 1;
	const char *accounts = memory_file_set(0, data, first);
	const char *transfers = memory_file_set(1, data + size - second, second);

	if (input_load(&input, accounts, transfers, other_ledger, message)) {
		check_taken(&input);
	} else {
		CHECK(strncmp(message, "/proc/self/fd/", 14) == 0);
		CHECK(strlen(message) < CSV_MESSAGE_BYTES);
		fuzz_reach_text(REFUSALS, message);
	}
	input_free(&input);
	return 0;
}
