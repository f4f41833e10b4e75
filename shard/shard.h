/* SPDX-License-Identifier: Apache-2.0
 *
 * The shard: the deterministic core of giro. A pure function
 *
 *   (state, input) -> (state, effects)
 *
 * with no clock, I/O, allocation, randomness or thread in it. Time and identity come in with the
 * input. The engine, the replay tool, the simulator and the tests link this same code, so what one
 * of them computed every other one computes again.
 *
 *                 transfers, account operations        time-outs        messages of peers
 *                              |                           |                   |
 *                              v                           v                   v
 *                    +------------------------- shard_apply() --------------------------+
 *                    |  exactly-once window   phase status table   account table         |
 *                    +-------------------------------------------------------------------+
 *                              |                           |                   |
 *                              v                           v                   v
 *                     replies with their epoch         log records       messages to peers
 *
 * Every input has at most one reply, one record and one message as its effects.
 *
 * A shard has one owner thread. Nothing here blocks or allocates. Memory is the caller's.
 */
#ifndef GIRO_SHARD_SHARD_H
#define GIRO_SHARD_SHARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/transfer.h"
#include "shard/account.h"
#include "shard/message.h"
#include "shard/phase.h"
#include "shard/record.h"
#include "shard/window.h"

/* Inputs of one call to shard_apply(); its caller's effects must have room for as many each. */
#define SHARD_BURST_MAX 64

struct shard_limits {
	uint32_t shards;	 /* 1..SHARDS_MAX */
	uint32_t rows;		 /* cross-shard transfers under way to one peer; power of two */
	uint64_t accounts_max;	 /* >= 1 */
	uint64_t window_ms;	 /* WINDOW_MS_MIN..WINDOW_MS_MAX */
	uint64_t ahead_ms;	 /* <= window_ms */
	uint64_t ids_per_second; /* new ids for as long as the window lasts, >= 1 */
	uint64_t try_timeout_ms; /* cancel a try that has had no vote for so long; 0: never */
};

/* Things that happen rarely and matter: counted for telemetry and for the simulator's table of
 * reach. X(name, text) */
#define SHARD_EVENT_LIST(X)                                           \
	X(LOCAL_DONE, "local transfer done")                          \
	X(CROSS_TRIED, "cross-shard transfer tried")                  \
	X(CROSS_CONFIRMED, "cross-shard transfer confirmed")          \
	X(CROSS_CANCELLED, "cross-shard transfer cancelled")          \
	X(REPEAT, "id repeated: remembered outcome given")            \
	X(REPEAT_UNDER_WAY, "id repeated while under way")            \
	X(BUSY_NO_NEW_WORK, "refused: no new work is taken")          \
	X(BUSY_WINDOW, "refused: exactly-once window full")           \
	X(BUSY_ROWS, "refused: phase rows to the peer full")          \
	X(BUSY_ACCOUNTS, "refused: account table full")               \
	X(TRY_YES, "try voted yes")                                   \
	X(TRY_NO, "try voted no")                                     \
	X(TRY_REPEATED, "repeated try answered with its vote")        \
	X(TRY_STALE, "stale try ignored")                             \
	X(TRY_AFTER_CANCEL, "late try refused: cancel overtook it")   \
	X(VOTE_IGNORED, "vote for a decided or finished row ignored") \
	X(CONFIRM_REPEATED, "repeated confirm acknowledged")          \
	X(CONFIRM_STALE, "stale confirm ignored")                     \
	X(CANCEL_REPEATED, "repeated cancel acknowledged")            \
	X(CANCEL_STALE, "stale cancel ignored")                       \
	X(CANCEL_OVERTOOK_TRY, "cancel overtook its try: marked")     \
	X(ACK_IGNORED, "ack for a finished row ignored")              \
	X(TRY_TIMED_OUT, "try timed out: cancelled")                  \
	X(MESSAGE_RESENT, "unfinished row's last message sent again") \
	X(OUTCOME_FORGOTTEN, "row outlived its id's window")

enum shard_event {
#define SHARD_EVENT_ENUM(name, text) SHARD_EVENT_##name,
	SHARD_EVENT_LIST(SHARD_EVENT_ENUM)
#undef SHARD_EVENT_ENUM
	    SHARD_EVENTS
};

struct shard {
	uint32_t index;
	struct shard_limits limits;

	/* The state. */
	uint64_t epoch;		/* open for this shard */
	uint64_t now_ms;	/* time of that epoch: Unix milliseconds, never decreasing */
	uint64_t changed_epoch; /* last epoch in which something changed */
	struct account_table accounts;
	struct window window;
	struct phase_table phase;

	/* Not part of the state. Written by the owner, read by telemetry. */
	uint64_t events[SHARD_EVENTS];
	uint64_t statuses[STATUS_LIMIT]; /* replies by status */
};

enum shard_input_kind {
	SHARD_INPUT_TRANSFER = 1,
	SHARD_INPUT_ACCOUNT = 2,
	SHARD_INPUT_MESSAGE = 3,
	SHARD_INPUT_TIMEOUT = 4, /* of the try in message.seq to peer message.from */
};

/* New transfers and operations are answered BUSY (log full, draining); repeats are still answered,
 * and what is under way goes on. */
#define SHARD_INPUT_NO_NEW_WORK 0x1u

/* Nobody waits for the reply: a row that was recovered, an input made from a record. */
#define SHARD_NO_TOKEN 0

struct shard_input {
	uint8_t kind;  /* enum shard_input_kind */
	uint8_t flags; /* SHARD_INPUT_* */
	uint8_t home;  /* TRANSFER, ACCOUNT: shard of the debit account / of the account */
	uint8_t peer;  /* TRANSFER: shard of the credit account */
	uint32_t reserved;
	uint64_t token;	      /* TRANSFER, ACCOUNT: comes back in the reply; not 0 */
	uint64_t hash;	      /* id_hash() of the debit account, account, or a TRY's credit */
	uint64_t credit_hash; /* TRANSFER: id_hash() of the credit account */
	union {
		struct transfer transfer;
		struct account_operation operation;
		struct shard_message message;
	};
};

struct shard_reply {
	uint64_t token;
	uint64_t epoch; /* the reply may go out when this epoch is durable; 0: at once */
	enum status status;
};

/* Where effects go: arrays of the caller's with room for all that a call can bring forth. */
struct shard_effects {
	uint8_t *log; /* records are appended at log + log_bytes */
	size_t log_bytes;
	struct shard_message *messages;
	uint32_t message_count;
	uint32_t reply_count;
	struct shard_reply *replies;
};

/* Bytes of memory for a shard: the struct, accounts, window and rows. */
size_t shard_bytes(const struct shard_limits *limits);

/* Why `limits` cannot be, or NULL. Static text. */
const char *shard_limits_fault(const struct shard_limits *limits);

/* An empty shard in `memory`: shard_bytes() zeroed bytes, aligned to a cache line; borrowed. */
struct shard *shard_new(void *memory, const struct shard_limits *limits, uint32_t index);

/* Enters `epoch` at time `now_ms`; both only grow. A clock that stepped back stands still. */
void shard_enter_epoch(struct shard *shard, uint64_t epoch, uint64_t now_ms);

/* Makes an input of a peer's message; computes the hash where one is needed. */
void shard_input_from_message(struct shard_input *input, const struct shard_message *message);

/* Applies `count` <= SHARD_BURST_MAX inputs in order and appends their effects. */
void shard_apply(struct shard *shard, const struct shard_input *inputs, uint32_t count,
		 struct shard_effects *effects);

/* Makes the input a record was written for, so that applying it again must give the record again.
 * False when no peer that keeps the protocol can have sent it: a forged or foreign log. */
bool shard_input_from_record(const struct shard *shard, const struct record *record,
			     struct shard_input *input);

/* Reads. Both see every input applied so far; the answer may go out when the epoch in
 * shard->changed_epoch (for a transfer: *epoch) is durable. */
const struct account *shard_account(const struct shard *shard, struct id128 id);
enum status shard_transfer(const struct shard *shard, struct id128 id, uint64_t *epoch);

/* Where a walk over the unfinished rows stands; start with zeros. */
struct shard_cursor {
	uint32_t peer;
	uint64_t seq;
};

/* Appends the last message of up to `count_max` unfinished coordinator rows from the cursor on, as
 * after a crash or a lost message. Returns how many; 0 when the walk is over. */
uint32_t shard_resend(struct shard *shard, struct shard_cursor *cursor, uint32_t count_max,
		      struct shard_effects *effects);

/* Finds a try to be cancelled for want of a vote, as an input. False: there is none now. */
bool shard_next_timeout(const struct shard *shard, struct shard_input *input);

struct shard_digest {
	uint64_t lo;
	uint64_t hi;
};

/* XXH3-128 over the canonical state: the same in the engine, in replay and in the simulator, under
 * any compiler and any table capacity. Walks the whole tables. */
struct shard_digest shard_digest(const struct shard *shard);

/* "cancel overtook its try: marked". Static. */
const char *shard_event_text(enum shard_event event);

#endif
