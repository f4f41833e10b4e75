/* SPDX-License-Identifier: Apache-2.0
 *
 * One simulated run: a node, its clients, its disk and its network under one virtual clock, and one
 * seed that decides everything. A step does one small thing, chosen at random; faults come between
 * steps. When the faults stop, everything must settle.
 */
#ifndef GIRO_TESTS_SIM_SIM_H
#define GIRO_TESTS_SIM_SIM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/sim/oracle.h"
#include "tests/sim/reach.h"
#include "tests/sim/rng.h"
#include "tests/sim/shape.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_links.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/trace.h"

/* Unix milliseconds at which the virtual clock starts. */
#define SIM_START_MS UINT64_C(1700000000000)

/* Things half done at once, at most. */
#define SIM_NESTED_MAX 3

/* Exit status of a process whose run failed. */
#define SIM_FAILED 3

struct sim {
	uint64_t seed;
	struct rng rng;
	struct rng move_rng; /* of its own: without moves a seed is what it was */
	struct shape shape;
	struct reach *reach;
	uint64_t step;
	uint64_t now_us; /* the virtual clock */
	int64_t skew_ms; /* of the node's clock */
	bool settling;	 /* faults have stopped */
	uint32_t nested; /* something is half done while others go on: the node stays */
	uint64_t full_until_us;
	uint64_t digest; /* of everything that was decided, for a second run to compare */

	struct sim_disk disk;
	struct sim_node node;
	struct sim_links links;
	struct sim_network network;
	struct sim_client client;
	struct oracle oracle;
};

/* Runs one seed; `steps` replaces the shape's own number unless zero. Returns the digest. Ends the
 * process with SIM_FAILED when something is wrong. */
uint64_t sim_run(struct sim *sim, uint64_t seed, uint32_t steps, struct reach *reach);

/* Ends the process: says what was wrong and dumps the trace. */
__attribute__((noreturn, format(printf, 2, 3))) void sim_fail(const struct sim *sim,
							      const char *format, ...);

/* The node's wall clock, Unix milliseconds. */
uint64_t sim_wall_ms(struct sim *sim);

/* Something else than faults happens in the midst of what is being done: on another core, or while
 * a reader waits for its disk. */
void sim_let_pass(struct sim *sim);

/* Damages a copy of the disk and tries to start from it; sim_damage.c. */
void sim_damage_try(struct sim *sim);

/* Reads the live log and audits it; sim_audit.c. */
void sim_audit_live(struct sim *sim);

/* Asks the running node for digests now and then, and compares them with those of a replay of what is on
 * the disk. Draws no random number: what the node does is as it would be without. */
void sim_audit_cut(struct sim *sim);

/* Replays the whole log into shards of other capacities; the node is closed. */
void sim_audit_closed(struct sim *sim);

static inline void reach(struct sim *sim, enum reach_row row)
{
	sim->reach->counts[row]++;
}

static inline void reach_status(struct sim *sim, unsigned status)
{
	if (status < STATUS_LIMIT)
		sim->reach->counts[REACH_STATUS + status]++;
}

#endif
