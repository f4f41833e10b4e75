/* SPDX-License-Identifier: Apache-2.0
 *
 * Random numbers of the benchmarks: splitmix64 (Steele, Lea, Flood, 2014). The same seed gives the
 * same load.
 */
#ifndef GIRO_TESTS_BENCH_RANDOM_H
#define GIRO_TESTS_BENCH_RANDOM_H

#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* 0 .. limit-1; limit > 0. */
static inline uint64_t random_below(struct random *random, uint64_t limit)
{
	return (uint64_t)((__extension__(unsigned __int128) random_next(random) * limit) >> 64);
}

#endif
