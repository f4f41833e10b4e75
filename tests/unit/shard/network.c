/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/shard/network.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shard_limits network_limits(uint32_t shards)
{
	return (struct shard_limits){
	    .shards = shards,
	    .rows = 8,
	    .accounts_max = 100,
	    .window_ms = 10000,
	    .ahead_ms = 2000,
	    .ids_per_second = 200,
	};
}

static struct shard *shard_alloc(const struct shard_limits *limits, uint32_t index)
{
	size_t bytes = shard_bytes(limits);
	void *memory = aligned_alloc(CACHE_LINE, bytes);

	cr_assert_not_null(memory);
	memset(memory, 0, bytes);
	return shard_new(memory, limits, index);
}

struct network *network_new(const struct shard_limits *limits)
{
	struct network *network = calloc(1, sizeof(*network));

	cr_assert_not_null(network);
	cr_assert_leq(limits->shards, NETWORK_SHARDS_MAX);
	network->limits = *limits;
	network->next_id = UINT64_C(1) << 60;
	network->epoch = 1;
	network->epoch_ms[1] = NETWORK_START_MS;
	for (uint32_t i = 0; i < limits->shards; i++) {
		network->shard[i] = shard_alloc(limits, i);
		network_enter(network, i, 1);
	}
	return network;
}

void network_free(struct network *network)
{
	for (uint32_t i = 0; i < network->limits.shards; i++) {
		free(network->shard[i]);
		free(network->log[i].records);
	}
	free(network);
}

struct id128 account_id(uint32_t shard, uint64_t number)
{
	return (struct id128){.lo = number, .hi = shard};
}

struct id128 time_id(uint64_t time_ms, uint64_t number)
{
	return (struct id128){.lo = number, .hi = time_ms << 16 | 0x7000};
}

uint64_t network_now(const struct network *network)
{
	return network->epoch_ms[network->epoch];
}

void network_open_epoch(struct network *network, uint64_t ms)
{
	uint64_t now_ms = network_now(network) + ms;

	cr_assert_lt(network->epoch + 1, NETWORK_EPOCHS_MAX);
	network->epoch++;
	network->epoch_ms[network->epoch] = now_ms;
}

void network_enter(struct network *network, uint32_t shard, uint64_t epoch)
{
	if (network->shard[shard]->epoch < epoch)
		shard_enter_epoch(network->shard[shard], epoch, network->epoch_ms[epoch]);
}

void network_tick(struct network *network, uint64_t ms)
{
	network_open_epoch(network, ms);
	for (uint32_t i = 0; i < network->limits.shards; i++)
		network_enter(network, i, network->epoch);
}

__attribute__((format(printf, 2, 3))) static void tell(struct network *network, const char *format,
						       ...)
{
	size_t used = strlen(network->trace);
	va_list args;

	if (!network->tracing)
		return;
	va_start(args, format);
	vsnprintf(network->trace + used, NETWORK_TRACE_MAX - used, format, args);
	va_end(args);
}

static void tell_message(struct network *network, const struct shard_message *message)
{
	static const char *const names[] = {
	    [MESSAGE_TRY] = "TRY",	 [MESSAGE_VOTE] = "VOTE", [MESSAGE_CONFIRM] = "CONFIRM",
	    [MESSAGE_CANCEL] = "CANCEL", [MESSAGE_ACK] = "ACK",
	};

	tell(network, "%s %llu", names[message->kind], (unsigned long long)message->seq);
	if (message->low_delta != 0)
		tell(network, " (low %llu)",
		     (unsigned long long)(message->seq - message->low_delta));
	if (message->kind == MESSAGE_VOTE)
		tell(network, " %s", status_name(message->status));
}

static void tell_input(struct network *network, uint32_t shard, const struct shard_input *input)
{
	tell(network, "%u ", shard);
	switch (input->kind) {
	case SHARD_INPUT_TRANSFER:
		tell(network, "transfer %llu", (unsigned long long)input->transfer.id.lo);
		break;
	case SHARD_INPUT_ACCOUNT:
		tell(network, "operation %u", input->operation.action);
		break;
	case SHARD_INPUT_TIMEOUT:
		tell(network, "timeout %llu", (unsigned long long)input->message.seq);
		break;
	default:
		tell_message(network, &input->message);
		break;
	}
}

static void tell_record(struct network *network, const uint8_t *bytes, size_t size)
{
	struct record record;

	cr_assert_eq(record_decode(bytes, size, &record), size, "a whole record was written");
	tell(network, " | log %s", record_name(record.head.kind));
	if (record.head.kind == RECORD_CONFIRM || record.head.kind == RECORD_CANCEL ||
	    record.head.kind == RECORD_ACK || record.head.kind == RECORD_TIMEOUT)
		return;
	tell(network, " %s", status_name(record.head.arg));
}

static void log_append(struct network *network, uint32_t shard, const uint8_t *bytes, size_t size)
{
	struct network_log *log = &network->log[shard];

	if (log->count == log->capacity) {
		log->capacity = log->capacity == 0 ? 64 : log->capacity * 2;
		log->records = realloc(log->records, log->capacity * sizeof(log->records[0]));
		cr_assert_not_null(log->records);
	}
	log->records[log->count] = (struct network_record){
	    .epoch = network->shard[shard]->epoch,
	    .size = size,
	};
	memcpy(log->records[log->count].bytes, bytes, size);
	log->count++;
}

static void send(struct network *network, const struct shard_message *message)
{
	cr_assert_lt(network->wire_count, NETWORK_WIRE_MAX);
	network->wire[network->wire_count++] = *message;
}

void network_apply(struct network *network, uint32_t shard, const struct shard_input *input)
{
	uint8_t log[RECORD_BYTES_MAX];
	struct shard_message message;
	struct shard_reply reply;
	struct shard_effects effects = {.log = log, .messages = &message, .replies = &reply};

	tell_input(network, shard, input);
	shard_apply(network->shard[shard], input, 1, &effects);

	if (effects.log_bytes != 0) {
		tell_record(network, log, effects.log_bytes);
		log_append(network, shard, log, effects.log_bytes);
	}
	if (effects.message_count != 0) {
		cr_assert_eq(effects.message_count, 1);
		tell(network, " | send ");
		tell_message(network, &message);
		send(network, &message);
	}
	if (effects.reply_count != 0) {
		cr_assert_eq(effects.reply_count, 1);
		tell(network, " | reply %s", status_name(reply.status));
		cr_assert_lt(network->reply_count, NETWORK_REPLIES_MAX);
		network->replies[network->reply_count++] = reply;
	}
	tell(network, "\n");
}

/* The status that came with the last input, when there is one more reply than before. */
static int reply_since(const struct network *network, uint32_t count)
{
	if (network->reply_count == count)
		return NO_REPLY;
	return (int)network->replies[network->reply_count - 1].status;
}

int network_transfer(struct network *network, const struct transfer *transfer, uint64_t token)
{
	uint32_t count = network->reply_count;
	const struct shard_input input = {
	    .kind = SHARD_INPUT_TRANSFER,
	    .flags = network->input_flags,
	    .home = (uint8_t)transfer->debit.hi,
	    .peer = (uint8_t)transfer->credit.hi,
	    .token = token,
	    .hash = id_hash(transfer->debit),
	    .credit_hash = id_hash(transfer->credit),
	    .transfer = *transfer,
	};

	network_apply(network, input.home, &input);
	return reply_since(network, count);
}

int network_operation(struct network *network, const struct account_operation *operation)
{
	uint32_t count = network->reply_count;
	const struct shard_input input = {
	    .kind = SHARD_INPUT_ACCOUNT,
	    .flags = network->input_flags,
	    .home = (uint8_t)operation->account.hi,
	    .token = OPERATION_TOKEN,
	    .hash = id_hash(operation->account),
	    .operation = *operation,
	};

	network_apply(network, input.home, &input);
	return reply_since(network, count);
}

int network_account(struct network *network, enum account_action action, struct id128 account,
		    uint32_t ledger, int64_t floor)
{
	const struct account_operation operation = {
	    .id = time_id(network_now(network), network->next_id++),
	    .account = account,
	    .floor = floor,
	    .ledger = ledger,
	    .action = (uint16_t)action,
	};

	return network_operation(network, &operation);
}

void network_lose(struct network *network, uint32_t at)
{
	cr_assert_lt(at, network->wire_count);
	network->wire_count--;
	memmove(&network->wire[at], &network->wire[at + 1],
		(network->wire_count - at) * sizeof(network->wire[0]));
}

void network_copy(struct network *network, uint32_t at)
{
	cr_assert_lt(at, network->wire_count);
	send(network, &network->wire[at]);
}

void network_deliver(struct network *network, uint32_t at)
{
	struct shard_message message = network->wire[at];
	struct shard_input input = {.kind = 0};

	network_lose(network, at);
	network_enter(network, message.to, message.epoch_low);
	shard_input_from_message(&input, &message);
	network_apply(network, message.to, &input);
}

void network_deliver_kind(struct network *network, enum message_kind kind)
{
	for (uint32_t at = 0; at < network->wire_count; at++) {
		if (network->wire[at].kind == kind) {
			network_deliver(network, at);
			return;
		}
	}
	cr_assert_fail("no message of kind %d on the wire", (int)kind);
}

void network_settle(struct network *network)
{
	while (network->wire_count > 0)
		network_deliver(network, 0);
}

void network_resend(struct network *network)
{
	for (uint32_t i = 0; i < network->limits.shards; i++) {
		struct shard_message messages[3];
		struct shard_effects effects = {.messages = messages};
		struct shard_cursor cursor = {0};

		while (shard_resend(network->shard[i], &cursor, 3, &effects) > 0) {
			for (uint32_t m = 0; m < effects.message_count; m++)
				send(network, &messages[m]);
			effects.message_count = 0;
		}
	}
}

void network_timeouts(struct network *network)
{
	for (uint32_t i = 0; i < network->limits.shards; i++) {
		struct shard_input input;

		while (shard_next_timeout(network->shard[i], &input))
			network_apply(network, i, &input);
	}
}

static void replay_record(struct shard *shard, const struct network_record *logged, uint32_t at)
{
	uint8_t log[RECORD_BYTES_MAX];
	struct shard_message message;
	struct shard_reply reply;
	struct shard_effects effects = {.log = log, .messages = &message, .replies = &reply};
	struct shard_input input;
	struct record record;

	cr_assert_eq(record_decode(logged->bytes, logged->size, &record), logged->size);
	cr_assert(shard_input_from_record(shard, &record, &input), "record %u, a %s, is possible",
		  at, record_name(record.head.kind));
	shard_apply(shard, &input, 1, &effects);
	cr_assert_eq(effects.log_bytes, logged->size, "record %u, a %s, comes out again", at,
		     record_name(record.head.kind));
	cr_assert_arr_eq(log, logged->bytes, logged->size, "record %u, a %s, comes out the same",
			 at, record_name(record.head.kind));
}

struct shard *network_replay(const struct network *network, uint32_t index, uint64_t epoch,
			     const struct shard_limits *limits)
{
	const struct network_log *log = &network->log[index];
	struct shard *shard = shard_alloc(limits, index);

	for (uint32_t at = 0; at < log->count && log->records[at].epoch <= epoch; at++) {
		if (shard->epoch < log->records[at].epoch)
			shard_enter_epoch(shard, log->records[at].epoch,
					  network->epoch_ms[log->records[at].epoch]);
		replay_record(shard, &log->records[at], at);
	}
	if (shard->epoch < epoch)
		shard_enter_epoch(shard, epoch, network->epoch_ms[epoch]);
	return shard;
}

void network_crash(struct network *network, uint64_t epoch)
{
	for (uint32_t i = 0; i < network->limits.shards; i++) {
		struct network_log *log = &network->log[i];

		free(network->shard[i]);
		network->shard[i] = network_replay(network, i, epoch, &network->limits);
		while (log->count > 0 && log->records[log->count - 1].epoch > epoch)
			log->count--;
	}
	network->wire_count = 0;
	tell(network, "crash\n");
}

void network_expect_trace(struct network *network, const char *expected)
{
	cr_assert_str_eq(network->trace, expected, "trace:\n%s\nexpected:\n%s", network->trace,
			 expected);
	network->trace[0] = 0;
}

const struct account *network_find(const struct network *network, struct id128 account)
{
	return shard_account(network->shard[account.hi], account);
}
