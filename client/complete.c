/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/check.h"
#include "client/session.h"

void client_complete(struct giro *giro, const struct client_ticket *ticket, uint32_t repeats,
		     int outcome, uint64_t epoch)
{
	if (outcome == GIRO_TIMED_OUT)
		giro->statistics.timeouts++;
	if (ticket->waited) {
		struct client_waiter *waiter = (struct client_waiter *)(uintptr_t)ticket->context;
		waiter->done = true;
		waiter->outcome = outcome;
		giro->outstanding--;
		giro->statistics.completions++;
		return;
	}

	CHECK(giro->completion_count < giro->capacity);
	size_t place = giro->completion_first + giro->completion_count++;
	if (place >= giro->capacity)
		place -= giro->capacity;
	giro->completions[place] = (struct giro_completion){
	    .context = ticket->context,
	    .epoch = epoch,
	    .outcome = outcome,
	    .repeats = ticket->repeats + repeats,
	};
}

void client_flight_decide(struct giro *giro, struct client_flight *flight, unsigned i, int outcome,
			  uint64_t epoch)
{
	flight->undecided[i / 64] &= ~(1ull << (i % 64));
	flight->left--;
	client_complete(giro, &flight->tickets[i], flight->repeats, outcome, epoch);
}

static bool undecided(const struct client_flight *flight, unsigned i)
{
	return (flight->undecided[i / 64] >> (i % 64) & 1) != 0;
}

void client_flight_expire(struct giro *giro, struct client_flight *flight, int outcome,
			  uint64_t now_ns)
{
	uint64_t earliest = UINT64_MAX;

	for (unsigned i = 0; i < flight->count; i++) {
		const uint64_t deadline = flight->tickets[i].deadline_ns;
		if (!undecided(flight, i))
			continue;
		if (deadline <= now_ns)
			client_flight_decide(giro, flight, i, outcome, 0);
		else if (deadline < earliest)
			earliest = deadline;
	}
	flight->deadline_ns = earliest;
	if (flight->left == 0)
		client_flight_release(giro, flight);
}

void client_retries_expire(struct giro *giro, int outcome, uint64_t now_ns)
{
	const size_t count = giro->retry_count;

	/* Once around the ring: what stays is put at its end, in order. */
	for (size_t i = 0; i < count; i++) {
		const struct client_retry retry = giro->retries[giro->retry_first];
		giro->retry_first = (giro->retry_first + 1) % giro->capacity;
		giro->retry_count--;
		if (retry.ticket.deadline_ns <= now_ns) {
			client_complete(giro, &retry.ticket, 0, outcome, 0);
			continue;
		}
		giro->retries[(giro->retry_first + giro->retry_count) % giro->capacity] = retry;
		giro->retry_count++;
	}
}

void client_flight_break_up(struct giro *giro, struct client_flight *flight)
{
	for (unsigned i = 0; i < flight->count; i++) {
		if (!undecided(flight, i))
			continue;
		CHECK(giro->retry_count < giro->capacity);
		struct client_retry *retry =
		    &giro->retries[(giro->retry_first + giro->retry_count++) % giro->capacity];
		memcpy(retry->record,
		       flight->payload + sizeof(struct wire_header) + (size_t)i * WIRE_RECORD_BYTES,
		       WIRE_RECORD_BYTES);
		retry->ticket = flight->tickets[i];
		retry->ticket.repeats += flight->repeats + 1;
		retry->kind = flight->kind;
	}
	client_flight_release(giro, flight);
}
