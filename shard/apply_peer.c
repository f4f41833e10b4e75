/* SPDX-License-Identifier: Apache-2.0
 *
 * What peers say: both sides of TC/C after the first try, correct over links that lose, duplicate,
 * delay and reorder. Confirm and cancel never fail and are idempotent.
 *
 * Only a message that changes something is recorded, and only such a one may move the participant's
 * `low`: replay then sees every move.
 */
#include "base/check.h"
#include "base/checked.h"
#include "shard/apply.h"

void effect_coordinator_message(const struct shard *shard, uint32_t peer,
				const struct coordinator_row *row, struct shard_effects *effects)
{
	struct shard_message *message = &effects->messages[effects->message_count++];

	*message = (struct shard_message){
	    .kind = row->state == COORDINATOR_TRYING	   ? MESSAGE_TRY
		    : row->state == COORDINATOR_CONFIRMING ? MESSAGE_CONFIRM
							   : MESSAGE_CANCEL,
	    .from = (uint8_t)shard->index,
	    .to = (uint8_t)peer,
	    .low_delta = (uint16_t)(row->seq - shard->phase.link[peer].low),
	    .epoch_low = (uint32_t)shard->epoch,
	    .seq = row->seq,
	};
	if (row->state != COORDINATOR_TRYING)
		return;
	message->code = row->transfer.code;
	message->ledger = row->transfer.ledger;
	message->amount = row->transfer.amount;
	message->transfer = row->transfer.id;
	message->credit = row->transfer.credit;
}

static void answer_peer(const struct shard *shard, const struct shard_message *to,
			enum message_kind kind, enum status status, struct shard_effects *effects)
{
	effects->messages[effects->message_count++] = (struct shard_message){
	    .kind = (uint8_t)kind,
	    .from = (uint8_t)shard->index,
	    .to = to->from,
	    .status = (uint8_t)status,
	    .epoch_low = (uint32_t)shard->epoch,
	    .seq = to->seq,
	};
}

static bool is_stale(const struct shard *shard, const struct shard_message *message)
{
	return message->seq < shard->phase.link[message->from].peer_low;
}

/* A try seen before: the row says what was voted. After a cancel the answer is no. */
static void answer_repeated_try(struct shard *shard, const struct shard_message *message,
				const struct participant_row *row, struct shard_effects *effects)
{
	bool cancelled =
	    row->state == PARTICIPANT_CANCELLED || row->state == PARTICIPANT_CANCEL_MARK;

	shard->events[row->state == PARTICIPANT_CANCEL_MARK ? SHARD_EVENT_TRY_AFTER_CANCEL
							    : SHARD_EVENT_TRY_REPEATED]++;
	answer_peer(shard, message, MESSAGE_VOTE, cancelled ? STATUS_TRY_TIMEOUT : row->vote,
		    effects);
}

static void on_try(struct shard *shard, const struct shard_input *input,
		   const struct prepared *prepared, struct shard_effects *effects)
{
	const struct shard_message *message = &input->message;

	if (is_stale(shard, message)) {
		shard->events[SHARD_EVENT_TRY_STALE]++;
		return;
	}
	struct participant_row *row = phase_participant(&shard->phase, message->from, message->seq);
	if (row != NULL) {
		answer_repeated_try(shard, message, row, effects);
		return;
	}

	struct account *credit =
	    account_found(&shard->accounts, prepared->credit, message->credit, input->hash);
	enum status vote = account_check_credit(credit, message->ledger, message->amount);

	row = phase_participate(&shard->phase, message->from, message->seq,
				message->seq - message->low_delta);
	row->transfer = message->transfer;
	row->credit = message->credit;
	row->amount = message->amount;
	row->vote = (uint8_t)vote;
	row->state = PARTICIPANT_TRIED_NO;
	if (vote == STATUS_OK) {
		row->state = PARTICIPANT_TRIED_YES;
		row->credit_line = (uint64_t)(credit - shard->accounts.lines);
		credit->incoming += message->amount;
	}
	shard->events[vote == STATUS_OK ? SHARD_EVENT_TRY_YES : SHARD_EVENT_TRY_NO]++;

	effect_record(shard, effects, RECORD_TRY, message->from, vote, message->seq);
	*(struct record_try *)effect_record_room(effects, sizeof(struct record_try)) =
	    (struct record_try){
		.amount = message->amount,
		.transfer = message->transfer,
		.credit = message->credit,
		.ledger = message->ledger,
		.code = message->code,
		.low_delta = message->low_delta,
	    };
	answer_peer(shard, message, MESSAGE_VOTE, vote, effects);
}

/* The hold ends: with the money gone (confirm) or back (cancel). */
static void decide(struct shard *shard, uint32_t peer, struct coordinator_row *row,
		   enum status outcome, struct shard_effects *effects)
{
	struct account *debit = &shard->accounts.lines[row->debit_line];
	uint64_t amount = row->transfer.amount;

	CHECK(debit->held >= amount);
	debit->held -= amount;
	row->outcome = (uint8_t)outcome;
	if (outcome == STATUS_OK) {
		CHECK(checked_debit(debit->balance, amount, &debit->balance));
		row->state = COORDINATOR_CONFIRMING;
	} else {
		row->state = COORDINATOR_CANCELLING;
	}
	effect_coordinator_message(shard, peer, row, effects);
}

static void on_vote(struct shard *shard, const struct shard_message *message,
		    struct shard_effects *effects)
{
	struct coordinator_row *row = phase_row(&shard->phase, message->from, message->seq);

	if (row == NULL || row->state != COORDINATOR_TRYING) {
		shard->events[SHARD_EVENT_VOTE_IGNORED]++;
		return;
	}
	effect_record(shard, effects, RECORD_VOTE, message->from, message->status, message->seq);
	decide(shard, message->from, row, message->status, effects);
}

void apply_timeout(struct shard *shard, const struct shard_input *input,
		   struct shard_effects *effects)
{
	uint32_t peer = input->message.from;
	struct coordinator_row *row = phase_row(&shard->phase, peer, input->message.seq);

	if (row == NULL || row->state != COORDINATOR_TRYING)
		return;
	shard->events[SHARD_EVENT_TRY_TIMED_OUT]++;
	effect_record(shard, effects, RECORD_TIMEOUT, peer, 0, row->seq);
	decide(shard, peer, row, STATUS_TRY_TIMEOUT, effects);
}

static void on_confirm(struct shard *shard, const struct shard_message *message,
		       struct shard_effects *effects)
{
	if (is_stale(shard, message)) {
		shard->events[SHARD_EVENT_CONFIRM_STALE]++;
		return;
	}
	struct participant_row *row = phase_participant(&shard->phase, message->from, message->seq);

	/* Without a yes there is no confirm: the vote was durable before or with the decision. */
	CHECK(row != NULL &&
	      (row->state == PARTICIPANT_TRIED_YES || row->state == PARTICIPANT_CONFIRMED));
	if (row->state == PARTICIPANT_CONFIRMED) {
		shard->events[SHARD_EVENT_CONFIRM_REPEATED]++;
	} else {
		struct account *credit = &shard->accounts.lines[row->credit_line];
		CHECK(credit->incoming >= row->amount);
		credit->incoming -= row->amount;
		CHECK(checked_credit(credit->balance, row->amount, &credit->balance));
		row->state = PARTICIPANT_CONFIRMED;
		phase_forget(&shard->phase, message->from, message->seq - message->low_delta);
		effect_record(shard, effects, RECORD_CONFIRM, message->from, message->low_delta,
			      message->seq);
	}
	answer_peer(shard, message, MESSAGE_ACK, STATUS_OK, effects);
}

/* Marks a cancel that overtook its try: the late try will find the mark and be refused. */
static void mark_cancelled(struct shard *shard, const struct shard_message *message)
{
	struct participant_row *row = phase_participate(&shard->phase, message->from, message->seq,
							message->seq - message->low_delta);

	row->state = PARTICIPANT_CANCEL_MARK;
	shard->events[SHARD_EVENT_CANCEL_OVERTOOK_TRY]++;
}

static void on_cancel(struct shard *shard, const struct shard_message *message,
		      struct shard_effects *effects)
{
	if (is_stale(shard, message)) {
		shard->events[SHARD_EVENT_CANCEL_STALE]++;
		return;
	}
	struct participant_row *row = phase_participant(&shard->phase, message->from, message->seq);
	bool repeated = row != NULL && (row->state == PARTICIPANT_CANCELLED ||
					row->state == PARTICIPANT_CANCEL_MARK);

	if (repeated) {
		shard->events[SHARD_EVENT_CANCEL_REPEATED]++;
	} else if (row == NULL) {
		mark_cancelled(shard, message);
	} else {
		CHECK(row->state == PARTICIPANT_TRIED_YES || row->state == PARTICIPANT_TRIED_NO);
		if (row->state == PARTICIPANT_TRIED_YES) {
			struct account *credit = &shard->accounts.lines[row->credit_line];
			CHECK(credit->incoming >= row->amount);
			credit->incoming -= row->amount;
		}
		row->state = PARTICIPANT_CANCELLED;
		phase_forget(&shard->phase, message->from, message->seq - message->low_delta);
	}
	if (!repeated)
		effect_record(shard, effects, RECORD_CANCEL, message->from, message->low_delta,
			      message->seq);
	answer_peer(shard, message, MESSAGE_ACK, STATUS_OK, effects);
}

static void on_ack(struct shard *shard, const struct shard_message *message,
		   struct shard_effects *effects)
{
	struct coordinator_row *row = phase_row(&shard->phase, message->from, message->seq);

	if (row == NULL || row->state == COORDINATOR_TRYING) {
		shard->events[SHARD_EVENT_ACK_IGNORED]++;
		return;
	}

	enum status outcome = row->outcome;
	struct id128 id = row->transfer.id;
	const struct window_entry entry = window_entry(id, row->content, shard->epoch, outcome);
	struct window_place place = window_place(&shard->window, id, row->id_hash);

	shard->events[outcome == STATUS_OK ? SHARD_EVENT_CROSS_CONFIRMED
					   : SHARD_EVENT_CROSS_CANCELLED]++;
	if (!window_put_reserved(&shard->window, &place, &entry))
		shard->events[SHARD_EVENT_OUTCOME_FORGOTTEN]++;
	effect_record(shard, effects, RECORD_ACK, message->from, 0, row->seq);
	/* After a crash nobody is waiting: the client asks again with the same id. */
	if (row->token != SHARD_NO_TOKEN)
		effect_reply(shard, effects, row->token, outcome, shard->epoch);
	phase_finish(&shard->phase, message->from, row);
}

void apply_message(struct shard *shard, const struct shard_input *input,
		   const struct prepared *prepared, struct shard_effects *effects)
{
	const struct shard_message *message = &input->message;

	CHECK(message->to == shard->index && message->from < shard->limits.shards);
	switch (message->kind) {
	case MESSAGE_TRY:
		on_try(shard, input, prepared, effects);
		break;
	case MESSAGE_VOTE:
		on_vote(shard, message, effects);
		break;
	case MESSAGE_CONFIRM:
		on_confirm(shard, message, effects);
		break;
	case MESSAGE_CANCEL:
		on_cancel(shard, message, effects);
		break;
	default:
		CHECK(message->kind == MESSAGE_ACK);
		on_ack(shard, message, effects);
		break;
	}
}
