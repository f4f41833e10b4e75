/* SPDX-License-Identifier: Apache-2.0
 *
 * The screen of giro top: whatever the engine and the terminal, it fits.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/top_screen.h"
#include "tests/unit/monitor/reading.h"

static char *drawn(uint32_t workers, uint32_t shards, unsigned columns, unsigned lines,
		   uint64_t count)
{
	json_t *before = reading_new(workers, shards, 1000, count);
	json_t *now = reading_new(workers, shards, 360001000, count);
	static struct rates rates;
	char *text = NULL;
	size_t bytes;
	struct top_screen screen = {
	    .out = open_memstream(&text, &bytes),
	    .columns = columns,
	    .lines = lines,
	};

	cr_assert(rates_between(&rates, before, now) == 0);
	top_draw(&screen, &rates, now);
	cr_assert(fclose(screen.out) == 0);
	json_decref(before);
	json_decref(now);
	return text;
}

Test(top_screen, fits_every_terminal)
{
	static const unsigned sizes[][2] = {{80, 24}, {80, 25}, {1, 1},	   {20, 3},   {60, 10},
					    {79, 9},  {80, 12}, {200, 60}, {300, 200}};
	static const uint32_t counts[] = {1, 2, 4, 7, 13, 64};

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		for (size_t c = 0; c < 36; c++) {
			char *text =
			    drawn(counts[c / 6], counts[c % 6], sizes[s][0], sizes[s][1], 1000000);
			unsigned lines = 0;
			for (char *line = strtok(text, "\n"); line != NULL;
			     line = strtok(NULL, "\n"), lines++)
				cr_assert(strlen(line) <= sizes[s][0], "%zu: %s", strlen(line),
					  line);
			cr_assert(lines > 0 && lines <= sizes[s][1], "%u lines of %u", lines,
				  sizes[s][1]);
			free(text);
		}
	}
}

Test(top_screen, numbers_of_any_size_leave_a_screen_of_80)
{
	char *text = drawn(64, 64, 80, 24, 100000000000);

	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
		cr_assert(strlen(line) <= 80, "%s", line);
	free(text);
}

Test(top_screen, shows_all_of_a_small_engine_at_80x24)
{
	char *text = drawn(4, 4, 80, 24, 1000);

	cr_assert(strstr(text, "transfers 10,000/s") != NULL, "%s", text);
	cr_assert(strstr(text, "up 100:00:01  4 workers  4 shards") != NULL, "%s", text);
	cr_assert(strstr(text, "p50 1 us   p99 4 us") != NULL, "%s", text);
	cr_assert(strstr(text, "\n   3   3   30% [||||||              ]  0   0  30") != NULL, "%s",
		  text);
	cr_assert(strstr(text, "\n    3    3        4,000") != NULL, "%s", text);
	cr_assert(strstr(text, "more") == NULL && strstr(text, "fewer") == NULL, "%s", text);
	free(text);
}

Test(top_screen, of_many_shards_the_busiest_are_shown)
{
	char *text = drawn(2, 64, 80, 24, 1000);

	cr_assert(strstr(text, "\n   63 ") != NULL && strstr(text, "\n    0 ") == NULL, "%s", text);
	cr_assert(strstr(text, "shards with fewer transfers") != NULL, "%s", text);
	free(text);
}
