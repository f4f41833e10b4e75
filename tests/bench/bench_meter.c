/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-bench-meter RECORDS DATAGRAMS ROUNDS: what the meter costs a worker, within one run. One
 * worker with one shard serves bursts of DATAGRAMS requests of RECORDS transfers each; every other
 * burst is metered, with the calls that engine/lcore.c makes in a turn. Rounds that lie side by side
 * share whatever else the machine does, so the medians of the two can be compared.
 *
 * There is no port, no disk and no other worker: all that these take would make the meter's share
 * smaller.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/worker.h"
#include "tests/bench/bench_random.h"

#define ACCOUNTS      100000
#define LEDGER	      1
#define FLOOR	      (-1000000000000)
#define SECTION_BYTES (4u << 20)
#define SLOTS_OPEN    4
#define BURSTS	      4
#define ROUND_MS      10
#define START_MS      1800000000000u
#define TSC_HZ	      2600000000u /* decides buckets only */

struct bench {
	struct epoch_clock clock;
	struct slot_map map;
	struct shard *shard;
	struct worker *worker;
	struct meter meter;
	struct meter *metered; /* &meter, or NULL in this round */
	struct random random;
	uint64_t now_ms;
	uint64_t ids;
	uint32_t arrival;
	uint32_t records;
	uint32_t datagrams;
	uint64_t released;
	uint8_t (*payloads)[WIRE_DATAGRAM_MAX]; /* of BURSTS bursts: replies wait for their epoch */
	size_t *sizes;
};

static void *memory_new(size_t bytes)
{
	void *memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);

	CHECK(memory != NULL);
	memset(memory, 0, bytes);
	return memory;
}

static void take_messages(void *context, const struct shard_message *messages, uint32_t count)
{
	(void)context;
	(void)messages;
	CHECK(count == 0);
}

/* As the lcore does it, but for frames. */
static void take_replies(void *context, const struct worker_reply *replies, uint32_t count)
{
	struct bench *bench = context;
	enum stage before = meter_enter(bench->metered, STAGE_TX);

	(void)replies;
	if (bench->metered != NULL)
		meter_replies(bench->metered, bench->arrival, count);
	bench->released += count;
	meter_enter(bench->metered, before);
}

static struct id128 account_id(uint64_t number)
{
	return (struct id128){.lo = number + 1, .hi = 7};
}

static struct id128 new_id(struct bench *bench)
{
	return (struct id128){
	    .hi = bench->now_ms << 16 | (bench->ids & 0xffff),
	    .lo = random_next(&bench->random) ^ bench->ids++ << 32,
	};
}

static void make(struct bench *bench)
{
	const struct shard_limits limits = {
	    .shards = 1,
	    .rows = 2,
	    .accounts_max = ACCOUNTS,
	    .window_ms = WINDOW_MS_MIN,
	    .ids_per_second = 1000 / ROUND_MS * 2000,
	};
	const struct worker_config config = {
	    .requests = 4096,
	    .clock = &bench->clock,
	    .sink = {bench, take_messages, take_replies},
	    .log_id = 1,
	    .datagram_max = WIRE_DATAGRAM_MAX,
	};

	bench->now_ms = START_MS;
	bench->random.state = 42;
	epoch_clock_init(&bench->clock, memory_new(epoch_clock_bytes(1, SLOTS_OPEN, SECTION_BYTES)),
			 1, 1, SLOTS_OPEN, SECTION_BYTES, 0, bench->now_ms);
	slot_map_init(&bench->map, 1, 1, 7400);
	bench->shard = shard_new(memory_new(shard_bytes(&limits)), &limits, 0);
	bench->worker =
	    worker_new(memory_new(worker_bytes(1, config.requests)), &config, &bench->shard, 1);
	worker_set_map(bench->worker, &bench->map);
	bench->payloads =
	    memory_new(BURSTS * (size_t)bench->datagrams * sizeof(bench->payloads[0]));
	bench->sizes = memory_new(BURSTS * (size_t)bench->datagrams * sizeof(bench->sizes[0]));
	meter_start(&bench->meter, TSC_HZ);
}

static uint32_t make_creations(struct bench *bench, uint8_t *records, uint64_t *opened)
{
	uint32_t count = 0;

	for (; count < bench->records && *opened < ACCOUNTS; count++) {
		const struct account_operation operation = {
		    .id = new_id(bench),
		    .account = account_id((*opened)++),
		    .floor = FLOOR,
		    .ledger = LEDGER,
		    .action = CREATE_ACCOUNT,
		};
		memcpy(records + count * sizeof(operation), &operation, sizeof(operation));
	}
	return count;
}

static uint32_t make_transfers(struct bench *bench, uint8_t *records)
{
	for (uint32_t i = 0; i < bench->records; i++) {
		const uint64_t debit = random_below(&bench->random, ACCOUNTS);
		const struct transfer transfer = {
		    .id = new_id(bench),
		    .debit = account_id(debit),
		    .credit = account_id((debit + 1 + random_below(&bench->random, ACCOUNTS - 1)) %
					 ACCOUNTS),
		    .amount = 1,
		    .ledger = LEDGER,
		};
		memcpy(records + i * sizeof(transfer), &transfer, sizeof(transfer));
	}
	return bench->records;
}

/* One turn of the loop over the datagrams of one burst. Returns its cycles. */
static uint64_t turn(struct bench *bench, uint32_t first, uint32_t count)
{
	struct meter *meter = bench->metered;
	uint64_t begin = meter_cycles();

	bench->worker->config.meter = meter;
	meter_enter(meter, STAGE_SEAL);
	worker_turn(bench->worker);
	meter_enter(meter, STAGE_RING);
	meter_enter(meter, STAGE_RX);
	meter_enter(meter, STAGE_DECODE);
	if (meter != NULL) {
		bench->arrival = meter_tick(meter);
		meter_burst(meter, count);
	}
	for (uint32_t i = first; i < first + count; i++) {
		uint32_t shard;
		size_t size;
		CHECK(worker_route(bench->worker, bench->payloads[i], bench->sizes[i], &shard,
				   &size) == WORKER_ROUTE_SHARD);
		worker_accept(bench->worker, shard, bench->payloads[i], bench->payloads[i]);
	}
	worker_flush(bench->worker);
	meter_enter(meter, STAGE_TX);
	if (meter != NULL)
		meter_turn(meter, true);
	return meter_cycles() - begin;
}

/* A burst in an epoch of its own; the one before becomes durable. */
static uint64_t serve(struct bench *bench, uint32_t burst, uint64_t *opened)
{
	const uint32_t first = burst % BURSTS * bench->datagrams;
	uint32_t count = 0;

	bench->now_ms += ROUND_MS;
	for (; count < bench->datagrams; count++) {
		uint8_t *payload = bench->payloads[first + count];
		uint8_t *records = payload + sizeof(struct wire_header);
		const bool opening = opened != NULL;
		const uint32_t made = opening ? make_creations(bench, records, opened)
					      : make_transfers(bench, records);
		if (made == 0)
			break;
		bench->sizes[first + count] = wire_seal_request(
		    payload, opening ? WIRE_ACCOUNT : WIRE_TRANSFER, made, bench->ids);
	}
	const uint64_t done = epoch_newest(&bench->clock) - 1;
	if (done > epoch_committed(&bench->clock))
		epoch_commit(&bench->clock, done);
	epoch_open(&bench->clock, bench->now_ms);
	return turn(bench, first, count);
}

static int by_size(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static uint64_t median(uint64_t *values, uint32_t count)
{
	qsort(values, count, sizeof(values[0]), by_size);
	return values[count / 2];
}

int main(int argc, char **argv)
{
	static struct bench bench;
	uint64_t opened = 0;

	if (argc != 4) {
		fputs("usage: giro-bench-meter RECORDS DATAGRAMS ROUNDS\n", stderr);
		return 2;
	}
	bench.records = (uint32_t)strtoul(argv[1], NULL, 10);
	bench.datagrams = (uint32_t)strtoul(argv[2], NULL, 10);
	const uint32_t rounds = (uint32_t)strtoul(argv[3], NULL, 10) / BURSTS * BURSTS;
	if (bench.records < 1 || bench.records > 22 || bench.datagrams < 1 ||
	    bench.datagrams > METER_BURST_MAX || rounds < 1) {
		fputs("giro-bench-meter: 1..22 records, 1..32 datagrams, 4 rounds or more\n",
		      stderr);
		return 2;
	}
	make(&bench);
	for (uint32_t burst = 0; opened < ACCOUNTS; burst++)
		serve(&bench, burst, &opened);
	for (uint32_t burst = 0; burst < 4 * BURSTS; burst++)
		serve(&bench, burst, NULL);

	uint64_t *cycles[2] = {memory_new(rounds * sizeof(uint64_t)),
			       memory_new(rounds * sizeof(uint64_t))};
	for (uint32_t round = 0; round < 2 * rounds; round++) {
		/* Each buffer is met by both. */
		const uint32_t metered = round / BURSTS % 2;
		bench.metered = metered ? &bench.meter : NULL;
		cycles[metered][round / (2 * BURSTS) * BURSTS + round % BURSTS] =
		    serve(&bench, round, NULL);
	}
	CHECK(bench.shard->statuses[STATUS_OK] ==
	      ACCOUNTS + ((uint64_t)2 * rounds + 4 * BURSTS) * bench.records * bench.datagrams);
	const double off = (double)median(cycles[0], rounds);
	const double on = (double)median(cycles[1], rounds);
	printf("{\"records\": %u, \"datagrams\": %u, \"off_cycles\": %.0f, \"on_cycles\": %.0f, "
	       "\"ratio\": %.4f}\n",
	       bench.records, bench.datagrams, off, on, off / on);
	return 0;
}
