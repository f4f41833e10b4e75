/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "wal/archive.h"

/* The largest tables that any segment asks for: only outcomes that fitted were logged. */
static void limits_merge(struct shard_limits *limits, const struct shard_limits *more)
{
	if (more->rows > limits->rows)
		limits->rows = more->rows;
	if (more->accounts_max > limits->accounts_max)
		limits->accounts_max = more->accounts_max;
	if (more->ids_per_second > limits->ids_per_second)
		limits->ids_per_second = more->ids_per_second;
}

/* Reads the meta of every segment that is in use. */
static enum node_end read_limits(struct node *node)
{
	const struct wal_segment_entry *entries;
	struct wal_segment_header *header = aligned_alloc(WAL_PAGE, sizeof(*header));
	enum node_end end = NODE_SOUND;
	size_t count;

	if (header == NULL) {
		snprintf(node->text, sizeof(node->text), "no memory");
		return NODE_UNREADABLE;
	}
	entries = wal_reader_segments(&node->reader, &count);
	for (size_t i = 0; i < count; i++) {
		struct shard_limits limits;
		if (wal_segment_header_read(node->disk, entries[i].segment, header) <= 0)
			continue; /* not begun, or damaged: the reader will say so if it matters */
		const char *wrong = log_meta_to_limits(header->meta, header->meta_bytes, &limits);
		if (wrong != NULL) {
			snprintf(node->text, sizeof(node->text), "segment %llu: %s",
				 (unsigned long long)entries[i].segment, wrong);
			end = NODE_UNREADABLE;
			break;
		}
		if (node->limits.shards == 0)
			node->limits = limits;
		limits_merge(&node->limits, &limits);
	}
	free(header);
	return end;
}

static enum node_end make_shards(struct node *node)
{
	size_t bytes = shard_bytes(&node->limits);

	bytes = (bytes + WAL_PAGE - 1) / WAL_PAGE * WAL_PAGE;
	node->memory_bytes = bytes * node->limits.shards;
	/* Zero pages come from the kernel as they are touched: large tables cost what is in them.
	 */
	node->memory = mmap(NULL, node->memory_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (node->memory == MAP_FAILED) {
		node->memory = NULL;
		snprintf(node->text, sizeof(node->text), "no memory for %zu MiB of shards",
			 node->memory_bytes >> 20);
		return NODE_UNREADABLE;
	}
	/* Of large pages where the kernel has them. A line of a table is looked at before it is written: a
	 * small page of zeros would be mapped, copied and, with several threads, taken out of every
	 * CPU's translations, all for one line. */
	madvise(node->memory, node->memory_bytes, MADV_HUGEPAGE);
	for (uint32_t i = 0; i < node->limits.shards; i++)
		node->shards[i] = shard_new((uint8_t *)node->memory + i * bytes, &node->limits, i);
	return NODE_SOUND;
}

static enum node_end end_of_error(int error)
{
	return error == -EUCLEAN ? NODE_CORRUPT : NODE_UNREADABLE;
}

static const char *archive_directory;

void node_use_archive(const char *directory)
{
	archive_directory = directory;
}

static int open_disk(struct node *node, const char *path)
{
	const struct wal_disk_options options = {.write = false};
	const char *archive = archive_directory;
	char own[PATH_MAX];
	int error = wal_disk_open(&node->disk, path, &options, node->text);

	if (error != 0 || (archive != NULL && strcmp(archive, "none") == 0))
		return error;
	if (archive == NULL) {
		struct stat status;
		snprintf(own, sizeof(own), "%s/archive", path);
		if (stat(own, &status) != 0 || !S_ISDIR(status.st_mode))
			return 0;
		archive = own;
	}
	return wal_archive_join(&node->disk, node->disk, archive, node->text);
}

/* Reads from the log's oldest segment on. */
static enum node_end open_reader(struct node *node)
{
	const struct wal_reader_options options = {.first_segment = WAL_OLDEST};
	int error = wal_reader_open(&node->reader, node->disk, &options);

	if (error == 0)
		return NODE_SOUND;
	snprintf(node->text, sizeof(node->text), "%s", node->reader.fault.text);
	return end_of_error(error);
}

enum node_end node_open(struct node *node, const char *path)
{
	*node = (struct node){0};
	int error = open_disk(node, path);
	if (error != 0)
		return end_of_error(error);
	node->own_disk = true;
	enum node_end end = open_reader(node);
	if (end != NODE_SOUND)
		goto close_disk;
	end = read_limits(node);
	if (end == NODE_SOUND && node->limits.shards > 0)
		end = make_shards(node);
	if (end != NODE_SOUND)
		goto close_reader;
	replay_init(&node->replay, node->shards, node->limits.shards);
	return NODE_SOUND;

close_reader:
	wal_reader_close(&node->reader);
close_disk:
	node->disk->ops->close(node->disk);
	return end;
}

enum node_end node_adopt(struct node *node, struct wal_disk *disk,
			 const struct shard_limits *limits, struct shard *const *shards)
{
	*node = (struct node){.disk = disk, .limits = *limits};
	memcpy(node->shards, shards, limits->shards * sizeof(node->shards[0]));
	replay_init(&node->replay, node->shards, limits->shards);
	return open_reader(node);
}

void node_share(struct node *node, uint32_t threads)
{
	lanes_open(&node->own_lanes, lanes_wanted(threads, node->limits.shards), NULL, NULL);
	node->lanes = &node->own_lanes;
}

/* Starts reading anew at `segment`. */
static enum node_end node_read_from(struct node *node, uint64_t segment)
{
	const struct wal_reader_options options = {.first_segment = segment};

	wal_reader_close(&node->reader);
	node->peeked = false;
	int error = wal_reader_open(&node->reader, node->disk, &options);
	if (error == 0)
		return NODE_SOUND;
	snprintf(node->text, sizeof(node->text), "%s", node->reader.fault.text);
	return end_of_error(error);
}

/* The last segment whose header is not after `from`; they are in order of epoch and time. */
static uint64_t find_segment(const struct node *node, const struct moment *from,
			     struct wal_segment_header *header)
{
	size_t count;
	const struct wal_segment_entry *entries = wal_reader_segments(&node->reader, &count);
	size_t low = 0;
	size_t high = count;

	/* Invariant: entries[low] begins at or before `from`, or is the oldest. */
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		bool before =
		    wal_segment_header_read(node->disk, entries[middle].segment, header) == 1 &&
		    header->first_epoch <= from->epoch && header->first_time_ms <= from->time_ms;
		if (before)
			low = middle;
		else
			high = middle;
	}
	return entries[low].segment;
}

/* Opens the reader at `segment` and reads until a block says that the segment's first block was
 * durable. A header behind the end of the log may be what a crash left, and nobody says so of it. */
static bool segment_is_durable(struct node *node, uint64_t segment)
{
	const struct wal_reader_options options = {.first_segment = segment};
	struct wal_reader reader;
	struct wal_block block;
	bool durable = false;

	if (wal_reader_open(&reader, node->disk, &options) != 0)
		return false;
	uint64_t first = wal_reader_tail(&reader)->next_seq;
	while (!durable && wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK)
		durable = block.header->durable_count > first;
	wal_reader_close(&reader);
	return durable;
}

static enum node_end resume(struct node *node, const struct checkpoint_choice *choice,
			    void (*tell)(void *context, const char *text), void *context)
{
	struct checkpoint_header header;

	if (node->limits.shards == 0 ||
	    !checkpoint_restore(choice, node->shards, node->limits.shards, &header, tell, context))
		return NODE_SOUND;
	wal_reader_close(&node->reader);
	node->peeked = false;
	int error = checkpoint_seek(&header, node->disk, &node->reader, node->text);
	if (error != 0)
		return end_of_error(error);
	node->next_seq = header.seq + 1;
	node->epoch = header.epoch;
	node->time_ms = header.time_ms;
	return NODE_SOUND;
}

enum node_end node_resume(struct node *node, const char *directory, const struct moment *at,
			  void (*tell)(void *context, const char *text), void *context)
{
	const struct wal_tail *tail = wal_reader_tail(&node->reader);
	const struct checkpoint_choice choice = {
	    .directory = directory,
	    .log_id = tail->log_id,
	    .first_segment = tail->segment,
	    .at = *at,
	    .lanes = node->lanes,
	};

	return resume(node, &choice, tell, context);
}

enum node_end node_resume_oldest(struct node *node, const char *directory,
				 void (*tell)(void *context, const char *text), void *context)
{
	const struct wal_tail *tail = wal_reader_tail(&node->reader);
	const struct checkpoint_choice choice = {
	    .directory = directory,
	    .log_id = tail->log_id,
	    .first_segment = tail->segment,
	    .at = MOMENT_LAST,
	    .oldest = true,
	    .lanes = node->lanes,
	};

	return resume(node, &choice, tell, context);
}

bool node_is_whole(const struct node *node)
{
	return wal_reader_tail(&node->reader)->next_seq == 0;
}

enum node_end node_seek(struct node *node, const struct moment *from)
{
	struct wal_segment_header *header = aligned_alloc(WAL_PAGE, sizeof(*header));
	size_t count;
	const struct wal_segment_entry *entries = wal_reader_segments(&node->reader, &count);

	if (header == NULL) {
		snprintf(node->text, sizeof(node->text), "no memory");
		return NODE_UNREADABLE;
	}
	uint64_t oldest = count > 0 ? entries[0].segment : 0;
	uint64_t segment = count > 0 ? find_segment(node, from, header) : 0;
	free(header);
	while (segment > oldest && !segment_is_durable(node, segment))
		segment--;
	return segment == oldest ? NODE_SOUND : node_read_from(node, segment);
}

bool node_peek(struct node *node, struct wal_block *block, enum node_end *end)
{
	int next = node->peeked ? WAL_NEXT_BLOCK : wal_reader_next(&node->reader, &node->block);

	if (next != WAL_NEXT_BLOCK) {
		*end = next == WAL_NEXT_END    ? NODE_SOUND
		       : next == WAL_NEXT_TORN ? NODE_TORN
					       : end_of_error(next);
		const struct wal_tail *tail = wal_reader_tail(&node->reader);
		if (*end == NODE_TORN)
			snprintf(
			    node->text, sizeof(node->text),
			    "a torn tail begins where block %llu should be (segment %llu, offset "
			    "%llu); nothing behind it was acknowledged",
			    (unsigned long long)tail->next_seq, (unsigned long long)tail->segment,
			    (unsigned long long)tail->offset);
		else
			snprintf(node->text, sizeof(node->text), "%s", node->reader.fault.text);
		return false;
	}
	node->peeked = true;
	*block = node->block;
	return true;
}

enum node_end node_check_beginning(struct node *node, const struct wal_block_header *block)
{
	if (node->begun || block->seq == node->next_seq)
		return NODE_SOUND;
	snprintf(node->text, sizeof(node->text),
		 "the log begins with block %llu in segment %llu: the segments before it "
		 "are missing. If they were trimmed, name the archive or ask for a moment "
		 "behind a checkpoint; else restore them from a backup or a replica",
		 (unsigned long long)block->seq, (unsigned long long)block->segment);
	return NODE_CORRUPT;
}

enum node_end node_check_next(struct node *node, const struct wal_block_header *block)
{
	if (node->limits.shards == 0) {
		snprintf(node->text, sizeof(node->text),
			 "the log was begun after it was opened: read it again");
		return NODE_UNREADABLE;
	}
	enum node_end end = node_check_beginning(node, block);
	if (end != NODE_SOUND)
		return end;
	node->begun = true;
	node->next_seq = block->seq + 1;
	return NODE_SOUND;
}

bool node_apply(struct node *node, bool check_digests, const struct wal_block *block,
		enum node_end *end)
{
	enum node_end start = node_check_next(node, block->header);
	if (start != NODE_SOUND) {
		*end = start;
		return false;
	}
	int error = replay_block(&node->replay, block);

	if (error == 0 && check_digests && block->header->type != WAL_DATA)
		error = replay_check_digests(&node->replay, block->header);
	if (error != 0) {
		*end = NODE_DIVERGED;
		node->diverged = true;
		node->fault = node->replay.fault;
		snprintf(node->text, sizeof(node->text), "%s", node->replay.fault.text);
		return false;
	}
	node->last = *block->header;
	node->epoch = block->header->epoch;
	node->time_ms = block->header->time_ms;
	node_skip(node);
	return true;
}

bool node_outgrown(const struct node *node, const struct wal_block_header *block)
{
	const struct wal_tail *tail = wal_reader_tail(&node->reader);
	struct shard_limits limits;

	/* Limits change only with a start. */
	if (block->type != WAL_OPEN || node->limits.shards == 0 ||
	    log_meta_to_limits(tail->meta, tail->meta_bytes, &limits) != NULL)
		return false;
	return limits.rows > node->limits.rows || limits.accounts_max > node->limits.accounts_max ||
	       limits.ids_per_second > node->limits.ids_per_second;
}

void node_skip(struct node *node)
{
	node->peeked = false;
}

const struct account *node_account(const struct node *node, struct id128 id)
{
	if (node->limits.shards == 0)
		return NULL;
	return shard_account(node->shards[id_slot(id) % node->limits.shards], id);
}

void node_close(struct node *node)
{
	if (node->lanes == &node->own_lanes)
		lanes_close(&node->own_lanes);
	if (node->memory != NULL)
		munmap(node->memory, node->memory_bytes);
	wal_reader_close(&node->reader);
	if (node->own_disk)
		node->disk->ops->close(node->disk);
}
