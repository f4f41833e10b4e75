/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs seeds in processes of their own, so that a broken invariant, which aborts, costs one seed
 * and is known by it.
 */
#ifndef GIRO_TESTS_SIM_JOBS_H
#define GIRO_TESTS_SIM_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/reach.h"

#define JOBS_MAX 64

/* Longest that one seed may take before it counts as hanging. */
#define JOBS_SEED_SECONDS 120

/* One seed in so many is run twice, and must decide the same. */
#define JOBS_RERUN_EVERY 16

struct jobs {
	uint64_t first; /* seeds first .. last */
	uint64_t last;
	uint32_t steps; /* zero: as each seed decides */
	uint32_t count; /* processes */
	bool keep_going;

	/* Results. */
	uint64_t seeds_run;
	uint64_t failures;
	uint64_t first_failure; /* lowest seed that failed */
	struct reach reach;
};

/* Runs the seeds. The first failing one (each one with keep_going) is run again for its trace. */
void jobs_run(struct jobs *jobs);

/* Runs one seed in this process, printing every step. */
void jobs_trace(uint64_t seed, uint32_t steps);

#endif
