/* SPDX-License-Identifier: Apache-2.0 */
#include "shard/phase.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void phase_alloc(struct phase_table *phase, uint32_t shards, uint32_t rows)
{
	size_t bytes = phase_bytes(shards, rows);
	void *memory = aligned_alloc(CACHE_LINE, bytes);

	memset(memory, 0, bytes);
	phase_init(phase, memory, shards, rows);
}

static void phase_free(struct phase_table *phase)
{
	free(phase->link[0].coordinator);
}

static struct transfer transfer_of(uint64_t number)
{
	return (struct transfer){.id = {.lo = number, .hi = 7}, .amount = number};
}

static struct coordinator_row *open_row(struct phase_table *phase, uint32_t peer, uint64_t number)
{
	const struct transfer transfer = transfer_of(number);

	return phase_open(phase, peer, &transfer, id_hash(transfer.id));
}

static void finish(struct phase_table *phase, uint32_t peer, uint64_t seq)
{
	struct coordinator_row *row = phase_row(phase, peer, seq);

	cr_assert_not_null(row);
	phase_finish(phase, peer, row);
}

Test(phase, numbers_without_gaps_to_each_peer)
{
	struct phase_table phase;

	phase_alloc(&phase, 3, 4);
	for (uint64_t i = 0; i < 4; i++) {
		cr_assert_eq(open_row(&phase, 1, 100 + i)->seq, i);
		cr_assert_eq(open_row(&phase, 2, 200 + i)->seq, i);
		cr_assert_eq(phase_row(&phase, 1, i)->transfer.id.lo, 100 + i);
		cr_assert_eq(phase_row(&phase, 2, i)->state, COORDINATOR_TRYING);
	}
	cr_assert_eq(phase.in_flight, 8);
	cr_assert_eq(phase.link[0].next, 0, "the third link is untouched");
	cr_assert_null(phase_row(&phase, 1, 4), "never opened");
	cr_assert_null(phase_row(&phase, 1, UINT64_MAX));
	phase_free(&phase);
}

Test(phase, low_is_the_lowest_not_finished)
{
	static const struct {
		uint64_t finish;
		uint64_t low_after;
		bool room_after;
	} rows[] = {
	    {1, 0, false},
	    {3, 0, false},
	    {0, 2, true},
	    {2, 4, true},
	};
	struct phase_table phase;

	phase_alloc(&phase, 2, 4);
	for (uint64_t i = 0; i < 4; i++) {
		cr_assert(phase_has_room(&phase, 1));
		open_row(&phase, 1, i + 1);
	}
	cr_assert_not(phase_has_room(&phase, 1));
	cr_assert(phase_has_room(&phase, 0), "room is a matter of each link");
	for (size_t i = 0; i < 4; i++) {
		finish(&phase, 1, rows[i].finish);
		cr_expect_eq(phase.link[1].low, rows[i].low_after, "row %zu", i);
		cr_expect_eq(phase_has_room(&phase, 1), rows[i].room_after, "row %zu", i);
		cr_expect_null(phase_row(&phase, 1, rows[i].finish));
	}
	cr_assert_eq(phase.in_flight, 0);
	cr_assert_eq(open_row(&phase, 1, 9)->seq, 4, "numbers go on");
	cr_assert_null(phase_row(&phase, 1, 0), "its place is taken, its number is not");
	phase_free(&phase);
}

Test(phase, finished_transfer_is_not_found)
{
	struct phase_table phase;
	const struct transfer transfer = transfer_of(5);
	uint64_t hash = id_hash(transfer.id);

	phase_alloc(&phase, 2, 2);
	cr_assert_null(phase_find(&phase, transfer.id, hash));
	struct coordinator_row *row = phase_open(&phase, 1, &transfer, hash);
	cr_assert_eq(phase_find(&phase, transfer.id, hash), row);
	cr_assert_null(phase_find(&phase, transfer_of(6).id, hash), "same hash, another id");
	phase_finish(&phase, 1, row);
	cr_assert_null(phase_find(&phase, transfer.id, hash));
	phase_free(&phase);
}

/* Ids whose first place in the index is one of four around its end: long runs that wrap. */
static uint64_t next_colliding(const struct phase_table *phase, uint64_t after)
{
	for (uint64_t number = after + 1;; number++) {
		uint64_t home = id_hash(transfer_of(number).id) & phase->index_mask;
		if (((home + 2) & phase->index_mask) < 4)
			return number;
	}
}

struct model {
	uint64_t number[3][16]; /* transfer at [peer][seq % 16]; 0: none */
	uint64_t next[3];
	uint64_t low[3];
};

static void expect_like_model(const struct phase_table *phase, const struct model *model,
			      uint64_t last_number)
{
	uint64_t in_flight = 0;

	for (uint32_t peer = 0; peer < 3; peer++) {
		cr_assert_eq(phase->link[peer].next, model->next[peer]);
		cr_assert_eq(phase->link[peer].low, model->low[peer]);
		for (uint64_t seq = model->low[peer]; seq < model->next[peer]; seq++) {
			uint64_t number = model->number[peer][seq % 16];
			const struct coordinator_row *row = phase_row(phase, peer, seq);
			cr_assert_eq(row == NULL, number == 0);
			if (row == NULL)
				continue;
			in_flight++;
			struct id128 id = transfer_of(number).id;
			cr_assert(id_equal(row->transfer.id, id));
			cr_assert_eq(phase_find(phase, id, id_hash(id)), row);
		}
	}
	cr_assert_eq(phase->in_flight, in_flight);
	/* Whatever is not in the model is not in the index either. */
	uint64_t used = 0;
	for (uint64_t at = 0; at <= phase->index_mask; at++)
		used += phase->index[at] != 0;
	cr_assert_eq(used, in_flight);
	cr_assert_null(phase_find(phase, transfer_of(last_number + 1).id,
				  id_hash(transfer_of(next_colliding(phase, last_number)).id)));
}

static void model_finish(struct model *model, uint32_t peer, uint64_t seq)
{
	model->number[peer][seq % 16] = 0;
	while (model->low[peer] < model->next[peer] &&
	       model->number[peer][model->low[peer] % 16] == 0)
		model->low[peer]++;
}

static void random_operations(uint64_t seed, bool colliding)
{
	struct phase_table phase;
	struct model model = {.next = {0}};
	uint64_t random = seed;
	uint64_t number = 0;

	phase_alloc(&phase, 3, 16);
	for (uint32_t step = 0; step < 4000; step++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		uint32_t peer = (uint32_t)(random >> 33) % 3;
		/* Phases of growth and of decline, so that the table gets full and empty. */
		bool open = (random >> 40) % 8 < (step / 200 % 2 == 0 ? 6 : 2);

		if (open && phase_has_room(&phase, peer)) {
			cr_assert_lt(model.next[peer] - model.low[peer], 16);
			number = colliding ? next_colliding(&phase, number) : number + 1;
			open_row(&phase, peer, number);
			model.number[peer][model.next[peer] % 16] = number;
			model.next[peer]++;
		} else if (model.next[peer] > model.low[peer]) {
			uint64_t seq =
			    model.low[peer] + (random >> 45) % (model.next[peer] - model.low[peer]);
			if (model.number[peer][seq % 16] == 0)
				continue;
			finish(&phase, peer, seq);
			model_finish(&model, peer, seq);
		}
		expect_like_model(&phase, &model, number);
	}
	phase_free(&phase);
}

Test(phase, random_operations_agree_with_a_model)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		random_operations(seed, false);
}

Test(phase, random_operations_with_collisions_agree_with_a_model)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		random_operations(seed, true);
}

Test(phase, opening_without_room_is_a_broken_invariant, .signal = SIGABRT)
{
	struct phase_table phase;

	phase_alloc(&phase, 2, 2);
	for (uint64_t i = 1; i <= 3; i++)
		open_row(&phase, 1, i);
}

static void participate(struct phase_table *phase, uint64_t seq, uint64_t low,
			enum participant_state state)
{
	phase_participate(phase, 1, seq, low)->state = (uint8_t)state;
}

Test(phase, participant_keeps_rows_from_low_up)
{
	struct phase_table phase;

	phase_alloc(&phase, 2, 4);
	cr_assert_null(phase_participant(&phase, 1, 0));
	participate(&phase, 3, 0, PARTICIPANT_CANCEL_MARK);
	participate(&phase, 0, 0, PARTICIPANT_CONFIRMED);
	participate(&phase, 1, 0, PARTICIPANT_CANCELLED);
	for (uint64_t seq = 0; seq < 6; seq++) {
		bool known = seq == 0 || seq == 1 || seq == 3;
		cr_expect_eq(phase_participant(&phase, 1, seq) != NULL, known, "%d", (int)seq);
	}
	cr_assert_null(phase_participant(&phase, 0, 0), "another peer's");

	participate(&phase, 4, 2, PARTICIPANT_TRIED_YES); /* in the place of 0 */
	cr_assert_eq(phase.link[1].peer_low, 2);
	cr_assert_null(phase_participant(&phase, 1, 0));
	cr_assert_null(phase_participant(&phase, 1, 1));
	cr_assert_eq(phase_participant(&phase, 1, 4)->state, PARTICIPANT_TRIED_YES);
	cr_assert_eq(phase_participant(&phase, 1, 3)->state, PARTICIPANT_CANCEL_MARK);

	phase_forget(&phase, 1, 1);
	cr_assert_eq(phase.link[1].peer_low, 2, "an older low is no news");
	participate(&phase, 2, 1, PARTICIPANT_CONFIRMED);
	phase_forget(&phase, 1, 4);
	cr_assert_eq(phase.link[1].peer_low, 4);
	cr_assert_null(phase_participant(&phase, 1, 3));
	phase_free(&phase);
}

Test(phase, forgetting_an_undecided_row_is_a_broken_invariant, .signal = SIGABRT)
{
	struct phase_table phase;

	phase_alloc(&phase, 2, 4);
	participate(&phase, 0, 0, PARTICIPANT_TRIED_YES);
	phase_forget(&phase, 1, 1);
}

Test(phase, forgetting_a_row_never_heard_of_is_a_broken_invariant, .signal = SIGABRT)
{
	struct phase_table phase;

	phase_alloc(&phase, 2, 4);
	phase_forget(&phase, 1, 1);
}

Test(phase, participating_beyond_the_rows_is_a_broken_invariant, .signal = SIGABRT)
{
	struct phase_table phase;

	phase_alloc(&phase, 2, 4);
	participate(&phase, 4, 0, PARTICIPANT_TRIED_YES);
}
