/* SPDX-License-Identifier: Apache-2.0
 *
 * What an operator must hear of while the engine runs: that the log stands still, that the disk is
 * full, that the clock was set, that the link is down, that the process itself did not run. Each is
 * said when it begins and when it is over, not in between.
 *
 *   sample, a few times a second --> watch_step() --> events, each one line for people
 *
 * A healthy engine commits an epoch every few milliseconds even when nobody asks anything: so a
 * commit that does not move means that something is stuck, and whether all workers have sealed says
 * what. The log's time never goes back: while the clock stands before it, it stands still, and so do
 * the windows of ids.
 *
 * Pure: time comes with the sample. One thread.
 */
#ifndef GIRO_ENGINE_WATCH_H
#define GIRO_ENGINE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/wall_clock.h"

/* How long commits may stand still before it is said. */
#define WATCH_STALL_MS 1000
/* What the clock may be off between two samples, or stand before the log's time. */
#define WATCH_CLOCK_MS 1000
/* A longer time between two samples was not the watch's own doing. */
#define WATCH_PAUSE_MS 1000

#define WATCH_EVENTS_MAX 8
#define WATCH_TEXT_BYTES 256

struct watch_sample {
	uint64_t monotonic_ms; /* a clock that nobody sets */
	uint64_t realtime_ms;  /* the clock that the log's time follows */
	uint64_t log_ms;       /* time of the open epoch */
	uint64_t committed;    /* epochs */
	uint64_t sealed;       /* by all workers */
	uint64_t open;	       /* the newest epoch: workers seal the one before */
	bool has_space;	       /* new work may be logged */
	bool link_up;
};

enum watch_kind {
	WATCH_PAUSED,
	WATCH_CLOCK_FORWARD,
	WATCH_CLOCK_NOT_FOLLOWED,
	WATCH_CLOCK_FOLLOWED,
	WATCH_CLOCK_BACK,
	WATCH_CLOCK_BEHIND,
	WATCH_CLOCK_CAUGHT_UP,
	WATCH_LOG_STALLED,
	WATCH_WORKERS_STALLED,
	WATCH_GOES_ON,
	WATCH_FULL,
	WATCH_HAS_SPACE,
	WATCH_LINK_DOWN,
	WATCH_LINK_UP,
};

struct watch_event {
	enum watch_kind kind;
	uint64_t ms; /* how long or how far; 0 where that says nothing */
};

struct watch {
	struct watch_sample last;
	uint64_t moved_ms; /* monotonic: when `committed` moved last */
	bool stalled;
	bool behind;
	bool followed;		 /* the wall clock, by epochs */
	uint64_t behind_ms;	 /* monotonic: since when */
	struct wall_clock clock; /* as the log writer's: what epochs make of the clock */
};

/* From the first sample on. Nothing is said of it but a link that is down and a log that is full.
 * `step_max_ms`: as the log writer's wall clock has it. */
void watch_init(struct watch *watch, const struct watch_sample *sample, uint64_t step_max_ms);

/* Stores up to WATCH_EVENTS_MAX events that the sample shows and returns how many. */
unsigned watch_step(struct watch *watch, const struct watch_sample *sample,
		    struct watch_event events[WATCH_EVENTS_MAX]);

/* An event that says that something is over, or was harmless. */
bool watch_is_good(enum watch_kind kind);

/* What happened, what it means, what to do. */
void watch_text(const struct watch_event *event, char text[WATCH_TEXT_BYTES]);

#endif
