/* SPDX-License-Identifier: Apache-2.0
 *
 * What a running engine says of its own state: the digest of each shard at one epoch, durable by the
 * time it answers, and where the log stood then. The engine's workers stand still while they walk
 * through their memory for it.
 *
 * One thread; blocks until the engine has answered, or LIVE_ANSWER_MS.
 */
#ifndef GIRO_REPLAY_LIVE_H
#define GIRO_REPLAY_LIVE_H

#include <stdint.h>

#include "shard/shard.h"
#include "wal/format.h"

/* More than the engine takes before it gives up. */
#define LIVE_ANSWER_MS	45000
#define LIVE_TEXT_BYTES 768

struct live {
	uint64_t pid;
	uint64_t log_id;
	uint64_t opened_epoch; /* of the OPEN block of this start of the engine */
	uint64_t epoch;	       /* of the digests */
	uint64_t time_ms;      /* of that epoch */
	uint64_t blocks;       /* 0 .. blocks - 1 hold everything up to the epoch, and no more */
	struct wal_hash chain; /* of block blocks - 1 */
	double walk_s;	       /* that a worker stood still, at most */
	uint32_t shards;
	struct shard_digest digest[SHARDS_MAX];
};

/* Asks the engine with the EAL --file-prefix `engine`, or at the socket of that path if there is a
 * slash in it. Returns 0, or -1 with lines for people in `error`. */
int live_ask(struct live *live, const char *engine, char error[LIVE_TEXT_BYTES]);

#endif
