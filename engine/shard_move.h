/* SPDX-License-Identifier: Apache-2.0
 *
 * A move: shards get other workers while the engine runs, so that a hot worker can give some away.
 * Which slots a shard has stays, since the accounts lie in it, and so does its UDP port.
 *
 *   control thread          main thread                               worker lcores
 *     shard_move_ask() -->  DRAIN -------------------------------->   new work: BUSY; rows finish
 *                           a turn done by all, no row under way?
 *                           PARK --------------------------------->   newest epoch, stand still
 *                           all settled, no message on its way?
 *                             no: DRAIN, and look again
 *                             yes: shards to their new workers,
 *                                  rings cut anew, map + 1 by RCU
 *                           RUN  --------------------------------->   go on by the new map
 *     shard_move_take() <-- moved, or stayed and why
 *     steering rules
 *
 * That the workers stand still while it looks makes "nothing is under way" a fact and no guess: a
 * worker that reads as idle may have been handed something since. They stand in the same epoch, as
 * the main thread opens none meanwhile, so the seals of the old owners and of the new ones agree.
 *
 * Not waited for: the disk. Replies that are held stay with the worker that has them, as their
 * results need no shard any more; and requests that were routed but not served are handed on.
 *
 * When rows do not finish in time (the disk stands still and the epochs' buffers are full), all stays
 * as it was. A stop, and a failed log, end a move in the same way.
 */
#ifndef GIRO_ENGINE_SHARD_MOVE_H
#define GIRO_ENGINE_SHARD_MOVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

struct engine;

/* How long new work may be refused for the sake of a move. */
#define SHARD_MOVE_MS 2000

enum shard_move_state {
	SHARD_MOVE_NONE,
	SHARD_MOVE_ASKED,
	SHARD_MOVE_ENDED,
};

enum shard_move_end {
	SHARD_MOVED,
	SHARD_MOVE_LATE,    /* work was still under way after SHARD_MOVE_MS */
	SHARD_MOVE_STOPPED, /* the engine stops */
};

struct shard_move_result {
	enum shard_move_end end;
	uint32_t version;    /* of the map in force */
	uint64_t refused_ns; /* new work was answered BUSY for so long */
	uint64_t rows;	     /* transfers between shards under way at the end */
};

struct shard_move {
	/* NONE -> ASKED by the control thread, release after `owner`; ASKED -> ENDED by the main
	 * thread, release after `result`; ENDED -> NONE by the control thread. */
	_Atomic int state;
	uint8_t owner[SHARDS_MAX];
	struct shard_move_result result;

	/* Main thread. */
	bool begun;
	uint64_t begun_ns;
	uint32_t drain; /* the order in force */

	/* Since the start. Writer: the main thread. Reader: telemetry. */
	uint64_t moves;
	uint64_t failed;
	uint64_t refused_ns; /* of all of them */
};

/* Asks for these owners, which slot_map_owners() found sound. Control thread; the last one asked for
 * has been taken. */
void shard_move_ask(struct shard_move *move, const uint8_t owner[SHARDS_MAX]);

/* Control thread: stores how the move ended and returns true, once. */
bool shard_move_take(struct shard_move *move, struct shard_move_result *result);

/* Main thread, after each turn of the log writer. Waits for no more than that all workers stand
 * still, and only when it seems that nothing is under way. */
void shard_move_turn(struct engine *engine);

/* Main thread: the engine stops; what was asked for does not happen. */
void shard_move_abandon(struct engine *engine);

#endif
