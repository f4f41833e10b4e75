/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay export: the log as rows in other programs' formats, again and again.
 *
 * Rows are made of blocks that are known to be durable, and of no others: so nothing that was exported
 * can be cut off the log. To go on, the shards are brought to where the export stopped, by replay from
 * the newest checkpoint before that, or from the first byte.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "replay/command.h"
#include "replay/durable.h"
#include "replay/export.h"
#include "replay/player.h"
#include "replay/progress.h"

/* Between two looks at a log that has nothing new. */
#define POLL_NS 100000000

/* A commit is due when there are as many rows, or epochs (unless --every says how many). */
#define COMMIT_ROWS   400000
#define COMMIT_EPOCHS 10000

struct exporting {
	const char *log;
	const char *path;
	enum export_format format;
	const char *checkpoints;
	struct moment to;
	uint64_t every; /* epochs between two commits, at most */
	bool follow;
	struct export_sink *sink;
	struct export_position position; /* given to the sink so far */
	uint64_t rows;			 /* of them, not committed */
	struct journal journal;
	struct progress progress;
	bool done;  /* a block behind `to` was seen */
	bool again; /* the log must be opened again to go on */
	bool caught_up;
};

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal)
{
	(void)signal;
	stop_requested = 1;
}

static void show(void *context, const struct node *node)
{
	progress_show(&((struct exporting *)context)->progress, node);
}

static bool before_position(void *context, uint64_t seq)
{
	const struct exporting *exporting = context;

	return stop_requested == 0 && seq < exporting->position.blocks;
}

static enum node_end refuse_other(const struct exporting *exporting, struct node *node)
{
	snprintf(node->text, sizeof(node->text),
		 "%s is an export of the log %016" PRIx64 ", and this is the log %016" PRIx64
		 ": give each log an export of its own",
		 exporting->path, exporting->position.log_id,
		 wal_reader_tail(&node->reader)->log_id);
	return NODE_DIVERGED;
}

static enum node_end refuse_changed(const struct exporting *exporting, struct node *node)
{
	const struct export_position *position = &exporting->position;
	char time[32];
	char hash[33];

	snprintf(
	    node->text, sizeof(node->text),
	    "%s ends with block %" PRIu64 " (epoch %" PRIu64 ", %s, hash %s), and the log does "
	    "not hold it: it is not the log that was exported, or it has lost what was durable. "
	    "Restore it; or, if an older log was restored on purpose, begin a new export",
	    exporting->path, position->blocks - 1, position->epoch,
	    command_time_text(position->time_ms, time), export_hash_text(position->hash, hash));
	return NODE_DIVERGED;
}

/* Brings the shards to where the export stopped, and proves that it is the same log up to there. */
static enum node_end replay_to_position(struct exporting *exporting, struct node *node)
{
	const struct export_position *position = &exporting->position;
	const struct moment at = {.epoch = position->epoch, .time_ms = UINT64_MAX};
	const struct moment there = {.epoch = position->epoch, .time_ms = position->time_ms};
	const struct player_options options = {
	    .context = exporting,
	    .ready = before_position,
	    .progress = show,
	};
	enum node_end end = NODE_SOUND;

	if (position->blocks == 0)
		return NODE_SOUND;
	node_share(node, 0);
	if (exporting->checkpoints == NULL || strcmp(exporting->checkpoints, "none") != 0)
		end = node_resume(
		    node, exporting->checkpoints != NULL ? exporting->checkpoints : exporting->log,
		    &at, command_tell, NULL);
	if (end != NODE_SOUND)
		return end;
	progress_begin(&exporting->progress, node, &there);
	end = player_run(node, &options, NULL);
	progress_end(&exporting->progress);
	const struct wal_tail *tail = wal_reader_tail(&node->reader);
	if (stop_requested != 0 || (end != NODE_SOUND && end != NODE_TORN))
		return end;
	if (tail->next_seq != position->blocks || !wal_hash_equal(tail->prev_hash, position->hash))
		return refuse_changed(exporting, node);
	return NODE_SOUND;
}

static enum node_end sink_failed(const struct exporting *exporting, struct node *node)
{
	snprintf(node->text, sizeof(node->text), "%s", exporting->sink->text);
	return NODE_UNREADABLE;
}

static enum node_end commit(struct exporting *exporting, struct node *node)
{
	struct export_sink *sink = exporting->sink;

	if (exporting->position.blocks == sink->position.blocks)
		return NODE_SOUND;
	exporting->rows = 0;
	return sink->ops->commit(sink, node, &exporting->position) ? NODE_SOUND
								   : sink_failed(exporting, node);
}

static bool is_due(const struct exporting *exporting)
{
	const struct export_position *committed = &exporting->sink->position;

	return exporting->rows >= COMMIT_ROWS ||
	       exporting->position.epoch - committed->epoch >= exporting->every;
}

/* About as many as the last block has. */
static uint64_t rows_of(const struct journal *journal)
{
	return (uint64_t)journal->movements.count + journal->decisions.count +
	       journal->operations.count;
}

/* Exports blocks up to number `count`. */
static enum node_end export_blocks(struct exporting *exporting, struct node *node, uint64_t count)
{
	enum node_end end = NODE_SOUND;
	struct wal_block block;

	while (stop_requested == 0 && end == NODE_SOUND && exporting->position.blocks < count &&
	       node_peek(node, &block, &end)) {
		if (!moment_includes(&exporting->to, block.header)) {
			exporting->done = true;
			break;
		}
		if (node_outgrown(node, block.header)) {
			exporting->again = true;
			break;
		}
		if (!journal_apply(&exporting->journal, node, &block, &end))
			return end;
		if (!export_block(exporting->sink, &exporting->journal, block.header,
				  &exporting->position))
			return sink_failed(exporting, node);
		exporting->rows += rows_of(&exporting->journal);
		if (is_due(exporting)) {
			end = commit(exporting, node);
			show(exporting, node);
		}
	}
	return end;
}

/* Everything that is durable by now. */
static enum node_end catch_up(struct exporting *exporting, struct node *node)
{
	struct durable durable;

	/* Anew each time: an engine that was killed and started again may have cut what was read. */
	if (durable_open_beside(&durable, &node->reader) != 0) {
		snprintf(node->text, sizeof(node->text), "%s", durable.reader.fault.text);
		return NODE_UNREADABLE;
	}
	progress_begin(&exporting->progress, node, &exporting->to);
	enum node_end end = export_blocks(exporting, node, durable.count);
	progress_end(&exporting->progress);
	durable_close(&durable);
	/* What came before a fault is good. */
	enum node_end committed = NODE_SOUND;
	if (end != NODE_DIVERGED && exporting->sink->text[0] == '\0')
		committed = commit(exporting, node);
	return committed != NODE_SOUND ? committed : end;
}

/* Nothing more is known to be durable. Is that the end of the log, or is it damaged here? */
static enum node_end judge_end(const struct exporting *exporting, struct node *node)
{
	enum node_end end = NODE_SOUND;
	struct wal_block block;

	while (!exporting->done && !exporting->again && stop_requested == 0 &&
	       node_peek(node, &block, &end))
		node_skip(node);
	return end;
}

static enum node_end run(struct exporting *exporting, struct node *node)
{
	enum node_end end = replay_to_position(exporting, node);

	if (end != NODE_SOUND || stop_requested != 0)
		return end;
	if (!journal_init(&exporting->journal, node, (struct id128){0})) {
		snprintf(node->text, sizeof(node->text), "no memory");
		return NODE_UNREADABLE;
	}
	node->reader.options.follow = exporting->follow;
	for (;;) {
		end = catch_up(exporting, node);
		if (end == NODE_SOUND && !exporting->caught_up && !exporting->again &&
		    stop_requested == 0) {
			exporting->caught_up = true;
			if (!exporting->sink->ops->caught_up(exporting->sink))
				end = sink_failed(exporting, node);
		}
		if (end != NODE_SOUND || !exporting->follow || exporting->done ||
		    exporting->again || stop_requested != 0)
			break;
		const struct timespec pause = {.tv_nsec = POLL_NS};
		nanosleep(&pause, NULL);
	}
	return end == NODE_SOUND && !exporting->follow ? judge_end(exporting, node) : end;
}

static void tell(const struct exporting *exporting, const struct export_position *before)
{
	const struct export_position *position = &exporting->sink->position;
	char time[32];

	if (position->blocks == before->blocks)
		puts("nothing new is known to be durable");
	else
		printf("exported %" PRIu64 " blocks, %" PRIu64 " movements\n",
		       position->blocks - before->blocks, position->movements - before->movements);
	if (position->blocks > 0)
		printf("%s holds %" PRIu64 " blocks to epoch %" PRIu64 " (%s), %" PRIu64
		       " movements\n",
		       exporting->path, position->blocks, position->epoch,
		       command_time_text(position->time_ms, time), position->movements);
}

static enum node_end open_sink_and_run(struct exporting *exporting, struct node *node)
{
	const struct wal_tail *tail = wal_reader_tail(&node->reader);

	if (node->limits.shards == 0) {
		snprintf(node->text, sizeof(node->text),
			 "the log is empty: start the engine first");
		return NODE_NOT_FOUND;
	}
	exporting->sink = export_open(exporting->format, exporting->path, tail->log_id, node->text);
	if (exporting->sink == NULL)
		return NODE_UNREADABLE;
	const struct export_position before = exporting->sink->position;
	exporting->position = before;
	enum node_end end =
	    before.log_id == tail->log_id ? run(exporting, node) : refuse_other(exporting, node);
	if (!exporting->again)
		tell(exporting, &before);
	journal_free(&exporting->journal);
	exporting->sink->ops->close(exporting->sink);
	return end;
}

static bool parse(int argc, char **argv, struct exporting *exporting)
{
	const char *paths[3] = {NULL}; /* by format */
	const char *arguments[1];
	int given = 0;
	const struct command_option options[] = {
	    {"sqlite", OPTION_TEXT, &paths[EXPORT_SQLITE]},
	    {"csv", OPTION_TEXT, &paths[EXPORT_CSV]},
	    {"jsonl", OPTION_TEXT, &paths[EXPORT_JSONL]},
	    {"to", OPTION_MOMENT, &exporting->to},
	    {"every", OPTION_COUNT, &exporting->every},
	    {"checkpoints", OPTION_TEXT, &exporting->checkpoints},
	    {"follow", OPTION_FLAG, &exporting->follow},
	    {NULL, OPTION_END, NULL},
	};

	exporting->to = MOMENT_LAST;
	exporting->every = COMMIT_EPOCHS;
	if (!command_parse(argc, argv, options, arguments, 1,
			   "export LOG --sqlite FILE|--csv FOLDER|--jsonl FOLDER [--to "
			   "EPOCH|TIME] [--every EPOCHS] [--checkpoints DIR] [--follow]"))
		return false;
	exporting->log = arguments[0];
	for (int i = 0; i < 3; i++) {
		if (paths[i] == NULL)
			continue;
		exporting->path = paths[i];
		exporting->format = (enum export_format)i;
		given++;
	}
	if (given != 1)
		command_error("one of --sqlite FILE, --csv FOLDER and --jsonl FOLDER is wanted");
	return given == 1;
}

enum node_end command_export(int argc, char **argv)
{
	static struct node node;
	static struct exporting exporting;
	const struct sigaction action = {.sa_handler = request_stop};

	if (!parse(argc, argv, &exporting))
		return NODE_USAGE;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	enum node_end end = NODE_SOUND;
	do {
		exporting.again = false;
		end = node_open(&node, exporting.log);
		if (end != NODE_SOUND)
			break;
		end = open_sink_and_run(&exporting, &node);
		node_close(&node);
	} while (end == NODE_SOUND && exporting.again);
	if (end != NODE_SOUND)
		command_error("%s", node.text);
	return end;
}
