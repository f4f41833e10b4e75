/* SPDX-License-Identifier: Apache-2.0
 *
 * The records that clients send, shards execute and the log keeps: the same 64 bytes everywhere.
 *
 * A transfer moves `amount` minor units of `ledger` from `debit` to `credit`, at most once however
 * often it is sent. An account operation creates an account or changes its state.
 */
#ifndef GIRO_BASE_TRANSFER_H
#define GIRO_BASE_TRANSFER_H

#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

struct transfer {
	struct id128 id;     /* time-ordered, see base/id.h */
	struct id128 debit;  /* account that pays; its shard coordinates */
	struct id128 credit; /* account that receives; differs from debit */
	uint64_t amount;     /* minor units, > 0 */
	uint32_t ledger;     /* currency of both accounts, > 0 */
	uint16_t code;	     /* the client's own classification; giro keeps it, never reads it */
	uint16_t flags;	     /* reserved, zero */
};
_Static_assert(sizeof(struct transfer) == 64, "one cache line, no padding");
_Static_assert(offsetof(struct transfer, amount) == 48, "no hole before amount");
_Static_assert(offsetof(struct transfer, flags) == 62, "flags end the record");

enum account_action {
	CREATE_ACCOUNT = 1,
	FREEZE_ACCOUNT = 2,   /* refuse new debits and credits; those under way finish */
	UNFREEZE_ACCOUNT = 3, /* undo a freeze */
	CLOSE_ACCOUNT = 4,    /* for ever; only at balance, held and incoming zero */
};

/* Floor of an issuer, the kind of account through which money enters and leaves a ledger. */
#define FLOOR_ISSUER INT64_MIN

struct account_operation {
	struct id128 id;      /* time-ordered; exactly once, like a transfer's */
	struct id128 account; /* non-zero */
	int64_t floor;	      /* CREATE_ACCOUNT: lowest balance - held, <= 0; else zero */
	uint32_t ledger;      /* CREATE_ACCOUNT: > 0; else zero */
	uint16_t action;      /* enum account_action */
	uint16_t flags;	      /* reserved, zero */
	uint64_t reserved[2]; /* zero */
};
_Static_assert(sizeof(struct account_operation) == 64, "one cache line, no padding");
_Static_assert(offsetof(struct account_operation, action) == 44, "no hole before action");
_Static_assert(offsetof(struct account_operation, reserved) == 48, "reserved ends the record");

/* Flags of an account as lookups and the replay tool show them. */
#define ACCOUNT_FROZEN 0x1u
#define ACCOUNT_CLOSED 0x2u

#endif
