/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/wal/log_session.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The content of a section, with its padding; static. */
static const uint8_t *content(uint64_t epoch, unsigned section, uint64_t bytes)
{
	static uint8_t page[SESSION_SECTION_MAX];
	uint64_t x = epoch * 0x9e3779b97f4a7c15ull + section;
	for (uint64_t at = 0; at < bytes; at++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		page[at] = (uint8_t)(x >> 56);
	}
	memset(page + bytes, 0, wal_padded(bytes) - bytes);
	return page;
}

static void check_block(const struct wal_block *block)
{
	const struct wal_block_header *header = block->header;
	for (unsigned i = 0; i < header->section_count; i++) {
		uint64_t bytes;
		const uint8_t *data = wal_block_section(block, i, &bytes);
		cr_assert(bytes <= SESSION_SECTION_MAX);
		const uint8_t *wanted = content(header->epoch, i, bytes);
		cr_assert(memcmp(data, wanted, wal_padded(bytes)) == 0, "block %lu section %u",
			  header->seq, i);
		cr_assert(header->sections[i].digest[0] == (uint8_t)(header->epoch + i));
	}
}

int session_read(struct wal_reader *reader, struct wal_disk *disk)
{
	struct wal_reader_options options = {.first_segment = WAL_OLDEST};
	int result = wal_reader_open(reader, disk, &options);
	if (result != 0)
		return result;
	struct wal_block block;
	while ((result = wal_reader_next(reader, &block)) == WAL_NEXT_BLOCK)
		check_block(&block);
	return result;
}

int session_open(struct session *session, struct wal_disk *disk, const struct wal_tail *tail,
		 const char *meta)
{
	memset(session, 0, sizeof(*session));
	session->disk = disk;
	session->epoch = tail->epoch;
	session->time_ms = tail->time_ms + 1000;
	session->buffers =
	    aligned_alloc(WAL_PAGE, (size_t)2 * SESSION_BUFFERS * SESSION_SECTION_MAX);
	wal_preparer_init(&session->preparer, disk, wal_writer_first_segment(tail));
	struct wal_writer_config config = {.log_id = SESSION_LOG_ID,
					   .blocks_in_flight = 8,
					   .segments_ahead = 2,
					   .meta = meta,
					   .meta_bytes = (uint32_t)strlen(meta)};
	return wal_writer_open(&session->writer, disk, &session->preparer, &config, tail);
}

int session_prepare(struct session *session)
{
	bool some = false;
	int outcome;
	while ((outcome = wal_preparer_step(&session->preparer)) > 0)
		some = true;
	return some ? 0 : outcome;
}

int64_t session_append(struct session *session, enum wal_block_type type, uint64_t bytes)
{
	cr_assert(bytes <= SESSION_SECTION_MAX);
	struct wal_section sections[2];
	uint64_t epoch = session->epoch + 1 + session->epoch % 3;
	for (unsigned i = 0; i < 2; i++) {
		size_t index = 2 * (session->writer.tail.next_seq % SESSION_BUFFERS) + i;
		uint8_t *data = session->buffers + index * SESSION_SECTION_MAX;
		uint64_t size = i == 0 ? bytes : bytes / 3;
		sections[i] = (struct wal_section){.data = data, .bytes = size};
		memcpy(data, content(epoch, i, size), size);
		memset(data + size, 0xee, wal_padded(size) - size);
		sections[i].digest[0] = (uint8_t)(epoch + i);
	}
	struct wal_append append = {.type = type,
				    .epoch = epoch,
				    .time_ms = session->time_ms,
				    .section_count = type == WAL_DATA ? 2 : 0,
				    .sections = sections};
	int64_t seq = wal_writer_append(&session->writer, &append);
	if (seq >= 0) {
		session->epoch = epoch;
		session->time_ms += epoch % 2;
	}
	return seq;
}

int64_t session_put(struct session *session, enum wal_block_type type, uint64_t bytes)
{
	for (;;) {
		int64_t seq = session_append(session, type, bytes);
		if (seq != -EAGAIN && seq != -ENOSPC)
			return seq;
		int error = 0;
		if (seq == -ENOSPC)
			error = session_prepare(session);
		else if (wal_writer_wait(&session->writer, 1000000000) < 0)
			error = session->writer.error;
		if (error != 0)
			return error;
	}
}

int session_settle(struct session *session)
{
	while (wal_writer_in_flight(&session->writer) != 0) {
		int result = wal_writer_wait(&session->writer, 1000000000);
		if (result < 0)
			return result;
	}
	return 0;
}

void session_close(struct session *session)
{
	wal_writer_close(&session->writer);
	wal_preparer_stop(&session->preparer);
	free(session->buffers);
}

void session_start(struct session *session, struct wal_disk *disk)
{
	struct wal_reader reader;
	int end = session_read(&reader, disk);
	cr_assert(end == WAL_NEXT_END || end == WAL_NEXT_TORN, "%s", reader.fault.text);
	cr_assert(session_open(session, disk, wal_reader_tail(&reader), "meta") == 0);
	wal_reader_close(&reader);
	session_prepare(session);
	cr_assert(session_put(session, WAL_OPEN, 0) >= 0);
	cr_assert(session_settle(session) == 0);
}
