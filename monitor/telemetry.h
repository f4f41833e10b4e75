/* SPDX-License-Identifier: Apache-2.0
 *
 * An engine's telemetry socket: DPDK's, a Unix socket of packets, one command in one packet, one JSON
 * object back.
 *
 *   reader                           engine, telemetry thread
 *     connect      ---------------->
 *                  <----------------  {"version": ..., "pid": ..., "max_output_len": N}
 *     "/giro/log"  ---------------->
 *                  <----------------  {"/giro/log": {...}}
 *
 * Blocking, with a time limit for each answer. No threads of its own; any one thread.
 */
#ifndef GIRO_MONITOR_TELEMETRY_H
#define GIRO_MONITOR_TELEMETRY_H

#include <jansson.h>
#include <stdint.h>

#define MONITOR_PATH_MAX  108 /* sun_path */
#define MONITOR_ERROR_MAX 512

/* An engine that says nothing for so long counts as not there. */
#define MONITOR_ANSWER_MS 2000

struct monitor_connection {
	int socket;
	char *answer;
	json_int_t pid; /* the engine's */
};

/* Finds the telemetry socket of the engine on this machine. `prefix`: its EAL --file-prefix, or
 * NULL: the only one there is. `option`: of the caller's command line, by which people name a socket.
 * Returns 0 with its path, or -1 with lines for people in `error`. */
int monitor_find(const char *prefix, const char *option, char path[MONITOR_PATH_MAX],
		 char error[MONITOR_ERROR_MAX]);

/* Connects; every answer may take `answer_ms`. Returns 0, or -1 with a line for people in `error`. In
 * both cases monitor_disconnect() is due. */
int monitor_connect(struct monitor_connection *connection, const char *path, uint32_t answer_ms,
		    char error[MONITOR_ERROR_MAX]);

/* The answer to one command, without the wrapping {"command": ...}: an object, the caller's to
 * json_decref(); or NULL with a line for people in `error`. */
json_t *monitor_ask(struct monitor_connection *connection, const char *command,
		    char error[MONITOR_ERROR_MAX]);

void monitor_disconnect(struct monitor_connection *connection);

#endif
