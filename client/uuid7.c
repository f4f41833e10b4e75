/* SPDX-License-Identifier: Apache-2.0 */
#include "client/uuid7.h"

#include <sys/random.h>

#define COUNTER_BITS 14
#define VERSION	     (0x7ull << 12) /* in hi */
#define VARIANT	     (0x2ull << 62) /* in lo */

client_uuid7_last client_uuid7_process;

int client_random_seed(struct client_random *random)
{
	ssize_t got = getrandom(random->s, sizeof(random->s), 0);
	if (got != (ssize_t)sizeof(random->s))
		return -1;
	random->s[0] |= 1; /* all zero is the one state that it never leaves */
	return 0;
}

static inline uint64_t rotate_left(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

uint64_t client_random_next(struct client_random *random)
{
	uint64_t *s = random->s;
	const uint64_t result = rotate_left(s[0] + s[3], 23) + s[0];
	const uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate_left(s[3], 45);
	return result;
}

struct id128 client_uuid7_new(client_uuid7_last *last, struct client_random *random,
			      uint64_t now_ms)
{
	uint64_t old = atomic_load_explicit(last, memory_order_relaxed);
	uint64_t place;

	/* Only the order of this one word matters, so relaxed is enough. */
	do {
		place = now_ms << COUNTER_BITS;
		if (place <= old && (old >> COUNTER_BITS) - now_ms < UUID7_BACKWARD_MS)
			place = old + 1;
	} while (!atomic_compare_exchange_weak_explicit(last, &old, place, memory_order_relaxed,
							memory_order_relaxed));

	const uint64_t ms = place >> COUNTER_BITS;
	const uint64_t counter = place & ((1u << COUNTER_BITS) - 1);
	return (struct id128){
	    .hi = ms << 16 | VERSION | counter >> 2,
	    .lo = VARIANT | (counter & 3) << 60 | client_random_next(random) >> 4,
	};
}

struct id128 client_uuid7_derive(uint64_t time_ms, struct id128 digest)
{
	return (struct id128){
	    .hi = time_ms << 16 | VERSION | (digest.hi & 0xfff),
	    .lo = VARIANT | digest.lo >> 2,
	};
}
