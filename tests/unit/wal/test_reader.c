/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader against crashes and damage, on a disk in memory.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/wal/log_session.h"
#include "tests/unit/wal/memory_disk.h"
#include "wal/verify.h"

#define SEGMENT (32u * WAL_PAGE)

/* A log that was closed cleanly, blocks of several sizes over some segments, and where each of its
 * blocks lies. */
struct place {
	uint64_t segment;
	uint64_t offset;
	uint64_t bytes;
};

#define BLOCKS 40

static struct memory_disk *closed_log(struct place *places)
{
	struct memory_disk *disk = memory_disk_new(SEGMENT, MEMORY_SEGMENTS);
	struct session session;
	disk->at_once = true;
	session_start(&session, &disk->base);
	for (unsigned i = 1; i < BLOCKS - 1; i++) {
		cr_assert(session_put(&session, WAL_DATA, i * 1777 % 30000) == i);
		cr_assert(session_settle(&session) == 0);
	}
	cr_assert(session_put(&session, WAL_CLOSE, 0) == BLOCKS - 1);
	cr_assert(session_settle(&session) == 0);
	session_close(&session);

	struct wal_reader reader;
	struct wal_reader_options options = {.first_segment = WAL_OLDEST};
	struct wal_block block;
	cr_assert(wal_reader_open(&reader, &disk->base, &options) == 0);
	for (unsigned i = 0; i < BLOCKS; i++) {
		cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
		places[i] = (struct place){block.header->segment, block.header->offset,
					   WAL_PAGE + block.header->payload_bytes};
	}
	cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_END);
	cr_assert(reader.counts.rolls >= 3);
	wal_reader_close(&reader);
	return disk;
}

static struct wal_block_header *block_at(struct memory_disk *disk, struct place place)
{
	return (struct wal_block_header *)(disk->segments[place.segment] + place.offset);
}

Test(reader, empty_disk_is_an_empty_log)
{
	struct memory_disk *disk = memory_disk_new(SEGMENT, 4);
	for (int prepared = 0; prepared < 2; prepared++) {
		struct wal_reader reader;
		cr_assert(session_read(&reader, &disk->base) == WAL_NEXT_END);
		cr_assert(wal_reader_header(&reader) == NULL);
		const struct wal_tail *tail = wal_reader_tail(&reader);
		cr_assert(tail->next_seq == 0 && tail->segment == 0 && tail->offset == 0);
		cr_assert(tail->incarnation == 0 && tail->log_id == 0);
		wal_reader_close(&reader);
		disk->base.ops->prepare(&disk->base, 0);
		disk->base.ops->prepare(&disk->base, 1);
	}
	memory_disk_free(disk);
}

Test(reader, tail_tells_the_writer_where_to_go_on)
{
	struct place places[BLOCKS];
	struct memory_disk *disk = closed_log(places);
	struct wal_reader reader;
	cr_assert(session_read(&reader, &disk->base) == WAL_NEXT_END);
	const struct wal_tail *tail = wal_reader_tail(&reader);
	struct place last = places[BLOCKS - 1];
	cr_assert(tail->log_id == SESSION_LOG_ID && tail->closed);
	cr_assert(tail->next_seq == BLOCKS && tail->incarnation == 1);
	cr_assert(tail->segment == last.segment && tail->offset == last.offset + last.bytes);
	cr_assert(tail->meta_bytes == 4 && memcmp(tail->meta, "meta", 4) == 0);
	cr_assert(wal_reader_header(&reader)->segment == last.segment);
	wal_reader_close(&reader);

	struct session session;
	session_start(&session, &disk->base);
	cr_assert(disk->flushes == 1);
	cr_assert(session_put(&session, WAL_DATA, 500) == BLOCKS + 1);
	session_settle(&session);
	session_close(&session);
	cr_assert(session_read(&reader, &disk->base) == WAL_NEXT_END);
	cr_assert(wal_reader_tail(&reader)->next_seq == BLOCKS + 2);
	cr_assert(wal_reader_tail(&reader)->incarnation == 2);
	wal_reader_close(&reader);
	memory_disk_free(disk);
}

Test(reader, any_flipped_bit_of_a_durable_block_is_refused_by_name)
{
	struct place places[BLOCKS];
	struct memory_disk *disk = closed_log(places);
	for (unsigned i = 0; i < BLOCKS - 1; i++) {
		for (uint64_t at = 0; at < places[i].bytes; at += at < 256 ? 5 : 509) {
			uint8_t *byte = disk->segments[places[i].segment] + places[i].offset + at;
			*byte ^= (uint8_t)(1u << at % 8);
			struct wal_reader reader;
			int result = session_read(&reader, &disk->base);
			cr_assert(result == -EUCLEAN, "block %u byte %lu: %d", i, at, result);
			cr_assert(reader.fault.seq == i &&
				  reader.fault.segment == places[i].segment);
			cr_assert(reader.fault.offset == places[i].offset, "block %u byte %lu", i,
				  at);
			cr_assert(reader.fault.witness_seq > i);
			cr_assert(strstr(reader.fault.text, "Restore the segment") != NULL);
			cr_assert(wal_reader_tail(&reader)->next_seq == i);
			wal_reader_close(&reader);
			*byte ^= (uint8_t)(1u << at % 8);
		}
	}
	memory_disk_free(disk);
}

/* A write that never reached the disk although it was reported, and one that went astray. */
Test(reader, lost_and_misdirected_writes_are_refused)
{
	struct place places[BLOCKS];
	struct memory_disk *intact = closed_log(places);
	for (unsigned i = 0; i < BLOCKS - 1; i++) {
		struct memory_disk *disk = memory_disk_crash(intact);
		struct wal_reader reader;
		memset(block_at(disk, places[i]), 0, places[i].bytes);
		cr_assert(session_read(&reader, &disk->base) == -EUCLEAN);
		cr_assert(reader.fault.seq == i);
		cr_assert(reader.fault.reason == WAL_REASON_ZERO);
		cr_assert(reader.fault.offset == places[i].offset, "block %u", i);
		wal_reader_close(&reader);

		unsigned j = (i * 7 + 3) % BLOCKS;
		if (j != i) {
			memcpy(block_at(disk, places[i]), block_at(intact, places[j]), WAL_PAGE);
			cr_assert(session_read(&reader, &disk->base) == -EUCLEAN);
			cr_assert(reader.fault.reason == WAL_REASON_PLACE);
			cr_assert(reader.fault.seq == i);
			wal_reader_close(&reader);
		}
		memory_disk_free(disk);
	}
	memory_disk_free(intact);
}

Test(reader, damaged_segment_header_is_refused)
{
	struct place places[BLOCKS];
	struct memory_disk *disk = closed_log(places);
	uint64_t last = places[BLOCKS - 2].segment;
	for (uint64_t segment = 0; segment <= last; segment++) {
		for (uint64_t at = 0; at < WAL_PAGE; at += 37) {
			disk->segments[segment][at] ^= 0x10;
			struct wal_reader reader;
			int result = session_read(&reader, &disk->base);
			cr_assert(result == -EUCLEAN, "segment %lu byte %lu: %d", segment, at,
				  result);
			cr_assert(reader.fault.segment == segment && reader.fault.offset == 0);
			cr_assert(reader.fault.reason == WAL_REASON_SEGMENT_HEADER);
			wal_reader_close(&reader);
			disk->segments[segment][at] ^= 0x10;
		}
	}
	memory_disk_free(disk);
}

Test(reader, missing_segment_is_refused)
{
	struct place places[BLOCKS];
	struct memory_disk *intact = closed_log(places);
	/* a prepared one too: some segment behind it says that it was there */
	uint64_t last = places[BLOCKS - 1].segment + 1;
	intact->base.ops->prepare(&intact->base, last);
	intact->base.ops->prepare(&intact->base, last + 1);
	for (uint64_t segment = 1; segment <= last; segment++) {
		struct memory_disk *disk = memory_disk_crash(intact);
		free(disk->segments[segment]);
		disk->segments[segment] = NULL;
		struct wal_reader reader;
		cr_assert(session_read(&reader, &disk->base) == -EUCLEAN);
		cr_assert(reader.fault.reason == WAL_REASON_SEGMENT_MISSING);
		cr_assert(reader.fault.segment == segment);
		memory_disk_free(disk);
	}
	memory_disk_free(intact);
}

Test(reader, truncated_segment_is_refused)
{
	struct place places[BLOCKS];
	struct memory_disk *disk = closed_log(places);
	const uint64_t sizes[] = {0, 1, 512, WAL_PAGE, 3 * WAL_PAGE + 1, SEGMENT - 1};
	for (uint64_t segment = 0; segment <= places[BLOCKS - 1].segment; segment++) {
		for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			disk->sizes[segment] = sizes[i];
			struct wal_reader reader;
			cr_assert(session_read(&reader, &disk->base) == -EUCLEAN);
			cr_assert(reader.fault.reason == WAL_REASON_SEGMENT_SIZE);
			cr_assert(reader.fault.segment == segment);
		}
		disk->sizes[segment] = SEGMENT;
	}
	memory_disk_free(disk);
}

Test(reader, segment_header_of_another_size_is_refused)
{
	struct place places[BLOCKS];
	struct memory_disk *disk = closed_log(places);
	/* All files cut alike, the configuration with them. */
	disk->base.segment_bytes = SEGMENT / 2;
	for (unsigned s = 0; s < MEMORY_SEGMENTS; s++)
		disk->sizes[s] = SEGMENT / 2;
	struct wal_reader reader;
	cr_assert(session_read(&reader, &disk->base) == -EUCLEAN);
	cr_assert(reader.fault.reason == WAL_REASON_SEGMENT_SIZE);
	memory_disk_free(disk);
}

Test(reader, unreadable_sector_is_not_called_corruption)
{
	struct place places[BLOCKS];
	struct memory_disk *disk = closed_log(places);
	for (unsigned i = 0; i < BLOCKS; i++) {
		disk->unreadable_segment = places[i].segment;
		disk->unreadable_offset = places[i].offset + places[i].bytes - WAL_PAGE;
		struct wal_reader reader;
		cr_assert(session_read(&reader, &disk->base) == -EIO);
		cr_assert(reader.fault.reason == WAL_REASON_UNREADABLE);
		cr_assert(reader.fault.segment == places[i].segment);
		cr_assert(reader.fault.offset == places[i].offset);
		cr_assert(wal_reader_tail(&reader)->next_seq == i, "all before it is read");
		wal_reader_close(&reader);
	}
	memory_disk_free(disk);
}

Test(reader, other_version_is_refused_as_such)
{
	struct place places[BLOCKS];
	struct memory_disk *disk = closed_log(places);
	struct wal_block_header *header = block_at(disk, places[BLOCKS - 1]);
	header->version = 2;
	header->checksum = wal_header_checksum(header, sizeof(*header));
	struct wal_reader reader;
	cr_assert(session_read(&reader, &disk->base) == -EPROTONOSUPPORT);
	wal_reader_close(&reader);

	struct wal_segment_header *segment = (struct wal_segment_header *)disk->segments[1];
	segment->version = 2;
	segment->checksum = wal_header_checksum(segment, sizeof(*segment));
	cr_assert(session_read(&reader, &disk->base) == -EPROTONOSUPPORT);
	cr_assert(reader.fault.segment == 1);
	wal_reader_close(&reader);
	memory_disk_free(disk);
}

struct bad_field {
	const char *name;
	size_t offset;
	uint64_t value;
	enum wal_reason reason;
};

#define FIELD(name, value, reason)                                                           \
	{                                                                                    \
#name, offsetof(struct wal_block_header, name), (value), WAL_REASON_##reason \
	}

/* Headers whose checksum is right and whose content is not. */
static const struct bad_field bad_fields[] = {
    FIELD(log_id, 7, LOG_ID),
    FIELD(segment, 1, PLACE),
    FIELD(offset, 8192, PLACE),
    FIELD(seq, 4, SEQ),
    FIELD(seq, 2, LAYOUT), /* fewer than it calls durable */
    FIELD(epoch, 0, LAYOUT),
    FIELD(epoch, 1, EPOCH),
    FIELD(epoch, 4, EPOCH), /* the same as the block before */
    FIELD(time_ms, 1, TIME),
    FIELD(durable_count, 4, LAYOUT),
    FIELD(incarnation, 0, LAYOUT),
    FIELD(incarnation, 2, CHAIN),
    FIELD(payload_bytes, 4096, LAYOUT),
    FIELD(payload_bytes, 8193, LAYOUT),
    FIELD(payload_bytes, 1ull << 40, LAYOUT),
    FIELD(prev_hash, 1, CHAIN),
    FIELD(payload_hash, 1, PAYLOAD),
    FIELD(sections, 8192, LAYOUT),
    FIELD(sections[0].bytes, 1, LAYOUT),
    FIELD(sections[1].bytes, 5000, LAYOUT),
    FIELD(sections[63].digest, 1, LAYOUT),
    FIELD(reserved[1912], 1, LAYOUT),
};

Test(reader, every_field_is_checked)
{
	for (size_t i = 0; i < sizeof(bad_fields) / sizeof(bad_fields[0]); i++) {
		const struct bad_field *row = &bad_fields[i];
		struct place places[BLOCKS];
		struct memory_disk *disk = closed_log(places);
		struct wal_block_header *header = block_at(disk, places[3]);
		memcpy((uint8_t *)header + row->offset, &row->value, sizeof(row->value));
		header->checksum = wal_header_checksum(header, sizeof(*header));
		struct wal_reader reader;
		cr_assert(session_read(&reader, &disk->base) == -EUCLEAN, "%s", row->name);
		cr_assert(reader.fault.reason == row->reason, "%s: %s", row->name,
			  wal_reason_text(reader.fault.reason));
		cr_assert(reader.fault.seq == 3);
		wal_reader_close(&reader);
		memory_disk_free(disk);
	}
}

Test(reader, starts_at_any_segment)
{
	struct place places[BLOCKS];
	struct memory_disk *disk = closed_log(places);
	struct wal_segment_header *header = aligned_alloc(WAL_PAGE, WAL_PAGE);
	for (uint64_t segment = 0; segment <= places[BLOCKS - 1].segment; segment++) {
		struct wal_reader_options options = {.first_segment = segment};
		struct wal_reader reader;
		struct wal_block block;
		cr_assert(wal_reader_open(&reader, &disk->base, &options) == 0);
		cr_assert(wal_segment_header_read(&disk->base, segment, header) == 1);
		cr_assert(wal_reader_header(&reader)->first_seq == header->first_seq);
		uint64_t seq = header->first_seq;
		cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
		cr_assert(block.header->seq == seq && block.header->epoch == header->first_epoch);
		cr_assert(places[seq].segment == segment && places[seq].offset == WAL_PAGE);
		int result;
		while ((result = wal_reader_next(&reader, &block)) == WAL_NEXT_BLOCK)
			seq++;
		cr_assert(result == WAL_NEXT_END && seq == BLOCKS - 1);
		wal_reader_close(&reader);
	}
	cr_assert(wal_segment_header_read(&disk->base, places[BLOCKS - 1].segment + 1, header) ==
		  0);
	struct wal_reader_options options = {.first_segment = 50};
	struct wal_reader reader;
	cr_assert(wal_reader_open(&reader, &disk->base, &options) == -EUCLEAN);
	cr_assert(reader.fault.reason == WAL_REASON_SEGMENT_MISSING);
	free(header);
	memory_disk_free(disk);
}

/* Wherever one reader stands, another that is opened beside it reads what the first would. */
Test(reader, opens_beside_another)
{
	struct place places[BLOCKS];
	struct memory_disk *disk = closed_log(places);
	const struct wal_reader_options options = {.first_segment = WAL_OLDEST};
	struct wal_reader reader;
	struct wal_block block;

	cr_assert(wal_reader_open(&reader, &disk->base, &options) == 0);
	for (unsigned i = 0; i <= BLOCKS; i++) {
		struct wal_reader other;
		cr_assert(wal_reader_open_beside(&other, &reader, i % 2 == 0) == 0);
		for (unsigned next = i; next < BLOCKS; next++) {
			cr_assert(wal_reader_next(&other, &block) == WAL_NEXT_BLOCK,
				  "block %u from %u: %s", next, i, other.fault.text);
			cr_assert(block.header->seq == next);
		}
		cr_assert(wal_reader_next(&other, &block) == WAL_NEXT_END);
		cr_assert(memcmp(wal_reader_tail(&other)->meta, wal_reader_tail(&reader)->meta,
				 WAL_META_MAX) == 0);
		wal_reader_close(&other);
		cr_assert(wal_reader_next(&reader, &block) ==
			  (i < BLOCKS ? WAL_NEXT_BLOCK : WAL_NEXT_END));
	}
	wal_reader_close(&reader);
	/* It checks that the chain goes on from where the other stands. */
	cr_assert(wal_reader_open(&reader, &disk->base, &options) == 0);
	cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
	reader.position.prev_hash.lo ^= 1;
	struct wal_reader other;
	cr_assert(wal_reader_open_beside(&other, &reader, true) == 0);
	cr_assert(wal_reader_next(&other, &block) == WAL_NEXT_END);
	wal_reader_close(&other);
	wal_reader_close(&reader);
	memory_disk_free(disk);
}

/* What was read ahead may be gone from the disk by the time it is asked for. */
Test(reader, refreshed_it_reads_what_is_on_the_disk_now)
{
	struct place places[BLOCKS];
	struct memory_disk *disk = closed_log(places);
	const struct wal_reader_options options = {.first_segment = WAL_OLDEST, .follow = true};
	unsigned cut = 2;
	struct wal_reader reader;
	struct wal_block block;

	cr_assert(places[cut].segment == places[cut - 1].segment);
	cr_assert(wal_reader_open(&reader, &disk->base, &options) == 0);
	for (unsigned i = 0; i < cut; i++)
		cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
	memset(block_at(disk, places[cut]), 0, WAL_PAGE);
	wal_reader_refresh(&reader);
	cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_END);
	wal_reader_close(&reader);
	memory_disk_free(disk);
}

Test(reader, follows_a_log_that_is_being_written)
{
	struct memory_disk *disk = memory_disk_new(SEGMENT, MEMORY_SEGMENTS);
	struct wal_reader_options options = {.first_segment = WAL_OLDEST, .follow = true};
	struct wal_reader reader;
	struct wal_block block;
	cr_assert(wal_reader_open(&reader, &disk->base, &options) == 0);
	cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_END);
	struct session session;
	session_start(&session, &disk->base);
	cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
	for (uint64_t i = 1; i < 60; i++) {
		cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_END);
		cr_assert(session_put(&session, WAL_DATA, i * 997 % 20000) == (int64_t)i);
		if (i % 3 == 0 && disk->pending_count == 1) {
			memory_disk_land(disk, 0, 0, 3);
			cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_END);
		}
		session_settle(&session);
		cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
		cr_assert(block.header->seq == i);
	}
	cr_assert(reader.counts.rolls > 1);
	wal_reader_close(&reader);
	session_close(&session);
	memory_disk_free(disk);
}

/* Retired segments: the log begins later. */
Test(reader, oldest_segment_may_be_retired)
{
	struct place places[BLOCKS];
	struct memory_disk *disk = closed_log(places);
	cr_assert(disk->base.ops->retire(&disk->base, 1) == -EINVAL);
	cr_assert(disk->base.ops->retire(&disk->base, 0) == 0);
	struct wal_reader reader;
	cr_assert(session_read(&reader, &disk->base) == WAL_NEXT_END);
	cr_assert(wal_reader_tail(&reader)->next_seq == BLOCKS);
	wal_reader_close(&reader);
	/* The header of what is now the oldest is no matter of a torn tail, even if nobody is left
	 * to say so: something durable was in it. */
	uint64_t last = places[BLOCKS - 1].segment;
	while (disk->first < last)
		cr_assert(disk->base.ops->retire(&disk->base, disk->first) == 0);
	memset(disk->segments[last], 0, SEGMENT);
	cr_assert(session_read(&reader, &disk->base) == -EUCLEAN);
	cr_assert(reader.fault.reason == WAL_REASON_SEGMENT_HEADER && reader.fault.segment == last);
	wal_reader_close(&reader);
	memory_disk_free(disk);
}

Test(reader, follows_although_there_is_no_next_segment)
{
	struct memory_disk *disk = memory_disk_new(SEGMENT, 1);
	struct session session;
	session_start(&session, &disk->base);
	struct wal_reader_options options = {.first_segment = WAL_OLDEST, .follow = true};
	struct wal_reader reader;
	struct wal_block block;
	cr_assert(wal_reader_open(&reader, &disk->base, &options) == 0);
	cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
	for (uint64_t i = 1; i < 5; i++) {
		cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_END);
		cr_assert(session_put(&session, WAL_DATA, 3000) == (int64_t)i);
		session_settle(&session);
		cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
	}
	wal_reader_close(&reader);
	session_close(&session);
	memory_disk_free(disk);
}

/* A tool that reads a live log to its end: what it has in memory is older than what is on the disk,
 * and a block behind says that the one it misses is durable. It is. */
Test(reader, block_that_arrives_while_it_is_looked_for_is_no_corruption)
{
	struct memory_disk *disk = memory_disk_new(SEGMENT, 4);
	struct session session;
	session_start(&session, &disk->base);
	struct wal_reader_options options = {.first_segment = WAL_OLDEST};
	struct wal_reader reader;
	struct wal_block block;
	cr_assert(wal_reader_open(&reader, &disk->base, &options) == 0);
	cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
	for (int i = 0; i < 3; i++) {
		cr_assert(session_put(&session, WAL_DATA, 3000) > 0);
		session_settle(&session);
	}
	for (uint64_t i = 1; i < 4; i++) {
		cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK, "%s",
			  reader.fault.text);
		cr_assert(block.header->seq == i);
	}
	cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_END);
	cr_assert(reader.counts.arrived_late == 1 && reader.counts.corruptions == 0);
	wal_reader_close(&reader);
	session_close(&session);
	memory_disk_free(disk);
}

/* Two whole segments wiped, nothing of them left: the headers behind still tell. */
Test(reader, wiped_segments_are_refused)
{
	struct place places[BLOCKS];
	struct memory_disk *disk = closed_log(places);
	cr_assert(places[BLOCKS - 1].segment >= 3);
	memset(disk->segments[1], 0, SEGMENT);
	memset(disk->segments[2], 0, SEGMENT);
	struct wal_reader reader;
	cr_assert(session_read(&reader, &disk->base) == -EUCLEAN);
	cr_assert(reader.fault.segment == 1 && reader.fault.witness_segment == 3);
	cr_assert(reader.fault.reason == WAL_REASON_SEGMENT_HEADER);
	wal_reader_close(&reader);
	memory_disk_free(disk);
}

Test(reader, segment_header_and_first_block_must_agree)
{
	const size_t fields[] = {offsetof(struct wal_segment_header, first_epoch),
				 offsetof(struct wal_segment_header, first_time_ms),
				 offsetof(struct wal_segment_header, first_incarnation)};
	for (int i = 0; i < 3; i++) {
		for (uint64_t segment = 0; segment < 2; segment++) {
			struct place places[BLOCKS];
			struct memory_disk *disk = closed_log(places);
			uint8_t *header = disk->segments[segment];
			header[fields[i]]++;
			uint64_t sum = wal_header_checksum(header, WAL_PAGE);
			memcpy(header, &sum, sizeof(sum));
			struct wal_reader reader;
			cr_assert(session_read(&reader, &disk->base) == -EUCLEAN);
			cr_assert(reader.fault.segment == segment);
			wal_reader_close(&reader);
			memory_disk_free(disk);
		}
	}
}

struct succession {
	const char *name;
	bool closed; /* the block before is WAL_CLOSE */
	uint16_t type;
	uint64_t incarnation; /* that of the block before is 5 */
	enum wal_reason reason;
};

static const struct succession successions[] = {
    {"data after data", false, WAL_DATA, 5, WAL_REASON_NONE},
    {"close after data", false, WAL_CLOSE, 5, WAL_REASON_NONE},
    {"open after data", false, WAL_OPEN, 6, WAL_REASON_NONE},
    {"open after close", true, WAL_OPEN, 6, WAL_REASON_NONE},
    {"data after close", true, WAL_DATA, 5, WAL_REASON_CHAIN},
    {"close after close", true, WAL_CLOSE, 5, WAL_REASON_CHAIN},
    {"open in the same incarnation", false, WAL_OPEN, 5, WAL_REASON_CHAIN},
    {"open skips an incarnation", false, WAL_OPEN, 7, WAL_REASON_CHAIN},
    {"data of a new incarnation", false, WAL_DATA, 6, WAL_REASON_CHAIN},
    {"data of an old incarnation", false, WAL_DATA, 4, WAL_REASON_INCARNATION},
    {"open of an old incarnation", false, WAL_OPEN, 4, WAL_REASON_INCARNATION},
};

Test(reader, what_may_follow_what)
{
	struct wal_block_header *header = calloc(1, sizeof(*header));
	for (size_t i = 0; i < sizeof(successions) / sizeof(successions[0]); i++) {
		const struct succession *row = &successions[i];
		struct wal_tail tail = {
		    .next_seq = 3, .incarnation = 5, .epoch = 8, .closed = row->closed};
		header->seq = 3;
		header->epoch = 9;
		header->type = row->type;
		header->incarnation = row->incarnation;
		cr_assert(wal_block_follows(header, &tail) == row->reason, "%s", row->name);
	}
	free(header);
}
