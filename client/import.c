/* SPDX-License-Identifier: Apache-2.0
 *
 * giro import: the command line, the three lists in turn, the report.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/command.h"
#include "client/import_send.h"

static const char help[] =
    "Usage: giro import ACCOUNTS.csv TRANSFERS.csv [options]\n"
    "\n"
    "Creates the accounts, pays their opening balances, then makes the transfers.\n"
    "\n"
    "  ACCOUNTS.csv    id,ledger,floor,opening\n"
    "                  floor: lowest balance, 0 or below, or `issuer`. The opening balance is "
    "paid\n"
    "                  by the first account of the same ledger whose floor is `issuer`\n"
    "  TRANSFERS.csv   time_ms,code,debit,credit,amount\n"
    "\n"
    "Both files are checked before anything is sent. A journal, TRANSFERS.csv.giro-journal,\n"
    "keeps what was sent and what came of it: after a crash, a kill or an outage run the same\n"
    "command again, and it goes on where it stopped; no line is paid twice. A line whose outcome\n"
    "can no longer be known, since its id is older than the engine's window, is reported as\n"
    "unknown, never guessed. To pay the same files once more, move the journal away.\n"
    "\n"
    "Options:\n"
    "  -o, --in-order        wait for the outcome of each line before the next\n"
    "  -r, --refused FILE    write the lines without success, as CSV: file,line,status,record\n"
    "  -e, --existing        go on when accounts of the file exist already\n"
    "  -l, --ledger N        ledger of transfers between accounts that ACCOUNTS.csv lacks\n"
    "  -p, --patience SECONDS  stop when the engine has not answered for so long (default 60)\n"
    "  -i, --in-flight N     most datagrams unanswered at a time (default 256)\n"
    "  -q, --quiet           no progress\n"
    "  -h, --help            this text\n"
    "\n"
    "Exit codes: 0 all done; 1 done, but some lines were refused; 2 bad input, nothing sent;\n"
    "3 stopped before the end, run it again; 4 done, but some outcomes are unknown.\n";

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

struct arguments {
	const char *accounts;
	const char *transfers;
	const char *refused;
	uint32_t ledger;
	uint32_t in_flight;
	struct import_options options;
};

static bool parse(struct arguments *arguments, int argc, char **argv)
{
	static const struct option options[] = {
	    {"in-order", no_argument, NULL, 'o'},
	    {"refused", required_argument, NULL, 'r'},
	    {"existing", no_argument, NULL, 'e'},
	    {"ledger", required_argument, NULL, 'l'},
	    {"patience", required_argument, NULL, 'p'},
	    {"in-flight", required_argument, NULL, 'i'},
	    {"quiet", no_argument, NULL, 'q'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	int option;

	*arguments = (struct arguments){.options.patience_s = 60};
	while ((option = getopt_long(argc, argv, "or:el:p:i:qh", options, NULL)) != -1) {
		switch (option) {
		case 'o':
			arguments->options.in_order = true;
			break;
		case 'r':
			arguments->refused = optarg;
			break;
		case 'e':
			arguments->options.existing = true;
			break;
		case 'l':
			arguments->ledger =
			    (uint32_t)command_number("--ledger", optarg, 1, UINT32_MAX);
			break;
		case 'p':
			arguments->options.patience_s =
			    (uint32_t)command_number("--patience", optarg, 1, 86400);
			break;
		case 'i':
			arguments->in_flight =
			    (uint32_t)command_number("--in-flight", optarg, 1, 16384);
			break;
		case 'q':
			arguments->options.quiet = true;
			break;
		case 'h':
			fputs(help, stdout);
			return false;
		default:
			command_usage("import", "see the line above");
		}
	}
	if (argc - optind != 2)
		command_usage("import", "expected ACCOUNTS.csv and TRANSFERS.csv");
	arguments->accounts = argv[optind];
	arguments->transfers = argv[optind + 1];
	return true;
}

static void replay(void *context, const struct journal_record *record)
{
	struct import *import = context;
	uint8_t *state = import->state[record->list];

	if (record->type == JOURNAL_BASE) {
		if (!import_add_base(import, record->list, record->first, record->count,
				     record->value)) {
			fprintf(stderr, "giro import: out of memory for the journal\n");
			exit(EXIT_NO_OUTCOME);
		}
		return;
	}
	for (uint64_t row = record->first; row < record->first + record->count; row++) {
		if (state[row] == STATE_OPEN)
			import->decided[record->list]++;
		state[row] = (uint8_t)(record->status + 1);
	}
}

static bool prepare(struct import *import)
{
	import->rows[LIST_ACCOUNTS] = import->input.account_count;
	import->rows[LIST_OPENINGS] = import->input.account_count;
	import->rows[LIST_TRANSFERS] = import->input.transfers.rows;
	for (unsigned list = 0; list < LISTS; list++) {
		import->total[list] = import->rows[list];
		import->state[list] = calloc(import->rows[list] + 1, 1);
		if (import->state[list] == NULL)
			return false;
	}
	for (uint64_t row = 0; row < import->rows[LIST_OPENINGS]; row++) {
		if (import->input.account[row].opening == 0) {
			import->state[LIST_OPENINGS][row] = STATE_NONE;
			import->total[LIST_OPENINGS]--;
		}
	}
	return true;
}

/* Counts the rows of a list by state. */
static void count_states(const struct import *import, enum import_list list,
			 uint64_t counts[STATE_NONE + 1])
{
	memset(counts, 0, (STATE_NONE + 1) * sizeof(*counts));
	for (uint64_t row = 0; row < import->rows[list]; row++)
		counts[import->state[list][row]]++;
}

static const char *explain(enum import_end end)
{
	switch (end) {
	case IMPORT_STOPPED:
		return "interrupted";
	case IMPORT_NO_ANSWER:
		return "the engine has not answered for the whole patience; is it running?";
	case IMPORT_LOG_CHANGED:
		return "the engine now writes another log than when this import began";
	case IMPORT_MISFIT:
		return "the engine refuses this version of the protocol";
	default:
		return strerror(errno);
	}
}

/* May the money be moved, now that the accounts have been dealt with? */
static bool accounts_good(const struct import *import)
{
	uint64_t counts[STATE_NONE + 1];

	count_states(import, LIST_ACCOUNTS, counts);
	const uint64_t differ = counts[GIRO_ACCOUNT_DIFFERS + 1];
	const uint64_t exist = counts[GIRO_ACCOUNT_EXISTS + 1];

	if (differ > 0) {
		fprintf(stderr,
			"giro import: %" PRIu64 " accounts exist with another ledger or floor; no "
			"money was moved. --refused FILE lists them\n",
			differ);
		return false;
	}
	if (exist > 0 && !import->options.existing) {
		fprintf(stderr,
			"giro import: %" PRIu64
			" accounts existed already, so these files may have "
			"been imported before, without this journal; no money was moved. If their "
			"opening balances are to be paid now, run it again with --existing\n",
			exist);
		return false;
	}
	return true;
}

static enum exit_code send_all(struct import *import)
{
	for (unsigned list = 0; list < LISTS; list++) {
		const enum import_end end = import_send(import, (enum import_list)list);
		if (end == IMPORT_NO_JOURNAL)
			fprintf(stderr, "giro import: stopped: %s: %s\n", import->journal.path,
				explain(end));
		else if (end != IMPORT_DONE)
			fprintf(stderr,
				"giro import: stopped: %s. Run the same command again to "
				"go on\n",
				explain(end));
		if (end != IMPORT_DONE)
			return EXIT_NO_OUTCOME;
		if (list == LIST_ACCOUNTS && !accounts_good(import))
			return EXIT_REFUSED;
	}
	if (!journal_sync(&import->journal)) {
		fprintf(stderr, "giro import: %s: %s\n", import->journal.path, strerror(errno));
		return EXIT_NO_OUTCOME;
	}
	return EXIT_DONE;
}

static bool success(enum import_list list, int status)
{
	return status == GIRO_OK || (list == LIST_ACCOUNTS && status == GIRO_ACCOUNT_EXISTS);
}

/* Prints each list's outcomes by status; returns the exit code they call for. */
static enum exit_code report(const struct import *import)
{
	static const char *const names[LISTS] = {"accounts", "openings", "transfers"};
	enum exit_code code = EXIT_DONE;

	for (unsigned list = 0; list < LISTS; list++) {
		uint64_t counts[STATE_NONE + 1];
		count_states(import, (enum import_list)list, counts);
		printf("%-10s %" PRIu64 " of %" PRIu64, names[list], import->decided[list],
		       import->total[list]);
		for (int status = 0; status < STATE_NONE - 1; status++) {
			const uint64_t count = counts[status + 1];
			if (count == 0)
				continue;
			const bool unknown = status == GIRO_ID_EXPIRED;
			printf(", %" PRIu64 " %s%s", count, unknown ? "unknown: " : "",
			       giro_outcome_name(status));
			if (unknown)
				code = EXIT_UNKNOWN;
			else if (!success((enum import_list)list, status) && code == EXIT_DONE)
				code = EXIT_REFUSED;
		}
		printf("\n");
	}
	return code;
}

static bool write_refused(const struct import *import, const char *path)
{
	FILE *file = fopen(path, "w");

	if (file == NULL)
		return false;
	fprintf(file, "file,line,status,record\n");
	for (unsigned list = 0; list < LISTS; list++) {
		const struct csv_file *source =
		    list == LIST_TRANSFERS ? &import->input.transfers : &import->input.accounts;
		struct csv_cursor cursor = csv_begin(source);
		const char *text;
		size_t size;
		for (uint64_t row = 0; csv_line(&cursor, &text, &size); row++) {
			const uint8_t state = import->state[list][row];
			if (!state_decided(state) || success((enum import_list)list, state - 1))
				continue;
			fprintf(file, "%s,%" PRIu64 ",%s,\"%.*s\"\n", source->path, row + 2,
				giro_outcome_name(state - 1), (int)size, text);
		}
	}
	return fclose(file) == 0;
}

static enum exit_code run(struct import *import, const struct arguments *arguments)
{
	char message[CSV_MESSAGE_BYTES > JOURNAL_MESSAGE_BYTES ? CSV_MESSAGE_BYTES
							       : JOURNAL_MESSAGE_BYTES];

	if (!prepare(import)) {
		fprintf(stderr, "giro import: out of memory\n");
		return EXIT_NO_OUTCOME;
	}
	const struct journal_subject subject = {
	    .log_id = giro_info(import->giro)->log_id,
	    .accounts = import->input.accounts.digest,
	    .transfers = import->input.transfers.digest,
	    .rows = {import->rows[0], import->rows[1], import->rows[2]},
	};
	if (!journal_open(&import->journal, arguments->transfers, &subject, replay, import,
			  message)) {
		fprintf(stderr, "giro import: %s\n", message);
		return EXIT_USAGE;
	}
	if (import->journal.dropped_bytes > 0)
		fprintf(stderr,
			"giro import: %s: dropped the last %" PRIu64 " bytes, cut by a crash\n",
			import->journal.path, import->journal.dropped_bytes);
	if (import->journal.resumed)
		fprintf(stderr,
			"giro import: going on: %" PRIu64 " accounts, %" PRIu64
			" openings and %" PRIu64 " transfers have their outcome already\n",
			import->decided[0], import->decided[1], import->decided[2]);

	const enum exit_code sent = send_all(import);
	const enum exit_code outcome = report(import);
	journal_close(&import->journal);
	if (arguments->refused != NULL && !write_refused(import, arguments->refused)) {
		fprintf(stderr, "giro import: %s: %s\n", arguments->refused, strerror(errno));
		return EXIT_NO_OUTCOME;
	}
	return sent != EXIT_DONE ? sent : outcome;
}

enum exit_code command_import(const struct command *command, int argc, char **argv)
{
	const struct sigaction action = {.sa_handler = on_signal};
	struct arguments arguments;
	struct import import = {.stop = &stop};
	char message[CSV_MESSAGE_BYTES];

	if (!parse(&arguments, argc, argv))
		return EXIT_DONE;
	import.options = arguments.options;
	enum exit_code code = EXIT_USAGE;
	if (!input_load(&import.input, arguments.accounts, arguments.transfers, arguments.ledger,
			message)) {
		fprintf(stderr, "giro import: %s\n", message);
		goto end;
	}
	const struct giro_options options = {
	    .bytes = sizeof(options),
	    .in_flight = arguments.in_flight,
	    .linger_us = arguments.options.in_order ? 0 : 200,
	};
	import.giro = command_open(command, &options);
	code = EXIT_NO_OUTCOME;
	if (import.giro == NULL)
		goto end;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	code = run(&import, &arguments);

end:
	giro_close(import.giro);
	for (unsigned list = 0; list < LISTS; list++)
		free(import.state[list]);
	free(import.bases);
	input_free(&import.input);
	return code;
}
