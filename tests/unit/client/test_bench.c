/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "client/bench_histogram.h"
#include "client/bench_load.h"

static struct histogram histogram;

Test(histogram, each_value_is_in_a_bucket_that_is_narrow_enough)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 200000; i++) {
		const uint32_t bucket = histogram_bucket(value);
		const uint64_t top = histogram_bucket_top(bucket);
		cr_assert(bucket < HISTOGRAM_BUCKETS);
		cr_assert(top >= value);
		cr_assert((top - value) <= value / 128);
		cr_assert(bucket == 0 || histogram_bucket_top(bucket - 1) < value);
		value = i < 5000 ? value + 1 : value + value / 997 + 1;
		if (value > UINT64_MAX / 2)
			value = i;
	}
	cr_expect(histogram_bucket(UINT64_MAX) == HISTOGRAM_BUCKETS - 1);
	cr_expect(histogram_bucket_top(HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
}

Test(histogram, percentiles)
{
	cr_expect(histogram_percentile(&histogram, 0.5) == 0);
	for (uint64_t i = 1; i <= 100000; i++)
		histogram_add(&histogram, i);
	static const double shares[] = {0.0001, 0.5, 0.9, 0.99, 0.999, 0.9999};
	for (unsigned i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		const double exact = shares[i] * 100000;
		const double got = (double)histogram_percentile(&histogram, shares[i]);
		cr_expect(got >= exact && got <= exact * (1 + 1.0 / 128), "%f: %f", shares[i], got);
	}
	cr_expect(histogram_percentile(&histogram, 1.0) == 100000);
	cr_expect(histogram.max == 100000);
}

#define ACCOUNTS 1000

static struct load_pair pairs[LOAD_PAIRS];
static uint8_t shard[ACCOUNTS];

static double draw(double skew, double cross, unsigned shards)
{
	struct client_random random = {{5, 6, 7, 8}};

	for (unsigned i = 0; i < ACCOUNTS; i++)
		shard[i] = (uint8_t)(i * 7919 / 13 % shards);
	const struct load_shape shape = {
	    .accounts = ACCOUNTS,
	    .skew = skew,
	    .cross = cross,
	    .shard = shard,
	};
	const double crossing = load_draw(pairs, &shape, &random);
	unsigned counted = 0;
	for (unsigned i = 0; i < LOAD_PAIRS; i++) {
		cr_assert(pairs[i].debit < ACCOUNTS && pairs[i].credit < ACCOUNTS);
		cr_assert(pairs[i].debit != pairs[i].credit);
		counted += shard[pairs[i].debit] != shard[pairs[i].credit];
	}
	cr_expect(crossing == (double)counted / LOAD_PAIRS);
	return crossing;
}

Test(load, the_share_across_shards_is_as_asked)
{
	static const double skews[] = {0, 0.9};
	static const double shares[] = {0, 0.1, 0.5, 1};

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned j = 0; j < 4; j++) {
			const double got = draw(skews[i], shares[j], 4);
			cr_expect(got > shares[j] - 0.01 && got < shares[j] + 0.01,
				  "skew %f, share %f: %f", skews[i], shares[j], got);
		}
	}
	cr_expect(draw(0, 1, 1) == 0, "one shard");
	const double natural = draw(0, -1, 4);
	cr_expect(natural > 0.74 && natural < 0.76);
}

Test(load, skew_follows_zipf)
{
	draw(0.99, -1, 4);
	static unsigned counts[ACCOUNTS];
	for (unsigned i = 0; i < LOAD_PAIRS; i++)
		counts[pairs[i].debit]++;
	/* zeta(1000, 0.99) = 7.7289..., so account 0 pays 12.9 % and account 9 a tenth of that. */
	cr_expect(counts[0] > LOAD_PAIRS * 0.125 && counts[0] < LOAD_PAIRS * 0.134);
	const double ratio = (double)counts[0] / counts[9];
	cr_expect(ratio > 8 && ratio < 12, "%f", ratio);
	draw(0, -1, 4);
	memset(counts, 0, sizeof(counts));
	for (unsigned i = 0; i < LOAD_PAIRS; i++)
		counts[pairs[i].debit]++;
	for (unsigned i = 0; i < ACCOUNTS; i++)
		cr_expect(counts[i] > 800 && counts[i] < 1300, "%u: %u", i, counts[i]);
}
