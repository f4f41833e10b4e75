/* SPDX-License-Identifier: Apache-2.0 */
#include "wal/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"

_Static_assert(2 * WAL_BLOCKS_IN_FLIGHT_MAX <= WAL_DISK_WRITES_MAX,
	       "every block in flight may need a segment header beside it");

/* One wait of wal_writer_close(), which waits until nothing is in flight. */
#define CLOSE_WAIT_NS 1000000000u

/* A write's tag tells its slot and whether it is the block or the new segment's header. */
static uint64_t tag_of(uint32_t slot, bool segment_header)
{
	return (uint64_t)slot * 2 + (segment_header ? 1 : 0);
}

static bool config_is_sound(const struct wal_writer_config *config, const struct wal_disk *disk)
{
	return config->blocks_in_flight >= 1 &&
	       config->blocks_in_flight <= WAL_BLOCKS_IN_FLIGHT_MAX &&
	       config->segments_ahead >= 1 && config->segments_ahead <= WAL_SEGMENTS_AHEAD_MAX &&
	       config->meta_bytes <= WAL_META_MAX &&
	       (config->meta_bytes == 0 || config->meta != NULL) &&
	       disk->segment_bytes >= WAL_SEGMENT_BYTES_MIN &&
	       disk->segment_bytes <= WAL_SEGMENT_BYTES_MAX && disk->segment_bytes % WAL_PAGE == 0;
}

/* Two pages for each slot: the block's header and, where one begins, the segment's. */
static int take_pages(struct wal_writer *writer)
{
	size_t bytes = (size_t)writer->config.blocks_in_flight * 2 * WAL_PAGE;
	writer->pages = aligned_alloc(WAL_PAGE, bytes);
	if (writer->pages == NULL)
		return -ENOMEM;
	memset(writer->pages, 0, bytes);
	uint8_t *page = writer->pages;
	for (uint32_t i = 0; i < writer->config.blocks_in_flight; i++) {
		writer->slots[i].header = (struct wal_block_header *)page;
		writer->slots[i].new_segment = (struct wal_segment_header *)(page + WAL_PAGE);
		page += (size_t)2 * WAL_PAGE;
	}
	return 0;
}

/* What a dead process had in flight may lie in several segments. */
static int flush_found(struct wal_disk *disk, const struct wal_tail *tail)
{
	int error = 0;

	if (tail->offset == 0)
		return 0;
	for (uint64_t segment = tail->flush_from; error == 0 && segment <= tail->segment; segment++)
		error = disk->ops->flush(disk, segment);
	return error;
}

int wal_writer_open(struct wal_writer *writer, struct wal_disk *disk, struct wal_preparer *preparer,
		    const struct wal_writer_config *config, const struct wal_tail *tail)
{
	memset(writer, 0, sizeof(*writer));
	if (!config_is_sound(config, disk))
		return -EINVAL;
	writer->disk = disk;
	writer->preparer = preparer;
	writer->config = *config;
	writer->tail = *tail;
	if (writer->tail.log_id == 0)
		writer->tail.log_id = disk->log_id != 0 ? disk->log_id : config->log_id;
	if (writer->tail.log_id == 0)
		return -EINVAL;

	int error = flush_found(disk, tail);
	if (error == 0)
		error = take_pages(writer);
	if (error != 0)
		return error;

	writer->meta_differs =
	    tail->offset != 0 && (tail->meta_bytes != config->meta_bytes ||
				  (config->meta_bytes != 0 &&
				   memcmp(tail->meta, config->meta, config->meta_bytes) != 0));
	memset(writer->tail.meta, 0, sizeof(writer->tail.meta));
	if (config->meta_bytes != 0)
		memcpy(writer->tail.meta, config->meta, config->meta_bytes);
	writer->tail.meta_bytes = config->meta_bytes;
	writer->config.meta = NULL; /* copied, the caller's may go */
	writer->durable_count = tail->next_seq;
	writer->durable_epoch = tail->epoch;
	writer->durable_time_ms = tail->time_ms;
	wal_preparer_want(preparer, wal_writer_first_segment(tail) + config->segments_ahead);
	return 0;
}

static bool needs_segment(const struct wal_writer *writer, uint64_t payload_bytes)
{
	const struct wal_tail *tail = &writer->tail;
	return tail->offset == 0 || writer->meta_differs ||
	       writer->disk->segment_bytes - tail->offset < WAL_PAGE + payload_bytes;
}

int wal_writer_can_append(struct wal_writer *writer, uint64_t payload_bytes)
{
	if (writer->error != 0)
		return writer->error;
	if (payload_bytes % WAL_PAGE != 0 || payload_bytes > WAL_PAYLOAD_MAX ||
	    payload_bytes > writer->disk->segment_bytes - 2 * WAL_PAGE)
		return -EINVAL;
	uint64_t in_flight = wal_writer_in_flight(writer);
	/* If WAL_OPEN does not reach the disk, the next start finds the old tail again and uses the
	 * same incarnation number: nothing else may have been written under it by then. */
	bool opening = writer->opened && writer->counts.blocks == 1 && in_flight != 0;
	if (in_flight == writer->config.blocks_in_flight || opening) {
		writer->counts.refused_in_flight++;
		return -EAGAIN;
	}
	if (needs_segment(writer, payload_bytes) &&
	    wal_writer_first_segment(&writer->tail) >= wal_preparer_ready(writer->preparer)) {
		writer->counts.refused_space++;
		return -ENOSPC;
	}
	return 0;
}

static void begin_segment(struct wal_writer *writer, struct wal_slot *slot,
			  const struct wal_append *append)
{
	struct wal_tail *tail = &writer->tail;
	if (tail->offset != 0) {
		if (writer->meta_differs)
			writer->counts.rolls_meta++;
		else
			writer->counts.rolls++;
	}
	tail->segment = wal_writer_first_segment(tail);
	tail->offset = WAL_PAGE;
	writer->meta_differs = false;

	struct wal_segment_header *header = slot->new_segment;
	memset(header, 0, sizeof(*header));
	header->magic = WAL_SEGMENT_MAGIC;
	header->version = WAL_VERSION;
	header->meta_bytes = tail->meta_bytes;
	header->log_id = tail->log_id;
	header->segment = tail->segment;
	header->segment_bytes = writer->disk->segment_bytes;
	header->first_seq = tail->next_seq;
	header->first_epoch = append->epoch;
	header->first_time_ms = append->time_ms;
	header->first_incarnation = tail->incarnation;
	header->prev_hash = tail->prev_hash;
	memcpy(header->meta, tail->meta, tail->meta_bytes);
	header->checksum = wal_header_checksum(header, sizeof(*header));
	slot->segment_vector = (struct iovec){.iov_base = header, .iov_len = WAL_PAGE};
	wal_preparer_want(writer->preparer, tail->segment + 1 + writer->config.segments_ahead);
}

/* Fills the rows and vectors and zeroes the sections' padding. Returns the number of vectors. */
static unsigned gather_sections(struct wal_slot *slot, const struct wal_append *append)
{
	struct wal_block_header *header = slot->header;
	XXH3_state_t hash;
	XXH3_128bits_reset(&hash);
	unsigned vectors = 1;
	uint64_t offset = WAL_PAGE;
	for (uint32_t i = 0; i < append->section_count; i++) {
		const struct wal_section *section = &append->sections[i];
		struct wal_section_row *row = &header->sections[i];
		row->offset = offset;
		row->bytes = section->bytes;
		memcpy(row->digest, section->digest, sizeof(row->digest));
		if (section->bytes == 0)
			continue;
		CHECK((uintptr_t)section->data % WAL_PAGE == 0);
		uint64_t padded = wal_padded(section->bytes);
		memset((uint8_t *)section->data + section->bytes, 0, padded - section->bytes);
		XXH3_128bits_update(&hash, section->data, padded);
		slot->vectors[vectors++] =
		    (struct iovec){.iov_base = section->data, .iov_len = padded};
		offset += padded;
	}
	XXH128_hash_t digest = XXH3_128bits_digest(&hash);
	header->payload_hash = (struct wal_hash){.lo = digest.low64, .hi = digest.high64};
	header->payload_bytes = offset - WAL_PAGE;
	return vectors;
}

/* The header page of the block at the tail, and the vectors of its write; returns their number. */
static unsigned fill_block(struct wal_writer *writer, struct wal_slot *slot,
			   const struct wal_append *append)
{
	const struct wal_tail *tail = &writer->tail;
	struct wal_block_header *header = slot->header;
	memset(header, 0, sizeof(*header));
	unsigned vectors = gather_sections(slot, append);
	header->magic = WAL_BLOCK_MAGIC;
	header->version = WAL_VERSION;
	header->type = (uint16_t)append->type;
	header->section_count = append->section_count;
	header->log_id = tail->log_id;
	header->segment = tail->segment;
	header->offset = tail->offset;
	header->seq = tail->next_seq;
	header->epoch = append->epoch;
	header->time_ms = append->time_ms;
	header->durable_count = writer->durable_count;
	header->incarnation = tail->incarnation;
	header->prev_hash = tail->prev_hash;
	header->checksum = wal_header_checksum(header, sizeof(*header));
	slot->vectors[0] = (struct iovec){.iov_base = header, .iov_len = WAL_PAGE};
	return vectors;
}

/* Starts the slot's writes: that of a new segment's header first, if there is one. */
static int submit(struct wal_writer *writer, uint32_t index, bool new_segment, unsigned vectors)
{
	struct wal_disk *disk = writer->disk;
	struct wal_slot *slot = &writer->slots[index];
	const struct wal_tail *tail = &writer->tail;
	slot->writes_left = 0;
	if (new_segment) {
		int error = disk->ops->submit_write(disk, tail->segment, 0, &slot->segment_vector,
						    1, tag_of(index, true));
		if (error != 0)
			return error;
		slot->writes_left++;
		writer->writes_in_flight++;
		writer->counts.bytes += WAL_PAGE;
	}
	int error = disk->ops->submit_write(disk, tail->segment, tail->offset, slot->vectors,
					    vectors, tag_of(index, false));
	if (error != 0)
		return error;
	slot->writes_left++;
	writer->writes_in_flight++;
	writer->counts.bytes += slot->write_bytes;
	return 0;
}

static uint64_t payload_of(const struct wal_append *append)
{
	CHECK(append->section_count <= WAL_SECTIONS_MAX);
	uint64_t payload_bytes = 0;
	for (uint32_t i = 0; i < append->section_count; i++) {
		CHECK(append->sections[i].bytes <= WAL_PAYLOAD_MAX);
		payload_bytes += wal_padded(append->sections[i].bytes);
	}
	return payload_bytes;
}

int64_t wal_writer_append(struct wal_writer *writer, const struct wal_append *append)
{
	struct wal_tail *tail = &writer->tail;
	CHECK(!writer->closed);
	CHECK(writer->opened == (append->type != WAL_OPEN));
	CHECK(append->epoch > tail->epoch && append->time_ms >= tail->time_ms);
	uint64_t payload_bytes = payload_of(append);
	int error = wal_writer_can_append(writer, payload_bytes);
	if (error != 0)
		return error;
	if (append->type == WAL_CLOSE && wal_writer_in_flight(writer) != 0)
		return -EAGAIN;

	uint32_t index = (uint32_t)(tail->next_seq % writer->config.blocks_in_flight);
	struct wal_slot *slot = &writer->slots[index];
	bool new_segment = needs_segment(writer, payload_bytes);
	if (append->type == WAL_OPEN)
		tail->incarnation++;
	if (new_segment)
		begin_segment(writer, slot, append);

	unsigned vectors = fill_block(writer, slot, append);
	CHECK(slot->header->payload_bytes == payload_bytes);
	slot->epoch = append->epoch;
	slot->time_ms = append->time_ms;
	slot->write_bytes = WAL_PAGE + payload_bytes;
	error = submit(writer, index, new_segment, vectors);
	if (error != 0) {
		writer->error = error;
		return error;
	}
	tail->offset += slot->write_bytes;
	tail->prev_hash = wal_header_hash(slot->header);
	tail->epoch = append->epoch;
	tail->time_ms = append->time_ms;
	writer->opened = true;
	writer->closed = append->type == WAL_CLOSE;
	writer->counts.blocks++;
	return (int64_t)tail->next_seq++;
}

static void complete(struct wal_writer *writer, const struct wal_completion *completion)
{
	uint64_t index = completion->tag / 2;
	CHECK(index < writer->config.blocks_in_flight);
	struct wal_slot *slot = &writer->slots[index];
	CHECK(slot->writes_left != 0 && writer->writes_in_flight != 0);
	slot->writes_left--;
	writer->writes_in_flight--;
	uint64_t wanted = completion->tag % 2 != 0 ? WAL_PAGE : slot->write_bytes;
	if (completion->result < 0 || (uint64_t)completion->result != wanted) {
		if (writer->error == 0)
			writer->error = completion->result < 0 ? (int)completion->result : -EIO;
	} else if (index != writer->durable_count % writer->config.blocks_in_flight) {
		writer->counts.completed_early++;
	}
}

/* Moves durable_count over the blocks that are complete, up to the first that is not. */
static void advance(struct wal_writer *writer)
{
	while (writer->durable_count < writer->tail.next_seq) {
		const struct wal_slot *slot =
		    &writer->slots[writer->durable_count % writer->config.blocks_in_flight];
		if (slot->writes_left != 0)
			return;
		writer->durable_count++;
		writer->durable_epoch = slot->epoch;
		writer->durable_time_ms = slot->time_ms;
	}
}

/* Takes what has completed. Returns 0, or the disk's error. */
static int reap(struct wal_writer *writer)
{
	if (writer->writes_in_flight == 0)
		return 0;
	struct wal_completion completions[WAL_DISK_WRITES_MAX];
	int count = writer->disk->ops->reap(writer->disk, completions, WAL_DISK_WRITES_MAX);
	for (int i = 0; i < count; i++) {
		complete(writer, &completions[i]);
		if (writer->error == 0)
			advance(writer);
	}
	if (count < 0 && writer->error == 0)
		writer->error = count;
	return count < 0 ? count : 0;
}

int wal_writer_poll(struct wal_writer *writer)
{
	uint64_t before = writer->durable_count;
	reap(writer);
	return writer->error != 0 ? writer->error : (int)(writer->durable_count - before);
}

int wal_writer_wait(struct wal_writer *writer, uint64_t timeout_ns)
{
	if (writer->writes_in_flight != 0) {
		int ready = writer->disk->ops->wait(writer->disk, timeout_ns);
		if (ready < 0 && writer->error == 0)
			writer->error = ready;
	}
	return wal_writer_poll(writer);
}

uint64_t wal_writer_room(const struct wal_writer *writer, uint64_t payload_bytes)
{
	if (writer->error != 0 || writer->closed)
		return 0;
	const struct wal_tail *tail = &writer->tail;
	uint64_t block_bytes = WAL_PAGE + wal_padded(payload_bytes);
	uint64_t blocks = 0;
	/* As long as less is used than this many of the largest blocks, one more of them fits. */
	if (tail->offset != 0 && !writer->meta_differs)
		blocks = (writer->disk->segment_bytes - tail->offset) / block_bytes;
	uint64_t next = wal_writer_first_segment(tail);
	uint64_t ready = wal_preparer_ready(writer->preparer);
	if (ready > next)
		blocks += (ready - next) * ((writer->disk->segment_bytes - WAL_PAGE) / block_bytes);
	return blocks;
}

void wal_writer_close(struct wal_writer *writer)
{
	while (writer->writes_in_flight != 0) {
		if (writer->disk->ops->wait(writer->disk, CLOSE_WAIT_NS) < 0 || reap(writer) < 0)
			break;
	}
	/* Pages that the device may still read from are not given back. */
	if (writer->writes_in_flight == 0)
		free(writer->pages);
	writer->pages = NULL;
}
