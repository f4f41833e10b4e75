/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay balance: one account, now or then.
 */
#include <inttypes.h>
#include <stdio.h>

#include "replay/command.h"
#include "replay/json.h"

static void print_text(const struct node *node, const struct account *account)
{
	char id[48];

	command_print_moment(node);
	printf("account   %s%s%s\n", command_id_text(account->id, id),
	       account->flags & ACCOUNT_FROZEN ? ", frozen" : "",
	       account->flags & ACCOUNT_CLOSED ? ", closed" : "");
	printf("ledger    %" PRIu32 "\n", account->ledger);
	printf("balance   %" PRId64 "\n", account->balance);
	printf("held      %" PRIu64 "\n", account->held);
	printf("incoming  %" PRIu64 "\n", account->incoming);
	if (account->floor == FLOOR_ISSUER)
		puts("floor     none (issuer)");
	else
		printf("floor     %" PRId64 "\n", account->floor);
}

static void print_json(const struct node *node, const struct account *account)
{
	struct json json = json_begin(stdout);
	char text[48];

	json_object(&json, NULL);
	json_u64(&json, "epoch", node->epoch);
	json_text(&json, "time", command_time_text(node->time_ms, text));
	json_text(&json, "account", command_id_text(account->id, text));
	json_u64(&json, "ledger", account->ledger);
	json_i64(&json, "balance", account->balance);
	json_u64(&json, "held", account->held);
	json_u64(&json, "incoming", account->incoming);
	json_i64(&json, "floor", account->floor);
	json_bool(&json, "frozen", account->flags & ACCOUNT_FROZEN);
	json_bool(&json, "closed", account->flags & ACCOUNT_CLOSED);
	json_close(&json);
}

enum node_end command_balance(int argc, char **argv)
{
	static struct node node;
	struct moment at = MOMENT_LAST;
	bool as_json = false;
	const char *checkpoints = NULL;
	const char *arguments[2];
	struct id128 id;
	const struct command_option options[] = {
	    {"at", OPTION_MOMENT, &at},
	    {"checkpoints", OPTION_TEXT, &checkpoints},
	    {"json", OPTION_FLAG, &as_json},
	    {NULL, OPTION_END, NULL},
	};

	if (!command_parse(argc, argv, options, arguments, 2,
			   "balance LOG ACCOUNT [--at EPOCH|TIME] [--checkpoints DIR] "
			   "[--json]") ||
	    !command_parse_id(arguments[1], &id))
		return NODE_USAGE;
	enum node_end end = command_play_to(&node, arguments[0], checkpoints, &at);
	if (end != NODE_SOUND && end != NODE_TORN)
		return end;
	const struct account *account = node_account(&node, id);
	if (account == NULL) {
		command_error("there is no account %s as of epoch %" PRIu64, arguments[1],
			      node.epoch);
		end = NODE_NOT_FOUND;
	} else if (as_json) {
		print_json(&node, account);
	} else {
		print_text(&node, account);
	}
	node_close(&node);
	return end;
}
