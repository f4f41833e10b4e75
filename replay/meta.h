/* SPDX-License-Identifier: Apache-2.0
 *
 * What a reader of the log must know that is not in the records: how many shards there are, the
 * rules that decide outcomes (the window) and how large the tables must be. The engine puts it into
 * the header of every segment; a log's own identity and format are the wal's.
 *
 * The number of shards, the placement and the window are fixed for the life of a log: outcomes
 * depend on them. The sizes may change from one start of the engine to the next.
 */
#ifndef GIRO_REPLAY_META_H
#define GIRO_REPLAY_META_H

#include <stddef.h>
#include <stdint.h>

#include "shard/shard.h"

#define META_MAGIC   0x3174656dll /* "met1" in memory */
#define META_VERSION 1

/* Slot s of the 4096 belongs to shard s % shards. */
#define META_PLACEMENT_MODULO 1

/* In the segment header's meta field, little-endian. */
struct log_meta {
	uint32_t magic;
	uint16_t version;
	uint16_t placement;
	uint32_t shards;
	uint32_t rows;
	uint64_t accounts_max; /* a shard */
	uint64_t window_ms;
	uint64_t ahead_ms;
	uint64_t ids_per_second; /* a shard */
	uint64_t try_timeout_ms; /* informative: time-outs are in the log */
};
_Static_assert(sizeof(struct log_meta) == 56, "no padding");

struct log_meta log_meta_from_limits(const struct shard_limits *limits);

/* Reads `size` bytes of a segment header's meta into `limits`. Returns NULL, or what is wrong with
 * them. Static text. */
const char *log_meta_to_limits(const void *bytes, size_t size, struct shard_limits *limits);

/* Why a log that was written under `old` cannot go on under `new`, or NULL. Static text. */
const char *log_meta_conflict(const struct shard_limits *old, const struct shard_limits *new);

#endif
