/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay as a process: what it prints, what it complains about, how it ends.
 */
#ifndef GIRO_TESTS_REPLAY_TOOL_H
#define GIRO_TESTS_REPLAY_TOOL_H

#include <stdbool.h>

#define OUTPUT_MAX (1 << 20)

/* Of the last run. */
extern char out[OUTPUT_MAX];
extern char err[OUTPUT_MAX];

/* Runs giro-replay with the arguments up to NULL; the exit status. */
int run(const char *arg, ...);

/* The same with fail_at.c: its call number `step` that changes a file ends as `how` says. Arguments up to
 * NULL; returns the exit status, or -1 when it was killed. */
int run_failing(long step, const char *how, const char *arg, ...);

bool prints(const char *text);
bool complains(const char *text);

/* No line of the errors is empty. */
bool complains_in_full(void);

#endif
