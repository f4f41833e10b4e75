/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/crossing.h"

#include <stdlib.h>

static uint64_t home_of(uint32_t from, uint32_t to, uint64_t seq)
{
	uint64_t key[2] = {seq, (uint64_t)from << 8 | to};

	return XXH3_64bits(key, sizeof(key));
}

/* Where the row is, or the free place where it belongs. */
static uint64_t place_of(const struct crossings *crossings, uint32_t from, uint32_t to,
			 uint64_t seq)
{
	uint64_t at = home_of(from, to, seq) & crossings->mask;

	for (;; at = (at + 1) & crossings->mask) {
		const struct crossing *row = &crossings->rows[at];
		if (!row->taken || (row->seq == seq && row->from == from && row->to == to))
			return at;
	}
}

static bool grow(struct crossings *crossings)
{
	struct crossings old = *crossings;
	uint64_t places = old.rows == NULL ? 64 : (old.mask + 1) * 2;
	struct crossing *rows = calloc(places, sizeof(*rows));

	if (rows == NULL)
		return false;
	crossings->rows = rows;
	crossings->mask = places - 1;
	for (uint64_t i = 0; old.rows != NULL && i <= old.mask; i++) {
		const struct crossing *row = &old.rows[i];
		if (row->taken)
			rows[place_of(crossings, row->from, row->to, row->seq)] = *row;
	}
	free(old.rows);
	return true;
}

bool crossings_put(struct crossings *crossings, uint32_t from, uint32_t to, uint64_t seq,
		   const struct transfer *transfer)
{
	if ((crossings->rows == NULL || crossings->count * 2 > crossings->mask) && !grow(crossings))
		return false;
	struct crossing *row = &crossings->rows[place_of(crossings, from, to, seq)];
	crossings->count += !row->taken;
	*row = (struct crossing){
	    .seq = seq,
	    .from = (uint8_t)from,
	    .to = (uint8_t)to,
	    .taken = true,
	    .transfer = *transfer,
	};
	return true;
}

const struct crossing *crossings_find(const struct crossings *crossings, uint32_t from, uint32_t to,
				      uint64_t seq)
{
	if (crossings->rows == NULL)
		return NULL;
	const struct crossing *row = &crossings->rows[place_of(crossings, from, to, seq)];
	return row->taken ? row : NULL;
}

/* Later rows of the run move back into the hole, as in the shard's own index. */
void crossings_remove(struct crossings *crossings, uint32_t from, uint32_t to, uint64_t seq)
{
	if (crossings_find(crossings, from, to, seq) == NULL)
		return;
	uint64_t mask = crossings->mask;
	uint64_t hole = place_of(crossings, from, to, seq);
	for (uint64_t at = (hole + 1) & mask; crossings->rows[at].taken; at = (at + 1) & mask) {
		const struct crossing *row = &crossings->rows[at];
		uint64_t home = home_of(row->from, row->to, row->seq) & mask;
		if (((at - home) & mask) >= ((at - hole) & mask)) {
			crossings->rows[hole] = *row;
			hole = at;
		}
	}
	crossings->rows[hole].taken = false;
	crossings->count--;
}

void crossings_free(struct crossings *crossings)
{
	free(crossings->rows);
	*crossings = (struct crossings){0};
}
