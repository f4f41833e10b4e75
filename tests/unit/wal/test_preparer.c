/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <time.h>

#include "tests/unit/wal/memory_disk.h"
#include "wal/preparer.h"

#define SEGMENT	   (16u * WAL_PAGE)
#define DEADLINE_S 20

static time_t now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void wait_until_ready(struct wal_preparer *preparer, uint64_t until)
{
	time_t start = now_s();
	while (wal_preparer_ready(preparer) < until) {
		cr_assert(now_s() - start < DEADLINE_S);
		sched_yield();
	}
}

Test(preparer, step_by_step)
{
	struct memory_disk *disk = memory_disk_new(SEGMENT, 5);
	struct wal_preparer preparer;
	wal_preparer_init(&preparer, &disk->base, 3);
	cr_assert(wal_preparer_step(&preparer) == 0);
	wal_preparer_want(&preparer, 6);
	wal_preparer_want(&preparer, 4);
	cr_assert(wal_preparer_step(&preparer) == 1);
	cr_assert(wal_preparer_step(&preparer) == 1);
	cr_assert(wal_preparer_ready(&preparer) == 5);
	cr_assert(wal_preparer_step(&preparer) == -ENOSPC);
	cr_assert(wal_preparer_error(&preparer) == -ENOSPC);
	cr_assert(wal_preparer_ready(&preparer) == 5);
	disk->capacity = 10;
	cr_assert(wal_preparer_step(&preparer) == 1);
	cr_assert(wal_preparer_error(&preparer) == 0);
	cr_assert(wal_preparer_step(&preparer) == 0);
	cr_assert(disk->segments[2] == NULL && disk->segments[5] != NULL);
	cr_assert(disk->segments[6] == NULL);
	wal_preparer_stop(&preparer);
	memory_disk_free(disk);
}

Test(preparer, thread_keeps_up_with_what_is_wanted)
{
	struct memory_disk *disk = memory_disk_new(SEGMENT, 40);
	struct wal_preparer preparer;
	wal_preparer_init(&preparer, &disk->base, 0);
	cr_assert(wal_preparer_start(&preparer) == 0);
	for (uint64_t until = 1; until <= 40; until++) {
		wal_preparer_want(&preparer, until);
		wait_until_ready(&preparer, until);
	}
	wal_preparer_stop(&preparer);
	memory_disk_free(disk);
}

/* Full at first; the disk gets room while the thread is stopped, so that no field is shared. */
Test(preparer, thread_tries_again_after_a_full_disk)
{
	struct memory_disk *disk = memory_disk_new(SEGMENT, 1);
	struct wal_preparer preparer;
	wal_preparer_init(&preparer, &disk->base, 0);
	wal_preparer_want(&preparer, 2);
	cr_assert(wal_preparer_start(&preparer) == 0);
	time_t start = now_s();
	while (atomic_load(&preparer.failures) < 2) {
		cr_assert(now_s() - start < DEADLINE_S);
		sched_yield();
	}
	cr_assert(wal_preparer_ready(&preparer) == 1);
	cr_assert(wal_preparer_error(&preparer) == -ENOSPC);
	wal_preparer_stop(&preparer);
	memory_disk_free(disk);
}
