/* SPDX-License-Identifier: Apache-2.0 */
#include "client/bench_histogram.h"

#include <math.h>

#define SUB (1u << HISTOGRAM_BITS)

uint32_t histogram_bucket(uint64_t value)
{
	if (value < SUB)
		return (uint32_t)value;
	const unsigned shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS;
	return (shift << HISTOGRAM_BITS) + (uint32_t)(value >> shift);
}

uint64_t histogram_bucket_top(uint32_t bucket)
{
	if (bucket < 2 * SUB)
		return bucket;
	const unsigned shift = (bucket >> HISTOGRAM_BITS) - 1;
	const uint64_t low = (uint64_t)(SUB + (bucket & (SUB - 1))) << shift;
	return low + ((1ull << shift) - 1);
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->count++;
	histogram->sum += (double)value;
	if (value > histogram->max)
		histogram->max = value;
	histogram->bucket[histogram_bucket(value)]++;
}

uint64_t histogram_percentile(const struct histogram *histogram, double share)
{
	uint64_t want = (uint64_t)ceil(share * (double)histogram->count);
	uint64_t seen = 0;

	if (want == 0)
		want = 1;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->bucket[i];
		if (seen < want)
			continue;
		const uint64_t top = histogram_bucket_top(i);
		return top < histogram->max ? top : histogram->max;
	}
	return histogram->max;
}
