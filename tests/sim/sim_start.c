/* SPDX-License-Identifier: Apache-2.0
 *
 * How a simulated node comes and goes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "replay/audit.h"
#include "tests/sim/sim.h"

static void *zeroed(size_t bytes)
{
	size_t pages = (bytes + WAL_PAGE - 1) / WAL_PAGE * WAL_PAGE;
	void *memory = aligned_alloc(WAL_PAGE, pages);

	CHECK(memory != NULL);
	memset(memory, 0, pages);
	return memory;
}

void sim_node_make_shards(const struct shard_limits *limits, void **memory, struct shard **shards)
{
	for (uint32_t i = 0; i < limits->shards; i++) {
		memory[i] = zeroed(shard_bytes(limits));
		shards[i] = shard_new(memory[i], limits, i);
	}
}

void sim_node_free_shards(void **memory, struct shard **shards)
{
	for (uint32_t i = 0; i < SIM_SHARDS_MAX; i++) {
		free(memory[i]);
		memory[i] = NULL;
		shards[i] = NULL;
	}
}

void sim_node_init(struct sim_node *node, struct sim *sim)
{
	memset(node, 0, sizeof(*node));
	node->sim = sim;
	node->config = sim->shape.node;
}

void sim_node_free(struct sim_node *node)
{
	if (node->up)
		sim_node_discard(node);
}

/* The process is gone: its memory, and the datagrams in its hands. */
void sim_node_discard(struct sim_node *node)
{
	struct sim *sim = node->sim;

	for (uint32_t i = 0; i < node->config.limits.shards; i++)
		reach_add_shard(sim->reach, node->shards[i]);
	for (uint32_t w = 0; w < node->config.workers; w++)
		reach_add_worker(sim->reach, &node->workers[w]->counts);
	reach_add_writer(sim->reach, &node->recovery.writer.counts);
	sim->reach->counts[REACH_EPOCH_EMPTY] += node->log_writer.empty_epochs;
	sim->reach->counts[REACH_WITNESS] += node->log_writer.witnesses;
	sim->disk.dead = true;
	recovery_close(&node->recovery);
	if (links_close(&sim->links) > 0)
		reach(sim, REACH_CRASH_MESSAGES_LOST);
	for (uint32_t i = 0; i < node->hand_count; i++)
		free(node->hands[i]);
	node->hand_count = 0;
	for (uint32_t w = 0; w < node->config.workers; w++) {
		free(node->worker_memory[w]);
		node->port[w].count = 0;
		node->handover[w].count = 0;
	}
	free(node->clock_memory);
	sim_node_free_shards(node->shard_memory, node->shards);
	node->up = false;
	node->draining = false;
	node->moving = false;
	node->failed = false;
	node->start_us = sim->now_us + rng_below(&sim->rng, sim->shape.step_us * 50);
}

void sim_node_crash(struct sim_node *node)
{
	struct sim *sim = node->sim;
	uint64_t sealed = atomic_load(&node->clock.worker[0].sealed);
	bool half = false;

	for (uint32_t w = 1; w < node->config.workers; w++)
		half |= atomic_load(&node->clock.worker[w].sealed) != sealed;
	if (half)
		reach(sim, REACH_CRASH_HALF_SEALED);
	reach(sim, REACH_CRASH);
	trace("crash");
	sim_disk_lose_power(&sim->disk);
	sim_node_discard(node);
	if (!sim->settling && rng_chance(&sim->rng, sim->shape.damage))
		sim_damage_try(sim);
}

/* Starting. */

static void fail_to_start(struct sim_node *node)
{
	struct sim *sim = node->sim;

	sim_disk_lose_power(&sim->disk);
	sim_node_free_shards(node->shard_memory, node->shards);
	node->start_us = sim->now_us + rng_below(&sim->rng, sim->shape.step_us * 50);
}

static struct recovery_options options_of(struct sim_node *node)
{
	return (struct recovery_options){
	    .log = "the simulated disk",
	    .limits = &node->config.limits,
	    .new_log_id = rng_next(&node->sim->rng) | 1,
	    .writes = node->config.writes,
	    .segments_ahead = (uint32_t)log_writer_segments_ahead(
		node->config.slots, node->config.limits.shards * node->config.section_bytes,
		node->sim->shape.segment_bytes),
	};
}

/* What may go wrong this time. */
static void plan_start(struct sim_node *node)
{
	struct sim *sim = node->sim;
	struct sim_disk *disk = &sim->disk;

	sim_disk_revive(disk);
	disk->unreadable = false;
	if (sim->settling)
		return;
	if (rng_chance(&sim->rng, sim->shape.reconfigure)) {
		reach(sim, REACH_RECONFIGURED);
		shape_reconfigure(&sim->shape, &node->config, &sim->rng);
	}
	if (rng_chance(&sim->rng, sim->shape.crash_in_start))
		disk->dies_after = rng_range(&sim->rng, 1, 30);
	if (rng_chance(&sim->rng, sim->shape.unreadable)) {
		disk->unreadable = true;
		disk->unreadable_segment = rng_below(&sim->rng, sim->oracle.segments + 1);
		disk->unreadable_offset =
		    rng_below(&sim->rng, disk->base.segment_bytes / WAL_PAGE) * WAL_PAGE;
	}
}

/* A start with limits that are smaller than the log's is refused. */
static void try_smaller_limits(struct sim_node *node)
{
	struct sim *sim = node->sim;
	struct shard_limits limits = node->config.limits;
	struct recovery_options options = options_of(node);
	static struct recovery recovery;
	char error[RECOVERY_ERROR_MAX] = "";

	if (sim->oracle.durable_count == 0 || sim->disk.unreadable || sim->disk.dies_after != 0 ||
	    !rng_chance(&sim->rng, 50))
		return;
	switch (rng_below(&sim->rng, 4)) {
	case 0:
		limits.window_ms += 1000;
		break;
	case 1:
		limits.shards++;
		break;
	case 2:
		/* The first ones: the log may not have heard of the present ones yet. */
		limits.accounts_max = sim->shape.node.limits.accounts_max - 1;
		break;
	default:
		if (sim->shape.node.limits.rows == PHASE_ROWS_MIN)
			return;
		limits.rows = sim->shape.node.limits.rows / 2;
		break;
	}
	void *memory[SIM_SHARDS_MAX + 1] = {0};
	struct shard *shards[SIM_SHARDS_MAX + 1] = {0};
	options.limits = &limits;
	sim_node_make_shards(&limits, memory, shards);
	if (recovery_read(&recovery, &sim->disk.base, &options, shards, error) == 0 ||
	    strstr(error, "cannot go on with this configuration") == NULL)
		sim_fail(sim, "a log was opened with limits that it cannot have: %s", error);
	reach(sim, REACH_META_CONFLICT);
	free(memory[SIM_SHARDS_MAX]);
	sim_node_free_shards(memory, shards);
}

/* Returns false when the node died, or was right to refuse. */
static bool read_log(struct sim_node *node)
{
	struct sim *sim = node->sim;
	struct audit audit;
	char error[RECOVERY_ERROR_MAX] = "";

	node->options = options_of(node);
	int failed =
	    recovery_read(&node->recovery, &sim->disk.base, &node->options, node->shards, error);
	reach_add_reader(sim->reach, &node->recovery.reader_counts);
	if (failed != 0 && sim->disk.dead) {
		reach(sim, REACH_CRASH_IN_READ);
		return false;
	}
	if (failed != 0 && sim->disk.unreadable && strstr(error, "cannot be read") != NULL) {
		reach(sim, REACH_READ_FAILED);
		return false;
	}
	if (failed != 0)
		sim_fail(sim, "the log was refused: %s", error);
	trace("%llu blocks recovered%s%s", (unsigned long long)node->recovery.tail.next_seq,
	      node->recovery.torn ? ", torn tail cut" : "",
	      node->recovery.clean ? ", closed cleanly" : "");
	oracle_read(&sim->oracle, node->recovery.tail.next_seq);
	CHECK(audit_shards(&audit, node->shards, node->config.limits.shards) == 0);
	if (!audit.sound)
		sim_fail(sim, "the audit finds the recovered state unsound");
	audit_free(&audit);
	return true;
}

static bool begin_log(struct sim_node *node)
{
	struct sim *sim = node->sim;
	char error[RECOVERY_ERROR_MAX] = "";

	if (recovery_begin(&node->recovery, sim_wall_ms(sim), node->shards, error) == 0) {
		if (!sim->disk.dead)
			return true;
		recovery_close(&node->recovery);
	}
	if (sim->disk.dead)
		reach(sim, REACH_CRASH_IN_OPEN);
	else if (sim->disk.full && strstr(error, "room for at least one more segment") != NULL)
		reach(sim, REACH_START_WITHOUT_SPACE);
	else if (sim->settling || (sim->shape.write_error == 0 && sim->shape.write_short == 0))
		sim_fail(sim, "the log could not be begun: %s", error);
	trace("no start: %s", error);
	return false;
}

static void make_workers(struct sim_node *node)
{
	struct sim *sim = node->sim;

	for (uint32_t w = 0; w < node->config.workers; w++) {
		struct shard *own[SIM_SHARDS_MAX];
		uint32_t count = 0;
		const struct worker_config config = {
		    .index = w,
		    .requests = node->config.requests,
		    .shards_max = node->config.limits.shards - node->config.workers + 1,
		    .clock = &node->clock,
		    .sink = {node, sim_node_sink.messages, sim_node_sink.replies},
		    .log_id = node->recovery.log_id,
		    .datagram_max = PACKET_BYTES_MAX,
		};
		for (uint32_t i = w; i < node->config.limits.shards; i += node->config.workers)
			own[count++] = node->shards[i];
		node->worker_memory[w] = zeroed(worker_bytes(config.shards_max, config.requests));
		node->workers[w] = worker_new(node->worker_memory[w], &config, own, count);
		node->resume[w] = node->recovery.rows_pending > 0;
		node->resend_us[w] = sim->now_us + sim->shape.resend_us;
		node->paused_until_us[w] = 0;
	}
	node->writer_paused_until_us = 0;
}

void sim_node_start(struct sim_node *node)
{
	struct sim *sim = node->sim;
	const struct shape_node *config = &node->config;

	plan_start(node);
	try_smaller_limits(node);
	sim_node_make_shards(&config->limits, node->shard_memory, node->shards);
	sim->oracle.rows_max = config->limits.rows;
	sim->oracle.accounts_max = config->limits.accounts_max;
	if (!read_log(node) || !begin_log(node)) {
		fail_to_start(node);
		return;
	}
	oracle_compare(&sim->oracle, node->shards, "after recovery");
	sim->disk.dies_after = 0;
	sim->disk.unreadable = false;
	sim->oracle.try_timeout_ms = config->limits.try_timeout_ms;
	size_t bytes =
	    epoch_clock_bytes(config->limits.shards, config->slots, config->section_bytes);
	node->clock_memory = zeroed(bytes);
	node->cut_awaited = false;
	epoch_clock_init(&node->clock, node->clock_memory, config->workers, config->limits.shards,
			 config->slots, config->section_bytes, node->recovery.epoch,
			 sim_wall_ms(sim));
	log_writer_init(&node->log_writer, &node->clock, &node->recovery.writer);
	slot_map_init(&node->map, config->limits.shards, config->workers, 7400);
	make_workers(node);
	/* What one crash left half done, the next one meets. */
	node->crash_step = 0;
	if (sim->shape.crash_every != 0 && rng_chance(&sim->rng, 400))
		node->crash_step =
		    sim->step + rng_below(&sim->rng, rng_chance(&sim->rng, 500) ? 60 : 300);
	node->up = true;
	links_open(&sim->links, sim);
	trace("up: %u workers, %u shards, epoch %llu", config->workers, config->limits.shards,
	      (unsigned long long)node->recovery.epoch);
}
