/* SPDX-License-Identifier: Apache-2.0
 *
 * A node that runs: what engine/lcore.c does in a loop, in steps.
 */
#include "tests/sim/sim_node.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/sim.h"

/* Steps that a clean stop may take before it stops with work under way. */
#define DRAIN_STEPS 3000

/* Packets. */

static void hold(struct sim_node *node, struct sim_packet *packet)
{
	CHECK(node->hand_count < NODE_HANDS_MAX);
	node->hands[node->hand_count++] = packet;
}

/* The node lets go of the packet. */
static void let_go(struct sim_node *node, const struct sim_packet *packet)
{
	for (uint32_t i = 0; i < node->hand_count; i++) {
		if (node->hands[i] == packet) {
			node->hands[i] = node->hands[--node->hand_count];
			return;
		}
	}
	sim_fail(node->sim, "a packet was answered twice");
}

static void drop(struct sim_node *node, struct sim_packet *packet)
{
	let_go(node, packet);
	free(packet);
}

static void push(struct sim_queue *queue, struct sim_packet *packet)
{
	CHECK(queue->count < NODE_HANDS_MAX);
	queue->packets[(queue->first + queue->count++) % NODE_HANDS_MAX] = packet;
}

static struct sim_packet *pop(struct sim_queue *queue)
{
	struct sim_packet *packet = queue->packets[queue->first];

	queue->first = (queue->first + 1) % NODE_HANDS_MAX;
	queue->count--;
	return packet;
}

void sim_node_receive(struct sim_node *node, struct sim_packet *packet)
{
	struct sim *sim = node->sim;

	if (!node->up) {
		free(packet);
		return;
	}
	/* The device steers most, not all, to the worker that owns the shard. */
	uint32_t worker = node->map.worker[packet->home];
	if (rng_chance(&sim->rng, 150))
		worker = (uint32_t)rng_below(&sim->rng, node->config.workers);
	if (node->port[worker].count >= sim->shape.queue_max ||
	    node->hand_count == NODE_HANDS_MAX) {
		reach(sim, REACH_QUEUE_FULL);
		free(packet);
		return;
	}
	memcpy(packet->request, packet->bytes, packet->size);
	packet->request_size = packet->size;
	packet->known_ms = sim->oracle.durable_ms;
	hold(node, packet);
	push(&node->port[worker], packet);
}

/* The worker's sinks. */

static void reply(struct sim_node *node, struct sim_packet *packet, size_t size)
{
	oracle_check_reply(&node->sim->oracle, packet->request, packet->request_size, packet->bytes,
			   size, packet->known_ms);
	let_go(node, packet);
	network_reply(&node->sim->network, packet, size);
}

static void sink_replies(void *context, const struct worker_reply *replies, uint32_t count)
{
	struct sim_node *node = context;

	for (uint32_t i = 0; i < count; i++)
		reply(node, replies[i].packet, replies[i].payload_size);
}

static void sink_messages(void *context, const struct shard_message *messages, uint32_t count)
{
	struct sim_node *node = context;

	for (uint32_t i = 0; i < count; i++)
		links_send(&node->sim->links, node->map.worker[messages[i].from],
			   node->map.worker[messages[i].to], &messages[i]);
}

const struct worker_sink sim_node_sink = {
    .messages = sink_messages,
    .replies = sink_replies,
};

/* The loop. */

static uint32_t burst_records(const struct sim_node *node)
{
	return node->config.burst * node->sim->shape.records_max;
}

static void serve(struct sim_node *node, uint32_t w, struct sim_packet *packet)
{
	struct sim *sim = node->sim;
	size_t size;

	switch (
	    worker_route(node->workers[w], packet->bytes, packet->size, &packet->shard, &size)) {
	case WORKER_ROUTE_DROP:
		if (packet->damaged)
			reach(sim, REACH_DAMAGE_CAUGHT_ENGINE);
		drop(node, packet);
		return;
	case WORKER_ROUTE_REPLY:
		if (packet->damaged)
			sim_fail(sim, "a damaged request was answered");
		reply(node, packet, size);
		return;
	default:
		break;
	}
	if (packet->damaged)
		sim_fail(sim, "a damaged request was taken for a sound one");
	uint32_t owner = node->map.worker[packet->shard];
	if (owner == w) {
		worker_accept(node->workers[w], packet->shard, packet, packet->bytes);
		return;
	}
	reach(sim, REACH_HANDED_OVER);
	push(&node->handover[owner], packet);
}

static void poll_messages(struct sim_node *node, uint32_t w)
{
	struct sim *sim = node->sim;
	struct worker *worker = node->workers[w];
	uint32_t burst = node->config.burst;
	/* A loop may be interrupted anywhere. */
	uint64_t most = rng_chance(&sim->rng, 300) ? rng_below(&sim->rng, 4) : UINT64_MAX;

	for (uint32_t from = 0; from < node->config.workers; from++) {
		bool more = true;
		while (more && most > 0 && worker_has_room(worker, burst)) {
			for (uint32_t i = 0; i < burst && more && most > 0; i++) {
				struct shard_message message;
				more = links_take(&sim->links, from, w, &message);
				if (more)
					worker_message(worker, &message);
				most--;
			}
		}
	}
}

static void poll_handover(struct sim_node *node, uint32_t w)
{
	struct sim_queue *queue = &node->handover[w];

	for (uint32_t i = 0; i < node->config.burst && queue->count > 0; i++) {
		struct sim_packet *packet = pop(queue);
		uint32_t owner = node->map.worker[packet->shard];
		if (owner != w) {
			reach(node->sim, REACH_HANDED_ON);
			push(&node->handover[owner], packet);
			continue;
		}
		worker_accept(node->workers[w], packet->shard, packet, packet->bytes);
	}
}

static void poll_port(struct sim_node *node, uint32_t w)
{
	struct sim_queue *queue = &node->port[w];

	for (uint32_t i = 0; i < node->config.burst && queue->count > 0; i++)
		serve(node, w, pop(queue));
}

static void resend(struct sim_node *node, uint32_t w)
{
	struct sim *sim = node->sim;

	if (node->resume[w])
		worker_resume(node->workers[w]);
	node->resume[w] = false;
	if (!sim->shape.lossy || sim->now_us < node->resend_us[w])
		return;
	reach(sim, REACH_LINK_RESENT);
	node->resend_us[w] = sim->now_us + sim->shape.resend_us;
	worker_resume(node->workers[w]);
}

/* Others run on other cores: the loop of one is never all there is. */
static void meanwhile(struct sim_node *node)
{
	if (rng_chance(&node->sim->rng, 100))
		sim_let_pass(node->sim);
}

static void turn(struct sim_node *node, uint32_t w)
{
	struct worker *worker = node->workers[w];

	worker_set_map(worker, &node->map);
	worker->draining = node->draining || node->moving;
	resend(node, w);
	uint64_t epoch = worker->epoch;
	worker_turn(worker);
	if (worker->epoch != epoch)
		trace("worker %u seals epoch %llu, goes on in %llu", w, (unsigned long long)epoch,
		      (unsigned long long)worker->epoch);
	meanwhile(node);
	poll_messages(node, w);
	meanwhile(node);
	if (!worker_has_room(worker, burst_records(node))) {
		reach(node->sim, REACH_EPOCH_FULL);
		worker_flush(worker);
		return;
	}
	poll_handover(node, w);
	if (worker_has_room(worker, burst_records(node)))
		poll_port(node, w);
	meanwhile(node);
	worker_flush(worker);
}

void sim_node_worker(struct sim_node *node, uint32_t w)
{
	if (!node->up || node->busy[w] || node->paused_until_us[w] > node->sim->now_us)
		return;
	node->busy[w] = true;
	turn(node, w);
	node->busy[w] = false;
}

void sim_node_preparer(struct sim_node *node)
{
	if (node->up)
		wal_preparer_step(&node->recovery.preparer);
}

/* Stopping. */

bool sim_node_is_idle(const struct sim_node *node)
{
	for (uint32_t w = 0; w < node->config.workers; w++) {
		if (!worker_is_idle(node->workers[w]))
			return false;
	}
	return true;
}

void sim_node_stop(struct sim_node *node)
{
	trace("stop: no new work is taken");
	if (node->moving)
		reach(node->sim, REACH_SHARDS_STOPPED);
	node->moving = false;
	node->draining = true;
	node->drain_end = node->sim->step + DRAIN_STEPS;
}

/* Everything is sealed: the rest of the log, then CLOSE. Returns 0 or the negative errno. */
static int close_log(struct sim_node *node)
{
	struct sim *sim = node->sim;
	uint64_t last = epoch_newest(&node->clock);

	for (uint32_t tries = 0; epoch_committed(&node->clock) < last; tries++) {
		wal_preparer_step(&node->recovery.preparer);
		int error = log_writer_finish(&node->log_writer);
		if (error != 0)
			return error;
		if (tries > 10000 && sim->disk.full)
			return -1;
		if (tries > 10000)
			sim_fail(sim, "the log was not closed: epoch %llu of %llu is committed",
				 (unsigned long long)epoch_committed(&node->clock),
				 (unsigned long long)last);
	}
	int64_t closed =
	    log_writer_mark(&node->recovery.writer, WAL_CLOSE, last + 1, sim_wall_ms(sim),
			    node->shards, node->config.limits.shards, NULL);
	return closed < 0 ? (int)closed : 0;
}

static void stop_now(struct sim_node *node)
{
	struct sim *sim = node->sim;

	for (uint32_t w = 0; w < node->config.workers; w++)
		worker_stop(node->workers[w]);
	if (close_log(node) != 0) {
		sim_node_crash(node);
		return;
	}
	reach(sim, REACH_STOPPED);
	trace("stopped: CLOSE is durable");
	oracle_compare(&sim->oracle, node->shards, "when stopped");
	sim_node_discard(node);
}

/* One turn of the log writer's thread, which is the engine's main thread. */
void sim_node_writer(struct sim_node *node)
{
	struct sim *sim = node->sim;

	if (!node->up || node->failed || node->writer_paused_until_us > sim->now_us)
		return;
	int moved = log_writer_turn(&node->log_writer, sim_wall_ms(sim));
	if (moved < 0) {
		reach(sim, REACH_ENGINE_STOPPED_ITSELF);
		trace("the log failed: %s", strerror(-moved));
		node->failed = true;
		return;
	}
	if (!atomic_load(&node->clock.has_space))
		reach(sim, REACH_LOG_FULL);
	if (!epoch_can_open(&node->clock))
		reach(sim, REACH_CLOCK_FULL);
	if (node->moving && sim->nested == 0)
		sim_node_move_step(node);
	if (node->draining && sim->nested == 0 &&
	    (sim_node_is_idle(node) || sim->step >= node->drain_end))
		stop_now(node);
}
