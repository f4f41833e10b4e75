/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/telemetry.h"

#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* DPDK's own limit is 16 KiB; what does not fit is not believed. */
#define ANSWER_MAX (64u << 10)

void monitor_disconnect(struct monitor_connection *connection)
{
	if (connection->socket >= 0)
		close(connection->socket);
	free(connection->answer);
}

static int set_limits(int socket, uint32_t answer_ms)
{
	const struct timeval limit = {
	    .tv_sec = answer_ms / 1000,
	    .tv_usec = answer_ms % 1000 * 1000,
	};

	return setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
		       setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0
		   ? 0
		   : -1;
}

/* Takes one packet as JSON. */
static json_t *receive(struct monitor_connection *connection, const char *what,
		       char error[MONITOR_ERROR_MAX])
{
	json_error_t wrong;
	ssize_t bytes = recv(connection->socket, connection->answer, ANSWER_MAX, MSG_TRUNC);

	if (bytes <= 0) {
		snprintf(error, MONITOR_ERROR_MAX, "the engine does not answer %s: %s", what,
			 bytes == 0 ? "it closed the connection" : strerror(errno));
		return NULL;
	}
	if ((size_t)bytes > ANSWER_MAX) {
		snprintf(error, MONITOR_ERROR_MAX, "the answer to %s is too long: %zd bytes", what,
			 bytes);
		return NULL;
	}
	json_t *answer = json_loadb(connection->answer, (size_t)bytes, 0, &wrong);
	if (!json_is_object(answer)) {
		snprintf(error, MONITOR_ERROR_MAX, "the answer to %s is no JSON object: %s", what,
			 answer == NULL ? wrong.text : "something else");
		json_decref(answer);
		return NULL;
	}
	return answer;
}

int monitor_connect(struct monitor_connection *connection, const char *path, uint32_t answer_ms,
		    char error[MONITOR_ERROR_MAX])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	*connection = (struct monitor_connection){.socket = -1, .answer = malloc(ANSWER_MAX)};
	if (connection->answer == NULL || strlen(path) >= sizeof(address.sun_path)) {
		snprintf(error, MONITOR_ERROR_MAX, "%s: %s", path,
			 connection->answer == NULL ? "out of memory"
						    : "too long for a socket's path");
		return -1;
	}
	strcpy(address.sun_path, path);
	connection->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (connection->socket < 0 || set_limits(connection->socket, answer_ms) != 0 ||
	    connect(connection->socket, (struct sockaddr *)&address, sizeof(address)) != 0) {
		snprintf(error, MONITOR_ERROR_MAX, "no engine at %s: %s%s", path, strerror(errno),
			 errno == EACCES ? " (run this as the engine's user, or as root)" : "");
		return -1;
	}
	json_t *hello = receive(connection, "the connection", error);
	if (hello == NULL)
		return -1;
	connection->pid = json_integer_value(json_object_get(hello, "pid"));
	json_decref(hello);
	return 0;
}

/* The answer to one command, without the wrapping {"command": ...}. */
json_t *monitor_ask(struct monitor_connection *connection, const char *command,
		    char error[MONITOR_ERROR_MAX])
{
	if (send(connection->socket, command, strlen(command), MSG_NOSIGNAL) < 0) {
		snprintf(error, MONITOR_ERROR_MAX, "the engine takes no command: %s",
			 strerror(errno));
		return NULL;
	}
	json_t *wrapped = receive(connection, command, error);
	if (wrapped == NULL)
		return NULL;
	/* The key is the command without its parameters. */
	json_t *answer = json_incref(json_object_iter_value(json_object_iter(wrapped)));
	json_decref(wrapped);
	if (!json_is_object(answer)) {
		snprintf(error, MONITOR_ERROR_MAX,
			 "nothing answers %s there: no giro-engine, or one that is stopping",
			 command);
		json_decref(answer);
		return NULL;
	}
	return answer;
}

/* Finding. */

static bool is_engine(const char *path)
{
	char ignored[MONITOR_ERROR_MAX];
	struct monitor_connection connection;
	json_t *info = NULL;

	if (monitor_connect(&connection, path, MONITOR_ANSWER_MS, ignored) == 0)
		info = monitor_ask(&connection, "/giro/info", ignored);
	monitor_disconnect(&connection);
	json_decref(info);
	return info != NULL;
}

/* Where EAL keeps the files of its processes; the last one is a systemd unit's. */
static void add_matches(glob_t *found, const char *prefix)
{
	const char *const roots[] = {
	    getenv("RUNTIME_DIRECTORY"),
	    "/var/run",
	    getenv("XDG_RUNTIME_DIR"),
	    "/run/giro",
	};
	int flags = 0;

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		char pattern[512];
		bool repeated = false;
		for (size_t j = 0; roots[i] != NULL && j < i; j++)
			repeated |= roots[j] != NULL && strcmp(roots[i], roots[j]) == 0;
		if (roots[i] == NULL || repeated)
			continue;
		snprintf(pattern, sizeof(pattern), "%s/dpdk/%s/dpdk_telemetry.v2*", roots[i],
			 prefix != NULL ? prefix : "*");
		if (glob(pattern, flags, NULL, found) == 0 || found->gl_pathc > 0)
			flags = GLOB_APPEND;
	}
}

int monitor_find(const char *prefix, const char *option, char path[MONITOR_PATH_MAX],
		 char error[MONITOR_ERROR_MAX])
{
	glob_t found = {0};
	size_t length = 0;
	unsigned count = 0;

	add_matches(&found, prefix);
	error[0] = '\0';
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *candidate = found.gl_pathv[i];
		if (strlen(candidate) >= MONITOR_PATH_MAX || !is_engine(candidate))
			continue;
		count++;
		strcpy(path, candidate);
		length += (size_t)snprintf(error + length, MONITOR_ERROR_MAX - length, "\n  %s",
					   candidate);
		if (length >= MONITOR_ERROR_MAX / 2)
			break;
	}
	globfree(&found);
	if (count == 1)
		return 0;
	char list[MONITOR_ERROR_MAX];
	strcpy(list, error);
	if (count > 1)
		snprintf(error, MONITOR_ERROR_MAX,
			 "more than one engine runs here; choose with %s PATH:%.300s", option,
			 list);
	else
		snprintf(error, MONITOR_ERROR_MAX,
			 "no running giro-engine answers below /var/run/dpdk/%s: start it, run "
			 "this as its user or as root, or give %s PATH",
			 prefix != NULL ? prefix : "*", option);
	return -1;
}
