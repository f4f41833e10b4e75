/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/shard/network.h"

#define LEDGER 7

static bool equal(struct shard_digest a, struct shard_digest b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

static void pay(struct network *network, uint64_t number, struct id128 debit, struct id128 credit)
{
	const struct transfer transfer = {
	    .id = time_id(NETWORK_START_MS, number),
	    .debit = debit,
	    .credit = credit,
	    .amount = 10 + number,
	    .ledger = LEDGER,
	    .code = 5,
	};

	network_transfer(network, &transfer, number);
}

/* Shard 0 with everything in it: accounts, outcomes, rows as coordinator and as participant. */
static struct network *network_with_everything(void)
{
	struct shard_limits limits = network_limits(2);
	struct network *network = network_new(&limits);

	for (uint32_t i = 0; i < 2; i++) {
		network_account(network, CREATE_ACCOUNT, account_id(i, 1), LEDGER, FLOOR_ISSUER);
		network_account(network, CREATE_ACCOUNT, account_id(i, 2), LEDGER, -3);
	}
	pay(network, 1, account_id(0, 1), account_id(1, 2));
	network_settle(network); /* low, next and peer_low differ from 0 after these */
	pay(network, 2, account_id(1, 1), account_id(0, 2));
	network_settle(network);
	pay(network, 3, account_id(0, 1), account_id(0, 2));
	pay(network, 4, account_id(0, 1), account_id(1, 2));
	pay(network, 5, account_id(1, 1), account_id(0, 2));
	network_deliver(network, 1);
	return network;
}

static struct account *first_account(struct shard *shard)
{
	struct account *account = shard->accounts.lines;

	while (id_is_zero(account->id))
		account++;
	return account;
}

static struct window_entry *first_outcome(struct shard *shard)
{
	struct window_entry *entry = shard->window.entries;

	while (id_is_zero(entry->id))
		entry++;
	return entry;
}

static struct coordinator_row *first_try(struct shard *shard)
{
	struct coordinator_row *row = shard->phase.link[1].coordinator;

	while (row->state == COORDINATOR_FREE)
		row++;
	return row;
}

static struct participant_row *tried(struct shard *shard)
{
	struct participant_row *row = shard->phase.link[1].participant;

	while (row->state != PARTICIPANT_TRIED_YES)
		row++;
	return row;
}

/* Flips the lowest bit of a field, or the bits of `mask` in its lowest byte. */
struct flip {
	const char *name;
	void *field;
	uint8_t mask;
};

#define FLIP(pointer, member)                               \
	{                                                   \
#pointer "." #member, &(pointer)->member, 1 \
	}

static void flip(const struct flip *row)
{
	*(uint8_t *)row->field ^= row->mask;
}

Test(digest, changes_with_every_field_of_the_state)
{
	struct network *network = network_with_everything();
	struct shard *shard = network->shard[0];
	struct account *account = first_account(shard);
	struct window_entry *outcome = first_outcome(shard);
	struct coordinator_row *coordinator = first_try(shard);
	struct participant_row *participant = tried(shard);
	struct phase_link *link = &shard->phase.link[1];
	struct phase_link *own_link = &shard->phase.link[0];
	const struct flip rows[] = {
	    FLIP(account, id.lo),
	    FLIP(account, id.hi),
	    FLIP(account, balance),
	    FLIP(account, held),
	    FLIP(account, incoming),
	    FLIP(account, floor),
	    FLIP(account, ledger),
	    FLIP(account, flags),
	    {"frozen", &account->flags, ACCOUNT_CLOSED},
	    FLIP(outcome, id.lo),
	    FLIP(outcome, id.hi),
	    FLIP(outcome, content),
	    {"status", &outcome->outcome, 1},
	    {"epoch", (uint8_t *)&outcome->outcome + 1, 1},
	    FLIP(coordinator, seq),
	    FLIP(coordinator, transfer.id.lo),
	    FLIP(coordinator, transfer.id.hi),
	    FLIP(coordinator, transfer.debit.lo),
	    FLIP(coordinator, transfer.debit.hi),
	    FLIP(coordinator, transfer.credit.lo),
	    FLIP(coordinator, transfer.credit.hi),
	    FLIP(coordinator, transfer.amount),
	    FLIP(coordinator, transfer.ledger),
	    FLIP(coordinator, transfer.code),
	    FLIP(coordinator, started_ms),
	    {"coordinator state", &coordinator->state, 3},
	    FLIP(coordinator, outcome),
	    FLIP(participant, seq),
	    FLIP(participant, transfer.lo),
	    FLIP(participant, transfer.hi),
	    FLIP(participant, credit.lo),
	    FLIP(participant, credit.hi),
	    FLIP(participant, amount),
	    {"participant state", &participant->state, 3},
	    FLIP(participant, vote),
	    FLIP(link, next),
	    FLIP(link, low),
	    FLIP(link, peer_low),
	    FLIP(own_link, next),
	    FLIP(shard, index),
	};
	const size_t count = sizeof(rows) / sizeof(rows[0]);
	struct shard_digest before = shard_digest(shard);
	struct shard_digest seen[sizeof(rows) / sizeof(rows[0])];

	for (size_t i = 0; i < count; i++) {
		flip(&rows[i]);
		seen[i] = shard_digest(shard);
		flip(&rows[i]);
		cr_expect_not(equal(seen[i], before), "%s does not count", rows[i].name);
		for (size_t j = 0; j < i; j++)
			cr_expect_not(equal(seen[i], seen[j]), "%s counts as %s", rows[i].name,
				      rows[j].name);
		cr_assert(equal(shard_digest(shard), before));
	}
	network_free(network);
}

/* Derived from the rest, or the owner's own business. */
Test(digest, does_not_change_with_what_is_not_state)
{
	struct network *network = network_with_everything();
	struct shard *shard = network->shard[0];
	struct shard_digest before = shard_digest(shard);

	first_try(shard)->token++;
	first_try(shard)->debit_line++;
	first_try(shard)->content++;
	tried(shard)->credit_line++;
	shard->events[0]++;
	shard->statuses[0]++;
	cr_assert(equal(shard_digest(shard), before));
	network_free(network);
}

Test(digest, epochs_and_time_count_only_by_what_they_forget)
{
	struct network *network = network_with_everything();
	struct shard *shard = network->shard[0];
	struct shard_digest before = shard_digest(shard);

	network_tick(network, 1);
	cr_assert(equal(shard_digest(shard), before));
	network_tick(network, 2 * network->limits.window_ms);
	cr_assert_not(equal(shard_digest(shard), before), "the outcomes are forgotten");
	network_free(network);
}

Test(digest, empty_shards_differ_by_index_and_count)
{
	struct shard_limits limits = network_limits(3);
	struct network *three = network_new(&limits);
	limits.shards = 2;
	struct network *two = network_new(&limits);

	cr_assert_not(equal(shard_digest(three->shard[0]), shard_digest(three->shard[1])));
	cr_assert_not(equal(shard_digest(three->shard[0]), shard_digest(two->shard[0])));
	network_free(three);
	network_free(two);
}

/* The same accounts and outcomes, put in in two orders. */
Test(digest, does_not_depend_on_the_order_of_insertion)
{
	struct shard_limits limits = network_limits(1);
	struct network *forwards = network_new(&limits);
	struct network *backwards = network_new(&limits);

	for (uint64_t i = 1; i <= 100; i++) {
		struct account_operation operation = {
		    .id = time_id(NETWORK_START_MS, i),
		    .account = account_id(0, i),
		    .ledger = LEDGER,
		    .action = CREATE_ACCOUNT,
		};
		cr_assert_eq(network_operation(forwards, &operation), STATUS_OK);
		operation.id = time_id(NETWORK_START_MS, 101 - i);
		operation.account = account_id(0, 101 - i);
		cr_assert_eq(network_operation(backwards, &operation), STATUS_OK);
	}
	size_t bytes = forwards->shard[0]->accounts.line_count * sizeof(struct account);
	cr_assert(memcmp(forwards->shard[0]->accounts.lines, backwards->shard[0]->accounts.lines,
			 bytes) != 0,
		  "the tables do differ");
	cr_assert(equal(shard_digest(forwards->shard[0]), shard_digest(backwards->shard[0])));
	network_free(forwards);
	network_free(backwards);
}

/* The number itself is part of the log's contract: every compiler, every version, the same. */
Test(digest, golden)
{
	struct network *network = network_with_everything();
	struct shard_digest digest = shard_digest(network->shard[0]);

	cr_assert_eq(digest.hi, UINT64_C(0xd8320dbe40050ca2), "hi %#llx",
		     (unsigned long long)digest.hi);
	cr_assert_eq(digest.lo, UINT64_C(0x7da4dce87d13a24e), "lo %#llx",
		     (unsigned long long)digest.lo);
	network_free(network);
}
