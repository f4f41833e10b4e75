/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct tally_change *tally_changes_add(struct tally_changes *changes, uint32_t ledger)
{
	if (changes->count == changes->capacity) {
		uint32_t capacity = changes->capacity * 2 + 16;
		struct tally_change *rows = realloc(changes->rows, capacity * sizeof(*rows));
		if (rows == NULL)
			return NULL;
		changes->rows = rows;
		changes->capacity = capacity;
	}
	struct tally_change *row = &changes->rows[changes->count++];
	*row = (struct tally_change){.ledger = ledger};
	return row;
}

static struct tally_change *append(struct tally *tally, struct tally_changes *changes,
				   uint32_t ledger)
{
	struct tally_change *row = tally_changes_add(changes, ledger);

	tally->no_memory |= row == NULL;
	return row;
}

/* Few ledgers: the one of the record before, or a look through the list. */
static void add(struct tally *tally, uint32_t ledger, audit_sum change)
{
	struct tally_changes *open = &tally->open;

	if (tally->last >= open->count || open->rows[tally->last].ledger != ledger) {
		tally->last = 0;
		while (tally->last < open->count && open->rows[tally->last].ledger != ledger)
			tally->last++;
		if (tally->last == open->count && append(tally, open, ledger) == NULL)
			return;
	}
	open->rows[tally->last].change += change;
}

static void touch(struct tally *tally, const struct account *account)
{
	if (account == NULL)
		return;
	uint32_t at = (uint32_t)((uintptr_t)account / sizeof(*account)) % TALLY_PLACES;

	for (; tally->places[at].burst == tally->burst; at = (at + 1) % TALLY_PLACES) {
		if (tally->touched[tally->places[at].touched].account == account)
			return;
	}
	tally->places[at].burst = tally->burst;
	tally->places[at].touched = tally->touched_count;
	tally->touched[tally->touched_count++] = (struct tally_touched){
	    .account = account,
	    .balance = account->balance,
	};
}

static const struct account *line(const struct shard *shard, uint64_t index)
{
	return &shard->accounts.lines[index];
}

static void add_step(struct tally *tally, const struct tally_step *step)
{
	if (tally->step_count == tally->step_capacity) {
		uint64_t capacity = tally->step_capacity * 2 + 256;
		struct tally_step *steps = realloc(tally->steps, capacity * sizeof(*steps));
		if (steps == NULL) {
			tally->no_memory = true;
			return;
		}
		tally->steps = steps;
		tally->step_capacity = capacity;
	}
	tally->steps[tally->step_count++] = *step;
}

static void touch_coordinated(struct tally *tally, const struct wal_block_header *block,
			      const struct shard *shard, const struct shard_input *input)
{
	const struct shard_message *message = &input->message;
	const struct coordinator_row *row = phase_row(&shard->phase, message->from, message->seq);

	if (row == NULL || row->state != COORDINATOR_TRYING)
		return;
	touch(tally, line(shard, row->debit_line));
	if (input->kind != SHARD_INPUT_MESSAGE || message->status != STATUS_OK)
		return;
	add(tally, row->transfer.ledger, (audit_sum)row->transfer.amount);
	add_step(tally, &(struct tally_step){
			    .block = block->seq,
			    .seq = row->seq,
			    .from = (uint8_t)shard->index,
			    .to = message->from,
			    .transfer = row->transfer,
			});
}

static void touch_participated(struct tally *tally, const struct wal_block_header *block,
			       const struct shard *shard, const struct shard_message *message)
{
	const struct participant_row *row =
	    phase_participant(&shard->phase, message->from, message->seq);

	if (row == NULL || row->state != PARTICIPANT_TRIED_YES)
		return;
	const struct account *credit = line(shard, row->credit_line);
	touch(tally, credit);
	if (message->kind != MESSAGE_CONFIRM)
		return;
	add(tally, credit->ledger, -(audit_sum)row->amount);
	add_step(tally, &(struct tally_step){
			    .block = block->seq,
			    .seq = row->seq,
			    .from = message->from,
			    .to = (uint8_t)shard->index,
			    .given = true,
			    .transfer = {.id = row->transfer,
					 .credit = row->credit,
					 .amount = row->amount,
					 .ledger = credit->ledger},
			});
}

static void touch_by_peer(struct tally *tally, const struct wal_block_header *block,
			  const struct shard *shard, const struct shard_input *input)
{
	switch (input->message.kind) {
	case MESSAGE_TRY:
		touch(tally, account_find(&shard->accounts, input->message.credit, input->hash));
		break;
	case MESSAGE_VOTE:
		touch_coordinated(tally, block, shard, input);
		break;
	case MESSAGE_CONFIRM:
	case MESSAGE_CANCEL:
		touch_participated(tally, block, shard, &input->message);
		break;
	default:
		break;
	}
}

static void before(void *context, const struct wal_block_header *block, const struct shard *shard,
		   const struct shard_input *inputs, const struct record_head *heads,
		   uint32_t count)
{
	const struct account_table *accounts = &shard->accounts;
	struct tally *tally = context;

	(void)heads;
	tally->burst++;
	tally->touched_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		account_prefetch(accounts, inputs[i].hash);
		if (inputs[i].kind == SHARD_INPUT_TRANSFER && inputs[i].peer == shard->index)
			account_prefetch(accounts, inputs[i].credit_hash);
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct shard_input *input = &inputs[i];
		switch (input->kind) {
		case SHARD_INPUT_TRANSFER:
			touch(tally, account_find(accounts, input->transfer.debit, input->hash));
			if (input->peer == shard->index)
				touch(tally, account_find(accounts, input->transfer.credit,
							  input->credit_hash));
			break;
		case SHARD_INPUT_ACCOUNT:
			touch(tally, account_find(accounts, input->operation.account, input->hash));
			break;
		case SHARD_INPUT_TIMEOUT:
			touch_coordinated(tally, block, shard, input);
			break;
		default:
			touch_by_peer(tally, block, shard, input);
			break;
		}
	}
}

static void tell_floor(struct tally *tally, const struct wal_block_header *block,
		       const struct shard *shard, const struct account *account)
{
	struct replay_fault *fault = &tally->fault;

	tally->below_floor = true;
	*fault = (struct replay_fault){
	    .seq = block->seq,
	    .epoch = block->epoch,
	    .segment = block->segment,
	    .block_offset = block->offset,
	    .shard = shard->index,
	};
	snprintf(fault->expected, sizeof(fault->expected), "balance - held of at least %" PRId64,
		 account->floor);
	snprintf(fault->found, sizeof(fault->found), "balance %" PRId64 ", held %" PRIu64,
		 account->balance, account->held);
	snprintf(fault->text, sizeof(fault->text),
		 "block %" PRIu64 " (epoch %" PRIu64 "), shard %u: account %016" PRIx64
		 "%016" PRIx64 " is below its floor of %" PRId64 ": %s",
		 block->seq, block->epoch, shard->index, account->id.hi, account->id.lo,
		 account->floor, fault->found);
}

static void after(void *context, const struct wal_block_header *block, const struct shard *shard,
		  const struct shard_input *inputs, const struct record_head *heads, uint32_t count)
{
	struct tally *tally = context;

	(void)inputs;
	(void)heads;
	(void)count;
	for (uint32_t i = 0; i < tally->touched_count; i++) {
		const struct account *account = tally->touched[i].account;
		audit_sum change = (audit_sum)account->balance - tally->touched[i].balance;
		if (change != 0)
			add(tally, account->ledger, change);
		if ((audit_sum)account->balance - account->held < account->floor &&
		    !tally->below_floor)
			tell_floor(tally, block, shard, account);
	}
}

void tally_init(struct tally *tally)
{
	*tally = (struct tally){
	    .observer =
		{
		    .context = tally,
		    .bursts_of_peers = true,
		    .before = before,
		    .after = after,
		},
	};
}

void tally_close_block(struct tally *tally, uint64_t seq)
{
	struct tally_changes *open = &tally->open;

	for (uint32_t i = 0; i < open->count; i++) {
		if (open->rows[i].change == 0)
			continue;
		struct tally_change *row = append(tally, &tally->closed, open->rows[i].ledger);
		if (row == NULL)
			return;
		row->seq = seq;
		row->change = open->rows[i].change;
		open->rows[i].change = 0;
	}
}

void tally_free(struct tally *tally)
{
	free(tally->open.rows);
	free(tally->closed.rows);
	free(tally->steps);
	tally->open = (struct tally_changes){0};
	tally->closed = (struct tally_changes){0};
}
