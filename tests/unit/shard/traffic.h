/* SPDX-License-Identifier: Apache-2.0
 *
 * Random traffic on a network of shards, the same for the same seed: clients that send, repeat and
 * misuse ids; operators who freeze and close accounts; links that lose, copy, delay and reorder;
 * shards that lag behind; crashes that take back everything not committed.
 *
 * What a client was told (a reply whose epoch is committed) is kept, and must stay true.
 */
#ifndef GIRO_TESTS_SHARD_TRAFFIC_H
#define GIRO_TESTS_SHARD_TRAFFIC_H

#include "tests/unit/shard/network.h"

#define TRAFFIC_TRANSFERS_MAX 1000

/* Accounts 1..6 of each shard: 1 an issuer, 2 with an overdraft, 3 and 4 wallets, 5 a wallet of
 * another ledger, 6 not there at first. */
#define TRAFFIC_ACCOUNTS 6
#define TRAFFIC_LEDGER	 1

struct traffic_transfer {
	struct transfer transfer;
	int outcome; /* final status that the client was told, or NO_REPLY */
};

struct traffic {
	struct network *network;
	uint64_t random;
	uint64_t committed;
	bool crashes;
	uint32_t count;
	struct traffic_transfer transfers[TRAFFIC_TRANSFERS_MAX];
};

static inline uint32_t random_below(uint64_t *random, uint32_t limit)
{
	*random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((*random >> 33) % limit);
}

/* Limits under which ids do not expire during a run, and rows are scarce. */
struct shard_limits traffic_limits(uint32_t shards);

struct traffic *traffic_new(const struct shard_limits *limits, uint64_t seed);
void traffic_free(struct traffic *traffic);

/* A transfer of random content and an id of its own. */
struct transfer traffic_transfer(struct traffic *traffic);

/* A random operation on a random account; returns its status. */
int traffic_operation(struct traffic *traffic, struct account_operation *operation);

/* Does one random thing. */
void traffic_step(struct traffic *traffic);

/* Lets everything under way come to its end, clients asking until they know. */
void traffic_finish(struct traffic *traffic);

#endif
