/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 200

enum trace_mode trace_mode;

static struct {
	char line[TRACE_LINES][LINE_BYTES];
	uint32_t count;
	uint64_t step;
	uint64_t now_us;
} kept;

void trace_at(uint64_t step, uint64_t now_us)
{
	kept.step = step;
	kept.now_us = now_us;
}

void trace_line(const char *format, ...)
{
	char *line = kept.line[kept.count++ % TRACE_LINES];
	va_list args;

	int used = snprintf(line, LINE_BYTES, "%6" PRIu64 " %9.3f ms  ", kept.step,
			    (double)kept.now_us / 1000);
	va_start(args, format);
	vsnprintf(line + used, LINE_BYTES - (size_t)used, format, args);
	va_end(args);
	if (trace_mode == TRACE_ALL)
		puts(line);
}

static void write_text(const char *text)
{
	size_t bytes = strlen(text);

	while (bytes > 0) {
		ssize_t put = write(STDERR_FILENO, text, bytes);
		if (put <= 0)
			return;
		text += put;
		bytes -= (size_t)put;
	}
}

void trace_dump(void)
{
	uint32_t first = kept.count > TRACE_LINES ? kept.count - TRACE_LINES : 0;

	if (trace_mode != TRACE_LAST || kept.count == 0)
		return;
	write_text("  step      time     the last steps\n");
	for (uint32_t i = first; i < kept.count; i++) {
		write_text(kept.line[i % TRACE_LINES]);
		write_text("\n");
	}
}
