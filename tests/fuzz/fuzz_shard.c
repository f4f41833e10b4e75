/* SPDX-License-Identifier: Apache-2.0
 *
 * Shards driven by the input's bytes, the simulator's oracle as the judge. Input: one byte that
 * chooses sizes, then operations, see ledger.c.
 *
 * The oracle executes each block by rules of its own and checks every reply against what is durable.
 * In the end every row must finish, the shards' state must be the oracle's in every account, outcome
 * and row, and replay into tables of other sizes must give the same digests.
 */
#include <stdio.h>
#include <stdlib.h>

#include "net/wire.h"
#include "replay/replay.h"
#include "tests/fuzz/ledger.h"
#include "tests/sim/sim.h"

enum { CRASHED = SHARD_EVENTS, SETTLED, STATUSES };

struct fuzz_branch fuzz_branches[] = {
#define EVENT_BRANCH(name, text) {text, 0},
    SHARD_EVENT_LIST(EVENT_BRANCH)
#undef EVENT_BRANCH
	{"crashed, and replayed from the log", 0},
    {"settled, equal to the oracle", 0},
#define STATUS_BRANCH(name, number, text) {"reply: " #name, 0},
    STATUS_LIST(STATUS_BRANCH)
#undef STATUS_BRANCH
	{NULL, 0},
};

static const uint8_t status_numbers[] = {
#define STATUS_NUMBER(name, number, text) (number),
    STATUS_LIST(STATUS_NUMBER)
#undef STATUS_NUMBER
};

/* What a shard never replies to a transfer or an operation. */
__attribute__((constructor)) static void leave_out_others(void)
{
	for (unsigned i = 0; i < sizeof(status_numbers); i++) {
		if ((status_numbers[i] != STATUS_OK &&
		     status_numbers[i] < STATUS_RESERVED_NOT_ZERO) ||
		    status_numbers[i] == STATUS_TRANSFER_NOT_FOUND)
			fuzz_branches[STATUSES + i].text = "";
	}
}

static struct sim sim;
static struct reach counts;
static const struct ledger *running;

/* What the oracle asks of the simulator. */

void sim_fail(const struct sim *failed, const char *format, ...)
{
	va_list args;

	(void)failed;
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

bool client_has_sent(const struct sim_client *client, const void *content, bool is_transfer)
{
	(void)client;
	for (uint32_t i = 0; i < running->request_count; i++) {
		const struct ledger_request *request = &running->requests[i];
		if (request->is_transfer == is_transfer &&
		    memcmp(request->content, content, sizeof(request->content)) == 0)
			return true;
	}
	return false;
}

size_t client_account_offset(unsigned kind)
{
	return kind == WIRE_TRANSFER ? offsetof(struct transfer, debit)
				     : offsetof(struct account_operation, account);
}

/* The judge. */

static void judge_block(struct ledger *ledger, const struct wal_block_header *block)
{
	struct oracle *oracle = &sim.oracle;

	(void)ledger;
	oracle->durable_count = block->seq + 1;
	oracle->durable_epoch = block->epoch;
	oracle->durable_ms = block->time_ms;
	oracle_apply(oracle, block);
}

static void count_status(enum status status)
{
	for (unsigned i = 0; i < sizeof(status_numbers); i++) {
		if (status_numbers[i] == status)
			fuzz_reach(STATUSES + i);
	}
}

/* At a shard that is not the account's, nothing but the content is looked at. */
static bool judge_elsewhere(const struct ledger_request *request, enum status status)
{
	struct transfer transfer;
	struct account_operation operation;

	memcpy(&transfer, request->content, sizeof(transfer));
	memcpy(&operation, request->content, sizeof(operation));
	struct id128 account = request->is_transfer ? transfer.debit : operation.account;
	if (oracle_shard(&sim.oracle, account) == request->shard)
		return false;
	enum status fault = request->is_transfer ? oracle_transfer_fault(&transfer)
						 : oracle_operation_fault(&operation);
	CHECK(status == (fault != STATUS_OK ? fault : STATUS_WRONG_SHARD));
	return true;
}

static void judge_reply(struct ledger *ledger, const struct ledger_request *request,
			const struct ledger_reply *reply)
{
	struct {
		struct wire_header header;
		uint8_t record[64];
	} asked = {
	    .header = {.kind = request->is_transfer ? WIRE_TRANSFER : WIRE_ACCOUNT, .count = 1}};
	struct {
		struct wire_header header;
		struct wire_result result;
	} told = {
	    .header = {.kind = (uint8_t)(asked.header.kind | WIRE_REPLY), .count = 1},
	    .result = {.status = (uint16_t)reply->status, .epoch = reply->epoch},
	};

	count_status(reply->status);
	if (judge_elsewhere(request, reply->status))
		return;
	memcpy(asked.record, request->content, sizeof(asked.record));
	sim.oracle.clock_max_ms = ledger->now_ms;
	/* Replies may come before their block's own epoch was one with records. */
	if (reply->epoch > sim.oracle.durable_epoch && reply->epoch <= ledger->committed)
		sim.oracle.durable_epoch = reply->epoch;
	oracle_check_reply(&sim.oracle, (const uint8_t *)&asked, sizeof(asked),
			   (const uint8_t *)&told, sizeof(told), request->known_ms);
}

static void begin(const struct ledger *ledger)
{
	running = ledger;
	sim.reach = &counts;
	sim.shape.node.limits = ledger->limits;
	oracle_init(&sim.oracle, &sim);
	sim.oracle.rows_max = ledger->limits.rows;
	sim.oracle.accounts_max = ledger->limits.accounts_max;
	sim.oracle.try_timeout_ms = ledger->limits.try_timeout_ms;
}

/* The whole log once more, into tables of other sizes. */
static void compare_with_replay(const struct ledger *ledger)
{
	struct shard_limits limits = ledger->limits;
	struct shard *twins[LEDGER_SHARDS_MAX];
	struct replay replay;

	limits.rows *= 2;
	limits.accounts_max = limits.accounts_max * 3 + 1;
	limits.ids_per_second *= 2;
	ledger_make_shards(&limits, twins);
	replay_init(&replay, twins, limits.shards);
	for (uint32_t i = 0; i < ledger->block_count; i++) {
		const struct wal_block block = {.header = ledger->blocks[i]};
		int diverged = replay_block(&replay, &block);
		if (diverged != 0)
			check_failed(replay.fault.text, __FILE__, __LINE__);
	}
	for (uint32_t i = 0; i < limits.shards; i++) {
		const struct shard *shard = ledger->shards[i];
		/* Both at the same epoch and time, which are part of the digest. */
		if (twins[i]->epoch < shard->epoch)
			shard_enter_epoch(twins[i], shard->epoch, shard->now_ms);
		struct shard_digest have = shard_digest(shard);
		struct shard_digest again = shard_digest(twins[i]);
		CHECK(have.lo == again.lo && have.hi == again.hi);
	}
	ledger_free_shards(&limits, twins);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ledger_hooks hooks = {.block = judge_block, .reply = judge_reply};
	struct fuzz_bytes bytes = {data, size};

	if (size == 0)
		return 0;
	struct ledger *ledger = ledger_new(fuzz_take(&bytes), &hooks);
	begin(ledger);
	ledger_run(ledger, &bytes);
	ledger_settle(ledger);
	oracle_compare(&sim.oracle, ledger->shards, "settled");
	compare_with_replay(ledger);
	for (unsigned event = 0; event < SHARD_EVENTS; event++) {
		for (uint32_t i = 0; i < ledger->limits.shards; i++)
			fuzz_branches[event].count += ledger->shards[i]->events[event];
	}
	fuzz_branches[CRASHED].count += ledger->crashes;
	fuzz_reach(SETTLED);
	oracle_free(&sim.oracle);
	ledger_free(ledger);
	return 0;
}
