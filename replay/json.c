/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/json.h"

#include <inttypes.h>
#include <math.h>

#include "base/check.h"

static void put_text(struct json *json, const char *text)
{
	putc('"', json->out);
	for (; *text != '\0'; text++) {
		unsigned char byte = (unsigned char)*text;
		if (byte == '"' || byte == '\\')
			fprintf(json->out, "\\%c", byte);
		else if (byte < 0x20)
			fprintf(json->out, "\\u%04x", byte);
		else
			putc(byte, json->out);
	}
	putc('"', json->out);
}

static void put_key(struct json *json, const char *key)
{
	if (json->more[json->depth])
		putc(',', json->out);
	json->more[json->depth] = true;
	if (key == NULL)
		return;
	put_text(json, key);
	putc(':', json->out);
}

static void open(struct json *json, const char *key, char opening, char closing)
{
	put_key(json, key);
	putc(opening, json->out);
	CHECK(json->depth < JSON_DEPTH_MAX);
	json->depth++;
	json->more[json->depth] = false;
	json->closing[json->depth] = closing;
}

void json_object(struct json *json, const char *key)
{
	open(json, key, '{', '}');
}

void json_array(struct json *json, const char *key)
{
	open(json, key, '[', ']');
}

void json_close(struct json *json)
{
	CHECK(json->depth > 0);
	putc(json->closing[json->depth], json->out);
	json->depth--;
	if (json->depth == 0) {
		putc('\n', json->out);
		json->more[0] = false;
	}
}

void json_text(struct json *json, const char *key, const char *text)
{
	put_key(json, key);
	put_text(json, text);
}

void json_u64(struct json *json, const char *key, uint64_t value)
{
	put_key(json, key);
	fprintf(json->out, "%" PRIu64, value);
}

void json_i64(struct json *json, const char *key, int64_t value)
{
	put_key(json, key);
	fprintf(json->out, "%" PRId64, value);
}

void json_number(struct json *json, const char *key, const char *digits)
{
	put_key(json, key);
	fputs(digits, json->out);
}

void json_bool(struct json *json, const char *key, bool value)
{
	put_key(json, key);
	fputs(value ? "true" : "false", json->out);
}

void json_real(struct json *json, const char *key, double value)
{
	put_key(json, key);
	if (isfinite(value))
		fprintf(json->out, "%.6g", value);
	else
		fputs("null", json->out);
}
