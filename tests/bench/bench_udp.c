/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-bench-udp: how many datagrams a second the way to the engine and back carries when the engine
 * has nothing to do. Sends well-formed datagrams of a kind that does not exist, which the receiving
 * worker checks and answers at once with BAD_KIND: port, frame, wire checksum and both kernels' work,
 * no shard, no log. A closed loop of datagrams, one socket a shard port, in bursts, as libgiro does.
 *
 * What is lost (a full socket buffer) is noticed after LOST_MS and sent anew.
 *
 * Prints one line of JSON.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/wire.h"
#include "tests/bench/bench_socket.h"

#define BURST	     64
#define NO_SUCH_KIND 0x7f
#define LOST_MS	     50
#define SOCKET_BYTES (4 << 20)

struct way {
	int fd;
	uint32_t in_flight;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "giro-bench-udp: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_socket(const char *address, unsigned port)
{
	int fd = bench_socket(NULL, address, port, SOCKET_BYTES);

	if (fd < 0)
		fail(address);
	return fd;
}

static void fill(struct way *way, uint8_t *payload, size_t size, uint32_t in_flight)
{
	struct iovec vector = {.iov_base = payload, .iov_len = size};
	struct mmsghdr messages[BURST];

	for (unsigned i = 0; i < BURST; i++)
		messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}};
	while (way->in_flight < in_flight) {
		const uint32_t room = in_flight - way->in_flight;
		const int sent = sendmmsg(way->fd, messages, room < BURST ? room : BURST, 0);
		if (sent <= 0) {
			if (errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED)
				fail("sendmmsg");
			return;
		}
		way->in_flight += (uint32_t)sent;
	}
}

static uint32_t take(struct way *way)
{
	static uint8_t bytes[BURST][WIRE_DATAGRAM_MAX];
	struct iovec vectors[BURST];
	struct mmsghdr messages[BURST];
	uint32_t taken = 0;
	int got = BURST;

	for (unsigned i = 0; i < BURST; i++) {
		vectors[i] = (struct iovec){.iov_base = bytes[i], .iov_len = sizeof(bytes[i])};
		messages[i] =
		    (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
	}
	while (got == BURST) {
		got = recvmmsg(way->fd, messages, BURST, 0, NULL);
		for (int i = 0; i < got; i++) {
			const struct wire_header *header = (const struct wire_header *)bytes[i];
			if (messages[i].msg_len < sizeof(*header) ||
			    header->status != STATUS_BAD_KIND) {
				errno = EPROTO;
				fail("an answer that is not BAD_KIND");
			}
		}
		taken += got > 0 ? (uint32_t)got : 0;
	}
	way->in_flight = taken < way->in_flight ? way->in_flight - taken : 0;
	return taken;
}

static size_t make_payload(uint8_t payload[WIRE_DATAGRAM_MAX], size_t size)
{
	struct wire_header header = {
	    .magic = WIRE_MAGIC,
	    .version = WIRE_VERSION,
	    .kind = NO_SUCH_KIND,
	    .count = (uint16_t)((size - sizeof(header)) / WIRE_RECORD_BYTES),
	};

	memset(payload, 0x5a, WIRE_DATAGRAM_MAX);
	size = sizeof(header) + header.count * (size_t)WIRE_RECORD_BYTES;
	memcpy(payload, &header, sizeof(header));
	header.checksum = wire_checksum(payload, size);
	memcpy(payload, &header, sizeof(header));
	return size;
}

struct tally {
	uint64_t answered;
	uint64_t lost;
	uint64_t answered_ns; /* when the last answer came */
};

static void turn(struct way *ways, unsigned count, uint8_t *payload, size_t size,
		 uint32_t in_flight, struct tally *tally)
{
	struct pollfd polls[SHARDS_MAX];

	for (unsigned i = 0; i < count; i++) {
		fill(&ways[i], payload, size, in_flight / count);
		polls[i] = (struct pollfd){.fd = ways[i].fd, .events = POLLIN};
	}
	poll(polls, count, 1);
	const uint64_t now = now_ns();
	for (unsigned i = 0; i < count; i++) {
		const uint32_t taken = take(&ways[i]);
		tally->answered += taken;
		if (taken > 0)
			tally->answered_ns = now;
	}
	if (now - tally->answered_ns > LOST_MS * 1000000ull) {
		for (unsigned i = 0; i < count; i++) {
			tally->lost += ways[i].in_flight;
			ways[i].in_flight = 0;
		}
		tally->answered_ns = now;
	}
}

int main(int argc, char **argv)
{
	static uint8_t payload[WIRE_DATAGRAM_MAX];
	struct way ways[SHARDS_MAX];

	if (argc != 7) {
		fputs("usage: giro-bench-udp ADDRESS FIRST_PORT PORTS PAYLOAD_BYTES IN_FLIGHT "
		      "SECONDS\n",
		      stderr);
		return 2;
	}
	const unsigned first = (unsigned)strtoul(argv[2], NULL, 10);
	const unsigned count = (unsigned)strtoul(argv[3], NULL, 10);
	const size_t wanted = strtoull(argv[4], NULL, 10);
	const uint32_t in_flight = (uint32_t)strtoul(argv[5], NULL, 10);
	const double seconds = strtod(argv[6], NULL);
	if (count < 1 || count > SHARDS_MAX || wanted < 96 || wanted > WIRE_DATAGRAM_MAX ||
	    in_flight < count || !(seconds > 0)) {
		fputs("giro-bench-udp: an argument is out of range\n", stderr);
		return 2;
	}
	const size_t size = make_payload(payload, wanted);
	for (unsigned i = 0; i < count; i++)
		ways[i] = (struct way){.fd = open_socket(argv[1], first + i)};

	const uint64_t start = now_ns();
	struct tally tally = {.answered_ns = start};
	while ((double)(now_ns() - start) < seconds * 1e9)
		turn(ways, count, payload, size, in_flight, &tally);
	const double took = (double)(now_ns() - start) / 1e9;
	printf("{\"payload_bytes\": %zu, \"datagrams\": %" PRIu64 ", \"lost\": %" PRIu64
	       ", \"datagrams_per_second\": %.0f, \"mib_per_second\": %.1f}\n",
	       size, tally.answered, tally.lost, (double)tally.answered / took,
	       (double)tally.answered * (double)size / took / 1048576);
	for (unsigned i = 0; i < count; i++)
		close(ways[i].fd);
	return tally.answered == 0;
}
