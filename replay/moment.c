/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/moment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Does the text begin as the pattern, in which 0 stands for any digit? */
static bool begins_as(const char *text, const char *pattern)
{
	for (; *pattern != '\0'; text++, pattern++) {
		bool digit = *text >= '0' && *text <= '9';
		if (*pattern == '0' ? !digit : *text != *pattern)
			return false;
	}
	return true;
}

/* Is there such a day in the calendar? */
static bool day_exists(const struct tm *fields)
{
	struct tm day = {
	    .tm_year = fields->tm_year,
	    .tm_mon = fields->tm_mon,
	    .tm_mday = fields->tm_mday,
	};

	return timegm(&day) != -1 && day.tm_mday == fields->tm_mday;
}

/* ".123": cut to milliseconds. Moves *text behind it; false when there are no digits. */
static bool parse_fraction(const char **text, long *milliseconds)
{
	long place = 100;

	if (**text != '.')
		return true;
	if (!begins_as(++*text, "0"))
		return false;
	for (; begins_as(*text, "0"); ++*text, place /= 10)
		*milliseconds += (**text - '0') * place;
	return true;
}

/* "Z" or "+01:00", to the end of the text. */
static bool parse_offset(const char *text, long *seconds)
{
	if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
		return true;
	if ((!begins_as(text, "+00:00") && !begins_as(text, "-00:00")) || text[6] != '\0')
		return false;
	long hours = strtol(text + 1, NULL, 10);
	long minutes = strtol(text + 4, NULL, 10);
	*seconds = (hours * 3600 + minutes * 60) * (*text == '-' ? -1 : 1);
	return hours < 24 && minutes < 60;
}

/* RFC 3339: 2026-11-24T08:00:00[.123](Z|+01:00). */
bool moment_parse_time(const char *text, uint64_t *time_ms)
{
	struct tm fields = {0};
	long milliseconds = 0;
	long offset = 0;

	if (!begins_as(text, "0000-00-00T00:00:00"))
		return false;
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &fields);
	if (rest == NULL || fields.tm_sec > 60 || !day_exists(&fields) ||
	    !parse_fraction(&rest, &milliseconds) || !parse_offset(rest, &offset))
		return false;
	time_t seconds = timegm(&fields) - offset;
	if (seconds < 0)
		return false;
	*time_ms = (uint64_t)seconds * 1000 + (uint64_t)milliseconds;
	return true;
}

bool moment_parse_epoch(const char *text, uint64_t *epoch)
{
	char *end;

	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0)
		return false;
	*epoch = value;
	return true;
}

static bool parse(const char *text, struct moment otherwise, struct moment *moment)
{
	struct moment parsed = otherwise;

	if (!moment_parse_epoch(text, &parsed.epoch) && !moment_parse_time(text, &parsed.time_ms))
		return false;
	*moment = parsed;
	return true;
}

bool moment_parse(const char *text, struct moment *moment)
{
	return parse(text, MOMENT_LAST, moment);
}

bool moment_parse_from(const char *text, struct moment *moment)
{
	return parse(text, MOMENT_FIRST, moment);
}
