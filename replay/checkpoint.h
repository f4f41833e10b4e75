/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints: files with the state of all shards behind one block of a log, so that a start need not
 * replay what is before it. docs/log-format.md describes them; the two must agree to the byte.
 *
 *   +--------+-----------------+-----------------+
 *   | header | shard 0's state | shard 1's state | ...    4096 bytes, then rows[i].bytes each
 *   +--------+-----------------+-----------------+
 *
 * A file is called by the number of the block that it stands behind: 00000000000000001234.checkpoint.
 * It is written under another name first, made durable, and renamed: a crash leaves those that were
 * there. It covers only what is known to be durable in the log; so it is also a witness that the block
 * was.
 *
 * One thread calls; where there are lanes, they do their shards' part. Allocates and blocks.
 */
#ifndef GIRO_REPLAY_CHECKPOINT_H
#define GIRO_REPLAY_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "replay/lanes.h"
#include "replay/moment.h"
#include "shard/shard.h"
#include "wal/reader.h"

#define CHECKPOINT_MAGIC    0x31706b632d6f7267ull /* "gro-ckp1" in memory */
#define CHECKPOINT_VERSION  1
#define CHECKPOINT_META_MAX 256

/* Files in one directory, at most. */
#define CHECKPOINTS_MAX 1024

struct checkpoint_row {
	uint64_t bytes;
	struct shard_digest digest;
	uint64_t reserved[3];
};
_Static_assert(sizeof(struct checkpoint_row) == 48, "no padding");

struct checkpoint_header {
	uint64_t checksum; /* XXH3-64 of the page from `magic` to its end */
	uint64_t magic;
	uint32_t version;
	uint32_t shards;
	uint64_t log_id;
	uint64_t segment; /* these seven are of the block that it stands behind */
	uint64_t offset;
	uint64_t seq;
	uint64_t epoch;
	uint64_t time_ms;
	uint64_t incarnation;
	struct wal_hash block_hash; /* of its header page */
	uint64_t payload_bytes;
	struct wal_hash payload_hash;
	uint32_t meta_bytes;
	uint32_t reserved32;
	uint8_t meta[CHECKPOINT_META_MAX]; /* as in the segments' headers */
	uint8_t reserved[640];
	struct checkpoint_row rows[SHARDS_MAX];
};
_Static_assert(sizeof(struct checkpoint_header) == WAL_PAGE, "one page");
_Static_assert(offsetof(struct checkpoint_header, payload_bytes) == 96, "no hole");
_Static_assert(offsetof(struct checkpoint_header, rows) == 1024, "rows end the page");

/* Writes the state of `shards`, which stand behind `block`, into `directory`. Returns 0, or a negative
 * errno with a text in `error` (WAL_TEXT_BYTES). */
int checkpoint_write(const char *directory, const struct wal_block_header *block,
		     struct shard *const *shards, uint32_t shard_count, char *error);

/* Removes all but the newest `keep`, and what was left unfinished. The one behind block `base` is kept as
 * well; UINT64_MAX: there is none. Does nothing while a log is being trimmed by these checkpoints. */
void checkpoint_remove_old(const char *directory, uint32_t keep, uint64_t base);

/* Removes those behind blocks before `seq`. */
void checkpoint_remove_before(const char *directory, uint64_t seq);

/* Holds off whoever removes checkpoints in `directory`. Returns a file descriptor to be closed; -EBUSY
 * when another one holds them, or another negative errno. */
int checkpoint_hold(const char *directory);

/* The numbers of the blocks that checkpoints in `directory` stand behind, newest first; up to
 * `capacity`. A directory that cannot be read has none. */
uint32_t checkpoint_list(const char *directory, uint64_t *seqs, uint32_t capacity);

/* Loads one of them into empty shards, and verifies all of it: checksums, that it is of this log and
 * suits the shards' limits, and that the shards then have the digests that it says. Returns 0, or a
 * negative errno with a text in `error` (WAL_TEXT_BYTES); the shards are empty then. */
int checkpoint_load(const char *directory, uint64_t seq, uint64_t log_id,
		    struct shard *const *shards, uint32_t shard_count, struct lanes *lanes,
		    struct checkpoint_header *header, char *error);

/* Checks one of them against shards that stand behind its block, `block`: checksums, that it is of this
 * block and suits the limits, and that it holds the very state of the shards. Returns 0; -EUCLEAN for a
 * damaged one, -EBADMSG for a whole one of another block or state, with a text in `error`
 * (WAL_TEXT_BYTES). */
int checkpoint_compare(const char *directory, const struct wal_block_header *block,
		       struct shard *const *shards, uint32_t shard_count, struct lanes *lanes,
		       char *error);

/* Reads and checks only the header. Returns 0 or a negative errno. */
int checkpoint_peek(const char *directory, uint64_t seq, struct checkpoint_header *header);

/* Which of the checkpoints in a directory to begin at. */
struct checkpoint_choice {
	const char *directory;
	uint64_t log_id;
	uint64_t
	    first_segment;   /* of the log: behind blocks before it nothing can be gone on with */
	struct moment at;    /* not later than that */
	bool oldest;	     /* the oldest that serves; else the newest */
	struct lanes *lanes; /* NULL: the caller's thread does all */
};

/* Loads the good one that was chosen into empty shards; tells of each that was passed over. Returns
 * whether there was one. */
bool checkpoint_restore(const struct checkpoint_choice *choice, struct shard *const *shards,
			uint32_t shard_count, struct checkpoint_header *header,
			void (*tell)(void *context, const char *text), void *context);

/* Opens a reader right behind the block that a checkpoint stands behind. Returns 0; or a negative
 * errno with a text in `error` (WAL_TEXT_BYTES) and no reader open: -EUCLEAN when the log does not hold
 * that block any more, though it was durable. */
int checkpoint_seek(const struct checkpoint_header *header, struct wal_disk *disk,
		    struct wal_reader *reader, char *error);

#endif
