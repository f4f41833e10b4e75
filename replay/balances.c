/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay balances: every account, now or as of an epoch or a time.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "replay/audit.h"
#include "replay/command.h"
#include "replay/json.h"
#include "replay/node.h"

#define FILTERS_MAX 8

enum field { BALANCE, HELD, INCOMING, FLOOR, AVAILABLE, LEDGER, FROZEN, CLOSED, FIELDS };

static const char *const field_names[FIELDS] = {
    "balance", "held", "incoming", "floor", "available", "ledger", "frozen", "closed",
};

enum comparison { EQUAL, DIFFERENT, BELOW, AT_MOST, ABOVE, AT_LEAST, COMPARISONS };

/* Those that begin alike: the longer first. */
static const struct {
	const char *text;
	enum comparison comparison;
} comparison_texts[] = {
    {"!=", DIFFERENT}, {"<=", AT_MOST}, {">=", AT_LEAST}, {"==", EQUAL},
    {"=", EQUAL},      {"<", BELOW},	{">", ABOVE},
};

struct filter {
	enum field field;
	enum comparison comparison;
	audit_sum value;
};

struct request {
	const char *log;
	struct moment at;
	const char *checkpoints;
	bool csv;
	bool json;
	struct filter filters[FILTERS_MAX];
	uint32_t filter_count;
};

static audit_sum field_of(const struct account *account, enum field field)
{
	switch (field) {
	case BALANCE:
		return account->balance;
	case HELD:
		return account->held;
	case INCOMING:
		return account->incoming;
	case FLOOR:
		return account->floor;
	case AVAILABLE:
		return (audit_sum)account->balance - account->held - account->floor;
	case LEDGER:
		return account->ledger;
	case FROZEN:
		return (account->flags & ACCOUNT_FROZEN) != 0;
	default:
		return (account->flags & ACCOUNT_CLOSED) != 0;
	}
}

static bool passes(const struct request *request, const struct account *account)
{
	for (uint32_t i = 0; i < request->filter_count; i++) {
		const struct filter *filter = &request->filters[i];
		audit_sum value = field_of(account, filter->field);
		bool below = value < filter->value;
		bool above = value > filter->value;
		const bool results[COMPARISONS] = {
		    [EQUAL] = !below && !above,
		    [DIFFERENT] = below || above,
		    [BELOW] = below,
		    [AT_MOST] = !above,
		    [ABOVE] = above,
		    [AT_LEAST] = !below,
		};
		if (!results[filter->comparison])
			return false;
	}
	return true;
}

static bool parse_filter_value(const char *text, audit_sum *value)
{
	uint64_t number;

	if (*text == '-') {
		if (!moment_parse_epoch(text + 1, &number))
			return false;
		*value = -(audit_sum)number;
		return true;
	}
	if (!moment_parse_epoch(text, &number))
		return false;
	*value = number;
	return true;
}

/* "balance<0" */
static bool parse_filter(const char *text, struct request *request)
{
	size_t length = strcspn(text, "!<>=");
	size_t texts = sizeof(comparison_texts) / sizeof(comparison_texts[0]);
	struct filter filter = {.field = FIELDS, .comparison = COMPARISONS};
	const char *value = text;

	for (unsigned i = 0; i < FIELDS; i++) {
		if (strlen(field_names[i]) == length && strncmp(text, field_names[i], length) == 0)
			filter.field = (enum field)i;
	}
	for (size_t i = 0; i < texts && filter.comparison == COMPARISONS; i++) {
		size_t size = strlen(comparison_texts[i].text);
		if (strncmp(text + length, comparison_texts[i].text, size) != 0)
			continue;
		filter.comparison = comparison_texts[i].comparison;
		value = text + length + size;
	}
	if (filter.field == FIELDS || filter.comparison == COMPARISONS ||
	    !parse_filter_value(value, &filter.value)) {
		command_error("a filter compares balance, held, incoming, floor, available, "
			      "ledger, frozen or closed with a number, such as 'balance<0', not "
			      "'%s'",
			      text);
		return false;
	}
	if (request->filter_count == FILTERS_MAX) {
		command_error("at most %d filters", FILTERS_MAX);
		return false;
	}
	request->filters[request->filter_count++] = filter;
	return true;
}

static bool parse_request(int argc, char **argv, struct request *request)
{
	static const struct option options[] = {
	    {"at", required_argument, NULL, 'a'},
	    {"checkpoints", required_argument, NULL, 'k'},
	    {"where", required_argument, NULL, 'w'},
	    {"json", no_argument, NULL, 'j'},
	    {"at-epoch", required_argument, NULL, 'e'},
	    {"at-time", required_argument, NULL, 't'},
	    {"csv", no_argument, NULL, 'c'},
	    {NULL, 0, NULL, 0},
	};
	int option;

	*request = (struct request){.at = MOMENT_LAST};
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'a':
			if (!command_parse_moment(optarg, &request->at))
				return false;
			break;
		case 'k':
			request->checkpoints = optarg;
			break;
		case 'w':
			if (!parse_filter(optarg, request))
				return false;
			break;
		case 'j':
			request->json = true;
			break;
		case 'e':
			if (!command_parse_epoch(optarg, &request->at.epoch))
				return false;
			break;
		case 't':
			if (!moment_parse_time(optarg, &request->at.time_ms)) {
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
		command_error("usage: giro-replay balances LOG [--at EPOCH|TIME] [--where "
			      "FILTER]... [--checkpoints DIR] "
			      "[--csv|--json]");
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

static void json_account(struct json *json, const struct account *account)
{
	char id[48];

	json_object(json, NULL);
	json_text(json, "account", command_id_text(account->id, id));
	json_u64(json, "ledger", account->ledger);
	json_i64(json, "balance", account->balance);
	json_u64(json, "held", account->held);
	json_u64(json, "incoming", account->incoming);
	json_i64(json, "floor", account->floor);
	json_bool(json, "frozen", account->flags & ACCOUNT_FROZEN);
	json_bool(json, "closed", account->flags & ACCOUNT_CLOSED);
	json_close(json);
}

static void print_json(const struct node *node, const struct account **accounts, uint64_t count)
{
	struct json json = json_begin(stdout);

	json_object(&json, NULL);
	json_u64(&json, "epoch", node->epoch);
	json_array(&json, "accounts");
	for (uint64_t at = 0; at < count; at++)
		json_account(&json, accounts[at]);
	json_close(&json);
	json_close(&json);
}

static bool print_balances(const struct node *node, const struct request *request)
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
		for (uint64_t line = 0; line < table->line_count; line++) {
			if (!id_is_zero(table->lines[line].id) &&
			    passes(request, &table->lines[line]))
				accounts[at++] = &table->lines[line];
		}
	}
	count = at;
	qsort(accounts, count, sizeof(*accounts), by_id);
	if (request->json) {
		print_json(node, accounts, count);
		free(accounts);
		return true;
	}
	if (request->csv)
		puts("id,balance");
	else
		printf("%-39s %10s %20s %20s %20s %20s %s\n", "account", "ledger", "balance",
		       "held", "incoming", "floor", "state");
	for (at = 0; at < count; at++)
		print_account(accounts[at], request->csv);
	free(accounts);
	return true;
}

enum node_end command_balances(int argc, char **argv)
{
	static struct node node;
	struct request request;

	if (!parse_request(argc, argv, &request))
		return NODE_USAGE;
	enum node_end end = command_play_to(&node, request.log, request.checkpoints, &request.at);
	if (end != NODE_SOUND && end != NODE_TORN)
		return end;
	if (!request.csv && !request.json)
		printf("as of epoch %" PRIu64 "\n", node.epoch);
	if (!print_balances(&node, &request)) {
		command_error("no memory");
		end = NODE_UNREADABLE;
	}
	node_close(&node);
	return end;
}
