/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "replay/moment.h"

struct row {
	const char *text;
	bool valid;
	uint64_t epoch;
	uint64_t time_ms;
};

static const struct row rows[] = {
    {"0", true, 0, UINT64_MAX},
    {"1234", true, 1234, UINT64_MAX},
    {"18446744073709551615", true, UINT64_MAX, UINT64_MAX},
    {"1970-01-01T00:00:00Z", true, UINT64_MAX, 0},
    {"1970-01-01T00:00:01.5Z", true, UINT64_MAX, 1500},
    {"1970-01-01T01:00:00+01:00", true, UINT64_MAX, 0},
    {"18446744073709551616", false, 0, 0},
    {"", false, 0, 0},
    {"-1", false, 0, 0},
    {" 1", false, 0, 0},
    {"12x", false, 0, 0},
    {"yesterday", false, 0, 0},
};

Test(moment, parse)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct moment moment = {.epoch = 77, .time_ms = 77};
		cr_assert(moment_parse(rows[i].text, &moment) == rows[i].valid, "'%s'",
			  rows[i].text);
		if (rows[i].valid)
			cr_assert(moment.epoch == rows[i].epoch &&
				      moment.time_ms == rows[i].time_ms,
				  "'%s'", rows[i].text);
		else
			cr_assert(moment.epoch == 77 && moment.time_ms == 77, "'%s'", rows[i].text);
	}
}

/* A range takes in both of its ends. */
Test(moment, ranges)
{
	const struct wal_block_header block = {.epoch = 10, .time_ms = 1000};
	struct moment moment;

	cr_assert(moment_parse("10", &moment) && moment_includes(&moment, &block));
	cr_assert(moment_parse("9", &moment) && !moment_includes(&moment, &block));
	cr_assert(moment_parse("1970-01-01T00:00:01Z", &moment) &&
		  moment_includes(&moment, &block));
	cr_assert(moment_parse("1970-01-01T00:00:00.999Z", &moment) &&
		  !moment_includes(&moment, &block));
	cr_assert(moment_parse_from("10", &moment) && !moment_begins_after(&moment, &block));
	cr_assert(moment_parse_from("11", &moment) && moment_begins_after(&moment, &block));
	cr_assert(moment_parse_from("1970-01-01T00:00:01Z", &moment) &&
		  !moment_begins_after(&moment, &block));
	cr_assert(moment_parse_from("1970-01-01T00:00:01.001Z", &moment) &&
		  moment_begins_after(&moment, &block));
}
