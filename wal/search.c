/* SPDX-License-Identifier: Apache-2.0 */
#include "wal/search.h"

#include <string.h>

#include "wal/fault.h"
#include "wal/verify.h"
#include "wal/window.h"

/* One page: is it a block header, valid in itself, and what does it say? */
static bool look_at(const struct wal_reader *reader, struct wal_search *search, uint64_t log_id,
		    uint64_t segment, uint64_t offset, const struct wal_block_header *header)
{
	if (header->magic != WAL_BLOCK_MAGIC)
		return false;
	if (wal_block_header_check(header, log_id, segment, reader->disk->segment_bytes, offset) !=
	    WAL_REASON_NONE)
		return false;
	/* What an earlier incarnation left behind its own cut says nothing about this one. */
	if (header->incarnation < reader->position.incarnation) {
		search->stale_count++;
		return false;
	}
	search->valid_count++;
	if (header->durable_count > reader->position.next_seq && !search->found) {
		search->found = true;
		search->witness = (struct wal_witness){.segment = segment,
						       .offset = offset,
						       .seq = header->seq,
						       .durable_count = header->durable_count};
	}
	return true;
}

/* Looks at the pages of one segment from `offset` on. *in_use says whether any was a block. Returns
 * 0 or a negative errno. */
static int search_segment(struct wal_reader *reader, struct wal_search *search, uint64_t *log_id,
			  uint64_t segment, uint64_t offset, bool *in_use)
{
	for (; reader->disk->segment_bytes - offset >= WAL_PAGE; offset += WAL_PAGE) {
		const void *page;
		int loaded = wal_window_load(&reader->window, reader->disk, segment, offset,
					     WAL_PAGE, &page);
		if (loaded <= 0)
			return wal_fault_read(reader, segment, offset, loaded);
		const struct wal_block_header *header = page;
		if (!look_at(reader, search, *log_id, segment, offset, header))
			continue;
		*in_use = true;
		/* The first segment's header is gone and nothing else names the log: the first
		 * block found does. */
		if (*log_id == 0)
			*log_id = header->log_id;
	}
	return 0;
}

/* A valid header of this very segment, whatever block it announces: the segment was begun once. */
static int probe_header(struct wal_reader *reader, uint64_t log_id, uint64_t segment, bool *in_use)
{
	/* Past the window: read-ahead would read the whole device after all. */
	struct wal_segment_header *header = reader->next_header;
	int64_t got = reader->disk->ops->read(reader->disk, segment, 0, header, WAL_PAGE);
	if (got != WAL_PAGE)
		return wal_fault_read(reader, segment, 0, got < 0 ? (int)got : 0);
	*in_use = wal_segment_header_check(header, log_id, segment, reader->disk->segment_bytes) ==
		      WAL_REASON_NONE &&
		  header->first_incarnation >= reader->position.incarnation;
	return 0;
}

int wal_search_behind(struct wal_reader *reader, struct wal_search *search)
{
	memset(search, 0, sizeof(*search));
	const struct wal_tail *position = &reader->position;
	uint64_t log_id = position->log_id;
	/* Segments are begun in order, so behind one that was never begun there are none that were,
	 * except through damage. To read a large device to its end at every start is too slow: a
	 * segment behind an unused one is read only if its header is there. */
	bool thorough = true;
	for (size_t i = 0; i < reader->entry_count; i++) {
		uint64_t segment = reader->entries[i].segment;
		if (segment < position->segment)
			continue;
		bool here = segment == position->segment;
		bool in_use = false;
		int error = thorough ? 0 : probe_header(reader, log_id, segment, &in_use);
		if (error == 0 && (thorough || in_use)) {
			uint64_t offset = here && reader->begun ? position->offset : WAL_PAGE;
			error = search_segment(reader, search, &log_id, segment, offset, &in_use);
		}
		if (error != 0)
			return error;
		thorough = here || in_use;
	}
	return 0;
}
