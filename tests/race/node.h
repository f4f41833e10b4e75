/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine without port and DPDK, and as many threads as the engine has: the log writer's (the
 * caller's own), the workers', the preparer's, and one that replaces the slot map while they run. The
 * log writer's thread gives shards to other workers meanwhile.
 *
 *   real:      epochs, workers, log writer, recovery, shards, the log directory with io_uring and
 *              its preparer thread, liburcu-qsbr
 *   stand-in:  rings of C11 atomics for rte_ring (tests/race/ring.h); a client in each worker's
 *              thread for the port
 *
 * The worker's loop is engine/lcore.c's, the life of a node that of engine/engine.c, and a move that of
 * engine/shard_move.c.
 */
#ifndef GIRO_TESTS_RACE_NODE_H
#define GIRO_TESTS_RACE_NODE_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/log_writer.h"
#include "engine/recovery.h"
#include "engine/worker.h"
#include "tests/race/client.h"
#include "tests/race/ring.h"

#define NODE_WORKERS 3
#define NODE_SHARDS  6
#define NODE_OWNED   (NODE_SHARDS - NODE_WORKERS + 1) /* by one worker, at most */

enum node_order {
	NODE_RUN,
	NODE_DRAIN,
	NODE_STOP,
	NODE_PARK,
};

struct node;

struct node_thread {
	struct node *node;
	uint32_t index;
	pthread_t thread;
	struct worker *worker;
	struct client *client;
	uint64_t sent;	    /* transfers, in this life of the node */
	uint64_t accepted;  /* datagrams of other threads' clients */
	uint64_t caught_up; /* epochs entered because of a message */
	uint32_t expected;  /* answers to what opens accounts */

	alignas(CACHE_LINE) _Atomic bool opened; /* all accounts; writer: the thread */
	_Atomic bool sent_all;			 /* writer: the thread */
	_Atomic bool idle;			 /* writer: the thread, while draining */
	_Atomic uint32_t obeyed;		 /* word of the order; writer: the thread */
};

struct node {
	struct wal_disk *disk;
	struct recovery recovery;
	struct shard_limits limits;
	struct shard *shards[NODE_SHARDS];
	struct epoch_clock clock;
	void *sections;
	struct log_writer log_writer;
	struct ring messages[NODE_WORKERS][NODE_WORKERS]; /* [from][to] */
	struct ring handover[NODE_WORKERS][NODE_WORKERS];
	struct node_thread threads[NODE_WORKERS];
	uint64_t transfers; /* that each client sends */
	bool goes_on;	    /* clients send more than that: work is under way when the life ends */
	bool resume;	    /* rows were recovered unfinished */

	struct slot_map *map;	  /* RCU: read by workers, replaced by the publisher and by moves */
	pthread_mutex_t map_lock; /* between those two */
	pthread_t publisher;
	uint64_t maps_published;

	/* The publisher's: what it asked for besides. */
	uint64_t cuts_taken;
	uint64_t cut_epoch; /* of the last one */
	bool cut_awaited;

	/* The log writer's thread. */
	uint64_t moves;
	uint64_t tries; /* times that all stood still for one */
	uint64_t moved_ms;
	uint32_t drain; /* word of the order that a move began with, or 0 */
	uint32_t random;

	/* Number of orders given * 4 + the order. Writer: the log writer's thread. */
	alignas(CACHE_LINE) _Atomic uint32_t order;
};

struct shard_limits node_limits(void);
void node_shards_make(struct shard **shards);
void node_shards_free(struct shard **shards);

/* Recovers the log in directory `path` and makes everything but the threads. `clients` are those of
 * the workers. */
void node_start(struct node *node, const char *path, struct client *clients, uint64_t transfers);

/* Runs until the clients have sent all their transfers. With `drain` everything gets its answer and
 * every row ends; without, the workers stop in the middle. Then the log is closed. */
void node_run(struct node *node, bool drain);

/* Frees all but the shards. */
void node_end(struct node *node);

#endif
