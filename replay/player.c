/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/player.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/crossing.h"
#include "replay/tally.h"

struct batch {
	uint8_t *bytes; /* blocks, one behind the other */
	size_t used;
	size_t capacity;
	size_t *blocks; /* where each begins */
	uint32_t count;
	uint32_t capacity_blocks;
	bool cut;	   /* the caller wants to pause behind it */
	bool audit;	   /* its last block is OPEN or CLOSE */
	enum node_end end; /* why reading stopped behind it, when `last` */
	bool last;
};

struct lane {
	uint32_t first; /* shards first, first + lanes, ... */
	struct replay replay;
	struct tally tally;
	bool failed; /* replay.fault tells */
};

struct player {
	struct node *node;
	const struct player_options *options;
	struct batch batches[2];
	const struct batch *playing;
	struct lane *lanes;
	uint32_t lane_count;
	struct crossings crossings;    /* taken from one account, not yet given to the other */
	struct tally_changes gathered; /* of one block, from all lanes */
	struct player_proof proof;
};

static struct wal_block block_at(const struct batch *batch, uint32_t index)
{
	return (struct wal_block){
	    (const struct wal_block_header *)(batch->bytes + batch->blocks[index])};
}

static int play_section(struct lane *lane, const struct wal_block *block, uint32_t shard,
			bool prove)
{
	int error = replay_section(&lane->replay, block, shard);

	if (error == 0 && prove && block->header->type != WAL_DATA)
		error = replay_check_digest(&lane->replay, block->header, shard);
	return error;
}

/* Block by block, so that of two faults the lane meets the earlier one. */
static void play_batch(void *context, uint32_t index)
{
	const struct player *player = context;
	const struct batch *batch = player->playing;
	struct lane *lane = &player->lanes[index];
	struct tally *tally = &lane->tally;

	for (uint32_t i = 0; i < batch->count; i++) {
		struct wal_block block = block_at(batch, i);
		for (uint32_t s = lane->first; s < lane->replay.shard_count;
		     s += player->lane_count) {
			if (play_section(lane, &block, s, player->options->prove) != 0) {
				lane->failed = true;
				return;
			}
		}
		tally_close_block(tally, block.header->seq);
		if (tally->below_floor) {
			lane->replay.fault = tally->fault;
			lane->failed = true;
			return;
		}
	}
}

/* Copies a block; false: no memory. */
static bool batch_add(struct batch *batch, const struct wal_block_header *header)
{
	size_t bytes = WAL_PAGE + header->payload_bytes;

	if (batch->used + bytes > batch->capacity) {
		size_t capacity = batch->used + bytes + PLAYER_BATCH_BYTES;
		uint8_t *grown = realloc(batch->bytes, capacity);
		if (grown == NULL)
			return false;
		batch->bytes = grown;
		batch->capacity = capacity;
	}
	if (batch->count == batch->capacity_blocks) {
		uint32_t capacity = batch->capacity_blocks * 2 + 256;
		size_t *grown = realloc(batch->blocks, capacity * sizeof(*grown));
		if (grown == NULL)
			return false;
		batch->blocks = grown;
		batch->capacity_blocks = capacity;
	}
	memcpy(batch->bytes + batch->used, header, bytes);
	batch->blocks[batch->count++] = batch->used;
	batch->used += bytes;
	return true;
}

/* Reads blocks until the batch is full, must end, or there are no more. */
static void fill(struct player *player, struct batch *batch)
{
	const struct player_options *options = player->options;
	struct node *node = player->node;
	struct wal_block block;

	batch->used = 0;
	batch->count = 0;
	batch->cut = false;
	batch->audit = false;
	batch->last = false;
	batch->end = NODE_SOUND;
	while (batch->used < PLAYER_BATCH_BYTES && !batch->cut && !batch->audit) {
		uint64_t next = wal_reader_tail(&node->reader)->next_seq;
		if ((options->ready != NULL && !options->ready(options->context, next)) ||
		    !node_peek(node, &block, &batch->end) ||
		    (batch->end = node_check_beginning(node, block.header)) != NODE_SOUND ||
		    (options->wanted != NULL && !options->wanted(options->context, block.header)) ||
		    (batch->end = node_check_next(node, block.header)) != NODE_SOUND) {
			batch->last = true;
			return;
		}
		if (!batch_add(batch, block.header)) {
			snprintf(node->text, sizeof(node->text), "no memory for a batch of blocks");
			batch->end = NODE_UNREADABLE;
			batch->last = true;
			return;
		}
		node_skip(node);
		batch->cut = options->cut != NULL && options->cut(options->context, block.header);
		batch->audit = options->prove && block.header->type != WAL_DATA;
	}
}

static enum node_end tell_fault(struct node *node, const struct replay_fault *fault)
{
	node->fault = *fault;
	node->diverged = true;
	snprintf(node->text, sizeof(node->text), "%s", fault->text);
	return NODE_DIVERGED;
}

static enum node_end no_memory(struct player *player)
{
	snprintf(player->node->text, sizeof(player->node->text), "no memory to follow the ledgers");
	return NODE_UNREADABLE;
}

/* Of all lanes' faults the first in the log: the others may follow from it. */
static enum node_end judge_lanes(struct player *player)
{
	const struct replay_fault *first = NULL;

	for (uint32_t i = 0; i < player->lane_count; i++) {
		const struct lane *lane = &player->lanes[i];
		const struct replay_fault *fault = &lane->replay.fault;
		if (lane->tally.no_memory)
			return no_memory(player);
		if (lane->failed && (first == NULL || fault->seq < first->seq ||
				     (fault->seq == first->seq && fault->shard < first->shard)))
			first = fault;
	}
	return first == NULL ? NODE_SOUND : tell_fault(player->node, first);
}

static enum node_end tell_imbalance(struct player *player, const struct wal_block_header *block,
				    uint32_t ledger, audit_sum change)
{
	struct replay_fault fault = {
	    .seq = block->seq,
	    .epoch = block->epoch,
	    .segment = block->segment,
	    .block_offset = block->offset,
	    .shard = REPLAY_NO_SHARD,
	    .expected = "0",
	};

	audit_sum_text(change, fault.found);
	snprintf(fault.text, sizeof(fault.text),
		 "block %" PRIu64 " (epoch %" PRIu64 "): ledger %" PRIu32
		 " does not sum to zero any more: balances and money in flight together changed "
		 "by %s",
		 block->seq, block->epoch, ledger, fault.found);
	return tell_fault(player->node, &fault);
}

static int by_ledger(const void *left, const void *right)
{
	const struct tally_change *a = left;
	const struct tally_change *b = right;

	return a->ledger < b->ledger ? -1 : a->ledger > b->ledger;
}

/* Takes what one block changed out of the lanes' lists, each of which is in the blocks' order. */
static bool gather(struct player *player, uint64_t seq, uint32_t *next)
{
	struct tally_changes *gathered = &player->gathered;

	gathered->count = 0;
	for (uint32_t i = 0; i < player->lane_count; i++) {
		const struct tally_changes *closed = &player->lanes[i].tally.closed;
		for (; next[i] < closed->count && closed->rows[next[i]].seq == seq; next[i]++) {
			const struct tally_change *row = &closed->rows[next[i]];
			struct tally_change *copy = tally_changes_add(gathered, row->ledger);
			if (copy == NULL)
				return false;
			copy->change = row->change;
		}
	}
	if (gathered->count > 1)
		qsort(gathered->rows, gathered->count, sizeof(*gathered->rows), by_ledger);
	return true;
}

/* What a block changed must cancel out over its shards, ledger by ledger. */
static enum node_end judge_block(struct player *player, const struct wal_block_header *block,
				 uint32_t *next)
{
	const struct tally_changes *gathered = &player->gathered;

	if (!gather(player, block->seq, next))
		return no_memory(player);
	for (uint32_t at = 0; at < gathered->count;) {
		uint32_t ledger = gathered->rows[at].ledger;
		audit_sum sum = 0;
		for (; at < gathered->count && gathered->rows[at].ledger == ledger; at++)
			sum += gathered->rows[at].change;
		if (sum != 0)
			return tell_imbalance(player, block, ledger, sum);
	}
	player->proof.epochs++;
	return NODE_SOUND;
}

static enum node_end tell_crossing(struct player *player, const struct wal_block_header *block,
				   const struct tally_step *given, const struct crossing *taken)
{
	const struct transfer *transfer = &given->transfer;
	struct replay_fault fault = {
	    .seq = block->seq,
	    .epoch = block->epoch,
	    .segment = block->segment,
	    .block_offset = block->offset,
	    .shard = REPLAY_NO_SHARD,
	};

	if (taken == NULL)
		snprintf(fault.expected, sizeof(fault.expected), "nothing taken");
	else
		snprintf(fault.expected, sizeof(fault.expected),
			 "%" PRIu64 " of ledger %" PRIu32 " taken", taken->transfer.amount,
			 taken->transfer.ledger);
	snprintf(fault.found, sizeof(fault.found), "%" PRIu64 " of ledger %" PRIu32 " given",
		 transfer->amount, transfer->ledger);
	snprintf(fault.text, sizeof(fault.text),
		 "block %" PRIu64 " (epoch %" PRIu64 "), transfer %016" PRIx64 "%016" PRIx64
		 " from shard %u to shard %u: %s, %s: the ledger does not sum to zero any more",
		 block->seq, block->epoch, transfer->id.hi, transfer->id.lo, given->from, given->to,
		 fault.expected, fault.found);
	return tell_fault(player->node, &fault);
}

static enum node_end give(struct player *player, const struct wal_block_header *block,
			  const struct tally_step *given)
{
	const struct crossing *taken =
	    crossings_find(&player->crossings, given->from, given->to, given->seq);

	if (taken == NULL || taken->transfer.amount != given->transfer.amount ||
	    taken->transfer.ledger != given->transfer.ledger ||
	    !id_equal(taken->transfer.credit, given->transfer.credit))
		return tell_crossing(player, block, given, taken);
	crossings_remove(&player->crossings, given->from, given->to, given->seq);
	return NODE_SOUND;
}

/* What was given in a block was taken in it or before. Sections have no order, so all that was taken
 * is looked at first. */
static enum node_end judge_steps(struct player *player, const struct wal_block_header *block,
				 uint64_t *next)
{
	uint64_t from[SHARDS_MAX];

	for (uint32_t i = 0; i < player->lane_count; i++) {
		const struct tally *tally = &player->lanes[i].tally;
		from[i] = next[i];
		for (; next[i] < tally->step_count && tally->steps[next[i]].block == block->seq;
		     next[i]++) {
			const struct tally_step *step = &tally->steps[next[i]];
			if (!step->given && !crossings_put(&player->crossings, step->from, step->to,
							   step->seq, &step->transfer))
				return no_memory(player);
		}
	}
	for (uint32_t i = 0; i < player->lane_count; i++) {
		const struct tally *tally = &player->lanes[i].tally;
		for (uint64_t at = from[i]; at < next[i]; at++) {
			enum node_end end = tally->steps[at].given
						? give(player, block, &tally->steps[at])
						: NODE_SOUND;
			if (end != NODE_SOUND)
				return end;
		}
	}
	return NODE_SOUND;
}

static enum node_end judge_ledgers(struct player *player, const struct batch *batch)
{
	uint32_t next[SHARDS_MAX] = {0};
	uint64_t next_step[SHARDS_MAX] = {0};
	enum node_end end = NODE_SOUND;

	for (uint32_t i = 0; i < batch->count && end == NODE_SOUND; i++) {
		const struct wal_block_header *block = block_at(batch, i).header;
		end = judge_steps(player, block, next_step);
		if (end == NODE_SOUND)
			end = judge_block(player, block, next);
	}
	for (uint32_t i = 0; i < player->lane_count; i++) {
		player->lanes[i].tally.closed.count = 0;
		player->lanes[i].tally.step_count = 0;
	}
	return end;
}

static enum node_end judge_audit(struct player *player, const struct wal_block_header *block)
{
	struct node *node = player->node;
	struct audit audit;

	if (audit_shards(&audit, node->shards, node->limits.shards) != 0) {
		snprintf(node->text, sizeof(node->text), "no memory for the audit");
		return NODE_UNREADABLE;
	}
	bool sound = audit.sound;
	audit_free(&audit);
	player->proof.audits++;
	if (sound)
		return NODE_SOUND;
	struct replay_fault fault = {
	    .seq = block->seq,
	    .epoch = block->epoch,
	    .segment = block->segment,
	    .block_offset = block->offset,
	    .shard = REPLAY_NO_SHARD,
	};
	snprintf(fault.text, sizeof(fault.text),
		 "block %" PRIu64 " (epoch %" PRIu64 "): the accounts break an invariant: a ledger "
		 "does not sum to zero, an account is below its floor, or held and incoming do "
		 "not match the rows under way",
		 block->seq, block->epoch);
	return tell_fault(node, &fault);
}

/* All lanes have applied the batch. */
static enum node_end judge(struct player *player, const struct batch *batch)
{
	const struct player_options *options = player->options;
	struct node *node = player->node;

	if (batch->count == 0)
		return NODE_SOUND;
	const struct wal_block_header *last = block_at(batch, batch->count - 1).header;
	enum node_end end = judge_lanes(player);
	if (end != NODE_SOUND)
		return end;
	node->last = *last;
	node->epoch = last->epoch;
	node->time_ms = last->time_ms;
	node->replay.counts.blocks += batch->count;
	if (options->prove)
		end = judge_ledgers(player, batch);
	if (end == NODE_SOUND && batch->audit)
		end = judge_audit(player, last);
	if (end == NODE_SOUND && batch->cut && options->pause != NULL)
		end = options->pause(options->context, node, last);
	if (options->progress != NULL)
		options->progress(options->context, node);
	return end;
}

static enum node_end play(struct player *player)
{
	struct batch *now = &player->batches[0];
	struct batch *then = &player->batches[1];
	enum node_end end = NODE_SOUND;

	fill(player, now);
	for (;;) {
		player->playing = now;
		lanes_begin(player->node->lanes, play_batch, player);
		bool ahead = !now->last;
		if (ahead)
			fill(player, then);
		lanes_end(player->node->lanes);
		end = judge(player, now);
		if (end != NODE_SOUND || !ahead)
			break;
		struct batch *swap = now;
		now = then;
		then = swap;
	}
	/* What stopped the reading counts only if nothing before it did. */
	return end != NODE_SOUND ? end : now->end;
}

/* Shards that come from a checkpoint have money under way already. */
static bool find_crossings(struct player *player)
{
	struct shard *const *shards = player->node->shards;
	uint32_t count = player->node->limits.shards;

	for (uint32_t from = 0; from < count; from++) {
		for (uint32_t to = 0; to < count; to++) {
			const struct phase_link *link = &shards[from]->phase.link[to];
			for (uint64_t seq = link->low; seq < link->next; seq++) {
				const struct coordinator_row *row =
				    phase_row(&shards[from]->phase, to, seq);
				const struct participant_row *other =
				    phase_participant(&shards[to]->phase, from, seq);
				if (row != NULL && row->state == COORDINATOR_CONFIRMING &&
				    (other == NULL || other->state != PARTICIPANT_CONFIRMED) &&
				    !crossings_put(&player->crossings, from, to, seq,
						   &row->transfer))
					return false;
			}
		}
	}
	return true;
}

static bool make_lanes(struct player *player)
{
	const struct node *node = player->node;

	player->lane_count = lanes_count(node->lanes);
	player->lanes = calloc(player->lane_count, sizeof(*player->lanes));
	if (player->lanes == NULL)
		return false;
	for (uint32_t i = 0; i < player->lane_count; i++) {
		struct lane *lane = &player->lanes[i];
		lane->first = i;
		replay_init(&lane->replay, node->shards, node->limits.shards);
		tally_init(&lane->tally);
		if (player->options->prove)
			lane->replay.observer = &lane->tally.observer;
	}
	return true;
}

static void free_player(struct player *player)
{
	for (uint32_t i = 0; i < player->lane_count && player->lanes != NULL; i++) {
		struct lane *lane = &player->lanes[i];
		replay_counts_add(&player->node->replay.counts, &lane->replay.counts);
		tally_free(&lane->tally);
	}
	crossings_free(&player->crossings);
	free(player->gathered.rows);
	free(player->lanes);
	for (int i = 0; i < 2; i++) {
		free(player->batches[i].bytes);
		free(player->batches[i].blocks);
	}
}

enum node_end player_run(struct node *node, const struct player_options *options,
			 struct player_proof *proof)
{
	struct player player = {.node = node, .options = options};
	enum node_end end = make_lanes(&player) && (!options->prove || find_crossings(&player))
				? play(&player)
				: no_memory(&player);

	player.proof.threads = player.lane_count;
	free_player(&player);
	if (proof != NULL)
		*proof = player.proof;
	return end;
}
