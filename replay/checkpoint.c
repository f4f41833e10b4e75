/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "replay/meta.h"
#include "replay/snapshot.h"

#define NAME_BYTES   64
#define BUFFER_BYTES (1u << 20)

static const char finished[] = ".checkpoint";
static const char unfinished[] = ".checkpoint-unfinished";

static void name_of(uint64_t seq, const char *suffix, char name[NAME_BYTES])
{
	snprintf(name, NAME_BYTES, "%020" PRIu64 "%s", seq, suffix);
}

__attribute__((format(printf, 3, 4))) static int refuse(char *error, int result, const char *format,
							...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, WAL_TEXT_BYTES, format, args);
	va_end(args);
	return result;
}

/* A file that is written through a buffer and hashed on the way. */
struct file {
	int fd;
	int error;
	uint64_t bytes; /* given so far */
	size_t used;
	uint8_t *buffer;
	alignas(64) XXH3_state_t hash;
};

static void file_flush(struct file *file)
{
	size_t done = 0;

	while (done < file->used && file->error == 0) {
		ssize_t wrote = write(file->fd, file->buffer + done, file->used - done);
		if (wrote < 0 && errno != EINTR)
			file->error = -errno;
		else if (wrote > 0)
			done += (size_t)wrote;
	}
	file->used = 0;
}

static bool file_put(void *context, const void *bytes, size_t size)
{
	struct file *file = context;

	CHECK(size <= BUFFER_BYTES);
	if (file->used + size > BUFFER_BYTES)
		file_flush(file);
	memcpy(file->buffer + file->used, bytes, size);
	file->used += size;
	file->bytes += size;
	XXH3_128bits_update(&file->hash, bytes, size);
	return file->error == 0;
}

static struct checkpoint_header header_of(const struct wal_block_header *block,
					  const struct shard_limits *limits)
{
	const struct log_meta meta = log_meta_from_limits(limits);
	struct checkpoint_header header = {
	    .magic = CHECKPOINT_MAGIC,
	    .version = CHECKPOINT_VERSION,
	    .shards = limits->shards,
	    .log_id = block->log_id,
	    .segment = block->segment,
	    .offset = block->offset,
	    .seq = block->seq,
	    .epoch = block->epoch,
	    .time_ms = block->time_ms,
	    .incarnation = block->incarnation,
	    .block_hash = wal_header_hash(block),
	    .meta_bytes = sizeof(meta),
	};

	_Static_assert(sizeof(meta) <= CHECKPOINT_META_MAX, "the meta fits");
	memcpy(header.meta, &meta, sizeof(meta));
	return header;
}

/* Fills an open file: a page for the header, the states, then the header. */
static int fill(struct file *file, struct checkpoint_header *header, struct shard *const *shards)
{
	const struct snapshot_sink sink = {.context = file, .put = file_put};

	if (lseek(file->fd, WAL_PAGE, SEEK_SET) < 0)
		return -errno;
	XXH3_128bits_reset(&file->hash);
	for (uint32_t i = 0; i < header->shards; i++) {
		uint64_t before = file->bytes;
		if (!snapshot_write(shards[i], &sink))
			return file->error;
		header->rows[i].bytes = file->bytes - before;
		header->rows[i].digest = shard_digest(shards[i]);
	}
	file_flush(file);
	if (file->error != 0)
		return file->error;
	XXH128_hash_t hash = XXH3_128bits_digest(&file->hash);
	header->payload_bytes = file->bytes;
	header->payload_hash = (struct wal_hash){.lo = hash.low64, .hi = hash.high64};
	header->checksum = wal_header_checksum(header, sizeof(*header));
	ssize_t wrote = pwrite(file->fd, header, sizeof(*header), 0);
	if (wrote != (ssize_t)sizeof(*header))
		return wrote < 0 ? -errno : -EIO;
	return fsync(file->fd) != 0 ? -errno : 0;
}

int checkpoint_write(const char *directory, const struct wal_block_header *block,
		     struct shard *const *shards, uint32_t shard_count, char *error)
{
	struct checkpoint_header header = header_of(block, &shards[0]->limits);
	struct file file = {.fd = -1, .buffer = malloc(BUFFER_BYTES)};
	char temporary[NAME_BYTES];
	char name[NAME_BYTES];
	int result = -ENOMEM;

	CHECK(shard_count == header.shards);
	name_of(block->seq, unfinished, temporary);
	name_of(block->seq, finished, name);
	int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0) {
		result = -errno;
		goto free_buffer;
	}
	if (file.buffer == NULL)
		goto close_folder;
	file.fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (file.fd < 0) {
		result = -errno;
		goto close_folder;
	}
	result = fill(&file, &header, shards);
	close(file.fd);
	if (result == 0 && renameat(folder, temporary, folder, name) != 0)
		result = -errno;
	if (result == 0 && fsync(folder) != 0)
		result = -errno;
	if (result != 0)
		unlinkat(folder, temporary, 0);
close_folder:
	close(folder);
free_buffer:
	free(file.buffer);
	return result == 0
		   ? 0
		   : refuse(error, result, "no checkpoint in %s: %s", directory, strerror(-result));
}

static int newest_first(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left;
	uint64_t b = *(const uint64_t *)right;

	return a < b ? 1 : a > b ? -1 : 0;
}

/* "00000000000000001234" and the suffix. */
static bool parse_name(const char *name, const char *suffix, uint64_t *seq)
{
	if (strlen(name) != 20 + strlen(suffix) || strcmp(name + 20, suffix) != 0)
		return false;
	char digits[21];
	memcpy(digits, name, 20);
	digits[20] = '\0';
	return moment_parse_epoch(digits, seq);
}

uint32_t checkpoint_list(const char *directory, uint64_t *seqs, uint32_t capacity)
{
	uint64_t *all = malloc(CHECKPOINTS_MAX * sizeof(*all));
	DIR *list = opendir(directory);
	const struct dirent *entry;
	uint32_t count = 0;

	while (all != NULL && list != NULL && count < CHECKPOINTS_MAX &&
	       (entry = readdir(list)) != NULL)
		count += parse_name(entry->d_name, finished, &all[count]);
	if (list != NULL)
		closedir(list);
	if (count > 0)
		qsort(all, count, sizeof(*all), newest_first);
	if (count > capacity)
		count = capacity;
	if (count > 0)
		memcpy(seqs, all, count * sizeof(*seqs));
	free(all);
	return count;
}

int checkpoint_hold(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd < 0 ? -errno : fd;
	int error = errno == EWOULDBLOCK ? EBUSY : errno;
	close(fd);
	return -error;
}

static void remove_one(int folder, uint64_t seq)
{
	char name[NAME_BYTES];

	name_of(seq, finished, name);
	unlinkat(folder, name, 0);
}

void checkpoint_remove_old(const char *directory, uint32_t keep, uint64_t base)
{
	uint64_t seqs[CHECKPOINTS_MAX];
	int hold = checkpoint_hold(directory);
	uint32_t count = checkpoint_list(directory, seqs, CHECKPOINTS_MAX);
	DIR *list = hold < 0 ? NULL : opendir(directory);
	const struct dirent *entry;
	uint64_t seq;

	while (list != NULL && (entry = readdir(list)) != NULL) {
		if (parse_name(entry->d_name, unfinished, &seq))
			unlinkat(dirfd(list), entry->d_name, 0);
	}
	for (uint32_t i = keep; list != NULL && i < count; i++) {
		if (seqs[i] != base)
			remove_one(dirfd(list), seqs[i]);
	}
	if (list != NULL)
		closedir(list);
	if (hold >= 0)
		close(hold);
}

void checkpoint_remove_before(const char *directory, uint64_t seq)
{
	uint64_t seqs[CHECKPOINTS_MAX];
	uint32_t count = checkpoint_list(directory, seqs, CHECKPOINTS_MAX);
	int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (uint32_t i = 0; folder >= 0 && i < count; i++) {
		if (seqs[i] < seq)
			remove_one(folder, seqs[i]);
	}
	if (folder >= 0)
		close(folder);
}

/* A checkpoint in memory, or what is wrong with it. */
struct image {
	char name[512];
	const uint8_t *bytes;
	size_t size;
};

static int map_image(struct image *image, const char *directory, uint64_t seq, char *error)
{
	char name[NAME_BYTES];
	struct stat stat;

	name_of(seq, finished, name);
	*image = (struct image){0};
	snprintf(image->name, sizeof(image->name), "%s/%s", directory, name);
	int fd = open(image->name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &stat) != 0) {
		int result = -errno;
		if (fd >= 0)
			close(fd);
		return refuse(error, result, "checkpoint %s: %s", image->name, strerror(-result));
	}
	image->size = (size_t)stat.st_size;
	if (image->size < WAL_PAGE) {
		close(fd);
		return refuse(error, -EUCLEAN, "checkpoint %s is too short", image->name);
	}
	void *bytes = mmap(NULL, image->size, PROT_READ, MAP_PRIVATE, fd, 0);
	int result = bytes == MAP_FAILED ? -errno : 0;
	close(fd);
	if (result != 0)
		return refuse(error, result, "checkpoint %s: %s", image->name, strerror(-result));
	image->bytes = bytes;
	return 0;
}

static void unmap_image(struct image *image)
{
	munmap((void *)(uintptr_t)image->bytes, image->size);
}

static bool is_zero(const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < size; i++) {
		if (at[i] != 0)
			return false;
	}
	return true;
}

/* What is wrong with the header, or NULL. */
static const char *check_header(const struct checkpoint_header *header, uint64_t seq)
{
	uint64_t bytes = 0;

	if (header->magic != CHECKPOINT_MAGIC)
		return "it is none";
	if (header->checksum != wal_header_checksum(header, sizeof(*header)))
		return "its header's checksum does not match";
	if (header->version != CHECKPOINT_VERSION)
		return "it is of another version";
	if (header->seq != seq)
		return "its name is not that of its block";
	if (header->shards < 1 || header->shards > SHARDS_MAX ||
	    header->meta_bytes > CHECKPOINT_META_MAX ||
	    !is_zero(header->reserved, sizeof(header->reserved)) ||
	    !is_zero(&header->rows[header->shards],
		     (SHARDS_MAX - header->shards) * sizeof(header->rows[0])))
		return "its header's fields contradict each other";
	for (uint32_t i = 0; i < header->shards; i++) {
		if (header->rows[i].bytes > header->payload_bytes - bytes)
			return "its header's fields contradict each other";
		bytes += header->rows[i].bytes;
	}
	return bytes == header->payload_bytes ? NULL : "its header's fields contradict each other";
}

static const char *check_image(const struct image *image, const struct checkpoint_header *header,
			       uint64_t seq, uint64_t log_id, const struct shard_limits *limits)
{
	struct shard_limits logged;
	const char *wrong = check_header(header, seq);

	if (wrong != NULL)
		return wrong;
	if (header->log_id != log_id)
		return "it is of another log";
	if (header->shards != limits->shards)
		return "it has another number of shards";
	wrong = log_meta_to_limits(header->meta, header->meta_bytes, &logged);
	if (wrong == NULL)
		wrong = log_meta_conflict(&logged, limits);
	if (wrong != NULL)
		return wrong;
	if (header->shards != logged.shards)
		return "its header's fields contradict each other";
	if (image->size != WAL_PAGE + header->payload_bytes)
		return "it has the wrong size";
	return NULL;
}

static const char *check_contents(const struct image *image, const struct checkpoint_header *header)
{
	XXH128_hash_t hash = XXH3_128bits(image->bytes + WAL_PAGE, header->payload_bytes);

	if (hash.low64 != header->payload_hash.lo || hash.high64 != header->payload_hash.hi)
		return "its contents' hash does not match";
	return NULL;
}

/* Each shard's part of an image, in the hands of its lane. */
struct parts {
	const struct checkpoint_header *header;
	struct shard *const *shards;
	uint32_t lanes;
	const char *(*look)(struct shard *shard, const struct checkpoint_header *header,
			    const struct checkpoint_row *row, const uint8_t *bytes);
	const uint8_t *bytes[SHARDS_MAX];
	const char *wrong[SHARDS_MAX];
};

static void look_at_parts(void *context, uint32_t lane)
{
	struct parts *parts = context;

	for (uint32_t i = lane; i < parts->header->shards; i += parts->lanes)
		parts->wrong[i] = parts->look(parts->shards[i], parts->header,
					      &parts->header->rows[i], parts->bytes[i]);
}

/* Looks at all parts, and meanwhile at the hash of the whole: what it says comes first, since damage
 * explains the rest. Returns what is wrong, `*damaged` whether it is the hash; or NULL. */
static const char *look_at_image(const struct image *image, struct parts *parts,
				 struct lanes *lanes, bool *damaged)
{
	const uint8_t *at = image->bytes + WAL_PAGE;

	parts->lanes = lanes_count(lanes);
	for (uint32_t i = 0; i < parts->header->shards; i++) {
		parts->bytes[i] = at;
		at += parts->header->rows[i].bytes;
	}
	lanes_begin(lanes, look_at_parts, parts);
	const char *wrong = check_contents(image, parts->header);
	lanes_end(lanes);
	*damaged = wrong != NULL;
	for (uint32_t i = 0; i < parts->header->shards && wrong == NULL; i++)
		wrong = parts->wrong[i];
	return wrong;
}

static const char *fill_shard(struct shard *shard, const struct checkpoint_header *header,
			      const struct checkpoint_row *row, const uint8_t *bytes)
{
	const char *wrong = snapshot_read(shard, bytes, row->bytes);

	if (wrong != NULL)
		return wrong;
	if (shard->epoch != header->epoch || shard->now_ms != header->time_ms ||
	    shard->changed_epoch > header->epoch)
		return "a shard is not at its block's epoch";
	struct shard_digest digest = shard_digest(shard);
	if (memcmp(&digest, &row->digest, sizeof(digest)) != 0)
		return "a shard's digest is not the one it says";
	return NULL;
}

static void empty_shards(struct shard *const *shards, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct shard_limits limits = shards[i]->limits;
		memset(shards[i], 0, shard_bytes(&limits));
		shard_new(shards[i], &limits, i);
	}
}

int checkpoint_load(const char *directory, uint64_t seq, uint64_t log_id,
		    struct shard *const *shards, uint32_t shard_count, struct lanes *lanes,
		    struct checkpoint_header *header, char *error)
{
	struct parts parts = {.header = header, .shards = shards, .look = fill_shard};
	struct image image;
	bool damaged;
	int result = map_image(&image, directory, seq, error);

	if (result != 0)
		return result;
	memcpy(header, image.bytes, sizeof(*header));
	const char *wrong = check_image(&image, header, seq, log_id, &shards[0]->limits);
	if (wrong == NULL) {
		CHECK(header->shards == shard_count);
		wrong = look_at_image(&image, &parts, lanes, &damaged);
		if (wrong != NULL)
			empty_shards(shards, shard_count);
	}
	unmap_image(&image);
	if (wrong == NULL)
		return 0;
	return refuse(error, -EUCLEAN, "checkpoint %s is not used: %s", image.name, wrong);
}

static const char *compare_block(const struct checkpoint_header *header,
				 const struct wal_block_header *block)
{
	if (header->segment != block->segment || header->offset != block->offset ||
	    header->epoch != block->epoch || header->time_ms != block->time_ms ||
	    header->incarnation != block->incarnation ||
	    !wal_hash_equal(header->block_hash, wal_header_hash(block)))
		return "it is of another block";
	return NULL;
}

static const char *compare_shard(struct shard *shard, const struct checkpoint_header *header,
				 const struct checkpoint_row *row, const uint8_t *bytes)
{
	(void)header;
	struct shard_digest digest = shard_digest(shard);
	if (memcmp(&digest, &row->digest, sizeof(digest)) != 0)
		return "a shard has another digest";
	return snapshot_compare(shard, bytes, row->bytes);
}

int checkpoint_compare(const char *directory, const struct wal_block_header *block,
		       struct shard *const *shards, uint32_t shard_count, struct lanes *lanes,
		       char *error)
{
	struct checkpoint_header header;
	struct parts parts = {.header = &header, .shards = shards, .look = compare_shard};
	struct image image;
	bool damaged = true;
	int result = map_image(&image, directory, block->seq, error);

	if (result != 0)
		return result;
	memcpy(&header, image.bytes, sizeof(header));
	const char *wrong =
	    check_image(&image, &header, block->seq, block->log_id, &shards[0]->limits);
	if (wrong == NULL) {
		CHECK(header.shards == shard_count);
		wrong = look_at_image(&image, &parts, lanes, &damaged);
		const char *other = damaged ? NULL : compare_block(&header, block);
		wrong = other != NULL ? other : wrong;
	}
	unmap_image(&image);
	if (wrong == NULL)
		return 0;
	if (damaged)
		return refuse(error, -EUCLEAN, "checkpoint %s is not used: %s", image.name, wrong);
	return refuse(error, -EBADMSG,
		      "the checkpoint behind block %" PRIu64 " (epoch %" PRIu64
		      ") is not what the log gives: %s. Remove it; the engine would start from it",
		      block->seq, block->epoch, wrong);
}

int checkpoint_peek(const char *directory, uint64_t seq, struct checkpoint_header *header)
{
	char error[WAL_TEXT_BYTES];
	struct image image;
	int result = map_image(&image, directory, seq, error);

	if (result != 0)
		return result;
	memcpy(header, image.bytes, sizeof(*header));
	unmap_image(&image);
	return check_header(header, seq) == NULL ? 0 : -EUCLEAN;
}

bool checkpoint_restore(const struct checkpoint_choice *choice, struct shard *const *shards,
			uint32_t shard_count, struct checkpoint_header *header,
			void (*tell)(void *context, const char *text), void *context)
{
	uint64_t seqs[CHECKPOINTS_MAX];
	uint32_t count = checkpoint_list(choice->directory, seqs, CHECKPOINTS_MAX);
	char error[WAL_TEXT_BYTES];

	for (uint32_t i = 0; i < count; i++) {
		uint64_t seq = seqs[choice->oldest ? count - 1 - i : i];
		bool useless =
		    checkpoint_peek(choice->directory, seq, header) == 0 &&
		    (header->epoch > choice->at.epoch || header->time_ms > choice->at.time_ms ||
		     header->segment < choice->first_segment);
		if (useless)
			continue;
		if (checkpoint_load(choice->directory, seq, choice->log_id, shards, shard_count,
				    choice->lanes, header, error) == 0)
			return true;
		tell(context, error);
	}
	return false;
}

static int refuse_lost(const struct checkpoint_header *header, char *error)
{
	return refuse(error, -EUCLEAN,
		      "the checkpoint behind block %" PRIu64 " (epoch %" PRIu64
		      ") says that this block was durable, and the log does not hold it (segment "
		      "%" PRIu64 ", offset %" PRIu64
		      "): restore the log from a backup or a replica; or, if an older log was "
		      "restored on purpose, remove the checkpoints",
		      header->seq, header->epoch, header->segment, header->offset);
}

int checkpoint_seek(const struct checkpoint_header *header, struct wal_disk *disk,
		    struct wal_reader *reader, char *error)
{
	const struct wal_reader_options options = {
	    .first_segment = header->segment,
	    .first_offset = header->offset,
	    .first_seq = header->seq,
	};
	uint64_t end = disk->segment_bytes;
	struct wal_block block;

	/* The segment's header itself is a page. */
	if (end < 2 * WAL_PAGE || header->offset < WAL_PAGE || header->offset > end - WAL_PAGE ||
	    header->offset % WAL_PAGE != 0)
		return refuse_lost(header, error);
	int next = wal_reader_open(reader, disk, &options);
	if (next != 0)
		return refuse(error, next, "%s", reader->fault.text);
	next = wal_reader_next(reader, &block);
	if (next == WAL_NEXT_BLOCK && block.header->seq == header->seq &&
	    wal_hash_equal(wal_header_hash(block.header), header->block_hash))
		return 0;
	int result =
	    next < 0 ? refuse(error, next, "%s", reader->fault.text) : refuse_lost(header, error);
	wal_reader_close(reader);
	return result;
}
