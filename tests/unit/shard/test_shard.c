/* SPDX-License-Identifier: Apache-2.0
 *
 * The shard as a whole: limits, memory, epochs, bursts, time-outs, resending.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/shard/network.h"

#define LEDGER 7

Test(shard, limits)
{
	static const struct {
		const char *name;
		struct shard_limits limits;
		const char *fault;
	} rows[] = {
	    {"least", {1, 2, 1, 1000, 0, 1, 0}, NULL},
	    {"most",
	     {64, 32768, UINT64_C(1) << 40, WINDOW_MS_MAX, WINDOW_MS_MAX, UINT64_C(1) << 32,
	      UINT64_MAX},
	     NULL},
	    {"no shards", {0, 2, 1, 1000, 0, 1, 0}, "shards must be 1..64"},
	    {"65 shards", {65, 2, 1, 1000, 0, 1, 0}, "shards must be 1..64"},
	    {"one row", {1, 1, 1, 1000, 0, 1, 0}, "rows must be a power of two in 2..32768"},
	    {"three rows", {1, 3, 1, 1000, 0, 1, 0}, "rows must be a power of two in 2..32768"},
	    {"65536 rows", {1, 65536, 1, 1000, 0, 1, 0}, "rows must be a power of two in 2..32768"},
	    {"no accounts", {1, 2, 0, 1000, 0, 1, 0}, "accounts must be 1..2^40"},
	    {"too many accounts",
	     {1, 2, (UINT64_C(1) << 40) + 1, 1000, 0, 1, 0},
	     "accounts must be 1..2^40"},
	    {"short window", {1, 2, 1, 999, 0, 1, 0}, "window must be 1 s..7 days"},
	    {"long window", {1, 2, 1, WINDOW_MS_MAX + 1, 0, 1, 0}, "window must be 1 s..7 days"},
	    {"far ahead", {1, 2, 1, 1000, 1001, 1, 0}, "ahead must not exceed the window"},
	    {"no ids", {1, 2, 1, 1000, 0, 0, 0}, "ids per second must be 1..2^32"},
	    {"too many ids",
	     {1, 2, 1, 1000, 0, (UINT64_C(1) << 32) + 1, 0},
	     "ids per second must be 1..2^32"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *fault = shard_limits_fault(&rows[i].limits);
		if (rows[i].fault == NULL)
			cr_expect_null(fault, "%s: %s", rows[i].name, fault);
		else
			cr_expect_str_eq(fault, rows[i].fault, "%s", rows[i].name);
	}
}

/* The tables stand one behind the other; the last byte used is the last byte asked for. */
Test(shard, memory_is_what_was_asked_for)
{
	static const struct shard_limits rows[] = {
	    {1, 2, 1, 1000, 0, 1, 0},
	    {64, 2, 13, 1001, 1001, 7, 0},
	    {3, 64, 1000, 86400000, 60000, 10, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t bytes = shard_bytes(&rows[i]);
		cr_assert_eq(bytes % CACHE_LINE, 0);
		uint8_t *memory = aligned_alloc(CACHE_LINE, bytes);
		memset(memory, 0, bytes);
		const struct shard *shard = shard_new(memory, &rows[i], rows[i].shards - 1);
		const uint8_t *end =
		    (const uint8_t *)(shard->phase.index + shard->phase.index_mask + 1);
		cr_assert_eq(end, memory + bytes);
		cr_assert_eq((uintptr_t)shard->accounts.lines % CACHE_LINE, 0);
		cr_assert_eq((uintptr_t)shard->window.entries % CACHE_LINE, 0);
		cr_assert_eq((uintptr_t)shard->phase.link[0].coordinator % CACHE_LINE, 0);
		cr_assert_geq((const uint8_t *)shard->accounts.lines,
			      (const uint8_t *)memory + sizeof(struct shard));
		free(memory);
	}
}

Test(shard, clock_never_steps_back)
{
	struct shard_limits limits = network_limits(1);
	struct network *network = network_new(&limits);
	struct shard *shard = network->shard[0];

	shard_enter_epoch(shard, 5, NETWORK_START_MS + 100);
	cr_assert_eq(shard->now_ms, NETWORK_START_MS + 100);
	shard_enter_epoch(shard, 9, NETWORK_START_MS + 50);
	cr_assert_eq(shard->epoch, 9);
	cr_assert_eq(shard->now_ms, NETWORK_START_MS + 100);
	network_free(network);
}

Test(shard, entering_the_same_epoch_twice_is_a_broken_invariant, .signal = SIGABRT)
{
	struct shard_limits limits = network_limits(1);
	struct network *network = network_new(&limits);

	shard_enter_epoch(network->shard[0], 1, NETWORK_START_MS);
}

Test(shard, changed_epoch_is_that_of_the_last_change)
{
	struct shard_limits limits = network_limits(1);
	struct network *network = network_new(&limits);
	const struct shard *shard = network->shard[0];

	network_account(network, CREATE_ACCOUNT, account_id(0, 1), LEDGER, 0);
	cr_assert_eq(shard->changed_epoch, 1);
	network_tick(network, 1);
	cr_assert_eq(shard->changed_epoch, 1);
	network_account(network, 9, account_id(0, 1), 0, 0); /* content error: no change */
	cr_assert_eq(shard->changed_epoch, 1);
	network_account(network, CREATE_ACCOUNT, account_id(0, 1), LEDGER, 0);
	cr_assert_eq(shard->changed_epoch, 2, "a remembered refusal is a change");
	network_free(network);
}

static struct shard_input transfer_input(uint64_t number, uint32_t to, uint64_t amount)
{
	const struct transfer transfer = {
	    .id = time_id(NETWORK_START_MS, number),
	    .debit = account_id(0, 1),
	    .credit = account_id(to, 2),
	    .amount = amount,
	    .ledger = LEDGER,
	};

	return (struct shard_input){
	    .kind = SHARD_INPUT_TRANSFER,
	    .home = 0,
	    .peer = (uint8_t)to,
	    .token = number,
	    .hash = id_hash(transfer.debit),
	    .credit_hash = id_hash(transfer.credit),
	    .transfer = transfer,
	};
}

static struct network *network_with_accounts(uint32_t shards, uint64_t try_timeout_ms)
{
	struct shard_limits limits = network_limits(shards);
	limits.rows = 64;
	limits.try_timeout_ms = try_timeout_ms;
	struct network *network = network_new(&limits);

	network_account(network, CREATE_ACCOUNT, account_id(0, 1), LEDGER, -1000);
	for (uint32_t i = 0; i < shards; i++)
		network_account(network, CREATE_ACCOUNT, account_id(i, 2), LEDGER, 0);
	network->reply_count = 0;
	return network;
}

/* A burst is its inputs one after the other, effects included. */
Test(shard, burst_equals_its_inputs_one_by_one)
{
	struct network *one_by_one = network_with_accounts(2, 0);
	struct network *at_once = network_with_accounts(2, 0);
	struct shard_input inputs[SHARD_BURST_MAX];
	uint8_t log[SHARD_BURST_MAX * RECORD_BYTES_MAX];
	struct shard_message messages[SHARD_BURST_MAX];
	struct shard_reply replies[SHARD_BURST_MAX];
	struct shard_effects effects = {.log = log, .messages = messages, .replies = replies};
	size_t at = 0;

	/* Repeats, funds that run out, local and cross-shard. */
	for (uint32_t i = 0; i < SHARD_BURST_MAX; i++)
		inputs[i] = transfer_input(1 + i * 7 % 40, i * 7 % 40 % 2, 60);
	uint32_t before = one_by_one->log[0].count;
	for (uint32_t i = 0; i < SHARD_BURST_MAX; i++)
		network_apply(one_by_one, 0, &inputs[i]);
	shard_apply(at_once->shard[0], inputs, SHARD_BURST_MAX, &effects);

	for (uint32_t i = before; i < one_by_one->log[0].count; i++) {
		const struct network_record *record = &one_by_one->log[0].records[i];
		cr_assert_arr_eq(log + at, record->bytes, record->size);
		at += record->size;
	}
	cr_assert_eq(at, effects.log_bytes);
	cr_assert_eq(effects.message_count, one_by_one->wire_count);
	cr_assert_arr_eq(messages, one_by_one->wire,
			 effects.message_count * sizeof(struct shard_message));
	cr_assert_eq(effects.reply_count, one_by_one->reply_count);
	for (uint32_t i = 0; i < effects.reply_count; i++) {
		cr_assert_eq(replies[i].status, one_by_one->replies[i].status);
		cr_assert_eq(replies[i].token, one_by_one->replies[i].token);
		cr_assert_eq(replies[i].epoch, one_by_one->replies[i].epoch);
	}
	struct shard_digest a = shard_digest(one_by_one->shard[0]);
	struct shard_digest b = shard_digest(at_once->shard[0]);
	cr_assert(a.lo == b.lo && a.hi == b.hi);
	network_free(one_by_one);
	network_free(at_once);
}

Test(shard, effects_are_appended)
{
	struct network *network = network_with_accounts(2, 0);
	const struct shard_input input = transfer_input(1, 1, 10);
	uint8_t log[1000];
	struct shard_message messages[5];
	struct shard_effects effects = {
	    .log = log, .log_bytes = 100, .messages = messages, .message_count = 2};

	memset(messages, 0, sizeof(messages));
	shard_apply(network->shard[0], &input, 1, &effects);
	cr_assert_eq(effects.log_bytes, 172);
	cr_assert_eq(log[100], RECORD_TRANSFER);
	cr_assert_eq(effects.message_count, 3);
	cr_assert_eq(messages[2].kind, MESSAGE_TRY);
	cr_assert_eq(effects.reply_count, 0);
	network_free(network);
}

static void expect_timeouts(const struct network *network, const char *expected)
{
	char found[64] = "";
	struct shard_input input;

	if (shard_next_timeout(network->shard[0], &input)) {
		cr_assert_eq(input.kind, SHARD_INPUT_TIMEOUT);
		snprintf(found, sizeof(found), "%u/%u", input.message.from,
			 (unsigned)input.message.seq);
	}
	cr_assert_str_eq(found, expected);
}

Test(shard, next_timeout)
{
	struct network *network = network_with_accounts(3, 500);
	struct shard_input input = transfer_input(1, 2, 10);

	expect_timeouts(network, "");
	network_apply(network, 0, &input); /* 2/0 at 0 */
	network_tick(network, 100);
	input = transfer_input(2, 2, 10);
	network_apply(network, 0, &input); /* 2/1 at 100 */
	input = transfer_input(3, 1, 10);
	network_apply(network, 0, &input); /* 1/0 at 100 */
	network_tick(network, 400);
	expect_timeouts(network, ""); /* 500 ms are allowed */
	network_tick(network, 1);
	expect_timeouts(network, "2/0");
	network_deliver(network, 0);
	network_deliver_kind(network, MESSAGE_VOTE);
	expect_timeouts(network, ""); /* decided in time */
	network_tick(network, 100);
	expect_timeouts(network, "1/0");
	network_timeouts(network);
	expect_timeouts(network, "");
	cr_assert_eq(network->shard[0]->events[SHARD_EVENT_TRY_TIMED_OUT], 2);
	network_free(network);
}

Test(shard, timeout_of_zero_or_of_ever_never_comes)
{
	static const uint64_t rows[] = {0, UINT64_MAX, UINT64_MAX - NETWORK_START_MS};

	for (size_t i = 0; i < 3; i++) {
		struct network *network = network_with_accounts(2, rows[i]);
		const struct shard_input input = transfer_input(1, 1, 10);

		network_apply(network, 0, &input);
		network_tick(network, 365 * UINT64_C(86400000));
		expect_timeouts(network, "");
		network_free(network);
	}
}

/* Walks with every burst size; what is finished is left out; all of it comes exactly once. */
Test(shard, resend_walks_all_unfinished_rows)
{
	struct network *network = network_with_accounts(4, 0);
	char expected[512] = "";

	for (uint64_t i = 0; i < 30; i++) {
		struct shard_input input = transfer_input(i + 1, 1 + (uint32_t)i % 3, 1);
		network_apply(network, 0, &input);
	}
	/* Of each peer: numbers 0..9; finish 0, 1, 4 and 9 of peer 1, decide 5 of peer 2. */
	for (uint32_t at = 0; at < network->wire_count;) {
		const struct shard_message *message = &network->wire[at];
		bool finish = message->kind == MESSAGE_TRY && message->to == 1 &&
			      (message->seq <= 1 || message->seq == 4 || message->seq == 9);
		bool decide = message->kind == MESSAGE_TRY && message->to == 2 && message->seq == 5;
		if (!finish && !decide) {
			at++;
			continue;
		}
		network_deliver(network, at);
		for (uint32_t i = 0; i < (finish ? 3 : 1); i++)
			network_deliver(network, network->wire_count - 1);
	}
	for (unsigned seq = 0; seq < 30; seq++) {
		unsigned peer = 1 + seq / 10, n = seq % 10;
		if (peer == 1 && (n <= 1 || n == 4 || n == 9))
			continue;
		char one[16];
		snprintf(one, sizeof(one), "%s%u/%u ", peer == 2 && n == 5 ? "C" : "T", peer, n);
		strcat(expected, one);
	}
	for (uint32_t burst = 1; burst <= 31; burst++) {
		struct shard_message messages[31];
		struct shard_effects effects = {.messages = messages};
		struct shard_cursor cursor = {0};
		char found[512] = "";
		uint32_t count;
		while ((count = shard_resend(network->shard[0], &cursor, burst, &effects)) > 0) {
			cr_assert_leq(count, burst);
			cr_assert_eq(count, effects.message_count);
			for (uint32_t i = 0; i < count; i++) {
				char one[16];
				snprintf(one, sizeof(one), "%s%u/%u ",
					 messages[i].kind == MESSAGE_CONFIRM ? "C" : "T",
					 messages[i].to, (unsigned)messages[i].seq);
				strcat(found, one);
			}
			effects.message_count = 0;
		}
		cr_assert_str_eq(found, expected);
	}
	network_free(network);
}

Test(shard, replies_are_counted_by_status)
{
	struct network *network = network_with_accounts(1, 0);
	const struct shard_input input = transfer_input(1, 0, 1001);

	for (uint32_t i = 0; i < 3; i++)
		network_apply(network, 0, &input);
	cr_assert_eq(network->shard[0]->statuses[STATUS_INSUFFICIENT_FUNDS], 3);
	network_free(network);
}

Test(shard, every_event_has_its_text)
{
	for (enum shard_event a = 0; a < SHARD_EVENTS; a++) {
		cr_assert_not_null(shard_event_text(a));
		for (enum shard_event b = 0; b < a; b++)
			cr_assert_str_neq(shard_event_text(a), shard_event_text(b));
	}
	cr_assert_str_eq(shard_event_text(SHARD_EVENT_CANCEL_OVERTOOK_TRY),
			 "cancel overtook its try: marked");
}
