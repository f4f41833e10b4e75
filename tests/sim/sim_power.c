/* SPDX-License-Identifier: Apache-2.0
 *
 * What a loss of power does to a disk.
 */
#include <string.h>

#include "tests/sim/sim.h"

/* Sectors that were never flushed may be gone although a start has read them. */
static void revert_unflushed(struct sim_disk *disk)
{
	struct sim *sim = disk->sim;
	size_t kept = 0;

	/* All of one loss, or some of them. */
	uint32_t chance = rng_chance(&sim->rng, 300) ? 1000 : (uint32_t)rng_below(&sim->rng, 1001);
	for (size_t i = disk->unflushed_count; i-- > 0;) {
		struct sim_unflushed *sector = &disk->unflushed[i];
		if (!rng_chance(&sim->rng, chance))
			continue;
		reach(sim, REACH_CRASH_REVERTED);
		memcpy(disk->segments[sector->segment].bytes + sector->offset, sector->before,
		       SIM_SECTOR);
		sector->segment = UINT64_MAX;
	}
	for (size_t i = 0; i < disk->unflushed_count; i++) {
		if (disk->unflushed[i].segment != UINT64_MAX)
			disk->unflushed[kept++] = disk->unflushed[i];
	}
	disk->unflushed_count = kept;
}

/* How a write in flight ends. */
enum landing {
	LAND_NONE,
	LAND_ALL,
	LAND_PREFIX,
	LAND_SUFFIX,
	LAND_ALL_BUT_ONE,
	LAND_ANY,
	LANDINGS
};

/* Which sectors land; units of a page on disks that write no less. Returns how many did. */
static uint64_t land_some(struct sim_disk *disk, const struct sim_write *write,
			  enum landing landing)
{
	struct rng *rng = &disk->sim->rng;
	uint64_t unit = disk->sim->shape.whole_pages ? WAL_PAGE / SIM_SECTOR : 1;
	uint64_t units = write->bytes / SIM_SECTOR / unit;
	uint64_t mark = rng_below(rng, units);
	uint64_t landed = 0;

	for (uint64_t u = 0; u < units; u++) {
		bool lands = landing == LAND_ALL || (landing == LAND_PREFIX && u < mark) ||
			     (landing == LAND_SUFFIX && u > mark) ||
			     (landing == LAND_ALL_BUT_ONE && u != mark) ||
			     (landing == LAND_ANY && rng_chance(rng, 500));
		if (!lands)
			continue;
		for (uint64_t s = 0; s < unit; s++)
			sim_disk_land(disk, write, u * unit + s);
		landed += unit;
	}
	return landed;
}

void sim_disk_lose_power(struct sim_disk *disk)
{
	struct sim *sim = disk->sim;
	bool hole = false;

	if (disk->dead)
		return;
	if (disk->write_count == 0)
		reach(sim, REACH_CRASH_IDLE);
	revert_unflushed(disk);
	/* One fate for all writes, or each its own. */
	bool same = rng_chance(&sim->rng, 300);
	enum landing landing = (enum landing)rng_below(&sim->rng, LANDINGS);
	for (uint32_t i = 0; i < disk->write_count; i++) {
		const struct sim_write *write = &disk->writes[i];
		if (!same)
			landing = (enum landing)rng_below(&sim->rng, LANDINGS);
		uint64_t landed = land_some(disk, write, landing);
		bool all = landed == write->bytes / SIM_SECTOR;
		reach(sim, landed == 0 ? REACH_CRASH_NONE_LANDED
			   : all       ? REACH_CRASH_ALL_LANDED
				       : REACH_CRASH_PART_LANDED);
		if (all && hole)
			reach(sim, REACH_CRASH_HOLE);
		hole |= !all;
		trace("in flight: segment %llu offset %llu: %llu of %llu sectors landed",
		      (unsigned long long)write->segment, (unsigned long long)write->offset,
		      (unsigned long long)landed, (unsigned long long)write->bytes / SIM_SECTOR);
	}
	disk->dead = true;
	disk->dies_after = 0;
}
