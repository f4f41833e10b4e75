/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/log_meter.h"

void log_meter_start(struct log_meter *meter, const struct wal_writer *wal, uint64_t tsc_hz)
{
	*meter = (struct log_meter){
	    .appended = wal->tail.next_seq,
	    .durable = wal->durable_count,
	    .scale = meter_scale(tsc_hz),
	    .last = meter_cycles(),
	};
}

void log_meter_turn(struct log_meter *meter, const struct wal_writer *wal, uint64_t begin,
		    bool moved)
{
	uint64_t now = meter_cycles();

	/* Completions are taken at the beginning of a turn, blocks submitted at its end. */
	for (; meter->durable < wal->durable_count && meter->durable < meter->appended;
	     meter->durable++) {
		uint64_t started = meter->started[meter->durable % WAL_BLOCKS_IN_FLIGHT_MAX];
		latency_add(&meter->latency, meter_ns(begin - started, meter->scale), 1);
	}
	for (; meter->appended < wal->tail.next_seq; meter->appended++)
		meter->started[meter->appended % WAL_BLOCKS_IN_FLIGHT_MAX] = now;

	meter->idle += begin - meter->last;
	if (moved)
		meter->busy += now - begin;
	else
		meter->idle += now - begin;
	meter->last = now;
}
