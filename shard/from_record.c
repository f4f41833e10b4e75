/* SPDX-License-Identifier: Apache-2.0
 *
 * The way back from a log record to the input it was written for.
 */
#include "shard/shard.h"

/* The number nearest to `near` whose low 32 bits are `low`. */
static uint64_t extend_seq(uint64_t near, uint32_t low)
{
	return near + (uint64_t)(int64_t)(int32_t)(low - (uint32_t)near);
}

/* May the participant forget all of the peer's rows below `low`? */
static bool may_forget(const struct shard *shard, uint32_t peer, uint64_t low)
{
	const struct phase_link *link = &shard->phase.link[peer];

	if (low > link->peer_low && low - link->peer_low > shard->phase.rows)
		return false;
	for (uint64_t seq = link->peer_low; seq < low; seq++) {
		const struct participant_row *row = phase_participant(&shard->phase, peer, seq);
		if (row == NULL || row->state == PARTICIPANT_TRIED_YES ||
		    row->state == PARTICIPANT_TRIED_NO)
			return false;
	}
	return true;
}

/* Could a peer that keeps the protocol have sent this to the participant's side? A log may be
 * forged; the shard itself trusts its peers and stops on a broken invariant. */
static bool is_possible(const struct shard *shard, const struct shard_message *message)
{
	const struct phase_link *link = &shard->phase.link[message->from];
	const struct participant_row *row =
	    phase_participant(&shard->phase, message->from, message->seq);
	uint64_t low = message->seq - message->low_delta;

	if (message->low_delta > message->seq || message->seq < link->peer_low)
		return false;
	if (message->kind == MESSAGE_CONFIRM)
		return row != NULL && row->state == PARTICIPANT_TRIED_YES &&
		       may_forget(shard, message->from, low);
	if (message->kind == MESSAGE_CANCEL && row != NULL)
		return row->state != PARTICIPANT_CONFIRMED && may_forget(shard, message->from, low);
	uint64_t base = low > link->peer_low ? low : link->peer_low;
	return row == NULL && message->seq - base < shard->phase.rows &&
	       may_forget(shard, message->from, low);
}

/* What a participant votes: yes, or a reason that lies in the credit account or in a cancel. */
static bool is_vote(uint16_t status)
{
	return status == STATUS_OK ||
	       (status >= STATUS_CREDIT_NOT_FOUND && status <= STATUS_TRY_TIMEOUT);
}

static bool from_client_record(const struct record *record, struct shard_input *input)
{
	input->flags = 0;
	if (record->head.kind == RECORD_ACCOUNT) {
		input->kind = SHARD_INPUT_ACCOUNT;
		input->operation = record->operation;
		input->hash = id_hash(record->operation.account);
		return true;
	}
	input->kind = SHARD_INPUT_TRANSFER;
	input->peer = record->head.peer;
	input->transfer = record->transfer;
	input->hash = id_hash(record->transfer.debit);
	input->credit_hash = id_hash(record->transfer.credit);
	return true;
}

bool shard_input_from_record(const struct shard *shard, const struct record *record,
			     struct shard_input *input)
{
	const struct record_head *head = &record->head;

	bool from_client = head->kind == RECORD_TRANSFER || head->kind == RECORD_ACCOUNT;
	if (head->peer >= shard->limits.shards || (!from_client && head->peer == shard->index))
		return false;
	*input = (struct shard_input){
	    .home = (uint8_t)shard->index,
	    .token = SHARD_NO_TOKEN,
	};
	if (from_client)
		return from_client_record(record, input);

	const struct phase_link *link = &shard->phase.link[head->peer];
	struct shard_message *message = &input->message;
	input->kind = SHARD_INPUT_MESSAGE;
	message->from = head->peer;
	message->to = (uint8_t)shard->index;
	switch (head->kind) {
	case RECORD_TRY:
		message->kind = MESSAGE_TRY;
		message->seq = extend_seq(link->peer_low, head->seq_low);
		message->low_delta = record->try.low_delta;
		message->code = record->try.code;
		message->ledger = record->try.ledger;
		message->amount = record->try.amount;
		message->transfer = record->try.transfer;
		message->credit = record->try.credit;
		input->hash = id_hash(message->credit);
		break;
	case RECORD_CONFIRM:
	case RECORD_CANCEL:
		message->kind = head->kind == RECORD_CONFIRM ? MESSAGE_CONFIRM : MESSAGE_CANCEL;
		message->seq = extend_seq(link->peer_low, head->seq_low);
		message->low_delta = head->arg;
		break;
	case RECORD_VOTE:
		if (!is_vote(head->arg))
			return false;
		message->kind = MESSAGE_VOTE;
		message->status = (uint8_t)head->arg;
		message->seq = extend_seq(link->low, head->seq_low);
		break;
	case RECORD_ACK:
		message->kind = MESSAGE_ACK;
		message->seq = extend_seq(link->low, head->seq_low);
		break;
	case RECORD_TIMEOUT:
		input->kind = SHARD_INPUT_TIMEOUT;
		message->seq = extend_seq(link->low, head->seq_low);
		break;
	default:
		return false;
	}
	bool to_participant = message->kind == MESSAGE_TRY || message->kind == MESSAGE_CONFIRM ||
			      message->kind == MESSAGE_CANCEL;
	return !to_participant || is_possible(shard, message);
}
