/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay verify: is the log what it says?
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "replay/audit.h"
#include "replay/command.h"
#include "replay/node.h"

static void print_ledgers(const struct audit *audit)
{
	char sum[48];
	char in_flight[48];
	char total[48];

	for (uint32_t i = 0; i < audit->ledger_count; i++) {
		const struct audit_ledger *ledger = &audit->ledgers[i];
		printf("ledger %-10" PRIu32 " %" PRIu64 " accounts, %s in credit, %s in flight, "
		       "sum %s%s\n",
		       ledger->ledger, ledger->accounts, audit_sum_text(ledger->positive, sum),
		       audit_sum_text(ledger->in_flight, in_flight),
		       audit_sum_text(ledger->balances + ledger->in_flight, total),
		       ledger->below_floor > 0 ? ", ACCOUNTS BELOW THEIR FLOOR" : "");
	}
}

static void print_counts(const struct node *node, double seconds, enum node_end end)
{
	const struct replay_counts *counts = &node->replay.counts;
	char time[32];

	printf("log               %" PRIu64 " blocks to epoch %" PRIu64 " (%s), id %016" PRIx64
	       ", incarnation %" PRIu64 "\n",
	       counts->blocks, node->epoch, command_time_text(node->time_ms, time),
	       wal_reader_tail(&node->reader)->log_id, wal_reader_tail(&node->reader)->incarnation);
	printf("shards            %u\n", node->limits.shards);
	printf("transfers         %" PRIu64 " decided, %" PRIu64 " done, %" PRIu64
	       " between shards\n",
	       counts->transfers, counts->transfers_done, counts->transfers_cross);
	printf("records           %" PRIu64 ", %s\n", counts->records,
	       end == NODE_DIVERGED ? "equal until they differ"
				    : "every outcome computed again and equal");
	if (counts->transfers > 0)
		printf("bytes a transfer  %.1f\n",
		       (double)counts->record_bytes / (double)counts->transfers);
	printf("digests           %" PRIu64 " compared and equal\n", counts->digests_checked);
	if (seconds > 0)
		printf("replayed          %.3f s, %.0f records/s\n", seconds,
		       (double)counts->records / seconds);
}

static enum node_end audit(const struct node *node, enum node_end end)
{
	struct audit audit;

	if (audit_shards(&audit, node->shards, node->limits.shards) != 0) {
		command_error("no memory for the audit");
		return NODE_UNREADABLE;
	}
	print_ledgers(&audit);
	printf("rows pending      %" PRIu64 "\n", audit.rows_pending);
	if (!audit.sound) {
		end = NODE_DIVERGED;
		command_error("the accounts break an invariant: a ledger does not sum to zero, an "
			      "account is below its floor, or held and incoming do not match the "
			      "rows under way");
	}
	audit_free(&audit);
	return end;
}

enum node_end command_verify(int argc, char **argv)
{
	static struct node node;
	struct wal_block block;
	struct timespec start;
	struct timespec stop;

	if (argc != 2) {
		command_error("usage: giro-replay verify LOG");
		return NODE_USAGE;
	}
	enum node_end end = node_open(&node, argv[1]);
	if (end != NODE_SOUND) {
		command_error("%s", node.text);
		return end;
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (node_peek(&node, &block, &end) && node_apply(&node, true, &block, &end))
		;
	clock_gettime(CLOCK_MONOTONIC, &stop);

	print_counts(&node,
		     (double)(stop.tv_sec - start.tv_sec) +
			 (double)(stop.tv_nsec - start.tv_nsec) / 1e9,
		     end);
	if (end == NODE_SOUND || end == NODE_TORN)
		end = audit(&node, end);
	if (end != NODE_SOUND && node.text[0] != '\0')
		command_error("%s", node.text);
	printf("verdict           %s\n", end == NODE_SOUND	? "sound"
					 : end == NODE_TORN	? "sound, with a torn tail"
					 : end == NODE_CORRUPT	? "CORRUPT"
					 : end == NODE_DIVERGED ? "DIVERGED"
								: "UNREADABLE");
	node_close(&node);
	return end;
}
