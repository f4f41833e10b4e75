/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/top_screen.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/source.h"

#define LINE_MAX   512
#define NUMBER_MAX 24
#define BAR	   20

enum emphasis {
	PLAIN,
	BOLD,
	REVERSE,
};

__attribute__((format(printf, 3, 4))) static void line(struct top_screen *screen,
						       enum emphasis emphasis, const char *format,
						       ...)
{
	static const char *const begin[] = {
	    [PLAIN] = "", [BOLD] = "\033[1m", [REVERSE] = "\033[7m"};
	char text[LINE_MAX];
	va_list arguments;

	if (screen->used == screen->lines)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (screen->columns < sizeof(text))
		text[screen->columns] = '\0';
	/* A line feed behind the last line of a terminal would move all of it up. */
	if (screen->used++ > 0)
		fputc('\n', screen->out);
	if (screen->terminal)
		fprintf(screen->out, "%s%s%s\033[K", begin[emphasis], text,
			emphasis != PLAIN ? "\033[0m" : "");
	else
		fputs(text, screen->out);
}

/* "1234567" as "1,234,567". */
static const char *grouped(double value, char text[NUMBER_MAX])
{
	char digits[NUMBER_MAX];
	int length =
	    snprintf(digits, sizeof(digits), "%.0f", value >= 0 && value < 1e15 ? value : 0);
	int at = 0;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = digits[i];
	}
	text[at] = '\0';
	return text;
}

static const char *duration(double ns, char text[NUMBER_MAX])
{
	if (ns <= 0)
		snprintf(text, NUMBER_MAX, "-");
	else if (ns < 1e6)
		snprintf(text, NUMBER_MAX, "%.0f us", ns * 1e-3);
	else if (ns < 1e9)
		snprintf(text, NUMBER_MAX, "%.2f ms", ns * 1e-6);
	else
		snprintf(text, NUMBER_MAX, "%.2f s", ns * 1e-9);
	return text;
}

static void draw_head(struct top_screen *screen, const struct rates *rates, const json_t *reading)
{
	const json_t *info = json_object_get(reading, "info");
	const char *log_id = json_string_value(json_object_get(info, "log_id"));
	char a[NUMBER_MAX], b[NUMBER_MAX], c[NUMBER_MAX], d[NUMBER_MAX];
	uint64_t up =
	    (uint64_t)((monitor_number(reading, "at_ms") - monitor_number(info, "started_ms")) *
		       1e-3);

	line(screen, BOLD, "giro  log %.16s  up %u:%02u:%02u  %u workers  %u shards",
	     log_id != NULL ? log_id : "?", (unsigned)(up / 3600), (unsigned)(up / 60 % 60),
	     (unsigned)(up % 60), rates->workers, rates->shards);
	line(screen, PLAIN, "transfers %s/s   no funds %s/s   BUSY %s/s   answers %s/s",
	     grouped(rates->transfers, a), grouped(rates->insufficient, b), grouped(rates->busy, c),
	     grouped(rates->results, d));
	line(screen, PLAIN, "latency   p50 %s   p99 %s   p99.9 %s   in the engine",
	     duration(rates->latency.p50_ns, a), duration(rates->latency.p99_ns, b),
	     duration(rates->latency.p999_ns, c));
	line(screen, PLAIN, "log       %.1f MiB/s  %s blocks/s  write p50 %s  p99 %s  busy %.0f%%",
	     rates->log_bytes / 1048576, grouped(rates->log_blocks, a),
	     duration(rates->write.p50_ns, b), duration(rates->write.p99_ns, c),
	     rates->log_busy * 100);
	line(screen, PLAIN, "epochs    durable %s   lag %.0f   oldest write %s",
	     grouped(rates->committed, a), rates->lag, duration(rates->oldest_write_ns, b));
	line(screen, rates->dropped > 0 ? BOLD : PLAIN, "port      %s frames/s in   dropped %s/s",
	     grouped(rates->received, a), grouped(rates->dropped, b));
}

static void draw_workers(struct top_screen *screen, const struct rates *rates, uint32_t count)
{
	line(screen, REVERSE, "%-37s RX DEC APP RNG SEA  TX   REQ/s  HELD  RING", "CORE CPU  BUSY");
	for (uint32_t i = 0; i < count; i++) {
		const struct worker_rates *worker = &rates->worker[i];
		char bar[BAR + 1];
		char number[NUMBER_MAX];
		int full = (int)(worker->busy * BAR + 0.5);
		memset(bar, ' ', BAR);
		memset(bar, '|', (size_t)(full < BAR ? full : BAR));
		bar[BAR] = '\0';
		snprintf(number, sizeof(number), "%.0f", worker->datagrams);
		line(screen, PLAIN,
		     "%4u %3d %4.0f%% [%s]%3.0f %3.0f %3.0f %3.0f %3.0f %3.0f %7s %5.0f %5.0f", i,
		     worker->cpu, worker->busy * 100, bar, worker->stage[0] * 100,
		     worker->stage[1] * 100, worker->stage[2] * 100, worker->stage[3] * 100,
		     worker->stage[4] * 100, worker->stage[5] * 100, number, worker->held,
		     worker->ring);
	}
	if (count < rates->workers)
		line(screen, PLAIN, "     and %u workers more", rates->workers - count);
}

static const struct rates *sorted;

static int by_transfers(const void *a, const void *b)
{
	double left = sorted->shard[*(const uint32_t *)a].transfers;
	double right = sorted->shard[*(const uint32_t *)b].transfers;

	return (left < right) - (left > right);
}

static void draw_shards(struct top_screen *screen, const struct rates *rates, uint32_t count)
{
	uint32_t order[RATES_SHARDS_MAX];

	for (uint32_t i = 0; i < rates->shards; i++)
		order[i] = i;
	if (count < rates->shards) {
		sorted = rates;
		qsort(order, rates->shards, sizeof(order[0]), by_transfers);
	}
	line(screen, REVERSE, "%-80s",
	     "SHARD CORE  TRANSFERS/s     CROSS/s   BUSY/s     ACCOUNTS  WINDOW    ROWS");
	for (uint32_t i = 0; i < count; i++) {
		const struct shard_rates *shard = &rates->shard[order[i]];
		char a[NUMBER_MAX], b[NUMBER_MAX], c[NUMBER_MAX], d[NUMBER_MAX];
		line(screen, PLAIN, "%5u %4d %12s %11s %8s %12s %6.1f%% %7.0f", order[i],
		     shard->worker, grouped(shard->transfers, a), grouped(shard->cross, b),
		     grouped(shard->busy, c), grouped(shard->accounts, d), shard->window * 100,
		     shard->rows);
	}
	if (count < rates->shards)
		line(screen, PLAIN, "      and %u shards with fewer transfers",
		     rates->shards - count);
}

/* How many of `count` rows fit `room` lines: all, or one less than the room for a last line that
 * says how many there are more. */
static uint32_t fitting(uint32_t count, unsigned room)
{
	if (count <= room)
		return count;
	return room > 0 ? room - 1 : 0;
}

void top_draw(struct top_screen *screen, const struct rates *rates, const json_t *reading)
{
	draw_head(screen, rates, reading);
	line(screen, PLAIN, "%s", "");
	/* Two heads of tables and the blank line between them. */
	unsigned room = screen->lines > screen->used + 3 ? screen->lines - screen->used - 3 : 0;
	unsigned for_workers = room / 2;
	if (rates->shards < room - for_workers)
		for_workers = room - rates->shards;
	uint32_t workers = fitting(rates->workers, for_workers);
	draw_workers(screen, rates, workers);
	line(screen, PLAIN, "%s", "");
	room = screen->lines > screen->used + 1 ? screen->lines - screen->used - 1 : 0;
	draw_shards(screen, rates, fitting(rates->shards, room));
	if (!screen->terminal)
		fputc('\n', screen->out);
}

void top_draw_error(struct top_screen *screen, const char *error)
{
	while (*error != '\0') {
		int length = (int)strcspn(error, "\n");
		line(screen, PLAIN, "%.*s", length, error);
		error += length + (error[length] == '\n');
	}
}

/* JSON. */

static json_t *latency_json(const struct latency_rates *latency)
{
	return json_pack("{s:f,s:f,s:f}", "p50_ns", latency->p50_ns, "p99_ns", latency->p99_ns,
			 "p999_ns", latency->p999_ns);
}

static json_t *worker_json(const struct worker_rates *worker)
{
	json_t *stages = json_object();

	for (size_t i = 0; i < RATES_STAGES; i++)
		json_object_set_new(stages, rates_stages[i], json_real(worker->stage[i]));
	return json_pack("{s:i,s:f,s:o,s:f,s:f,s:f,s:f,s:f}", "cpu", worker->cpu, "busy",
			 worker->busy, "stages", stages, "datagrams_per_s", worker->datagrams,
			 "burst_frames", worker->burst, "requests", worker->requests, "held",
			 worker->held, "ring", worker->ring);
}

static json_t *shard_json(const struct shard_rates *shard)
{
	return json_pack("{s:i,s:f,s:f,s:f,s:f,s:f,s:f}", "worker", shard->worker,
			 "transfers_per_s", shard->transfers, "cross_per_s", shard->cross,
			 "busy_per_s", shard->busy, "accounts", shard->accounts, "window_fullest",
			 shard->window, "rows", shard->rows);
}

json_t *top_json(const struct rates *rates, const json_t *reading)
{
	json_t *workers = json_array();
	json_t *shards = json_array();

	for (uint32_t i = 0; i < rates->workers; i++)
		json_array_append_new(workers, worker_json(&rates->worker[i]));
	for (uint32_t i = 0; i < rates->shards; i++)
		json_array_append_new(shards, shard_json(&rates->shard[i]));
	return json_pack(
	    "{s:O,s:O,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:o,s:{s:f,s:f,s:f,s:f,s:o},s:{s:f,s:f},s:o,s:o}",
	    "at_ms", json_object_get(reading, "at_ms"), "log_id",
	    json_object_get(json_object_get(reading, "info"), "log_id"), "seconds", rates->seconds,
	    "transfers_per_s", rates->transfers, "answers_per_s", rates->results,
	    "insufficient_funds_per_s", rates->insufficient, "busy_per_s", rates->busy,
	    "frames_per_s", rates->received, "dropped_per_s", rates->dropped, "latency",
	    latency_json(&rates->latency), "log", "bytes_per_s", rates->log_bytes, "blocks_per_s",
	    rates->log_blocks, "busy", rates->log_busy, "oldest_write_ns", rates->oldest_write_ns,
	    "write", latency_json(&rates->write), "epoch", "committed", rates->committed, "lag",
	    rates->lag, "workers", workers, "shards", shards);
}
