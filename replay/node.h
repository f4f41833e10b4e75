/* SPDX-License-Identifier: Apache-2.0
 *
 * A node on its way through its log: the log's disk and reader, the shards, and the replay over them.
 * The replay tool's commands open one, with shards in plain memory; the engine's recovery adopts its
 * own disk and shards into one.
 */
#ifndef GIRO_REPLAY_NODE_H
#define GIRO_REPLAY_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "replay/checkpoint.h"
#include "replay/lanes.h"
#include "replay/meta.h"
#include "replay/moment.h"
#include "replay/replay.h"
#include "wal/disk.h"
#include "wal/reader.h"

#define NODE_TEXT_BYTES 768

/* How reading a log can end; the tool's exit status. */
enum node_end {
	NODE_SOUND = 0,	     /* to its end, or to where the caller stopped */
	NODE_USAGE = 1,	     /* not reading: the command line is wrong */
	NODE_TORN = 2,	     /* sound; a crash left a torn tail that the next start cuts */
	NODE_CORRUPT = 3,    /* the log lost something it had acknowledged */
	NODE_DIVERGED = 4,   /* a recomputed outcome or digest differs from the log's */
	NODE_UNREADABLE = 5, /* no log there, no permission, I/O error */
	NODE_NOT_FOUND = 6,  /* sound, but what was asked for is not in it */
};

/* Does not move while it has threads. */
struct node {
	struct wal_disk *disk;
	struct wal_reader reader;
	struct shard_limits limits;
	struct shard *shards[SHARDS_MAX];
	bool own_disk; /* else disk and shards are another's */
	void *memory;  /* of its own shards */
	size_t memory_bytes;
	struct lanes *lanes; /* that share out the shards; NULL: the caller's thread does all */
	struct lanes own_lanes;
	struct replay replay;
	bool peeked;
	struct wal_block block;	      /* when peeked */
	uint64_t next_seq;	      /* of the block that the shards need next */
	struct wal_block_header last; /* of the last block applied */
	bool begun;		      /* it came */
	uint64_t epoch;		      /* of the last block applied; zero before the first */
	uint64_t time_ms;	      /* of it */
	bool diverged;		      /* the end is NODE_DIVERGED, and `fault` tells where */
	struct replay_fault fault;
	char text[NODE_TEXT_BYTES]; /* why, when the end is not NODE_SOUND */
};

/* Where node_open() looks for archived segments: a folder; NULL: the log's own folder `archive`, if it is
 * there; "none": nowhere. For the whole process, before it opens a node. */
void node_use_archive(const char *directory);

/* Opens the log at `path` read-only, also beside a running engine, and makes empty shards as its
 * segments' headers say. An empty log has no shards. Returns NODE_SOUND, or NODE_CORRUPT or
 * NODE_UNREADABLE with the text filled in and nothing left open. Blocks. */
enum node_end node_open(struct node *node, const char *path);

/* The same over a disk that is open and empty shards as the limits say, which the caller keeps. The log's
 * segments are not asked for their limits. */
enum node_end node_adopt(struct node *node, struct wal_disk *disk,
			 const struct shard_limits *limits, struct shard *const *shards);

/* Shares out the shards among threads from now on, as many as lanes_wanted() says. */
void node_share(struct node *node, uint32_t threads);

/* Fills the shards from the newest good checkpoint in `directory` that is not later than `at`, and
 * goes on behind it. Without one all stays as it was. Tells of those that were passed over. Returns
 * NODE_SOUND, or how it failed with the text filled in. Only right after node_open(). */
enum node_end node_resume(struct node *node, const char *directory, const struct moment *at,
			  void (*tell)(void *context, const char *text), void *context);

/* The same with the oldest good checkpoint from which the log can be gone on with: for one whose beginning
 * was trimmed. */
enum node_end node_resume_oldest(struct node *node, const char *directory,
				 void (*tell)(void *context, const char *text), void *context);

/* Does the log hold its first block? Only right after node_open(). */
bool node_is_whole(const struct node *node);

/* Goes on at the last segment that begins at or before `from`, found by the segments' headers. What
 * follows can be read, not applied. Only right after node_open(). */
enum node_end node_seek(struct node *node, const struct moment *from);

/* Reads the next block without applying it. Returns true with `*block` valid until node_apply() or
 * node_skip(); false at the end, with `*end` how it ended. */
bool node_peek(struct node *node, struct wal_block *block, enum node_end *end);

/* Is this block, peeked at, one that the shards can begin or go on with? NODE_SOUND, or why not: a log
 * whose beginning is missing gives no state, not even of moments before its first block. */
enum node_end node_check_beginning(struct node *node, const struct wal_block_header *block);

/* May this block be applied next? NODE_SOUND, and the one behind it is expected from now on; or why
 * not. For who applies blocks without node_apply(). */
enum node_end node_check_next(struct node *node, const struct wal_block_header *block);

/* Applies the block peeked at; the first must be the log's first, or the one behind a checkpoint. With `check_digests` those of OPEN
 * and CLOSE are compared. Returns false with `*end` and the text when log and shards disagree. */
bool node_apply(struct node *node, bool check_digests, const struct wal_block *block,
		enum node_end *end);

/* Does the block peeked at begin a time with larger tables than the shards here have? It may, after a
 * start of the engine with larger limits, when the log was opened before that. Then it must be opened
 * again to go on: without this block's tables the shards would find other outcomes. */
bool node_outgrown(const struct node *node, const struct wal_block_header *block);

/* Passes over the block peeked at. The shards then no longer follow the log. */
void node_skip(struct node *node);

/* The account as of the last block applied, in the shard that its slot belongs to; NULL: none. */
const struct account *node_account(const struct node *node, struct id128 id);

/* An adopted disk stays open. */
void node_close(struct node *node);

#endif
