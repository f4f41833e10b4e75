/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/shape.h"

#include "engine/epoch.h"
#include "engine/log_writer.h"
#include "shard/record.h"
#include "wal/format.h"

#define SLOTS_MAX 6u

/* Zero in half of the runs. */
static uint32_t swarm(struct rng *rng, uint32_t lowest, uint32_t highest)
{
	if (rng_chance(rng, 500))
		return 0;
	return (uint32_t)rng_range(rng, lowest, highest);
}

static uint32_t range(struct rng *rng, uint32_t lowest, uint32_t highest)
{
	return (uint32_t)rng_range(rng, lowest, highest);
}

static uint32_t power_of_two(struct rng *rng, uint32_t lowest, uint32_t highest)
{
	return 1u << range(rng, lowest, highest);
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void choose_node(struct shape *shape, struct rng *rng)
{
	struct shape_node *node = &shape->node;
	struct shard_limits *limits = &node->limits;

	limits->shards = range(rng, 1, SIM_SHARDS_MAX);
	limits->rows = power_of_two(rng, 1, 5);
	limits->accounts_max = rng_chance(rng, 200) ? range(rng, 2, 10) : range(rng, 20, 60);
	limits->window_ms = range(rng, WINDOW_MS_MIN, 4000);
	limits->ahead_ms = rng_below(rng, limits->window_ms + 1);
	limits->ids_per_second = rng_chance(rng, 150) ? range(rng, 1, 40) : range(rng, 500, 4000);
	limits->try_timeout_ms = rng_chance(rng, 500) ? swarm(rng, 1, 300) : swarm(rng, 1, 12);
	node->workers = range(rng, 1, smaller(limits->shards, SIM_WORKERS_MAX));
	node->slots = range(rng, EPOCH_SLOTS_MIN, SLOTS_MAX);
	node->section_bytes = WAL_PAGE * rng_range(rng, 1, 2);
	node->writes = range(rng, 1, node->slots - 1);
	node->requests = range(rng, 2, 24);
	/* Two bursts of the largest datagrams must fit an epoch, as in the engine. */
	shape->records_max = range(rng, 1, SIM_RECORDS_MAX);
	node->burst = range(rng, 1, 6);
	while (2 * node->burst * shape->records_max * RECORD_BYTES_MAX > WAL_PAGE)
		node->burst--;

	/* Few blocks a segment: with the segments kept ready, just enough for new work to be taken. */
	uint64_t block = WAL_PAGE + limits->shards * node->section_bytes;
	uint64_t blocks = rng_range(rng, 2, log_writer_reserve(node->slots) + 8);
	shape->segment_bytes = WAL_PAGE + blocks * block;
	if (shape->segment_bytes < WAL_SEGMENT_BYTES_MIN)
		shape->segment_bytes = WAL_SEGMENT_BYTES_MIN;
}

static void choose_traffic(struct shape *shape, struct rng *rng)
{
	shape->queue_max = rng_chance(rng, 500) ? range(rng, 2, 16) : range(rng, 16, 100);
	shape->step_us = rng_chance(rng, 500) ? range(rng, 4, 60) : range(rng, 60, 1000);
	shape->steps = range(rng, 2000, 16000);
	shape->accounts = range(rng, 6, 40);
	shape->ledgers = range(rng, 1, 2);
	shape->operations_max = range(rng, 100, 1000);
	shape->flight_max = rng_chance(rng, 700) ? range(rng, 2, 60) : range(rng, 60, 400);
	shape->retry_us = shape->step_us * range(rng, 20, 400);
	shape->delay_us = shape->step_us * range(rng, 1, 60);
}

static void choose_faults(struct shape *shape, struct rng *rng)
{
	shape->net_loss = swarm(rng, 10, 250);
	shape->net_copy = swarm(rng, 10, 250);
	shape->net_damage = swarm(rng, 10, 100);
	shape->net_late = swarm(rng, 5, 60);

	shape->lossy = rng_chance(rng, 500);
	shape->link_loss = swarm(rng, 10, 300);
	shape->link_copy = swarm(rng, 10, 300);
	shape->link_delay_us = shape->step_us * range(rng, 1, 200);
	shape->resend_us = shape->step_us * range(rng, 50, 400);

	shape->crash_every = swarm(rng, 500, 3000);
	shape->stop_every = swarm(rng, 1000, 4000);
	shape->pause_every = swarm(rng, 100, 1000);
	shape->full_every = swarm(rng, 500, 2000);
	shape->jump_every = swarm(rng, 500, 3000);
	shape->skew_every = swarm(rng, 200, 2000);
	shape->audit_every = swarm(rng, 1000, 4000);

	shape->crash_in_start = swarm(rng, 100, 700);
	shape->unreadable = swarm(rng, 50, 300);
	shape->write_error = swarm(rng, 1, 3);
	shape->write_short = swarm(rng, 1, 3);
	shape->write_spike = swarm(rng, 5, 100);
	shape->damage = swarm(rng, 200, 1000);
	shape->reconfigure = swarm(rng, 200, 800);
	shape->write_us = shape->step_us * range(rng, 2, 60);
	shape->whole_pages = rng_chance(rng, 300);
	shape->recycled = rng_chance(rng, 500);
}

/* Rows full on both sides, workers that stand still, and tries that time out meanwhile: what rings
 * must be large enough for. */
static void make_storm(struct shape *shape, struct rng *rng)
{
	struct shape_node *node = &shape->node;

	node->limits.rows = PHASE_ROWS_MIN;
	node->limits.try_timeout_ms = rng_range(rng, 1, 5);
	node->limits.accounts_max = 60;
	node->limits.ids_per_second = 4000;
	node->workers = smaller(node->limits.shards, SIM_WORKERS_MAX);
	shape->lossy = false;
	shape->step_us = range(rng, 200, 1000);
	shape->write_us = shape->step_us * range(rng, 1, 10);
	shape->delay_us = shape->step_us;
	shape->retry_us = shape->step_us * 20;
	shape->accounts = 40;
	shape->flight_max = 400;
	shape->pause_every = range(rng, 20, 100);
	shape->jump_every = 0;
	shape->full_every = 0;
}

/* More work than a slow disk takes: epochs that are full before the next one may open. */
static void make_flood(struct shape *shape, struct rng *rng)
{
	struct shape_node *node = &shape->node;

	node->limits.accounts_max = 60;
	node->limits.ids_per_second = 20000;
	node->requests = 100;
	node->section_bytes = WAL_PAGE;
	shape->queue_max = 60;
	shape->step_us = range(rng, 2, 20);
	shape->write_us = shape->step_us * range(rng, 300, 1500);
	shape->delay_us = shape->step_us;
	shape->retry_us = shape->step_us * 200;
	shape->operations_max = 1000;
	shape->flight_max = 400;
	shape->jump_every = 0;
	shape->full_every = 0;
}

void shape_choose(struct shape *shape, struct rng *rng)
{
	*shape = (struct shape){0};
	choose_node(shape, rng);
	choose_traffic(shape, rng);
	choose_faults(shape, rng);
	if (rng_chance(rng, 80))
		make_storm(shape, rng);
	else if (rng_chance(rng, 80))
		make_flood(shape, rng);
}

void shape_choose_moves(struct shape *shape, struct rng *rng)
{
	shape->move_every = swarm(rng, 50, 1000);
}

void shape_reconfigure(const struct shape *shape, struct shape_node *node, struct rng *rng)
{
	node->workers = range(rng, 1, smaller(node->limits.shards, SIM_WORKERS_MAX));
	node->slots = range(rng, EPOCH_SLOTS_MIN, shape->node.slots);
	node->section_bytes = WAL_PAGE * rng_range(rng, 1, shape->node.section_bytes / WAL_PAGE);
	node->writes = range(rng, 1, node->slots - 1);
	node->requests = range(rng, 2, 24);
	if (rng_chance(rng, 500))
		return;
	/* The log's limits only grow; the time-out is free. */
	node->limits.try_timeout_ms = swarm(rng, 1, 300);
	if (rng_chance(rng, 300) && node->limits.rows < 64)
		node->limits.rows *= 2;
	if (rng_chance(rng, 300))
		node->limits.accounts_max += rng_below(rng, 8);
	if (rng_chance(rng, 300))
		node->limits.ids_per_second += rng_below(rng, 100);
}
