/* SPDX-License-Identifier: Apache-2.0 */
#include "wal/preparer.h"

#include <errno.h>
#include <time.h>

#include "base/check.h"

void wal_preparer_init(struct wal_preparer *preparer, struct wal_disk *disk, uint64_t first)
{
	preparer->disk = disk;
	preparer->started = false;
	CHECK(sem_init(&preparer->wake, 0, 0) == 0);
	atomic_init(&preparer->wanted, first);
	atomic_init(&preparer->stop, false);
	atomic_init(&preparer->ready, first);
	atomic_init(&preparer->error, 0);
	atomic_init(&preparer->failures, 0);
}

int wal_preparer_step(struct wal_preparer *preparer)
{
	uint64_t next = atomic_load_explicit(&preparer->ready, memory_order_relaxed);
	if (next >= atomic_load_explicit(&preparer->wanted, memory_order_relaxed))
		return 0;
	int error = preparer->disk->ops->prepare(preparer->disk, next);
	atomic_store_explicit(&preparer->error, error, memory_order_relaxed);
	if (error != 0) {
		atomic_fetch_add_explicit(&preparer->failures, 1, memory_order_relaxed);
		return error;
	}
	/* pairs with the acquire in wal_preparer_ready(): the segment is on the disk */
	atomic_store_explicit(&preparer->ready, next + 1, memory_order_release);
	return 1;
}

/* Until there may be work again: a wish, the end of a retry's pause, or stop. */
static void rest(struct wal_preparer *preparer, int outcome)
{
	if (outcome == 0) {
		while (sem_wait(&preparer->wake) != 0 && errno == EINTR)
			;
		return;
	}
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAL_PREPARE_RETRY_MS / 1000;
	until.tv_nsec += WAL_PREPARE_RETRY_MS % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (sem_timedwait(&preparer->wake, &until) != 0 && errno == EINTR)
		;
}

static void *run(void *argument)
{
	struct wal_preparer *preparer = argument;
	/* pairs with the release in wal_preparer_stop() */
	while (!atomic_load_explicit(&preparer->stop, memory_order_acquire)) {
		int outcome = wal_preparer_step(preparer);
		if (outcome <= 0)
			rest(preparer, outcome);
	}
	return NULL;
}

int wal_preparer_start(struct wal_preparer *preparer)
{
	int error = pthread_create(&preparer->thread, NULL, run, preparer);
	if (error != 0)
		return -error;
	preparer->started = true;
	return 0;
}

void wal_preparer_want(struct wal_preparer *preparer, uint64_t until)
{
	if (until <= atomic_load_explicit(&preparer->wanted, memory_order_relaxed))
		return;
	atomic_store_explicit(&preparer->wanted, until, memory_order_relaxed);
	sem_post(&preparer->wake);
}

void wal_preparer_stop(struct wal_preparer *preparer)
{
	/* pairs with the acquire in run() */
	atomic_store_explicit(&preparer->stop, true, memory_order_release);
	sem_post(&preparer->wake);
	if (preparer->started)
		CHECK(pthread_join(preparer->thread, NULL) == 0);
	preparer->started = false;
	sem_destroy(&preparer->wake);
}
