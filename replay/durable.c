/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/durable.h"

int durable_open(struct durable *durable, struct wal_disk *disk, uint64_t segment)
{
	const struct wal_reader_options options = {.first_segment = segment, .follow = true};

	durable->count = 0;
	return wal_reader_open(&durable->reader, disk, &options);
}

int durable_open_beside(struct durable *durable, struct wal_reader *reader)
{
	durable->count = 0;
	int error = wal_reader_open_beside(&durable->reader, reader, true);
	if (error != 0)
		return error;
	durable_covers(durable, UINT64_MAX);
	wal_reader_refresh(reader);
	return 0;
}

bool durable_covers(struct durable *durable, uint64_t seq)
{
	struct wal_block block;

	while (durable->count <= seq && wal_reader_next(&durable->reader, &block) == WAL_NEXT_BLOCK)
		durable->count = block.header->durable_count;
	return durable->count > seq;
}

void durable_close(struct durable *durable)
{
	wal_reader_close(&durable->reader);
}
