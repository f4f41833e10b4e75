/* SPDX-License-Identifier: Apache-2.0
 *
 * giro: the command. Its main line, and what its nouns share.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/command.h"

static const char help[] =
    "Usage: giro [--server HOST[:PORT]] [--timeout SECONDS] COMMAND ...\n"
    "\n"
    "Commands (each has its own --help):\n"
    "  info                            what the engine says of itself\n"
    "  ping [COUNT]                    round trips to the engine\n"
    "  account create ID --ledger N [--floor AMOUNT|issuer]\n"
    "  account show ID...\n"
    "  account freeze|unfreeze|close ID\n"
    "  transfer DEBIT CREDIT AMOUNT --ledger N [--code N] [--id ID]\n"
    "  transfer show ID DEBIT          outcome of a transfer of the last while\n"
    "  import ACCOUNTS.csv TRANSFERS.csv\n"
    "  top                             what the engine on this machine does, live\n"
    "\n"
    "Options:\n"
    "  -s, --server HOST[:PORT]  the engine: UDP port of its first shard\n"
    "                            (default: $GIRO_SERVER, else 127.0.0.1:7400)\n"
    "  -t, --timeout SECONDS     how long to wait for an outcome (default 10)\n"
    "  -h, --help                this text\n"
    "\n"
    "Ids are decimal numbers up to 2^128-1 or UUIDs. Amounts are integers in minor units.\n"
    "\n"
    "Exit codes:\n"
    "  0  done\n"
    "  1  the engine refused it, or (import) some of it\n"
    "  2  the command line or an input file is wrong; nothing was sent\n"
    "  3  no outcome: the engine did not answer in time. It may or may not have happened;\n"
    "     the same command with the same --id (or the same import) finds out\n"
    "  4  import: it ended, but outcomes are unknown since their ids left the window\n";

static const struct {
	const char *name;
	enum exit_code (*run)(const struct command *command, int argc, char **argv);
} commands[] = {
    {"info", command_info},	    {"ping", command_ping},	{"account", command_account},
    {"transfer", command_transfer}, {"import", command_import}, {"top", command_top},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

void command_usage(const char *command, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "giro%s%s: ", *command ? " " : "", command);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\nTry: giro %s%s--help\n", command, *command ? " " : "");
	exit(EXIT_USAGE);
}

struct giro *command_open(const struct command *command, const struct giro_options *options)
{
	struct giro_options with_timeout = {.bytes = sizeof(with_timeout)};
	char message[GIRO_MESSAGE_BYTES];
	struct giro *giro;

	if (options != NULL)
		with_timeout = *options;
	if (with_timeout.timeout_ms == 0)
		with_timeout.timeout_ms = command->timeout_ms;
	with_timeout.open_timeout_ms = command->timeout_ms;
	if (giro_open(&giro, command->server, &with_timeout, message) != 0) {
		fprintf(stderr, "giro: %s\n", message);
		return NULL;
	}
	const struct giro_info *info = giro_info(giro);
	if ((uint64_t)llabs(info->clock_offset_ms) > info->ahead_ms)
		fprintf(stderr,
			"giro: warning: this machine's clock is %" PRId64
			" ms %s the engine's, more "
			"than the %" PRIu64
			" ms allowed; ids are made with the engine's time. Set the clock (NTP)\n",
			(int64_t)llabs(info->clock_offset_ms),
			info->clock_offset_ms > 0 ? "behind" : "ahead of", info->ahead_ms);
	return giro;
}

enum exit_code command_outcome(const char *what, int outcome)
{
	if (outcome == GIRO_OK)
		return EXIT_DONE;
	fprintf(stderr, "giro: %s: %s, %s\n", what, giro_outcome_name(outcome),
		giro_outcome_text(outcome));
	return outcome > 0 ? EXIT_REFUSED : EXIT_NO_OUTCOME;
}

struct giro_id command_id(const char *name, const char *text)
{
	struct giro_id id;

	if (giro_id_parse(text, &id) != 0) {
		fprintf(stderr,
			"giro: %s \"%s\": expected a decimal number below 2^128 or a UUID\n", name,
			text);
		exit(EXIT_USAGE);
	}
	return id;
}

uint64_t command_number(const char *name, const char *text, uint64_t low, uint64_t high)
{
	char *end;

	errno = 0;
	const uint64_t value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < low ||
	    value > high) {
		fprintf(stderr,
			"giro: %s \"%s\": expected a number from %" PRIu64 " to %" PRIu64 "\n",
			name, text, low, high);
		exit(EXIT_USAGE);
	}
	return value;
}

int64_t command_floor(const char *text)
{
	char *end;

	if (strcmp(text, "issuer") == 0)
		return GIRO_FLOOR_ISSUER;
	errno = 0;
	const int64_t value = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || value > 0) {
		fprintf(stderr,
			"giro: floor \"%s\": expected a number of minor units, 0 or below, or "
			"issuer\n",
			text);
		exit(EXIT_USAGE);
	}
	return value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"server", required_argument, NULL, 's'},
	    {"timeout", required_argument, NULL, 't'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	const char *server = getenv("GIRO_SERVER");
	struct command command = {
	    .server = server && *server ? server : "127.0.0.1",
	    .timeout_ms = 10000,
	};
	int option;

	/* "+": options behind the command are the command's. */
	while ((option = getopt_long(argc, argv, "+s:t:h", options, NULL)) != -1) {
		switch (option) {
		case 's':
			command.server = optarg;
			break;
		case 't':
			command.timeout_ms =
			    (uint32_t)command_number("--timeout", optarg, 1, 86400) * 1000;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_DONE;
		default:
			command_usage("", "see the line above");
		}
	}
	if (optind == argc)
		command_usage("", "a command is missing");
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[optind], commands[i].name) != 0)
			continue;
		argv += optind;
		argc -= optind;
		optind = 0; /* getopt starts over */
		return (int)commands[i].run(&command, argc, argv);
	}
	command_usage("", "no command is called \"%s\"", argv[optind]);
}
