/* SPDX-License-Identifier: Apache-2.0
 *
 * Transfers on their way between two shards, by what names them for good: the coordinating shard, the
 * participating shard, and the number of the try between those two. (A transfer's id will not do: two
 * shards may each know a different transfer under the same id.)
 *
 * A hash table that grows. One thread.
 */
#ifndef GIRO_REPLAY_CROSSING_H
#define GIRO_REPLAY_CROSSING_H

#include <stdbool.h>
#include <stdint.h>

#include "shard/shard.h"

struct crossing {
	uint64_t seq;
	uint8_t from; /* coordinator */
	uint8_t to;
	bool taken; /* the place in the table is in use */
	struct transfer transfer;
};

struct crossings {
	struct crossing *rows;
	uint64_t mask; /* places - 1; rows is NULL at first */
	uint64_t count;
};

/* Puts a transfer, or replaces the one that is there. Returns false: no memory. */
bool crossings_put(struct crossings *crossings, uint32_t from, uint32_t to, uint64_t seq,
		   const struct transfer *transfer);

/* NULL: not there. Valid until the next put or remove. */
const struct crossing *crossings_find(const struct crossings *crossings, uint32_t from, uint32_t to,
				      uint64_t seq);

/* It need not be there. */
void crossings_remove(struct crossings *crossings, uint32_t from, uint32_t to, uint64_t seq);

void crossings_free(struct crossings *crossings);

#endif
