/* SPDX-License-Identifier: Apache-2.0
 *
 * The log as bookkeeping: every movement of money on every account, in the order in which the shards
 * made them, with who was on the other side and what the account then held.
 *
 *   node_peek -> journal_apply -> journal.movements[0 .. count), until the next journal_apply
 *
 * A local transfer is two movements at once. One between shards is two as well: the debit when the
 * vote came back, the credit when it was confirmed, each in the epoch in which the balance changed.
 *
 * A journal of all accounts also tells what became of each transfer and each account operation, and
 * which accounts were touched in any way: held and incoming amounts are no movements.
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
	int64_t balance; /* of the account, behind this movement */
	uint32_t ledger;
	uint16_t code;
	bool debit;    /* taken from the account; else given to it */
	bool crossing; /* between shards */
	uint8_t from;  /* crossing: what names it */
	uint8_t to;
	uint64_t seq;
};

/* A transfer with its outcome. One between shards comes twice: PENDING when it was received, and with
 * its outcome when it was finished. */
struct decision {
	struct transfer transfer;
	enum status status;
	bool was_pending;     /* it came as PENDING before */
	uint64_t received_ms; /* time of the epoch that received it */
};

struct journal_operation {
	struct account_operation operation;
	enum status status;
};

struct journal_key {
	uint8_t from;
	uint8_t to;
	uint64_t seq;
};

/* What the last block did, of one kind; grows. */
#define JOURNAL_LIST(type)         \
	struct {                   \
		type *rows;        \
		uint32_t count;    \
		uint32_t capacity; \
	}

struct journal {
	struct replay_observer observer;
	struct id128 account; /* only this one's movements; zero: all, and the other lists too */
	struct crossings crossings;
	JOURNAL_LIST(struct movement) movements;
	JOURNAL_LIST(struct decision) decisions;
	JOURNAL_LIST(struct journal_operation) operations;
	JOURNAL_LIST(struct id128) touched;	   /* accounts; one may come more than once */
	JOURNAL_LIST(struct journal_key) finished; /* crossings that ended in this block */
	uint32_t burst; /* the first movement of the records that are just being applied */
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
