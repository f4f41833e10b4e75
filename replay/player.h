/* SPDX-License-Identifier: Apache-2.0
 *
 * Plays a node's log with all shards at once: one thread reads and checks blocks, the node's lanes each
 * apply the sections of their own shards. Everybody who brings shards to where a log ends does it so, the
 * engine at its start too. A node without lanes is played by the caller's thread alone.
 *
 *   this thread    | read batch 1 | read batch 2       | judge 1 | read batch 3 ...
 *   lane 0         |              | shards 0, 2 of 1   |         | ... of batch 2
 *   lane 1         |              | shards 1, 3 of 1   |         |
 *
 * Sections of different shards do not depend on each other, so the only meeting is at the end of a
 * batch. A batch ends at its size, behind every OPEN and CLOSE, and where the caller asks for it: all
 * shards then stand behind the same block.
 */
#ifndef GIRO_REPLAY_PLAYER_H
#define GIRO_REPLAY_PLAYER_H

#include <stdbool.h>
#include <stdint.h>

#include "replay/node.h"

/* A batch grows until it is as large, or one block larger. */
#define PLAYER_BATCH_BYTES (4u << 20)

struct player_options {
	/* Prove all that can be proved on the way: digests of OPEN and CLOSE, conservation at every
	 * epoch, floors after every record, and the whole audit behind every OPEN and CLOSE. */
	bool prove;

	/* All may be NULL. */
	void *context;
	bool (*ready)(void *context, uint64_t seq); /* false: stop, without looking at that block */
	bool (*wanted)(void *context,
		       const struct wal_block_header *block); /* false: stop before it */
	bool (*cut)(void *context, const struct wal_block_header *block); /* pause behind it */
	/* All shards stand behind a block that was cut. NODE_SOUND: go on; else the reason is in
	 * node->text. */
	enum node_end (*pause)(void *context, struct node *node,
			       const struct wal_block_header *block);
	void (*progress)(void *context, const struct node *node); /* a batch was applied */
};

struct player_proof {
	uint64_t epochs;  /* at which conservation was proved */
	uint64_t audits;  /* of all accounts and rows */
	uint64_t threads; /* lanes there were */
};

/* Plays until the log ends or a block is not wanted. Returns how it ended, with node->text and
 * node->fault filled unless NODE_SOUND; counts are in node->replay. `proof` may be NULL. */
enum node_end player_run(struct node *node, const struct player_options *options,
			 struct player_proof *proof);

#endif
