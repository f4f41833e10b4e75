/* SPDX-License-Identifier: Apache-2.0 */
#include "shard/window.h"

#include "base/check.h"

/* The longest generation of which at least four make a window: a power of two, so that an id's
 * generation is a shift. Fewer, longer ones would keep ids too long; more cost tables. */
static uint32_t generation_shift(uint64_t window_ms)
{
	uint32_t shift = 0;

	while (window_ms >> (shift + 1) >= 4)
		shift++;
	return shift;
}

/* Those that touch [now - window, now + ahead], wherever now falls, and one to grow into. */
static uint32_t generation_count(uint64_t window_ms, uint64_t ahead_ms)
{
	return (uint32_t)((window_ms + ahead_ms) >> generation_shift(window_ms)) + 3;
}

static uint64_t table_entries(uint64_t window_ms, uint64_t ids_per_second)
{
	uint64_t ids = (ids_per_second << generation_shift(window_ms)) / 1000 + 1;

	return (ids / 3 + 4) * 4;
}

size_t window_bytes(uint64_t window_ms, uint64_t ahead_ms, uint64_t ids_per_second)
{
	return generation_count(window_ms, ahead_ms) * table_entries(window_ms, ids_per_second) *
	       sizeof(struct window_entry);
}

void window_init(struct window *window, void *entries, uint64_t window_ms, uint64_t ahead_ms,
		 uint64_t ids_per_second)
{
	uint64_t size = table_entries(window_ms, ids_per_second);

	CHECK(window_ms >= WINDOW_MS_MIN && window_ms <= WINDOW_MS_MAX && ahead_ms <= window_ms);
	*window = (struct window){
	    .entries = entries,
	    .table_entries = size,
	    .count_max = size / 4 * 3,
	    .window_ms = window_ms,
	    .ahead_ms = ahead_ms,
	    .shift = generation_shift(window_ms),
	    .generations = generation_count(window_ms, ahead_ms),
	};
	CHECK(window->generations <= WINDOW_GENERATIONS_MAX);
}

enum status window_check_time(const struct window *window, struct id128 id, uint64_t now_ms)
{
	uint64_t time_ms = id_time_ms(id);

	/* A free entry's id, zero, belongs to generation 0: no real id may, however wrong a clock
	 * is. */
	if (time_ms + window->window_ms < now_ms || time_ms >> window->shift == 0)
		return STATUS_ID_EXPIRED;
	if (time_ms > now_ms + window->ahead_ms)
		return STATUS_ID_AHEAD;
	return STATUS_OK;
}

static uint64_t generation_number(const struct window *window, struct id128 id)
{
	return id_time_ms(id) >> window->shift;
}

static uint32_t generation_index(const struct window *window, uint64_t number)
{
	return (uint32_t)(number % window->generations);
}

/* First entry to probe: the hash as a fraction of the table, so that a table need not be a power of
 * two (D. Lemire, "Fast Random Integer Generation in an Interval", 2019). */
static uint64_t entry_first(const struct window *window, uint64_t hash)
{
	__extension__ typedef unsigned __int128 wide;

	return (uint64_t)((wide)hash * window->table_entries >> 64);
}

static uint64_t entry_after(const struct window *window, uint64_t at)
{
	return at + 1 < window->table_entries ? at + 1 : 0;
}

static struct window_entry *table_of(const struct window *window, uint32_t index)
{
	return window->entries + index * window->table_entries;
}

void window_prefetch(const struct window *window, struct id128 id, uint64_t hash)
{
	uint32_t index = generation_index(window, generation_number(window, id));

	__builtin_prefetch(&table_of(window, index)[entry_first(window, hash)], 1);
}

const struct window_entry *window_find(const struct window *window, struct id128 id, uint64_t hash)
{
	uint64_t number = generation_number(window, id);
	const struct window_entry *table = table_of(window, generation_index(window, number));

	/* The first entry of another turn ends the probe: none of this turn was put beyond it. */
	for (uint64_t at = entry_first(window, hash);; at = entry_after(window, at)) {
		const struct window_entry *entry = &table[at];
		if (generation_number(window, entry->id) != number)
			return NULL;
		if (id_equal(entry->id, id))
			return entry;
	}
}

bool window_has_room(const struct window *window, struct id128 id)
{
	uint64_t number = generation_number(window, id);
	const struct window_generation *generation =
	    &window->generation[generation_index(window, number)];

	if (generation->number != number)
		return true;
	return generation->count + generation->reserved < window->count_max;
}

/* The generation of `number`, started afresh if its place still holds an earlier turn's. */
static struct window_generation *generation_open(struct window *window, uint64_t number)
{
	struct window_generation *generation =
	    &window->generation[generation_index(window, number)];

	if (generation->number != number) {
		CHECK(generation->number < number);
		*generation = (struct window_generation){.number = number};
	}
	return generation;
}

void window_reserve(struct window *window, struct id128 id)
{
	generation_open(window, generation_number(window, id))->reserved++;
}

bool window_put(struct window *window, struct id128 id, uint64_t hash, uint64_t content,
		uint64_t epoch, enum status status, bool reserved)
{
	uint64_t number = generation_number(window, id);
	uint32_t index = generation_index(window, number);
	struct window_generation *generation = &window->generation[index];

	if (reserved) {
		if (generation->number != number)
			return false; /* forgotten while the transfer was under way */
		CHECK(generation->reserved > 0);
		generation->reserved--;
	} else {
		generation = generation_open(window, number);
	}
	CHECK(generation->count + generation->reserved < window->count_max);

	struct window_entry *table = table_of(window, index);
	uint64_t at = entry_first(window, hash);
	while (generation_number(window, table[at].id) == number) {
		CHECK(!id_equal(table[at].id, id));
		at = entry_after(window, at);
	}
	table[at] = (struct window_entry){
	    .id = id,
	    .content = content,
	    .outcome = epoch << 8 | (uint64_t)status,
	};
	generation->count++;
	return true;
}

bool window_entry_is_live(const struct window *window, uint32_t index,
			  const struct window_entry *entry, uint64_t now_ms)
{
	uint64_t number = generation_number(window, entry->id);
	uint64_t oldest_ms = now_ms > window->window_ms ? now_ms - window->window_ms : 0;

	return !id_is_zero(entry->id) && generation_index(window, number) == index &&
	       window->generation[index].number == number && number >= oldest_ms >> window->shift;
}
