/* SPDX-License-Identifier: Apache-2.0
 *
 * The screen of `giro top`: rates as lines of text.
 *
 * No terminal in it: what is drawn depends on the arguments alone.
 */
#ifndef GIRO_MONITOR_TOP_SCREEN_H
#define GIRO_MONITOR_TOP_SCREEN_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "monitor/rates.h"

/* What an engine's screen is made for; smaller ones show a part of it. */
#define TOP_COLUMNS 80
#define TOP_LINES   24

struct top_screen {
	FILE *out;
	unsigned columns;
	unsigned lines;
	bool terminal; /* lines are emphasised and cleared to their end */
	unsigned used; /* lines written */
};

/* Writes at most `lines` lines of at most `columns` characters, all ASCII. Shards that do not fit
 * are left out, the ones with the fewest transfers first; workers by number. */
void top_draw(struct top_screen *screen, const struct rates *rates, const json_t *reading);

/* Writes why there is nothing to draw; lines are cut to fit. */
void top_draw_error(struct top_screen *screen, const char *error);

/* The rates as one JSON object, for programs. NULL when memory ran out. */
json_t *top_json(const struct rates *rates, const json_t *reading);

#endif
