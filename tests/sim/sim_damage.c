/* SPDX-License-Identifier: Apache-2.0
 *
 * Damage to what was durable: bits that rot, writes that went astray, writes that never came. On a
 * copy of the disk, from which a start is tried.
 *
 * A start may refuse, naming the block. If any later block witnesses that the damaged one was
 * durable, it must. Else damage looks like the torn tail of a crash, and the log is cut there: then
 * the state must be exactly the one before the damaged block.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/sim.h"

struct place {
	uint64_t segment;
	uint64_t offset;
	uint64_t bytes;
	uint64_t durable_count;
};

/* The log as it was before the damage, and what was done to it. */
struct damage {
	struct sim *sim;
	struct sim_disk copy;
	struct place *blocks; /* by number */
	uint64_t block_count;
	uint64_t first_lost;   /* the lowest block that is damaged */
	uint64_t also_lost;    /* another one, or the same */
	uint64_t lost_segment; /* from this segment on nothing is left, UINT64_MAX for none */
	bool whole_segment;    /* the segment as a whole is refused */
	uint64_t segment;
};

/* Where every block lies, by reading the undamaged log. */
static bool find_blocks(struct damage *damage)
{
	const struct wal_reader_options options = {.first_segment = WAL_OLDEST};
	struct wal_reader reader;
	struct wal_block block;
	uint64_t capacity = 0;

	if (wal_reader_open(&reader, &damage->copy.base, &options) != 0)
		sim_fail(damage->sim, "an undamaged copy of the log: %s", reader.fault.text);
	while (wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK) {
		if (damage->block_count == capacity) {
			capacity = capacity * 2 + 64;
			damage->blocks =
			    realloc(damage->blocks, capacity * sizeof(damage->blocks[0]));
			CHECK(damage->blocks != NULL);
		}
		damage->blocks[damage->block_count++] = (struct place){
		    .segment = block.header->segment,
		    .offset = block.header->offset,
		    .bytes = WAL_PAGE + block.header->payload_bytes,
		    .durable_count = block.header->durable_count,
		};
	}
	wal_reader_close(&reader);
	return damage->block_count > 1;
}

static uint8_t *at(struct damage *damage, const struct place *place)
{
	return damage->copy.segments[place->segment].bytes + place->offset;
}

static void flip_bit(struct rng *rng, uint8_t *bytes, uint64_t count)
{
	uint64_t bit = rng_below(rng, count * 8);

	bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static uint64_t first_block_of(const struct damage *damage, uint64_t segment)
{
	for (uint64_t seq = 0; seq < damage->block_count; seq++) {
		if (damage->blocks[seq].segment >= segment)
			return seq;
	}
	return damage->block_count;
}

/* Writes another block's bytes over this one; the other may be missing where it belongs. */
static void misdirect(struct damage *damage, uint64_t victim)
{
	struct rng *rng = &damage->sim->rng;
	uint64_t other = rng_below(rng, damage->block_count);
	const struct place *to = &damage->blocks[victim];
	const struct place *from = &damage->blocks[other];

	if (other == victim)
		other = (other + 1) % damage->block_count, from = &damage->blocks[other];
	reach(damage->sim, REACH_WRITE_MISDIRECTED);
	memmove(at(damage, to), at(damage, from),
		to->bytes < from->bytes ? to->bytes : from->bytes);
	if (!rng_chance(rng, 500))
		return;
	memset(at(damage, from), 0, from->bytes);
	damage->also_lost = other;
	if (other < damage->first_lost) {
		damage->first_lost = other;
		damage->also_lost = victim;
	}
}

/* A segment that lost its end, or is not there at all. */
static void lose_segment(struct damage *damage, uint64_t segment, bool gone)
{
	struct sim_segment *lost = &damage->copy.segments[segment];

	damage->first_lost = first_block_of(damage, segment);
	damage->also_lost = damage->first_lost;
	damage->segment = segment;
	if (!gone) {
		reach(damage->sim, REACH_SEGMENT_CUT);
		damage->whole_segment = true;
		lost->size = rng_below(&damage->sim->rng, lost->size / WAL_PAGE) * WAL_PAGE;
		return;
	}
	reach(damage->sim, REACH_SEGMENT_GONE);
	free(lost->bytes);
	lost->bytes = NULL;
	/* A hole in the row of segments is seen; the end of it is not. */
	damage->whole_segment = segment == 0 || damage->copy.segments[segment + 1].bytes != NULL;
	if (segment == 0 && damage->copy.segments[1].bytes == NULL)
		damage->whole_segment = false;
	damage->lost_segment = segment;
}

static void do_damage(struct damage *damage)
{
	struct sim *sim = damage->sim;
	struct rng *rng = &sim->rng;
	uint64_t victim = rng_below(rng, damage->block_count);
	const struct place *block = &damage->blocks[victim];

	/* Most of all at the end, where it is hardest to tell from a crash. */
	if (rng_chance(rng, 500) && damage->block_count > 6)
		victim = damage->block_count - 1 - rng_below(rng, 6);
	block = &damage->blocks[victim];
	damage->first_lost = victim;
	damage->also_lost = victim;
	damage->lost_segment = UINT64_MAX;
	damage->segment = block->segment;
	switch (rng_below(rng, 8)) {
	case 0:
		reach(sim, REACH_ROT_HEADER);
		flip_bit(rng, at(damage, block), WAL_PAGE);
		break;
	case 1:
	case 2:
		if (block->bytes == WAL_PAGE) {
			reach(sim, REACH_ROT_HEADER);
			flip_bit(rng, at(damage, block), WAL_PAGE);
			break;
		}
		reach(sim, REACH_ROT_PAYLOAD);
		flip_bit(rng, at(damage, block) + WAL_PAGE, block->bytes - WAL_PAGE);
		break;
	case 3:
		reach(sim, REACH_ROT_SEGMENT_HEADER);
		flip_bit(rng, damage->copy.segments[block->segment].bytes, WAL_PAGE);
		damage->first_lost = first_block_of(damage, block->segment);
		damage->also_lost = damage->first_lost;
		break;
	case 4:
		misdirect(damage, victim);
		break;
	case 5:
		reach(sim, REACH_WRITE_LOST);
		memset(at(damage, block), 0, block->bytes);
		break;
	default:
		lose_segment(damage, block->segment, rng_chance(rng, 700));
		break;
	}
}

/* Does a block that is left say that the first lost one was durable? */
static bool is_witnessed(const struct damage *damage)
{
	if (damage->whole_segment)
		return true;
	for (uint64_t seq = 0; seq < damage->block_count; seq++) {
		if (seq != damage->first_lost && seq != damage->also_lost &&
		    damage->blocks[seq].segment < damage->lost_segment &&
		    damage->blocks[seq].durable_count > damage->first_lost)
			return true;
	}
	return false;
}

/* The refusal must say where: the block, or the segment when it is damaged as a whole. */
static bool names_the_place(const struct damage *damage, const char *error)
{
	char block[64];
	char segment[64];

	snprintf(block, sizeof(block), "block %" PRIu64 " ", damage->first_lost);
	/* Without the first segment nobody can tell that the second one is not the oldest. */
	bool first_gone = damage->lost_segment == 0;
	snprintf(segment, sizeof(segment), "segment %" PRIu64, damage->segment + first_gone);
	return strstr(error, block) != NULL || strstr(error, segment) != NULL;
}

/* The state that was recovered, against the undamaged log up to the same block. */
static void compare_prefix(const struct damage *damage, struct shard *const *shards, uint64_t count)
{
	struct sim *sim = damage->sim;
	const struct shard_limits *limits = &sim->node.config.limits;
	const struct wal_reader_options options = {.first_segment = WAL_OLDEST};
	void *memory[SIM_SHARDS_MAX] = {0};
	struct shard *again[SIM_SHARDS_MAX] = {0};
	struct sim_disk whole;
	struct wal_reader reader;
	struct wal_block block;
	struct replay replay;

	sim_disk_copy(&whole, &sim->disk);
	sim_node_make_shards(limits, memory, again);
	replay_init(&replay, again, limits->shards);
	CHECK(wal_reader_open(&reader, &whole.base, &options) == 0);
	for (uint64_t i = 0; i < count; i++)
		CHECK(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK &&
		      replay_block(&replay, &block) == 0);
	for (uint32_t s = 0; s < limits->shards; s++) {
		struct shard_digest wanted = shard_digest(again[s]);
		struct shard_digest have = shard_digest(shards[s]);
		if (memcmp(&wanted, &have, sizeof(have)) != 0)
			sim_fail(sim, "a damaged log gives another state of shard %u", s);
	}
	wal_reader_close(&reader);
	sim_node_free_shards(memory, again);
	sim_disk_free(&whole);
}

/* Starts from the damaged copy. */
static void start(struct damage *damage)
{
	struct sim *sim = damage->sim;
	const struct shard_limits *limits = &sim->node.config.limits;
	const struct recovery_options options = {
	    .log = "a damaged copy",
	    .limits = limits,
	    .new_log_id = 1,
	    .writes = 1,
	};
	static struct recovery recovery;
	void *memory[SIM_SHARDS_MAX] = {0};
	struct shard *shards[SIM_SHARDS_MAX] = {0};
	char error[RECOVERY_ERROR_MAX] = "";

	sim_node_make_shards(limits, memory, shards);
	int failed = recovery_read(&recovery, &damage->copy.base, &options, shards, error);
	reach_add_reader(sim->reach, &recovery.reader_counts);
	uint64_t count = recovery.tail.next_seq;
	trace("damage to block %" PRIu64 " of %" PRIu64 ": %s", damage->first_lost,
	      damage->block_count, failed != 0 ? error : "cut");
	if (failed != 0 && !names_the_place(damage, error))
		sim_fail(sim,
			 "damage to block %" PRIu64 " of segment %" PRIu64
			 " is refused without naming it: %s",
			 damage->first_lost, damage->segment, error);
	if (failed == 0 && is_witnessed(damage))
		sim_fail(sim,
			 "damage to block %" PRIu64 " of %" PRIu64
			 ", which a later block witnesses, was not refused",
			 damage->first_lost, damage->block_count);
	if (failed == 0 && count > damage->first_lost)
		sim_fail(sim,
			 "%" PRIu64 " blocks were recovered though block %" PRIu64 " is damaged",
			 count, damage->first_lost);
	if (failed == 0)
		compare_prefix(damage, shards, count);
	reach(sim, failed != 0 ? REACH_DAMAGE_REFUSED : REACH_DAMAGE_IS_TORN);
	sim_node_free_shards(memory, shards);
}

void sim_damage_try(struct sim *sim)
{
	struct damage damage = {.sim = sim};

	sim_disk_copy(&damage.copy, &sim->disk);
	if (find_blocks(&damage)) {
		do_damage(&damage);
		start(&damage);
	}
	free(damage.blocks);
	sim_disk_free(&damage.copy);
}
