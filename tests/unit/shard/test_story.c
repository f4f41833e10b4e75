/* SPDX-License-Identifier: Apache-2.0
 *
 * Random stories against an oracle that shares no code with the shard: plain arrays, transfers that
 * happen wholly or not at all.
 */
#include <criterion/criterion.h>

#include "tests/unit/shard/traffic.h"

__extension__ typedef __int128 exact;

/* Held and incoming of an account, counted from the rows. */
static void expect_backed_by_rows(const struct network *network, const struct account *account)
{
	uint64_t held = 0;
	uint64_t incoming = 0;

	for (uint32_t at = 0; at < network->limits.shards * network->limits.rows; at++) {
		const struct phase_link *link =
		    &network->shard[account->id.hi]->phase.link[at / network->limits.rows];
		const struct coordinator_row *debit = &link->coordinator[at % network->limits.rows];
		const struct participant_row *credit =
		    &link->participant[at % network->limits.rows];
		if (debit->state == COORDINATOR_TRYING &&
		    id_equal(debit->transfer.debit, account->id))
			held += debit->transfer.amount;
		if (credit->state == PARTICIPANT_TRIED_YES && id_equal(credit->credit, account->id))
			incoming += credit->amount;
	}
	cr_assert_eq(account->held, held);
	cr_assert_eq(account->incoming, incoming);
}

/* Money that has left its debit account and not reached its credit account. */
static exact in_flight_from(const struct network *network, uint32_t shard, uint32_t ledger)
{
	exact sum = 0;

	for (uint32_t peer = 0; peer < network->limits.shards; peer++) {
		const struct phase_link *link = &network->shard[shard]->phase.link[peer];
		const struct phase_link *other = &network->shard[peer]->phase.link[shard];
		for (uint32_t at = 0; at < network->limits.rows; at++) {
			const struct coordinator_row *row = &link->coordinator[at];
			if (row->state != COORDINATOR_CONFIRMING || row->transfer.ledger != ledger)
				continue;
			const struct participant_row *credit = &other->participant[at];
			cr_assert_eq(credit->seq, row->seq, "who confirms has had a yes");
			if (credit->state == PARTICIPANT_TRIED_YES)
				sum += row->transfer.amount;
			else
				cr_assert_eq(credit->state, PARTICIPANT_CONFIRMED);
		}
	}
	return sum;
}

static void expect_invariants(const struct network *network)
{
	exact sum[2] = {0, 0};

	for (uint32_t shard = 0; shard < network->limits.shards; shard++) {
		for (uint32_t i = 1; i <= TRAFFIC_ACCOUNTS; i++) {
			const struct account *account = network_find(network, account_id(shard, i));
			if (account == NULL)
				continue;
			cr_assert((exact)account->balance - account->held >= account->floor);
			cr_assert((exact)account->balance + account->incoming <= INT64_MAX);
			expect_backed_by_rows(network, account);
			sum[account->ledger - TRAFFIC_LEDGER] += account->balance;
		}
		sum[0] += in_flight_from(network, shard, TRAFFIC_LEDGER);
		sum[1] += in_flight_from(network, shard, TRAFFIC_LEDGER + 1);
	}
	cr_assert(sum[0] == 0 && sum[1] == 0, "money came from nowhere or went nowhere");
}

/* Balances are what the transfers say that the clients were told had been done. */
static void expect_balances_told(const struct traffic *traffic)
{
	exact balance[NETWORK_SHARDS_MAX][TRAFFIC_ACCOUNTS + 1] = {0};

	for (uint32_t i = 0; i < traffic->count; i++) {
		const struct transfer *transfer = &traffic->transfers[i].transfer;
		if (traffic->transfers[i].outcome != STATUS_OK)
			continue;
		balance[transfer->debit.hi][transfer->debit.lo] -= transfer->amount;
		balance[transfer->credit.hi][transfer->credit.lo] += transfer->amount;
	}
	for (uint32_t shard = 0; shard < traffic->network->limits.shards; shard++) {
		for (uint32_t i = 1; i <= TRAFFIC_ACCOUNTS; i++) {
			const struct account *account =
			    network_find(traffic->network, account_id(shard, i));
			cr_assert((account == NULL ? 0 : account->balance) == balance[shard][i]);
			cr_assert(account == NULL || (account->held | account->incoming) == 0);
		}
	}
}

static uint32_t count_told(const struct traffic *traffic, enum status status)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < traffic->count; i++)
		count += traffic->transfers[i].outcome == (int)status;
	return count;
}

static void concurrent_story(uint32_t shards, uint64_t seed, bool crashes, uint64_t *events)
{
	struct shard_limits limits = traffic_limits(shards);
	struct traffic *traffic = traffic_new(&limits, seed);

	traffic->crashes = crashes;
	for (uint32_t step = 0; step < 6000; step++) {
		traffic_step(traffic);
		expect_invariants(traffic->network);
		for (uint32_t i = 0; i < shards; i++)
			for (uint32_t event = 0; event < SHARD_EVENTS; event++)
				if (traffic->network->shard[i]->events[event] != 0)
					events[event]++;
	}
	traffic_finish(traffic);
	expect_invariants(traffic->network);
	expect_balances_told(traffic);
	cr_assert_gt(count_told(traffic, STATUS_OK), 50, "a story of something");
	for (uint32_t i = 0; i < shards; i++)
		cr_assert_eq(traffic->network->shard[i]->phase.in_flight, 0);
	traffic_free(traffic);
}

Test(story, concurrent_transfers_over_bad_links)
{
	uint64_t events[SHARD_EVENTS] = {0};

	for (uint64_t seed = 1; seed <= 10; seed++)
		concurrent_story(2 + (uint32_t)seed % 3, seed, false, events);
	/* The stories must tell of everything that can happen, but for limits that they avoid. */
	for (uint32_t event = 0; event < SHARD_EVENTS; event++) {
		if (event == SHARD_EVENT_BUSY_NO_NEW_WORK || event == SHARD_EVENT_BUSY_WINDOW ||
		    event == SHARD_EVENT_BUSY_ACCOUNTS || event == SHARD_EVENT_OUTCOME_FORGOTTEN)
			continue;
		cr_expect_gt(events[event], 0, "never: %s", shard_event_text(event));
	}
}

Test(story, crashes_take_back_only_what_nobody_was_told)
{
	uint64_t events[SHARD_EVENTS] = {0};

	for (uint64_t seed = 101; seed <= 110; seed++)
		concurrent_story(1 + (uint32_t)seed % 4, seed, true, events);
}

/* The transfers of a log that were executed or tried. */
static uint32_t executed_ids(const struct network_log *log, struct id128 *ids, uint32_t limit)
{
	uint32_t count = 0;

	for (uint32_t at = 0; at < log->count; at++) {
		struct record record;
		record_decode(log->records[at].bytes, log->records[at].size, &record);
		if (record.head.kind != RECORD_TRANSFER ||
		    (record.head.arg != STATUS_OK && record.head.arg != STATUS_PENDING))
			continue;
		cr_assert_lt(count, limit);
		ids[count++] = record.transfer.id;
	}
	return count;
}

/* Ids are asked for again and again, long after they have left a window of a second. */
static void short_window_story(uint64_t seed, uint64_t *forgotten)
{
	struct shard_limits limits = traffic_limits(3);
	limits.window_ms = WINDOW_MS_MIN;
	limits.try_timeout_ms = 0;
	struct traffic *traffic = traffic_new(&limits, seed);
	struct network *network = traffic->network;
	static struct id128 ids[TRAFFIC_TRANSFERS_MAX];

	traffic->crashes = seed % 2 == 0;
	for (uint32_t step = 0; step < 6000; step++) {
		traffic_step(traffic);
		expect_invariants(network);
	}
	traffic_finish(traffic);
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t count = executed_ids(&network->log[i], ids, TRAFFIC_TRANSFERS_MAX);
		cr_assert_gt(count, 20);
		for (uint32_t a = 0; a < count; a++)
			for (uint32_t b = a + 1; b < count; b++)
				cr_assert_not(id_equal(ids[a], ids[b]), "executed twice");
		*forgotten += network->shard[i]->events[SHARD_EVENT_OUTCOME_FORGOTTEN];
	}
	traffic_free(traffic);
}

Test(story, no_id_is_executed_twice_however_late_it_comes_again)
{
	uint64_t forgotten = 0;

	for (uint64_t seed = 201; seed <= 210; seed++)
		short_window_story(seed, &forgotten);
	cr_assert_gt(forgotten, 0, "some rows outlive their id's window");
}

struct model_account {
	bool exists;
	bool frozen;
	bool closed;
	uint32_t ledger;
	int64_t floor;
	int64_t balance;
};

struct model {
	uint64_t now_ms;
	uint64_t window_ms;
	uint64_t ahead_ms;
	struct model_account accounts[NETWORK_SHARDS_MAX][TRAFFIC_ACCOUNTS + 1];
};

static struct model_account *model_find(struct model *model, struct id128 id)
{
	return &model->accounts[id.hi][id.lo];
}

static enum status model_transfer(struct model *model, const struct transfer *transfer)
{
	struct model_account *debit = model_find(model, transfer->debit);
	struct model_account *credit = model_find(model, transfer->credit);
	uint64_t time_ms = transfer->id.hi / 65536;

	if (time_ms < model->now_ms - model->window_ms)
		return STATUS_ID_EXPIRED;
	if (time_ms > model->now_ms + model->ahead_ms)
		return STATUS_ID_AHEAD;
	if (!debit->exists)
		return STATUS_DEBIT_NOT_FOUND;
	if (debit->ledger != transfer->ledger)
		return STATUS_DEBIT_LEDGER_MISMATCH;
	if (debit->closed)
		return STATUS_DEBIT_CLOSED;
	if (debit->frozen)
		return STATUS_DEBIT_FROZEN;
	if ((exact)debit->balance - transfer->amount < debit->floor)
		return STATUS_INSUFFICIENT_FUNDS;
	if (!credit->exists)
		return STATUS_CREDIT_NOT_FOUND;
	if (credit->ledger != transfer->ledger)
		return STATUS_CREDIT_LEDGER_MISMATCH;
	if (credit->closed)
		return STATUS_CREDIT_CLOSED;
	if (credit->frozen)
		return STATUS_CREDIT_FROZEN;
	if ((exact)credit->balance + transfer->amount > INT64_MAX)
		return STATUS_CREDIT_OVERFLOW;
	debit->balance = (int64_t)((exact)debit->balance - transfer->amount);
	credit->balance = (int64_t)((exact)credit->balance + transfer->amount);
	return STATUS_OK;
}

static enum status model_operation(struct model *model, const struct account_operation *operation)
{
	struct model_account *account = model_find(model, operation->account);

	if (operation->action == CREATE_ACCOUNT) {
		if (account->exists)
			return account->ledger == operation->ledger &&
				       account->floor == operation->floor
				   ? STATUS_ACCOUNT_EXISTS
				   : STATUS_ACCOUNT_DIFFERS;
		*account = (struct model_account){
		    .exists = true, .ledger = operation->ledger, .floor = operation->floor};
		return STATUS_OK;
	}
	if (!account->exists)
		return STATUS_ACCOUNT_NOT_FOUND;
	if (account->closed)
		return STATUS_ACCOUNT_ALREADY_CLOSED;
	if (operation->action == CLOSE_ACCOUNT) {
		if (account->balance != 0)
			return STATUS_ACCOUNT_NOT_EMPTY;
		account->closed = true;
		return STATUS_OK;
	}
	account->frozen = operation->action == FREEZE_ACCOUNT;
	return STATUS_OK;
}

static void expect_like_model(const struct network *network, const struct model *model)
{
	for (uint32_t shard = 0; shard < network->limits.shards; shard++) {
		for (uint32_t i = 1; i <= TRAFFIC_ACCOUNTS; i++) {
			const struct model_account *expected = &model->accounts[shard][i];
			const struct account *account = network_find(network, account_id(shard, i));
			cr_assert_eq(account != NULL, expected->exists);
			if (account == NULL)
				continue;
			cr_assert_eq(account->balance, expected->balance);
			cr_assert_eq((account->flags & ACCOUNT_FROZEN) != 0, expected->frozen);
			cr_assert_eq((account->flags & ACCOUNT_CLOSED) != 0, expected->closed);
			cr_assert_eq(account->held | account->incoming, 0);
		}
	}
}

/* Delivers over bad links until the transfer that was sent is answered. Copies of messages of
 * earlier transfers are on the wire, too. */
static enum status answer_over_bad_links(struct traffic *traffic)
{
	struct network *network = traffic->network;

	while (network->reply_count == 0) {
		uint32_t dice = random_below(&traffic->random, 100);
		uint32_t at = network->wire_count == 0
				  ? 0
				  : random_below(&traffic->random, network->wire_count);
		if (network->wire_count == 0 || dice < 5)
			network_resend(network);
		else if (dice < 15 && network->wire_count < 50)
			network_copy(network, at);
		else if (dice < 35)
			network_lose(network, at);
		else
			network_deliver(network, at);
	}
	cr_assert_eq(network->reply_count, 1);
	network->reply_count = 0;
	return network->replies[0].status;
}

static void sequential_story(uint32_t shards, uint64_t seed, uint32_t *statuses)
{
	struct shard_limits limits = traffic_limits(shards);
	struct traffic *traffic = traffic_new(&limits, seed);
	struct network *network = traffic->network;
	struct model model = {
	    .now_ms = NETWORK_START_MS,
	    .window_ms = network->limits.window_ms,
	    .ahead_ms = network->limits.ahead_ms,
	};

	for (uint32_t shard = 0; shard < shards; shard++) {
		for (uint32_t i = 1; i < TRAFFIC_ACCOUNTS; i++)
			model.accounts[shard][i] = (struct model_account){
			    .exists = true,
			    .ledger = i == 5 ? TRAFFIC_LEDGER + 1 : TRAFFIC_LEDGER,
			    .floor = i == 1   ? INT64_MIN
				     : i == 2 ? -500
					      : 0,
			};
	}
	for (uint32_t i = 0; i < 1000; i++) {
		struct account_operation operation;
		enum status status;
		enum status expected;

		if (random_below(&traffic->random, 8) == 0) {
			network_tick(network, 10);
			model.now_ms += 10;
		}
		if (random_below(&traffic->random, 12) == 0) {
			status = (enum status)traffic_operation(traffic, &operation);
			network->reply_count = 0;
			expected = model_operation(&model, &operation);
		} else {
			const struct transfer transfer = traffic_transfer(traffic);
			network_transfer(network, &transfer, 1);
			status = answer_over_bad_links(traffic);
			expected = model_transfer(&model, &transfer);
		}
		cr_assert_eq(status, expected, "seed %u, step %u: %s, not %s", (unsigned)seed, i,
			     status_name(status), status_name(expected));
		statuses[status]++;
		expect_like_model(network, &model);
	}
	traffic_free(traffic);
}

Test(story, one_transfer_after_the_other_agrees_with_the_model)
{
	static const enum status wanted[] = {
	    STATUS_OK,
	    STATUS_ID_EXPIRED,
	    STATUS_ID_AHEAD,
	    STATUS_DEBIT_NOT_FOUND,
	    STATUS_DEBIT_LEDGER_MISMATCH,
	    STATUS_DEBIT_CLOSED,
	    STATUS_DEBIT_FROZEN,
	    STATUS_INSUFFICIENT_FUNDS,
	    STATUS_CREDIT_NOT_FOUND,
	    STATUS_CREDIT_LEDGER_MISMATCH,
	    STATUS_CREDIT_CLOSED,
	    STATUS_CREDIT_FROZEN,
	    STATUS_CREDIT_OVERFLOW,
	    STATUS_ACCOUNT_EXISTS,
	    STATUS_ACCOUNT_DIFFERS,
	    STATUS_ACCOUNT_NOT_FOUND,
	    STATUS_ACCOUNT_ALREADY_CLOSED,
	    STATUS_ACCOUNT_NOT_EMPTY,
	};
	uint32_t statuses[STATUS_LIMIT] = {0};

	for (uint64_t seed = 1; seed <= 8; seed++)
		sequential_story(1 + (uint32_t)seed % 4, seed, statuses);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		cr_expect_gt(statuses[wanted[i]], 0, "never: %s", status_name(wanted[i]));
}
