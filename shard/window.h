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

struct window_generation {
	uint64_t number;   /* id_time_ms >> shift of the ids in this table */
	uint64_t count;	   /* entries */
	uint64_t reserved; /* entries promised to transfers under way */
};

struct window {
	struct window_entry *entries; /* `generations` tables of `table_entries` */
	uint64_t table_entries;
	uint64_t count_max; /* entries and promises of one generation, 3/4 of its table */
	uint64_t window_ms;
	uint64_t ahead_ms;
	uint32_t shift;
	uint32_t generations;
	struct window_generation generation[WINDOW_GENERATIONS_MAX];
};

/* Bytes of entries for a window that must take `ids_per_second` new ids for as long as it lasts. */
size_t window_bytes(uint64_t window_ms, uint64_t ahead_ms, uint64_t ids_per_second);

/* `entries`: window_bytes() zeroed bytes, aligned to a cache line; borrowed.
 * WINDOW_MS_MIN <= window_ms <= WINDOW_MS_MAX, ahead_ms <= window_ms, ids_per_second >= 1. */
void window_init(struct window *window, void *entries, uint64_t window_ms, uint64_t ahead_ms,
		 uint64_t ids_per_second);

/* STATUS_OK, STATUS_ID_EXPIRED or STATUS_ID_AHEAD at the time `now_ms`. */
enum status window_check_time(const struct window *window, struct id128 id, uint64_t now_ms);

void window_prefetch(const struct window *window, struct id128 id, uint64_t hash);

/* The entry of an id whose time is inside the window, or NULL. `hash` is id_hash(id). */
const struct window_entry *window_find(const struct window *window, struct id128 id, uint64_t hash);

/* Has the generation of `id` room for one more entry or promise? */
bool window_has_room(const struct window *window, struct id128 id);

/* Promises a place to a transfer under way; only after window_has_room(). */
void window_reserve(struct window *window, struct id128 id);

/* Remembers the outcome of an id that is not there yet. With `reserved`, in the place promised; if
 * its generation has been forgotten meanwhile, nothing is kept and the return is false. */
bool window_put(struct window *window, struct id128 id, uint64_t hash, uint64_t content,
		uint64_t epoch, enum status status, bool reserved);

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
