/* SPDX-License-Identifier: Apache-2.0
 *
 * A log, damaged or forged, through the reader and through replay. Input: one byte of choices; the
 * length of a program; the program, whose first byte chooses sizes, see ledger.c; then changes of
 * five bytes each: segment and page, place in the page (two bytes), how, and a value.
 *
 *   bit  0      the chain is repaired after the changes: hashes and checksums are right again
 *   bit  1      closed: CLOSE ends the log
 *   bit  2      followed, as a log that is being written
 *   bit  3      read from the second segment on
 *   bit  4      blocks say that all before them were durable, else only those of earlier segments
 *   bit  5      each life begins in a new segment
 *   bit  6      behind the end lies what an earlier life left there
 *
 * Whatever comes, reader and replay end, and tell what is wrong. What was not changed is read to its
 * end and replayed to the same state. What was changed without repair never comes out: every block
 * that does is the one that was written.
 */
#include <errno.h>
#include <stdlib.h>

#include "replay/audit.h"
#include "replay/meta.h"
#include "replay/replay.h"
#include "tests/fuzz/ledger.h"
#include "tests/unit/wal/memory_disk.h"
#include "wal/reader.h"

#define SEGMENT_BYTES WAL_SEGMENT_BYTES_MIN
#define SEGMENT_PAGES (SEGMENT_BYTES / WAL_PAGE)
#define SEGMENTS_MAX  48
#define BLOCKS_MAX    600

enum {
	REPAIRED = 1,
	CLOSED = 2,
	FOLLOWED = 4,
	FROM_SECOND = 8,
	WITNESSED = 16,
	ROLLED = 32,
	STALE = 64,
};

enum {
	READ_ALL,
	ENDED_CLEAN,
	ENDED_TORN,
	REPLAYED_ALL,
	REPLAYED_FORGED,
	DIVERGED_RECORD,
	DIVERGED_POSSIBLE,
	DIVERGED_OUTCOME,
	DIVERGED_SECTIONS,
	DIVERGED_DIGEST,
	META_REFUSED,
	COUNTS
};

struct fuzz_branch fuzz_branches[] = {
    [READ_ALL] = {"read as it was written", 0},
    [ENDED_CLEAN] = {"ended cleanly", 0},
    [ENDED_TORN] = {"ended in a torn tail", 0},
    [REPLAYED_ALL] = {"replayed to the same state", 0},
    [REPLAYED_FORGED] = {"forged, and replayed", 0},
    [DIVERGED_RECORD] = {"replay: no whole record of a known kind", 0},
    [DIVERGED_POSSIBLE] = {"replay: not possible here", 0},
    [DIVERGED_OUTCOME] = {"replay: another outcome", 0},
    [DIVERGED_SECTIONS] = {"replay: another number of sections", 0},
    [DIVERGED_DIGEST] = {"replay: another digest", 0},
    [META_REFUSED] = {"the segment's meta refused", 0},
    {"reader: blocks", 0},
    {"reader: went on in the next segment", 0},
    {"reader: ... with room left", 0},
    {"reader: clean end", 0},
    {"reader: torn end", 0},
    {"reader: valid block behind the cut", 0},
    {"reader: older block at the cut", 0},
    {"reader: older block behind the cut", 0},
    {"reader: segment header without its block", 0},
    {"reader: block without its segment's header", 0},
    {"reader: segment header of an earlier life", 0},
    {"reader: torn segment header", 0},
    {"", 0}, /* arrived late: nobody writes meanwhile */
    {"reader: corruption", 0},
#define REASON_BRANCH(name, text) {"refused: " text, 0},
    WAL_REASON_LIST(REASON_BRANCH)
#undef REASON_BRANCH
	{NULL, 0},
};
#define COUNTS_OF_READER (sizeof(struct wal_reader_counts) / sizeof(uint64_t))
#define REASONS		 (COUNTS + COUNTS_OF_READER)

/* The first reason is none; the second takes a segment that is full to its last page and a forged
 * header behind it, which no short program makes; the others belong to logs with an archive and to
 * segments that go while they are read, which this disk in memory does not know. */
__attribute__((constructor)) static void leave_out_others(void)
{
	fuzz_branches[REASONS + WAL_REASON_NONE].text = "";
	fuzz_branches[REASONS + WAL_REASON_SEGMENT_ENDS].text = "";
	fuzz_branches[REASONS + WAL_REASON_ARCHIVE].text = "";
	fuzz_branches[REASONS + WAL_REASON_REMOVED].text = "";
}

/* The log as it was written, and where. */
struct written {
	struct memory_disk *disk;
	const struct shard_limits *limits;
	unsigned choice;
	uint64_t segment;
	uint64_t offset;
	uint64_t seq;
	uint64_t segment_first_seq;
	uint64_t time_ms;
	struct wal_hash last;
	uint64_t hashes[BLOCKS_MAX]; /* low half of each header page's hash, by number */
	bool changed;
	bool forged; /* with right checksums */
};

static void put_segment_header(struct written *log, const struct wal_block_header *first)
{
	const struct log_meta meta = log_meta_from_limits(log->limits);
	struct wal_segment_header *header =
	    (struct wal_segment_header *)log->disk->segments[log->segment];

	*header = (struct wal_segment_header){
	    .magic = WAL_SEGMENT_MAGIC,
	    .version = WAL_VERSION,
	    .meta_bytes = sizeof(meta),
	    .log_id = LEDGER_LOG_ID,
	    .segment = log->segment,
	    .segment_bytes = SEGMENT_BYTES,
	    .first_seq = first->seq,
	    .first_epoch = first->epoch,
	    .first_time_ms = first->time_ms,
	    .first_incarnation = first->incarnation,
	    .prev_hash = log->last,
	};
	memcpy(header->meta, &meta, sizeof(meta));
	header->checksum = wal_header_checksum(header, sizeof(*header));
}

/* Appends a block whose header lacks its place, number, chain and checksums. */
static void put_block(struct written *log, const struct wal_block_header *block)
{
	uint64_t bytes = WAL_PAGE + block->payload_bytes;

	if (log->seq == BLOCKS_MAX || bytes > SEGMENT_BYTES - WAL_PAGE)
		return;
	bool rolled = log->choice & ROLLED && block->type == WAL_OPEN;
	bool begins = log->offset == 0 || rolled || log->offset + bytes > SEGMENT_BYTES;
	if (begins && log->segment + 2 >= SEGMENTS_MAX)
		return;
	if (begins) {
		log->segment += log->offset != 0;
		log->offset = WAL_PAGE;
		log->segment_first_seq = log->seq;
		CHECK(log->disk->base.ops->prepare(&log->disk->base, log->segment) == 0);
	}
	struct wal_block_header *header =
	    (struct wal_block_header *)(log->disk->segments[log->segment] + log->offset);
	memcpy(header, block, bytes);
	header->segment = log->segment;
	header->offset = log->offset;
	header->seq = log->seq;
	header->durable_count = log->choice & WITNESSED ? log->seq : log->segment_first_seq;
	header->prev_hash = log->last;
	XXH128_hash_t hash = XXH3_128bits((uint8_t *)header + WAL_PAGE, header->payload_bytes);
	header->payload_hash = (struct wal_hash){.lo = hash.low64, .hi = hash.high64};
	header->checksum = wal_header_checksum(header, sizeof(*header));
	if (begins)
		put_segment_header(log, header);
	log->last = wal_header_hash(header);
	log->hashes[log->seq++] = log->last.lo;
	log->offset += bytes;
	log->time_ms = header->time_ms;
}

static void put_mark(struct written *log, enum wal_block_type type, uint64_t epoch,
		     uint64_t incarnation, uint64_t time_ms, struct shard *const *shards)
{
	static _Alignas(64) struct wal_block_header mark;

	mark = (struct wal_block_header){
	    .magic = WAL_BLOCK_MAGIC,
	    .version = WAL_VERSION,
	    .type = (uint16_t)type,
	    .section_count = log->limits->shards,
	    .log_id = LEDGER_LOG_ID,
	    .epoch = epoch,
	    .time_ms = time_ms,
	    .incarnation = incarnation,
	};
	for (uint32_t i = 0; i < log->limits->shards; i++) {
		mark.sections[i].offset = WAL_PAGE;
		if (shards == NULL)
			continue;
		/* Time forgets outcomes, which are in the digest. */
		shard_enter_epoch(shards[i], epoch, time_ms);
		struct shard_digest digest = shard_digest(shards[i]);
		memcpy(mark.sections[i].digest, &digest, sizeof(digest));
	}
	put_block(log, &mark);
}

/* The ledger's blocks, with an OPEN before each life's first one. Their digests need the state
 * there: it is replayed on the way. Returns the last incarnation. */
static uint64_t write_log(struct written *log, const struct ledger *ledger,
			  struct shard *const *shards)
{
	struct replay replay;
	uint64_t incarnation = 0;
	uint64_t life = 0;

	replay_init(&replay, shards, ledger->limits.shards);
	for (uint32_t i = 0; i < ledger->block_count; i++) {
		const struct wal_block block = {.header = ledger->blocks[i]};
		struct wal_block_header *header = ledger->blocks[i];
		if (header->incarnation != life)
			put_mark(log, WAL_OPEN, header->epoch - 1, ++incarnation, header->time_ms,
				 shards);
		life = header->incarnation;
		header->incarnation = incarnation;
		put_block(log, header);
		CHECK(replay_block(&replay, &block) == 0);
	}
	if (log->choice & CLOSED && log->seq > 0)
		put_mark(log, WAL_CLOSE, ledger->newest + 1, incarnation, log->time_ms, shards);
	return incarnation;
}

/* Two blocks of the first life behind the end, valid in themselves. */
static void put_stale(struct written *log, uint64_t incarnation)
{
	struct written behind = *log;

	if (incarnation < 2 || log->offset == 0 || log->offset + 2 * WAL_PAGE > SEGMENT_BYTES)
		return;
	for (unsigned i = 0; i < 2; i++)
		put_mark(&behind, WAL_OPEN, 1 + i, 1, log->time_ms, NULL);
}

/* Changes. */

static void seal_page(uint8_t *page)
{
	struct wal_block_header *header = (struct wal_block_header *)page;
	uint64_t magic = header->magic;

	if (magic == WAL_BLOCK_MAGIC || magic == WAL_SEGMENT_MAGIC)
		header->checksum = wal_header_checksum(page, WAL_PAGE);
}

/* Fields of a block header that are worth extreme values: 8 bytes each, or two or four. */
static void set_field(uint8_t *page, unsigned which, uint8_t value)
{
	static const uint64_t values[] = {
	    0, 1, 2, UINT64_MAX, UINT64_MAX - 4095, 4096, UINT64_C(1) << 32, 61440,
	};
	/* Everything between the magic and the third section row is made of these. */
	size_t offset = 16 + which % 26 * 8;
	uint64_t field;

	memcpy(&field, page + offset, sizeof(field));
	field = value & 8 ? field + values[value & 7] : values[value & 7];
	memcpy(page + offset, &field, value & 16 ? 2 : sizeof(field));
}

static void change_page(struct written *log, uint8_t *page, size_t at, uint8_t how, uint8_t value)
{
	switch (how & 7) {
	case 0:
	case 1:
		page[at] ^= value;
		break;
	case 2:
		set_field(page, (unsigned)at, value);
		seal_page(page);
		break;
	case 3:
		memset(page, 0, WAL_PAGE);
		break;
	case 4: /* an older page is still there, or one went astray */
		memcpy(page, log->disk->segments[0] + (value % SEGMENT_PAGES) * WAL_PAGE, WAL_PAGE);
		break;
	case 5:
		page[at] = value;
		seal_page(page);
		break;
	default:
		memset(page + at, value, WAL_PAGE - at);
		break;
	}
}

static void change_segment(struct written *log, uint64_t segment, uint8_t how, uint8_t value)
{
	struct memory_disk *disk = log->disk;

	switch (how >> 3 & 3) {
	case 1:
		disk->sizes[segment] = value * WAL_PAGE < SEGMENT_BYTES ? value * WAL_PAGE : 0;
		break;
	case 2:
		free(disk->segments[segment]);
		disk->segments[segment] = NULL;
		break;
	default:
		disk->unreadable_segment = segment;
		disk->unreadable_offset = (1 + value % (SEGMENT_PAGES - 1)) * WAL_PAGE;
		break;
	}
}

static void change(struct written *log, struct fuzz_bytes *bytes)
{
	uint8_t where = fuzz_take(bytes);
	size_t at = fuzz_take(bytes);
	at |= (size_t)fuzz_take(bytes) << 8;
	uint8_t how = fuzz_take(bytes);
	uint8_t value = fuzz_take(bytes);
	uint64_t segment = (where >> 4) % (log->segment + 2);

	if (log->disk->segments[segment] == NULL || log->disk->segments[0] == NULL)
		return;
	log->changed = true;
	log->forged |= (how & 7) == 2 || (how & 7) == 5;
	if (how >> 5 == 7)
		change_segment(log, segment, how, value);
	else
		change_page(log, log->disk->segments[segment] + (where & 15) * WAL_PAGE,
			    at % WAL_PAGE, how, value);
}

/* Makes every hash right again that is none of the content's business. */
static void repair(struct written *log)
{
	struct wal_hash last = {0};

	for (uint64_t segment = 0; segment <= log->segment; segment++) {
		uint8_t *bytes = log->disk->segments[segment];
		if (bytes == NULL)
			continue;
		struct wal_segment_header *segment_header = (struct wal_segment_header *)bytes;
		segment_header->prev_hash = last;
		for (uint64_t offset = WAL_PAGE; offset < SEGMENT_BYTES;) {
			struct wal_block_header *header =
			    (struct wal_block_header *)(bytes + offset);
			uint64_t payload = header->payload_bytes;
			if (header->magic != WAL_BLOCK_MAGIC || payload % WAL_PAGE != 0 ||
			    payload > SEGMENT_BYTES - WAL_PAGE - offset)
				break;
			XXH128_hash_t hash = XXH3_128bits((uint8_t *)header + WAL_PAGE, payload);
			header->payload_hash =
			    (struct wal_hash){.lo = hash.low64, .hi = hash.high64};
			header->prev_hash = last;
			seal_page((uint8_t *)header);
			last = wal_header_hash(header);
			offset += WAL_PAGE + payload;
		}
		seal_page(bytes);
	}
}

/* Reading. */

static unsigned divergence(const struct replay *replay)
{
	static const struct {
		const char *text;
		unsigned branch;
	} texts[] = {
	    {"there is no whole record of a known kind", DIVERGED_RECORD},
	    {"is not possible here", DIVERGED_POSSIBLE},
	    {"the shard computes", DIVERGED_OUTCOME},
	    {"sections for", DIVERGED_SECTIONS},
	    {"the log's digest is", DIVERGED_DIGEST},
	};

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strstr(replay->fault.text, texts[i].text) != NULL)
			return texts[i].branch;
	}
	check_failed(replay->fault.text, __FILE__, __LINE__);
}

/* Replays a block unless an earlier one diverged. */
static bool replay_one(struct replay *replay, const struct wal_block *block)
{
	int error = replay_block(replay, block);
	if (error == 0 && block->header->type != WAL_DATA)
		error = replay_check_digests(replay, block->header);
	if (error == 0)
		return true;
	CHECK(error == -EBADMSG);
	fuzz_reach(divergence(replay));
	return false;
}

static void check_block(const struct written *log, const struct wal_block *block)
{
	const struct wal_block_header *header = block->header;
	const uint8_t *end = (const uint8_t *)header + WAL_PAGE + header->payload_bytes;
	uint64_t bytes;

	for (uint32_t i = 0; i < header->section_count; i++) {
		const uint8_t *section = wal_block_section(block, i, &bytes);
		CHECK(section <= end && bytes <= (uint64_t)(end - section));
	}
	/* A page sealed again by a change is a forgery, not damage. */
	if (log->forged)
		return;
	XXH128_hash_t payload = XXH3_128bits(header + 1, header->payload_bytes);
	CHECK(header->seq < log->seq && wal_header_hash(header).lo == log->hashes[header->seq]);
	CHECK(payload.low64 == header->payload_hash.lo &&
	      payload.high64 == header->payload_hash.hi);
}

static void count_reading(const struct wal_reader *reader, int end)
{
	uint64_t counts[COUNTS_OF_READER];

	memcpy(counts, &reader->counts, sizeof(counts));
	for (unsigned i = 0; i < COUNTS_OF_READER; i++)
		fuzz_branches[COUNTS + i].count += counts[i];
	if (end == WAL_NEXT_END || end == WAL_NEXT_TORN) {
		fuzz_reach(end == WAL_NEXT_END ? ENDED_CLEAN : ENDED_TORN);
		return;
	}
	CHECK(end < 0 && end == reader->fault.error);
	CHECK(reader->fault.text[0] != '\0' && strlen(reader->fault.text) < WAL_TEXT_BYTES);
	fuzz_reach(REASONS + reader->fault.reason);
}

static void check_meta(const struct wal_reader *reader)
{
	const struct wal_segment_header *header = wal_reader_header(reader);
	struct shard_limits limits;

	if (header == NULL)
		return;
	if (log_meta_to_limits(header->meta, header->meta_bytes, &limits) != NULL)
		fuzz_reach(META_REFUSED);
	else
		CHECK(shard_limits_fault(&limits) == NULL);
}

static void audit(struct shard *const *shards, uint32_t count)
{
	struct audit audit;

	CHECK(audit_shards(&audit, shards, count) == 0);
	audit_free(&audit);
}

static void compare(struct shard *const *wanted, struct shard *const *have, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		CHECK(wanted[i]->accounts.count == have[i]->accounts.count);
		if (wanted[i]->epoch != have[i]->epoch || wanted[i]->now_ms != have[i]->now_ms)
			continue;
		struct shard_digest left = shard_digest(wanted[i]);
		struct shard_digest right = shard_digest(have[i]);
		CHECK(left.lo == right.lo && left.hi == right.hi);
	}
}

static void read_log(struct written *log, struct shard *const *wanted)
{
	const struct wal_reader_options options = {
	    .first_segment = log->choice & FROM_SECOND ? 1 : WAL_OLDEST,
	    .follow = log->choice & FOLLOWED,
	};
	struct shard *shards[LEDGER_SHARDS_MAX];
	struct wal_reader reader;
	struct wal_block block;
	struct replay replay;
	uint64_t blocks = 0;
	/* Shards begin at the log's beginning. */
	bool sound = !(log->choice & FROM_SECOND);

	int end = wal_reader_open(&reader, &log->disk->base, &options);
	if (end != 0) {
		count_reading(&reader, end);
		return;
	}
	ledger_make_shards(log->limits, shards);
	replay_init(&replay, shards, log->limits->shards);
	check_meta(&reader);
	while ((end = wal_reader_next(&reader, &block)) == WAL_NEXT_BLOCK) {
		blocks++;
		check_block(log, &block);
		sound = sound && replay_one(&replay, &block);
	}
	count_reading(&reader, end);
	audit(shards, log->limits->shards);
	if (sound && blocks > 0)
		fuzz_reach(log->changed ? REPLAYED_FORGED : REPLAYED_ALL);
	if (!log->changed && !(log->choice & FROM_SECOND)) {
		if (end != WAL_NEXT_END || blocks != log->seq || !sound)
			check_failed(sound ? reader.fault.text : replay.fault.text, __FILE__,
				     __LINE__);
		compare(wanted, shards, log->limits->shards);
		fuzz_reach(READ_ALL);
	}
	ledger_free_shards(log->limits, shards);
	wal_reader_close(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ledger_hooks no_hooks;
	static struct written log;
	struct shard *shards[LEDGER_SHARDS_MAX];
	struct fuzz_bytes bytes = {data, size};

	if (size < 3)
		return 0;
	log = (struct written){.choice = fuzz_take(&bytes)};
	size_t length = fuzz_take(&bytes);
	struct fuzz_bytes program = {bytes.at, length};
	if (program.left > bytes.left)
		program.left = bytes.left;
	bytes.at += program.left;
	bytes.left -= program.left;
	struct ledger *ledger = ledger_new(fuzz_take(&program), &no_hooks);
	ledger_run(ledger, &program);
	ledger_turn(ledger, 1);
	ledger_turn(ledger, 1);

	log.limits = &ledger->limits;
	log.disk = memory_disk_new(SEGMENT_BYTES, SEGMENTS_MAX);
	ledger_make_shards(&ledger->limits, shards);
	uint64_t incarnation = write_log(&log, ledger, shards);
	if (log.choice & STALE)
		put_stale(&log, incarnation);
	CHECK(log.disk->base.ops->prepare(&log.disk->base, log.segment + (log.seq > 0)) == 0);
	while (bytes.left >= 5)
		change(&log, &bytes);
	if (log.changed && log.choice & REPAIRED) {
		log.forged = true;
		repair(&log);
	}
	read_log(&log, shards);
	memory_disk_free(log.disk);
	ledger_free_shards(&ledger->limits, shards);
	ledger_free(ledger);
	return 0;
}
