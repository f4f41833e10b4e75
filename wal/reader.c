/* SPDX-License-Identifier: Apache-2.0 */
#include "wal/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wal/fault.h"
#include "wal/search.h"
#include "wal/verify.h"
#include "wal/window.h"

/* The two places where the next block can be, and why it is not there. */
struct places {
	enum wal_reason here;	     /* behind the last block, in its segment */
	enum wal_reason next_header; /* the next segment's header */
	enum wal_reason next_block;  /* the next segment's first block */
};

/* How often a folder is listed again that seems to have a hole. */
#define LISTINGS_MAX 3

/* What find_block() returns beside a negative errno. */
enum { NOT_FOUND = 0, FOUND_HERE = 1, FOUND_NEXT = 2 };

static const struct wal_segment_entry *entry_of(const struct wal_reader *reader, uint64_t segment)
{
	uint64_t index = segment - reader->entries[0].segment;
	return index < reader->entry_count ? &reader->entries[index] : NULL;
}

/* Fills reader->entries. Returns 0 or the disk's error. */
static int list_segments(struct wal_reader *reader)
{
	struct wal_disk *disk = reader->disk;
	int64_t count = disk->ops->list(disk, NULL, 0);
	for (;;) {
		if (count < 0)
			return (int)count;
		size_t capacity = (size_t)count;
		struct wal_segment_entry *entries = calloc(capacity + 1, sizeof(*entries));
		if (entries == NULL)
			return -ENOMEM;
		count = disk->ops->list(disk, entries, capacity);
		if (count >= 0 && (size_t)count <= capacity) {
			free(reader->entries);
			reader->entries = entries;
			reader->entry_count = (size_t)count;
			return 0;
		}
		free(entries);
	}
}

static bool has_hole(const struct wal_reader *reader)
{
	size_t count = reader->entry_count;
	return count > 0 &&
	       reader->entries[count - 1].segment - reader->entries[0].segment != count - 1;
}

/* A folder is not listed at one moment: while the oldest segments are being removed, one of them may
 * still be seen and a newer one not any more. */
static int list_without_hole(struct wal_reader *reader)
{
	int error = list_segments(reader);
	for (unsigned again = 0; error == 0 && has_hole(reader) && again < LISTINGS_MAX; again++)
		error = list_segments(reader);
	return error;
}

/* No hole, and all of one size: prepared segments are whole from the moment they have a name. */
static int check_segments(struct wal_reader *reader)
{
	for (size_t i = 0; i < reader->entry_count; i++) {
		uint64_t segment = reader->entries[0].segment + i;
		if (reader->entries[i].segment != segment)
			return wal_fault_segment(reader, segment, WAL_REASON_SEGMENT_MISSING);
		uint64_t bytes = reader->entries[i].bytes;
		if (bytes != reader->disk->segment_bytes || bytes < WAL_PAGE ||
		    bytes % WAL_PAGE != 0)
			return wal_fault_segment(reader, segment, WAL_REASON_SEGMENT_SIZE);
	}
	return 0;
}

/* Reads a segment's header page into `header` and checks it. Returns 0 or a negative errno. */
static int load_segment_header(struct wal_reader *reader, uint64_t segment,
			       struct wal_segment_header *header, enum wal_reason *reason)
{
	const void *page;
	int loaded = wal_window_load(&reader->window, reader->disk, segment, 0, WAL_PAGE, &page);
	if (loaded <= 0)
		return wal_fault_read(reader, segment, 0, loaded);
	memcpy(header, page, WAL_PAGE);
	uint64_t segment_bytes = reader->disk->segment_bytes;
	*reason = wal_segment_header_check(header, reader->position.log_id, segment, segment_bytes);
	if (*reason == WAL_REASON_VERSION || *reason == WAL_REASON_SEGMENT_SIZE)
		return wal_fault_segment(reader, segment, *reason);
	return 0;
}

static void copy_meta(struct wal_reader *reader)
{
	reader->position.meta_bytes = reader->header->meta_bytes;
	memcpy(reader->position.meta, reader->header->meta, WAL_META_MAX);
}

/* Reads the header of the first segment and, if it is valid, stands in front of its first block.
 * Returns 0 or a negative errno. */
static int begin(struct wal_reader *reader)
{
	struct wal_tail *position = &reader->position;
	enum wal_reason reason = WAL_REASON_NONE;
	int error = load_segment_header(reader, position->segment, reader->header, &reason);
	if (error != 0 || reason != WAL_REASON_NONE)
		return error;
	const struct wal_segment_header *header = reader->header;
	if (header->segment == 0 && wal_segment_header_follows(header, position) != WAL_REASON_NONE)
		return 0;
	reader->begun = true;
	position->log_id = header->log_id;
	position->offset = WAL_PAGE;
	position->next_seq = header->first_seq;
	position->prev_hash = header->prev_hash;
	if (header->segment != 0) {
		/* What the blocks before would have told, were they read. */
		position->incarnation = header->first_incarnation;
		position->epoch = header->first_epoch - 1;
		position->time_ms = header->first_time_ms;
	}
	if (reader->options.first_offset != 0) {
		position->offset = reader->options.first_offset;
		position->next_seq = reader->options.first_seq;
	}
	copy_meta(reader);
	return 0;
}

int wal_reader_open(struct wal_reader *reader, struct wal_disk *disk,
		    const struct wal_reader_options *options)
{
	memset(reader, 0, sizeof(*reader));
	reader->disk = disk;
	reader->options = *options;
	reader->position.log_id = disk->log_id;
	reader->header = aligned_alloc(WAL_PAGE, (size_t)2 * WAL_PAGE);
	reader->next_header = reader->header == NULL ? NULL : reader->header + 1;
	int error = reader->header == NULL ? -ENOMEM : wal_window_open(&reader->window, disk);
	if (error == 0)
		error = list_without_hole(reader);
	if (error != 0) {
		wal_fault_system(reader, error);
		goto close;
	}
	error = check_segments(reader);
	if (error != 0)
		goto close;

	uint64_t first = options->first_segment;
	if (reader->entry_count == 0) {
		if (first == WAL_OLDEST || first == 0)
			return 0;
		error = wal_fault_segment(reader, first, WAL_REASON_SEGMENT_MISSING);
		goto close;
	}
	if (first == WAL_OLDEST)
		first = reader->entries[0].segment;
	reader->position.segment = first;
	reader->position.flush_from = first;
	if (entry_of(reader, first) == NULL)
		error = wal_fault_segment(reader, first, WAL_REASON_SEGMENT_MISSING);
	else
		error = begin(reader);
	if (error == 0)
		return 0;
close:
	wal_reader_close(reader);
	return error;
}

int wal_reader_open_beside(struct wal_reader *reader, const struct wal_reader *other, bool follow)
{
	const struct wal_reader_options options = {
	    .first_segment = other->begun ? other->position.segment : other->options.first_segment,
	    .follow = follow,
	};
	int error = wal_reader_open(reader, other->disk, &options);

	if (error != 0 || !reader->begun || !other->begun)
		return error;
	reader->position = other->position;
	reader->counts.blocks = other->counts.blocks;
	return 0;
}

/* Loads and checks the block at one place. Returns 0 with *reason, or a negative errno. */
static int load_block(struct wal_reader *reader, uint64_t segment, uint64_t offset,
		      const struct wal_segment_header *first_of, struct wal_block *block,
		      enum wal_reason *reason)
{
	uint64_t segment_bytes = reader->disk->segment_bytes;
	if (segment_bytes - offset < WAL_PAGE) {
		*reason = WAL_REASON_SEGMENT_ENDS;
		return 0;
	}
	const void *page;
	int loaded =
	    wal_window_load(&reader->window, reader->disk, segment, offset, WAL_PAGE, &page);
	if (loaded <= 0)
		return wal_fault_read(reader, segment, offset, loaded);
	const struct wal_block_header *header = page;
	*reason =
	    wal_block_header_check(header, reader->position.log_id, segment, segment_bytes, offset);
	if (*reason == WAL_REASON_VERSION)
		return wal_fault_block(reader, segment, offset, *reason);
	/* What came before the first block read of a log that starts in the middle is unknown. */
	bool follows_known = reader->counts.blocks != 0 || reader->position.next_seq == 0;
	if (*reason == WAL_REASON_NONE && follows_known)
		*reason = wal_block_follows(header, &reader->position);
	if (*reason == WAL_REASON_NONE && first_of != NULL)
		*reason = wal_block_is_first(header, first_of);
	if (*reason != WAL_REASON_NONE)
		return 0;

	size_t bytes = WAL_PAGE + header->payload_bytes;
	loaded = wal_window_load(&reader->window, reader->disk, segment, offset, bytes, &page);
	if (loaded <= 0)
		return wal_fault_read(reader, segment, offset, loaded);
	block->header = page;
	*reason = wal_payload_check(block->header, (const uint8_t *)page + WAL_PAGE);
	return 0;
}

/* Looks for the next block in the next segment. Returns FOUND_NEXT, NOT_FOUND or an error. */
static int find_next(struct wal_reader *reader, struct wal_block *block, struct places *places)
{
	uint64_t segment = reader->position.segment + 1;
	if (entry_of(reader, segment) == NULL && reader->options.follow) {
		int error = list_segments(reader);
		if (error != 0)
			return wal_fault_system(reader, error);
	}
	places->next_header = WAL_REASON_SEGMENT_MISSING;
	places->next_block = WAL_REASON_SEGMENT_MISSING;
	if (reader->entry_count == 0 || entry_of(reader, segment) == NULL)
		return NOT_FOUND;

	int error = load_segment_header(reader, segment, reader->next_header, &places->next_header);
	if (error == 0 && places->next_header == WAL_REASON_NONE)
		places->next_header =
		    wal_segment_header_follows(reader->next_header, &reader->position);
	const struct wal_segment_header *first_of =
	    places->next_header == WAL_REASON_NONE ? reader->next_header : NULL;
	if (error == 0)
		error = load_block(reader, segment, WAL_PAGE, first_of, block, &places->next_block);
	if (error != 0)
		return error;
	bool found =
	    places->next_header == WAL_REASON_NONE && places->next_block == WAL_REASON_NONE;
	return found ? FOUND_NEXT : NOT_FOUND;
}

static int find_block(struct wal_reader *reader, struct wal_block *block, struct places *places)
{
	struct wal_tail *position = &reader->position;
	*places = (struct places){WAL_REASON_SEGMENT_HEADER, WAL_REASON_NONE, WAL_REASON_NONE};
	if (!reader->begun) {
		int error = 0;
		if (reader->entry_count == 0)
			error = reader->options.follow ? list_segments(reader) : 0;
		if (error != 0)
			return wal_fault_system(reader, error);
		if (reader->entry_count == 0)
			return NOT_FOUND;
		error = begin(reader);
		if (error != 0 || !reader->begun)
			return error;
	}
	const struct wal_segment_header *first_of =
	    position->offset == WAL_PAGE ? reader->header : NULL;
	int error =
	    load_block(reader, position->segment, position->offset, first_of, block, &places->here);
	if (error != 0)
		return error;
	if (places->here == WAL_REASON_NONE)
		return FOUND_HERE;
	return find_next(reader, block, places);
}

static int accept(struct wal_reader *reader, const struct wal_block *block, int found)
{
	struct wal_tail *position = &reader->position;
	const struct wal_block_header *header = block->header;
	uint64_t bytes = WAL_PAGE + header->payload_bytes;
	if (found == FOUND_NEXT) {
		reader->counts.rolls++;
		if (reader->disk->segment_bytes - position->offset >= bytes)
			reader->counts.rolls_early++;
		struct wal_segment_header *left = reader->header;
		reader->header = reader->next_header;
		reader->next_header = left;
		copy_meta(reader);
	}
	reader->counts.blocks++;
	wal_window_found(&reader->window);
	position->segment = header->segment;
	position->offset = header->offset + bytes;
	position->next_seq = header->seq + 1;
	position->prev_hash = wal_header_hash(header);
	position->incarnation = header->incarnation;
	position->epoch = header->epoch;
	position->time_ms = header->time_ms;
	position->closed = header->type == WAL_CLOSE;
	if (header->durable_count >= reader->header->first_seq)
		position->flush_from = header->segment;
	return WAL_NEXT_BLOCK;
}

static void count_ending(struct wal_reader *reader, const struct places *places,
			 const struct wal_search *search)
{
	struct wal_reader_counts *counts = &reader->counts;
	counts->beyond_cut += search->valid_count;
	counts->stale_beyond_cut += search->stale_count;
	counts->stale_at_cut += places->here == WAL_REASON_INCARNATION;
	counts->header_stale += places->next_header == WAL_REASON_INCARNATION ||
				places->next_header == WAL_REASON_SEQ ||
				places->next_header == WAL_REASON_CHAIN;
	counts->header_torn += places->next_header == WAL_REASON_CHECKSUM;
	counts->header_without_block += places->next_header == WAL_REASON_NONE &&
					places->next_block != WAL_REASON_NONE &&
					places->next_block != WAL_REASON_SEGMENT_MISSING;
	counts->block_without_header +=
	    places->next_header != WAL_REASON_NONE && places->next_block == WAL_REASON_NONE;
}

/* The place that the missing block should have been at: where the witness leaves it. */
static int report_corruption(struct wal_reader *reader, const struct places *places,
			     const struct wal_search *search)
{
	const struct wal_tail *position = &reader->position;
	if (!reader->begun)
		return wal_fault_lost(reader, position->segment, 0, WAL_REASON_SEGMENT_HEADER,
				      &search->witness);
	bool here_empty =
	    places->here == WAL_REASON_ZERO || places->here == WAL_REASON_SEGMENT_ENDS;
	bool header_sound =
	    places->next_header == WAL_REASON_NONE || places->next_header == WAL_REASON_SEQ;
	bool announced = header_sound && reader->next_header->first_seq == position->next_seq;
	bool announced_later = header_sound && reader->next_header->first_seq > position->next_seq;
	if (search->witness.segment == position->segment || announced_later)
		return wal_fault_lost(reader, position->segment, position->offset, places->here,
				      &search->witness);
	if (announced)
		return wal_fault_lost(reader, position->segment + 1, WAL_PAGE, places->next_block,
				      &search->witness);
	if (here_empty)
		return wal_fault_lost(reader, position->segment + 1, 0, WAL_REASON_SEGMENT_HEADER,
				      &search->witness);
	return wal_fault_lost(reader, position->segment, position->offset, places->here,
			      &search->witness);
}

/* The next block is in neither place: the end of the log, or corruption. */
static int judge(struct wal_reader *reader, struct wal_block *block, struct places *places)
{
	struct wal_search search;
	int error = wal_search_behind(reader, &search);
	if (error != 0)
		return error;
	if (search.found) {
		/* While a live log is read, the block may have come after it was looked for. */
		wal_window_forget(&reader->window);
		int found = find_block(reader, block, places);
		if (found < 0)
			return found;
		if (found != NOT_FOUND) {
			reader->counts.arrived_late++;
			return accept(reader, block, found);
		}
		return report_corruption(reader, places, &search);
	}
	if (!reader->begun && reader->position.segment != 0)
		return wal_fault_segment(reader, reader->position.segment,
					 WAL_REASON_SEGMENT_HEADER);
	count_ending(reader, places, &search);
	/* A first segment with a header alone: the block that it announces never was, and the next
	 * one will differ in time. The segment is begun anew. */
	if (reader->counts.blocks == 0)
		reader->position.offset = 0;
	/* Behind CLOSE there is nothing to cut: at most what earlier crashes left there, or an OPEN
	 * that nothing followed. */
	bool nothing_here =
	    !reader->begun || reader->position.closed || places->here == WAL_REASON_ZERO ||
	    places->here == WAL_REASON_SEGMENT_ENDS || places->here == WAL_REASON_INCARNATION;
	bool nothing_next = reader->position.closed || places->next_header != WAL_REASON_CHECKSUM;
	bool clean = search.valid_count == 0 && nothing_here && nothing_next;
	if (clean)
		reader->counts.ends_clean++;
	else
		reader->counts.ends_torn++;
	return clean ? WAL_NEXT_END : WAL_NEXT_TORN;
}

int wal_reader_next(struct wal_reader *reader, struct wal_block *block)
{
	if (reader->ended != 0)
		return reader->ended;
	struct places places;
	int found = find_block(reader, block, &places);
	if (found > 0)
		return accept(reader, block, found);
	if (found == NOT_FOUND && reader->options.follow) {
		wal_window_caught_up(&reader->window);
		return WAL_NEXT_END;
	}
	int result = found < 0 ? found : judge(reader, block, &places);
	if (result != WAL_NEXT_BLOCK)
		reader->ended = result;
	return result;
}

void wal_reader_refresh(struct wal_reader *reader)
{
	wal_window_forget(&reader->window);
}

const struct wal_segment_header *wal_reader_header(const struct wal_reader *reader)
{
	return reader->begun ? reader->header : NULL;
}

const struct wal_tail *wal_reader_tail(const struct wal_reader *reader)
{
	return &reader->position;
}

const struct wal_segment_entry *wal_reader_segments(const struct wal_reader *reader, size_t *count)
{
	*count = reader->entry_count;
	return reader->entries;
}

void wal_reader_close(struct wal_reader *reader)
{
	wal_window_close(&reader->window);
	free(reader->entries);
	reader->entries = NULL;
	/* The two header pages are one allocation, and change places. */
	free(reader->header < reader->next_header ? reader->header : reader->next_header);
	reader->header = NULL;
	reader->next_header = NULL;
}

int wal_segment_header_read(struct wal_disk *disk, uint64_t segment,
			    struct wal_segment_header *header)
{
	int64_t got = disk->ops->read(disk, segment, 0, header, WAL_PAGE);
	if (got < 0)
		return (int)got;
	return got == WAL_PAGE && wal_segment_header_check(header, disk->log_id, segment,
							   disk->segment_bytes) == WAL_REASON_NONE;
}
