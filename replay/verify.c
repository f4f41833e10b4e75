/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay verify: is the log what it says?
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "replay/audit.h"
#include "replay/checkpoint.h"
#include "replay/command.h"
#include "replay/json.h"
#include "replay/node.h"
#include "replay/player.h"
#include "replay/progress.h"

struct request {
	const char *log;
	struct moment to;
	const char *checkpoints; /* directory */
	uint64_t threads;
	bool json;
};

/* All that is told at the end. */
struct report {
	const struct request *request;
	const struct node *node;
	struct player_proof proof;
	struct audit audit;
	bool audited;
	enum node_end end;
	double seconds;
	uint32_t checkpoints;	  /* equal to what replay gives */
	uint32_t checkpoints_bad; /* damaged; the engine passes over them */
};

static bool parse_request(int argc, char **argv, struct request *request)
{
	static const struct option options[] = {
	    {"to", required_argument, NULL, 't'},
	    {"checkpoints", required_argument, NULL, 'k'},
	    {"threads", required_argument, NULL, 'n'},
	    {"json", no_argument, NULL, 'j'},
	    {NULL, 0, NULL, 0},
	};
	bool valid = true;
	int option;

	*request = (struct request){.to = MOMENT_LAST};
	while (valid && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 't')
			valid = command_parse_moment(optarg, &request->to);
		else if (option == 'n')
			valid = command_parse_number(optarg, 1, SHARDS_MAX, &request->threads);
		else if (option == 'k')
			request->checkpoints = optarg;
		else if (option == 'j')
			request->json = true;
		else
			valid = false;
	}
	if (!valid)
		return false;
	if (optind + 1 != argc) {
		command_error("usage: giro-replay verify LOG [--to EPOCH|TIME] [--checkpoints DIR] "
			      "[--threads N] [--json]");
		return false;
	}
	request->log = argv[optind];
	if (request->checkpoints == NULL)
		request->checkpoints = request->log;
	return true;
}

static void print_ledgers(const struct audit *audit)
{
	char sum[48];
	char in_flight[48];
	char total[48];

	for (uint32_t i = 0; i < audit->ledger_count; i++) {
		const struct audit_ledger *ledger = &audit->ledgers[i];
		printf("ledger %-10" PRIu32 " %" PRIu64 " accounts, %s in credit, %s in flight, "
		       "sum %s%s\n",
		       ledger->ledger, ledger->accounts, audit_sum_text(ledger->positive, sum),
		       audit_sum_text(ledger->in_flight, in_flight),
		       audit_sum_text(ledger->balances + ledger->in_flight, total),
		       ledger->below_floor > 0 ? ", ACCOUNTS BELOW THEIR FLOOR" : "");
	}
	printf("rows pending      %" PRIu64 "\n", audit->rows_pending);
}

static void print_fault(const struct report *report)
{
	const struct replay_fault *fault = &report->node->fault;

	if (!report->node->diverged)
		return;
	printf("fault             block %" PRIu64 ", epoch %" PRIu64 ", segment %" PRIu64
	       ", offset %" PRIu64 "\n",
	       fault->seq, fault->epoch, fault->segment, fault->block_offset);
	if (fault->shard != REPLAY_NO_SHARD)
		printf("  record          shard %u, record %" PRIu64 ", byte %" PRIu64
		       " of its section\n",
		       fault->shard, fault->record, fault->offset);
	if (fault->expected[0] != '\0')
		printf("  expected        %s\n", fault->expected);
	if (fault->found[0] != '\0')
		printf("  found           %s\n", fault->found);
	printf(
	    "  what to do      keep the log, stop the engine, compare with a replica (giro-replay "
	    "diff)\n");
}

static void print_text(const struct report *report)
{
	const struct node *node = report->node;
	const struct replay_counts *counts = &node->replay.counts;
	const struct wal_tail *tail = wal_reader_tail(&node->reader);
	bool diverged = report->end == NODE_DIVERGED;
	char time[32];

	printf("log               %" PRIu64 " blocks to epoch %" PRIu64 " (%s), id %016" PRIx64
	       ", incarnation %" PRIu64 "\n",
	       counts->blocks, node->epoch, command_time_text(node->time_ms, time), tail->log_id,
	       tail->incarnation);
	printf("shards            %u\n", node->limits.shards);
	printf("transfers         %" PRIu64 " decided, %" PRIu64 " done, %" PRIu64
	       " between shards\n",
	       counts->transfers, counts->transfers_done, counts->transfers_cross);
	printf("records           %" PRIu64 ", %s\n", counts->records,
	       diverged ? "equal until they differ" : "every outcome computed again and equal");
	if (counts->transfers > 0)
		printf("bytes a transfer  %.1f\n",
		       (double)counts->record_bytes / (double)counts->transfers);
	printf("digests           %" PRIu64 " compared and equal\n", counts->digests_checked);
	printf("conservation      at %" PRIu64 " epochs every ledger sums to zero; %" PRIu64
	       " full audits\n",
	       report->proof.epochs, report->proof.audits);
	printf("checkpoints       %u equal to the replay, %u damaged\n", report->checkpoints,
	       report->checkpoints_bad);
	if (report->seconds > 0)
		printf("replayed          %.3f s, %.0f records/s, %" PRIu64 " threads\n",
		       report->seconds, (double)counts->records / report->seconds,
		       report->proof.threads);
	if (report->audited)
		print_ledgers(&report->audit);
	print_fault(report);
	printf("verdict           %s\n", command_verdict(report->end));
}

static void json_ledgers(struct json *json, const struct audit *audit)
{
	char text[48];

	json_u64(json, "rows_pending", audit->rows_pending);
	json_array(json, "ledgers");
	for (uint32_t i = 0; i < audit->ledger_count; i++) {
		const struct audit_ledger *ledger = &audit->ledgers[i];
		json_object(json, NULL);
		json_u64(json, "ledger", ledger->ledger);
		json_u64(json, "accounts", ledger->accounts);
		json_text(json, "in_credit", audit_sum_text(ledger->positive, text));
		json_text(json, "in_flight", audit_sum_text(ledger->in_flight, text));
		json_text(json, "sum", audit_sum_text(ledger->balances + ledger->in_flight, text));
		json_u64(json, "below_floor", ledger->below_floor);
		json_close(json);
	}
	json_close(json);
}

static void json_fault(struct json *json, const struct node *node, enum node_end end)
{
	const struct replay_fault *fault = &node->fault;
	const struct wal_fault *lost = &node->reader.fault;

	json_object(json, "fault");
	json_text(json, "text", node->text);
	if (node->diverged) {
		json_u64(json, "block", fault->seq);
		json_u64(json, "epoch", fault->epoch);
		json_u64(json, "segment", fault->segment);
		json_u64(json, "offset", fault->block_offset);
		if (fault->shard != REPLAY_NO_SHARD) {
			json_u64(json, "shard", fault->shard);
			json_u64(json, "record", fault->record);
			json_u64(json, "section_offset", fault->offset);
		}
		json_text(json, "expected", fault->expected);
		json_text(json, "found", fault->found);
	} else if (end == NODE_CORRUPT && lost->error != 0) {
		json_u64(json, "block", lost->seq);
		json_u64(json, "segment", lost->segment);
		json_u64(json, "offset", lost->offset);
		json_text(json, "found", wal_reason_text(lost->reason));
	}
	json_close(json);
}

static void print_json(const struct report *report)
{
	const struct node *node = report->node;
	const struct replay_counts *counts = &node->replay.counts;
	const struct wal_tail *tail = wal_reader_tail(&node->reader);
	struct json json = json_begin(stdout);
	char text[32];

	json_object(&json, NULL);
	json_text(&json, "verdict", command_verdict(report->end));
	json_u64(&json, "exit_status", (uint64_t)report->end);
	snprintf(text, sizeof(text), "%016" PRIx64, tail->log_id);
	json_text(&json, "log_id", text);
	json_u64(&json, "incarnation", tail->incarnation);
	json_u64(&json, "blocks", counts->blocks);
	json_u64(&json, "epoch", node->epoch);
	json_text(&json, "time", command_time_text(node->time_ms, text));
	json_u64(&json, "shards", node->limits.shards);
	json_u64(&json, "transfers_decided", counts->transfers);
	json_u64(&json, "transfers_done", counts->transfers_done);
	json_u64(&json, "transfers_between_shards", counts->transfers_cross);
	json_u64(&json, "records", counts->records);
	json_u64(&json, "record_bytes", counts->record_bytes);
	json_u64(&json, "digests", counts->digests_checked);
	json_u64(&json, "epochs_conserved", report->proof.epochs);
	json_u64(&json, "audits", report->proof.audits);
	json_u64(&json, "checkpoints_equal", report->checkpoints);
	json_u64(&json, "checkpoints_damaged", report->checkpoints_bad);
	json_u64(&json, "threads", report->proof.threads);
	json_real(&json, "seconds", report->seconds);
	if (report->audited)
		json_ledgers(&json, &report->audit);
	if (report->end != NODE_SOUND)
		json_fault(&json, node, report->end);
	json_close(&json);
}

/* The accounts as they stand at the end, also behind a fault in the ledgers. */
static void audit_end(struct report *report)
{
	struct node *node = (struct node *)report->node;
	bool everywhere = report->end != NODE_DIVERGED || node->fault.shard == REPLAY_NO_SHARD;

	if (!everywhere || report->end == NODE_CORRUPT || report->end == NODE_UNREADABLE)
		return;
	if (audit_shards(&report->audit, node->shards, node->limits.shards) != 0) {
		snprintf(node->text, sizeof(node->text), "no memory for the audit");
		report->end = NODE_UNREADABLE;
		return;
	}
	report->audited = true;
	report->proof.audits++;
	if (report->audit.sound || report->end == NODE_DIVERGED)
		return;
	report->end = NODE_DIVERGED;
	snprintf(node->text, sizeof(node->text),
		 "the accounts break an invariant: a ledger does not sum to zero, an account is "
		 "below its floor, or held and incoming do not match the rows under way");
}

struct run {
	struct progress progress;
	struct moment to;
	struct report *report;
	uint64_t seqs[CHECKPOINTS_MAX]; /* blocks that checkpoints stand behind, newest first */
	uint32_t seq_count;
};

/* Blocks come in order, so the next one is the last of those that are left. */
static bool has_checkpoint(void *context, const struct wal_block_header *block)
{
	struct run *run = context;

	while (run->seq_count > 0 && run->seqs[run->seq_count - 1] < block->seq)
		run->seq_count--;
	return run->seq_count > 0 && run->seqs[run->seq_count - 1] == block->seq;
}

static enum node_end tell_checkpoint(struct node *node, const struct wal_block_header *block,
				     const char *what)
{
	node->diverged = true;
	node->fault = (struct replay_fault){
	    .seq = block->seq,
	    .epoch = block->epoch,
	    .segment = block->segment,
	    .block_offset = block->offset,
	    .shard = REPLAY_NO_SHARD,
	};
	snprintf(node->text, sizeof(node->text),
		 "the checkpoint behind block %" PRIu64 " (epoch %" PRIu64
		 ") is not what the log gives: %s. Remove it; the engine would start from it",
		 block->seq, block->epoch, what);
	return NODE_DIVERGED;
}

/* A checkpoint's block is here: are its contents what its header says, and its digests the shards'? */
static enum node_end compare_checkpoint(void *context, struct node *node,
					const struct wal_block_header *block)
{
	struct report *report = ((struct run *)context)->report;
	const char *directory = report->request->checkpoints;
	struct checkpoint_header header;
	char error[WAL_TEXT_BYTES];

	if (checkpoint_check(directory, block->seq, block->log_id, &node->limits, &header, error) !=
	    0) {
		command_error("%s", error);
		report->checkpoints_bad++;
		return NODE_SOUND;
	}
	if (!wal_hash_equal(header.block_hash, wal_header_hash(block)))
		return tell_checkpoint(node, block, "it is of another block");
	for (uint32_t i = 0; i < node->limits.shards; i++) {
		struct shard_digest digest = shard_digest(node->shards[i]);
		if (memcmp(&digest, &header.rows[i].digest, sizeof(digest)) != 0)
			return tell_checkpoint(node, block, "a shard has another digest");
	}
	report->checkpoints++;
	return NODE_SOUND;
}

static bool wanted(void *context, const struct wal_block_header *block)
{
	return moment_includes(&((struct run *)context)->to, block);
}

static void show(void *context, const struct node *node)
{
	progress_show(&((struct run *)context)->progress, node);
}

enum node_end command_verify(int argc, char **argv)
{
	static struct node node;
	struct request request;
	struct report report = {.request = &request, .node = &node};
	static struct run run;

	if (!parse_request(argc, argv, &request))
		return NODE_USAGE;
	report.end = node_open(&node, request.log);
	if (report.end != NODE_SOUND) {
		command_error("%s", node.text);
		return report.end;
	}
	const struct player_options options = {
	    .threads = (uint32_t)request.threads,
	    .prove = true,
	    .context = &run,
	    .wanted = wanted,
	    .cut = has_checkpoint,
	    .pause = compare_checkpoint,
	    .progress = show,
	};
	run.to = request.to;
	run.report = &report;
	run.seq_count = checkpoint_list(request.checkpoints, run.seqs, CHECKPOINTS_MAX);
	progress_begin(&run.progress, &node, &request.to);
	report.end = player_run(&node, &options, &report.proof);
	report.seconds = progress_clock() - run.progress.start_s;
	progress_end(&run.progress);
	audit_end(&report);
	if (report.end != NODE_SOUND && node.text[0] != '\0')
		command_error("%s", node.text);
	if (request.json)
		print_json(&report);
	else
		print_text(&report);
	if (report.audited)
		audit_free(&report.audit);
	node_close(&node);
	return report.end;
}
