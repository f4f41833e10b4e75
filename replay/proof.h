/* SPDX-License-Identifier: Apache-2.0
 *
 * All that can be proved of a log in one going through it: what `verify` reports, `seal-check` sums up
 * and `trim` relies on.
 *
 *   base ----------- blocks ------------ checkpoint ------ summary's block ------ end
 *   first byte, or   every outcome,      equal to the      equal to the           audit
 *   a checkpoint     digest, ledger,     replay?           summary?
 *   on trust         floor
 *
 * One going through at a time; shards are played by threads of its own. Allocates and blocks.
 */
#ifndef GIRO_REPLAY_PROOF_H
#define GIRO_REPLAY_PROOF_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "replay/audit.h"
#include "replay/checkpoint.h"
#include "replay/durable.h"
#include "replay/node.h"
#include "replay/player.h"
#include "replay/progress.h"
#include "replay/summary.h"

struct proof_request {
	const char *log;
	const char *checkpoints; /* directory */
	struct moment from; /* begin at a checkpoint before it; MOMENT_FIRST: at the first byte */
	struct moment to;
	uint64_t threads;
	bool durable;		       /* no further than what is known to be durable */
	bool hash;		       /* SHA-256 of all blocks */
	const struct summary *against; /* to be compared with, or NULL */
};

/* A checkpoint, by its block. */
struct proof_point {
	uint64_t seq;
	uint64_t epoch;
	uint64_t time_ms;
	uint64_t segment;
};

struct proof {
	const struct proof_request *request;
	struct node *node;
	struct player_proof played;
	struct audit audit; /* at the end, if `audited` */
	bool audited;
	double seconds;
	bool trusted; /* began at `base`; what is before it was not looked at */
	struct proof_point base;
	struct proof_point equal[CHECKPOINTS_MAX]; /* what the log gives, oldest first */
	uint32_t equal_count;
	uint32_t damaged; /* checkpoints that the engine passes over */
	bool compared;	  /* the summary's block came */
	uint32_t differences;
	bool hashed; /* sha256 is of all blocks, or of those up to the summary's */
	uint8_t sha256[SUMMARY_SHA256];

	/* While it runs. */
	struct progress progress;
	struct durable durable;
	EVP_MD_CTX *hashing;
	uint64_t seqs[CHECKPOINTS_MAX]; /* blocks that checkpoints stand behind, newest first */
	uint32_t seq_count;
};

/* Opens the log and proves it. Returns how that ended, with the reason in node->text unless it is
 * NODE_SOUND. The node is open, and proof_close() is due, if `*opened`. */
enum node_end proof_run(struct proof *proof, struct node *node, const struct proof_request *request,
			bool *opened);

/* Gives back the proof's memory and closes its node. */
void proof_close(struct proof *proof);

#endif
