/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/live.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "monitor/telemetry.h"

/* Reads a positive number; false: there is none. */
static bool read_number(const json_t *object, const char *key, uint64_t *number)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*number = (uint64_t)json_integer_value(value);
	return true;
}

static bool is_hexadecimal(const json_t *value, size_t digits)
{
	const char *text = json_string_value(value);

	return text != NULL && strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

static bool read_hash(const json_t *value, uint64_t *hi, uint64_t *lo)
{
	return is_hexadecimal(value, 32) &&
	       sscanf(json_string_value(value), "%16" SCNx64 "%16" SCNx64, hi, lo) == 2;
}

static bool read_info(struct live *live, const json_t *info)
{
	const json_t *id = json_object_get(info, "log_id");

	return is_hexadecimal(id, 16) &&
	       sscanf(json_string_value(id), "%16" SCNx64, &live->log_id) == 1;
}

static bool read_digests(struct live *live, const json_t *answer)
{
	const json_t *digests = json_object_get(answer, "digests");
	size_t count = json_array_size(digests);
	uint64_t walk_ns;

	if (!read_number(answer, "epoch", &live->epoch) ||
	    !read_number(answer, "time_ms", &live->time_ms) ||
	    !read_number(answer, "opened_epoch", &live->opened_epoch) ||
	    !read_number(answer, "blocks", &live->blocks) ||
	    !read_number(answer, "walk_ns", &walk_ns) ||
	    !read_hash(json_object_get(answer, "chain"), &live->chain.hi, &live->chain.lo) ||
	    count < 1 || count > SHARDS_MAX)
		return false;
	live->walk_s = (double)walk_ns * 1e-9;
	live->shards = (uint32_t)count;
	for (uint32_t i = 0; i < live->shards; i++) {
		if (!read_hash(json_array_get(digests, i), &live->digest[i].hi,
			       &live->digest[i].lo))
			return false;
	}
	return true;
}

static int understand(struct live *live, const json_t *info, const json_t *answer,
		      char error[LIVE_TEXT_BYTES])
{
	const char *refusal = json_string_value(json_object_get(answer, "error"));

	if (refusal != NULL) {
		snprintf(error, LIVE_TEXT_BYTES, "the engine gives no digests: %.500s", refusal);
		return -1;
	}
	if (read_info(live, info) && read_digests(live, answer))
		return 0;
	snprintf(error, LIVE_TEXT_BYTES,
		 "the engine's answer is not understood: use the giro-replay of its version");
	return -1;
}

int live_ask(struct live *live, const char *engine, char error[LIVE_TEXT_BYTES])
{
	struct monitor_connection connection;
	char why[MONITOR_ERROR_MAX];
	char found[MONITOR_PATH_MAX];
	const char *path = engine;
	json_t *info = NULL;
	json_t *answer = NULL;
	int result = -1;

	*live = (struct live){0};
	if (strchr(engine, '/') == NULL) {
		if (monitor_find(engine, "--engine", found, why) != 0) {
			snprintf(error, LIVE_TEXT_BYTES, "%s", why);
			return -1;
		}
		path = found;
	}
	if (monitor_connect(&connection, path, LIVE_ANSWER_MS, why) == 0)
		info = monitor_ask(&connection, "/giro/info", why);
	if (info != NULL)
		answer = monitor_ask(&connection, "/giro/digest", why);
	live->pid = (uint64_t)connection.pid;
	monitor_disconnect(&connection);
	if (answer != NULL)
		result = understand(live, info, answer, error);
	else
		snprintf(error, LIVE_TEXT_BYTES, "%s", why);
	json_decref(info);
	json_decref(answer);
	return result;
}
