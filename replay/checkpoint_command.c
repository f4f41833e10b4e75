/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay checkpoint: replays the log outside the engine and writes what it arrives at.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "replay/command.h"
#include "replay/durable.h"
#include "replay/player.h"
#include "replay/progress.h"

/* Between two looks at a log that has nothing new. */
#define POLL_NS 100000000

struct making {
	const char *log;
	const char *directory;
	uint64_t every; /* epochs between two checkpoints; 0: only one, at the end */
	uint64_t keep;
	bool follow;
	bool first_byte; /* look for no checkpoint to begin at */
	bool again;	 /* the log must be opened again to go on */
	const struct node *node;
	struct durable durable;
	struct progress progress;
	uint64_t asked_epoch; /* of the last cut that was asked for */
	uint64_t last_epoch;  /* of the last checkpoint */
};

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal)
{
	(void)signal;
	stop_requested = 1;
}

static bool ready(void *context, uint64_t seq)
{
	struct making *making = context;

	return stop_requested == 0 && seq < making->durable.count;
}

static bool wanted(void *context, const struct wal_block_header *block)
{
	struct making *making = context;

	making->again = node_outgrown(making->node, block);
	return !making->again;
}

static bool cut(void *context, const struct wal_block_header *block)
{
	struct making *making = context;

	if (making->every == 0 || block->epoch - making->asked_epoch < making->every)
		return false;
	/* Blocks are read a batch ahead of those that are applied. */
	making->asked_epoch = block->epoch;
	return true;
}

/* The block of the checkpoint at which a trimmed log begins: all that is in it is proved from there.
 * UINT64_MAX: it begins at its first byte. */
static uint64_t base_of(const struct making *making)
{
	const struct wal_disk_options disk_options = {.write = false};
	const struct wal_reader_options options = {.first_segment = WAL_OLDEST, .follow = true};
	uint64_t seqs[CHECKPOINTS_MAX];
	uint32_t count = checkpoint_list(making->directory, seqs, CHECKPOINTS_MAX);
	struct checkpoint_header header;
	char error[WAL_TEXT_BYTES];
	struct wal_reader reader;
	struct wal_disk *disk;
	uint64_t first = 0;

	if (wal_disk_open(&disk, making->log, &disk_options, error) != 0)
		return UINT64_MAX;
	if (wal_reader_open(&reader, disk, &options) == 0) {
		first = wal_reader_tail(&reader)->segment;
		wal_reader_close(&reader);
	}
	disk->ops->close(disk);
	for (uint32_t i = count; first > 0 && i > 0; i--) {
		if (checkpoint_peek(making->directory, seqs[i - 1], &header) == 0 &&
		    header.segment >= first)
			return seqs[i - 1];
	}
	return UINT64_MAX;
}

static enum node_end make(void *context, struct node *node, const struct wal_block_header *block)
{
	struct making *making = context;
	double start = progress_clock();
	char time[32];

	if (checkpoint_write(making->directory, block, node->shards, node->limits.shards,
			     node->text) != 0)
		return NODE_UNREADABLE;
	making->last_epoch = block->epoch;
	checkpoint_remove_old(making->directory, (uint32_t)making->keep, base_of(making));
	progress_end(&making->progress);
	printf("checkpoint behind block %" PRIu64 ", epoch %" PRIu64 " (%s), segment %" PRIu64
	       ", written in %.3f s\n",
	       block->seq, block->epoch, command_time_text(block->time_ms, time), block->segment,
	       progress_clock() - start);
	fflush(stdout);
	return NODE_SOUND;
}

static void show(void *context, const struct node *node)
{
	progress_show(&((struct making *)context)->progress, node);
}

/* Everything that is durable by now. */
static enum node_end catch_up(struct making *making, struct node *node)
{
	const struct player_options options = {
	    .context = making,
	    .ready = ready,
	    .wanted = wanted,
	    .cut = cut,
	    .pause = make,
	    .progress = show,
	};
	const struct moment last = MOMENT_LAST;
	enum node_end end = NODE_SOUND;

	/* Anew each time: an engine that was killed and started again may have cut what was read. */
	if (durable_open_beside(&making->durable, &node->reader) != 0) {
		snprintf(node->text, sizeof(node->text), "%s", making->durable.reader.fault.text);
		return NODE_UNREADABLE;
	}
	if (ready(making, wal_reader_tail(&node->reader)->next_seq)) {
		progress_begin(&making->progress, node, &last);
		end = player_run(node, &options, NULL);
		progress_end(&making->progress);
	}
	durable_close(&making->durable);
	return end;
}

static bool is_due(const struct making *making, const struct node *node)
{
	return node->begun && node->epoch > making->last_epoch &&
	       (stop_requested != 0 || !making->follow);
}

static enum node_end run(struct making *making, struct node *node)
{
	enum node_end end = catch_up(making, node);

	while (making->follow && stop_requested == 0 && !making->again &&
	       (end == NODE_SOUND || end == NODE_TORN)) {
		const struct timespec pause = {.tv_nsec = POLL_NS};
		nanosleep(&pause, NULL);
		if (stop_requested == 0)
			end = catch_up(making, node);
	}
	if (making->again)
		return end;
	if ((end == NODE_SOUND || end == NODE_TORN) && is_due(making, node)) {
		enum node_end made = make(making, node, &node->last);
		if (made != NODE_SOUND)
			end = made;
	} else if (end == NODE_SOUND && !node->begun && !making->follow) {
		puts("nothing new is known to be durable: no checkpoint was written");
	}
	return end;
}

static void catch_signals(void)
{
	const struct sigaction action = {.sa_handler = request_stop};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

static enum node_end open_and_run(struct making *making, struct node *node)
{
	const struct moment last = MOMENT_LAST;
	enum node_end end = node_open(node, making->log);

	if (end != NODE_SOUND)
		return end;
	node_share(node, 0);
	if (!making->first_byte)
		end = node_resume(node, making->directory, &last, command_tell, NULL);
	node->reader.options.follow = making->follow;
	making->node = node;
	making->last_epoch = node->epoch;
	making->asked_epoch = node->epoch;
	if (end == NODE_SOUND)
		end = run(making, node);
	node_close(node);
	return end;
}

enum node_end command_checkpoint(int argc, char **argv)
{
	static struct node node;
	static struct making making = {.keep = 2};
	const char *arguments[1];
	const struct command_option options[] = {
	    {"directory", OPTION_TEXT, &making.directory},
	    {"every", OPTION_COUNT, &making.every},
	    {"keep", OPTION_COUNT, &making.keep},
	    {"follow", OPTION_FLAG, &making.follow},
	    {"from-first-byte", OPTION_FLAG, &making.first_byte},
	    {NULL, OPTION_END, NULL},
	};

	if (!command_parse(argc, argv, options, arguments, 1,
			   "checkpoint LOG [--directory DIR] [--every EPOCHS] [--keep N] "
			   "[--follow] [--from-first-byte]"))
		return NODE_USAGE;
	if (making.follow && making.every == 0) {
		command_error("--follow needs --every EPOCHS");
		return NODE_USAGE;
	}
	making.log = arguments[0];
	if (making.directory == NULL)
		making.directory = making.log;
	if (making.keep > CHECKPOINTS_MAX / 2)
		making.keep = CHECKPOINTS_MAX / 2;
	catch_signals();
	enum node_end end;
	do {
		making.again = false;
		end = open_and_run(&making, &node);
	} while (making.again && stop_requested == 0 && end == NODE_SOUND);
	if (end != NODE_SOUND)
		command_error("%s", node.text);
	return end;
}
