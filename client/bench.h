/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-bench: opens wallets of its own, moves money between them for a while, says how fast, and
 * checks that the ledger still adds up.
 */
#ifndef GIRO_CLIENT_BENCH_H
#define GIRO_CLIENT_BENCH_H

#include <signal.h>
#include <stdbool.h>

#include "client/bench_histogram.h"
#include "client/bench_load.h"
#include "client/giro.h"

struct bench_options {
	const char *server;
	const char *json; /* NULL: none */
	uint32_t accounts;
	uint32_t ledger;
	uint32_t batch;
	uint32_t in_flight;
	uint32_t datagram_bytes;
	uint32_t linger_us;
	double skew;
	double cross; /* negative: as it comes */
	double rate;  /* transfers/s; zero: closed loop */
	double seconds;
	double warm_up_s;
	uint64_t seed;
	bool quiet;
};

/* A transfer under way. */
struct bench_slot {
	uint64_t intended_ns;
	uint32_t debit;
	uint32_t credit;
	uint32_t amount;
	bool measured; /* meant to be sent in the measured time */
};

/* Index of an outcome in an array of counts. */
#define OUTCOME_ZERO   16
#define OUTCOME_COUNTS (OUTCOME_ZERO + 64)

struct bench {
	struct bench_options options;
	struct giro *giro;
	struct client_random random;
	uint64_t run;	/* upper half of the account ids */
	uint8_t *shard; /* of each wallet */
	struct load_pair *pairs;
	int64_t *expected; /* balance of each wallet, by the outcomes seen */
	struct giro_account *found;

	struct bench_slot *slots;
	uint32_t *free_slots;
	uint32_t free_count;

	double cross; /* share that crosses shards */
	double measured_s;
	uint64_t completed;		   /* outcomes in the measured time */
	uint64_t moved;			   /* of these, GIRO_OK */
	uint64_t outcomes[OUTCOME_COUNTS]; /* of all transfers of the run */
	struct histogram latency;	   /* ns, from when it was to be sent */
	struct giro_statistics before;	   /* at the start of the measured time */
	struct giro_statistics after;

	bool checked; /* all accounts were looked up */
	bool sum_zero;
	bool balances_match; /* with what the outcomes say; true when some are unknown */
	uint64_t mismatches;
	uint64_t in_doubt;   /* transfers without an outcome */
	const char *failure; /* NULL, or what went wrong */
};

/* Id of wallet `i`; the issuer's. */
static inline struct giro_id bench_wallet(const struct bench *bench, uint32_t i)
{
	return (struct giro_id){.lo = i + 1ull, .hi = bench->run};
}
static inline struct giro_id bench_issuer(const struct bench *bench)
{
	return (struct giro_id){.lo = UINT64_MAX, .hi = bench->run};
}

/* What each wallet is given. Large enough that hardly any runs dry, small enough for 2^32 of them.
 */
#define BENCH_FUNDS	 1000000000
#define BENCH_AMOUNT_MAX 1000

/* Each returns false with `failure` set. */
bool bench_open_wallets(struct bench *bench);
bool bench_run(struct bench *bench, volatile sig_atomic_t *stop);
bool bench_check(struct bench *bench);

void bench_print(const struct bench *bench);
/* False with errno. */
bool bench_write_json(const struct bench *bench, const char *path);

#endif
