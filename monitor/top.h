/* SPDX-License-Identifier: Apache-2.0
 *
 * giro top: a running engine in a terminal, or as JSON.
 */
#ifndef GIRO_MONITOR_TOP_H
#define GIRO_MONITOR_TOP_H

/* The command; argv[0] is its name. Blocks until `q`, a signal, or, with --once, for one interval.
 * Returns 0, 2 for a wrong command line, or 3 when no engine answers. Main thread. */
int monitor_top(int argc, char **argv);

#endif
