/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay diff LOG --engine PREFIX: is what a running engine has in its memory what its log gives?
 *
 *   engine: digests at epoch E, of N blocks          log: blocks 0 .. N - 1 replayed, then epoch E
 *                        \                          /
 *                          equal, shard by shard?
 *                              no: the log is proved, so that it is known which of the two is wrong
 *
 * The engine has answered only when epoch E was durable, so none of the N blocks can be cut any more;
 * no block behind them is looked at, for those are still being written.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "replay/command.h"
#include "replay/diff.h"
#include "replay/json.h"
#include "replay/live.h"
#include "replay/player.h"
#include "replay/progress.h"
#include "replay/proof.h"

#define HASH_FORMAT "%016" PRIx64 "%016" PRIx64
#define HASH_BYTES  33

struct comparison {
	const char *log;
	const char *checkpoints; /* NULL: the log's own folder; "none" */
	const char *engine;
	bool json;

	struct live live;
	struct progress progress;
	uint64_t from_epoch; /* of the checkpoint that the replay began at; 0: at the first byte */
	struct shard_digest log_digest[SHARDS_MAX];
	bool digested;	    /* log_digest is filled in */
	uint32_t different; /* shards */
	bool proved; /* the log was, from its first byte or the checkpoint at its beginning */
	enum node_end log_end; /* how it is by itself, as far as was looked */
	char log_text[NODE_TEXT_BYTES];
	const char *what_to_do;
};

/* What to do: the engine is wrong, the log is, or they do not belong together. */
static const char spare_the_log[] =
    "the log is right, the engine is not: end it with SIGKILL (a clean stop would write its "
    "digests "
    "into the log, which would not start again), look for the cause (memory errors, dmesg), and "
    "start it: it comes up with what the log says";
static const char keep_the_log[] = "keep the log, end the engine with SIGKILL, compare with a "
				   "replica or a backup (giro-replay diff "
				   "LOG LOG)";
static const char name_the_log[] =
    "name the log that this engine writes; if this is it, keep what is left, end the engine with "
    "SIGKILL and restore the log from a replica or a backup";

static bool is_equal(const struct comparison *comparison, uint32_t shard)
{
	return memcmp(&comparison->log_digest[shard], &comparison->live.digest[shard],
		      sizeof(struct shard_digest)) == 0;
}

/* Replaying. */

static bool ready(void *context, uint64_t seq)
{
	return seq < ((const struct comparison *)context)->live.blocks;
}

static void show(void *context, const struct node *node)
{
	progress_show(&((struct comparison *)context)->progress, node);
}

/* The shards stand behind the last block that is not later. Epochs without records pass there too: ids
 * are forgotten with time. */
static void take_digests(struct comparison *comparison, const struct node *node)
{
	comparison->different = 0;
	for (uint32_t i = 0; i < comparison->live.shards; i++) {
		struct shard *shard = node->shards[i];
		if (shard->epoch < comparison->live.epoch)
			shard_enter_epoch(shard, comparison->live.epoch, comparison->live.time_ms);
		comparison->log_digest[i] = shard_digest(shard);
		comparison->different += !is_equal(comparison, i);
	}
	comparison->digested = true;
}

/* Is it the log of this engine, as far as can be seen before it is read? */
static enum node_end check_identity(const struct comparison *comparison, struct node *node)
{
	const struct live *live = &comparison->live;
	uint64_t log_id = wal_reader_tail(&node->reader)->log_id;

	if (log_id == live->log_id && node->limits.shards == live->shards)
		return NODE_SOUND;
	snprintf(node->text, sizeof(node->text),
		 "%s is not the log of this engine: its id is %016" PRIx64
		 ", the engine writes %016" PRIx64 "; name that one",
		 comparison->log, log_id, live->log_id);
	return NODE_DIVERGED;
}

/* The blocks were played: are they those that the engine wrote? */
static enum node_end check_extent(const struct comparison *comparison, struct node *node,
				  enum node_end end)
{
	const struct live *live = &comparison->live;
	const struct wal_tail *tail = wal_reader_tail(&node->reader);
	char why[NODE_TEXT_BYTES / 2] = "";

	if (end == NODE_TORN)
		snprintf(why, sizeof(why), ": %.300s", node->text);
	if (node->next_seq > live->blocks) {
		snprintf(node->text, sizeof(node->text),
			 "the engine was started again meanwhile: ask again");
		return NODE_UNREADABLE;
	}
	if (node->next_seq < live->blocks) {
		snprintf(node->text, sizeof(node->text),
			 "the log ends behind block %" PRIu64 ", and the engine has made block "
			 "%" PRIu64 " durable%s",
			 node->next_seq, live->blocks - 1, why);
		return NODE_CORRUPT;
	}
	if (wal_hash_equal(tail->prev_hash, live->chain))
		return NODE_SOUND;
	snprintf(node->text, sizeof(node->text),
		 "block %" PRIu64 " is not the one that the engine wrote: its hash is " HASH_FORMAT
		 ", the engine's is " HASH_FORMAT,
		 live->blocks - 1, tail->prev_hash.hi, tail->prev_hash.lo, live->chain.hi,
		 live->chain.lo);
	return NODE_DIVERGED;
}

static enum node_end play(struct comparison *comparison, struct node *node)
{
	const struct player_options options = {
	    .context = comparison,
	    .ready = ready,
	    .progress = show,
	};
	const struct moment to = {.epoch = comparison->live.epoch, .time_ms = UINT64_MAX};
	const char *checkpoints = comparison->checkpoints;
	enum node_end end = check_identity(comparison, node);

	if (end != NODE_SOUND) {
		comparison->what_to_do = name_the_log;
		return end;
	}
	node_share(node, 0);
	if (checkpoints == NULL || strcmp(checkpoints, "none") != 0)
		end = node_resume(node, checkpoints != NULL ? checkpoints : comparison->log, &to,
				  command_tell, NULL);
	if (end != NODE_SOUND)
		return end;
	comparison->from_epoch = node->epoch;
	progress_begin(&comparison->progress, node, &to);
	end = player_run(node, &options, NULL);
	progress_end(&comparison->progress);
	if (end != NODE_SOUND && end != NODE_TORN)
		return end;
	end = check_extent(comparison, node, end);
	if (end == NODE_SOUND)
		take_digests(comparison, node);
	else if (end != NODE_UNREADABLE)
		comparison->what_to_do = name_the_log;
	return end;
}

static enum node_end replay_log(struct comparison *comparison)
{
	static struct node node;
	enum node_end end = node_open(&node, comparison->log);

	if (end == NODE_SOUND) {
		end = play(comparison, &node);
		node_close(&node);
	}
	snprintf(comparison->log_text, sizeof(comparison->log_text), "%s",
		 end == NODE_SOUND ? "" : node.text);
	return end;
}

/* Proves the log from as far back as it goes: which of the two is wrong, and where? */
static enum node_end prove_log(struct comparison *comparison)
{
	static struct node node;
	static struct proof proof;
	const struct proof_request request = {
	    .log = comparison->log,
	    .checkpoints =
		comparison->checkpoints != NULL && strcmp(comparison->checkpoints, "none") != 0
		    ? comparison->checkpoints
		    : comparison->log,
	    .from = MOMENT_FIRST,
	    .to = {.epoch = comparison->live.epoch, .time_ms = UINT64_MAX},
	};
	bool opened = false;
	enum node_end end = proof_run(&proof, &node, &request, &opened);

	comparison->proved = true;
	if (end == NODE_SOUND)
		take_digests(comparison, &node);
	snprintf(comparison->log_text, sizeof(comparison->log_text), "%s",
		 end == NODE_SOUND ? "" : node.text);
	if (opened)
		proof_close(&proof);
	return end;
}

/* Returns the tool's exit status. */
static enum node_end judge(struct comparison *comparison)
{
	enum node_end end = replay_log(comparison);

	comparison->log_end = end;
	if (end == NODE_UNREADABLE || comparison->what_to_do != NULL)
		return end;
	if (end == NODE_SOUND && comparison->different == 0)
		return NODE_SOUND;
	/* The replay may have begun at a checkpoint: what the log has against it may be earlier. */
	enum node_end proved = prove_log(comparison);
	comparison->log_end = proved;
	if (proved != NODE_SOUND) {
		comparison->what_to_do = keep_the_log;
		return proved;
	}
	/* Equal after all: what was in the way was a checkpoint, which the proof did without. */
	if (comparison->different == 0)
		return NODE_SOUND;
	comparison->what_to_do = spare_the_log;
	return NODE_DIVERGED;
}

/* Telling. */

static void print_shards(const struct comparison *comparison)
{
	const struct live *live = &comparison->live;

	for (uint32_t i = 0; i < live->shards; i++) {
		const struct shard_digest *ours = &comparison->log_digest[i];
		const struct shard_digest *theirs = &live->digest[i];
		if (is_equal(comparison, i))
			printf("shard %-11" PRIu32 " " HASH_FORMAT ", equal\n", i, ours->hi,
			       ours->lo);
		else
			printf("shard %-11" PRIu32 " " HASH_FORMAT " expected, by the log\n"
			       "                  " HASH_FORMAT " found, in the engine\n",
			       i, ours->hi, ours->lo, theirs->hi, theirs->lo);
	}
}

/* What is known of where the two parted. */
static void first_divergence(const struct comparison *comparison, char *text, size_t size)
{
	const struct live *live = &comparison->live;
	char list[SHARDS_MAX * 4] = "";
	size_t used = 0;

	if (comparison->log_end != NODE_SOUND) {
		snprintf(text, size, "%s%s",
			 comparison->what_to_do == name_the_log ? "" : "in the log itself: ",
			 comparison->log_text);
		return;
	}
	for (uint32_t i = 0; i < live->shards; i++) {
		if (!is_equal(comparison, i))
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%" PRIu32,
						 used > 0 ? ", " : "", i);
	}
	snprintf(text, size,
		 "in the engine's memory, shard %s, behind epoch %" PRIu64
		 " (its start, whose digests are the log's) and not behind epoch %" PRIu64
		 "; the log is sound up to there, every outcome in it is right, so what is wrong "
		 "in the engine has not decided any",
		 list, live->opened_epoch, live->epoch);
}

static void print_text(const struct comparison *comparison, enum node_end end)
{
	const struct live *live = &comparison->live;
	char text[NODE_TEXT_BYTES + 256];

	printf("engine            pid %" PRIu64 ", log id %016" PRIx64 ", %" PRIu32
	       " shards, stood still for up to %.3f s\n",
	       live->pid, live->log_id, live->shards, live->walk_s);
	printf("epoch             %" PRIu64 " (%s), durable, %" PRIu64 " blocks\n", live->epoch,
	       command_time_text(live->time_ms, text), live->blocks);
	if (comparison->from_epoch != 0 && !comparison->proved)
		printf("replayed          from the checkpoint of epoch %" PRIu64 "\n",
		       comparison->from_epoch);
	else
		puts("replayed          from the log's beginning");
	if (comparison->digested)
		print_shards(comparison);
	if (end != NODE_SOUND) {
		first_divergence(comparison, text, sizeof(text));
		printf("first divergence  %s\n", text);
		if (comparison->what_to_do != NULL)
			printf("what to do        %s\n", comparison->what_to_do);
	}
	printf("verdict           %s\n", command_verdict(end));
}

static void json_hash(struct json *json, const char *key, const struct shard_digest *digest)
{
	char text[HASH_BYTES];

	snprintf(text, sizeof(text), HASH_FORMAT, digest->hi, digest->lo);
	json_text(json, key, text);
}

static void json_shards(struct json *json, const struct comparison *comparison)
{
	json_u64(json, "shards_different", comparison->different);
	json_array(json, "shards");
	for (uint32_t i = 0; i < comparison->live.shards; i++) {
		json_object(json, NULL);
		json_u64(json, "shard", i);
		json_bool(json, "equal", is_equal(comparison, i));
		json_hash(json, "expected", &comparison->log_digest[i]);
		json_hash(json, "found", &comparison->live.digest[i]);
		json_close(json);
	}
	json_close(json);
}

static void print_json(const struct comparison *comparison, enum node_end end)
{
	const struct live *live = &comparison->live;
	struct json json = json_begin(stdout);
	char text[NODE_TEXT_BYTES + 256];

	json_object(&json, NULL);
	json_text(&json, "verdict", command_verdict(end));
	json_u64(&json, "exit_status", (uint64_t)end);
	json_u64(&json, "pid", live->pid);
	snprintf(text, sizeof(text), "%016" PRIx64, live->log_id);
	json_text(&json, "log_id", text);
	json_u64(&json, "opened_epoch", live->opened_epoch);
	json_u64(&json, "epoch", live->epoch);
	json_text(&json, "time", command_time_text(live->time_ms, text));
	json_u64(&json, "blocks", live->blocks);
	json_real(&json, "walk_seconds", live->walk_s);
	json_bool(&json, "from_checkpoint", comparison->from_epoch != 0 && !comparison->proved);
	if (comparison->digested)
		json_shards(&json, comparison);
	if (end != NODE_SOUND) {
		json_bool(&json, "log_proved", comparison->proved);
		json_text(&json, "log_verdict", command_verdict(comparison->log_end));
		first_divergence(comparison, text, sizeof(text));
		json_text(&json, "first_divergence", text);
		if (comparison->what_to_do != NULL)
			json_text(&json, "what_to_do", comparison->what_to_do);
	}
	json_close(&json);
}

enum node_end diff_engine(int argc, char **argv)
{
	static struct comparison comparison;
	const char *arguments[1];
	const struct command_option options[] = {
	    {"engine", OPTION_TEXT, &comparison.engine},
	    {"checkpoints", OPTION_TEXT, &comparison.checkpoints},
	    {"json", OPTION_FLAG, &comparison.json},
	    {NULL, OPTION_END, NULL},
	};
	char error[LIVE_TEXT_BYTES];

	if (!command_parse(argc, argv, options, arguments, 1, DIFF_USAGE))
		return NODE_USAGE;
	if (comparison.engine == NULL) {
		command_error("usage: giro-replay %s", DIFF_USAGE);
		return NODE_USAGE;
	}
	comparison.log = arguments[0];
	if (live_ask(&comparison.live, comparison.engine, error) != 0) {
		command_error("%s", error);
		return NODE_UNREADABLE;
	}
	enum node_end end = judge(&comparison);
	if (end == NODE_UNREADABLE) {
		command_error("%s", comparison.log_text);
		return end;
	}
	if (comparison.json)
		print_json(&comparison, end);
	else
		print_text(&comparison, end);
	return end;
}
