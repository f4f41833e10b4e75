/* SPDX-License-Identifier: Apache-2.0
 *
 * TC/C stories: shards 0 (coordinator) and 1, messages in the order of the story's choice, and the
 * trace that must come of it.
 */
#include <criterion/criterion.h>
#include <signal.h>

#include "tests/unit/shard/network.h"

#define LEDGER 7

/* Accounts 1 (an issuer) and 2 on every shard; 3 exists nowhere. */
static struct network *network_of(uint32_t shards, uint64_t try_timeout_ms)
{
	struct shard_limits limits = network_limits(shards);
	limits.try_timeout_ms = try_timeout_ms;
	struct network *network = network_new(&limits);

	for (uint32_t i = 0; i < shards; i++) {
		network_account(network, CREATE_ACCOUNT, account_id(i, 1), LEDGER, FLOOR_ISSUER);
		network_account(network, CREATE_ACCOUNT, account_id(i, 2), LEDGER, 0);
	}
	network->reply_count = 0;
	network->tracing = true;
	return network;
}

static int pay(struct network *network, uint64_t number, uint32_t to, uint64_t account)
{
	const struct transfer transfer = {
	    .id = time_id(NETWORK_START_MS, number),
	    .debit = account_id(0, 1),
	    .credit = account_id(to, account),
	    .amount = 100,
	    .ledger = LEDGER,
	};

	return network_transfer(network, &transfer, number);
}

static void expect_account(struct network *network, struct id128 id, int64_t balance, uint64_t held,
			   uint64_t incoming)
{
	const struct account *account = network_find(network, id);

	cr_assert_not_null(account);
	cr_assert_eq(account->balance, balance, "balance %lld", (long long)account->balance);
	cr_assert_eq(account->held, held, "held %llu", (unsigned long long)account->held);
	cr_assert_eq(account->incoming, incoming, "incoming %llu",
		     (unsigned long long)account->incoming);
}

Test(apply_peer, yes)
{
	struct network *network = network_of(2, 0);

	pay(network, 1, 1, 2);
	expect_account(network, account_id(0, 1), 0, 100, 0);
	network_deliver(network, 0);
	expect_account(network, account_id(1, 2), 0, 0, 100);
	network_deliver(network, 0);
	expect_account(network, account_id(0, 1), -100, 0, 0);
	network_deliver(network, 0);
	expect_account(network, account_id(1, 2), 100, 0, 0);
	network_deliver(network, 0);
	network_expect_trace(network, "0 transfer 1 | log TRANSFER PENDING | send TRY 0\n"
				      "1 TRY 0 | log TRY OK | send VOTE 0 OK\n"
				      "0 VOTE 0 OK | log VOTE OK | send CONFIRM 0\n"
				      "1 CONFIRM 0 | log CONFIRM | send ACK 0\n"
				      "0 ACK 0 | log ACK | reply OK\n");
	cr_assert_eq(network->replies[0].token, 1);
	cr_assert_eq(network->shard[0]->phase.in_flight, 0);
	network_free(network);
}

Test(apply_peer, no)
{
	struct network *network = network_of(2, 0);

	pay(network, 1, 1, 3);
	network_settle(network);
	network_expect_trace(
	    network, "0 transfer 1 | log TRANSFER PENDING | send TRY 0\n"
		     "1 TRY 0 | log TRY CREDIT_NOT_FOUND | send VOTE 0 CREDIT_NOT_FOUND\n"
		     "0 VOTE 0 CREDIT_NOT_FOUND | log VOTE CREDIT_NOT_FOUND | send CANCEL 0\n"
		     "1 CANCEL 0 | log CANCEL | send ACK 0\n"
		     "0 ACK 0 | log ACK | reply CREDIT_NOT_FOUND\n");
	expect_account(network, account_id(0, 1), 0, 0, 0);
	cr_assert_eq(pay(network, 1, 1, 3), STATUS_CREDIT_NOT_FOUND);
	network_free(network);
}

Test(apply_peer, refused_before_any_message)
{
	struct network *network = network_of(2, 0);
	const struct transfer transfer = {
	    .id = time_id(NETWORK_START_MS, 1),
	    .debit = account_id(0, 2),
	    .credit = account_id(1, 2),
	    .amount = 1,
	    .ledger = LEDGER,
	};

	network_transfer(network, &transfer, 1);
	network_expect_trace(network, "0 transfer 1 | log TRANSFER INSUFFICIENT_FUNDS | reply "
				      "INSUFFICIENT_FUNDS\n");
	cr_assert_eq(network->wire_count, 0);
	network_free(network);
}

Test(apply_peer, timeout_before_the_try_arrives)
{
	struct network *network = network_of(2, 500);

	pay(network, 1, 1, 2);
	network_tick(network, 501);
	network_timeouts(network);
	network_expect_trace(network, "0 transfer 1 | log TRANSFER PENDING | send TRY 0\n"
				      "0 timeout 0 | log TIMEOUT | send CANCEL 0\n");
	/* The cancel overtakes. */
	network_deliver_kind(network, MESSAGE_CANCEL);
	network_deliver_kind(network, MESSAGE_TRY);
	network_settle(network);
	network_expect_trace(network, "1 CANCEL 0 | log CANCEL | send ACK 0\n"
				      "1 TRY 0 | send VOTE 0 TRY_TIMEOUT\n"
				      "0 ACK 0 | log ACK | reply TRY_TIMEOUT\n"
				      "0 VOTE 0 TRY_TIMEOUT\n");
	expect_account(network, account_id(0, 1), 0, 0, 0);
	expect_account(network, account_id(1, 2), 0, 0, 0);
	cr_assert_eq(network->shard[1]->events[SHARD_EVENT_CANCEL_OVERTOOK_TRY], 1);
	cr_assert_eq(network->shard[1]->events[SHARD_EVENT_TRY_AFTER_CANCEL], 1);
	network_free(network);
}

Test(apply_peer, timeout_while_the_yes_is_on_its_way)
{
	struct network *network = network_of(2, 500);

	pay(network, 1, 1, 2);
	network_deliver(network, 0);
	network_tick(network, 501);
	network_timeouts(network);
	network_deliver_kind(network, MESSAGE_VOTE);
	network_settle(network);
	network_expect_trace(network, "0 transfer 1 | log TRANSFER PENDING | send TRY 0\n"
				      "1 TRY 0 | log TRY OK | send VOTE 0 OK\n"
				      "0 timeout 0 | log TIMEOUT | send CANCEL 0\n"
				      "0 VOTE 0 OK\n"
				      "1 CANCEL 0 | log CANCEL | send ACK 0\n"
				      "0 ACK 0 | log ACK | reply TRY_TIMEOUT\n");
	expect_account(network, account_id(0, 1), 0, 0, 0);
	expect_account(network, account_id(1, 2), 0, 0, 0);
	cr_assert_eq(network->shard[0]->events[SHARD_EVENT_VOTE_IGNORED], 1);
	network_free(network);
}

Test(apply_peer, timeout_does_not_undo_a_decision)
{
	struct network *network = network_of(2, 500);
	const struct shard_input timeout = {.kind = SHARD_INPUT_TIMEOUT,
					    .message = {.from = 1, .seq = 0}};

	pay(network, 1, 1, 2);
	network_deliver(network, 0);
	network_deliver(network, 0);
	network->trace[0] = 0;
	network_apply(network, 0, &timeout);
	network_settle(network);
	network_apply(network, 0, &timeout);
	network_expect_trace(network, "0 timeout 0\n"
				      "1 CONFIRM 0 | log CONFIRM | send ACK 0\n"
				      "0 ACK 0 | log ACK | reply OK\n"
				      "0 timeout 0\n");
	network_free(network);
}

/* Two transfers; the first is held up, the second finishes, a third moves low past both. */
Test(apply_peer, low_holds_until_the_oldest_is_finished)
{
	struct network *network = network_of(2, 0);

	pay(network, 1, 1, 2); /* TRY 0 waits */
	pay(network, 2, 1, 2);
	network_deliver(network, 1);
	network_deliver(network, 1);
	network_deliver(network, 1);
	network_deliver(network, 1);
	network_expect_trace(network, "0 transfer 1 | log TRANSFER PENDING | send TRY 0\n"
				      "0 transfer 2 | log TRANSFER PENDING | send TRY 1 (low 0)\n"
				      "1 TRY 1 (low 0) | log TRY OK | send VOTE 1 OK\n"
				      "0 VOTE 1 OK | log VOTE OK | send CONFIRM 1 (low 0)\n"
				      "1 CONFIRM 1 (low 0) | log CONFIRM | send ACK 1\n"
				      "0 ACK 1 | log ACK | reply OK\n");
	cr_assert_eq(network->shard[0]->phase.link[1].low, 0);
	network_settle(network);
	cr_assert_eq(network->shard[0]->phase.link[1].low, 2);
	cr_assert_eq(network->shard[1]->phase.link[0].peer_low, 0, "not told yet");
	network->trace[0] = 0;
	pay(network, 3, 1, 2);
	network_settle(network);
	network_expect_trace(network, "0 transfer 3 | log TRANSFER PENDING | send TRY 2\n"
				      "1 TRY 2 | log TRY OK | send VOTE 2 OK\n"
				      "0 VOTE 2 OK | log VOTE OK | send CONFIRM 2\n"
				      "1 CONFIRM 2 | log CONFIRM | send ACK 2\n"
				      "0 ACK 2 | log ACK | reply OK\n");
	cr_assert_eq(network->shard[1]->phase.link[0].peer_low, 2);
	expect_account(network, account_id(1, 2), 300, 0, 0);
	network_free(network);
}

/* A confirm and a cancel move the participant's low, each before any later try does. */
Test(apply_peer, second_phase_tells_low)
{
	static const struct {
		uint64_t credit;
		const char *last;
	} rows[] = {
	    {2, "1 CONFIRM 1 | log CONFIRM | send ACK 1\n"},
	    {3, "1 CANCEL 1 | log CANCEL | send ACK 1\n"},
	};

	for (size_t i = 0; i < 2; i++) {
		struct network *network = network_of(2, 0);

		pay(network, 1, 1, 2);
		pay(network, 2, 1, rows[i].credit);
		network_deliver(network, 1); /* TRY 1 (low 0); its VOTE waits */
		struct shard_message vote = network->wire[1];
		network_lose(network, 1);
		network_settle(network);
		cr_assert_eq(network->shard[0]->phase.link[1].low, 1);
		cr_assert_eq(network->shard[1]->phase.link[0].peer_low, 0);
		network->wire[network->wire_count++] = vote;
		network_deliver(network, 0);
		network->trace[0] = 0;
		network_deliver(network, 0);
		network_expect_trace(network, rows[i].last);
		cr_assert_eq(network->shard[1]->phase.link[0].peer_low, 1);
		network_free(network);
	}
}

/* Every message of a transfer that confirms is kept and delivered again at every later stage. */
Test(apply_peer, old_messages_of_a_confirmed_transfer_change_nothing)
{
	static const char *const repeats[] = {
	    /* after TRY */
	    "1 TRY 0 | send VOTE 0 OK\n",
	    /* after VOTE */
	    "1 TRY 0 | send VOTE 0 OK\n"
	    "0 VOTE 0 OK\n",
	    /* after CONFIRM */
	    "1 TRY 0 | send VOTE 0 OK\n"
	    "0 VOTE 0 OK\n"
	    "1 CONFIRM 0 | send ACK 0\n",
	    /* after ACK */
	    "1 TRY 0 | send VOTE 0 OK\n"
	    "0 VOTE 0 OK\n"
	    "1 CONFIRM 0 | send ACK 0\n"
	    "0 ACK 0\n",
	};
	struct network *network = network_of(2, 0);
	struct shard_message kept[4];

	pay(network, 1, 1, 2);
	for (uint32_t stage = 0; stage < 4; stage++) {
		kept[stage] = network->wire[0];
		network_deliver(network, 0);
		uint32_t waiting = network->wire_count;
		network->trace[0] = 0;
		for (uint32_t i = 0; i <= stage; i++) {
			network->wire[network->wire_count++] = kept[i];
			network_deliver(network, network->wire_count - 1);
		}
		network_expect_trace(network, repeats[stage]);
		network->wire_count = waiting;
	}
	expect_account(network, account_id(0, 1), -100, 0, 0);
	expect_account(network, account_id(1, 2), 100, 0, 0);
	network_free(network);
}

Test(apply_peer, old_messages_of_a_cancelled_transfer_change_nothing)
{
	static const char *const repeats[] = {
	    /* after TRY */
	    "1 TRY 0 | send VOTE 0 OK\n",
	    /* after the time-out's CANCEL */
	    "1 TRY 0 | send VOTE 0 TRY_TIMEOUT\n"
	    "1 CANCEL 0 | send ACK 0\n",
	    /* after ACK */
	    "1 TRY 0 | send VOTE 0 TRY_TIMEOUT\n"
	    "1 CANCEL 0 | send ACK 0\n"
	    "0 ACK 0\n",
	};
	struct network *network = network_of(2, 500);
	struct shard_message kept[3];

	pay(network, 1, 1, 2);
	for (uint32_t stage = 0; stage < 3; stage++) {
		kept[stage] = network->wire[0];
		network_deliver(network, 0);
		uint32_t waiting = network->wire_count;
		network->trace[0] = 0;
		for (uint32_t i = 0; i <= stage; i++) {
			network->wire[network->wire_count++] = kept[i];
			network_deliver(network, network->wire_count - 1);
		}
		network_expect_trace(network, repeats[stage]);
		network->wire_count = waiting;
		if (stage == 0) {
			network->wire_count = 0; /* the vote is lost */
			network_tick(network, 501);
			network_timeouts(network);
		}
	}
	expect_account(network, account_id(0, 1), 0, 0, 0);
	expect_account(network, account_id(1, 2), 0, 0, 0);
	network_free(network);
}

Test(apply_peer, repeated_cancel_of_a_no_and_of_a_mark)
{
	struct network *network = network_of(2, 500);

	pay(network, 1, 1, 3);
	network_deliver(network, 0);
	network_copy(network, 0);
	network_deliver(network, 0);
	network_copy(network, 1);
	network_settle(network);
	network_expect_trace(
	    network, "0 transfer 1 | log TRANSFER PENDING | send TRY 0\n"
		     "1 TRY 0 | log TRY CREDIT_NOT_FOUND | send VOTE 0 CREDIT_NOT_FOUND\n"
		     "0 VOTE 0 CREDIT_NOT_FOUND | log VOTE CREDIT_NOT_FOUND | send CANCEL 0\n"
		     "0 VOTE 0 CREDIT_NOT_FOUND\n"
		     "1 CANCEL 0 | log CANCEL | send ACK 0\n"
		     "1 CANCEL 0 | send ACK 0\n"
		     "0 ACK 0 | log ACK | reply CREDIT_NOT_FOUND\n"
		     "0 ACK 0\n");
	pay(network, 2, 1, 2);
	network_tick(network, 501);
	network_timeouts(network);
	network_lose(network, 0);
	network_copy(network, 0);
	network_settle(network);
	network_expect_trace(network, "0 transfer 2 | log TRANSFER PENDING | send TRY 1\n"
				      "0 timeout 1 | log TIMEOUT | send CANCEL 1\n"
				      "1 CANCEL 1 | log CANCEL | send ACK 1\n"
				      "1 CANCEL 1 | send ACK 1\n"
				      "0 ACK 1 | log ACK | reply TRY_TIMEOUT\n"
				      "0 ACK 1\n");
	network_free(network);
}

/* Below low nothing is known, and nothing is answered. */
Test(apply_peer, messages_below_low_are_stale)
{
	struct network *network = network_of(2, 500);
	struct shard_message kept[3];

	pay(network, 1, 1, 2);
	kept[0] = network->wire[0];
	network_deliver(network, 0);
	network_deliver(network, 0);
	kept[1] = network->wire[0];
	network_settle(network);
	kept[2] = kept[1];
	kept[2].kind = MESSAGE_CANCEL;
	pay(network, 2, 1, 2);
	network_settle(network);
	cr_assert_eq(network->shard[1]->phase.link[0].peer_low, 1);
	network->trace[0] = 0;
	for (uint32_t i = 0; i < 3; i++)
		network->wire[network->wire_count++] = kept[i];
	network_settle(network);
	network_expect_trace(network, "1 TRY 0\n"
				      "1 CONFIRM 0\n"
				      "1 CANCEL 0\n");
	cr_assert_eq(network->shard[1]->events[SHARD_EVENT_TRY_STALE], 1);
	cr_assert_eq(network->shard[1]->events[SHARD_EVENT_CONFIRM_STALE], 1);
	cr_assert_eq(network->shard[1]->events[SHARD_EVENT_CANCEL_STALE], 1);
	expect_account(network, account_id(1, 2), 200, 0, 0);
	network_free(network);
}

Test(apply_peer, votes_and_acks_out_of_place_are_ignored)
{
	struct network *network = network_of(2, 0);
	struct shard_message ack = {.kind = MESSAGE_ACK, .from = 1, .to = 0};
	struct shard_message vote = {.kind = MESSAGE_VOTE, .from = 1, .to = 0, .seq = 5};

	pay(network, 1, 1, 2);
	network->trace[0] = 0;
	network->wire[network->wire_count++] = ack; /* not decided */
	ack.seq = 1;
	network->wire[network->wire_count++] = ack; /* never opened */
	network->wire[network->wire_count++] = vote;
	for (uint32_t i = 0; i < 3; i++)
		network_deliver(network, 1);
	network_expect_trace(network, "0 ACK 0\n"
				      "0 ACK 1\n"
				      "0 VOTE 5 OK\n");
	cr_assert_eq(network->shard[0]->events[SHARD_EVENT_ACK_IGNORED], 2);
	network_settle(network);
	expect_account(network, account_id(1, 2), 100, 0, 0);
	network_free(network);
}

/* After a crash at each stage, with the wire lost, the last message of the row goes out again. */
Test(apply_peer, resend_after_a_crash_at_every_stage)
{
	static const char *const after[] = {
	    "crash\n"
	    "1 TRY 0 | log TRY OK | send VOTE 0 OK\n"
	    "0 VOTE 0 OK | log VOTE OK | send CONFIRM 0\n"
	    "1 CONFIRM 0 | log CONFIRM | send ACK 0\n"
	    "0 ACK 0 | log ACK\n",
	    "crash\n"
	    "1 TRY 0 | send VOTE 0 OK\n"
	    "0 VOTE 0 OK | log VOTE OK | send CONFIRM 0\n"
	    "1 CONFIRM 0 | log CONFIRM | send ACK 0\n"
	    "0 ACK 0 | log ACK\n",
	    "crash\n"
	    "1 CONFIRM 0 | log CONFIRM | send ACK 0\n"
	    "0 ACK 0 | log ACK\n",
	    "crash\n"
	    "1 CONFIRM 0 | send ACK 0\n"
	    "0 ACK 0 | log ACK\n",
	    "crash\n",
	};

	for (uint32_t stage = 0; stage < 5; stage++) {
		struct network *network = network_of(2, 0);

		pay(network, 1, 1, 2);
		for (uint32_t i = 0; i < stage; i++)
			network_deliver(network, 0);
		network->trace[0] = 0;
		network_crash(network, network->epoch);
		network_tick(network, 1);
		network_resend(network);
		network_settle(network);
		network_expect_trace(network, after[stage]);
		cr_assert_eq(pay(network, 1, 1, 2), STATUS_OK, "asked again, as the client must");
		expect_account(network, account_id(0, 1), -100, 0, 0);
		expect_account(network, account_id(1, 2), 100, 0, 0);
		network_free(network);
	}
}

Test(apply_peer, resend_after_a_crash_of_a_cancel)
{
	struct network *network = network_of(2, 500);

	pay(network, 1, 1, 2);
	network_deliver(network, 0);
	network_tick(network, 501);
	network_timeouts(network);
	network->trace[0] = 0;
	network_crash(network, network->epoch);
	network_resend(network);
	network_settle(network);
	network_expect_trace(network, "crash\n"
				      "1 CANCEL 0 | log CANCEL | send ACK 0\n"
				      "0 ACK 0 | log ACK\n");
	expect_account(network, account_id(1, 2), 0, 0, 0);
	network_free(network);
}

/* One shard in all three parts at once: rows and numbers of different peers do not mix. */
Test(apply_peer, links_of_four_shards_do_not_mix)
{
	struct network *network = network_of(4, 0);

	network->tracing = false;
	for (uint32_t from = 0; from < 4; from++) {
		for (uint32_t to = 0; to < 4; to++) {
			const struct transfer transfer = {
			    .id = time_id(NETWORK_START_MS, 1 + from * 4 + to),
			    .debit = account_id(from, 1),
			    .credit = account_id(to, 2),
			    .amount = UINT64_C(1) << (from * 4 + to),
			    .ledger = LEDGER,
			};
			network_transfer(network, &transfer, 1);
		}
	}
	cr_assert_eq(network->wire_count, 12);
	for (uint32_t i = 0; i < network->wire_count; i++)
		cr_assert_eq(network->wire[i].seq, 0);
	network_settle(network);
	for (uint32_t i = 0; i < 4; i++) {
		expect_account(network, account_id(i, 1), -(INT64_C(15) << (i * 4)), 0, 0);
		expect_account(network, account_id(i, 2), INT64_C(0x1111) << i, 0, 0);
	}
	network_free(network);
}

static void deliver_new(struct network *network, struct shard_message message)
{
	network->wire[network->wire_count++] = message;
	network_deliver(network, network->wire_count - 1);
}

Test(apply_peer, confirm_without_a_yes_is_a_broken_invariant, .signal = SIGABRT)
{
	struct network *network = network_of(2, 0);

	pay(network, 1, 1, 3);
	network_deliver(network, 0);
	deliver_new(network,
		    (struct shard_message){.kind = MESSAGE_CONFIRM, .from = 0, .to = 1, .seq = 0});
}

Test(apply_peer, cancel_after_a_confirm_is_a_broken_invariant, .signal = SIGABRT)
{
	struct network *network = network_of(2, 0);

	pay(network, 1, 1, 2);
	network_settle(network);
	deliver_new(network,
		    (struct shard_message){.kind = MESSAGE_CANCEL, .from = 0, .to = 1, .seq = 0});
}

Test(apply_peer, message_for_another_shard_is_a_broken_invariant, .signal = SIGABRT)
{
	struct network *network = network_of(2, 0);
	struct shard_input input = {.kind = 0};
	const struct shard_message message = {.kind = MESSAGE_ACK, .from = 0, .to = 1};

	shard_input_from_message(&input, &message);
	network_apply(network, 0, &input);
}
