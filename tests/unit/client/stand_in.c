/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/client/stand_in.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define HEADER	     32
#define SLOT_COUNT   4096
#define MAP_PAGE     1024
#define INFO_BYTES   (64 + 128 + MAP_PAGE)
#define REQUESTS_MAX (1 << 16)

struct stand_in_record {
	uint64_t lo, hi;
	unsigned times; /* received */
	bool executed;
	bool answered; /* finally, by a reply that was sent */
	unsigned status;
};

struct stand_in_request {
	uint64_t id;
	uint64_t digest;
};

static uint64_t get(const uint8_t *bytes, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)bytes[i] << (8 * i);
	return value;
}

static void put(uint8_t *bytes, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
}

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	perror(what);
	abort();
}

/* Each turn of the map tears apart what was together. */
static unsigned shard_of_slot(const struct stand_in *stand_in, unsigned slot)
{
	return (slot + stand_in->rotate * (slot / STAND_IN_SHARDS)) % stand_in->shards;
}

static unsigned shard_of(const struct stand_in *stand_in, const uint8_t *account)
{
	return shard_of_slot(stand_in, (unsigned)(XXH3_64bits(account, 16) % SLOT_COUNT));
}

static struct stand_in_record *find(const struct stand_in *stand_in, uint64_t lo, uint64_t hi)
{
	uint64_t place = (lo * 0x9e3779b97f4a7c15ull ^ hi) % STAND_IN_RECORDS;

	for (;;) {
		struct stand_in_record *record = &stand_in->records[place];
		if ((record->lo == lo && record->hi == hi) || (record->lo | record->hi) == 0)
			return record;
		place = (place + 1) % STAND_IN_RECORDS;
	}
}

unsigned stand_in_times(const struct stand_in *stand_in, uint64_t lo, uint64_t hi)
{
	return find(stand_in, lo, hi)->times;
}

static void check_repeat(struct stand_in *stand_in, const uint8_t *request, size_t size)
{
	const uint64_t id = get(request + 16, 8);
	const uint64_t digest = XXH3_64bits(request, size);
	uint64_t place = id * 0x9e3779b97f4a7c15ull % REQUESTS_MAX;

	while (stand_in->seen[place].id != 0 && stand_in->seen[place].id != id)
		place = (place + 1) % REQUESTS_MAX;
	if (stand_in->seen[place].id == id && stand_in->seen[place].digest != digest)
		stand_in->altered_repeats++;
	stand_in->seen[place].id = id;
	stand_in->seen[place].digest = digest;
}

static void seal(struct stand_in *stand_in, uint8_t *reply, const uint8_t *request, size_t size,
		 unsigned count, unsigned status)
{
	memcpy(reply, request, HEADER);
	reply[13] |= 0x80;
	put(reply + 14, 2, count);
	put(reply + 24, 4, stand_in->map_version);
	put(reply + 28, 2, status);
	put(reply + 30, 2, status == 26 ? 1 : 0);
	put(reply, 8, XXH3_64bits(reply + 8, size - 8));
}

static size_t info(struct stand_in *stand_in, const uint8_t *request, uint8_t *reply)
{
	const unsigned first = (unsigned)get(request + HEADER, 2);
	uint8_t *record = reply + HEADER;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	memset(record, 0, INFO_BYTES);
	put(record, 2, 1);
	put(record + 2, 2, 1);
	put(record + 4, 2, stand_in->shards);
	put(record + 6, 2, first);
	put(record + 8, 2, stand_in->datagram_max ? stand_in->datagram_max : 8972);
	put(record + 10, 2, stand_in->records_max ? stand_in->records_max : 139);
	put(record + 16, 8, 60000);
	put(record + 24, 8, 5000);
	put(record + 32, 8,
	    (uint64_t)((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 +
		       stand_in->clock_offset_ms));
	put(record + 40, 8, 77);
	put(record + 48, 8, stand_in->log_id);
	put(record + 56, 8, 1000000);
	for (unsigned i = 0; i < stand_in->shards; i++)
		put(record + 64 + 2 * i, 2, stand_in->port[i]);
	for (unsigned i = 0; i < MAP_PAGE; i++)
		record[64 + 128 + i] = (uint8_t)shard_of_slot(stand_in, first + i);
	if (stand_in->bad_info)
		record[64 + 128 + 5] = 60;
	seal(stand_in, reply, request, HEADER + INFO_BYTES, 1, 0);
	return HEADER + INFO_BYTES;
}

static bool transient(unsigned status)
{
	return status == 20 || status == 21 || status == 26;
}

/* Executes a record; returns its status. */
static unsigned execute(struct stand_in *stand_in, const uint8_t *bytes, bool answered)
{
	const uint64_t lo = get(bytes, 8);
	struct stand_in_record *record = find(stand_in, lo, get(bytes + 8, 8));
	unsigned status;

	record->lo = lo;
	record->hi = get(bytes + 8, 8);
	if (record->answered)
		stand_in->needless_repeats++;
	const unsigned times = record->times++;
	if (record->executed) {
		record->answered |= answered;
		return record->status;
	}
	status = stand_in->judge ? stand_in->judge(stand_in, lo, times) : 0;
	if (transient(status))
		return status;
	stand_in->executed++;
	if (record->executed)
		stand_in->executed_again++;
	record->executed = true;
	record->answered = answered;
	record->status = status;
	return status;
}

static void account(const uint8_t *bytes, uint8_t *result, unsigned status)
{
	memset(result, 0, 64);
	memcpy(result, bytes, 16);
	put(result + 52, 2, status);
	if (status != 0)
		return;
	put(result + 16, 8, (uint64_t)-5);
	put(result + 24, 8, 6);
	put(result + 32, 8, 7);
	put(result + 40, 8, (uint64_t)-8);
	put(result + 48, 4, 9);
	put(result + 54, 2, 1);
	put(result + 56, 8, 78);
}

static size_t answer(struct stand_in *stand_in, const uint8_t *request, uint8_t *reply,
		     unsigned shard, bool answered)
{
	const unsigned kind = request[13];
	const unsigned count = (unsigned)get(request + 14, 2);
	const unsigned key = kind == 4 ? 0 : 16;
	const unsigned bytes = kind == 4 ? 64 : 16;
	const unsigned owner = shard_of(stand_in, request + HEADER + key);

	if (owner != shard)
		stand_in->wrong_port++;
	if (count > stand_in->records_largest)
		stand_in->records_largest = count;
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *record = request + HEADER + 64 * i;
		uint8_t *result = reply + HEADER + bytes * i;
		unsigned status = 0;
		if (shard_of(stand_in, record + key) != owner) {
			status = 20;
			stand_in->misplaced++;
		} else if (kind == 2 || kind == 3) {
			status = execute(stand_in, record, answered);
		} else if (kind == 5) {
			const struct stand_in_record *known =
			    find(stand_in, get(record, 8), get(record + 8, 8));
			status = known->executed ? known->status : 25;
		} else if (get(record + 8, 8) == 404) {
			status = 52;
		}
		if (kind == 4) {
			account(record, result, status);
			continue;
		}
		memset(result, 0, 16);
		put(result, 2, status);
		put(result + 2, 2, status == 26 ? 1 : 0);
		put(result + 8, 8, transient(status) ? 0 : 78);
	}
	seal(stand_in, reply, request, HEADER + (size_t)count * bytes, count, 0);
	return HEADER + (size_t)count * bytes;
}

static void send_late(struct stand_in *stand_in)
{
	if (stand_in->late_size > 0)
		sendto(stand_in->late_fd, stand_in->late, stand_in->late_size, 0,
		       (const struct sockaddr *)stand_in->late_to.address, stand_in->late_to.size);
	stand_in->late_size = 0;
}

static bool well_formed(const uint8_t *request, size_t size)
{
	if (size < HEADER || get(request + 8, 4) != 0x4f524947 || request[12] != 1)
		return false;
	if (get(request, 8) != XXH3_64bits(request + 8, size - 8))
		return false;
	if (get(request + 24, 8) != 0)
		return false;
	const unsigned kind = request[13];
	const size_t count = get(request + 14, 2);
	if (kind == 1)
		return count == 1 && size == HEADER + INFO_BYTES &&
		       get(request + HEADER, 2) % MAP_PAGE == 0;
	return kind <= 5 && count > 0 && size == HEADER + count * 64;
}

static void serve(struct stand_in *stand_in, unsigned shard)
{
	const int fd = stand_in->fd[shard];
	uint8_t request[9000];
	uint8_t reply[9000];
	struct sockaddr_in from;
	socklen_t from_size = sizeof(from);
	const ssize_t got =
	    recvfrom(fd, request, sizeof(request), 0, (struct sockaddr *)&from, &from_size);

	if (got < 0)
		return;
	const size_t size = (size_t)got;
	if (!well_formed(request, size)) {
		stand_in->malformed++;
		return;
	}
	if (request[13] == 1) {
		stand_in->infos++;
		if (stand_in->silent)
			return;
		size_t reply_size = HEADER;
		if (stand_in->version_max > 1)
			seal(stand_in, reply, request, HEADER, 0, 1);
		else
			reply_size = info(stand_in, request, reply);
		sendto(fd, reply, reply_size, 0, (struct sockaddr *)&from, from_size);
		return;
	}

	check_repeat(stand_in, request, size);
	/* The port drops what is larger than it takes. */
	if (stand_in->records_max != 0 && get(request + 14, 2) > stand_in->records_max)
		return;
	const unsigned n = stand_in->requests++;
	const enum fate fate = stand_in->fate ? stand_in->fate(stand_in, n) : ANSWER;
	if (fate == LATE_INSTEAD)
		send_late(stand_in);
	if (fate == LOSE_REQUEST || fate == LATE_INSTEAD)
		return;
	size_t reply_size;
	if (fate == BUSY_WHOLE || fate == VERSION_WHOLE) {
		reply_size = HEADER;
		seal(stand_in, reply, request, HEADER, 0, fate == BUSY_WHOLE ? 26 : 1);
	} else {
		const bool answered = fate != LOSE_REPLY && fate != LATE && fate != GARBLED;
		reply_size = answer(stand_in, request, reply, shard, answered);
	}
	if (fate == LOSE_REPLY)
		return;
	if (fate == GARBLED) {
		reply_size -= 16;
		seal(stand_in, reply, request, reply_size, (unsigned)(reply_size - HEADER) / 16, 0);
	}
	if (fate == LATE) {
		send_late(stand_in);
		memcpy(stand_in->late, reply, reply_size);
		memcpy(stand_in->late_to.address, &from, from_size);
		stand_in->late_to.size = from_size;
		stand_in->late_size = reply_size;
		stand_in->late_fd = fd;
		return;
	}
	if (fate == DAMAGED) {
		reply[reply_size - 1] ^= 0x10;
		sendto(fd, reply, reply_size, 0, (struct sockaddr *)&from, from_size);
		reply[reply_size - 1] ^= 0x10;
	}
	sendto(fd, reply, reply_size, 0, (struct sockaddr *)&from, from_size);
	if (fate == TWICE)
		sendto(fd, reply, reply_size, 0, (struct sockaddr *)&from, from_size);
	send_late(stand_in);
}

static void *run(void *argument)
{
	struct stand_in *stand_in = argument;
	struct pollfd waits[STAND_IN_SHARDS + 1];

	for (;;) {
		for (unsigned i = 0; i < stand_in->shards; i++)
			waits[i] = (struct pollfd){.fd = stand_in->fd[i], .events = POLLIN};
		waits[stand_in->shards] =
		    (struct pollfd){.fd = stand_in->stop[0], .events = POLLIN};
		poll(waits, stand_in->shards + 1, -1);
		if (waits[stand_in->shards].revents != 0)
			return NULL;
		for (unsigned i = 0; i < stand_in->shards; i++) {
			if (waits[i].revents != 0)
				serve(stand_in, i);
		}
	}
}

void stand_in_start(struct stand_in *stand_in)
{
	const int one = 1;
	const int buffer = 4 << 20;

	if (stand_in->records == NULL) {
		stand_in->records = calloc(STAND_IN_RECORDS, sizeof(*stand_in->records));
		stand_in->seen = calloc(REQUESTS_MAX, sizeof(*stand_in->seen));
		must(stand_in->records && stand_in->seen, "calloc");
	}
	for (unsigned i = 0; i < stand_in->shards; i++) {
		struct sockaddr_in address = {
		    .sin_family = AF_INET,
		    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		    .sin_port = htons(stand_in->port[i]),
		};
		socklen_t size = sizeof(address);
		const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
		must(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
		must(getsockname(fd, (struct sockaddr *)&address, &size) == 0, "getsockname");
		stand_in->port[i] = ntohs(address.sin_port);
		stand_in->fd[i] = fd;
	}
	must(pipe(stand_in->stop) == 0, "pipe");
	must(pthread_create(&stand_in->thread, NULL, run, stand_in) == 0, "pthread_create");
	stand_in->running = true;
}

void stand_in_stop(struct stand_in *stand_in)
{
	if (!stand_in->running)
		return;
	must(write(stand_in->stop[1], "", 1) == 1, "write");
	pthread_join(stand_in->thread, NULL);
	for (unsigned i = 0; i < stand_in->shards; i++)
		close(stand_in->fd[i]);
	close(stand_in->stop[0]);
	close(stand_in->stop[1]);
	stand_in->late_size = 0;
	stand_in->running = false;
}

void stand_in_end(struct stand_in *stand_in)
{
	stand_in_stop(stand_in);
	free(stand_in->records);
	free(stand_in->seen);
}

const char *stand_in_server(const struct stand_in *stand_in)
{
	static char server[32];

	snprintf(server, sizeof(server), "127.0.0.1:%u", stand_in->port[0]);
	return server;
}
