/* SPDX-License-Identifier: Apache-2.0
 *
 * A stand-in for the engine: one thread that speaks protocol version 1 on ports of 127.0.0.1, from
 * docs/protocol.md alone (its own offsets, none of net/wire.h), and misbehaves as a script says.
 *
 * It executes a record at most once by id, remembers the status, and counts what a client must
 * never do: repeat a request id with other bytes, or send a record again that was answered finally
 * by a reply that was not lost.
 */
#ifndef GIRO_TEST_STAND_IN_H
#define GIRO_TEST_STAND_IN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAND_IN_SHARDS	 4
#define STAND_IN_RECORDS (1 << 17) /* ids remembered */

enum fate {
	ANSWER = 0,
	LOSE_REQUEST,  /* not executed, not answered */
	LOSE_REPLY,    /* executed, not answered */
	TWICE,	       /* answered twice */
	LATE,	       /* executed, answered after the next datagram */
	LATE_INSTEAD,  /* not executed; what was LATE before it is answered now */
	DAMAGED,       /* executed, answered with a flipped bit, then properly */
	BUSY_WHOLE,    /* refused with BUSY, retry after 1 ms */
	VERSION_WHOLE, /* refused with BAD_VERSION */
	GARBLED,       /* answered with a wrong count, and never properly */
};

struct stand_in {
	/* Set before stand_in_start(). */
	unsigned shards;
	uint16_t records_max;  /* zero: 139 */
	uint16_t datagram_max; /* zero: 8972 */
	uint16_t version_max;  /* zero: 1 */
	int64_t clock_offset_ms;
	bool bad_info; /* answers INFO with a slot on a shard that does not exist */
	bool silent;   /* never answers INFO */
	/* What becomes of request number `n` (from 0, INFO not counted); NULL: ANSWER. */
	enum fate (*fate)(struct stand_in *, unsigned n);
	/* Status of a record with its `id_lo` that comes for the `times`-th time (from 0); a
	 * transient one executes nothing. NULL: 0. */
	unsigned (*judge)(struct stand_in *, uint64_t id_lo, unsigned times);

	/* May be changed while it runs. */
	_Atomic uint64_t log_id;
	_Atomic uint32_t map_version;
	_Atomic unsigned rotate; /* the slot map: another one for each number */

	/* Counted. */
	_Atomic unsigned requests;
	_Atomic unsigned infos;
	_Atomic unsigned executed;	  /* distinct ids */
	_Atomic unsigned executed_again;  /* must stay zero */
	_Atomic unsigned altered_repeats; /* must stay zero */
	_Atomic unsigned needless_repeats;
	_Atomic unsigned malformed;	  /* requests that break the protocol; must stay zero */
	_Atomic unsigned misplaced;	  /* records not of the datagram's shard */
	_Atomic unsigned wrong_port;	  /* datagrams not sent to their shard's port */
	_Atomic unsigned records_largest; /* most records seen in a datagram */

	/* Private. */
	uint16_t port[STAND_IN_SHARDS];
	int fd[STAND_IN_SHARDS];
	int stop[2];
	bool running;
	pthread_t thread;
	struct stand_in_record *records;
	struct stand_in_request *seen;
	uint8_t late[9000];
	size_t late_size;
	int late_fd;
	struct {
		uint8_t address[32];
		unsigned size;
	} late_to;
};

/* Binds its ports, kept over a stop, and runs. */
void stand_in_start(struct stand_in *stand_in);
/* Closes the ports: datagrams to them are answered by ICMP. What was executed stays known. */
void stand_in_stop(struct stand_in *stand_in);
/* Stops, and forgets. */
void stand_in_end(struct stand_in *stand_in);

/* "127.0.0.1:PORT" of shard 0; static. */
const char *stand_in_server(const struct stand_in *stand_in);

/* Times that the transfer or operation with this id came. */
unsigned stand_in_times(const struct stand_in *stand_in, uint64_t lo, uint64_t hi);

#endif
