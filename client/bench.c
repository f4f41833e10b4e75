/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-bench: its command line.
 */
#include "client/bench.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: giro-bench [options]\n"
    "\n"
    "Opens wallets of its own, moves money between them, prints rate, outcomes and latency, and\n"
    "checks the ledger afterwards. Latency counts from when a transfer was to be sent.\n"
    "\n"
    "  -s, --server HOST[:PORT]  the engine (default: $GIRO_SERVER, else 127.0.0.1:7400)\n"
    "  -a, --accounts N          wallets to open, 2 to 100000000 (default 10000)\n"
    "  -b, --batch N             transfers to a datagram (default: as many as fit)\n"
    "  -i, --in-flight N         most datagrams unanswered at a time (default 256)\n"
    "  -d, --datagram BYTES      largest UDP payload, 1248 to 8972 (default 1472)\n"
    "  -r, --rate N              transfers/s to offer, whatever the engine does (open loop);\n"
    "                            default: closed loop, in-flight x batch payers who each wait\n"
    "                            for their outcome\n"
    "  -z, --skew THETA          Zipf exponent of who pays and is paid, 0 (default) to 0.999\n"
    "  -x, --cross SHARE         share of transfers over two shards, 0 to 1 (default: as it "
    "comes)\n"
    "  -t, --seconds S           measured time (default 10)\n"
    "  -w, --warm-up S           time before it (default 1)\n"
    "  -l, --ledger N            ledger of the wallets (default 1)\n"
    "  -g, --linger US           how long a datagram may wait to fill up (default: 500, with\n"
    "                            batch 1: 0)\n"
    "      --seed N              for the choice of accounts and amounts (default: random)\n"
    "  -j, --json FILE           write the result as JSON too\n"
    "  -q, --quiet               print no report\n"
    "  -h, --help                this text\n"
    "\n"
    "Exit codes: 0 done and the ledger is right; 1 the ledger is wrong; 2 the command line is\n"
    "wrong; 3 the engine did not answer, or refused the wallets.\n";

enum {
	EXIT_RIGHT = 0,
	EXIT_WRONG_LEDGER = 1,
	EXIT_COMMAND_LINE = 2,
	EXIT_NO_ENGINE = 3,
};

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static double number(const char *name, const char *text, double low, double high)
{
	char *end;
	const double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= low && value <= high)) {
		fprintf(stderr, "giro-bench: %s \"%s\": expected a number from %g to %g\n", name,
			text, low, high);
		exit(EXIT_COMMAND_LINE);
	}
	return value;
}

static uint32_t whole(const char *name, const char *text, double low, double high)
{
	const double value = number(name, text, low, high);

	if (value != floor(value)) {
		fprintf(stderr, "giro-bench: %s \"%s\": expected a whole number\n", name, text);
		exit(EXIT_COMMAND_LINE);
	}
	return (uint32_t)value;
}

static const struct option long_options[] = {
    {"server", required_argument, NULL, 's'},
    {"accounts", required_argument, NULL, 'a'},
    {"batch", required_argument, NULL, 'b'},
    {"in-flight", required_argument, NULL, 'i'},
    {"datagram", required_argument, NULL, 'd'},
    {"rate", required_argument, NULL, 'r'},
    {"skew", required_argument, NULL, 'z'},
    {"cross", required_argument, NULL, 'x'},
    {"seconds", required_argument, NULL, 't'},
    {"warm-up", required_argument, NULL, 'w'},
    {"ledger", required_argument, NULL, 'l'},
    {"linger", required_argument, NULL, 'g'},
    {"seed", required_argument, NULL, 'S'},
    {"json", required_argument, NULL, 'j'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static void take_option(struct bench_options *options, int option)
{
	switch (option) {
	case 's':
		options->server = optarg;
		break;
	case 'a':
		options->accounts = whole("--accounts", optarg, 2, 100000000);
		break;
	case 'b':
		options->batch = whole("--batch", optarg, 1, 139);
		break;
	case 'i':
		options->in_flight = whole("--in-flight", optarg, 1, 16384);
		break;
	case 'd':
		options->datagram_bytes = whole("--datagram", optarg, 1248, 8972);
		break;
	case 'r':
		options->rate = number("--rate", optarg, 0.001, 1e9);
		break;
	case 'z':
		options->skew = number("--skew", optarg, 0, 0.999);
		break;
	case 'x':
		options->cross = number("--cross", optarg, 0, 1);
		break;
	case 't':
		options->seconds = number("--seconds", optarg, 0.001, 1e6);
		break;
	case 'w':
		options->warm_up_s = number("--warm-up", optarg, 0, 1e6);
		break;
	case 'l':
		options->ledger = whole("--ledger", optarg, 1, UINT32_MAX);
		break;
	case 'g':
		options->linger_us = whole("--linger", optarg, 0, 1000000);
		break;
	case 'S':
		options->seed = (uint64_t)number("--seed", optarg, 1, 1e15);
		break;
	case 'j':
		options->json = optarg;
		break;
	case 'q':
		options->quiet = true;
		break;
	case 'h':
		fputs(help, stdout);
		exit(EXIT_RIGHT);
	default:
		fprintf(stderr, "Try: giro-bench --help\n");
		exit(EXIT_COMMAND_LINE);
	}
}

#define LINGER_NOT_GIVEN    UINT32_MAX
#define LINGER_FULL_DATA_US 500

static void parse(struct bench_options *options, int argc, char **argv)
{
	const char *server = getenv("GIRO_SERVER");
	int option;

	*options = (struct bench_options){
	    .server = server && *server ? server : "127.0.0.1",
	    .accounts = 10000,
	    .ledger = 1,
	    .in_flight = 256,
	    .linger_us = LINGER_NOT_GIVEN,
	    .cross = -1,
	    .seconds = 10,
	    .warm_up_s = 1,
	};
	while ((option = getopt_long(argc, argv, "s:a:b:i:d:r:z:x:t:w:l:g:j:qh", long_options,
				     NULL)) != -1)
		take_option(options, option);
	if (optind != argc) {
		fprintf(stderr, "giro-bench: unexpected \"%s\"\nTry: giro-bench --help\n",
			argv[optind]);
		exit(EXIT_COMMAND_LINE);
	}
	if (options->linger_us == LINGER_NOT_GIVEN)
		options->linger_us = options->batch == 1 ? 0 : LINGER_FULL_DATA_US;
}

static bool open_session(struct bench *bench)
{
	const struct giro_options options = {
	    .bytes = sizeof(options),
	    .datagram_bytes = bench->options.datagram_bytes,
	    .datagram_records = bench->options.batch,
	    .in_flight = bench->options.in_flight,
	    .linger_us = bench->options.linger_us,
	};
	char message[GIRO_MESSAGE_BYTES];

	if (giro_open(&bench->giro, bench->options.server, &options, message) != 0) {
		fprintf(stderr, "giro-bench: %s\n", message);
		return false;
	}
	bench->options.batch = giro_info(bench->giro)->datagram_records;
	if (client_random_seed(&bench->random) != 0) {
		fprintf(stderr, "giro-bench: no random numbers: %s\n", strerror(errno));
		return false;
	}
	/* Wallets are new in each run, also with the same seed. */
	bench->run = client_random_next(&bench->random) | 1ull << 63;
	if (bench->options.seed != 0)
		bench->random = (struct client_random){{bench->options.seed, 1, 2, 3}};
	return true;
}

static int drive(struct bench *bench)
{
	if (!open_session(bench))
		return EXIT_NO_ENGINE;
	if (!bench_open_wallets(bench) || !bench_run(bench, &stop)) {
		fprintf(stderr, "giro-bench: %s\n", bench->failure);
		return EXIT_NO_ENGINE;
	}
	const bool right = bench_check(bench);
	if (!bench->options.quiet)
		bench_print(bench);
	if (bench->options.json != NULL && !bench_write_json(bench, bench->options.json)) {
		fprintf(stderr, "giro-bench: %s: %s\n", bench->options.json, strerror(errno));
		return EXIT_COMMAND_LINE;
	}
	if (!right)
		fprintf(stderr, "giro-bench: %s\n", bench->failure);
	if (right)
		return EXIT_RIGHT;
	return bench->checked ? EXIT_WRONG_LEDGER : EXIT_NO_ENGINE;
}

int main(int argc, char **argv)
{
	static struct bench bench; /* holds a histogram */
	const struct sigaction action = {.sa_handler = on_signal};

	parse(&bench.options, argc, argv);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	const int code = drive(&bench);
	giro_close(bench.giro);
	free(bench.shard);
	free(bench.expected);
	free(bench.found);
	free(bench.slots);
	free(bench.free_slots);
	free(bench.pairs);
	return code;
}
