/* SPDX-License-Identifier: Apache-2.0
 *
 * The search behind the end of a log for a block that says that more of it was durable.
 */
#ifndef GIRO_WAL_SEARCH_H
#define GIRO_WAL_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/reader.h"

/* A block that says how many blocks were durable. */
struct wal_witness {
	uint64_t segment;
	uint64_t offset;
	uint64_t seq;
	uint64_t durable_count;
};

struct wal_search {
	bool found;		    /* the block at the reader's position was durable: */
	struct wal_witness witness; /* the first block that says so */
	uint64_t valid_count;	    /* block headers of the last incarnation or a later one */
	uint64_t stale_count;	    /* block headers of earlier incarnations */
};

/* Looks at every page from the reader's position to the end of the segments in use. Moves the
 * reader's window and overwrites its next_header. Returns 0, or a negative errno with reader->fault
 * filled. Blocks. */
int wal_search_behind(struct wal_reader *reader, struct wal_search *search);

#endif
