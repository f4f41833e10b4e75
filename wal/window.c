/* SPDX-License-Identifier: Apache-2.0 */
#include "wal/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

int wal_window_open(struct wal_window *window, const struct wal_disk *disk)
{
	memset(window, 0, sizeof(*window));
	uint64_t most = (uint64_t)WAL_PAGE + WAL_PAYLOAD_MAX + WAL_READ_BYTES;
	/* Pages that are never read into cost nothing. */
	window->capacity = wal_padded(smaller(most, disk->segment_bytes));
	if (window->capacity == 0)
		window->capacity = WAL_PAGE;
	window->ahead = WAL_READ_BYTES;
	window->buffer = aligned_alloc(WAL_PAGE, window->capacity);
	return window->buffer == NULL ? -ENOMEM : 0;
}

/* Keeps what is already in memory from `offset` on, at the front of the buffer. */
static void slide(struct wal_window *window, uint64_t segment, uint64_t offset)
{
	size_t keep = 0;
	if (window->segment == segment && offset >= window->offset &&
	    offset < window->offset + window->bytes) {
		size_t gone = offset - window->offset;
		keep = window->bytes - gone;
		memmove(window->buffer, window->buffer + gone, keep);
	}
	window->segment = segment;
	window->offset = offset;
	window->bytes = keep;
}

int wal_window_load(struct wal_window *window, struct wal_disk *disk, uint64_t segment,
		    uint64_t offset, size_t bytes, const void **address)
{
	CHECK(bytes <= window->capacity && offset + bytes <= disk->segment_bytes);
	bool here = window->segment == segment && offset >= window->offset &&
		    offset + bytes <= window->offset + window->bytes;
	if (!here) {
		slide(window, segment, offset);
		size_t rest = smaller(window->capacity, disk->segment_bytes - offset);
		size_t want = smaller(rest, window->bytes + window->ahead);
		if (want < bytes)
			want = bytes;
		while (window->bytes < bytes) {
			int64_t got =
			    disk->ops->read(disk, segment, offset + window->bytes,
					    window->buffer + window->bytes, want - window->bytes);
			/* A sector ahead of what is needed may be unreadable for good. */
			if (got == -EIO && want > bytes) {
				want = bytes;
				continue;
			}
			if (got < 0)
				return (int)got;
			got -= got % WAL_PAGE;
			if (got == 0)
				return 0;
			window->bytes += (size_t)got;
		}
	}
	*address = window->buffer + (offset - window->offset);
	return 1;
}

void wal_window_forget(struct wal_window *window)
{
	window->bytes = 0;
}

void wal_window_close(struct wal_window *window)
{
	free(window->buffer);
	window->buffer = NULL;
}

void wal_window_found(struct wal_window *window)
{
	size_t more = window->ahead * 2 + WAL_READ_AHEAD_FIRST;
	window->ahead = more < WAL_READ_BYTES ? more : WAL_READ_BYTES;
}

void wal_window_caught_up(struct wal_window *window)
{
	window->ahead = 0;
	window->bytes = 0;
}
