/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/snapshot.h"

#include <string.h>

static bool put(const struct snapshot_sink *sink, const void *bytes, size_t size)
{
	return sink->put(sink->context, bytes, size);
}

static uint64_t put_outcomes(const struct shard *shard, const struct snapshot_sink *sink, bool *ok)
{
	const struct window *window = &shard->window;
	uint64_t count = 0;

	for (uint32_t index = 0; index < window->generations; index++) {
		const struct window_entry *table = window->entries + index * window->table_entries;
		for (uint64_t at = 0; at < window->table_entries && *ok; at++) {
			if (!window_entry_is_live(window, index, &table[at], shard->now_ms))
				continue;
			const struct snapshot_outcome outcome = {
			    .id = table[at].id,
			    .content = table[at].content,
			    .outcome = table[at].outcome,
			};
			count++;
			*ok = sink == NULL || put(sink, &outcome, sizeof(outcome));
		}
	}
	return count;
}

static uint64_t put_coordinators(const struct shard *shard, const struct snapshot_sink *sink,
				 bool *ok)
{
	uint64_t count = 0;

	for (uint32_t peer = 0; peer < shard->limits.shards; peer++) {
		const struct phase_link *link = &shard->phase.link[peer];
		for (uint64_t seq = link->low; seq < link->next && *ok; seq++) {
			const struct coordinator_row *row = phase_row(&shard->phase, peer, seq);
			if (row == NULL)
				continue;
			const struct snapshot_coordinator copy = {
			    .transfer = row->transfer,
			    .seq = seq,
			    .content = row->content,
			    .started_ms = row->started_ms,
			    .peer = peer,
			    .state = row->state,
			    .outcome = row->outcome,
			};
			count++;
			*ok = sink == NULL || put(sink, &copy, sizeof(copy));
		}
	}
	return count;
}

static uint64_t put_participants(const struct shard *shard, const struct snapshot_sink *sink,
				 bool *ok)
{
	uint64_t count = 0;

	for (uint32_t peer = 0; peer < shard->limits.shards; peer++) {
		uint64_t low = shard->phase.link[peer].peer_low;
		for (uint64_t seq = low; seq < low + shard->phase.rows && *ok; seq++) {
			const struct participant_row *row =
			    phase_participant(&shard->phase, peer, seq);
			if (row == NULL)
				continue;
			const struct snapshot_participant copy = {
			    .transfer = row->transfer,
			    .credit = row->credit,
			    .seq = seq,
			    .amount = row->amount,
			    .peer = peer,
			    .state = row->state,
			    .vote = row->vote,
			};
			count++;
			*ok = sink == NULL || put(sink, &copy, sizeof(copy));
		}
	}
	return count;
}

static bool put_accounts(const struct account_table *table, const struct snapshot_sink *sink)
{
	bool ok = true;

	for (uint64_t line = 0; line < table->line_count && ok; line++) {
		const struct account *account = &table->lines[line];
		if (id_is_zero(account->id))
			continue;
		const struct snapshot_account copy = {
		    .id = account->id,
		    .balance = account->balance,
		    .held = account->held,
		    .incoming = account->incoming,
		    .floor = account->floor,
		    .ledger = account->ledger,
		    .flags = account->flags,
		};
		ok = put(sink, &copy, sizeof(copy));
	}
	return ok;
}

bool snapshot_write(const struct shard *shard, const struct snapshot_sink *sink)
{
	bool ok = true;
	const struct snapshot_head head = {
	    .epoch = shard->epoch,
	    .now_ms = shard->now_ms,
	    .changed_epoch = shard->changed_epoch,
	    .accounts = shard->accounts.count,
	    .outcomes = put_outcomes(shard, NULL, &ok),
	    .coordinator_rows = put_coordinators(shard, NULL, &ok),
	    .participant_rows = put_participants(shard, NULL, &ok),
	    .links = shard->limits.shards,
	    .generations = shard->window.generations,
	};

	ok = put(sink, &head, sizeof(head));
	for (uint32_t peer = 0; peer < head.links && ok; peer++) {
		const struct phase_link *link = &shard->phase.link[peer];
		const struct snapshot_link copy = {link->next, link->low, link->peer_low};
		ok = put(sink, &copy, sizeof(copy));
	}
	for (uint32_t i = 0; i < head.generations && ok; i++) {
		const struct window_generation *generation = &shard->window.generation[i];
		const struct snapshot_generation copy = {generation->number, generation->reserved};
		ok = put(sink, &copy, sizeof(copy));
	}
	ok = ok && put_accounts(&shard->accounts, sink);
	if (ok)
		put_outcomes(shard, sink, &ok);
	if (ok)
		put_coordinators(shard, sink, &ok);
	if (ok)
		put_participants(shard, sink, &ok);
	return ok;
}

/* The bytes left to read. */
struct source {
	const uint8_t *bytes;
	size_t size;
};

static bool take(struct source *source, void *to, size_t size)
{
	if (source->size < size)
		return false;
	memcpy(to, source->bytes, size);
	source->bytes += size;
	source->size -= size;
	return true;
}

static const char *read_links(struct shard *shard, struct source *source)
{
	for (uint32_t peer = 0; peer < shard->limits.shards; peer++) {
		struct phase_link *link = &shard->phase.link[peer];
		struct snapshot_link copy;
		if (!take(source, &copy, sizeof(copy)))
			return "it is too short for its links";
		if (copy.low > copy.next || copy.next - copy.low > shard->phase.rows)
			return "it has more rows under way than the tables hold";
		link->next = copy.low;
		link->low = copy.low;
		link->peer_low = copy.peer_low;
	}
	return NULL;
}

static const char *read_generations(struct shard *shard, struct source *source)
{
	struct window *window = &shard->window;

	for (uint32_t i = 0; i < window->generations; i++) {
		struct snapshot_generation copy;
		if (!take(source, &copy, sizeof(copy)))
			return "it is too short for its window";
		if (copy.number % window->generations != i && copy.number != 0)
			return "a generation of its window is out of place";
		if (copy.number > (shard->now_ms + window->ahead_ms) >> window->shift)
			return "a generation of its window is of the future";
		if (copy.reserved > window->count_max)
			return "its window does not fit: ids_per_second is too small";
		window->generation[i] = (struct window_generation){
		    .number = copy.number,
		    .reserved = copy.reserved,
		};
	}
	return NULL;
}

static const char *read_accounts(struct shard *shard, struct source *source, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		struct snapshot_account copy;
		if (!take(source, &copy, sizeof(copy)))
			return "it is too short for its accounts";
		uint64_t hash = id_hash(copy.id);
		if (id_is_zero(copy.id) || account_find(&shard->accounts, copy.id, hash) != NULL)
			return "an account is zero or there twice";
		struct account *account =
		    account_add(&shard->accounts, copy.id, hash, copy.ledger, copy.floor);
		if (account == NULL)
			return "its accounts do not fit: accounts is too small";
		account->balance = copy.balance;
		account->held = copy.held;
		account->incoming = copy.incoming;
		account->flags = copy.flags;
	}
	return NULL;
}

static const char *read_outcomes(struct shard *shard, struct source *source, uint64_t count)
{
	struct window *window = &shard->window;

	for (uint64_t i = 0; i < count; i++) {
		struct snapshot_outcome copy;
		if (!take(source, &copy, sizeof(copy)))
			return "it is too short for its outcomes";
		struct window_place place = window_place(window, copy.id, id_hash(copy.id));
		if (place.number == 0 || window->generation[place.index].number != place.number ||
		    window_find(window, copy.id, &place) != NULL)
			return "an outcome is out of place or there twice";
		if (!window_has_room(window, &place))
			return "its window does not fit: ids_per_second is too small";
		const struct window_entry entry = window_entry(
		    copy.id, copy.content, copy.outcome >> 8, (enum status)(copy.outcome & 0xff));
		window_put(window, &place, &entry);
	}
	return NULL;
}

static const char *read_coordinator(struct shard *shard, const struct snapshot_coordinator *copy,
				    const struct snapshot_link *links)
{
	if (copy->peer >= shard->limits.shards || copy->state < COORDINATOR_TRYING ||
	    copy->state > COORDINATOR_CANCELLING)
		return "a coordinator's row is none";
	struct phase_link *link = &shard->phase.link[copy->peer];
	const struct account *debit = shard_account(shard, copy->transfer.debit);
	uint64_t hash = id_hash(copy->transfer.id);
	if (copy->content != XXH3_64bits(&copy->transfer, sizeof(copy->transfer)))
		return "a coordinator's row is not of its transfer";
	if (copy->seq < link->next || copy->seq >= links[copy->peer].next || debit == NULL ||
	    phase_find(&shard->phase, copy->transfer.id, hash) != NULL)
		return "a coordinator's row is out of place";
	link->next = copy->seq;
	struct coordinator_row *row = phase_open(&shard->phase, copy->peer, &copy->transfer, hash);
	row->content = copy->content;
	row->started_ms = copy->started_ms;
	row->state = copy->state;
	row->outcome = copy->outcome;
	row->debit_line = (uint64_t)(debit - shard->accounts.lines);
	return NULL;
}

static const char *read_coordinators(struct shard *shard, struct source *source, uint64_t count,
				     const struct snapshot_link *links)
{
	const char *wrong = NULL;

	for (uint64_t i = 0; i < count && wrong == NULL; i++) {
		struct snapshot_coordinator copy;
		if (!take(source, &copy, sizeof(copy)))
			return "it is too short for its rows";
		wrong = read_coordinator(shard, &copy, links);
	}
	for (uint32_t peer = 0; peer < shard->limits.shards; peer++)
		shard->phase.link[peer].next = links[peer].next;
	return wrong;
}

static const char *read_participant(struct shard *shard, const struct snapshot_participant *copy)
{
	if (copy->peer >= shard->limits.shards || copy->state < PARTICIPANT_TRIED_YES ||
	    copy->state > PARTICIPANT_CANCEL_MARK)
		return "a participant's row is none";
	uint64_t low = shard->phase.link[copy->peer].peer_low;
	const struct account *credit = shard_account(shard, copy->credit);
	bool moves = copy->state == PARTICIPANT_TRIED_YES || copy->state == PARTICIPANT_CONFIRMED;
	if (copy->seq < low || copy->seq - low >= shard->phase.rows ||
	    phase_participant(&shard->phase, copy->peer, copy->seq) != NULL ||
	    (moves && credit == NULL))
		return "a participant's row is out of place";
	struct participant_row *row = phase_participate(&shard->phase, copy->peer, copy->seq, low);
	row->transfer = copy->transfer;
	row->credit = copy->credit;
	row->amount = copy->amount;
	row->state = copy->state;
	row->vote = copy->vote;
	if (moves)
		row->credit_line = (uint64_t)(credit - shard->accounts.lines);
	return NULL;
}

static const char *read_participants(struct shard *shard, struct source *source, uint64_t count)
{
	const char *wrong = NULL;

	for (uint64_t i = 0; i < count && wrong == NULL; i++) {
		struct snapshot_participant copy;
		if (!take(source, &copy, sizeof(copy)))
			return "it is too short for its rows";
		wrong = read_participant(shard, &copy);
	}
	return wrong;
}

/* Each row under way has a place promised, unless its generation is forgotten. */
static const char *check_promises(const struct shard *shard)
{
	const struct window *window = &shard->window;
	uint64_t promised[WINDOW_GENERATIONS_MAX] = {0};

	for (uint32_t peer = 0; peer < shard->limits.shards; peer++) {
		const struct phase_link *link = &shard->phase.link[peer];
		for (uint64_t seq = link->low; seq < link->next; seq++) {
			const struct coordinator_row *row = phase_row(&shard->phase, peer, seq);
			if (row == NULL)
				continue;
			uint64_t number = id_time_ms(row->transfer.id) >> window->shift;
			uint64_t index = number % window->generations;
			promised[index] += window->generation[index].number == number;
		}
	}
	for (uint32_t i = 0; i < window->generations; i++) {
		if (window->generation[i].reserved != promised[i])
			return "the places that its window promises are not those of its rows";
	}
	return NULL;
}

const char *snapshot_read(struct shard *shard, const uint8_t *bytes, size_t size)
{
	struct source source = {bytes, size};
	struct snapshot_link links[SHARDS_MAX];
	struct snapshot_head head;

	if (!take(&source, &head, sizeof(head)))
		return "it is too short";
	if (head.links != shard->limits.shards || head.generations != shard->window.generations)
		return "it is of another number of shards or another window";
	if (source.size < head.links * sizeof(links[0]))
		return "it is too short for its links";
	memcpy(links, source.bytes, head.links * sizeof(links[0]));
	shard->epoch = head.epoch;
	shard->now_ms = head.now_ms;
	shard->changed_epoch = head.changed_epoch;

	const char *wrong = read_links(shard, &source);
	if (wrong == NULL)
		wrong = read_generations(shard, &source);
	if (wrong == NULL)
		wrong = read_accounts(shard, &source, head.accounts);
	if (wrong == NULL)
		wrong = read_outcomes(shard, &source, head.outcomes);
	if (wrong == NULL)
		wrong = read_coordinators(shard, &source, head.coordinator_rows, links);
	if (wrong == NULL)
		wrong = read_participants(shard, &source, head.participant_rows);
	if (wrong == NULL && source.size != 0)
		wrong = "it is too long";
	return wrong != NULL ? wrong : check_promises(shard);
}

__extension__ typedef unsigned __int128 sum128;

/* Bytes to compare with as they are written. Accounts and outcomes come in any order: of them the sums
 * of their hashes are compared. */
struct comparison {
	struct source source;
	uint64_t at;
	uint64_t links_end;
	uint64_t generations_end;
	uint64_t accounts_end;
	uint64_t outcomes_end;
	uint64_t coordinators_end;
	sum128 accounts; /* those of the shard less those of the bytes */
	sum128 outcomes;
	const char *differs;
};

static const char *part_name(const struct comparison *comparison)
{
	uint64_t at = comparison->at;

	return at < sizeof(struct snapshot_head)   ? "a shard's epoch, time or numbers"
	       : at < comparison->links_end	   ? "a shard's links"
	       : at < comparison->generations_end  ? "a shard's window"
	       : at < comparison->coordinators_end ? "a coordinator's row"
						   : "a participant's row";
}

static sum128 hash_of(const void *bytes, size_t size)
{
	XXH128_hash_t hash = XXH3_128bits(bytes, size);

	return (sum128)hash.high64 << 64 | hash.low64;
}

static bool compare_put(void *context, const void *bytes, size_t size)
{
	struct comparison *comparison = context;
	bool unordered = comparison->at >= comparison->generations_end &&
			 comparison->at < comparison->outcomes_end;

	if (comparison->source.size < size ||
	    (!unordered && memcmp(comparison->source.bytes, bytes, size) != 0)) {
		comparison->differs = part_name(comparison);
		return false;
	}
	if (unordered) {
		sum128 *sum = comparison->at < comparison->accounts_end ? &comparison->accounts
									: &comparison->outcomes;
		*sum += hash_of(bytes, size) - hash_of(comparison->source.bytes, size);
	}
	comparison->source.bytes += size;
	comparison->source.size -= size;
	comparison->at += size;
	return true;
}

const char *snapshot_compare(const struct shard *shard, const uint8_t *bytes, size_t size)
{
	struct comparison comparison = {.source = {bytes, size}};
	const struct snapshot_sink sink = {.context = &comparison, .put = compare_put};
	struct snapshot_head head;

	if (size < sizeof(head))
		return "a shard's size";
	/* Numbers that are not the shard's make the head differ, before they are gone by. */
	memcpy(&head, bytes, sizeof(head));
	comparison.links_end = sizeof(head) + head.links * sizeof(struct snapshot_link);
	comparison.generations_end =
	    comparison.links_end + head.generations * sizeof(struct snapshot_generation);
	comparison.accounts_end =
	    comparison.generations_end + head.accounts * sizeof(struct snapshot_account);
	comparison.outcomes_end =
	    comparison.accounts_end + head.outcomes * sizeof(struct snapshot_outcome);
	comparison.coordinators_end =
	    comparison.outcomes_end + head.coordinator_rows * sizeof(struct snapshot_coordinator);
	if (!snapshot_write(shard, &sink))
		return comparison.differs;
	return comparison.source.size != 0 ? "a shard's size"
	       : comparison.accounts != 0  ? "a shard's accounts"
	       : comparison.outcomes != 0  ? "a shard's outcomes"
					   : NULL;
}
