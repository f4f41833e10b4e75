/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/durable.h"

int durable_open_beside(struct durable *durable, struct wal_reader *reader)
{
	struct wal_block block;

	durable->count = 0;
	int error = wal_reader_open_beside(&durable->reader, reader, true);
	if (error != 0)
		return error;
	while (wal_reader_next(&durable->reader, &block) == WAL_NEXT_BLOCK)
		durable->count = block.header->durable_count;
	wal_reader_refresh(reader);
	return 0;
}

void durable_close(struct durable *durable)
{
	wal_reader_close(&durable->reader);
}
