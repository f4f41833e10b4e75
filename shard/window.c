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

	return (ids / 2 + 2) * 4;
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
	    .number_shift = ID_TIME_SHIFT + generation_shift(window_ms),
	    .generations = generation_count(window_ms, ahead_ms),
	};
	window->inverse = UINT64_MAX / window->generations + 1;
	CHECK(window->generations <= WINDOW_GENERATIONS_MAX);
}

const struct window_entry *window_find_behind(const struct window *window, struct id128 id,
					      struct window_place *place)
{
	do {
		place->at += WINDOW_LINE_ENTRIES;
		if (place->at == window->table_entries)
			place->at = 0;
		const struct window_entry *line = &place->table[place->at];
		for (uint32_t i = 0; i < WINDOW_LINE_ENTRIES; i++) {
			if (id_equal(line[i].id, id))
				return &line[i];
		}
		const struct window_entry *last = &line[WINDOW_LINE_ENTRIES - 1];
		if (window_generation_number(window, last->id) != place->number)
			break;
	} while (true);
	place->at += window_generation_number(window, place->table[place->at].id) == place->number;
	return NULL;
}

bool window_put_reserved(struct window *window, struct window_place *place,
			 const struct window_entry *entry)
{
	struct window_generation *generation = &window->generation[place->index];

	if (generation->number != place->number)
		return false;
	CHECK(window_find(window, entry->id, place) == NULL);
	CHECK(generation->reserved > 0);
	generation->reserved--;
	window_put(window, place, entry);
	return true;
}

bool window_entry_is_live(const struct window *window, uint32_t index,
			  const struct window_entry *entry, uint64_t now_ms)
{
	uint64_t number = window_generation_number(window, entry->id);
	uint64_t oldest_ms = now_ms > window->window_ms ? now_ms - window->window_ms : 0;

	return !id_is_zero(entry->id) && number % window->generations == index &&
	       window->generation[index].number == number && number >= oldest_ms >> window->shift;
}
