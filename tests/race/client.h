/* SPDX-License-Identifier: Apache-2.0
 *
 * The client of one worker's thread: makes datagrams of transfers between accounts that are on every
 * shard, and counts what it is told. In the worker's thread, as if it came from the worker's queue
 * of the port; a datagram may be for another worker's shard and is then handed over.
 */
#ifndef GIRO_TESTS_RACE_CLIENT_H
#define GIRO_TESTS_RACE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/transfer.h"
#include "net/wire.h"

#define CLIENT_WALLETS	 64
#define CLIENT_RECORDS	 22
#define CLIENT_IN_FLIGHT 48
#define CLIENT_LEDGER	 1

/* The accounts of all clients. Written before the threads start. */
struct client_accounts {
	uint32_t shards;
	struct id128 id[SHARDS_MAX][1 + CLIENT_WALLETS]; /* by shard; the first is the issuer */
};

/* A datagram and then its reply, in the same bytes, like an mbuf: it belongs to one thread at a
 * time, and goes from one to another through a ring. */
struct packet {
	uint8_t payload[32 + CLIENT_RECORDS * WIRE_RECORD_BYTES];
	size_t size;
	size_t reply_size;
	uint32_t client; /* whose it is in the end */
	uint32_t shard;	 /* when handed over */
	bool is_reply;
	bool opens; /* creates accounts */
};

struct client {
	uint32_t index;
	const struct client_accounts *accounts;
	uint64_t random;
	uint64_t next_id;
	uint32_t map_version; /* the newest seen in a reply */
	uint32_t opened;      /* datagrams that created accounts, answered */
	uint64_t done;	      /* transfers told OK */
	uint64_t refused;     /* for want of funds */
	uint64_t transient;   /* BUSY, PENDING */
	struct packet packets[CLIENT_IN_FLIGHT];
	struct packet *free[CLIENT_IN_FLIGHT];
	uint32_t free_count;
};

/* Finds the accounts: as many as needed on each of `shards` shards placed by the first map. */
void client_accounts_find(struct client_accounts *accounts, uint32_t shards);

void client_init(struct client *client, uint32_t index, const struct client_accounts *accounts);

/* Gives up what is not answered: the engine that had it is gone. */
void client_recall(struct client *client);

/* A datagram that creates accounts `first`.. of a shard, as many as fit; `*next` is the first that
 * did not. */
struct packet *client_open(struct client *client, uint32_t shard, uint64_t now_ms, uint32_t first,
			   uint32_t *next);

/* A datagram of transfers out of `shard`, a third of them to any shard. */
struct packet *client_pay(struct client *client, uint32_t shard, uint64_t now_ms);

/* Takes a reply. `committed`: the highest durable epoch; nothing is told that is above it. */
void client_take(struct client *client, struct packet *packet, uint64_t committed);

uint32_t client_random(struct client *client, uint32_t limit);

#endif
