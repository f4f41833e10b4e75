/* SPDX-License-Identifier: Apache-2.0
 *
 * A summary of a log up to one block, small enough to print and sign, to be kept where nobody who can
 * write the log can write: `giro-replay seal-check` makes it, `verify --against` proves by it that the
 * log up to there is what it was. docs/log-format.md describes the file, lines of text.
 *
 * Two things tie it to the log. `chain` is the hash of the block's header page, in which every earlier
 * block is chained: enough against accidents. `sha256` is over every byte of every block: also against
 * who can make blocks whose XXH3 hashes collide.
 *
 * One thread. Allocates.
 */
#ifndef GIRO_REPLAY_SUMMARY_H
#define GIRO_REPLAY_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "replay/audit.h"
#include "shard/shard.h"
#include "wal/format.h"

#define SUMMARY_VERSION	   1
#define SUMMARY_SHA256	   32
#define SUMMARY_BYTES_MAX  (1u << 22)
#define SUMMARY_TEXT_BYTES 512

struct summary {
	uint64_t log_id;
	uint64_t seq; /* these six are of the block that it stands behind */
	uint64_t epoch;
	uint64_t time_ms;
	uint64_t incarnation;
	uint64_t segment;
	uint64_t offset;
	struct wal_hash chain; /* of its header page */
	bool hashed; /* sha256 is there: whoever made it had the log from its first byte */
	uint8_t sha256[SUMMARY_SHA256];
	uint32_t shards;
	struct shard_digest digests[SHARDS_MAX];
	uint64_t rows_pending;
	uint32_t ledger_count;
	struct audit_ledger *ledgers; /* own memory; below_floor is not kept */
};

/* Fills one in from a block, the shards behind it and their audit; `sha256` may be NULL. Returns 0 or
 * -ENOMEM; then, as after every other failure, there is nothing to free. */
int summary_make(struct summary *summary, const struct wal_block_header *block,
		 struct shard *const *shards, uint32_t shard_count, const struct audit *audit,
		 const uint8_t *sha256);

/* The file's text, to be freed; NULL: no memory. */
char *summary_text(const struct summary *summary);

/* Reads and checks a file. Returns 0, or a negative errno with a text in `error`
 * (SUMMARY_TEXT_BYTES); -EUCLEAN: it is none, or was changed. */
int summary_read(struct summary *summary, const char *path, char *error);

/* Names everything in which what was found differs from what is kept, in lines of `out`. Returns how many
 * things do. sha256 counts only if both have it. */
uint32_t summary_compare(const struct summary *kept, const struct summary *found, FILE *out);

void summary_free(struct summary *summary);

#endif
