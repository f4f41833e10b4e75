/* SPDX-License-Identifier: Apache-2.0 */
#include "wal/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>
#include <zstd.h>

#include "wal/storage.h"

#define NUMBER_CHARS 20
#define NO_FRAME     UINT32_MAX

static const char suffix[] = ".wal.zst";

/* One frame: where its packed bytes begin in the file, and its content in the segment. */
struct frame {
	uint64_t packed_at;
	uint64_t at;
	struct wal_archive_row row;
};

struct wal_archive {
	int fd;
	struct wal_archive_header header;
	struct frame *frames; /* [header.frames] */
	ZSTD_DCtx *context;
	uint8_t *packed; /* of one frame */
	uint8_t *chunk;	 /* content of frame `loaded` */
	uint32_t loaded;
};

void wal_archive_name(uint64_t segment, char name[WAL_ARCHIVE_NAME_BYTES])
{
	snprintf(name, WAL_ARCHIVE_NAME_BYTES, "%020" PRIu64 "%s", segment, suffix);
}

bool wal_archive_parse_name(const char *name, uint64_t *segment)
{
	if (strspn(name, "0123456789") != NUMBER_CHARS || strcmp(name + NUMBER_CHARS, suffix) != 0)
		return false;
	*segment = strtoull(name, NULL, 10);
	return true;
}

static uint32_t frames_of(uint64_t segment_bytes)
{
	uint64_t behind = segment_bytes - WAL_PAGE;
	return 1 + (uint32_t)((behind + WAL_ARCHIVE_CHUNK - 1) / WAL_ARCHIVE_CHUNK);
}

/* Where the content of a frame begins, and how much of it there is. */
static uint64_t frame_begin(uint32_t index)
{
	return index == 0 ? 0 : WAL_PAGE + (uint64_t)(index - 1) * WAL_ARCHIVE_CHUNK;
}

static uint32_t frame_bytes(uint32_t index, uint64_t segment_bytes)
{
	uint64_t rest = segment_bytes - frame_begin(index);
	uint64_t most = index == 0 ? WAL_PAGE : WAL_ARCHIVE_CHUNK;
	return (uint32_t)(rest < most ? rest : most);
}

static uint64_t header_checksum(const struct wal_archive_header *header)
{
	return wal_header_checksum(&header->checksum,
				   sizeof(*header) - offsetof(struct wal_archive_header, checksum));
}

static bool all_zero(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

static int check_header(const struct wal_archive_header *header, uint64_t segment)
{
	if (header->frame_magic != WAL_ARCHIVE_FRAME || header->magic != WAL_ARCHIVE_MAGIC ||
	    header->checksum != header_checksum(header))
		return -EBADMSG;
	if (header->version != WAL_ARCHIVE_VERSION)
		return -EPROTONOSUPPORT;
	uint64_t bytes = header->segment_bytes;
	bool sound = header->frame_bytes == sizeof(*header) - 8 && header->segment == segment &&
		     header->log_id != 0 && bytes >= WAL_SEGMENT_BYTES_MIN &&
		     bytes <= WAL_SEGMENT_BYTES_MAX && bytes % WAL_PAGE == 0 &&
		     header->frames == frames_of(bytes) &&
		     all_zero(header->reserved, sizeof(header->reserved));
	return sound ? 0 : -EBADMSG;
}

/* The table's bytes: its frame's head, the header's row, the content's rows, the footer. */
static size_t table_bytes(uint32_t frames)
{
	return 8 + ((size_t)frames + 1) * sizeof(struct wal_archive_row) + WAL_ARCHIVE_FOOTER_BYTES;
}

static void make_table(uint8_t *table, const struct wal_archive_row *rows, uint32_t frames)
{
	const struct wal_archive_row header = {.packed_bytes = sizeof(struct wal_archive_header)};
	size_t bytes = table_bytes(frames);
	uint32_t head[2] = {WAL_ARCHIVE_TABLE_FRAME, (uint32_t)(bytes - 8)};
	uint32_t count = frames + 1;
	uint32_t magic = WAL_ARCHIVE_SEEKABLE;

	memcpy(table, head, 8);
	memcpy(table + 8, &header, sizeof(header));
	memcpy(table + 16, rows, frames * sizeof(*rows));
	memcpy(table + bytes - 9, &count, 4);
	table[bytes - 5] = 0; /* no checksums here: the frames have their own */
	memcpy(table + bytes - 4, &magic, 4);
}

/* Reads the seek table, which must be the one of a file of this size. */
static int load_table(struct wal_archive *archive, uint64_t file_bytes)
{
	const struct wal_archive_header *header = &archive->header;
	size_t bytes = table_bytes(header->frames);
	uint64_t packed_at = sizeof(*header);
	int result = -EBADMSG;

	if (file_bytes < sizeof(*header) + bytes)
		return result;
	uint8_t *table = malloc(bytes);
	uint8_t *expected = malloc(bytes);
	archive->frames = calloc(header->frames, sizeof(*archive->frames));
	if (table == NULL || expected == NULL || archive->frames == NULL) {
		result = -ENOMEM;
		goto free;
	}
	int64_t got = wal_pread(archive->fd, table, bytes, file_bytes - bytes);
	if (got != (int64_t)bytes) {
		result = got < 0 ? (int)got : -EBADMSG;
		goto free;
	}
	const struct wal_archive_row *rows = (const struct wal_archive_row *)(table + 16);
	make_table(expected, rows, header->frames);
	if (memcmp(table, expected, bytes) != 0)
		goto free;
	for (uint32_t i = 0; i < header->frames; i++) {
		if (rows[i].bytes != frame_bytes(i, header->segment_bytes) ||
		    rows[i].packed_bytes > ZSTD_compressBound(WAL_ARCHIVE_CHUNK))
			goto free;
		archive->frames[i] = (struct frame){packed_at, frame_begin(i), rows[i]};
		packed_at += rows[i].packed_bytes;
	}
	result = packed_at + bytes == file_bytes ? 0 : -EBADMSG;
free:
	free(table);
	free(expected);
	return result;
}

static int open_named(struct wal_archive **opened, int folder_fd, const char *name,
		      uint64_t segment)
{
	struct wal_archive *archive = calloc(1, sizeof(*archive));
	struct stat status;

	if (archive == NULL)
		return -ENOMEM;
	archive->loaded = NO_FRAME;
	archive->fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC);
	int result = archive->fd < 0 || fstat(archive->fd, &status) != 0 ? -errno : 0;
	if (result == 0) {
		int64_t got = wal_pread(archive->fd, &archive->header, sizeof(archive->header), 0);
		result = got < 0 ? (int)got : got < (int64_t)sizeof(archive->header) ? -EBADMSG : 0;
	}
	if (result == 0)
		result = check_header(&archive->header, segment);
	if (result == 0)
		result = load_table(archive, (uint64_t)status.st_size);
	if (result == 0) {
		archive->context = ZSTD_createDCtx();
		archive->packed = malloc(ZSTD_compressBound(WAL_ARCHIVE_CHUNK));
		archive->chunk = malloc(WAL_ARCHIVE_CHUNK);
		if (archive->context == NULL || archive->packed == NULL || archive->chunk == NULL)
			result = -ENOMEM;
	}
	if (result == 0)
		*opened = archive;
	else
		wal_archive_close(archive);
	return result;
}

int wal_archive_open(struct wal_archive **archive, int folder_fd, uint64_t segment)
{
	char name[WAL_ARCHIVE_NAME_BYTES];

	wal_archive_name(segment, name);
	return open_named(archive, folder_fd, name, segment);
}

const struct wal_archive_header *wal_archive_header(const struct wal_archive *archive)
{
	return &archive->header;
}

static int load_frame(struct wal_archive *archive, uint32_t index)
{
	const struct frame *frame = &archive->frames[index];
	uint32_t packed = frame->row.packed_bytes;

	if (archive->loaded == index)
		return 0;
	archive->loaded = NO_FRAME;
	int64_t got = wal_pread(archive->fd, archive->packed, packed, frame->packed_at);
	if (got != (int64_t)packed)
		return got < 0 ? (int)got : -EBADMSG;
	size_t bytes = ZSTD_decompressDCtx(archive->context, archive->chunk, WAL_ARCHIVE_CHUNK,
					   archive->packed, packed);
	if (bytes != frame->row.bytes) /* errors are huge numbers */
		return -EBADMSG;
	archive->loaded = index;
	return 0;
}

int64_t wal_archive_read(struct wal_archive *archive, uint64_t offset, void *buffer, size_t bytes)
{
	uint64_t end = archive->header.segment_bytes;
	size_t done = 0;

	if (offset >= end)
		return 0;
	if (bytes > end - offset)
		bytes = end - offset;
	while (done < bytes) {
		uint64_t at = offset + done;
		uint32_t index =
		    at < WAL_PAGE ? 0 : 1 + (uint32_t)((at - WAL_PAGE) / WAL_ARCHIVE_CHUNK);
		int error = load_frame(archive, index);
		if (error != 0)
			return error;
		uint64_t skip = at - archive->frames[index].at;
		size_t piece = archive->frames[index].row.bytes - skip;
		if (piece > bytes - done)
			piece = bytes - done;
		memcpy((uint8_t *)buffer + done, archive->chunk + skip, piece);
		done += piece;
	}
	return (int64_t)done;
}

int wal_archive_check(struct wal_archive *archive)
{
	XXH3_state_t *hash = XXH3_createState();
	int error = hash == NULL ? -ENOMEM : 0;

	if (hash != NULL)
		XXH3_128bits_reset(hash);
	for (uint32_t i = 0; i < archive->header.frames && error == 0; i++) {
		error = load_frame(archive, i);
		if (error == 0)
			XXH3_128bits_update(hash, archive->chunk, archive->frames[i].row.bytes);
	}
	if (error == 0) {
		XXH128_hash_t found = XXH3_128bits_digest(hash);
		const struct wal_hash have = {.lo = found.low64, .hi = found.high64};
		error = wal_hash_equal(have, archive->header.hash) ? 0 : -EBADMSG;
	}
	XXH3_freeState(hash);
	return error;
}

void wal_archive_close(struct wal_archive *archive)
{
	if (archive->fd >= 0)
		close(archive->fd);
	ZSTD_freeDCtx(archive->context);
	free(archive->frames);
	free(archive->packed);
	free(archive->chunk);
	free(archive);
}

/* What is being put into the archive. */
struct packing {
	int fd;
	struct wal_archive_header header;
	struct wal_archive_row *rows;
	uint64_t bytes; /* written so far */
	ZSTD_CCtx *context;
	XXH3_state_t *hash;
	uint8_t *page; /* of the segment, 4 KiB aligned */
	uint8_t *packed;
};

static int pack_frame(struct packing *packing, struct wal_disk *disk, uint32_t index)
{
	uint64_t offset = frame_begin(index);
	uint32_t bytes = frame_bytes(index, packing->header.segment_bytes);
	int64_t got = disk->ops->read(disk, packing->header.segment, offset, packing->page, bytes);

	if (got != (int64_t)bytes)
		return got < 0 ? (int)got : -EIO;
	if (index == 0)
		packing->header.log_id = ((const struct wal_segment_header *)packing->page)->log_id;
	XXH3_128bits_update(packing->hash, packing->page, bytes);
	size_t packed = ZSTD_compress2(packing->context, packing->packed,
				       ZSTD_compressBound(WAL_ARCHIVE_CHUNK), packing->page, bytes);
	if (ZSTD_isError(packed))
		return -EIO;
	packing->rows[index] = (struct wal_archive_row){(uint32_t)packed, bytes};
	int error = wal_pwrite(packing->fd, packing->packed, packed, packing->bytes);
	packing->bytes += packed;
	return error;
}

static int pack_all(struct packing *packing, struct wal_disk *disk)
{
	struct wal_archive_header *header = &packing->header;
	size_t bytes = table_bytes(header->frames);
	uint8_t *table = malloc(bytes);
	int error = table == NULL ? -ENOMEM : 0;

	packing->bytes = sizeof(*header);
	for (uint32_t i = 0; i < header->frames && error == 0; i++)
		error = pack_frame(packing, disk, i);
	if (error == 0) {
		make_table(table, packing->rows, header->frames);
		error = wal_pwrite(packing->fd, table, bytes, packing->bytes);
		packing->bytes += bytes;
	}
	free(table);
	if (error != 0)
		return error;
	XXH128_hash_t hash = XXH3_128bits_digest(packing->hash);
	header->hash = (struct wal_hash){.lo = hash.low64, .hi = hash.high64};
	header->checksum = header_checksum(header);
	error = wal_pwrite(packing->fd, header, sizeof(*header), 0);
	if (error != 0)
		return error;
	return fsync(packing->fd) == 0 ? 0 : -errno;
}

static int pack(int folder_fd, const char *name, struct wal_disk *disk, uint64_t segment,
		uint64_t *packed_bytes)
{
	struct packing packing = {
	    .header = {.frame_magic = WAL_ARCHIVE_FRAME,
		       .frame_bytes = sizeof(struct wal_archive_header) - 8,
		       .magic = WAL_ARCHIVE_MAGIC,
		       .version = WAL_ARCHIVE_VERSION,
		       .frames = frames_of(disk->segment_bytes),
		       .segment = segment,
		       .segment_bytes = disk->segment_bytes},
	    .context = ZSTD_createCCtx(),
	    .hash = XXH3_createState(),
	    .page = aligned_alloc(WAL_PAGE, WAL_ARCHIVE_CHUNK),
	    .packed = malloc(ZSTD_compressBound(WAL_ARCHIVE_CHUNK)),
	};
	int error = -ENOMEM;

	packing.rows = calloc(packing.header.frames, sizeof(*packing.rows));
	packing.fd = openat(folder_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (packing.fd < 0)
		error = -errno;
	else if (packing.context != NULL && packing.hash != NULL && packing.page != NULL &&
		 packing.packed != NULL && packing.rows != NULL) {
		ZSTD_CCtx_setParameter(packing.context, ZSTD_c_checksumFlag, 1);
		XXH3_128bits_reset(packing.hash);
		error = pack_all(&packing, disk);
	}
	if (packing.fd >= 0)
		close(packing.fd);
	*packed_bytes = packing.bytes;
	ZSTD_freeCCtx(packing.context);
	XXH3_freeState(packing.hash);
	free(packing.page);
	free(packing.packed);
	free(packing.rows);
	return error;
}

/* Frame by frame the same bytes as the log's own segment. */
static bool equals_segment(struct wal_archive *archive, struct wal_disk *disk, uint8_t *page)
{
	for (uint32_t i = 0; i < archive->header.frames; i++) {
		const struct frame *frame = &archive->frames[i];
		int64_t got = disk->ops->read(disk, archive->header.segment, frame->at, page,
					      frame->row.bytes);
		if (got != (int64_t)frame->row.bytes || load_frame(archive, i) != 0 ||
		    memcmp(page, archive->chunk, frame->row.bytes) != 0)
			return false;
	}
	const struct wal_segment_header *header = (const struct wal_segment_header *)page;
	return disk->ops->read(disk, archive->header.segment, 0, page, WAL_PAGE) == WAL_PAGE &&
	       archive->header.log_id == header->log_id;
}

/* Is the file of this name a whole archive of this very segment? Read from the device, not from what
 * the kernel still remembers of the writing. */
static bool is_copy(int folder_fd, const char *name, struct wal_disk *disk, uint64_t segment,
		    uint64_t *packed_bytes)
{
	struct wal_archive *archive;
	struct stat status;

	if (open_named(&archive, folder_fd, name, segment) != 0)
		return false;
	uint8_t *page = aligned_alloc(WAL_PAGE, WAL_ARCHIVE_CHUNK);
	posix_fadvise(archive->fd, 0, 0, POSIX_FADV_DONTNEED);
	bool copy = page != NULL && fstat(archive->fd, &status) == 0 &&
		    archive->header.segment_bytes == disk->segment_bytes &&
		    wal_archive_check(archive) == 0 && equals_segment(archive, disk, page);
	if (copy)
		*packed_bytes = (uint64_t)status.st_size;
	free(page);
	wal_archive_close(archive);
	return copy;
}

int wal_archive_put(int folder_fd, struct wal_disk *disk, uint64_t segment, uint64_t *packed_bytes,
		    char *error)
{
	char name[WAL_ARCHIVE_NAME_BYTES];
	char unfinished[WAL_ARCHIVE_NAME_BYTES + 16];

	wal_archive_name(segment, name);
	snprintf(unfinished, sizeof(unfinished), "%s-unfinished", name);
	if (is_copy(folder_fd, name, disk, segment, packed_bytes))
		return fsync(folder_fd) == 0 ? 0 : -errno;
	int result = pack(folder_fd, unfinished, disk, segment, packed_bytes);
	if (result == 0 && !is_copy(folder_fd, unfinished, disk, segment, packed_bytes))
		result = -EBADMSG;
	if (result == 0 && renameat(folder_fd, unfinished, folder_fd, name) != 0)
		result = -errno;
	if (result == 0 && fsync(folder_fd) != 0)
		result = -errno;
	if (result == 0)
		return 0;
	unlinkat(folder_fd, unfinished, 0);
	return wal_disk_refuse(error, result, "segment %" PRIu64 " is not archived: %s", segment,
			       result == -EBADMSG ? "what was written reads back otherwise"
						  : strerror(-result));
}
