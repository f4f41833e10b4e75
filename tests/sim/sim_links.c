/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_links.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/sim.h"

static void make_ring(struct sim_links *links, uint32_t from, uint32_t to)
{
	struct sim_node *node = &links->sim->node;
	struct sim_ring *ring = &links->rings[from][to];

	*ring = (struct sim_ring){
	    .size = worker_messages_max(sim_node_shards(node, from), sim_node_shards(node, to),
					&node->config.limits),
	};
	ring->messages = malloc(ring->size * sizeof(ring->messages[0]));
	CHECK(ring->messages != NULL);
}

void links_open(struct sim_links *links, struct sim *sim)
{
	const struct shape_node *config = &sim->node.config;

	memset(links, 0, sizeof(*links));
	links->sim = sim;
	for (uint32_t to = 0; to < config->workers; to++) {
		links->bag[to] = malloc(LINK_BAG_MAX * sizeof(struct sim_flying));
		CHECK(links->bag[to] != NULL);
		for (uint32_t from = 0; from < config->workers; from++)
			make_ring(links, from, to);
	}
}

bool links_are_quiet(const struct sim_links *links)
{
	for (uint32_t to = 0; to < SIM_WORKERS_MAX; to++) {
		for (uint32_t from = 0; from < SIM_WORKERS_MAX; from++) {
			if (links->rings[from][to].count > 0)
				return false;
		}
	}
	return true;
}

static uint64_t move_flying(struct sim_links *links)
{
	static struct sim_flying all[SIM_WORKERS_MAX * LINK_BAG_MAX];
	uint64_t count = 0;

	for (uint32_t to = 0; to < links->sim->node.config.workers; to++) {
		memcpy(&all[count], links->bag[to], links->bag_count[to] * sizeof(all[0]));
		count += links->bag_count[to];
		links->bag_count[to] = 0;
	}
	for (uint64_t i = 0; i < count; i++) {
		uint32_t to = links->sim->node.map.worker[all[i].message.to];
		if (links->bag_count[to] < LINK_BAG_MAX)
			links->bag[to][links->bag_count[to]++] = all[i];
		else
			reach(links->sim, REACH_LINK_LOST);
	}
	return count;
}

uint64_t links_follow(struct sim_links *links)
{
	uint32_t workers = links->sim->node.config.workers;

	for (uint32_t to = 0; to < workers; to++) {
		for (uint32_t from = 0; from < workers; from++) {
			free(links->rings[from][to].messages);
			make_ring(links, from, to);
		}
	}
	return move_flying(links);
}

uint64_t links_close(struct sim_links *links)
{
	uint64_t lost = 0;

	for (uint32_t to = 0; to < SIM_WORKERS_MAX; to++) {
		lost += links->bag_count[to];
		free(links->bag[to]);
		for (uint32_t from = 0; from < SIM_WORKERS_MAX; from++) {
			lost += links->rings[from][to].count;
			free(links->rings[from][to].messages);
		}
	}
	memset(links, 0, sizeof(*links));
	return lost;
}

static void trace_message(const char *what, const struct shard_message *message)
{
	static const char *const kinds[] = {"?", "TRY", "VOTE", "CONFIRM", "CANCEL", "ACK"};

	trace("%s %s %llu, shard %u to %u, epoch %u", what, kinds[message->kind],
	      (unsigned long long)message->seq, message->from, message->to, message->epoch_low);
}

static void throw(struct sim_links * links, uint32_t to, const struct shard_message *message)
{
	struct sim *sim = links->sim;
	const struct shape *shape = &sim->shape;
	uint64_t delay_us = rng_below(&sim->rng, shape->link_delay_us + 1);

	links->sent++;
	if ((!sim->settling && rng_chance(&sim->rng, shape->link_loss)) ||
	    links->bag_count[to] == LINK_BAG_MAX) {
		reach(sim, REACH_LINK_LOST);
		trace_message("lost:", message);
		return;
	}
	if (!sim->settling && rng_chance(&sim->rng, 30)) {
		reach(sim, REACH_LINK_DELAYED);
		delay_us += shape->link_delay_us * rng_below(&sim->rng, 50);
	}
	links->bag[to][links->bag_count[to]++] = (struct sim_flying){
	    .message = *message,
	    .due_us = sim->now_us + delay_us,
	    .number = links->sent,
	};
}

void links_send(struct sim_links *links, uint32_t from, uint32_t to,
		const struct shard_message *message)
{
	struct sim *sim = links->sim;

	trace_message("sent:", message);
	if (sim->shape.lossy) {
		throw(links, to, message);
		while (!sim->settling && rng_chance(&sim->rng, sim->shape.link_copy)) {
			reach(sim, REACH_LINK_COPIED);
			throw(links, to, message);
		}
		return;
	}
	struct sim_ring *ring = &links->rings[from][to];
	if (ring->count == ring->size)
		sim_fail(sim, "the message ring from worker %u to %u is full: %u messages", from,
			 to, ring->count);
	ring->messages[(ring->first + ring->count++) % ring->size] = *message;
	if (ring->count * 2 > ring->size)
		reach(sim, REACH_RING_HALF_FULL);
}

static bool take_from_bag(struct sim_links *links, uint32_t to, struct shard_message *message)
{
	struct sim *sim = links->sim;

	for (int tries = 0; tries < 4 && links->bag_count[to] > 0; tries++) {
		uint32_t index = (uint32_t)rng_below(&sim->rng, links->bag_count[to]);
		struct sim_flying *flying = &links->bag[to][index];
		if (flying->due_us > sim->now_us)
			continue;
		if (flying->number < links->delivered)
			reach(sim, REACH_LINK_OVERTAKEN);
		else
			links->delivered = flying->number;
		*message = flying->message;
		*flying = links->bag[to][--links->bag_count[to]];
		return true;
	}
	return false;
}

bool links_take(struct sim_links *links, uint32_t from, uint32_t to, struct shard_message *message)
{
	struct sim_ring *ring = &links->rings[from][to];

	if (links->sim->shape.lossy) {
		if (!take_from_bag(links, to, message))
			return false;
	} else {
		if (ring->count == 0)
			return false;
		*message = ring->messages[ring->first];
		ring->first = (ring->first + 1) % ring->size;
		ring->count--;
	}
	trace_message("heard:", message);
	return true;
}
