/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/journal.h"

#include <stdio.h>
#include <stdlib.h>

static bool wants(const struct journal *journal, struct id128 account)
{
	return id_is_zero(journal->account) || id_equal(journal->account, account);
}

static void add_movement(struct journal *journal, const struct movement *movement)
{
	if (!wants(journal, movement->account))
		return;
	if (journal->count == journal->capacity) {
		uint32_t capacity = journal->capacity * 2 + 64;
		struct movement *grown =
		    realloc(journal->movements, capacity * sizeof(*journal->movements));
		if (grown == NULL) {
			journal->no_memory = true;
			return;
		}
		journal->movements = grown;
		journal->capacity = capacity;
	}
	journal->movements[journal->count++] = *movement;
}

static void add_finished(struct journal *journal, uint32_t from, uint32_t to, uint64_t seq)
{
	if (journal->finished_count == journal->finished_capacity) {
		uint32_t capacity = journal->finished_capacity * 2 + 64;
		struct journal_key *grown =
		    realloc(journal->finished, capacity * sizeof(*journal->finished));
		if (grown == NULL) {
			journal->no_memory = true;
			return;
		}
		journal->finished = grown;
		journal->finished_capacity = capacity;
	}
	journal->finished[journal->finished_count++] = (struct journal_key){
	    .from = (uint8_t)from,
	    .to = (uint8_t)to,
	    .seq = seq,
	};
}

static struct movement movement_of(const struct wal_block_header *block,
				   const struct transfer *transfer, bool debit)
{
	return (struct movement){
	    .transfer = transfer->id,
	    .account = debit ? transfer->debit : transfer->credit,
	    .counterparty = debit ? transfer->credit : transfer->debit,
	    .epoch = block->epoch,
	    .time_ms = block->time_ms,
	    .amount = transfer->amount,
	    .ledger = transfer->ledger,
	    .code = transfer->code,
	    .debit = debit,
	};
}

static void on_transfer(struct journal *journal, const struct wal_block_header *block,
			const struct shard *shard, const struct transfer *transfer,
			const struct record_head *head)
{
	if (head->arg == STATUS_OK) {
		struct movement debit = movement_of(block, transfer, true);
		struct movement credit = movement_of(block, transfer, false);
		add_movement(journal, &debit);
		add_movement(journal, &credit);
	} else if (head->arg == STATUS_PENDING && wants(journal, transfer->credit)) {
		/* The whole number, of which the record has the low half. */
		uint64_t near = shard->phase.link[head->peer].next;
		uint64_t seq = near + (uint64_t)(int64_t)(int32_t)(head->seq_low - (uint32_t)near);
		journal->no_memory |=
		    !crossings_put(&journal->crossings, shard->index, head->peer, seq, transfer);
	}
}

static void on_vote(struct journal *journal, const struct wal_block_header *block,
		    const struct shard *shard, const struct shard_message *message)
{
	const struct coordinator_row *row = phase_row(&shard->phase, message->from, message->seq);

	if (row == NULL || row->state != COORDINATOR_TRYING || message->status != STATUS_OK)
		return;
	struct movement debit = movement_of(block, &row->transfer, true);
	debit.crossing = true;
	add_movement(journal, &debit);
}

static void on_confirm(struct journal *journal, const struct wal_block_header *block,
		       const struct shard *shard, const struct shard_message *message)
{
	const struct participant_row *row =
	    phase_participant(&shard->phase, message->from, message->seq);

	if (row == NULL || row->state != PARTICIPANT_TRIED_YES)
		return;
	struct movement credit = {
	    .transfer = row->transfer,
	    .account = row->credit,
	    .epoch = block->epoch,
	    .time_ms = block->time_ms,
	    .amount = row->amount,
	    .ledger = shard->accounts.lines[row->credit_line].ledger,
	    .crossing = true,
	    .from = message->from,
	    .to = (uint8_t)shard->index,
	    .seq = row->seq,
	};
	add_movement(journal, &credit);
}

static void before(void *context, const struct wal_block_header *block, const struct shard *shard,
		   const struct shard_input *inputs, const struct record_head *heads,
		   uint32_t count)
{
	struct journal *journal = context;

	for (uint32_t i = 0; i < count; i++) {
		const struct shard_message *message = &inputs[i].message;
		switch (heads[i].kind) {
		case RECORD_TRANSFER:
			on_transfer(journal, block, shard, &inputs[i].transfer, &heads[i]);
			break;
		case RECORD_VOTE:
			on_vote(journal, block, shard, message);
			break;
		case RECORD_CONFIRM:
			on_confirm(journal, block, shard, message);
			break;
		case RECORD_ACK:
			add_finished(journal, shard->index, message->from, message->seq);
			break;
		default:
			break;
		}
	}
}

static void after(void *context, const struct wal_block_header *block, const struct shard *shard,
		  const struct shard_input *inputs, const struct record_head *heads, uint32_t count)
{
	(void)context;
	(void)block;
	(void)shard;
	(void)inputs;
	(void)heads;
	(void)count;
}

bool journal_init(struct journal *journal, const struct node *node, struct id128 account)
{
	*journal = (struct journal){
	    .observer = {.context = journal, .before = before, .after = after},
	    .account = account,
	};
	for (uint32_t from = 0; from < node->limits.shards; from++) {
		for (uint32_t to = 0; to < node->limits.shards; to++) {
			const struct phase_table *phase = &node->shards[from]->phase;
			const struct phase_link *link = &phase->link[to];
			for (uint64_t seq = link->low; seq < link->next; seq++) {
				const struct coordinator_row *row = phase_row(phase, to, seq);
				if (row != NULL && !crossings_put(&journal->crossings, from, to,
								  seq, &row->transfer))
					return false;
			}
		}
	}
	return true;
}

/* A participant does not know who paid. The coordinator's record of it is in the same block at the
 * latest, perhaps in a section behind. */
static bool name_counterparties(struct journal *journal)
{
	for (uint32_t i = 0; i < journal->count; i++) {
		struct movement *movement = &journal->movements[i];
		if (!movement->crossing || movement->debit)
			continue;
		const struct crossing *crossing = crossings_find(
		    &journal->crossings, movement->from, movement->to, movement->seq);
		if (crossing == NULL)
			return false;
		movement->counterparty = crossing->transfer.debit;
		movement->code = crossing->transfer.code;
	}
	for (uint32_t i = 0; i < journal->finished_count; i++) {
		const struct journal_key *key = &journal->finished[i];
		crossings_remove(&journal->crossings, key->from, key->to, key->seq);
	}
	return true;
}

bool journal_apply(struct journal *journal, struct node *node, const struct wal_block *block,
		   enum node_end *end)
{
	journal->count = 0;
	journal->finished_count = 0;
	node->replay.observer = &journal->observer;
	uint64_t seq = block->header->seq;
	bool applied = node_apply(node, false, block, end);
	node->replay.observer = NULL;
	if (!applied)
		return false;
	if (journal->no_memory) {
		snprintf(node->text, sizeof(node->text), "no memory for the movements");
		*end = NODE_UNREADABLE;
		return false;
	}
	if (!name_counterparties(journal)) {
		snprintf(node->text, sizeof(node->text),
			 "block %llu gives money that no shard is known to have taken",
			 (unsigned long long)seq);
		*end = NODE_DIVERGED;
		return false;
	}
	return true;
}

void journal_free(struct journal *journal)
{
	crossings_free(&journal->crossings);
	free(journal->movements);
	free(journal->finished);
	journal->movements = NULL;
	journal->finished = NULL;
}
