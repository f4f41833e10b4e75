/* SPDX-License-Identifier: Apache-2.0
 *
 * The clients of a simulated node, all in one: they ask, lose patience, ask again, change their
 * mind about what an id meant, and remember every answer they were given.
 *
 * An operation is one record. Each time it is sent it goes into a datagram of its own making, alone
 * or with others; a datagram may itself arrive several times.
 */
#ifndef GIRO_TESTS_SIM_SIM_CLIENT_H
#define GIRO_TESTS_SIM_SIM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/transfer.h"
#include "net/wire.h"
#include "tests/sim/shape.h"

struct sim;

#define CLIENT_OPERATIONS_MAX 1100
#define CLIENT_DATAGRAMS_MAX  65536
#define CLIENT_ACCOUNTS_MAX   64

enum client_state {
	CLIENT_NEW,
	CLIENT_WAITING,
	CLIENT_ANSWERED, /* finally */
	CLIENT_GIVEN_UP, /* nobody waits for the answer */
};

struct client_operation {
	union {
		uint8_t content[64];
		struct transfer transfer;
		struct account_operation operation;
		struct wire_lookup_account lookup_account;
		struct wire_lookup_transfer lookup_transfer;
	};
	uint8_t kind; /* enum wire_kind */
	enum client_state state;
	uint16_t status; /* final, when answered */
	bool expired;	 /* ID_EXPIRED was answered at some time */
	uint32_t copies; /* sent so far */
	uint64_t retry_us;
};

/* A datagram that was sent: what may come back for it. */
struct client_datagram {
	uint8_t kind;
	uint8_t count;
	bool malformed; /* refused as a whole */
	uint16_t operations[SIM_RECORDS_MAX];
	uint32_t must_show[SIM_RECORDS_MAX]; /* a read: versions acknowledged before it was sent */
	bool was_final[SIM_RECORDS_MAX];     /* the outcome was known before it was sent */
};

struct client_account {
	struct id128 id;
	uint32_t ledger;
	int64_t floor;
};

struct sim_client {
	struct sim *sim;
	struct client_account accounts[CLIENT_ACCOUNTS_MAX];
	struct client_operation operations[CLIENT_OPERATIONS_MAX];
	uint32_t operation_count;
	uint32_t waiting;
	uint64_t ids; /* given so far */
	struct client_datagram datagrams[CLIENT_DATAGRAMS_MAX];
	uint32_t datagram_count;
};

void client_init(struct sim_client *client, struct sim *sim);

/* Does one thing: asks something new, asks again, or sends what makes no sense. While settling, asks
 * again only. */
void client_act(struct sim_client *client);

/* A datagram arrives from the node. `damaged`: its bits were flipped on the way. */
void client_receive(struct sim_client *client, uint8_t *bytes, size_t size, bool damaged);

/* Was this record ever sent, just so? */
bool client_has_sent(const struct sim_client *client, const void *content, bool is_transfer);

/* Nobody waits for an answer any more. */
bool client_is_done(const struct sim_client *client);

/* Where a record of a kind has the account that decides its shard. */
size_t client_account_offset(unsigned kind);

/* A new operation of the client's choice; sim_workload.c. */
struct client_operation client_next_operation(struct sim_client *client);

/* The create operation of account `index`. */
struct client_operation client_create_operation(struct sim_client *client, uint32_t index);

/* The clients' clock, Unix milliseconds. */
uint64_t client_now_ms(const struct sim_client *client);

#endif
