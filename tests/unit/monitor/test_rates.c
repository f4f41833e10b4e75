/* SPDX-License-Identifier: Apache-2.0
 *
 * What lies between two readings.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "monitor/rates.h"
#include "tests/unit/monitor/reading.h"

static bool near(double value, double wanted)
{
	return fabs(value - wanted) < 1e-6 * (1 + fabs(wanted));
}

Test(rates, are_differences_over_time)
{
	json_t *before = reading_new(4, 3, 10000, 200);
	json_t *now = reading_new(4, 3, 12000, 200);
	static struct rates rates;

	cr_assert(rates_between(&rates, before, now) == 0);
	cr_assert(near(rates.seconds, 2) && rates.workers == 4 && rates.shards == 3);
	cr_assert(near(rates.transfers, 200 * (1 + 2 + 3)));
	cr_assert(near(rates.shard[2].transfers, 600) && near(rates.shard[2].cross, 0));
	cr_assert(near(rates.results, 400) && near(rates.insufficient, 200) && near(rates.busy, 0));
	cr_assert(near(rates.received, 200) && near(rates.dropped, 400));
	cr_assert(near(rates.log_bytes, 200 * 4096) && near(rates.log_blocks, 200));
	cr_assert(near(rates.log_busy, 0.25) && near(rates.lag, 3));
	cr_assert(near(rates.worker[3].busy, 0.3) && near(rates.worker[3].stage[2], 0.3));
	cr_assert(near(rates.worker[0].busy, 0) && near(rates.worker[1].burst, 2));
	cr_assert(near(rates.shard[0].window, 1));
	json_decref(before);
	json_decref(now);
}

Test(rates, percentiles_are_ends_of_buckets_over_all_workers)
{
	json_t *before = reading_new(2, 1, 1000, 100);
	json_t *now = reading_new(2, 1, 2000, 100);
	static struct rates rates;

	cr_assert(rates_between(&rates, before, now) == 0);
	cr_assert(near(rates.latency.p50_ns, 1000) && near(rates.latency.p99_ns, 4000));
	cr_assert(near(rates.write.p50_ns, 1000) && near(rates.write.p999_ns, 4000));
	json_decref(before);
	json_decref(now);
}

Test(rates, nothing_lies_between_two_lives_or_at_one_moment)
{
	json_t *before = reading_new(1, 1, 1000, 100);
	json_t *now = reading_new(1, 1, 2000, 100);
	static struct rates rates;

	cr_assert(rates_between(&rates, now, before) != 0);
	cr_assert(rates_between(&rates, now, now) != 0);
	json_object_set_new(json_object_get(now, "info"), "started_ms", json_integer(1500));
	cr_assert(rates_between(&rates, before, now) != 0);
	json_decref(before);
	json_decref(now);
}

Test(rates, an_answer_that_lacks_everything_is_zero)
{
	json_t *before = json_pack("{s:i}", "at_ms", 1);
	json_t *now = json_pack("{s:i,s:[{},{}],s:[{}]}", "at_ms", 2, "workers", "shards");
	static struct rates rates;

	cr_assert(rates_between(&rates, before, now) == 0);
	cr_assert(rates.workers == 2 && rates.shards == 1 && near(rates.transfers, 0));
	cr_assert(near(rates.worker[1].busy, 0) && near(rates.latency.p99_ns, 0));
	json_decref(before);
	json_decref(now);
}
