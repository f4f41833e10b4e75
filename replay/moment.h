/* SPDX-License-Identifier: Apache-2.0
 *
 * A moment in the life of a log, as people name it: an epoch, or a time. The state as of a moment is
 * the one after the last block that is not later.
 */
#ifndef GIRO_REPLAY_MOMENT_H
#define GIRO_REPLAY_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/format.h"

/* No block may be beyond either; the one that was not named is UINT64_MAX. */
struct moment {
	uint64_t epoch;
	uint64_t time_ms; /* Unix milliseconds */
};

#define MOMENT_LAST ((struct moment){.epoch = UINT64_MAX, .time_ms = UINT64_MAX})

/* Reads an epoch ("1234") or a time in RFC 3339 ("2026-11-24T08:00:00[.123](Z|+01:00)", cut to
 * milliseconds). Returns false, storing nothing, when it is neither. */
bool moment_parse(const char *text, struct moment *moment);
bool moment_parse_epoch(const char *text, uint64_t *epoch);
bool moment_parse_time(const char *text, uint64_t *time_ms);

/* Is this block part of the state as of the moment? */
static inline bool moment_includes(const struct moment *moment,
				   const struct wal_block_header *header)
{
	return header->epoch <= moment->epoch && header->time_ms <= moment->time_ms;
}

/* As the first moment of a range: is this block before it? A time is in its range, an epoch too. */
static inline bool moment_begins_after(const struct moment *from,
				       const struct wal_block_header *header)
{
	return header->epoch < from->epoch || header->time_ms < from->time_ms;
}

/* The beginning of every log, as the first moment of a range. */
#define MOMENT_FIRST ((struct moment){.epoch = 0, .time_ms = 0})

/* As moment_parse(), for the first moment of a range. */
bool moment_parse_from(const char *text, struct moment *moment);

#endif
