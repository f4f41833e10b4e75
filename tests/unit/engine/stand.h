/* SPDX-License-Identifier: Apache-2.0
 *
 * Workers on a test stand: no port, no rings, no log. The test gives them datagrams, moves the
 * epoch clock as a log writer would, and carries the messages between their shards.
 *
 *   stand_send() --> worker --> wire --> stand_deliver() --> worker
 *                      |
 *                      +--> answered[], in the order in which replies left
 */
#ifndef GIRO_TESTS_ENGINE_STAND_H
#define GIRO_TESTS_ENGINE_STAND_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/worker.h"
#include "tests/unit/engine/packet.h"

#define STAND_WORKERS_MAX 4
#define STAND_SHARDS_MAX  8
#define STAND_PACKETS_MAX 512
#define STAND_WIRE_MAX	  1024

/* The epoch that the log stands in at the start; the first open one is the next. */
#define STAND_COMMITTED UINT64_C(10)
#define STAND_START_MS	UINT64_C(1700000000123)

#define STAND_LEDGER   1
#define STAND_UDP_PORT 7400
#define STAND_LOG_ID   UINT64_C(0x0123456789abcdef)

struct stand_options {
	uint32_t shards;
	uint32_t workers;
	uint32_t slots;		 /* of epochs; 0: 4 */
	uint32_t requests;	 /* a worker; 0: 64 */
	uint32_t shards_max;	 /* of a worker; 0: those it begins with */
	uint32_t rows;		 /* 0: 16 */
	uint64_t ids_per_second; /* a shard; 0: 1000 */
	uint64_t section_bytes;	 /* 0: 64 KiB */
	uint64_t try_timeout_ms; /* 0: never */
	uint16_t datagram_max;	 /* 0: as large as the protocol allows */
};

struct stand {
	struct shard_limits limits;
	struct epoch_clock clock;
	struct slot_map map;
	uint32_t workers;
	struct worker *worker[STAND_WORKERS_MAX];
	struct shard *shard[STAND_SHARDS_MAX];
	void *clock_memory;

	struct shard_message wire[STAND_WIRE_MAX]; /* oldest first */
	uint32_t wire_count;
	struct packet *answered[STAND_PACKETS_MAX];
	uint32_t answered_count;
	struct packet *packets[STAND_PACKETS_MAX];
	uint32_t packet_count;

	uint64_t now_ms;
	uint64_t next_id;
};

struct shard_limits stand_limits(const struct stand_options *options);

struct stand *stand_new(const struct stand_options *options);
void stand_free(struct stand *stand);

/* A transfer or operation id of its own, of the stand's time. */
struct id128 stand_id(struct stand *stand);

/* Datagrams; freed with the stand. */
struct packet *stand_packet(struct stand *stand, unsigned kind, const void *records,
			    unsigned count);
struct packet *stand_pay(struct stand *stand, struct id128 debit, struct id128 credit,
			 uint64_t amount);
struct packet *stand_look(struct stand *stand, struct id128 account);

/* Hands a datagram to worker `at`, or as that routes it to another, and lets it be applied. */
enum worker_route stand_send(struct stand *stand, uint32_t at, struct packet *packet);

/* Sends a datagram of one transfer; answers come later. */
struct packet *stand_send_pay(struct stand *stand, struct id128 debit, struct id128 credit,
			      uint64_t amount);

/* Opens an issuer (account 0) and `wallets` wallets (from 1 on) on every shard, each wallet with
 * 1000, commits all of it and clears answered[]. */
void stand_fill(struct stand *stand, uint32_t wallets);

void stand_open(struct stand *stand, uint64_t ms);   /* the next epoch, `ms` later */
void stand_turn(struct stand *stand);		     /* every worker once */
void stand_commit(struct stand *stand, uint64_t up); /* and every worker once */
void stand_deliver(struct stand *stand);	     /* all messages, until there are none */
void stand_deliver_one(struct stand *stand, uint32_t at);

#endif
