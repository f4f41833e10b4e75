/* SPDX-License-Identifier: Apache-2.0 */
#include "shard/phase.h"

#include "base/check.h"

static uint64_t index_entries(uint32_t shards, uint32_t rows)
{
	uint64_t entries = 16;

	while (entries < (uint64_t)shards * rows * 2)
		entries *= 2;
	return entries;
}

static size_t coordinator_bytes(uint32_t shards, uint32_t rows)
{
	return (size_t)shards * rows * sizeof(struct coordinator_row);
}

static size_t participant_bytes(uint32_t shards, uint32_t rows)
{
	return (size_t)shards * rows * sizeof(struct participant_row);
}

size_t phase_bytes(uint32_t shards, uint32_t rows)
{
	return coordinator_bytes(shards, rows) + participant_bytes(shards, rows) +
	       index_entries(shards, rows) * sizeof(uint32_t);
}

void phase_init(struct phase_table *phase, void *memory, uint32_t shards, uint32_t rows)
{
	uint8_t *bytes = memory;

	CHECK(((uintptr_t)memory & (CACHE_LINE - 1)) == 0);
	CHECK(shards >= 1 && shards <= SHARDS_MAX);
	CHECK(rows >= PHASE_ROWS_MIN && rows <= PHASE_ROWS_MAX && (rows & (rows - 1)) == 0);
	*phase = (struct phase_table){
	    .shards = shards,
	    .rows = rows,
	    .rows_log2 = (uint32_t)__builtin_ctz(rows),
	    .index_mask = index_entries(shards, rows) - 1,
	};

	struct coordinator_row *coordinator = (struct coordinator_row *)bytes;
	bytes += coordinator_bytes(shards, rows);
	struct participant_row *participant = (struct participant_row *)bytes;
	bytes += participant_bytes(shards, rows);
	phase->index = (uint32_t *)bytes;
	for (uint32_t peer = 0; peer < shards; peer++) {
		phase->link[peer].coordinator = coordinator + (size_t)peer * rows;
		phase->link[peer].participant = participant + (size_t)peer * rows;
	}
}

static struct coordinator_row *row_at(const struct phase_table *phase, uint32_t entry)
{
	entry--;
	return &phase->link[entry >> phase->rows_log2].coordinator[entry & (phase->rows - 1)];
}

static void index_put(struct phase_table *phase, uint32_t entry, uint64_t hash)
{
	uint64_t at = hash & phase->index_mask;

	while (phase->index[at] != 0)
		at = (at + 1) & phase->index_mask;
	phase->index[at] = entry;
}

/* Removal by moving later entries of the run back (Knuth, TAOCP vol. 3, 6.4, algorithm R): no
 * tombstones, so a probe stays short however many transfers come and go. */
static void index_remove(struct phase_table *phase, uint32_t entry, uint64_t hash)
{
	uint64_t hole = hash & phase->index_mask;

	while (phase->index[hole] != entry) {
		CHECK(phase->index[hole] != 0);
		hole = (hole + 1) & phase->index_mask;
	}
	for (uint64_t at = hole;;) {
		at = (at + 1) & phase->index_mask;
		uint32_t other = phase->index[at];
		if (other == 0)
			break;
		uint64_t home = row_at(phase, other)->id_hash & phase->index_mask;
		if (((at - home) & phase->index_mask) >= ((at - hole) & phase->index_mask)) {
			phase->index[hole] = other;
			hole = at;
		}
	}
	phase->index[hole] = 0;
}

struct coordinator_row *phase_open(struct phase_table *phase, uint32_t peer,
				   const struct transfer *transfer, uint64_t hash)
{
	struct phase_link *link = &phase->link[peer];
	uint32_t at = (uint32_t)(link->next & (phase->rows - 1));
	struct coordinator_row *row = &link->coordinator[at];

	CHECK(phase_has_room(phase, peer) && row->state == COORDINATOR_FREE);
	/* One by one: a compiler clears a struct of this size with a slow string instruction. */
	row->transfer = *transfer;
	row->seq = link->next;
	row->id_hash = hash;
	row->content = 0;
	row->started_ms = 0;
	row->token = 0;
	row->debit_line = 0;
	row->state = COORDINATOR_TRYING;
	row->outcome = 0;
	link->next++;
	phase->in_flight++;
	index_put(phase, 1 + peer * phase->rows + at, hash);
	return row;
}

struct coordinator_row *phase_row(const struct phase_table *phase, uint32_t peer, uint64_t seq)
{
	const struct phase_link *link = &phase->link[peer];
	struct coordinator_row *row = &link->coordinator[seq & (phase->rows - 1)];

	if (seq < link->low || seq >= link->next || row->state == COORDINATOR_FREE)
		return NULL;
	CHECK(row->seq == seq);
	return row;
}

struct coordinator_row *phase_find_row(const struct phase_table *phase, struct id128 id,
				       uint64_t hash)
{
	for (uint64_t at = hash & phase->index_mask; phase->index[at] != 0;
	     at = (at + 1) & phase->index_mask) {
		struct coordinator_row *row = row_at(phase, phase->index[at]);
		if (id_equal(row->transfer.id, id))
			return row;
	}
	return NULL;
}

void phase_finish(struct phase_table *phase, uint32_t peer, struct coordinator_row *row)
{
	struct phase_link *link = &phase->link[peer];
	uint32_t at = (uint32_t)(row->seq & (phase->rows - 1));

	index_remove(phase, 1 + peer * phase->rows + at, row->id_hash);
	row->state = COORDINATOR_FREE;
	phase->in_flight--;
	while (link->low < link->next &&
	       link->coordinator[link->low & (phase->rows - 1)].state == COORDINATOR_FREE)
		link->low++;
}

struct participant_row *phase_participant(const struct phase_table *phase, uint32_t peer,
					  uint64_t seq)
{
	const struct phase_link *link = &phase->link[peer];
	struct participant_row *row = &link->participant[seq & (phase->rows - 1)];

	if (seq < link->peer_low || row->state == PARTICIPANT_NONE || row->seq != seq)
		return NULL;
	return row;
}

void phase_forget(struct phase_table *phase, uint32_t peer, uint64_t low)
{
	struct phase_link *link = &phase->link[peer];

	for (; link->peer_low < low; link->peer_low++) {
		struct participant_row *row =
		    &link->participant[link->peer_low & (phase->rows - 1)];
		CHECK(row->seq == link->peer_low &&
		      (row->state == PARTICIPANT_CONFIRMED || row->state == PARTICIPANT_CANCELLED ||
		       row->state == PARTICIPANT_CANCEL_MARK));
		row->state = PARTICIPANT_NONE;
	}
}

struct participant_row *phase_participate(struct phase_table *phase, uint32_t peer, uint64_t seq,
					  uint64_t low)
{
	struct phase_link *link = &phase->link[peer];

	phase_forget(phase, peer, low);
	CHECK(seq >= link->peer_low && seq - link->peer_low < phase->rows);
	struct participant_row *row = &link->participant[seq & (phase->rows - 1)];
	CHECK(row->state == PARTICIPANT_NONE);
	*row = (struct participant_row){.seq = seq};
	return row;
}
