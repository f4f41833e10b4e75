/* SPDX-License-Identifier: Apache-2.0
 *
 * The account table of one shard: open addressing with linear probing over 64-byte lines in memory
 * that the caller gives. Accounts are never removed (a closed one keeps its line and its id), so a
 * line's index is good for ever and probing needs no tombstones.
 *
 * Invariants of every account, at all times:
 *   balance - held >= floor        (exact arithmetic)
 *   balance + incoming <= INT64_MAX
 *
 * One owner thread; no function blocks, allocates or fails but as it says.
 */
#ifndef GIRO_SHARD_ACCOUNT_H
#define GIRO_SHARD_ACCOUNT_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/status.h"
#include "base/transfer.h"

struct account {
	alignas(CACHE_LINE) struct id128 id; /* zero: the line is free */
	int64_t balance;		     /* minor units */
	uint64_t held;			     /* debits tried, not yet confirmed or cancelled */
	uint64_t incoming;		     /* credits tried, not yet confirmed or cancelled */
	int64_t floor;			     /* lowest balance - held */
	uint32_t ledger;
	uint32_t flags; /* ACCOUNT_FROZEN, ACCOUNT_CLOSED */
	uint64_t reserved;
};
_Static_assert(sizeof(struct account) == CACHE_LINE, "one line an account");

struct account_table {
	struct account *lines;
	uint64_t mask;	    /* lines - 1, a power of two less one */
	uint64_t count;	    /* accounts in the table */
	uint64_t count_max; /* limit given; at most half of the lines */
};

/* Bytes of lines for `count_max` >= 1 accounts. */
size_t account_table_bytes(uint64_t count_max);

/* `lines`: account_table_bytes(count_max) zeroed bytes, aligned to a cache line; borrowed. */
void account_table_init(struct account_table *table, void *lines, uint64_t count_max);

/* First line to probe. The low 12 bits of the hash chose the shard; all accounts here share much of
 * them, so the table takes the bits above. */
static inline uint64_t account_line(const struct account_table *table, uint64_t hash)
{
	return (hash >> 12) & table->mask;
}

/* Asks for the line where the account most likely is. */
static inline void account_prefetch(const struct account_table *table, uint64_t hash)
{
	__builtin_prefetch(&table->lines[account_line(table, hash)], 1);
}

/* Once that line has come: asks for the one behind it if the account is not there. Without a branch,
 * which would be guessed wrong every third time and hold up the lines of the rest of a burst. */
static inline void account_prefetch_next(const struct account_table *table, struct id128 id,
					 uint64_t hash)
{
	const struct account *line = &table->lines[account_line(table, hash)];

	__builtin_prefetch(line + !id_equal(line->id, id), 1);
}

/* The account of `id`, or NULL. `hash` is id_hash(id). */
static inline struct account *account_find(const struct account_table *table, struct id128 id,
					   uint64_t hash)
{
	uint64_t at = account_line(table, hash);

	/* Past the first line without a branch, as in account_prefetch_next(): behind a free line there
	 * is nothing of the same hash. */
	at = (at + !id_equal(table->lines[at].id, id)) & table->mask;
	/* Ends: half of the lines are free. */
	while (!id_is_zero(table->lines[at].id)) {
		if (id_equal(table->lines[at].id, id))
			return &table->lines[at];
		at = (at + 1) & table->mask;
	}
	return NULL;
}

/* Adds an account that is not there yet, all amounts zero. NULL when the table is at its limit. */
struct account *account_add(struct account_table *table, struct id128 id, uint64_t hash,
			    uint32_t ledger, int64_t floor);

/* May `amount` be taken from the account (NULL: it does not exist)? STATUS_OK, or the first reason
 * against it in order of precedence. */
enum status account_check_debit(const struct account *account, uint32_t ledger, uint64_t amount);

/* May `amount` be given to the account (NULL: it does not exist)? */
enum status account_check_credit(const struct account *account, uint32_t ledger, uint64_t amount);

#endif
