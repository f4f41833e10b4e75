/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "replay/meta.h"

static const struct shard_limits limits = {
    .shards = 3,
    .rows = 64,
    .accounts_max = 1000,
    .window_ms = 60000,
    .ahead_ms = 10000,
    .ids_per_second = 500,
    .try_timeout_ms = 7000,
};

Test(meta, limits_come_back)
{
	const struct log_meta meta = log_meta_from_limits(&limits);
	struct shard_limits back;

	cr_assert(meta.magic == META_MAGIC && meta.version == META_VERSION);
	cr_assert(meta.placement == META_PLACEMENT_MODULO);
	cr_assert_null(log_meta_to_limits(&meta, sizeof(meta), &back));
	cr_assert(memcmp(&back, &limits, sizeof(limits)) == 0);
	cr_assert_null(log_meta_conflict(&limits, &back));
}

Test(meta, size_must_be_right)
{
	uint8_t bytes[sizeof(struct log_meta) + 1] = {0};
	const struct log_meta meta = log_meta_from_limits(&limits);
	struct shard_limits back;

	memcpy(bytes, &meta, sizeof(meta));
	cr_assert_not_null(log_meta_to_limits(bytes, 0, &back));
	cr_assert_not_null(log_meta_to_limits(bytes, sizeof(meta) - 1, &back));
	cr_assert_not_null(log_meta_to_limits(bytes, sizeof(meta) + 1, &back));
	cr_assert_null(log_meta_to_limits(bytes, sizeof(meta), &back));
}

struct damage {
	const char *name;
	size_t offset;
	uint8_t value;
};

#define AT(field) offsetof(struct log_meta, field)

static const struct damage damages[] = {
    {"magic", AT(magic), 0},
    {"last byte of the magic", AT(magic) + 3, 0},
    {"version 2", AT(version), 2},
    {"version 0", AT(version), 0},
    {"placement 2", AT(placement), 2},
    {"no shards", AT(shards), 0},
    {"too many shards", AT(shards), SHARDS_MAX + 1},
    {"far too many shards", AT(shards) + 3, 1},
    {"rows no power of two", AT(rows), 63},
    {"rows without end", AT(rows) + 3, 1},
    {"accounts without end", AT(accounts_max) + 7, 1},
    {"window without end", AT(window_ms) + 7, 1},
    {"ahead beyond the window", AT(ahead_ms) + 3, 1},
    {"ids without end", AT(ids_per_second) + 7, 1},
};

Test(meta, what_no_engine_wrote_is_refused)
{
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct log_meta meta = log_meta_from_limits(&limits);
		struct shard_limits back;
		((uint8_t *)&meta)[damages[i].offset] = damages[i].value;
		cr_assert_not_null(log_meta_to_limits(&meta, sizeof(meta), &back), "%s",
				   damages[i].name);
	}
}

Test(meta, changes_that_a_log_bears)
{
	const struct {
		const char *name;
		struct shard_limits now;
		bool conflict;
	} rows[] = {
	    {"the same", {3, 64, 1000, 60000, 10000, 500, 7000}, false},
	    {"more rows", {3, 128, 1000, 60000, 10000, 500, 7000}, false},
	    {"fewer rows", {3, 32, 1000, 60000, 10000, 500, 7000}, true},
	    {"more accounts", {3, 64, 1001, 60000, 10000, 500, 7000}, false},
	    {"fewer accounts", {3, 64, 999, 60000, 10000, 500, 7000}, true},
	    {"more ids", {3, 64, 1000, 60000, 10000, 501, 7000}, false},
	    {"fewer ids", {3, 64, 1000, 60000, 10000, 499, 7000}, true},
	    {"longer window", {3, 64, 1000, 60001, 10000, 500, 7000}, true},
	    {"shorter window", {3, 64, 1000, 59999, 10000, 500, 7000}, true},
	    {"further ahead", {3, 64, 1000, 60000, 10001, 500, 7000}, true},
	    {"less far ahead", {3, 64, 1000, 60000, 9999, 500, 7000}, true},
	    {"more shards", {4, 64, 1000, 60000, 10000, 500, 7000}, true},
	    {"fewer shards", {2, 64, 1000, 60000, 10000, 500, 7000}, true},
	    {"another time-out", {3, 64, 1000, 60000, 10000, 500, 1}, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert((log_meta_conflict(&limits, &rows[i].now) != NULL) == rows[i].conflict,
			  "%s", rows[i].name);
}
