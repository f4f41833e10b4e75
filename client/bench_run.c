/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-bench: the measured part. A transfer's latency counts from the moment when it was to be
 * sent, so a stall of the engine, or of this program, is charged to every transfer that it made
 * late, not only to those that happened to be under way.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/bench.h"

#define BATCH 256
/* Sleeps in giro_poll(): the longest; and, where the next transfer is due in less, the shortest. To spin
 * for it would take from the engine the CPU that they may share, and be charged to it as latency. */
#define WAIT_MAX_US 1000
#define WAIT_MIN_US 50

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct schedule {
	uint64_t start_ns;
	uint64_t measure_ns; /* the measured time begins */
	uint64_t end_ns;
	double step_ns; /* between two transfers; zero: closed loop */
	uint64_t sent;
	uint32_t pair;
};

static bool send_one(struct bench *bench, struct schedule *schedule, uint64_t intended_ns)
{
	const uint32_t place = bench->free_slots[bench->free_count - 1];
	const struct load_pair *pair = &bench->pairs[schedule->pair];
	const uint32_t amount =
	    1 + (uint32_t)(client_random_next(&bench->random) >> 32) % BENCH_AMOUNT_MAX;
	const struct giro_transfer transfer = {
	    .id = giro_id_new(bench->giro),
	    .debit = bench_wallet(bench, pair->debit),
	    .credit = bench_wallet(bench, pair->credit),
	    .amount = amount,
	    .ledger = bench->options.ledger,
	};

	if (giro_submit_transfer(bench->giro, &transfer, place) != 0)
		return false;
	bench->slots[place] = (struct bench_slot){
	    .intended_ns = intended_ns,
	    .debit = pair->debit,
	    .credit = pair->credit,
	    .amount = amount,
	    .measured = intended_ns >= schedule->measure_ns,
	};
	bench->free_count--;
	schedule->pair = (schedule->pair + 1) % LOAD_PAIRS;
	schedule->sent++;
	return true;
}

/* Sends what is due. Returns how long there is nothing to send. */
static int64_t send_due(struct bench *bench, struct schedule *schedule, uint64_t now)
{
	if (schedule->step_ns <= 0) {
		while (bench->free_count > 0 && send_one(bench, schedule, now))
			;
		return WAIT_MAX_US;
	}
	for (;;) {
		const uint64_t due_ns =
		    schedule->start_ns + (uint64_t)((double)schedule->sent * schedule->step_ns);
		if (due_ns > now) {
			const uint64_t wait_us = (due_ns - now) / 1000;
			if (wait_us > WAIT_MAX_US)
				return WAIT_MAX_US;
			return wait_us > WAIT_MIN_US ? (int64_t)wait_us : WAIT_MIN_US;
		}
		if (bench->free_count == 0 || !send_one(bench, schedule, due_ns))
			return WAIT_MAX_US;
	}
}

static void take(struct bench *bench, const struct schedule *schedule,
		 const struct giro_completion *completion, uint64_t now)
{
	const uint32_t place = (uint32_t)completion->context;
	const struct bench_slot *slot = &bench->slots[place];

	bench->free_slots[bench->free_count++] = place;
	bench->outcomes[OUTCOME_ZERO + completion->outcome]++;
	if (completion->outcome < 0)
		bench->in_doubt++;
	if (completion->outcome == GIRO_OK) {
		bench->expected[slot->debit] -= slot->amount;
		bench->expected[slot->credit] += slot->amount;
	}
	if (slot->measured)
		histogram_add(&bench->latency, now - slot->intended_ns);
	if (now >= schedule->measure_ns && now < schedule->end_ns) {
		bench->completed++;
		bench->moved += completion->outcome == GIRO_OK;
	}
}

static void poll_some(struct bench *bench, const struct schedule *schedule, int64_t wait_us)
{
	struct giro_completion completions[BATCH];
	const size_t got = giro_poll(bench->giro, completions, BATCH, wait_us);
	const uint64_t now = now_ns();

	for (size_t i = 0; i < got; i++) {
		const struct bench_slot *slot = &bench->slots[completions[i].context];
		__builtin_prefetch(&bench->expected[slot->debit], 1);
		__builtin_prefetch(&bench->expected[slot->credit], 1);
	}
	for (size_t i = 0; i < got; i++)
		take(bench, schedule, &completions[i], now);
}

static bool allocate(struct bench *bench)
{
	const struct bench_options *options = &bench->options;
	/* A closed loop is so many payers, each with one transfer at a time. */
	const uint64_t payers = (uint64_t)options->in_flight * options->batch;
	const uint64_t capacity = giro_capacity(bench->giro);
	const uint32_t slots =
	    (uint32_t)(options->rate <= 0 && payers < capacity ? payers : capacity);

	bench->slots = malloc(slots * sizeof(*bench->slots));
	bench->free_slots = malloc(slots * sizeof(*bench->free_slots));
	bench->pairs = malloc(LOAD_PAIRS * sizeof(*bench->pairs));
	if (!bench->slots || !bench->free_slots || !bench->pairs)
		return false;
	for (uint32_t i = 0; i < slots; i++)
		bench->free_slots[i] = i;
	bench->free_count = slots;
	return true;
}

bool bench_run(struct bench *bench, volatile sig_atomic_t *stop)
{
	const struct bench_options *options = &bench->options;

	if (!allocate(bench)) {
		bench->failure = "out of memory for the transfers";
		return false;
	}
	const struct load_shape shape = {
	    .accounts = options->accounts,
	    .skew = options->skew,
	    .cross = options->cross,
	    .shard = bench->shard,
	};
	bench->cross = load_draw(bench->pairs, &shape, &bench->random);

	struct schedule schedule = {.start_ns = now_ns()};
	schedule.measure_ns = schedule.start_ns + (uint64_t)(options->warm_up_s * 1e9);
	schedule.end_ns = schedule.measure_ns + (uint64_t)(options->seconds * 1e9);
	schedule.step_ns = options->rate > 0 ? 1e9 / options->rate : 0;
	bool measuring = false;
	uint64_t now = schedule.start_ns;
	while (now < schedule.end_ns && !*stop) {
		if (!measuring && now >= schedule.measure_ns) {
			measuring = true;
			bench->before = *giro_statistics(bench->giro);
		}
		poll_some(bench, &schedule, send_due(bench, &schedule, now));
		now = now_ns();
	}
	bench->measured_s = (double)(now - schedule.measure_ns) / 1e9;
	bench->after = *giro_statistics(bench->giro);
	/* Each transfer ends: with an outcome, or with a time-out of the session. */
	while (giro_outstanding(bench->giro) > 0)
		poll_some(bench, &schedule, WAIT_MAX_US);
	if (!measuring) {
		bench->failure = "stopped before the measured time began";
		return false;
	}
	return true;
}
