/* SPDX-License-Identifier: Apache-2.0
 *
 * giro transfer: moves money, or says what became of a transfer.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/command.h"

static const char help[] =
    "Usage: giro transfer DEBIT CREDIT AMOUNT --ledger N [--code N] [--id ID]\n"
    "       giro transfer show ID DEBIT\n"
    "\n"
    "Moves AMOUNT minor units from account DEBIT to account CREDIT and prints the transfer's id.\n"
    "\n"
    "  --ledger N  currency of both accounts, 1 to 4294967295\n"
    "  --code N    your own classification, 0 (default) to 65535\n"
    "  --id ID     the transfer's id (default: a new UUIDv7). The same transfer with the same id\n"
    "              is executed once, however often it is sent\n"
    "\n"
    "show prints the outcome of the transfer ID that account DEBIT was to pay, as long as the\n"
    "engine's window holds it.\n";

static enum exit_code show(const struct command *command, int argc, char **argv)
{
	if (argc != 2)
		command_usage("transfer", "show needs ID and DEBIT");
	const struct giro_id id = command_id("ID", argv[0]);
	const struct giro_id debit = command_id("DEBIT", argv[1]);
	struct giro *giro = command_open(command, NULL);
	if (giro == NULL)
		return EXIT_NO_OUTCOME;
	const int outcome = giro_transfer_outcome_wait(giro, id, debit);
	giro_close(giro);
	if (outcome == GIRO_OK)
		printf("OK\n");
	return command_outcome(argv[0], outcome);
}

static enum exit_code move(const struct command *command, struct giro_transfer transfer)
{
	struct giro *giro = command_open(command, NULL);
	char id[GIRO_ID_TEXT_BYTES];

	if (giro == NULL)
		return EXIT_NO_OUTCOME;
	if (transfer.id.lo == 0 && transfer.id.hi == 0)
		transfer.id = giro_id_new(giro);
	printf("%s\n", giro_id_format(transfer.id, id));
	fflush(stdout);
	const int outcome = giro_transfer_wait(giro, &transfer);
	giro_close(giro);
	const enum exit_code code = command_outcome("transfer", outcome);
	if (code == EXIT_NO_OUTCOME)
		fprintf(stderr, "giro: to learn the outcome, run it again with --id %s\n", id);
	return code;
}

enum exit_code command_transfer(const struct command *command, int argc, char **argv)
{
	static const struct option options[] = {
	    {"ledger", required_argument, NULL, 'l'},
	    {"code", required_argument, NULL, 'c'},
	    {"id", required_argument, NULL, 'i'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	struct giro_transfer transfer = {0};
	int option;

	while ((option = getopt_long(argc, argv, "l:c:i:h", options, NULL)) != -1) {
		switch (option) {
		case 'l':
			transfer.ledger =
			    (uint32_t)command_number("--ledger", optarg, 1, UINT32_MAX);
			break;
		case 'c':
			transfer.code = (uint16_t)command_number("--code", optarg, 0, UINT16_MAX);
			break;
		case 'i':
			transfer.id = command_id("--id", optarg);
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_DONE;
		default:
			command_usage("transfer", "see the line above");
		}
	}
	if (optind < argc && strcmp(argv[optind], "show") == 0)
		return show(command, argc - optind - 1, argv + optind + 1);
	if (argc - optind != 3)
		command_usage("transfer", "expected DEBIT, CREDIT and AMOUNT");
	if (transfer.ledger == 0)
		command_usage("transfer", "--ledger is missing");
	transfer.debit = command_id("DEBIT", argv[optind]);
	transfer.credit = command_id("CREDIT", argv[optind + 1]);
	transfer.amount = command_number("AMOUNT", argv[optind + 2], 1, UINT64_MAX);
	return move(command, transfer);
}
