/* SPDX-License-Identifier: Apache-2.0 */
#include "client/import_send.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "client/import_progress.h"

#define CHUNK_NS	 250000000ull
#define CHUNK_ROWS_MIN	 16u
#define CHUNK_ROWS_FIRST 1024u
#define CHUNK_ROWS_MAX	 (1u << 18)

/* Outcomes are journaled at the latest after so many or so long. */
#define OUTCOMES_MAX 4096
#define JOURNAL_NS   100000000ull

/* Rows that got no outcome are submitted again this much later. */
#define AGAIN_NS 100000000ull

#define POLL_BATCH   256
#define POLL_WAIT_US 2000

/* A row under way. */
struct slot {
	uint64_t row;
	union {
		struct giro_operation operation;
		struct giro_transfer transfer;
	} record;
	bool renewed; /* an account's creation that was given a new id */
};

struct sender {
	struct import *import;
	enum import_list list;
	struct csv_cursor cursor; /* of the transfers */
	uint64_t next;		  /* row */
	uint64_t chunk_end;	  /* rows from `next` to here may be sent with chunk_ms */
	uint64_t chunk_ms;
	uint64_t chunk_rows;
	uint64_t chunk_ns;	 /* when it began */
	bool chunk_fresh;	 /* this run began it: its rows from `next` on were never sent */
	struct csv_transfer row; /* of the transfers, the last one read */
	struct slot *slots;
	uint32_t *free_slots;
	uint32_t free_count;
	uint32_t *again; /* slots to submit again */
	uint32_t again_count;
	uint64_t again_ns;
	struct journal_outcome outcomes[OUTCOMES_MAX];
	size_t outcome_count;
	uint64_t journal_ns;
	uint64_t answered_ns; /* last sign of the engine */
	struct progress progress;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool import_add_base(struct import *import, enum import_list list, uint64_t first, uint32_t count,
		     uint64_t base_ms)
{
	if (import->base_count == import->base_room) {
		const size_t room = import->base_room ? 2 * import->base_room : 64;
		struct import_base *more = realloc(import->bases, room * sizeof(*more));
		if (more == NULL)
			return false;
		import->bases = more;
		import->base_room = room;
	}
	import->bases[import->base_count++] = (struct import_base){
	    .list = (uint8_t)list,
	    .first = first,
	    .count = count,
	    .base_ms = base_ms,
	};
	return true;
}

/* The base that holds for a row, or NULL when it was never to be sent. */
static const struct import_base *base_of(const struct import *import, enum import_list list,
					 uint64_t row)
{
	for (size_t i = import->base_count; i-- > 0;) {
		const struct import_base *base = &import->bases[i];
		if (base->list == list && row - base->first < base->count)
			return base;
	}
	return NULL;
}

/* Rows from `row` on that no earlier run was to send. */
static uint64_t fresh_rows(const struct import *import, enum import_list list, uint64_t row,
			   uint64_t limit)
{
	for (size_t i = 0; i < import->base_count; i++) {
		const struct import_base *base = &import->bases[i];
		if (base->list == list && base->first > row && base->first - row < limit)
			limit = base->first - row;
	}
	return limit;
}

/* A chunk should take about CHUNK_NS. */
static void adapt_chunk(struct sender *sender, uint64_t now)
{
	const uint64_t took_ns = now - sender->chunk_ns;

	if (!sender->chunk_fresh)
		return;
	if (took_ns < CHUNK_NS / 2 && sender->chunk_rows < CHUNK_ROWS_MAX)
		sender->chunk_rows *= 2;
	else if (took_ns > CHUNK_NS * 2 && sender->chunk_rows > CHUNK_ROWS_MIN)
		sender->chunk_rows /= 2;
}

/* Makes the rows from `next` on sendable: with the base of an earlier run, or with a new one. */
static bool begin_chunk(struct sender *sender, uint64_t now, bool aged)
{
	struct import *import = sender->import;
	const uint64_t left = import->rows[sender->list] - sender->next;
	const struct import_base *old = base_of(import, sender->list, sender->next);

	adapt_chunk(sender, now);
	sender->chunk_ns = now;
	sender->chunk_fresh = aged || old == NULL;
	if (!sender->chunk_fresh) {
		sender->chunk_ms = old->base_ms;
		sender->chunk_end = sender->next + 1;
		return true;
	}
	uint64_t rows = sender->chunk_rows < left ? sender->chunk_rows : left;
	rows = fresh_rows(import, sender->list, sender->next, rows);
	/* The session knows when this machine's clock is not to be trusted. */
	sender->chunk_ms = giro_id_new(import->giro).hi >> 16;
	sender->chunk_end = sender->next + rows;
	return journal_base(&import->journal, sender->list, sender->next, (uint32_t)rows,
			    sender->chunk_ms) &&
	       import_add_base(import, sender->list, sender->next, (uint32_t)rows,
			       sender->chunk_ms);
}

static int submit(struct sender *sender, uint32_t place)
{
	struct giro *giro = sender->import->giro;
	const struct slot *slot = &sender->slots[place];

	return sender->list == LIST_ACCOUNTS
		   ? giro_submit_operation(giro, &slot->record.operation, place)
		   : giro_submit_transfer(giro, &slot->record.transfer, place);
}

/* Fills a slot with the record of row `next`. */
static void prepare(struct sender *sender, struct slot *slot)
{
	const struct import_input *input = &sender->import->input;
	const struct giro_id id = input_id(input, sender->list, sender->next, sender->chunk_ms);
	char message[CSV_MESSAGE_BYTES];

	slot->row = sender->next;
	slot->renewed = false;
	switch (sender->list) {
	case LIST_ACCOUNTS:
		slot->record.operation = input_creation(input, sender->next);
		slot->record.operation.id = id;
		return;
	case LIST_OPENINGS:
		slot->record.transfer = input_opening(input, sender->next);
		break;
	default:
		while (sender->cursor.row <= sender->next) {
			const enum csv_read got =
			    csv_next_transfer(&sender->cursor, &sender->row, message);
			CHECK(got == CSV_ROW); /* the files were checked as a whole before */
		}
		slot->record.transfer = input_transfer(input, &sender->row);
	}
	slot->record.transfer.id = id;
}

/* Submits open rows while there is room. */
static enum import_end feed(struct sender *sender)
{
	struct import *import = sender->import;
	const uint64_t window_ms = giro_info(import->giro)->window_ms;
	const uint64_t now = now_ns();

	while (sender->free_count > 0 && sender->next < import->rows[sender->list]) {
		if (import->state[sender->list][sender->next] != STATE_OPEN) {
			sender->next++;
			continue;
		}
		/* A base that aged while its rows waited would not live through their repeats. */
		const bool aged = sender->chunk_fresh && sender->next < sender->chunk_end &&
				  now - sender->chunk_ns > window_ms * 1000000 / 4;
		if ((aged || sender->next >= sender->chunk_end) && !begin_chunk(sender, now, aged))
			return IMPORT_NO_JOURNAL;
		const uint32_t place = sender->free_slots[sender->free_count - 1];
		prepare(sender, &sender->slots[place]);
		const int error = submit(sender, place);
		if (error == GIRO_FULL)
			break;
		if (error != 0)
			return IMPORT_LOG_CHANGED;
		sender->free_count--;
		sender->next++;
	}
	return IMPORT_DONE;
}

static enum import_end write_outcomes(struct sender *sender)
{
	const bool good = journal_done(&sender->import->journal, sender->list, sender->outcomes,
				       sender->outcome_count);

	sender->outcome_count = 0;
	sender->journal_ns = now_ns();
	return good ? IMPORT_DONE : IMPORT_NO_JOURNAL;
}

/* An account's creation may be repeated under a new id: it cannot happen twice. */
static bool renew(struct sender *sender, struct slot *slot, int status)
{
	if (sender->list != LIST_ACCOUNTS || status != GIRO_ID_EXPIRED)
		return false;
	slot->record.operation.id = giro_id_new(sender->import->giro);
	slot->renewed = true;
	return true;
}

static enum import_end complete(struct sender *sender, const struct giro_completion *completion)
{
	struct import *import = sender->import;
	const uint32_t place = (uint32_t)completion->context;
	struct slot *slot = &sender->slots[place];
	int status = completion->outcome;

	if (status == GIRO_LOG_CHANGED)
		return IMPORT_LOG_CHANGED;
	if (status == GIRO_BAD_VERSION || status == GIRO_BAD_KIND || status == GIRO_BAD_COUNT)
		return IMPORT_MISFIT;
	if (status == GIRO_TIMED_OUT || status == GIRO_ID_AHEAD || renew(sender, slot, status)) {
		sender->again[sender->again_count++] = place;
		return IMPORT_DONE;
	}
	/* Its first id may have created it. */
	if (status == GIRO_ACCOUNT_EXISTS && slot->renewed)
		status = GIRO_OK;
	import->state[sender->list][slot->row] = (uint8_t)(status + 1);
	import->decided[sender->list]++;
	sender->free_slots[sender->free_count++] = place;
	sender->answered_ns = now_ns();
	sender->outcomes[sender->outcome_count++] = (struct journal_outcome){
	    .row = slot->row,
	    .status = (uint16_t)status,
	};
	return sender->outcome_count == OUTCOMES_MAX ? write_outcomes(sender) : IMPORT_DONE;
}

static enum import_end submit_again(struct sender *sender, uint64_t now)
{
	if (sender->again_count == 0 || now - sender->again_ns < AGAIN_NS)
		return IMPORT_DONE;
	sender->again_ns = now;
	while (sender->again_count > 0) {
		const int error = submit(sender, sender->again[sender->again_count - 1]);
		if (error == GIRO_FULL)
			break;
		if (error != 0)
			return IMPORT_LOG_CHANGED;
		sender->again_count--;
	}
	return IMPORT_DONE;
}

/* One round: submit, poll, take outcomes, journal. */
static enum import_end round_trip(struct sender *sender)
{
	struct import *import = sender->import;
	struct giro_completion completions[POLL_BATCH];
	enum import_end end = submit_again(sender, now_ns());

	if (end == IMPORT_DONE)
		end = feed(sender);
	if (end != IMPORT_DONE)
		return end;
	const size_t count = giro_poll(import->giro, completions, POLL_BATCH, POLL_WAIT_US);
	for (size_t i = 0; i < count && end == IMPORT_DONE; i++)
		end = complete(sender, &completions[i]);
	if (end != IMPORT_DONE)
		return end;

	const uint64_t now = now_ns();
	if (sender->outcome_count > 0 &&
	    (import->options.in_order || now - sender->journal_ns > JOURNAL_NS))
		end = write_outcomes(sender);
	if (end != IMPORT_DONE)
		return end;
	progress_show(&sender->progress, import->decided[sender->list]);
	if (*import->stop)
		return IMPORT_STOPPED;
	if (now - sender->answered_ns > import->options.patience_s * 1000000000ull)
		return IMPORT_NO_ANSWER;
	return IMPORT_DONE;
}

static bool allocate(struct sender *sender)
{
	const size_t capacity = giro_capacity(sender->import->giro);
	const uint32_t slots = sender->import->options.in_order ? 1 : (uint32_t)capacity;

	sender->slots = malloc(slots * sizeof(*sender->slots));
	sender->free_slots = malloc(slots * sizeof(*sender->free_slots));
	sender->again = malloc(slots * sizeof(*sender->again));
	if (!sender->slots || !sender->free_slots || !sender->again)
		return false;
	for (uint32_t i = 0; i < slots; i++)
		sender->free_slots[i] = i;
	sender->free_count = slots;
	return true;
}

static const char *const list_names[LISTS] = {"accounts", "openings", "transfers"};

/* What was under way when an earlier list ended early is not waited for here: its completions
 * would be taken for this list's. */
enum import_end import_send(struct import *import, enum import_list list)
{
	struct sender *sender = calloc(1, sizeof(*sender));
	enum import_end end = IMPORT_DONE;

	if (sender == NULL)
		return IMPORT_NO_JOURNAL;
	CHECK(giro_outstanding(import->giro) == 0);
	sender->import = import;
	sender->list = list;
	sender->cursor = csv_begin(&import->input.transfers);
	sender->chunk_rows = CHUNK_ROWS_FIRST;
	sender->answered_ns = sender->journal_ns = now_ns();
	progress_begin(&sender->progress, list_names[list], import->total[list],
		       import->decided[list], import->options.quiet);
	if (allocate(sender)) {
		while (end == IMPORT_DONE && import->decided[list] < import->total[list])
			end = round_trip(sender);
	} else {
		end = IMPORT_NO_JOURNAL;
	}
	/* What is known is written down, however it ended. */
	if (sender->outcome_count > 0 && write_outcomes(sender) != IMPORT_DONE)
		end = IMPORT_NO_JOURNAL;
	progress_end(&sender->progress, import->decided[list]);
	free(sender->slots);
	free(sender->free_slots);
	free(sender->again);
	free(sender);
	return end;
}
