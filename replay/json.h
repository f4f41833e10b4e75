/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes JSON to a stream as it goes, one value after the other. 128-bit ids and sums are strings:
 * most readers would round them as numbers. So are 64-bit hashes.
 *
 *   json_object(json, NULL); json_u64(json, "epoch", 7); json_close(json);    {"epoch":7}
 *
 * `key` is the member's name, NULL in an array or at the top.
 */
#ifndef GIRO_REPLAY_JSON_H
#define GIRO_REPLAY_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_DEPTH_MAX 8

struct json {
	FILE *out;
	uint32_t depth;
	bool more[JSON_DEPTH_MAX + 1]; /* a value stands before, at this depth */
	char closing[JSON_DEPTH_MAX + 1];
};

static inline struct json json_begin(FILE *out)
{
	return (struct json){.out = out};
}

void json_object(struct json *json, const char *key);
void json_array(struct json *json, const char *key);

/* Ends the innermost object or array; the outermost with a line feed. */
void json_close(struct json *json);

void json_text(struct json *json, const char *key, const char *text);
void json_u64(struct json *json, const char *key, uint64_t value);
void json_i64(struct json *json, const char *key, int64_t value);
void json_bool(struct json *json, const char *key, bool value);

/* A number that is in decimal already. */
void json_number(struct json *json, const char *key, const char *digits);

/* Not a number: null. */
void json_real(struct json *json, const char *key, double value);

#endif
