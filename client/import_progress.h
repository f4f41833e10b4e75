/* SPDX-License-Identifier: Apache-2.0
 *
 * What an import shows while it runs, on stderr: a bar that is redrawn on a terminal, a plain line
 * every few seconds elsewhere.
 */
#ifndef GIRO_CLIENT_IMPORT_PROGRESS_H
#define GIRO_CLIENT_IMPORT_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
	const char *what; /* "transfers" */
	uint64_t total;
	uint64_t at_start; /* done already by an earlier run */
	uint64_t started_ns;
	uint64_t shown_ns;
	bool terminal;
	bool quiet;
};

void progress_begin(struct progress *progress, const char *what, uint64_t total, uint64_t done,
		    bool quiet);

/* Shows the state when it is time to. */
void progress_show(struct progress *progress, uint64_t done);

/* Shows the last state. */
void progress_end(struct progress *progress, uint64_t done);

/* The line itself: "transfers  [####    ]  50.0 %  5000/10000  123456/s  ETA 0:01". */
void progress_line(char *line, size_t size, const struct progress *progress, uint64_t done,
		   uint64_t elapsed_ns);

#endif
