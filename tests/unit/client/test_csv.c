/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/import_input.h"

static char folder[] = "/tmp/giro-csv-XXXXXX";
static char accounts_path[64];
static char transfers_path[64];

static void setup(void)
{
	cr_assert(mkdtemp(folder) != NULL);
	snprintf(accounts_path, sizeof(accounts_path), "%s/a.csv", folder);
	snprintf(transfers_path, sizeof(transfers_path), "%s/t.csv", folder);
}

static void teardown(void)
{
	unlink(accounts_path);
	unlink(transfers_path);
	rmdir(folder);
}

TestSuite(csv, .init = setup, .fini = teardown);

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	cr_assert(file != NULL);
	fputs(text, file);
	fclose(file);
}

#define ACCOUNTS   "id,ledger,floor,opening\n1,1,issuer,0\n2,1,0,500\n3,1,-40,0\n"
#define TRANSFERS  "time_ms,code,debit,credit,amount\n"
#define ACCOUNTS_H "id,ledger,floor,opening\n"

Test(csv, good_files_are_read_as_they_are)
{
	struct import_input input;
	char message[CSV_MESSAGE_BYTES] = "";

	put(accounts_path, "id,ledger,floor,opening\r\n1,1,issuer,0\r\n"
			   "01234567-89ab-7cde-8f01-23456789abcd,1,-9223372036854775807,"
			   "9223372036854775807\r\n"
			   "18446744073709551617,4294967295,0,0");
	put(transfers_path,
	    TRANSFERS "0,65535,1,01234567-89ab-7cde-8f01-23456789abcd,18446744073709551615\n"
		      "18446744073709551615,0,18446744073709551617,9,1\n");
	cr_assert(input_load(&input, accounts_path, transfers_path, 0, message), "%s", message);
	cr_expect(input.account_count == 3);
	cr_expect(input.transfers.rows == 2);

	const struct giro_operation creation = input_creation(&input, 1);
	cr_expect(creation.account.hi == 0x0123456789ab7cdeull);
	cr_expect(creation.account.lo == 0x8f0123456789abcdull);
	cr_expect(creation.floor == -INT64_MAX);
	cr_expect(creation.action == GIRO_CREATE);
	cr_expect(input_creation(&input, 0).floor == GIRO_FLOOR_ISSUER);
	cr_expect(input_creation(&input, 2).ledger == UINT32_MAX);
	cr_expect(input_creation(&input, 2).account.hi == 1);

	const struct giro_transfer opening = input_opening(&input, 1);
	cr_expect(opening.debit.lo == 1 && opening.debit.hi == 0);
	cr_expect(opening.credit.hi == 0x0123456789ab7cdeull);
	cr_expect(opening.amount == INT64_MAX);
	cr_expect(opening.ledger == 1);

	struct csv_cursor cursor = csv_begin(&input.transfers);
	struct csv_transfer row;
	cr_assert(csv_next_transfer(&cursor, &row, message) == CSV_ROW);
	cr_expect(cursor.row == 1);
	struct giro_transfer transfer = input_transfer(&input, &row);
	cr_expect(transfer.code == 65535 && transfer.amount == UINT64_MAX && transfer.ledger == 1);
	cr_assert(csv_next_transfer(&cursor, &row, message) == CSV_ROW);
	transfer = input_transfer(&input, &row);
	cr_expect(transfer.ledger == UINT32_MAX && transfer.credit.lo == 9);
	cr_expect(csv_next_transfer(&cursor, &row, message) == CSV_END);
	input_free(&input);
}

/* What is wrong, and what the message must say: always the file and the line. */
Test(csv, bad_files_are_named_with_their_line)
{
	static const struct {
		const char *accounts, *transfers;
		const char *says;
	} rows[] = {
	    {"", TRANSFERS, "a.csv: the file is empty"},
	    {"id,ledger,floor\n", TRANSFERS, "a.csv:1: the first line must be"},
	    {ACCOUNTS, ACCOUNTS, "t.csv:1: the first line must be"},
	    {ACCOUNTS_H "1,1,issuer\n", TRANSFERS, "a.csv:2: 3 fields instead of 4"},
	    {ACCOUNTS_H "1,1,issuer,0,\n", TRANSFERS, "a.csv:2: 5 fields instead of 4"},
	    {ACCOUNTS_H "1,1,issuer,0\n\n2,1,0,0\n", TRANSFERS, "a.csv:3: 1 fields"},
	    {ACCOUNTS_H "0,1,issuer,0\n", TRANSFERS, "a.csv:2: id \"0\""},
	    {ACCOUNTS_H "x,1,issuer,0\n", TRANSFERS, "a.csv:2: id \"x\""},
	    {ACCOUNTS_H ",1,issuer,0\n", TRANSFERS, "a.csv:2: id \"\""},
	    {ACCOUNTS_H "1,0,issuer,0\n", TRANSFERS, "a.csv:2: ledger \"0\""},
	    {ACCOUNTS_H "1,4294967296,issuer,0\n", TRANSFERS, "a.csv:2: ledger"},
	    {ACCOUNTS_H "1,1,1,0\n", TRANSFERS, "a.csv:2: floor \"1\""},
	    {ACCOUNTS_H "1,1,-9223372036854775808,0\n", TRANSFERS, "a.csv:2: floor"},
	    {ACCOUNTS_H "1,1,Issuer,0\n", TRANSFERS, "a.csv:2: floor \"Issuer\""},
	    {ACCOUNTS_H "1,1,-,0\n", TRANSFERS, "a.csv:2: floor \"-\""},
	    {ACCOUNTS_H "1,1,issuer,0\n2,1,0,9223372036854775808\n", TRANSFERS, "a.csv:3: opening"},
	    {ACCOUNTS_H "1,1,issuer,0\n2,1,0,99999999999999999999999\n", TRANSFERS,
	     "a.csv:3: opening"},
	    {ACCOUNTS_H "1,1,issuer,-5\n", TRANSFERS, "a.csv:2: opening \"-5\""},
	    {ACCOUNTS_H "1,1,issuer,5\n", TRANSFERS, "a.csv:2: the issuer pays"},
	    {ACCOUNTS_H "2,1,0,5\n", TRANSFERS,
	     "a.csv:2: an opening balance needs an account of "
	     "ledger 1 with floor issuer"},
	    {ACCOUNTS_H "1,2,issuer,0\n2,1,0,5\n", TRANSFERS, "a.csv:3: an opening balance"},
	    {ACCOUNTS_H "1,1,issuer,0\n2,1,0,0\n2,1,0,0\n", TRANSFERS,
	     "a.csv:4: the account is also on line 3"},
	    {ACCOUNTS, TRANSFERS "1,1,2,3\n", "t.csv:2: 4 fields instead of 5"},
	    {ACCOUNTS, TRANSFERS "1,1,2,3,5\n-1,1,2,3,5\n", "t.csv:3: time_ms \"-1\""},
	    {ACCOUNTS, TRANSFERS "1,65536,2,3,5\n", "t.csv:2: code \"65536\""},
	    {ACCOUNTS, TRANSFERS "1,1,0,3,5\n", "t.csv:2: debit \"0\""},
	    {ACCOUNTS, TRANSFERS "1,1,2,three,5\n", "t.csv:2: credit \"three\""},
	    {ACCOUNTS, TRANSFERS "1,1,2,2,5\n", "t.csv:2: credit \"2\": expected another account"},
	    {ACCOUNTS, TRANSFERS "1,1,2,3,0\n", "t.csv:2: amount \"0\""},
	    {ACCOUNTS, TRANSFERS "1,1,2,3,5.5\n", "t.csv:2: amount \"5.5\""},
	    {ACCOUNTS, TRANSFERS "1,1,2,3, 5\n", "t.csv:2: amount \" 5\""},
	    {ACCOUNTS, TRANSFERS "1,1,2,3,18446744073709551616\n", "t.csv:2: amount"},
	    {ACCOUNTS, TRANSFERS "1,1,8,9,5\n", "t.csv:2: neither account is in"},
	    {ACCOUNTS,
	     TRANSFERS "1,1,2,3,"
		       "1234567890123456789012345678901234567890123456789012345678901234567890\n",
	     "\"123456789012345678901234567890123456789012345678901234567890...\""},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct import_input input;
		char message[CSV_MESSAGE_BYTES] = "";
		put(accounts_path, rows[i].accounts);
		put(transfers_path, rows[i].transfers);
		cr_expect(!input_load(&input, accounts_path, transfers_path, 0, message), "row %u",
			  i);
		cr_expect(strstr(message, rows[i].says) != NULL, "row %u: \"%s\"", i, message);
		input_free(&input);
	}
}

Test(csv, a_file_that_is_not_there_is_named)
{
	struct import_input input;
	char message[CSV_MESSAGE_BYTES] = "";

	cr_expect(!input_load(&input, "/nowhere/a.csv", transfers_path, 0, message));
	cr_expect_str_eq(message, "/nowhere/a.csv: No such file or directory");
	input_free(&input);
}

Test(csv, an_id_depends_on_files_list_row_and_time)
{
	struct import_input input;
	char message[CSV_MESSAGE_BYTES] = "";

	put(accounts_path, ACCOUNTS);
	put(transfers_path, TRANSFERS "1,1,2,3,5\n");
	cr_assert(input_load(&input, accounts_path, transfers_path, 0, message));
	const struct giro_id id = input_id(&input, LIST_TRANSFERS, 0, 1000);
	const struct giro_id same = input_id(&input, LIST_TRANSFERS, 0, 1000);
	cr_expect(id.lo == same.lo && id.hi == same.hi);
	cr_expect(id.hi >> 16 == 1000);
	cr_expect(input_id(&input, LIST_OPENINGS, 0, 1000).lo != id.lo);
	cr_expect(input_id(&input, LIST_TRANSFERS, 1, 1000).lo != id.lo);
	cr_expect(input_id(&input, LIST_TRANSFERS, 0, 1001).lo != id.lo);
	input_free(&input);
	put(transfers_path, TRANSFERS "1,1,2,3,6\n");
	cr_assert(input_load(&input, accounts_path, transfers_path, 0, message));
	cr_expect(input_id(&input, LIST_TRANSFERS, 0, 1000).lo != id.lo);
	input_free(&input);
}
