/* SPDX-License-Identifier: Apache-2.0
 *
 * A network of shards in one process, for tests. Messages between shards wait on the wire until the
 * test delivers, copies or loses them, in any order it likes; records go to a log in memory, from
 * which a shard can be built again; what happens is told as a readable trace, a line an input:
 *
 *   0 transfer 1 | log TRANSFER PENDING | send TRY 0
 *   1 TRY 0 | log TRY OK | send VOTE 0 OK
 *
 * Placement is explicit: the upper half of an account id is its shard. Epochs are common to all
 * shards; a shard that gets a message enters the sender's epoch first.
 */
#ifndef GIRO_TESTS_SHARD_NETWORK_H
#define GIRO_TESTS_SHARD_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "shard/shard.h"

#define NETWORK_SHARDS_MAX  4
#define NETWORK_WIRE_MAX    4096
#define NETWORK_EPOCHS_MAX  8192
#define NETWORK_REPLIES_MAX 1024
#define NETWORK_TRACE_MAX   16384

/* Where the clock starts: a number that is no multiple of any generation. */
#define NETWORK_START_MS UINT64_C(1700000000123)

#define NO_REPLY (-1)

/* The token of all account operations; transfers have the test's own. */
#define OPERATION_TOKEN UINT64_MAX

struct network_record {
	uint64_t epoch;
	size_t size;
	uint8_t bytes[RECORD_BYTES_MAX];
};

struct network_log {
	struct network_record *records;
	uint32_t count;
	uint32_t capacity;
};

struct network {
	struct shard_limits limits;
	struct shard *shard[NETWORK_SHARDS_MAX];
	struct network_log log[NETWORK_SHARDS_MAX];

	uint64_t epoch; /* newest */
	uint64_t epoch_ms[NETWORK_EPOCHS_MAX];
	uint64_t next_id; /* of operations that the network makes up */

	struct shard_message wire[NETWORK_WIRE_MAX]; /* oldest first */
	uint32_t wire_count;
	struct shard_reply replies[NETWORK_REPLIES_MAX]; /* oldest first */
	uint32_t reply_count;

	uint8_t input_flags; /* SHARD_INPUT_* of all that clients send */
	bool tracing;
	char trace[NETWORK_TRACE_MAX];
};

/* Limits that suit most tests: small tables, a window of 10 s, 2 s ahead, no time-out. */
struct shard_limits network_limits(uint32_t shards);

/* All shards empty, in epoch 1 at NETWORK_START_MS. */
struct network *network_new(const struct shard_limits *limits);
void network_free(struct network *network);

struct id128 account_id(uint32_t shard, uint64_t number);
struct id128 time_id(uint64_t time_ms, uint64_t number);
uint64_t network_now(const struct network *network);

/* Opens a new epoch `ms` later; with _tick all shards enter it at once. */
void network_open_epoch(struct network *network, uint64_t ms);
void network_enter(struct network *network, uint32_t shard, uint64_t epoch);
void network_tick(struct network *network, uint64_t ms);

/* Sends to the shard of the debit account. Returns the status answered, or NO_REPLY. */
int network_transfer(struct network *network, const struct transfer *transfer, uint64_t token);
int network_operation(struct network *network, const struct account_operation *operation);

/* An operation with an id of its own. */
int network_account(struct network *network, enum account_action action, struct id128 account,
		    uint32_t ledger, int64_t floor);

/* Applies one input to a shard; effects go to the wire, the log, the replies and the trace. */
void network_apply(struct network *network, uint32_t shard, const struct shard_input *input);

/* Puts message `at` of the wire to its shard. */
void network_deliver(struct network *network, uint32_t at);
void network_lose(struct network *network, uint32_t at);
void network_copy(struct network *network, uint32_t at);

/* Delivers the oldest message of a kind; there must be one. */
void network_deliver_kind(struct network *network, enum message_kind kind);

/* Delivers everything, oldest first, until the wire is empty. */
void network_settle(struct network *network);

/* Every shard sends the last message of its unfinished rows again. */
void network_resend(struct network *network);

/* Cancels all tries that have timed out. */
void network_timeouts(struct network *network);

/* Builds shard `index` again from its log up to `epoch`, with `limits`. Fails the test when a
 * record does not come out as it went in. The caller frees it. */
struct shard *network_replay(const struct network *network, uint32_t index, uint64_t epoch,
			     const struct shard_limits *limits);

/* All shards are lost with everything after `epoch` and built again; the wire is empty after. */
void network_crash(struct network *network, uint64_t epoch);

/* Fails the test unless the trace since the last call is `expected`. */
void network_expect_trace(struct network *network, const char *expected);

const struct account *network_find(const struct network *network, struct id128 account);

#endif
