/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "client/session.h"

/* What the transient statuses in one reply ask for. */
struct again {
	uint64_t wait_ns;
	bool misplaced;
};

/* A round trip has ended, whatever the answer says. */
static void measure(struct giro *giro, struct client_flight *flight, uint64_t now_ns)
{
	struct client_peer *peer = &giro->peer[flight->shard];

	flight->silent = 0;
	if (flight->state != FLIGHT_SENT)
		return;
	const bool limited = peer->queued > 0 || peer->in_flight >= client_window(peer) / 2;
	client_congestion_answered(&peer->congestion, now_ns - flight->first_sent_ns,
				   flight->repeats > 0, limited);
}

static void pause_flight(struct giro *giro, struct client_flight *flight, uint64_t due_ns)
{
	client_flight_unlink(giro, flight);
	flight->state = FLIGHT_PAUSED;
	flight->due_ns = due_ns;
	client_due(giro, due_ns);
}

/* The wait before what was answered BUSY is sent again: at least what the engine wants, doubling
 * with each repeat since a limit may stand for long, and spread, so that what was refused together
 * does not come back together. */
static uint64_t busy_wait_ns(struct giro *giro, const struct client_peer *peer,
			     unsigned retry_after_ms, unsigned repeats)
{
	const uint64_t random = client_random_next(&giro->random);
	const uint64_t least_ns = retry_after_ms * 1000000ull;
	uint64_t wait_ns = client_congestion_ask_ns(&peer->congestion, repeats, random);

	if (wait_ns < least_ns)
		wait_ns = least_ns + random % (least_ns / 2 + 1);
	return wait_ns;
}

/* The engine refused the datagram as a whole. */
static void refused(struct giro *giro, struct client_flight *flight,
		    const struct wire_header *header, uint64_t now_ns)
{
	struct client_peer *peer = &giro->peer[flight->shard];

	switch (header->status) {
	case STATUS_BUSY:
		giro->statistics.replies++;
		giro->statistics.datagrams_busy++;
		measure(giro, flight, now_ns);
		client_congestion_busy(&peer->congestion, now_ns);
		/* A copy of it was answered in part: what is left is asked for already. */
		if (flight->state == FLIGHT_PAUSED && !flight->whole)
			return;
		flight->whole = true;
		pause_flight(giro, flight,
			     now_ns +
				 busy_wait_ns(giro, peer, header->retry_after_ms, flight->repeats));
		return;
	case STATUS_BAD_VERSION:
	case STATUS_BAD_KIND:
	case STATUS_BAD_COUNT:
		giro->statistics.replies++;
		client_flight_expire(giro, flight, header->status, UINT64_MAX);
		return;
	default:
		giro->statistics.replies_bad++;
	}
}

/* Decides record `i`, or notes in `again` that its status is transient. */
static void take_result(struct giro *giro, struct client_flight *flight, unsigned i,
			const struct wire_result *result, struct again *again)
{
	struct client_peer *peer = &giro->peer[flight->shard];
	const uint32_t repeats = flight->tickets[i].repeats + flight->repeats;
	uint64_t wait_ns;

	switch (result->status) {
	case STATUS_BUSY:
		giro->statistics.records_busy++;
		wait_ns = busy_wait_ns(giro, peer, result->retry_after_ms, repeats);
		break;
	case STATUS_WRONG_SHARD:
		giro->statistics.records_misplaced++;
		again->misplaced = true;
		wait_ns = client_congestion_ask_ns(&peer->congestion, repeats,
						   client_random_next(&giro->random));
		break;
	case STATUS_PENDING:
		giro->statistics.records_pending++;
		wait_ns = client_congestion_ask_ns(&peer->congestion, repeats,
						   client_random_next(&giro->random));
		break;
	default:
		client_flight_decide(giro, flight, i, result->status, result->epoch);
		return;
	}
	if (wait_ns > again->wait_ns)
		again->wait_ns = wait_ns;
}

/* An account as found goes to its ticket; its status is then treated like any other. */
static bool take_account(struct giro *giro, struct client_flight *flight, unsigned i,
			 const struct wire_account *found, struct again *again)
{
	const struct wire_result result = {.status = found->status, .epoch = found->epoch};
	struct giro_account *account = flight->tickets[i].account;
	struct id128 asked;

	memcpy(&asked, flight->payload + sizeof(struct wire_header) + (size_t)i * WIRE_RECORD_BYTES,
	       sizeof(asked));
	if (!id_equal(asked, found->account))
		return false;
	if (found->status == STATUS_OK) {
		*account = (struct giro_account){
		    .account = {found->account.lo, found->account.hi},
		    .balance = found->balance,
		    .held = found->held,
		    .incoming = found->incoming,
		    .floor = found->floor,
		    .ledger = found->ledger,
		    .flags = found->flags,
		    .epoch = found->epoch,
		};
	}
	take_result(giro, flight, i, &result, again);
	return true;
}

static void take_results(struct giro *giro, struct client_flight *flight, const uint8_t *results,
			 uint64_t now_ns)
{
	const size_t bytes = wire_result_record_bytes(flight->kind);
	struct again again = {0};

	for (unsigned i = 0; i < flight->count; i++) {
		if ((flight->undecided[i / 64] >> (i % 64) & 1) == 0)
			continue;
		if (flight->kind == WIRE_LOOKUP_ACCOUNT) {
			struct wire_account found;
			memcpy(&found, results + i * bytes, sizeof(found));
			if (!take_account(giro, flight, i, &found, &again))
				giro->statistics.replies_bad++;
			continue;
		}
		struct wire_result result;
		memcpy(&result, results + i * bytes, sizeof(result));
		take_result(giro, flight, i, &result, &again);
	}

	if (flight->left == 0) {
		client_flight_release(giro, flight);
		return;
	}
	flight->whole = false;
	flight->misplaced = again.misplaced;
	pause_flight(giro, flight, now_ns + again.wait_ns);
	if (again.misplaced && now_ns - giro->reading_ended_ns > ASK_MIN_NS)
		client_reading_begin(giro, (1u << MAP_PAGES) - 1, now_ns);
}

static struct client_flight *find(struct giro *giro, uint64_t request_id)
{
	const unsigned place = request_id & 0xffff;

	if (place >= giro->flight_count)
		return NULL;
	struct client_flight *flight = &giro->flights[place];
	if (flight->state == FLIGHT_FREE || flight->state == FLIGHT_FILLING)
		return NULL;
	return flight->request_id == request_id ? flight : NULL;
}

void client_answer(struct giro *giro, const uint8_t *payload, size_t size, uint64_t now_ns)
{
	struct wire_header header;

	if (size < sizeof(header)) {
		giro->statistics.replies_bad++;
		return;
	}
	memcpy(&header, payload, sizeof(header));
	if ((header.request_id & 0xffff) >= INFO_INDEX) {
		client_reading_answer(giro, payload, size, now_ns);
		return;
	}

	struct client_flight *flight = find(giro, header.request_id);
	const unsigned kind = flight ? flight->kind : header.kind & (WIRE_REPLY - 1u);
	const int check = wire_check_reply(payload, size, kind);
	if (check < 0) {
		giro->statistics.replies_bad++;
		return;
	}
	if (flight == NULL) {
		giro->statistics.replies_stale++;
		return;
	}
	if (header.map_version != giro->map.version &&
	    now_ns - giro->reading_ended_ns > MAP_PAUSE_NS)
		client_reading_begin(giro, (1u << MAP_PAGES) - 1, now_ns);
	if (check > 0 && header.status != STATUS_OK) {
		refused(giro, flight, &header, now_ns);
		return;
	}
	if (check > 0 || header.count != flight->count) {
		giro->statistics.replies_bad++;
		return;
	}
	giro->statistics.replies++;
	measure(giro, flight, now_ns);
	take_results(giro, flight, payload + sizeof(header), now_ns);
}
