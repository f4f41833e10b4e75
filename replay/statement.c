/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay statement: every movement of one account, from its opening to its closing balance.
 */
#include <inttypes.h>
#include <stdio.h>

#include "replay/command.h"
#include "replay/journal.h"
#include "replay/json.h"

enum style { TABLE, CSV, JSON };

struct statement {
	struct id128 account;
	struct moment from;
	struct moment to;
	const char *checkpoints;
	enum style style;
	struct json json;
	int64_t opening;
	int64_t balance;
	uint64_t debits; /* counts and sums */
	uint64_t credits;
	uint64_t debited;
	uint64_t credited;
};

static void print_opening(struct statement *statement, const struct node *node)
{
	char text[48];

	switch (statement->style) {
	case CSV:
		puts("epoch,time,transfer,counterparty,code,amount,balance");
		break;
	case JSON:
		statement->json = json_begin(stdout);
		json_object(&statement->json, NULL);
		json_text(&statement->json, "account", command_id_text(statement->account, text));
		json_u64(&statement->json, "opening_epoch", node->epoch);
		json_i64(&statement->json, "opening_balance", statement->opening);
		json_array(&statement->json, "movements");
		break;
	default:
		printf("account %s\n", command_id_text(statement->account, text));
		printf("opening balance %" PRId64 " as of epoch %" PRIu64 "\n\n",
		       statement->opening, node->epoch);
		printf("%-24s %12s %-39s %-39s %5s %20s %20s\n", "time", "epoch", "transfer",
		       "counterparty", "code", "amount", "balance");
		break;
	}
}

static void print_movement(struct statement *statement, const struct movement *movement)
{
	char transfer[48];
	char counterparty[48];
	char time[32];
	char amount[32];
	struct json *json = &statement->json;

	command_id_text(movement->transfer, transfer);
	command_id_text(movement->counterparty, counterparty);
	command_time_text(movement->time_ms, time);
	snprintf(amount, sizeof(amount), "%s%" PRIu64, movement->debit ? "-" : "",
		 movement->amount);
	switch (statement->style) {
	case CSV:
		printf("%" PRIu64 ",%s,%s,%s,%u,%s,%" PRId64 "\n", movement->epoch, time, transfer,
		       counterparty, movement->code, amount, statement->balance);
		break;
	case JSON:
		json_object(json, NULL);
		json_u64(json, "epoch", movement->epoch);
		json_text(json, "time", time);
		json_text(json, "transfer", transfer);
		json_text(json, "counterparty", counterparty);
		json_u64(json, "code", movement->code);
		json_i64(json, "amount",
			 movement->debit ? -(int64_t)movement->amount : (int64_t)movement->amount);
		json_i64(json, "balance", statement->balance);
		json_close(json);
		break;
	default:
		printf("%-24s %12" PRIu64 " %-39s %-39s %5u %20s %20" PRId64 "\n", time,
		       movement->epoch, transfer, counterparty, movement->code, amount,
		       statement->balance);
		break;
	}
}

static void print_closing(struct statement *statement, const struct node *node)
{
	struct json *json = &statement->json;

	switch (statement->style) {
	case CSV:
		break;
	case JSON:
		json_close(json);
		json_u64(json, "closing_epoch", node->epoch);
		json_i64(json, "closing_balance", statement->balance);
		json_u64(json, "debits", statement->debits);
		json_u64(json, "debited", statement->debited);
		json_u64(json, "credits", statement->credits);
		json_u64(json, "credited", statement->credited);
		json_close(json);
		break;
	default:
		printf("\n%" PRIu64 " debits of %" PRIu64 ", %" PRIu64 " credits of %" PRIu64 "\n",
		       statement->debits, statement->debited, statement->credits,
		       statement->credited);
		printf("closing balance %" PRId64 " as of epoch %" PRIu64 "\n", statement->balance,
		       node->epoch);
		break;
	}
}

static void add_movements(struct statement *statement, const struct journal *journal)
{
	for (uint32_t i = 0; i < journal->movements.count; i++) {
		const struct movement *movement = &journal->movements.rows[i];
		if (movement->debit) {
			statement->balance -= (int64_t)movement->amount;
			statement->debits++;
			statement->debited += movement->amount;
		} else {
			statement->balance += (int64_t)movement->amount;
			statement->credits++;
			statement->credited += movement->amount;
		}
		print_movement(statement, movement);
	}
}

/* The range itself. The balance that was added up must be the one that the shard arrived at. */
static enum node_end print_range(struct statement *statement, struct node *node,
				 struct journal *journal)
{
	enum node_end end = NODE_SOUND;
	struct wal_block block;

	print_opening(statement, node);
	while (node_peek(node, &block, &end) && moment_includes(&statement->to, block.header)) {
		if (!journal_apply(journal, node, &block, &end))
			break;
		add_movements(statement, journal);
	}
	if (end != NODE_SOUND && end != NODE_TORN)
		return end;
	const struct account *account = node_account(node, statement->account);
	if (account == NULL)
		return NODE_NOT_FOUND;
	if (account->balance != statement->balance) {
		snprintf(node->text, sizeof(node->text),
			 "the movements add up to %" PRId64 " and the account holds %" PRId64,
			 statement->balance, account->balance);
		return NODE_DIVERGED;
	}
	print_closing(statement, node);
	return end;
}

static bool parse(int argc, char **argv, struct statement *statement, const char **log)
{
	bool csv = false;
	bool json = false;
	const char *arguments[2];
	const struct command_option options[] = {
	    {"from", OPTION_FROM, &statement->from},
	    {"to", OPTION_MOMENT, &statement->to},
	    {"csv", OPTION_FLAG, &csv},
	    {"json", OPTION_FLAG, &json},
	    {"checkpoints", OPTION_TEXT, &statement->checkpoints},
	    {NULL, OPTION_END, NULL},
	};

	statement->from = MOMENT_FIRST;
	statement->to = MOMENT_LAST;
	if (!command_parse(argc, argv, options, arguments, 2,
			   "statement LOG ACCOUNT [--from EPOCH|TIME] [--to EPOCH|TIME] "
			   "[--checkpoints DIR] [--csv|--json]") ||
	    !command_parse_id(arguments[1], &statement->account))
		return false;
	*log = arguments[0];
	statement->style = json ? JSON : csv ? CSV : TABLE;
	return true;
}

enum node_end command_statement(int argc, char **argv)
{
	static struct node node;
	struct statement statement = {0};
	struct journal journal;
	const char *log;

	if (!parse(argc, argv, &statement, &log))
		return NODE_USAGE;
	enum node_end end = command_play_before(&node, log, statement.checkpoints, &statement.from);
	if (end != NODE_SOUND && end != NODE_TORN)
		return end;
	const struct account *account = node_account(&node, statement.account);
	statement.opening = account != NULL ? account->balance : 0;
	statement.balance = statement.opening;
	if (journal_init(&journal, &node, statement.account)) {
		end = print_range(&statement, &node, &journal);
	} else {
		snprintf(node.text, sizeof(node.text), "no memory");
		end = NODE_UNREADABLE;
	}
	if (end == NODE_NOT_FOUND)
		command_error("there is no such account as of epoch %" PRIu64, node.epoch);
	else if (end != NODE_SOUND)
		command_error("%s", node.text);
	journal_free(&journal);
	node_close(&node);
	return end;
}
