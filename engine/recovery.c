/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/recovery.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/log_writer.h"
#include "replay/checkpoint.h"
#include "replay/meta.h"

/* The limits must suit what was logged before. */
static int check_meta(const struct recovery *recovery, const struct wal_reader *reader,
		      char error[RECOVERY_ERROR_MAX])
{
	const struct wal_segment_header *header = wal_reader_header(reader);
	struct shard_limits logged;

	if (header == NULL)
		return 0;
	const char *wrong = log_meta_to_limits(header->meta, header->meta_bytes, &logged);
	if (wrong == NULL)
		wrong = log_meta_conflict(&logged, recovery->options.limits);
	if (wrong == NULL)
		return 0;
	snprintf(error, RECOVERY_ERROR_MAX,
		 "the log at %s cannot go on with this configuration: %s\n"
		 "logged: shards=%u window_s=%llu ahead_s=%llu accounts=%llu ids_per_second=%llu "
		 "rows=%u",
		 recovery->options.log, wrong, logged.shards,
		 (unsigned long long)logged.window_ms / 1000,
		 (unsigned long long)logged.ahead_ms / 1000,
		 (unsigned long long)logged.accounts_max, (unsigned long long)logged.ids_per_second,
		 logged.rows);
	return -1;
}

/* Shards are made from the first block on: a log whose beginning is missing would give others. */
static int check_beginning(const struct recovery *recovery, const struct wal_tail *start,
			   char error[RECOVERY_ERROR_MAX])
{
	if (start->next_seq == 0)
		return 0;
	snprintf(
	    error, RECOVERY_ERROR_MAX,
	    "the log at %s begins with block %llu in segment %llu: the segments before it are "
	    "missing, or were trimmed, and no checkpoint is there to begin at%s%s\n"
	    "Restore a checkpoint, or the segments from a backup or a replica; or, if they were "
	    "archived, make a checkpoint from there: giro-replay checkpoint %s --archive DIR "
	    "--from-first-byte",
	    recovery->options.log, (unsigned long long)start->next_seq,
	    (unsigned long long)start->segment, recovery->checkpoints_bad > 0 ? ": " : "",
	    recovery->checkpoint_note, recovery->options.log);
	return -1;
}

/* Replays all of the log. Each segment's meta is checked as it comes. */
static int replay_log(struct recovery *recovery, struct wal_reader *reader,
		      struct shard *const *shards, char error[RECOVERY_ERROR_MAX])
{
	static struct wal_block_header last;
	struct replay replay;
	struct wal_block block;
	uint64_t segment = UINT64_MAX;
	const char *log = recovery->options.log;
	int next;

	replay_init(&replay, shards, recovery->options.limits->shards);
	while ((next = wal_reader_next(reader, &block)) == WAL_NEXT_BLOCK) {
		if (block.header->segment != segment && check_meta(recovery, reader, error) != 0)
			return -1;
		segment = block.header->segment;
		if (replay_block(&replay, &block) != 0) {
			snprintf(error, RECOVERY_ERROR_MAX,
				 "the log at %s and this engine disagree: %s\nkeep the log, and "
				 "find out with giro-replay verify which of the two is wrong",
				 log, replay.fault.text);
			return -1;
		}
		last = *block.header;
	}
	if (next < 0) {
		snprintf(error, RECOVERY_ERROR_MAX, "the log at %s: %s", log, reader->fault.text);
		return -1;
	}
	recovery->fresh = replay.counts.blocks == 0 && !recovery->resumed;
	recovery->torn = next == WAL_NEXT_TORN;
	recovery->clean = wal_reader_tail(reader)->closed;
	const struct wal_tail *tail = wal_reader_tail(reader);
	if (recovery->torn)
		snprintf(
		    recovery->note, sizeof(recovery->note),
		    "cut in front of block %llu (segment %llu, offset %llu); nothing behind it "
		    "was acknowledged",
		    (unsigned long long)tail->next_seq, (unsigned long long)tail->segment,
		    (unsigned long long)tail->offset);
	/* A clean end says what the state was: the whole of it is compared, not just outcomes. */
	bool compared = replay.counts.blocks == 0; /* a checkpoint's digests, when it was loaded */
	if (recovery->clean && !compared && replay_check_digests(&replay, &last) != 0) {
		snprintf(error, RECOVERY_ERROR_MAX,
			 "the log at %s does not give the state it was closed with: %s", log,
			 replay.fault.text);
		return -1;
	}
	recovery->counts = replay.counts;
	return 0;
}

static uint64_t now_ms(const struct recovery *recovery)
{
	return recovery->options.clock_ms != NULL ? recovery->options.clock_ms() : 0;
}

static void tell_checkpoint(void *context, const char *text)
{
	struct recovery *recovery = context;

	if (recovery->checkpoints_bad++ == 0)
		snprintf(recovery->checkpoint_note, sizeof(recovery->checkpoint_note), "%s", text);
}

/* Fills the shards from the newest good checkpoint, if there is one, and puts the reader behind it.
 * A checkpoint stands behind a durable block: a log that does not hold it has lost something. */
static int resume(struct recovery *recovery, struct wal_reader *reader, struct shard *const *shards,
		  char error[RECOVERY_ERROR_MAX])
{
	const struct recovery_options *options = &recovery->options;
	struct checkpoint_header header;
	char why[WAL_TEXT_BYTES];
	uint64_t newest;

	/* A log that was begun and lost looks like one that was never begun, but for these. */
	if (options->checkpoints != NULL && wal_reader_tail(reader)->log_id == 0 &&
	    checkpoint_list(options->checkpoints, &newest, 1) > 0) {
		snprintf(error, RECOVERY_ERROR_MAX,
			 "the log at %s has checkpoints (to block %llu) but no segments: they are "
			 "missing. Restore them from a backup or a replica",
			 options->log, (unsigned long long)newest);
		wal_reader_close(reader);
		return -1;
	}
	const struct checkpoint_choice choice = {
	    .directory = options->checkpoints,
	    .log_id = wal_reader_tail(reader)->log_id,
	    .first_segment = wal_reader_tail(reader)->segment,
	    .at = MOMENT_LAST,
	};
	if (options->checkpoints == NULL ||
	    !checkpoint_restore(&choice, shards, options->limits->shards, &header, tell_checkpoint,
				recovery))
		return 0;
	wal_reader_close(reader);
	if (checkpoint_seek(&header, recovery->disk, reader, why) != 0) {
		snprintf(error, RECOVERY_ERROR_MAX, "the log at %s: %s", options->log, why);
		return -1;
	}
	recovery->resumed = true;
	recovery->checkpoint_epoch = header.epoch;
	return 0;
}

int recovery_read(struct recovery *recovery, struct wal_disk *disk,
		  const struct recovery_options *options, struct shard *const *shards,
		  char error[RECOVERY_ERROR_MAX])
{
	const struct wal_reader_options reader_options = {.first_segment = WAL_OLDEST};
	struct wal_reader reader;

	*recovery = (struct recovery){.disk = disk, .options = *options};
	uint64_t start_ms = now_ms(recovery);
	if (wal_reader_open(&reader, disk, &reader_options) != 0) {
		snprintf(error, RECOVERY_ERROR_MAX, "the log at %s: %s", options->log,
			 reader.fault.text);
		recovery->reader_counts = reader.counts;
		return -1;
	}
	if (resume(recovery, &reader, shards, error) != 0)
		return -1;
	uint64_t resumed_ms = now_ms(recovery);
	int failed =
	    recovery->resumed ? 0 : check_beginning(recovery, wal_reader_tail(&reader), error);
	if (failed == 0)
		failed = replay_log(recovery, &reader, shards, error);
	recovery->tail = *wal_reader_tail(&reader);
	recovery->reader_counts = reader.counts;
	recovery->checkpoint_ms = resumed_ms - start_ms;
	recovery->replay_ms = now_ms(recovery) - resumed_ms;
	wal_reader_close(&reader);
	return failed;
}

/* The first block may need a segment. Whatever hinders the disk from giving one is reported by the
 * append that misses it. */
static void prepare_first_segment(struct recovery *recovery)
{
	while (wal_preparer_step(&recovery->preparer) > 0)
		;
}

int recovery_begin(struct recovery *recovery, uint64_t now_ms, struct shard *const *shards,
		   char error[RECOVERY_ERROR_MAX])
{
	const struct recovery_options *options = &recovery->options;
	const struct wal_tail *tail = &recovery->tail;
	const struct log_meta meta = log_meta_from_limits(options->limits);
	const struct wal_writer_config config = {
	    .log_id = tail->log_id != 0 ? tail->log_id : options->new_log_id,
	    .blocks_in_flight = options->writes,
	    .segments_ahead = options->segments_ahead != 0 ? options->segments_ahead : 1,
	    .meta_bytes = sizeof(meta),
	    .meta = &meta,
	};

	recovery->log_id = config.log_id;
	wal_preparer_init(&recovery->preparer, recovery->disk, wal_writer_first_segment(tail));
	int failed =
	    wal_writer_open(&recovery->writer, recovery->disk, &recovery->preparer, &config, tail);
	if (failed != 0) {
		snprintf(error, RECOVERY_ERROR_MAX, "the log at %s cannot be written: %s",
			 options->log, strerror(-failed));
		goto stop_preparer;
	}
	prepare_first_segment(recovery);
	int64_t opened = log_writer_mark(&recovery->writer, WAL_OPEN, tail->epoch + 1, now_ms,
					 shards, options->limits->shards);
	if (opened < 0) {
		snprintf(error, RECOVERY_ERROR_MAX, "the log at %s cannot be written: %s%s",
			 options->log, strerror((int)-opened),
			 opened == -ENOSPC ? " (the log needs room for at least one more segment)"
					   : "");
		goto close_writer;
	}
	recovery->epoch = (uint64_t)opened;
	for (uint32_t i = 0; i < options->limits->shards; i++)
		recovery->rows_pending += shards[i]->phase.in_flight;
	return 0;

close_writer:
	wal_writer_close(&recovery->writer);
stop_preparer:
	wal_preparer_stop(&recovery->preparer);
	return -1;
}

void recovery_close(struct recovery *recovery)
{
	wal_writer_close(&recovery->writer);
	wal_preparer_stop(&recovery->preparer);
}
