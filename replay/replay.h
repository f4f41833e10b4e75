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
 * Nothing here blocks or allocates. A struct replay belongs to one thread; several may share the
 * shards, if no two of them apply sections of the same shard.
 */
#ifndef GIRO_REPLAY_REPLAY_H
#define GIRO_REPLAY_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "shard/shard.h"
#include "wal/reader.h"

#define REPLAY_TEXT_BYTES  512
#define REPLAY_VALUE_BYTES 96

/* Not one shard but all of them together are at fault. */
#define REPLAY_NO_SHARD UINT32_MAX

/* The first place where the log and the shards disagree. */
struct replay_fault {
	uint64_t seq; /* block */
	uint64_t epoch;
	uint64_t segment; /* that the block is in */
	uint64_t block_offset;
	uint32_t shard;			   /* or REPLAY_NO_SHARD */
	uint64_t record;		   /* index in the section */
	uint64_t offset;		   /* bytes from the start of the section */
	char expected[REPLAY_VALUE_BYTES]; /* as the log has it; empty when there is none */
	char found[REPLAY_VALUE_BYTES];	   /* as it was computed */
	char text[REPLAY_TEXT_BYTES];	   /* for people: what, where, expected, found */
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

/* Sees every record on its way. Records of clients come in bursts; those of peers too if the observer
 * says so, else one by one, so that what a peer said is seen with the state that it met. No two of a
 * burst are about the same phase row. */
struct replay_observer {
	void *context;
	bool bursts_of_peers;

	/* Before, and after, `count` inputs are applied to `shard`; heads[i] is the head of the record
	 * that inputs[i] was made from. `after` comes only if the outcomes were the logged ones. */
	void (*before)(void *context, const struct wal_block_header *block,
		       const struct shard *shard, const struct shard_input *inputs,
		       const struct record_head *heads, uint32_t count);
	void (*after)(void *context, const struct wal_block_header *block,
		      const struct shard *shard, const struct shard_input *inputs,
		      const struct record_head *heads, uint32_t count);
};

struct replay {
	struct shard *const *shards; /* [shard_count], borrowed */
	uint32_t shard_count;
	const struct replay_observer *observer; /* NULL: nobody looks on */
	struct replay_counts counts;
	struct replay_fault fault;
};

void replay_init(struct replay *replay, struct shard *const *shards, uint32_t shard_count);

/* Applies one block. Returns 0, or -EBADMSG with the fault filled in: the log and the code
 * disagree, and the shards are not to be used further. */
int replay_block(struct replay *replay, const struct wal_block *block);

/* Applies one shard's section of a block, as replay_block() does for each shard in turn. Does not
 * count the block. */
int replay_section(struct replay *replay, const struct wal_block *block, uint32_t shard);

/* Compares the digests in an OPEN or CLOSE block, just applied, with the shards'. Walks all tables.
 * Returns 0 or -EBADMSG. */
int replay_check_digests(struct replay *replay, const struct wal_block_header *header);

/* The same for one shard. */
int replay_check_digest(struct replay *replay, const struct wal_block_header *header,
			uint32_t shard);

/* The same with the shard's digest at hand. */
int replay_compare_digest(struct replay *replay, const struct wal_block_header *header,
			  uint32_t shard, const struct shard_digest *digest);

/* Adds what another thread's replay counted. */
void replay_counts_add(struct replay_counts *counts, const struct replay_counts *more);

#endif
