/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/shard/traffic.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* Marks the token of a transfer sent under the id of another one. */
#define TOKEN_MISUSED (UINT64_C(1) << 32)

struct shard_limits traffic_limits(uint32_t shards)
{
	struct shard_limits limits = network_limits(shards);

	limits.rows = 4;
	limits.window_ms = 600000;
	limits.ahead_ms = 500;
	limits.try_timeout_ms = 150;
	return limits;
}

struct traffic *traffic_new(const struct shard_limits *limits, uint64_t seed)
{
	struct traffic *traffic = calloc(1, sizeof(*traffic));
	static const int64_t floors[TRAFFIC_ACCOUNTS] = {FLOOR_ISSUER, -500, 0, 0, 0};

	cr_assert_not_null(traffic);
	traffic->network = network_new(limits);
	traffic->random = seed * UINT64_C(0x9e3779b97f4a7c15);
	for (uint32_t shard = 0; shard < limits->shards; shard++)
		for (uint32_t i = 1; i < TRAFFIC_ACCOUNTS; i++)
			network_account(traffic->network, CREATE_ACCOUNT, account_id(shard, i),
					i == 5 ? TRAFFIC_LEDGER + 1 : TRAFFIC_LEDGER,
					floors[i - 1]);
	/* The accounts are durable before anything happens. */
	network_tick(traffic->network, 1);
	traffic->committed = 1;
	traffic->network->reply_count = 0;
	return traffic;
}

void traffic_free(struct traffic *traffic)
{
	network_free(traffic->network);
	free(traffic);
}

static uint32_t below(struct traffic *traffic, uint32_t limit)
{
	return random_below(&traffic->random, limit);
}

static struct id128 random_account(struct traffic *traffic)
{
	uint32_t shard = below(traffic, traffic->network->limits.shards);

	/* Mostly the first four. */
	return account_id(shard, 1 + below(traffic, below(traffic, 4) == 0 ? TRAFFIC_ACCOUNTS : 4));
}

struct transfer traffic_transfer(struct traffic *traffic)
{
	uint64_t now_ms = network_now(traffic->network);
	struct transfer transfer = {
	    .debit = random_account(traffic),
	    .credit = random_account(traffic),
	    .amount = 1 + below(traffic, 400),
	    .ledger = TRAFFIC_LEDGER,
	    .code = (uint16_t)below(traffic, 65536),
	};

	switch (below(traffic, 40)) {
	case 0: /* expired when it is born, also by the clock of a shard that lags behind */
		now_ms -= traffic->network->limits.window_ms + 60000;
		break;
	case 1: /* ahead of the shard's clock; in order once that has caught up */
		now_ms += traffic->network->limits.ahead_ms + 1 + below(traffic, 100);
		break;
	case 2:
		transfer.ledger++;
		break;
	case 3:
		transfer.debit.lo = 1;
		transfer.amount = INT64_MAX / 2;
		break;
	default:
		break;
	}
	while (id_equal(transfer.debit, transfer.credit))
		transfer.credit = random_account(traffic);
	transfer.id = time_id(now_ms, ++traffic->network->next_id);
	return transfer;
}

int traffic_operation(struct traffic *traffic, struct account_operation *operation)
{
	/* As many are thawed as frozen; few are closed; the missing ones are made late. */
	static const uint16_t actions[] = {
	    FREEZE_ACCOUNT,   FREEZE_ACCOUNT,	UNFREEZE_ACCOUNT, UNFREEZE_ACCOUNT,
	    UNFREEZE_ACCOUNT, UNFREEZE_ACCOUNT, CLOSE_ACCOUNT,	  CREATE_ACCOUNT,
	};
	uint16_t action = actions[below(traffic, sizeof(actions) / sizeof(actions[0]))];

	*operation = (struct account_operation){
	    .id = time_id(network_now(traffic->network), ++traffic->network->next_id),
	    .account = random_account(traffic),
	    .action = action,
	    .ledger = action == CREATE_ACCOUNT ? TRAFFIC_LEDGER : 0,
	};
	return network_operation(traffic->network, operation);
}

static bool has_expired(const struct traffic *traffic, uint64_t token)
{
	struct id128 id = traffic->transfers[(uint32_t)token - 1].transfer.id;

	return id_time_ms(id) + traffic->network->limits.window_ms < network_now(traffic->network);
}

static void tell_client(struct traffic *traffic, const struct shard_reply *reply)
{
	if (reply->token == OPERATION_TOKEN)
		return;
	/* What was known may be forgotten, but not too soon. */
	if (reply->status == STATUS_ID_EXPIRED && has_expired(traffic, reply->token))
		return;
	if (reply->token & TOKEN_MISUSED) {
		cr_assert_eq(reply->status, STATUS_ID_REUSED, "%s", status_name(reply->status));
		return;
	}
	if (status_is_transient(reply->status))
		return;
	struct traffic_transfer *asked = &traffic->transfers[reply->token - 1];
	cr_assert(asked->outcome == NO_REPLY || asked->outcome == (int)reply->status,
		  "transfer %llu was %s and is %s now", (unsigned long long)reply->token,
		  status_name((unsigned)asked->outcome), status_name(reply->status));
	asked->outcome = (int)reply->status;
}

/* Tells clients what is durable and keeps the rest. */
static void release_replies(struct traffic *traffic)
{
	struct network *network = traffic->network;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < network->reply_count; i++) {
		if (network->replies[i].epoch <= traffic->committed)
			tell_client(traffic, &network->replies[i]);
		else
			network->replies[kept++] = network->replies[i];
	}
	network->reply_count = kept;
}

static void commit(struct traffic *traffic)
{
	uint64_t sealed = UINT64_MAX;

	for (uint32_t i = 0; i < traffic->network->limits.shards; i++)
		if (traffic->network->shard[i]->epoch - 1 < sealed)
			sealed = traffic->network->shard[i]->epoch - 1;
	traffic->committed = sealed;
	release_replies(traffic);
}

static void crash(struct traffic *traffic)
{
	commit(traffic);
	traffic->network->reply_count = 0;
	network_crash(traffic->network, traffic->committed);
	network_tick(traffic->network, 1);
	network_resend(traffic->network);
}

static void send_new(struct traffic *traffic)
{
	if (traffic->count == TRAFFIC_TRANSFERS_MAX)
		return;
	struct traffic_transfer *fresh = &traffic->transfers[traffic->count++];
	fresh->transfer = traffic_transfer(traffic);
	fresh->outcome = NO_REPLY;
	network_transfer(traffic->network, &fresh->transfer, traffic->count);
}

static void send_again(struct traffic *traffic)
{
	if (traffic->count == 0)
		return;
	uint32_t index = below(traffic, traffic->count);
	network_transfer(traffic->network, &traffic->transfers[index].transfer, index + 1);
}

/* Another content under an id whose outcome is known for good. */
static void misuse_id(struct traffic *traffic)
{
	if (traffic->count == 0)
		return;
	uint32_t index = below(traffic, traffic->count);
	struct transfer transfer = traffic->transfers[index].transfer;

	transfer.code++;
	if (traffic->transfers[index].outcome != NO_REPLY &&
	    traffic->transfers[index].outcome != STATUS_ID_EXPIRED)
		network_transfer(traffic->network, &transfer, (index + 1) | TOKEN_MISUSED);
}

static void trouble_the_wire(struct traffic *traffic)
{
	struct network *network = traffic->network;

	if (network->wire_count == 0 || network->wire_count > NETWORK_WIRE_MAX / 2)
		return;
	uint32_t at = below(traffic, network->wire_count);
	if (below(traffic, 2) == 0)
		network_lose(network, at);
	else
		network_copy(network, at);
}

void traffic_step(struct traffic *traffic)
{
	struct network *network = traffic->network;
	uint32_t dice = below(traffic, 1000);
	struct account_operation operation;

	if (dice < 150)
		send_new(traffic);
	else if (dice < 220)
		send_again(traffic);
	else if (dice < 240)
		misuse_id(traffic);
	else if (dice < 700 && network->wire_count > 0)
		network_deliver(network, below(traffic, network->wire_count));
	else if (dice < 780)
		trouble_the_wire(traffic);
	else if (dice < 800)
		network_resend(network);
	else if (dice < 820)
		network_timeouts(network);
	else if (dice < 850)
		traffic_operation(traffic, &operation);
	else if (dice < 900)
		network_open_epoch(network, below(traffic, 40));
	else if (dice < 970)
		network_enter(network, below(traffic, network->limits.shards), network->epoch);
	else if (dice < 995)
		commit(traffic);
	else if (traffic->crashes)
		crash(traffic);
	release_replies(traffic);
}

void traffic_finish(struct traffic *traffic)
{
	bool asking = true;

	for (uint32_t round = 0; asking; round++) {
		cr_assert_lt(round, 100, "every transfer comes to its end");
		network_settle(traffic->network);
		network_tick(traffic->network, 100);
		network_resend(traffic->network);
		network_settle(traffic->network);
		asking = false;
		for (uint32_t i = 0; i < traffic->count; i++) {
			if (traffic->transfers[i].outcome != NO_REPLY ||
			    has_expired(traffic, i + 1))
				continue;
			asking = true;
			network_transfer(traffic->network, &traffic->transfers[i].transfer, i + 1);
			release_replies(traffic);
		}
		network_settle(traffic->network);
		network_tick(traffic->network, 1);
		commit(traffic);
	}
}
