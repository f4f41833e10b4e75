/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/control.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include <rte_lcore.h>
#include <urcu-qsbr.h>

#include "engine/clock.h"
#include "engine/config_keys.h"
#include "engine/log.h"

#define WATCH_EVERY_MS 250

/* Between two looks at whether a move has ended. */
#define MOVE_LOOK_MS 2
_Static_assert(WATCH_EVERY_MS % MOVE_LOOK_MS == 0, "looks between two watches");

static void hangup_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGHUP);
}

void control_block_signals(void)
{
	sigset_t set;

	hangup_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Watching. */

static struct watch_sample take_sample(const struct control *control)
{
	const struct epoch_clock *clock = &control->engine->clock;
	return (struct watch_sample){
	    .monotonic_ms = clock_ms(CLOCK_MONOTONIC),
	    .realtime_ms = clock_ms(CLOCK_REALTIME),
	    .log_ms = clock->time_ms[epoch_newest(clock) % clock->slots],
	    .committed = epoch_committed(clock),
	    .sealed = epoch_sealed_by_all(clock),
	    .open = epoch_newest(clock),
	    .has_space = atomic_load_explicit(&clock->has_space, memory_order_relaxed),
	    .link_up = net_port_link_is_up(&control->engine->port),
	};
}

static void watch(struct control *control)
{
	struct watch_event events[WATCH_EVENTS_MAX];
	const struct watch_sample sample = take_sample(control);
	unsigned count = watch_step(&control->watch, &sample, events);

	for (unsigned i = 0; i < count; i++) {
		char text[WATCH_TEXT_BYTES];
		watch_text(&events[i], text);
		if (watch_is_good(events[i].kind))
			LOG_INFO("%s", text);
		else
			LOG_WARNING("%s", text);
	}
}

/* Moving shards. */

/* Until the main thread has done it, or given up. SIGHUP stays pending meanwhile. */
static bool await_move(struct control *control, struct shard_move_result *result)
{
	const struct timespec pause = {.tv_nsec = MOVE_LOOK_MS * 1000000};

	for (unsigned looks = 1; !shard_move_take(&control->engine->move, result); looks++) {
		if (atomic_load_explicit(&control->stop, memory_order_relaxed))
			return false;
		nanosleep(&pause, NULL);
		if (looks % (WATCH_EVERY_MS / MOVE_LOOK_MS) == 0)
			watch(control);
	}
	return true;
}

static void owners_text(const uint8_t *owner, uint32_t shards, char text[CONFIG_TEXT_MAX])
{
	struct engine_config config = {.shard_workers_count = (uint8_t)shards};
	const struct config_key *key = &config_keys[config_key_find("engine", CONFIG_LIVE_KEY)];

	memcpy(config.shard_workers, owner, sizeof(config.shard_workers));
	config_key_value(key, &config, text);
}

/* Rules at the device for the map in force, where it takes any. */
static void steer(struct control *control)
{
	struct net_port *port = &control->engine->port;
	bool steered = port->rules > 0;

	if (engine_steer(control->engine))
		LOG_INFO("the device's %u rte_flow rules follow the new map", port->rules);
	else if (steered)
		LOG_WARNING("the device took no rules for the new map, workers hand over in "
			    "software: %s",
			    port->steering_note);
}

/* Gives the shards to these workers. Returns false when all stayed as it was. */
static bool move_shards(struct control *control, const uint8_t owner[SHARDS_MAX])
{
	uint32_t shards = control->engine->config.limits.shards;
	struct shard_move_result result;
	char from[CONFIG_TEXT_MAX];
	char to[CONFIG_TEXT_MAX];

	if (memcmp(owner, control->owner, sizeof(control->owner)) == 0)
		return true;
	owners_text(control->owner, shards, from);
	owners_text(owner, shards, to);
	shard_move_ask(&control->engine->move, owner);
	if (!await_move(control, &result))
		return false;
	if (result.end != SHARD_MOVED) {
		LOG_WARNING(
		    "configuration: [engine] shard_workers stays %s: %s (%" PRIu64
		    " transfers between shards under way, new work refused for %.1f ms); send "
		    "SIGHUP to try again",
		    from,
		    result.end == SHARD_MOVE_LATE ? "what was under way did not end in time"
						  : "the engine stops",
		    result.rows, (double)result.refused_ns / 1e6);
		return false;
	}
	memcpy(control->owner, owner, sizeof(control->owner));
	LOG_INFO(
	    "configuration: [engine] shard_workers is now %s, was %s: slot map version %" PRIu32
	    ", new work refused for %.1f ms",
	    to, from, result.version, (double)result.refused_ns / 1e6);
	steer(control);
	return true;
}

/* Configuration. */

static void publish_limits(struct control *control, const struct client_limits *limits)
{
	unsigned next = 1 - control->published;

	control->limits[next] = *limits;
	control->limits[next].version = ++control->version;
	rcu_assign_pointer(control->engine->shared.limits, &control->limits[next]);
	control->published = next;
	/* The other one may be written over when no worker looks at it any more. */
	synchronize_rcu();
}

static void log_change(void *context, const char *key, const char *from, const char *to, bool live)
{
	(void)context;
	/* How it went is said when it is known. */
	if (strcmp(key, "[engine] shard_workers") == 0)
		return;
	if (live)
		LOG_INFO("configuration: %s is now %s, was %s", key, to, from);
	else
		LOG_WARNING("configuration: %s cannot change while the engine runs: %s stays, %s "
			    "holds from the next start on",
			    key, from, to);
}

/* What the file says of shards and workers, against what cannot change. */
static int find_owners(const struct control *control, const struct engine_config *config,
		       uint8_t owner[SHARDS_MAX], char error[CONFIG_ERROR_MAX])
{
	const struct engine *engine = control->engine;
	uint32_t shards = engine->config.limits.shards;
	char fault[SLOT_MAP_FAULT_MAX];

	if (config->limits.shards != shards) {
		snprintf(error, CONFIG_ERROR_MAX,
			 "%.256s: [engine] shards is %" PRIu32 ", but the log has %" PRIu32
			 ": a slot stays in its shard for the life of a log, since its accounts "
			 "are there",
			 control->input.path, config->limits.shards, shards);
		return -1;
	}
	if (slot_map_owners(owner, config->shard_workers, config->shard_workers_count, shards,
			    engine->workers, fault) != 0) {
		snprintf(error, CONFIG_ERROR_MAX, "%.256s: [engine] shard_workers: %s",
			 control->input.path, fault);
		return -1;
	}
	return 0;
}

static void reload(struct control *control)
{
	struct config_origins origins;
	struct engine_config config;
	uint8_t owner[SHARDS_MAX];
	char error[CONFIG_ERROR_MAX];

	if (config_read(&config, &origins, &control->input, error) != 0 ||
	    find_owners(control, &config, owner, error) != 0) {
		LOG_ERROR("configuration not reloaded, the old one stays in force: %s", error);
		return;
	}
	unsigned changes = config_differences(&control->config, &config, log_change, NULL);
	/* Waits until every worker has seen them: not for nothing. */
	if (memcmp(&config.clients, &control->config.clients, sizeof(config.clients)) != 0)
		publish_limits(control, &config.clients);
	control->config.clients = config.clients;
	if (move_shards(control, owner)) {
		memcpy(control->config.shard_workers, config.shard_workers,
		       sizeof(config.shard_workers));
		control->config.shard_workers_count = config.shard_workers_count;
	}
	LOG_INFO("configuration reloaded from %s: %u keys differ", control->input.path, changes);
}

/* The thread. */

static void *control_main(void *context)
{
	struct control *control = context;
	const struct timespec pause = {.tv_nsec = WATCH_EVERY_MS * 1000000};
	sigset_t set;

	hangup_set(&set);
	while (!atomic_load_explicit(&control->stop, memory_order_relaxed)) {
		int signal = sigtimedwait(&set, NULL, &pause);
		if (atomic_load_explicit(&control->stop, memory_order_relaxed))
			break;
		if (signal == SIGHUP)
			reload(control);
		watch(control);
	}
	return NULL;
}

void control_init(struct control *control, struct engine *engine, const struct config_input *input)
{
	*control = (struct control){.engine = engine, .input = *input, .config = engine->config};
	memcpy(control->owner, engine->owner, sizeof(control->owner));
}

int control_start(struct control *control)
{
	/* Before anyone is told that the engine is ready: what happens from then on is noticed. */
	const struct watch_sample sample = take_sample(control);
	watch_init(&control->watch, &sample, control->config.limits.ahead_ms);
	int error =
	    rte_ctrl_thread_create(&control->thread, "giro-control", NULL, control_main, control);

	control->started = error == 0;
	return error > 0 ? -error : error;
}

void control_stop(struct control *control)
{
	if (!control->started)
		return;
	atomic_store(&control->stop, true);
	/* Ends its wait; whether it came before or after the wait began. */
	pthread_kill(control->thread, SIGHUP);
	pthread_join(control->thread, NULL);
	control->started = false;
}
