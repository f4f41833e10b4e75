/* SPDX-License-Identifier: Apache-2.0
 *
 * A running engine as its telemetry socket tells it, all of it at one time.
 *
 * Each reading has a connection of its own, so an engine may start, stop and start again between
 * two. Blocking, with a time limit for each answer. No threads of its own; any one thread.
 */
#ifndef GIRO_MONITOR_SOURCE_H
#define GIRO_MONITOR_SOURCE_H

#include "monitor/telemetry.h"

/* Asks everything once. Returns the reading, the caller's to json_decref(), or NULL with a line for
 * people in `error`:
 *
 *   {"at_ms": Unix milliseconds, "pid": ..., "info": {...}, "epoch": {...}, "log": {...},
 *    "port": {...}, "results": {...}, "workers": [{...}, ...], "shards": [{...}, ...]} */
json_t *monitor_read(const char *path, char error[MONITOR_ERROR_MAX]);

/* A number of a reading: that of the key in the object, 0 where it is missing. */
double monitor_number(const json_t *object, const char *key);

#endif
