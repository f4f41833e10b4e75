/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/race/node.h"

#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <urcu-qsbr.h>

#if defined(__SANITIZE_THREAD__)
#define RACE_DETECTOR 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACE_DETECTOR 1
#endif
#endif

/* liburcu orders by memory barriers inside its own library, which the race detector cannot see.
 * These two name the only edges it promises: what was written to a map before it was published is
 * seen by who dereferences it, and what was read from it before a quiescent state is over when
 * synchronize_rcu() returns. Each is told with the object whose edge it is. */
#ifdef RACE_DETECTOR
#include <sanitizer/tsan_interface.h>
#define RCU_RELEASE(object) __tsan_release(object)
#define RCU_ACQUIRE(object) __tsan_acquire(object)
#else
#define RCU_RELEASE(object) ((void)(object))
#define RCU_ACQUIRE(object) ((void)(object))
#endif

#define SEGMENT_BYTES (4u << 20)
#define SECTION_BYTES (128u << 10)
#define EPOCH_SLOTS   8
#define WRITES	      3
#define PUBLISH_NS    20000000
#define MOVE_MS	      20
#define MOVES_MAX     8
#define NAP_NS	      20000
#define UDP_PORT      7400

static uint64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void nap(long ns)
{
	nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void *take_memory(size_t bytes)
{
	bytes = wal_padded(bytes);
	void *memory = aligned_alloc(WAL_PAGE, bytes);

	CHECK(memory != NULL);
	return memset(memory, 0, bytes);
}

struct shard_limits node_limits(void)
{
	return (struct shard_limits){
	    .shards = NODE_SHARDS,
	    .rows = 256,
	    .accounts_max = 1 + CLIENT_WALLETS,
	    .window_ms = 60000,
	    .ahead_ms = 10000,
	    .ids_per_second = 5000,

	};
}

void node_shards_make(struct shard **shards)
{
	const struct shard_limits limits = node_limits();

	for (uint32_t i = 0; i < NODE_SHARDS; i++)
		shards[i] = shard_new(take_memory(shard_bytes(&limits)), &limits, i);
}

void node_shards_free(struct shard **shards)
{
	for (uint32_t i = 0; i < NODE_SHARDS; i++)
		free(shards[i]);
}

/* The worker's loop. */

static void sink_messages(void *context, const struct shard_message *messages, uint32_t count)
{
	struct node_thread *thread = context;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t to = thread->worker->map->worker[messages[i].to];
		ring_put(&thread->node->messages[thread->index][to], &messages[i]);
	}
}

static void sink_replies(void *context, const struct worker_reply *replies, uint32_t count)
{
	struct node_thread *thread = context;
	struct node *node = thread->node;

	for (uint32_t i = 0; i < count; i++) {
		struct packet *packet = replies[i].packet;
		packet->reply_size = replies[i].payload_size;
		packet->is_reply = true;
		if (packet->client == thread->index)
			client_take(thread->client, packet, epoch_committed(&node->clock));
		else
			ring_put(&node->handover[thread->index][packet->client], &packet);
	}
}

static void serve(struct node_thread *thread, struct packet *packet)
{
	struct worker *worker = thread->worker;

	CHECK(worker_route(worker, packet->payload, packet->size, &packet->shard,
			   &packet->reply_size) == WORKER_ROUTE_SHARD);
	uint32_t owner = worker->map->worker[packet->shard];
	if (owner == thread->index)
		worker_accept(worker, packet->shard, packet, packet->payload);
	else
		ring_put(&thread->node->handover[thread->index][owner], &packet);
}

static bool poll_messages(struct node_thread *thread)
{
	struct shard_message message;
	bool active = false;

	for (uint32_t from = 0; from < NODE_WORKERS; from++) {
		struct ring *ring = &thread->node->messages[from][thread->index];
		while (worker_has_room(thread->worker, 1) && ring_take(ring, &message)) {
			worker_message(thread->worker, &message);
			active = true;
		}
	}
	return active;
}

static bool poll_handover(struct node_thread *thread)
{
	struct node *node = thread->node;
	struct packet *packet;
	bool active = false;

	for (uint32_t from = 0; from < NODE_WORKERS; from++) {
		while (worker_has_room(thread->worker, CLIENT_RECORDS) &&
		       ring_take(&node->handover[from][thread->index], &packet)) {
			active = true;
			if (packet->is_reply) {
				client_take(thread->client, packet, epoch_committed(&node->clock));
				continue;
			}
			uint32_t owner = thread->worker->map->worker[packet->shard];
			if (owner != thread->index) {
				ring_put(&node->handover[thread->index][owner], &packet);
				continue;
			}
			thread->accepted++;
			worker_accept(thread->worker, packet->shard, packet, packet->payload);
		}
	}
	return active;
}

static bool all(const struct node *node, size_t flag)
{
	for (uint32_t w = 0; w < NODE_WORKERS; w++) {
		const uint8_t *thread = (const uint8_t *)&node->threads[w];
		if (!atomic_load_explicit((const _Atomic bool *)(thread + flag),
					  memory_order_relaxed))
			return false;
	}
	return true;
}

static uint64_t now_of(const struct node_thread *thread)
{
	return thread->worker->batches[0].shard->now_ms;
}

static void open_accounts(struct node_thread *thread)
{
	for (uint32_t shard = thread->index; shard < NODE_SHARDS; shard += NODE_WORKERS) {
		for (uint32_t next = 0; next <= CLIENT_WALLETS; thread->expected++)
			serve(thread,
			      client_open(thread->client, shard, now_of(thread), next, &next));
	}
}

/* What the port's queue would bring: now and then for a shard of another worker. */
static bool poll_client(struct node_thread *thread)
{
	struct client *client = thread->client;
	bool active = false;

	if (client->opened == thread->expected)
		atomic_store_explicit(&thread->opened, true, memory_order_relaxed);
	if (!all(thread->node, offsetof(struct node_thread, opened)))
		return false;
	while (client->free_count > 0 &&
	       (thread->node->goes_on || thread->sent < thread->node->transfers) &&
	       worker_has_room(thread->worker, CLIENT_RECORDS)) {
		uint32_t shard = thread->index + NODE_WORKERS * client_random(client, 2);
		if (client_random(client, 8) == 0)
			shard = client_random(client, NODE_SHARDS);
		serve(thread, client_pay(client, shard, now_of(thread)));
		thread->sent += CLIENT_RECORDS;
		active = true;
	}
	if (thread->sent >= thread->node->transfers)
		atomic_store_explicit(&thread->sent_all, true, memory_order_relaxed);
	return active;
}

static void take_map(struct node_thread *thread)
{
	struct slot_map *map = rcu_dereference(thread->node->map);

	RCU_ACQUIRE(map);
	worker_set_map(thread->worker, map);
}

static void leave_map(struct node_thread *thread)
{
	RCU_RELEASE(thread);
	rcu_quiescent_state();
}

static enum node_order order_of(uint32_t word)
{
	return word & 3;
}

static void obeyed(struct node_thread *thread, uint32_t word)
{
	/* pairs with the acquire in is_obeyed() */
	atomic_store_explicit(&thread->obeyed, word, memory_order_release);
}

static void park(struct node_thread *thread, uint32_t word)
{
	worker_turn(thread->worker);
	worker_flush(thread->worker);
	obeyed(thread, word);
	/* pairs with the release in give_order() */
	while (atomic_load_explicit(&thread->node->order, memory_order_acquire) == word) {
		leave_map(thread);
		nap(NAP_NS);
	}
}

static void *worker_main(void *context)
{
	struct node_thread *thread = context;
	struct node *node = thread->node;
	uint32_t word;

	rcu_register_thread();
	take_map(thread);
	if (node->resume)
		worker_resume(thread->worker);
	if (thread->client->opened == 0)
		open_accounts(thread);
	/* pairs with the release in give_order() */
	while (order_of(word = atomic_load_explicit(&node->order, memory_order_acquire)) !=
	       NODE_STOP) {
		take_map(thread);
		if (order_of(word) == NODE_PARK) {
			park(thread, word);
			continue;
		}
		thread->worker->draining = order_of(word) == NODE_DRAIN;
		bool active = worker_turn(thread->worker);
		active |= poll_messages(thread);
		active |= poll_handover(thread);
		active |= poll_client(thread);
		worker_flush(thread->worker);
		leave_map(thread);
		if (order_of(word) == NODE_DRAIN) {
			atomic_store_explicit(&thread->idle,
					      !active && worker_is_idle(thread->worker),
					      memory_order_relaxed);
			obeyed(thread, word);
		}
		if (!active)
			nap(NAP_NS);
	}
	worker_turn(thread->worker);
	worker_stop(thread->worker);
	thread->caught_up = thread->worker->counts.caught_up;
	RCU_RELEASE(thread);
	rcu_unregister_thread();
	return NULL;
}

/* Asks for digests, one request after the other. */
static void watch_cuts(struct node *node)
{
	struct cut *cut = &node->clock.cut;
	struct cut_result result;

	if (node->cut_awaited && cut_take(cut, epoch_committed(&node->clock), &result)) {
		CHECK(result.epoch > node->cut_epoch && result.blocks > 0);
		node->cut_epoch = result.epoch;
		node->cut_awaited = false;
		node->cuts_taken++;
	}
	if (!node->cut_awaited) {
		cut_ask(cut);
		node->cut_awaited = true;
	}
}

/* Replaces the map with one that says the same, again and again, and takes the old one's memory. */
static void *publisher_main(void *context)
{
	struct node *node = context;

	while (order_of(atomic_load_explicit(&node->order, memory_order_acquire)) != NODE_STOP) {
		pthread_mutex_lock(&node->map_lock);
		struct slot_map *old = node->map;
		struct slot_map *map = take_memory(sizeof(*map));
		*map = *old;
		map->version++;
		RCU_RELEASE(map);
		rcu_assign_pointer(node->map, map);
		synchronize_rcu();
		for (uint32_t w = 0; w < NODE_WORKERS; w++)
			RCU_ACQUIRE(&node->threads[w]);
		memset(old, 0xff, sizeof(*old));
		free(old);
		pthread_mutex_unlock(&node->map_lock);
		node->maps_published++;
		watch_cuts(node);
		nap(PUBLISH_NS);
	}
	return NULL;
}

/* Start. */

static void make_rings(struct node *node)
{
	uint32_t messages = worker_messages_max(NODE_OWNED, NODE_OWNED, &node->limits);

	for (uint32_t from = 0; from < NODE_WORKERS; from++) {
		for (uint32_t to = 0; to < NODE_WORKERS; to++) {
			ring_init(&node->messages[from][to], messages,
				  sizeof(struct shard_message));
			ring_init(&node->handover[from][to], NODE_WORKERS * CLIENT_IN_FLIGHT,
				  sizeof(struct packet *));
		}
	}
}

static void make_threads(struct node *node, struct client *clients)
{
	for (uint32_t w = 0; w < NODE_WORKERS; w++) {
		struct node_thread *thread = &node->threads[w];
		struct shard *own[NODE_SHARDS];
		uint32_t count = 0;
		const struct worker_config config = {
		    .index = w,
		    .requests = NODE_WORKERS * CLIENT_IN_FLIGHT,
		    .shards_max = NODE_OWNED,
		    .clock = &node->clock,
		    .sink = {thread, sink_messages, sink_replies},
		    .log_id = node->recovery.log_id,
		    .datagram_max = sizeof(clients->packets->payload),
		};
		for (uint32_t i = w; i < NODE_SHARDS; i += NODE_WORKERS)
			own[count++] = node->shards[i];
		*thread = (struct node_thread){.node = node, .index = w, .client = &clients[w]};
		thread->expected = clients[w].opened;
		thread->worker = worker_new(take_memory(worker_bytes(NODE_OWNED, config.requests)),
					    &config, own, count);
		client_recall(&clients[w]);
	}
}

void node_start(struct node *node, const char *path, struct client *clients, uint64_t transfers)
{
	const struct wal_disk_options disk_options = {
	    .write = true, .segment_bytes = SEGMENT_BYTES, .lock_wait_ms = 5000};
	static struct lanes lanes;
	const struct recovery_options options = {
	    .log = path,
	    .limits = &node->limits,
	    .lanes = &lanes,
	    .new_log_id = 1,
	    .writes = WRITES,
	    .segments_ahead = (uint32_t)log_writer_segments_ahead(
		EPOCH_SLOTS, NODE_SHARDS * SECTION_BYTES, SEGMENT_BYTES),
	};
	char error[RECOVERY_ERROR_MAX] = "";

	*node = (struct node){.transfers = transfers, .limits = node_limits()};
	node_shards_make(node->shards);
	lanes_open(&lanes, NODE_WORKERS, NULL, NULL);
	if (wal_disk_open(&node->disk, path, &disk_options, error) != 0 ||
	    recovery_read(&node->recovery, node->disk, &options, node->shards, error) != 0 ||
	    recovery_begin(&node->recovery, clock_ms(), node->shards, error) != 0) {
		fprintf(stderr, "race: %s\n", error);
		exit(1);
	}
	lanes_close(&lanes);
	CHECK(wal_preparer_start(&node->recovery.preparer) == 0);
	node->resume = node->recovery.rows_pending > 0;
	node->sections = take_memory(epoch_clock_bytes(NODE_SHARDS, EPOCH_SLOTS, SECTION_BYTES));
	epoch_clock_init(&node->clock, node->sections, NODE_WORKERS, NODE_SHARDS, EPOCH_SLOTS,
			 SECTION_BYTES, node->recovery.epoch, clock_ms());
	log_writer_init(&node->log_writer, &node->clock, &node->recovery.writer);
	node->map = take_memory(sizeof(*node->map));
	slot_map_init(node->map, NODE_SHARDS, NODE_WORKERS, UDP_PORT);
	CHECK(pthread_mutex_init(&node->map_lock, NULL) == 0);
	make_rings(node);
	make_threads(node, clients);
}

/* The log writer's thread. */

static void writer_turn(struct node *node)
{
	int moved = log_writer_turn(&node->log_writer, clock_ms());

	CHECK(moved >= 0);
	if (moved > 0)
		return;
	if (wal_writer_in_flight(&node->recovery.writer) > 0)
		node->disk->ops->wait(node->disk, NAP_NS);
	else
		nap(NAP_NS);
}

static uint32_t give_order(struct node *node, enum node_order order)
{
	uint32_t word = atomic_load_explicit(&node->order, memory_order_relaxed);

	word = (word / 4 + 1) * 4 + order;
	/* pairs with the acquire in worker_main(): the newest epoch is seen with it, and what was
	 * done to a worker that stood still */
	atomic_store_explicit(&node->order, word, memory_order_release);
	return word;
}

static bool is_obeyed(const struct node *node, uint32_t word)
{
	for (uint32_t w = 0; w < NODE_WORKERS; w++) {
		/* pairs with the release in obeyed() */
		if (atomic_load_explicit(&node->threads[w].obeyed, memory_order_acquire) != word)
			return false;
	}
	return true;
}

/* Moves. */

static bool nothing_is_under_way(struct node *node)
{
	for (uint32_t w = 0; w < NODE_WORKERS; w++) {
		if (!worker_is_settled(node->threads[w].worker))
			return false;
		for (uint32_t from = 0; from < NODE_WORKERS; from++) {
			if (!ring_is_empty(&node->messages[from][w]))
				return false;
		}
	}
	return true;
}

/* Each worker keeps one shard; the others go anywhere. */
static void give_shards(struct node *node)
{
	struct slot_map *old = node->map;
	struct slot_map *map = take_memory(sizeof(*map));
	struct worker *workers[NODE_WORKERS];
	uint8_t owner[SHARDS_MAX] = {0};

	for (uint32_t i = 0; i < NODE_SHARDS; i++) {
		node->random = node->random * 1664525 + 1013904223;
		owner[(i + node->moves) % NODE_SHARDS] =
		    (uint8_t)(i < NODE_WORKERS ? i : (node->random >> 16) % NODE_WORKERS);
	}
	slot_map_follow(map, old, owner);
	for (uint32_t w = 0; w < NODE_WORKERS; w++)
		workers[w] = node->threads[w].worker;
	workers_move_shards(workers, NODE_WORKERS, owner);
	RCU_RELEASE(map);
	rcu_assign_pointer(node->map, map);
	free(old);
	node->moves++;
}

static void move_turn(struct node *node)
{
	if (node->drain == 0) {
		if (node->moves == MOVES_MAX || clock_ms() < node->moved_ms + MOVE_MS)
			return;
		node->drain = give_order(node, NODE_DRAIN);
		return;
	}
	if (!is_obeyed(node, node->drain))
		return;
	pthread_mutex_lock(&node->map_lock);
	uint32_t word = give_order(node, NODE_PARK);
	while (!is_obeyed(node, word))
		nap(NAP_NS);
	node->tries++;
	bool moves = nothing_is_under_way(node);
	if (moves)
		give_shards(node);
	node->moved_ms = clock_ms();
	word = give_order(node, moves ? NODE_RUN : NODE_DRAIN);
	node->drain = moves ? 0 : word;
	pthread_mutex_unlock(&node->map_lock);
}

static void close_log(struct node *node)
{
	uint64_t last = epoch_newest(&node->clock);

	while (epoch_committed(&node->clock) < last)
		CHECK(log_writer_finish(&node->log_writer) == 0);
	CHECK(log_writer_mark(&node->recovery.writer, WAL_CLOSE, last + 1, clock_ms(), node->shards,
			      NODE_SHARDS, NULL) > 0);
}

void node_run(struct node *node, bool drain)
{
	node->goes_on = !drain;
	for (uint32_t w = 0; w < NODE_WORKERS; w++)
		CHECK(pthread_create(&node->threads[w].thread, NULL, worker_main,
				     &node->threads[w]) == 0);
	CHECK(pthread_create(&node->publisher, NULL, publisher_main, node) == 0);
	while (!all(node, offsetof(struct node_thread, sent_all))) {
		writer_turn(node);
		move_turn(node);
	}
	uint32_t word = drain ? give_order(node, NODE_DRAIN) : 0;
	while (drain && !(is_obeyed(node, word) && all(node, offsetof(struct node_thread, idle))))
		writer_turn(node);
	give_order(node, NODE_STOP);
	for (uint32_t w = 0; w < NODE_WORKERS; w++)
		pthread_join(node->threads[w].thread, NULL);
	pthread_join(node->publisher, NULL);
	close_log(node);
}

void node_end(struct node *node)
{
	recovery_close(&node->recovery);
	node->disk->ops->close(node->disk);
	for (uint32_t from = 0; from < NODE_WORKERS; from++) {
		for (uint32_t to = 0; to < NODE_WORKERS; to++) {
			ring_free(&node->messages[from][to]);
			ring_free(&node->handover[from][to]);
		}
		free(node->threads[from].worker);
	}
	free(node->map);
	free(node->sections);
}
