/* SPDX-License-Identifier: Apache-2.0
 *
 * A reading as Prometheus reads it: text format 0.0.4, base units (seconds, bytes), counters named
 * _total, histograms with cumulative buckets. docs/operations.md lists the metrics.
 *
 * Any thread; allocates and writes through `out` alone.
 */
#ifndef GIRO_MONITOR_PROMETHEUS_H
#define GIRO_MONITOR_PROMETHEUS_H

#include <stdio.h>

#include <jansson.h>

/* Writes all metrics of `reading`, as monitor_read() gives it; NULL: only that nothing is up.
 * `read_s`: how long the reading took. */
void monitor_write_prometheus(FILE *out, const json_t *reading, double read_s);

#endif
