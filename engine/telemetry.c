/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/telemetry.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_telemetry.h>

#include "engine/clock.h"
#include "engine/log.h"

/* A number that another thread writes: loaded once, whole. */
#define READ(field) (*(const volatile __typeof__(field) *)&(field))

/* The longest label of a reason, stage or event. */
#define LABEL_MAX 64

/* rte_telemetry gives its callbacks no context. The lock is between its thread and the main thread
 * at start and end, and while shards move; no worker knows of it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct engine *engine;
static struct cut *cut; /* the engine's, and the only thing that is asked of it */
static bool cut_awaited;
static uint64_t started_ms;
static uint64_t opened_epoch;

static void put(struct rte_tel_data *data, const char *name, uint64_t value)
{
	rte_tel_data_add_dict_u64(data, name, value);
}

/* "group/label", with what telemetry takes in a name. */
static void put_labelled(struct rte_tel_data *data, const char *group, const char *label,
			 uint64_t value)
{
	char name[LABEL_MAX + 32];

	snprintf(name, sizeof(name), "%s/%s", group, label);
	for (char *at = name; *at != '\0'; at++) {
		if (*at == '-')
			*at = '_';
	}
	put(data, name, value);
}

/* Beside the drops of frames, with a prefix that tells them apart. */
static void put_datagram_drop(struct rte_tel_data *data, const char *fault, uint64_t value)
{
	char label[LABEL_MAX];

	snprintf(label, sizeof(label), "datagram_%s", fault);
	put_labelled(data, "drop", label, value);
}

static struct rte_tel_data *numbers_new(void)
{
	struct rte_tel_data *numbers = rte_tel_data_alloc();

	if (numbers != NULL)
		rte_tel_data_start_array(numbers, RTE_TEL_U64_VAL);
	return numbers;
}

static void put_numbers(struct rte_tel_data *data, const char *name, struct rte_tel_data *numbers)
{
	if (numbers != NULL)
		rte_tel_data_add_dict_container(data, name, numbers, 0);
}

static void put_latency(struct rte_tel_data *data, const struct latency *latency)
{
	struct rte_tel_data *numbers = numbers_new();

	for (uint32_t i = 0; numbers != NULL && i < LATENCY_BUCKETS; i++)
		rte_tel_data_add_array_u64(numbers, READ(latency->bucket[i]));
	put_numbers(data, "latency", numbers);
	put(data, "latency_sum_ns", READ(latency->sum_ns));
}

/* The commands. Each fills a dict that was started. */

static void answer_info(struct rte_tel_data *data)
{
	struct rte_tel_data *ends = numbers_new();
	char log_id[17];

	snprintf(log_id, sizeof(log_id), "%016" PRIx64, engine->recovery.log_id);
	rte_tel_data_add_dict_string(data, "log_id", log_id);
	rte_tel_data_add_dict_string(data, "idle_policy", config_idle_name(engine->config.idle));
	put(data, "incarnation", engine->recovery.writer.tail.incarnation);
	put(data, "started_ms", started_ms);
	put(data, "workers", engine->workers);
	put(data, "shards", engine->config.limits.shards);
	put(data, "udp_port", engine->config.udp_port);
	put(data, "map_version", engine->shared.map->version);
	put(data, "shard_moves", READ(engine->move.moves));
	put(data, "shard_moves_failed", READ(engine->move.failed));
	put(data, "shard_moves_refused_ns", READ(engine->move.refused_ns));
	put(data, "tsc_hz", rte_get_tsc_hz());
	put(data, "meter", GIRO_METER);
	for (uint32_t i = 0; ends != NULL && i + 1 < LATENCY_BUCKETS; i++)
		rte_tel_data_add_array_u64(ends, latency_bucket_end(i));
	put_numbers(data, "latency_ends_ns", ends);
}

static void answer_epoch(struct rte_tel_data *data)
{
	const struct epoch_clock *clock = &engine->clock;
	/* In this order, so that the lag cannot be below zero. */
	uint64_t committed = epoch_committed(clock);
	uint64_t open = epoch_newest(clock);

	put(data, "committed", committed);
	put(data, "open", open);
	put(data, "lag", open - committed);
	put(data, "slots", clock->slots);
	put(data, "time_ms", READ(clock->time_ms[open % clock->slots]));
}

/* How long ago the oldest block that is not durable was submitted; 0: there is none. */
static uint64_t oldest_write_ns(const struct log_meter *meter)
{
	uint64_t durable = READ(meter->durable);

	if (durable == READ(meter->appended))
		return 0;
	uint64_t started = READ(meter->started[durable % WAL_BLOCKS_IN_FLIGHT_MAX]);
	uint64_t now = meter_cycles();
	return now > started ? meter_ns(now - started, READ(meter->scale)) : 0;
}

static void answer_log(struct rte_tel_data *data)
{
	const struct wal_writer *wal = &engine->recovery.writer;
	const struct log_writer *writer = &engine->log_writer;
	const struct log_meter *meter = &engine->log_meter;
	uint64_t durable = READ(wal->durable_count);

	put(data, "lcore", rte_get_main_lcore());
	put(data, "cpu", (uint64_t)rte_lcore_to_cpu_id((int)rte_get_main_lcore()));
	put(data, "blocks", READ(wal->counts.blocks));
	put(data, "bytes", READ(wal->counts.bytes));
	put(data, "in_flight", READ(wal->tail.next_seq) - durable);
	put(data, "segment", READ(wal->tail.segment));
	put(data, "offset", READ(wal->tail.offset));
	put(data, "segment_bytes", engine->config.segment_bytes);
	put(data, "has_space",
	    atomic_load_explicit(&engine->clock.has_space, memory_order_relaxed));
	put(data, "segments_begun", READ(wal->counts.rolls));
	put(data, "completed_early", READ(wal->counts.completed_early));
	put(data, "refused_space", READ(wal->counts.refused_space));
	put(data, "empty_epochs", READ(writer->empty_epochs));
	put(data, "witnesses", READ(writer->witnesses));
	put(data, "oldest_write_ns", oldest_write_ns(meter));
	put(data, "cycles/busy", READ(meter->busy));
	put(data, "cycles/idle", READ(meter->idle));
	put_latency(data, &meter->latency);
}

static void answer_port(struct rte_tel_data *data)
{
	struct net_port_stats stats;

	net_port_stats(&engine->port, &stats);
	put(data, "received", stats.received);
	put(data, "sent", stats.sent);
	put(data, "replied", stats.replied);
	put(data, "refused", stats.refused);
	put(data, "tx_full", stats.tx_full);
	put(data, "device_missed", stats.device_missed);
	put(data, "device_no_buffer", stats.device_no_buffer);
	put(data, "device_errors", stats.device_errors);
	for (unsigned reason = 0; reason < NET_DROPS; reason++)
		put_labelled(data, "drop", net_drop_name(reason), stats.dropped[reason]);
	for (int fault = WIRE_FAULT_CHECKSUM; fault < 0; fault++) {
		uint64_t sum = 0;
		for (uint32_t w = 0; w < engine->workers; w++)
			sum += READ(engine->lcores[w].worker->counts.faults[-fault]);
		put_datagram_drop(data, wire_fault_name(fault), sum);
	}
}

static void answer_results(struct rte_tel_data *data)
{
#define SUM_STATUS(name, number, text)                                    \
	do {                                                              \
		uint64_t sum = 0;                                         \
		for (uint32_t i = 0; i < shards; i++)                     \
			sum += READ(engine->shards[i]->statuses[number]); \
		put(data, #name, sum);                                    \
	} while (0);
	uint32_t shards = engine->config.limits.shards;

	STATUS_LIST(SUM_STATUS)
#undef SUM_STATUS
}

static void put_rings(struct rte_tel_data *data, uint32_t to)
{
	const struct lcore_shared *shared = &engine->shared;
	uint64_t messages = 0;
	uint64_t messages_max = 0;
	uint64_t handover = 0;

	for (uint32_t from = 0; from < engine->workers; from++) {
		messages += rte_ring_count(shared->messages[from][to]);
		messages_max += rte_ring_get_capacity(shared->messages[from][to]);
		handover += rte_ring_count(shared->handover[from][to]);
	}
	put(data, "messages", messages);
	put(data, "messages_max", messages_max);
	put(data, "handover", handover);
}

static void answer_worker(struct rte_tel_data *data, uint32_t index)
{
	static const char *const stage_names[] = {
#define STAGE_NAME(name, label) [STAGE_##name] = label,
	    STAGE_LIST(STAGE_NAME)
#undef STAGE_NAME
	};
	const struct lcore *lcore = &engine->lcores[index];
	const struct worker *worker = lcore->worker;
	struct rte_tel_data *bursts = numbers_new();

	put(data, "lcore", lcore->id);
	put(data, "cpu", (uint64_t)rte_lcore_to_cpu_id((int)lcore->id));
	for (unsigned stage = 0; stage < STAGES; stage++)
		put_labelled(data, "cycles", stage_names[stage], READ(lcore->meter.cycles[stage]));
	put(data, "loops", READ(lcore->counts.loops));
	put(data, "loops_idle", READ(lcore->counts.loops_idle));
	put(data, "no_room", READ(lcore->counts.no_room));
	put(data, "handed_over", READ(lcore->counts.handed_over));
	put(data, "handed_on", READ(lcore->counts.handed_on));
	put(data, "datagrams", READ(worker->counts.datagrams));
	put(data, "replies", READ(worker->counts.replies));
	put(data, "infos", READ(worker->counts.infos));
	put(data, "bad_requests", READ(worker->counts.refused));
	put(data, "busy_requests", READ(worker->counts.busy_requests));
	put(data, "over_rate", READ(worker->counts.over_rate));
	put(data, "epochs", READ(worker->counts.epochs_entered));
	put(data, "caught_up", READ(worker->counts.caught_up));
	put(data, "requests", READ(worker->requests_used));
	put(data, "requests_max", worker->config.requests);
	uint64_t released = READ(worker->counts.released);
	put(data, "held", READ(worker->counts.held) - released);
	uint32_t tx_head = READ(lcore->tx_head);
	put(data, "tx_waiting", READ(lcore->tx_tail) - tx_head);
	put_rings(data, index);
	for (uint32_t i = 1; bursts != NULL && i <= METER_BURST_MAX; i++)
		rte_tel_data_add_array_u64(bursts, READ(lcore->meter.bursts[i]));
	put_numbers(data, "bursts", bursts);
	put_latency(data, &lcore->meter.latency);
}

/* How many ids the window holds now, and how full its fullest table is, in millionths: new ids of
 * that table's time get BUSY when it is full. */
static void put_window(struct rte_tel_data *data, const struct shard *shard)
{
	const struct window *window = &shard->window;
	uint64_t now_ms = READ(shard->now_ms);
	uint64_t oldest =
	    now_ms > window->window_ms ? (now_ms - window->window_ms) >> window->shift : 0;
	uint64_t ids = 0;
	uint64_t fullest = 0;

	for (uint32_t i = 0; i < window->generations; i++) {
		const struct window_generation *generation = &window->generation[i];
		if (READ(generation->number) < oldest)
			continue;
		uint64_t count = READ(generation->count) + READ(generation->reserved);
		ids += count;
		fullest = count > fullest ? count : fullest;
	}
	put(data, "window_ids", ids);
	put(data, "window_ids_max", window->count_max * window->generations);
	put(data, "window_fullest_ppm", fullest * 1000000 / window->count_max);
}

static void put_rows(struct rte_tel_data *data, const struct shard *shard)
{
	uint64_t fullest = 0;

	for (uint32_t peer = 0; peer < shard->limits.shards; peer++) {
		const struct phase_link *link = &shard->phase.link[peer];
		uint64_t low = READ(link->low);
		uint64_t next = READ(link->next);
		if (next > low && next - low > fullest)
			fullest = next - low;
	}
	put(data, "rows", READ(shard->phase.in_flight));
	put(data, "rows_fullest", fullest);
	put(data, "rows_max", shard->phase.rows);
}

/* "EVENT_NAME" as "event_name". */
static void put_event(struct rte_tel_data *data, const char *event, uint64_t value)
{
	char label[LABEL_MAX];
	size_t i = 0;

	for (; event[i] != '\0' && i + 1 < sizeof(label); i++)
		label[i] = (char)tolower((unsigned char)event[i]);
	label[i] = '\0';
	put_labelled(data, "event", label, value);
}

static void answer_shard(struct rte_tel_data *data, uint32_t index)
{
	static const char *const event_names[] = {
#define EVENT_NAME(name, text) #name,
	    SHARD_EVENT_LIST(EVENT_NAME)
#undef EVENT_NAME
	};
	const struct shard *shard = engine->shards[index];

	put(data, "worker", engine->shared.map->worker[index]);
	put(data, "accounts", READ(shard->accounts.count));
	put(data, "accounts_max", shard->accounts.count_max);
	put(data, "refused", READ(shard->statuses[STATUS_INSUFFICIENT_FUNDS]));
	put(data, "busy", READ(shard->statuses[STATUS_BUSY]));
	put_window(data, shard);
	put_rows(data, shard);
	for (unsigned event = 0; event < SHARD_EVENTS; event++)
		put_event(data, event_names[event], READ(shard->events[event]));
}

/* Digests. The lock is not held while they are awaited: EAL gives every reader a thread of its own, and
 * the others go on. */

#define DIGEST_POLL_NS 1000000

enum digest_end {
	DIGEST_DONE,
	DIGEST_UNDER_WAY, /* another one is */
	DIGEST_STOPPING,
	DIGEST_LATE,
};

static const char *const digest_ends[] = {
    [DIGEST_UNDER_WAY] = "other digests are under way: ask again when they are done",
    [DIGEST_STOPPING] = "the engine is stopping",
    [DIGEST_LATE] =
	"no digests within the time limit: a worker does not run or the log stands still; "
	"/giro/epoch and the engine's own messages say more",
};

/* One at a time, also when the one before was given up and its workers still walk. */
static enum digest_end begin_digest(void)
{
	enum digest_end end = DIGEST_DONE;

	pthread_mutex_lock(&lock);
	if (engine == NULL)
		end = DIGEST_STOPPING;
	else if (cut_awaited || !cut_is_idle(cut))
		end = DIGEST_UNDER_WAY;
	if (end == DIGEST_DONE) {
		cut_awaited = true;
		cut_ask(cut);
	}
	pthread_mutex_unlock(&lock);
	return end;
}

/* Looks once; false: not yet. */
static bool poll_digest(struct cut_result *result, uint64_t deadline_ms, enum digest_end *end)
{
	bool over = true;

	pthread_mutex_lock(&lock);
	if (engine == NULL)
		*end = DIGEST_STOPPING;
	else if (cut_take(cut, epoch_committed(&engine->clock), result))
		*end = DIGEST_DONE;
	else if (clock_ms(CLOCK_MONOTONIC) >= deadline_ms)
		*end = DIGEST_LATE;
	else
		over = false;
	if (over)
		cut_awaited = false;
	pthread_mutex_unlock(&lock);
	return over;
}

static enum digest_end await_digest(struct cut_result *result)
{
	uint64_t deadline_ms = clock_ms(CLOCK_MONOTONIC) + TELEMETRY_DIGEST_MS;
	const struct timespec pause = {.tv_nsec = DIGEST_POLL_NS};
	enum digest_end end = begin_digest();

	if (end != DIGEST_DONE)
		return end;
	while (!poll_digest(result, deadline_ms, &end))
		nanosleep(&pause, NULL);
	return end;
}

#define DIGEST_TEXT_BYTES 33

static const char *digest_text(uint64_t hi, uint64_t lo, char text[DIGEST_TEXT_BYTES])
{
	snprintf(text, DIGEST_TEXT_BYTES, "%016" PRIx64 "%016" PRIx64, hi, lo);
	return text;
}

static void log_digest(const struct cut_result *result, uint64_t walk_ms)
{
	char list[SHARDS_MAX * (DIGEST_TEXT_BYTES + 4)] = "";
	size_t used = 0;

	for (uint32_t i = 0; i < result->shards; i++) {
		char text[DIGEST_TEXT_BYTES];
		used +=
		    (size_t)snprintf(list + used, sizeof(list) - used, " %" PRIu32 ":%s", i,
				     digest_text(result->digest[i].hi, result->digest[i].lo, text));
	}
	LOG_INFO("digests were asked for: epoch %" PRIu64 ", %" PRIu64 " blocks, workers stood "
		 "still for up to %" PRIu64 " ms:%s",
		 result->epoch, result->blocks, walk_ms, list);
}

static void put_digest(struct rte_tel_data *data, const struct cut_result *result)
{
	struct rte_tel_data *digests = rte_tel_data_alloc();
	uint64_t walk_ns = (uint64_t)((double)result->cycles_max * 1e9 / (double)rte_get_tsc_hz());
	char text[DIGEST_TEXT_BYTES];

	log_digest(result, walk_ns / 1000000);
	put(data, "epoch", result->epoch);
	put(data, "time_ms", result->time_ms);
	put(data, "opened_epoch", opened_epoch);
	put(data, "blocks", result->blocks);
	rte_tel_data_add_dict_string(data, "chain",
				     digest_text(result->chain.hi, result->chain.lo, text));
	put(data, "walk_ns", walk_ns);
	if (digests == NULL)
		return;
	rte_tel_data_start_array(digests, RTE_TEL_STRING_VAL);
	for (uint32_t i = 0; i < result->shards; i++)
		rte_tel_data_add_array_string(
		    digests, digest_text(result->digest[i].hi, result->digest[i].lo, text));
	rte_tel_data_add_dict_container(data, "digests", digests, 0);
}

static int answer_digest(const char *command, const char *parameters, struct rte_tel_data *data)
{
	struct cut_result result;

	(void)command;
	if (parameters != NULL && *parameters != '\0')
		return -EINVAL;
	enum digest_end end = await_digest(&result);
	rte_tel_data_start_dict(data);
	if (end == DIGEST_DONE) {
		put_digest(data, &result);
		return 0;
	}
	LOG_WARNING("digests were asked for and not given: %s", digest_ends[end]);
	rte_tel_data_add_dict_string(data, "error", digest_ends[end]);
	return 0;
}

/* Dispatch. */

/* The number behind the comma: 0 .. count - 1; -1: none is given; -2: not one of them. */
static long parse_index(const char *parameters, uint32_t count)
{
	char *end;

	if (parameters == NULL || *parameters == '\0')
		return -1;
	errno = 0;
	unsigned long index = strtoul(parameters, &end, 10);
	if (!isdigit((unsigned char)*parameters) || *end != '\0' || errno != 0 || index >= count)
		return -2;
	return (long)index;
}

static int answer_indexed(const char *parameters, struct rte_tel_data *data, uint32_t count,
			  void (*answer)(struct rte_tel_data *data, uint32_t index))
{
	long index = parse_index(parameters, count);

	if (index == -2)
		return -EINVAL;
	if (index >= 0) {
		rte_tel_data_start_dict(data);
		answer(data, (uint32_t)index);
		return 0;
	}
	rte_tel_data_start_array(data, RTE_TEL_U64_VAL);
	for (uint32_t i = 0; i < count; i++)
		rte_tel_data_add_array_u64(data, i);
	return 0;
}

static const struct {
	const char *command;
	void (*answer)(struct rte_tel_data *data);
	const char *help;
} commands[] = {
    {"/giro/info", answer_info, "What the engine is. No parameters."},
    {"/giro/epoch", answer_epoch, "Open and durable epoch. No parameters."},
    {"/giro/log", answer_log, "The log and its writer. No parameters."},
    {"/giro/port", answer_port, "Frames, and drops by reason. No parameters."},
    {"/giro/results", answer_results, "Records answered, by status. No parameters."},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int answer_locked(const char *command, const char *parameters, struct rte_tel_data *data)
{
	if (engine == NULL)
		return -ENODEV;
	if (strcmp(command, "/giro/worker") == 0)
		return answer_indexed(parameters, data, engine->workers, answer_worker);
	if (strcmp(command, "/giro/shard") == 0)
		return answer_indexed(parameters, data, engine->config.limits.shards, answer_shard);
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(command, commands[i].command) != 0)
			continue;
		rte_tel_data_start_dict(data);
		commands[i].answer(data);
		return 0;
	}
	return -EINVAL;
}

static int answer(const char *command, const char *parameters, struct rte_tel_data *data)
{
	pthread_mutex_lock(&lock);
	int result = answer_locked(command, parameters, data);
	pthread_mutex_unlock(&lock);
	return result;
}

int telemetry_open(struct engine *of)
{
	struct timespec now;
	int failed = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	pthread_mutex_lock(&lock);
	started_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	engine = of;
	cut = &of->clock.cut;
	opened_epoch = of->recovery.epoch;
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < COMMANDS; i++)
		failed |= rte_telemetry_register_cmd(commands[i].command, answer, commands[i].help);
	failed |= rte_telemetry_register_cmd(
	    "/giro/worker", answer, "One worker. Parameter: its number; none: the numbers.");
	failed |= rte_telemetry_register_cmd(
	    "/giro/shard", answer, "One shard. Parameter: its number; none: the numbers.");
	failed |= rte_telemetry_register_cmd(
	    "/giro/digest", answer_digest,
	    "Every shard's digest at one epoch. Workers stand still for it. No parameters.");
	return failed != 0 ? -1 : 0;
}

void telemetry_hold(void)
{
	pthread_mutex_lock(&lock);
}

void telemetry_release(void)
{
	pthread_mutex_unlock(&lock);
}

void telemetry_close(void)
{
	pthread_mutex_lock(&lock);
	engine = NULL;
	pthread_mutex_unlock(&lock);
}
