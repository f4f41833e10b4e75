/* SPDX-License-Identifier: Apache-2.0
 *
 * giro info, giro ping: what the engine says of itself.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/command.h"

static const char info_help[] =
    "Usage: giro info\n"
    "\n"
    "Prints what the engine says of itself: its log, limits, clock, shards.\n";

static const char ping_help[] =
    "Usage: giro ping [COUNT]\n"
    "\n"
    "Asks the engine for INFO COUNT times (default 4), a second apart, and prints the round\n"
    "trips. Exit code 0 when all were answered, 3 otherwise.\n";

/* Only --help; returns false when it was given. */
static bool no_options(const char *name, const char *help, int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		if (option != 'h')
			command_usage(name, "see the line above");
		fputs(help, stdout);
		return false;
	}
	return true;
}

enum exit_code command_info(const struct command *command, int argc, char **argv)
{
	if (!no_options("info", info_help, argc, argv))
		return EXIT_DONE;
	if (optind != argc)
		command_usage("info", "unexpected \"%s\"", argv[optind]);
	struct giro *giro = command_open(command, NULL);
	if (giro == NULL)
		return EXIT_NO_OUTCOME;

	const struct giro_info *info = giro_info(giro);
	printf("protocol versions    %u to %u\n", info->version_min, info->version_max);
	printf("log                  %016" PRIx64 "\n", info->log_id);
	printf("durable epoch        %" PRIu64 "\n", info->committed);
	printf("clock                %" PRIu64 " ms (this machine's %+" PRId64 " ms)\n",
	       info->now_ms, info->clock_offset_ms);
	printf("window of ids        %" PRIu64 " ms back, %" PRIu64 " ms ahead\n", info->window_ms,
	       info->ahead_ms);
	printf("largest datagram     %u bytes, %u records (of this session)\n",
	       info->datagram_bytes, info->datagram_records);
	printf("accounts per shard   %" PRIu64 " at most\n", info->accounts_max);
	printf("slot map             version %u\n", info->map_version);
	printf("shards               %u, UDP ports", info->shards);
	for (uint32_t i = 0; i < info->shards; i++)
		printf(" %u", info->port[i]);
	printf("\n");
	giro_close(giro);
	return EXIT_DONE;
}

enum exit_code command_ping(const struct command *command, int argc, char **argv)
{
	uint64_t count = 4;
	uint64_t answered = 0;

	if (!no_options("ping", ping_help, argc, argv))
		return EXIT_DONE;
	if (optind < argc)
		count = command_number("COUNT", argv[optind++], 1, 1000000000);
	if (optind != argc)
		command_usage("ping", "unexpected \"%s\"", argv[optind]);
	struct giro *giro = command_open(command, NULL);
	if (giro == NULL)
		return EXIT_NO_OUTCOME;

	for (uint64_t i = 0; i < count; i++) {
		const struct timespec second = {.tv_sec = 1};
		uint64_t round_trip_us;
		if (i > 0)
			nanosleep(&second, NULL);
		const int outcome = giro_ping(giro, 1000, &round_trip_us);
		if (outcome != 0) {
			printf("%s: no answer within 1 s%s\n", command->server,
			       outcome == GIRO_LOG_CHANGED ? "; its log is another one now" : "");
			if (outcome == GIRO_LOG_CHANGED)
				break;
			continue;
		}
		answered++;
		printf("%s: epoch %" PRIu64 ", %" PRIu64 ".%03" PRIu64 " ms\n", command->server,
		       giro_info(giro)->committed, round_trip_us / 1000, round_trip_us % 1000);
		fflush(stdout);
	}
	printf("%" PRIu64 " of %" PRIu64 " answered\n", answered, count);
	giro_close(giro);
	return answered == count ? EXIT_DONE : EXIT_NO_OUTCOME;
}
