/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine: everything that one process has, put together at start and taken apart at the end.
 *
 *   main lcore                       worker lcores 0..n-1
 *   log writer, orders, signals      the shards they own, port queue w where there is one
 *
 * Memory is sized and checked before anything is allocated; nothing is allocated afterwards.
 *
 * All functions: the main thread, EAL up.
 */
#ifndef GIRO_ENGINE_ENGINE_H
#define GIRO_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/config.h"
#include "engine/lcore.h"
#include "engine/log_meter.h"
#include "engine/log_writer.h"
#include "engine/recovery.h"
#include "engine/shard_move.h"
#include "engine/wall_clock.h"

#define ENGINE_ERROR_MAX RECOVERY_ERROR_MAX

/* What the engine will ask memory for, bytes. */
struct engine_memory {
	uint64_t shards;
	uint64_t log_buffers;
	uint64_t workers;
	uint64_t rings;
	uint64_t mbufs;
	uint64_t needed;    /* the sum */
	uint64_t available; /* to EAL: its free heap, and free hugepages where it uses them */
};

struct engine {
	struct engine_config config;
	struct engine_memory memory;
	struct net_port port;
	struct lanes lanes; /* while the log is opened or closed: no worker runs then */
	struct recovery recovery;
	uint64_t recovery_ms; /* that reading the log took */
	struct epoch_clock clock;
	struct log_writer log_writer;
	struct wall_clock wall_clock; /* of the main thread */
	struct log_meter log_meter;
	struct idle idle; /* of the main thread */
	struct lcore_shared shared;
	struct lcore lcores[WORKERS_MAX];
	struct shard *shards[SHARDS_MAX];
	uint32_t workers;
	uint32_t mbufs;
	uint8_t owner[SHARDS_MAX]; /* worker of each shard, at the start */
	struct slot_map *maps;	   /* [2]: one in force, one for the next */
	void *message_memory;	   /* of the rings, see engine/message_rings.h */
	struct shard_move move;
};

/* What an engine with these many workers would ask memory for, bytes. */
uint64_t engine_memory_needed(const struct engine_config *config, uint32_t workers);

/* Sizes, allocates, opens the port, recovers the log, makes the workers. Returns 0, or -1 with
 * lines for people in `error`; the process is then to exit, which frees what was taken. Blocks. */
int engine_start(struct engine *engine, const struct engine_config *config,
		 char error[ENGINE_ERROR_MAX]);

/* Asks the device to bring each shard's UDP port to the queue of the worker that owns it by the map in
 * force. Returns false when requests are handed over in software instead, or partly: a worker without
 * a queue. The main thread at start, then the control thread; workers may poll. */
bool engine_steer(struct engine *engine);

/* Has every worker done a whole turn by this order, or stopped for it? The word is what
 * lcore_give_order() returned, of LCORE_DRAIN or LCORE_PARK. */
bool engine_is_obeyed(const struct engine *engine, uint32_t word);

/* The start screen. */
void engine_describe(const struct engine *engine, FILE *out);

/* Runs until *stop becomes nonzero, then drains, seals and closes the log. Returns 0, or -1 when
 * the log failed: nothing that was not durable has been answered. Blocks. */
int engine_run(struct engine *engine, const volatile int *stop);

/* What was done, after engine_run(). */
void engine_report(const struct engine *engine, FILE *out);

/* Closes port and log. */
void engine_close(struct engine *engine);

#endif
