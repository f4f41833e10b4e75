/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/shard_move.h"

#include <string.h>
#include <time.h>

#include <urcu-qsbr.h>

#include "base/check.h"
#include "engine/clock.h"
#include "engine/engine.h"
#include "engine/message_rings.h"
#include "engine/telemetry.h"

#define MOVE_NS (SHARD_MOVE_MS * UINT64_C(1000000))

/* The control thread's side. */

void shard_move_ask(struct shard_move *move, const uint8_t owner[SHARDS_MAX])
{
	CHECK(atomic_load_explicit(&move->state, memory_order_relaxed) == SHARD_MOVE_NONE);
	memcpy(move->owner, owner, sizeof(move->owner));
	/* pairs with the acquire in is_asked() */
	atomic_store_explicit(&move->state, SHARD_MOVE_ASKED, memory_order_release);
}

bool shard_move_take(struct shard_move *move, struct shard_move_result *result)
{
	/* pairs with the release in end() */
	if (atomic_load_explicit(&move->state, memory_order_acquire) != SHARD_MOVE_ENDED)
		return false;
	*result = move->result;
	atomic_store_explicit(&move->state, SHARD_MOVE_NONE, memory_order_relaxed);
	return true;
}

/* The main thread's. */

static bool is_asked(const struct shard_move *move)
{
	/* pairs with the release in shard_move_ask() */
	return atomic_load_explicit(&move->state, memory_order_acquire) == SHARD_MOVE_ASKED;
}

/* Transfers between shards under way: exact while the workers stand still, else a guess. */
static uint64_t rows_under_way(const struct engine *engine)
{
	uint64_t rows = 0;

	for (uint32_t i = 0; i < engine->config.limits.shards; i++)
		rows += *(const volatile uint64_t *)&engine->shards[i]->phase.in_flight;
	return rows;
}

static void end(struct engine *engine, enum shard_move_end how)
{
	struct shard_move *move = &engine->move;

	move->result = (struct shard_move_result){
	    .end = how,
	    .version = engine->shared.map->version,
	    .refused_ns = move->begun ? clock_ns(CLOCK_MONOTONIC) - move->begun_ns : 0,
	    .rows = rows_under_way(engine),
	};
	move->begun = false;
	move->refused_ns += move->result.refused_ns;
	if (how == SHARD_MOVED)
		move->moves++;
	else
		move->failed++;
	/* pairs with the acquire in shard_move_take() */
	atomic_store_explicit(&move->state, SHARD_MOVE_ENDED, memory_order_release);
}

/* Until all workers stand still. The log writer does not turn meanwhile, so no epoch is opened. */
static bool park(struct engine *engine)
{
	uint32_t word = lcore_give_order(&engine->shared, LCORE_PARK);

	while (!engine_is_obeyed(engine, word)) {
		if (clock_ns(CLOCK_MONOTONIC) > engine->move.begun_ns + MOVE_NS)
			return false;
		idle_rest(&engine->idle);
	}
	idle_end(&engine->idle);
	return true;
}

/* Workers stand still. */
static bool nothing_is_under_way(const struct engine *engine)
{
	for (uint32_t w = 0; w < engine->workers; w++) {
		if (!worker_is_settled(engine->lcores[w].worker))
			return false;
	}
	return message_rings_are_empty(&engine->shared);
}

/* Workers stand still, nothing is under way. */
static void give_shards(struct engine *engine, const uint8_t *owner)
{
	const struct slot_map *map = engine->shared.map;
	/* No worker uses the map that was in force before this one: each took a newer one since. */
	struct slot_map *next = &engine->maps[map == &engine->maps[0]];
	struct worker *workers[WORKERS_MAX];

	telemetry_hold();
	slot_map_follow(next, map, owner);
	for (uint32_t w = 0; w < engine->workers; w++)
		workers[w] = engine->lcores[w].worker;
	workers_move_shards(workers, engine->workers, owner);
	message_rings_cut(&engine->shared, engine->message_memory, &engine->config.limits, next);
	rcu_assign_pointer(engine->shared.map, next);
	telemetry_release();
}

static bool try_to_move(struct engine *engine)
{
	if (park(engine) && nothing_is_under_way(engine)) {
		give_shards(engine, engine->move.owner);
		return true;
	}
	engine->move.drain = lcore_give_order(&engine->shared, LCORE_DRAIN);
	return false;
}

void shard_move_turn(struct engine *engine)
{
	struct shard_move *move = &engine->move;

	if (!is_asked(move))
		return;
	if (!move->begun) {
		move->begun = true;
		move->begun_ns = clock_ns(CLOCK_MONOTONIC);
		move->drain = lcore_give_order(&engine->shared, LCORE_DRAIN);
		return;
	}
	/* A turn of draining between two looks, or nothing would ever finish. */
	bool moved = engine_is_obeyed(engine, move->drain) && rows_under_way(engine) == 0 &&
		     try_to_move(engine);
	if (moved) {
		lcore_give_order(&engine->shared, LCORE_RUN);
		end(engine, SHARD_MOVED);
	} else if (clock_ns(CLOCK_MONOTONIC) > move->begun_ns + MOVE_NS) {
		lcore_give_order(&engine->shared, LCORE_RUN);
		end(engine, SHARD_MOVE_LATE);
	}
}

void shard_move_abandon(struct engine *engine)
{
	if (is_asked(&engine->move))
		end(engine, SHARD_MOVE_STOPPED);
}
