/* SPDX-License-Identifier: Apache-2.0
 *
 * The doctor: looks at the machine, the configuration, the log's place and the device, and says what
 * keeps the engine from starting (fail) or slows it down (warn), each with what to do.
 *
 *   ok    clock source   tsc
 *   warn  governor       powersave on cpus 2-3
 *                        -> frequency scaling adds to every latency
 *                        $ cpupower --cpu 2-3 frequency-set --governor performance
 *
 * It changes nothing: the commands are printed, and run by whoever has read them. The only thing
 * written is a nameless file in the log's directory, to measure the device.
 *
 * One thread, before an engine starts. Blocks.
 */
#ifndef GIRO_ENGINE_CHECK_H
#define GIRO_ENGINE_CHECK_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/config.h"

enum check_verdict {
	CHECK_OK,
	CHECK_WARN,
	CHECK_FAIL,
	CHECK_VERDICTS,
};

struct check_report {
	FILE *out;
	bool tune; /* the commands alone, as a script */
	unsigned counts[CHECK_VERDICTS];
	enum check_verdict last; /* what advice and commands belong to */
	unsigned commands;
};

/* One line: a verdict on the thing called `name`. */
__attribute__((format(printf, 4, 5))) void check_say(struct check_report *report,
						     enum check_verdict verdict, const char *name,
						     const char *format, ...);

/* What to do about the last line, in words; and a command that does it. */
__attribute__((format(printf, 2, 3))) void check_advise(struct check_report *report,
							const char *format, ...);
__attribute__((format(printf, 2, 3))) void check_command(struct check_report *report,
							 const char *format, ...);

/* The summary. Returns the exit status: the worst verdict. */
int check_end(struct check_report *report);

/* What is looked at. */
struct check_subject {
	const char *root;		    /* of /sys and /proc; "" is the machine's own */
	const struct engine_config *config; /* NULL: none was given */
	cpu_set_t cpus;			    /* that the engine will have */
	bool cpus_known;		    /* false: all that this process may use */
	unsigned lcores;		    /* EAL's; 0: not known */
	int port_node;			    /* NUMA node of the port; -1: none, or not known */
	uint64_t memory_needed;		    /* bytes; 0: not known */
	bool hugepages;			    /* EAL will take them */
};

/* Each says its lines. They know no DPDK. */
void check_hugepages(struct check_report *report, const struct check_subject *subject);
void check_cores(struct check_report *report, const struct check_subject *subject);
void check_clock(struct check_report *report, const struct check_subject *subject);
void check_log(struct check_report *report, const struct check_subject *subject);
void check_block_device(struct check_report *report, const struct check_subject *subject,
			unsigned device_major, unsigned device_minor);

/* Of the log's directory: times 4 KiB writes that are durable one by one, in a file of its own that
 * has no name. Returns 0 and the times in nanoseconds, ascending; or a negative errno. */
#define CHECK_WRITES 64
int check_time_writes(const char *directory, uint64_t times_ns[CHECK_WRITES]);

/* The port, once EAL is up: check_port.c. */
void check_port(struct check_report *report, const struct check_subject *subject);
int check_port_node(const struct engine_config *config);

/* All of it. `eal_argv` as for EAL; with eal_argc 1, cores and port are not known and EAL is not
 * started. Returns the exit status: 0 all is well, 1 warnings, 2 failures. */
int check_run(const struct config_input *input, bool tune, int eal_argc, char **eal_argv,
	      FILE *out);

#endif
