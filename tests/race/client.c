/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/race/client.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"

void client_accounts_find(struct client_accounts *accounts, uint32_t shards)
{
	uint32_t found[SHARDS_MAX] = {0};
	uint32_t left = shards * (1 + CLIENT_WALLETS);

	accounts->shards = shards;
	for (uint64_t lo = 1; left > 0; lo++) {
		struct id128 id = {.lo = lo};
		uint32_t shard = (uint32_t)(id_hash(id) % SLOTS % shards);
		if (found[shard] == 1 + CLIENT_WALLETS)
			continue;
		accounts->id[shard][found[shard]++] = id;
		left--;
	}
}

void client_init(struct client *client, uint32_t index, const struct client_accounts *accounts)
{
	client->index = index;
	client->accounts = accounts;
	client->random = 99 + index;
	client->next_id = (uint64_t)(index + 1) << 32;
	client_recall(client);
}

void client_recall(struct client *client)
{
	client->free_count = 0;
	for (uint32_t i = 0; i < CLIENT_IN_FLIGHT; i++)
		client->free[client->free_count++] = &client->packets[i];
}

uint32_t client_random(struct client *client, uint32_t limit)
{
	client->random =
	    client->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((client->random >> 33) % limit);
}

static struct id128 new_id(struct client *client, uint64_t now_ms)
{
	return (struct id128){.lo = ++client->next_id, .hi = now_ms << 16};
}

static struct packet *fill(struct client *client, unsigned kind, const void *records,
			   uint32_t count)
{
	struct packet *packet = client->free[--client->free_count];

	memcpy(packet->payload + sizeof(struct wire_header), records, count * WIRE_RECORD_BYTES);
	packet->size = wire_seal_request(packet->payload, kind, count, client->next_id);
	packet->client = client->index;
	packet->is_reply = false;
	packet->opens = kind == WIRE_ACCOUNT;
	return packet;
}

struct packet *client_open(struct client *client, uint32_t shard, uint64_t now_ms, uint32_t first,
			   uint32_t *next)
{
	struct account_operation operations[CLIENT_RECORDS];
	uint32_t count = 0;

	for (uint32_t n = first; n <= CLIENT_WALLETS && count < CLIENT_RECORDS; n++)
		operations[count++] = (struct account_operation){
		    .id = new_id(client, now_ms),
		    .account = client->accounts->id[shard][n],
		    .action = CREATE_ACCOUNT,
		    .ledger = CLIENT_LEDGER,
		    .floor = n == 0 ? FLOOR_ISSUER : 0,
		};
	*next = first + count;
	return fill(client, WIRE_ACCOUNT, operations, count);
}

struct packet *client_pay(struct client *client, uint32_t shard, uint64_t now_ms)
{
	const struct client_accounts *accounts = client->accounts;
	struct transfer transfers[CLIENT_RECORDS];

	for (uint32_t i = 0; i < CLIENT_RECORDS; i++) {
		bool cross = client_random(client, 3) == 0;
		uint32_t to = cross ? client_random(client, accounts->shards) : shard;
		/* The issuer gives to many, wallets give among themselves. */
		uint32_t payer =
		    client_random(client, 4) == 0 ? 0 : 1 + client_random(client, CLIENT_WALLETS);
		transfers[i] = (struct transfer){
		    .id = new_id(client, now_ms),
		    .debit = accounts->id[shard][payer],
		    .credit = accounts->id[to][1 + client_random(client, CLIENT_WALLETS)],
		    .amount = 1 + client_random(client, 100),
		    .ledger = CLIENT_LEDGER,
		};
		if (id_equal(transfers[i].debit, transfers[i].credit))
			transfers[i].debit = accounts->id[shard][0];
	}
	return fill(client, WIRE_TRANSFER, transfers, CLIENT_RECORDS);
}

static void take_result(struct client *client, const struct packet *packet, uint32_t index,
			uint64_t committed)
{
	struct wire_result result;

	memcpy(&result,
	       packet->payload + sizeof(struct wire_header) + index * sizeof(struct wire_result),
	       sizeof(result));
	CHECK(result.epoch <= committed);
	if (packet->opens) {
		CHECK(result.status == STATUS_OK);
		return;
	}
	client->done += result.status == STATUS_OK;
	client->refused += result.status == STATUS_INSUFFICIENT_FUNDS;
	client->transient += status_is_transient(result.status);
	if (result.status != STATUS_OK && result.status != STATUS_INSUFFICIENT_FUNDS &&
	    !status_is_transient(result.status)) {
		fprintf(stderr, "race: a transfer was told %s\n", status_name(result.status));
		CHECK(false);
	}
}

void client_take(struct client *client, struct packet *packet, uint64_t committed)
{
	struct wire_header header;

	CHECK(packet->client == client->index);
	memcpy(&header, packet->payload, sizeof(header));
	CHECK(header.map_version > 0);
	if (header.map_version > client->map_version)
		client->map_version = header.map_version;
	CHECK(header.status == STATUS_OK || status_is_transient(header.status));
	if (header.count == 0)
		client->transient += CLIENT_RECORDS;
	for (uint32_t i = 0; i < header.count; i++)
		take_result(client, packet, i, committed);
	client->opened += packet->opens;
	client->free[client->free_count++] = packet;
}
