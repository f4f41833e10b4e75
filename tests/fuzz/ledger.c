/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/ledger.h"

#include <stdlib.h>

#include "replay/replay.h"

/* Rounds in which everything must finish once nothing new comes. */
#define SETTLE_ROUNDS 64

/* Messages under way before an operation, at most: what goes beyond is lost. */
#define WIRE_KEPT 64

static void *pages(size_t bytes)
{
	void *memory = aligned_alloc(WAL_PAGE, wal_padded(bytes));

	CHECK(memory != NULL);
	return memset(memory, 0, wal_padded(bytes));
}

void ledger_make_shards(const struct shard_limits *limits, struct shard **shards)
{
	for (uint32_t i = 0; i < limits->shards; i++)
		shards[i] = shard_new(pages(shard_bytes(limits)), limits, i);
}

void ledger_free_shards(const struct shard_limits *limits, struct shard **shards)
{
	for (uint32_t i = 0; i < limits->shards; i++)
		free(shards[i]);
}

struct id128 ledger_account(uint32_t index)
{
	index %= LEDGER_ACCOUNT_IDS;
	return (struct id128){.lo = index, .hi = index % 5 == 4 ? UINT64_MAX : 0};
}

static uint32_t shard_of(const struct ledger *ledger, struct id128 account)
{
	return id_slot(account) % ledger->limits.shards;
}

/* Epochs. */

static void enter(struct ledger *ledger, uint32_t index, uint64_t epoch)
{
	struct shard *shard = ledger->shards[index];

	for (uint64_t e = shard->epoch + 1; e <= epoch; e++)
		ledger->bytes[index][e % LEDGER_EPOCH_SLOTS] = 0;
	shard_enter_epoch(shard, epoch, ledger->time_ms[epoch % LEDGER_EPOCH_SLOTS]);
}

struct ledger *ledger_new(uint8_t shape, const struct ledger_hooks *hooks)
{
	static const uint32_t bursts[] = {1, 2, 7, SHARD_BURST_MAX};
	struct ledger *ledger = calloc(1, sizeof(*ledger));

	CHECK(ledger != NULL);
	ledger->limits = (struct shard_limits){
	    .shards = 1 + (shape & 3u) % LEDGER_SHARDS_MAX,
	    .rows = shape & 4 ? 4 : 2,
	    .accounts_max = shape & 8 ? 12 : 3,
	    .window_ms = 1000,
	    .ahead_ms = 200,
	    .ids_per_second = shape & 0x10 ? 64 : 4,
	    .try_timeout_ms = shape & 0x20 ? 50 : 0,
	};
	ledger->hooks = *hooks;
	ledger->burst = bursts[shape >> 6];
	/* An epoch between lives is left out: it is the one of an OPEN block. */
	ledger->committed = 1;
	ledger->newest = 2;
	ledger->now_ms = LEDGER_START_MS;
	ledger->time_ms[2] = LEDGER_START_MS;
	ledger_make_shards(&ledger->limits, ledger->shards);
	for (uint32_t i = 0; i < ledger->limits.shards; i++) {
		for (uint32_t slot = 0; slot < LEDGER_EPOCH_SLOTS; slot++)
			ledger->section[i][slot] = pages(LEDGER_SECTION);
		enter(ledger, i, ledger->newest);
	}
	return ledger;
}

void ledger_free(struct ledger *ledger)
{
	ledger_free_shards(&ledger->limits, ledger->shards);
	for (uint32_t i = 0; i < ledger->limits.shards; i++) {
		for (uint32_t slot = 0; slot < LEDGER_EPOCH_SLOTS; slot++)
			free(ledger->section[i][slot]);
	}
	for (uint32_t i = 0; i < ledger->block_count; i++)
		free(ledger->blocks[i]);
	free(ledger);
}

/* The sections of an epoch that all shards have left, as a block without its checksums. */
static void make_block(struct ledger *ledger, uint64_t epoch)
{
	uint32_t slot = epoch % LEDGER_EPOCH_SLOTS;
	uint64_t payload = 0;

	for (uint32_t i = 0; i < ledger->limits.shards; i++)
		payload += wal_padded(ledger->bytes[i][slot]);
	if (payload == 0)
		return;
	CHECK(ledger->block_count < LEDGER_BLOCKS_MAX);
	struct wal_block_header *header = pages(WAL_PAGE + payload);
	*header = (struct wal_block_header){
	    .magic = WAL_BLOCK_MAGIC,
	    .version = WAL_VERSION,
	    .type = WAL_DATA,
	    .section_count = ledger->limits.shards,
	    .log_id = LEDGER_LOG_ID,
	    .seq = ledger->block_count,
	    .epoch = epoch,
	    .time_ms = ledger->time_ms[slot],
	    .incarnation = 1 + ledger->crashes,
	    .payload_bytes = payload,
	};
	uint64_t offset = WAL_PAGE;
	for (uint32_t i = 0; i < ledger->limits.shards; i++) {
		uint64_t bytes = ledger->bytes[i][slot];
		header->sections[i] = (struct wal_section_row){.offset = offset, .bytes = bytes};
		memcpy((uint8_t *)header + offset, ledger->section[i][slot], bytes);
		offset += wal_padded(bytes);
	}
	ledger->blocks[ledger->block_count++] = header;
	if (ledger->hooks.block != NULL)
		ledger->hooks.block(ledger, header);
}

static void tell(struct ledger *ledger, const struct ledger_reply *reply)
{
	if (ledger->hooks.reply != NULL)
		ledger->hooks.reply(ledger, &ledger->requests[reply->request], reply);
}

static void commit(struct ledger *ledger)
{
	uint64_t oldest = ledger->newest;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < ledger->limits.shards; i++) {
		if (ledger->shards[i]->epoch < oldest)
			oldest = ledger->shards[i]->epoch;
	}
	while (ledger->committed + 1 < oldest)
		make_block(ledger, ++ledger->committed);
	for (uint32_t i = 0; i < ledger->waiting_count; i++) {
		if (ledger->waiting[i].epoch <= ledger->committed)
			tell(ledger, &ledger->waiting[i]);
		else
			ledger->waiting[kept++] = ledger->waiting[i];
	}
	ledger->waiting_count = kept;
}

/* Batches. */

static struct shard_effects effects_of(struct ledger *ledger, uint32_t index,
				       struct shard_reply *replies)
{
	uint32_t slot = ledger->shards[index]->epoch % LEDGER_EPOCH_SLOTS;

	CHECK(ledger->wire_count + SHARD_BURST_MAX <= LEDGER_WIRE_MAX);
	return (struct shard_effects){
	    .log = ledger->section[index][slot],
	    .log_bytes = ledger->bytes[index][slot],
	    .messages = &ledger->wire[ledger->wire_count],
	    .replies = replies,
	};
}

static void take_effects(struct ledger *ledger, uint32_t index, const struct shard_effects *effects)
{
	uint32_t slot = ledger->shards[index]->epoch % LEDGER_EPOCH_SLOTS;

	CHECK(effects->log_bytes <= LEDGER_SECTION);
	ledger->bytes[index][slot] = effects->log_bytes;
	ledger->wire_count += effects->message_count;
	for (uint32_t i = 0; i < effects->reply_count; i++) {
		const struct shard_reply *reply = &effects->replies[i];
		CHECK(reply->token >= 1 && reply->token <= ledger->request_count);
		const struct ledger_reply told = {
		    .request = (uint32_t)reply->token - 1,
		    .epoch = reply->epoch,
		    .status = reply->status,
		};
		if (told.epoch <= ledger->committed)
			tell(ledger, &told);
		else
			ledger->waiting[ledger->waiting_count++] = told;
	}
}

static void flush(struct ledger *ledger, uint32_t index)
{
	struct shard_reply replies[SHARD_BURST_MAX];

	if (ledger->batch_count[index] == 0)
		return;
	struct shard_effects effects = effects_of(ledger, index, replies);
	shard_apply(ledger->shards[index], ledger->batch[index], ledger->batch_count[index],
		    &effects);
	ledger->batch_count[index] = 0;
	take_effects(ledger, index, &effects);
}

static void enter_newest(struct ledger *ledger, uint32_t index)
{
	flush(ledger, index);
	if (ledger->shards[index]->epoch < ledger->newest)
		enter(ledger, index, ledger->newest);
	commit(ledger);
}

static void open_epoch(struct ledger *ledger, uint64_t ms)
{
	/* A slot is free once its epoch is durable: those who are behind must come along. */
	if (ledger->newest - ledger->committed == LEDGER_EPOCH_SLOTS) {
		for (uint32_t i = 0; i < ledger->limits.shards; i++)
			enter_newest(ledger, i);
	}
	ledger->newest++;
	ledger->now_ms += ms;
	ledger->time_ms[ledger->newest % LEDGER_EPOCH_SLOTS] = ledger->now_ms;
}

void ledger_turn(struct ledger *ledger, uint64_t ms)
{
	open_epoch(ledger, ms);
	for (uint32_t i = 0; i < ledger->limits.shards; i++)
		enter_newest(ledger, i);
}

/* Room for one more input and all that it can bring forth. */
static struct shard_input *next_input(struct ledger *ledger, uint32_t index)
{
	if (ledger->batch_count[index] >= ledger->burst)
		flush(ledger, index);
	uint32_t slot = ledger->shards[index]->epoch % LEDGER_EPOCH_SLOTS;
	uint64_t need = (ledger->batch_count[index] + 1) * RECORD_BYTES_MAX;
	if (ledger->bytes[index][slot] + need > LEDGER_SECTION) {
		if (ledger->shards[index]->epoch == ledger->newest)
			open_epoch(ledger, 1);
		enter_newest(ledger, index);
	}
	return &ledger->batch[index][ledger->batch_count[index]++];
}

/* The wire. */

static struct shard_message take_message(struct ledger *ledger, uint32_t at)
{
	struct shard_message message = ledger->wire[at];

	ledger->wire_count--;
	memmove(&ledger->wire[at], &ledger->wire[at + 1],
		(ledger->wire_count - at) * sizeof(message));
	return message;
}

static void deliver(struct ledger *ledger, uint32_t at)
{
	const struct shard_message message = take_message(ledger, at);
	struct shard *shard = ledger->shards[message.to];

	if ((int32_t)(message.epoch_low - (uint32_t)shard->epoch) > 0)
		enter_newest(ledger, message.to);
	shard_input_from_message(next_input(ledger, message.to), &message);
	if (ledger->batch_count[message.to] >= ledger->burst)
		flush(ledger, message.to);
}

/* Clients. */

static void submit(struct ledger *ledger, const void *content, bool is_transfer, bool elsewhere)
{
	struct transfer transfer;
	struct account_operation operation;

	if (ledger->request_count == LEDGER_REQUESTS_MAX)
		return;
	memcpy(&transfer, content, sizeof(transfer));
	memcpy(&operation, content, sizeof(operation));
	struct id128 account = is_transfer ? transfer.debit : operation.account;
	uint32_t home = shard_of(ledger, account);
	uint32_t index = (home + elsewhere) % ledger->limits.shards;
	struct ledger_request *request = &ledger->requests[ledger->request_count++];
	memcpy(request->content, content, sizeof(request->content));
	request->is_transfer = is_transfer;
	request->shard = index;
	struct shard_input *input = next_input(ledger, index);
	request->known_ms = ledger->shards[index]->now_ms;
	*input = (struct shard_input){
	    .kind = is_transfer ? SHARD_INPUT_TRANSFER : SHARD_INPUT_ACCOUNT,
	    .flags = ledger->flags,
	    .home = (uint8_t)home,
	    .token = ledger->request_count,
	    .hash = id_hash(account),
	    .transfer = transfer,
	};
	if (is_transfer) {
		input->credit_hash = id_hash(transfer.credit);
		input->peer = (uint8_t)shard_of(ledger, transfer.credit);
	} else {
		input->operation = operation;
	}
	if (ledger->batch_count[index] >= ledger->burst)
		flush(ledger, index);
}

static struct id128 new_id(struct ledger *ledger, uint8_t choice)
{
	static const int16_t late_ms[] = {0, 0, 0, 0, 200, 201, -1000, -1001};
	uint64_t time_ms = ledger->now_ms + (uint64_t)(int64_t)late_ms[choice & 7];

	return (struct id128){.lo = ++ledger->ids, .hi = time_ms << 16 | 0x7000};
}

static uint64_t amount_of(uint8_t choice)
{
	static const uint64_t amounts[] = {
	    0, 1, 7, 100, 1u << 20, INT64_MAX, (uint64_t)1 << 63, UINT64_MAX};

	return choice < 8 ? amounts[choice] : choice;
}

static int64_t floor_of(uint8_t choice)
{
	static const int64_t floors[] = {0,  0, -100,	      FLOOR_ISSUER, FLOOR_ISSUER,
					 -1, 1, INT64_MIN + 1};

	return floors[choice & 7];
}

static void send_operation(struct ledger *ledger, struct fuzz_bytes *bytes)
{
	uint8_t what = fuzz_take(bytes);
	uint8_t account = fuzz_take(bytes);
	/* Four in five create. */
	uint16_t action = what % 5 == 0 ? (uint16_t)(what / 5 % 6) : CREATE_ACCOUNT;
	bool create = action == CREATE_ACCOUNT;
	const struct account_operation operation = {
	    .id = new_id(ledger, what >> 5),
	    .account = ledger_account(account),
	    .action = action,
	    .ledger = create ? (uint32_t)(account >> 4) % 3 : 0,
	    .floor = create ? floor_of(what >> 2) : 0,
	};

	submit(ledger, &operation, false, account >> 6 == 3);
}

static void send_transfer(struct ledger *ledger, struct fuzz_bytes *bytes)
{
	uint8_t who = fuzz_take(bytes);
	uint8_t amount = fuzz_take(bytes);
	uint8_t what = fuzz_take(bytes);
	const struct transfer transfer = {
	    .id = new_id(ledger, what),
	    .debit = ledger_account(who & 0xf),
	    .credit = ledger_account(who >> 4),
	    .amount = amount_of(amount),
	    .ledger = (uint32_t)(what >> 3) % 4,
	    .code = what,
	};

	submit(ledger, &transfer, true, what >> 5 == 7);
}

/* An old record again: as it was, with one byte changed, or as a record of the other kind. */
static void send_again(struct ledger *ledger, struct fuzz_bytes *bytes)
{
	uint8_t which = fuzz_take(bytes);
	uint8_t change = fuzz_take(bytes);

	if (ledger->request_count == 0)
		return;
	struct ledger_request request =
	    ledger->requests[ledger->request_count - 1 - which % ledger->request_count];
	bool is_transfer = request.is_transfer;
	if (change & 0x80) {
		request.content[16 + change % 48] ^= fuzz_take(bytes);
		/* The oracle counts ledgers below eight. */
		if (is_transfer)
			memset(&request.content[57], 0, 3);
		else
			memset(&request.content[41], 0, 3);
		request.content[is_transfer ? 56 : 40] &= 7;
	}
	submit(ledger, request.content, is_transfer, false);
}

/* Time and power. */

static void cancel_timed_out(struct ledger *ledger, uint32_t index)
{
	struct shard_input input;

	flush(ledger, index);
	while (ledger->wire_count + SHARD_BURST_MAX <= LEDGER_WIRE_MAX &&
	       shard_next_timeout(ledger->shards[index], &input)) {
		*next_input(ledger, index) = input;
		flush(ledger, index);
	}
}

static void resend(struct ledger *ledger, uint32_t index)
{
	struct shard_cursor cursor = {0};
	struct shard_reply replies[SHARD_BURST_MAX];

	flush(ledger, index);
	struct shard_effects effects = effects_of(ledger, index, replies);
	shard_resend(ledger->shards[index], &cursor, SHARD_BURST_MAX, &effects);
	take_effects(ledger, index, &effects);
}

/* Everything that is not durable is gone; the shards are built again from what is. */
static void crash(struct ledger *ledger)
{
	struct replay replay;

	ledger->crashes++;
	ledger_free_shards(&ledger->limits, ledger->shards);
	ledger_make_shards(&ledger->limits, ledger->shards);
	memset(ledger->batch_count, 0, sizeof(ledger->batch_count));
	ledger->wire_count = 0;
	ledger->waiting_count = 0;
	replay_init(&replay, ledger->shards, ledger->limits.shards);
	for (uint32_t i = 0; i < ledger->block_count; i++) {
		const struct wal_block block = {.header = ledger->blocks[i]};
		int diverged = replay_block(&replay, &block);
		if (diverged != 0)
			check_failed(replay.fault.text, __FILE__, __LINE__);
	}
	ledger->committed++;
	ledger->newest = ledger->committed + 1;
	ledger->time_ms[ledger->newest % LEDGER_EPOCH_SLOTS] = ledger->now_ms;
	for (uint32_t i = 0; i < ledger->limits.shards; i++) {
		enter(ledger, i, ledger->newest);
		resend(ledger, i);
	}
}

/* Operations. */

enum {
	OPERATION_ACCOUNT,
	OPERATION_TRANSFER,
	OPERATION_TRANSFER_MORE,
	OPERATION_AGAIN,
	OPERATION_DELIVER,
	OPERATION_DELIVER_ALL,
	OPERATION_LOSE,
	OPERATION_COPY,
	OPERATION_OPEN_EPOCH,
	OPERATION_ENTER,
	OPERATION_TURN,
	OPERATION_WAIT,
	OPERATION_TIME_OUTS,
	OPERATION_RESEND,
	OPERATION_NO_NEW_WORK,
	OPERATION_CRASH,
	OPERATIONS
};

static void on_message(struct ledger *ledger, unsigned operation, uint32_t at)
{
	if (ledger->wire_count == 0)
		return;
	at %= ledger->wire_count;
	if (operation == OPERATION_DELIVER)
		deliver(ledger, at);
	else if (operation == OPERATION_LOSE)
		take_message(ledger, at);
	else
		ledger->wire[ledger->wire_count++] = ledger->wire[at];
}

static void act(struct ledger *ledger, unsigned operation, uint32_t argument,
		struct fuzz_bytes *bytes)
{
	static const uint16_t waits_ms[] = {1, 10, 60, 300, 1000, 1300, 5000, 0};
	uint32_t shard = argument % ledger->limits.shards;

	switch (operation) {
	case OPERATION_ACCOUNT:
		send_operation(ledger, bytes);
		return;
	case OPERATION_TRANSFER:
	case OPERATION_TRANSFER_MORE:
		send_transfer(ledger, bytes);
		return;
	case OPERATION_AGAIN:
		send_again(ledger, bytes);
		return;
	case OPERATION_DELIVER:
	case OPERATION_LOSE:
	case OPERATION_COPY:
		on_message(ledger, operation, argument);
		return;
	case OPERATION_DELIVER_ALL:
		for (uint32_t count = ledger->wire_count; count > 0; count--)
			deliver(ledger, 0);
		return;
	case OPERATION_OPEN_EPOCH:
		open_epoch(ledger, waits_ms[argument & 1]);
		return;
	case OPERATION_ENTER:
		enter_newest(ledger, shard);
		return;
	case OPERATION_TURN:
		ledger_turn(ledger, 1);
		return;
	case OPERATION_WAIT:
		ledger_turn(ledger, waits_ms[argument & 7]);
		return;
	case OPERATION_TIME_OUTS:
		cancel_timed_out(ledger, shard);
		return;
	case OPERATION_RESEND:
		resend(ledger, shard);
		return;
	case OPERATION_NO_NEW_WORK:
		ledger->flags = argument & 1 ? SHARD_INPUT_NO_NEW_WORK : 0;
		return;
	default:
		crash(ledger);
		return;
	}
}

/* Before each operation: room on the wire, and for the blocks that settling writes. */
static bool has_room(struct ledger *ledger)
{
	/* An operation of all messages brings forth as many; a batch may hold some more. */
	while (ledger->wire_count > WIRE_KEPT)
		take_message(ledger, ledger->wire_count - 1);
	return ledger->block_count + 3 * SETTLE_ROUNDS < LEDGER_BLOCKS_MAX &&
	       ledger->request_count < LEDGER_REQUESTS_MAX;
}

void ledger_run(struct ledger *ledger, struct fuzz_bytes *bytes)
{
	while (bytes->left > 0 && has_room(ledger)) {
		uint8_t code = fuzz_take(bytes);
		act(ledger, code % OPERATIONS, code / OPERATIONS, bytes);
	}
}

static bool is_settled(const struct ledger *ledger)
{
	for (uint32_t i = 0; i < ledger->limits.shards; i++) {
		if (ledger->shards[i]->phase.in_flight > 0)
			return false;
	}
	return ledger->wire_count == 0;
}

void ledger_settle(struct ledger *ledger)
{
	ledger->flags = 0;
	ledger_turn(ledger, 1);
	for (uint32_t round = 0; round < SETTLE_ROUNDS && !is_settled(ledger); round++) {
		while (ledger->wire_count > 0) {
			deliver(ledger, 0);
			for (uint32_t i = 0; i < ledger->limits.shards; i++)
				flush(ledger, i);
		}
		for (uint32_t i = 0; i < ledger->limits.shards && ledger->wire_count == 0; i++)
			resend(ledger, i);
	}
	CHECK(is_settled(ledger));
	ledger_turn(ledger, 1);
}
