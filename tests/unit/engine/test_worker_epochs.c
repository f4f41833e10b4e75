/* SPDX-License-Identifier: Apache-2.0
 *
 * When a reply may leave: what was decided in an epoch is told once that epoch is durable, never
 * before, and nothing waits for more than it needs.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/engine/stand.h"

static struct stand *stand;
static struct id128 issuer[STAND_SHARDS_MAX];
static struct id128 wallet[STAND_SHARDS_MAX];

static void start(const struct stand_options *options)
{
	stand = stand_new(options);
	for (uint32_t i = 0; i < options->shards; i++) {
		issuer[i] = account_on(options->shards, i, 0);
		wallet[i] = account_on(options->shards, i, 1);
	}
	stand_fill(stand, 1);
}

static void stop(void)
{
	stand_free(stand);
}

TestSuite(worker_epochs, .fini = stop);

static uint64_t open_epoch(void)
{
	return epoch_newest(&stand->clock);
}

/* Opens the next epoch; everybody seals the one before, which is returned. */
static uint64_t seal(void)
{
	uint64_t sealed = open_epoch();

	stand_open(stand, 1);
	stand_turn(stand);
	cr_assert(epoch_sealed_by_all(&stand->clock) == sealed);
	return sealed;
}

struct outcome {
	const char *name;
	uint64_t amount;
	bool credit_is_there;
	enum status status;
};

static const struct outcome outcomes[] = {
    {"done", 5, true, STATUS_OK},
    {"refused for want of funds", 100000, true, STATUS_INSUFFICIENT_FUNDS},
    {"refused for want of an account", 5, false, STATUS_CREDIT_NOT_FOUND},
};

Test(worker_epochs, outcome_leaves_with_its_epoch)
{
	start(&(struct stand_options){.shards = 1, .workers = 1});
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
		const struct outcome *row = &outcomes[i];
		struct id128 credit = row->credit_is_there ? issuer[0] : account_on(1, 0, 9);
		uint64_t epoch = open_epoch();
		struct packet *packet = stand_send_pay(stand, wallet[0], credit, row->amount);
		stand_turn(stand);
		cr_assert_not(packet->answered, "%s", row->name);
		seal();
		cr_assert_not(packet->answered, "%s: sealed is not durable", row->name);
		stand_commit(stand, epoch - 1);
		cr_assert_not(packet->answered, "%s: it is about its own epoch", row->name);
		stand_commit(stand, epoch);
		cr_assert(packet_result(packet, 0).status == row->status, "%s", row->name);
		cr_assert(packet_result(packet, 0).epoch == epoch, "%s", row->name);
		cr_assert(packet_header(packet).map_version == 1);
	}
}

Test(worker_epochs, commit_releases_all_of_its_epoch_in_order_and_no_more)
{
	enum { EACH = 2 * WORKER_REPLIES_BURST + 3 };
	struct packet *packets[3][EACH];
	uint64_t epochs[3];

	start(&(struct stand_options){.shards = 1, .workers = 1, .slots = 8, .requests = 256});
	for (uint32_t e = 0; e < 3; e++) {
		for (uint32_t i = 0; i < EACH; i++)
			packets[e][i] = stand_send_pay(stand, wallet[0], issuer[0], 1);
		epochs[e] = seal();
	}
	cr_assert(stand->answered_count == 0);
	for (uint32_t e = 0; e < 3; e++) {
		stand->answered_count = 0;
		stand_commit(stand, epochs[e]);
		cr_assert(stand->answered_count == EACH, "epoch %u of 3", e);
		for (uint32_t i = 0; i < EACH; i++)
			cr_assert(stand->answered[i] == packets[e][i]);
	}
	cr_assert(stand->worker[0]->counts.replies - stand->worker[0]->counts.infos ==
		  stand->worker[0]->counts.datagrams);
}

Test(worker_epochs, several_epochs_are_committed_at_once)
{
	struct packet *packets[4];

	start(&(struct stand_options){.shards = 1, .workers = 1, .slots = 8});
	for (uint32_t i = 0; i < 4; i++) {
		packets[i] = stand_send_pay(stand, wallet[0], issuer[0], 1);
		seal();
	}
	stand_commit(stand, open_epoch() - 2);
	for (uint32_t i = 0; i < 4; i++)
		cr_assert(packets[i]->answered == (i < 3));
}

/* As many epochs under way as the slots allow, for many turns of the ring. */
Test(worker_epochs, lists_are_used_again_when_slots_wrap_around)
{
	for (uint32_t slots = EPOCH_SLOTS_MIN; slots < 7; slots++) {
		enum { EPOCHS = 100 };
		struct packet *packets[EPOCHS];
		start(&(struct stand_options){.shards = 1, .workers = 1, .slots = slots});
		uint64_t first = open_epoch();
		for (uint32_t i = 0; i < EPOCHS; i++) {
			packets[i] = stand_send_pay(stand, wallet[0], issuer[0], 1);
			while (!epoch_can_open(&stand->clock)) {
				uint64_t next = epoch_committed(&stand->clock) + 1;
				if (next >= first)
					cr_assert_not(packets[next - first]->answered);
				stand_commit(stand, next);
				if (next >= first)
					cr_assert(packets[next - first]->answered);
			}
			seal();
			for (uint32_t j = 0; j <= i; j++)
				cr_assert(packets[j]->answered ==
					  (first + j <= epoch_committed(&stand->clock)));
		}
		if (slots < 6)
			stop();
	}
}

/* A worker that has not looked at `committed` for a whole turn of the ring enters, by a message, an
 * epoch whose list still holds replies. */
Test(worker_epochs, message_from_an_epoch_whose_list_is_full_mixes_nothing)
{
	start(&(struct stand_options){.shards = 2, .workers = 2, .slots = 3});
	while (epoch_committed(&stand->clock) != open_epoch() - 1)
		stand_commit(stand, epoch_committed(&stand->clock) + 1);
	uint64_t first = open_epoch();
	struct worker *far = stand->worker[1];
	struct packet *local = stand_send_pay(stand, wallet[0], issuer[0], 1);
	struct packet *cross = stand_send_pay(stand, wallet[0], wallet[1], 1);
	stand_open(stand, 1);
	stand_turn(stand);
	epoch_commit(&stand->clock, first);
	stand_open(stand, 1); /* first + 2 */
	worker_turn(far);
	stand_deliver_one(stand, 0); /* TRY at the other; its VOTE is of first + 2 */
	stand_deliver_one(stand, 0); /* takes the near one there */
	cr_assert(epoch_sealed_by_all(&stand->clock) == first + 1);
	epoch_commit(&stand->clock, first + 1);
	stand_open(stand, 1); /* first + 3: the slot of `first` again */
	worker_turn(far);
	stand_deliver_one(stand, 0); /* CONFIRM */
	stand_deliver_one(stand, 0); /* ACK, of first + 3: the outcome */
	worker_turn(stand->worker[0]);
	cr_assert(local->answered);
	cr_assert_not(cross->answered, "the outcome's epoch is open");
	stand_commit(stand, first + 2);
	seal();
	cr_assert_not(cross->answered);
	stand_commit(stand, first + 3);
	cr_assert(packet_result(cross, 0).epoch == first + 3);
}

Test(worker_epochs, reads_wait_for_the_last_change_of_their_shard)
{
	start(&(struct stand_options){.shards = 2, .workers = 1, .slots = 8});
	struct packet *before = stand_look(stand, wallet[0]);
	stand_send(stand, 0, before);
	stand_turn(stand);
	cr_assert(packet_account(before, 0).balance == 1000, "nothing to wait for");

	uint64_t changed = open_epoch();
	struct packet *change = stand_send_pay(stand, wallet[0], issuer[0], 5);
	struct packet *same = stand_look(stand, wallet[0]);
	struct packet *other = stand_look(stand, wallet[1]);
	stand_send(stand, 0, same);
	stand_send(stand, 0, other);
	stand_turn(stand);
	cr_assert_not(same->answered);
	cr_assert(other->answered, "the other shard did not change");

	seal();
	seal();
	struct packet *later = stand_look(stand, wallet[0]);
	stand_send(stand, 0, later);
	stand_turn(stand);
	cr_assert_not(later->answered);
	stand_commit(stand, changed);
	cr_assert(change->answered && same->answered);
	cr_assert(packet_account(later, 0).balance == 995, "asked later, waited for the same");
	cr_assert(packet_account(later, 0).epoch == changed);
	cr_assert(packet_account(same, 0).balance == 995);
}

Test(worker_epochs, repeats_wait_for_the_original_only)
{
	start(&(struct stand_options){.shards = 1, .workers = 1, .slots = 8});
	uint64_t first = open_epoch();
	struct packet *original = stand_pay(stand, wallet[0], issuer[0], 5);
	struct transfer transfer;
	memcpy(&transfer, original->payload + sizeof(struct wire_header), sizeof(transfer));
	stand_send(stand, 0, original);
	seal();

	struct packet *other = stand_send_pay(stand, wallet[0], issuer[0], 7);
	struct packet *repeat = stand_packet(stand, WIRE_TRANSFER, &transfer, 1);
	struct transfer changed = transfer;
	changed.amount++;
	struct packet *reused = stand_packet(stand, WIRE_TRANSFER, &changed, 1);
	const struct wire_lookup_transfer lookup = {.id = transfer.id, .debit = wallet[0]};
	struct packet *looked_up = stand_packet(stand, WIRE_LOOKUP_TRANSFER, &lookup, 1);
	stand_send(stand, 0, repeat);
	stand_send(stand, 0, reused);
	stand_send(stand, 0, looked_up);
	stand_turn(stand);
	cr_assert_not(repeat->answered || reused->answered || looked_up->answered);

	seal();
	stand_commit(stand, first);
	cr_assert_not(other->answered, "that was new, in the next epoch");
	cr_assert(packet_result(original, 0).status == STATUS_OK);
	cr_assert(packet_result(repeat, 0).status == STATUS_OK);
	cr_assert(packet_result(repeat, 0).epoch == first);
	cr_assert(packet_result(reused, 0).status == STATUS_ID_REUSED);
	cr_assert(packet_result(looked_up, 0).status == STATUS_OK);

	struct packet *late = stand_packet(stand, WIRE_TRANSFER, &transfer, 1);
	stand_send(stand, 0, late);
	stand_turn(stand);
	cr_assert(packet_result(late, 0).status == STATUS_OK, "at once");
	stand_commit(stand, first + 1);
	cr_assert(other->answered);
	cr_assert(shard_account(stand->shard[0], wallet[0])->balance == 1000 - 5 - 7);
}

Test(worker_epochs, datagram_leaves_with_its_latest_result)
{
	struct transfer both[2];

	start(&(struct stand_options){.shards = 1, .workers = 1, .slots = 8});
	uint64_t first = open_epoch();
	struct packet *original = stand_pay(stand, wallet[0], issuer[0], 5);
	memcpy(&both[0], original->payload + sizeof(struct wire_header), sizeof(both[0]));
	stand_send(stand, 0, original);
	seal();
	both[1] = both[0];
	both[1].id = stand_id(stand);
	struct packet *mixed = stand_packet(stand, WIRE_TRANSFER, both, 2);
	struct transfer swapped[2] = {both[1], both[0]};
	struct packet *turned = stand_packet(stand, WIRE_TRANSFER, swapped, 2);
	stand_send(stand, 0, mixed);
	stand_send(stand, 0, turned);
	seal();
	stand_commit(stand, first);
	cr_assert(original->answered);
	cr_assert_not(mixed->answered || turned->answered);
	stand_commit(stand, first + 1);
	cr_assert(packet_result(mixed, 0).epoch == first);
	cr_assert(packet_result(mixed, 1).epoch == first + 1);
	cr_assert(packet_result(turned, 0).epoch == first + 1);
	cr_assert(packet_result(turned, 1).epoch == first);
}

Test(worker_epochs, cross_shard_outcome_leaves_with_the_epoch_of_its_last_step)
{
	start(&(struct stand_options){.shards = 2, .workers = 2, .slots = 8});
	struct packet *packet = stand_send_pay(stand, wallet[0], wallet[1], 5);
	struct transfer transfer;
	memcpy(&transfer, packet->payload + sizeof(struct wire_header), sizeof(transfer));
	for (int step = 0; step < 3; step++) {
		stand_commit(stand, seal());
		struct packet *again = stand_packet(stand, WIRE_TRANSFER, &transfer, 1);
		stand_send(stand, 0, again);
		stand_turn(stand);
		cr_assert(packet_result(again, 0).status == STATUS_PENDING, "at once");
		stand_deliver_one(stand, 0);
		cr_assert_not(packet->answered, "step %d", step);
	}
	uint64_t last = open_epoch();
	stand_deliver_one(stand, 0);
	cr_assert(stand->wire_count == 0);
	seal();
	cr_assert_not(packet->answered, "in both balances, but not durable");
	stand_commit(stand, last);
	cr_assert(packet_result(packet, 0).status == STATUS_OK);
	cr_assert(packet_result(packet, 0).epoch == last);
	cr_assert(shard_account(stand->shard[0], wallet[0])->balance == 995);
	cr_assert(shard_account(stand->shard[1], wallet[1])->balance == 1005);
}

/* Kinds of the records in the section of `shard` for `epoch`, as a string of letters. */
static const char *section_text(uint32_t shard, uint64_t epoch)
{
	static char text[256];
	const struct epoch_section *section = epoch_section(&stand->clock, shard, epoch);
	uint64_t at = 0;
	size_t count = 0;

	while (at < section->bytes) {
		static const char letters[] = "?XATVFCKO";
		cr_assert(record_bytes(section->data[at]) != 0 && count < sizeof(text) - 1);
		text[count++] = letters[section->data[at]];
		at += record_bytes(section->data[at]);
	}
	text[count] = '\0';
	return text;
}

Test(worker_epochs, message_from_a_later_epoch_makes_the_worker_catch_up)
{
	start(&(struct stand_options){.shards = 2, .workers = 2, .slots = 8});
	uint64_t first = open_epoch();
	struct worker *near = stand->worker[0];
	struct worker *far = stand->worker[1];
	uint64_t entered = far->counts.epochs_entered;
	/* taken in hand, not yet applied when the message comes */
	struct packet *mine = stand_pay(stand, wallet[1], issuer[1], 1);
	worker_accept(far, 1, mine, mine->payload);

	stand_open(stand, 1);
	stand_open(stand, 1);
	worker_turn(near);
	stand_send_pay(stand, wallet[0], wallet[1], 5);
	cr_assert(far->epoch == first);
	stand_deliver_one(stand, 0);
	cr_assert(far->epoch == first + 2 && far->counts.caught_up == 1);
	cr_assert(far->counts.epochs_entered == entered + 1);
	cr_assert(stand->shard[1]->epoch == first + 2);
	cr_assert(stand->shard[1]->now_ms == stand->now_ms);
	cr_assert(epoch_sealed_by_all(&stand->clock) == first + 1);
	cr_assert_str_eq(section_text(1, first), "X", "what came before it stays before it");
	cr_assert_str_eq(section_text(1, first + 1), "");
	cr_assert_str_eq(section_text(1, first + 2), "T");
	cr_assert_str_eq(section_text(0, first), "");
	cr_assert_str_eq(section_text(0, first + 2), "X");
}

Test(worker_epochs, message_from_the_past_keeps_the_worker_where_it_is)
{
	start(&(struct stand_options){.shards = 2, .workers = 2, .slots = 8});
	uint64_t first = open_epoch();
	stand_send_pay(stand, wallet[0], wallet[1], 5);
	stand_open(stand, 1);
	stand_turn(stand);
	stand_deliver_one(stand, 0);
	cr_assert(stand->worker[1]->epoch == first + 1);
	cr_assert(stand->worker[1]->counts.caught_up == 0);
	cr_assert_str_eq(section_text(1, first + 1), "T");
}

Test(worker_epochs, epochs_passed_over_are_sealed_empty)
{
	enum { SLOTS_USED = 5 };

	start(&(struct stand_options){.shards = 2, .workers = 2, .slots = SLOTS_USED});
	/* Every slot has held records before. */
	for (int i = 0; i < 2 * SLOTS_USED; i++) {
		stand_send_pay(stand, wallet[0], issuer[0], 1);
		stand_send_pay(stand, wallet[1], issuer[1], 1);
		stand_commit(stand, seal());
	}
	uint64_t first = open_epoch();
	stand_send_pay(stand, wallet[1], issuer[1], 1);
	while (epoch_can_open(&stand->clock)) {
		stand_open(stand, 1);
		worker_turn(stand->worker[0]);
	}
	worker_turn(stand->worker[1]);
	cr_assert(open_epoch() - first == SLOTS_USED - 2);
	cr_assert_str_eq(section_text(1, first), "X");
	for (uint64_t e = first + 1; e <= open_epoch(); e++) {
		cr_assert_str_eq(section_text(0, e), "", "epoch first + %lu", e - first);
		cr_assert_str_eq(section_text(1, e), "", "epoch first + %lu", e - first);
	}
}

Test(worker_epochs, only_records_make_an_epoch_dirty)
{
	start(&(struct stand_options){.shards = 1, .workers = 1});
	cr_assert_not(epoch_is_dirty(&stand->clock));
	stand_send(stand, 0, stand_look(stand, wallet[0]));
	struct packet *broken = stand_pay(stand, wallet[0], wallet[0], 1);
	stand_send(stand, 0, broken);
	stand_turn(stand);
	cr_assert(packet_result(broken, 0).status == STATUS_SAME_ACCOUNT, "at once");
	cr_assert(packet_result(broken, 0).epoch == 0);
	cr_assert_not(epoch_is_dirty(&stand->clock));
	stand_send_pay(stand, wallet[0], issuer[0], 1);
	cr_assert(epoch_is_dirty(&stand->clock));
}

Test(worker_epochs, idle_is_when_nothing_is_in_hand)
{
	start(&(struct stand_options){.shards = 2, .workers = 2, .slots = 8});
	struct worker *near = stand->worker[0];
	cr_assert(worker_is_idle(near) && worker_is_idle(stand->worker[1]));

	struct packet *packet = stand_pay(stand, wallet[0], wallet[1], 1);
	worker_accept(near, 0, packet, packet->payload);
	cr_assert_not(worker_is_idle(near), "batched");
	worker_flush(near);
	cr_assert_not(worker_is_idle(near), "under way");
	stand_deliver(stand);
	cr_assert(stand->shard[0]->phase.in_flight == 0);
	cr_assert_not(worker_is_idle(near), "not told yet");
	stand_commit(stand, seal());
	cr_assert(packet->answered);
	cr_assert(worker_is_idle(near) && worker_is_idle(stand->worker[1]));
}

/* The log ends with one epoch for all: also where the last was opened between a worker's last look and
 * the order to stop. */
Test(worker_epochs, all_stop_in_the_newest_epoch_with_everything_sealed)
{
	start(&(struct stand_options){.shards = 2, .workers = 2, .slots = 8});
	uint64_t first = open_epoch();
	struct packet *packet = stand_pay(stand, wallet[0], issuer[0], 1);
	worker_accept(stand->worker[0], 0, packet, packet->payload);
	stand_open(stand, 1);
	worker_turn(stand->worker[1]);
	stand_send_pay(stand, wallet[1], issuer[1], 1);
	stand_open(stand, 1);
	worker_stop(stand->worker[0]);
	cr_assert(epoch_sealed_by_all(&stand->clock) == first);
	worker_stop(stand->worker[1]);
	cr_assert(epoch_sealed_by_all(&stand->clock) == first + 2);
	cr_assert_str_eq(section_text(0, first), "X");
	cr_assert_str_eq(section_text(1, first + 1), "X");
	cr_assert_str_eq(section_text(1, first + 2), "");
	cr_assert(stand->shard[0]->epoch == first + 2 && stand->shard[1]->epoch == first + 2);
}

Test(worker_epochs, tries_without_a_vote_are_cancelled_in_epoch_time)
{
	start(&(struct stand_options){.shards = 2, .workers = 2, .slots = 4, .try_timeout_ms = 50});
	struct packet *packet = stand_send_pay(stand, wallet[0], wallet[1], 5);
	stand_open(stand, 50);
	stand_turn(stand);
	cr_assert(stand->wire_count == 1, "no longer than that");
	stand_commit(stand, open_epoch() - 1);
	stand_open(stand, 20);
	stand_turn(stand);
	cr_assert(stand->wire_count == 2 && stand->wire[1].kind == MESSAGE_CANCEL);
	/* the cancel overtakes its try */
	stand_deliver_one(stand, 1);
	stand_deliver(stand);
	stand_commit(stand, open_epoch() - 1);
	cr_assert_not(packet->answered);
	stand_commit(stand, seal());
	cr_assert(packet_result(packet, 0).status == STATUS_TRY_TIMEOUT);
	cr_assert(shard_account(stand->shard[0], wallet[0])->held == 0);
	cr_assert(shard_account(stand->shard[1], wallet[1])->incoming == 0);
	cr_assert(worker_is_idle(stand->worker[0]));
}

Test(worker_epochs, resume_sends_what_was_under_way_again)
{
	enum { COUNT = 2 * SHARD_BURST_MAX + 5 };

	start(
	    &(struct stand_options){.shards = 2, .workers = 2, .rows = 256, .requests = COUNT + 1});
	for (uint32_t i = 0; i < COUNT; i++)
		stand_send_pay(stand, wallet[0], wallet[1], 1);
	cr_assert(stand->wire_count == COUNT);
	stand->wire_count = 0; /* lost in a crash */
	stand_commit(stand, seal());
	uint64_t bytes = epoch_section(&stand->clock, 0, open_epoch())->bytes;
	worker_resume(stand->worker[1]);
	cr_assert(stand->wire_count == 0);
	worker_resume(stand->worker[0]);
	cr_assert(stand->wire_count == COUNT);
	cr_assert(epoch_section(&stand->clock, 0, open_epoch())->bytes == bytes);
	stand_deliver(stand);
	cr_assert(shard_account(stand->shard[1], wallet[1])->balance == 1000 + COUNT);
	cr_assert(stand->shard[0]->phase.in_flight == 0);
}

/* Moves. */

/* Gives the shards of a stand of two workers to these owners, as the engine does: by the next map. */
static void give(const uint8_t owner[SHARDS_MAX])
{
	struct slot_map map = stand->map;

	slot_map_follow(&stand->map, &map, owner);
	workers_move_shards(stand->worker, 2, owner);
}

static bool all_settled(void)
{
	return worker_is_settled(stand->worker[0]) && worker_is_settled(stand->worker[1]);
}

/* In one epoch: records of the old owner, then of the new one; replies from both. */
Test(worker_epochs, shards_move_in_the_middle_of_an_epoch)
{
	static const uint8_t swapped[SHARDS_MAX] = {1, 0, 1};
	static const uint8_t one_each[SHARDS_MAX] = {0, 1, 1};

	start(&(struct stand_options){.shards = 3, .workers = 2, .shards_max = 2});
	uint64_t epoch = open_epoch();
	struct packet *before = stand_send_pay(stand, wallet[0], issuer[0], 1);
	uint64_t bytes = epoch_section(&stand->clock, 0, epoch)->bytes;
	cr_assert(bytes > 0 && all_settled(), "only held: that is settled");
	cr_assert_not(worker_is_idle(stand->worker[0]));
	give(swapped);
	cr_assert(epoch_section(&stand->clock, 0, epoch)->bytes == bytes, "the records stay");
	uint64_t held = stand->worker[1]->counts.held;
	struct packet *after = stand_send_pay(stand, wallet[0], issuer[0], 1);
	cr_assert(epoch_section(&stand->clock, 0, epoch)->bytes == 2 * bytes);
	cr_assert(stand->worker[1]->counts.held == held + 1, "the new owner has it");
	struct packet *across = stand_send_pay(stand, wallet[1], issuer[2], 1);
	cr_assert_not(all_settled(), "a row is under way");
	stand_deliver(stand);
	cr_assert(all_settled());
	give(one_each);
	seal();
	stand_commit(stand, epoch);
	cr_assert(before->answered && after->answered && across->answered);
	cr_assert(packet_result(before, 0).status == STATUS_OK &&
		  packet_result(after, 0).status == STATUS_OK &&
		  packet_result(across, 0).status == STATUS_OK);
	cr_assert(packet_header(across).map_version == 3);
}

/* The new owner seals for the shard, the old one no longer does. */
Test(worker_epochs, the_seal_goes_with_the_shard)
{
	static const uint8_t swapped[SHARDS_MAX] = {1, 0};

	start(&(struct stand_options){.shards = 2, .workers = 2});
	give(swapped);
	uint64_t epoch = open_epoch();
	struct packet *packet = stand_send_pay(stand, wallet[0], issuer[0], 1);
	stand_open(stand, 1);
	worker_turn(stand->worker[0]);
	cr_assert(stand->shard[1]->epoch == epoch + 1 && stand->shard[0]->epoch == epoch);
	cr_assert(epoch_sealed_by_all(&stand->clock) == epoch - 1);
	worker_turn(stand->worker[1]);
	cr_assert(stand->shard[0]->epoch == epoch + 1);
	cr_assert(epoch_sealed_by_all(&stand->clock) == epoch);
	stand_commit(stand, epoch);
	cr_assert(packet->answered);
}

/* A request without all its results is not settled, whatever waits for a commit beside it. */
Test(worker_epochs, a_result_to_come_keeps_the_shard)
{
	start(&(struct stand_options){.shards = 2, .workers = 2});
	stand_send_pay(stand, wallet[0], issuer[0], 1);
	cr_assert(all_settled());
	struct packet *packet = stand_pay(stand, wallet[0], issuer[0], 1);
	worker_accept(stand->worker[0], 0, packet, packet->payload);
	cr_assert_not(all_settled(), "batched and not applied");
	worker_flush(stand->worker[0]);
	cr_assert(all_settled());
	struct packet *across = stand_send_pay(stand, wallet[0], issuer[1], 1);
	while (!across->answered) {
		cr_assert(all_settled() == (stand->wire_count == 0));
		if (stand->wire_count > 0)
			stand_deliver_one(stand, 0);
		else
			stand_commit(stand, seal());
	}
	cr_assert(all_settled());
}

/* How fast a shard takes new ids goes with it: to move gives nobody a second burst. */
Test(worker_epochs, the_rate_of_new_ids_goes_with_the_shard)
{
	static const uint8_t swapped[SHARDS_MAX] = {1, 0};

	start(&(struct stand_options){.shards = 2, .workers = 2});
	struct intake spent = stand->worker[0]->batch_of[0]->intake;
	spent.credit = -123456;
	stand->worker[0]->batch_of[0]->intake = spent;
	struct intake other = stand->worker[1]->batch_of[1]->intake;
	give(swapped);
	cr_assert(memcmp(&stand->worker[1]->batch_of[0]->intake, &spent, sizeof(spent)) == 0);
	cr_assert(memcmp(&stand->worker[0]->batch_of[1]->intake, &other, sizeof(other)) == 0);
	cr_assert(stand->worker[0]->batch_of[0] == NULL && stand->worker[1]->batch_of[1] == NULL);
	struct packet *packet = stand_send_pay(stand, wallet[0], issuer[0], 1);
	stand_turn(stand);
	cr_assert(packet_result(packet, 0).status == STATUS_BUSY, "its rate is used up");
}
