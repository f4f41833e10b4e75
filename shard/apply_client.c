/* SPDX-License-Identifier: Apache-2.0
 *
 * What clients ask of a shard: transfers (whole when both accounts are here, else their first
 * phase) and account operations, both exactly once.
 */
#include "base/check.h"
#include "base/checked.h"
#include "shard/apply.h"

/* The lowest-numbered content error of a transfer: a matter of its 64 bytes alone. */
static enum status check_transfer(const struct transfer *transfer)
{
	if (transfer->flags != 0)
		return STATUS_RESERVED_NOT_ZERO;
	if (id_is_zero(transfer->debit) || id_is_zero(transfer->credit))
		return STATUS_ACCOUNT_ZERO;
	if (id_equal(transfer->debit, transfer->credit))
		return STATUS_SAME_ACCOUNT;
	if (transfer->amount == 0)
		return STATUS_AMOUNT_ZERO;
	if (transfer->ledger == 0)
		return STATUS_LEDGER_ZERO;
	return STATUS_OK;
}

static enum status check_operation(const struct account_operation *operation)
{
	bool create = operation->action == CREATE_ACCOUNT;

	if (operation->flags != 0 || operation->reserved[0] != 0 || operation->reserved[1] != 0)
		return STATUS_RESERVED_NOT_ZERO;
	if (!create && (operation->floor != 0 || operation->ledger != 0))
		return STATUS_RESERVED_NOT_ZERO;
	if (operation->action < CREATE_ACCOUNT || operation->action > CLOSE_ACCOUNT)
		return STATUS_BAD_ACTION;
	if (id_is_zero(operation->account))
		return STATUS_ACCOUNT_ZERO;
	if (create && operation->ledger == 0)
		return STATUS_LEDGER_ZERO;
	if (create && operation->floor > 0)
		return STATUS_FLOOR_POSITIVE;
	return STATUS_OK;
}

/* Answers an id that was seen before or cannot be taken now; false: the id is new. Rows under way
 * come first: they may outlive their id's window. */
static inline bool answer_known_id(struct shard *shard, const struct shard_input *input,
				   struct id128 id, struct prepared *prepared,
				   struct shard_effects *effects)
{
	const struct coordinator_row *row = phase_find(&shard->phase, id, prepared->id_hash);
	if (row != NULL) {
		shard->events[SHARD_EVENT_REPEAT_UNDER_WAY]++;
		/* ID_REUSED is final: it goes out when the row that it rests on is durable. */
		if (row->content == prepared->content)
			effect_reply(shard, effects, input->token, STATUS_PENDING, 0);
		else
			effect_reply(shard, effects, input->token, STATUS_ID_REUSED,
				     shard->changed_epoch);
		return true;
	}

	enum status time = window_check_time(&shard->window, id, shard->now_ms);
	if (time != STATUS_OK) {
		effect_reply(shard, effects, input->token, time, 0);
		return true;
	}

	const struct window_entry *entry = window_find(&shard->window, id, &prepared->place);
	if (entry != NULL) {
		shard->events[SHARD_EVENT_REPEAT]++;
		if (entry->content == prepared->content)
			effect_reply(shard, effects, input->token, window_entry_status(entry),
				     window_entry_epoch(entry));
		else
			effect_reply(shard, effects, input->token, STATUS_ID_REUSED,
				     window_entry_epoch(entry));
		return true;
	}
	return false;
}

/* Which limit stands against taking a new id, as an event, or SHARD_EVENTS: none. */
static enum shard_event limit_reached(const struct shard *shard, const struct shard_input *input,
				      const struct prepared *prepared)
{
	if (input->flags & SHARD_INPUT_NO_NEW_WORK)
		return SHARD_EVENT_BUSY_NO_NEW_WORK;
	if (!window_has_room(&shard->window, &prepared->place))
		return SHARD_EVENT_BUSY_WINDOW;
	return SHARD_EVENTS;
}

static void answer_busy(struct shard *shard, const struct shard_input *input,
			enum shard_event limit, struct shard_effects *effects)
{
	shard->events[limit]++;
	effect_reply(shard, effects, input->token, STATUS_BUSY, 0);
}

/* First phase at the debit account's shard: hold the money, open the row, ask the peer. */
static void open_try(struct shard *shard, const struct shard_input *input, struct account *debit,
		     const struct prepared *prepared, struct shard_effects *effects)
{
	const struct transfer *transfer = &input->transfer;
	struct coordinator_row *row =
	    phase_open(&shard->phase, input->peer, transfer, prepared->id_hash);

	row->content = prepared->content;
	row->started_ms = shard->now_ms;
	row->token = input->token;
	row->debit_line = (uint64_t)(debit - shard->accounts.lines);
	debit->held += transfer->amount;
	window_reserve(&shard->window, &prepared->place);

	shard->events[SHARD_EVENT_CROSS_TRIED]++;
	effect_record(shard, effects, RECORD_TRANSFER, input->peer, STATUS_PENDING, row->seq);
	effect_record_body(effects, transfer, sizeof(*transfer));
	effect_coordinator_message(shard, input->peer, row, effects);
}

/* Remembers a final outcome under its id, where answer_known_id() did not find it. */
static void remember(struct shard *shard, struct id128 id, const struct prepared *prepared,
		     enum status status)
{
	const struct window_entry entry = window_entry(id, prepared->content, shard->epoch, status);

	window_put(&shard->window, &prepared->place, &entry);
}

void apply_transfer(struct shard *shard, const struct shard_input *input, struct prepared *prepared,
		    struct shard_effects *effects)
{
	const struct transfer *transfer = &input->transfer;
	bool local = input->peer == shard->index;

	enum status status = check_transfer(transfer);
	if (status == STATUS_OK && input->home != shard->index)
		status = STATUS_WRONG_SHARD;
	if (status != STATUS_OK) {
		effect_reply(shard, effects, input->token, status, 0);
		return;
	}

	if (answer_known_id(shard, input, transfer->id, prepared, effects))
		return;

	enum shard_event limit = limit_reached(shard, input, prepared);
	if (limit == SHARD_EVENTS && !local && !phase_has_room(&shard->phase, input->peer))
		limit = SHARD_EVENT_BUSY_ROWS;
	if (limit != SHARD_EVENTS) {
		answer_busy(shard, input, limit, effects);
		return;
	}

	struct account *debit =
	    account_found(&shard->accounts, prepared->debit, transfer->debit, input->hash);
	status = account_check_debit(debit, transfer->ledger, transfer->amount);
	if (status == STATUS_OK && !local) {
		open_try(shard, input, debit, prepared, effects);
		return;
	}
	if (status == STATUS_OK) {
		struct account *credit = account_found(&shard->accounts, prepared->credit,
						       transfer->credit, input->credit_hash);
		status = account_check_credit(credit, transfer->ledger, transfer->amount);
		if (status == STATUS_OK) {
			CHECK(checked_debit(debit->balance, transfer->amount, &debit->balance));
			CHECK(checked_credit(credit->balance, transfer->amount, &credit->balance));
			shard->events[SHARD_EVENT_LOCAL_DONE]++;
		}
	}

	remember(shard, transfer->id, prepared, status);
	effect_record(shard, effects, RECORD_TRANSFER, input->peer, status, 0);
	effect_record_body(effects, transfer, sizeof(*transfer));
	effect_reply(shard, effects, input->token, status, shard->epoch);
}

static enum status create_account(struct shard *shard, const struct shard_input *input,
				  struct account *account)
{
	const struct account_operation *operation = &input->operation;

	if (account != NULL)
		return account->ledger == operation->ledger && account->floor == operation->floor
			   ? STATUS_ACCOUNT_EXISTS
			   : STATUS_ACCOUNT_DIFFERS;
	account = account_add(&shard->accounts, operation->account, input->hash, operation->ledger,
			      operation->floor);
	return account != NULL ? STATUS_OK : STATUS_BUSY;
}

static enum status change_account(const struct account_operation *operation,
				  struct account *account)
{
	if (account == NULL)
		return STATUS_ACCOUNT_NOT_FOUND;
	if (account->flags & ACCOUNT_CLOSED)
		return STATUS_ACCOUNT_ALREADY_CLOSED;
	switch (operation->action) {
	case FREEZE_ACCOUNT:
		account->flags |= ACCOUNT_FROZEN;
		return STATUS_OK;
	case UNFREEZE_ACCOUNT:
		account->flags &= ~ACCOUNT_FROZEN;
		return STATUS_OK;
	default:
		if (account->balance != 0 || account->held != 0 || account->incoming != 0)
			return STATUS_ACCOUNT_NOT_EMPTY;
		account->flags |= ACCOUNT_CLOSED;
		return STATUS_OK;
	}
}

void apply_operation(struct shard *shard, const struct shard_input *input,
		     struct prepared *prepared, struct shard_effects *effects)
{
	const struct account_operation *operation = &input->operation;

	enum status status = check_operation(operation);
	if (status == STATUS_OK && input->home != shard->index)
		status = STATUS_WRONG_SHARD;
	if (status != STATUS_OK) {
		effect_reply(shard, effects, input->token, status, 0);
		return;
	}

	if (answer_known_id(shard, input, operation->id, prepared, effects))
		return;

	enum shard_event limit = limit_reached(shard, input, prepared);
	if (limit != SHARD_EVENTS) {
		answer_busy(shard, input, limit, effects);
		return;
	}

	struct account *account = account_find(&shard->accounts, operation->account, input->hash);
	status = operation->action == CREATE_ACCOUNT ? create_account(shard, input, account)
						     : change_account(operation, account);
	if (status == STATUS_BUSY) {
		answer_busy(shard, input, SHARD_EVENT_BUSY_ACCOUNTS, effects);
		return;
	}

	remember(shard, operation->id, prepared, status);
	effect_record(shard, effects, RECORD_ACCOUNT, 0, status, 0);
	effect_record_body(effects, operation, sizeof(*operation));
	effect_reply(shard, effects, input->token, status, shard->epoch);
}
