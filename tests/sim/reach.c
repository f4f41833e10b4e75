/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/reach.h"

#include <inttypes.h>
#include <string.h>

static const struct {
	const char *group;
	const char *text;
} own_rows[] = {
#define REACH_ROW(name, group, text) {(group), (text)},
    REACH_LIST(REACH_ROW)
#undef REACH_ROW
};

static const char *const reader_rows[] = {
    "blocks read",
    "went on in the next segment",
    "... though this one had room",
    "log ended cleanly",
    "log ended in a torn tail, cut",
    "valid block ignored behind the cut",
    "stale block of an earlier incarnation at the cut",
    "stale blocks of earlier incarnations ignored behind the cut",
    "segment header without its first block",
    "first block without its segment's header",
    "stale segment header",
    "torn segment header",
    "block arrived while it was looked for",
    "corruption found",
};
_Static_assert(sizeof(reader_rows) / sizeof(reader_rows[0]) ==
		   sizeof(struct wal_reader_counts) / sizeof(uint64_t),
	       "a text for each counter");

static const char *const writer_rows[] = {
    "blocks written",
    "bytes written",
    "new segment: the block did not fit",
    "new segment: the meta changed",
    "write completed before an older one",
    "append refused: writes in flight",
    "append refused: no segment ready",
};
_Static_assert(sizeof(writer_rows) / sizeof(writer_rows[0]) ==
		   sizeof(struct wal_writer_counts) / sizeof(uint64_t),
	       "a text for each counter");

/* NULL: no such fault. */
static const char *const worker_rows[] = {
    "datagrams taken in hand",
    "replies",
    NULL,
    "dropped: length",
    "dropped: not giro's",
    "dropped: a reply",
    "dropped: checksum",
    "INFO answered",
    "refused as a whole: BAD_*",
    "refused as a whole: BUSY",
    "new work refused: ids above the rate",
    "epoch sealed",
    "caught up with a message's epoch",
    "reply held for its epoch",
    "held reply released",
};
_Static_assert(sizeof(worker_rows) / sizeof(worker_rows[0]) ==
		   sizeof(struct worker_counts) / sizeof(uint64_t),
	       "a text for each counter");

/* The group and text of a row; NULL for a number that is none. */
static const char *row_text(uint32_t row, const char **group)
{
	if (row < REACH_OWN_ROWS) {
		*group = own_rows[row].group;
		return own_rows[row].text;
	}
	if (row < REACH_EVENT) {
		const char *name = status_name(row - REACH_STATUS);
		*group = "status";
		return strcmp(name, "UNKNOWN_STATUS") == 0 ? NULL : name;
	}
	if (row < REACH_READER) {
		*group = "shard";
		return shard_event_text(row - REACH_EVENT);
	}
	if (row < REACH_WRITER) {
		*group = "log reader";
		return reader_rows[row - REACH_READER];
	}
	if (row < REACH_WORKER) {
		*group = "log writer";
		return writer_rows[row - REACH_WRITER];
	}
	*group = "worker";
	return worker_rows[row - REACH_WORKER];
}

static void add_rows(uint64_t *rows, const void *counts, size_t bytes)
{
	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		rows[i] += ((const uint64_t *)counts)[i];
}

void reach_add_shard(struct reach *reach, const struct shard *shard)
{
	add_rows(&reach->counts[REACH_EVENT], shard->events, sizeof(shard->events));
}

void reach_add_reader(struct reach *reach, const struct wal_reader_counts *counts)
{
	add_rows(&reach->counts[REACH_READER], counts, sizeof(*counts));
}

void reach_add_writer(struct reach *reach, const struct wal_writer_counts *counts)
{
	add_rows(&reach->counts[REACH_WRITER], counts, sizeof(*counts));
}

void reach_add_worker(struct reach *reach, const struct worker_counts *counts)
{
	add_rows(&reach->counts[REACH_WORKER], counts, sizeof(*counts));
}

void reach_add(struct reach *sum, const struct reach *more)
{
	add_rows(sum->counts, more->counts, sizeof(more->counts));
}

uint32_t reach_print(const struct reach *reach, FILE *out)
{
	const char *last = "";
	uint32_t zeros = 0;

	for (uint32_t row = 0; row < REACH_ROWS; row++) {
		const char *group;
		const char *text = row_text(row, &group);
		if (text == NULL)
			continue;
		if (strcmp(group, last) != 0)
			fprintf(out, "%s\n", group);
		last = group;
		fprintf(out, "  %12" PRIu64 "  %s%s\n", reach->counts[row], text,
			reach->counts[row] == 0 ? "   <-- never" : "");
		zeros += reach->counts[row] == 0;
	}
	return zeros;
}

void reach_print_json(const struct reach *reach, FILE *out)
{
	const char *separator = "";

	for (uint32_t row = 0; row < REACH_ROWS; row++) {
		const char *group;
		const char *text = row_text(row, &group);
		if (text == NULL)
			continue;
		fprintf(out, "%s\n    \"%s: %s\": %" PRIu64, separator, group, text,
			reach->counts[row]);
		separator = ",";
	}
}
