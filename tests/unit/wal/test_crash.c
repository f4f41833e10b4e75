/* SPDX-License-Identifier: Apache-2.0
 *
 * Crashes at any moment: what of the writes in flight reached the disk is chosen sector by sector,
 * and the log must come back with exactly the blocks that are whole and follow each other.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/wal/log_session.h"
#include "tests/unit/wal/memory_disk.h"

#define SEGMENT (32u * WAL_PAGE)

/* The log comes back with `blocks` blocks, and goes on from there. */
static struct wal_reader_counts expect(struct memory_disk *crashed, uint64_t blocks, int end,
				       const char *story, uint64_t detail)
{
	struct wal_reader reader;
	int result = session_read(&reader, &crashed->base);
	cr_assert(result == end, "%s %lu: %d instead of %d: %s", story, detail, result, end,
		  reader.fault.text);
	cr_assert(wal_reader_tail(&reader)->next_seq == blocks, "%s %lu: %lu blocks, not %lu",
		  story, detail, wal_reader_tail(&reader)->next_seq, blocks);
	struct wal_reader_counts counts = reader.counts;
	uint64_t incarnation = wal_reader_tail(&reader)->incarnation;
	wal_reader_close(&reader);

	struct session session;
	crashed->at_once = true;
	session_start(&session, &crashed->base);
	for (int i = 0; i < 12; i++) {
		cr_assert(session_put(&session, WAL_DATA, 9000) >= 0);
		session_settle(&session);
	}
	session_close(&session);
	cr_assert(session_read(&reader, &crashed->base) > 0, "%s %lu: %s", story, detail,
		  reader.fault.text);
	cr_assert(wal_reader_tail(&reader)->next_seq == blocks + 13, "%s %lu", story, detail);
	cr_assert(wal_reader_tail(&reader)->incarnation == incarnation + 1, "%s %lu", story,
		  detail);
	wal_reader_close(&reader);
	return counts;
}

static struct memory_disk *disk;
static struct session session;

static void start(void)
{
	disk = memory_disk_new(SEGMENT, MEMORY_SEGMENTS);
	session_start(&session, &disk->base);
}

static void stop(void)
{
	session_close(&session);
	memory_disk_free(disk);
}

TestSuite(crash, .init = start, .fini = stop);

/* Some durable blocks. */
static void fill(unsigned blocks, uint64_t bytes)
{
	for (unsigned i = 0; i < blocks; i++) {
		cr_assert(session_put(&session, WAL_DATA, bytes) >= 0);
		cr_assert(session_settle(&session) == 0);
	}
}

Test(crash, last_block_torn_at_every_sector)
{
	fill(3, 5000);
	cr_assert(session_append(&session, WAL_DATA, 9000) == 4);
	uint64_t sectors = disk->pending[0].bytes / MEMORY_SECTOR;
	cr_assert(sectors == 40);
	uint64_t torn = 0;
	for (uint64_t cut = 0; cut <= sectors; cut++) {
		/* The last sectors of the payload may be zero padding: then all that matters is
		 * there. */
		uint64_t data_end = 8 + 24 + (9000 / 3 + 511) / 512;
		bool whole = cut >= data_end;
		struct memory_disk *copy = disk;
		struct memory_write kept = disk->pending[0];
		uint8_t *before = malloc(kept.bytes);
		uint8_t *place = disk->segments[kept.segment] + kept.offset;
		memcpy(before, place, kept.bytes);
		memory_disk_land(disk, 0, 0, cut);
		copy = memory_disk_crash(disk);
		memcpy(place, before, kept.bytes);
		free(before);
		int end = whole || cut == 0 ? WAL_NEXT_END : WAL_NEXT_TORN;
		struct wal_reader_counts counts =
		    expect(copy, whole ? 5 : 4, end, "first sectors", cut);
		torn += counts.ends_torn;
		memory_disk_free(copy);
	}
	cr_assert(torn == 8 + 24 + 6 - 1);
	/* only one sector missing, wherever it is */
	for (uint64_t hole = 0; hole < 8 + 24 + 6; hole++) {
		struct memory_disk *copy = memory_disk_crash(disk);
		struct memory_write write = disk->pending[0];
		uint8_t *place = copy->segments[write.segment] + write.offset;
		memcpy(place, write.data, write.bytes);
		memset(place + hole * MEMORY_SECTOR, 0, MEMORY_SECTOR);
		/* the unused rest of the header page, the padding of the first section */
		bool zero_anyway = (hole >= 1 && hole < 8) || (hole >= 8 + 18 && hole < 8 + 24);
		/* and without its first sector the whole page is zero */
		bool clean = zero_anyway || hole == 0;
		expect(copy, zero_anyway ? 5 : 4, clean ? WAL_NEXT_END : WAL_NEXT_TORN,
		       "all but sector", hole);
		memory_disk_free(copy);
	}
}

Test(crash, any_subset_of_the_writes_in_flight)
{
	fill(2, 3000);
	for (int i = 0; i < 5; i++)
		cr_assert(session_append(&session, WAL_DATA, 3000) == 3 + i);
	cr_assert(disk->pending_count == 5);
	for (unsigned set = 0; set < 32; set++) {
		struct memory_disk *copy = memory_disk_crash(disk);
		for (unsigned i = 0; i < 5; i++) {
			const struct memory_write *write = &disk->pending[i];
			if (set >> i & 1)
				memcpy(copy->segments[write->segment] + write->offset, write->data,
				       write->bytes);
		}
		unsigned whole = 0;
		while (whole < 5 && set >> whole & 1)
			whole++;
		unsigned beyond = (unsigned)__builtin_popcount(set >> whole);
		struct wal_reader_counts counts =
		    expect(copy, 3 + whole, beyond == 0 ? WAL_NEXT_END : WAL_NEXT_TORN, "set", set);
		cr_assert(counts.beyond_cut == beyond, "set %u", set);
		memory_disk_free(copy);
	}
}

/* The hole was durable and is gone: the very same picture, but one of the blocks behind knows. */
Test(crash, same_picture_with_a_witness_is_corruption)
{
	fill(6, 3000);
	struct memory_disk *copy = memory_disk_crash(disk);
	memset(copy->segments[0] + session.writer.tail.offset - 3 * (size_t)3 * WAL_PAGE, 0,
	       3 * WAL_PAGE);
	struct wal_reader reader;
	cr_assert(session_read(&reader, &copy->base) == -EUCLEAN);
	cr_assert(reader.fault.seq == 4 && reader.fault.witness_seq == 5);
	wal_reader_close(&reader);
	memory_disk_free(copy);
}

/* Fills segment 0 so far that the next block with 10 pages of payload goes to segment 1. */
static void fill_to_the_end(void)
{
	while (SEGMENT - session.writer.tail.offset >= 11 * WAL_PAGE)
		fill(1, 2 * WAL_PAGE);
}

struct roll {
	const char *name;
	uint64_t header_sectors; /* of the new segment's header page */
	uint64_t block_sectors;	 /* of its first block */
	uint64_t blocks;	 /* that survive of the new ones */
	int end;
};

static const struct roll rolls[] = {
    {"nothing landed", 0, 0, 0, WAL_NEXT_END},
    {"header torn", 1, 0, 0, WAL_NEXT_TORN},
    {"header without block", 8, 0, 0, WAL_NEXT_END},
    {"header, block torn", 8, 9, 0, WAL_NEXT_TORN},
    {"block without header", 0, 88, 0, WAL_NEXT_TORN},
    {"block, header torn", 1, 88, 0, WAL_NEXT_TORN},
    {"header and block", 8, 88, 1, WAL_NEXT_END},
};

Test(crash, while_rolling_to_a_new_segment)
{
	fill_to_the_end();
	uint64_t blocks = session.writer.tail.next_seq;
	cr_assert(session_put(&session, WAL_DATA, 7 * WAL_PAGE) >= 0);
	cr_assert(disk->pending_count == 2 && disk->pending[1].segment == 1);
	for (size_t i = 0; i < sizeof(rolls) / sizeof(rolls[0]); i++) {
		const struct roll *row = &rolls[i];
		struct memory_disk *copy = memory_disk_crash(disk);
		memcpy(copy->segments[1], disk->pending[0].data,
		       row->header_sectors * MEMORY_SECTOR);
		memcpy(copy->segments[1] + WAL_PAGE, disk->pending[1].data,
		       row->block_sectors * MEMORY_SECTOR);
		expect(copy, blocks + row->blocks, row->end, row->name, i);
		memory_disk_free(copy);
	}
}

/* Incarnation 1 leaves blocks behind the cut; 2 writes WAL_OPEN over the hole, exactly as long as
 * the block that was lost, so that 1's next block stands where 2's next block will. */
Test(crash, stale_block_exactly_where_the_next_one_goes)
{
	fill(2, 3000);
	for (int i = 0; i < 3; i++)
		cr_assert(session_append(&session, WAL_DATA, 0) == 3 + i);
	struct memory_disk *copy = memory_disk_crash(disk);
	for (unsigned i = 1; i < 3; i++) {
		const struct memory_write *write = &disk->pending[i];
		memcpy(copy->segments[write->segment] + write->offset, write->data, write->bytes);
	}
	copy->at_once = true;
	struct session next;
	session_start(&next, &copy->base);
	cr_assert(next.writer.tail.next_seq == 4);
	session_close(&next);
	struct wal_reader_counts counts = expect(copy, 4, WAL_NEXT_END, "stale", 0);
	cr_assert(counts.stale_at_cut == 1 && counts.stale_beyond_cut == 2);
	cr_assert(counts.beyond_cut == 0);
	memory_disk_free(copy);
}

/* The open block of incarnation 2 does not land; the next start uses the same number, begins a new
 * segment and falls over again; the third goes on in the old one. */
Test(crash, same_incarnation_number_twice)
{
	fill(2, 3000);
	struct memory_disk *copy = memory_disk_crash(disk);
	struct wal_reader reader;
	const char *metas[] = {"meta", "other", "meta"};
	const uint64_t sectors[][2] = {{0, 0}, {8, 0}};
	for (int i = 0; i < 3; i++) {
		cr_assert(session_read(&reader, &copy->base) > 0);
		cr_assert(wal_reader_tail(&reader)->next_seq == 3);
		struct session next;
		cr_assert(session_open(&next, &copy->base, wal_reader_tail(&reader), metas[i]) ==
			  0);
		wal_reader_close(&reader);
		session_prepare(&next);
		cr_assert(session_append(&next, WAL_OPEN, 0) == 3);
		cr_assert(next.writer.tail.incarnation == 2);
		cr_assert(copy->pending_count == (i == 1 ? 2 : 1));
		if (i < 2) {
			for (unsigned w = 0; w < copy->pending_count; w++)
				memory_disk_land(copy, w, 0, sectors[i][w]);
			struct memory_disk *crashed = memory_disk_crash(copy);
			session_close(&next);
			memory_disk_free(copy);
			copy = crashed;
		} else {
			memory_disk_complete_all(copy);
			cr_assert(wal_writer_poll(&next.writer) == 1);
			session_close(&next);
		}
	}
	struct wal_reader_counts counts = expect(copy, 4, WAL_NEXT_END, "twice", 0);
	cr_assert(counts.header_stale == 1);
	memory_disk_free(copy);
}

/* The other half: the block of the abandoned segment landed, its header did not. */
Test(crash, open_block_in_a_segment_that_was_never_begun)
{
	fill(2, 3000);
	struct memory_disk *copy = memory_disk_crash(disk);
	struct wal_reader reader;
	cr_assert(session_read(&reader, &copy->base) > 0);
	struct session next;
	cr_assert(session_open(&next, &copy->base, wal_reader_tail(&reader), "other") == 0);
	wal_reader_close(&reader);
	session_prepare(&next);
	cr_assert(session_append(&next, WAL_OPEN, 0) == 3);
	memory_disk_land(copy, 1, 0, 8);
	struct memory_disk *crashed = memory_disk_crash(copy);
	session_close(&next);
	memory_disk_free(copy);
	struct wal_reader_counts counts = expect(crashed, 3, WAL_NEXT_TORN, "abandoned", 0);
	cr_assert(counts.block_without_header == 1);
	memory_disk_free(crashed);
}

Test(crash, new_meta_begins_a_new_segment)
{
	fill(2, 3000);
	struct memory_disk *copy = memory_disk_crash(disk);
	struct wal_reader reader;
	cr_assert(session_read(&reader, &copy->base) == WAL_NEXT_END);
	struct session next;
	cr_assert(session_open(&next, &copy->base, wal_reader_tail(&reader), "other") == 0);
	wal_reader_close(&reader);
	cr_assert(session_put(&next, WAL_OPEN, 0) == 3);
	cr_assert(session_settle(&next) == 0);
	cr_assert(next.writer.tail.segment == 1 && next.writer.counts.rolls_meta == 1);
	cr_assert(session_put(&next, WAL_DATA, 70) == 4);
	cr_assert(next.writer.tail.segment == 1);
	session_settle(&next);
	session_close(&next);
	cr_assert(session_read(&reader, &copy->base) == WAL_NEXT_END);
	cr_assert(reader.counts.rolls_early == 1);
	cr_assert(wal_reader_tail(&reader)->next_seq == 5);
	cr_assert(memcmp(wal_reader_tail(&reader)->meta, "other", 6) == 0);
	wal_reader_close(&reader);
	memory_disk_free(copy);
}

/* The very first start of a log, cut anywhere. */
Test(crash, at_the_first_block_of_all)
{
	for (uint64_t header = 0; header <= 8; header += 4) {
		for (uint64_t block = 0; block <= 8; block += 4) {
			struct memory_disk *copy = memory_disk_new(SEGMENT, 8);
			struct session first;
			struct wal_tail tail = {0};
			cr_assert(session_open(&first, &copy->base, &tail, "meta") == 0);
			session_prepare(&first);
			cr_assert(session_append(&first, WAL_OPEN, 0) == 0);
			/* beyond the first 4 sectors the block's header page is zero */
			memory_disk_land(copy, 0, 0, header);
			memory_disk_land(copy, 1, 0, block);
			struct memory_disk *crashed = memory_disk_crash(copy);
			session_close(&first);
			memory_disk_free(copy);
			struct wal_reader reader;
			uint64_t blocks = header >= 4 && block >= 4 ? 1 : 0;
			cr_assert(session_read(&reader, &crashed->base) > 0);
			cr_assert(wal_reader_tail(&reader)->next_seq == blocks);
			int end = reader.ended;
			wal_reader_close(&reader);
			expect(crashed, blocks, end, "first", header * 10 + block);
			memory_disk_free(crashed);
		}
	}
}

/* Crash after crash: each time a random choice of sectors of the writes in flight lands, and what
 * was durable before is never less than what comes back. */
Test(crash, again_and_again)
{
	unsigned seed = 12345;
	for (unsigned round = 0; round < 150; round++) {
		unsigned blocks = (unsigned)rand_r(&seed) % 12;
		for (unsigned i = 0; i < blocks; i++)
			cr_assert(
			    session_put(&session, WAL_DATA, (unsigned)rand_r(&seed) % 30000) >= 0);
		unsigned settled = (unsigned)rand_r(&seed) % 9;
		for (unsigned i = 0; i < settled && disk->pending_count != 0; i++)
			memory_disk_complete(disk, (unsigned)rand_r(&seed) % disk->pending_count,
					     0);
		cr_assert(wal_writer_poll(&session.writer) >= 0);
		uint64_t durable = session.writer.durable_count;
		uint64_t appended = session.writer.tail.next_seq;
		for (unsigned w = 0; w < disk->pending_count; w++) {
			uint64_t sectors = disk->pending[w].bytes / MEMORY_SECTOR;
			unsigned mood = (unsigned)rand_r(&seed) % 3;
			for (uint64_t s = 0; s < sectors; s++) {
				if (mood == 2 || (mood == 1 && rand_r(&seed) % 8 != 0))
					memory_disk_land(disk, w, s, s + 1);
			}
		}
		struct memory_disk *crashed = memory_disk_crash(disk);
		stop();
		disk = crashed;
		struct wal_reader reader;
		int end = session_read(&reader, &disk->base);
		cr_assert(end > 0, "round %u: %s", round, reader.fault.text);
		uint64_t back = wal_reader_tail(&reader)->next_seq;
		cr_assert(back >= durable && back <= appended, "round %u: %lu <= %lu <= %lu", round,
			  durable, back, appended);
		uint64_t first = wal_reader_tail(&reader)->segment;
		wal_reader_close(&reader);
		while (first > 3 && disk->first < first - 3)
			disk->base.ops->retire(&disk->base, disk->first);
		if (first > MEMORY_SEGMENTS - 6) {
			memory_disk_free(disk);
			disk = memory_disk_new(SEGMENT, MEMORY_SEGMENTS);
		}
		session_start(&session, &disk->base);
	}
}
