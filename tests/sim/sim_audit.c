/* SPDX-License-Identifier: Apache-2.0
 *
 * Readers of the log beside the node: one while it runs, one after it has closed.
 */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "replay/audit.h"
#include "tests/sim/sim.h"

/* A log as some shards see it. */
struct reading {
	struct sim *sim;
	struct wal_reader reader;
	struct replay replay;
	void *memory[SIM_SHARDS_MAX];
	struct shard *shards[SIM_SHARDS_MAX];
	struct wal_block_header last;
};

static void open_reading(struct reading *reading, struct sim *sim, struct wal_disk *disk,
			 const struct shard_limits *limits)
{
	const struct wal_reader_options options = {.first_segment = WAL_OLDEST};

	memset(reading, 0, sizeof(*reading));
	reading->sim = sim;
	if (wal_reader_open(&reading->reader, disk, &options) != 0)
		sim_fail(sim, "a reader beside the node: %s", reading->reader.fault.text);
	sim_node_make_shards(limits, reading->memory, reading->shards);
	replay_init(&reading->replay, reading->shards, limits->shards);
}

static void audit(struct reading *reading)
{
	struct audit audit;

	CHECK(audit_shards(&audit, reading->shards, reading->replay.shard_count) == 0);
	if (!audit.sound)
		sim_fail(reading->sim, "the audit finds epoch %" PRIu64 " unsound",
			 reading->last.epoch);
	audit_free(&audit);
}

/* Reads to the end; returns how it ended. */
static int read_on(struct reading *reading, uint32_t audit_every)
{
	struct sim *sim = reading->sim;
	struct wal_block block;
	int next;

	while ((next = wal_reader_next(&reading->reader, &block)) == WAL_NEXT_BLOCK) {
		reading->last = *block.header;
		if (replay_block(&reading->replay, &block) != 0)
			sim_fail(sim, "a reader beside the node: %s", reading->replay.fault.text);
		if (block.header->type != WAL_DATA &&
		    replay_check_digests(&reading->replay, block.header) != 0)
			sim_fail(sim, "a reader beside the node: %s", reading->replay.fault.text);
		if (block.header->seq % audit_every == 0)
			audit(reading);
	}
	if (next < 0)
		sim_fail(sim, "a reader beside the node: %s", reading->reader.fault.text);
	audit(reading);
	return next;
}

static void close_reading(struct reading *reading)
{
	reach_add_reader(reading->sim->reach, &reading->reader.counts);
	wal_reader_close(&reading->reader);
	sim_node_free_shards(reading->memory, reading->shards);
}

void sim_audit_live(struct sim *sim)
{
	static struct reading reading;
	struct sim_view view;
	uint64_t durable = sim->oracle.durable_count;

	trace("a reader audits the live log");
	sim_view_init(&view, &sim->disk);
	sim->nested++;
	open_reading(&reading, sim, &view.base, &sim->node.config.limits);
	read_on(&reading, 16);
	if (wal_reader_tail(&reading.reader)->next_seq < durable)
		sim_fail(sim,
			 "a reader beside the node found %" PRIu64 " blocks, %" PRIu64
			 " were durable before it began",
			 wal_reader_tail(&reading.reader)->next_seq, durable);
	close_reading(&reading);
	sim->nested--;
	reach(sim, REACH_AUDIT_LIVE);
}

void sim_audit_closed(struct sim *sim)
{
	static struct reading reading;
	struct shard_limits limits = sim->node.config.limits;

	sim_disk_revive(&sim->disk);
	/* Other capacities must not make another state. */
	limits.rows *= 2;
	limits.accounts_max = limits.accounts_max * 3 + 100;
	limits.ids_per_second = limits.ids_per_second * 2 + 1;
	open_reading(&reading, sim, &sim->disk.base, &limits);
	if (read_on(&reading, UINT32_MAX) != WAL_NEXT_END || reading.last.type != WAL_CLOSE)
		sim_fail(sim, "a log that was closed does not end with CLOSE");
	for (uint32_t i = 0; i < limits.shards; i++) {
		struct shard_digest digest = shard_digest(reading.shards[i]);
		sim->digest = (sim->digest ^ digest.lo) * 0x9e3779b97f4a7c15u ^ digest.hi;
	}
	reach(sim, REACH_DIGESTS_COMPARED);
	oracle_compare(&sim->oracle, reading.shards, "after a replay from the first byte");
	close_reading(&reading);
}
