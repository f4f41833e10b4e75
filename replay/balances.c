/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay balances: every account, now or as of an epoch or a time.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "replay/command.h"
#include "replay/node.h"

struct request {
	const char *log;
	uint64_t epoch_max; /* blocks up to this epoch */
	uint64_t time_max;  /* and up to this time, Unix milliseconds */
	bool csv;
};

/* Does the text begin as the pattern, in which 0 stands for any digit? */
static bool begins_as(const char *text, const char *pattern)
{
	for (; *pattern != '\0'; text++, pattern++) {
		bool digit = *text >= '0' && *text <= '9';
		if (*pattern == '0' ? !digit : *text != *pattern)
			return false;
	}
	return true;
}

/* Is there such a day in the calendar? */
static bool day_exists(const struct tm *fields)
{
	struct tm day = {
	    .tm_year = fields->tm_year,
	    .tm_mon = fields->tm_mon,
	    .tm_mday = fields->tm_mday,
	};

	return timegm(&day) != -1 && day.tm_mday == fields->tm_mday;
}

/* ".123": cut to milliseconds. Moves *text behind it; false when there are no digits. */
static bool parse_fraction(const char **text, long *milliseconds)
{
	long place = 100;

	if (**text != '.')
		return true;
	if (!begins_as(++*text, "0"))
		return false;
	for (; begins_as(*text, "0"); ++*text, place /= 10)
		*milliseconds += (**text - '0') * place;
	return true;
}

/* "Z" or "+01:00", to the end of the text. */
static bool parse_offset(const char *text, long *seconds)
{
	if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
		return true;
	if ((!begins_as(text, "+00:00") && !begins_as(text, "-00:00")) || text[6] != '\0')
		return false;
	long hours = strtol(text + 1, NULL, 10);
	long minutes = strtol(text + 4, NULL, 10);
	*seconds = (hours * 3600 + minutes * 60) * (*text == '-' ? -1 : 1);
	return hours < 24 && minutes < 60;
}

/* RFC 3339: 2026-11-24T08:00:00[.123](Z|+01:00). */
static bool parse_time(const char *text, uint64_t *time_ms)
{
	struct tm fields = {0};
	long milliseconds = 0;
	long offset = 0;

	if (!begins_as(text, "0000-00-00T00:00:00"))
		return false;
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &fields);
	if (rest == NULL || fields.tm_sec > 60 || !day_exists(&fields) ||
	    !parse_fraction(&rest, &milliseconds) || !parse_offset(rest, &offset))
		return false;
	time_t seconds = timegm(&fields) - offset;
	if (seconds < 0)
		return false;
	*time_ms = (uint64_t)seconds * 1000 + (uint64_t)milliseconds;
	return true;
}

static bool parse_request(int argc, char **argv, struct request *request)
{
	static const struct option options[] = {
	    {"at-epoch", required_argument, NULL, 'e'},
	    {"at-time", required_argument, NULL, 't'},
	    {"csv", no_argument, NULL, 'c'},
	    {NULL, 0, NULL, 0},
	};
	int option;

	*request = (struct request){.epoch_max = UINT64_MAX, .time_max = UINT64_MAX};
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'e':
			if (!command_parse_epoch(optarg, &request->epoch_max))
				return false;
			break;
		case 't':
			if (!parse_time(optarg, &request->time_max)) {
				command_error("--at-time wants RFC 3339 such as "
					      "2026-11-24T08:00:00Z, not '%s'",
					      optarg);
				return false;
			}
			break;
		case 'c':
			request->csv = true;
			break;
		default:
			return false;
		}
	}
	if (optind + 1 != argc) {
		command_error("usage: giro-replay balances LOG [--csv] [--at-epoch N | --at-time "
			      "RFC3339]");
		return false;
	}
	request->log = argv[optind];
	return true;
}

static int by_id(const void *left, const void *right)
{
	const struct account *a = *(const struct account *const *)left;
	const struct account *b = *(const struct account *const *)right;

	if (a->id.hi != b->id.hi)
		return a->id.hi < b->id.hi ? -1 : 1;
	return a->id.lo < b->id.lo ? -1 : a->id.lo > b->id.lo;
}

static void print_account(const struct account *account, bool csv)
{
	char id[48];
	char floor[24];

	command_id_text(account->id, id);
	if (csv) {
		printf("%s,%" PRId64 "\n", id, account->balance);
		return;
	}
	if (account->floor == FLOOR_ISSUER)
		snprintf(floor, sizeof(floor), "issuer");
	else
		snprintf(floor, sizeof(floor), "%" PRId64, account->floor);
	printf("%-39s %10" PRIu32 " %20" PRId64 " %20" PRIu64 " %20" PRIu64 " %20s %s%s\n", id,
	       account->ledger, account->balance, account->held, account->incoming, floor,
	       account->flags & ACCOUNT_FROZEN ? "frozen " : "",
	       account->flags & ACCOUNT_CLOSED ? "closed" : "");
}

static bool print_balances(const struct node *node, bool csv)
{
	uint64_t count = 0;
	uint64_t at = 0;

	for (uint32_t i = 0; i < node->limits.shards; i++)
		count += node->shards[i]->accounts.count;
	const struct account **accounts = malloc((count + 1) * sizeof(*accounts));
	if (accounts == NULL)
		return false;
	for (uint32_t i = 0; i < node->limits.shards; i++) {
		const struct account_table *table = &node->shards[i]->accounts;
		for (uint64_t line = 0; line <= table->mask; line++) {
			if (!id_is_zero(table->lines[line].id))
				accounts[at++] = &table->lines[line];
		}
	}
	qsort(accounts, count, sizeof(*accounts), by_id);
	if (csv)
		puts("id,balance");
	else
		printf("%-39s %10s %20s %20s %20s %20s %s\n", "account", "ledger", "balance",
		       "held", "incoming", "floor", "state");
	for (at = 0; at < count; at++)
		print_account(accounts[at], csv);
	free(accounts);
	return true;
}

enum node_end command_balances(int argc, char **argv)
{
	static struct node node;
	struct request request;
	struct wal_block block;

	if (!parse_request(argc, argv, &request))
		return NODE_USAGE;
	enum node_end end = node_open(&node, request.log);
	if (end != NODE_SOUND) {
		command_error("%s", node.text);
		return end;
	}
	/* A block is looked at before it is applied, so that the state stops in front of it. */
	while (node_peek(&node, &block, &end) && block.header->epoch <= request.epoch_max &&
	       block.header->time_ms <= request.time_max) {
		if (!node_apply(&node, false, &block, &end))
			break;
	}
	if (end != NODE_SOUND)
		command_error("%s", node.text);
	if (end == NODE_SOUND || end == NODE_TORN) {
		if (!request.csv)
			printf("as of epoch %" PRIu64 "\n", node.epoch);
		if (!print_balances(&node, request.csv)) {
			command_error("no memory");
			end = NODE_UNREADABLE;
		}
	}
	node_close(&node);
	return end;
}
