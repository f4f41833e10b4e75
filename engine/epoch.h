/* SPDX-License-Identifier: Apache-2.0
 *
 * The epoch clock: what the log writer and the workers tell each other, and nothing else.
 *
 *   log writer                                   worker w
 *     open = e+1, time of e+1   ------------->    sees a newer epoch: seals e, goes on in e+1
 *     all have sealed e?        <-------------    sealed[w] = e, sections of e are final
 *     one block, one durable write
 *     committed = e             ------------->    releases the replies held for e
 *
 * Work flows on in e+1 while e is on its way to the disk; only answers wait. At most `slots` epochs
 * are between committed and open, so a shard has that many section buffers, used in turn.
 *
 * A message between workers carries its sender's epoch, and a receiver that is behind catches up
 * before it applies it: nothing in epochs <= e depends on anything in epochs > e, so every epoch
 * boundary is a consistent cut (the argument is in docs/tcc.md).
 *
 * Knows no DPDK, so that the simulator and the race tests run it as it is.
 */
#ifndef GIRO_ENGINE_EPOCH_H
#define GIRO_ENGINE_EPOCH_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "engine/cut.h"

/* Worker lcores of one engine. */
#define WORKERS_MAX SHARDS_MAX

/* Epochs between committed and open. */
#define EPOCH_SLOTS_MIN 3
#define EPOCH_SLOTS_MAX 64

/* One shard's records of one epoch. Written by the shard's worker until it seals the epoch, then
 * read by the log writer until the epoch is committed. */
struct epoch_section {
	uint8_t *data;	/* 4 KiB aligned, `epoch_clock.section_bytes` long */
	uint64_t bytes; /* records in it */
};

struct epoch_worker {
	/* Highest epoch whose sections are final. Writer: the worker, release after its sections.
	 * Reader: the log writer. */
	alignas(CACHE_LINE) _Atomic uint64_t sealed;
	/* Last epoch in which the worker wrote a record. Writer: the worker. Reader: the log
	 * writer, relaxed: it only asks whether a block is worth its while. */
	_Atomic uint64_t wrote;
};
_Static_assert(sizeof(struct epoch_worker) == CACHE_LINE, "one writer per cache line");

struct epoch_clock {
	/* Written at start only. */
	uint32_t workers;
	uint32_t shards;
	uint32_t slots;			/* EPOCH_SLOTS_MIN..EPOCH_SLOTS_MAX */
	uint64_t section_bytes;		/* capacity of a section, a multiple of 4 KiB */
	struct epoch_section *sections; /* [shards][slots] */

	/* Newest epoch. Writer: the log writer, release after its time. Readers: workers. */
	alignas(CACHE_LINE) _Atomic uint64_t open;
	/* Highest epoch such that it and all before it are durable. Writer: the log writer, release
	 * after the disk's completion. Readers: workers. */
	_Atomic uint64_t committed;
	/* New work may be logged. Writer: the log writer. Readers: workers, relaxed: a worker that
	 * learns late is covered by the reserve. */
	_Atomic bool has_space;
	/* Unix milliseconds of epoch e at e % slots. Writer: the log writer before `open`. */
	uint64_t time_ms[EPOCH_SLOTS_MAX];

	struct epoch_worker worker[WORKERS_MAX];

	struct cut cut; /* of the digests that were asked for */
};

/* Bytes of all section buffers, and of the table in front of them. */
size_t epoch_clock_bytes(uint32_t shards, uint32_t slots, uint64_t section_bytes);

/* Starts the clock behind epoch `committed`, which everyone has sealed; opens the next one at
 * `now_ms`. `memory`: epoch_clock_bytes() zeroed bytes, page aligned, borrowed. Before the workers
 * run. */
void epoch_clock_init(struct epoch_clock *clock, void *memory, uint32_t workers, uint32_t shards,
		      uint32_t slots, uint64_t section_bytes, uint64_t committed, uint64_t now_ms);

static inline struct epoch_section *epoch_section(struct epoch_clock *clock, uint32_t shard,
						  uint64_t epoch)
{
	return &clock->sections[shard * clock->slots + epoch % clock->slots];
}

/* Log writer: the highest epoch that every worker has sealed. */
uint64_t epoch_sealed_by_all(const struct epoch_clock *clock);

/* Log writer: has anyone written into the open epoch? */
bool epoch_is_dirty(const struct epoch_clock *clock);

/* Log writer: is there a free slot for one more epoch? */
bool epoch_can_open(const struct epoch_clock *clock);

/* Log writer: opens the next epoch at `now_ms` (not below the last one's time). */
void epoch_open(struct epoch_clock *clock, uint64_t now_ms);

/* Log writer: everything up to `epoch` is durable. */
void epoch_commit(struct epoch_clock *clock, uint64_t epoch);

/* Worker: the newest epoch. */
static inline uint64_t epoch_newest(const struct epoch_clock *clock)
{
	/* pairs with the release in epoch_open(): the epoch's time is there */
	return atomic_load_explicit(&clock->open, memory_order_acquire);
}

/* Worker: the highest durable epoch. */
static inline uint64_t epoch_committed(const struct epoch_clock *clock)
{
	/* pairs with the release in epoch_commit(): the section buffers up to it are free */
	return atomic_load_explicit(&clock->committed, memory_order_acquire);
}

/* Worker: its sections of `epoch` and all before are final. */
static inline void epoch_seal(struct epoch_clock *clock, uint32_t worker, uint64_t epoch)
{
	/* pairs with the acquire in epoch_sealed_by_all(): the sections are complete */
	atomic_store_explicit(&clock->worker[worker].sealed, epoch, memory_order_release);
}

#endif
