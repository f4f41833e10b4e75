/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "client/session.h"

uint32_t client_window(const struct client_peer *peer)
{
	const uint32_t window = (uint32_t)peer->congestion.window;

	return window > 0 ? window : 1;
}

static void lost(struct giro *giro, struct client_flight *flight, uint64_t now_ns)
{
	client_congestion_lost(&giro->peer[flight->shard].congestion, flight->doublings, now_ns);
	flight->repeats++;
	flight->silent++;
	if (flight->silent >= REPEATS_BEFORE_INFO && now_ns - giro->reading_ended_ns > MAP_PAUSE_NS)
		client_reading_begin(giro, (1u << MAP_PAGES) - 1, now_ns);
	/* An engine that came back with a smaller limit, or fewer shards, does not take what was
	 * right before. */
	if (flight->count > giro->info.datagram_records || flight->shard >= giro->map.shards)
		client_flight_break_up(giro, flight);
	else
		client_flight_queue(giro, flight, true);
}

static void wake(struct giro *giro, struct client_flight *flight, uint64_t now_ns)
{
	if (flight->whole) {
		flight->whole = false;
		flight->repeats++;
		flight->first_sent_ns = 0;
		client_flight_queue(giro, flight, false);
		return;
	}
	if (flight->misplaced && giro->reading.active) {
		flight->due_ns = now_ns + ASK_MIN_NS;
		return;
	}
	client_flight_break_up(giro, flight);
}

static void timers(struct giro *giro, uint64_t now_ns)
{
	giro->next_due_ns = UINT64_MAX;
	for (uint32_t i = 0; i < giro->flight_count; i++) {
		struct client_flight *flight = &giro->flights[i];
		if (flight->state == FLIGHT_FREE)
			continue;
		if (flight->deadline_ns <= now_ns)
			client_flight_expire(giro, flight, GIRO_TIMED_OUT, now_ns);
		if (flight->state == FLIGHT_SENT && flight->due_ns <= now_ns)
			lost(giro, flight, now_ns);
		else if (flight->state == FLIGHT_PAUSED && flight->due_ns <= now_ns)
			wake(giro, flight, now_ns);
		if (flight->state == FLIGHT_FREE)
			continue;
		client_due(giro, flight->deadline_ns);
		if (flight->state == FLIGHT_SENT || flight->state == FLIGHT_PAUSED)
			client_due(giro, flight->due_ns);
	}
	if (giro->retry_count > 0)
		client_retries_expire(giro, GIRO_TIMED_OUT, now_ns);
}

static void refill(struct giro *giro)
{
	while (giro->retry_count > 0) {
		const struct client_retry *retry = &giro->retries[giro->retry_first];
		if (!client_fill(giro, retry->kind, retry->record, &retry->ticket)) {
			/* Flights come free with answers and time-outs; look at the latter. */
			client_due(giro, retry->ticket.deadline_ns);
			return;
		}
		giro->retry_first = (giro->retry_first + 1) % giro->capacity;
		giro->retry_count--;
	}
}

/* Closes the datagrams that need not, or must not, wait to fill up: those for which there is room
 * in the window. While there is none they may as well go on filling. */
static void close_filling(struct giro *giro, uint64_t now_ns, uint64_t linger_ns)
{
	if (giro->filling_count == 0)
		return;
	for (unsigned kind = 0; kind < KINDS; kind++) {
		for (unsigned shard = 0; shard < SHARDS_MAX; shard++) {
			struct client_flight *flight = giro->filling[kind][shard];
			const struct client_peer *peer = &giro->peer[shard];
			if (flight == NULL)
				continue;
			if (peer->in_flight + peer->queued >= client_window(peer) ||
			    giro->in_flight >= giro->options.in_flight)
				continue;
			if (flight->opened_ns + linger_ns > now_ns && giro->free_count > 0)
				client_wake(giro, flight->opened_ns + linger_ns);
			else
				client_flight_close(giro, flight);
		}
	}
}

void client_advance(struct giro *giro, uint64_t linger_ns)
{
	giro->wake_ns = UINT64_MAX;
	client_receive(giro);
	const uint64_t now_ns = client_now_ns();
	if (now_ns >= giro->next_due_ns)
		timers(giro, now_ns);
	client_reading_step(giro, now_ns);
	if (giro->log_changed)
		return;
	refill(giro);
	close_filling(giro, now_ns, linger_ns);
	client_send(giro, now_ns);
}

void client_log_changed(struct giro *giro)
{
	giro->log_changed = true;
	for (uint32_t i = 0; i < giro->flight_count; i++) {
		struct client_flight *flight = &giro->flights[i];
		if (flight->state != FLIGHT_FREE)
			client_flight_expire(giro, flight, GIRO_LOG_CHANGED, UINT64_MAX);
	}
	client_retries_expire(giro, GIRO_LOG_CHANGED, UINT64_MAX);
}

/* When there is something to do though nothing arrives. */
static uint64_t next_ns(const struct giro *giro)
{
	return giro->next_due_ns < giro->wake_ns ? giro->next_due_ns : giro->wake_ns;
}

void client_arm(struct giro *giro)
{
	/* What waits in the queue makes the descriptor readable at once. */
	const uint64_t due_ns = giro->completion_count > 0 ? 1 : next_ns(giro);

	if (due_ns == UINT64_MAX || (giro->armed_ns != 0 && giro->armed_ns <= due_ns))
		return;
	const struct itimerspec timer = {
	    .it_value = {.tv_sec = (time_t)(due_ns / 1000000000),
			 .tv_nsec = (long)(due_ns % 1000000000)},
	};
	timerfd_settime(giro->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
	giro->armed_ns = due_ns;
}

void client_wait(struct giro *giro, uint64_t until_ns)
{
	struct pollfd readable = {.fd = giro->epoll_fd, .events = POLLIN};
	const uint64_t now_ns = client_now_ns();

	if (next_ns(giro) < until_ns)
		until_ns = next_ns(giro);
	if (until_ns <= now_ns)
		return;
	const uint64_t wait_ns = until_ns - now_ns;
	const struct timespec timeout = {
	    .tv_sec = (time_t)(wait_ns / 1000000000),
	    .tv_nsec = (long)(wait_ns % 1000000000),
	};
	ppoll(&readable, 1, until_ns == UINT64_MAX ? NULL : &timeout, NULL);
}

static size_t hand_out(struct giro *giro, struct giro_completion *completions, size_t max)
{
	const size_t count = giro->completion_count < max ? giro->completion_count : max;

	for (size_t i = 0; i < count; i++) {
		completions[i] = giro->completions[giro->completion_first];
		if (++giro->completion_first == giro->capacity)
			giro->completion_first = 0;
	}
	giro->completion_count -= count;
	giro->outstanding -= count;
	giro->statistics.completions += count;
	return count;
}

size_t giro_poll(struct giro *giro, struct giro_completion *completions, size_t max,
		 int64_t timeout_us)
{
	const uint64_t linger_ns = giro->options.linger_us * 1000ull;
	uint64_t until_ns = UINT64_MAX;
	size_t count;

	if (timeout_us > 0)
		until_ns = client_now_ns() + (uint64_t)timeout_us * 1000;
	for (;;) {
		client_advance(giro, linger_ns);
		count = hand_out(giro, completions, max);
		if (count > 0 || timeout_us == 0 || max == 0)
			break;
		if (timeout_us < 0 ? giro->outstanding == 0 : client_now_ns() >= until_ns)
			break;
		client_wait(giro, until_ns);
	}
	client_arm(giro);
	return count;
}

void giro_flush(struct giro *giro)
{
	client_advance(giro, 0);
	client_arm(giro);
}
