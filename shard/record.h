/* SPDX-License-Identifier: Apache-2.0
 *
 * Records: what a shard writes into its section of a log block. One record for each input that
 * changed the shard, in the order applied, with its outcome: command and event in one. Inputs that
 * change nothing (reads, repeats, stale messages, content errors, BUSY) leave no record.
 *
 *   byte 0      1      2        4               8
 *       +------+------+--------+---------------+------------------------------+
 *       | kind | peer |  arg   |  seq (low 32) |  body, by kind               |
 *       +------+------+--------+---------------+------------------------------+
 *
 *   kind      peer         arg        seq    body        bytes  change
 *   TRANSFER  credit shard status     try's  transfer       72  local, or the try
 *   ACCOUNT   0            status     0      operation      72  account created or changed
 *   TRY       coordinator  vote       try's  record_try     56  incoming raised, or voted no
 *   VOTE      participant  vote       try's  -               8  decided
 *   CONFIRM   coordinator  seq - low  try's  -               8  balance raised
 *   CANCEL    coordinator  seq - low  try's  -               8  undone, or marked
 *   ACK       participant  0          try's  -               8  row finished
 *   TIMEOUT   participant  0          try's  -               8  decided: cancel
 *
 * A TRANSFER between shards that passed the debit side's checks has status PENDING; its outcome is
 * PEER's vote, or TRY_TIMEOUT, and is final with the ACK. A cross-shard transfer that confirms
 * costs 72 + 8 + 8 bytes at the coordinator and 56 + 8 at the participant.
 *
 * The low 32 bits of a number are enough: a record is written only for rows in flight, and at most
 * 2^15 of a link are.
 */
#ifndef GIRO_SHARD_RECORD_H
#define GIRO_SHARD_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "base/transfer.h"
#include "shard/message.h"

enum record_kind {
	RECORD_TRANSFER = 1,
	RECORD_ACCOUNT = 2,
	RECORD_TRY = 3,
	RECORD_VOTE = 4,
	RECORD_CONFIRM = 5,
	RECORD_CANCEL = 6,
	RECORD_ACK = 7,
	RECORD_TIMEOUT = 8,
};

struct record_head {
	uint8_t kind;
	uint8_t peer;
	uint16_t arg;
	uint32_t seq_low;
};
_Static_assert(sizeof(struct record_head) == 8, "no padding");

struct record_try {
	uint64_t amount;
	struct id128 transfer;
	struct id128 credit;
	uint32_t ledger;
	uint16_t code;
	uint16_t low_delta; /* seq - low */
};
_Static_assert(sizeof(struct record_try) == 48, "no padding");

#define RECORD_BYTES_MAX (sizeof(struct record_head) + sizeof(struct transfer))

/* A record as read back. */
struct record {
	struct record_head head;
	union {
		struct transfer transfer;
		struct account_operation operation;
		struct record_try try;
	};
};

/* Bytes of a record of `kind` in the log, or zero when there is no such kind. */
size_t record_bytes(unsigned kind);

/* Writes `record` to `out`, which has RECORD_BYTES_MAX bytes of room. Returns its bytes. */
size_t record_encode(const struct record *record, uint8_t *out);

/* Reads the record at `bytes`, of which `size` are left. Returns its bytes, or 0 when they hold no
 * whole record of a known kind. */
size_t record_decode(const uint8_t *bytes, size_t size, struct record *record);

/* "TRANSFER"; "?" for an unknown kind. Static. */
const char *record_name(unsigned kind);

#endif
