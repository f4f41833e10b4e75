/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "engine/epoch.h"
#include "tests/unit/engine/stand.h"

#define SECTION UINT64_C(8192)

static struct epoch_clock epochs;
static void *memory;

static void start(uint32_t workers, uint32_t shards, uint32_t slots)
{
	memory = pages_new(epoch_clock_bytes(shards, slots, SECTION));
	epoch_clock_init(&epochs, memory, workers, shards, slots, SECTION, 100, 5000);
}

static void stop(void)
{
	free(memory);
}

TestSuite(epoch, .fini = stop);

Test(epoch, starts_behind_what_is_committed)
{
	start(2, 3, 4);
	cr_assert(epoch_committed(&epochs) == 100);
	cr_assert(epoch_newest(&epochs) == 101);
	cr_assert(epoch_sealed_by_all(&epochs) == 100);
	cr_assert(epochs.time_ms[101 % 4] == 5000);
	cr_assert_not(epoch_is_dirty(&epochs));
	cr_assert(atomic_load(&epochs.has_space));
}

Test(epoch, sections_are_apart_aligned_and_inside_the_memory)
{
	enum { SHARDS = 3, SLOTS_USED = 5 };
	uint8_t *end;

	start(1, SHARDS, SLOTS_USED);
	end = (uint8_t *)memory + epoch_clock_bytes(SHARDS, SLOTS_USED, SECTION);
	for (uint32_t shard = 0; shard < SHARDS; shard++) {
		for (uint64_t e = 101; e < 101 + SLOTS_USED; e++) {
			struct epoch_section *section = epoch_section(&epochs, shard, e);
			cr_assert((uintptr_t)section->data % 4096 == 0);
			cr_assert(section->data + SECTION <= end);
			cr_assert(section->data[0] == 0 && section->data[SECTION - 1] == 0);
			memset(section->data, 0xff, SECTION);
			cr_assert(section == epoch_section(&epochs, shard, e + SLOTS_USED));
		}
	}
	/* the table in front of them was not touched */
	cr_assert(epoch_section(&epochs, 0, 101)->bytes == 0);
}

Test(epoch, opens_as_many_as_there_are_slots_between_committed_and_open)
{
	for (uint32_t slots = EPOCH_SLOTS_MIN; slots <= EPOCH_SLOTS_MAX; slots++) {
		uint32_t opened = 0;
		start(1, 1, slots);
		for (; epoch_can_open(&epochs); opened++)
			epoch_open(&epochs, 5000);
		/* the committed one keeps its slot too: 101 is open already */
		cr_assert(opened == slots - 2, "%u slots", slots);
		epoch_commit(&epochs, 101);
		cr_assert(epoch_can_open(&epochs));
		epoch_open(&epochs, 5000);
		cr_assert_not(epoch_can_open(&epochs));
		stop();
		memory = NULL;
	}
}

Test(epoch, no_slot_is_free_for_one_more, .signal = SIGABRT)
{
	start(1, 1, 3);
	epoch_open(&epochs, 5000);
	cr_redirect_stderr();
	epoch_open(&epochs, 5000);
}

struct tick {
	uint64_t now_ms;
	uint64_t time_ms;
};

static const struct tick ticks[] = {
    {5001, 5001}, {5001, 5001}, {4000, 5001}, {0, 5001}, {5002, 5002}, {9000, 9000}, {8999, 9000},
};

Test(epoch, time_never_goes_back)
{
	start(1, 1, 4);
	for (size_t i = 0; i < sizeof(ticks) / sizeof(ticks[0]); i++) {
		uint64_t epoch = epoch_newest(&epochs) + 1;
		epoch_open(&epochs, ticks[i].now_ms);
		cr_assert(epoch_newest(&epochs) == epoch);
		cr_assert(epochs.time_ms[epoch % 4] == ticks[i].time_ms, "row %zu", i);
		epoch_commit(&epochs, epoch - 1);
	}
}

Test(epoch, the_slowest_worker_decides_what_is_sealed)
{
	start(3, 3, 8);
	for (int i = 0; i < 4; i++)
		epoch_open(&epochs, 5000);
	epoch_seal(&epochs, 0, 104);
	epoch_seal(&epochs, 1, 102);
	cr_assert(epoch_sealed_by_all(&epochs) == 100);
	epoch_seal(&epochs, 2, 103);
	cr_assert(epoch_sealed_by_all(&epochs) == 102);
	epoch_seal(&epochs, 1, 104);
	cr_assert(epoch_sealed_by_all(&epochs) == 103);
}

Test(epoch, dirty_is_about_the_open_one)
{
	start(2, 2, 4);
	atomic_store(&epochs.worker[1].wrote, 100);
	cr_assert_not(epoch_is_dirty(&epochs));
	atomic_store(&epochs.worker[1].wrote, 101);
	cr_assert(epoch_is_dirty(&epochs));
	epoch_open(&epochs, 5000);
	cr_assert_not(epoch_is_dirty(&epochs));
	atomic_store(&epochs.worker[0].wrote, 102);
	cr_assert(epoch_is_dirty(&epochs));
}

Test(epoch, committed_never_goes_back, .signal = SIGABRT)
{
	start(1, 1, 4);
	epoch_open(&epochs, 5000);
	epoch_commit(&epochs, 101);
	cr_redirect_stderr();
	epoch_commit(&epochs, 100);
}

Test(epoch, nothing_is_committed_before_it_was_open, .signal = SIGABRT)
{
	start(1, 1, 4);
	cr_redirect_stderr();
	epoch_commit(&epochs, 102);
}
