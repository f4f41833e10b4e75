/* SPDX-License-Identifier: Apache-2.0
 *
 * One segment of a log, compressed, in a file of its own: what is kept of a segment that the log
 * itself no longer holds. docs/log-format.md describes it; the two must agree to the byte.
 *
 *   +--------+--------+-------+-------+-----+------------+
 *   | header | page 0 | 1 MiB | 1 MiB | ... | seek table |
 *   +--------+--------+-------+-------+-----+------------+
 *   skippable  zstd frames, one for each     skippable
 *
 * The file is called like the segment's, with .zst behind it, and is an ordinary zstd file in the
 * seekable format: `zstd -d` gives the segment back, byte for byte, and a reader need not begin at its
 * start. The first frame is the segment's header page alone: the index by time and epoch stays cheap.
 *
 * One thread a handle. Allocates and blocks.
 */
#ifndef GIRO_WAL_ARCHIVE_H
#define GIRO_WAL_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wal/disk.h"
#include "wal/format.h"

#define WAL_ARCHIVE_MAGIC	 0x316372612d6f7267ull /* "gro-arc1" in memory */
#define WAL_ARCHIVE_VERSION	 1
#define WAL_ARCHIVE_FRAME	 0x184d2a50u /* zstd: a frame that decoders pass over */
#define WAL_ARCHIVE_TABLE_FRAME	 0x184d2a5eu /* the same, of the seekable format's table */
#define WAL_ARCHIVE_SEEKABLE	 0x8f92eab1u
#define WAL_ARCHIVE_CHUNK	 (1u << 20)
#define WAL_ARCHIVE_FOOTER_BYTES 9u
#define WAL_ARCHIVE_NAME_BYTES	 64
#define WAL_ARCHIVE_FRAMES_MAX	 ((uint32_t)(WAL_SEGMENT_BYTES_MAX / WAL_ARCHIVE_CHUNK) + 1)

struct wal_archive_header {
	uint32_t frame_magic;
	uint32_t frame_bytes; /* of the rest of this header */
	uint64_t checksum;    /* XXH3-64 of the header from `magic` to its end */
	uint64_t magic;
	uint32_t version;
	uint32_t frames; /* of the segment's content */
	uint64_t log_id;
	uint64_t segment;
	uint64_t segment_bytes;
	struct wal_hash hash; /* of the whole segment */
	uint8_t reserved[56];
};
_Static_assert(sizeof(struct wal_archive_header) == 128, "no padding");
_Static_assert(offsetof(struct wal_archive_header, hash) == 56, "no hole");

/* A row of the seek table. */
struct wal_archive_row {
	uint32_t packed_bytes;
	uint32_t bytes;
};
_Static_assert(sizeof(struct wal_archive_row) == 8, "no padding");

struct wal_archive;

/* The file's name in its folder. */
void wal_archive_name(uint64_t segment, char name[WAL_ARCHIVE_NAME_BYTES]);

/* The segment that a file of this name holds; false: it is no archived segment. */
bool wal_archive_parse_name(const char *name, uint64_t *segment);

/* Opens an archived segment in the folder `folder_fd`, which stays the caller's. Returns 0; -ENOENT for
 * none; -EBADMSG for a file that is not a whole archived segment of that number, -EPROTONOSUPPORT for
 * one of another version; or another negative errno. */
int wal_archive_open(struct wal_archive **archive, int folder_fd, uint64_t segment);

const struct wal_archive_header *wal_archive_header(const struct wal_archive *archive);

/* Reads as wal_disk_ops.read does. -EBADMSG: that part of it is damaged. */
int64_t wal_archive_read(struct wal_archive *archive, uint64_t offset, void *buffer, size_t bytes);

/* Reads all of it and compares its hash. Returns 0, -EBADMSG, or another negative errno. */
int wal_archive_check(struct wal_archive *archive);

void wal_archive_close(struct wal_archive *archive);

/* Puts `segment` of `disk`, which has a valid header, into the folder: written under another name, made
 * durable, read back and compared, renamed, and the folder made durable. One that is there already and
 * whole is left; one that is damaged is replaced. `*packed_bytes` is the file's size. Returns 0, or a
 * negative errno with a text in `error` (WAL_TEXT_BYTES) and nothing changed. */
int wal_archive_put(int folder_fd, struct wal_disk *disk, uint64_t segment, uint64_t *packed_bytes,
		    char *error);

/* A disk to read from: `live` with the archived segments of the folder `path` before it. Takes over
 * `live`, also on failure. One that is in both is read from `live`. Returns 0, or a negative errno with a
 * text in `error` (WAL_TEXT_BYTES). */
int wal_archive_join(struct wal_disk **joined, struct wal_disk *live, const char *path,
		     char *error);

#endif
