/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/cut.h"

#include "base/check.h"

static bool is_placed(const struct cut *cut)
{
	/* pairs with the release in cut_place(): the epoch is this request's */
	return atomic_load_explicit(&cut->placed, memory_order_acquire) ==
	       atomic_load_explicit(&cut->asked, memory_order_relaxed);
}

static bool is_walked(const struct cut *cut, uint64_t epoch)
{
	for (uint32_t i = 0; i < cut->shards; i++) {
		/* pairs with the release in cut_give(): the digest is there */
		if (atomic_load_explicit(&cut->shard[i].epoch, memory_order_acquire) != epoch)
			return false;
	}
	return true;
}

bool cut_is_idle(const struct cut *cut)
{
	uint64_t epoch;

	if (!is_placed(cut))
		return false;
	epoch = atomic_load_explicit(&cut->epoch, memory_order_relaxed);
	return epoch == 0 || is_walked(cut, epoch);
}

void cut_ask(struct cut *cut)
{
	CHECK(cut_is_idle(cut));
	/* pairs with the acquire in cut_place() */
	atomic_store_explicit(&cut->asked,
			      atomic_load_explicit(&cut->asked, memory_order_relaxed) + 1,
			      memory_order_release);
}

bool cut_take(const struct cut *cut, uint64_t committed, struct cut_result *result)
{
	uint64_t epoch =
	    is_placed(cut) ? atomic_load_explicit(&cut->epoch, memory_order_relaxed) : 0;

	if (epoch == 0 || committed < epoch || !is_walked(cut, epoch))
		return false;
	*result = (struct cut_result){
	    .epoch = epoch,
	    .time_ms = cut->time_ms,
	    .blocks = cut->blocks,
	    .chain = cut->chain,
	    .shards = cut->shards,
	};
	for (uint32_t i = 0; i < cut->shards; i++) {
		const struct cut_shard *shard = &cut->shard[i];
		result->digest[i] = shard->digest;
		if (shard->cycles > result->cycles_max)
			result->cycles_max = shard->cycles;
	}
	return true;
}

void cut_place(struct cut *cut, uint64_t epoch, uint64_t time_ms)
{
	/* pairs with the release in cut_ask(): the last result has been read and may be written over,
	 * by workers too, which see this through the epoch that is opened next */
	uint64_t asked = atomic_load_explicit(&cut->asked, memory_order_acquire);

	if (asked == atomic_load_explicit(&cut->placed, memory_order_relaxed))
		return;
	cut->time_ms = time_ms;
	atomic_store_explicit(&cut->epoch, epoch, memory_order_relaxed);
	/* pairs with the acquire in is_placed() */
	atomic_store_explicit(&cut->placed, asked, memory_order_release);
}

void cut_logged(struct cut *cut, uint64_t epoch, uint64_t blocks, struct wal_hash chain)
{
	if (epoch != atomic_load_explicit(&cut->epoch, memory_order_relaxed))
		return;
	cut->blocks = blocks;
	cut->chain = chain;
}

void cut_give(struct cut *cut, uint32_t shard, uint64_t epoch, struct shard_digest digest,
	      uint64_t cycles)
{
	struct cut_shard *own = &cut->shard[shard];

	own->digest = digest;
	own->cycles = cycles;
	/* pairs with the acquire in is_walked() */
	atomic_store_explicit(&own->epoch, epoch, memory_order_release);
}
