/* SPDX-License-Identifier: Apache-2.0
 *
 * What clients get: the statuses of transfers in order of precedence, repeats, limits.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/unit/shard/network.h"

#define LEDGER	     7
#define OTHER_LEDGER 8
#define AMOUNT	     100

/* Every way in which a transfer can be refused for what it is, in order of precedence. A fault is a
 * bit; a case is any set of them. */
#define FAULT_LIST(X)                                   \
	X(FLAGS, STATUS_RESERVED_NOT_ZERO)              \
	X(DEBIT_ZERO, STATUS_ACCOUNT_ZERO)              \
	X(CREDIT_ZERO, STATUS_ACCOUNT_ZERO)             \
	X(SAME, STATUS_SAME_ACCOUNT)                    \
	X(AMOUNT_ZERO, STATUS_AMOUNT_ZERO)              \
	X(LEDGER_ZERO, STATUS_LEDGER_ZERO)              \
	X(WRONG_SHARD, STATUS_WRONG_SHARD)              \
	X(EXPIRED, STATUS_ID_EXPIRED)                   \
	X(AHEAD, STATUS_ID_AHEAD)                       \
	X(REUSED, STATUS_ID_REUSED)                     \
	X(BUSY, STATUS_BUSY)                            \
	X(DEBIT_MISSING, STATUS_DEBIT_NOT_FOUND)        \
	X(DEBIT_LEDGER, STATUS_DEBIT_LEDGER_MISMATCH)   \
	X(DEBIT_CLOSED, STATUS_DEBIT_CLOSED)            \
	X(DEBIT_FROZEN, STATUS_DEBIT_FROZEN)            \
	X(DEBIT_POOR, STATUS_INSUFFICIENT_FUNDS)        \
	X(CREDIT_MISSING, STATUS_CREDIT_NOT_FOUND)      \
	X(CREDIT_LEDGER, STATUS_CREDIT_LEDGER_MISMATCH) \
	X(CREDIT_CLOSED, STATUS_CREDIT_CLOSED)          \
	X(CREDIT_FROZEN, STATUS_CREDIT_FROZEN)          \
	X(CREDIT_FULL, STATUS_CREDIT_OVERFLOW)

enum fault {
#define FAULT_ENUM(name, status) FAULT_##name,
	FAULT_LIST(FAULT_ENUM)
#undef FAULT_ENUM
	    FAULTS
};

static const struct {
	const char *name;
	enum status status;
} faults[FAULTS] = {
#define FAULT_ROW(name, status) [FAULT_##name] = {#name, status},
    FAULT_LIST(FAULT_ROW)
#undef FAULT_ROW
};

static bool has(uint32_t set, enum fault fault)
{
	return (set & 1u << fault) != 0;
}

/* Can one transfer have all these faults? */
static bool is_possible(uint32_t set)
{
	if (has(set, FAULT_EXPIRED) + has(set, FAULT_AHEAD) == 2)
		return false;
	/* An id ahead has not been used: the clock only grows. */
	if (has(set, FAULT_AHEAD) && has(set, FAULT_REUSED))
		return false;
	if (has(set, FAULT_SAME) && has(set, FAULT_CREDIT_ZERO))
		return has(set, FAULT_DEBIT_ZERO);
	/* Only an empty account can be closed. */
	return !(has(set, FAULT_CREDIT_CLOSED) && has(set, FAULT_CREDIT_FULL));
}

static struct id128 debit_account(struct network *network, uint32_t set)
{
	struct id128 account = account_id(0, 1);
	int64_t floor = has(set, FAULT_DEBIT_POOR) ? 1 - AMOUNT : -AMOUNT;

	if (has(set, FAULT_DEBIT_ZERO))
		return (struct id128){0};
	if (has(set, FAULT_DEBIT_MISSING))
		return account;
	network_account(network, CREATE_ACCOUNT, account,
			has(set, FAULT_DEBIT_LEDGER) ? OTHER_LEDGER : LEDGER, floor);
	if (has(set, FAULT_DEBIT_FROZEN))
		network_account(network, FREEZE_ACCOUNT, account, 0, 0);
	if (has(set, FAULT_DEBIT_CLOSED))
		network_account(network, CLOSE_ACCOUNT, account, 0, 0);
	return account;
}

static struct id128 credit_account(struct network *network, uint32_t set)
{
	uint32_t shard = network->limits.shards - 1;
	uint32_t ledger = has(set, FAULT_CREDIT_LEDGER) ? OTHER_LEDGER : LEDGER;
	struct id128 account = account_id(shard, 2);
	struct id128 issuer = account_id(shard, 3);

	if (has(set, FAULT_CREDIT_ZERO))
		return (struct id128){0};
	if (has(set, FAULT_CREDIT_MISSING))
		return account;
	network_account(network, CREATE_ACCOUNT, account, ledger, 0);
	if (has(set, FAULT_CREDIT_FULL)) {
		network_account(network, CREATE_ACCOUNT, issuer, ledger, FLOOR_ISSUER);
		const struct transfer fill = {
		    .id = time_id(network_now(network), 1000),
		    .debit = issuer,
		    .credit = account,
		    .amount = INT64_MAX - AMOUNT + 1,
		    .ledger = ledger,
		};
		cr_assert_eq(network_transfer(network, &fill, 1), STATUS_OK);
	}
	if (has(set, FAULT_CREDIT_FROZEN))
		network_account(network, FREEZE_ACCOUNT, account, 0, 0);
	if (has(set, FAULT_CREDIT_CLOSED))
		network_account(network, CLOSE_ACCOUNT, account, 0, 0);
	return account;
}

static struct id128 transfer_id(struct network *network, uint32_t set)
{
	struct id128 id = time_id(network_now(network), 1);

	if (has(set, FAULT_AHEAD))
		return time_id(network_now(network) + network->limits.ahead_ms + 1, 1);
	if (has(set, FAULT_REUSED)) {
		const struct account_operation first = {
		    .id = id,
		    .account = account_id(0, 9),
		    .action = CREATE_ACCOUNT,
		    .ledger = LEDGER,
		};
		cr_assert_eq(network_operation(network, &first), STATUS_OK);
	}
	if (has(set, FAULT_EXPIRED))
		network_tick(network, network->limits.window_ms + 1);
	return id;
}

/* The status of a transfer with these faults, asked for until it is final. */
static int status_with(uint32_t shards, uint32_t set)
{
	struct shard_limits limits = network_limits(shards);
	struct network *network = network_new(&limits);
	struct shard_input input = {.kind = SHARD_INPUT_TRANSFER, .token = 1};

	input.transfer = (struct transfer){
	    .debit = debit_account(network, set),
	    .credit = credit_account(network, set),
	    .id = transfer_id(network, set),
	    .amount = has(set, FAULT_AMOUNT_ZERO) ? 0 : AMOUNT,
	    .ledger = has(set, FAULT_LEDGER_ZERO) ? 0 : LEDGER,
	    .flags = has(set, FAULT_FLAGS) ? 0x8000 : 0,
	};
	if (has(set, FAULT_SAME))
		input.transfer.credit = input.transfer.debit;
	input.home = has(set, FAULT_WRONG_SHARD) ? 5 : 0;
	input.peer = (uint8_t)(shards - 1);
	input.flags = has(set, FAULT_BUSY) ? SHARD_INPUT_NO_NEW_WORK : 0;
	input.hash = id_hash(input.transfer.debit);
	input.credit_hash = id_hash(input.transfer.credit);

	network->reply_count = 0;
	network_apply(network, 0, &input);
	network_settle(network);
	cr_assert_eq(network->reply_count, 1, "every request has one reply");
	int status = (int)network->replies[0].status;
	network_free(network);
	return status;
}

static enum status expected_status(uint32_t set)
{
	for (uint32_t fault = 0; fault < FAULTS; fault++)
		if (has(set, fault))
			return faults[fault].status;
	return STATUS_OK;
}

static void expect_precedence(uint32_t set)
{
	if (!is_possible(set))
		return;
	for (uint32_t shards = 1; shards <= 2; shards++) {
		int status = status_with(shards, set);
		cr_expect_eq(status, (int)expected_status(set),
			     "faults 0x%x over %u shards: %s, not %s", set, shards,
			     status_name((unsigned)status), status_name(expected_status(set)));
	}
}

Test(apply_client, faults_are_listed_in_the_order_of_statuses)
{
	for (uint32_t fault = 1; fault < FAULTS; fault++)
		cr_expect_leq(faults[fault - 1].status, faults[fault].status);
}

Test(apply_client, every_refusal_local_and_cross_shard)
{
	expect_precedence(0);
	for (uint32_t fault = 0; fault < FAULTS; fault++)
		expect_precedence(1u << fault);
}

Test(apply_client, lowest_of_several_faults_is_given_local_and_cross_shard)
{
	for (uint32_t a = 0; a < FAULTS; a++)
		for (uint32_t b = a + 1; b < FAULTS; b++)
			for (uint32_t c = b; c < FAULTS; c++)
				expect_precedence(1u << a | 1u << b | 1u << c);
}

/* The remaining tests: accounts 1 (rich) on shard 0, 2 on shard 0 and 1. */
static struct network *small_network(const struct shard_limits *limits)
{
	struct network *network = network_new(limits);

	network_account(network, CREATE_ACCOUNT, account_id(0, 1), LEDGER, FLOOR_ISSUER);
	network_account(network, CREATE_ACCOUNT, account_id(0, 2), LEDGER, 0);
	if (limits->shards > 1)
		network_account(network, CREATE_ACCOUNT, account_id(1, 2), LEDGER, 0);
	network->reply_count = 0;
	return network;
}

static struct transfer pay(struct network *network, uint64_t number, uint32_t to)
{
	return (struct transfer){
	    .id = time_id(network_now(network), number),
	    .debit = account_id(0, 1),
	    .credit = account_id(to, 2),
	    .amount = AMOUNT,
	    .ledger = LEDGER,
	    .code = 3,
	};
}

Test(apply_client, local_transfer_moves_money_once)
{
	struct shard_limits limits = network_limits(1);
	struct network *network = small_network(&limits);
	struct transfer transfer = pay(network, 1, 0);

	cr_assert_eq(network_transfer(network, &transfer, 77), STATUS_OK);
	cr_assert_eq(network->replies[0].token, 77);
	cr_assert_eq(network->replies[0].epoch, 1);
	for (uint32_t i = 0; i < 3; i++) {
		network_tick(network, 100);
		cr_assert_eq(network_transfer(network, &transfer, 78 + i), STATUS_OK);
		cr_assert_eq(network->replies[1 + i].token, 78 + i);
		cr_assert_eq(network->replies[1 + i].epoch, 1, "a repeat waits for the original");
	}
	cr_assert_eq(network_find(network, account_id(0, 1))->balance, -AMOUNT);
	cr_assert_eq(network_find(network, account_id(0, 2))->balance, AMOUNT);
	cr_assert_eq(network->log[0].count, 3, "two accounts, one transfer; repeats log nothing");
	cr_assert_eq(network->shard[0]->events[SHARD_EVENT_LOCAL_DONE], 1);
	cr_assert_eq(network->shard[0]->events[SHARD_EVENT_REPEAT], 3);
	network_free(network);
}

Test(apply_client, refusal_is_remembered_though_its_reason_is_gone)
{
	struct shard_limits limits = network_limits(1);
	struct network *network = small_network(&limits);
	struct transfer transfer = pay(network, 1, 0);

	network_account(network, FREEZE_ACCOUNT, account_id(0, 2), 0, 0);
	cr_assert_eq(network_transfer(network, &transfer, 1), STATUS_CREDIT_FROZEN);
	network_account(network, UNFREEZE_ACCOUNT, account_id(0, 2), 0, 0);
	cr_assert_eq(network_transfer(network, &transfer, 1), STATUS_CREDIT_FROZEN);
	transfer.id.lo++;
	cr_assert_eq(network_transfer(network, &transfer, 1), STATUS_OK);
	network_free(network);
}

Test(apply_client, any_other_content_under_the_same_id_is_refused)
{
	struct shard_limits limits = network_limits(2);
	struct network *network = small_network(&limits);
	const struct transfer first = pay(network, 1, 0);
	struct transfer other[5] = {first, first, first, first, first};

	cr_assert_eq(network_transfer(network, &first, 1), STATUS_OK);
	other[0].amount++;
	other[1].code++;
	other[2].credit.lo++;
	other[3].ledger++;
	other[4].credit.hi++;
	for (size_t i = 0; i < 5; i++)
		cr_expect_eq(network_transfer(network, &other[i], 1), STATUS_ID_REUSED, "%zu", i);
	cr_assert_eq(network_transfer(network, &first, 1), STATUS_OK);
	const struct account_operation operation = {
	    .id = first.id, .account = account_id(0, 1), .action = FREEZE_ACCOUNT};
	cr_assert_eq(network_operation(network, &operation), STATUS_ID_REUSED);
	cr_assert_eq(network_find(network, account_id(0, 2))->balance, AMOUNT);
	network_free(network);
}

Test(apply_client, transfer_under_way_is_pending_and_its_id_is_taken)
{
	struct shard_limits limits = network_limits(2);
	struct network *network = small_network(&limits);
	struct transfer transfer = pay(network, 1, 1);
	struct transfer other = transfer;

	network_tick(network, 1);
	cr_assert_eq(network_transfer(network, &transfer, 5), NO_REPLY);
	other.amount++;
	/* At every stage until the end. */
	for (uint32_t stage = 0; stage < 4; stage++) {
		uint64_t epoch;
		cr_assert_eq(network_transfer(network, &transfer, 6), STATUS_PENDING);
		cr_assert_eq(shard_transfer(network->shard[0], transfer.id, &epoch),
			     STATUS_PENDING);
		cr_assert_eq(network_transfer(network, &other, 7), STATUS_ID_REUSED);
		cr_assert_geq(network->replies[network->reply_count - 1].epoch, 2,
			      "a final answer waits for the try it rests on");
		network->reply_count = 0;
		network_deliver(network, 0);
	}
	cr_assert_eq(network->wire_count, 0);
	cr_assert_eq(network->reply_count, 1);
	cr_assert_eq(network->replies[0].token, 5, "only the first one waits");
	cr_assert_eq(network->replies[0].status, STATUS_OK);
	cr_assert_eq(network_transfer(network, &transfer, 6), STATUS_OK);
	cr_assert_eq(network_transfer(network, &other, 7), STATUS_ID_REUSED);
	network_free(network);
}

Test(apply_client, transfer_that_outlives_its_window_ends_all_the_same)
{
	struct shard_limits limits = network_limits(2);
	struct network *network = small_network(&limits);
	struct transfer transfer = pay(network, 1, 1);
	uint64_t epoch;

	network_transfer(network, &transfer, 5);
	network_tick(network, 10 * limits.window_ms);
	cr_assert_eq(network_transfer(network, &transfer, 6), STATUS_PENDING,
		     "rows come before the window");
	/* The ring's place of its generation is taken meanwhile. */
	for (uint32_t i = 0; i < 20; i++) {
		struct transfer later = pay(network, 100 + i, 0);
		cr_assert_eq(network_transfer(network, &later, 1), STATUS_OK);
		network_tick(network, 1000);
	}
	network->reply_count = 0;
	network_settle(network);
	cr_assert_eq(network->replies[0].status, STATUS_OK);
	cr_assert_eq(network_find(network, account_id(1, 2))->balance, AMOUNT);
	cr_assert_eq(network_transfer(network, &transfer, 6), STATUS_ID_EXPIRED);
	cr_assert_eq(shard_transfer(network->shard[0], transfer.id, &epoch), STATUS_ID_EXPIRED);
	cr_assert_eq(network->shard[0]->events[SHARD_EVENT_OUTCOME_FORGOTTEN], 1);
	network_free(network);
}

Test(apply_client, lookup_of_a_transfer)
{
	struct shard_limits limits = network_limits(1);
	struct network *network = small_network(&limits);
	struct transfer transfer = pay(network, 1, 0);
	uint64_t epoch = 99;

	cr_assert_eq(shard_transfer(network->shard[0], transfer.id, &epoch),
		     STATUS_TRANSFER_NOT_FOUND);
	cr_assert_eq(epoch, 0);
	network_tick(network, 1);
	network_transfer(network, &transfer, 1);
	network_tick(network, 1);
	cr_assert_eq(shard_transfer(network->shard[0], transfer.id, &epoch), STATUS_OK);
	cr_assert_eq(epoch, 2);
	struct id128 ahead = time_id(network_now(network) + limits.ahead_ms + 1, 1);
	cr_assert_eq(shard_transfer(network->shard[0], ahead, &epoch), STATUS_ID_AHEAD);
	network_free(network);
}

Test(apply_client, no_new_work_still_answers_repeats_and_finishes_what_is_under_way)
{
	struct shard_limits limits = network_limits(2);
	struct network *network = small_network(&limits);
	struct transfer done = pay(network, 1, 0);
	struct transfer under_way = pay(network, 2, 1);
	struct transfer fresh = pay(network, 3, 0);

	network_transfer(network, &done, 1);
	network_transfer(network, &under_way, 2);
	network->input_flags = SHARD_INPUT_NO_NEW_WORK;
	network->reply_count = 0;
	cr_assert_eq(network_transfer(network, &fresh, 3), STATUS_BUSY);
	cr_assert_eq(network_transfer(network, &done, 1), STATUS_OK);
	cr_assert_eq(network_transfer(network, &under_way, 4), STATUS_PENDING);
	cr_assert_eq(network_account(network, FREEZE_ACCOUNT, account_id(0, 1), 0, 0), STATUS_BUSY);
	cr_assert_eq(network_find(network, account_id(0, 1))->flags, 0);
	network->reply_count = 0;
	network_settle(network);
	cr_assert_eq(network->replies[0].status, STATUS_OK);
	cr_assert_eq(network->shard[0]->events[SHARD_EVENT_BUSY_NO_NEW_WORK], 2);

	network->input_flags = 0;
	cr_assert_eq(network_transfer(network, &fresh, 3), STATUS_OK, "busy is not remembered");
	network_free(network);
}

Test(apply_client, busy_when_the_rows_to_the_peer_are_full)
{
	struct shard_limits limits = network_limits(3);
	limits.rows = 2;
	struct network *network = small_network(&limits);
	network_account(network, CREATE_ACCOUNT, account_id(2, 2), LEDGER, 0);
	struct transfer refused = pay(network, 3, 1);

	for (uint64_t i = 1; i <= 2; i++) {
		struct transfer transfer = pay(network, i, 1);
		cr_assert_eq(network_transfer(network, &transfer, i), NO_REPLY);
	}
	uint32_t logged = network->log[0].count;
	cr_assert_eq(network_transfer(network, &refused, 3), STATUS_BUSY);
	cr_assert_eq(network->replies[network->reply_count - 1].epoch, 0);
	cr_assert_eq(network->log[0].count, logged, "busy is not logged");
	cr_assert_eq(network->shard[0]->events[SHARD_EVENT_BUSY_ROWS], 1);
	struct transfer elsewhere = pay(network, 4, 2);
	struct transfer local = pay(network, 5, 0);
	cr_assert_eq(network_transfer(network, &elsewhere, 4), NO_REPLY);
	cr_assert_eq(network_transfer(network, &local, 5), STATUS_OK);

	network_settle(network);
	cr_assert_eq(network_transfer(network, &refused, 3), NO_REPLY, "room again");
	network_settle(network);
	cr_assert_eq(network_find(network, account_id(1, 2))->balance, 3 * AMOUNT);
	network_free(network);
}

Test(apply_client, busy_when_the_window_is_full_of_outcomes_and_promises)
{
	struct shard_limits limits = network_limits(2);
	limits.ids_per_second = 1;
	struct network *network = small_network(&limits);
	uint64_t count_max = network->shard[0]->window.count_max;
	/* Two operations made accounts in this generation. */
	uint64_t next = 1;

	for (; next + 2 < count_max; next++) {
		struct transfer transfer = pay(network, next, 0);
		cr_assert_eq(network_transfer(network, &transfer, next), STATUS_OK);
	}
	struct transfer promised = pay(network, next, 1);
	struct transfer refused = pay(network, next + 1, 0);
	cr_assert_eq(network_transfer(network, &promised, 1), NO_REPLY);
	cr_assert_eq(network_transfer(network, &refused, 2), STATUS_BUSY);
	cr_assert_eq(network->shard[0]->events[SHARD_EVENT_BUSY_WINDOW], 1);
	network_settle(network);
	cr_assert_eq(network_transfer(network, &promised, 1), STATUS_OK, "its place was kept");
	cr_assert_eq(network_transfer(network, &refused, 2), STATUS_BUSY);
	network_free(network);
}

Test(apply_client, held_money_cannot_be_spent_twice)
{
	struct shard_limits limits = network_limits(2);
	struct network *network = small_network(&limits);
	network_account(network, CREATE_ACCOUNT, account_id(0, 4), LEDGER, -150);
	struct transfer away = pay(network, 1, 1);
	struct transfer local = pay(network, 2, 0);

	away.debit = account_id(0, 4);
	local.debit = account_id(0, 4);
	cr_assert_eq(network_transfer(network, &away, 1), NO_REPLY);
	cr_assert_eq(network_find(network, account_id(0, 4))->held, AMOUNT);
	cr_assert_eq(network_transfer(network, &local, 2), STATUS_INSUFFICIENT_FUNDS);
	network_settle(network);
	cr_assert_eq(network_find(network, account_id(0, 4))->held, 0);
	cr_assert_eq(network_find(network, account_id(0, 4))->balance, -AMOUNT);
	network_free(network);
}

Test(apply_client, incoming_money_takes_room_but_cannot_be_spent)
{
	struct shard_limits limits = network_limits(2);
	struct network *network = small_network(&limits);
	struct id128 credit = account_id(1, 2);
	network_account(network, CREATE_ACCOUNT, account_id(1, 3), LEDGER, FLOOR_ISSUER);
	struct transfer big = pay(network, 1, 1);
	struct transfer more = pay(network, 2, 1);
	struct transfer spend = pay(network, 3, 1);

	big.amount = INT64_MAX;
	more.debit = account_id(1, 3);
	more.amount = 1;
	spend.debit = credit;
	spend.credit = account_id(1, 3);
	network_transfer(network, &big, 1);
	network_deliver_kind(network, MESSAGE_TRY);
	cr_assert_eq(network_find(network, credit)->incoming, INT64_MAX);
	cr_assert_eq(network_transfer(network, &more, 2), STATUS_CREDIT_OVERFLOW);
	cr_assert_eq(network_transfer(network, &spend, 3), STATUS_INSUFFICIENT_FUNDS);
	network_settle(network);
	cr_assert_eq(network_find(network, credit)->incoming, 0);
	cr_assert_eq(network_find(network, credit)->balance, INT64_MAX);
	network_free(network);
}
