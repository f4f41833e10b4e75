/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages between the workers of a node, in one of two modes.
 *
 * Lossless: rings as inside a node, FIFO, of exactly the size that the engine gives them. A full
 * ring ends the run: by construction none can be.
 *
 * Lossy: as between nodes. Messages are lost, doubled, delayed and overtake each other; rows are
 * sent again from time to time.
 *
 * A crash of the node takes all of them along: after it the same epoch numbers come again.
 */
#ifndef GIRO_TESTS_SIM_SIM_LINKS_H
#define GIRO_TESTS_SIM_SIM_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "shard/message.h"
#include "tests/sim/shape.h"

struct sim;

#define LINK_BAG_MAX 4096

struct sim_ring {
	struct shard_message *messages;
	uint32_t size;
	uint32_t first;
	uint32_t count;
};

struct sim_flying {
	struct shard_message message;
	uint64_t due_us;
	uint64_t number;
};

struct sim_links {
	struct sim *sim;
	struct sim_ring rings[SIM_WORKERS_MAX][SIM_WORKERS_MAX]; /* [from][to] */
	struct sim_flying *bag[SIM_WORKERS_MAX];		 /* to */
	uint32_t bag_count[SIM_WORKERS_MAX];
	uint64_t sent;
	uint64_t delivered;
};

/* For a node that starts. */
void links_open(struct sim_links *links, struct sim *sim);

/* No messages but those of finished rows are under way, and of these none in a ring. */
bool links_are_quiet(const struct sim_links *links);

/* Shards have other workers: rings of other sizes, and what flies goes where its shard is. Returns how
 * many messages fly. */
uint64_t links_follow(struct sim_links *links);

/* All that is under way is gone. Returns how many messages. */
uint64_t links_close(struct sim_links *links);

void links_send(struct sim_links *links, uint32_t from, uint32_t to,
		const struct shard_message *message);

/* Takes the next message for worker `to` from worker `from` (lossy: from anyone) that may be taken
 * now. */
bool links_take(struct sim_links *links, uint32_t from, uint32_t to, struct shard_message *message);

#endif
