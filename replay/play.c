/* SPDX-License-Identifier: Apache-2.0
 *
 * What commands that ask for a moment have in common: bring a node there.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "replay/command.h"
#include "replay/player.h"
#include "replay/progress.h"

struct run {
	struct progress progress;
	struct moment to;
	bool before; /* stop before `to`, not behind it */
};

static bool wanted(void *context, const struct wal_block_header *block)
{
	const struct run *run = context;

	return run->before ? moment_begins_after(&run->to, block)
			   : moment_includes(&run->to, block);
}

static void show(void *context, const struct node *node)
{
	progress_show(&((struct run *)context)->progress, node);
}

void command_tell(void *context, const char *text)
{
	(void)context;
	command_error("%s", text);
}

static enum node_end play(struct node *node, const char *log, const char *checkpoints,
			  const struct moment *start, struct run *run)
{
	const struct player_options options = {
	    .context = run,
	    .wanted = wanted,
	    .progress = show,
	};
	enum node_end end = node_open(node, log);

	if (end != NODE_SOUND) {
		command_error("%s", node->text);
		return end;
	}
	node_share(node, 0);
	if (checkpoints == NULL || strcmp(checkpoints, "none") != 0)
		end = node_resume(node, checkpoints != NULL ? checkpoints : log, start,
				  command_tell, NULL);
	if (end != NODE_SOUND) {
		command_error("%s", node->text);
		node_close(node);
		return end;
	}
	progress_begin(&run->progress, node, &run->to);
	end = player_run(node, &options, NULL);
	progress_end(&run->progress);
	if (end != NODE_SOUND)
		command_error("%s", node->text);
	if (end != NODE_SOUND && end != NODE_TORN)
		node_close(node);
	return end;
}

enum node_end command_play_to(struct node *node, const char *log, const char *checkpoints,
			      const struct moment *at)
{
	struct run run = {.to = *at};

	return play(node, log, checkpoints, at, &run);
}

enum node_end command_play_before(struct node *node, const char *log, const char *checkpoints,
				  const struct moment *from)
{
	struct run run = {.to = *from, .before = true};
	struct moment last = MOMENT_LAST;

	/* The last moment before the range; epochs begin at 1. */
	if (from->epoch > 0)
		last.epoch = from->epoch - 1;
	else if (from->time_ms > 0)
		last.time_ms = from->time_ms - 1;
	else
		last.epoch = 0;
	return play(node, log, checkpoints, &last, &run);
}

void command_print_moment(const struct node *node)
{
	char time[32];

	printf("as of epoch %" PRIu64 " (%s)\n", node->epoch,
	       command_time_text(node->time_ms, time));
}
