/* SPDX-License-Identifier: Apache-2.0
 *
 * The control thread: what an engine does beside moving money. It reads the configuration again at
 * SIGHUP, and watches the engine on its operator's behalf (engine/watch.h). A thread of its own,
 * because both block and neither may hold up the log writer.
 *
 *   SIGHUP --> config_read() --> refused as a whole, named, nothing changed
 *                            +-> [clients]: published with RCU, every worker has it a loop later
 *                            +-> [engine] shard_workers: the main thread moves the shards
 *                            |   (engine/shard_move.h); then the port's rules follow
 *                            +-> any other key that differs: named; holds from the next start on
 *
 * What cannot change while running: everything else. Tables and rings are sized at start, the log's
 * geometry is the log's, and a slot cannot go to another shard, since its accounts would have to go
 * with it: a file with another number of shards is refused.
 */
#ifndef GIRO_ENGINE_CONTROL_H
#define GIRO_ENGINE_CONTROL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "engine/engine.h"
#include "engine/watch.h"

struct control {
	struct engine *engine; /* only what this thread may see of it: shared, clock, port, move */
	struct config_input input;	/* borrows its texts */
	struct engine_config config;	/* in force; this thread's own copy */
	struct client_limits limits[2]; /* the last one published, and one that is free */
	unsigned published;
	uint32_t version;	   /* of the limits published last */
	uint8_t owner[SHARDS_MAX]; /* worker of each shard, in force */
	struct watch watch;
	pthread_t thread;
	bool started;
	_Atomic bool stop; /* writer: control_stop() */
};

/* Blocks SIGHUP for this thread and all that it makes: before EAL makes threads. */
void control_block_signals(void);

/* After engine_start(), which published the limits of the configuration it was given. */
void control_init(struct control *control, struct engine *engine, const struct config_input *input);

/* Starts the thread. Returns 0, or a negative errno. */
int control_start(struct control *control);

/* Ends the thread; idempotent. Workers may have stopped or not. */
void control_stop(struct control *control);

#endif
