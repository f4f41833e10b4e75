/* SPDX-License-Identifier: Apache-2.0
 *
 * How far a long reading of a log has come, as one line on a terminal that is written over:
 *
 *   [#########...........]  45%  1234567 blocks  830 MiB/s  12 s left
 *
 * Nothing at all when stderr is no terminal.
 */
#ifndef GIRO_REPLAY_PROGRESS_H
#define GIRO_REPLAY_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "replay/moment.h"
#include "replay/node.h"

struct progress {
	FILE *out; /* NULL: not shown */
	uint64_t first_segment;
	uint64_t total_bytes; /* of the log up to the moment asked for, about */
	double start_s;
	double shown_s;
};

/* Begins at where the node's reader stands; `to` is where the reading will stop. */
void progress_begin(struct progress *progress, const struct node *node, const struct moment *to);

/* Shows it again if a while has passed. */
void progress_show(struct progress *progress, const struct node *node);

/* Clears the line. */
void progress_end(struct progress *progress);

/* One line, without a line feed, for `bytes` done after `seconds`. */
void progress_line(char *text, size_t size, uint64_t bytes, uint64_t total_bytes, uint64_t blocks,
		   double seconds);

/* Seconds of a clock that only goes forward. */
double progress_clock(void);

#endif
