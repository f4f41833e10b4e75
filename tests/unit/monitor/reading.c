/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/monitor/reading.h"

#include <stddef.h>

#define GHZ 1000000000

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *latency(uint64_t each)
{
	return json_pack("[I,I,I,I]", (json_int_t)each, (json_int_t)0, (json_int_t)each,
			 (json_int_t)0);
}

static json_t *worker_new(uint32_t index, uint64_t ms, uint64_t each)
{
	static const char *const still[] = {"cycles/rx",   "cycles/decode", "cycles/ring",
					    "cycles/seal", "cycles/tx",	    "messages",
					    "handover"};
	const uint64_t cycles = ms * (GHZ / 1000);
	const uint64_t busy = cycles / 10 * (index % 10);
	json_t *worker = json_object();

	for (size_t i = 0; i < sizeof(still) / sizeof(still[0]); i++)
		json_object_set_new(worker, still[i], number(0));
	json_object_set_new(worker, "cpu", number(index));
	json_object_set_new(worker, "cycles/apply", number(busy));
	json_object_set_new(worker, "cycles/idle", number(cycles - busy));
	json_object_set_new(worker, "datagrams", number(each));
	json_object_set_new(worker, "requests", number(3));
	json_object_set_new(worker, "held", number(2));
	/* As many bursts of one frame as of three. */
	json_object_set_new(
	    worker, "bursts",
	    json_pack("[I,I,I]", (json_int_t)each, (json_int_t)0, (json_int_t)each));
	json_object_set_new(worker, "latency", latency(each));
	json_object_set_new(worker, "latency_sum_ns", number(each * 3500));
	return worker;
}

static json_t *shard_new(uint32_t index, uint64_t each)
{
	return json_pack("{s:i,s:I,s:I,s:I,s:i,s:i,s:i}", "worker", (int)index, "event/local_done",
			 (json_int_t)(each * (index + 1)), "event/cross_confirmed", (json_int_t)0,
			 "busy", (json_int_t)each, "accounts", 123456789, "window_fullest_ppm",
			 1000000, "rows", 32768);
}

json_t *reading_new(uint32_t workers, uint32_t shards, uint64_t at_ms, uint64_t count)
{
	const uint64_t each = count * at_ms / 1000;
	json_t *reading = json_pack(
	    "{s:I,s:i,s:{s:s,s:s,s:i,s:i,s:[i,i,i]},s:{s:I,s:i},s:{s:I,s:I,s:i,s:I,s:I,s:o,s:I},"
	    "s:{s:I,s:I,s:I},s:{s:I,s:I,s:i}}",
	    "at_ms", (json_int_t)at_ms, "pid", 1, "info", "log_id", "8d4ae6fef1f03ffb",
	    "idle_policy", "sleep", "started_ms", 0, "tsc_hz", GHZ, "latency_ends_ns", 1000, 2000,
	    4000, "epoch", "committed", (json_int_t)each, "lag", 3, "log", "bytes",
	    (json_int_t)(each * 4096), "blocks", (json_int_t)each, "oldest_write_ns", 1500,
	    "cycles/busy", (json_int_t)(at_ms * 250000), "cycles/idle",
	    (json_int_t)(at_ms * 750000), "latency", latency(each), "latency_sum_ns",
	    (json_int_t)(each * 3500), "port", "received", (json_int_t)each, "drop/ip_length",
	    (json_int_t)each, "device_missed", (json_int_t)each, "results", "OK", (json_int_t)each,
	    "INSUFFICIENT_FUNDS", (json_int_t)each, "BUSY", 0);
	json_t *parts = json_array();

	for (uint32_t i = 0; i < workers; i++)
		json_array_append_new(parts, worker_new(i, at_ms, each));
	json_object_set_new(reading, "workers", parts);
	parts = json_array();
	for (uint32_t i = 0; i < shards; i++)
		json_array_append_new(parts, shard_new(i, each));
	json_object_set_new(reading, "shards", parts);
	return reading;
}
