/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/check.h"
#include "client/session.h"

_Static_assert(sizeof(struct giro_id) == sizeof(struct id128), "same id");
_Static_assert(sizeof(struct giro_transfer) == sizeof(struct transfer), "same record");
_Static_assert(offsetof(struct giro_transfer, debit) == offsetof(struct transfer, debit) &&
		   offsetof(struct giro_transfer, credit) == offsetof(struct transfer, credit) &&
		   offsetof(struct giro_transfer, amount) == offsetof(struct transfer, amount) &&
		   offsetof(struct giro_transfer, ledger) == offsetof(struct transfer, ledger) &&
		   offsetof(struct giro_transfer, code) == offsetof(struct transfer, code) &&
		   offsetof(struct giro_transfer, flags) == offsetof(struct transfer, flags),
	       "same record");
_Static_assert((int)GIRO_CREATE == CREATE_ACCOUNT && (int)GIRO_FREEZE == FREEZE_ACCOUNT &&
		   (int)GIRO_UNFREEZE == UNFREEZE_ACCOUNT && (int)GIRO_CLOSE == CLOSE_ACCOUNT,
	       "same actions");
_Static_assert(GIRO_FLOOR_ISSUER == FLOOR_ISSUER, "same floor");
_Static_assert(GIRO_SHARDS_MAX == SHARDS_MAX, "same limit");

/* Where the account that decides the shard stands in a record. */
static const uint8_t key_offset[KINDS] = {
    [WIRE_TRANSFER] = offsetof(struct transfer, debit),
    [WIRE_ACCOUNT] = offsetof(struct account_operation, account),
    [WIRE_LOOKUP_ACCOUNT] = offsetof(struct wire_lookup_account, account),
    [WIRE_LOOKUP_TRANSFER] = offsetof(struct wire_lookup_transfer, debit),
};

void client_flight_close(struct giro *giro, struct client_flight *flight)
{
	flight->request_id = giro->sequence++ << 16 | flight->index;
	wire_seal_request(flight->payload, flight->kind, flight->count, flight->request_id);
	client_flight_queue(giro, flight, false);
}

bool client_fill(struct giro *giro, unsigned kind, const void *record,
		 const struct client_ticket *ticket)
{
	struct id128 key;

	memcpy(&key, (const uint8_t *)record + key_offset[kind], sizeof(key));
	const unsigned shard = giro->map.slot[id_slot(key)];
	struct client_flight *flight = giro->filling[kind][shard];
	if (flight == NULL) {
		flight = client_flight_take(giro, kind, shard);
		if (flight == NULL)
			return false;
	}

	const unsigned i = flight->count++;
	memcpy(flight->payload + sizeof(struct wire_header) + (size_t)i * WIRE_RECORD_BYTES, record,
	       WIRE_RECORD_BYTES);
	flight->tickets[i] = *ticket;
	flight->undecided[i / 64] |= 1ull << (i % 64);
	flight->left++;
	if (ticket->deadline_ns < flight->deadline_ns) {
		flight->deadline_ns = ticket->deadline_ns;
		if (ticket->deadline_ns < giro->next_due_ns)
			giro->next_due_ns = ticket->deadline_ns;
	}
	if (flight->count >= giro->info.datagram_records)
		client_flight_close(giro, flight);
	return true;
}

int client_submit(struct giro *giro, unsigned kind, const void *record,
		  struct client_ticket *ticket)
{
	if (giro->log_changed)
		return GIRO_LOG_CHANGED;
	if (giro->outstanding == giro->capacity)
		return GIRO_FULL;
	ticket->deadline_ns = client_tick_ns() + giro->options.timeout_ms * 1000000ull;
	if (!client_fill(giro, kind, record, ticket))
		return GIRO_FULL;
	giro->outstanding++;
	giro->statistics.records++;
	return 0;
}

int giro_submit_transfer(struct giro *giro, const struct giro_transfer *transfer, uint64_t context)
{
	struct client_ticket ticket = {.context = context};

	return client_submit(giro, WIRE_TRANSFER, transfer, &ticket);
}

int giro_submit_operation(struct giro *giro, const struct giro_operation *operation,
			  uint64_t context)
{
	struct client_ticket ticket = {.context = context};
	const struct account_operation record = {
	    .id = {operation->id.lo, operation->id.hi},
	    .account = {operation->account.lo, operation->account.hi},
	    .floor = operation->floor,
	    .ledger = operation->ledger,
	    .action = operation->action,
	    .flags = operation->flags,
	};

	return client_submit(giro, WIRE_ACCOUNT, &record, &ticket);
}

int giro_submit_account_lookup(struct giro *giro, struct giro_id id, struct giro_account *account,
			       uint64_t context)
{
	struct client_ticket ticket = {.context = context, .account = account};
	const struct wire_lookup_account record = {.account = {id.lo, id.hi}};

	return client_submit(giro, WIRE_LOOKUP_ACCOUNT, &record, &ticket);
}

int giro_submit_transfer_lookup(struct giro *giro, struct giro_id id, struct giro_id debit,
				uint64_t context)
{
	struct client_ticket ticket = {.context = context};
	const struct wire_lookup_transfer record = {
	    .id = {id.lo, id.hi},
	    .debit = {debit.lo, debit.hi},
	};

	return client_submit(giro, WIRE_LOOKUP_TRANSFER, &record, &ticket);
}
