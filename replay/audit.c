/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/audit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The entry of a ledger, made when it is not there; NULL: no memory. Few ledgers, so a sorted array
 * serves; the last one found is tried first. */
static struct audit_ledger *ledger_of(struct audit *audit, uint32_t ledger, uint32_t *last)
{
	uint32_t low = 0;
	uint32_t high = audit->ledger_count;

	if (*last < audit->ledger_count && audit->ledgers[*last].ledger == ledger)
		return &audit->ledgers[*last];
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (audit->ledgers[middle].ledger < ledger)
			low = middle + 1;
		else
			high = middle;
	}
	*last = low;
	if (low < audit->ledger_count && audit->ledgers[low].ledger == ledger)
		return &audit->ledgers[low];

	struct audit_ledger *grown =
	    realloc(audit->ledgers, (audit->ledger_count + 1) * sizeof(*grown));
	if (grown == NULL)
		return NULL;
	audit->ledgers = grown;
	memmove(&grown[low + 1], &grown[low], (audit->ledger_count - low) * sizeof(*grown));
	audit->ledger_count++;
	grown[low] = (struct audit_ledger){.ledger = ledger};
	return &grown[low];
}

static int audit_accounts(struct audit *audit, const struct account_table *table)
{
	uint32_t last = 0;

	for (uint64_t line = 0; line < table->line_count; line++) {
		const struct account *account = &table->lines[line];
		if (id_is_zero(account->id))
			continue;
		struct audit_ledger *ledger = ledger_of(audit, account->ledger, &last);
		if (ledger == NULL)
			return -ENOMEM;
		audit->accounts++;
		ledger->accounts++;
		ledger->balances += account->balance;
		if (account->balance > 0)
			ledger->positive += account->balance;
		if ((audit_sum)account->balance - account->held < account->floor)
			ledger->below_floor++;
		audit->held += account->held;
		audit->incoming += account->incoming;
	}
	return 0;
}

/* The unfinished rows that `from` coordinates to `to`, against the other side's rows. */
static int audit_link(struct audit *audit, const struct shard *from, const struct shard *to)
{
	const struct phase_link *link = &from->phase.link[to->index];
	uint32_t last = 0;

	for (uint64_t seq = link->low; seq < link->next; seq++) {
		const struct coordinator_row *row = phase_row(&from->phase, to->index, seq);
		const struct participant_row *other =
		    phase_participant(&to->phase, from->index, seq);
		if (row == NULL)
			continue;
		uint64_t amount = row->transfer.amount;
		audit->rows_pending++;
		if (row->state == COORDINATOR_TRYING)
			audit->held_rows += amount;
		if (other != NULL && other->state == PARTICIPANT_TRIED_YES)
			audit->incoming_rows += amount;
		if (row->state != COORDINATOR_CONFIRMING ||
		    (other != NULL && other->state == PARTICIPANT_CONFIRMED))
			continue;
		struct audit_ledger *ledger = ledger_of(audit, row->transfer.ledger, &last);
		if (ledger == NULL)
			return -ENOMEM;
		ledger->in_flight += amount;
	}
	return 0;
}

int audit_shards(struct audit *audit, struct shard *const *shards, uint32_t shard_count)
{
	*audit = (struct audit){0};
	for (uint32_t i = 0; i < shard_count; i++) {
		if (audit_accounts(audit, &shards[i]->accounts) != 0)
			goto no_memory;
	}
	for (uint32_t from = 0; from < shard_count; from++) {
		for (uint32_t to = 0; to < shard_count; to++) {
			if (audit_link(audit, shards[from], shards[to]) != 0)
				goto no_memory;
		}
	}

	audit->sound = audit->held == audit->held_rows && audit->incoming == audit->incoming_rows;
	for (uint32_t i = 0; i < audit->ledger_count; i++) {
		const struct audit_ledger *ledger = &audit->ledgers[i];
		audit->sound &= ledger->balances + ledger->in_flight == 0;
		audit->sound &= ledger->below_floor == 0;
	}
	return 0;

no_memory:
	audit_free(audit);
	return -ENOMEM;
}

void audit_free(struct audit *audit)
{
	free(audit->ledgers);
	audit->ledgers = NULL;
}

char *audit_sum_text(audit_sum sum, char text[48])
{
	bool negative = sum < 0;
	char *at = text + 47;

	*at = '\0';
	do {
		int digit = (int)(sum % 10);
		*--at = (char)('0' + (digit < 0 ? -digit : digit));
		sum /= 10;
	} while (sum != 0);
	if (negative)
		*--at = '-';
	memmove(text, at, (size_t)(text + 48 - at));
	return text;
}
