/* SPDX-License-Identifier: Apache-2.0
 *
 * The phase status table of one shard: what it knows of every cross-shard transfer under way.
 *
 * To every peer there is a link with two sides. As coordinator the shard numbers its tries to that
 * peer without gaps and keeps a row for each number in [low, next). As participant it keeps a row
 * for each number of the peer's in [low, low + rows).
 *
 *   coordinator's side                     participant's side
 *     low            next                    low                  low + rows
 *      | C . T C T T | free ...               | y y . n Y m . ...  |
 *      ^ lowest not finished                  ^ told by the coordinator; below: forgotten
 *
 * So both sides are bounded by the rows in flight, never by time, and any message may come twice,
 * late or out of order. An index finds a coordinator's row by the transfer's id.
 *
 * One owner thread; nothing blocks or allocates. The source of TC/C: P. Helland, "Life beyond
 * Distributed Transactions", CIDR 2007 (tentative operation, confirmation, cancellation).
 */
#ifndef GIRO_SHARD_PHASE_H
#define GIRO_SHARD_PHASE_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/limits.h"
#include "base/transfer.h"

/* Rows of one direction of one link; a power of two. seq - low must fit its 16 bits in a record. */
#define PHASE_ROWS_MIN 2
#define PHASE_ROWS_MAX 32768

enum coordinator_state {
	COORDINATOR_FREE = 0,	    /* no row, or finished */
	COORDINATOR_TRYING = 1,	    /* debit tried; no vote yet */
	COORDINATOR_CONFIRMING = 2, /* debit done; CONFIRM not acknowledged yet */
	COORDINATOR_CANCELLING = 3, /* hold released; CANCEL not acknowledged yet */
};

struct coordinator_row {
	alignas(CACHE_LINE) struct transfer transfer;
	uint64_t seq;
	uint64_t id_hash;    /* of the transfer's id */
	uint64_t content;    /* XXH3-64 of the transfer, for repeats */
	uint64_t started_ms; /* epoch time of the try */
	uint64_t token; /* the client's, for the answer; not part of the state, lost in a crash */
	uint64_t debit_line; /* index in the account table */
	uint8_t state;	     /* enum coordinator_state */
	uint8_t outcome;     /* enum status, once cancelling: why */
	uint8_t reserved[6];
};

enum participant_state {
	PARTICIPANT_NONE = 0,	   /* nothing heard of this number */
	PARTICIPANT_TRIED_YES = 1, /* incoming raised, voted yes */
	PARTICIPANT_TRIED_NO = 2,  /* nothing changed, voted no */
	PARTICIPANT_CONFIRMED = 3, /* balance raised */
	PARTICIPANT_CANCELLED = 4, /* undone */
	PARTICIPANT_CANCEL_MARK =
	    5, /* out of order: cancelled before its try; a late try is refused */
};

struct participant_row {
	alignas(CACHE_LINE) struct id128 transfer;
	struct id128 credit;
	uint64_t seq;
	uint64_t amount;
	uint64_t credit_line; /* index in the account table, when TRIED_YES or CONFIRMED */
	uint8_t state;	      /* enum participant_state */
	uint8_t vote;	      /* enum status */
	uint8_t reserved[6];
};
_Static_assert(sizeof(struct participant_row) == CACHE_LINE, "one line a row");

struct phase_link {
	uint64_t next;	   /* coordinator: number of the next try */
	uint64_t low;	   /* coordinator: lowest number not finished */
	uint64_t peer_low; /* participant: lowest number the peer has not finished */
	struct coordinator_row *coordinator; /* [rows] */
	struct participant_row *participant; /* [rows] */
};

struct phase_table {
	uint32_t shards;
	uint32_t rows; /* a direction of a link; power of two */
	uint32_t rows_log2;
	uint64_t index_mask;
	uint32_t *index;    /* transfer id -> 1 + peer * rows + row; 0: free */
	uint64_t in_flight; /* coordinator rows that are not free */
	struct phase_link link[SHARDS_MAX];
};

/* Bytes for the rows and the index of a shard among `shards`, `rows` to a direction of a link. */
size_t phase_bytes(uint32_t shards, uint32_t rows);

/* `memory`: phase_bytes() zeroed bytes, aligned to a cache line; borrowed. */
void phase_init(struct phase_table *phase, void *memory, uint32_t shards, uint32_t rows);

static inline bool phase_has_room(const struct phase_table *phase, uint32_t peer)
{
	return phase->link[peer].next - phase->link[peer].low < phase->rows;
}

/* Opens the row of the next number to `peer`, state TRYING, and puts it into the index. Only after
 * phase_has_room(). The caller fills in the rest. `hash` is the transfer id's. */
struct coordinator_row *phase_open(struct phase_table *phase, uint32_t peer,
				   const struct transfer *transfer, uint64_t hash);

/* Ask for the row of number `seq`, whatever it holds. */
static inline void phase_prefetch_row(const struct phase_table *phase, uint32_t peer, uint64_t seq)
{
	const struct coordinator_row *row = &phase->link[peer].coordinator[seq & (phase->rows - 1)];

	__builtin_prefetch(row, 1);
	__builtin_prefetch((const uint8_t *)row + CACHE_LINE, 1);
}

static inline void phase_prefetch_participant(const struct phase_table *phase, uint32_t peer,
					      uint64_t seq)
{
	__builtin_prefetch(&phase->link[peer].participant[seq & (phase->rows - 1)], 1);
}

/* The coordinator's row of number `seq`, or NULL when it is finished or was never opened. */
struct coordinator_row *phase_row(const struct phase_table *phase, uint32_t peer, uint64_t seq);

/* phase_find() when there are rows. */
struct coordinator_row *phase_find_row(const struct phase_table *phase, struct id128 id,
				       uint64_t hash);

/* The coordinator's row of a transfer under way, or NULL. */
static inline struct coordinator_row *phase_find(const struct phase_table *phase, struct id128 id,
						 uint64_t hash)
{
	return phase->in_flight == 0 ? NULL : phase_find_row(phase, id, hash);
}

/* Finishes a row: it is free, out of the index, and `low` moves past all that are finished. */
void phase_finish(struct phase_table *phase, uint32_t peer, struct coordinator_row *row);

/* The participant's row of number `seq` of `peer`, or NULL when nothing was heard of it or it is
 * forgotten. */
struct participant_row *phase_participant(const struct phase_table *phase, uint32_t peer,
					  uint64_t seq);

/* Opens the participant's row of `seq` after forgetting all below `low`. seq - low < rows. */
struct participant_row *phase_participate(struct phase_table *phase, uint32_t peer, uint64_t seq,
					  uint64_t low);

/* Forgets the participant's rows below `low`, if it is news; all had their second phase. */
void phase_forget(struct phase_table *phase, uint32_t peer, uint64_t low);

#endif
