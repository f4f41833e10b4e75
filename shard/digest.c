/* SPDX-License-Identifier: Apache-2.0
 *
 * The digest adds up (mod 2^128) an XXH3-128 of each account, live window entry and row, and hashes
 * the sum with the scalars. A sum does not depend on the order of the tables, so a shard that was
 * rebuilt with other capacities has the same digest. It guards against faults, not against forgers.
 *
 * The epoch and its time are not in it but for what they make forgotten: epochs without records leave
 * no trace in the log, and a shard must not differ for having seen them.
 */
#include "shard/shard.h"

/* The kinds of items; part of what is hashed, so that no item passes for one of another kind. */
enum item_kind {
	ITEM_ACCOUNT = 1,
	ITEM_OUTCOME = 2,
	ITEM_COORDINATOR = 3,
	ITEM_PARTICIPANT = 4,
	ITEM_LINK = 5,
	ITEM_SHARD = 6,
};

#define ITEM_WORDS_MAX 20

struct item {
	uint64_t words[ITEM_WORDS_MAX];
	uint32_t count;
};

__extension__ typedef unsigned __int128 sum128;

static void item_word(struct item *item, uint64_t word)
{
	item->words[item->count++] = word;
}

static void item_id(struct item *item, struct id128 id)
{
	item_word(item, id.lo);
	item_word(item, id.hi);
}

static struct item item_new(enum item_kind kind)
{
	struct item item = {.count = 0};

	item_word(&item, kind);
	return item;
}

static sum128 item_hash(const struct item *item)
{
	XXH128_hash_t hash = XXH3_128bits(item->words, item->count * sizeof(item->words[0]));

	return (sum128)hash.high64 << 64 | hash.low64;
}

static sum128 digest_accounts(const struct account_table *table)
{
	sum128 sum = 0;

	for (uint64_t line = 0; line < table->line_count; line++) {
		const struct account *account = &table->lines[line];
		if (id_is_zero(account->id))
			continue;
		struct item item = item_new(ITEM_ACCOUNT);
		item_id(&item, account->id);
		item_word(&item, (uint64_t)account->balance);
		item_word(&item, account->held);
		item_word(&item, account->incoming);
		item_word(&item, (uint64_t)account->floor);
		item_word(&item, (uint64_t)account->flags << 32 | account->ledger);
		sum += item_hash(&item);
	}
	return sum;
}

static sum128 digest_window(const struct window *window, uint64_t now_ms)
{
	sum128 sum = 0;

	for (uint32_t index = 0; index < window->generations; index++) {
		const struct window_entry *table = window->entries + index * window->table_entries;
		for (uint64_t at = 0; at < window->table_entries; at++) {
			if (!window_entry_is_live(window, index, &table[at], now_ms))
				continue;
			struct item item = item_new(ITEM_OUTCOME);
			item_id(&item, table[at].id);
			item_word(&item, table[at].content);
			item_word(&item, table[at].outcome);
			sum += item_hash(&item);
		}
	}
	return sum;
}

static sum128 digest_coordinator_row(uint32_t peer, const struct coordinator_row *row)
{
	struct item item = item_new(ITEM_COORDINATOR);

	item_word(&item, peer);
	item_word(&item, row->seq);
	item_id(&item, row->transfer.id);
	item_id(&item, row->transfer.debit);
	item_id(&item, row->transfer.credit);
	item_word(&item, row->transfer.amount);
	item_word(&item, (uint64_t)row->transfer.code << 32 | row->transfer.ledger);
	item_word(&item, row->started_ms);
	item_word(&item, (uint64_t)row->outcome << 8 | row->state);
	return item_hash(&item);
}

static sum128 digest_participant_row(uint32_t peer, const struct participant_row *row)
{
	struct item item = item_new(ITEM_PARTICIPANT);

	item_word(&item, peer);
	item_word(&item, row->seq);
	item_id(&item, row->transfer);
	item_id(&item, row->credit);
	item_word(&item, row->amount);
	item_word(&item, (uint64_t)row->vote << 8 | row->state);
	return item_hash(&item);
}

static sum128 digest_link(const struct phase_table *phase, uint32_t peer)
{
	const struct phase_link *link = &phase->link[peer];
	struct item item = item_new(ITEM_LINK);
	sum128 sum;

	item_word(&item, peer);
	item_word(&item, link->next);
	item_word(&item, link->low);
	item_word(&item, link->peer_low);
	sum = item_hash(&item);
	for (uint32_t at = 0; at < phase->rows; at++) {
		if (link->coordinator[at].state != COORDINATOR_FREE)
			sum += digest_coordinator_row(peer, &link->coordinator[at]);
		if (link->participant[at].state != PARTICIPANT_NONE)
			sum += digest_participant_row(peer, &link->participant[at]);
	}
	return sum;
}

struct shard_digest shard_digest(const struct shard *shard)
{
	sum128 sum = digest_accounts(&shard->accounts);

	sum += digest_window(&shard->window, shard->now_ms);
	for (uint32_t peer = 0; peer < shard->limits.shards; peer++)
		sum += digest_link(&shard->phase, peer);

	struct item item = item_new(ITEM_SHARD);
	item_word(&item, shard->index);
	item_word(&item, shard->limits.shards);
	item_word(&item, (uint64_t)sum);
	item_word(&item, (uint64_t)(sum >> 64));
	sum = item_hash(&item);
	return (struct shard_digest){.lo = (uint64_t)sum, .hi = (uint64_t)(sum >> 64)};
}
