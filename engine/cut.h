/* SPDX-License-Identifier: Apache-2.0
 *
 * A cut: the digest of every shard at one epoch boundary of an engine that goes on, to be compared
 * with what a replay of the log gives up to there.
 *
 *   who asks              log writer                        worker of a shard
 *     asked++   -------->   opens epoch E: the cut is E
 *                           opens epoch E+1     -------->     seals E, then walks the shard,
 *                           E is in the log: its blocks       digest of E, and only then goes on
 *                           committed >= E
 *     cut_take() <------------------+-----------------------------+
 *
 * The epoch is chosen by who opens it, so a worker that sees a later one sees the cut too and cannot
 * miss it; one that passes over E stands, between two epochs, in the state of E. It has sealed E
 * before it walks: what was done up to E becomes durable meanwhile, but nothing behind it does until
 * the slowest walk is over, for no epoch behind is sealed by all.
 *
 * One request at a time: cut_ask() only while cut_is_idle(). Knows no DPDK. Nothing here blocks.
 */
#ifndef GIRO_ENGINE_CUT_H
#define GIRO_ENGINE_CUT_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "shard/shard.h"
#include "wal/format.h"

/* Writer: the worker of the shard. Reader: who asks. */
struct cut_shard {
	/* Of the digest; 0: none yet. Release after the rest. */
	alignas(CACHE_LINE) _Atomic uint64_t epoch;
	struct shard_digest digest;
	uint64_t cycles; /* that its worker stood still until then; 0 where nobody measures */
};
_Static_assert(sizeof(struct cut_shard) == CACHE_LINE, "one writer per cache line");

struct cut {
	uint32_t shards; /* written at start only */

	/* Requests made. Writer: who asks, release when it is through with the last result. Reader:
	 * the log writer, which may learn late. */
	alignas(CACHE_LINE) _Atomic uint64_t asked;

	/* Requests that have their epoch. Writer: the log writer, release after `epoch` and
	 * `time_ms`. Readers: who asks. */
	alignas(CACHE_LINE) _Atomic uint64_t placed;
	/* Of the last request; 0: there was none. Writer: the log writer, before it opens that epoch.
	 * Readers: workers, behind their load of a later open epoch; who asks. */
	_Atomic uint64_t epoch;
	uint64_t time_ms; /* of the epoch */
	/* The log up to the epoch: how many blocks, and the last one's hash. Writer: the log writer,
	 * before it commits the epoch. Reader: who asks, behind the load of that commit. */
	uint64_t blocks;
	struct wal_hash chain;

	struct cut_shard shard[SHARDS_MAX];
};

/* What cut_take() gives. */
struct cut_result {
	uint64_t epoch;
	uint64_t time_ms;
	uint64_t blocks;       /* 0 .. blocks - 1 hold all up to the epoch, and no more */
	struct wal_hash chain; /* of block blocks - 1 */
	uint64_t cycles_max;   /* that a worker stood still, at most */
	uint32_t shards;
	struct shard_digest digest[SHARDS_MAX];
};

/* Who asks: is no request under way, the last epoch asked for being `committed` or not? */
bool cut_is_idle(const struct cut *cut);

/* Who asks: wants a cut at an epoch that is still to be opened. Only when idle. */
void cut_ask(struct cut *cut);

/* Who asks, with the epoch committed by now: true when the cut is there and durable, and stored. */
bool cut_take(const struct cut *cut, uint64_t committed, struct cut_result *result);

/* Log writer, before it opens `epoch` at `time_ms`: places the cut there if one is wanted. */
void cut_place(struct cut *cut, uint64_t epoch, uint64_t time_ms);

/* Log writer, when `epoch` has been given to the log, or passed over as empty. */
void cut_logged(struct cut *cut, uint64_t epoch, uint64_t blocks, struct wal_hash chain);

/* Worker, which has seen that an epoch behind `last` is open: the epoch of a cut in first .. last, or
 * 0 for none. */
static inline uint64_t cut_within(const struct cut *cut, uint64_t first, uint64_t last)
{
	uint64_t epoch = atomic_load_explicit(&cut->epoch, memory_order_relaxed);

	return epoch >= first && epoch <= last ? epoch : 0;
}

/* Worker: the digest of a shard of its own that stands at the end of the cut's epoch, at its time. */
void cut_give(struct cut *cut, uint32_t shard, uint64_t epoch, struct shard_digest digest,
	      uint64_t cycles);

#endif
