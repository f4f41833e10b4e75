/* SPDX-License-Identifier: Apache-2.0
 *
 * What the log writer's thread measures of itself, around its turns: how long a block takes from its
 * submission until it and all before it are durable, and how much of its time is work.
 *
 * One writer, the log writer's thread; telemetry reads each number relaxed.
 */
#ifndef GIRO_ENGINE_LOG_METER_H
#define GIRO_ENGINE_LOG_METER_H

#include <stdint.h>

#include "engine/meter.h"
#include "wal/writer.h"

struct log_meter {
	struct latency latency; /* a block's durable write */
	uint64_t busy;		/* cycles of turns that moved something */
	uint64_t idle;		/* cycles of all others, and of rest */
	uint64_t appended;	/* blocks seen submitted and seen durable, as numbers of the log */
	uint64_t durable;
	uint64_t started[WAL_BLOCKS_IN_FLIGHT_MAX]; /* cycles; of block n at n % that */
	uint64_t scale;
	uint64_t last; /* when the last turn ended */
};

/* Before the first turn; `wal` is open and nothing is in flight. */
void log_meter_start(struct log_meter *meter, const struct wal_writer *wal, uint64_t tsc_hz);

/* After a turn of the log writer that went from `begin` to now. `moved`: it did something. */
void log_meter_turn(struct log_meter *meter, const struct wal_writer *wal, uint64_t begin,
		    bool moved);

#endif
