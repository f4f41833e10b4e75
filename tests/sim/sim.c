/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

/* Steps within which everything must be answered and finished once faults have stopped. */
#define SETTLE_STEPS 150000

/* Virtual time of a step while settling, at most: windows must end, time-outs must come. */
#define SETTLE_STEP_US 1500

void sim_fail(const struct sim *sim, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	trace_dump();
	fprintf(stderr, "seed %" PRIu64 ", step %" PRIu64 ", %.3f ms: %s\n", sim->seed, sim->step,
		(double)sim->now_us / 1000, text);
	fflush(NULL);
	_exit(SIM_FAILED);
}

uint64_t sim_wall_ms(struct sim *sim)
{
	uint64_t wall_ms = SIM_START_MS + sim->now_us / 1000 + (uint64_t)sim->skew_ms;

	if (wall_ms > sim->oracle.clock_max_ms)
		sim->oracle.clock_max_ms = wall_ms;
	return wall_ms;
}

/* One small thing that is no fault. */
static void act(struct sim *sim)
{
	uint64_t kind = rng_below(&sim->rng, 100);

	if (kind < 42)
		sim_node_worker(&sim->node,
				(uint32_t)rng_below(&sim->rng, sim->node.config.workers));
	else if (kind < 58)
		sim_node_writer(&sim->node);
	else if (kind < 72)
		sim_disk_complete(&sim->disk);
	else if (kind < 85)
		network_deliver(&sim->network);
	else if (kind < 97)
		client_act(&sim->client);
	else
		sim_node_preparer(&sim->node);
}

void sim_let_pass(struct sim *sim)
{
	if (sim->nested >= SIM_NESTED_MAX)
		return;
	sim->nested++;
	for (uint64_t steps = rng_below(&sim->rng, 16); steps > 0; steps--) {
		sim->now_us += rng_below(&sim->rng, sim->shape.step_us + 1);
		act(sim);
	}
	sim->nested--;
}

/* Faults. */

static void pause_thread(struct sim *sim)
{
	uint32_t worker = (uint32_t)rng_below(&sim->rng, sim->node.config.workers + 1);
	uint64_t most_us = (uint64_t)sim->shape.step_us * (rng_chance(&sim->rng, 500) ? 60 : 1000);
	uint64_t pause_us = rng_below(&sim->rng, most_us);

	if (worker == sim->node.config.workers) {
		reach(sim, REACH_WRITER_PAUSED);
		trace("the log writer is paused for %" PRIu64 " us", pause_us);
		sim->node.writer_paused_until_us = sim->now_us + pause_us;
		return;
	}
	reach(sim, REACH_WORKER_PAUSED);
	trace("worker %u is paused for %" PRIu64 " us", worker, pause_us);
	sim->node.paused_until_us[worker] = sim->now_us + pause_us;
}

static void jump(struct sim *sim)
{
	uint64_t window_us = sim->shape.node.limits.window_ms * 1000;

	reach(sim, REACH_CLOCK_JUMPED);
	/* Some jumps leave ids alive, some outlast them and the rows under way. */
	uint64_t most_us = rng_chance(&sim->rng, 500) ? window_us / 3 : window_us * 4;
	sim->now_us += rng_below(&sim->rng, most_us);
	trace("time jumps");
}

static void skew(struct sim *sim)
{
	int64_t most = (int64_t)sim->shape.node.limits.window_ms / 3;
	int64_t skew_ms = (int64_t)rng_below(&sim->rng, (uint64_t)most * 2 + 1) - most;

	if (skew_ms < sim->skew_ms)
		reach(sim, REACH_CLOCK_STEPPED_BACK);
	sim->skew_ms = skew_ms;
	trace("the node's clock is %" PRId64 " ms off", skew_ms);
}

static void fill_disk(struct sim *sim)
{
	sim->disk.full = true;
	sim->full_until_us =
	    sim->now_us + rng_below(&sim->rng, (uint64_t)sim->shape.step_us * 3000);
	trace("the disk is full");
}

static void inject(struct sim *sim)
{
	const struct shape *shape = &sim->shape;
	struct rng *rng = &sim->rng;

	if (sim->disk.full && sim->now_us >= sim->full_until_us) {
		sim->disk.full = false;
		trace("the disk has space");
	}
	if (rng_once_in(rng, shape->jump_every))
		jump(sim);
	if (rng_once_in(rng, shape->skew_every))
		skew(sim);
	if (rng_once_in(rng, shape->full_every) && !sim->disk.full)
		fill_disk(sim);
	if (!sim->node.up)
		return;
	if (rng_once_in(rng, shape->pause_every))
		pause_thread(sim);
	if (rng_once_in(rng, shape->audit_every))
		sim_audit_live(sim);
	if (rng_once_in(&sim->move_rng, shape->move_every))
		sim_node_move(&sim->node);
	if (rng_once_in(rng, shape->stop_every) && !sim->node.draining)
		sim_node_stop(&sim->node);
	if (rng_once_in(rng, shape->crash_every) || sim->step == sim->node.crash_step)
		sim_node_crash(&sim->node);
}

/* The node comes when it may, and goes when its log failed. */
static void come_and_go(struct sim *sim)
{
	struct sim_node *node = &sim->node;

	if (node->failed)
		sim_node_crash(node);
	if (!node->up && sim->now_us >= node->start_us)
		sim_node_start(node);
}

static void step(struct sim *sim, uint64_t most_us)
{
	sim->step++;
	sim->now_us += rng_below(&sim->rng, most_us + 1);
	trace_at(sim->step, sim->now_us);
	come_and_go(sim);
	act(sim);
	sim_audit_cut(sim);
}

/* After the faults. */

static void stop_faults(struct sim *sim)
{
	trace("faults have stopped");
	sim->settling = true;
	sim->skew_ms = 0;
	sim->disk.full = false;
	for (uint32_t w = 0; w < SIM_WORKERS_MAX; w++)
		sim->node.paused_until_us[w] = 0;
	sim->node.writer_paused_until_us = 0;
}

static bool is_settled(const struct sim *sim)
{
	return sim->node.up && client_is_done(&sim->client) && sim_node_is_idle(&sim->node) &&
	       sim->node.hand_count == 0 && !sim->node.cut_awaited;
}

static const char *unsettled(const struct sim *sim)
{
	if (!sim->node.up)
		return "the node is not up";
	if (!client_is_done(&sim->client))
		return "requests are still without a final answer";
	if (sim->node.cut_awaited)
		return "digests were asked for and not given";
	return sim_node_is_idle(&sim->node) ? "datagrams are still in hand"
					    : "rows are still under way";
}

/* Every request gets its answer and every row finishes, in bounded steps. */
static void settle(struct sim *sim)
{
	uint64_t last = sim->step + SETTLE_STEPS;

	stop_faults(sim);
	while (!is_settled(sim)) {
		if (sim->step >= last)
			sim_fail(sim, "%s %d steps after faults stopped", unsettled(sim),
				 SETTLE_STEPS);
		step(sim, SETTLE_STEP_US);
	}
	trace("settled");
}

/* A clean stop, and the start after it: the digests in CLOSE are those of the running shards, and
 * the start compares them with the replayed ones. */
static void close_and_compare(struct sim *sim)
{
	uint64_t stopped = sim->reach->counts[REACH_STOPPED];

	sim_node_stop(&sim->node);
	while (sim->node.up)
		step(sim, SETTLE_STEP_US);
	if (sim->reach->counts[REACH_STOPPED] == stopped)
		sim_fail(sim, "the last stop was not a clean one");
	sim_audit_closed(sim);
	sim_damage_try(sim);
}

static void finish(struct sim *sim)
{
	sim_node_free(&sim->node);
	network_free(&sim->network);
	oracle_free(&sim->oracle);
	sim_disk_free(&sim->disk);
}

uint64_t sim_run(struct sim *sim, uint64_t seed, uint32_t steps, struct reach *reach)
{
	memset(sim, 0, sizeof(*sim));
	sim->seed = seed;
	sim->reach = reach;
	rng_seed(&sim->rng, seed);
	shape_choose(&sim->shape, &sim->rng);
	rng_seed(&sim->move_rng, ~seed);
	shape_choose_moves(&sim->shape, &sim->move_rng);
	if (steps != 0)
		sim->shape.steps = steps;
	sim_disk_init(&sim->disk, sim, sim->shape.segment_bytes);
	network_init(&sim->network, sim);
	oracle_init(&sim->oracle, sim);
	client_init(&sim->client, sim);
	sim_node_init(&sim->node, sim);
	while (sim->step < sim->shape.steps) {
		inject(sim);
		step(sim, sim->shape.step_us);
	}
	settle(sim);
	close_and_compare(sim);
	uint64_t digest = sim->digest ^ rng_next(&sim->rng);
	finish(sim);
	return digest;
}
