/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine/stand.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Deposits that open the wallets. */
#define WALLET_OPENING 1000

static void sink_messages(void *context, const struct shard_message *messages, uint32_t count)
{
	struct stand *stand = context;

	cr_assert(stand->wire_count + count <= STAND_WIRE_MAX);
	memcpy(&stand->wire[stand->wire_count], messages, count * sizeof(*messages));
	stand->wire_count += count;
}

static void sink_replies(void *context, const struct worker_reply *replies, uint32_t count)
{
	struct stand *stand = context;

	for (uint32_t i = 0; i < count; i++) {
		struct packet *packet = replies[i].packet;
		cr_assert_not(packet->answered, "answered twice");
		packet->answered = true;
		packet->reply_size = replies[i].payload_size;
		cr_assert(packet->reply_size <= packet->size);
		cr_assert(stand->answered_count < STAND_PACKETS_MAX);
		stand->answered[stand->answered_count++] = packet;
	}
}

struct shard_limits stand_limits(const struct stand_options *options)
{
	return (struct shard_limits){
	    .shards = options->shards,
	    .rows = options->rows != 0 ? options->rows : 16,
	    .accounts_max = 1000,
	    .window_ms = 60000,
	    .ahead_ms = 10000,
	    .ids_per_second = options->ids_per_second != 0 ? options->ids_per_second : 1000,
	    .try_timeout_ms = options->try_timeout_ms,
	};
}

static void make_worker(struct stand *stand, uint32_t index, const struct stand_options *options)
{
	struct shard *own[STAND_SHARDS_MAX];
	uint32_t requests = options->requests != 0 ? options->requests : 64;
	uint32_t count = 0;
	const struct worker_config config = {
	    .index = index,
	    .requests = requests,
	    .shards_max = options->shards_max,
	    .clock = &stand->clock,
	    .sink = {stand, sink_messages, sink_replies},
	    .log_id = STAND_LOG_ID,
	    .datagram_max = options->datagram_max != 0 ? options->datagram_max : WIRE_DATAGRAM_MAX,
	};

	for (uint32_t i = 0; i < stand->limits.shards; i++) {
		if (stand->map.worker[i] == index)
			own[count++] = stand->shard[i];
	}
	uint32_t shards_max = options->shards_max != 0 ? options->shards_max : count;
	stand->worker[index] =
	    worker_new(pages_new(worker_bytes(shards_max, requests)), &config, own, count);
	worker_set_map(stand->worker[index], &stand->map);
}

struct stand *stand_new(const struct stand_options *options)
{
	struct stand *stand = pages_new(sizeof(*stand));
	uint32_t slots = options->slots != 0 ? options->slots : 4;
	uint64_t section_bytes = options->section_bytes != 0 ? options->section_bytes : 65536;

	stand->limits = stand_limits(options);
	stand->workers = options->workers;
	stand->now_ms = STAND_START_MS;
	slot_map_init(&stand->map, options->shards, options->workers, STAND_UDP_PORT);
	stand->clock_memory = pages_new(epoch_clock_bytes(options->shards, slots, section_bytes));
	epoch_clock_init(&stand->clock, stand->clock_memory, options->workers, options->shards,
			 slots, section_bytes, STAND_COMMITTED, STAND_START_MS);
	for (uint32_t i = 0; i < options->shards; i++) {
		stand->shard[i] =
		    shard_new(pages_new(shard_bytes(&stand->limits)), &stand->limits, i);
		shard_enter_epoch(stand->shard[i], STAND_COMMITTED, STAND_START_MS);
	}
	for (uint32_t w = 0; w < options->workers; w++)
		make_worker(stand, w, options);
	return stand;
}

void stand_free(struct stand *stand)
{
	for (uint32_t w = 0; w < stand->workers; w++)
		free(stand->worker[w]);
	for (uint32_t i = 0; i < stand->limits.shards; i++)
		free(stand->shard[i]);
	for (uint32_t i = 0; i < stand->packet_count; i++)
		free(stand->packets[i]);
	free(stand->clock_memory);
	free(stand);
}

struct id128 stand_id(struct stand *stand)
{
	return (struct id128){.lo = ++stand->next_id, .hi = stand->now_ms << 16};
}

struct packet *stand_packet(struct stand *stand, unsigned kind, const void *records, unsigned count)
{
	struct packet *packet = pages_new(sizeof(*packet));

	cr_assert(stand->packet_count < STAND_PACKETS_MAX);
	packet_fill(packet, kind, records, count, 1000 + stand->packet_count);
	stand->packets[stand->packet_count++] = packet;
	return packet;
}

struct packet *stand_pay(struct stand *stand, struct id128 debit, struct id128 credit,
			 uint64_t amount)
{
	const struct transfer transfer = {
	    .id = stand_id(stand),
	    .debit = debit,
	    .credit = credit,
	    .amount = amount,
	    .ledger = STAND_LEDGER,
	};

	return stand_packet(stand, WIRE_TRANSFER, &transfer, 1);
}

struct packet *stand_look(struct stand *stand, struct id128 account)
{
	const struct wire_lookup_account lookup = {.account = account};

	return stand_packet(stand, WIRE_LOOKUP_ACCOUNT, &lookup, 1);
}

enum worker_route stand_send(struct stand *stand, uint32_t at, struct packet *packet)
{
	uint32_t shard = UINT32_MAX;
	enum worker_route route = worker_route(stand->worker[at], packet->payload, packet->size,
					       &shard, &packet->reply_size);

	if (route == WORKER_ROUTE_REPLY)
		packet->answered = true;
	if (route != WORKER_ROUTE_SHARD)
		return route;
	struct worker *owner = stand->worker[stand->map.worker[shard]];
	worker_accept(owner, shard, packet, packet->payload);
	worker_flush(owner);
	return route;
}

struct packet *stand_send_pay(struct stand *stand, struct id128 debit, struct id128 credit,
			      uint64_t amount)
{
	struct packet *packet = stand_pay(stand, debit, credit, amount);

	cr_assert(stand_send(stand, 0, packet) == WORKER_ROUTE_SHARD);
	return packet;
}

static void send_and_commit(struct stand *stand, struct packet *packet)
{
	stand_send(stand, 0, packet);
	stand_open(stand, 1);
	stand_turn(stand);
	stand_commit(stand, epoch_newest(&stand->clock) - 1);
	cr_assert(packet->answered && packet_result(packet, 0).status == STATUS_OK);
}

void stand_fill(struct stand *stand, uint32_t wallets)
{
	for (uint32_t shard = 0; shard < stand->limits.shards; shard++) {
		for (uint32_t i = 0; i <= wallets; i++) {
			const struct account_operation create = {
			    .id = stand_id(stand),
			    .account = account_on(stand->limits.shards, shard, i),
			    .action = CREATE_ACCOUNT,
			    .ledger = STAND_LEDGER,
			    .floor = i == 0 ? FLOOR_ISSUER : 0,
			};
			send_and_commit(stand, stand_packet(stand, WIRE_ACCOUNT, &create, 1));
			if (i > 0)
				send_and_commit(
				    stand,
				    stand_pay(stand, account_on(stand->limits.shards, shard, 0),
					      create.account, WALLET_OPENING));
		}
	}
	stand->answered_count = 0;
}

void stand_open(struct stand *stand, uint64_t ms)
{
	stand->now_ms += ms;
	epoch_open(&stand->clock, stand->now_ms);
}

void stand_turn(struct stand *stand)
{
	for (uint32_t w = 0; w < stand->workers; w++)
		worker_turn(stand->worker[w]);
}

void stand_commit(struct stand *stand, uint64_t up)
{
	cr_assert(up <= epoch_sealed_by_all(&stand->clock));
	epoch_commit(&stand->clock, up);
	stand_turn(stand);
}

void stand_deliver_one(struct stand *stand, uint32_t at)
{
	struct shard_message message = stand->wire[at];
	struct worker *owner = stand->worker[stand->map.worker[message.to]];

	cr_assert(at < stand->wire_count);
	stand->wire_count--;
	memmove(&stand->wire[at], &stand->wire[at + 1], (stand->wire_count - at) * sizeof(message));
	worker_message(owner, &message);
	worker_flush(owner);
}

void stand_deliver(struct stand *stand)
{
	while (stand->wire_count > 0)
		stand_deliver_one(stand, 0);
}
