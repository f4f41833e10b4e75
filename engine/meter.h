/* SPDX-License-Identifier: Apache-2.0
 *
 * A meter: what a worker's time goes into, how full its bursts are, and how long a request stays in
 * the engine. The worker's loop is always in one stage; entering the next one closes the account of
 * the last, so a stage costs one reading of the cycle counter and none is counted twice.
 *
 *   SEAL --> RING --> RX --> DECODE --> APPLY --> DECODE ... --> TX --> IDLE --> SEAL
 *                                |________________|
 *                    a full batch is applied in the midst of decoding
 *
 * A turn that found no work is idle as a whole, its polling included: so the idle share means the
 * same whether an idle thread naps or polls on.
 *
 * One writer, the worker's thread, with plain stores; telemetry reads each number relaxed: each is
 * exact, the set is no snapshot. The simulator's workers have no meter and so no clock.
 *
 * Built with -Dmeter=false nothing of this is done: only to measure what it costs.
 */
#ifndef GIRO_ENGINE_METER_H
#define GIRO_ENGINE_METER_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

/* X(name, label) */
#define STAGE_LIST(X)                                                               \
	X(RX, "rx")	    /* the driver's receive */                              \
	X(DECODE, "decode") /* frames and datagrams, and records into batches */    \
	X(APPLY, "apply")   /* the shard, its log records, results into replies */  \
	X(RING, "ring")	    /* messages and hand-over, to and from other workers */ \
	X(SEAL, "seal")	    /* epochs: sealing, entering, releasing replies */      \
	X(TX, "tx")	    /* reply frames and the driver's transmit */            \
	X(IDLE, "idle")	    /* turns that found no work, and the rest after them */

enum stage {
#define STAGE_ENUM(name, label) STAGE_##name,
	STAGE_LIST(STAGE_ENUM)
#undef STAGE_ENUM
	    STAGES
};

/* Latencies: each power of two from 2^10 ns on is divided into 4 buckets; below is one bucket, and
 * from 2^34 ns (17 s) on another. */
#define LATENCY_FIRST_BITS 10
#define LATENCY_LAST_BITS  34
#define LATENCY_PARTS_BITS 2
#define LATENCY_BUCKETS	   (((LATENCY_LAST_BITS - LATENCY_FIRST_BITS) << LATENCY_PARTS_BITS) + 2)

struct latency {
	uint64_t bucket[LATENCY_BUCKETS];
	uint64_t sum_ns;
};

static inline uint32_t latency_bucket(uint64_t ns)
{
	if (ns >> LATENCY_FIRST_BITS == 0)
		return 0;
	uint32_t bits = 63 - (uint32_t)__builtin_clzll(ns);
	if (bits >= LATENCY_LAST_BITS)
		return LATENCY_BUCKETS - 1;
	uint32_t part =
	    (uint32_t)(ns >> (bits - LATENCY_PARTS_BITS)) & ((1u << LATENCY_PARTS_BITS) - 1);
	return ((bits - LATENCY_FIRST_BITS) << LATENCY_PARTS_BITS) + part + 1;
}

/* The lowest value that is above the bucket; 0: the last bucket, which has no end. */
static inline uint64_t latency_bucket_end(uint32_t bucket)
{
	if (bucket == LATENCY_BUCKETS - 1)
		return 0;
	uint64_t parts = (1u << LATENCY_PARTS_BITS) + (bucket & ((1u << LATENCY_PARTS_BITS) - 1));
	return parts << (LATENCY_FIRST_BITS + (bucket >> LATENCY_PARTS_BITS) - LATENCY_PARTS_BITS);
}

/* `weight` values of `ns`. */
static inline void latency_add(struct latency *latency, uint64_t ns, uint64_t weight)
{
	latency->bucket[latency_bucket(ns)] += weight;
	latency->sum_ns += ns * weight;
}

/* A cycle count below 2^48 as nanoseconds: cycles * scale >> METER_SCALE_BITS. */
#define METER_SCALE_BITS 16

static inline uint64_t meter_scale(uint64_t tsc_hz)
{
	return (UINT64_C(1000000000) << METER_SCALE_BITS) / tsc_hz;
}

static inline uint64_t meter_ns(uint64_t cycles, uint64_t scale)
{
	return cycles * scale >> METER_SCALE_BITS;
}

/* Arrivals are kept in packets as 32 bits of this many cycles each: some minutes until they wrap. */
#define METER_TICK_BITS 8

/* Frames of one burst, at most. */
#define METER_BURST_MAX 32

struct meter {
	alignas(CACHE_LINE) uint64_t cycles[STAGES];
	uint64_t bursts[METER_BURST_MAX + 1]; /* receive bursts by frames in them; [0] is unused */
	struct latency latency;		      /* of requests, receive to release of the reply */

	/* The worker's own. */
	alignas(CACHE_LINE) uint64_t turn[STAGES]; /* of this turn, not yet in `cycles` */
	uint64_t since;				   /* cycle counter when the stage was entered */
	uint64_t scale;
	enum stage stage;
};

static inline uint64_t meter_cycles(void)
{
	return __builtin_ia32_rdtsc();
}

#if GIRO_METER

/* In its own thread, before the first turn. */
static inline void meter_start(struct meter *meter, uint64_t tsc_hz)
{
	meter->scale = meter_scale(tsc_hz);
	meter->stage = STAGE_IDLE;
	meter->since = meter_cycles();
}

/* Enters a stage and returns the one that was left. NULL: there is no meter. */
static inline enum stage meter_enter(struct meter *meter, enum stage stage)
{
	if (meter == NULL)
		return STAGE_IDLE;
	uint64_t now = meter_cycles();
	enum stage before = meter->stage;

	meter->turn[before] += now - meter->since;
	meter->since = now;
	meter->stage = stage;
	return before;
}

/* Ends a turn of the loop; what follows until the next one is rest. */
static inline void meter_turn(struct meter *meter, bool active)
{
	uint64_t idle = 0;

	meter_enter(meter, STAGE_IDLE);
	for (unsigned i = 0; i < STAGES; i++) {
		if (active)
			meter->cycles[i] += meter->turn[i];
		else
			idle += meter->turn[i];
		meter->turn[i] = 0;
	}
	meter->cycles[STAGE_IDLE] += idle;
}

static inline void meter_burst(struct meter *meter, uint32_t frames)
{
	meter->bursts[frames]++;
}

/* When the current stage was entered, as a packet keeps it. */
static inline uint32_t meter_tick(const struct meter *meter)
{
	return (uint32_t)(meter->since >> METER_TICK_BITS);
}

/* `count` replies leave in the current stage, the request of one of them having arrived at
 * `arrival`: it stands for all. */
static inline void meter_replies(struct meter *meter, uint32_t arrival, uint32_t count)
{
	int32_t ticks = (int32_t)(meter_tick(meter) - arrival);
	/* Counters of two cores may differ a little. */
	uint64_t cycles = ticks > 0 ? (uint64_t)ticks << METER_TICK_BITS : 0;

	latency_add(&meter->latency, meter_ns(cycles, meter->scale), count);
}

#else

static inline void meter_start(struct meter *meter, uint64_t tsc_hz)
{
	(void)meter;
	(void)tsc_hz;
}

static inline enum stage meter_enter(struct meter *meter, enum stage stage)
{
	(void)meter;
	return stage;
}

static inline void meter_turn(struct meter *meter, bool active)
{
	(void)meter;
	(void)active;
}

static inline void meter_burst(struct meter *meter, uint32_t frames)
{
	(void)meter;
	(void)frames;
}

static inline uint32_t meter_tick(const struct meter *meter)
{
	(void)meter;
	return 0;
}

static inline void meter_replies(struct meter *meter, uint32_t arrival, uint32_t count)
{
	(void)meter;
	(void)arrival;
	(void)count;
}

#endif

#endif
