/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/proof.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "replay/command.h"

/* Blocks come in order, so the next one is the last of those that are left. */
static bool is_checkpoint(struct proof *proof, uint64_t seq)
{
	while (proof->seq_count > 0 && proof->seqs[proof->seq_count - 1] < seq)
		proof->seq_count--;
	return proof->seq_count > 0 && proof->seqs[proof->seq_count - 1] == seq;
}

static bool is_summary(const struct proof *proof, uint64_t seq)
{
	return proof->request->against != NULL && proof->request->against->seq == seq;
}

static bool cut(void *context, const struct wal_block_header *block)
{
	struct proof *proof = context;

	return is_checkpoint(proof, block->seq) || is_summary(proof, block->seq);
}

static enum node_end tell(struct node *node, const struct wal_block_header *block)
{
	node->diverged = true;
	node->fault = (struct replay_fault){
	    .seq = block->seq,
	    .epoch = block->epoch,
	    .segment = block->segment,
	    .block_offset = block->offset,
	    .shard = REPLAY_NO_SHARD,
	};
	return NODE_DIVERGED;
}

static enum node_end compare_checkpoint(struct proof *proof, struct node *node,
					const struct wal_block_header *block)
{
	char error[WAL_TEXT_BYTES];
	int result = checkpoint_compare(proof->request->checkpoints, block, node->shards,
					node->limits.shards, node->lanes, error);

	if (result == -EBADMSG) {
		snprintf(node->text, sizeof(node->text), "%s", error);
		return tell(node, block);
	}
	/* One that was removed meanwhile is none. */
	if (result != 0) {
		proof->damaged += result != -ENOENT;
		if (result != -ENOENT)
			command_error("%s", error);
		return NODE_SOUND;
	}
	if (proof->equal_count < CHECKPOINTS_MAX)
		proof->equal[proof->equal_count++] =
		    (struct proof_point){block->seq, block->epoch, block->time_ms, block->segment};
	return NODE_SOUND;
}

static enum node_end compare_summary(struct proof *proof, struct node *node,
				     const struct wal_block_header *block)
{
	const struct summary *against = proof->request->against;
	struct summary found;
	struct audit audit;

	if (audit_shards(&audit, node->shards, node->limits.shards) != 0) {
		snprintf(node->text, sizeof(node->text), "no memory for the audit");
		return NODE_UNREADABLE;
	}
	int made = summary_make(&found, block, node->shards, node->limits.shards, &audit,
				proof->hashed ? proof->sha256 : NULL);
	audit_free(&audit);
	if (made != 0) {
		snprintf(node->text, sizeof(node->text), "no memory for the summary");
		return NODE_UNREADABLE;
	}
	proof->compared = true;
	proof->differences = summary_compare(against, &found, stderr);
	summary_free(&found);
	if (proof->differences == 0)
		return NODE_SOUND;
	snprintf(node->text, sizeof(node->text),
		 "the log up to block %" PRIu64 " (epoch %" PRIu64
		 ") is not the one that the summary was made of: %" PRIu32
		 " differences, named above. Compare with a copy of that log (giro-replay diff)",
		 block->seq, block->epoch, proof->differences);
	return tell(node, block);
}

static enum node_end pause_at(void *context, struct node *node,
			      const struct wal_block_header *block)
{
	struct proof *proof = context;
	enum node_end end = NODE_SOUND;

	if (is_summary(proof, block->seq))
		end = compare_summary(proof, node, block);
	/* Reading is a batch ahead, and proof->seqs with it: without a checkpoint there is no file. */
	return end == NODE_SOUND ? compare_checkpoint(proof, node, block) : end;
}

static void finish_hash(struct proof *proof)
{
	unsigned size = 0;

	if (proof->hashing == NULL)
		return;
	proof->hashed =
	    EVP_DigestFinal_ex(proof->hashing, proof->sha256, &size) == 1 && size == SUMMARY_SHA256;
	EVP_MD_CTX_free(proof->hashing);
	proof->hashing = NULL;
}

/* Called for each block in turn, before it is played. */
static bool wanted(void *context, const struct wal_block_header *block)
{
	struct proof *proof = context;

	if (!moment_includes(&proof->request->to, block))
		return false;
	if (proof->hashing != NULL)
		EVP_DigestUpdate(proof->hashing, block, WAL_PAGE + block->payload_bytes);
	if (is_summary(proof, block->seq))
		finish_hash(proof);
	return true;
}

static bool ready(void *context, uint64_t seq)
{
	return seq < ((struct proof *)context)->durable.count;
}

static void show(void *context, const struct node *node)
{
	progress_show(&((struct proof *)context)->progress, node);
}

/* The accounts as they stand at the end, also behind a fault in the ledgers. */
static enum node_end audit_end(struct proof *proof, enum node_end end)
{
	struct node *node = proof->node;
	bool everywhere = end != NODE_DIVERGED || node->fault.shard == REPLAY_NO_SHARD;

	if (!everywhere || end == NODE_CORRUPT || end == NODE_UNREADABLE)
		return end;
	if (audit_shards(&proof->audit, node->shards, node->limits.shards) != 0) {
		snprintf(node->text, sizeof(node->text), "no memory for the audit");
		return NODE_UNREADABLE;
	}
	proof->audited = true;
	proof->played.audits++;
	if (proof->audit.sound || end == NODE_DIVERGED)
		return end;
	snprintf(node->text, sizeof(node->text),
		 "the accounts break an invariant: a ledger does not sum to zero, an account is "
		 "below its floor, or held and incoming do not match the rows under way");
	return NODE_DIVERGED;
}

/* At the first byte, unless that is not asked for or not there. */
static enum node_end begin(struct proof *proof)
{
	const struct proof_request *request = proof->request;
	struct node *node = proof->node;
	enum node_end end = NODE_SOUND;

	if (request->from.epoch != 0 || request->from.time_ms != 0) {
		/* The last moment before the range; epochs begin at 1. */
		struct moment last = MOMENT_LAST;
		if (request->from.epoch > 0)
			last.epoch = request->from.epoch - 1;
		else
			last.time_ms = request->from.time_ms - 1;
		end = node_resume(node, request->checkpoints, &last, command_tell, NULL);
	}
	if (end == NODE_SOUND && node->next_seq == 0 && !node_is_whole(node))
		end = node_resume_oldest(node, request->checkpoints, command_tell, NULL);
	proof->trusted = node->next_seq > 0;
	proof->base = (struct proof_point){node->next_seq - 1, node->epoch, node->time_ms,
					   wal_reader_tail(&node->reader)->segment};
	return end;
}

static enum node_end begin_hash(struct proof *proof)
{
	/* Of the whole log or not at all. */
	if (!proof->request->hash || proof->trusted)
		return NODE_SOUND;
	proof->hashing = EVP_MD_CTX_new();
	if (proof->hashing != NULL && EVP_DigestInit_ex(proof->hashing, EVP_sha256(), NULL) == 1)
		return NODE_SOUND;
	snprintf(proof->node->text, sizeof(proof->node->text), "no SHA-256 to be had");
	return NODE_UNREADABLE;
}

/* Another log's summary, or one of a block that is not in what is gone through. */
static enum node_end check_summary(struct proof *proof)
{
	const struct summary *against = proof->request->against;
	struct node *node = proof->node;
	uint64_t log_id = wal_reader_tail(&node->reader)->log_id;

	if (against == NULL)
		return NODE_SOUND;
	if (against->log_id != log_id) {
		snprintf(node->text, sizeof(node->text),
			 "the summary is of another log: %016" PRIx64 ", not %016" PRIx64,
			 against->log_id, log_id);
		return NODE_DIVERGED;
	}
	if (against->seq >= node->next_seq)
		return NODE_SOUND;
	snprintf(node->text, sizeof(node->text),
		 "the summary's block %" PRIu64 " is before the checkpoint behind block %" PRIu64
		 " that this begins at: begin earlier, or name the archive",
		 against->seq, node->next_seq - 1);
	return NODE_NOT_FOUND;
}

/* The whole log was gone through, and the summary's block did not come. */
static enum node_end check_reached(struct proof *proof, enum node_end end)
{
	const struct proof_request *request = proof->request;
	struct node *node = proof->node;

	if (request->against == NULL || proof->compared || (end != NODE_SOUND && end != NODE_TORN))
		return end;
	if (request->against->epoch > request->to.epoch ||
	    request->against->time_ms > request->to.time_ms) {
		snprintf(node->text, sizeof(node->text),
			 "the summary's block %" PRIu64 " is behind the moment asked for",
			 request->against->seq);
		return NODE_NOT_FOUND;
	}
	snprintf(node->text, sizeof(node->text),
		 "the log ends at epoch %" PRIu64 ", before the summary's block %" PRIu64
		 " (epoch %" PRIu64 "): it has lost what was there. Restore it",
		 node->epoch, request->against->seq, request->against->epoch);
	return NODE_CORRUPT;
}

/* A checkpoint is a witness: what it stands behind was durable. */
static enum node_end check_witnesses(struct proof *proof, enum node_end end)
{
	const struct proof_request *request = proof->request;
	struct node *node = proof->node;
	struct checkpoint_header header;

	if (request->durable || (end != NODE_SOUND && end != NODE_TORN))
		return end;
	/* Those whose block did not come are left in the list. */
	for (uint32_t i = 0; i < proof->seq_count; i++) {
		if (proof->seqs[i] < node->next_seq ||
		    checkpoint_peek(request->checkpoints, proof->seqs[i], &header) != 0 ||
		    header.log_id != wal_reader_tail(&node->reader)->log_id ||
		    header.epoch > request->to.epoch || header.time_ms > request->to.time_ms)
			continue;
		snprintf(node->text, sizeof(node->text),
			 "the log ends at epoch %" PRIu64
			 ", and the checkpoint behind block %" PRIu64 " (epoch %" PRIu64
			 ") says that this block was durable: restore the log; or, if an older "
			 "one was restored on purpose, remove the checkpoint",
			 node->epoch, header.seq, header.epoch);
		return NODE_CORRUPT;
	}
	return end;
}

static enum node_end play(struct proof *proof)
{
	const struct proof_request *request = proof->request;
	struct node *node = proof->node;
	const struct player_options options = {
	    .prove = true,
	    .context = proof,
	    .ready = request->durable ? ready : NULL,
	    .wanted = wanted,
	    .cut = cut,
	    .pause = pause_at,
	    .progress = show,
	};

	if (request->durable && durable_open_beside(&proof->durable, &node->reader) != 0) {
		snprintf(node->text, sizeof(node->text), "%s", proof->durable.reader.fault.text);
		return NODE_UNREADABLE;
	}
	proof->seq_count = checkpoint_list(request->checkpoints, proof->seqs, CHECKPOINTS_MAX);
	progress_begin(&proof->progress, node, &request->to);
	double start = proof->progress.start_s;
	enum node_end end = player_run(node, &options, &proof->played);
	proof->seconds = progress_clock() - start;
	progress_end(&proof->progress);
	if (request->durable)
		durable_close(&proof->durable);
	return end;
}

enum node_end proof_run(struct proof *proof, struct node *node, const struct proof_request *request,
			bool *opened)
{
	*proof = (struct proof){.request = request, .node = node};
	enum node_end end = node_open(node, request->log);

	*opened = end == NODE_SOUND;
	if (end == NODE_SOUND) {
		node_share(node, (uint32_t)request->threads);
		end = begin(proof);
	}
	if (end == NODE_SOUND)
		end = check_summary(proof);
	if (end == NODE_SOUND)
		end = begin_hash(proof);
	if (end != NODE_SOUND)
		return end;
	end = check_witnesses(proof, check_reached(proof, play(proof)));
	finish_hash(proof);
	return audit_end(proof, end);
}

void proof_close(struct proof *proof)
{
	if (proof->audited)
		audit_free(&proof->audit);
	EVP_MD_CTX_free(proof->hashing);
	node_close(proof->node);
}
