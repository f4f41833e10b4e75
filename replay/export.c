/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/export.h"

#include <inttypes.h>
#include <stdio.h>

struct export_sink *export_open(enum export_format format, const char *path, uint64_t log_id,
				char *text)
{
	return format == EXPORT_SQLITE ? export_sqlite_open(path, log_id, text)
				       : export_files_open(format, path, log_id, text);
}

bool export_block(struct export_sink *sink, const struct journal *journal,
		  const struct wal_block_header *block, struct export_position *position)
{
	const struct export_sink_ops *ops = sink->ops;

	if (!ops->epoch(sink, block))
		return false;
	for (uint32_t i = 0; i < journal->operations.count; i++) {
		if (!ops->operation(sink, block, &journal->operations.rows[i]))
			return false;
	}
	for (uint32_t i = 0; i < journal->decisions.count; i++) {
		if (!ops->decision(sink, block, &journal->decisions.rows[i]))
			return false;
	}
	for (uint32_t i = 0; i < journal->movements.count; i++) {
		if (!ops->movement(sink, ++position->movements, &journal->movements.rows[i]))
			return false;
	}
	for (uint32_t i = 0; i < journal->touched.count; i++) {
		if (!ops->touched(sink, journal->touched.rows[i]))
			return false;
	}
	position->blocks = block->seq + 1;
	position->epoch = block->epoch;
	position->time_ms = block->time_ms;
	position->hash = wal_header_hash(block);
	return true;
}

const char *export_action_text(unsigned action)
{
	static const char *const texts[] = {
	    [CREATE_ACCOUNT] = "create",
	    [FREEZE_ACCOUNT] = "freeze",
	    [UNFREEZE_ACCOUNT] = "unfreeze",
	    [CLOSE_ACCOUNT] = "close",
	};

	return action >= CREATE_ACCOUNT && action <= CLOSE_ACCOUNT ? texts[action] : "?";
}

char *export_hash_text(struct wal_hash hash, char text[33])
{
	snprintf(text, 33, "%016" PRIx64 "%016" PRIx64, hash.hi, hash.lo);
	return text;
}
