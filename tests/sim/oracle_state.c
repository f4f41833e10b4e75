/* SPDX-License-Identifier: Apache-2.0
 *
 * What must hold at every committed epoch, and the shards' own state against the oracle's.
 */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/oracle_private.h"
#include "tests/sim/sim.h"

__extension__ typedef __int128 wide;

#define LEDGERS_MAX 8

/* Amounts in flight, from the rows alone. */
struct in_flight {
	wide between[LEDGERS_MAX]; /* taken from the debit, not yet given to the credit */
	uint64_t held[ORACLE_ACCOUNTS_MAX];
	uint64_t incoming[ORACLE_ACCOUNTS_MAX];
};

static void add_row(struct in_flight *in_flight, const struct oracle_outcome *row)
{
	const struct transfer *transfer = (const struct transfer *)row->content;

	CHECK(transfer->ledger < LEDGERS_MAX);
	if (row->coordinator == ROW_TRYING)
		in_flight->held[row->debit] += transfer->amount;
	if (row->participant == PART_YES)
		in_flight->incoming[row->credit] += transfer->amount;
	if (row->coordinator == ROW_CONFIRMING && row->participant != PART_CONFIRMED)
		in_flight->between[transfer->ledger] += transfer->amount;
}

void oracle_check_boundary(struct oracle *oracle)
{
	struct sim *sim = oracle->sim;
	struct in_flight in_flight = {0};
	wide sums[LEDGERS_MAX] = {0};

	reach(sim, REACH_EPOCHS_CHECKED);
	for (uint32_t from = 0; from < oracle->shards; from++) {
		for (uint32_t to = 0; to < oracle->shards; to++) {
			const struct oracle_link *link = &oracle->links[from][to];
			for (uint64_t seq = link->low; seq < link->next; seq++)
				add_row(&in_flight, &oracle->outcomes[link->rows[seq]]);
		}
	}
	for (uint32_t i = 0; i < oracle->account_count; i++) {
		const struct oracle_account *account = &oracle->accounts[i];
		const struct oracle_version *now = &account->now;
		CHECK(account->ledger < LEDGERS_MAX);
		sums[account->ledger] += now->balance;
		if ((wide)now->balance - now->held < account->floor)
			sim_fail(sim, "epoch %" PRIu64 ": account %u is below its floor",
				 oracle->durable_epoch, i);
		if (now->held != in_flight.held[i] || now->incoming != in_flight.incoming[i])
			sim_fail(sim,
				 "epoch %" PRIu64 ": account %u holds what no row accounts for",
				 oracle->durable_epoch, i);
	}
	for (uint32_t ledger = 0; ledger < LEDGERS_MAX; ledger++) {
		if (sums[ledger] + in_flight.between[ledger] != 0)
			sim_fail(sim, "epoch %" PRIu64 ": ledger %u does not sum to zero",
				 oracle->durable_epoch, ledger);
	}
}

/* The shards against the oracle. */

static void compare_account(struct oracle *oracle, const struct shard *shard, uint32_t index,
			    const char *when)
{
	const struct oracle_account *wanted = &oracle->accounts[index];
	const struct account *have = shard_account(shard, wanted->id);

	if (have == NULL)
		sim_fail(oracle->sim, "%s: shard %u has lost account %u", when, shard->index,
			 index);
	if (have->balance != wanted->now.balance || have->held != wanted->now.held ||
	    have->incoming != wanted->now.incoming || have->floor != wanted->floor ||
	    have->ledger != wanted->ledger || have->flags != wanted->now.flags)
		sim_fail(oracle->sim,
			 "%s: account %u of shard %u: balance %" PRId64 " held %" PRIu64
			 " incoming %" PRIu64 " flags %u, the log says %" PRId64 " %" PRIu64
			 " %" PRIu64 " %u",
			 when, index, shard->index, have->balance, have->held, have->incoming,
			 have->flags, wanted->now.balance, wanted->now.held, wanted->now.incoming,
			 wanted->now.flags);
}

static void compare_outcome(struct oracle *oracle, const struct shard *shard,
			    const struct oracle_outcome *wanted, const char *when)
{
	struct sim *sim = oracle->sim;
	uint64_t window_ms = sim->shape.node.limits.window_ms;
	uint64_t epoch;

	if (wanted->home != shard->index)
		return;
	if (wanted->status == STATUS_PENDING) {
		if (shard_transfer(shard, wanted->id, &epoch) != STATUS_PENDING)
			sim_fail(sim, "%s: shard %u has lost a row under way", when, shard->index);
		return;
	}
	if (id_time_ms(wanted->id) + window_ms < shard->now_ms)
		return;
	enum status have = shard_transfer(shard, wanted->id, &epoch);
	if (have != wanted->status || epoch != wanted->epoch)
		sim_fail(sim,
			 "%s: shard %u remembers %s of epoch %" PRIu64 " for an id that was %s in "
			 "epoch %" PRIu64,
			 when, shard->index, status_name(have), epoch, status_name(wanted->status),
			 wanted->epoch);
	struct window_place place = window_place(&shard->window, wanted->id, id_hash(wanted->id));
	const struct window_entry *entry = window_find(&shard->window, wanted->id, &place);
	if (entry->content != XXH3_64bits(wanted->content, sizeof(wanted->content)))
		sim_fail(sim, "%s: shard %u remembers another content for an id", when,
			 shard->index);
}

static void compare_coordinator(struct oracle *oracle, const struct shard *shard, uint32_t peer,
				uint64_t seq, const char *when)
{
	static const uint8_t states[] = {
	    [ROW_TRYING] = COORDINATOR_TRYING,
	    [ROW_CONFIRMING] = COORDINATOR_CONFIRMING,
	    [ROW_CANCELLING] = COORDINATOR_CANCELLING,
	    [ROW_FINISHED] = COORDINATOR_FREE,
	};
	const struct oracle_link *link = &oracle->links[shard->index][peer];
	const struct oracle_outcome *wanted = &oracle->outcomes[link->rows[seq]];
	const struct coordinator_row *have = phase_row(&shard->phase, peer, seq);
	uint8_t state = have == NULL ? COORDINATOR_FREE : have->state;

	if (state != states[wanted->coordinator])
		sim_fail(oracle->sim,
			 "%s: row %" PRIu64 " of shard %u to %u is in state %u, it should be in %u",
			 when, seq, shard->index, peer, state, states[wanted->coordinator]);
	if (have == NULL)
		return;
	if (memcmp(&have->transfer, wanted->content, sizeof(have->transfer)) != 0 ||
	    have->started_ms != wanted->started_ms ||
	    (state == COORDINATOR_CANCELLING && have->outcome != wanted->decided))
		sim_fail(oracle->sim, "%s: row %" PRIu64 " of shard %u to %u has another content",
			 when, seq, shard->index, peer);
	reach(oracle->sim, state == COORDINATOR_TRYING	     ? REACH_RECOVERED_TRYING
			   : state == COORDINATOR_CONFIRMING ? REACH_RECOVERED_CONFIRMING
							     : REACH_RECOVERED_CANCELLING);
}

static void compare_participant(struct oracle *oracle, const struct shard *shard, uint32_t peer,
				uint64_t seq, const char *when)
{
	static const struct {
		uint8_t state;
		enum reach_row reached;
	} states[] = {
	    [PART_NONE] = {PARTICIPANT_NONE, REACH_OWN_ROWS},
	    [PART_YES] = {PARTICIPANT_TRIED_YES, REACH_RECOVERED_YES},
	    [PART_NO] = {PARTICIPANT_TRIED_NO, REACH_RECOVERED_NO},
	    [PART_CONFIRMED] = {PARTICIPANT_CONFIRMED, REACH_RECOVERED_CONFIRMED},
	    [PART_CANCELLED] = {PARTICIPANT_CANCELLED, REACH_RECOVERED_CANCELLED},
	    [PART_MARK] = {PARTICIPANT_CANCEL_MARK, REACH_RECOVERED_MARK},
	};
	const struct oracle_link *link = &oracle->links[peer][shard->index];
	const struct oracle_outcome *wanted = &oracle->outcomes[link->rows[seq]];
	const struct participant_row *have = phase_participant(&shard->phase, peer, seq);
	uint8_t state = have == NULL ? PARTICIPANT_NONE : have->state;

	if (state != states[wanted->participant].state)
		sim_fail(oracle->sim,
			 "%s: shard %u has row %" PRIu64 " of shard %u in state %u, it should be "
			 "in %u",
			 when, shard->index, seq, peer, state, states[wanted->participant].state);
	if (have != NULL)
		reach(oracle->sim, states[wanted->participant].reached);
}

static void compare_links(struct oracle *oracle, const struct shard *shard, uint32_t peer,
			  const char *when)
{
	const struct phase_link *have = &shard->phase.link[peer];
	const struct oracle_link *to = &oracle->links[shard->index][peer];
	const struct oracle_link *from = &oracle->links[peer][shard->index];

	if (have->next != to->next || have->low != to->low || have->peer_low != from->told_low)
		sim_fail(oracle->sim,
			 "%s: shard %u and %u: rows %" PRIu64 "..%" PRIu64 ", heard %" PRIu64
			 "; the log says %" PRIu64 "..%" PRIu64 ", %" PRIu64,
			 when, shard->index, peer, have->low, have->next, have->peer_low, to->low,
			 to->next, from->told_low);
	for (uint64_t seq = to->low; seq < to->next; seq++)
		compare_coordinator(oracle, shard, peer, seq, when);
	for (uint64_t seq = from->told_low; seq < from->next; seq++)
		compare_participant(oracle, shard, peer, seq, when);
}

void oracle_compare(struct oracle *oracle, struct shard *const *shards, const char *when)
{
	reach(oracle->sim, REACH_STATES_COMPARED);
	for (uint32_t i = 0; i < oracle->account_count; i++)
		compare_account(oracle, shards[oracle->accounts[i].shard], i, when);
	for (uint32_t s = 0; s < oracle->shards; s++) {
		const struct shard *shard = shards[s];
		if (shard->accounts.count != oracle->shard_accounts[s])
			sim_fail(oracle->sim, "%s: shard %u has %" PRIu64 " accounts, not %" PRIu64,
				 when, s, shard->accounts.count, oracle->shard_accounts[s]);
		if (shard->changed_epoch != oracle->changed_epoch[s])
			sim_fail(oracle->sim,
				 "%s: shard %u says it changed last in epoch %" PRIu64
				 ", it was %" PRIu64,
				 when, s, shard->changed_epoch, oracle->changed_epoch[s]);
		for (uint32_t i = 0; i < oracle->outcome_count; i++)
			compare_outcome(oracle, shard, &oracle->outcomes[i], when);
		for (uint32_t peer = 0; peer < oracle->shards; peer++)
			compare_links(oracle, shard, peer, when);
	}
}
