/* SPDX-License-Identifier: Apache-2.0
 *
 * What a running engine does a second: the difference of two readings.
 */
#ifndef GIRO_MONITOR_RATES_H
#define GIRO_MONITOR_RATES_H

#include <stdint.h>

#include <jansson.h>

#define RATES_WORKERS_MAX 64
#define RATES_SHARDS_MAX  64
#define RATES_STAGES	  6

struct worker_rates {
	double busy; /* share of time, 0..1 */
	double stage[RATES_STAGES];
	double datagrams; /* a second, as all rates here */
	double burst;	  /* frames in a receive burst, on average; 0 without one */
	double requests;
	double held;
	double ring; /* messages and packets that wait for this worker */
	int cpu;
};

struct shard_rates {
	double transfers;
	double cross; /* of these, to accounts of other shards */
	double busy;  /* answered BUSY */
	double accounts;
	double window; /* fill of the fullest part, 0..1 */
	double rows;
	int worker;
};

struct latency_rates {
	double p50_ns; /* ends of buckets; 0: nothing happened */
	double p99_ns;
	double p999_ns;
};

struct rates {
	double seconds; /* between the readings */
	double transfers;
	double results;
	double insufficient; /* refused for want of funds */
	double busy;
	double received; /* frames */
	double dropped;	 /* frames and datagrams, by whoever */
	double log_bytes;
	double log_blocks;
	double log_busy; /* share of the log writer's time */
	double lag;
	double committed;
	double oldest_write_ns;
	struct latency_rates latency; /* of requests in the engine */
	struct latency_rates write;   /* of log writes */
	uint32_t workers;
	uint32_t shards;
	struct worker_rates worker[RATES_WORKERS_MAX];
	struct shard_rates shard[RATES_SHARDS_MAX];
};

/* The names of rates.worker[].stage. */
extern const char *const rates_stages[RATES_STAGES];

/* Computes the rates between two readings of monitor_read(). Returns 0, or -1 when they are not of
 * the same life of an engine, or no time lies between them. */
int rates_between(struct rates *rates, const json_t *before, const json_t *now);

#endif
