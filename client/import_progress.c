/* SPDX-License-Identifier: Apache-2.0 */
#include "client/import_progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_CELLS	 24
#define TERMINAL_STEP_NS 100000000ull
#define PLAIN_STEP_NS	 5000000000ull

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void progress_line(char *line, size_t size, const struct progress *progress, uint64_t done,
		   uint64_t elapsed_ns)
{
	const double share = progress->total > 0 ? (double)done / (double)progress->total : 1.0;
	const double seconds = (double)elapsed_ns / 1e9;
	const double rate = seconds > 0 ? (double)(done - progress->at_start) / seconds : 0;
	const int cells = (int)(share * BAR_CELLS);
	char bar[BAR_CELLS + 1];
	char eta[24];

	memset(bar, ' ', BAR_CELLS);
	memset(bar, '#', (size_t)cells);
	bar[BAR_CELLS] = '\0';
	if (done == progress->total) {
		snprintf(eta, sizeof(eta), "in %.1f s", seconds);
	} else if (rate > 0) {
		const double left = (double)(progress->total - done) / rate;
		const unsigned whole = left < 35999999 ? (unsigned)(left + 0.5) : 35999999u;
		if (whole >= 3600)
			snprintf(eta, sizeof(eta), "ETA %u:%02u:%02u", whole / 3600,
				 whole / 60 % 60, whole % 60);
		else
			snprintf(eta, sizeof(eta), "ETA %u:%02u", whole / 60, whole % 60);
	} else {
		snprintf(eta, sizeof(eta), "ETA -");
	}
	snprintf(line, size, "%-10s [%s] %5.1f %%  %" PRIu64 "/%" PRIu64 "  %.0f/s  %s",
		 progress->what, bar, share * 100, done, progress->total, rate, eta);
}

static void show(struct progress *progress, uint64_t done, uint64_t at_ns)
{
	char line[160];

	progress->shown_ns = at_ns;
	progress_line(line, sizeof(line), progress, done, at_ns - progress->started_ns);
	/* Back to the line's start, and clear what is left of a longer one. */
	fprintf(stderr, progress->terminal ? "\r%s\033[K" : "%s\n", line);
	fflush(stderr);
}

void progress_begin(struct progress *progress, const char *what, uint64_t total, uint64_t done,
		    bool quiet)
{
	*progress = (struct progress){
	    .what = what,
	    .total = total,
	    .at_start = done,
	    .started_ns = now_ns(),
	    .terminal = isatty(STDERR_FILENO) == 1,
	    .quiet = quiet,
	};
	progress->shown_ns = progress->started_ns;
}

void progress_show(struct progress *progress, uint64_t done)
{
	const uint64_t step_ns = progress->terminal ? TERMINAL_STEP_NS : PLAIN_STEP_NS;
	const uint64_t at_ns = now_ns();

	if (!progress->quiet && at_ns - progress->shown_ns >= step_ns)
		show(progress, done, at_ns);
}

void progress_end(struct progress *progress, uint64_t done)
{
	if (progress->quiet)
		return;
	show(progress, done, now_ns());
	if (progress->terminal)
		fputc('\n', stderr);
}
