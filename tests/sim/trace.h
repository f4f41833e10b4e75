/* SPDX-License-Identifier: Apache-2.0
 *
 * What a run did, in lines for people: printed as they come, or the last ones when it fails. Off
 * in runs over many seeds: a failing seed is run again for its trace, which is the same run.
 */
#ifndef GIRO_TESTS_SIM_TRACE_H
#define GIRO_TESTS_SIM_TRACE_H

#include <stdbool.h>
#include <stdint.h>

/* Lines kept for a failure. */
#define TRACE_LINES 60

enum trace_mode {
	TRACE_OFF,
	TRACE_LAST, /* the last lines, when the run fails */
	TRACE_ALL,  /* every line at once, on stdout */
};

extern enum trace_mode trace_mode;

/* For the following lines. */
void trace_at(uint64_t step, uint64_t now_us);

#define trace(...)                               \
	do {                                     \
		if (trace_mode != TRACE_OFF)     \
			trace_line(__VA_ARGS__); \
	} while (0)

__attribute__((format(printf, 1, 2))) void trace_line(const char *format, ...);

/* Writes the lines kept to stderr. Callable from a signal handler. */
void trace_dump(void);

#endif
