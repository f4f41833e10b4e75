/* SPDX-License-Identifier: Apache-2.0 */
#include "shard/shard.h"

#include "base/check.h"
#include "shard/apply.h"

static size_t align_line(size_t bytes)
{
	return (bytes + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
}

const char *shard_limits_fault(const struct shard_limits *limits)
{
	if (limits->shards < 1 || limits->shards > SHARDS_MAX)
		return "shards must be 1..64";
	if (limits->rows < PHASE_ROWS_MIN || limits->rows > PHASE_ROWS_MAX ||
	    (limits->rows & (limits->rows - 1)) != 0)
		return "rows must be a power of two in 2..32768";
	if (limits->accounts_max < 1 || limits->accounts_max > UINT64_C(1) << 40)
		return "accounts must be 1..2^40";
	if (limits->window_ms < WINDOW_MS_MIN || limits->window_ms > WINDOW_MS_MAX)
		return "window must be 1 s..7 days";
	if (limits->ahead_ms > limits->window_ms)
		return "ahead must not exceed the window";
	if (limits->ids_per_second < 1 || limits->ids_per_second > UINT64_C(1) << 32)
		return "ids per second must be 1..2^32";
	return NULL;
}

size_t shard_bytes(const struct shard_limits *limits)
{
	return align_line(sizeof(struct shard)) + account_table_bytes(limits->accounts_max) +
	       window_bytes(limits->window_ms, limits->ahead_ms, limits->ids_per_second) +
	       phase_bytes(limits->shards, limits->rows);
}

struct shard *shard_new(void *memory, const struct shard_limits *limits, uint32_t index)
{
	uint8_t *bytes = memory;
	struct shard *shard = memory;

	CHECK(((uintptr_t)memory & (CACHE_LINE - 1)) == 0);
	CHECK(shard_limits_fault(limits) == NULL && index < limits->shards);
	*shard = (struct shard){.index = index, .limits = *limits};
	bytes += align_line(sizeof(*shard));
	account_table_init(&shard->accounts, bytes, limits->accounts_max);
	bytes += account_table_bytes(limits->accounts_max);
	window_init(&shard->window, bytes, limits->window_ms, limits->ahead_ms,
		    limits->ids_per_second);
	bytes += window_bytes(limits->window_ms, limits->ahead_ms, limits->ids_per_second);
	phase_init(&shard->phase, bytes, limits->shards, limits->rows);
	return shard;
}

void shard_enter_epoch(struct shard *shard, uint64_t epoch, uint64_t now_ms)
{
	CHECK(epoch > shard->epoch);
	shard->epoch = epoch;
	if (now_ms > shard->now_ms)
		shard->now_ms = now_ms;
}

void shard_input_from_message(struct shard_input *input, const struct shard_message *message)
{
	input->kind = SHARD_INPUT_MESSAGE;
	input->flags = 0;
	input->token = SHARD_NO_TOKEN;
	input->hash = message->kind == MESSAGE_TRY ? id_hash(message->credit) : 0;
	input->message = *message;
}

/* gcc takes a function that only prefetches for one without effect, and drops the call. */
#define ALWAYS_INLINE __attribute__((always_inline))

static void prepare_id(const struct shard *shard, struct id128 id, struct prepared *prepared)
{
	prepared->id_hash = id_hash(id);
	prepared->place = window_place(&shard->window, id, prepared->id_hash);
	window_prefetch(&shard->window, &prepared->place);
}

ALWAYS_INLINE static inline void prepare_message(const struct shard *shard,
						 const struct shard_message *message, uint64_t hash)
{
	if (message->kind == MESSAGE_VOTE || message->kind == MESSAGE_ACK) {
		phase_prefetch_row(&shard->phase, message->from, message->seq);
		return;
	}
	phase_prefetch_participant(&shard->phase, message->from, message->seq);
	if (message->kind == MESSAGE_TRY)
		account_prefetch(&shard->accounts, hash);
}

/* Computes what the bytes of an input alone decide, and asks for the lines that it will touch, before
 * any of the burst is applied: so that their misses overlap. */
static void prepare(const struct shard *shard, const struct shard_input *input,
		    struct prepared *prepared)
{
	switch (input->kind) {
	case SHARD_INPUT_TRANSFER:
		account_prefetch(&shard->accounts, input->hash);
		if (input->peer == shard->index)
			account_prefetch(&shard->accounts, input->credit_hash);
		prepare_id(shard, input->transfer.id, prepared);
		prepared->content = XXH3_64bits(&input->transfer, sizeof(input->transfer));
		break;
	case SHARD_INPUT_ACCOUNT:
		account_prefetch(&shard->accounts, input->hash);
		prepare_id(shard, input->operation.id, prepared);
		prepared->content = XXH3_64bits(&input->operation, sizeof(input->operation));
		break;
	case SHARD_INPUT_MESSAGE:
		prepare_message(shard, &input->message, input->hash);
		break;
	default:
		break;
	}
}

/* The second look, when the first lines are there. */
ALWAYS_INLINE static inline void look(const struct shard *shard, const struct shard_input *input,
				      struct prepared *prepared)
{
	if (input->kind == SHARD_INPUT_MESSAGE) {
		if (input->message.kind == MESSAGE_TRY)
			prepared->credit =
			    account_look(&shard->accounts, input->message.credit, input->hash);
		return;
	}
	if (input->kind != SHARD_INPUT_TRANSFER)
		return;
	prepared->debit = account_look(&shard->accounts, input->transfer.debit, input->hash);
	if (input->peer == shard->index)
		prepared->credit =
		    account_look(&shard->accounts, input->transfer.credit, input->credit_hash);
	window_prefetch_next(&shard->window, &prepared->place);
}

static void apply(struct shard *shard, const struct shard_input *input, struct prepared *prepared,
		  struct shard_effects *effects)
{
	switch (input->kind) {
	case SHARD_INPUT_TRANSFER:
		apply_transfer(shard, input, prepared, effects);
		break;
	case SHARD_INPUT_ACCOUNT:
		apply_operation(shard, input, prepared, effects);
		break;
	case SHARD_INPUT_MESSAGE:
		apply_message(shard, input, prepared, effects);
		break;
	default:
		CHECK(input->kind == SHARD_INPUT_TIMEOUT);
		apply_timeout(shard, input, effects);
		break;
	}
}

void shard_apply(struct shard *shard, const struct shard_input *inputs, uint32_t count,
		 struct shard_effects *effects)
{
	struct prepared prepared[SHARD_BURST_MAX];

	CHECK(count <= SHARD_BURST_MAX);
	for (uint32_t i = 0; i < count; i++)
		prepare(shard, &inputs[i], &prepared[i]);
	for (uint32_t i = 0; i < count; i++)
		look(shard, &inputs[i], &prepared[i]);
	for (uint32_t i = 0; i < count; i++)
		apply(shard, &inputs[i], &prepared[i], effects);
}

const struct account *shard_account(const struct shard *shard, struct id128 id)
{
	return account_find(&shard->accounts, id, id_hash(id));
}

enum status shard_transfer(const struct shard *shard, struct id128 id, uint64_t *epoch)
{
	uint64_t hash = id_hash(id);

	*epoch = 0;
	if (phase_find(&shard->phase, id, hash) != NULL)
		return STATUS_PENDING;
	enum status time = window_check_time(&shard->window, id, shard->now_ms);
	if (time != STATUS_OK)
		return time;
	struct window_place place = window_place(&shard->window, id, hash);
	const struct window_entry *entry = window_find(&shard->window, id, &place);
	if (entry == NULL)
		return STATUS_TRANSFER_NOT_FOUND;
	*epoch = window_entry_epoch(entry);
	return window_entry_status(entry);
}

uint32_t shard_resend(struct shard *shard, struct shard_cursor *cursor, uint32_t count_max,
		      struct shard_effects *effects)
{
	uint32_t count = 0;

	for (; cursor->peer < shard->limits.shards; cursor->peer++, cursor->seq = 0) {
		const struct phase_link *link = &shard->phase.link[cursor->peer];
		if (cursor->seq < link->low)
			cursor->seq = link->low;
		for (; cursor->seq < link->next; cursor->seq++) {
			const struct coordinator_row *row =
			    phase_row(&shard->phase, cursor->peer, cursor->seq);
			if (row == NULL)
				continue;
			if (count == count_max)
				return count;
			effect_coordinator_message(shard, cursor->peer, row, effects);
			shard->events[SHARD_EVENT_MESSAGE_RESENT]++;
			count++;
		}
	}
	return count;
}

bool shard_next_timeout(const struct shard *shard, struct shard_input *input)
{
	if (shard->limits.try_timeout_ms == 0)
		return false;
	for (uint32_t peer = 0; peer < shard->limits.shards; peer++) {
		const struct phase_link *link = &shard->phase.link[peer];
		for (uint64_t seq = link->low; seq < link->next; seq++) {
			const struct coordinator_row *row = phase_row(&shard->phase, peer, seq);
			if (row == NULL)
				continue;
			/* Numbers are given in time's order: the rest are younger. */
			if (shard->now_ms - row->started_ms <= shard->limits.try_timeout_ms)
				break;
			if (row->state != COORDINATOR_TRYING)
				continue;
			*input = (struct shard_input){
			    .kind = SHARD_INPUT_TIMEOUT,
			    .message = {.from = (uint8_t)peer, .seq = seq},
			};
			return true;
		}
	}
	return false;
}

const char *shard_event_text(enum shard_event event)
{
	static const char *const texts[SHARD_EVENTS] = {
#define SHARD_EVENT_TEXT(name, text) [SHARD_EVENT_##name] = (text),
	    SHARD_EVENT_LIST(SHARD_EVENT_TEXT)
#undef SHARD_EVENT_TEXT
	};

	return texts[event];
}
