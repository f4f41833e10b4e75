/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/progress.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHOW_EVERY_S 0.2
#define BAR_WIDTH    24

double progress_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Segments from the reader's on that hold something to read, by the index in their headers. */
static uint64_t segments_to_read(const struct node *node, const struct moment *to)
{
	struct wal_segment_header *header = aligned_alloc(WAL_PAGE, sizeof(*header));
	uint64_t first = wal_reader_tail(&node->reader)->segment;
	uint64_t read = 0;
	size_t count;
	const struct wal_segment_entry *entries = wal_reader_segments(&node->reader, &count);

	for (size_t i = 0; header != NULL && i < count; i++) {
		if (entries[i].segment < first)
			continue;
		if (wal_segment_header_read(node->disk, entries[i].segment, header) != 1 ||
		    header->first_epoch > to->epoch || header->first_time_ms > to->time_ms)
			break;
		read++;
	}
	free(header);
	return read;
}

void progress_begin(struct progress *progress, const struct node *node, const struct moment *to)
{
	*progress = (struct progress){.start_s = progress_clock()};
	progress->shown_s = progress->start_s;
	if (!isatty(STDERR_FILENO))
		return;
	progress->out = stderr;
	progress->first_segment = wal_reader_tail(&node->reader)->segment;
	progress->total_bytes = segments_to_read(node, to) * node->disk->segment_bytes;
}

void progress_line(char *text, size_t size, uint64_t bytes, uint64_t total_bytes, uint64_t blocks,
		   double seconds)
{
	double share = total_bytes > 0 ? (double)bytes / (double)total_bytes : 1;
	double rate = seconds > 0 ? (double)bytes / seconds : 0;
	char bar[BAR_WIDTH + 1];
	char left[32] = "";

	if (share > 1)
		share = 1;
	memset(bar, '.', BAR_WIDTH);
	bar[BAR_WIDTH] = '\0';
	memset(bar, '#', (size_t)(share * BAR_WIDTH));
	if (rate > 0 && bytes < total_bytes)
		snprintf(left, sizeof(left), "  %.0f s left", (double)(total_bytes - bytes) / rate);
	snprintf(text, size, "[%s] %3.0f%%  %" PRIu64 " blocks  %.0f MiB/s%s", bar, share * 100,
		 blocks, rate / (1 << 20), left);
}

void progress_show(struct progress *progress, const struct node *node)
{
	double now = progress_clock();
	char line[128];

	if (progress->out == NULL || now - progress->shown_s < SHOW_EVERY_S)
		return;
	progress->shown_s = now;
	const struct wal_tail *tail = wal_reader_tail(&node->reader);
	uint64_t bytes =
	    (tail->segment - progress->first_segment) * node->disk->segment_bytes + tail->offset;
	progress_line(line, sizeof(line), bytes, progress->total_bytes, node->replay.counts.blocks,
		      now - progress->start_s);
	fprintf(progress->out, "\r%s\033[K", line);
	fflush(progress->out);
}

void progress_end(struct progress *progress)
{
	if (progress->out != NULL)
		fputs("\r\033[K", progress->out);
	progress->out = NULL;
}
