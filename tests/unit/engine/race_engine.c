/* SPDX-License-Identifier: Apache-2.0
 *
 * The real thing without port and DPDK: two workers and a log writer, each a thread, with rings
 * between them, on a disk that finishes writes in any order. Clients are in the workers' threads.
 * No test framework, so that race detectors can watch it: meson setup -Db_sanitize=thread, then
 * race-engine [DATAGRAMS].
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "engine/log_writer.h"
#include "engine/worker.h"
#include "replay/audit.h"
#include "replay/replay.h"
#include "tests/unit/engine/fake_disk.h"
#include "tests/unit/engine/packet.h"
#include "wal/reader.h"

#define WORKERS	   2
#define SHARDS	   4
#define WALLETS	   64
#define SLOTS_USED 6
#define SECTION	   UINT64_C(131072)
#define RECORDS	   22
#define IN_FLIGHT  24

#define LEDGER 1
#define LOG_ID UINT64_C(0x0123456789abcdef)

/* Of each worker's client. */
#define DATAGRAMS_DEFAULT 7500

#define OPENED UINT64_C(1)

/* One producer, one consumer. */
#define RING_ENTRIES 8192u
struct ring {
	alignas(CACHE_LINE) _Atomic uint32_t tail; /* writer: the producer */
	alignas(CACHE_LINE) _Atomic uint32_t head; /* writer: the consumer */
	struct shard_message messages[RING_ENTRIES];
};

struct thread {
	pthread_t thread;
	uint32_t index;
	struct worker *worker;
	uint64_t random;
	uint64_t next_id;
	uint32_t sent;
	uint32_t answered;
	uint64_t done;	  /* transfers told OK */
	uint64_t refused; /* for want of funds */
	uint64_t busy;
	struct packet packets[IN_FLIGHT];
	struct packet *free[IN_FLIGHT];
	uint32_t free_count;
	uint32_t opened;       /* shards whose accounts are there */
	_Atomic bool ready;    /* those of all its shards are */
	_Atomic bool finished; /* all answered; it serves on */
};

static struct epoch_clock epochs;
static struct slot_map map;
static struct shard *shards[SHARDS];
static struct thread threads[WORKERS];
static struct ring rings[WORKERS][WORKERS]; /* [from][to] */
static uint32_t datagrams = DATAGRAMS_DEFAULT;
static _Atomic bool stop;
static struct id128 accounts[SHARDS][WALLETS + 1]; /* 0: the issuer */

static uint32_t random_below(uint64_t *random, uint32_t limit)
{
	*random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((*random >> 33) % limit);
}

static uint64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void ring_put(struct ring *ring, const struct shard_message *message)
{
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	/* pairs with the release in ring_take(): the entry was read */
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

	CHECK(tail - head < RING_ENTRIES);
	ring->messages[tail % RING_ENTRIES] = *message;
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
}

static bool ring_take(struct ring *ring, struct shard_message *message)
{
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	/* pairs with the release in ring_put(): the entry is there */
	if (head == atomic_load_explicit(&ring->tail, memory_order_acquire))
		return false;
	*message = ring->messages[head % RING_ENTRIES];
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
	return true;
}

static void sink_messages(void *context, const struct shard_message *messages, uint32_t count)
{
	struct thread *thread = context;

	for (uint32_t i = 0; i < count; i++)
		ring_put(&rings[thread->index][map.worker[messages[i].to]], &messages[i]);
}

/* The client: nothing is told that is not durable. */
static void sink_replies(void *context, const struct worker_reply *replies, uint32_t count)
{
	struct thread *thread = context;

	for (uint32_t i = 0; i < count; i++) {
		struct packet *packet = replies[i].packet;
		uint64_t committed = epoch_committed(&epochs);
		packet->answered = true;
		packet->reply_size = replies[i].payload_size;
		thread->free[thread->free_count++] = packet;
		if (packet->kind == WIRE_ACCOUNT) {
			thread->opened++;
			continue;
		}
		for (uint32_t at = 0; at < packet->count; at++) {
			struct wire_result result = packet_result(packet, at);
			CHECK(result.epoch <= committed);
			thread->done += result.status == STATUS_OK;
			thread->refused += result.status == STATUS_INSUFFICIENT_FUNDS;
			thread->busy += result.status == STATUS_BUSY;
			CHECK(result.status == STATUS_OK || result.status == STATUS_BUSY ||
			      result.status == STATUS_INSUFFICIENT_FUNDS);
		}
		thread->answered++;
	}
}

/* Opens the accounts of the worker's shards, a datagram for each. */
static void client_open(struct thread *thread)
{
	for (uint32_t i = thread->index; i < SHARDS; i += WORKERS) {
		struct account_operation operations[WALLETS + 1];
		struct packet *packet = thread->free[--thread->free_count];
		for (uint32_t n = 0; n <= WALLETS; n++)
			operations[n] = (struct account_operation){
			    .id = {.lo = ++thread->next_id,
				   .hi = thread->worker->batches[0].shard->now_ms << 16},
			    .account = accounts[i][n],
			    .action = CREATE_ACCOUNT,
			    .ledger = LEDGER,
			    .floor = n == 0 ? FLOOR_ISSUER : 0,
			};
		packet_fill(packet, WIRE_ACCOUNT, operations, WALLETS + 1, 0);
		worker_accept(thread->worker, i, packet, packet->payload);
	}
}

static bool all(size_t flag)
{
	for (uint32_t w = 0; w < WORKERS; w++) {
		const _Atomic bool *set = (const _Atomic bool *)((uint8_t *)&threads[w] + flag);
		if (!atomic_load_explicit(set, memory_order_acquire))
			return false;
	}
	return true;
}

/* A datagram of transfers out of one of the worker's shards, a third of them to another shard. */
static void client_send(struct thread *thread)
{
	struct packet *packet = thread->free[--thread->free_count];
	uint32_t from = thread->index + WORKERS * random_below(&thread->random, SHARDS / WORKERS);
	struct transfer transfers[RECORDS];
	uint32_t shard = UINT32_MAX;

	for (uint32_t i = 0; i < RECORDS; i++) {
		bool cross = random_below(&thread->random, 3) == 0;
		uint32_t to = cross ? random_below(&thread->random, SHARDS) : from;
		/* the issuer gives to many, wallets give among themselves */
		uint32_t payer = random_below(&thread->random, 4) == 0
				     ? 0
				     : 1 + random_below(&thread->random, WALLETS);
		transfers[i] = (struct transfer){
		    .id = {.lo = ++thread->next_id,
			   .hi = thread->worker->batches[0].shard->now_ms << 16},
		    .debit = accounts[from][payer],
		    .credit = accounts[to][1 + random_below(&thread->random, WALLETS)],
		    .amount = 1 + random_below(&thread->random, 100),
		    .ledger = LEDGER,
		};
		if (id_equal(transfers[i].debit, transfers[i].credit))
			transfers[i].debit = accounts[from][0];
	}
	packet_fill(packet, WIRE_TRANSFER, transfers, RECORDS, thread->sent++);
	CHECK(worker_route(thread->worker, packet->payload, packet->size, &shard,
			   &packet->reply_size) == WORKER_ROUTE_SHARD);
	CHECK(shard == from);
	worker_accept(thread->worker, shard, packet, packet->payload);
}

static bool take_messages(struct thread *thread)
{
	struct shard_message message;
	bool active = false;

	for (uint32_t from = 0; from < WORKERS; from++) {
		while (worker_has_room(thread->worker, 1) &&
		       ring_take(&rings[from][thread->index], &message)) {
			worker_message(thread->worker, &message);
			active = true;
		}
	}
	return active;
}

static void *worker_main(void *context)
{
	struct thread *thread = context;
	bool open = false;

	client_open(thread);
	while (!atomic_load_explicit(&stop, memory_order_acquire)) {
		bool active = worker_turn(thread->worker);
		active |= take_messages(thread);
		if (thread->opened == SHARDS / WORKERS)
			atomic_store_explicit(&thread->ready, true, memory_order_release);
		open = open || all(offsetof(struct thread, ready));
		while (open && thread->free_count > 0 && thread->sent < datagrams &&
		       worker_has_room(thread->worker, RECORDS)) {
			client_send(thread);
			active = true;
		}
		worker_flush(thread->worker);
		if (thread->answered == datagrams)
			atomic_store_explicit(&thread->finished, true, memory_order_release);
		if (!active)
			sched_yield();
	}
	worker_stop(thread->worker);
	return NULL;
}

/* The log writer's thread: the test's own. */
static void write_log(struct fake_disk *disk, struct wal_preparer *preparer,
		      struct log_writer *writer)
{
	uint64_t random = 1;

	while (!all(offsetof(struct thread, finished))) {
		int moved = log_writer_turn(writer, clock_ms());
		CHECK(moved >= 0);
		while (wal_preparer_step(preparer) > 0)
			;
		if (disk->write_count > 0 && random_below(&random, 2) == 0)
			fake_disk_finish(disk, random_below(&random, disk->write_count), 0);
		else if (moved == 0)
			sched_yield();
	}
	atomic_store_explicit(&stop, true, memory_order_release);
	for (uint32_t w = 0; w < WORKERS; w++)
		pthread_join(threads[w].thread, NULL);
	while (epoch_committed(&epochs) < epoch_newest(&epochs))
		CHECK(log_writer_finish(writer) == 0);
}

static struct shard_limits thread_limits(void)
{
	return (struct shard_limits){
	    .shards = SHARDS,
	    .rows = 256,
	    .accounts_max = WALLETS + 1,
	    .window_ms = 2000, /* short: tables are forgotten on the way */
	    .ahead_ms = 0,
	    .ids_per_second = 600000,
	};
}

static void make_shards(struct shard **made)
{
	const struct shard_limits limits = thread_limits();

	for (uint32_t i = 0; i < SHARDS; i++)
		made[i] = shard_new(pages_new(shard_bytes(&limits)), &limits, i);
}

static void free_shards(struct shard **made)
{
	for (uint32_t i = 0; i < SHARDS; i++)
		free(made[i]);
}

static void make_worker(uint32_t index)
{
	struct thread *thread = &threads[index];
	struct shard *own[SHARDS];
	uint32_t count = 0;
	const struct worker_config config = {
	    .index = index,
	    .requests = IN_FLIGHT,
	    .clock = &epochs,
	    .sink = {thread, sink_messages, sink_replies},
	    .datagram_max = WIRE_DATAGRAM_MAX,
	};

	for (uint32_t i = index; i < SHARDS; i += WORKERS)
		own[count++] = shards[i];
	thread->index = index;
	thread->random = 99 + index;
	thread->next_id = (uint64_t)(index + 1) << 32;
	for (uint32_t i = 0; i < IN_FLIGHT; i++)
		thread->free[thread->free_count++] = &thread->packets[i];
	thread->worker = worker_new(pages_new(worker_bytes(count, IN_FLIGHT)), &config, own, count);
	worker_set_map(thread->worker, &map);
}

/* Every epoch boundary is a consistent cut: the invariants hold there. */
static struct audit audit_of(struct shard *const *made)
{
	struct audit audit;

	CHECK(audit_shards(&audit, made, SHARDS) == 0);
	CHECK(audit.sound);
	return audit;
}

/* Replays the log into fresh shards and compares the digests that it was closed with. */
static void check_log(struct fake_disk *disk, uint64_t done)
{
	const struct wal_reader_options options = {.first_segment = WAL_OLDEST};
	struct shard *again[SHARDS];
	struct wal_reader reader;
	struct wal_block block;
	struct replay replay;
	int next;

	make_shards(again);
	replay_init(&replay, again, SHARDS);
	CHECK(wal_reader_open(&reader, &disk->base, &options) == 0);
	while ((next = wal_reader_next(&reader, &block)) == WAL_NEXT_BLOCK) {
		CHECK(replay_block(&replay, &block) == 0);
		struct audit cut = audit_of(again);
		audit_free(&cut);
		if (block.header->type == WAL_CLOSE)
			CHECK(replay_check_digests(&replay, block.header) == 0);
	}
	CHECK(next == WAL_NEXT_END && wal_reader_tail(&reader)->closed);
	wal_reader_close(&reader);
	CHECK(replay.counts.digests_checked == SHARDS);
	CHECK(replay.counts.transfers_done == done);
	CHECK(replay.counts.transfers_cross > done / 10);

	struct audit audit = audit_of(again);
	CHECK(audit.rows_pending == 0 && audit.ledger_count == 1);
	CHECK(audit.ledgers[0].balances == 0 && audit.ledgers[0].positive > 0);
	audit_free(&audit);
	free_shards(again);
}

int main(int argc, char **argv)
{
	const struct wal_writer_config config = {
	    .log_id = LOG_ID, .blocks_in_flight = 3, .segments_ahead = 2};
	const struct wal_tail tail = {0};
	struct fake_disk *disk = fake_disk_new(16 << 20, FAKE_SEGMENTS_MAX);
	void *memory = pages_new(epoch_clock_bytes(SHARDS, SLOTS_USED, SECTION));
	struct wal_preparer preparer;
	static struct wal_writer wal;
	static struct log_writer writer;

	if (argc > 1)
		datagrams = (uint32_t)strtoul(argv[1], NULL, 10);
	wal_preparer_init(&preparer, &disk->base, 0);
	CHECK(wal_writer_open(&wal, &disk->base, &preparer, &config, &tail) == 0);
	while (wal_preparer_step(&preparer) > 0)
		;
	make_shards(shards);
	CHECK(log_writer_mark(&wal, WAL_OPEN, OPENED, clock_ms(), shards, SHARDS, NULL) == OPENED);
	slot_map_init(&map, SHARDS, WORKERS, 7400);
	epoch_clock_init(&epochs, memory, WORKERS, SHARDS, SLOTS_USED, SECTION, OPENED, clock_ms());
	log_writer_init(&writer, &epochs, &wal);
	for (uint32_t i = 0; i < SHARDS; i++)
		for (uint32_t n = 0; n <= WALLETS; n++)
			accounts[i][n] = account_on(SHARDS, i, n);
	for (uint32_t w = 0; w < WORKERS; w++)
		make_worker(w);
	disk->held = true;
	for (uint32_t w = 0; w < WORKERS; w++)
		CHECK(pthread_create(&threads[w].thread, NULL, worker_main, &threads[w]) == 0);
	write_log(disk, &preparer, &writer);

	uint64_t last = epoch_newest(&epochs);
	CHECK(log_writer_mark(&wal, WAL_CLOSE, last + 1, clock_ms(), shards, SHARDS, NULL) > 0);
	uint64_t done = 0;
	uint64_t told = 0;
	for (uint32_t w = 0; w < WORKERS; w++) {
		done += threads[w].done;
		told += threads[w].done + threads[w].refused + threads[w].busy;
		CHECK(worker_is_idle(threads[w].worker));
		free(threads[w].worker);
	}
	CHECK(told == (uint64_t)WORKERS * datagrams * RECORDS);
	CHECK(done > told / 4);
	check_log(disk, done);

	uint64_t blocks = wal.counts.blocks;
	wal_writer_close(&wal);
	wal_preparer_stop(&preparer);
	fake_disk_free(disk);
	free_shards(shards);
	free(memory);
	printf("%lu transfers told, %lu done, %lu blocks\n", told, done, blocks);
	return 0;
}
