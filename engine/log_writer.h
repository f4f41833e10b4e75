/* SPDX-License-Identifier: Apache-2.0
 *
 * The log writer: opens epochs, gathers what the workers sealed into blocks, and commits.
 *
 *   epochs:   ... e-3      e-2         e-1        e
 *                committed in flight   sealed by  open, or being
 *                                      all        written to
 *
 * One epoch with records becomes one block and one durable write, taken from the shards' own
 * buffers. An epoch without records costs no block: it is as durable as the one before it. Only
 * when the log falls silent, one empty block follows: it says that the last one was durable, so that
 * damage to that one cannot pass for the torn tail of a crash.
 *
 * Group commit without a timer: a new epoch is opened as soon as the last one has records, all
 * before it are on their way to the disk and a write is free. So under load an epoch lasts as long
 * as a write, and alone a transfer waits for nothing but its own write. When nothing happens,
 * epochs still tick so that time goes on.
 *
 * Knows no DPDK. One thread; log_writer_turn() does not block.
 */
#ifndef GIRO_ENGINE_LOG_WRITER_H
#define GIRO_ENGINE_LOG_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/epoch.h"
#include "replay/lanes.h"
#include "shard/shard.h"
#include "wal/writer.h"

/* An idle engine's clock moves in steps of this. */
#define LOG_WRITER_TICK_MS 5

/* How long the log is silent before the last block gets its witness. */
#define LOG_WRITER_WITNESS_MS 100

struct log_writer {
	struct epoch_clock *clock;
	struct wal_writer *wal;
	uint64_t payload_max; /* bytes of a block's sections at most */
	uint64_t reserve;     /* blocks that work under way may still need */
	uint64_t next;	      /* lowest epoch not given to the wal (or passed over as empty) */
	uint64_t in_flight[EPOCH_SLOTS_MAX]; /* epochs given to the wal, not yet durable: a ring */
	uint32_t in_flight_first;
	uint32_t in_flight_count;
	bool unwitnessed;      /* no block says that the last one with records was durable */
	uint64_t empty_epochs; /* passed over without a block */
	uint64_t witnesses;    /* empty blocks */
};

/* Blocks of the largest size that are kept back when new work is refused: for every epoch that may
 * be under way, and as much again for rows that finish after that. */
static inline uint64_t log_writer_reserve(uint32_t slots)
{
	return 2 * (uint64_t)slots;
}

/* How many segments the wal must keep ready so that they hold the reserve and a block more. With
 * fewer, the rest of a segment could be too small for new work while there is no other work that
 * would use it up: refused for ever, on a disk with room. */
static inline uint64_t log_writer_segments_ahead(uint32_t slots, uint64_t payload_max,
						 uint64_t segment_bytes)
{
	return log_writer_reserve(slots) / ((segment_bytes - WAL_PAGE) / (payload_max + WAL_PAGE)) +
	       1;
}

/* Starts behind the epoch that the clock has committed, and not before the log's time: the
 * machine's clock may have been set back since. Before the workers enter the open epoch. Clock and
 * wal are borrowed. */
void log_writer_init(struct log_writer *writer, struct epoch_clock *clock, struct wal_writer *wal);

/* Does what can be done now: takes completions, commits, appends sealed epochs, opens the next.
 * `now_ms`: Unix milliseconds. Returns 1 when anything moved, 0 when not, or the negative errno
 * that failed the log: then nothing is committed any more and the engine must stop. */
int log_writer_turn(struct log_writer *writer, uint64_t now_ms);

/* The same at the end, when the workers have stopped and sealed the open epoch: opens no epoch more
 * and waits a while for the disk. Returns 0 or the negative errno. Blocks. */
int log_writer_finish(struct log_writer *writer);

/* Writes a block of type OPEN or CLOSE with every shard's digest as an epoch of its own, and waits
 * until it is durable. No worker runs: before they start, or after they have sealed all. `shards`:
 * all shards; they enter the block's epoch. `lanes` compute the digests; NULL: this thread. Returns
 * the epoch, or a negative errno. Blocks. */
int64_t log_writer_mark(struct wal_writer *wal, enum wal_block_type type, uint64_t epoch,
			uint64_t now_ms, struct shard *const *shards, uint32_t shard_count,
			struct lanes *lanes);

#endif
