/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole node in one thread: the real shards, workers, epoch clock, log writer, preparer and
 * recovery, put together as engine/engine.c and engine/lcore.c do. What would be a loop on a core
 * of its own is a step here.
 *
 *   port queue of each worker --> worker_route --> own shards | hand-over queue
 *   links (rings, or lossy)   --> worker_message
 *   log writer                --> simulated disk
 */
#ifndef GIRO_TESTS_SIM_SIM_NODE_H
#define GIRO_TESTS_SIM_SIM_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/epoch.h"
#include "engine/log_writer.h"
#include "engine/recovery.h"
#include "engine/slot_map.h"
#include "engine/worker.h"
#include "tests/sim/shape.h"
#include "tests/sim/sim_network.h"

#define NODE_QUEUE_MAX 64
#define NODE_HANDS_MAX 512

struct sim_queue {
	struct sim_packet *packets[NODE_HANDS_MAX];
	uint32_t first;
	uint32_t count;
};

struct sim_node {
	struct sim *sim;
	bool up;
	bool draining;	   /* finishes what is under way, then stops */
	bool failed;	   /* the log failed: stops at the next chance */
	bool moving;	   /* takes no new work until shards can move to `owner` */
	uint64_t move_end; /* step at which they stay where they are */
	uint8_t owner[SHARDS_MAX];
	uint64_t drain_end;  /* step at which it stops, finished or not */
	uint64_t start_us;   /* not up before */
	uint64_t crash_step; /* a crash soon after the last one; zero: none */
	struct shape_node config;

	struct recovery recovery;
	struct recovery_options options;
	void *shard_memory[SIM_SHARDS_MAX];
	struct shard *shards[SIM_SHARDS_MAX];
	struct epoch_clock clock;
	void *clock_memory;
	struct log_writer log_writer;
	bool cut_awaited; /* digests were asked for */
	struct slot_map map;
	void *worker_memory[SIM_WORKERS_MAX];
	struct worker *workers[SIM_WORKERS_MAX];
	bool resume[SIM_WORKERS_MAX];
	uint64_t resend_us[SIM_WORKERS_MAX];
	uint64_t paused_until_us[SIM_WORKERS_MAX];
	uint64_t writer_paused_until_us;
	bool busy[SIM_WORKERS_MAX]; /* in the midst of its loop, while others go on */
	struct sim_queue port[SIM_WORKERS_MAX];
	struct sim_queue handover[SIM_WORKERS_MAX];

	struct sim_packet *hands[NODE_HANDS_MAX]; /* every packet that the node holds */
	uint32_t hand_count;
};

void sim_node_init(struct sim_node *node, struct sim *sim);
void sim_node_free(struct sim_node *node);

/* Shards of a worker. */
static inline uint32_t sim_node_shards(const struct sim_node *node, uint32_t worker)
{
	uint32_t shards = 0;

	for (uint32_t i = 0; i < node->config.limits.shards; i++)
		shards += node->map.worker[i] == worker;
	return shards;
}

/* Empty shards for `limits`. */
void sim_node_make_shards(const struct shard_limits *limits, void **memory, struct shard **shards);
void sim_node_free_shards(void **memory, struct shard **shards);

/* Recovers from the disk and starts, or dies in the attempt. */
void sim_node_start(struct sim_node *node);

/* The process is gone; its disk stays as it is. */
void sim_node_discard(struct sim_node *node);

extern const struct worker_sink sim_node_sink;

/* Power is lost. */
void sim_node_crash(struct sim_node *node);

/* Begins a clean stop. */
void sim_node_stop(struct sim_node *node);

/* Begins to give shards to other workers. */
void sim_node_move(struct sim_node *node);

/* The end of that, one way or the other; between the workers' turns. sim_move.c */
void sim_node_move_step(struct sim_node *node);

/* A datagram arrives at the node, which takes the packet. */
void sim_node_receive(struct sim_node *node, struct sim_packet *packet);

/* One turn of a worker's loop; of the log writer's; of the preparer's. */
void sim_node_worker(struct sim_node *node, uint32_t worker);
void sim_node_writer(struct sim_node *node);
void sim_node_preparer(struct sim_node *node);

/* Nothing is under way in any shard. */
bool sim_node_is_idle(const struct sim_node *node);

#endif
