/* SPDX-License-Identifier: Apache-2.0
 *
 * The one source of chance in a simulated run: xoshiro256** (D. Blackman, S. Vigna, 2018), seeded
 * by splitmix64. The same seed gives the same numbers on every machine.
 */
#ifndef GIRO_TESTS_SIM_RNG_H
#define GIRO_TESTS_SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state[4];
};

void rng_seed(struct rng *rng, uint64_t seed);

uint64_t rng_next(struct rng *rng);

/* 0 .. n - 1; n >= 1. */
static inline uint64_t rng_below(struct rng *rng, uint64_t n)
{
	return rng_next(rng) % n;
}

/* lowest .. highest, both included. */
static inline uint64_t rng_range(struct rng *rng, uint64_t lowest, uint64_t highest)
{
	return lowest + rng_below(rng, highest - lowest + 1);
}

/* True `per_mille` times of a thousand. */
static inline bool rng_chance(struct rng *rng, uint32_t per_mille)
{
	return rng_below(rng, 1000) < per_mille;
}

/* True once in `n`; never when n is zero. */
static inline bool rng_once_in(struct rng *rng, uint32_t n)
{
	return n != 0 && rng_below(rng, n) == 0;
}

#endif
