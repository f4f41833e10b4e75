/* SPDX-License-Identifier: Apache-2.0
 *
 * Money counted as it moves: watches the accounts that each record touches and keeps, for every block
 * and ledger, by how much balances and money in flight together changed. Over all shards of a block
 * that must be nothing: so conservation is proved at every epoch, without walking the accounts.
 *
 *   account before -> shard_apply() -> account after      balance change, per ledger
 *   VOTE yes: + amount in flight     CONFIRM: - amount    as each side's own row has it
 *
 * Both of these are told one by one too: what one shard gave must be what the other one had taken.
 *
 * On the way every account that was touched is held against its floor.
 *
 * One tally watches the shards of one thread. It allocates.
 */
#ifndef GIRO_REPLAY_TALLY_H
#define GIRO_REPLAY_TALLY_H

#include "replay/audit.h"
#include "replay/replay.h"

/* Every input touches two accounts at most; the places are a hash table half full. */
#define TALLY_TOUCHED_MAX (2 * SHARD_BURST_MAX)
#define TALLY_PLACES	  (2 * TALLY_TOUCHED_MAX)

struct tally_touched {
	const struct account *account;
	int64_t balance; /* before the burst */
};

struct tally_change {
	uint64_t seq; /* of the block; in `open` not yet known */
	uint32_t ledger;
	audit_sum change;
};

/* One side's part in moving money between shards. */
struct tally_step {
	uint64_t block; /* seq */
	uint64_t seq;	/* of the try */
	uint8_t from;	/* coordinator */
	uint8_t to;
	bool given;		  /* credited by the participant; else debited by the coordinator */
	struct transfer transfer; /* given: id, amount, ledger and credit account only */
};

struct tally_changes {
	struct tally_change *rows;
	uint32_t count;
	uint32_t capacity;
};

struct tally {
	struct replay_observer observer;
	struct tally_touched touched[TALLY_TOUCHED_MAX];
	uint32_t touched_count;
	uint64_t burst;
	struct {
		uint64_t burst; /* the place is taken if this is the tally's */
		uint32_t touched;
	} places[TALLY_PLACES];

	struct tally_changes open; /* by ledger, of the block being applied */
	struct tally_changes
	    closed; /* not zero, by block: the caller takes them and resets count */
	uint32_t last;
	struct tally_step *steps; /* in the blocks' order: the caller takes them */
	uint64_t step_count;
	uint64_t step_capacity;
	bool no_memory;
	bool below_floor; /* then `fault` tells of the first account that is */
	struct replay_fault fault;
};

/* Adds a row without a change; NULL: no memory. */
struct tally_change *tally_changes_add(struct tally_changes *changes, uint32_t ledger);

void tally_init(struct tally *tally);

/* The section is applied: moves what changed to `closed`. */
void tally_close_block(struct tally *tally, uint64_t seq);

void tally_free(struct tally *tally);

#endif
