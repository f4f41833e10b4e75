/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/replay/books.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN 77

struct shard_limits books_limits(uint32_t shards)
{
	return (struct shard_limits){
	    .shards = shards,
	    .rows = 16,
	    .accounts_max = 100,
	    .window_ms = 60000,
	    .ahead_ms = 10000,
	    .ids_per_second = 100,
	    .try_timeout_ms = 10000,
	};
}

static void *pages(size_t bytes)
{
	size_t whole = (bytes + WAL_PAGE - 1) / WAL_PAGE * WAL_PAGE;
	void *memory = aligned_alloc(WAL_PAGE, whole);

	cr_assert_not_null(memory);
	return memset(memory, 0, whole);
}

struct books *books_new(uint32_t shards)
{
	struct books *books = pages(sizeof(*books));

	books->limits = books_limits(shards);
	books->epoch = 1;
	books->now_ms = BOOKS_START_MS;
	books_twins(books, books->shard);
	for (uint32_t i = 0; i < shards; i++) {
		books->section[i] = pages(BOOKS_SECTION);
		shard_enter_epoch(books->shard[i], 1, BOOKS_START_MS);
	}
	books->block = pages(WAL_PAGE + (size_t)shards * BOOKS_SECTION);
	return books;
}

void books_free(struct books *books)
{
	books_twins_free(books, books->shard);
	for (uint32_t i = 0; i < books->limits.shards; i++)
		free(books->section[i]);
	free(books->block);
	free(books);
}

void books_twins(const struct books *books, struct shard **twins)
{
	for (uint32_t i = 0; i < books->limits.shards; i++)
		twins[i] = shard_new(pages(shard_bytes(&books->limits)), &books->limits, i);
}

void books_twins_free(const struct books *books, struct shard **twins)
{
	for (uint32_t i = 0; i < books->limits.shards; i++)
		free(twins[i]);
}

struct id128 books_account(const struct books *books, uint32_t shard, uint32_t number)
{
	struct id128 id = {.lo = 100};

	for (;; id.lo++) {
		if (id_slot(id) % books->limits.shards == shard && number-- == 0)
			return id;
	}
}

static int apply(struct books *books, uint32_t shard, const struct shard_input *input)
{
	struct shard_message message;
	struct shard_reply reply;
	struct shard_effects effects = {
	    .log = books->section[shard],
	    .log_bytes = books->bytes[shard],
	    .messages = &message,
	    .replies = &reply,
	};

	cr_assert(books->bytes[shard] + RECORD_BYTES_MAX <= BOOKS_SECTION);
	shard_apply(books->shard[shard], input, 1, &effects);
	books->bytes[shard] = effects.log_bytes;
	if (effects.message_count > 0) {
		cr_assert(books->wire_count < BOOKS_WIRE_MAX);
		books->wire[books->wire_count++] = message;
	}
	return effects.reply_count > 0 ? (int)reply.status : -1;
}

static struct id128 new_id(struct books *books)
{
	return (struct id128){.lo = ++books->next_id, .hi = books->now_ms << 16};
}

static uint32_t shard_of(const struct books *books, struct id128 account)
{
	return id_slot(account) % books->limits.shards;
}

int books_open(struct books *books, struct id128 account, uint32_t ledger, int64_t floor)
{
	uint32_t home = shard_of(books, account);
	const struct shard_input input = {
	    .kind = SHARD_INPUT_ACCOUNT,
	    .home = (uint8_t)home,
	    .token = TOKEN,
	    .hash = id_hash(account),
	    .operation = {.id = new_id(books),
			  .account = account,
			  .action = CREATE_ACCOUNT,
			  .ledger = ledger,
			  .floor = floor},
	};

	return apply(books, home, &input);
}

int books_pay(struct books *books, struct id128 debit, struct id128 credit, uint64_t amount,
	      uint32_t ledger)
{
	uint32_t home = shard_of(books, debit);
	const struct shard_input input = {
	    .kind = SHARD_INPUT_TRANSFER,
	    .home = (uint8_t)home,
	    .peer = (uint8_t)shard_of(books, credit),
	    .token = TOKEN,
	    .hash = id_hash(debit),
	    .credit_hash = id_hash(credit),
	    .transfer = {.id = new_id(books),
			 .debit = debit,
			 .credit = credit,
			 .amount = amount,
			 .ledger = ledger,
			 .code = 9},
	};

	return apply(books, home, &input);
}

void books_deliver(struct books *books)
{
	struct shard_input input;
	struct shard_message message = books->wire[0];

	cr_assert(books->wire_count > 0);
	books->wire_count--;
	memmove(&books->wire[0], &books->wire[1], books->wire_count * sizeof(message));
	shard_input_from_message(&input, &message);
	apply(books, message.to, &input);
}

void books_time_out(struct books *books, uint32_t shard)
{
	struct shard_input input;

	while (shard_next_timeout(books->shard[shard], &input))
		apply(books, shard, &input);
}

void books_settle(struct books *books)
{
	while (books->wire_count > 0)
		books_deliver(books);
}

void books_fill(struct books *books)
{
	for (uint32_t i = 0; i < books->limits.shards; i++) {
		struct id128 issuer = books_account(books, i, 0);
		cr_assert(books_open(books, issuer, 1, FLOOR_ISSUER) == STATUS_OK);
		for (uint32_t n = 1; n <= 2; n++) {
			struct id128 wallet = books_account(books, i, n);
			cr_assert(books_open(books, wallet, 1, 0) == STATUS_OK);
			cr_assert(books_pay(books, issuer, wallet, 1000, 1) == STATUS_OK);
		}
	}
}

void books_turn(struct books *books, uint64_t ms)
{
	books->epoch++;
	books->now_ms += ms;
	for (uint32_t i = 0; i < books->limits.shards; i++) {
		shard_enter_epoch(books->shard[i], books->epoch, books->now_ms);
		books->bytes[i] = 0;
	}
}

struct wal_block_header *block_header(const struct wal_block *block)
{
	return (struct wal_block_header *)(uintptr_t)block->header;
}

uint8_t *block_section(const struct wal_block *block, uint32_t shard)
{
	return (uint8_t *)block_header(block) + block->header->sections[shard].offset;
}

static void digest_of(const struct books *books, uint32_t shard, uint8_t digest[16])
{
	struct shard_digest value = shard_digest(books->shard[shard]);

	memcpy(digest, &value, sizeof(value));
}

struct wal_block books_block(struct books *books, enum wal_block_type type)
{
	struct wal_block_header *header = (struct wal_block_header *)books->block;
	uint64_t offset = WAL_PAGE;

	*header = (struct wal_block_header){
	    .type = (uint16_t)type,
	    .section_count = books->limits.shards,
	    .seq = books->seq++,
	    .epoch = books->epoch,
	    .time_ms = books->now_ms,
	};
	for (uint32_t i = 0; i < books->limits.shards; i++) {
		header->sections[i].offset = offset;
		header->sections[i].bytes = books->bytes[i];
		if (type != WAL_DATA)
			digest_of(books, i, header->sections[i].digest);
		memcpy(books->block + offset, books->section[i], books->bytes[i]);
		offset += wal_padded(books->bytes[i]);
	}
	return (struct wal_block){header};
}

void log_new(struct books_log *log)
{
	const char *base = getenv("TMPDIR");

	memset(log, 0, sizeof(*log));
	log->segment_bytes = BOOKS_SEGMENT;
	snprintf(log->path, sizeof(log->path), "%s/giro-replay-XXXXXX",
		 base != NULL ? base : "/tmp");
	cr_assert_not_null(mkdtemp(log->path), "%s: %s", log->path, strerror(errno));
}

void log_open(struct books_log *log, const void *meta, uint32_t meta_bytes)
{
	const struct wal_disk_options disk_options = {.write = true,
						      .segment_bytes = log->segment_bytes};
	const struct wal_reader_options reader_options = {.first_segment = WAL_OLDEST};
	const struct wal_writer_config config = {.log_id = BOOKS_LOG_ID,
						 .blocks_in_flight = 2,
						 .segments_ahead = 1,
						 .meta = meta,
						 .meta_bytes = meta_bytes};
	static struct wal_tail tail;
	static char why[WAL_TEXT_BYTES];
	struct wal_reader reader;
	struct wal_block block;

	cr_assert(wal_disk_open(&log->disk, log->path, &disk_options, why) == 0, "%s", why);
	cr_assert(wal_reader_open(&reader, log->disk, &reader_options) == 0);
	while (wal_reader_next(&reader, &block) == WAL_NEXT_BLOCK)
		;
	tail = *wal_reader_tail(&reader);
	wal_reader_close(&reader);
	wal_preparer_init(&log->preparer, log->disk, wal_writer_first_segment(&tail));
	cr_assert(wal_writer_open(&log->writer, log->disk, &log->preparer, &config, &tail) == 0);
}

uint64_t log_put(struct books_log *log, struct books *books, enum wal_block_type type)
{
	struct wal_section sections[BOOKS_SHARDS_MAX] = {0};
	uint64_t epoch = books->epoch;
	const struct wal_append block = {
	    .type = type,
	    .epoch = epoch,
	    .time_ms = books->now_ms,
	    .section_count = books->limits.shards,
	    .sections = sections,
	};

	while (wal_preparer_step(&log->preparer) > 0)
		;
	for (uint32_t i = 0; i < books->limits.shards; i++) {
		sections[i].data = books->section[i];
		sections[i].bytes = books->bytes[i];
		if (type != WAL_DATA)
			digest_of(books, i, sections[i].digest);
	}
	cr_assert(wal_writer_append(&log->writer, &block) >= 0);
	while (wal_writer_in_flight(&log->writer) > 0)
		cr_assert(wal_writer_wait(&log->writer, 1000000000) >= 0);
	books_turn(books, 10);
	return epoch;
}

void log_close(struct books_log *log)
{
	wal_writer_close(&log->writer);
	wal_preparer_stop(&log->preparer);
	log->disk->ops->close(log->disk);
}

static void first_segment(const struct books_log *log, char name[128])
{
	snprintf(name, 128, "%s/%020u.wal", log->path, 0);
}

void log_lose_first(const struct books_log *log)
{
	char name[128];

	first_segment(log, name);
	cr_assert(unlink(name) == 0, "%s: %s", name, strerror(errno));
}

void log_flip(const struct books_log *log, uint64_t offset)
{
	char name[128];
	uint8_t byte;

	first_segment(log, name);
	int fd = open(name, O_RDWR);
	cr_assert(fd >= 0, "%s: %s", name, strerror(errno));
	cr_assert(pread(fd, &byte, 1, (off_t)offset) == 1);
	byte ^= 0x10;
	cr_assert(pwrite(fd, &byte, 1, (off_t)offset) == 1);
	cr_assert(fsync(fd) == 0);
	close(fd);
}

void folder_remove(const char *path)
{
	DIR *list = opendir(path);
	struct dirent *file;

	while (list != NULL && (file = readdir(list)) != NULL) {
		if (file->d_name[0] != '.')
			unlinkat(dirfd(list), file->d_name, 0);
	}
	if (list != NULL)
		closedir(list);
	rmdir(path);
}

void log_remove(struct books_log *log)
{
	folder_remove(log->path);
}
