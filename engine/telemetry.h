/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's telemetry: commands /giro/... of rte_telemetry, each answered with one flat JSON
 * object of numbers. docs/operations.md lists them all.
 *
 *   /giro/info          what the engine is, and the ends of latency buckets
 *   /giro/epoch         open, committed
 *   /giro/log           blocks, bytes, write latency, the log writer's time
 *   /giro/port          frames and drops by reason
 *   /giro/results       records answered, by status
 *   /giro/worker        their numbers; with ",N": time by stage, bursts, latency, rings
 *   /giro/shard         their numbers; with ",N": transfers, accounts, window, rows
 *   /giro/digest        every shard's digest at one epoch (engine/cut.h); makes the workers walk
 *                       through their memory, and waits for them
 *
 * Everything read here has one writer, which stores plainly; the telemetry thread loads each number
 * once, so it is never torn, but numbers of one answer may be some turns apart. Workers never wait
 * for telemetry and do not know of it, and but for digests do nothing for it.
 */
#ifndef GIRO_ENGINE_TELEMETRY_H
#define GIRO_ENGINE_TELEMETRY_H

#include "engine/engine.h"

/* How long who asked for digests waits for them. */
#define TELEMETRY_DIGEST_MS 30000

/* Answers for `engine` from now on; all of it is made, its workers need not run yet. Main thread.
 * Returns 0, or -1 when EAL takes no more commands. */
int telemetry_open(struct engine *engine);

/* Answers nothing more. Waits for an answer that is being made, so that the engine can be taken
 * apart. Main thread. */
void telemetry_close(void);

/* Between the two nothing is read of the engine: what has no single writer may change. Main thread;
 * waits for an answer that is being made. */
void telemetry_hold(void);
void telemetry_release(void);

#endif
