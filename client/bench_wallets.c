/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-bench: the wallets, before and after.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "client/bench.h"

#define BATCH 256
/* How long to wait for money that is still in flight when the run has ended. */
#define SETTLE_ROUNDS 100

__extension__ typedef __int128 sum128;

/* Submits item `i` of a list; 0, or an error of giro_submit_*(). */
typedef int submit_item(struct bench *bench, uint32_t i);

/* Submits `count` items and waits until all are done. False at the first that is not GIRO_OK. */
static bool pump(struct bench *bench, uint32_t count, submit_item *submit)
{
	struct giro_completion completions[BATCH];
	static char failure[160];
	uint32_t submitted = 0;
	uint32_t done = 0;

	while (done < count) {
		while (submitted < count && submit(bench, submitted) == 0)
			submitted++;
		const size_t got = giro_poll(bench->giro, completions, BATCH, 10000);
		for (size_t i = 0; i < got; i++) {
			const int outcome = completions[i].outcome;
			if (outcome == GIRO_OK) {
				done++;
				continue;
			}
			snprintf(failure, sizeof(failure), "wallet %" PRIu64 ": %s, %s",
				 completions[i].context, giro_outcome_name(outcome),
				 giro_outcome_text(outcome));
			bench->failure = failure;
			return false;
		}
	}
	return true;
}

/* Item 0 is the issuer, then the wallets. */
static int submit_creation(struct bench *bench, uint32_t i)
{
	const struct giro_operation operation = {
	    .id = giro_id_new(bench->giro),
	    .account = i == 0 ? bench_issuer(bench) : bench_wallet(bench, i - 1),
	    .floor = i == 0 ? GIRO_FLOOR_ISSUER : 0,
	    .ledger = bench->options.ledger,
	    .action = GIRO_CREATE,
	};

	return giro_submit_operation(bench->giro, &operation, i);
}

static int submit_funds(struct bench *bench, uint32_t i)
{
	const struct giro_transfer transfer = {
	    .id = giro_id_new(bench->giro),
	    .debit = bench_issuer(bench),
	    .credit = bench_wallet(bench, i),
	    .amount = BENCH_FUNDS,
	    .ledger = bench->options.ledger,
	};

	return giro_submit_transfer(bench->giro, &transfer, i);
}

static int submit_lookup(struct bench *bench, uint32_t i)
{
	const struct giro_id id = i == 0 ? bench_issuer(bench) : bench_wallet(bench, i - 1);

	return giro_submit_account_lookup(bench->giro, id, &bench->found[i], i);
}

bool bench_open_wallets(struct bench *bench)
{
	const uint32_t accounts = bench->options.accounts;

	bench->shard = malloc(accounts);
	bench->expected = malloc(accounts * sizeof(*bench->expected));
	bench->found = calloc(accounts + 1ull, sizeof(*bench->found));
	if (!bench->shard || !bench->expected || !bench->found) {
		bench->failure = "out of memory for the wallets";
		return false;
	}
	if (!pump(bench, accounts + 1, submit_creation) || !pump(bench, accounts, submit_funds))
		return false;
	for (uint32_t i = 0; i < accounts; i++) {
		bench->shard[i] = (uint8_t)giro_shard(bench->giro, bench_wallet(bench, i));
		bench->expected[i] = BENCH_FUNDS;
	}
	return true;
}

static bool settled(const struct bench *bench)
{
	for (uint32_t i = 0; i <= bench->options.accounts; i++) {
		if (bench->found[i].held != 0 || bench->found[i].incoming != 0)
			return false;
	}
	return true;
}

bool bench_check(struct bench *bench)
{
	const uint32_t accounts = bench->options.accounts;
	const struct timespec pause = {.tv_nsec = 100000000};
	sum128 sum = 0;
	unsigned rounds = 0;

	for (;;) {
		if (!pump(bench, accounts + 1, submit_lookup))
			return false;
		if (settled(bench))
			break;
		if (++rounds == SETTLE_ROUNDS) {
			bench->failure = "money is still in flight long after the last outcome";
			return false;
		}
		nanosleep(&pause, NULL);
	}
	for (uint32_t i = 0; i <= accounts; i++)
		sum += bench->found[i].balance;
	bench->checked = true;
	bench->sum_zero = sum == 0;
	for (uint32_t i = 0; i < accounts; i++)
		bench->mismatches += bench->found[i + 1].balance != bench->expected[i];
	bench->balances_match = bench->in_doubt > 0 || bench->mismatches == 0;
	if (!bench->sum_zero)
		bench->failure = "the balances do not add up to zero";
	else if (!bench->balances_match)
		bench->failure = "balances differ from what the outcomes say";
	return bench->failure == NULL;
}
