/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of one shard as bytes: what a checkpoint holds of it. docs/log-format.md describes them;
 * the two must agree to the byte.
 *
 *   head | links | generations | accounts | outcomes | coordinator rows | participant rows
 *
 * Nothing depends on the sizes of the tables: a shard with other (large enough) tables takes the same
 * bytes and has the same digest.
 */
#ifndef GIRO_REPLAY_SNAPSHOT_H
#define GIRO_REPLAY_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shard/shard.h"

struct snapshot_head {
	uint64_t epoch;
	uint64_t now_ms;
	uint64_t changed_epoch;
	uint64_t accounts;
	uint64_t outcomes;
	uint64_t coordinator_rows;
	uint64_t participant_rows;
	uint32_t links; /* shards of the log */
	uint32_t generations;
};
_Static_assert(sizeof(struct snapshot_head) == 64, "no padding");

struct snapshot_link {
	uint64_t next;
	uint64_t low;
	uint64_t peer_low;
};
_Static_assert(sizeof(struct snapshot_link) == 24, "no padding");

struct snapshot_generation {
	uint64_t number;
	uint64_t reserved; /* places promised to transfers under way */
};
_Static_assert(sizeof(struct snapshot_generation) == 16, "no padding");

struct snapshot_account {
	struct id128 id;
	int64_t balance;
	uint64_t held;
	uint64_t incoming;
	int64_t floor;
	uint32_t ledger;
	uint32_t flags;
};
_Static_assert(sizeof(struct snapshot_account) == 56, "no padding");

struct snapshot_outcome {
	struct id128 id;
	uint64_t content;
	uint64_t outcome; /* epoch << 8 | status */
};
_Static_assert(sizeof(struct snapshot_outcome) == 32, "no padding");

struct snapshot_coordinator {
	struct transfer transfer;
	uint64_t seq;
	uint64_t content;
	uint64_t started_ms;
	uint32_t peer;
	uint8_t state;
	uint8_t outcome;
	uint16_t reserved;
};
_Static_assert(sizeof(struct snapshot_coordinator) == 96, "no padding");

struct snapshot_participant {
	struct id128 transfer;
	struct id128 credit;
	uint64_t seq;
	uint64_t amount;
	uint32_t peer;
	uint8_t state;
	uint8_t vote;
	uint16_t reserved;
};
_Static_assert(sizeof(struct snapshot_participant) == 56, "no padding");

/* Takes bytes one behind the other. Returns false when it can take no more. */
struct snapshot_sink {
	void *context;
	bool (*put)(void *context, const void *bytes, size_t size);
};

/* Writes the shard's state. Returns false when the sink did. */
bool snapshot_write(const struct shard *shard, const struct snapshot_sink *sink);

/* Fills an empty shard. Returns NULL, or why the bytes are not the state of such a shard (static
 * text): then the shard is not to be used. Bytes from anywhere do no harm. */
const char *snapshot_read(struct shard *shard, const uint8_t *bytes, size_t size);

/* What a checkpoint has to say of a shard, held against the shard itself. Returns NULL, or what differs
 * (static text). */
const char *snapshot_compare(const struct shard *shard, const uint8_t *bytes, size_t size);

#endif
