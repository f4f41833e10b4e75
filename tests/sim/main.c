/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-sim: whole nodes under a virtual clock, one seed each. See docs/testing.md.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/jobs.h"

/* From so many seeds on, whatever was never reached is a failure of the simulator. */
#define REACH_SEEDS 1000

static const char usage[] =
    "usage: giro-sim --seeds A..B [options]\n"
    "Simulates a giro node for each seed A to B: its clients, network, disk and crashes, and\n"
    "checks that nothing is lost and nothing is paid twice.\n"
    "  --seeds A..B     the seeds; a single number is one seed\n"
    "  --steps N        steps until faults stop (default: as each seed decides)\n"
    "  --jobs N         processes (default 2)\n"
    "  --trace          print every step of one seed\n"
    "  --json FILE      write the result as JSON\n"
    "  --require-reach  fail when something was never reached (always so from 1000 seeds on)\n"
    "  --keep-going     do not stop at the first seed that fails\n";

struct options {
	struct jobs jobs;
	bool trace;
	bool require_reach;
	const char *json;
};

static bool parse_number(const char *text, uint64_t *number, const char **end)
{
	char *behind;

	if (*text < '0' || *text > '9')
		return false;
	*number = strtoull(text, &behind, 10);
	*end = behind;
	return true;
}

static bool parse_seeds(const char *text, struct jobs *jobs)
{
	const char *end;

	if (!parse_number(text, &jobs->first, &end))
		return false;
	jobs->last = jobs->first;
	if (strncmp(end, "..", 2) == 0 && !parse_number(end + 2, &jobs->last, &end))
		return false;
	return *end == '\0' && jobs->last >= jobs->first;
}

static bool parse_u32(const char *text, uint32_t most, uint32_t *value)
{
	const char *end;
	uint64_t number;

	if (!parse_number(text, &number, &end) || *end != '\0' || number < 1 || number > most)
		return false;
	*value = (uint32_t)number;
	return true;
}

static bool parse(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
	    {"seeds", required_argument, NULL, 's'}, {"steps", required_argument, NULL, 'n'},
	    {"jobs", required_argument, NULL, 'j'},  {"trace", no_argument, NULL, 't'},
	    {"json", required_argument, NULL, 'J'},  {"require-reach", no_argument, NULL, 'r'},
	    {"keep-going", no_argument, NULL, 'k'},  {0},
	};
	bool seeds = false;
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		bool sound = true;
		switch (option) {
		case 's':
			sound = seeds = parse_seeds(optarg, &options->jobs);
			break;
		case 'n':
			sound = parse_u32(optarg, 1000000, &options->jobs.steps);
			break;
		case 'j':
			sound = parse_u32(optarg, JOBS_MAX, &options->jobs.count);
			break;
		case 't':
			options->trace = true;
			break;
		case 'J':
			options->json = optarg;
			break;
		case 'r':
			options->require_reach = true;
			break;
		case 'k':
			options->jobs.keep_going = true;
			break;
		default:
			return false;
		}
		if (!sound) {
			fprintf(stderr, "giro-sim: cannot use '%s'\n", optarg);
			return false;
		}
	}
	return seeds && optind == argc;
}

static int write_json(const struct options *options, uint32_t zeros)
{
	const struct jobs *jobs = &options->jobs;
	FILE *out = fopen(options->json, "w");

	if (out == NULL) {
		perror(options->json);
		return -1;
	}
	fprintf(out,
		"{\n  \"first\": %" PRIu64 ",\n  \"last\": %" PRIu64 ",\n  \"seeds_run\": %" PRIu64
		",\n  \"failures\": %" PRIu64 ",\n  \"first_failure\": ",
		jobs->first, jobs->last, jobs->seeds_run, jobs->failures);
	if (jobs->failures > 0)
		fprintf(out, "%" PRIu64, jobs->first_failure);
	else
		fprintf(out, "null");
	fprintf(out, ",\n  \"never_reached\": %u,\n  \"reach\": {", zeros);
	reach_print_json(&jobs->reach, out);
	fprintf(out, "\n  }\n}\n");
	return fclose(out);
}

int main(int argc, char **argv)
{
	struct options options = {.jobs = {.count = 2}};
	struct jobs *jobs = &options.jobs;

	if (!parse(argc, argv, &options)) {
		fputs(usage, stderr);
		return 2;
	}
	if (options.trace) {
		jobs_trace(jobs->first, jobs->steps);
		printf("seed %" PRIu64 " passed\n", jobs->first);
		return 0;
	}
	jobs_run(jobs);
	uint32_t zeros = reach_print(&jobs->reach, stdout);
	bool must_reach = options.require_reach || jobs->seeds_run >= REACH_SEEDS;
	printf("%" PRIu64 " seeds, %" PRIu64 " failed, %u rows never reached%s\n", jobs->seeds_run,
	       jobs->failures, zeros, zeros > 0 && !must_reach ? " (too few seeds to mind)" : "");
	if (options.json != NULL && write_json(&options, zeros) != 0)
		return 1;
	return jobs->failures > 0 || (must_reach && zeros > 0) ? 1 : 0;
}
