/* SPDX-License-Identifier: Apache-2.0
 *
 * An engine's life as the tests need it: read a log to its end, go on writing behind it, and
 * compare what is read with what was written. Content follows from the block's epoch alone.
 */
#ifndef GIRO_TEST_LOG_SESSION_H
#define GIRO_TEST_LOG_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "wal/reader.h"
#include "wal/writer.h"

#define SESSION_LOG_ID	    0x1122334455667788ull
#define SESSION_BUFFERS	    WAL_BLOCKS_IN_FLIGHT_MAX
#define SESSION_SECTION_MAX (64u << 10)

struct session {
	struct wal_disk *disk;
	struct wal_preparer preparer;
	struct wal_writer writer;
	uint64_t epoch;
	uint64_t time_ms;
	uint8_t *buffers; /* two sections for each block in flight */
};

/* Reads to the end with all checks on the content; the result of the last wal_reader_next(). The
 * reader stays open for its tail, counts and fault. */
int session_read(struct wal_reader *reader, struct wal_disk *disk);

/* Opens a writer behind `tail`. Segments are prepared by session_prepare(). */
int session_open(struct session *session, struct wal_disk *disk, const struct wal_tail *tail,
		 const char *meta);

/* Prepares what is wanted; an error only if not a single segment could be. */
int session_prepare(struct session *session);

/* Appends a block whose two sections have `bytes` and bytes / 3 bytes of content; its number or an
 * error. A WAL_OPEN and WAL_CLOSE have none. */
int64_t session_append(struct session *session, enum wal_block_type type, uint64_t bytes);

/* As session_append(), preparing segments and waiting for blocks in flight as needed. */
int64_t session_put(struct session *session, enum wal_block_type type, uint64_t bytes);

/* Waits until everything appended is durable; 0 or the writer's error. */
int session_settle(struct session *session);

void session_close(struct session *session);

/* Reads, opens behind the tail, and appends a durable WAL_OPEN. */
void session_start(struct session *session, struct wal_disk *disk);

#endif
