/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/journal.h"

#include <stdio.h>
#include <stdlib.h>

static bool wants(const struct journal *journal, struct id128 account)
{
	return id_is_zero(journal->account) || id_equal(journal->account, account);
}

static bool wants_all(const struct journal *journal)
{
	return id_is_zero(journal->account);
}

/* Room for one more row of a list; false: no memory. */
static bool list_grow(void **rows, uint32_t count, uint32_t *capacity, size_t row_bytes)
{
	if (count < *capacity)
		return true;
	uint32_t more = *capacity * 2 + 64;
	void *grown = realloc(*rows, more * row_bytes);
	if (grown == NULL)
		return false;
	*rows = grown;
	*capacity = more;
	return true;
}

/* Puts `row` behind the others of the list. */
#define LIST_ADD(journal, list, row)                                                     \
	do {                                                                             \
		if (list_grow((void **)&(journal)->list.rows, (journal)->list.count,     \
			      &(journal)->list.capacity, sizeof(*(journal)->list.rows))) \
			(journal)->list.rows[(journal)->list.count++] = (row);           \
		else                                                                     \
			(journal)->no_memory = true;                                     \
	} while (0)

static void add_touched(struct journal *journal, struct id128 account)
{
	if (wants_all(journal))
		LIST_ADD(journal, touched, account);
}

/* What an account holds before the record that is looked at. The records of a burst are applied
 * together, so those before it in the burst have not changed `account` yet; if one of them opens it, it
 * is NULL. */
static int64_t balance_before(const struct journal *journal, struct id128 id,
			      const struct account *account)
{
	for (uint32_t i = journal->movements.count; i > journal->burst; i--) {
		const struct movement *movement = &journal->movements.rows[i - 1];
		if (id_equal(movement->account, id))
			return movement->balance;
	}
	return account != NULL ? account->balance : 0;
}

/* The shard has checked that the sum can be had. */
static int64_t balance_after(int64_t before, uint64_t amount, bool debit)
{
	return (int64_t)(debit ? (uint64_t)before - amount : (uint64_t)before + amount);
}

static void add_movement(struct journal *journal, const struct account *account,
			 struct movement movement)
{
	if (!wants(journal, movement.account))
		return;
	int64_t before = balance_before(journal, movement.account, account);
	movement.balance = balance_after(before, movement.amount, movement.debit);
	LIST_ADD(journal, movements, movement);
	add_touched(journal, movement.account);
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

/* Takes from one account and gives to the other, both of this shard. */
static void add_local(struct journal *journal, const struct wal_block_header *block,
		      const struct shard *shard, const struct shard_input *input)
{
	const struct transfer *transfer = &input->transfer;
	const struct account *debit = account_find(&shard->accounts, transfer->debit, input->hash);
	const struct account *credit =
	    account_find(&shard->accounts, transfer->credit, input->credit_hash);

	add_movement(journal, debit, movement_of(block, transfer, true));
	add_movement(journal, credit, movement_of(block, transfer, false));
}

static void on_transfer(struct journal *journal, const struct wal_block_header *block,
			const struct shard *shard, const struct shard_input *input,
			const struct record_head *head)
{
	const struct transfer *transfer = &input->transfer;

	if (wants_all(journal)) {
		const struct decision decision = {
		    .transfer = *transfer,
		    .status = (enum status)head->arg,
		    .received_ms = block->time_ms,
		};
		LIST_ADD(journal, decisions, decision);
	}
	if (head->arg == STATUS_OK &&
	    (wants(journal, transfer->debit) || wants(journal, transfer->credit))) {
		add_local(journal, block, shard, input);
	} else if (head->arg == STATUS_PENDING) {
		add_touched(journal, transfer->debit);
		if (!wants(journal, transfer->credit))
			return;
		/* The whole number, of which the record has the low half. */
		uint64_t near = shard->phase.link[head->peer].next;
		uint64_t seq = near + (uint64_t)(int64_t)(int32_t)(head->seq_low - (uint32_t)near);
		journal->no_memory |=
		    !crossings_put(&journal->crossings, shard->index, head->peer, seq, transfer);
	}
}

static void on_operation(struct journal *journal, const struct account_operation *operation,
			 unsigned status)
{
	const struct journal_operation row = {
	    .operation = *operation,
	    .status = (enum status)status,
	};

	if (!wants_all(journal))
		return;
	LIST_ADD(journal, operations, row);
	add_touched(journal, operation->account);
}

/* Decided: by a vote, or for want of one. */
static void on_vote(struct journal *journal, const struct wal_block_header *block,
		    const struct shard *shard, const struct shard_message *message, bool confirm)
{
	const struct coordinator_row *row = phase_row(&shard->phase, message->from, message->seq);

	if (row == NULL || row->state != COORDINATOR_TRYING)
		return;
	add_touched(journal, row->transfer.debit);
	if (!confirm)
		return;
	struct movement debit = movement_of(block, &row->transfer, true);
	debit.crossing = true;
	add_movement(journal, &shard->accounts.lines[row->debit_line], debit);
}

static void on_confirm(struct journal *journal, const struct wal_block_header *block,
		       const struct shard *shard, const struct shard_message *message)
{
	const struct participant_row *row =
	    phase_participant(&shard->phase, message->from, message->seq);

	if (row == NULL || row->state != PARTICIPANT_TRIED_YES)
		return;
	const struct account *account = &shard->accounts.lines[row->credit_line];
	add_movement(journal, account,
		     (struct movement){
			 .transfer = row->transfer,
			 .account = row->credit,
			 .epoch = block->epoch,
			 .time_ms = block->time_ms,
			 .amount = row->amount,
			 .ledger = account->ledger,
			 .crossing = true,
			 .from = message->from,
			 .to = (uint8_t)shard->index,
			 .seq = row->seq,
		     });
}

static void on_cancel(struct journal *journal, const struct shard *shard,
		      const struct shard_message *message)
{
	const struct participant_row *row =
	    phase_participant(&shard->phase, message->from, message->seq);

	if (row != NULL && row->state == PARTICIPANT_TRIED_YES)
		add_touched(journal, row->credit);
}

static void on_ack(struct journal *journal, const struct shard *shard,
		   const struct shard_message *message)
{
	const struct coordinator_row *row = phase_row(&shard->phase, message->from, message->seq);
	const struct journal_key key = {
	    .from = (uint8_t)shard->index,
	    .to = message->from,
	    .seq = message->seq,
	};

	LIST_ADD(journal, finished, key);
	if (row == NULL || row->state == COORDINATOR_TRYING || !wants_all(journal))
		return;
	const struct decision decision = {
	    .transfer = row->transfer,
	    .status = row->outcome,
	    .was_pending = true,
	    .received_ms = row->started_ms,
	};
	LIST_ADD(journal, decisions, decision);
}

static void on_message(struct journal *journal, const struct wal_block_header *block,
		       const struct shard *shard, const struct shard_message *message,
		       const struct record_head *head)
{
	switch (head->kind) {
	case RECORD_TRY:
		if (head->arg == STATUS_OK)
			add_touched(journal, message->credit);
		break;
	case RECORD_VOTE:
		on_vote(journal, block, shard, message, head->arg == STATUS_OK);
		break;
	case RECORD_TIMEOUT:
		on_vote(journal, block, shard, message, false);
		break;
	case RECORD_CONFIRM:
		on_confirm(journal, block, shard, message);
		break;
	case RECORD_CANCEL:
		on_cancel(journal, shard, message);
		break;
	case RECORD_ACK:
		on_ack(journal, shard, message);
		break;
	default:
		break;
	}
}

static void before(void *context, const struct wal_block_header *block, const struct shard *shard,
		   const struct shard_input *inputs, const struct record_head *heads,
		   uint32_t count)
{
	struct journal *journal = context;

	journal->burst = journal->movements.count;
	for (uint32_t i = 0; i < count; i++) {
		if (heads[i].kind == RECORD_TRANSFER)
			on_transfer(journal, block, shard, &inputs[i], &heads[i]);
		else if (heads[i].kind == RECORD_ACCOUNT)
			on_operation(journal, &inputs[i].operation, heads[i].arg);
		else
			on_message(journal, block, shard, &inputs[i].message, &heads[i]);
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
	for (uint32_t i = 0; i < journal->movements.count; i++) {
		struct movement *movement = &journal->movements.rows[i];
		if (!movement->crossing || movement->debit)
			continue;
		const struct crossing *crossing = crossings_find(
		    &journal->crossings, movement->from, movement->to, movement->seq);
		if (crossing == NULL)
			return false;
		movement->counterparty = crossing->transfer.debit;
		movement->code = crossing->transfer.code;
	}
	for (uint32_t i = 0; i < journal->finished.count; i++) {
		const struct journal_key *key = &journal->finished.rows[i];
		crossings_remove(&journal->crossings, key->from, key->to, key->seq);
	}
	return true;
}

bool journal_apply(struct journal *journal, struct node *node, const struct wal_block *block,
		   enum node_end *end)
{
	journal->movements.count = 0;
	journal->decisions.count = 0;
	journal->operations.count = 0;
	journal->touched.count = 0;
	journal->finished.count = 0;
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
	free(journal->movements.rows);
	free(journal->decisions.rows);
	free(journal->operations.rows);
	free(journal->touched.rows);
	free(journal->finished.rows);
	*journal = (struct journal){0};
}
