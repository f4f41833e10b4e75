/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-bench-wire: the engine without the kernel's network. A whole engine, its log on a real disk
 * included, between two lock-free rings (net_ring) instead of a NIC, in one process:
 *
 *   generator lcore                              worker lcores             main lcore
 *     makes requests  --- ring a queue --->  rx   engine/lcore.c   epochs   log writer
 *     checks replies  <-- ring a queue ----  tx                 ---------->   -> disk
 *
 * A closed loop of datagrams, each in one mbuf that travels round and round. Replies are released by
 * the log, so every transfer counted is durable. Reports the rate, and how many transfers a second
 * of a worker's CPU time does: with idle=sleep that is the engine's own limit, also where lcores have
 * to share a core.
 */
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "base/check.h"
#include "engine/engine.h"
#include "tests/bench/bench_random.h"
#include "tests/bench/thread_time.h"

int engine_log_type;

/* UDP ports that the requests come from. */
#define CLIENT_PORT 40000
#define CLIENTS	    61

#define DEVICE	       "net_ring_wire"
#define BURST	       32
#define IN_FLIGHT_MAX  16384
#define LEDGER	       1
#define FLOOR	       (-1000000000000)
#define HEADERS_BYTES  (14 + NET_FRAME_IP_UDP_BYTES)
#define WARM_UP_S      0.5
#define ACCOUNT_HI     0x77697265u
#define DRAIN_LIMIT_S  10
#define THREADS_PREFIX "rte-worker-"

struct options {
	const char *config;
	const char *json;
	uint32_t accounts;
	uint32_t in_flight; /* datagrams */
	uint32_t records;   /* in a datagram */
	double cross;	    /* share of transfers over two shards */
	double seconds;
};

enum phase {
	PHASE_OPENING, /* accounts are created */
	PHASE_WARM_UP,
	PHASE_MEASURING,
	PHASE_DRAINING,
};

/* Accounts by shard: numbers, from which ids follow. */
struct members {
	uint32_t *number;
	uint32_t count;
	uint32_t opened; /* asked for, by creation requests */
};

struct generator {
	struct options options;
	struct random random;
	uint32_t shards;
	uint32_t queues;
	uint16_t udp_port;
	struct rte_ring *to[WORKERS_MAX]; /* the engine's rx queues */
	struct rte_ring *from[WORKERS_MAX];
	struct rte_mbuf *free[IN_FLIGHT_MAX];
	uint32_t free_count;
	struct members members[SHARDS_MAX];
	uint8_t headers[HEADERS_BYTES]; /* of a frame to shard 0, lengths and checksum to be set */
	uint64_t ids;
	uint32_t next_shard;
	enum phase phase;
	bool failed;

	/* Of the measured time. */
	uint64_t done;
	uint64_t busy;
	double took_s;
	double worker_s[WORKERS_MAX]; /* CPU time */
	double log_s;
};

static volatile int stop_requested;
static struct engine engine;
static struct generator generator;

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct id128 account_id(uint32_t number)
{
	return (struct id128){.lo = number + 1ull, .hi = ACCOUNT_HI};
}

static struct id128 new_id(struct generator *g, uint64_t now_ms)
{
	return (struct id128){
	    .hi = now_ms << 16 | (g->ids & 0xffff),
	    .lo = random_next(&g->random) ^ g->ids++ << 32,
	};
}

static uint64_t wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void sort_accounts(struct generator *g)
{
	for (uint32_t i = 0; i < g->shards; i++) {
		g->members[i].number = calloc(g->options.accounts, sizeof(uint32_t));
		CHECK(g->members[i].number != NULL);
	}
	for (uint32_t n = 0; n < g->options.accounts; n++) {
		struct members *members = &g->members[id_slot(account_id(n)) % g->shards];
		members->number[members->count++] = n;
	}
}

/* Requests. */

static uint32_t make_creations(struct generator *g, uint32_t shard, uint8_t *records)
{
	struct members *members = &g->members[shard];
	uint64_t now_ms = wall_ms();
	uint32_t count = 0;

	while (count < g->options.records && members->opened < members->count) {
		const struct account_operation operation = {
		    .id = new_id(g, now_ms),
		    .account = account_id(members->number[members->opened++]),
		    .floor = FLOOR,
		    .ledger = LEDGER,
		    .action = CREATE_ACCOUNT,
		};
		memcpy(records + count++ * sizeof(operation), &operation, sizeof(operation));
	}
	return count;
}

static uint32_t pick(struct generator *g, uint32_t shard)
{
	const struct members *members = &g->members[shard];

	return members->number[random_below(&g->random, members->count)];
}

static uint32_t make_transfers(struct generator *g, uint32_t shard, uint8_t *records)
{
	const uint64_t crossing = (uint64_t)(g->options.cross * 0x1p32);
	uint64_t now_ms = wall_ms();

	for (uint32_t i = 0; i < g->options.records; i++) {
		uint32_t other = shard;
		if (g->shards > 1 && random_below(&g->random, 1ull << 32) < crossing)
			other = (shard + 1 + (uint32_t)random_below(&g->random, g->shards - 1)) %
				g->shards;
		const uint32_t debit = pick(g, shard);
		uint32_t credit = pick(g, other);
		while (credit == debit)
			credit = pick(g, other);
		const struct transfer transfer = {
		    .id = new_id(g, now_ms),
		    .debit = account_id(debit),
		    .credit = account_id(credit),
		    .amount = 1 + random_below(&g->random, 1000),
		    .ledger = LEDGER,
		};
		memcpy(records + i * sizeof(transfer), &transfer, sizeof(transfer));
	}
	return g->options.records;
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void make_frame(const struct generator *g, struct rte_mbuf *mbuf, uint32_t shard,
		       size_t payload_size)
{
	uint8_t *bytes = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint32_t sum = 0;

	memcpy(bytes, g->headers, sizeof(g->headers));
	put16(bytes + 16, (uint32_t)payload_size + NET_FRAME_IP_UDP_BYTES);
	for (unsigned i = 14; i < 34; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	put16(bytes + 24, ~(sum + (sum >> 16)) & 0xffff);
	/* Of one client or another: the engine lets none of them have all of its room. */
	put16(bytes + 34, CLIENT_PORT + (uint32_t)((uintptr_t)mbuf / CACHE_LINE % CLIENTS));
	put16(bytes + 36, g->udp_port + shard);
	put16(bytes + 38, (uint32_t)payload_size + 8); /* no UDP checksum: the wire's guards it */
	mbuf->data_len = (uint16_t)(HEADERS_BYTES + payload_size);
	mbuf->pkt_len = mbuf->data_len;
	mbuf->ol_flags = 0;
}

/* A request of the current phase for the next shard that has one. False: there is none. */
static bool make_request(struct generator *g, struct rte_mbuf *mbuf, uint32_t *queue)
{
	uint8_t *payload = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, HEADERS_BYTES);
	const bool opening = g->phase == PHASE_OPENING;

	for (uint32_t tried = 0; tried < g->shards; tried++) {
		const uint32_t shard = g->next_shard;
		g->next_shard = (shard + 1) % g->shards;
		uint8_t *records = payload + sizeof(struct wire_header);
		const uint32_t count =
		    opening ? make_creations(g, shard, records) : make_transfers(g, shard, records);
		if (count == 0)
			continue;
		make_frame(g, mbuf, shard,
			   wire_seal_request(payload, opening ? WIRE_ACCOUNT : WIRE_TRANSFER, count,
					     g->ids));
		*queue = shard % g->queues;
		return true;
	}
	return false;
}

static bool send_requests(struct generator *g)
{
	struct rte_mbuf *mbufs[WORKERS_MAX][BURST];
	uint32_t count[WORKERS_MAX] = {0};
	uint32_t made = 0;
	uint32_t queue;

	if (g->phase == PHASE_DRAINING)
		return false;
	while (g->free_count > 0 && made < BURST &&
	       make_request(g, g->free[g->free_count - 1], &queue)) {
		mbufs[queue][count[queue]++] = g->free[--g->free_count];
		made++;
	}
	for (uint32_t q = 0; q < g->queues; q++) {
		if (count[q] > 0)
			CHECK(rte_ring_sp_enqueue_bulk(g->to[q], (void **)mbufs[q], count[q],
						       NULL) == count[q]);
	}
	return made > 0;
}

/* Replies. */

static void fail(struct generator *g, const char *what, unsigned status)
{
	if (!g->failed)
		fprintf(stderr, "giro-bench-wire: %s, status %u\n", what, status);
	g->failed = true;
	g->phase = PHASE_DRAINING;
}

static void take_reply(struct generator *g, struct rte_mbuf *mbuf)
{
	const uint8_t *payload = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, HEADERS_BYTES);
	const size_t size = rte_pktmbuf_data_len(mbuf) - (size_t)HEADERS_BYTES;
	struct wire_header header;
	struct wire_result result;

	memcpy(&header, payload, sizeof(header));
	const int verdict = wire_check_reply(payload, size, header.kind & ~(unsigned)WIRE_REPLY);
	if (verdict != 0) {
		g->busy += verdict == STATUS_BUSY;
		if (verdict != STATUS_BUSY || g->phase == PHASE_OPENING)
			fail(g, "a datagram was not answered", (unsigned)verdict);
		return;
	}
	for (uint32_t i = 0; i < header.count; i++) {
		memcpy(&result, payload + sizeof(header) + i * sizeof(result), sizeof(result));
		if (result.status == STATUS_OK)
			g->done++;
		else if (result.status == STATUS_BUSY && g->phase != PHASE_OPENING)
			g->busy++;
		else
			fail(g, "a record was refused", result.status);
	}
}

static bool take_replies(struct generator *g)
{
	struct rte_mbuf *mbufs[BURST];
	bool active = false;

	for (uint32_t q = 0; q < g->queues; q++) {
		unsigned count = rte_ring_sc_dequeue_burst(g->from[q], (void **)mbufs, BURST, NULL);
		for (unsigned i = 0; i < count; i++) {
			take_reply(g, mbufs[i]);
			g->free[g->free_count++] = mbufs[i];
		}
		active |= count > 0;
	}
	return active;
}

/* The run. */

static void read_threads(struct generator *g, double sign)
{
	for (uint32_t w = 0; w < g->queues; w++) {
		char name[32];
		snprintf(name, sizeof(name), THREADS_PREFIX "%u", engine.lcores[w].id);
		g->worker_s[w] += sign * thread_seconds(name);
	}
	g->log_s += sign * main_thread_seconds();
}

static void begin_measuring(struct generator *g)
{
	g->phase = PHASE_MEASURING;
	g->done = 0;
	g->busy = 0;
	read_threads(g, -1);
}

static int generate(void *context)
{
	struct generator *g = context;
	struct idle idle;
	double since = now_s();

	idle_init(&idle, IDLE_SLEEP);
	while (!stop_requested) {
		bool active = take_replies(g);
		active |= send_requests(g);
		const double now = now_s();
		const bool all_home = g->free_count == g->options.in_flight;
		if (g->phase == PHASE_OPENING && all_home) {
			g->phase = PHASE_WARM_UP;
			since = now;
		} else if (g->phase == PHASE_WARM_UP && now - since >= WARM_UP_S) {
			begin_measuring(g);
			since = now;
		} else if (g->phase == PHASE_MEASURING && now - since >= g->options.seconds) {
			read_threads(g, 1);
			g->took_s = now - since;
			break;
		} else if (g->phase == PHASE_DRAINING) {
			break;
		}
		if (active)
			idle_end(&idle);
		else
			idle_rest(&idle);
	}
	const uint64_t done = g->done;
	g->phase = PHASE_DRAINING;
	for (since = now_s(); g->free_count < g->options.in_flight;) {
		if (now_s() - since > DRAIN_LIMIT_S) {
			fail(g, "replies are missing", 0);
			break;
		}
		if (!take_replies(g))
			idle_rest(&idle);
	}
	g->done = done;
	stop_requested = 1;
	return 0;
}

/* Start and end. */

static struct rte_ring *make_ring(const char *kind, uint32_t queue)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "wire-%s-%u", kind, queue);
	struct rte_ring *ring = rte_ring_create(name, 2 * IN_FLIGHT_MAX, (int)rte_socket_id(),
						RING_F_SP_ENQ | RING_F_SC_DEQ);
	CHECK(ring != NULL);
	return ring;
}

static void make_port(struct generator *g)
{
	for (uint32_t q = 0; q < g->queues; q++) {
		g->to[q] = make_ring("to", q);
		g->from[q] = make_ring("from", q);
	}
	CHECK(rte_eth_from_rings("wire", g->to, g->queues, g->from, g->queues, rte_socket_id()) >=
	      0);
}

static void make_mbufs(struct generator *g, uint16_t mtu)
{
	const unsigned room = RTE_PKTMBUF_HEADROOM +
			      RTE_ALIGN_CEIL((unsigned)mtu + NET_FRAME_LINK_BYTES_MAX, CACHE_LINE);
	struct rte_mempool *pool =
	    rte_pktmbuf_pool_create("wire", g->options.in_flight, 0, NET_PORT_PRIVATE_BYTES,
				    (uint16_t)room, (int)rte_socket_id());

	CHECK(pool != NULL);
	while (g->free_count < g->options.in_flight) {
		g->free[g->free_count] = rte_pktmbuf_alloc(pool);
		CHECK(g->free[g->free_count] != NULL);
		g->free_count++;
	}
}

/* From 10.77.0.2, or the address beside the engine's. */
static void make_headers(struct generator *g, const struct net_interface *self)
{
	static const uint8_t source_mac[6] = {0x02, 0, 0, 0, 0, 0x02};
	uint8_t *bytes = g->headers;

	memcpy(bytes, self->mac, 6);
	memcpy(bytes + 6, source_mac, 6);
	put16(bytes + 12, 0x0800);
	bytes[14] = 0x45;
	bytes[22] = 64; /* hops */
	bytes[23] = 17; /* UDP */
	memcpy(bytes + 26, self->address, 4);
	bytes[29] ^= 3;
	memcpy(bytes + 30, self->address, 4);
}

static void report(const struct generator *g)
{
	const double rate = (double)g->done / g->took_s;
	FILE *out = g->options.json != NULL ? fopen(g->options.json, "w") : stdout;
	double worker_s = 0;

	if (out == NULL) {
		perror(g->options.json);
		exit(1);
	}
	for (uint32_t w = 0; w < g->queues; w++)
		worker_s += g->worker_s[w];
	fprintf(out,
		"{\"shards\": %u, \"workers\": %u, \"accounts\": %u, \"records\": %u, "
		"\"in_flight\": %u, \"cross\": %g, \"seconds\": %.3f, \"transfers\": %" PRIu64
		", \"busy\": %" PRIu64 ", \"rate\": %.0f, \"worker_cpu_s\": %.3f, "
		"\"log_cpu_s\": %.3f, \"per_worker_cpu_second\": %.0f}\n",
		g->shards, g->queues, g->options.accounts, g->options.records, g->options.in_flight,
		g->options.cross, g->took_s, g->done, g->busy, rate, worker_s, g->log_s,
		worker_s > 0 ? (double)g->done / worker_s : 0);
	if (out != stdout)
		fclose(out);
}

static const char usage[] =
    "usage: giro-bench-wire --config FILE [OPTIONS] -- EAL ARGUMENTS\n"
    "\n"
    "The main lcore writes the log; then one lcore a shard; the last lcore makes the load.\n"
    "\n"
    "  --config FILE    of the engine; [port] device is overruled\n"
    "  --accounts N     accounts in all (100000)\n"
    "  --in-flight N    datagrams, 1..16384 (1024)\n"
    "  --records N      transfers in a datagram (as many as fit the MTU)\n"
    "  --cross SHARE    share of transfers over two shards (0)\n"
    "  --seconds S      measured time (3)\n"
    "  --json FILE      write the result there and not to stdout\n";

static void parse(struct options *options, int argc, char **argv)
{
	static const struct option long_options[] = {
	    {"config", required_argument, NULL, 'c'},	 {"accounts", required_argument, NULL, 'a'},
	    {"in-flight", required_argument, NULL, 'i'}, {"records", required_argument, NULL, 'r'},
	    {"cross", required_argument, NULL, 'x'},	 {"seconds", required_argument, NULL, 's'},
	    {"json", required_argument, NULL, 'j'},	 {NULL, 0, NULL, 0},
	};
	int option;

	*options = (struct options){.accounts = 100000, .in_flight = 1024, .seconds = 3};
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case 'c':
			options->config = optarg;
			break;
		case 'a':
			options->accounts = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'i':
			options->in_flight = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			options->records = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'x':
			options->cross = strtod(optarg, NULL);
			break;
		case 's':
			options->seconds = strtod(optarg, NULL);
			break;
		case 'j':
			options->json = optarg;
			break;
		default:
			options->config = NULL;
			break;
		}
	}
	if (options->config == NULL || options->accounts < 1000 || options->in_flight < 1 ||
	    options->in_flight > IN_FLIGHT_MAX || options->records > WIRE_RECORDS_MAX ||
	    !(options->seconds > 0)) {
		fputs(usage, stderr);
		exit(2);
	}
}

static void start(struct generator *g, struct engine_config *config)
{
	char error[ENGINE_ERROR_MAX];

	g->shards = config->limits.shards;
	g->queues = g->shards;
	g->udp_port = config->udp_port;
	if (rte_lcore_count() != g->shards + 2) {
		fprintf(stderr, "giro-bench-wire: %u shards need %u lcores, there are %u\n",
			g->shards, g->shards + 2, rte_lcore_count());
		exit(2);
	}
	strcpy(config->device, DEVICE);
	make_port(g);
	if (engine_start(&engine, config, error) != 0) {
		fprintf(stderr, "giro-bench-wire: %s\n", error);
		exit(1);
	}
	const uint32_t fit = engine.shared.records_max;
	if (g->options.records == 0 || g->options.records > fit)
		g->options.records = fit;
	make_mbufs(g, engine.port.mtu);
	make_headers(g, &engine.port.self);
	sort_accounts(g);
}

int main(int argc, char **argv)
{
	static struct engine_config config;
	struct generator *g = &generator;
	char error[CONFIG_ERROR_MAX];
	int own = 1;

	while (own < argc && strcmp(argv[own], "--") != 0)
		own++;
	parse(&g->options, own, argv);
	if (own == argc)
		own--;
	argv[own] = argv[0];
	if (config_load(&config, g->options.config, error) != 0) {
		fprintf(stderr, "giro-bench-wire: %s\n", error);
		return 1;
	}
	if (rte_eal_init(argc - own, argv + own) < 0) {
		fprintf(stderr, "giro-bench-wire: EAL did not start: %s\n",
			rte_strerror(rte_errno));
		return 1;
	}
	engine_log_type = rte_log_register_type_and_pick_level("giro", RTE_LOG_WARNING);
	g->random.state = 42;
	start(g, &config);
	unsigned last = rte_get_main_lcore();
	for (unsigned id = rte_get_next_lcore(UINT_MAX, 1, 0); id < RTE_MAX_LCORE;
	     id = rte_get_next_lcore(id, 1, 0))
		last = id;
	CHECK(rte_eal_remote_launch(generate, g, last) == 0);
	const int result = engine_run(&engine, &stop_requested);
	engine_report(&engine, stderr);
	engine_close(&engine);
	if (result != 0 || g->failed || g->took_s <= 0)
		return 1;
	report(g);
	rte_eal_cleanup();
	return 0;
}
