/* SPDX-License-Identifier: Apache-2.0
 *
 * From the log to running shards, in two steps: recovery_read() replays it, recovery_begin() leaves
 * a writer that continues behind its end in a new incarnation.
 *
 * Knows no DPDK and no clock, and has no threads but those that it was given, so that the simulator
 * recovers by this very code, with crashes at every step of it. The disk is the caller's: whoever
 * opened it with the lock has shut out a second engine.
 *
 * Start and stop only; one thread calls. Blocks.
 */
#ifndef GIRO_ENGINE_RECOVERY_H
#define GIRO_ENGINE_RECOVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "replay/lanes.h"
#include "replay/replay.h"
#include "wal/disk.h"
#include "wal/preparer.h"
#include "wal/reader.h"
#include "wal/writer.h"

#define RECOVERY_ERROR_MAX 1024

struct recovery_options {
	const char *log;		   /* its name for people */
	const struct shard_limits *limits; /* of the shards; checked against the logged ones */
	uint64_t new_log_id;		   /* nonzero, random: the identity of a log begun here */
	uint32_t writes;		   /* blocks in flight to the disk */
	const char *checkpoints;	   /* directory to look for them in; NULL: none */
	uint64_t (*clock_ms)(void);	   /* to measure with; NULL: no times are taken */
	uint32_t segments_ahead;	   /* kept ready, see log_writer_segments_ahead(); 0: one */
	struct lanes *lanes; /* that bring the shards there; NULL: the caller's thread alone */
};

struct recovery {
	struct wal_disk *disk; /* borrowed */
	struct recovery_options options;
	struct wal_preparer preparer;
	struct wal_writer writer;
	struct wal_tail tail; /* where the log that was read ends */
	uint64_t log_id;
	uint64_t epoch; /* of the OPEN block: the shards stand in it */

	/* For the start screen. */
	bool fresh;   /* an empty log was begun */
	bool torn;    /* a torn tail was cut */
	bool clean;   /* the log ended with CLOSE */
	bool resumed; /* from a checkpoint, not from the first byte */
	uint64_t checkpoint_epoch;
	uint64_t checkpoint_ms; /* loading it took, and finding its place in the log */
	uint64_t replay_ms;	/* replaying what is behind it took */
	struct replay_counts counts;
	struct wal_reader_counts reader_counts;
	uint64_t rows_pending;	   /* unfinished cross-shard transfers */
	char note[WAL_TEXT_BYTES]; /* what was cut */
	uint32_t checkpoints_bad;
	char checkpoint_note[WAL_TEXT_BYTES]; /* why the newest of those was passed over */
};

/* Replays the log on `disk` into `shards`, which are empty and as the limits say: from the newest good
 * checkpoint on, or from the first byte. Writes nothing.
 * Returns 0, or -1 with lines for people in `error`. `disk` and what the options point to must
 * outlive the recovery. */
int recovery_read(struct recovery *recovery, struct wal_disk *disk,
		  const struct recovery_options *options, struct shard *const *shards,
		  char error[RECOVERY_ERROR_MAX]);

/* Makes the OPEN block of a new incarnation durable at `now_ms`, behind what recovery_read() found.
 * The writer's preparer has no thread yet: the caller starts it, or steps it. Returns 0, or -1 with
 * lines for people in `error` and nothing to be closed. */
int recovery_begin(struct recovery *recovery, uint64_t now_ms, struct shard *const *shards,
		   char error[RECOVERY_ERROR_MAX]);

/* Ends the writer and the preparer of a recovery that has begun. */
void recovery_close(struct recovery *recovery);

#endif
