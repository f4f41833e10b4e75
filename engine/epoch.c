/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/epoch.h"

#include "base/check.h"

#define PAGE 4096u

static size_t table_bytes(uint32_t shards, uint32_t slots)
{
	size_t bytes = (size_t)shards * slots * sizeof(struct epoch_section);

	return (bytes + PAGE - 1) / PAGE * PAGE;
}

size_t epoch_clock_bytes(uint32_t shards, uint32_t slots, uint64_t section_bytes)
{
	return table_bytes(shards, slots) + (size_t)shards * slots * section_bytes;
}

void epoch_clock_init(struct epoch_clock *clock, void *memory, uint32_t workers, uint32_t shards,
		      uint32_t slots, uint64_t section_bytes, uint64_t committed, uint64_t now_ms)
{
	uint8_t *buffers = (uint8_t *)memory + table_bytes(shards, slots);

	CHECK(((uintptr_t)memory & (PAGE - 1)) == 0 && section_bytes % PAGE == 0);
	CHECK(slots >= EPOCH_SLOTS_MIN && slots <= EPOCH_SLOTS_MAX);
	CHECK(workers >= 1 && workers <= WORKERS_MAX && shards >= workers);
	*clock = (struct epoch_clock){
	    .workers = workers,
	    .shards = shards,
	    .slots = slots,
	    .section_bytes = section_bytes,
	    .sections = memory,
	};
	for (size_t i = 0; i < (size_t)shards * slots; i++)
		clock->sections[i].data = buffers + i * section_bytes;
	for (uint32_t w = 0; w < workers; w++)
		atomic_store(&clock->worker[w].sealed, committed);
	atomic_store(&clock->committed, committed);
	atomic_store(&clock->has_space, true);
	clock->cut.shards = shards;
	clock->time_ms[(committed + 1) % slots] = now_ms;
	atomic_store(&clock->open, committed + 1);
}

uint64_t epoch_sealed_by_all(const struct epoch_clock *clock)
{
	uint64_t lowest = UINT64_MAX;

	for (uint32_t w = 0; w < clock->workers; w++) {
		/* pairs with the release in epoch_seal() */
		uint64_t sealed =
		    atomic_load_explicit(&clock->worker[w].sealed, memory_order_acquire);
		if (sealed < lowest)
			lowest = sealed;
	}
	return lowest;
}

bool epoch_is_dirty(const struct epoch_clock *clock)
{
	uint64_t open = atomic_load_explicit(&clock->open, memory_order_relaxed);

	for (uint32_t w = 0; w < clock->workers; w++) {
		if (atomic_load_explicit(&clock->worker[w].wrote, memory_order_relaxed) >= open)
			return true;
	}
	return false;
}

bool epoch_can_open(const struct epoch_clock *clock)
{
	uint64_t open = atomic_load_explicit(&clock->open, memory_order_relaxed);
	uint64_t committed = atomic_load_explicit(&clock->committed, memory_order_relaxed);

	return open + 1 - committed < clock->slots;
}

void epoch_open(struct epoch_clock *clock, uint64_t now_ms)
{
	uint64_t open = atomic_load_explicit(&clock->open, memory_order_relaxed);
	uint64_t last_ms = clock->time_ms[open % clock->slots];

	CHECK(epoch_can_open(clock));
	clock->time_ms[(open + 1) % clock->slots] = now_ms > last_ms ? now_ms : last_ms;
	cut_place(&clock->cut, open + 1, clock->time_ms[(open + 1) % clock->slots]);
	/* pairs with the acquire in epoch_newest() */
	atomic_store_explicit(&clock->open, open + 1, memory_order_release);
}

void epoch_commit(struct epoch_clock *clock, uint64_t epoch)
{
	CHECK(epoch >= atomic_load_explicit(&clock->committed, memory_order_relaxed));
	CHECK(epoch <= atomic_load_explicit(&clock->open, memory_order_relaxed));
	/* pairs with the acquire in epoch_committed() */
	atomic_store_explicit(&clock->committed, epoch, memory_order_release);
}
