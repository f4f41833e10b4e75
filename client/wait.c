/* SPDX-License-Identifier: Apache-2.0 */
#include "client/session.h"

static int wait_for(struct giro *giro, unsigned kind, const void *record,
		    struct giro_account *account)
{
	struct client_waiter waiter = {0};
	struct client_ticket ticket = {
	    .context = (uintptr_t)&waiter,
	    .account = account,
	    .waited = true,
	};
	int error;

	while ((error = client_submit(giro, kind, record, &ticket)) == GIRO_FULL) {
		/* Only giro_poll() can make room when all that is outstanding is done. */
		if (giro->completion_count == giro->outstanding)
			return GIRO_FULL;
		client_advance(giro, 0);
		client_wait(giro, client_now_ns() + ASK_MIN_NS);
	}
	if (error != 0)
		return error;
	for (;;) {
		client_advance(giro, 0);
		if (waiter.done)
			break;
		client_wait(giro, UINT64_MAX);
	}
	client_arm(giro);
	return waiter.outcome;
}

int giro_transfer_wait(struct giro *giro, const struct giro_transfer *transfer)
{
	return wait_for(giro, WIRE_TRANSFER, transfer, NULL);
}

int giro_operation_wait(struct giro *giro, const struct giro_operation *operation)
{
	const struct account_operation record = {
	    .id = {operation->id.lo, operation->id.hi},
	    .account = {operation->account.lo, operation->account.hi},
	    .floor = operation->floor,
	    .ledger = operation->ledger,
	    .action = operation->action,
	    .flags = operation->flags,
	};

	return wait_for(giro, WIRE_ACCOUNT, &record, NULL);
}

int giro_account_wait(struct giro *giro, struct giro_id id, struct giro_account *account)
{
	const struct wire_lookup_account record = {.account = {id.lo, id.hi}};

	return wait_for(giro, WIRE_LOOKUP_ACCOUNT, &record, account);
}

int giro_transfer_outcome_wait(struct giro *giro, struct giro_id id, struct giro_id debit)
{
	const struct wire_lookup_transfer record = {
	    .id = {id.lo, id.hi},
	    .debit = {debit.lo, debit.hi},
	};

	return wait_for(giro, WIRE_LOOKUP_TRANSFER, &record, NULL);
}

int giro_account_create(struct giro *giro, struct giro_id account, uint32_t ledger, int64_t floor)
{
	const struct giro_operation operation = {
	    .id = giro_id_new(giro),
	    .account = account,
	    .floor = floor,
	    .ledger = ledger,
	    .action = GIRO_CREATE,
	};

	return giro_operation_wait(giro, &operation);
}

static int change(struct giro *giro, struct giro_id account, enum giro_action action)
{
	const struct giro_operation operation = {
	    .id = giro_id_new(giro),
	    .account = account,
	    .action = (uint16_t)action,
	};

	return giro_operation_wait(giro, &operation);
}

int giro_account_freeze(struct giro *giro, struct giro_id account)
{
	return change(giro, account, GIRO_FREEZE);
}

int giro_account_unfreeze(struct giro *giro, struct giro_id account)
{
	return change(giro, account, GIRO_UNFREEZE);
}

int giro_account_close(struct giro *giro, struct giro_id account)
{
	return change(giro, account, GIRO_CLOSE);
}

int giro_ping(struct giro *giro, uint32_t timeout_ms, uint64_t *round_trip_us)
{
	const uint64_t until_ns = client_now_ns() + timeout_ms * 1000000ull;

	client_reading_begin(giro, 1, client_now_ns());
	for (;;) {
		client_advance(giro, 0);
		if (giro->log_changed)
			return GIRO_LOG_CHANGED;
		if (!giro->reading.active)
			break;
		if (client_now_ns() >= until_ns) {
			giro->reading.active = false;
			return GIRO_TIMED_OUT;
		}
		client_wait(giro, until_ns);
	}
	*round_trip_us = (giro->reading_trip_ns + 500) / 1000;
	client_arm(giro);
	return 0;
}
