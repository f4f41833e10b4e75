/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay verify: is the log what it says?
 */
#include "replay/command.h"
#include "replay/proof.h"
#include "replay/verify_report.h"

struct arguments {
	struct proof_request request;
	const char *against; /* file */
	bool json;
};

static bool parse(int argc, char **argv, struct arguments *arguments)
{
	struct proof_request *request = &arguments->request;
	const struct command_option options[] = {
	    {"from", OPTION_FROM, &request->from},
	    {"to", OPTION_MOMENT, &request->to},
	    {"against", OPTION_TEXT, &arguments->against},
	    {"checkpoints", OPTION_TEXT, &request->checkpoints},
	    {"threads", OPTION_COUNT, &request->threads},
	    {"json", OPTION_FLAG, &arguments->json},
	    {NULL, OPTION_END, NULL},
	};
	const char *log[1];

	request->from = MOMENT_FIRST;
	request->to = MOMENT_LAST;
	if (!command_parse(argc, argv, options, log, 1,
			   "verify LOG [--from EPOCH|TIME] [--to EPOCH|TIME] [--against SUMMARY] "
			   "[--checkpoints DIR] [--archive DIR] [--threads N] [--json]"))
		return false;
	if (request->threads > SHARDS_MAX) {
		command_error("--threads is at most %d", SHARDS_MAX);
		return false;
	}
	request->log = log[0];
	if (request->checkpoints == NULL)
		request->checkpoints = request->log;
	return true;
}

enum node_end command_verify(int argc, char **argv)
{
	static struct arguments arguments;
	static struct node node;
	static struct proof proof;
	struct summary against = {0};
	char error[SUMMARY_TEXT_BYTES];
	bool opened = false;

	if (!parse(argc, argv, &arguments))
		return NODE_USAGE;
	if (arguments.against != NULL) {
		if (summary_read(&against, arguments.against, error) != 0) {
			command_error("%s", error);
			return NODE_UNREADABLE;
		}
		arguments.request.against = &against;
		arguments.request.hash = against.hashed;
	}
	enum node_end end = proof_run(&proof, &node, &arguments.request, &opened);
	if (end != NODE_SOUND && node.text[0] != '\0')
		command_error("%s", node.text);
	if (opened && arguments.json)
		verify_print_json(&proof, end);
	else if (opened)
		verify_print_text(&proof, end);
	if (opened)
		proof_close(&proof);
	summary_free(&against);
	return end;
}
