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
	uint32_t generations;
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
enum status window_check_time(const struct window *window, struct id128 id, uint64_t now_ms);

/* Where the probe for an id stands: at first where it begins, once window_find() has not found the id
 * where an entry of it belongs. Computed once for an input, since it takes a division. */
struct window_place {
	uint64_t number; /* generation of the id */
	uint32_t index;	 /* of that generation's table in the ring */
	uint64_t at;	 /* entry of that table */
};

static inline uint64_t window_generation_number(const struct window *window, struct id128 id)
{
	return id_time_ms(id) >> window->shift;
}

/* Where the probe for `id` begins: always with a line, so that most probes end in it. `hash` is
 * id_hash(id). The hash is taken as a fraction of the table, so that a table need not be a power of
 * two (D. Lemire, "Fast Random Integer Generation in an Interval", 2019). */
static inline struct window_place window_place(const struct window *window, struct id128 id,
					       uint64_t hash)
{
	__extension__ typedef unsigned __int128 wide;
	uint64_t number = window_generation_number(window, id);

	return (struct window_place){
	    .number = number,
	    .index = (uint32_t)(number % window->generations),
	    .at = (uint64_t)((wide)hash * (window->table_entries / WINDOW_LINE_ENTRIES) >> 64) *
		  WINDOW_LINE_ENTRIES,
	};
}

static inline struct window_entry *window_table(const struct window *window, uint32_t index)
{
	return window->entries + index * window->table_entries;
}

/* Asks for the line where the probe begins. */
static inline void window_prefetch(const struct window *window, const struct window_place *place)
{
	__builtin_prefetch(&window_table(window, place->index)[place->at], 1);
}

/* Once that line has come: asks for the one behind it if the probe may have to go on there. */
static inline void window_prefetch_next(const struct window *window,
					const struct window_place *place)
{
	const struct window_entry *line = &window_table(window, place->index)[place->at];
	const struct window_entry *last = &line[WINDOW_LINE_ENTRIES - 1];
	bool full = window_generation_number(window, last->id) == place->number;

	__builtin_prefetch(line + (full ? WINDOW_LINE_ENTRIES : 0), 1);
}

/* The entry of an id whose time is inside the window; or NULL, with `place` where it would be put.
 * `place` is window_place()'s of the id. */
static inline const struct window_entry *window_find(const struct window *window, struct id128 id,
						     struct window_place *place)
{
	const struct window_entry *table = window_table(window, place->index);

	for (;;) {
		const struct window_entry *line = &table[place->at];
		bool taken[WINDOW_LINE_ENTRIES];
		for (uint32_t i = 0; i < WINDOW_LINE_ENTRIES; i++) {
			taken[i] = window_generation_number(window, line[i].id) == place->number;
			if (id_equal(line[i].id, id))
				return &line[i];
		}
		/* The first entry of another turn ends the probe: none of this turn was put beyond
		 * it. Which of a line's entries it is decides no branch: that would be guessed wrong
		 * every other time. */
		if (!taken[WINDOW_LINE_ENTRIES - 1]) {
			place->at += taken[0];
			return NULL;
		}
		place->at += WINDOW_LINE_ENTRIES;
		if (place->at == window->table_entries)
			place->at = 0;
	}
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

/* Promises a room to a transfer under way; only after window_has_room(). */
void window_reserve(struct window *window, const struct window_place *place);

/* Remembers the outcome of an id: where window_find() did not find it, and nothing was put since;
 * only after window_has_room(). */
void window_put(struct window *window, const struct window_place *place,
		const struct window_entry *entry);

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
