/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/meta.h"

#include <string.h>

struct log_meta log_meta_from_limits(const struct shard_limits *limits)
{
	return (struct log_meta){
	    .magic = META_MAGIC,
	    .version = META_VERSION,
	    .placement = META_PLACEMENT_MODULO,
	    .shards = limits->shards,
	    .rows = limits->rows,
	    .accounts_max = limits->accounts_max,
	    .window_ms = limits->window_ms,
	    .ahead_ms = limits->ahead_ms,
	    .ids_per_second = limits->ids_per_second,
	    .try_timeout_ms = limits->try_timeout_ms,
	};
}

const char *log_meta_to_limits(const void *bytes, size_t size, struct shard_limits *limits)
{
	struct log_meta meta;

	if (size != sizeof(meta))
		return "the meta has the wrong size";
	memcpy(&meta, bytes, sizeof(meta));
	if (meta.magic != META_MAGIC)
		return "the meta is not giro's";
	if (meta.version != META_VERSION)
		return "the meta is of another version";
	if (meta.placement != META_PLACEMENT_MODULO)
		return "the meta names an unknown placement";
	*limits = (struct shard_limits){
	    .shards = meta.shards,
	    .rows = meta.rows,
	    .accounts_max = meta.accounts_max,
	    .window_ms = meta.window_ms,
	    .ahead_ms = meta.ahead_ms,
	    .ids_per_second = meta.ids_per_second,
	    .try_timeout_ms = meta.try_timeout_ms,
	};
	return shard_limits_fault(limits);
}

const char *log_meta_conflict(const struct shard_limits *old, const struct shard_limits *new)
{
	if (old->shards != new->shards)
		return "it has another number of shards";
	if (old->window_ms != new->window_ms || old->ahead_ms != new->ahead_ms)
		return "it was written with another window_s or ahead_s";
	if (old->rows > new->rows || old->accounts_max > new->accounts_max ||
	    old->ids_per_second > new->ids_per_second)
		return "it was written with larger accounts, rows or ids_per_second";
	return NULL;
}
