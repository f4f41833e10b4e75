/* SPDX-License-Identifier: Apache-2.0
 *
 * Ids of transfers and operations: UUIDv7 (RFC 9562, section 5.7), here as one 128-bit number.
 *
 *   127            80 79   76 75       64 63 62 61   60 59                          0
 *  +-----------------+-------+-----------+-----+-------+------------------------------+
 *  | Unix ms         | ver=7 | counter 12| 1 0 |ctr 2  | random                       |
 *  +-----------------+-------+-----------+-----+-------+------------------------------+
 *
 * The 14 bits of counter keep a process's ids in order within a millisecond and run over into the
 * next one (16 million ids a second before the ids lead the clock); the 60 random bits keep
 * processes apart.
 */
#ifndef GIRO_CLIENT_UUID7_H
#define GIRO_CLIENT_UUID7_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/id.h"

/* xoshiro256++ (Blackman and Vigna, 2018); one thread at a time. */
struct client_random {
	uint64_t s[4];
};

/* Seeds from the kernel. Returns 0, or -1 with errno. */
int client_random_seed(struct client_random *random);

uint64_t client_random_next(struct client_random *random);

/* A clock that moves back by more than this is believed, and the ids with it. */
#define UUID7_BACKWARD_MS 10000

/* The place of the newest id: milliseconds << 14 | counter. */
typedef _Atomic uint64_t client_uuid7_last;

/* Shared by all sessions of the process. */
extern client_uuid7_last client_uuid7_process;

/* A new id for `now_ms`, larger than all ids made with `last` before. `last` may be shared between
 * threads, `random` may not. */
struct id128 client_uuid7_new(client_uuid7_last *last, struct client_random *random,
			      uint64_t now_ms);

/* An id of `time_ms` whose 74 other bits are those of `digest`: equal input, equal id. */
struct id128 client_uuid7_derive(uint64_t time_ms, struct id128 digest);

#endif
