/* SPDX-License-Identifier: Apache-2.0
 *
 * Replay: every record written gives itself again; no record, however wrong, stops the process.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/shard/traffic.h"

#define LEDGER 7

static bool equal(struct shard_digest a, struct shard_digest b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

static struct traffic *traffic_run(uint32_t shards, uint64_t seed, uint32_t steps)
{
	struct shard_limits limits = traffic_limits(shards);
	struct traffic *traffic = traffic_new(&limits, seed);

	for (uint32_t i = 0; i < steps; i++)
		traffic_step(traffic);
	return traffic;
}

/* network_replay() compares every record; here every capacity. */
Test(from_record, replay_gives_the_same_records_and_digest_at_any_capacity)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		uint32_t shards = 1 + (uint32_t)seed % 4;
		struct traffic *traffic = traffic_run(shards, seed, 4000);
		struct shard_limits limits[5];

		for (size_t i = 0; i < 5; i++)
			limits[i] = traffic->network->limits;
		limits[1].accounts_max = 12;
		limits[2].accounts_max = 5000;
		limits[3].ids_per_second *= 16;
		limits[4].rows *= 16;
		for (uint32_t i = 0; i < shards; i++) {
			struct shard_digest live = shard_digest(traffic->network->shard[i]);
			for (size_t l = 0; l < 5; l++) {
				struct shard *again =
				    network_replay(traffic->network, i,
						   traffic->network->shard[i]->epoch, &limits[l]);
				cr_assert(equal(shard_digest(again), live), "capacity %zu", l);
				free(again);
			}
		}
		traffic_free(traffic);
	}
}

static bool apply_record(struct shard *shard, const struct record *record)
{
	uint8_t log[RECORD_BYTES_MAX];
	struct shard_message message;
	struct shard_reply reply;
	struct shard_effects effects = {.log = log, .messages = &message, .replies = &reply};
	struct shard_input input;

	if (!shard_input_from_record(shard, record, &input))
		return false;
	shard_apply(shard, &input, 1, &effects);
	cr_assert_leq(effects.log_bytes, RECORD_BYTES_MAX);
	cr_assert_leq(effects.message_count, 1);
	cr_assert_leq(effects.reply_count, 1);
	return true;
}

/* Replays a log in which bits are flipped, records left out, doubled and swapped. Nothing is
 * promised but that it goes on: a wrong log is told by its records not coming out the same. */
static void replay_garbled(const struct network *network, uint32_t index, uint64_t *random,
			   uint32_t *refused)
{
	const struct network_log *log = &network->log[index];
	struct network empty = {.limits = network->limits};
	struct shard *shard = network_replay(&empty, index, 0, &network->limits);

	for (uint32_t at = 0; at < log->count; at++) {
		uint32_t from = at;
		if (random_below(random, 10) == 0)
			from = random_below(random, log->count);
		struct network_record garbled = log->records[from];
		struct record record;
		if (shard->epoch < log->records[at].epoch)
			shard_enter_epoch(shard, log->records[at].epoch,
					  network->epoch_ms[log->records[at].epoch]);
		while (random_below(random, 4) == 0) {
			/* Heads more often than bodies: that is where the protocol is. */
			uint32_t bytes = random_below(random, 2) == 0 ? 8 : (uint32_t)garbled.size;
			garbled.bytes[random_below(random, bytes)] ^=
			    (uint8_t)(1 << random_below(random, 8));
		}
		if (record_decode(garbled.bytes, garbled.size, &record) == 0)
			continue;
		if (!apply_record(shard, &record))
			++*refused;
	}
	free(shard);
}

Test(from_record, garbled_logs_never_stop_the_process)
{
	uint32_t refused = 0;

	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct traffic *traffic = traffic_run(3, seed, 3000);
		uint64_t random = seed;

		for (uint32_t i = 0; i < 3; i++)
			for (uint32_t run = 0; run < 60; run++)
				replay_garbled(traffic->network, i, &random, &refused);
		traffic_free(traffic);
	}
	cr_assert_gt(refused, 1000, "the guards have been reached");
}

/* Records made up of whole cloth: every kind, small numbers, so that many fit what is there. */
Test(from_record, invented_logs_never_stop_the_process)
{
	struct traffic *traffic = traffic_run(3, 7, 1000);
	struct network *network = traffic->network;
	uint64_t random = 7;

	for (uint32_t run = 0; run < 200; run++) {
		struct shard *shard =
		    network_replay(network, 0, network->shard[0]->epoch, &network->limits);
		const struct phase_link *links = shard->phase.link;
		for (uint32_t i = 0; i < 300; i++) {
			uint8_t peer = (uint8_t)random_below(&random, 4);
			struct record record = {
			    .head =
				{
				    .kind = (uint8_t)(1 + random_below(&random, 8)),
				    .peer = peer,
				    .arg = (uint16_t)random_below(
					&random, random_below(&random, 4) == 0 ? 65536 : 6),
				},
			};
			bool credit = record.head.kind >= RECORD_TRY;
			uint64_t near = credit ? links[peer].peer_low : links[peer].low;
			record.head.seq_low = (uint32_t)near + random_below(&random, 8) - 2;
			if (record.head.kind == RECORD_TRY) {
				record.try.amount = random_below(&random, 100);
				record.try.credit = account_id(0, random_below(&random, 7));
				record.try.ledger = TRAFFIC_LEDGER;
				record.try.low_delta = (uint16_t)random_below(&random, 5);
			} else {
				record.transfer = traffic_transfer(traffic);
				record.transfer.debit.hi = 0;
			}
			apply_record(shard, &record);
		}
		free(shard);
	}
	traffic_free(traffic);
}

/* Shard 0 of two: tries 0..3 to the peer (0 finished, 1 confirming, 2 and 3 trying), and of the
 * peer's: 0 confirmed, 1 tried with yes, 2 tried with no, 3 marked by a cancel, 4 not heard of. */
static struct network *network_with_rows(void)
{
	struct shard_limits limits = network_limits(2);
	struct network *network = network_new(&limits);
	static const struct {
		uint32_t from;
		uint64_t credit;
		uint32_t deliveries;
	} transfers[] = {{0, 2, 4}, {0, 2, 2}, {0, 2, 0}, {0, 2, 0},
			 {1, 2, 3}, {1, 2, 1}, {1, 3, 1}};

	for (uint32_t i = 0; i < 2; i++) {
		network_account(network, CREATE_ACCOUNT, account_id(i, 1), LEDGER, FLOOR_ISSUER);
		network_account(network, CREATE_ACCOUNT, account_id(i, 2), LEDGER, 0);
	}
	for (uint64_t i = 0; i < 7; i++) {
		const struct transfer transfer = {
		    .id = time_id(NETWORK_START_MS, i + 1),
		    .debit = account_id(transfers[i].from, 1),
		    .credit = account_id(1 - transfers[i].from, transfers[i].credit),
		    .amount = 5,
		    .ledger = LEDGER,
		};
		network_transfer(network, &transfer, 1);
		for (uint32_t d = 0; d < transfers[i].deliveries; d++)
			network_deliver(network, network->wire_count - 1);
	}
	struct shard_input input = {.kind = 0};
	const struct shard_message cancel = {
	    .kind = MESSAGE_CANCEL, .from = 1, .to = 0, .seq = 3, .low_delta = 3};
	shard_input_from_message(&input, &cancel);
	network_apply(network, 0, &input);
	return network;
}

Test(from_record, only_possible_records_are_taken)
{
	static const struct {
		const char *name;
		struct record_head head;
		uint16_t low_delta; /* of a TRY */
		bool possible;
	} rows[] = {
	    {"no kind", {0, 1, 0, 0}, 0, false},
	    {"unknown kind", {9, 1, 0, 0}, 0, false},
	    {"local transfer", {RECORD_TRANSFER, 0, 0, 0}, 0, true},
	    {"transfer to a peer", {RECORD_TRANSFER, 1, 0, 0}, 0, true},
	    {"transfer to nobody", {RECORD_TRANSFER, 2, 0, 0}, 0, false},
	    {"operation", {RECORD_ACCOUNT, 0, 0, 0}, 0, true},
	    {"vote of oneself", {RECORD_VOTE, 0, 0, 2}, 0, false},
	    {"vote of nobody", {RECORD_VOTE, 2, 0, 2}, 0, false},
	    {"yes", {RECORD_VOTE, 1, STATUS_OK, 2}, 0, true},
	    {"no: not found", {RECORD_VOTE, 1, STATUS_CREDIT_NOT_FOUND, 2}, 0, true},
	    {"no: overflow", {RECORD_VOTE, 1, STATUS_CREDIT_OVERFLOW, 2}, 0, true},
	    {"no: cancelled", {RECORD_VOTE, 1, STATUS_TRY_TIMEOUT, 2}, 0, true},
	    {"no status", {RECORD_VOTE, 1, STATUS_LIMIT, 2}, 0, false},
	    {"largest status", {RECORD_VOTE, 1, 255, 2}, 0, false},
	    {"yes of 16 bits", {RECORD_VOTE, 1, 256, 2}, 0, false},
	    {"status of a debit", {RECORD_VOTE, 1, STATUS_INSUFFICIENT_FUNDS, 2}, 0, false},
	    {"pending", {RECORD_VOTE, 1, STATUS_PENDING, 2}, 0, false},
	    {"try of oneself", {RECORD_TRY, 0, 0, 4}, 4, false},
	    {"next try", {RECORD_TRY, 1, 0, 4}, 4, true},
	    {"next try, low moved by one", {RECORD_TRY, 1, 0, 4}, 3, true},
	    {"low moved over a yes", {RECORD_TRY, 1, 0, 4}, 2, false},
	    {"low below zero", {RECORD_TRY, 1, 0, 4}, 5, false},
	    {"last try of the rows", {RECORD_TRY, 1, 0, 7}, 7, true},
	    {"try beyond the rows", {RECORD_TRY, 1, 0, 8}, 8, false},
	    {"try beyond the rows, low moved", {RECORD_TRY, 1, 0, 8}, 7, true},
	    {"try with a row", {RECORD_TRY, 1, 0, 1}, 1, false},
	    {"try far below", {RECORD_TRY, 1, 0, UINT32_MAX}, 0, false},
	    {"try far above", {RECORD_TRY, 1, 0, INT32_MAX}, 0, false},
	    {"confirm of a yes", {RECORD_CONFIRM, 1, 1, 1}, 0, true},
	    {"confirm of a yes, low moved", {RECORD_CONFIRM, 1, 0, 1}, 0, true},
	    {"confirm, low below zero", {RECORD_CONFIRM, 1, 2, 1}, 0, false},
	    {"confirm of a no", {RECORD_CONFIRM, 1, 2, 2}, 0, false},
	    {"confirm again", {RECORD_CONFIRM, 1, 0, 0}, 0, false},
	    {"confirm of a mark", {RECORD_CONFIRM, 1, 3, 3}, 0, false},
	    {"confirm of nothing", {RECORD_CONFIRM, 1, 4, 4}, 0, false},
	    {"cancel of a yes", {RECORD_CANCEL, 1, 1, 1}, 0, true},
	    {"cancel of a no", {RECORD_CANCEL, 1, 2, 2}, 0, true},
	    {"cancel of a no, low over a yes", {RECORD_CANCEL, 1, 0, 2}, 0, false},
	    {"cancel of a confirmed one", {RECORD_CANCEL, 1, 0, 0}, 0, false},
	    {"cancel of nothing", {RECORD_CANCEL, 1, 4, 4}, 0, true},
	    {"cancel beyond the rows", {RECORD_CANCEL, 1, 8, 8}, 0, false},
	    {"ack of a confirm", {RECORD_ACK, 1, 0, 1}, 0, true},
	    {"ack of nobody", {RECORD_ACK, 64, 0, 1}, 0, false},
	    {"timeout", {RECORD_TIMEOUT, 1, 0, 2}, 0, true},
	    {"timeout of nobody", {RECORD_TIMEOUT, 255, 0, 2}, 0, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct network *network = network_with_rows();
		struct record record = {.head = rows[i].head};

		if (record.head.kind == RECORD_TRY)
			record.try.low_delta = rows[i].low_delta;
		cr_expect_eq(apply_record(network->shard[0], &record), rows[i].possible, "%s",
			     rows[i].name);
		network_free(network);
	}
}

/* The low 32 bits of a number are logged; rows on both sides of 2^32 find their way back. */
Test(from_record, numbers_grow_beyond_32_bits)
{
	static const uint64_t starts[] = {0x7ffffffe, 0xfffffffe, UINT64_C(0x17ffffffe),
					  UINT64_C(0x2fffffffe)};

	for (size_t s = 0; s < 4; s++) {
		struct shard_limits limits = network_limits(2);
		struct network *network = network_new(&limits);
		struct shard *replayed[2];

		for (uint32_t i = 0; i < 2; i++) {
			replayed[i] = network_replay(network, i, 1, &limits);
			struct shard *both[2] = {network->shard[i], replayed[i]};
			for (uint32_t b = 0; b < 2; b++) {
				struct phase_link *link = &both[b]->phase.link[1 - i];
				link->next = link->low = link->peer_low = starts[s];
			}
			network_account(network, CREATE_ACCOUNT, account_id(i, 1), LEDGER,
					FLOOR_ISSUER);
		}
		for (uint64_t i = 1; i <= 6; i++) {
			const struct transfer transfer = {
			    .id = time_id(NETWORK_START_MS, i),
			    .debit = account_id(0, 1),
			    .credit = account_id(1, 1),
			    .amount = i,
			    .ledger = LEDGER,
			};
			network_transfer(network, &transfer, 1);
		}
		network_deliver(network, 5); /* the last first */
		network_settle(network);
		for (uint32_t i = 0; i < 2; i++) {
			for (uint32_t at = 0; at < network->log[i].count; at++) {
				struct record record;
				record_decode(network->log[i].records[at].bytes, RECORD_BYTES_MAX,
					      &record);
				cr_assert(apply_record(replayed[i], &record), "record %u", at);
			}
			cr_assert(
			    equal(shard_digest(replayed[i]), shard_digest(network->shard[i])));
			free(replayed[i]);
		}
		cr_assert_eq(network->shard[0]->phase.link[1].low, starts[s] + 6);
		network_free(network);
	}
}
