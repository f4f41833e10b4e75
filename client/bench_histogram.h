/* SPDX-License-Identifier: Apache-2.0
 *
 * A histogram of latencies with a bounded relative error, in the layout of Gil Tene's
 * HdrHistogram: each power of two is divided into the same number of equal buckets.
 *
 *   value   0 .. 127   128 .. 255   256 .. 511   512 .. 1023  ...
 *   width       1          1            2             4
 *
 * A value is off by less than 1/128 of itself. Fixed memory, no allocation.
 */
#ifndef GIRO_CLIENT_BENCH_HISTOGRAM_H
#define GIRO_CLIENT_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS	  7
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS)

struct histogram {
	uint64_t count;
	uint64_t max;
	double sum;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);

/* The smallest value that at least `share` (0 .. 1) of all values do not exceed: the upper end of
 * its bucket, but never above the largest value. Zero when empty. */
uint64_t histogram_percentile(const struct histogram *histogram, double share);

/* Bucket of a value, and the largest value of a bucket. */
uint32_t histogram_bucket(uint64_t value);
uint64_t histogram_bucket_top(uint32_t bucket);

#endif
