/* SPDX-License-Identifier: Apache-2.0
 *
 * CPU time of other threads of this process, by their names.
 */
#ifndef GIRO_TESTS_BENCH_THREAD_TIME_H
#define GIRO_TESTS_BENCH_THREAD_TIME_H

/* Seconds that the thread of this name has run, 0 when there is none. Any thread; reads /proc. */
double thread_seconds(const char *name);

/* The same of the process's first thread. */
double main_thread_seconds(void);

#endif
