/* SPDX-License-Identifier: Apache-2.0
 *
 * What clients ask: mostly transfers among few accounts, and a little of everything that can be
 * wrong with them.
 */
#include <string.h>

#include "tests/sim/sim.h"

static struct rng *dice(struct sim_client *client)
{
	return &client->sim->rng;
}

static struct id128 new_id(struct sim_client *client, uint64_t time_ms)
{
	return (struct id128){
	    .lo = ++client->ids,
	    .hi = time_ms << 16 | 0x7000 | rng_below(dice(client), 0x1000),
	};
}

static int64_t around(struct rng *rng, int64_t spread)
{
	return (int64_t)rng_below(rng, (uint64_t)spread * 2 + 1) - spread;
}

/* An id of now; sometimes one near an end of the window, or far out. */
static struct id128 choose_id(struct sim_client *client)
{
	struct sim *sim = client->sim;
	struct rng *rng = dice(client);
	const struct shard_limits *limits = &sim->shape.node.limits;
	uint64_t now_ms = client_now_ms(client);
	uint64_t kind = rng_below(rng, 100);

	if (kind < 4) {
		reach(sim, REACH_ID_OLD);
		return new_id(client, now_ms - limits->window_ms + (uint64_t)around(rng, 60));
	}
	if (kind < 8) {
		reach(sim, REACH_ID_AHEAD);
		return new_id(client, now_ms + limits->ahead_ms + (uint64_t)around(rng, 60));
	}
	if (kind == 8)
		return new_id(client, rng_below(rng, 2) == 0 ? rng_below(rng, 300) : now_ms / 2);
	return new_id(client, now_ms);
}

static struct client_account *any_account(struct sim_client *client)
{
	return &client->accounts[rng_below(dice(client), client->sim->shape.accounts)];
}

/* The first two accounts of each ledger are its issuers: two can overflow a balance. */
static struct client_account *issuer(struct sim_client *client)
{
	return &client->accounts[rng_below(dice(client), client->sim->shape.ledgers * 2)];
}

static uint64_t choose_amount(struct rng *rng, bool from_issuer)
{
	uint64_t kind = rng_below(rng, 100);

	if (kind < (from_issuer ? 16 : 1))
		return (UINT64_C(1) << 62) + rng_below(rng, UINT64_C(1) << 62);
	if (kind == 99)
		return rng_next(rng) | 1;
	return rng_range(rng, 1, from_issuer ? 500 : 200);
}

/* Huge amounts go from both issuers to one account of the ledger, and back: its balance may overflow
 * again and again. */
static void move_fortune(struct sim_client *client, struct transfer *transfer)
{
	uint32_t rich = client->sim->shape.ledgers * 2 + transfer->ledger - 1;

	transfer->credit = client->accounts[rich].id;
	if (!rng_chance(dice(client), 400))
		return;
	transfer->credit = transfer->debit;
	transfer->debit = client->accounts[rich].id;
}

static struct transfer choose_transfer(struct sim_client *client)
{
	struct rng *rng = dice(client);
	bool from_issuer = rng_chance(rng, 250);
	const struct client_account *debit = from_issuer ? issuer(client) : any_account(client);
	const struct client_account *credit = any_account(client);

	for (int i = 0; i < 4 && (credit == debit || credit->ledger != debit->ledger); i++)
		credit = any_account(client);
	struct transfer transfer = {
	    .id = choose_id(client),
	    .debit = debit->id,
	    .credit = credit->id,
	    .amount = choose_amount(rng, from_issuer),
	    .ledger = debit->ledger,
	    .code = (uint16_t)rng_below(rng, 3),
	};
	if (transfer.amount >> 62 != 0 && from_issuer)
		move_fortune(client, &transfer);
	if (rng_chance(rng, 20))
		transfer.debit = (struct id128){.lo = rng_range(rng, 1, 8), .hi = 0xdead};
	if (rng_chance(rng, 20))
		transfer.credit = (struct id128){.lo = rng_range(rng, 1, 8), .hi = 0xdead};
	if (rng_chance(rng, 15))
		transfer.ledger = 3;
	switch (rng_below(rng, 200)) {
	case 0:
		transfer.amount = 0;
		break;
	case 1:
		transfer.ledger = 0;
		break;
	case 2:
		transfer.flags = 1;
		break;
	case 3:
		transfer.credit = transfer.debit;
		break;
	case 4:
		transfer.credit = (struct id128){0};
		break;
	default:
		break;
	}
	return transfer;
}

static struct account_operation choose_operation(struct sim_client *client)
{
	struct rng *rng = dice(client);
	const struct client_account *account = any_account(client);
	uint64_t kind = rng_below(rng, 100);
	struct account_operation operation = {
	    .id = choose_id(client),
	    .account = account->id,
	    .action = kind < 35	  ? CREATE_ACCOUNT
		      : kind < 50 ? FREEZE_ACCOUNT
		      : kind < 88 ? UNFREEZE_ACCOUNT
				  : CLOSE_ACCOUNT,
	};

	if (operation.action == CREATE_ACCOUNT) {
		operation.ledger = account->ledger;
		operation.floor = account->floor;
		if (rng_chance(rng, 100))
			operation.floor = -7777;
	}
	if (rng_chance(rng, 30))
		operation.account = (struct id128){.lo = rng_range(rng, 1, 8), .hi = 0xdead};
	switch (rng_below(rng, 80)) {
	case 0:
		operation.reserved[1] = 1;
		break;
	case 1:
		operation.action = 9;
		operation.ledger = 0;
		operation.floor = 0;
		break;
	case 2:
		operation.account = (struct id128){0};
		break;
	case 3:
		operation.action = CREATE_ACCOUNT;
		operation.ledger = 0;
		operation.floor = 0;
		break;
	case 4:
		operation.action = CREATE_ACCOUNT;
		operation.ledger = 1;
		operation.floor = 5;
		break;
	default:
		break;
	}
	/* A made-up account must stay one: only the known ones may come into being. */
	if (operation.action == CREATE_ACCOUNT && operation.account.hi == 0xdead)
		operation.action = FREEZE_ACCOUNT, operation.ledger = 0, operation.floor = 0;
	return operation;
}

/* Any operation sent so far that has an id. */
static const struct client_operation *any_with_id(struct sim_client *client)
{
	for (int tries = 0; tries < 8 && client->operation_count > 0; tries++) {
		const struct client_operation *operation =
		    &client->operations[rng_below(dice(client), client->operation_count)];
		if (operation->kind == WIRE_TRANSFER || operation->kind == WIRE_ACCOUNT)
			return operation;
	}
	return NULL;
}

/* The id of an earlier operation, with other content. */
static bool reuse_id(struct sim_client *client, struct client_operation *operation)
{
	const struct client_operation *earlier = any_with_id(client);

	if (earlier == NULL)
		return false;
	*operation = (struct client_operation){.kind = earlier->kind};
	memcpy(operation->content, earlier->content, sizeof(operation->content));
	if (earlier->kind == WIRE_ACCOUNT) {
		operation->kind = WIRE_TRANSFER;
		operation->transfer = choose_transfer(client);
		operation->transfer.id = earlier->operation.id;
		operation->transfer.debit = earlier->operation.account;
	} else if (rng_chance(dice(client), 250)) {
		reach(client->sim, REACH_ID_OTHER_SHARD);
		operation->transfer.debit = any_account(client)->id;
	} else if (rng_chance(dice(client), 500)) {
		operation->transfer.amount++;
	} else {
		operation->transfer.code ^= 1;
	}
	reach(client->sim, REACH_ID_OTHER_CONTENT);
	return true;
}

static bool look_up_transfer(struct sim_client *client, struct client_operation *operation)
{
	const struct client_operation *earlier = any_with_id(client);

	if (earlier == NULL)
		return false;
	*operation = (struct client_operation){.kind = WIRE_LOOKUP_TRANSFER};
	operation->lookup_transfer = (struct wire_lookup_transfer){
	    .id = earlier->transfer.id,
	    .debit = earlier->kind == WIRE_TRANSFER ? earlier->transfer.debit
						    : earlier->operation.account,
	};
	if (rng_chance(dice(client), 60))
		operation->lookup_transfer.id = choose_id(client);
	if (rng_chance(dice(client), 20))
		operation->lookup_transfer.reserved[3] = 1;
	return true;
}

struct client_operation client_next_operation(struct sim_client *client)
{
	struct rng *rng = dice(client);
	uint64_t kind = rng_below(rng, 100);
	struct client_operation operation = {.kind = WIRE_TRANSFER};

	if (kind < 6 && reuse_id(client, &operation))
		return operation;
	if (kind < 14 && look_up_transfer(client, &operation))
		return operation;
	if (kind < 28) {
		operation.kind = WIRE_LOOKUP_ACCOUNT;
		operation.lookup_account =
		    (struct wire_lookup_account){.account = any_account(client)->id};
		if (rng_chance(rng, 10))
			operation.lookup_account.reserved[0] = 1;
		else if (rng_chance(rng, 10))
			operation.lookup_account.account = (struct id128){0};
	} else if (kind < 42) {
		operation.kind = WIRE_ACCOUNT;
		operation.operation = choose_operation(client);
	} else {
		operation.transfer = choose_transfer(client);
	}
	return operation;
}

struct client_operation client_create_operation(struct sim_client *client, uint32_t index)
{
	const struct client_account *account = &client->accounts[index];

	return (struct client_operation){
	    .kind = WIRE_ACCOUNT,
	    .operation =
		{
		    .id = new_id(client, client_now_ms(client)),
		    .account = account->id,
		    .ledger = account->ledger,
		    .floor = account->floor,
		    .action = CREATE_ACCOUNT,
		},
	};
}
