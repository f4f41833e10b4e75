/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-bench-core: how fast the shard itself is. One thread, no network, no disk: transfers in
 * bursts through shard_apply(), with the exactly-once window and the log records, within one shard
 * and between two shards on the same thread.
 *
 * The reference is the bare minimum of the same work on the same core: two random 64-byte account
 * lines of a table of the same size are updated, with a burst of prefetches ahead. giro's rate is
 * printed as a share of it.
 *
 * Inputs are made outside the timed part, a batch at a time.
 */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <x86intrin.h>

#include "base/check.h"
#include "shard/shard.h"
#include "tests/bench/bench_random.h"

#define BATCH	  8192 /* inputs made and then timed */
#define TURN	  32   /* batches of giro's, then as many of the reference's */
#define LEDGER	  1
#define NOW_MS	  1700000000000u
#define OPENING	  1000000000
#define LOG_BYTES (BATCH * RECORD_BYTES_MAX * 4)

struct options {
	uint64_t accounts;
	uint64_t transfers;
	double skew; /* zipf's exponent; 0: uniform */
	bool cross;
	const char *json;
};

/* What one measurement gave. */
struct result {
	uint64_t transfers;
	double seconds; /* of CPU: others on the machine do not count */
	uint64_t log_bytes;
};

/* Zipf by rejection-inversion (Hormann, Derflinger, 1996). */
struct zipf {
	double exponent;
	double count;
	double h_first;
	double h_last;
	double s;
};

static double zipf_h(const struct zipf *zipf, double x)
{
	double e = 1 - zipf->exponent;

	return fabs(e) < 1e-9 ? log(x) : pow(x, e) / e;
}

static double zipf_h_inverse(const struct zipf *zipf, double x)
{
	double e = 1 - zipf->exponent;

	return fabs(e) < 1e-9 ? exp(x) : pow(x * e, 1 / e);
}

static void zipf_init(struct zipf *zipf, double exponent, uint64_t count)
{
	*zipf = (struct zipf){.exponent = exponent, .count = (double)count};
	zipf->h_first = zipf_h(zipf, 1.5) - 1;
	zipf->h_last = zipf_h(zipf, zipf->count + 0.5);
	zipf->s = 2 - zipf_h_inverse(zipf, zipf_h(zipf, 2.5) - pow(2, -exponent));
}

static uint64_t zipf_next(const struct zipf *zipf, struct random *random)
{
	for (;;) {
		double u = zipf->h_last + (double)(random_next(random) >> 11) * 0x1p-53 *
					      (zipf->h_first - zipf->h_last);
		double x = zipf_h_inverse(zipf, u);
		double k = floor(x + 0.5);
		k = k < 1 ? 1 : k > zipf->count ? zipf->count : k;
		if (k - x <= zipf->s || u >= zipf_h(zipf, k + 0.5) - pow(k, -zipf->exponent))
			return (uint64_t)k - 1;
	}
}

struct world {
	struct options options;
	struct random random;
	struct zipf zipf;
	uint32_t shards;
	struct shard *shard[2];
	uint64_t ids;
	uint8_t *log;
	struct shard_input *inputs; /* [BATCH] */
};

static void *take(size_t bytes)
{
	size_t huge = (size_t)2 << 20;
	void *memory;

	bytes = (bytes + huge - 1) / huge * huge;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED);
	/* The engine's tables are in hugepages too. */
	madvise(memory, bytes, MADV_HUGEPAGE);
	memset(memory, 0, bytes);
	return memory;
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t pick(struct world *world)
{
	uint64_t accounts = world->options.accounts;

	if (world->options.skew > 0)
		return zipf_next(&world->zipf, &world->random);
	return random_below(&world->random, accounts);
}

/* Account n is spread over the shards by its number, here; the engine does it by slots. */
static struct id128 account_id(uint64_t n)
{
	return (struct id128){.lo = n + 2, .hi = 0x42};
}

static struct id128 new_id(struct world *world)
{
	return (struct id128){
	    .hi = (uint64_t)NOW_MS << 16 | (world->ids & 0xffff),
	    .lo = random_next(&world->random) ^ world->ids++ << 32,
	};
}

static void make_transfer(struct world *world, struct shard_input *input)
{
	uint64_t debit = pick(world);
	uint64_t credit = pick(world);
	uint32_t home = (uint32_t)(debit % world->shards);

	/* Cross-shard: the parity of the two differs; within a shard: any two. */
	if (world->shards == 2)
		credit = credit / 2 * 2 + (1 - home);
	if (credit >= world->options.accounts)
		credit = 1 - home;
	if (credit == debit)
		credit = (debit + 1) % world->options.accounts;
	*input = (struct shard_input){
	    .kind = SHARD_INPUT_TRANSFER,
	    .home = (uint8_t)home,
	    .peer = (uint8_t)(credit % world->shards),
	    .token = 1,
	    .transfer =
		{
		    .id = new_id(world),
		    .debit = account_id(debit),
		    .credit = account_id(credit),
		    .amount = 1 + (random_next(&world->random) & 15),
		    .ledger = LEDGER,
		},
	};
	input->hash = id_hash(input->transfer.debit);
	input->credit_hash = id_hash(input->transfer.credit);
}

static void open_accounts(struct world *world)
{
	for (uint64_t n = 0; n < world->options.accounts; n++) {
		struct account_table *table = &world->shard[n % world->shards]->accounts;
		struct id128 id = account_id(n);
		struct account *account = account_add(table, id, id_hash(id), LEDGER, 0);
		CHECK(account != NULL);
		account->balance = OPENING;
	}
}

static void world_init(struct world *world, const struct options *options)
{
	const struct shard_limits limits = {
	    .shards = options->cross ? 2 : 1,
	    .rows = 4096,
	    .accounts_max = options->accounts,
	    .window_ms = 8000,
	    .ahead_ms = 1000,
	    .ids_per_second = options->transfers + BATCH * TURN,
	};

	*world = (struct world){.options = *options, .random = {42}, .shards = limits.shards};
	if (options->skew > 0)
		zipf_init(&world->zipf, options->skew, options->accounts);
	for (uint32_t i = 0; i < limits.shards; i++) {
		world->shard[i] = shard_new(take(shard_bytes(&limits)), &limits, i);
		shard_enter_epoch(world->shard[i], 1, NOW_MS);
	}
	world->log = take(LOG_BYTES);
	world->inputs = take(BATCH * sizeof(*world->inputs));
	open_accounts(world);
}

/* The bare loop's table: as many lines as giro's. */
struct reference {
	struct account_table table;
	struct random random;
};

static void reference_init(struct reference *reference, const struct options *options)
{
	void *lines = take(account_table_bytes(options->accounts));

	account_table_init(&reference->table, lines, options->accounts);
	reference->random = (struct random){7};
}

/* Applies inputs of one shard; what it says to its peer is left in `messages`. */
static uint32_t apply(struct world *world, uint32_t shard, const struct shard_input *inputs,
		      uint32_t count, struct shard_message *messages, uint64_t *log_bytes)
{
	struct shard_reply replies[SHARD_BURST_MAX];
	struct shard_effects effects = {
	    .log = world->log,
	    .log_bytes = *log_bytes,
	    .messages = messages,
	    .replies = replies,
	};

	shard_apply(world->shard[shard], inputs, count, &effects);
	*log_bytes = effects.log_bytes;
	return effects.message_count;
}

/* A burst of one shard's transfers and all the messages that they give rise to. */
static void run_burst(struct world *world, const struct shard_input *inputs, uint32_t count,
		      uint64_t *log_bytes)
{
	struct shard_message messages[SHARD_BURST_MAX];
	struct shard_input received[SHARD_BURST_MAX];
	uint32_t shard = inputs[0].home;
	uint32_t said = apply(world, shard, inputs, count, messages, log_bytes);

	while (said > 0) {
		for (uint32_t i = 0; i < said; i++)
			shard_input_from_message(&received[i], &messages[i]);
		shard = 1 - shard;
		said = apply(world, shard, received, said, messages, log_bytes);
	}
}

/* Makes a batch of inputs. With two shards the first half of it is one's, the second the other's. */
static void make_batch(struct world *world)
{
	uint32_t half[2] = {0, BATCH / 2};

	for (uint32_t made = 0; made < BATCH;) {
		struct shard_input input;
		make_transfer(world, &input);
		uint32_t *at = &half[world->shards == 2 ? input.home : made >= BATCH / 2];
		uint32_t end = at == &half[0] ? BATCH / 2 : BATCH;
		if (*at == end)
			continue;
		world->inputs[(*at)++] = input;
		made++;
	}
}

static void run_giro(struct world *world, struct result *result)
{
	uint64_t log_bytes = 0;

	make_batch(world);
	double start = seconds_now();
	for (uint32_t i = 0; i < BATCH; i += SHARD_BURST_MAX)
		run_burst(world, world->inputs + i, SHARD_BURST_MAX, &log_bytes);
	result->seconds += seconds_now() - start;
	result->transfers += BATCH;
	result->log_bytes += log_bytes;
}

static void run_reference(struct reference *reference, struct result *result)
{
	static uint64_t lines[BATCH][2];
	struct account *table = reference->table.lines;

	for (uint32_t i = 0; i < BATCH; i++) {
		lines[i][0] = random_below(&reference->random, reference->table.line_count);
		lines[i][1] = random_below(&reference->random, reference->table.line_count);
	}
	double start = seconds_now();
	for (uint32_t i = 0; i < BATCH; i += SHARD_BURST_MAX) {
		for (uint32_t j = i; j < i + SHARD_BURST_MAX; j++) {
			__builtin_prefetch(&table[lines[j][0]], 1);
			__builtin_prefetch(&table[lines[j][1]], 1);
		}
		for (uint32_t j = i; j < i + SHARD_BURST_MAX; j++) {
			table[lines[j][0]].balance -= j;
			table[lines[j][1]].balance += j;
		}
	}
	result->seconds += seconds_now() - start;
	result->transfers += BATCH;
}

/* Turn and turn about, so that both see the same machine; long turns, since each finds the caches and
 * the TLB full of the other's. */
static void run(struct world *world, struct reference *reference, struct result *giro,
		struct result *bare)
{
	while (giro->transfers < world->options.transfers) {
		for (uint32_t i = 0; i < TURN; i++)
			run_giro(world, giro);
		for (uint32_t i = 0; i < TURN; i++)
			run_reference(reference, bare);
	}
	uint64_t done = 0;
	for (uint32_t i = 0; i < world->shards; i++)
		done += world->shard[i]->events[SHARD_EVENT_LOCAL_DONE] +
			world->shard[i]->events[SHARD_EVENT_CROSS_CONFIRMED];
	CHECK(done == giro->transfers);
}

/* Wall time and rdtsc at the same moment. */
struct moment {
	struct timespec time;
	uint64_t cycles;
};

static struct moment moment_now(void)
{
	struct moment moment;

	clock_gettime(CLOCK_MONOTONIC, &moment.time);
	moment.cycles = __rdtsc();
	return moment;
}

static double cycles_per_second(const struct moment *from, const struct moment *to)
{
	double seconds = (double)(to->time.tv_sec - from->time.tv_sec) +
			 (double)(to->time.tv_nsec - from->time.tv_nsec) / 1e9;

	return (double)(to->cycles - from->cycles) / seconds;
}

static double rate(const struct result *result)
{
	return (double)result->transfers / result->seconds;
}

/* rdtsc's cycles of one transfer. */
static double cycles(const struct result *result, double frequency)
{
	return frequency / rate(result);
}

static void report(const struct options *options, const struct result *giro,
		   const struct result *reference, double frequency)
{
	double transfers = (double)giro->transfers;

	printf("%-6s %-8s %10" PRIu64 " accounts: %6.2f M/s, %5.0f cycles, %5.1f log bytes a "
	       "transfer; reference %6.2f M/s, %4.0f cycles; share %.0f %%\n",
	       options->cross ? "cross" : "local", options->skew > 0 ? "zipf" : "uniform",
	       options->accounts, rate(giro) / 1e6, cycles(giro, frequency),
	       (double)giro->log_bytes / transfers, rate(reference) / 1e6,
	       cycles(reference, frequency), 100 * rate(giro) / rate(reference));
	if (options->json == NULL)
		return;
	FILE *out = fopen(options->json, "a");
	if (out == NULL) {
		perror(options->json);
		exit(1);
	}
	fprintf(out,
		"{\"bench\": \"core\", \"path\": \"%s\", \"skew\": %g, \"accounts\": %" PRIu64
		", \"transfers\": %" PRIu64 ", \"per_second\": %.0f, \"cycles\": %.1f, "
		"\"log_bytes\": %.1f, \"reference_per_second\": %.0f, \"reference_cycles\": %.1f, "
		"\"share\": %.4f}\n",
		options->cross ? "cross" : "local", options->skew, options->accounts,
		giro->transfers, rate(giro), cycles(giro, frequency),
		(double)giro->log_bytes / transfers, rate(reference), cycles(reference, frequency),
		rate(giro) / rate(reference));
	fclose(out);
}

static const char usage[] =
    "usage: giro-bench-core [--accounts N] [--transfers N] [--skew EXPONENT] [--cross]\n"
    "                       [--json FILE]\n"
    "\n"
    "  --accounts N     accounts in all (1000000)\n"
    "  --transfers N    transfers to run (4000000)\n"
    "  --skew EXPONENT  Zipf's law over the accounts; 0: uniform (0)\n"
    "  --cross          every transfer between two shards on this thread\n"
    "  --json FILE      append the result as a line of JSON\n";

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
	    {"accounts", required_argument, NULL, 'a'}, {"transfers", required_argument, NULL, 't'},
	    {"skew", required_argument, NULL, 's'},	{"cross", no_argument, NULL, 'c'},
	    {"json", required_argument, NULL, 'j'},	{NULL, 0, NULL, 0},
	};
	struct options options = {.accounts = 1000000, .transfers = 4000000};
	static struct world world;
	struct reference reference;
	struct result giro = {0};
	struct result bare = {0};
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case 'a':
			options.accounts = strtoull(optarg, NULL, 10);
			break;
		case 't':
			options.transfers = strtoull(optarg, NULL, 10);
			break;
		case 's':
			options.skew = strtod(optarg, NULL);
			break;
		case 'c':
			options.cross = true;
			break;
		case 'j':
			options.json = optarg;
			break;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind != argc || options.accounts < 4 || options.transfers < 1 || options.skew < 0) {
		fputs(usage, stderr);
		return 2;
	}
	struct moment begin = moment_now();
	reference_init(&reference, &options);
	world_init(&world, &options);
	run(&world, &reference, &giro, &bare);
	struct moment end = moment_now();
	report(&options, &giro, &bare, cycles_per_second(&begin, &end));
	return 0;
}
