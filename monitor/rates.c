/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/rates.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "monitor/source.h"

const char *const rates_stages[RATES_STAGES] = {"rx", "decode", "apply", "ring", "seal", "tx"};

/* What a counter grew by. */
static double grown(const json_t *before, const json_t *now, const char *key)
{
	return monitor_number(now, key) - monitor_number(before, key);
}

static double share(double part, double rest)
{
	return part + rest > 0 ? part / (part + rest) : 0;
}

/* Latencies, summed over several objects. */

#define BUCKETS_MAX 512

struct buckets {
	double count[BUCKETS_MAX];
	size_t size;
	double total;
};

static void buckets_add(struct buckets *buckets, const json_t *before, const json_t *now)
{
	const json_t *was = json_object_get(before, "latency");
	const json_t *is = json_object_get(now, "latency");

	buckets->size = json_array_size(is) < BUCKETS_MAX ? json_array_size(is) : BUCKETS_MAX;
	for (size_t i = 0; i < buckets->size; i++) {
		double added = json_number_value(json_array_get(is, i)) -
			       json_number_value(json_array_get(was, i));
		buckets->count[i] += added;
		buckets->total += added;
	}
}

static double percentile(const struct buckets *buckets, const json_t *ends, double part)
{
	double seen = 0;

	if (buckets->total <= 0)
		return 0;
	for (size_t i = 0; i < buckets->size; i++) {
		seen += buckets->count[i];
		if (seen > 0 && seen >= part * buckets->total)
			return json_number_value(json_array_get(
			    ends, i < json_array_size(ends) ? i : json_array_size(ends) - 1));
	}
	return 0;
}

static struct latency_rates latency_of(const struct buckets *buckets, const json_t *ends)
{
	return (struct latency_rates){
	    .p50_ns = percentile(buckets, ends, 0.5),
	    .p99_ns = percentile(buckets, ends, 0.99),
	    .p999_ns = percentile(buckets, ends, 0.999),
	};
}

/* Parts. */

static void worker_between(struct worker_rates *rates, const json_t *before, const json_t *now,
			   double seconds)
{
	const json_t *was = json_object_get(before, "bursts");
	const json_t *is = json_object_get(now, "bursts");
	double idle = grown(before, now, "cycles/idle");
	double work = 0;
	double bursts = 0;
	double frames = 0;

	for (size_t i = 0; i < RATES_STAGES; i++) {
		char key[32];
		snprintf(key, sizeof(key), "cycles/%s", rates_stages[i]);
		rates->stage[i] = grown(before, now, key);
		work += rates->stage[i];
	}
	for (size_t i = 0; i < RATES_STAGES; i++)
		rates->stage[i] = work + idle > 0 ? rates->stage[i] / (work + idle) : 0;
	for (size_t i = 0; i < json_array_size(is); i++) {
		double added = json_number_value(json_array_get(is, i)) -
			       json_number_value(json_array_get(was, i));
		bursts += added;
		frames += added * (double)(i + 1);
	}
	rates->busy = share(work, idle);
	rates->burst = bursts > 0 ? frames / bursts : 0;
	rates->datagrams = grown(before, now, "datagrams") / seconds;
	rates->requests = monitor_number(now, "requests");
	rates->held = monitor_number(now, "held");
	rates->ring = monitor_number(now, "messages") + monitor_number(now, "handover");
	rates->cpu = (int)monitor_number(now, "cpu");
}

static void shard_between(struct shard_rates *rates, const json_t *before, const json_t *now,
			  double seconds)
{
	rates->cross = grown(before, now, "event/cross_confirmed") / seconds;
	rates->transfers = rates->cross + grown(before, now, "event/local_done") / seconds;
	rates->busy = grown(before, now, "busy") / seconds;
	rates->accounts = monitor_number(now, "accounts");
	rates->window = monitor_number(now, "window_fullest_ppm") * 1e-6;
	rates->rows = monitor_number(now, "rows");
	rates->worker = (int)monitor_number(now, "worker");
}

static double dropped(const json_t *before, json_t *now)
{
	const char *key;
	json_t *number;
	double sum = 0;

	json_object_foreach (now, key, number) {
		if (strncmp(key, "drop/", 5) == 0 || strncmp(key, "device_", 7) == 0)
			sum += json_number_value(number) - monitor_number(before, key);
	}
	return sum;
}

static double all_results(json_t *results)
{
	const char *status;
	json_t *number;
	double sum = 0;

	json_object_foreach (results, status, number)
		sum += json_number_value(number);
	return sum;
}

static void log_between(struct rates *rates, const json_t *before, const json_t *now,
			const json_t *ends)
{
	struct buckets writes = {0};

	buckets_add(&writes, before, now);
	rates->write = latency_of(&writes, ends);
	rates->log_bytes = grown(before, now, "bytes") / rates->seconds;
	rates->log_blocks = grown(before, now, "blocks") / rates->seconds;
	rates->log_busy =
	    share(grown(before, now, "cycles/busy"), grown(before, now, "cycles/idle"));
	rates->oldest_write_ns = monitor_number(now, "oldest_write_ns");
}

static void workers_between(struct rates *rates, const json_t *before, const json_t *now,
			    const json_t *ends)
{
	struct buckets requests = {0};

	for (uint32_t i = 0; i < rates->workers; i++) {
		const json_t *was = json_array_get(before, i);
		const json_t *is = json_array_get(now, i);
		worker_between(&rates->worker[i], was, is, rates->seconds);
		buckets_add(&requests, was, is);
	}
	rates->latency = latency_of(&requests, ends);
}

static uint32_t parts(const json_t *reading, const char *key, uint32_t most)
{
	size_t size = json_array_size(json_object_get(reading, key));

	return size < most ? (uint32_t)size : most;
}

int rates_between(struct rates *rates, const json_t *before, const json_t *now)
{
	const json_t *info = json_object_get(now, "info");
	const json_t *ends = json_object_get(info, "latency_ends_ns");
	json_t *was = json_object_get(before, "results");
	json_t *is = json_object_get(now, "results");

	*rates = (struct rates){.seconds = grown(before, now, "at_ms") * 1e-3};
	if (rates->seconds <= 0 ||
	    monitor_number(info, "started_ms") !=
		monitor_number(json_object_get(before, "info"), "started_ms"))
		return -1;
	rates->workers = parts(now, "workers", RATES_WORKERS_MAX);
	rates->shards = parts(now, "shards", RATES_SHARDS_MAX);
	workers_between(rates, json_object_get(before, "workers"), json_object_get(now, "workers"),
			ends);
	log_between(rates, json_object_get(before, "log"), json_object_get(now, "log"), ends);
	for (uint32_t i = 0; i < rates->shards; i++) {
		shard_between(&rates->shard[i],
			      json_array_get(json_object_get(before, "shards"), i),
			      json_array_get(json_object_get(now, "shards"), i), rates->seconds);
		rates->transfers += rates->shard[i].transfers;
	}
	rates->results = (all_results(is) - all_results(was)) / rates->seconds;
	rates->insufficient = grown(was, is, "INSUFFICIENT_FUNDS") / rates->seconds;
	rates->busy = grown(was, is, "BUSY") / rates->seconds;
	was = json_object_get(before, "port");
	is = json_object_get(now, "port");
	rates->received = grown(was, is, "received") / rates->seconds;
	rates->dropped = dropped(was, is) / rates->seconds;
	rates->lag = monitor_number(json_object_get(now, "epoch"), "lag");
	rates->committed = monitor_number(json_object_get(now, "epoch"), "committed");
	return 0;
}
