/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay: asks the log.
 */
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "replay/command.h"
#include "replay/node.h"

static const char usage[] =
    "usage: giro-replay COMMAND LOG [OPTIONS]\n"
    "\n"
    "LOG is the engine's log: a directory of segments or a block device. It is only read, also\n"
    "while an engine writes it.\n"
    "\n"
    "  verify LOG [--from MOMENT] [--to MOMENT] [--against SUMMARY] [--threads N] [--json]\n"
    "                             replay it: chain, checksums, every outcome, digests, ledger\n"
    "                             sums and floors at every epoch, checkpoints; SUMMARY: it is\n"
    "                             the log that seal-check summed up\n"
    "  seal-check LOG [--at MOMENT] [--output FILE]\n"
    "                             the same, and a summary of it to be kept apart\n"
    "  balance LOG ACCOUNT [--at MOMENT] [--json]\n"
    "                             one account\n"
    "  balances LOG [--at MOMENT] [--where FILTER]... [--csv|--json]\n"
    "                             every account, or those that pass all filters such as\n"
    "                             'balance<0', 'ledger=978', 'held>0', 'frozen=1'\n"
    "  statement LOG ACCOUNT [--from MOMENT] [--to MOMENT] [--csv|--json]\n"
    "                             opening balance, every movement, closing balance\n"
    "  transfer LOG ID [--json]   its whole story as it was logged\n"
    "  phases LOG [--at MOMENT] [--json]\n"
    "                             transfers under way between shards\n"
    "  stats LOG [--from MOMENT] [--to MOMENT] [--every SECONDS] [--json]\n"
    "                             rates, statuses, sizes and epoch lengths over time\n"
    "  diff LOG LOG               the first block, shard and record in which two logs differ\n"
    "  diff LOG --engine PREFIX|SOCKET [--json]\n"
    "                             asks the running engine with that EAL --file-prefix for the\n"
    "                             digests of its shards, and compares them with the log's. Its\n"
    "                             workers stand still while they make them\n"
    "  checkpoint LOG [--directory DIR] [--every EPOCHS] [--keep N] [--follow]\n"
    "                             write the state behind the last block known to be durable,\n"
    "                             so that starts and questions need not begin at the first byte\n"
    "  export LOG --sqlite FILE|--csv FOLDER|--jsonl FOLDER [--to MOMENT] [--every EPOCHS]\n"
    "         [--follow]          every movement, transfer and account as rows; run again, it "
    "goes\n"
    "                             on where it stopped\n"
    "  trim LOG [--archive DIR|none] [--spare N] [--dry-run]\n"
    "                             remove the segments before the last but one of the proved\n"
    "                             checkpoints; with an archive, keep them there, compressed\n"
    "  dump LOG [--from-epoch N] [--to-epoch N]\n"
    "                             blocks and records as text\n"
    "\n"
    "A MOMENT is an epoch such as 1234 or a time such as 2026-11-24T08:00:00Z. Ids are decimal,\n"
    "0x and hexadecimal, or a UUID. balance, balances, statement and phases begin at the newest\n"
    "checkpoint that serves, in LOG or --checkpoints DIR; '--checkpoints none': at the first "
    "byte.\n"
    "Every command reads archived segments in LOG/archive, or --archive DIR, as part of the log.\n"
    "\n"
    "exit status: 0 sound, 1 usage, 2 sound with a torn tail that the next start of the engine\n"
    "cuts, 3 corrupt, 4 diverged (a recomputed outcome differs), 5 unreadable,\n"
    "6 what was asked for is not in the log; diff: 4 the logs, or engine and log, differ, 5 no\n"
    "engine answers; export: 4 another log\n";

void command_error(const char *format, ...)
{
	va_list args;

	fputs("giro-replay: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

bool command_parse_epoch(const char *text, uint64_t *epoch)
{
	if (moment_parse_epoch(text, epoch))
		return true;
	command_error("an epoch is a number, not '%s'", text);
	return false;
}

bool command_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
	if (moment_parse_epoch(text, number) && *number >= min && *number <= max)
		return true;
	command_error("a number in %" PRIu64 "..%" PRIu64 " is wanted, not '%s'", min, max, text);
	return false;
}

static bool moment_complaint(bool parsed, const char *text)
{
	if (!parsed)
		command_error("a moment is an epoch such as 1234 or a time such as "
			      "2026-11-24T08:00:00Z, not '%s'",
			      text);
	return parsed;
}

bool command_parse_moment(const char *text, struct moment *moment)
{
	return moment_complaint(moment_parse(text, moment), text);
}

bool command_parse_from(const char *text, struct moment *moment)
{
	return moment_complaint(moment_parse_from(text, moment), text);
}

/* Puts one more digit behind; false when the number no longer fits 128 bits. */
static bool append_digit(struct id128 *id, unsigned base, unsigned digit)
{
	__extension__ typedef unsigned __int128 wide;
	wide value = (wide)id->hi << 64 | id->lo;

	if (value > (~(wide)0 - digit) / base)
		return false;
	value = value * base + digit;
	*id = (struct id128){.lo = (uint64_t)value, .hi = (uint64_t)(value >> 64)};
	return true;
}

static bool is_uuid(const char *text)
{
	static const size_t dashes[] = {8, 13, 18, 23};

	if (strlen(text) != 36)
		return false;
	for (size_t i = 0; i < sizeof(dashes) / sizeof(dashes[0]); i++) {
		if (text[dashes[i]] != '-')
			return false;
	}
	return true;
}

bool command_parse_id(const char *text, struct id128 *id)
{
	bool uuid = is_uuid(text);
	bool hexadecimal = uuid || strncmp(text, "0x", 2) == 0;
	const char *at = text + (hexadecimal && !uuid ? 2 : 0);
	bool valid = *at != '\0';

	*id = (struct id128){0};
	for (size_t i = 0; valid && at[i] != '\0'; i++) {
		static const char digits[] = "0123456789abcdef";
		if (uuid && at[i] == '-' && (i == 8 || i == 13 || i == 18 || i == 23))
			continue;
		const char *digit = strchr(digits, tolower((unsigned char)at[i]));
		unsigned value = digit == NULL ? 16 : (unsigned)(digit - digits);
		valid = value < (hexadecimal ? 16u : 10u) &&
			append_digit(id, hexadecimal ? 16 : 10, value);
	}
	if (!valid)
		command_error("an id is a 128-bit number in decimal, in hexadecimal with 0x, or a "
			      "UUID, not '%s'",
			      text);
	return valid;
}

static bool parse_option(const struct command_option *option, const char *text)
{
	switch (option->kind) {
	case OPTION_FLAG:
		*(bool *)option->value = true;
		return true;
	case OPTION_TEXT:
		*(const char **)option->value = text;
		return true;
	case OPTION_COUNT:
		return command_parse_number(text, 1, UINT64_MAX, option->value);
	case OPTION_MOMENT:
		return command_parse_moment(text, option->value);
	default:
		return command_parse_from(text, option->value);
	}
}

bool command_parse(int argc, char **argv, const struct command_option *options,
		   const char **arguments, int count, const char *usage_line)
{
	struct option table[COMMAND_OPTIONS_MAX + 1] = {0};
	int option;

	for (int i = 0; options[i].kind != OPTION_END; i++) {
		CHECK(i < COMMAND_OPTIONS_MAX);
		table[i] = (struct option){
		    .name = options[i].name,
		    .has_arg = options[i].kind == OPTION_FLAG ? no_argument : required_argument,
		    .val = i + 1,
		};
	}
	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (option == '?' || !parse_option(&options[option - 1], optarg))
			return false;
	}
	if (argc - optind != count) {
		command_error("usage: giro-replay %s", usage_line);
		return false;
	}
	for (int i = 0; i < count; i++)
		arguments[i] = argv[optind + i];
	return true;
}

/* 128-bit divisions are slow: two of them leave parts of 19 digits. */
char *command_id_text(struct id128 id, char text[48])
{
	__extension__ typedef unsigned __int128 wide;
	const uint64_t part = UINT64_C(10000000000000000000);
	wide value = (wide)id.hi << 64 | id.lo;

	if (value < part) {
		sprintf(text, "%" PRIu64, (uint64_t)value);
		return text;
	}
	wide above = value / part;
	uint64_t low = (uint64_t)(value % part);
	if (above < part)
		sprintf(text, "%" PRIu64 "%019" PRIu64, (uint64_t)above, low);
	else
		sprintf(text, "%" PRIu64 "%019" PRIu64 "%019" PRIu64, (uint64_t)(above / part),
			(uint64_t)(above % part), low);
	return text;
}

char *command_time_text(uint64_t time_ms, char text[32])
{
	time_t seconds = (time_t)(time_ms / 1000);
	struct tm utc;

	gmtime_r(&seconds, &utc);
	size_t used = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + used, 32 - used, ".%03uZ", (unsigned)(time_ms % 1000));
	return text;
}

const char *command_block_type(unsigned type)
{
	switch (type) {
	case WAL_DATA:
		return "DATA";
	case WAL_OPEN:
		return "OPEN";
	case WAL_CLOSE:
		return "CLOSE";
	default:
		return "?";
	}
}

const char *command_verdict(enum node_end end)
{
	switch (end) {
	case NODE_SOUND:
		return "sound";
	case NODE_TORN:
		return "sound, with a torn tail";
	case NODE_CORRUPT:
		return "CORRUPT";
	case NODE_DIVERGED:
		return "DIVERGED";
	case NODE_NOT_FOUND:
		return "sound, without what was asked for";
	default:
		return "UNREADABLE";
	}
}

static const char *archive;

const char *command_archive(void)
{
	return archive;
}

/* Takes "--archive DIR" out of the arguments: every command knows it. Returns how many are left, or -1
 * when the folder is missing. */
static int take_archive(int argc, char **argv)
{
	static const char name[] = "--archive";
	int kept = 0;

	for (int i = 0; i < argc; i++) {
		bool spaced = strcmp(argv[i], name) == 0;
		bool joined = strncmp(argv[i], "--archive=", sizeof(name)) == 0;
		if (!spaced && !joined) {
			argv[kept++] = argv[i];
			continue;
		}
		archive = joined ? argv[i] + sizeof(name) : i + 1 < argc ? argv[++i] : NULL;
		if (archive == NULL || archive[0] == '\0')
			return -1;
	}
	argv[kept] = NULL;
	node_use_archive(archive);
	return kept;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		enum node_end (*run)(int argc, char **argv);
	} commands[] = {
	    {"verify", command_verify},
	    {"balance", command_balance},
	    {"balances", command_balances},
	    {"accounts", command_balances},
	    {"statement", command_statement},
	    {"transfer", command_transfer},
	    {"phases", command_phases},
	    {"stats", command_stats},
	    {"diff", command_diff},
	    {"checkpoint", command_checkpoint},
	    {"export", command_export},
	    {"dump", command_dump},
	    {"seal-check", command_seal_check},
	    {"trim", command_trim},
	};

	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(usage, stdout);
		return NODE_SOUND;
	}
	argc = take_archive(argc, argv);
	if (argc < 0) {
		command_error("--archive needs a folder");
		return NODE_USAGE;
	}
	for (size_t i = 0; argc >= 2 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return (int)commands[i].run(argc - 1, argv + 1);
	}
	if (argc >= 2)
		command_error("unknown command '%s'", argv[1]);
	fputs(usage, stderr);
	return NODE_USAGE;
}
