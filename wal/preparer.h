/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeps the next few segments ready, so that the writer rolls into a new one without waiting for
 * megabytes of zeros.
 *
 *   writer thread                          preparer thread
 *   wal_preparer_want(until) --wanted-->   wal_preparer_step(): disk prepare()
 *   wal_preparer_ready()     <--ready----
 *
 * The thread is optional: tests and the simulator call wal_preparer_step() themselves.
 */
#ifndef GIRO_WAL_PREPARER_H
#define GIRO_WAL_PREPARER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "wal/disk.h"

/* How long the thread waits after a failure, a full disk say, before it tries again. */
#define WAL_PREPARE_RETRY_MS 1000

struct wal_preparer {
	struct wal_disk *disk;
	pthread_t thread;
	sem_t wake;
	bool started;

	/* Segments below this number are wanted. Writer: wal_preparer_want(). Reader: step(). */
	alignas(CACHE_LINE) _Atomic uint64_t wanted;
	/* Set once, by wal_preparer_stop(). Reader: the thread. */
	_Atomic bool stop;

	/* Segments below this number are ready. Writer: step(). Reader: anyone. */
	alignas(CACHE_LINE) _Atomic uint64_t ready;
	/* Outcome of the last prepare(), 0 or a negative errno. Writer: step(). Reader: anyone. */
	_Atomic int error;
	/* Failed prepare() calls. Writer: step(). Reader: anyone. */
	_Atomic uint64_t failures;
};

/* Segments below `first` count as ready; nothing is wanted yet. */
void wal_preparer_init(struct wal_preparer *preparer, struct wal_disk *disk, uint64_t first);

/* Starts the thread. Returns 0 or a negative errno. */
int wal_preparer_start(struct wal_preparer *preparer);

/* Asks for all segments below `until`; never takes a wish back. Does not block. One thread: the
 * writer's. */
void wal_preparer_want(struct wal_preparer *preparer, uint64_t until);

/* Prepares the next wanted segment. Returns 1 when one became ready, 0 when nothing is wanted, or
 * the disk's error (-ENOSPC, ...), after which it may be called again. Blocks. The thread's own
 * function; to be called by others only if there is no thread. */
int wal_preparer_step(struct wal_preparer *preparer);

/* The first segment that is not ready. Any thread. */
static inline uint64_t wal_preparer_ready(const struct wal_preparer *preparer)
{
	/* pairs with the release in wal_preparer_step() */
	return atomic_load_explicit(&preparer->ready, memory_order_acquire);
}

/* 0, or why the next segment could not be prepared the last time. Any thread. */
static inline int wal_preparer_error(const struct wal_preparer *preparer)
{
	return atomic_load_explicit(&preparer->error, memory_order_relaxed);
}

/* Ends the thread, if there is one, after the prepare() under way. Blocks. The disk stays open. */
void wal_preparer_stop(struct wal_preparer *preparer);

#endif
