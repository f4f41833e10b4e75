/* SPDX-License-Identifier: Apache-2.0
 *
 * What a seed decides before the first step: the shape of the node, of its traffic and of its
 * faults. Swarm testing (A. Groce et al., ISSTA 2012): each fault is left out of about half of the
 * runs, so that no fault can hide what the others would show.
 *
 * Sizes are as small as the code permits, so that limits are reached and rings wrap all the time.
 */
#ifndef GIRO_TESTS_SIM_SHAPE_H
#define GIRO_TESTS_SIM_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "shard/shard.h"
#include "tests/sim/rng.h"

#define SIM_SHARDS_MAX	4
#define SIM_WORKERS_MAX 3
#define SIM_RECORDS_MAX 4

/* The part that may change from one start of the engine to the next. */
struct shape_node {
	struct shard_limits limits;
	uint32_t workers;
	uint32_t slots;		/* epochs between open and durable */
	uint64_t section_bytes; /* a shard's records of one epoch */
	uint32_t writes;	/* blocks in flight */
	uint32_t requests;	/* datagrams in hand, a worker */
	uint32_t burst;		/* datagrams and messages taken at once */
};

struct shape {
	struct shape_node node;
	uint64_t segment_bytes;
	uint32_t records_max; /* in one datagram */
	uint32_t queue_max;   /* datagrams that a worker's port queue holds */
	uint32_t step_us;     /* virtual time of a step, at most */
	uint32_t steps;	      /* until faults stop */

	uint32_t accounts;
	uint32_t ledgers;
	uint32_t operations_max;
	uint32_t flight_max; /* operations that wait for an answer */
	uint32_t retry_us;
	uint32_t delay_us; /* of a datagram, at most */

	/* Per mille of datagrams, each way. */
	uint32_t net_loss;
	uint32_t net_copy;
	uint32_t net_damage;
	uint32_t net_late;

	/* Between shards. */
	bool lossy;
	uint32_t link_loss;
	uint32_t link_copy;
	uint32_t link_delay_us;
	uint32_t resend_us;

	/* Once in so many steps; zero: never. */
	uint32_t crash_every;
	uint32_t stop_every;
	uint32_t pause_every;
	uint32_t full_every;
	uint32_t jump_every;
	uint32_t skew_every;
	uint32_t audit_every;
	uint32_t move_every;

	/* Per mille. */
	uint32_t crash_in_start; /* of starts */
	uint32_t unreadable;	 /* of starts */
	uint32_t write_error;	 /* of writes */
	uint32_t write_short;	 /* of writes */
	uint32_t write_spike;	 /* of writes */
	uint32_t damage;	 /* of crashes: a damaged copy of the log is tried */
	uint32_t reconfigure;	 /* of starts */
	uint32_t write_us;	 /* of a write, at most */
	bool whole_pages;	 /* the disk writes 4 KiB or nothing, else 512 bytes or nothing */
	bool recycled;		 /* new segments hold old content */
};

void shape_choose(struct shape *shape, struct rng *rng);

/* After that, whether shards move. */
void shape_choose_moves(struct shape *shape, struct rng *rng);

/* Other sizes for the next start, as an operator might choose them. */
void shape_reconfigure(const struct shape *shape, struct shape_node *node, struct rng *rng);

#endif
