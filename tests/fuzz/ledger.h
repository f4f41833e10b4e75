/* SPDX-License-Identifier: Apache-2.0
 *
 * A few shards that do what the bytes of a fuzz input say: clients ask, messages between shards are
 * delivered, lost, doubled and overtaken, epochs open, shards enter them when they like, tries time
 * out, and all of it crashes and starts again from what was durable.
 *
 *   input bytes --> operations --> batches --> shard_apply() --+--> wire --> batches of the peers
 *                                                              +--> sections of the open epochs
 *                                                              +--> replies
 *     when every shard has left an epoch, its sections become a block, which is durable at once:
 *     hooks.block() sees it, then hooks.reply() each reply that waited for it
 *
 * Everything is as small as the code permits, so that a short input reaches the limits.
 */
#ifndef GIRO_TESTS_FUZZ_LEDGER_H
#define GIRO_TESTS_FUZZ_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "shard/shard.h"
#include "tests/fuzz/target.h"
#include "wal/format.h"

#define LEDGER_SHARDS_MAX   3
#define LEDGER_EPOCH_SLOTS  4
#define LEDGER_SECTION	    (2u * WAL_PAGE)
#define LEDGER_WIRE_MAX	    1024
#define LEDGER_REQUESTS_MAX 1024
#define LEDGER_BLOCKS_MAX   512
#define LEDGER_ACCOUNT_IDS  16
#define LEDGER_START_MS	    UINT64_C(1700000000123)
#define LEDGER_LOG_ID	    UINT64_C(0x1122334455667788)

struct ledger_request {
	uint8_t content[64];
	bool is_transfer;
	uint32_t shard;	   /* that it was sent to */
	uint64_t known_ms; /* time of the shard when it came */
};

struct ledger_reply {
	uint32_t request;
	uint64_t epoch;
	enum status status;
};

struct ledger;

/* Any may be NULL. */
struct ledger_hooks {
	void (*block)(struct ledger *ledger, const struct wal_block_header *block);
	void (*reply)(struct ledger *ledger, const struct ledger_request *request,
		      const struct ledger_reply *reply);
};

struct ledger {
	struct shard_limits limits;
	struct ledger_hooks hooks;
	struct shard *shards[LEDGER_SHARDS_MAX];
	uint32_t burst; /* inputs applied at once, at most */
	uint8_t flags;	/* SHARD_INPUT_* of what clients send */

	uint64_t newest; /* epoch */
	uint64_t committed;
	uint64_t now_ms;
	uint64_t time_ms[LEDGER_EPOCH_SLOTS];
	uint8_t *section[LEDGER_SHARDS_MAX][LEDGER_EPOCH_SLOTS];
	uint64_t bytes[LEDGER_SHARDS_MAX][LEDGER_EPOCH_SLOTS];

	struct shard_input batch[LEDGER_SHARDS_MAX][SHARD_BURST_MAX];
	uint32_t batch_count[LEDGER_SHARDS_MAX];
	struct shard_message wire[LEDGER_WIRE_MAX];
	uint32_t wire_count;

	struct ledger_request requests[LEDGER_REQUESTS_MAX];
	uint32_t request_count;
	struct ledger_reply waiting[LEDGER_REQUESTS_MAX];
	uint32_t waiting_count;

	struct wal_block_header *blocks[LEDGER_BLOCKS_MAX]; /* durable, each with its payload */
	uint32_t block_count;
	uint64_t crashes;
	uint64_t ids;
};

/* Shards of the size that one byte chooses. */
struct ledger *ledger_new(uint8_t shape, const struct ledger_hooks *hooks);
void ledger_free(struct ledger *ledger);

/* Carries out the operations in `bytes`, until they or the room for blocks or requests end. */
void ledger_run(struct ledger *ledger, struct fuzz_bytes *bytes);

/* Delivers all, times out all, until every row is finished and everything is durable. */
void ledger_settle(struct ledger *ledger);

/* Leaves the newest epoch: all that was applied is durable behind it. */
void ledger_turn(struct ledger *ledger, uint64_t ms);

/* Empty shards of these limits, in memory of their own. */
void ledger_make_shards(const struct shard_limits *limits, struct shard **shards);
void ledger_free_shards(const struct shard_limits *limits, struct shard **shards);

/* The account ids that clients use; the first is zero. */
struct id128 ledger_account(uint32_t index);

#endif
