/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/source.h"

#include <stdio.h>
#include <time.h>

/* More than the engine has of either is a broken answer. */
#define PARTS_MAX 256

/* Adds what `command` answers to the reading as `key`. */
static int add(struct monitor_connection *connection, json_t *reading, const char *key,
	       const char *command, char error[MONITOR_ERROR_MAX])
{
	json_t *answer = monitor_ask(connection, command, error);

	if (answer == NULL)
		return -1;
	return json_object_set_new(reading, key, answer);
}

static int add_parts(struct monitor_connection *connection, json_t *reading, const char *key,
		     const char *command, double count, char error[MONITOR_ERROR_MAX])
{
	json_t *parts = json_array();

	if (json_object_set_new(reading, key, parts) != 0 || !(count >= 0 && count <= PARTS_MAX)) {
		snprintf(error, MONITOR_ERROR_MAX, "the engine claims %.0f %s", count, key);
		return -1;
	}
	for (unsigned i = 0; i < (unsigned)count; i++) {
		char text[64];
		snprintf(text, sizeof(text), "%s,%u", command, i);
		json_t *answer = monitor_ask(connection, text, error);
		if (answer == NULL || json_array_append_new(parts, answer) != 0)
			return -1;
	}
	return 0;
}

static json_int_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

double monitor_number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static int ask_all(struct monitor_connection *connection, json_t *reading,
		   char error[MONITOR_ERROR_MAX])
{
	if (add(connection, reading, "info", "/giro/info", error) != 0 ||
	    add(connection, reading, "epoch", "/giro/epoch", error) != 0 ||
	    add(connection, reading, "log", "/giro/log", error) != 0 ||
	    add(connection, reading, "port", "/giro/port", error) != 0 ||
	    add(connection, reading, "results", "/giro/results", error) != 0)
		return -1;
	const json_t *info = json_object_get(reading, "info");
	if (add_parts(connection, reading, "workers", "/giro/worker",
		      monitor_number(info, "workers"), error) != 0)
		return -1;
	return add_parts(connection, reading, "shards", "/giro/shard",
			 monitor_number(info, "shards"), error);
}

json_t *monitor_read(const char *path, char error[MONITOR_ERROR_MAX])
{
	struct monitor_connection connection;
	json_t *reading = NULL;

	snprintf(error, MONITOR_ERROR_MAX, "out of memory");
	if (monitor_connect(&connection, path, MONITOR_ANSWER_MS, error) != 0)
		goto out;
	reading = json_object();
	if (reading == NULL)
		goto out;
	json_object_set_new(reading, "at_ms", json_integer(now_ms()));
	json_object_set_new(reading, "pid", json_integer(connection.pid));
	if (ask_all(&connection, reading, error) != 0) {
		json_decref(reading);
		reading = NULL;
	}
out:
	monitor_disconnect(&connection);
	return reading;
}
