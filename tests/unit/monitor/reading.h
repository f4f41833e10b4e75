/* SPDX-License-Identifier: Apache-2.0
 *
 * Readings as an engine would give them, made up.
 */
#ifndef GIRO_TESTS_MONITOR_READING_H
#define GIRO_TESTS_MONITOR_READING_H

#include <stdint.h>

#include <jansson.h>

/* A reading at `at_ms` of an engine of 1 GHz that was started at 0. Every counter stands at `count`
 * for each second, but: worker w was busy for w % 10 tenths of the time, all of that in apply;
 * shard s did `count` * (s + 1) local transfers a second; latencies are half below 1 us, half from 2
 * to 4 us. */
json_t *reading_new(uint32_t workers, uint32_t shards, uint64_t at_ms, uint64_t count);

#endif
