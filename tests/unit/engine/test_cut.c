/* SPDX-License-Identifier: Apache-2.0
 *
 * A cut of a node that goes on: the digests are those of a replay of what the workers logged up to its
 * epoch, whatever was applied by the time they were made.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "shard/record.h"
#include "tests/unit/engine/stand.h"

#define SHARDS	4
#define WALLETS 3

static struct stand *stand;
static struct shard *mirror[SHARDS]; /* replayed from the sections, epoch by epoch */
static uint64_t mirrored;
static struct cut_result result;

/* Pays within shards and between them, and lets some messages arrive. */
static void work(uint32_t round)
{
	for (uint32_t i = 0; i < SHARDS; i++) {
		struct id128 from = account_on(SHARDS, i, 1 + round % WALLETS);
		stand_send_pay(stand, from, account_on(SHARDS, i, 0), 1);
		stand_send_pay(stand, from, account_on(SHARDS, (i + 1 + round) % SHARDS, 1), 2);
	}
	for (uint32_t i = 0; i < round % 4 && stand->wire_count > 0; i++)
		stand_deliver_one(stand, 0);
}

static void replay_section(struct shard *shard, uint64_t epoch)
{
	const struct epoch_section *section = epoch_section(&stand->clock, shard->index, epoch);
	uint64_t at = 0;

	/* A block is written for records only: without them the epoch leaves no trace. */
	if (section->bytes == 0)
		return;
	shard_enter_epoch(shard, epoch, stand->clock.time_ms[epoch % stand->clock.slots]);
	while (at < section->bytes) {
		uint8_t again[RECORD_BYTES_MAX];
		struct shard_message message;
		struct shard_reply reply;
		struct shard_effects effects = {
		    .log = again, .messages = &message, .replies = &reply};
		struct shard_input input;
		struct record record;
		size_t bytes = record_decode(section->data + at, section->bytes - at, &record);
		cr_assert(bytes > 0 && shard_input_from_record(shard, &record, &input));
		shard_apply(shard, &input, 1, &effects);
		cr_assert(effects.log_bytes == bytes &&
			  memcmp(again, section->data + at, bytes) == 0);
		at += bytes;
	}
}

/* Replays all that everybody has sealed, and commits it. */
static void log_all(void)
{
	uint64_t sealed = epoch_sealed_by_all(&stand->clock);

	for (; mirrored < sealed; mirrored++) {
		for (uint32_t i = 0; i < SHARDS; i++)
			replay_section(mirror[i], mirrored + 1);
		cut_logged(&stand->clock.cut, mirrored + 1, 1000 + mirrored + 1,
			   (struct wal_hash){.lo = mirrored + 1});
	}
	stand_commit(stand, sealed);
}

/* The next epoch, `ms` later; everybody seals the one before. */
static void next_epoch(uint64_t ms)
{
	stand_open(stand, ms);
	stand_turn(stand);
	log_all();
}

static void start(void)
{
	stand = stand_new(&(struct stand_options){
	    .shards = SHARDS, .workers = 2, .slots = 8, .requests = STAND_PACKETS_MAX});
	for (uint32_t i = 0; i < SHARDS; i++)
		mirror[i] = shard_new(pages_new(shard_bytes(&stand->limits)), &stand->limits, i);
	mirrored = STAND_COMMITTED;
	/* As stand_fill() does, under the eyes of the mirror. */
	for (uint32_t i = 0; i < SHARDS; i++) {
		for (uint32_t n = 0; n <= WALLETS; n++) {
			const struct account_operation create = {
			    .id = stand_id(stand),
			    .account = account_on(SHARDS, i, n),
			    .action = CREATE_ACCOUNT,
			    .ledger = STAND_LEDGER,
			    .floor = n == 0 ? FLOOR_ISSUER : 0,
			};
			stand_send(stand, 0, stand_packet(stand, WIRE_ACCOUNT, &create, 1));
			if (n > 0)
				stand_send_pay(stand, account_on(SHARDS, i, 0), create.account,
					       1000);
		}
		next_epoch(1);
	}
}

static void stop(void)
{
	for (uint32_t i = 0; i < SHARDS; i++)
		free(mirror[i]);
	stand_free(stand);
}

TestSuite(cut, .init = start, .fini = stop);

static bool take(void)
{
	return cut_take(&stand->clock.cut, epoch_committed(&stand->clock), &result);
}

/* The mirror, as of the cut's epoch and time: the same digests? */
static void cut_is_the_mirrors(void)
{
	cr_assert(result.shards == SHARDS);
	for (uint32_t i = 0; i < SHARDS; i++) {
		if (mirror[i]->epoch < result.epoch)
			shard_enter_epoch(mirror[i], result.epoch, result.time_ms);
		struct shard_digest digest = shard_digest(mirror[i]);
		cr_assert(memcmp(&digest, &result.digest[i], sizeof(digest)) == 0, "shard %u", i);
	}
}

Test(cut, digests_are_the_replays_while_work_goes_on)
{
	for (uint32_t round = 0; round < 12; round++) {
		work(round);
		cr_assert(cut_is_idle(&stand->clock.cut));
		cut_ask(&stand->clock.cut);
		cr_assert_not(cut_is_idle(&stand->clock.cut) || take(), "no epoch yet");
		next_epoch(1);
		uint64_t epoch = epoch_newest(&stand->clock);
		work(round + 1);
		cr_assert_not(take(), "it is open");
		stand_open(stand, 1);
		/* One worker is a message ahead of the other. */
		worker_turn(stand->worker[round % 2]);
		cr_assert_not(cut_is_idle(&stand->clock.cut) || take(), "one has not sealed it");
		work(round + 2);
		stand_turn(stand);
		work(round + 3);
		cr_assert(cut_is_idle(&stand->clock.cut));
		cr_assert_not(take(), "not committed");
		log_all();
		cr_assert(mirrored == epoch && take() && result.epoch == epoch);
		cr_assert(result.blocks == 1000 + epoch && result.chain.lo == epoch);
		cut_is_the_mirrors();
		cr_assert(result.digest[0].lo != shard_digest(stand->shard[0]).lo,
			  "work went on behind it");
		while (stand->wire_count > 3)
			stand_deliver_one(stand, 0);
	}
}

/* The clock has gone on and ids are forgotten, with no record that says so. */
Test(cut, epoch_that_a_worker_passes_over_has_its_own_time)
{
	for (uint32_t round = 0; round < 8; round++) {
		work(round);
		next_epoch(1);
		cut_ask(&stand->clock.cut);
		/* Ids are forgotten on the way to that epoch, or on the way on from it. */
		stand_open(stand, (round % 2 == 0 ? 1 : 3) * stand->limits.window_ms / 2);
		uint64_t epoch = epoch_newest(&stand->clock);
		stand_open(stand, 2 * stand->limits.window_ms);
		worker_turn(stand->worker[0]);
		stand_open(stand, 1);
		worker_turn(stand->worker[1]);
		worker_turn(stand->worker[0]);
		log_all();
		cr_assert(take() && result.epoch == epoch);
		cr_assert(result.time_ms < stand->shard[0]->now_ms - stand->limits.window_ms);
		cut_is_the_mirrors();
		stand_deliver(stand);
		next_epoch(1);
	}
}

Test(cut, message_of_a_later_epoch_makes_the_worker_give_its_digests_first)
{
	cut_ask(&stand->clock.cut);
	next_epoch(1);
	uint64_t epoch = epoch_newest(&stand->clock);
	struct id128 near = account_on(SHARDS, 0, 1);
	struct id128 far = account_on(SHARDS, 1, 1);
	stand_open(stand, 1);
	worker_turn(stand->worker[0]);
	stand_send_pay(stand, near, far, 5);
	cr_assert(stand->worker[1]->epoch == epoch);
	stand_deliver_one(stand, 0);
	cr_assert(stand->worker[1]->epoch == epoch + 1);
	cr_assert(shard_account(stand->shard[1], far)->incoming == 5);
	log_all();
	cr_assert(take() && result.epoch == epoch);
	cut_is_the_mirrors();
}

Test(cut, other_state_has_another_digest)
{
	cut_ask(&stand->clock.cut);
	next_epoch(1);
	/* what a fault of the memory would do */
	struct account *account =
	    (struct account *)(uintptr_t)shard_account(stand->shard[2], account_on(SHARDS, 2, 1));
	account->balance ^= 1;
	next_epoch(1);
	cr_assert(take());
	for (uint32_t i = 0; i < SHARDS; i++) {
		shard_enter_epoch(mirror[i], result.epoch, result.time_ms);
		struct shard_digest digest = shard_digest(mirror[i]);
		cr_assert((memcmp(&digest, &result.digest[i], sizeof(digest)) == 0) == (i != 2));
	}
}

/* Who asked has given up; what was asked for is done all the same, and then it can be asked again. */
Test(cut, request_that_nobody_awaits_holds_up_the_next_until_it_is_done)
{
	cut_ask(&stand->clock.cut);
	next_epoch(1);
	stand_open(stand, 1);
	worker_turn(stand->worker[0]);
	cr_assert_not(cut_is_idle(&stand->clock.cut));
	stand_turn(stand);
	cr_assert(cut_is_idle(&stand->clock.cut));
	cut_ask(&stand->clock.cut);
	log_all();
	cr_assert_not(take(), "that is the first one's");
	next_epoch(1);
	next_epoch(1);
	cr_assert(take());
	cut_is_the_mirrors();
}

Test(cut, nobody_walks_unless_asked)
{
	for (int i = 0; i < 20; i++)
		next_epoch(1);
	cr_assert(stand->clock.cut.shard[0].epoch == 0);
	cut_ask(&stand->clock.cut);
	next_epoch(1);
	next_epoch(1);
	uint64_t epoch = stand->clock.cut.shard[0].epoch;
	cr_assert(epoch != 0);
	for (int i = 0; i < 20; i++)
		next_epoch(1);
	cr_assert(stand->clock.cut.shard[0].epoch == epoch);
}
