/* SPDX-License-Identifier: Apache-2.0
 *
 * A few shards that keep books and write them down: as blocks in memory, or as a real log in a
 * directory. Messages between shards are delivered when the test says so.
 */
#ifndef GIRO_TESTS_REPLAY_BOOKS_H
#define GIRO_TESTS_REPLAY_BOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "shard/shard.h"
#include "wal/preparer.h"
#include "wal/reader.h"
#include "wal/writer.h"

#define BOOKS_SHARDS_MAX 4
#define BOOKS_SECTION	 (64u << 10)
#define BOOKS_WIRE_MAX	 64
#define BOOKS_START_MS	 UINT64_C(1795420800000) /* 2026-11-23T08:00:00Z */
#define BOOKS_LOG_ID	 UINT64_C(0x1122334455667788)
#define BOOKS_SEGMENT	 (1u << 20)

struct books {
	struct shard_limits limits;
	struct shard *shard[BOOKS_SHARDS_MAX];
	uint64_t epoch;
	uint64_t now_ms;
	uint64_t next_id;
	uint8_t *section[BOOKS_SHARDS_MAX]; /* records of the open epoch */
	uint64_t bytes[BOOKS_SHARDS_MAX];
	struct shard_message wire[BOOKS_WIRE_MAX]; /* oldest first */
	uint32_t wire_count;
	uint8_t *block; /* memory of books_block() */
	uint64_t seq;
};

struct shard_limits books_limits(uint32_t shards);

/* Empty shards in epoch 1. */
struct books *books_new(uint32_t shards);
void books_free(struct books *books);

/* Empty shards of the same limits, to replay into. */
void books_twins(const struct books *books, struct shard **twins);
void books_twins_free(const struct books *books, struct shard **twins);

/* Account `number` of those placed on `shard`. */
struct id128 books_account(const struct books *books, uint32_t shard, uint32_t number);

/* Each returns the status answered, or -1 when the answer comes later. */
int books_open(struct books *books, struct id128 account, uint32_t ledger, int64_t floor);
int books_pay(struct books *books, struct id128 debit, struct id128 credit, uint64_t amount,
	      uint32_t ledger);

/* Cancels what a shard has had no vote for in time. */
void books_time_out(struct books *books, uint32_t shard);

/* Delivers the oldest message; all of them. */
void books_deliver(struct books *books);
void books_settle(struct books *books);

/* An issuer (account 0) and two wallets (1, 2) with 1000 on every shard, in ledger 1. */
void books_fill(struct books *books);

/* Goes on in the next epoch, `ms` later, with empty sections. */
void books_turn(struct books *books, uint64_t ms);

/* The open epoch as a block, with digests if it is no DATA; valid until the next call. The test may
 * change it. */
struct wal_block books_block(struct books *books, enum wal_block_type type);

/* The header and the section of a shard in a block of books_block(), to be changed. */
struct wal_block_header *block_header(const struct wal_block *block);
uint8_t *block_section(const struct wal_block *block, uint32_t shard);

/* A log in a directory of its own. */
struct books_log {
	char path[64];
	uint64_t segment_bytes; /* set by log_new(), to be changed before log_open() */
	struct wal_disk *disk;
	struct wal_preparer preparer;
	struct wal_writer writer;
};

/* Makes the directory and opens the log, or opens it again behind its end. */
void log_new(struct books_log *log);
void log_open(struct books_log *log, const void *meta, uint32_t meta_bytes);

/* Writes the open epoch as a block, waits until it is durable, and goes on 10 ms later. Returns the
 * block's epoch. */
uint64_t log_put(struct books_log *log, struct books *books, enum wal_block_type type);

void log_close(struct books_log *log);

/* Flips one bit of segment 0. */
void log_flip(const struct books_log *log, uint64_t offset);

/* Loses segment 0. */
void log_lose_first(const struct books_log *log);

void log_remove(struct books_log *log);

/* Removes a folder with its files. */
void folder_remove(const char *path);

#endif
