/* SPDX-License-Identifier: Apache-2.0
 *
 * The machine's clocks as integers. Any thread; no system call where the kernel's vDSO serves them.
 */
#ifndef GIRO_ENGINE_CLOCK_H
#define GIRO_ENGINE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds of CLOCK_MONOTONIC, or of the Unix epoch with CLOCK_REALTIME. */
static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_ms(clockid_t clock)
{
	return clock_ns(clock) / 1000000;
}

#endif
