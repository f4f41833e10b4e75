/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "client/session.h"

int client_flights_new(struct giro *giro)
{
	/* As many again as may be unanswered: some are filling or paused while the window is
	 * used up. */
	giro->flight_count = 2 * giro->options.in_flight + 2 * SHARDS_MAX;
	giro->capacity = (size_t)giro->flight_count * giro->flight_records;
	giro->flights = calloc(giro->flight_count, sizeof(*giro->flights));
	giro->payloads = malloc((size_t)giro->flight_count * giro->flight_bytes);
	giro->tickets = malloc(giro->capacity * sizeof(*giro->tickets));
	giro->retries = malloc(giro->capacity * sizeof(*giro->retries));
	giro->completions = malloc(giro->capacity * sizeof(*giro->completions));
	giro->receive_buffer = malloc((size_t)BURST * giro->options.datagram_bytes);
	if (!giro->flights || !giro->payloads || !giro->tickets || !giro->retries ||
	    !giro->completions || !giro->receive_buffer)
		return -1;

	TAILQ_INIT(&giro->free);
	for (uint32_t i = 0; i < giro->flight_count; i++) {
		struct client_flight *flight = &giro->flights[i];
		flight->index = (uint16_t)i;
		flight->payload = giro->payloads + (size_t)i * giro->flight_bytes;
		flight->tickets = giro->tickets + (size_t)i * giro->flight_records;
		TAILQ_INSERT_TAIL(&giro->free, flight, link);
	}
	giro->free_count = giro->flight_count;

	for (unsigned i = 0; i < BURST; i++) {
		giro->receive_iov[i] = (struct iovec){
		    .iov_base = giro->receive_buffer + (size_t)i * giro->options.datagram_bytes,
		    .iov_len = giro->options.datagram_bytes,
		};
		giro->receive_message[i].msg_hdr = (struct msghdr){
		    .msg_iov = &giro->receive_iov[i],
		    .msg_iovlen = 1,
		};
	}
	return 0;
}

void client_flights_delete(struct giro *giro)
{
	free(giro->receive_buffer);
	free(giro->completions);
	free(giro->retries);
	free(giro->tickets);
	free(giro->payloads);
	free(giro->flights);
}

struct client_flight *client_flight_take(struct giro *giro, unsigned kind, unsigned shard)
{
	struct client_flight *flight = TAILQ_FIRST(&giro->free);

	if (flight == NULL)
		return NULL;
	TAILQ_REMOVE(&giro->free, flight, link);
	giro->free_count--;
	memset(flight->undecided, 0, sizeof(flight->undecided));
	flight->opened_ns = client_now_ns();
	flight->first_sent_ns = 0;
	flight->due_ns = UINT64_MAX;
	flight->deadline_ns = UINT64_MAX;
	flight->repeats = 0;
	flight->silent = 0;
	flight->count = 0;
	flight->left = 0;
	flight->kind = (uint8_t)kind;
	flight->shard = (uint8_t)shard;
	flight->state = FLIGHT_FILLING;
	flight->whole = false;
	flight->misplaced = false;
	CHECK(giro->filling[kind][shard] == NULL);
	giro->filling[kind][shard] = flight;
	giro->filling_count++;
	return flight;
}

void client_flight_unlink(struct giro *giro, struct client_flight *flight)
{
	struct client_peer *peer = &giro->peer[flight->shard];

	switch (flight->state) {
	case FLIGHT_FILLING:
		giro->filling[flight->kind][flight->shard] = NULL;
		giro->filling_count--;
		break;
	case FLIGHT_READY:
		TAILQ_REMOVE(&peer->queue, flight, link);
		peer->queued--;
		break;
	case FLIGHT_SENT:
		CHECK(peer->in_flight > 0 && giro->in_flight > 0);
		peer->in_flight--;
		giro->in_flight--;
		break;
	default:
		break;
	}
}

void client_flight_release(struct giro *giro, struct client_flight *flight)
{
	client_flight_unlink(giro, flight);
	flight->state = FLIGHT_FREE;
	TAILQ_INSERT_HEAD(&giro->free, flight, link); /* its lines are warm */
	giro->free_count++;
}

void client_flight_queue(struct giro *giro, struct client_flight *flight, bool first)
{
	struct client_peer *peer = &giro->peer[flight->shard];

	client_flight_unlink(giro, flight);
	flight->state = FLIGHT_READY;
	if (first)
		TAILQ_INSERT_HEAD(&peer->queue, flight, link);
	else
		TAILQ_INSERT_TAIL(&peer->queue, flight, link);
	peer->queued++;
}
