/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "client/session.h"

void client_reading_begin(struct giro *giro, uint8_t pages, uint64_t now_ns)
{
	struct client_map_reading *reading = &giro->reading;

	if (reading->active) {
		reading->wanted |= pages;
		return;
	}
	client_map_begin(reading, pages);
	for (unsigned page = 0; page < MAP_PAGES; page++)
		giro->reading_id[page] = giro->sequence++ << 16 | (INFO_INDEX + page);
	giro->reading_repeats = 0;
	giro->reading_sent_ns = 0;
	giro->reading_due_ns = now_ns;
	client_due(giro, now_ns);
}

void client_reading_step(struct giro *giro, uint64_t now_ns)
{
	struct client_map_reading *reading = &giro->reading;
	uint8_t request[DATAGRAM_MIN];

	if (!reading->active)
		return;
	if (now_ns < giro->reading_due_ns) {
		client_due(giro, giro->reading_due_ns);
		return;
	}
	for (unsigned page = 0; page < MAP_PAGES; page++) {
		if ((reading->wanted & ~reading->got & 1u << page) == 0)
			continue;
		const size_t size = client_map_ask(request, page, giro->reading_id[page]);
		ssize_t sent = send(giro->home_fd, request, size, 0);
		/* The refusal of an earlier datagram is reported once, in place of this send. */
		if (sent < 0 && errno == ECONNREFUSED) {
			giro->statistics.unreachable++;
			sent = send(giro->home_fd, request, size, 0);
		}
		if (sent < 0 && errno != ECONNREFUSED && errno != EAGAIN) {
			giro->statistics.send_errors++;
			giro->send_errno = errno;
		}
	}
	if (giro->reading_sent_ns == 0)
		giro->reading_sent_ns = now_ns;
	const uint64_t random = client_random_next(&giro->random);
	uint64_t wait_ns = INFO_RTO_NS << (giro->reading_repeats < 4 ? giro->reading_repeats : 4);
	wait_ns += random % (wait_ns / 4);
	giro->reading_repeats++;
	giro->reading_due_ns = now_ns + wait_ns;
	client_due(giro, giro->reading_due_ns);
}

/* True when the INFO may be used: it is of the log that the session was opened on. */
static bool same_log(struct giro *giro, const struct wire_info *info)
{
	if (giro->map.shards == 0 || info->log_id == giro->info.log_id)
		return true;
	giro->reading.active = false;
	client_log_changed(giro);
	return false;
}

void client_reading_answer(struct giro *giro, const uint8_t *payload, size_t size, uint64_t now_ns)
{
	struct client_map_reading *reading = &giro->reading;
	struct wire_header header;
	struct wire_info info;

	const int check = wire_check_reply(payload, size, WIRE_INFO);
	if (check < 0) {
		giro->statistics.replies_bad++;
		return;
	}
	memcpy(&header, payload, sizeof(header));
	const unsigned page = (unsigned)(header.request_id & 0xffff) - INFO_INDEX;
	if (!reading->active || page >= MAP_PAGES || header.request_id != giro->reading_id[page]) {
		giro->statistics.replies_stale++;
		return;
	}
	if (check > 0) {
		/* BUSY: asked again when the wait is over. */
		if (check != STATUS_BUSY)
			giro->info_refused = check;
		return;
	}
	memcpy(&info, payload + sizeof(header), sizeof(info));
	if (!same_log(giro, &info))
		return;

	giro->statistics.replies++;
	const bool whole = reading->wanted == (1u << MAP_PAGES) - 1;
	switch (client_map_take(reading, page, header.map_version, &info)) {
	case MAP_INVALID:
		giro->statistics.replies_bad++;
		giro->info_refused = GIRO_BAD_INFO;
		return;
	case MAP_MORE:
		return;
	case MAP_DONE:
		break;
	}
	giro->reading_ended_ns = now_ns;
	giro->reading_trip_ns = now_ns - giro->reading_sent_ns;
	if (whole && giro->map.shards != 0)
		giro->statistics.map_refreshes++;
	client_apply_info(giro, now_ns);
	if (!whole && reading->map.version != giro->map.version)
		client_reading_begin(giro, (1u << MAP_PAGES) - 1, now_ns);
}
