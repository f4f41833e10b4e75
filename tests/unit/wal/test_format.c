/* SPDX-License-Identifier: Apache-2.0
 *
 * The C writer against the golden log, which tests/golden/log/make_log.py made from the document.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/wal/memory_disk.h"
#include "wal/reader.h"
#include "wal/verify.h"
#include "wal/writer.h"

#define SEGMENT	   (16u * WAL_PAGE)
#define LOG_ID	   0x0123456789abcdefull
#define EPOCH_0_MS 1700000000000ull

static uint8_t *golden_bytes(void)
{
	uint8_t *bytes = aligned_alloc(WAL_PAGE, SEGMENT);
	FILE *file = fopen(GOLDEN_LOG, "rb");
	cr_assert(file != NULL, "%s", GOLDEN_LOG);
	cr_assert(fread(bytes, 1, SEGMENT, file) == SEGMENT);
	cr_assert(fgetc(file) == EOF);
	fclose(file);
	return bytes;
}

static void append(struct wal_writer *writer, enum wal_block_type type, uint64_t epoch,
		   uint64_t time_ms, uint32_t section_count, const struct wal_section *sections)
{
	struct wal_append append = {.type = type,
				    .epoch = epoch,
				    .time_ms = EPOCH_0_MS + time_ms,
				    .section_count = section_count,
				    .sections = sections};
	cr_assert(wal_writer_append(writer, &append) >= 0);
}

Test(format, writer_gives_the_golden_bytes)
{
	struct memory_disk *disk = memory_disk_new(SEGMENT, 4);
	struct wal_preparer preparer;
	struct wal_writer writer;
	struct wal_tail tail = {0};
	struct wal_writer_config config = {.log_id = LOG_ID,
					   .blocks_in_flight = 4,
					   .segments_ahead = 1,
					   .meta = "golden meta",
					   .meta_bytes = 11};
	uint8_t *buffer = aligned_alloc(WAL_PAGE, (size_t)4 * WAL_PAGE);
	wal_preparer_init(&preparer, &disk->base, 0);
	cr_assert(wal_writer_open(&writer, &disk->base, &preparer, &config, &tail) == 0);
	cr_assert(wal_preparer_step(&preparer) == 1);

	append(&writer, WAL_OPEN, 1, 0, 0, NULL);
	memory_disk_complete_all(disk);
	cr_assert(wal_writer_poll(&writer) == 1);
	struct wal_section three[3] = {{.data = buffer, .bytes = 5000},
				       {.data = NULL, .bytes = 0},
				       {.data = buffer + (size_t)2 * WAL_PAGE, .bytes = 4}};
	memset(buffer, 0xff, (size_t)4 * WAL_PAGE);
	for (unsigned i = 0; i < 5000; i++)
		buffer[i] = (uint8_t)(i * 7 % 251);
	memcpy(buffer + (size_t)2 * WAL_PAGE, "giro", 4);
	for (unsigned i = 0; i < 16; i++) {
		three[0].digest[i] = (uint8_t)i;
		three[2].digest[i] = (uint8_t)(16 + i);
	}
	append(&writer, WAL_DATA, 2, 1, 3, three);
	struct wal_section one = {.data = buffer + (size_t)3 * WAL_PAGE, .bytes = WAL_PAGE};
	for (unsigned i = 0; i < WAL_PAGE; i++)
		buffer[3 * WAL_PAGE + i] = (uint8_t)(i * 11 % 253);
	append(&writer, WAL_DATA, 5, 1, 1, &one);
	memory_disk_complete_all(disk);
	cr_assert(wal_writer_poll(&writer) == 2);
	append(&writer, WAL_CLOSE, 6, 2, 0, NULL);
	memory_disk_complete_all(disk);
	cr_assert(wal_writer_poll(&writer) == 1);

	uint8_t *golden = golden_bytes();
	for (size_t at = 0; at < SEGMENT; at++)
		cr_assert(disk->segments[0][at] == golden[at], "byte %zu", at);
	free(golden);
	wal_writer_close(&writer);
	wal_preparer_stop(&preparer);
	memory_disk_free(disk);
	free(buffer);
}

Test(format, reader_takes_the_golden_bytes)
{
	struct memory_disk *disk = memory_disk_new(SEGMENT, 4);
	disk->segments[0] = golden_bytes();
	disk->sizes[0] = SEGMENT;
	struct wal_reader_options options = {.first_segment = WAL_OLDEST};
	struct wal_reader reader;
	struct wal_block block;
	cr_assert(wal_reader_open(&reader, &disk->base, &options) == 0);
	cr_assert(wal_reader_header(&reader)->meta_bytes == 11);
	cr_assert(memcmp(wal_reader_header(&reader)->meta, "golden meta", 11) == 0);
	for (unsigned i = 0; i < 4; i++)
		cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK);
	cr_assert(wal_reader_next(&reader, &block) == WAL_NEXT_END);
	const struct wal_tail *tail = wal_reader_tail(&reader);
	cr_assert(tail->log_id == LOG_ID && tail->closed && tail->epoch == 6);
	cr_assert(tail->offset == 9 * WAL_PAGE);
	wal_reader_close(&reader);
	memory_disk_free(disk);
}

/* Pages of noise and nearly right pages: judged, never trusted further than they reach. */
Test(format, any_page_can_be_judged)
{
	uint8_t *golden = golden_bytes();
	struct wal_block_header *header = aligned_alloc(WAL_PAGE, WAL_PAGE);
	struct wal_segment_header *segment = aligned_alloc(WAL_PAGE, WAL_PAGE);
	unsigned seed = 1;
	for (unsigned i = 0; i < 200000; i++) {
		uint8_t *page = i % 2 == 0 ? (uint8_t *)header : (uint8_t *)segment;
		memcpy(page, golden + (i % 2 == 0 ? (size_t)2 * WAL_PAGE : 0), WAL_PAGE);
		for (unsigned n = 0; n < 1 + i % 3; n++)
			page[8 + rand_r(&seed) % 248] = (uint8_t)rand_r(&seed);
		uint64_t sum = wal_header_checksum(page, WAL_PAGE);
		memcpy(page, &sum, sizeof(sum));
		if (i % 2 != 0) {
			enum wal_reason reason =
			    wal_segment_header_check(segment, LOG_ID, 0, SEGMENT);
			cr_assert(reason != WAL_REASON_NONE || segment->meta_bytes <= WAL_META_MAX);
			continue;
		}
		enum wal_reason reason =
		    wal_block_header_check(header, LOG_ID, 0, SEGMENT, (uint64_t)2 * WAL_PAGE);
		if (reason != WAL_REASON_NONE)
			continue;
		cr_assert(header->section_count <= WAL_SECTIONS_MAX);
		cr_assert(header->payload_bytes <= SEGMENT - 3 * WAL_PAGE);
		for (unsigned s = 0; s < header->section_count; s++) {
			const struct wal_section_row *row = &header->sections[s];
			cr_assert(row->offset >= WAL_PAGE && row->offset % WAL_PAGE == 0);
			cr_assert(row->offset + row->bytes <= WAL_PAGE + header->payload_bytes);
		}
	}
	free(golden);
	free(header);
	free(segment);
}
