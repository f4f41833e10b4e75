/* SPDX-License-Identifier: Apache-2.0
 *
 * What shards say to each other under TC/C: one cache line, passed by value.
 *
 *   coordinator (debit shard)            participant (credit shard)
 *        |  TRY seq, low, credit, amount       |
 *        | ----------------------------------> |  incoming += amount, or a reason not to
 *        |                   VOTE seq, status  |
 *        | <---------------------------------- |
 *        |  CONFIRM / CANCEL seq, low          |
 *        | ----------------------------------> |  balance += amount / undo
 *        |                            ACK seq  |
 *        | <---------------------------------- |
 *
 * `seq` numbers the coordinator's tries to this participant without gaps. `low` is the lowest
 * number the coordinator has not finished: below it the participant has forgotten everything.
 */
#ifndef GIRO_SHARD_MESSAGE_H
#define GIRO_SHARD_MESSAGE_H

#include <stdint.h>

#include "base/id.h"

enum message_kind {
	MESSAGE_TRY = 1,
	MESSAGE_VOTE = 2,
	MESSAGE_CONFIRM = 3,
	MESSAGE_CANCEL = 4,
	MESSAGE_ACK = 5,
};

struct shard_message {
	uint8_t kind; /* enum message_kind */
	uint8_t from; /* shards */
	uint8_t to;
	uint8_t status;	    /* VOTE: STATUS_OK is a yes; else why not */
	uint16_t low_delta; /* TRY, CONFIRM, CANCEL: seq - low */
	uint16_t code;	    /* TRY */
	uint32_t ledger;    /* TRY */
	uint32_t
	    epoch_low; /* low 32 bits of the sender's epoch: the receiver must have reached it */
	uint64_t seq;
	uint64_t amount;       /* TRY */
	struct id128 transfer; /* TRY */
	struct id128 credit;   /* TRY */
};
_Static_assert(sizeof(struct shard_message) == CACHE_LINE, "one line a message");

#endif
