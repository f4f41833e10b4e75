/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "client/giro.h"

#define UUID_CHARACTERS 36

__extension__ typedef unsigned __int128 number128;

static bool parse_uuid(const char *text, struct giro_id *id)
{
	number128 value = 0;

	for (size_t i = 0; i < UUID_CHARACTERS; i++) {
		char c = text[i];
		unsigned digit;
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (c != '-')
				return false;
			continue;
		}
		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (unsigned)(c - 'a') + 10;
		else if (c >= 'A' && c <= 'F')
			digit = (unsigned)(c - 'A') + 10;
		else
			return false;
		value = value << 4 | digit;
	}
	*id = (struct giro_id){.lo = (uint64_t)value, .hi = (uint64_t)(value >> 64)};
	return true;
}

static bool parse_decimal(const char *text, size_t length, struct giro_id *id)
{
	const number128 max = ~(number128)0;
	number128 value = 0;

	if (length == 0)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		const unsigned digit = (unsigned)(text[i] - '0');
		if (value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*id = (struct giro_id){.lo = (uint64_t)value, .hi = (uint64_t)(value >> 64)};
	return true;
}

int giro_id_parse(const char *text, struct giro_id *id)
{
	const size_t length = strlen(text);

	if (length == UUID_CHARACTERS && text[8] == '-')
		return parse_uuid(text, id) ? 0 : -1;
	return parse_decimal(text, length, id) ? 0 : -1;
}

char *giro_id_format(struct giro_id id, char text[GIRO_ID_TEXT_BYTES])
{
	if (id.hi == 0)
		snprintf(text, GIRO_ID_TEXT_BYTES, "%" PRIu64, id.lo);
	else
		snprintf(text, GIRO_ID_TEXT_BYTES, "%08x-%04x-%04x-%04x-%012" PRIx64,
			 (unsigned)(id.hi >> 32), (unsigned)(id.hi >> 16 & 0xffff),
			 (unsigned)(id.hi & 0xffff), (unsigned)(id.lo >> 48),
			 id.lo & UINT64_C(0xffffffffffff));
	return text;
}
