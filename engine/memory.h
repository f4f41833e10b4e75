/* SPDX-License-Identifier: Apache-2.0
 *
 * How much memory EAL can still give.
 */
#ifndef GIRO_ENGINE_MEMORY_H
#define GIRO_ENGINE_MEMORY_H

#include <stdint.h>

/* Bytes: what is free in EAL's heaps, and the system's free hugepages of all sizes when EAL takes
 * more of them on demand. Main thread, EAL up. */
uint64_t memory_available(void);

#endif
