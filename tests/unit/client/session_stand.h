/* SPDX-License-Identifier: Apache-2.0
 *
 * A session of libgiro and the stand-in engine on 127.0.0.1 that it talks to; one of each a test.
 */
#ifndef GIRO_TESTS_UNIT_CLIENT_SESSION_STAND_H
#define GIRO_TESTS_UNIT_CLIENT_SESSION_STAND_H

#include <stdint.h>

#include "client/giro.h"
#include "tests/unit/client/stand_in.h"

/* No test waits longer than this for what it expects. */
#define DEADLINE_S 60

#define TRANSFERS_MAX 50000

/* What came of the transfers with contexts 0 .. count-1. */
struct tally {
	uint8_t outcomes[TRANSFERS_MAX]; /* completions of each */
	unsigned completions;
	unsigned by_outcome[64 + 16]; /* index: outcome + 16 */
};

extern struct stand_in engine;
extern struct giro *giro;
extern struct tally tally; /* of the last run() */

double now_s(void);

void start(unsigned shards); /* the engine */
void open_session(struct giro_options options);
void finish(void); /* both */

/* Account ids spread over all shards. */
struct giro_id account(uint64_t i);
struct giro_transfer transfer(uint64_t i);

/* Takes completions of transfers with contexts below `count` into the tally. */
void collect(unsigned count, int64_t timeout_us);

/* Submits `count` transfers, for all of which the session has room, and begins a tally of them. */
void submit(unsigned count);

/* Takes completions until all `count` transfers have one, or DEADLINE_S has passed: a failure. */
void complete(unsigned count);

/* Submits `count` transfers as there is room and waits for all their outcomes. */
void run(unsigned count);

/* Transfers of the tally that are OK. */
unsigned done(void);

/* What the stand-in may do to datagrams and records. `mixture`: some of everything, by a counter, so that
 * each run meets all of it. `hesitant`: every third record is PENDING twice, every fourth BUSY once. */
enum fate mixture(struct stand_in *stand_in, unsigned n);
enum fate lose_all(struct stand_in *stand_in, unsigned n);
unsigned hesitant(struct stand_in *stand_in, uint64_t id_lo, unsigned times);

#endif
