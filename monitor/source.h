/* SPDX-License-Identifier: Apache-2.0
 *
 * A running engine as its telemetry socket tells it: DPDK's, a Unix socket of packets, one command
 * in one packet, one JSON object back.
 *
 *   monitor                          engine, telemetry thread
 *     connect      ---------------->
 *                  <----------------  {"version": ..., "pid": ..., "max_output_len": N}
 *     "/giro/log"  ---------------->
 *                  <----------------  {"/giro/log": {...}}
 *
 * Each reading has a connection of its own, so an engine may start, stop and start again between
 * two. Blocking, with a time limit for each answer. No threads of its own; any one thread.
 */
#ifndef GIRO_MONITOR_SOURCE_H
#define GIRO_MONITOR_SOURCE_H

#include <jansson.h>

#define MONITOR_PATH_MAX  108 /* sun_path */
#define MONITOR_ERROR_MAX 512

/* An engine that says nothing for so long counts as not there. */
#define MONITOR_ANSWER_MS 2000

/* Finds the telemetry socket of the engine on this machine. `prefix`: its EAL --file-prefix, or
 * NULL: the only one there is. Returns 0 with its path, or -1 with lines for people in `error`. */
int monitor_find(const char *prefix, char path[MONITOR_PATH_MAX], char error[MONITOR_ERROR_MAX]);

/* Asks everything once. Returns the reading, the caller's to json_decref(), or NULL with a line for
 * people in `error`:
 *
 *   {"at_ms": Unix milliseconds, "pid": ..., "info": {...}, "epoch": {...}, "log": {...},
 *    "port": {...}, "results": {...}, "workers": [{...}, ...], "shards": [{...}, ...]} */
json_t *monitor_read(const char *path, char error[MONITOR_ERROR_MAX]);

/* A number of a reading: that of the key in the object, 0 where it is missing. */
double monitor_number(const json_t *object, const char *key);

#endif
