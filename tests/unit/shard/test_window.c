/* SPDX-License-Identifier: Apache-2.0 */
#include "shard/window.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_MS 10000
#define AHEAD_MS  2000
#define NOW_MS	  UINT64_C(1700000000123)

static struct id128 id_at(uint64_t time_ms, uint64_t number)
{
	return (struct id128){.lo = number, .hi = time_ms << 16};
}

static void window_alloc(struct window *window, uint64_t ids_per_second)
{
	size_t bytes = window_bytes(WINDOW_MS, AHEAD_MS, ids_per_second);
	void *entries = aligned_alloc(CACHE_LINE, bytes);

	memset(entries, 0, bytes);
	window_init(window, entries, WINDOW_MS, AHEAD_MS, ids_per_second);
}

static struct window_place place_of(const struct window *window, struct id128 id)
{
	return window_place(window, id, id_hash(id));
}

static bool has_room(const struct window *window, struct id128 id)
{
	struct window_place place = place_of(window, id);

	return window_has_room(window, &place);
}

static const struct window_entry *find(const struct window *window, struct id128 id)
{
	struct window_place place = place_of(window, id);

	return window_find(window, id, &place);
}

static void put(struct window *window, struct id128 id, uint64_t epoch, enum status status)
{
	struct window_place place = place_of(window, id);
	const struct window_entry entry = window_entry(id, 0xc0, epoch, status);

	cr_assert(window_has_room(window, &place));
	cr_assert_null(window_find(window, id, &place));
	window_put(window, &place, &entry);
}

static void reserve(struct window *window, struct id128 id)
{
	struct window_place place = place_of(window, id);

	window_reserve(window, &place);
}

static bool put_reserved(struct window *window, struct id128 id)
{
	struct window_place place = place_of(window, id);
	const struct window_entry entry = window_entry(id, 1, 1, STATUS_OK);

	return window_put_reserved(window, &place, &entry);
}

Test(window, check_time)
{
	static const struct {
		const char *name;
		uint64_t time_ms;
		uint64_t now_ms;
		enum status status;
	} rows[] = {
	    {"now", NOW_MS, NOW_MS, STATUS_OK},
	    {"oldest", NOW_MS - WINDOW_MS, NOW_MS, STATUS_OK},
	    {"too old", NOW_MS - WINDOW_MS - 1, NOW_MS, STATUS_ID_EXPIRED},
	    {"furthest ahead", NOW_MS + AHEAD_MS, NOW_MS, STATUS_OK},
	    {"too far ahead", NOW_MS + AHEAD_MS + 1, NOW_MS, STATUS_ID_AHEAD},
	    {"zero", 0, NOW_MS, STATUS_ID_EXPIRED},
	    {"zero, with a clock near it", 0, 5, STATUS_ID_EXPIRED},
	    {"end of generation 0", 2047, 2047, STATUS_ID_EXPIRED},
	    {"start of generation 1", 2048, 2047, STATUS_OK},
	    {"largest", (UINT64_C(1) << 48) - 1, NOW_MS, STATUS_ID_AHEAD},
	    {"largest, with its clock", (UINT64_C(1) << 48) - 1, (UINT64_C(1) << 48) - 1,
	     STATUS_OK},
	};
	struct window window;

	window_alloc(&window, 10);
	cr_assert_eq(window.shift, 11, "the rows count on generations of 2048 ms");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum status status =
		    window_check_time(&window, id_at(rows[i].time_ms, 1), rows[i].now_ms);
		cr_expect_eq(status, rows[i].status, "%s: %s", rows[i].name, status_name(status));
	}
	free(window.entries);
}

/* All windows that a configuration may ask for fit the ring, with a generation to spare. */
Test(window, every_span_fits_the_ring)
{
	static const uint64_t windows_ms[] = {
	    WINDOW_MS_MIN,
	    1001,
	    1023,
	    1024,
	    1025,
	    2047,
	    2048,
	    2049,
	    60000,
	    65535,
	    65536,
	    3600000,
	    24 * 3600 * 1000,
	    WINDOW_MS_MAX - 1,
	    WINDOW_MS_MAX,
	};

	for (size_t i = 0; i < sizeof(windows_ms) / sizeof(windows_ms[0]); i++) {
		for (uint64_t parts = 0; parts <= 8; parts++) {
			uint64_t ahead_ms = windows_ms[i] * parts / 8;
			struct window window;
			window_init(&window, NULL, windows_ms[i], ahead_ms, 1);
			uint64_t step_ms = UINT64_C(1) << window.shift;
			for (uint64_t now_ms = NOW_MS; now_ms <= NOW_MS + 2 * step_ms;
			     now_ms += step_ms / 7 + 1) {
				uint64_t oldest = (now_ms - windows_ms[i]) >> window.shift;
				uint64_t newest = (now_ms + ahead_ms) >> window.shift;
				cr_assert_lt(newest - oldest + 1, window.generations);
			}
			cr_assert_geq(windows_ms[i] >> window.shift, 4);
			cr_assert_eq(window_bytes(windows_ms[i], ahead_ms, 1),
				     window.generations * window.table_entries *
					 sizeof(struct window_entry));
		}
	}
}

Test(window, entry_is_found_with_its_outcome)
{
	struct window window;

	window_alloc(&window, 100);
	cr_assert_null(find(&window, id_at(NOW_MS, 1)));
	put(&window, id_at(NOW_MS, 1), UINT64_C(0x123456789abc), STATUS_INSUFFICIENT_FUNDS);
	const struct window_entry *entry = find(&window, id_at(NOW_MS, 1));
	cr_assert_not_null(entry);
	cr_assert_eq(window_entry_status(entry), STATUS_INSUFFICIENT_FUNDS);
	cr_assert_eq(window_entry_epoch(entry), UINT64_C(0x123456789abc));
	cr_assert_eq(entry->content, 0xc0);
	cr_assert_null(find(&window, id_at(NOW_MS, 2)));
	cr_assert_null(find(&window, id_at(NOW_MS + 1, 1)), "both halves of the id count");
	free(window.entries);
}

/* Ids come for twenty turns of the ring, in and out of order, always inside the window. The table
 * is never cleared; whatever is inside the window is found, and nothing is invented. */
Test(window, ring_turns_over_without_clearing)
{
	struct window window;
	const uint64_t span_ms = 20 * (WINDOW_MS + AHEAD_MS);
	uint64_t count = 0;

	window_alloc(&window, 100);
	for (uint64_t at = 0; at < span_ms; at += 37) {
		uint64_t now_ms = NOW_MS + at;
		/* Every second id is as old as may be, or as young. */
		uint64_t time_ms = count % 4 == 1   ? now_ms - WINDOW_MS
				   : count % 4 == 3 ? now_ms + AHEAD_MS
						    : now_ms;
		struct id128 id = id_at(time_ms, at + 1);
		cr_assert_null(find(&window, id));
		put(&window, id, at + 1, STATUS_OK);
		count++;

		for (uint64_t back = 0; back <= at && back <= WINDOW_MS; back += 37 * 4) {
			/* Counts are multiples of 4 apart: ids of the same sort. */
			struct id128 old = id_at(time_ms - back, at - back + 1);
			if (window_check_time(&window, old, now_ms) != STATUS_OK)
				break;
			const struct window_entry *entry = find(&window, old);
			cr_assert_not_null(entry);
			cr_assert_eq(window_entry_epoch(entry), at - back + 1);
			cr_assert_null(find(&window, id_at(time_ms - back, at - back + 2)));
		}
	}
	free(window.entries);
}

Test(window, entry_of_an_earlier_turn_counts_as_free)
{
	struct window window;

	window_alloc(&window, 1);
	uint64_t turn_ms = (uint64_t)window.generations << window.shift;
	/* The same numbers, so the same neighbourhood: fill a generation in each of three turns. */
	for (uint64_t turn = 0; turn < 3; turn++) {
		uint64_t time_ms = NOW_MS + turn * turn_ms;
		for (uint64_t i = 1; i <= window.count_max; i++) {
			cr_assert_null(find(&window, id_at(time_ms, i)));
			put(&window, id_at(time_ms, i), turn, STATUS_OK);
		}
		cr_assert_not(has_room(&window, id_at(time_ms, 99)));
		for (uint64_t i = 1; i <= window.count_max; i++)
			cr_assert_not_null(find(&window, id_at(time_ms, i)));
		cr_assert_null(find(&window, id_at(time_ms, 99)), "a full probe ends");
	}
	free(window.entries);
}

/* The ring's place of a generation is its number modulo the ring, for every ring and any id. */
Test(window, ring_index_is_the_remainder)
{
	for (uint64_t ahead_ms = 0; ahead_ms <= WINDOW_MS; ahead_ms += WINDOW_MS / 8) {
		struct window window;
		void *entries = aligned_alloc(CACHE_LINE, window_bytes(WINDOW_MS, ahead_ms, 1));
		window_init(&window, entries, WINDOW_MS, ahead_ms, 1);
		for (uint64_t i = 0; i < 1000; i++) {
			uint64_t last = (UINT64_C(1) << 48) - 1;
			cr_assert_eq(window_ring_index(&window, i), i % window.generations);
			cr_assert_eq(window_ring_index(&window, last - i),
				     (last - i) % window.generations);
		}
		free(entries);
	}
}

/* Three ids whose probe begins in the table's last line, which holds two: the third is put at the
 * table's beginning and found there. */
Test(window, probe_goes_on_behind_a_full_line)
{
	struct window window;
	uint64_t number = 0;

	window_alloc(&window, 100);
	for (uint64_t nth = 0; nth <= WINDOW_LINE_ENTRIES; nth++) {
		struct window_place place;
		do {
			place = place_of(&window, id_at(NOW_MS, ++number));
			cr_assert_eq(place.at % WINDOW_LINE_ENTRIES, 0, "begins with a line");
		} while (place.at + WINDOW_LINE_ENTRIES != window.table_entries);
		cr_assert_null(window_find(&window, id_at(NOW_MS, number), &place));
		cr_assert_eq(place.at, nth < WINDOW_LINE_ENTRIES
					   ? window.table_entries - WINDOW_LINE_ENTRIES + nth
					   : 0);
		put(&window, id_at(NOW_MS, number), nth, STATUS_OK);
		const struct window_entry *entry = find(&window, id_at(NOW_MS, number));
		cr_assert_not_null(entry);
		cr_assert_eq(window_entry_epoch(entry), nth);
	}
	free(window.entries);
}

Test(window, full_generation_leaves_the_others_alone)
{
	struct window window;

	window_alloc(&window, 1);
	for (uint64_t i = 1; i <= window.count_max; i++)
		put(&window, id_at(NOW_MS, i), 1, STATUS_OK);
	cr_assert_not(has_room(&window, id_at(NOW_MS, 99)));
	uint64_t next_ms = NOW_MS + (UINT64_C(1) << window.shift);
	cr_assert(has_room(&window, id_at(next_ms, 99)));
	put(&window, id_at(next_ms, 99), 2, STATUS_OK);
	cr_assert_not_null(find(&window, id_at(next_ms, 99)));
	free(window.entries);
}

Test(window, promise_takes_room_until_it_is_kept)
{
	struct window window;

	window_alloc(&window, 1);
	for (uint64_t i = 1; i < window.count_max; i++)
		put(&window, id_at(NOW_MS, i), 1, STATUS_OK);
	struct id128 last = id_at(NOW_MS, 1000);
	cr_assert(has_room(&window, last));
	reserve(&window, last);
	cr_assert_not(has_room(&window, id_at(NOW_MS, 1001)));
	cr_assert_null(find(&window, last), "a promise is no outcome");
	cr_assert(put_reserved(&window, last));
	cr_assert_not_null(find(&window, last));
	cr_assert_not(has_room(&window, id_at(NOW_MS, 1001)));
	free(window.entries);
}

Test(window, promise_may_outlive_its_generation)
{
	struct window window;

	window_alloc(&window, 1);
	uint64_t turn_ms = (uint64_t)window.generations << window.shift;
	struct id128 old = id_at(NOW_MS, 1);
	struct id128 young = id_at(NOW_MS + turn_ms, 2);
	struct id128 promised = id_at(NOW_MS + turn_ms, 3);

	reserve(&window, old);
	put(&window, young, 1, STATUS_OK);
	reserve(&window, promised);
	cr_assert_not(put_reserved(&window, old));
	cr_assert_not_null(find(&window, young), "the younger generation is untouched");
	cr_assert_null(find(&window, old));
	cr_assert_eq(window.generation[(NOW_MS >> window.shift) % window.generations].reserved, 1,
		     "the younger one's promise is not used up");
	cr_assert(put_reserved(&window, promised));
	free(window.entries);
}

Test(window, promise_kept_without_having_been_given_is_a_broken_invariant, .signal = SIGABRT)
{
	struct window window;
	struct id128 id = id_at(NOW_MS, 1);

	window_alloc(&window, 1);
	put(&window, id_at(NOW_MS, 2), 1, STATUS_OK);
	put_reserved(&window, id);
}

Test(window, id_put_twice_is_a_broken_invariant, .signal = SIGABRT)
{
	struct window window;
	struct id128 id = id_at(NOW_MS, 1);
	const struct window_entry entry = window_entry(id, 0xc0, 1, STATUS_OK);

	window_alloc(&window, 1);
	struct window_place place = place_of(&window, id);
	cr_assert_null(window_find(&window, id, &place));
	window_put(&window, &place, &entry);
	window_put(&window, &place, &entry);
}

Test(window, liveness_follows_the_time_alone)
{
	struct window window;
	struct id128 id = id_at(NOW_MS, 1);

	window_alloc(&window, 1);
	put(&window, id, 1, STATUS_OK);
	const struct window_entry *entry = find(&window, id);
	uint64_t number = NOW_MS >> window.shift;
	uint32_t index = (uint32_t)(number % window.generations);
	uint64_t end_ms = (number + 1) << window.shift;

	cr_assert(window_entry_is_live(&window, index, entry, NOW_MS));
	cr_assert(window_entry_is_live(&window, index, entry, end_ms + WINDOW_MS - 1));
	cr_assert_not(window_entry_is_live(&window, index, entry, end_ms + WINDOW_MS));
	cr_assert(window_entry_is_live(&window, index, entry, 5), "a clock before the window");
	cr_assert_not(
	    window_entry_is_live(&window, (index + 1) % window.generations, entry, NOW_MS));
	const struct window_entry free_entry = {.content = 0};
	cr_assert_not(window_entry_is_live(&window, 0, &free_entry, 5));
	free(window.entries);
}
