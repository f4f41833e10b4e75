/* SPDX-License-Identifier: Apache-2.0
 *
 * Shards of a running node get other workers: what engine/shard_move.c does. That all workers stand
 * still is a moment between two steps.
 */
#include <string.h>

#include "base/check.h"
#include "tests/sim/sim.h"

/* Steps that rows may take to finish. */
#define MOVE_STEPS 600

void sim_node_move(struct sim_node *node)
{
	struct sim *sim = node->sim;
	uint32_t workers = node->config.workers;
	uint32_t shards = node->config.limits.shards;

	if (node->moving || node->draining || node->failed)
		return;
	/* Each worker has one, by a random order of the shards; the rest goes anywhere. */
	uint32_t order[SIM_SHARDS_MAX];
	for (uint32_t i = 0; i < shards; i++) {
		uint32_t at = (uint32_t)rng_below(&sim->move_rng, i + 1);
		order[i] = order[at];
		order[at] = i;
	}
	for (uint32_t i = 0; i < shards; i++)
		node->owner[order[i]] =
		    (uint8_t)(i < workers ? i : rng_below(&sim->move_rng, workers));
	node->moving = true;
	node->move_end = sim->step + 1 + rng_below(&sim->move_rng, MOVE_STEPS);
	trace("shards shall move: no new work is taken");
}

/* Every worker in the newest epoch, nothing batched. False: one does not run now. */
static bool park(struct sim_node *node)
{
	for (uint32_t w = 0; w < node->config.workers; w++) {
		CHECK(!node->busy[w]);
		if (node->paused_until_us[w] > node->sim->now_us || node->resume[w])
			return false;
	}
	for (uint32_t w = 0; w < node->config.workers; w++) {
		worker_turn(node->workers[w]);
		worker_flush(node->workers[w]);
	}
	return true;
}

static bool nothing_is_under_way(const struct sim_node *node)
{
	for (uint32_t w = 0; w < node->config.workers; w++) {
		if (!worker_is_settled(node->workers[w]))
			return false;
	}
	return links_are_quiet(&node->sim->links);
}

static void give_shards(struct sim_node *node)
{
	struct sim *sim = node->sim;
	struct slot_map map = node->map;
	uint64_t held = 0;

	slot_map_follow(&node->map, &map, node->owner);
	for (uint32_t w = 0; w < node->config.workers; w++)
		held += node->workers[w]->requests_used;
	workers_move_shards(node->workers, node->config.workers, node->owner);
	if (links_follow(&sim->links) > 0)
		reach(sim, REACH_SHARDS_MOVED_LATE);
	if (held > 0)
		reach(sim, REACH_SHARDS_MOVED_HELD);
	reach(sim, REACH_SHARDS_MOVED);
	trace("shards moved: map version %u", node->map.version);
}

void sim_node_move_step(struct sim_node *node)
{
	struct sim *sim = node->sim;

	if (park(node) && nothing_is_under_way(node)) {
		give_shards(node);
		node->moving = false;
		return;
	}
	if (sim->step < node->move_end)
		return;
	reach(sim, REACH_SHARDS_STAYED);
	trace("shards stay: work is still under way");
	node->moving = false;
}
