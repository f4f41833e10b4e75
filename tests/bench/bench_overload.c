/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-bench-overload: offers transfers at a fixed rate, whatever the engine answers. No window, no
 * repeat, no pause after BUSY: what a mass of clients that never heard of congestion would do.
 *
 * Opens accounts of its own without a floor, so that every transfer would be done if it were taken.
 * Counts what came back: done, BUSY with its hint, other statuses, nothing. A sender that cannot keep
 * up sends less, and says how much it sent.
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
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/transfer.h"
#include "client/bench_histogram.h"
#include "net/wire.h"
#include "tests/bench/bench_socket.h"

#define BURST	     32
#define SOCKET_BYTES (8 << 20)
#define ANSWER_MS    200
/* A sender that is further behind than this leaves out what it could not send. */
#define BEHIND_NS UINT64_C(20000000)
#define REST_US	  200
/* How long answers may come after the last datagram was sent. */
#define LINGER_NS    UINT64_C(1000000000)
#define ACCOUNTS_MAX 1000000
#define SOURCES_MAX  2048

struct load {
	const char *from; /* the address to send from; NULL: the kernel's choice */
	uint32_t sources; /* sockets to each shard */
	int fd[SHARDS_MAX][SOURCES_MAX];
	uint32_t shards;
	uint32_t records; /* in a datagram */
	uint8_t slot[SLOTS];
	uint64_t run; /* upper half of the account ids */
	uint32_t accounts;
	uint32_t *of_shard[SHARDS_MAX]; /* accounts by shard */
	uint32_t count_of_shard[SHARDS_MAX];
	uint64_t ids;
	uint64_t random;

	uint64_t sent; /* datagrams */
	uint64_t left_out;
	uint64_t answered;
	uint64_t done; /* records */
	uint64_t busy;
	uint64_t busy_whole; /* datagrams */
	uint64_t busy_without_hint;
	uint64_t other;
	uint64_t unsound; /* replies that a client must ignore, or longer than their request */
	struct histogram latency; /* ns, of datagrams with something done */
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

__attribute__((noreturn)) static void fail(const char *what)
{
	fprintf(stderr, "giro-bench-overload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t draw(struct load *load)
{
	load->random ^= load->random << 13;
	load->random ^= load->random >> 7;
	load->random ^= load->random << 17;
	return load->random;
}

static int open_socket(const struct load *load, const char *address, unsigned port)
{
	int fd = bench_socket(load->from, address, port, SOCKET_BYTES);

	if (fd < 0)
		fail(address);
	return fd;
}

/* Before the load: one datagram at a time, until its answer comes. */
static void ask(int fd, uint8_t *payload, size_t size, unsigned kind)
{
	uint8_t reply[WIRE_DATAGRAM_MAX];

	for (unsigned times = 0; times < 100; times++) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		if (send(fd, payload, size, 0) < 0 && errno != EAGAIN && errno != ECONNREFUSED)
			fail("send");
		if (poll(&wait, 1, ANSWER_MS) <= 0)
			continue;
		ssize_t got = recv(fd, reply, sizeof(reply), 0);
		if (got < 0 || wire_check_reply(reply, (size_t)got, kind) != 0 ||
		    memcmp(reply + offsetof(struct wire_header, request_id),
			   payload + offsetof(struct wire_header, request_id), 8) != 0)
			continue;
		memcpy(payload, reply, (size_t)got);
		return;
	}
	errno = ETIMEDOUT;
	fail("the engine does not answer");
}

static void read_map(struct load *load, const char *address, unsigned port)
{
	uint8_t payload[WIRE_DATAGRAM_MAX];
	int fd = open_socket(load, address, port);
	struct wire_info info;

	for (unsigned page = 0; page < SLOTS / WIRE_INFO_SLOTS; page++) {
		struct wire_info_request request = {.first_slot =
							(uint16_t)(page * WIRE_INFO_SLOTS)};
		memcpy(payload + sizeof(struct wire_header), &request, sizeof(request));
		ask(fd, payload, wire_seal_request(payload, WIRE_INFO, 1, 1 + page), WIRE_INFO);
		memcpy(&info, payload + sizeof(struct wire_header), sizeof(info));
		memcpy(load->slot + info.first_slot, info.slot, sizeof(info.slot));
	}
	close(fd);
	load->shards = info.shards;
	if (load->records > info.records_max)
		load->records = info.records_max;
	for (uint32_t i = 0; i < load->shards; i++) {
		for (uint32_t source = 0; source < load->sources; source++)
			load->fd[i][source] = open_socket(load, address, info.port[i]);
	}
}

static struct id128 account_id(const struct load *load, uint32_t account)
{
	return (struct id128){.lo = account + 1u, .hi = load->run};
}

static struct id128 new_id(struct load *load, uint64_t now_ms)
{
	return (struct id128){.lo = load->run ^ ++load->ids, .hi = now_ms << 16 | 0x7000};
}

static void open_accounts(struct load *load)
{
	uint8_t payload[WIRE_DATAGRAM_MAX];
	uint64_t now_ms = now_ns(CLOCK_REALTIME) / 1000000;

	for (uint32_t shard = 0; shard < load->shards; shard++) {
		load->of_shard[shard] = malloc(load->accounts * sizeof(uint32_t));
		if (load->of_shard[shard] == NULL)
			fail("accounts");
	}
	for (uint32_t i = 0; i < load->accounts; i++) {
		uint32_t shard = load->slot[id_slot(account_id(load, i))];
		load->of_shard[shard][load->count_of_shard[shard]++] = i;
	}
	for (uint32_t shard = 0; shard < load->shards; shard++) {
		for (uint32_t from = 0; from < load->count_of_shard[shard]; from += load->records) {
			uint32_t count = load->count_of_shard[shard] - from;
			count = count < load->records ? count : load->records;
			struct account_operation *operations =
			    (struct account_operation *)(payload + sizeof(struct wire_header));
			for (uint32_t i = 0; i < count; i++)
				operations[i] = (struct account_operation){
				    .id = new_id(load, now_ms),
				    .account = account_id(load, load->of_shard[shard][from + i]),
				    .floor = FLOOR_ISSUER,
				    .ledger = 1,
				    .action = CREATE_ACCOUNT,
				};
			ask(load->fd[shard][0], payload,
			    wire_seal_request(payload, WIRE_ACCOUNT, count, load->ids),
			    WIRE_ACCOUNT);
		}
	}
}

/* The request id is the time of sending, for the latency. */
static size_t make_transfers(struct load *load, uint8_t *payload, uint32_t shard, uint64_t now_ms)
{
	struct transfer *transfers = (struct transfer *)(payload + sizeof(struct wire_header));

	for (uint32_t i = 0; i < load->records; i++) {
		uint32_t debit = load->of_shard[shard][draw(load) % load->count_of_shard[shard]];
		uint32_t credit = (uint32_t)(draw(load) % load->accounts);
		if (credit == debit)
			credit = (credit + 1) % load->accounts;
		transfers[i] = (struct transfer){
		    .id = new_id(load, now_ms),
		    .debit = account_id(load, debit),
		    .credit = account_id(load, credit),
		    .amount = 1,
		    .ledger = 1,
		};
	}
	return wire_seal_request(payload, WIRE_TRANSFER, load->records, now_ns(CLOCK_MONOTONIC));
}

static void send_burst(struct load *load, uint32_t shard, uint32_t source, uint32_t count)
{
	static uint8_t payload[BURST][WIRE_DATAGRAM_MAX];
	struct iovec vectors[BURST];
	struct mmsghdr messages[BURST];
	uint64_t now_ms = now_ns(CLOCK_REALTIME) / 1000000;

	for (uint32_t i = 0; i < count; i++) {
		vectors[i] =
		    (struct iovec){payload[i], make_transfers(load, payload[i], shard, now_ms)};
		messages[i] =
		    (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
	}
	int sent = sendmmsg(load->fd[shard][source], messages, count, 0);
	if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED)
		fail("sendmmsg");
	load->sent += sent > 0 ? (uint32_t)sent : 0;
	load->left_out += count - (sent > 0 ? (uint32_t)sent : 0);
}

static void count_records(struct load *load, const uint8_t *reply, const struct wire_header *header,
			  uint64_t now)
{
	uint64_t done = load->done;

	for (uint32_t i = 0; i < header->count; i++) {
		struct wire_result result;
		memcpy(&result, reply + sizeof(*header) + i * sizeof(result), sizeof(result));
		load->done += result.status == STATUS_OK;
		load->busy += result.status == STATUS_BUSY;
		load->busy_without_hint +=
		    result.status == STATUS_BUSY && result.retry_after_ms == 0;
		load->other += result.status != STATUS_OK && result.status != STATUS_BUSY;
	}
	if (load->done > done)
		histogram_add(&load->latency, now - header->request_id);
}

static void count_reply(struct load *load, const uint8_t *reply, size_t size, uint64_t now)
{
	struct wire_header header;
	int verdict = wire_check_reply(reply, size, WIRE_TRANSFER);

	if (verdict < 0 || size > sizeof(header) + load->records * (size_t)WIRE_RECORD_BYTES) {
		load->unsound++;
		return;
	}
	memcpy(&header, reply, sizeof(header));
	load->answered++;
	if (verdict == STATUS_OK) {
		count_records(load, reply, &header, now);
	} else if (verdict == STATUS_BUSY) {
		load->busy_whole++;
		load->busy_without_hint += header.retry_after_ms == 0;
	} else {
		load->other += load->records;
	}
}

static void take(struct load *load, uint32_t shard, uint32_t source)
{
	static uint8_t bytes[BURST][WIRE_DATAGRAM_MAX];
	struct iovec vectors[BURST];
	struct mmsghdr messages[BURST];

	for (unsigned i = 0; i < BURST; i++) {
		vectors[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
		messages[i] =
		    (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
	}
	int got = recvmmsg(load->fd[shard][source], messages, BURST, 0, NULL);
	uint64_t now = now_ns(CLOCK_MONOTONIC);
	for (int i = 0; i < got; i++)
		count_reply(load, bytes[i], messages[i].msg_len, now);
}

static void take_all(struct load *load)
{
	for (uint32_t shard = 0; shard < load->shards; shard++) {
		for (uint32_t source = 0; source < load->sources; source++)
			take(load, shard, source);
	}
}

static void rest(const struct load *load)
{
	const struct timespec pause = {.tv_nsec = REST_US * 1000};
	struct pollfd polls[SHARDS_MAX];

	for (uint32_t i = 0; i < load->shards; i++)
		polls[i] = (struct pollfd){.fd = load->fd[i][0], .events = POLLIN};
	ppoll(polls, load->shards, &pause, NULL);
}

/* Offers `rate` datagrams a second; returns the seconds it took. */
static double run(struct load *load, double rate, double seconds)
{
	const uint64_t start = now_ns(CLOCK_MONOTONIC);
	const uint64_t end = start + (uint64_t)(seconds * 1e9);
	const double step_ns = 1e9 / rate;
	double due = (double)start;
	uint32_t turn = 0;
	uint64_t now;

	while ((now = now_ns(CLOCK_MONOTONIC)) < end) {
		if ((double)now - due > (double)BEHIND_NS) {
			uint64_t missed = (uint64_t)(((double)now - due) / step_ns);
			load->left_out += missed;
			due += (double)missed * step_ns;
		}
		uint64_t count = due <= (double)now ? (uint64_t)(((double)now - due) / step_ns) : 0;
		count = count < BURST ? count : BURST;
		uint32_t source = turn / load->shards % load->sources;
		if (count > 0) {
			uint32_t shard = turn++ % load->shards;
			if (load->count_of_shard[shard] > 0)
				send_burst(load, shard, source, (uint32_t)count);
			due += (double)count * step_ns;
		}
		/* Of many sources each is looked at before it sends again. */
		for (uint32_t i = 0; i < load->shards; i++)
			take(load, i, (source + 1) % load->sources);
		if (count < BURST)
			rest(load);
	}
	return (double)(now - start) / 1e9;
}

static void drain(struct load *load)
{
	const uint64_t end = now_ns(CLOCK_MONOTONIC) + LINGER_NS;

	while (now_ns(CLOCK_MONOTONIC) < end && load->answered + load->unsound < load->sent) {
		rest(load);
		take_all(load);
	}
}

static void print(const struct load *load, double rate, double took, uint64_t done_in_time)
{
	printf("{\"records\": %u, \"offered\": %.0f, \"sent\": %.0f, \"done\": %.0f, "
	       "\"done_all\": %" PRIu64 ", \"busy\": %.0f, \"busy_datagrams\": %" PRIu64
	       ", \"busy_without_hint\": %" PRIu64 ", \"other\": %" PRIu64 ", \"unsound\": %" PRIu64
	       ", \"unanswered\": %.0f, \"left_out\": %.0f, "
	       "\"p50_us\": %.0f, \"p99_us\": %.0f}\n",
	       load->records, rate * load->records, (double)(load->sent * load->records) / took,
	       (double)done_in_time / took, load->done,
	       (double)(load->busy + load->busy_whole * load->records) / took, load->busy_whole,
	       load->busy_without_hint, load->other, load->unsound,
	       (double)((load->sent - load->answered) * load->records) / took,
	       (double)(load->left_out * load->records) / took,
	       (double)histogram_percentile(&load->latency, 0.5) / 1e3,
	       (double)histogram_percentile(&load->latency, 0.99) / 1e3);
}

int main(int argc, char **argv)
{
	static struct load load;

	if (argc < 7 || argc > 9) {
		fputs(
		    "usage: giro-bench-overload ADDRESS PORT ACCOUNTS RECORDS RATE SECONDS "
		    "[SOURCES "
		    "[FROM]]\n"
		    "  RECORDS: transfers in a datagram; RATE: transfers a second to offer\n"
		    "  SOURCES: ports to send from to each shard; FROM: the address to send from\n",
		    stderr);
		return 2;
	}
	const unsigned port = (unsigned)strtoul(argv[2], NULL, 10);
	load.accounts = (uint32_t)strtoul(argv[3], NULL, 10);
	load.records = (uint32_t)strtoul(argv[4], NULL, 10);
	const double rate = strtod(argv[5], NULL);
	const double seconds = strtod(argv[6], NULL);
	load.sources = argc > 7 ? (uint32_t)strtoul(argv[7], NULL, 10) : 1;
	load.from = argc > 8 ? argv[8] : NULL;
	if (load.sources < 1 || load.sources > SOURCES_MAX || load.accounts < 2 ||
	    load.accounts > ACCOUNTS_MAX || load.records < 1 || load.records > WIRE_RECORDS_MAX ||
	    !(rate > 0) || !(seconds > 0)) {
		fputs("giro-bench-overload: an argument is out of range\n", stderr);
		return 2;
	}
	if (getrandom(&load.run, sizeof(load.run), 0) != sizeof(load.run) ||
	    getrandom(&load.random, sizeof(load.random), 0) != sizeof(load.random))
		fail("getrandom");
	load.run |= 1;
	load.random |= 1;
	read_map(&load, argv[1], port);
	open_accounts(&load);
	const double took = run(&load, rate / load.records, seconds);
	const uint64_t done_in_time = load.done;
	drain(&load);
	print(&load, rate / load.records, took, done_in_time);
	for (uint32_t i = 0; i < load.shards; i++) {
		for (uint32_t source = 0; source < load.sources; source++)
			close(load.fd[i][source]);
		free(load.of_shard[i]);
	}
	return 0;
}
