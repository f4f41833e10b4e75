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

/* Steps between two requests for digests. */
#define CUT_EVERY 500

static void compare_cut(struct sim *sim, const struct cut_result *result)
{
	static struct reading reading;
	struct wal_block block;
	struct sim_view view;
	uint64_t under_way = 0;

	sim_view_init(&view, &sim->disk);
	open_reading(&reading, sim, &view.base, &sim->node.config.limits);
	for (uint64_t i = 0; i < result->blocks; i++) {
		if (wal_reader_next(&reading.reader, &block) != WAL_NEXT_BLOCK)
			sim_fail(sim, "block %" PRIu64 " of a cut is not on the disk", i);
		if (replay_block(&reading.replay, &block) != 0)
			sim_fail(sim, "before a cut: %s", reading.replay.fault.text);
	}
	if (!wal_hash_equal(wal_reader_tail(&reading.reader)->prev_hash, result->chain))
		sim_fail(sim, "the last block of a cut has another hash");
	for (uint32_t i = 0; i < result->shards; i++) {
		struct shard *shard = reading.shards[i];
		if (shard->epoch < result->epoch)
			shard_enter_epoch(shard, result->epoch, result->time_ms);
		struct shard_digest digest = shard_digest(shard);
		if (memcmp(&digest, &result->digest[i], sizeof(digest)) != 0)
			sim_fail(sim, "shard %u: its digest at epoch %" PRIu64 " is not the log's",
				 i, result->epoch);
		under_way += shard->phase.in_flight;
	}
	close_reading(&reading);
	reach(sim, REACH_CUTS_COMPARED);
	if (under_way > 0)
		reach(sim, REACH_CUTS_UNDER_WAY);
}

void sim_audit_cut(struct sim *sim)
{
	struct sim_node *node = &sim->node;
	struct cut *cut = &node->clock.cut;
	struct cut_result result;

	if (!node->up)
		return;
	if (!node->cut_awaited && sim->step % CUT_EVERY == 0) {
		cut_ask(cut);
		node->cut_awaited = true;
	}
	if (!node->cut_awaited || !cut_take(cut, epoch_committed(&node->clock), &result))
		return;
	node->cut_awaited = false;
	trace("digests of epoch %llu", (unsigned long long)result.epoch);
	/* Nothing happens meanwhile. */
	sim->nested += SIM_NESTED_MAX;
	compare_cut(sim, &result);
	sim->nested -= SIM_NESTED_MAX;
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
