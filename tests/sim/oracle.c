/* SPDX-License-Identifier: Apache-2.0
 *
 * Which blocks are durable, and what the oracle knows of accounts and ids.
 */
#include "tests/sim/oracle_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/sim.h"

void oracle_init(struct oracle *oracle, struct sim *sim)
{
	memset(oracle, 0, sizeof(*oracle));
	oracle->sim = sim;
	oracle->shards = sim->shape.node.limits.shards;
}

static void drop_pending(struct oracle *oracle)
{
	for (uint32_t i = 0; i < oracle->pending_count; i++)
		free(oracle->pending[i].header);
	oracle->pending_count = 0;
}

void oracle_free(struct oracle *oracle)
{
	drop_pending(oracle);
	for (uint32_t i = 0; i < oracle->account_count; i++)
		free(oracle->accounts[i].versions);
	for (uint32_t from = 0; from < SIM_SHARDS_MAX; from++) {
		for (uint32_t to = 0; to < SIM_SHARDS_MAX; to++)
			free(oracle->links[from][to].rows);
	}
}

static uint32_t map_at(struct id128 id, uint32_t home)
{
	uint64_t mixed = (id.lo ^ id.hi * 0x9e3779b97f4a7c15u ^ home) * 0xff51afd7ed558ccdu;

	return (uint32_t)(mixed >> 32) % (ORACLE_OUTCOMES_MAX * 2);
}

struct oracle_outcome *oracle_outcome(struct oracle *oracle, struct id128 id, uint32_t home)
{
	for (uint32_t at = map_at(id, home); oracle->outcome_map[at] != 0;
	     at = (at + 1) % (ORACLE_OUTCOMES_MAX * 2)) {
		struct oracle_outcome *outcome = &oracle->outcomes[oracle->outcome_map[at] - 1];
		if (id_equal(outcome->id, id) && outcome->home == home)
			return outcome;
	}
	return NULL;
}

struct oracle_outcome *oracle_new_outcome(struct oracle *oracle, struct id128 id, uint32_t home)
{
	uint32_t at = map_at(id, home);

	CHECK(oracle->outcome_count < ORACLE_OUTCOMES_MAX);
	while (oracle->outcome_map[at] != 0)
		at = (at + 1) % (ORACLE_OUTCOMES_MAX * 2);
	oracle->outcome_map[at] = ++oracle->outcome_count;
	struct oracle_outcome *outcome = &oracle->outcomes[oracle->outcome_count - 1];
	*outcome = (struct oracle_outcome){
	    .id = id,
	    .home = home,
	    .peer = home,
	    .debit = ORACLE_NONE,
	    .credit = ORACLE_NONE,
	};
	return outcome;
}

struct oracle_account *oracle_account(struct oracle *oracle, struct id128 id)
{
	for (uint32_t i = 0; i < oracle->account_count; i++) {
		if (id_equal(oracle->accounts[i].id, id))
			return &oracle->accounts[i];
	}
	return NULL;
}

void oracle_readable(const struct oracle_account *account, uint64_t epoch, uint32_t *first,
		     uint32_t *last)
{
	*last = account->version_count;
	while (*last > 0 && account->versions[*last - 1].epoch > epoch)
		(*last)--;
	*first = *last;
	while (*first > 0 && account->versions[*first - 1].epoch == epoch)
		(*first)--;
}

/* Blocks. */

static const struct wal_block_header *last_header(const struct oracle *oracle)
{
	return oracle->pending_count == 0 ? NULL
					  : oracle->pending[oracle->pending_count - 1].header;
}

/* What a block says of itself, against what the oracle saw happen. */
static void check_header(struct oracle *oracle, const struct wal_block_header *header,
			 uint64_t segment, uint64_t offset, uint64_t bytes)
{
	struct sim *sim = oracle->sim;
	const struct wal_block_header *last = last_header(oracle);
	uint64_t epoch = last != NULL ? last->epoch : oracle->durable_epoch;
	uint64_t time_ms = last != NULL ? last->time_ms : oracle->durable_ms;
	uint64_t incarnation = last != NULL ? last->incarnation : oracle->incarnation;

	if (header->magic != WAL_BLOCK_MAGIC || header->segment != segment ||
	    header->offset != offset || header->payload_bytes + WAL_PAGE != bytes ||
	    header->section_count != oracle->shards)
		sim_fail(sim, "a block that does not belong to its place was written");
	if (header->seq != oracle->durable_count + oracle->pending_count)
		sim_fail(sim, "block %" PRIu64 " was written where %" PRIu64 " was due",
			 header->seq, oracle->durable_count + oracle->pending_count);
	if (header->durable_count > oracle->durable_count)
		sim_fail(sim,
			 "block %" PRIu64 " says that %" PRIu64 " blocks were durable: %" PRIu64
			 " are",
			 header->seq, header->durable_count, oracle->durable_count);
	if (header->epoch <= epoch || header->time_ms < time_ms)
		sim_fail(sim, "block %" PRIu64 " goes back in epoch or time", header->seq);
	if (header->incarnation != incarnation + (header->type == WAL_OPEN))
		sim_fail(sim, "block %" PRIu64 " has incarnation %" PRIu64 " after %" PRIu64,
			 header->seq, header->incarnation, incarnation);
}

/* Applies the first pending block. */
static void apply_first(struct oracle *oracle)
{
	struct wal_block_header *header = oracle->pending[0].header;

	oracle->pending_count--;
	memmove(&oracle->pending[0], &oracle->pending[1],
		oracle->pending_count * sizeof(oracle->pending[0]));
	oracle->durable_count = header->seq + 1;
	oracle->durable_epoch = header->epoch;
	oracle->durable_ms = header->time_ms;
	oracle->incarnation = header->incarnation;
	oracle->log_id = header->log_id;
	oracle_apply(oracle, header);
	free(header);
}

/* A start goes on behind block `count - 1`. What it found, it has flushed; the rest is cut. */
static void go_on_behind(struct oracle *oracle, uint64_t count)
{
	struct sim *sim = oracle->sim;

	oracle_read(oracle, count);
	while (oracle->durable_count < count) {
		const struct wal_block_header *header = oracle->pending[0].header;
		oracle->segment_header_done[header->segment] = true;
		reach(sim, header->type == WAL_OPEN ? REACH_CRASH_OPEN_LANDED
						    : REACH_UNACKNOWLEDGED_KEPT);
		apply_first(oracle);
	}
	if (oracle->pending_count > 0)
		reach(sim, REACH_BLOCKS_LOST);
	drop_pending(oracle);
}

void oracle_submitted(struct sim *sim, uint64_t segment, uint64_t offset, const uint8_t *data,
		      uint64_t bytes)
{
	struct oracle *oracle = &sim->oracle;

	if (offset == 0) {
		oracle->segment_header_done[segment] = false;
		if (segment >= oracle->segments)
			oracle->segments = segment + 1;
		return;
	}
	CHECK(oracle->pending_count < ORACLE_PENDING_MAX);
	struct wal_block_header *header = malloc(bytes);
	CHECK(header != NULL);
	memcpy(header, data, bytes);
	if (header->magic == WAL_BLOCK_MAGIC && header->type == WAL_OPEN)
		go_on_behind(oracle, header->seq);
	check_header(oracle, header, segment, offset, bytes);
	oracle->pending[oracle->pending_count++] = (struct oracle_block){
	    .header = header,
	    .bytes = bytes,
	};
	trace("block %" PRIu64 " of epoch %" PRIu64 " on its way: segment %" PRIu64
	      " offset %" PRIu64 ", %" PRIu64 " bytes",
	      header->seq, header->epoch, segment, offset, bytes);
}

void oracle_completed(struct sim *sim, uint64_t segment, uint64_t offset, bool whole)
{
	struct oracle *oracle = &sim->oracle;

	if (!whole)
		return;
	if (offset == 0)
		oracle->segment_header_done[segment] = true;
	for (uint32_t i = 0; i < oracle->pending_count; i++) {
		const struct wal_block_header *header = oracle->pending[i].header;
		if (header->segment == segment && header->offset == offset)
			oracle->pending[i].completed = true;
	}
	while (oracle->pending_count > 0 && oracle->pending[0].completed) {
		const struct wal_block_header *header = oracle->pending[0].header;
		if (header->offset == WAL_PAGE && !oracle->segment_header_done[header->segment])
			break;
		trace("block %" PRIu64 " of epoch %" PRIu64 " is durable", header->seq,
		      header->epoch);
		apply_first(oracle);
	}
}

void oracle_read(struct oracle *oracle, uint64_t count)
{
	struct sim *sim = oracle->sim;

	if (count < oracle->durable_count)
		sim_fail(sim,
			 "acknowledged work is lost: %" PRIu64 " blocks were durable, %" PRIu64
			 " were recovered",
			 oracle->durable_count, count);
	if (count > oracle->durable_count + oracle->pending_count)
		sim_fail(sim, "%" PRIu64 " blocks were recovered, %" PRIu64 " were written", count,
			 oracle->durable_count + oracle->pending_count);
}
