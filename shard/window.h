/* SPDX-License-Identifier: Apache-2.0
 *
 * The exactly-once window of one shard: every id decided here, with its outcome, for at least
 * `window_ms` of the id's own time.
 *
 *   id time   ... | k-3 | k-2 | k-1 |  k  | k+1 |       generation = id_time_ms >> shift
 *                     ^-- now - window   ^now  ^-- now + ahead
 *
 * Each generation is a hash table of its own, in a ring of tables. An entry tells from its id which
 * generation it belongs to, so an entry of an earlier turn of the ring counts as free: to forget a
 * generation costs nothing, and the hot path never clears a table.
 *
 * Ids outside [now - window, now + ahead] are refused before they come here, which bounds the
 * memory: an old retry can never pay twice.
 *
 * One owner thread; nothing blocks or allocates.
 */
#ifndef GIRO_SHARD_WINDOW_H
#define GIRO_SHARD_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/id.h"
#include "base/status.h"

/* Generations in the ring at most: window + ahead in steps of at least an eighth of the window. */
#define WINDOW_GENERATIONS_MAX 64

/* The generation number of an id must fit next to a table's count. */
#define WINDOW_MS_MIN 1000u
#define WINDOW_MS_MAX (7u * 24 * 3600 * 1000)

struct window_entry {
	struct id128 id;
	uint64_t content; /* XXH3-64 of the 64-byte record: same id, other content is refused */
	uint64_t outcome; /* epoch << 8 | status */
};
_Static_assert(sizeof(struct window_entry) == 32, "two entries a line");
#define WINDOW_LINE_ENTRIES 2

struct window_generation {
	uint64_t number;   /* id_time_ms >> shift of the ids in this table */
	uint64_t count;	   /* entries */
	uint64_t reserved; /* entries promised to transfers under way */
};

struct window {
	struct window_entry *entries; /* `generations` tables of `table_entries` */
	uint64_t table_entries;
	uint64_t
	    count_max; /* entries and promises of one generation: three quarters of its table */
	uint64_t puts; /* entries put so far */
	uint64_t window_ms;
	uint64_t ahead_ms;
	uint32_t shift;
	uint32_t number_shift; /* of an id's upper half, to the number of its generation */
	uint32_t generations;
	uint64_t inverse; /* of `generations`: 2^64 / generations, rounded up */
	struct window_generation generation[WINDOW_GENERATIONS_MAX];
};

/* Bytes of entries for a window that must take `ids_per_second` new ids for as long as it lasts: they
 * fill half of each table. Half as many again fit, since ids do not come evenly. */
size_t window_bytes(uint64_t window_ms, uint64_t ahead_ms, uint64_t ids_per_second);

/* How much of id time a generation is. */
static inline uint64_t window_generation_ms(const struct window *window)
{
	return UINT64_C(1) << window->shift;
}

/* `entries`: window_bytes() zeroed bytes, aligned to a cache line; borrowed.
 * WINDOW_MS_MIN <= window_ms <= WINDOW_MS_MAX, ahead_ms <= window_ms, ids_per_second >= 1. */
void window_init(struct window *window, void *entries, uint64_t window_ms, uint64_t ahead_ms,
		 uint64_t ids_per_second);

/* STATUS_OK, STATUS_ID_EXPIRED or STATUS_ID_AHEAD at the time `now_ms`. */
static inline enum status window_check_time(const struct window *window, struct id128 id,
					    uint64_t now_ms)
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

/* Where the probe for an id stands: at first where it begins, once window_find() has not found the id
 * where an entry of it belongs. Computed once for an input. */
struct window_place {
	uint64_t number;	    /* generation of the id */
	uint64_t at;		    /* entry of that generation's table */
	struct window_entry *table; /* that table */
	uint32_t index;		    /* and its index in the ring */
};

static inline uint64_t window_generation_number(const struct window *window, struct id128 id)
{
	return id.hi >> window->number_shift;
}

/* number % generations, without a division: its fraction of `generations` is what the product with
 * the inverse leaves behind the point (D. Lemire, O. Kaser, N. Kurz, "Faster Remainder by Direct
 * Computation", 2019). Exact, since a number has at most 48 bits and `generations` 7. */
static inline uint32_t window_ring_index(const struct window *window, uint64_t number)
{
	__extension__ typedef unsigned __int128 wide;

	return (uint32_t)((wide)(window->inverse * number) * window->generations >> 64);
}

/* Where the probe for `id` begins: always with a line, so that most probes end in it. `hash` is
 * id_hash(id). The hash is taken as a fraction of the table, so that a table need not be a power of
 * two (D. Lemire, "Fast Random Integer Generation in an Interval", 2019). */
static inline struct window_place window_place(const struct window *window, struct id128 id,
					       uint64_t hash)
{
	__extension__ typedef unsigned __int128 wide;
	uint64_t number = window_generation_number(window, id);
	uint32_t index = window_ring_index(window, number);

	return (struct window_place){
	    .number = number,
	    .at = (uint64_t)((wide)hash * (window->table_entries / WINDOW_LINE_ENTRIES) >> 64) *
		  WINDOW_LINE_ENTRIES,
	    .table = window->entries + index * window->table_entries,
	    .index = index,
	};
}

/* Asks for the line where the probe begins. */
static inline void window_prefetch(const struct window *window, const struct window_place *place)
{
	(void)window;
	__builtin_prefetch(&place->table[place->at], 1);
}

/* Once that line has come: asks for the two behind it if the probe may have to go on there. */
static inline void window_prefetch_next(const struct window *window,
					const struct window_place *place)
{
	const struct window_entry *line = &place->table[place->at];
	const struct window_entry *last = &line[WINDOW_LINE_ENTRIES - 1];
	bool full = window_generation_number(window, last->id) == place->number;

	__builtin_prefetch(line + full * WINDOW_LINE_ENTRIES, 1);
	__builtin_prefetch(line + full * 2 * WINDOW_LINE_ENTRIES, 1);
}

/* window_find() from a full line on. */
const struct window_entry *window_find_behind(const struct window *window, struct id128 id,
					      struct window_place *place);

/* The entry of an id whose time is inside the window; or NULL, with `place` where it would be put.
 * `place` is window_place()'s of the id. */
static inline const struct window_entry *window_find(const struct window *window, struct id128 id,
						     struct window_place *place)
{
	const struct window_entry *line = &place->table[place->at];
	uint64_t differs[WINDOW_LINE_ENTRIES];

	for (uint32_t i = 0; i < WINDOW_LINE_ENTRIES; i++) {
		differs[i] = line[i].id.hi ^ id.hi;
		if ((differs[i] | (line[i].id.lo ^ id.lo)) == 0)
			return &line[i];
	}
	/* The first entry of another turn ends the probe: none of this turn was put beyond it. Which
	 * of a line's entries it is decides no branch: that would be guessed wrong every other
	 * time. */
	if (differs[WINDOW_LINE_ENTRIES - 1] >> window->number_shift == 0)
		return window_find_behind(window, id, place);
	place->at += differs[0] >> window->number_shift == 0;
	return NULL;
}

/* Has the generation of the id room for one more entry or promise? */
static inline bool window_has_room(const struct window *window, const struct window_place *place)
{
	const struct window_generation *generation = &window->generation[place->index];

	/* Of an earlier turn: to be started afresh. */
	if (generation->number != place->number)
		return true;
	return generation->count + generation->reserved < window->count_max;
}

/* The generation of a place, started afresh if the ring still holds an earlier turn's there. */
static inline struct window_generation *window_generation_open(struct window *window,
							       const struct window_place *place)
{
	struct window_generation *generation = &window->generation[place->index];

	if (__builtin_expect(generation->number != place->number, 0)) {
		CHECK(generation->number < place->number);
		*generation = (struct window_generation){.number = place->number};
	}
	return generation;
}

/* Promises a room to a transfer under way; only after window_has_room(). */
static inline void window_reserve(struct window *window, const struct window_place *place)
{
	window_generation_open(window, place)->reserved++;
}

/* Remembers the outcome of an id: where window_find() did not find it, and nothing was put since;
 * only after window_has_room(). */
static inline void window_put(struct window *window, const struct window_place *place,
			      const struct window_entry *entry)
{
	struct window_generation *generation = window_generation_open(window, place);
	struct window_entry *at = &place->table[place->at];

	CHECK(generation->count + generation->reserved < window->count_max);
	CHECK(window_generation_number(window, at->id) != place->number);
	*at = *entry;
	generation->count++;
	window->puts++;
}

/* The same, in the room promised. If its generation has been forgotten meanwhile, nothing is kept
 * and the return is false. */
bool window_put_reserved(struct window *window, struct window_place *place,
			 const struct window_entry *entry);

static inline struct window_entry window_entry(struct id128 id, uint64_t content, uint64_t epoch,
					       enum status status)
{
	return (struct window_entry){
	    .id = id,
	    .content = content,
	    .outcome = epoch << 8 | (uint64_t)status,
	};
}

static inline enum status window_entry_status(const struct window_entry *entry)
{
	return (enum status)(entry->outcome & 0xff);
}

static inline uint64_t window_entry_epoch(const struct window_entry *entry)
{
	return entry->outcome >> 8;
}

/* Is an entry of table `index` part of the state at `now_ms`, rather than free or forgotten? */
bool window_entry_is_live(const struct window *window, uint32_t index,
			  const struct window_entry *entry, uint64_t now_ms);

#endif
