/* SPDX-License-Identifier: Apache-2.0
 *
 * Who pays whom: a table of account pairs drawn before the run, so that the run itself draws
 * nothing but amounts.
 *
 * Accounts are drawn with Zipf's law of exponent `skew` (the method of Gray et al., "Quickly
 * Generating Billion-Record Synthetic Databases", 1994); zero is uniform. A share of the pairs can
 * be made to cross shards, by the session's slot map.
 */
#ifndef GIRO_CLIENT_BENCH_LOAD_H
#define GIRO_CLIENT_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "client/uuid7.h"

#define LOAD_PAIRS (1u << 20)

struct load_pair {
	uint32_t debit; /* 0 .. accounts-1 */
	uint32_t credit;
};

struct load_shape {
	uint32_t accounts;    /* >= 2 */
	double skew;	      /* 0 .. 0.999 */
	double cross;	      /* share of pairs over two shards, 0 .. 1; negative: as it comes */
	const uint8_t *shard; /* of each account */
};

/* Fills `pairs` (LOAD_PAIRS of them). Returns the share that crosses shards: what was asked for
 * unless the accounts do not allow it (one shard, or a shard without a second account). */
double load_draw(struct load_pair *pairs, const struct load_shape *shape,
		 struct client_random *random);

#endif
