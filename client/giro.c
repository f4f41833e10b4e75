/* SPDX-License-Identifier: Apache-2.0 */
#include "client/giro.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "client/session.h"

#define IP_AND_UDP_BYTES 28

uint64_t client_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t client_tick_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t client_wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* The largest payload that the path to the engine takes unfragmented, as the kernel knows it. */
static uint32_t path_bytes(int fd)
{
	int mtu = 0;
	socklen_t size = sizeof(mtu);

	if (getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &size) || mtu <= IP_AND_UDP_BYTES)
		return WIRE_DATAGRAM_MAX;
	return (uint32_t)(mtu - IP_AND_UDP_BYTES);
}

static void connect_peers(struct giro *giro)
{
	struct sockaddr_in address = giro->server;

	for (unsigned i = 0; i < giro->map.shards; i++) {
		struct client_peer *peer = &giro->peer[i];
		if (peer->fd >= 0 && peer->port == giro->map.port[i])
			continue;
		client_socket_close(giro, peer->fd);
		address.sin_port = htons(giro->map.port[i]);
		peer->port = giro->map.port[i];
		peer->fd = client_socket_open(giro, &address);
		if (peer->fd < 0)
			giro->send_errno = errno;
	}
}

void client_apply_info(struct giro *giro, uint64_t now_ns)
{
	const struct wire_info *page = &giro->reading.info;
	struct giro_info *info = &giro->info;

	if (giro->reading.wanted == (1u << MAP_PAGES) - 1) {
		giro->map = giro->reading.map;
		connect_peers(giro);
	}
	info->log_id = page->log_id;
	info->committed = page->committed;
	info->window_ms = page->window_ms;
	info->ahead_ms = page->ahead_ms;
	info->now_ms = page->now_ms;
	info->accounts_max = page->accounts_max;
	info->map_version = giro->map.version;
	info->shards = giro->map.shards;
	info->version_min = page->version_min;
	info->version_max = page->version_max;
	memcpy(info->port, giro->map.port, sizeof(info->port));

	/* The engine read its clock half a round trip ago. */
	const uint64_t half_ms = (now_ns - giro->reading_sent_ns) / 2000000;
	info->clock_offset_ms = (int64_t)(page->now_ms + half_ms - client_wall_ms());
	const uint64_t off = (uint64_t)llabs(info->clock_offset_ms);
	giro->uuid7_last = off > info->ahead_ms ? &giro->uuid7_own : &client_uuid7_process;

	info->datagram_bytes = smaller(giro->options.datagram_bytes, page->datagram_max);
	info->datagram_bytes = smaller(info->datagram_bytes, path_bytes(giro->home_fd));
	const uint32_t fit =
	    (info->datagram_bytes - (uint32_t)sizeof(struct wire_header)) / WIRE_RECORD_BYTES;
	info->datagram_records = smaller(smaller(fit, page->records_max), giro->flight_records);
}

__attribute__((format(printf, 2, 3))) static void explain(char *message, const char *format, ...)
{
	va_list arguments;

	if (message == NULL)
		return;
	va_start(arguments, format);
	vsnprintf(message, GIRO_MESSAGE_BYTES, format, arguments);
	va_end(arguments);
}

/* Fills in the defaults. */
static int take_options(struct giro_options *options, const struct giro_options *given,
			char *message)
{
	*options = (struct giro_options){.bytes = sizeof(*options)};
	if (given != NULL) {
		if (given->bytes != sizeof(*options) || given->reserved != 0) {
			explain(message,
				"options: bytes is %u, not %zu, or reserved is not zero; "
				"set bytes to sizeof(struct giro_options)",
				given->bytes, sizeof(*options));
			return GIRO_BAD_OPTION;
		}
		*options = *given;
	}
	if (options->datagram_bytes == 0)
		options->datagram_bytes = DATAGRAM_DEFAULT;
	if (options->in_flight == 0)
		options->in_flight = IN_FLIGHT_DEFAULT;
	if (options->timeout_ms == 0)
		options->timeout_ms = TIMEOUT_DEFAULT_MS;
	if (options->open_timeout_ms == 0)
		options->open_timeout_ms = OPEN_DEFAULT_MS;
	if (options->datagram_bytes < DATAGRAM_MIN || options->datagram_bytes > WIRE_DATAGRAM_MAX) {
		explain(message, "option datagram_bytes is %u; it must be %zu to %d",
			options->datagram_bytes, DATAGRAM_MIN, WIRE_DATAGRAM_MAX);
		return GIRO_BAD_OPTION;
	}
	if (options->in_flight > IN_FLIGHT_MAX) {
		explain(message, "option in_flight is %u; it must be 1 to %d", options->in_flight,
			IN_FLIGHT_MAX);
		return GIRO_BAD_OPTION;
	}
	return 0;
}

static int resolve(struct sockaddr_in *address, const char *server, char *message)
{
	const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM};
	const char *colon = strchr(server, ':');
	const size_t length = colon ? (size_t)(colon - server) : strlen(server);
	unsigned long port = GIRO_DEFAULT_PORT;
	struct addrinfo *found;
	char host[256];
	char *end;

	if (length == 0 || length >= sizeof(host)) {
		explain(message, "server \"%s\": expected HOST or HOST:PORT", server);
		return GIRO_BAD_ADDRESS;
	}
	memcpy(host, server, length);
	host[length] = '\0';
	if (colon != NULL) {
		port = strtoul(colon + 1, &end, 10);
		if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port == 0 || port > 65535) {
			explain(message, "server \"%s\": the port must be a number from 1 to 65535",
				server);
			return GIRO_BAD_ADDRESS;
		}
	}
	const int error = getaddrinfo(host, NULL, &hints, &found);
	if (error != 0) {
		explain(message, "server \"%s\": no IPv4 address for %s: %s", server, host,
			error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
		return GIRO_BAD_ADDRESS;
	}
	memcpy(address, found->ai_addr, sizeof(*address));
	address->sin_port = htons((uint16_t)port);
	freeaddrinfo(found);
	return 0;
}

static struct giro *session_new(const struct giro_options *options,
				const struct sockaddr_in *server)
{
	struct giro *giro = calloc(1, sizeof(*giro));

	if (giro == NULL)
		return NULL;
	giro->options = *options;
	giro->server = *server;
	giro->next_due_ns = giro->wake_ns = UINT64_MAX;
	giro->uuid7_last = &client_uuid7_process;
	giro->home_fd = giro->timer_fd = giro->epoll_fd = -1;
	for (unsigned i = 0; i < SHARDS_MAX; i++) {
		giro->peer[i].fd = -1;
		TAILQ_INIT(&giro->peer[i].queue);
		client_congestion_init(&giro->peer[i].congestion, options->in_flight);
	}
	giro->flight_records =
	    (options->datagram_bytes - (uint32_t)sizeof(struct wire_header)) / WIRE_RECORD_BYTES;
	if (options->datagram_records != 0)
		giro->flight_records = smaller(giro->flight_records, options->datagram_records);
	giro->flight_bytes =
	    (uint32_t)sizeof(struct wire_header) + giro->flight_records * WIRE_RECORD_BYTES;

	if (client_flights_new(giro) || client_random_seed(&giro->random))
		goto fail;
	giro->sequence = client_random_next(&giro->random) >> 16;
	giro->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	giro->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = giro->timer_fd};
	if (giro->epoll_fd < 0 || giro->timer_fd < 0 ||
	    epoll_ctl(giro->epoll_fd, EPOLL_CTL_ADD, giro->timer_fd, &event))
		goto fail;
	giro->home_fd = client_socket_open(giro, server);
	if (giro->home_fd < 0)
		goto fail;
	return giro;

fail:;
	const int why = errno;
	giro_close(giro);
	errno = why;
	return NULL;
}

/* Says why no INFO came. */
static int no_info(const struct giro *giro, const char *server, char *message)
{
	if (giro->info_refused == GIRO_BAD_INFO) {
		explain(message, "%s: its INFO contradicts protocol version %d", server,
			WIRE_VERSION);
		return GIRO_BAD_INFO;
	}
	if (giro->info_refused != 0) {
		explain(message, "%s: the engine refused INFO of protocol version %d: %s", server,
			WIRE_VERSION, giro_outcome_name(giro->info_refused));
		return giro->info_refused == STATUS_BAD_VERSION ? GIRO_BAD_VERSION : GIRO_BAD_INFO;
	}
	if (giro->statistics.replies_bad > 0)
		explain(message,
			"%s: what answers there does not speak giro's protocol; check the port",
			server);
	else if (giro->send_errno != 0)
		explain(message, "%s: cannot send: %s", server, strerror(giro->send_errno));
	else if (giro->statistics.unreachable > 0)
		explain(message,
			"%s: nothing listens on that port; is giro-engine running, and is this its "
			"first shard's port?",
			server);
	else
		explain(message,
			"%s: no answer within %u ms; check the address, the route and that "
			"giro-engine is running",
			server, giro->options.open_timeout_ms);
	return GIRO_NO_ANSWER;
}

int giro_open(struct giro **session, const char *server, const struct giro_options *given,
	      char message[GIRO_MESSAGE_BYTES])
{
	struct giro_options options;
	struct sockaddr_in address;
	int error;

	*session = NULL;
	explain(message, "%s", "");
	if ((error = take_options(&options, given, message)) != 0 ||
	    (error = resolve(&address, server, message)) != 0)
		return error;
	struct giro *giro = session_new(&options, &address);
	if (giro == NULL) {
		explain(message, "%s: cannot open a session: %s", server, strerror(errno));
		return GIRO_SYSTEM_ERROR;
	}

	const uint64_t until_ns = client_now_ns() + options.open_timeout_ms * 1000000ull;
	client_reading_begin(giro, (1u << MAP_PAGES) - 1, client_now_ns());
	for (;;) {
		client_advance(giro, 0);
		if (!giro->reading.active || giro->info_refused != 0)
			break;
		if (client_now_ns() >= until_ns)
			break;
		client_wait(giro, until_ns);
	}
	if (giro->map.shards == 0) {
		error = no_info(giro, server, message);
		giro_close(giro);
		return error;
	}
	*session = giro;
	return 0;
}

void giro_close(struct giro *giro)
{
	if (giro == NULL)
		return;
	for (unsigned i = 0; i < SHARDS_MAX; i++)
		client_socket_close(giro, giro->peer[i].fd);
	client_socket_close(giro, giro->home_fd);
	if (giro->timer_fd >= 0)
		close(giro->timer_fd);
	if (giro->epoll_fd >= 0)
		close(giro->epoll_fd);
	client_flights_delete(giro);
	free(giro);
}

const struct giro_info *giro_info(const struct giro *giro)
{
	return &giro->info;
}

const struct giro_statistics *giro_statistics(const struct giro *giro)
{
	return &giro->statistics;
}

uint32_t giro_shard(const struct giro *giro, struct giro_id account)
{
	return giro->map.slot[id_slot((struct id128){account.lo, account.hi})];
}

struct giro_id giro_id_new(struct giro *giro)
{
	uint64_t now_ms = client_wall_ms();

	if (giro->uuid7_last == &giro->uuid7_own)
		now_ms += (uint64_t)giro->info.clock_offset_ms;
	const struct id128 id = client_uuid7_new(giro->uuid7_last, &giro->random, now_ms);
	return (struct giro_id){.lo = id.lo, .hi = id.hi};
}

size_t giro_capacity(const struct giro *giro)
{
	return giro->capacity;
}

size_t giro_outstanding(const struct giro *giro)
{
	return giro->outstanding;
}

int giro_fd(const struct giro *giro)
{
	return giro->epoll_fd;
}
