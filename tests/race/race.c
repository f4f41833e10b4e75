/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the engine's threads for a race detector to watch, and checks what they wrote.
 *
 *   race FOLDER [TRANSFERS]
 *
 * Two lives of one node on one log. The first stops in the middle of its work, with transfers
 * between shards under way; the second recovers, resumes them, does the rest and drains. Then the log
 * is replayed into fresh shards: digests equal, every ledger zero, nothing pending, and as many
 * transfers done as the clients were told. The detector's verdict is its own: it ends the process
 * with another status.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/audit.h"
#include "tests/race/node.h"

#define TRANSFERS 300000

static struct client clients[NODE_WORKERS];
static struct client_accounts accounts;
static struct node node;

/* Replays the log; returns the transfers done. */
static uint64_t check_log(const char *path, struct shard *const *live, bool drained)
{
	const struct wal_disk_options disk_options = {.write = false};
	const struct shard_limits limits = node_limits();
	static struct lanes lanes;
	const struct recovery_options options = {.log = path, .limits = &limits, .lanes = &lanes};
	static struct recovery recovery;
	struct shard *again[NODE_SHARDS];
	char error[RECOVERY_ERROR_MAX] = "";
	struct wal_disk *disk;
	struct audit audit;

	node_shards_make(again);
	lanes_open(&lanes, NODE_SHARDS, NULL, NULL);
	if (wal_disk_open(&disk, path, &disk_options, error) != 0 ||
	    recovery_read(&recovery, disk, &options, again, error) != 0) {
		fprintf(stderr, "race: %s\n", error);
		exit(1);
	}
	lanes_close(&lanes);
	CHECK(recovery.clean && !recovery.torn && recovery.counts.digests_checked == NODE_SHARDS);
	for (uint32_t i = 0; i < NODE_SHARDS; i++) {
		struct shard_digest a = shard_digest(live[i]);
		struct shard_digest b = shard_digest(again[i]);
		CHECK(memcmp(&a, &b, sizeof(a)) == 0);
	}
	CHECK(audit_shards(&audit, again, NODE_SHARDS) == 0);
	CHECK(audit.sound && audit.ledger_count == 1);
	CHECK(audit.ledgers[0].balances + audit.ledgers[0].in_flight == 0);
	CHECK(audit.ledgers[0].positive > 0);
	CHECK(!drained || audit.rows_pending == 0);
	printf("race: log of %" PRIu64 " blocks replayed: %" PRIu64 " done, %" PRIu64
	       " between shards, %" PRIu64 " rows pending, digests equal, ledger sum zero\n",
	       recovery.counts.blocks, recovery.counts.transfers_done,
	       recovery.counts.transfers_cross, audit.rows_pending);
	audit_free(&audit);
	node_shards_free(again);
	disk->ops->close(disk);
	return recovery.counts.transfers_done;
}

static uint64_t told(void)
{
	uint64_t done = 0;

	for (uint32_t w = 0; w < NODE_WORKERS; w++)
		done += clients[w].done;
	return done;
}

/* One life of the node; returns the transfers done in all of the log. */
static uint64_t live(const char *path, uint64_t transfers, bool drain)
{
	uint64_t accepted = 0;
	uint64_t caught_up = 0;

	node_start(&node, path, clients, transfers / NODE_WORKERS);
	uint64_t resumed = node.recovery.rows_pending;
	node_run(&node, drain);
	for (uint32_t w = 0; w < NODE_WORKERS; w++) {
		accepted += node.threads[w].accepted;
		caught_up += node.threads[w].caught_up;
	}
	printf("race: %s: %" PRIu64 " rows resumed, %" PRIu64 " datagrams handed over, %" PRIu64
	       " epochs entered by message, %" PRIu64 " slot maps, %" PRIu64
	       " moves of shards (all stood still %" PRIu64 " times), %" PRIu64 " segments\n",
	       drain ? "drained" : "stopped", resumed, accepted, caught_up, node.maps_published,
	       node.moves, node.tries, node.recovery.writer.counts.rolls + 1);
	printf("race: digests of %" PRIu64 " epochs\n", node.cuts_taken);
	CHECK(accepted > 0 && caught_up > 0 && node.maps_published > 0 && node.moves > 0 &&
	      node.cuts_taken > 0);
	CHECK(!drain || resumed > 0);
	uint64_t done = check_log(path, node.shards, drain);
	node_end(&node);
	node_shards_free(node.shards);
	return done;
}

int main(int argc, char **argv)
{
	uint64_t transfers = argc > 2 ? strtoull(argv[2], NULL, 10) : TRANSFERS;

	if (argc < 2 || argc > 3 || transfers < 10000) {
		fprintf(stderr, "usage: race FOLDER [TRANSFERS]  (at least 10000)\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	client_accounts_find(&accounts, NODE_SHARDS);
	for (uint32_t w = 0; w < NODE_WORKERS; w++)
		client_init(&clients[w], w, &accounts);

	uint64_t done = live(argv[1], transfers / 2, false);
	uint64_t first = told();
	CHECK(first <= done);
	/* What was in flight when the first life ended was not told. */
	uint64_t untold = live(argv[1], transfers / 2, true) - told();
	/* And the answers that were on their way between two threads when the second ended. */
	CHECK(untold <= 2 * NODE_WORKERS * CLIENT_IN_FLIGHT * CLIENT_RECORDS);
	printf("race: %" PRIu64 " told done, %" PRIu64 " more done at the stop between\n", told(),
	       untold);
	CHECK(told() > transfers / 4);
	return 0;
}
