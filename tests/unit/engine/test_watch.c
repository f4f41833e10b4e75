/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "engine/watch.h"

#define STEP_MS	 250
#define AHEAD_MS 10000

static struct watch watch;
static struct watch_sample now;
static char said[1024];

static const char *const names[] = {
    [WATCH_PAUSED] = "paused",
    [WATCH_CLOCK_FORWARD] = "forward",
    [WATCH_CLOCK_NOT_FOLLOWED] = "not-followed",
    [WATCH_CLOCK_FOLLOWED] = "followed",
    [WATCH_CLOCK_BACK] = "back",
    [WATCH_CLOCK_BEHIND] = "behind",
    [WATCH_CLOCK_CAUGHT_UP] = "caught-up",
    [WATCH_LOG_STALLED] = "log-stalled",
    [WATCH_WORKERS_STALLED] = "workers-stalled",
    [WATCH_GOES_ON] = "goes-on",
    [WATCH_FULL] = "full",
    [WATCH_HAS_SPACE] = "space",
    [WATCH_LINK_DOWN] = "down",
    [WATCH_LINK_UP] = "up",
};

/* One sample; what it shows is added to `said`. */
static void step(void)
{
	struct watch_event events[WATCH_EVENTS_MAX];
	unsigned count = watch_step(&watch, &now, events);

	cr_assert(count <= WATCH_EVENTS_MAX);
	for (unsigned i = 0; i < count; i++) {
		size_t used = strlen(said);
		snprintf(said + used, sizeof(said) - used, "%s %lu; ", names[events[i].kind],
			 (unsigned long)events[i].ms);
	}
}

/* A healthy engine for so long: time goes on, epochs are sealed and committed. */
static void live(uint64_t ms)
{
	for (uint64_t passed = 0; passed < ms; passed += STEP_MS) {
		now.monotonic_ms += STEP_MS;
		now.realtime_ms += STEP_MS;
		if (now.log_ms < now.realtime_ms)
			now.log_ms = now.realtime_ms;
		now.open += 50;
		now.sealed = now.open - 1;
		now.committed = now.sealed;
		step();
	}
}

/* The same, while commits stand still. */
static void stand_still(uint64_t ms)
{
	for (uint64_t passed = 0; passed < ms; passed += STEP_MS) {
		now.monotonic_ms += STEP_MS;
		now.realtime_ms += STEP_MS;
		step();
	}
}

static void begin(void)
{
	now = (struct watch_sample){
	    .monotonic_ms = 5000,
	    .realtime_ms = 1700000000000,
	    .log_ms = 1700000000000,
	    .committed = 100,
	    .sealed = 100,
	    .open = 101,
	    .has_space = true,
	    .link_up = true,
	};
	said[0] = '\0';
	watch_init(&watch, &now, AHEAD_MS);
}

TestSuite(watch, .init = begin);

Test(watch, health_is_silent)
{
	live(60000);
	cr_assert_str_eq(said, "");
}

Test(watch, a_slow_device_is_said_once_and_when_it_is_over)
{
	live(1000);
	now.open += 7;
	now.sealed += 7;
	stand_still(10000);
	cr_assert_str_eq(said, "log-stalled 1000; ");
	live(1000);
	cr_assert_str_eq(said, "log-stalled 1000; goes-on 10250; ");
	live(60000);
	cr_assert_str_eq(said, "log-stalled 1000; goes-on 10250; ");
}

Test(watch, a_stuck_worker_is_not_blamed_on_the_device)
{
	live(1000);
	now.open += 7;
	stand_still(2000);
	cr_assert_str_eq(said, "workers-stalled 1000; ");
}

/* Nothing waits for a seal and nothing is opened: it is the writer that stands in a call. */
Test(watch, a_stuck_log_writer_is_not_blamed_on_the_workers)
{
	live(1000);
	stand_still(2000);
	cr_assert_str_eq(said, "log-stalled 1000; ");
}

Test(watch, a_short_wait_is_no_news)
{
	live(1000);
	stand_still(WATCH_STALL_MS - STEP_MS);
	live(1000);
	cr_assert_str_eq(said, "");
}

/* SIGSTOP: the watch was stopped with the engine and must not take that for a stall. */
Test(watch, a_stopped_process_is_no_stall)
{
	live(1000);
	now.monotonic_ms += 8000;
	now.realtime_ms += 8000;
	step();
	live(1000);
	cr_assert_str_eq(said, "paused 8000; ");
}

Test(watch, the_clock_set_forward)
{
	live(1000);
	now.realtime_ms += AHEAD_MS;
	live(1000);
	cr_assert_str_eq(said, "forward 10000; ");
}

Test(watch, the_clock_set_too_far_forward_and_right_again)
{
	live(1000);
	now.realtime_ms += 3600000;
	stand_still(STEP_MS);
	cr_assert_str_eq(said, "not-followed 3600000; ");
	now.realtime_ms -= 3600000;
	live(1000);
	cr_assert_str_eq(said, "not-followed 3600000; back 3600000; followed 0; ");
}

Test(watch, the_clock_set_back_until_it_has_caught_up)
{
	live(1000);
	now.realtime_ms -= 5000;
	live(10000);
	cr_assert_str_eq(said, "back 5000; behind 4750; caught-up 4750; ");
}

/* Slower than any jump: NTP slewing, or a little step. */
Test(watch, a_clock_a_little_off_is_no_news)
{
	for (int i = 0; i < 100; i++) {
		now.realtime_ms -= 20;
		live(STEP_MS);
	}
	cr_assert_str_eq(said, "");
	now.realtime_ms -= 900;
	live(60000);
	cr_assert_str_eq(said, "");
}

Test(watch, an_engine_that_starts_behind_its_log_says_so)
{
	now.log_ms = now.realtime_ms + 7000;
	watch_init(&watch, &now, AHEAD_MS);
	live(STEP_MS);
	cr_assert_str_eq(said, "behind 6750; ");
}

Test(watch, link_and_space_come_and_go)
{
	now.link_up = false;
	live(1000);
	now.has_space = false;
	live(1000);
	now.has_space = true;
	live(1000);
	now.link_up = true;
	live(1000);
	cr_assert_str_eq(said, "down 0; full 0; space 0; up 0; ");
}

Test(watch, what_is_wrong_from_the_start_is_said)
{
	now.link_up = false;
	now.has_space = false;
	watch_init(&watch, &now, AHEAD_MS);
	live(STEP_MS);
	cr_assert_str_eq(said, "full 0; down 0; ");
}

Test(watch, every_event_has_a_text)
{
	for (unsigned kind = WATCH_PAUSED; kind <= WATCH_LINK_UP; kind++) {
		const struct watch_event event = {.kind = kind, .ms = 4711};
		char text[WATCH_TEXT_BYTES];
		watch_text(&event, text);
		cr_assert(strlen(text) > 10 && strlen(text) < WATCH_TEXT_BYTES - 1, "%s", text);
		bool counts = kind != WATCH_FULL && kind != WATCH_HAS_SPACE &&
			      kind != WATCH_LINK_DOWN && kind != WATCH_LINK_UP &&
			      kind != WATCH_CLOCK_FOLLOWED;
		cr_assert_eq(strstr(text, "4711") != NULL, counts, "%s", text);
	}
	cr_assert(watch_is_good(WATCH_GOES_ON) && !watch_is_good(WATCH_FULL));
}
