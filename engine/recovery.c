/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/recovery.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/log_writer.h"
#include "replay/checkpoint.h"
#include "replay/digests.h"
#include "replay/meta.h"
#include "replay/player.h"

/* A log on its way into the shards. */
struct reading {
	struct recovery *recovery;
	struct node node;
	uint64_t segment; /* whose limits were checked last */
	bool conflict;	  /* and do not suit: `error` tells */
	char *error;
};

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

/* Called for each block before it is replayed: each segment's meta is checked as it comes. */
static bool suits(void *context, const struct wal_block_header *block)
{
	struct reading *reading = context;

	if (block->segment != reading->segment)
		reading->conflict =
		    check_meta(reading->recovery, &reading->node.reader, reading->error) != 0;
	reading->segment = block->segment;
	return !reading->conflict;
}

/* A clean end says what the state was: the whole of it is compared, not just outcomes. */
static int check_state(struct reading *reading)
{
	struct node *node = &reading->node;
	struct shard_digest digests[SHARDS_MAX];

	digests_compute(node->shards, node->limits.shards, node->lanes, digests);
	for (uint32_t i = 0; i < node->limits.shards; i++) {
		if (replay_compare_digest(&node->replay, &node->last, i, &digests[i]) == 0)
			continue;
		snprintf(reading->error, RECOVERY_ERROR_MAX,
			 "the log at %s does not give the state it was closed with: %s",
			 reading->recovery->options.log, node->replay.fault.text);
		return -1;
	}
	return 0;
}

/* How the replay ended, if not at an end of the log. */
static int check_end(const struct reading *reading, enum node_end end)
{
	const struct node *node = &reading->node;
	const char *log = reading->recovery->options.log;

	if (reading->conflict && (end == NODE_SOUND || end == NODE_TORN))
		return -1;
	if (end == NODE_SOUND || end == NODE_TORN)
		return 0;
	if (end == NODE_DIVERGED)
		snprintf(reading->error, RECOVERY_ERROR_MAX,
			 "the log at %s and this engine disagree: %s\nkeep the log, and "
			 "find out with giro-replay verify which of the two is wrong",
			 log, node->text);
	else
		snprintf(reading->error, RECOVERY_ERROR_MAX, "the log at %s: %s", log, node->text);
	return -1;
}

/* Replays all of the log. */
static int replay_log(struct reading *reading)
{
	const struct player_options options = {.context = reading, .wanted = suits};
	struct recovery *recovery = reading->recovery;
	struct node *node = &reading->node;
	const struct wal_tail *tail = wal_reader_tail(&node->reader);
	enum node_end end = player_run(node, &options, NULL);

	if (check_end(reading, end) != 0)
		return -1;
	recovery->fresh = node->replay.counts.blocks == 0 && !recovery->resumed;
	recovery->torn = end == NODE_TORN;
	recovery->clean = tail->closed;
	if (recovery->torn)
		snprintf(
		    recovery->note, sizeof(recovery->note),
		    "cut in front of block %llu (segment %llu, offset %llu); nothing behind it "
		    "was acknowledged",
		    (unsigned long long)tail->next_seq, (unsigned long long)tail->segment,
		    (unsigned long long)tail->offset);
	bool compared = node->replay.counts.blocks == 0; /* a checkpoint's, when it was loaded */
	if (recovery->clean && !compared && check_state(reading) != 0)
		return -1;
	recovery->counts = node->replay.counts;
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

/* Fills the shards from the newest good checkpoint, if there is one, and goes on behind it. A
 * checkpoint stands behind a durable block: a log that does not hold it has lost something. */
static int resume(struct reading *reading)
{
	struct recovery *recovery = reading->recovery;
	struct node *node = &reading->node;
	const struct recovery_options *options = &recovery->options;
	const struct moment last = MOMENT_LAST;
	uint64_t newest;

	if (options->checkpoints == NULL)
		return 0;
	/* A log that was begun and lost looks like one that was never begun, but for these. */
	if (wal_reader_tail(&node->reader)->log_id == 0 &&
	    checkpoint_list(options->checkpoints, &newest, 1) > 0) {
		snprintf(reading->error, RECOVERY_ERROR_MAX,
			 "the log at %s has checkpoints (to block %llu) but no segments: they are "
			 "missing. Restore them from a backup or a replica",
			 options->log, (unsigned long long)newest);
		return -1;
	}
	if (node_resume(node, options->checkpoints, &last, tell_checkpoint, recovery) !=
	    NODE_SOUND) {
		snprintf(reading->error, RECOVERY_ERROR_MAX, "the log at %s: %s", options->log,
			 node->text);
		return -1;
	}
	recovery->resumed = node->next_seq > 0;
	recovery->checkpoint_epoch = node->epoch;
	return 0;
}

static int read_all(struct reading *reading)
{
	struct recovery *recovery = reading->recovery;
	const struct wal_tail *tail = wal_reader_tail(&reading->node.reader);
	uint64_t start_ms = now_ms(recovery);
	int failed = resume(reading);
	uint64_t resumed_ms = now_ms(recovery);

	recovery->checkpoint_ms = resumed_ms - start_ms;
	if (failed == 0 && !recovery->resumed)
		failed = check_beginning(recovery, tail, reading->error);
	if (failed == 0)
		failed = replay_log(reading);
	recovery->replay_ms = now_ms(recovery) - resumed_ms;
	return failed;
}

int recovery_read(struct recovery *recovery, struct wal_disk *disk,
		  const struct recovery_options *options, struct shard *const *shards,
		  char error[RECOVERY_ERROR_MAX])
{
	struct reading reading = {.recovery = recovery, .segment = UINT64_MAX, .error = error};

	*recovery = (struct recovery){.disk = disk, .options = *options};
	if (node_adopt(&reading.node, disk, options->limits, shards) != NODE_SOUND) {
		snprintf(error, RECOVERY_ERROR_MAX, "the log at %s: %s", options->log,
			 reading.node.text);
		recovery->reader_counts = reading.node.reader.counts;
		return -1;
	}
	reading.node.lanes = options->lanes;
	int failed = read_all(&reading);
	recovery->tail = *wal_reader_tail(&reading.node.reader);
	recovery->reader_counts = reading.node.reader.counts;
	node_close(&reading.node);
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
					 shards, options->limits->shards, options->lanes);
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
