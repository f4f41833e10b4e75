/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of money, written a second time: executes the records of a durable block over plain
 * arrays and finds each outcome by itself.
 *
 * The sections of a block are executed side by side: a record that rests on what another shard did
 * waits for that shard's record. If in the end one still waits, the block's epoch rests on a later
 * one: it was no consistent cut.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/oracle_private.h"
#include "tests/sim/sim.h"

__extension__ typedef __int128 wide;

/* One section while it is executed. */
struct stream {
	struct oracle *oracle;
	const struct wal_block_header *header;
	uint32_t shard;
	const uint8_t *bytes;
	uint64_t size;
	uint64_t at;
	uint32_t index; /* of the record */
};

__attribute__((noreturn, format(printf, 2, 3))) static void wrong(const struct stream *stream,
								  const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sim_fail(stream->oracle->sim,
		 "log block %" PRIu64 " (epoch %" PRIu64 "), shard %u, record %u: %s",
		 stream->header->seq, stream->header->epoch, stream->shard, stream->index, text);
}

enum status oracle_transfer_fault(const struct transfer *transfer)
{
	if (transfer->flags != 0)
		return STATUS_RESERVED_NOT_ZERO;
	if (id_is_zero(transfer->debit) || id_is_zero(transfer->credit))
		return STATUS_ACCOUNT_ZERO;
	if (memcmp(&transfer->debit, &transfer->credit, 16) == 0)
		return STATUS_SAME_ACCOUNT;
	if (transfer->amount == 0)
		return STATUS_AMOUNT_ZERO;
	return transfer->ledger == 0 ? STATUS_LEDGER_ZERO : STATUS_OK;
}

enum status oracle_operation_fault(const struct account_operation *operation)
{
	bool create = operation->action == CREATE_ACCOUNT;
	bool known = operation->action >= 1 && operation->action <= 4;

	if (operation->flags != 0 || (operation->reserved[0] | operation->reserved[1]) != 0 ||
	    (!create && (operation->floor != 0 || operation->ledger != 0)))
		return STATUS_RESERVED_NOT_ZERO;
	if (!known)
		return STATUS_BAD_ACTION;
	if (id_is_zero(operation->account))
		return STATUS_ACCOUNT_ZERO;
	if (create && operation->ledger == 0)
		return STATUS_LEDGER_ZERO;
	return create && operation->floor > 0 ? STATUS_FLOOR_POSITIVE : STATUS_OK;
}

/* Accounts. */

static void changed(const struct stream *stream, struct oracle_account *account)
{
	account->now.epoch = stream->header->epoch;
	if (account->version_count == account->version_capacity) {
		account->version_capacity = account->version_capacity * 2 + 16;
		account->versions = realloc(account->versions, account->version_capacity *
								   sizeof(account->versions[0]));
		CHECK(account->versions != NULL);
	}
	account->versions[account->version_count++] = account->now;
}

static uint32_t index_of(const struct oracle *oracle, const struct oracle_account *account)
{
	return account == NULL ? ORACLE_NONE : (uint32_t)(account - oracle->accounts);
}

static enum status debit_reason(const struct oracle_account *account,
				const struct transfer *transfer)
{
	if (account == NULL)
		return STATUS_DEBIT_NOT_FOUND;
	if (account->ledger != transfer->ledger)
		return STATUS_DEBIT_LEDGER_MISMATCH;
	if (account->now.flags & ACCOUNT_CLOSED)
		return STATUS_DEBIT_CLOSED;
	if (account->now.flags & ACCOUNT_FROZEN)
		return STATUS_DEBIT_FROZEN;
	wide left = (wide)account->now.balance - account->now.held - transfer->amount;
	return left < account->floor ? STATUS_INSUFFICIENT_FUNDS : STATUS_OK;
}

static enum status credit_reason(const struct oracle_account *account, uint32_t ledger,
				 uint64_t amount)
{
	if (account == NULL)
		return STATUS_CREDIT_NOT_FOUND;
	if (account->ledger != ledger)
		return STATUS_CREDIT_LEDGER_MISMATCH;
	if (account->now.flags & ACCOUNT_CLOSED)
		return STATUS_CREDIT_CLOSED;
	if (account->now.flags & ACCOUNT_FROZEN)
		return STATUS_CREDIT_FROZEN;
	wide sum = (wide)account->now.balance + account->now.incoming + amount;
	return sum > INT64_MAX ? STATUS_CREDIT_OVERFLOW : STATUS_OK;
}

static void add_balance(const struct stream *stream, struct oracle_account *account, wide amount)
{
	wide sum = account->now.balance + amount;

	if (sum > INT64_MAX || sum < INT64_MIN)
		wrong(stream, "a balance overflows");
	account->now.balance = (int64_t)sum;
}

/* What clients asked. */

/* The id is new, of its time, and somebody sent it just so. */
static struct oracle_outcome *begin(const struct stream *stream, struct id128 id,
				    const void *content, bool is_transfer)
{
	struct oracle *oracle = stream->oracle;
	const struct shard_limits *limits = &oracle->sim->shape.node.limits;
	uint64_t now_ms = stream->header->time_ms;

	if (!client_has_sent(&oracle->sim->client, content, is_transfer))
		wrong(stream, "nobody ever sent this");
	if (oracle_outcome(oracle, id, stream->shard) != NULL)
		wrong(stream, "executed a second time");
	if (id_time_ms(id) + limits->window_ms < now_ms ||
	    id_time_ms(id) > now_ms + limits->ahead_ms)
		wrong(stream, "the id's time is outside the window");
	struct oracle_outcome *outcome = oracle_new_outcome(oracle, id, stream->shard);
	memcpy(outcome->content, content, sizeof(outcome->content));
	outcome->is_transfer = is_transfer;
	outcome->epoch = stream->header->epoch;
	return outcome;
}

static void open_row(const struct stream *stream, const struct record *record,
		     struct oracle_outcome *outcome, struct oracle_account *debit)
{
	struct oracle *oracle = stream->oracle;
	struct oracle_link *link = &oracle->links[stream->shard][record->head.peer];

	if (record->head.seq_low != (uint32_t)link->next)
		wrong(stream, "try %u where number %" PRIu64 " was due", record->head.seq_low,
		      link->next);
	if (link->next - link->low >= oracle->rows_max)
		wrong(stream, "more rows than there may be");
	if (link->next == link->capacity) {
		link->capacity = link->capacity * 2 + 16;
		link->rows = realloc(link->rows, link->capacity * sizeof(link->rows[0]));
		CHECK(link->rows != NULL);
	}
	outcome->peer = record->head.peer;
	outcome->seq = link->next;
	outcome->started_ms = stream->header->time_ms;
	outcome->coordinator = ROW_TRYING;
	link->rows[link->next++] = (uint32_t)(outcome - oracle->outcomes);
	debit->now.held += record->transfer.amount;
	changed(stream, debit);
	reach(oracle->sim, REACH_ROW_TRYING);
}

static bool on_transfer(const struct stream *stream, const struct record *record)
{
	struct oracle *oracle = stream->oracle;
	const struct transfer *transfer = &record->transfer;
	uint32_t peer = oracle_shard(oracle, transfer->credit);

	if (oracle_transfer_fault(transfer) != STATUS_OK)
		wrong(stream, "a transfer whose content is not allowed");
	if (oracle_shard(oracle, transfer->debit) != stream->shard || peer != record->head.peer)
		wrong(stream, "a transfer of other shards");
	struct oracle_outcome *outcome = begin(stream, transfer->id, transfer, true);
	struct oracle_account *debit = oracle_account(oracle, transfer->debit);
	struct oracle_account *credit = oracle_account(oracle, transfer->credit);
	enum status status = debit_reason(debit, transfer);
	bool local = peer == stream->shard;
	if (status == STATUS_OK && local)
		status = credit_reason(credit, transfer->ledger, transfer->amount);
	else if (status == STATUS_OK)
		status = STATUS_PENDING;
	if (status != record->head.arg)
		wrong(stream, "%s was logged, it should be %s", status_name(record->head.arg),
		      status_name(status));
	outcome->status = (uint16_t)status;
	outcome->debit = index_of(oracle, debit);
	outcome->credit = index_of(oracle, credit);
	if (status == STATUS_PENDING)
		open_row(stream, record, outcome, debit);
	if (status != STATUS_OK)
		return true;
	add_balance(stream, debit, -(wide)transfer->amount);
	add_balance(stream, credit, (wide)transfer->amount);
	changed(stream, debit);
	changed(stream, credit);
	outcome->debit_version = debit->version_count;
	outcome->credit_version = credit->version_count;
	return true;
}

static enum status create(const struct stream *stream, const struct account_operation *operation,
			  struct oracle_account **account)
{
	struct oracle *oracle = stream->oracle;

	if (*account != NULL)
		return (*account)->ledger == operation->ledger &&
			       (*account)->floor == operation->floor
			   ? STATUS_ACCOUNT_EXISTS
			   : STATUS_ACCOUNT_DIFFERS;
	CHECK(oracle->account_count < ORACLE_ACCOUNTS_MAX);
	*account = &oracle->accounts[oracle->account_count++];
	**account = (struct oracle_account){
	    .id = operation->account,
	    .shard = stream->shard,
	    .ledger = operation->ledger,
	    .floor = operation->floor,
	};
	if (++oracle->shard_accounts[stream->shard] > oracle->accounts_max)
		wrong(stream, "more accounts than there may be");
	return STATUS_OK;
}

static enum status change(const struct account_operation *operation, struct oracle_account *account)
{
	struct oracle_version *now = &account->now;

	if (now->flags & ACCOUNT_CLOSED)
		return STATUS_ACCOUNT_ALREADY_CLOSED;
	if (operation->action == FREEZE_ACCOUNT)
		now->flags |= ACCOUNT_FROZEN;
	else if (operation->action == UNFREEZE_ACCOUNT)
		now->flags &= ~ACCOUNT_FROZEN;
	else if (now->balance != 0 || now->held != 0 || now->incoming != 0)
		return STATUS_ACCOUNT_NOT_EMPTY;
	else
		now->flags |= ACCOUNT_CLOSED;
	return STATUS_OK;
}

static bool on_operation(const struct stream *stream, const struct record *record)
{
	struct oracle *oracle = stream->oracle;
	const struct account_operation *operation = &record->operation;
	enum status status;

	if (oracle_operation_fault(operation) != STATUS_OK)
		wrong(stream, "an operation whose content is not allowed");
	if (oracle_shard(oracle, operation->account) != stream->shard)
		wrong(stream, "an operation of another shard");
	struct oracle_outcome *outcome = begin(stream, operation->id, operation, false);
	struct oracle_account *account = oracle_account(oracle, operation->account);
	if (operation->action == CREATE_ACCOUNT)
		status = create(stream, operation, &account);
	else
		status = account == NULL ? STATUS_ACCOUNT_NOT_FOUND : change(operation, account);
	if (status != record->head.arg)
		wrong(stream, "%s was logged, it should be %s", status_name(record->head.arg),
		      status_name(status));
	if (status == STATUS_OK)
		changed(stream, account);
	outcome->status = (uint16_t)status;
	outcome->debit = index_of(oracle, account);
	if (status == STATUS_OK)
		outcome->debit_version = account->version_count;
	return true;
}

/* What peers said. Each returns false when it rests on a record that has not come yet. */

/* The row of a number, or NULL when it was not opened yet. */
static struct oracle_outcome *row_of(struct oracle *oracle, uint32_t from, uint32_t to,
				     uint32_t seq_low)
{
	const struct oracle_link *link = &oracle->links[from][to];

	return seq_low < link->next ? &oracle->outcomes[link->rows[seq_low]] : NULL;
}

/* The participant hears that all below `low` is finished; true when it is. */
static bool hear_low(const struct stream *stream, const struct record *record, uint32_t low_delta)
{
	struct oracle *oracle = stream->oracle;
	struct oracle_link *link = &oracle->links[record->head.peer][stream->shard];

	if (low_delta > record->head.seq_low)
		wrong(stream, "low is below zero");
	uint64_t low = record->head.seq_low - low_delta;
	if (low > link->low)
		return false;
	if (record->head.seq_low < link->told_low)
		wrong(stream, "a number that was forgotten");
	for (; link->told_low < low; link->told_low++)
		reach(oracle->sim, REACH_ROW_FORGOTTEN);
	return true;
}

static bool on_try(const struct stream *stream, const struct record *record)
{
	struct oracle *oracle = stream->oracle;
	const struct record_try *try = &record->try;
	struct oracle_outcome *row =
	    row_of(oracle, record->head.peer, stream->shard, record->head.seq_low);

	if (row == NULL || !hear_low(stream, record, try->low_delta))
		return false;
	const struct transfer *transfer = (const struct transfer *)row->content;
	if (!id_equal(try->transfer, transfer->id) || !id_equal(try->credit, transfer->credit) ||
	    try->amount != transfer->amount || try->ledger != transfer->ledger ||
	    try->code != transfer->code)
		wrong(stream, "a try of another content than its transfer's");
	if (row->participant != PART_NONE)
		wrong(stream, row->participant == PART_MARK ? "a try was taken after its cancel"
							    : "a try was taken twice");
	struct oracle_account *credit = oracle_account(oracle, try->credit);
	enum status vote = credit_reason(credit, try->ledger, try->amount);
	if (vote != record->head.arg)
		wrong(stream, "the vote %s was logged, it should be %s",
		      status_name(record->head.arg), status_name(vote));
	row->vote = (uint16_t)vote;
	row->credit = index_of(oracle, credit);
	row->participant = vote == STATUS_OK ? PART_YES : PART_NO;
	reach(oracle->sim, vote == STATUS_OK ? REACH_ROW_YES : REACH_ROW_NO);
	if (vote == STATUS_OK) {
		credit->now.incoming += try->amount;
		changed(stream, credit);
	}
	return true;
}

static void decide(const struct stream *stream, struct oracle_outcome *row, enum status decided)
{
	struct oracle *oracle = stream->oracle;
	const struct transfer *transfer = (const struct transfer *)row->content;
	struct oracle_account *debit = &oracle->accounts[row->debit];

	row->decided = (uint16_t)decided;
	row->coordinator = decided == STATUS_OK ? ROW_CONFIRMING : ROW_CANCELLING;
	debit->now.held -= transfer->amount;
	if (decided == STATUS_OK)
		add_balance(stream, debit, -(wide)transfer->amount);
	changed(stream, debit);
	row->debit_version = debit->version_count;
}

static bool on_decision(const struct stream *stream, const struct record *record)
{
	struct oracle *oracle = stream->oracle;
	struct oracle_outcome *row =
	    row_of(oracle, stream->shard, record->head.peer, record->head.seq_low);

	if (row == NULL || row->coordinator != ROW_TRYING)
		wrong(stream, "a decision on a row that is not trying");
	if (record->head.kind == RECORD_TIMEOUT) {
		if (stream->header->time_ms - row->started_ms <= oracle->try_timeout_ms ||
		    oracle->try_timeout_ms == 0)
			wrong(stream, "a try was given up too early");
		decide(stream, row, STATUS_TRY_TIMEOUT);
		reach(oracle->sim, REACH_ROW_CANCELLING_LATE);
		return true;
	}
	if (row->participant == PART_NONE)
		return false;
	if (row->vote != record->head.arg ||
	    (row->participant != PART_YES && row->participant != PART_NO))
		wrong(stream, "a vote that the participant did not give");
	decide(stream, row, record->head.arg);
	reach(oracle->sim,
	      record->head.arg == STATUS_OK ? REACH_ROW_CONFIRMING : REACH_ROW_CANCELLING_NO);
	return true;
}

static bool on_confirm(const struct stream *stream, const struct record *record)
{
	struct oracle *oracle = stream->oracle;
	struct oracle_outcome *row =
	    row_of(oracle, record->head.peer, stream->shard, record->head.seq_low);

	if (row == NULL || row->coordinator == ROW_TRYING ||
	    !hear_low(stream, record, record->head.arg))
		return false;
	if (row->coordinator != ROW_CONFIRMING || row->participant != PART_YES)
		wrong(stream, "a confirm that was not decided, or came twice");
	const struct transfer *transfer = (const struct transfer *)row->content;
	struct oracle_account *credit = &oracle->accounts[row->credit];
	credit->now.incoming -= transfer->amount;
	add_balance(stream, credit, (wide)transfer->amount);
	changed(stream, credit);
	row->credit_version = credit->version_count;
	row->participant = PART_CONFIRMED;
	reach(oracle->sim, REACH_ROW_YES_CONFIRMED);
	return true;
}

static bool on_cancel(const struct stream *stream, const struct record *record)
{
	struct oracle *oracle = stream->oracle;
	struct oracle_outcome *row =
	    row_of(oracle, record->head.peer, stream->shard, record->head.seq_low);

	if (row == NULL || row->coordinator == ROW_TRYING ||
	    !hear_low(stream, record, record->head.arg))
		return false;
	if (row->coordinator != ROW_CANCELLING)
		wrong(stream, "a cancel that was not decided");
	const struct transfer *transfer = (const struct transfer *)row->content;
	switch (row->participant) {
	case PART_NONE:
		row->participant = PART_MARK;
		reach(oracle->sim, REACH_ROW_MARKED);
		return true;
	case PART_YES:
		oracle->accounts[row->credit].now.incoming -= transfer->amount;
		changed(stream, &oracle->accounts[row->credit]);
		reach(oracle->sim, REACH_ROW_YES_CANCELLED);
		break;
	case PART_NO:
		reach(oracle->sim, REACH_ROW_NO_CANCELLED);
		break;
	default:
		wrong(stream, "a cancel that came twice, or after a confirm");
	}
	row->participant = PART_CANCELLED;
	return true;
}

static bool on_ack(const struct stream *stream, const struct record *record)
{
	struct oracle *oracle = stream->oracle;
	struct oracle_outcome *row =
	    row_of(oracle, stream->shard, record->head.peer, record->head.seq_low);

	if (row == NULL ||
	    (row->coordinator != ROW_CONFIRMING && row->coordinator != ROW_CANCELLING))
		wrong(stream, "a row was finished that had not been decided");
	bool done = row->coordinator == ROW_CONFIRMING
			? row->participant == PART_CONFIRMED
			: row->participant == PART_CANCELLED || row->participant == PART_MARK;
	if (!done)
		return false;
	reach(oracle->sim,
	      row->coordinator == ROW_CONFIRMING ? REACH_ROW_CONFIRMED : REACH_ROW_CANCELLED);
	row->coordinator = ROW_FINISHED;
	row->status = row->decided;
	row->epoch = stream->header->epoch;
	struct oracle_link *link = &oracle->links[stream->shard][record->head.peer];
	while (link->low < link->next &&
	       oracle->outcomes[link->rows[link->low]].coordinator == ROW_FINISHED)
		link->low++;
	return true;
}

static bool execute(const struct stream *stream, const struct record *record)
{
	bool client = record->head.kind == RECORD_TRANSFER || record->head.kind == RECORD_ACCOUNT;

	if (record->head.peer >= stream->oracle->shards ||
	    (!client && record->head.peer == stream->shard))
		wrong(stream, "a peer that is none");
	switch (record->head.kind) {
	case RECORD_TRANSFER:
		return on_transfer(stream, record);
	case RECORD_ACCOUNT:
		return on_operation(stream, record);
	case RECORD_TRY:
		return on_try(stream, record);
	case RECORD_VOTE:
	case RECORD_TIMEOUT:
		return on_decision(stream, record);
	case RECORD_CONFIRM:
		return on_confirm(stream, record);
	case RECORD_CANCEL:
		return on_cancel(stream, record);
	default:
		return on_ack(stream, record);
	}
}

/* Executes as many records as it can. */
static bool advance(struct stream *stream)
{
	bool moved = false;

	while (stream->at < stream->size) {
		struct record record;
		size_t bytes =
		    record_decode(stream->bytes + stream->at, stream->size - stream->at, &record);
		if (bytes == 0)
			wrong(stream, "no whole record");
		if (!execute(stream, &record))
			return moved;
		stream->at += bytes;
		stream->index++;
		stream->oracle->changed_epoch[stream->shard] = stream->header->epoch;
		moved = true;
	}
	return moved;
}

void oracle_apply(struct oracle *oracle, const struct wal_block_header *header)
{
	struct stream streams[SIM_SHARDS_MAX];
	bool moved = true;

	for (uint32_t shard = 0; shard < oracle->shards; shard++) {
		const struct wal_section_row *row = &header->sections[shard];
		streams[shard] = (struct stream){
		    .oracle = oracle,
		    .header = header,
		    .shard = shard,
		    .bytes = (const uint8_t *)header + row->offset,
		    .size = row->bytes,
		};
	}
	while (moved) {
		moved = false;
		for (uint32_t shard = 0; shard < oracle->shards; shard++)
			moved |= advance(&streams[shard]);
	}
	for (uint32_t shard = 0; shard < oracle->shards; shard++) {
		if (streams[shard].at < streams[shard].size)
			wrong(&streams[shard],
			      "%s rests on what is not in this epoch: no consistent cut",
			      record_name(streams[shard].bytes[streams[shard].at]));
	}
	oracle_check_boundary(oracle);
}
