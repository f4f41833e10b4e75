/* SPDX-License-Identifier: Apache-2.0
 *
 * giro account: create, show, freeze, unfreeze, close.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "client/command.h"

static const char help[] =
    "Usage: giro account create ID --ledger N [--floor AMOUNT|issuer]\n"
    "       giro account show ID...\n"
    "       giro account freeze ID\n"
    "       giro account unfreeze ID\n"
    "       giro account close ID\n"
    "\n"
    "  --ledger N       currency of the account, 1 to 4294967295\n"
    "  --floor AMOUNT   lowest balance, 0 (default) or below, in minor units; `issuer` for an\n"
    "                   account without one, through which money enters the ledger\n"
    "\n"
    "create of an account that exists with the same ledger and floor says ACCOUNT_EXISTS and\n"
    "has exit code 1. close works only at balance zero with nothing under way, and is for ever.\n";

static enum exit_code show(struct giro *giro, struct giro_id id)
{
	char text[GIRO_ID_TEXT_BYTES];
	struct giro_account account;

	giro_id_format(id, text);
	const int outcome = giro_account_wait(giro, id, &account);
	if (outcome != GIRO_OK)
		return command_outcome(text, outcome);
	printf("account   %s\n", text);
	printf("ledger    %u\n", account.ledger);
	printf("balance   %" PRId64 "\n", account.balance);
	printf("held      %" PRIu64 "\n", account.held);
	printf("incoming  %" PRIu64 "\n", account.incoming);
	if (account.floor == GIRO_FLOOR_ISSUER)
		printf("floor     issuer\n");
	else
		printf("floor     %" PRId64 "\n", account.floor);
	printf("state     %s\n", account.flags & GIRO_ACCOUNT_CLOSED   ? "closed"
				 : account.flags & GIRO_ACCOUNT_FROZEN ? "frozen"
								       : "open");
	printf("epoch     %" PRIu64 "\n", account.epoch);
	return EXIT_DONE;
}

struct request {
	const char *verb;
	uint32_t ledger;
	int64_t floor;
};

static enum exit_code act(struct giro *giro, const struct request *request, struct giro_id id)
{
	char text[GIRO_ID_TEXT_BYTES];
	char what[64];
	int outcome;

	if (strcmp(request->verb, "create") == 0)
		outcome = giro_account_create(giro, id, request->ledger, request->floor);
	else if (strcmp(request->verb, "freeze") == 0)
		outcome = giro_account_freeze(giro, id);
	else if (strcmp(request->verb, "unfreeze") == 0)
		outcome = giro_account_unfreeze(giro, id);
	else
		outcome = giro_account_close(giro, id);
	snprintf(what, sizeof(what), "%s %s", request->verb, giro_id_format(id, text));
	return command_outcome(what, outcome);
}

enum exit_code command_account(const struct command *command, int argc, char **argv)
{
	static const struct option options[] = {
	    {"ledger", required_argument, NULL, 'l'},
	    {"floor", required_argument, NULL, 'f'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	static const char *const verbs[] = {"create", "show", "freeze", "unfreeze", "close"};
	struct request request = {0};
	bool floor_given = false;
	int option;

	while ((option = getopt_long(argc, argv, "l:f:h", options, NULL)) != -1) {
		switch (option) {
		case 'l':
			request.ledger =
			    (uint32_t)command_number("--ledger", optarg, 1, UINT32_MAX);
			break;
		case 'f':
			request.floor = command_floor(optarg);
			floor_given = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_DONE;
		default:
			command_usage("account", "see the line above");
		}
	}
	if (argc - optind < 2)
		command_usage("account", "expected a verb and an account id");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[optind], verbs[i]) == 0)
			request.verb = verbs[i];
	}
	if (request.verb == NULL)
		command_usage("account", "cannot \"%s\" an account", argv[optind]);
	const bool creates = strcmp(request.verb, "create") == 0;
	const bool shows = strcmp(request.verb, "show") == 0;
	optind++;
	if (creates && request.ledger == 0)
		command_usage("account", "create needs --ledger");
	if (!creates && (request.ledger != 0 || floor_given))
		command_usage("account", "--ledger and --floor are for create");
	if (!shows && argc - optind > 1)
		command_usage("account", "unexpected \"%s\"", argv[optind + 1]);
	for (int i = optind; i < argc; i++)
		command_id("account", argv[i]);

	struct giro *giro = command_open(command, NULL);
	if (giro == NULL)
		return EXIT_NO_OUTCOME;
	enum exit_code worst = EXIT_DONE;
	for (int i = optind; i < argc; i++) {
		const struct giro_id id = command_id("account", argv[i]);
		if (shows && i > optind)
			printf("\n");
		const enum exit_code code = shows ? show(giro, id) : act(giro, &request, id);
		if (code > worst)
			worst = code;
	}
	giro_close(giro);
	return worst;
}
