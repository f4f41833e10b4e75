/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_ring_elem.h>
#include <urcu-qsbr.h>

#include "base/check.h"
#include "engine/clock.h"
#include "engine/log.h"
#include "engine/memory.h"
#include "engine/message_rings.h"
#include "engine/telemetry.h"

/* How long SIGTERM waits for what is under way. */
#define DRAIN_MS 10000

#define LINK_WAIT_MS 2000

static uint64_t monotonic_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

/* Topology. */

/* Shards that one worker may ever have: each of the others has one at least. */
static uint32_t worker_shards_max(const struct engine *engine)
{
	return engine->config.limits.shards - engine->workers + 1;
}

static struct net_port_config port_config(const struct engine *engine)
{
	const struct engine_config *config = &engine->config;
	struct net_port_config port = {
	    .device = config->device,
	    .prefix_bits = config->prefix_bits,
	    .queues = (uint16_t)RTE_MIN(engine->workers, config->queues),
	    .mtu = config->mtu,
	    .rx_descriptors = config->rx_descriptors,
	    .tx_descriptors = config->tx_descriptors,
	    .mbufs = engine->mbufs,
	    .link_wait_ms = LINK_WAIT_MS,
	};

	memcpy(port.address, config->address, sizeof(port.address));
	return port;
}

/* Every descriptor, every datagram in hand, and bursts between them. */
static uint32_t mbuf_count(const struct engine *engine)
{
	const struct engine_config *config = &engine->config;

	return engine->workers * (config->rx_descriptors + config->tx_descriptors +
				  config->requests + 16 * LCORE_BURST);
}

static int choose_topology(struct engine *engine, char error[ENGINE_ERROR_MAX])
{
	const struct engine_config *config = &engine->config;
	char fault[SLOT_MAP_FAULT_MAX];

	engine->workers = rte_lcore_count() - 1;
	if (engine->workers < 1) {
		snprintf(error, ENGINE_ERROR_MAX,
			 "the engine needs at least two lcores: one for the log, one or more for "
			 "workers\ngive EAL -l 0,1 or, to share a core, --lcores 0@0,1@0");
		return -1;
	}
	if (engine->workers > config->limits.shards)
		engine->workers = config->limits.shards;
	if (slot_map_owners(engine->owner, config->shard_workers, config->shard_workers_count,
			    config->limits.shards, engine->workers, fault) != 0) {
		snprintf(error, ENGINE_ERROR_MAX, "[engine] shard_workers: %s", fault);
		return -1;
	}
	engine->mbufs = mbuf_count(engine);
	return 0;
}

/* Memory. */

static void size_memory(struct engine *engine)
{
	const struct engine_config *config = &engine->config;
	struct engine_memory *memory = &engine->memory;
	const struct net_port_config port = port_config(engine);

	memory->shards = config->limits.shards * (uint64_t)shard_bytes(&config->limits);
	memory->log_buffers =
	    epoch_clock_bytes(config->limits.shards, config->epochs, config->section_bytes);
	memory->workers =
	    engine->workers * (worker_bytes(worker_shards_max(engine), config->requests) +
			       sizeof(struct client_table));
	memory->rings =
	    message_rings_bytes(&config->limits, engine->workers) +
	    (uint64_t)engine->workers * engine->workers * engine->mbufs * sizeof(void *) * 2;
	memory->mbufs = net_port_memory_bytes(&port);
	memory->needed =
	    memory->shards + memory->log_buffers + memory->workers + memory->rings + memory->mbufs;
	memory->available = memory_available();
}

uint64_t engine_memory_needed(const struct engine_config *config, uint32_t workers)
{
	static struct engine plan;

	plan.config = *config;
	plan.workers = RTE_MIN(workers, config->limits.shards);
	plan.mbufs = mbuf_count(&plan);
	size_memory(&plan);
	return plan.memory.needed;
}

static int check_memory(const struct engine *engine, char error[ENGINE_ERROR_MAX])
{
	const struct engine_memory *memory = &engine->memory;

	if (memory->needed <= memory->available)
		return 0;
	snprintf(error, ENGINE_ERROR_MAX,
		 "not enough memory: %" PRIu64 " MiB needed (shards %" PRIu64
		 ", log buffers %" PRIu64 ", rings %" PRIu64 ", mbufs %" PRIu64 "), %" PRIu64
		 " MiB available to EAL\n"
		 "reserve hugepages (sysctl vm.nr_hugepages=%" PRIu64
		 " or more), or lower accounts, ids_per_second, window_s, buffer_kib or requests",
		 memory->needed >> 20, memory->shards >> 20, memory->log_buffers >> 20,
		 memory->rings >> 20, memory->mbufs >> 20, memory->available >> 20,
		 (memory->needed >> 21) + 32);
	return -1;
}

static void *take(const char *what, size_t bytes, unsigned lcore, char error[ENGINE_ERROR_MAX])
{
	void *memory =
	    rte_zmalloc_socket(what, bytes, WAL_PAGE, (int)rte_lcore_to_socket_id(lcore));

	if (memory == NULL)
		snprintf(error, ENGINE_ERROR_MAX,
			 "no %zu MiB of contiguous memory for %s: reserve more hugepages",
			 bytes >> 20, what);
	return memory;
}

static int make_shards(struct engine *engine, char error[ENGINE_ERROR_MAX])
{
	for (uint32_t i = 0; i < engine->config.limits.shards; i++) {
		void *memory = take("a shard", shard_bytes(&engine->config.limits),
				    engine->lcores[engine->owner[i]].id, error);
		if (memory == NULL)
			return -1;
		engine->shards[i] = shard_new(memory, &engine->config.limits, i);
	}
	return 0;
}

static struct rte_ring *make_handover_ring(struct engine *engine, uint32_t from, uint32_t to,
					   char error[ENGINE_ERROR_MAX])
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "giro-h-%u-%u", from, to);
	struct rte_ring *ring =
	    rte_ring_create(name, engine->mbufs, (int)rte_lcore_to_socket_id(engine->lcores[to].id),
			    RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
	if (ring == NULL)
		snprintf(error, ENGINE_ERROR_MAX, "no ring %s of %u entries: %s", name,
			 engine->mbufs, rte_strerror(rte_errno));
	return ring;
}

static int make_rings(struct engine *engine, char error[ENGINE_ERROR_MAX])
{
	const struct shard_limits *limits = &engine->config.limits;
	struct lcore_shared *shared = &engine->shared;

	for (uint32_t from = 0; from < engine->workers; from++) {
		for (uint32_t to = 0; to < engine->workers; to++) {
			shared->handover[from][to] = make_handover_ring(engine, from, to, error);
			if (shared->handover[from][to] == NULL)
				return -1;
		}
	}
	engine->message_memory = take("message rings", message_rings_bytes(limits, engine->workers),
				      engine->lcores[0].id, error);
	if (engine->message_memory == NULL)
		return -1;
	message_rings_cut(shared, engine->message_memory, limits, shared->map);
	return 0;
}

/* Workers. */

static int make_worker(struct engine *engine, uint32_t index, char error[ENGINE_ERROR_MAX])
{
	const struct engine_config *config = &engine->config;
	struct lcore *lcore = &engine->lcores[index];
	struct shard *own[SHARDS_MAX];
	uint32_t count = 0;
	const struct worker_config worker = {
	    .index = index,
	    .requests = config->requests,
	    .shards_max = worker_shards_max(engine),
	    .clock = &engine->clock,
	    .sink = {lcore, lcore_sink_messages, lcore_sink_replies},
	    .log_id = engine->recovery.log_id,
	    .datagram_max = (uint16_t)(engine->port.mtu - NET_FRAME_IP_UDP_BYTES),
	    .meter = &lcore->meter,
	};

	for (uint32_t i = 0; i < config->limits.shards; i++) {
		if (engine->owner[i] == index)
			own[count++] = engine->shards[i];
	}
	void *memory =
	    take("a worker", worker_bytes(worker.shards_max, config->requests), lcore->id, error);
	uint32_t tx_entries = 1;
	while (tx_entries < engine->mbufs)
		tx_entries *= 2;
	lcore->tx = take("a transmit ring", tx_entries * sizeof(lcore->tx[0]), lcore->id, error);
	lcore->waiting =
	    take("a ring of requests", tx_entries * sizeof(lcore->waiting[0]), lcore->id, error);
	lcore->clients = take("client rates", sizeof(*lcore->clients), lcore->id, error);
	if (memory == NULL || lcore->tx == NULL || lcore->waiting == NULL || lcore->clients == NULL)
		return -1;
	lcore->tx_mask = tx_entries - 1;
	lcore->requests = config->requests;
	lcore->shared = &engine->shared;
	lcore->index = index;
	lcore->has_queue = index < engine->port.queues;
	lcore->resume = engine->recovery.rows_pending > 0;
	lcore->worker = worker_new(memory, &worker, own, count);
	return 0;
}

static int make_map(struct engine *engine, char error[ENGINE_ERROR_MAX])
{
	struct slot_map *map = take("slot maps", 2 * sizeof(*map), rte_get_main_lcore(), error);

	if (map == NULL)
		return -1;
	slot_map_init(map, engine->config.limits.shards, engine->workers, engine->config.udp_port);
	memcpy(map->worker, engine->owner, sizeof(map->worker));
	engine->maps = map;
	rcu_assign_pointer(engine->shared.map, map);
	return 0;
}

bool engine_steer(struct engine *engine)
{
	const struct slot_map *map = engine->shared.map;
	uint16_t queues[SHARDS_MAX];

	for (uint32_t i = 0; i < map->shards; i++)
		queues[i] = (uint16_t)(map->worker[i] % engine->port.queues);
	return net_port_steer(&engine->port, map->port, queues, map->shards);
}

static int open_port(struct engine *engine, char error[ENGINE_ERROR_MAX])
{
	const struct net_port_config port = port_config(engine);
	char why[NET_PORT_ERROR_MAX];

	if (net_port_open(&engine->port, &port, why) != 0) {
		snprintf(error, ENGINE_ERROR_MAX, "%s", why);
		return -1;
	}
	return 0;
}

/* Each lane goes where the worker of its shards runs, beside their memory. Where it may not, it is slower
 * and no less right. */
static void settle_lane(void *context, uint32_t lane)
{
	const struct engine *engine = context;
	const cpu_set_t cpus = rte_lcore_cpuset(engine->lcores[lane].id);

	pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
}

/* One lane for each worker. A lane plays shards w, w + workers, ..., which are the worker's unless
 * shard_workers says otherwise. */
static void open_lanes(struct engine *engine)
{
	lanes_open(&engine->lanes, engine->workers, settle_lane, engine);
}

/* How long a killed predecessor's writes may keep the lock. */
#define LOCK_WAIT_MS 5000

/* Opens the log, which locks out a second engine, and brings the shards to its end. */
static int open_log(struct engine *engine, char error[ENGINE_ERROR_MAX])
{
	const struct engine_config *config = &engine->config;
	const struct wal_disk_options disk_options = {
	    .write = true,
	    .segment_bytes = config->segment_bytes,
	    .lock_wait_ms = LOCK_WAIT_MS,
	};
	struct recovery_options options = {
	    .log = config->log_path,
	    .limits = &config->limits,
	    .writes = config->writes,
	    .checkpoints = config->log_path,
	    .clock_ms = monotonic_ms,
	    .segments_ahead = (uint32_t)log_writer_segments_ahead(
		config->epochs, config->section_bytes * config->limits.shards,
		config->segment_bytes),
	    .lanes = &engine->lanes,
	};
	struct recovery *recovery = &engine->recovery;
	uint64_t start_ms = clock_ms(CLOCK_MONOTONIC);
	char why[WAL_TEXT_BYTES];
	struct wal_disk *disk;

	while (options.new_log_id == 0) {
		if (getrandom(&options.new_log_id, sizeof(options.new_log_id), 0) < 0) {
			snprintf(error, ENGINE_ERROR_MAX, "no random log id: %s", strerror(errno));
			return -1;
		}
	}
	if (wal_disk_open(&disk, config->log_path, &disk_options, why) != 0) {
		snprintf(error, ENGINE_ERROR_MAX, "%s", why);
		return -1;
	}
	open_lanes(engine);
	int failed = recovery_read(recovery, disk, &options, engine->shards, error);
	if (failed == 0)
		failed = recovery_begin(recovery, clock_ms(CLOCK_REALTIME), engine->shards, error);
	lanes_close(&engine->lanes);
	if (failed != 0)
		goto close_disk;
	failed = wal_preparer_start(&recovery->preparer);
	if (failed != 0) {
		snprintf(error, ENGINE_ERROR_MAX, "no thread to prepare log segments: %s",
			 strerror(-failed));
		recovery_close(recovery);
		goto close_disk;
	}
	engine->recovery_ms = clock_ms(CLOCK_MONOTONIC) - start_ms;
	return 0;

close_disk:
	disk->ops->close(disk);
	return -1;
}

static int start_clock(struct engine *engine, char error[ENGINE_ERROR_MAX])
{
	const struct engine_config *config = &engine->config;
	void *memory =
	    take("log buffers",
		 epoch_clock_bytes(config->limits.shards, config->epochs, config->section_bytes),
		 rte_get_main_lcore(), error);

	if (memory == NULL)
		return -1;
	/* The wall clock may have stepped back since the log's last block; the log's time does not. */
	uint64_t now_ms = clock_ms(CLOCK_REALTIME);
	wall_clock_init(&engine->wall_clock, config->limits.ahead_ms, now_ms,
			clock_ms(CLOCK_MONOTONIC));
	if (now_ms < engine->recovery.writer.tail.time_ms)
		now_ms = engine->recovery.writer.tail.time_ms;
	epoch_clock_init(&engine->clock, memory, engine->workers, config->limits.shards,
			 config->epochs, config->section_bytes, engine->recovery.epoch, now_ms);
	log_writer_init(&engine->log_writer, &engine->clock, &engine->recovery.writer);
	return 0;
}

/* Recovery went through the shards too; what they count from now on is this engine's own work. */
static void count_from_here(struct engine *engine)
{
	for (uint32_t i = 0; i < engine->config.limits.shards; i++) {
		memset(engine->shards[i]->events, 0, sizeof(engine->shards[i]->events));
		memset(engine->shards[i]->statuses, 0, sizeof(engine->shards[i]->statuses));
	}
}

int engine_start(struct engine *engine, const struct engine_config *config,
		 char error[ENGINE_ERROR_MAX])
{
	engine->config = *config;
	if (choose_topology(engine, error) != 0)
		return -1;
	unsigned id = UINT_MAX;
	for (uint32_t w = 0; w < engine->workers; w++) {
		id = rte_get_next_lcore(id, 1, 0);
		engine->lcores[w].id = id;
	}
	size_memory(engine);
	engine->shared.port = &engine->port;
	engine->shared.idle = config->idle;
	engine->shared.workers = engine->workers;
	if (check_memory(engine, error) != 0 || make_shards(engine, error) != 0 ||
	    make_map(engine, error) != 0 || make_rings(engine, error) != 0 ||
	    open_port(engine, error) != 0)
		return -1;
	rcu_assign_pointer(engine->shared.limits, &engine->config.clients);
	engine->shared.records_max =
	    (uint16_t)((engine->port.mtu - NET_FRAME_IP_UDP_BYTES - sizeof(struct wire_header)) /
		       WIRE_RECORD_BYTES);
	if (config->section_bytes <
	    2u * LCORE_BURST * engine->shared.records_max * RECORD_BYTES_MAX) {
		snprintf(error, ENGINE_ERROR_MAX,
			 "[log] buffer_kib must be at least %zu for datagrams of an MTU of %u: two "
			 "bursts of them must fit an epoch",
			 (2u * LCORE_BURST * engine->shared.records_max * RECORD_BYTES_MAX >> 10) +
			     4,
			 engine->port.mtu);
		return -1;
	}
	if (open_log(engine, error) != 0 || start_clock(engine, error) != 0)
		return -1;
	engine_steer(engine);
	for (uint32_t w = 0; w < engine->workers; w++) {
		if (make_worker(engine, w, error) != 0)
			return -1;
	}
	count_from_here(engine);
	log_meter_start(&engine->log_meter, &engine->recovery.writer, rte_get_tsc_hz());
	if (telemetry_open(engine) != 0)
		LOG_WARNING("EAL takes no more telemetry commands: some of /giro/* are missing");
	return 0;
}

/* Running. */

bool engine_is_obeyed(const struct engine *engine, uint32_t word)
{
	for (uint32_t w = 0; w < engine->workers; w++) {
		/* pairs with the release in obeyed() of the lcore */
		if (atomic_load_explicit(&engine->lcores[w].obeyed, memory_order_acquire) != word)
			return false;
	}
	return true;
}

/* What a lcore said in an earlier drain, before shards moved, does not count. */
static bool all_idle(const struct engine *engine, uint32_t word)
{
	if (!engine_is_obeyed(engine, word))
		return false;
	for (uint32_t w = 0; w < engine->workers; w++) {
		if (!atomic_load_explicit(&engine->lcores[w].idle, memory_order_relaxed))
			return false;
	}
	return true;
}

/* A block in flight ends the rest early: its completion is what everyone waits for. */
static void rest(struct engine *engine)
{
	uint64_t nap_ns = idle_nap_ns(&engine->idle);

	if (nap_ns > 0 && wal_writer_in_flight(&engine->recovery.writer) > 0)
		engine->recovery.disk->ops->wait(engine->recovery.disk, nap_ns);
	else
		idle_rest(&engine->idle);
}

static uint64_t epoch_time_ms(struct engine *engine)
{
	return wall_clock_ms(&engine->wall_clock, clock_ms(CLOCK_REALTIME),
			     clock_ms(CLOCK_MONOTONIC));
}

/* One turn of the log writer, and rest when there was nothing to do. */
static int writer_turn(struct engine *engine)
{
	uint64_t begin = meter_cycles();
	int moved = log_writer_turn(&engine->log_writer, epoch_time_ms(engine));

	log_meter_turn(&engine->log_meter, &engine->recovery.writer, begin, moved > 0);
	if (moved < 0)
		LOG_ERROR("the log failed: %s; stopping, nothing more is acknowledged",
			  strerror(-moved));
	if (moved == 0)
		rest(engine);
	else
		idle_end(&engine->idle);
	return moved;
}

/* After the workers sealed everything: the rest of the log, then CLOSE. */
static int close_log(struct engine *engine)
{
	struct log_writer *writer = &engine->log_writer;
	uint64_t last = epoch_newest(&engine->clock);
	uint64_t deadline = clock_ms(CLOCK_MONOTONIC) + DRAIN_MS;

	while (epoch_committed(&engine->clock) < last) {
		int error = log_writer_finish(writer);
		if (error == 0 && clock_ms(CLOCK_MONOTONIC) > deadline)
			error = wal_writer_in_flight(&engine->recovery.writer) > 0 ? -ETIMEDOUT
										   : -ENOSPC;
		if (error != 0) {
			LOG_ERROR("the log was not closed: %s", strerror(-error));
			return -1;
		}
		idle_rest(&engine->idle);
	}
	open_lanes(engine);
	int64_t closed =
	    log_writer_mark(&engine->recovery.writer, WAL_CLOSE, last + 1, epoch_time_ms(engine),
			    engine->shards, engine->config.limits.shards, &engine->lanes);
	lanes_close(&engine->lanes);
	if (closed < 0) {
		LOG_ERROR("the log was not closed: %s", strerror((int)-closed));
		return -1;
	}
	return 0;
}

static int drain(struct engine *engine)
{
	uint64_t deadline = clock_ms(CLOCK_MONOTONIC) + DRAIN_MS;

	LOG_INFO("draining: no new work is taken");
	uint32_t word = lcore_give_order(&engine->shared, LCORE_DRAIN);
	while (!all_idle(engine, word) && clock_ms(CLOCK_MONOTONIC) < deadline) {
		if (writer_turn(engine) < 0)
			return -1;
	}
	if (!all_idle(engine, word))
		LOG_WARNING("not all work under way finished within %u ms; it is in the log and "
			    "goes on at the next start",
			    DRAIN_MS);
	return 0;
}

int engine_run(struct engine *engine, const volatile int *stop)
{
	int result = 0;

	idle_init(&engine->idle, engine->config.idle);
	for (uint32_t w = 0; w < engine->workers; w++)
		CHECK(rte_eal_remote_launch(lcore_main, &engine->lcores[w], engine->lcores[w].id) ==
		      0);
	while (*stop == 0 && result == 0) {
		result = writer_turn(engine) < 0 ? -1 : 0;
		if (result == 0)
			shard_move_turn(engine);
	}
	shard_move_abandon(engine);
	if (result == 0)
		result = drain(engine);
	lcore_give_order(&engine->shared, LCORE_STOP);
	rte_eal_mp_wait_lcore();
	telemetry_close();
	if (result == 0)
		result = close_log(engine);
	return result;
}

void engine_close(struct engine *engine)
{
	net_port_close(&engine->port);
	recovery_close(&engine->recovery);
	engine->recovery.disk->ops->close(engine->recovery.disk);
}
