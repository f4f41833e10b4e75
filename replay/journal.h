/* SPDX-License-Identifier: Apache-2.0
 *
 * The log as bookkeeping: every movement of money on every account, in the order in which the shards
 * made them, with who was on the other side.
 *
 *   node_peek -> journal_apply -> journal.movements[0 .. count), until the next journal_apply
 *
 * A local transfer is two movements at once. One between shards is two as well: the debit when the
 * vote came back, the credit when it was confirmed, each in the epoch in which the balance changed.
 *
 * One thread. Allocates.
 */
#ifndef GIRO_REPLAY_JOURNAL_H
#define GIRO_REPLAY_JOURNAL_H

#include "replay/crossing.h"
#include "replay/node.h"

struct movement {
	struct id128 transfer;
	struct id128 account;
	struct id128 counterparty;
	uint64_t epoch;
	uint64_t time_ms;
	uint64_t amount;
	uint32_t ledger;
	uint16_t code;
	bool debit;    /* taken from the account; else given to it */
	bool crossing; /* between shards */
	uint8_t from;  /* crossing: what names it */
	uint8_t to;
	uint64_t seq;
};

struct journal_key {
	uint8_t from;
	uint8_t to;
	uint64_t seq;
};

struct journal {
	struct replay_observer observer;
	struct id128 account; /* only this one's movements; zero: all */
	struct crossings crossings;
	struct movement *movements; /* of the last block */
	uint32_t count;
	uint32_t capacity;
	struct journal_key *finished; /* in this block */
	uint32_t finished_count;
	uint32_t finished_capacity;
	bool no_memory;
};

/* Begins where the node stands: transfers that are under way there are known from the shards. Returns
 * false: no memory. */
bool journal_init(struct journal *journal, const struct node *node, struct id128 account);

/* Applies the block peeked at, as node_apply(), and tells what it moved. */
bool journal_apply(struct journal *journal, struct node *node, const struct wal_block *block,
		   enum node_end *end);

void journal_free(struct journal *journal);

#endif
