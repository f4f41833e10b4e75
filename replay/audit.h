/* SPDX-License-Identifier: Apache-2.0
 *
 * What must hold at every epoch boundary, checked over all shards of a node:
 *
 *   1. every account of a ledger sums to zero, once money in flight between shards is counted:
 *      taken from the debit (coordinator CONFIRMING), not yet given to the credit (participant
 *      not CONFIRMED);
 *   2. balance - held >= floor for every account;
 *   3. held and incoming, each summed over all accounts, are what the unfinished rows sum to.
 *
 * Allocates; for tools and tests, not for the engine's hot path.
 */
#ifndef GIRO_REPLAY_AUDIT_H
#define GIRO_REPLAY_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "shard/shard.h"

__extension__ typedef __int128 audit_sum; /* exact for any number of accounts */

struct audit_ledger {
	uint32_t ledger;
	uint64_t accounts;
	audit_sum positive;   /* sum of the balances above zero */
	audit_sum balances;   /* sum of all balances */
	audit_sum in_flight;  /* between shards; balances + in_flight must be zero */
	uint64_t below_floor; /* accounts that break invariant 2 */
};

struct audit {
	struct audit_ledger *ledgers; /* by ledger number, ascending */
	uint32_t ledger_count;
	uint64_t accounts;
	uint64_t rows_pending; /* unfinished cross-shard transfers */
	audit_sum held;	       /* over all accounts */
	audit_sum held_rows;   /* as the rows have it */
	audit_sum incoming;
	audit_sum incoming_rows;
	bool sound; /* all three invariants hold */
};

/* Audits `shards`. Returns 0, or -ENOMEM. audit_free() afterwards. */
int audit_shards(struct audit *audit, struct shard *const *shards, uint32_t shard_count);

void audit_free(struct audit *audit);

/* Writes a sum in decimal; `text` has room for 48 bytes. Returns text. */
char *audit_sum_text(audit_sum sum, char text[48]);

#endif
