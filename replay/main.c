/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay: asks the log.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "replay/audit.h"
#include "replay/command.h"
#include "replay/node.h"

static const char usage[] =
    "usage: giro-replay COMMAND LOG [OPTIONS]\n"
    "\n"
    "LOG is the engine's log: a directory of segments or a block device. It is only read, also\n"
    "while an engine writes it.\n"
    "\n"
    "  verify LOG                 replay all of it: chain, checksums, every outcome, digests,\n"
    "                             ledger sums, floors\n"
    "  balances LOG [--csv] [--at-epoch N | --at-time RFC3339]\n"
    "                             every account as of the end, of an epoch or of a time\n"
    "  dump LOG [--from-epoch N] [--to-epoch N]\n"
    "                             blocks and records as text\n"
    "\n"
    "exit status: 0 sound, 1 usage, 2 sound with a torn tail that the next start of the engine\n"
    "cuts, 3 corrupt, 4 diverged (a recomputed outcome differs), 5 unreadable\n";

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
	char *end;

	errno = 0;
	*epoch = strtoull(text, &end, 10);
	if (*text >= '0' && *text <= '9' && *end == '\0' && errno == 0)
		return true;
	command_error("an epoch is a number, not '%s'", text);
	return false;
}

char *command_id_text(struct id128 id, char text[48])
{
	__extension__ unsigned __int128 value = id.hi;
	char digits[48];
	char *at = digits + sizeof(digits) - 1;

	value = value << 64 | id.lo;
	*at = '\0';
	do {
		*--at = (char)('0' + (int)(value % 10));
		value /= 10;
	} while (value != 0);
	return strcpy(text, at);
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

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		enum node_end (*run)(int argc, char **argv);
	} commands[] = {
	    {"verify", command_verify},
	    {"balances", command_balances},
	    {"dump", command_dump},
	};

	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(usage, stdout);
		return NODE_SOUND;
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
