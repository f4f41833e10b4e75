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

/* Accounts whose probe begins with the same line are told apart by a few bits of their hash. */
#define ACCOUNT_TAGS	   4
#define ACCOUNT_NEAR_LIMIT 0x10000u

struct account {
	alignas(CACHE_LINE) struct id128 id; /* zero: the line is free */
	int64_t balance;		     /* minor units */
	uint64_t held;			     /* debits tried, not yet confirmed or cancelled */
	uint64_t incoming;		     /* credits tried, not yet confirmed or cancelled */
	int64_t floor;			     /* lowest balance - held */
	uint32_t ledger;
	uint32_t flags;		     /* ACCOUNT_FROZEN, ACCOUNT_CLOSED */
	uint16_t near[ACCOUNT_TAGS]; /* not the account's but the line's: see account_look() */
};
_Static_assert(sizeof(struct account) == CACHE_LINE, "one line an account");

struct account_table {
	struct account *lines;
	uint64_t line_count;
	uint64_t count;	    /* accounts in the table */
	uint64_t count_max; /* limit given; at most half of the lines */
};

/* Bytes of lines for `count_max` >= 1 accounts. */
size_t account_table_bytes(uint64_t count_max);

/* `lines`: account_table_bytes(count_max) zeroed bytes, aligned to a cache line; borrowed. */
void account_table_init(struct account_table *table, void *lines, uint64_t count_max);

/* First line to probe: the hash as a fraction of the table, so that a table need not be a power of two
 * (D. Lemire, "Fast Random Integer Generation in an Interval", 2019). The low 12 bits of the hash chose
 * the shard, and all accounts here share much of them; these are the high ones. */
static inline uint64_t account_line(const struct account_table *table, uint64_t hash)
{
	__extension__ typedef unsigned __int128 wide;

	return (uint64_t)((wide)hash * table->line_count >> 64);
}

/* The line `distance` <= line_count behind `line`. */
static inline uint64_t account_line_behind(const struct account_table *table, uint64_t line,
					   uint64_t distance)
{
	line += distance;
	return line < table->line_count ? line : line - table->line_count;
}

static inline uint32_t account_tag(uint64_t hash)
{
	return (uint32_t)(hash >> 12) % ACCOUNT_TAGS;
}

/* Asks for the line where the account most likely is. */
static inline void account_prefetch(const struct account_table *table, uint64_t hash)
{
	__builtin_prefetch(&table->lines[account_line(table, hash)], 1);
}

/* Once that line has come: where the account most likely is, and asks for that line. Bit d of near[tag]
 * says that one whose probe begins here and has that tag stands d lines behind: so one look finds all
 * but those few that share line and tag, and no probe waits for line after line from memory. No
 * branch, which would be guessed wrong every fifth time. */
static inline struct account *account_look(const struct account_table *table, struct id128 id,
					   uint64_t hash)
{
	uint64_t at = account_line(table, hash);
	const struct account *line = &table->lines[at];
	uint32_t near = line->near[account_tag(hash)] | ACCOUNT_NEAR_LIMIT | id_equal(line->id, id);
	struct account *found;

	found = &table->lines[account_line_behind(table, at, (uint64_t)__builtin_ctz(near))];
	__builtin_prefetch(found, 1);
	return found;
}

/* The account of `id`, or NULL. `hash` is id_hash(id). */
struct account *account_find(const struct account_table *table, struct id128 id, uint64_t hash);

/* The same, from what account_look() gave, whatever was added since. */
static inline struct account *account_found(const struct account_table *table,
					    struct account *looked, struct id128 id, uint64_t hash)
{
	if (__builtin_expect(id_equal(looked->id, id), 1))
		return looked;
	return account_find(table, id, hash);
}

/* Adds an account that is not there yet, all amounts zero. NULL when the table is at its limit. */
struct account *account_add(struct account_table *table, struct id128 id, uint64_t hash,
			    uint32_t ledger, int64_t floor);

/* Exact sums and differences of money; 128 bits hold them all. */
__extension__ typedef __int128 exact;

/* May `amount` be taken from the account (NULL: it does not exist)? STATUS_OK, or the first reason
 * against it in order of precedence. */
static inline enum status account_check_debit(const struct account *account, uint32_t ledger,
					      uint64_t amount)
{
	if (account == NULL)
		return STATUS_DEBIT_NOT_FOUND;
	if (account->ledger != ledger)
		return STATUS_DEBIT_LEDGER_MISMATCH;
	if (account->flags & ACCOUNT_CLOSED)
		return STATUS_DEBIT_CLOSED;
	if (account->flags & ACCOUNT_FROZEN)
		return STATUS_DEBIT_FROZEN;
	if ((exact)account->balance - account->held - amount < account->floor)
		return STATUS_INSUFFICIENT_FUNDS;
	return STATUS_OK;
}

/* May `amount` be given to the account (NULL: it does not exist)? */
static inline enum status account_check_credit(const struct account *account, uint32_t ledger,
					       uint64_t amount)
{
	if (account == NULL)
		return STATUS_CREDIT_NOT_FOUND;
	if (account->ledger != ledger)
		return STATUS_CREDIT_LEDGER_MISMATCH;
	if (account->flags & ACCOUNT_CLOSED)
		return STATUS_CREDIT_CLOSED;
	if (account->flags & ACCOUNT_FROZEN)
		return STATUS_CREDIT_FROZEN;
	if ((exact)account->balance + account->incoming + amount > INT64_MAX)
		return STATUS_CREDIT_OVERFLOW;
	return STATUS_OK;
}

#endif
