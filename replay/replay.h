/* SPDX-License-Identifier: Apache-2.0
 *
 * Log -> shards: applies blocks to shards and proves on the way that each record's outcome is the
 * one the shard gives again. The engine's recovery and the replay tool are this same code.
 *
 *   wal_block -> each shard's section -> records -> inputs -> shard_apply() -> records again
 *                                           |                                    |
 *                                           +-------------- equal? --------------+
 *
 * Sections of one block do not depend on each other's order: what shards said to each other is in
 * the records of the one that heard it.
 *
 * One thread; blocks only where the caller's reader does. No allocation.
 */
#ifndef GIRO_REPLAY_REPLAY_H
#define GIRO_REPLAY_REPLAY_H

#include <stdint.h>

#include "shard/shard.h"
#include "wal/reader.h"

#define REPLAY_TEXT_BYTES 512

/* The first place where the log and the shards disagree. */
struct replay_fault {
	uint64_t seq; /* block */
	uint64_t epoch;
	uint32_t shard;
	uint64_t record;	      /* index in the section */
	uint64_t offset;	      /* bytes from the start of the section */
	char text[REPLAY_TEXT_BYTES]; /* for people: what, where, expected, found */
};

struct replay_counts {
	uint64_t blocks;
	uint64_t records;
	uint64_t record_bytes;
	uint64_t transfers;	  /* decided: refused, done locally, or finished by an ACK */
	uint64_t transfers_done;  /* of those: money moved */
	uint64_t transfers_cross; /* of those: between shards */
	uint64_t digests_checked;
};

struct replay {
	struct shard *const *shards; /* [shard_count], borrowed */
	uint32_t shard_count;
	struct replay_counts counts;
	struct replay_fault fault;
};

void replay_init(struct replay *replay, struct shard *const *shards, uint32_t shard_count);

/* Applies one block. Returns 0, or -EBADMSG with the fault filled in: the log and the code
 * disagree, and the shards are not to be used further. */
int replay_block(struct replay *replay, const struct wal_block *block);

/* Compares the digests in an OPEN or CLOSE block, just applied, with the shards'. Walks all tables.
 * Returns 0 or -EBADMSG. */
int replay_check_digests(struct replay *replay, const struct wal_block_header *header);

#endif
