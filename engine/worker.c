/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/worker.h"

#include <string.h>

#include "base/check.h"

/* Effects of one call to shard_apply(): one each for an input. */
struct burst {
	struct shard_message messages[SHARD_BURST_MAX];
	struct shard_reply replies[SHARD_BURST_MAX];
	struct shard_effects effects;
};

/* How often a worker looks for tries without a vote, in epoch time. */
#define TIMEOUT_CHECK_MS 10

static size_t align_line(size_t bytes)
{
	return (bytes + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
}

size_t worker_bytes(uint32_t shards_max, uint32_t requests)
{
	return align_line(sizeof(struct worker)) +
	       align_line(shards_max * sizeof(struct worker_batch)) +
	       align_line(requests * sizeof(struct worker_request));
}

/* Requests: a token is the request's index and the record's, never zero. */

static uint64_t token_make(uint32_t request, uint32_t record)
{
	return ((uint64_t)request + 1) << 16 | record;
}

static struct worker_request *request_take(struct worker *worker)
{
	struct worker_request *request = &worker->requests[worker->requests_free];

	worker->requests_free = request->next;
	worker->requests_used++;
	return request;
}

static void request_put(struct worker *worker, struct worker_request *request)
{
	request->next = worker->requests_free;
	worker->requests_free = (uint32_t)(request - worker->requests);
	worker->requests_used--;
}

struct worker *worker_new(void *memory, const struct worker_config *config,
			  struct shard *const *shards, uint32_t shard_count)
{
	uint8_t *bytes = memory;
	struct worker *worker = memory;

	CHECK(config->requests >= 1 && config->requests <= WORKER_REQUESTS_MAX);
	*worker = (struct worker){.config = *config, .shard_count = shard_count};
	if (config->shards_max == 0)
		worker->config.shards_max = shard_count;
	CHECK(shard_count >= 1 && shard_count <= worker->config.shards_max);
	bytes += align_line(sizeof(*worker));
	worker->batches = (struct worker_batch *)bytes;
	bytes += align_line(worker->config.shards_max * sizeof(struct worker_batch));
	worker->requests = (struct worker_request *)bytes;

	for (uint32_t i = 0; i < shard_count; i++) {
		worker->batches[i].shard = shards[i];
		worker->batch_of[shards[i]->index] = &worker->batches[i];
	}
	worker->requests_free = WORKER_NONE;
	worker->requests_used = config->requests;
	for (uint32_t i = config->requests; i-- > 0;)
		request_put(worker, &worker->requests[i]);
	for (uint32_t slot = 0; slot < EPOCH_SLOTS_MAX; slot++)
		worker->held[slot] = (struct worker_list){WORKER_NONE, WORKER_NONE};

	worker->committed = epoch_committed(config->clock);
	worker->epoch = epoch_newest(config->clock);
	for (uint32_t i = 0; i < shard_count; i++) {
		struct shard *shard = shards[i];
		shard_enter_epoch(shard, worker->epoch,
				  config->clock->time_ms[worker->epoch % config->clock->slots]);
		intake_init(&worker->batches[i].intake, shard->limits.ids_per_second,
			    window_generation_ms(&shard->window) / 4, shard->window.puts,
			    shard->now_ms);
	}
	return worker;
}

/* Replies. */

static void replies_hand_out(struct worker *worker)
{
	if (worker->reply_count == 0)
		return;
	worker->counts.replies += worker->reply_count;
	worker->config.sink.replies(worker->config.sink.context, worker->replies,
				    worker->reply_count);
	worker->reply_count = 0;
}

static void request_reply(struct worker *worker, struct worker_request *request)
{
	worker->replies[worker->reply_count++] = (struct worker_reply){
	    .packet = request->packet,
	    .payload_size = wire_seal_reply(request->payload, request->count, STATUS_OK, 0,
					    worker->map->version),
	};
	request_put(worker, request);
	if (worker->reply_count == WORKER_REPLIES_BURST)
		replies_hand_out(worker);
}

/* All results are in: out it goes, or it waits for its epoch. */
static void request_done(struct worker *worker, struct worker_request *request)
{
	if (request->epoch <= worker->committed) {
		request_reply(worker, request);
		return;
	}

	struct worker_list *list = &worker->held[request->epoch % worker->config.clock->slots];
	uint32_t index = (uint32_t)(request - worker->requests);
	request->next = WORKER_NONE;
	if (list->head == WORKER_NONE)
		list->head = index;
	else
		worker->requests[list->tail].next = index;
	list->tail = index;
	worker->counts.held++;
}

static void replies_release(struct worker *worker, uint64_t committed)
{
	while (worker->committed < committed) {
		worker->committed++;
		struct worker_list *list =
		    &worker->held[worker->committed % worker->config.clock->slots];
		uint32_t index = list->head;
		*list = (struct worker_list){WORKER_NONE, WORKER_NONE};
		while (index != WORKER_NONE) {
			struct worker_request *request = &worker->requests[index];
			index = request->next;
			worker->counts.released++;
			request_reply(worker, request);
		}
	}
}

static uint8_t *result_at(const struct worker_request *request, size_t bytes, uint32_t record)
{
	return request->payload + sizeof(struct wire_header) + bytes * record;
}

static void request_result(struct worker *worker, const struct shard_reply *reply)
{
	struct worker_request *request = &worker->requests[(reply->token >> 16) - 1];
	const struct wire_result result = {
	    .status = (uint16_t)reply->status,
	    .retry_after_ms = reply->status == STATUS_BUSY ? WORKER_RETRY_AFTER_MS : 0,
	    .epoch = reply->epoch,
	};

	memcpy(result_at(request, sizeof(result), reply->token & 0xffff), &result, sizeof(result));
	if (reply->epoch > request->epoch)
		request->epoch = reply->epoch;
	if (--request->waiting == 0)
		request_done(worker, request);
}

/* Batches. */

static struct epoch_section *open_section(const struct worker *worker, const struct shard *shard)
{
	return epoch_section(worker->config.clock, shard->index, worker->epoch);
}

/* Hands over the effects of one burst: messages first, since peers wait for them. */
static void burst_hand_over(struct worker *worker, struct shard *shard, struct burst *burst)
{
	struct epoch_section *section = open_section(worker, shard);

	CHECK(burst->effects.log_bytes <= worker->config.clock->section_bytes);
	if (section->bytes != burst->effects.log_bytes && worker->wrote != worker->epoch) {
		worker->wrote = worker->epoch;
		atomic_store_explicit(&worker->config.clock->worker[worker->config.index].wrote,
				      worker->epoch, memory_order_relaxed);
	}
	section->bytes = burst->effects.log_bytes;
	if (burst->effects.message_count > 0)
		worker->config.sink.messages(worker->config.sink.context, burst->messages,
					     burst->effects.message_count);
	for (uint32_t i = 0; i < burst->effects.reply_count; i++)
		request_result(worker, &burst->replies[i]);
}

static void burst_begin(const struct worker *worker, const struct shard *shard, struct burst *burst)
{
	const struct epoch_section *section = open_section(worker, shard);

	burst->effects = (struct shard_effects){
	    .log = section->data,
	    .log_bytes = section->bytes,
	    .messages = burst->messages,
	    .replies = burst->replies,
	};
}

static void batch_flush(struct worker *worker, struct worker_batch *batch)
{
	struct burst burst;

	if (batch->count == 0)
		return;
	enum stage before = meter_enter(worker->config.meter, STAGE_APPLY);
	burst_begin(worker, batch->shard, &burst);
	shard_apply(batch->shard, batch->inputs, batch->count, &burst.effects);
	batch->count = 0;
	burst_hand_over(worker, batch->shard, &burst);
	meter_enter(worker->config.meter, before);
}

static struct shard_input *batch_next(struct worker *worker, struct worker_batch *batch)
{
	if (batch->count == SHARD_BURST_MAX)
		batch_flush(worker, batch);
	return &batch->inputs[batch->count++];
}

void worker_flush(struct worker *worker)
{
	for (uint32_t i = 0; i < worker->shard_count; i++)
		batch_flush(worker, &worker->batches[i]);
}

bool worker_has_room(const struct worker *worker, uint32_t records)
{
	for (uint32_t i = 0; i < worker->shard_count; i++) {
		const struct worker_batch *batch = &worker->batches[i];
		const struct epoch_section *section = open_section(worker, batch->shard);
		uint64_t need = (uint64_t)(batch->count + records) * RECORD_BYTES_MAX;
		if (section->bytes + need > worker->config.clock->section_bytes)
			return false;
	}
	return true;
}

bool worker_has_rows(const struct worker *worker)
{
	for (uint32_t i = 0; i < worker->shard_count; i++) {
		const struct phase_table *phase = &worker->batches[i].shard->phase;
		for (uint32_t peer = 0; peer < phase->shards; peer++) {
			const struct phase_link *link = &phase->link[peer];
			if (link->next - link->low > phase->rows / 2)
				return false;
		}
	}
	return true;
}

/* Epochs. */

/* The digests of a cut, in an epoch that the worker has sealed: its own, or one that it passes over. */
static void walk_shards(struct worker *worker, uint64_t epoch, uint64_t now_ms)
{
	bool measure = worker->config.meter != NULL;
	uint64_t begin = measure ? meter_cycles() : 0;

	for (uint32_t i = 0; i < worker->shard_count; i++) {
		struct shard *shard = worker->batches[i].shard;
		if (shard->epoch < epoch)
			shard_enter_epoch(shard, epoch, now_ms);
		CHECK(shard->epoch == epoch);
		struct shard_digest digest = shard_digest(shard);
		cut_give(&worker->config.clock->cut, shard->index, epoch, digest,
			 measure ? meter_cycles() - begin : 0);
	}
}

static void enter_epoch(struct worker *worker, uint64_t epoch)
{
	struct epoch_clock *clock = worker->config.clock;

	worker_flush(worker);
	/* The new epoch takes over the list of one that was committed before it was opened. Only
	 * now, behind the load of `open`, is that commit sure to be seen. */
	replies_release(worker, epoch_committed(clock));
	/* Epochs passed over are sealed empty: their sections hold what an earlier turn wrote. */
	for (uint64_t e = worker->epoch + 1; e <= epoch; e++) {
		for (uint32_t i = 0; i < worker->shard_count; i++)
			epoch_section(clock, worker->batches[i].shard->index, e)->bytes = 0;
	}
	uint64_t cut = cut_within(&clock->cut, worker->epoch, epoch - 1);
	/* Read before the seal: behind it the epoch may be committed, and its slot another's. */
	uint64_t cut_ms = cut != 0 ? clock->time_ms[cut % clock->slots] : 0;
	epoch_seal(clock, worker->config.index, epoch - 1);
	if (cut != 0)
		walk_shards(worker, cut, cut_ms);
	worker->epoch = epoch;
	worker->counts.epochs_entered++;
	for (uint32_t i = 0; i < worker->shard_count; i++)
		shard_enter_epoch(worker->batches[i].shard, epoch,
				  clock->time_ms[epoch % clock->slots]);
}

void worker_resume(struct worker *worker)
{
	for (uint32_t i = 0; i < worker->shard_count; i++) {
		struct shard *shard = worker->batches[i].shard;
		struct shard_cursor cursor = {0};
		struct burst burst;
		do {
			burst_begin(worker, shard, &burst);
			shard_resend(shard, &cursor, SHARD_BURST_MAX, &burst.effects);
			burst_hand_over(worker, shard, &burst);
		} while (burst.effects.message_count > 0);
	}
}

/* At most one burst a shard and turn; the rest is found the next time. */
static void cancel_timed_out(struct worker *worker)
{
	if (worker->batches[0].shard->now_ms < worker->timeouts_ms + TIMEOUT_CHECK_MS)
		return;
	worker->timeouts_ms = worker->batches[0].shard->now_ms;
	for (uint32_t i = 0; i < worker->shard_count; i++) {
		struct worker_batch *batch = &worker->batches[i];
		for (uint32_t n = 0; n < SHARD_BURST_MAX && worker_has_room(worker, 1); n++) {
			struct shard_input input;
			if (!shard_next_timeout(batch->shard, &input))
				break;
			*batch_next(worker, batch) = input;
			batch_flush(worker, batch);
		}
	}
}

bool worker_turn(struct worker *worker)
{
	uint64_t newest = epoch_newest(worker->config.clock);
	uint64_t committed = worker->committed;
	bool active = newest != worker->epoch;

	if (newest != worker->epoch) {
		enter_epoch(worker, newest);
		cancel_timed_out(worker);
	}
	replies_release(worker, epoch_committed(worker->config.clock));
	active |= worker->committed != committed || worker->reply_count > 0;
	replies_hand_out(worker);
	return active;
}

void worker_stop(struct worker *worker)
{
	/* An epoch may have been opened since the last turn: all workers end in the same, or the
	 * log would wait for the others. */
	worker_turn(worker);
	worker_flush(worker);
	epoch_seal(worker->config.clock, worker->config.index, worker->epoch);
}

bool worker_is_idle(const struct worker *worker)
{
	return worker_is_settled(worker) && worker->requests_used == 0 && worker->reply_count == 0;
}

/* Messages. */

void worker_message(struct worker *worker, const struct shard_message *message)
{
	struct worker_batch *batch = worker->batch_of[message->to];

	CHECK(batch != NULL);
	/* The epoch travels as its low half; sender and receiver are never half a range apart. */
	if ((int32_t)(message->epoch_low - (uint32_t)worker->epoch) > 0) {
		uint64_t newest = epoch_newest(worker->config.clock);
		CHECK((int32_t)(message->epoch_low - (uint32_t)newest) <= 0);
		worker->counts.caught_up++;
		enter_epoch(worker, newest);
	}
	shard_input_from_message(batch_next(worker, batch), message);
}

/* Datagrams. */

static size_t answer_info(const struct worker *worker, uint8_t *payload)
{
	const struct shard *shard = worker->batches[0].shard;
	struct wire_info_request request;

	memcpy(&request, payload + sizeof(struct wire_header), sizeof(request));
	enum status status = wire_check_info(&request);
	if (status != STATUS_OK)
		return wire_seal_reply(payload, 0, status, 0, worker->map->version);
	struct wire_info info = {
	    .version_min = WIRE_VERSION,
	    .version_max = WIRE_VERSION,
	    .shards = (uint16_t)worker->map->shards,
	    .first_slot = request.first_slot,
	    .datagram_max = worker->config.datagram_max,
	    .records_max = (uint16_t)((worker->config.datagram_max - sizeof(struct wire_header)) /
				      WIRE_RECORD_BYTES),
	    .window_ms = shard->limits.window_ms,
	    .ahead_ms = shard->limits.ahead_ms,
	    .now_ms = shard->now_ms,
	    .committed = worker->committed,
	    .log_id = worker->config.log_id,
	    .accounts_max = shard->limits.accounts_max,
	};
	memcpy(info.port, worker->map->port, sizeof(info.port));
	memcpy(info.slot, worker->map->slot + request.first_slot, sizeof(info.slot));
	memcpy(payload + sizeof(struct wire_header), &info, sizeof(info));
	return wire_seal_reply(payload, 1, STATUS_OK, 0, worker->map->version);
}

/* Where a record of each kind has the account that decides its shard. */
static size_t account_offset(unsigned kind)
{
	switch (kind) {
	case WIRE_TRANSFER:
		return offsetof(struct transfer, debit);
	case WIRE_ACCOUNT:
		return offsetof(struct account_operation, account);
	case WIRE_LOOKUP_TRANSFER:
		return offsetof(struct wire_lookup_transfer, debit);
	default:
		return offsetof(struct wire_lookup_account, account);
	}
}

enum worker_route worker_route(struct worker *worker, uint8_t *payload, size_t size,
			       uint32_t *shard, size_t *payload_size)
{
	struct wire_header header;
	struct id128 account;

	/* The port's MTU bounds the records of a burst, see worker_has_room(). */
	int fault = size > worker->config.datagram_max ? WIRE_FAULT_SHORT
						       : wire_check_request(payload, size);
	if (fault < 0) {
		worker->counts.faults[-fault]++;
		return WORKER_ROUTE_DROP;
	}
	if (fault > 0) {
		worker->counts.refused++;
		*payload_size =
		    wire_seal_reply(payload, 0, (unsigned)fault, 0, worker->map->version);
		return WORKER_ROUTE_REPLY;
	}
	memcpy(&header, payload, sizeof(header));
	if (header.kind == WIRE_INFO) {
		worker->counts.infos++;
		*payload_size = answer_info(worker, payload);
		return WORKER_ROUTE_REPLY;
	}
	memcpy(&account, payload + sizeof(header) + account_offset(header.kind), sizeof(account));
	*shard = slot_map_shard(worker->map, id_hash(account));
	return WORKER_ROUTE_SHARD;
}

static void accept_transfers(struct worker *worker, struct worker_batch *batch,
			     struct worker_request *request, uint8_t flags)
{
	uint32_t index = (uint32_t)(request - worker->requests);
	uint8_t *payload = request->payload;
	uint32_t count = request->count;

	for (uint32_t i = 0; i < count; i++) {
		struct shard_input *input = batch_next(worker, batch);
		memcpy(&input->transfer,
		       payload + sizeof(struct wire_header) + i * sizeof(struct transfer),
		       sizeof(struct transfer));
		input->kind = SHARD_INPUT_TRANSFER;
		input->flags = flags;
		input->token = token_make(index, i);
		input->hash = id_hash(input->transfer.debit);
		input->credit_hash = id_hash(input->transfer.credit);
		input->home = slot_map_shard(worker->map, input->hash);
		input->peer = slot_map_shard(worker->map, input->credit_hash);
	}
}

static void accept_operations(struct worker *worker, struct worker_batch *batch,
			      struct worker_request *request, uint8_t flags)
{
	uint32_t index = (uint32_t)(request - worker->requests);
	uint8_t *payload = request->payload;
	uint32_t count = request->count;

	for (uint32_t i = 0; i < count; i++) {
		struct shard_input *input = batch_next(worker, batch);
		memcpy(&input->operation,
		       payload + sizeof(struct wire_header) + i * sizeof(struct account_operation),
		       sizeof(struct account_operation));
		input->kind = SHARD_INPUT_ACCOUNT;
		input->flags = flags;
		input->token = token_make(index, i);
		input->hash = id_hash(input->operation.account);
		input->home = slot_map_shard(worker->map, input->hash);
	}
}

static struct wire_account look_up_account(const struct worker *worker, const struct shard *shard,
					   const struct wire_lookup_account *lookup)
{
	struct wire_account result = {.account = lookup->account};
	enum status status = wire_check_lookup_account(lookup);

	if (status == STATUS_OK &&
	    slot_map_shard(worker->map, id_hash(lookup->account)) != shard->index)
		status = STATUS_WRONG_SHARD;
	const struct account *account =
	    status == STATUS_OK ? shard_account(shard, lookup->account) : NULL;
	if (status == STATUS_OK && account == NULL)
		status = STATUS_ACCOUNT_NOT_FOUND;
	result.status = (uint16_t)status;
	if (account == NULL)
		return result;
	result.balance = account->balance;
	result.held = account->held;
	result.incoming = account->incoming;
	result.floor = account->floor;
	result.ledger = account->ledger;
	result.flags = (uint16_t)account->flags;
	return result;
}

/* Reads see what is applied, and are answered when that is durable. */
static void accept_account_lookups(struct worker *worker, const struct shard *shard,
				   struct worker_request *request)
{
	request->epoch = shard->changed_epoch;
	for (uint32_t i = 0; i < request->count; i++) {
		uint8_t *at = result_at(request, sizeof(struct wire_account), i);
		struct wire_lookup_account lookup;
		memcpy(&lookup, at, sizeof(lookup));
		struct wire_account result = look_up_account(worker, shard, &lookup);
		result.epoch = shard->changed_epoch;
		memcpy(at, &result, sizeof(result));
	}
}

static void accept_transfer_lookups(struct worker *worker, const struct shard *shard,
				    struct worker_request *request)
{
	for (uint32_t i = 0; i < request->count; i++) {
		struct wire_lookup_transfer lookup;
		struct wire_result result = {0};
		memcpy(&lookup, result_at(request, sizeof(lookup), i), sizeof(lookup));
		result.status = (uint16_t)wire_check_lookup_transfer(&lookup);
		if (result.status == STATUS_OK &&
		    slot_map_shard(worker->map, id_hash(lookup.debit)) != shard->index)
			result.status = STATUS_WRONG_SHARD;
		else if (result.status == STATUS_OK)
			result.status = (uint16_t)shard_transfer(shard, lookup.id, &result.epoch);
		if (result.epoch > request->epoch)
			request->epoch = result.epoch;
		memcpy(result_at(request, sizeof(result), i), &result, sizeof(result));
	}
}

size_t worker_refuse(struct worker *worker, uint8_t *payload)
{
	worker->counts.busy_requests++;
	return wire_seal_reply(payload, 0, STATUS_BUSY, WORKER_RETRY_AFTER_MS,
			       worker->map->version);
}

static void refuse_busy(struct worker *worker, void *packet, uint8_t *payload)
{
	worker->replies[worker->reply_count++] = (struct worker_reply){
	    .packet = packet,
	    .payload_size = worker_refuse(worker, payload),
	};
	if (worker->reply_count == WORKER_REPLIES_BURST)
		replies_hand_out(worker);
}

/* SHARD_INPUT_NO_NEW_WORK for a request for new work that cannot be taken now, or 0. */
static uint8_t new_work_flags(struct worker *worker, struct worker_batch *batch)
{
	const struct shard *shard = batch->shard;
	bool has_space =
	    atomic_load_explicit(&worker->config.clock->has_space, memory_order_relaxed);

	if (!intake_is_open(&batch->intake, shard->window.puts, shard->now_ms)) {
		worker->counts.over_rate++;
		return SHARD_INPUT_NO_NEW_WORK;
	}
	return worker->draining || !has_space ? SHARD_INPUT_NO_NEW_WORK : 0;
}

void worker_accept(struct worker *worker, uint32_t shard, void *packet, uint8_t *payload)
{
	struct worker_batch *batch = worker->batch_of[shard];
	struct wire_header header;

	CHECK(batch != NULL);
	if (worker->requests_free == WORKER_NONE) {
		refuse_busy(worker, packet, payload);
		return;
	}
	memcpy(&header, payload, sizeof(header));
	struct worker_request *request = request_take(worker);
	*request = (struct worker_request){
	    .packet = packet,
	    .payload = payload,
	    .count = header.count,
	    .waiting = header.count,
	};
	worker->counts.datagrams++;
	switch (header.kind) {
	case WIRE_TRANSFER:
		accept_transfers(worker, batch, request, new_work_flags(worker, batch));
		return;
	case WIRE_ACCOUNT:
		accept_operations(worker, batch, request, new_work_flags(worker, batch));
		return;
	case WIRE_LOOKUP_ACCOUNT:
		accept_account_lookups(worker, batch->shard, request);
		break;
	default:
		accept_transfer_lookups(worker, batch->shard, request);
		break;
	}
	request_done(worker, request);
}
