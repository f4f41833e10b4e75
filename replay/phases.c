/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay phases: the phase status tables then: every transfer that was under way between shards.
 */
#include <inttypes.h>
#include <stdio.h>

#include "replay/command.h"
#include "replay/json.h"

static const char *const coordinator_names[] = {
    [COORDINATOR_FREE] = "finished",
    [COORDINATOR_TRYING] = "trying",
    [COORDINATOR_CONFIRMING] = "confirming",
    [COORDINATOR_CANCELLING] = "cancelling",
};

static const char *const participant_names[] = {
    [PARTICIPANT_NONE] = "nothing heard",  [PARTICIPANT_TRIED_YES] = "tried, yes",
    [PARTICIPANT_TRIED_NO] = "tried, no",  [PARTICIPANT_CONFIRMED] = "confirmed",
    [PARTICIPANT_CANCELLED] = "cancelled", [PARTICIPANT_CANCEL_MARK] = "cancel mark (out of order)",
};

struct row {
	uint32_t from;
	uint32_t to;
	const struct coordinator_row *coordinator;
	unsigned participant; /* enum participant_state */
};

static void print_row(struct json *json, const struct row *row)
{
	const struct transfer *transfer = &row->coordinator->transfer;
	const char *outcome = row->coordinator->state == COORDINATOR_CANCELLING
				  ? status_name(row->coordinator->outcome)
				  : "";
	char id[48];
	char started[32];

	command_id_text(transfer->id, id);
	command_time_text(row->coordinator->started_ms, started);
	if (json == NULL) {
		printf("%-39s %4u %4u %10" PRIu64 " %20" PRIu64 " %10" PRIu32
		       " %-24s %-10s %-26s %s\n",
		       id, row->from, row->to, row->coordinator->seq, transfer->amount,
		       transfer->ledger, started, coordinator_names[row->coordinator->state],
		       participant_names[row->participant], outcome);
		return;
	}
	json_object(json, NULL);
	json_text(json, "transfer", id);
	json_u64(json, "debit_shard", row->from);
	json_u64(json, "credit_shard", row->to);
	json_u64(json, "try", row->coordinator->seq);
	json_u64(json, "amount", transfer->amount);
	json_u64(json, "ledger", transfer->ledger);
	json_text(json, "started", started);
	json_text(json, "debit_phase", coordinator_names[row->coordinator->state]);
	json_text(json, "credit_phase", participant_names[row->participant]);
	json_text(json, "cancelled_for", outcome);
	json_close(json);
}

/* The rows that `from` coordinates to `to`. Returns how many. */
static uint64_t print_link(struct json *json, const struct node *node, uint32_t from, uint32_t to)
{
	const struct phase_table *phase = &node->shards[from]->phase;
	const struct phase_link *link = &phase->link[to];
	uint64_t count = 0;

	for (uint64_t seq = link->low; seq < link->next; seq++) {
		const struct participant_row *participant =
		    phase_participant(&node->shards[to]->phase, from, seq);
		const struct row row = {
		    .from = from,
		    .to = to,
		    .coordinator = phase_row(phase, to, seq),
		    .participant = participant != NULL ? participant->state : PARTICIPANT_NONE,
		};
		if (row.coordinator == NULL)
			continue;
		print_row(json, &row);
		count++;
	}
	return count;
}

static uint64_t print_links(struct json *json, const struct node *node)
{
	uint64_t count = 0;

	for (uint32_t from = 0; from < node->limits.shards; from++) {
		for (uint32_t to = 0; to < node->limits.shards; to++)
			count += print_link(json, node, from, to);
	}
	return count;
}

static void print_json(const struct node *node)
{
	struct json json = json_begin(stdout);
	char time[32];

	json_object(&json, NULL);
	json_u64(&json, "epoch", node->epoch);
	json_text(&json, "time", command_time_text(node->time_ms, time));
	json_array(&json, "rows");
	print_links(&json, node);
	json_close(&json);
	json_close(&json);
}

enum node_end command_phases(int argc, char **argv)
{
	static struct node node;
	struct moment at = MOMENT_LAST;
	bool as_json = false;
	const char *checkpoints = NULL;
	const char *arguments[1];
	const struct command_option options[] = {
	    {"at", OPTION_MOMENT, &at},
	    {"checkpoints", OPTION_TEXT, &checkpoints},
	    {"json", OPTION_FLAG, &as_json},
	    {NULL, OPTION_END, NULL},
	};

	if (!command_parse(argc, argv, options, arguments, 1,
			   "phases LOG [--at EPOCH|TIME] [--checkpoints DIR] "
			   "[--json]"))
		return NODE_USAGE;
	enum node_end end = command_play_to(&node, arguments[0], checkpoints, &at);
	if (end != NODE_SOUND && end != NODE_TORN)
		return end;
	if (as_json) {
		print_json(&node);
	} else {
		command_print_moment(&node);
		printf("%-39s %4s %4s %10s %20s %10s %-24s %-10s %-26s %s\n", "transfer", "from",
		       "to", "try", "amount", "ledger", "started", "debit", "credit",
		       "cancelled for");
		printf("%" PRIu64 " under way\n", print_links(NULL, &node));
	}
	node_close(&node);
	return end;
}
