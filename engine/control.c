/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/control.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include <rte_lcore.h>
#include <urcu-qsbr.h>

#include "engine/clock.h"
#include "engine/log.h"

#define WATCH_EVERY_MS 250

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
	if (live)
		LOG_INFO("configuration: %s is now %s, was %s", key, to, from);
	else
		LOG_WARNING("configuration: %s cannot change while the engine runs: %s stays, %s "
			    "holds from the next start on",
			    key, from, to);
}

static void reload(struct control *control)
{
	struct config_origins origins;
	struct engine_config config;
	char error[CONFIG_ERROR_MAX];

	if (config_read(&config, &origins, &control->input, error) != 0) {
		LOG_ERROR("configuration not reloaded, the old one stays in force: %s", error);
		return;
	}
	unsigned changes = config_differences(&control->config, &config, log_change, NULL);
	publish_limits(control, &config.clients);
	control->config.clients = config.clients;
	LOG_INFO("configuration reloaded from %s: %u keys differ", control->input.path, changes);
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
