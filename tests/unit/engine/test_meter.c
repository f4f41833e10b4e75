/* SPDX-License-Identifier: Apache-2.0
 *
 * What the meters count: buckets, stages, turns, and how long blocks take.
 */
#include <criterion/criterion.h>

#include "engine/log_meter.h"
#include "engine/meter.h"

Test(meter, every_latency_is_below_its_buckets_end_and_not_below_the_last_ones)
{
	static const uint64_t values[] = {
	    0,	  1,	1023,	    1024,	1279,
	    1280, 2047, 2048,	    2559,	2560,
	    4095, 4096, 1000000,    123456789,	(UINT64_C(1) << 34) - 1,
	    5000, 9999, 1048575999, 4000000000, UINT64_C(7) << 31,
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		uint32_t bucket = latency_bucket(values[i]);
		cr_assert(bucket < LATENCY_BUCKETS - 1);
		cr_assert(values[i] < latency_bucket_end(bucket), "%lu", values[i]);
		cr_assert(bucket == 0 || values[i] >= latency_bucket_end(bucket - 1), "%lu",
			  values[i]);
	}
	cr_assert(latency_bucket(UINT64_C(1) << 34) == LATENCY_BUCKETS - 1);
	cr_assert(latency_bucket(UINT64_MAX) == LATENCY_BUCKETS - 1);
	cr_assert(latency_bucket_end(LATENCY_BUCKETS - 1) == 0);
}

Test(meter, latency_ends_grow_by_a_quarter_at_most)
{
	for (uint32_t i = 1; i < LATENCY_BUCKETS - 1; i++) {
		uint64_t before = latency_bucket_end(i - 1);
		uint64_t end = latency_bucket_end(i);
		cr_assert(end > before && end - before <= before / 4, "bucket %u", i);
	}
	cr_assert(latency_bucket_end(0) == 1024);
	cr_assert(latency_bucket_end(LATENCY_BUCKETS - 2) == UINT64_C(1) << LATENCY_LAST_BITS);
}

Test(meter, cycles_become_nanoseconds)
{
	cr_assert(meter_ns(1000000, meter_scale(1000000000)) == 1000000);
	/* Scale is rounded: less than one in ten thousand off at 5 GHz. */
	uint64_t ns = meter_ns(5000000000, meter_scale(5000000000));
	cr_assert(ns <= 1000000000 && ns > 999900000, "%lu", ns);
	cr_assert(meter_ns(UINT64_C(1) << 40, meter_scale(1000000000)) == UINT64_C(1) << 40);
}

#if GIRO_METER

static uint64_t sum(const struct meter *meter)
{
	uint64_t cycles = 0;

	for (unsigned i = 0; i < STAGES; i++)
		cycles += meter->cycles[i];
	return cycles;
}

Test(meter, an_active_turn_goes_to_its_stages_and_none_of_it_is_lost)
{
	struct meter meter = {0};

	meter_start(&meter, 1000000000);
	const uint64_t begin = meter.since;
	cr_assert(meter_enter(&meter, STAGE_DECODE) == STAGE_IDLE);
	cr_assert(meter_enter(&meter, STAGE_APPLY) == STAGE_DECODE);
	cr_assert(meter_enter(&meter, STAGE_DECODE) == STAGE_APPLY);
	meter_turn(&meter, true);
	cr_assert(meter.cycles[STAGE_DECODE] > 0 && meter.cycles[STAGE_APPLY] > 0);
	cr_assert(meter.cycles[STAGE_RX] == 0 && meter.cycles[STAGE_TX] == 0);
	cr_assert(sum(&meter) == meter.since - begin);
}

Test(meter, a_turn_without_work_is_idle_whatever_it_polled)
{
	struct meter meter = {0};

	meter_start(&meter, 1000000000);
	const uint64_t begin = meter.since;
	meter_enter(&meter, STAGE_RX);
	meter_enter(&meter, STAGE_TX);
	meter_turn(&meter, false);
	cr_assert(meter.cycles[STAGE_IDLE] == meter.since - begin);
	cr_assert(sum(&meter) == meter.cycles[STAGE_IDLE]);
	/* The rest behind it counts as idle with the next turn, though that one works. */
	const uint64_t idle = meter.cycles[STAGE_IDLE];
	meter_enter(&meter, STAGE_SEAL);
	meter_turn(&meter, true);
	cr_assert(meter.cycles[STAGE_IDLE] > idle && meter.cycles[STAGE_SEAL] > 0);
	cr_assert(sum(&meter) == meter.since - begin);
}

Test(meter, replies_are_weighed_and_never_negative)
{
	struct meter meter = {.scale = meter_scale(1000000000)};

	meter.since = UINT64_C(5) << 40;
	const uint32_t arrival = meter_tick(&meter);
	meter.since += 1 << 20;
	meter_replies(&meter, arrival, 32);
	cr_assert(meter.latency.bucket[latency_bucket(1 << 20)] == 32);
	cr_assert(meter.latency.sum_ns == UINT64_C(32) << 20);
	/* The receiving core's counter is ahead. */
	meter_replies(&meter, meter_tick(&meter) + 3, 1);
	cr_assert(meter.latency.bucket[0] == 1);
	/* Ticks wrap. */
	meter.since = (UINT64_C(1) << (32 + METER_TICK_BITS)) - 256;
	const uint32_t late = meter_tick(&meter);
	meter.since += 4096;
	meter_replies(&meter, late, 1);
	cr_assert(meter.latency.bucket[latency_bucket(4096)] == 1);
}

#endif

Test(log_meter, a_block_is_measured_from_submission_until_it_is_durable)
{
	struct wal_writer wal = {.tail = {.next_seq = 7}, .durable_count = 7};
	struct log_meter meter;
	uint64_t blocks = 0;

	log_meter_start(&meter, &wal, 1000000000);
	wal.tail.next_seq = 9;
	log_meter_turn(&meter, &wal, meter_cycles(), true);
	cr_assert(meter.appended == 9 && meter.durable == 7 && meter.latency.sum_ns == 0);

	wal.durable_count = 8;
	log_meter_turn(&meter, &wal, meter.last + 5000, true);
	wal.durable_count = 9;
	log_meter_turn(&meter, &wal, meter.started[8 % WAL_BLOCKS_IN_FLIGHT_MAX] + 70000, true);
	cr_assert(meter.durable == 9);
	for (uint32_t i = 0; i < LATENCY_BUCKETS; i++)
		blocks += meter.latency.bucket[i];
	cr_assert(blocks == 2);
	cr_assert(meter.latency.bucket[latency_bucket(70000)] == 1);
	cr_assert(meter.latency.bucket[latency_bucket(5000)] == 1);
}

Test(log_meter, rest_and_turns_that_move_nothing_are_idle)
{
	struct wal_writer wal = {0};
	struct log_meter meter;

	log_meter_start(&meter, &wal, 1000000000);
	const uint64_t begin = meter.last;
	log_meter_turn(&meter, &wal, meter_cycles(), false);
	cr_assert(meter.busy == 0 && meter.idle == meter.last - begin);
	const uint64_t idle = meter.idle;
	const uint64_t rested = meter.last + 1;
	log_meter_turn(&meter, &wal, rested, true);
	cr_assert(meter.idle == idle + 1 && meter.busy == meter.last - rested);
}
