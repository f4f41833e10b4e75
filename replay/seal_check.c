/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay seal-check: proves the log and sums it up, to be kept apart from it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/command.h"
#include "replay/proof.h"

static bool put_all(int fd, const char *text)
{
	size_t size = strlen(text);

	while (size > 0) {
		ssize_t put = write(fd, text, size);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return false;
		text += put;
		size -= (size_t)put;
	}
	return true;
}

static bool flush_folder(const char *path)
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s", path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return done;
}

/* Whole under its name, or not at all; an older one stays until then. */
static bool write_file(const char *path, const char *text)
{
	char unfinished[PATH_MAX];

	if (snprintf(unfinished, sizeof(unfinished), "%s.unfinished", path) >=
	    (int)sizeof(unfinished)) {
		errno = ENAMETOOLONG;
		return false;
	}
	int fd = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool done = fd >= 0 && put_all(fd, text) && fsync(fd) == 0;
	int error = errno;
	if (fd >= 0)
		close(fd);
	if (done && rename(unfinished, path) == 0 && flush_folder(path))
		return true;
	error = done ? errno : error;
	unlink(unfinished);
	errno = error;
	return false;
}

static enum node_end put_summary(const struct proof *proof, const char *output)
{
	struct node *node = proof->node;
	struct summary summary;

	if (summary_make(&summary, &node->last, node->shards, node->limits.shards, &proof->audit,
			 proof->hashed ? proof->sha256 : NULL) != 0) {
		snprintf(node->text, sizeof(node->text), "no memory for the summary");
		return NODE_UNREADABLE;
	}
	char *text = summary_text(&summary);
	bool done = text != NULL;
	if (done && output != NULL)
		done = write_file(output, text);
	else if (done)
		done = fputs(text, stdout) >= 0 && fflush(stdout) == 0;
	if (!done)
		snprintf(node->text, sizeof(node->text), "%s: %s",
			 output != NULL ? output : "stdout", strerror(errno));
	free(text);
	summary_free(&summary);
	return done ? NODE_SOUND : NODE_UNREADABLE;
}

enum node_end command_seal_check(int argc, char **argv)
{
	static struct node node;
	static struct proof proof;
	static struct proof_request request;
	const char *output = NULL;
	const char *log[1];
	const struct command_option options[] = {
	    {"at", OPTION_MOMENT, &request.to},
	    {"output", OPTION_TEXT, &output},
	    {"checkpoints", OPTION_TEXT, &request.checkpoints},
	    {NULL, OPTION_END, NULL},
	};
	bool opened = false;

	request = (struct proof_request){.to = MOMENT_LAST, .durable = true, .hash = true};
	if (!command_parse(argc, argv, options, log, 1,
			   "seal-check LOG [--at EPOCH|TIME] [--output FILE] [--checkpoints DIR] "
			   "[--archive DIR]"))
		return NODE_USAGE;
	request.log = log[0];
	if (request.checkpoints == NULL)
		request.checkpoints = request.log;
	enum node_end end = proof_run(&proof, &node, &request, &opened);
	if (end == NODE_SOUND && proof.trusted)
		command_error("the checkpoint behind block %" PRIu64 " (epoch %" PRIu64
			      ") was taken on trust: what is before it was not looked at, and the "
			      "summary has no SHA-256",
			      proof.base.seq, proof.base.epoch);
	if (end == NODE_SOUND && !node.begun) {
		snprintf(node.text, sizeof(node.text),
			 "there is no block to sum up that is known to be durable");
		end = NODE_NOT_FOUND;
	}
	if (end == NODE_SOUND)
		end = put_summary(&proof, output);
	if (end == NODE_SOUND && output != NULL)
		printf("%s: the log up to block %" PRIu64 ", epoch %" PRIu64 "\n", output,
		       node.last.seq, node.last.epoch);
	if (end != NODE_SOUND && node.text[0] != '\0')
		command_error("%s", node.text);
	if (opened)
		proof_close(&proof);
	return end;
}
