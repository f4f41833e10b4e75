/* SPDX-License-Identifier: Apache-2.0
 *
 * A ring between two threads, in the place of DPDK's: one producer, one consumer, elements by
 * value. rte_ring orders its accesses on x86 by compiler barriers, which a race detector cannot see;
 * here the same two edges are C11 atomics.
 *
 *   producer: element, then tail (release)   ->  consumer: tail (acquire), then element
 *   consumer: element, then head (release)   ->  producer: head (acquire), then element
 */
#ifndef GIRO_TESTS_RACE_RING_H
#define GIRO_TESTS_RACE_RING_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"

struct ring {
	alignas(CACHE_LINE) _Atomic uint32_t tail; /* writer: the producer */
	alignas(CACHE_LINE) _Atomic uint32_t head; /* writer: the consumer */
	alignas(CACHE_LINE) uint32_t capacity;	   /* a power of two */
	uint32_t bytes;				   /* of an element */
	uint8_t *elements;
};

static inline void ring_init(struct ring *ring, uint32_t count, uint32_t bytes)
{
	ring->capacity = 1;
	while (ring->capacity < count)
		ring->capacity *= 2;
	ring->bytes = bytes;
	ring->elements = calloc(ring->capacity, bytes);
	CHECK(ring->elements != NULL);
}

/* Producer. The ring is never full: it is sized for all that can be under way. */
static inline void ring_put(struct ring *ring, const void *element)
{
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	/* pairs with the release in ring_take(): the element was read */
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

	CHECK(tail - head < ring->capacity);
	memcpy(ring->elements + (size_t)(tail & (ring->capacity - 1)) * ring->bytes, element,
	       ring->bytes);
	/* pairs with the acquire in ring_take(): the element is there */
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
}

/* Consumer. False: it is empty. */
static inline bool ring_take(struct ring *ring, void *element)
{
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	if (head == atomic_load_explicit(&ring->tail, memory_order_acquire))
		return false;
	memcpy(element, ring->elements + (size_t)(head & (ring->capacity - 1)) * ring->bytes,
	       ring->bytes);
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
	return true;
}

/* Neither side runs. */
static inline bool ring_is_empty(const struct ring *ring)
{
	return atomic_load_explicit(&ring->head, memory_order_relaxed) ==
	       atomic_load_explicit(&ring->tail, memory_order_relaxed);
}

static inline void ring_free(struct ring *ring)
{
	free(ring->elements);
	*ring = (struct ring){0};
}

#endif
