/* SPDX-License-Identifier: Apache-2.0
 *
 * How far a log is known to be durable: a second reader that runs ahead and heeds what later blocks
 * say of earlier ones. What it covers can never be cut by the next start of the engine. The last
 * blocks of a log are never covered: nothing behind them speaks for them.
 *
 * One thread; blocks on reads.
 */
#ifndef GIRO_REPLAY_DURABLE_H
#define GIRO_REPLAY_DURABLE_H

#include <stdint.h>

#include "wal/reader.h"

struct durable {
	struct wal_reader reader;
	uint64_t count; /* blocks 0 .. count - 1 are durable */
};

/* Begins where `reader` stands, and reads to the end that the log has by now: blocks 0 .. count - 1 are
 * durable. Then lets `reader` forget what it had read ahead: if a start of the engine has cut blocks
 * since, it would take old ones for those that are durable now. Returns 0 or a negative errno. */
int durable_open_beside(struct durable *durable, struct wal_reader *reader);

void durable_close(struct durable *durable);

#endif
