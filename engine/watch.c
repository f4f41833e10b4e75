/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/watch.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
	bool good;
	const char *before; /* of the number, if `after` says that there is one */
	const char *after;
} texts[] = {
    [WATCH_PAUSED] =
	{false, "the engine did not run for ",
	 " ms: it was stopped, its CPUs were taken or its machine stood still; nothing "
	 "is lost, clients repeat"},
    [WATCH_CLOCK_FORWARD] = {false, "the clock was set forward by ",
			     " ms; the log's time follows and can never go back: check chrony"},
    [WATCH_CLOCK_NOT_FOLLOWED] =
	{false, "the clock was set forward by ",
	 " ms, further than an id may be ahead: the log's time does not follow and goes on at its "
	 "own pace. Is the clock right now? Then start the engine again; else set it right"},
    [WATCH_CLOCK_FOLLOWED] = {true, "the log's time follows the clock again", NULL},
    [WATCH_CLOCK_BACK] = {false, "the clock was set back by ", " ms: check chrony"},
    [WATCH_CLOCK_BEHIND] = {false, "the clock stands ",
			    " ms before the log's time, which stands still until then: the ids of "
			    "clients may be refused as ID_EXPIRED, and windows fill up"},
    [WATCH_CLOCK_CAUGHT_UP] = {true, "the clock has caught up with the log's time, after ", " ms"},
    [WATCH_LOG_STALLED] = {false, "no log write has ended for ",
			   " ms: the device is slow or hangs; nothing is acknowledged meanwhile"},
    [WATCH_WORKERS_STALLED] = {false, "a worker has sealed no epoch for ",
			       " ms: its CPU is taken; nothing is acknowledged meanwhile"},
    [WATCH_GOES_ON] = {true, "epochs are committed again, after ", " ms"},
    [WATCH_FULL] = {false,
		    "the log has no room for new work, which is answered BUSY until there is "
		    "space for a segment",
		    NULL},
    [WATCH_HAS_SPACE] = {true, "the log has room again: new work is taken", NULL},
    [WATCH_LINK_DOWN] = {false, "the link is down: no client reaches the engine", NULL},
    [WATCH_LINK_UP] = {true, "the link is up", NULL},
};

bool watch_is_good(enum watch_kind kind)
{
	return texts[kind].good;
}

void watch_text(const struct watch_event *event, char text[WATCH_TEXT_BYTES])
{
	const char *before = texts[event->kind].before;
	const char *after = texts[event->kind].after;

	if (after != NULL)
		snprintf(text, WATCH_TEXT_BYTES, "%s%" PRIu64 "%s", before, event->ms, after);
	else
		snprintf(text, WATCH_TEXT_BYTES, "%s", before);
}

void watch_init(struct watch *watch, const struct watch_sample *sample, uint64_t step_max_ms)
{
	*watch = (struct watch){.last = *sample, .moved_ms = sample->monotonic_ms};
	watch->last.link_up = true;
	watch->last.has_space = true;
	watch->followed = true;
	wall_clock_init(&watch->clock, step_max_ms, sample->realtime_ms, sample->monotonic_ms);
}

static void say(struct watch_event *events, unsigned *count, enum watch_kind kind, uint64_t ms)
{
	events[(*count)++] = (struct watch_event){.kind = kind, .ms = ms};
}

static void watch_clock(struct watch *watch, const struct watch_sample *sample,
			struct watch_event *events, unsigned *count)
{
	int64_t elapsed = (int64_t)(sample->monotonic_ms - watch->last.monotonic_ms);
	int64_t jump = (int64_t)(sample->realtime_ms - watch->last.realtime_ms) - elapsed;
	bool behind = sample->realtime_ms + WATCH_CLOCK_MS < sample->log_ms;

	bool followed = wall_clock_ms(&watch->clock, sample->realtime_ms, sample->monotonic_ms) >=
			sample->realtime_ms;
	if (jump > WATCH_CLOCK_MS)
		say(events, count, followed ? WATCH_CLOCK_FORWARD : WATCH_CLOCK_NOT_FOLLOWED,
		    (uint64_t)jump);
	if (jump < -WATCH_CLOCK_MS)
		say(events, count, WATCH_CLOCK_BACK, (uint64_t)-jump);
	if (followed && !watch->followed)
		say(events, count, WATCH_CLOCK_FOLLOWED, 0);
	watch->followed = followed;
	if (behind && !watch->behind) {
		watch->behind_ms = sample->monotonic_ms;
		say(events, count, WATCH_CLOCK_BEHIND, sample->log_ms - sample->realtime_ms);
	}
	/* All of the way, so that a clock at the edge is not said again and again. */
	if (watch->behind && sample->realtime_ms >= sample->log_ms) {
		behind = false;
		say(events, count, WATCH_CLOCK_CAUGHT_UP, sample->monotonic_ms - watch->behind_ms);
	} else if (watch->behind) {
		behind = true;
	}
	watch->behind = behind;
}

static void watch_commits(struct watch *watch, const struct watch_sample *sample,
			  struct watch_event *events, unsigned *count)
{
	uint64_t still_ms = sample->monotonic_ms - watch->moved_ms;

	if (sample->committed != watch->last.committed) {
		if (watch->stalled)
			say(events, count, WATCH_GOES_ON, still_ms);
		watch->stalled = false;
		watch->moved_ms = sample->monotonic_ms;
		return;
	}
	if (watch->stalled || still_ms < WATCH_STALL_MS)
		return;
	watch->stalled = true;
	say(events, count,
	    sample->sealed + 1 < sample->open ? WATCH_WORKERS_STALLED : WATCH_LOG_STALLED,
	    still_ms);
}

unsigned watch_step(struct watch *watch, const struct watch_sample *sample,
		    struct watch_event events[WATCH_EVENTS_MAX])
{
	uint64_t gap_ms = sample->monotonic_ms - watch->last.monotonic_ms;
	unsigned count = 0;

	if (gap_ms >= WATCH_PAUSE_MS) {
		say(events, &count, WATCH_PAUSED, gap_ms);
		/* Commits could not move either. */
		watch->moved_ms += gap_ms;
	}
	watch_clock(watch, sample, events, &count);
	watch_commits(watch, sample, events, &count);
	if (sample->has_space != watch->last.has_space)
		say(events, &count, sample->has_space ? WATCH_HAS_SPACE : WATCH_FULL, 0);
	if (sample->link_up != watch->last.link_up)
		say(events, &count, sample->link_up ? WATCH_LINK_UP : WATCH_LINK_DOWN, 0);
	watch->last = *sample;
	return count;
}
