/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints: the state behind them is the one that replay from the first byte gives, and a damaged
 * one is never used.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replay/checkpoint.h"
#include "replay/node.h"
#include "tests/unit/replay/books.h"
#include "tests/unit/replay/tool.h"

#define SHARDS 3
#define ROUNDS 40

static struct books *books;
static struct books_log disk_log;
static struct node node;
static int passed_over;
static char told[WAL_TEXT_BYTES];

static void tell(void *context, const char *text)
{
	(void)context;
	cr_assert(strstr(text, "checkpoint ") != NULL, "%s", text);
	snprintf(told, sizeof(told), "%s", text);
	passed_over++;
}

/* Transfers that stay under way for some blocks, cancels among them. */
static void write_log(void)
{
	log_put(&disk_log, books, WAL_OPEN);
	books_fill(books);
	log_put(&disk_log, books, WAL_DATA);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t from = 0; from < SHARDS; from++) {
			struct id128 credit = books_account(books, (from + round) % SHARDS, 2);
			if (round % 7 == 3)
				credit.hi = 1; /* of whatever shard: there is no such account */
			books_pay(books, books_account(books, from, 1), credit, 1 + round, 1);
		}
		while (books->wire_count > 8)
			books_deliver(books);
		log_put(&disk_log, books, WAL_DATA);
	}
	log_close(&disk_log);
}

static void start(void)
{
	const struct shard_limits limits = books_limits(SHARDS);
	const struct log_meta meta = log_meta_from_limits(&limits);

	passed_over = 0;
	books = books_new(SHARDS);
	log_new(&disk_log);
	log_open(&disk_log, &meta, sizeof(meta));
	write_log();
}

static void stop(void)
{
	books_free(books);
	log_remove(&disk_log);
}

TestSuite(checkpoint, .init = start, .fini = stop);

static void make_checkpoints(const char *every)
{
	cr_assert(run("checkpoint", disk_log.path, "--every", every, "--keep", "100", NULL) ==
		      NODE_SOUND,
		  "%s", err);
}

static const char *file_of(uint64_t seq)
{
	static char name[128];

	snprintf(name, sizeof(name), "%s/%020" PRIu64 ".checkpoint", disk_log.path, seq);
	return name;
}

Test(checkpoint, every_one_leads_to_the_same_end)
{
	uint64_t seqs[CHECKPOINTS_MAX];

	make_checkpoints("1");
	uint32_t count = checkpoint_list(disk_log.path, seqs, CHECKPOINTS_MAX);
	/* All but the last block, of which nothing says that it is durable. */
	cr_assert(count == ROUNDS + 1, "%u", count);
	cr_assert(seqs[0] == ROUNDS && seqs[count - 1] == 0);
	for (uint32_t i = 0; i < count; i++) {
		const struct moment at = {.epoch = seqs[i] + 1, .time_ms = UINT64_MAX};
		struct wal_block block;
		enum node_end end = NODE_SOUND;
		cr_assert(node_open(&node, disk_log.path) == NODE_SOUND);
		if (i % 4 > 0)
			node_share(&node, i % 4);
		cr_assert(node_resume(&node, disk_log.path, &at, tell, NULL) == NODE_SOUND, "%s",
			  node.text);
		cr_assert(node.epoch == at.epoch && node.next_seq == seqs[i] + 1);
		while (node_peek(&node, &block, &end) && node_apply(&node, true, &block, &end))
			;
		cr_assert(end == NODE_SOUND, "%s", node.text);
		for (uint32_t s = 0; s < SHARDS; s++) {
			struct shard_digest here = shard_digest(node.shards[s]);
			struct shard_digest there = shard_digest(books->shard[s]);
			cr_assert(memcmp(&here, &there, sizeof(here)) == 0,
				  "checkpoint %" PRIu64 ", shard %u", seqs[i], s);
			cr_assert(node.shards[s]->changed_epoch == books->shard[s]->changed_epoch);
			cr_assert(node.shards[s]->phase.in_flight ==
				  books->shard[s]->phase.in_flight);
		}
		node_close(&node);
	}
	cr_assert(passed_over == 0);
}

Test(checkpoint, answers_are_those_from_the_first_byte)
{
	static char first[OUTPUT_MAX];
	static const char *const commands[] = {"balances", "phases"};

	make_checkpoints("6");
	for (uint64_t epoch = 1; epoch <= ROUNDS + 2; epoch += 3) {
		char at[24];
		snprintf(at, sizeof(at), "%" PRIu64, epoch);
		for (size_t i = 0; i < 2; i++) {
			cr_assert(run(commands[i], disk_log.path, "--at", at, "--json",
				      "--checkpoints", "none", NULL) == NODE_SOUND);
			memcpy(first, out, sizeof(first));
			cr_assert(run(commands[i], disk_log.path, "--at", at, "--json", NULL) ==
				  NODE_SOUND);
			cr_assert_str_eq(out, first, "epoch %s", at);
		}
	}
	char wallet[24];
	snprintf(wallet, sizeof(wallet), "%" PRIu64, books_account(books, 1, 2).lo);
	cr_assert(run("statement", disk_log.path, wallet, "--from", "20", "--csv", "--checkpoints",
		      "none", NULL) == NODE_SOUND);
	memcpy(first, out, sizeof(first));
	cr_assert(run("statement", disk_log.path, wallet, "--from", "20", "--csv", NULL) ==
		  NODE_SOUND);
	cr_assert_str_eq(out, first);
}

static void flip_file(const char *name, uint64_t offset)
{
	uint8_t byte;
	int fd = open(name, O_RDWR);

	cr_assert(fd >= 0, "%s: %s", name, strerror(errno));
	cr_assert(pread(fd, &byte, 1, (off_t)offset) == 1);
	byte ^= 4;
	cr_assert(pwrite(fd, &byte, 1, (off_t)offset) == 1);
	close(fd);
}

static enum node_end resume(uint64_t *epoch)
{
	const struct moment last = MOMENT_LAST;

	cr_assert(node_open(&node, disk_log.path) == NODE_SOUND);
	node_share(&node, 2);
	enum node_end end = node_resume(&node, disk_log.path, &last, tell, NULL);
	*epoch = node.epoch;
	node_close(&node);
	return end;
}

Test(checkpoint, a_damaged_one_falls_back_to_the_one_before)
{
	struct stat stat_of;
	uint64_t epoch;

	make_checkpoints("20"); /* behind epochs 20, 40 and the end: 41 */
	const char *newest = file_of(ROUNDS);
	cr_assert(stat(newest, &stat_of) == 0, "%s", newest);
	uint64_t size = (uint64_t)stat_of.st_size;
	cr_assert(resume(&epoch) == NODE_SOUND && epoch == ROUNDS + 1 && passed_over == 0);
	for (uint64_t offset = 0; offset < size; offset += offset < 200 ? 7 : 501) {
		passed_over = 0;
		flip_file(newest, offset);
		cr_assert(resume(&epoch) == NODE_SOUND);
		cr_assert(epoch == 40 && passed_over == 1, "byte %" PRIu64 ": epoch %" PRIu64,
			  offset, epoch);
		flip_file(newest, offset);
	}
	cr_assert(truncate(newest, (off_t)size - 1) == 0);
	cr_assert(resume(&epoch) == NODE_SOUND && epoch == 40);
	cr_assert(truncate(newest, 100) == 0);
	cr_assert(resume(&epoch) == NODE_SOUND && epoch == 40);
	cr_assert(truncate(newest, 0) == 0);
	cr_assert(resume(&epoch) == NODE_SOUND && epoch == 40);
}

/* Other contents, with hash and checksum made for them. */
static void put_payload(int fd, struct checkpoint_header *header, const uint8_t *bytes)
{
	XXH128_hash_t hash = XXH3_128bits(bytes, header->payload_bytes);

	header->payload_hash = (struct wal_hash){.lo = hash.low64, .hi = hash.high64};
	header->checksum = wal_header_checksum(header, sizeof(*header));
	cr_assert(pwrite(fd, header, sizeof(*header), 0) == sizeof(*header));
	cr_assert(pwrite(fd, bytes, header->payload_bytes, WAL_PAGE) ==
		  (ssize_t)header->payload_bytes);
}

/* What hash and checksum do not tell is found by the digest or by what must hold of a state. */
Test(checkpoint, contents_that_lie_are_found)
{
	struct checkpoint_header header;
	uint64_t epoch;
	int taken = 0;

	make_checkpoints("100");
	int fd = open(file_of(ROUNDS), O_RDWR);
	cr_assert(fd >= 0);
	cr_assert(pread(fd, &header, sizeof(header), 0) == sizeof(header));
	uint8_t *bytes = malloc(header.payload_bytes);
	cr_assert(pread(fd, bytes, header.payload_bytes, WAL_PAGE) ==
		  (ssize_t)header.payload_bytes);
	for (uint64_t at = 0; at < header.payload_bytes; at += 8) {
		passed_over = 0;
		bytes[at] ^= 1;
		put_payload(fd, &header, bytes);
		cr_assert(resume(&epoch) == NODE_SOUND, "byte %" PRIu64, at);
		/* When a shard last changed is in nothing else, nor the number of a generation that
		 * is empty; verify compares them. */
		cr_assert(epoch == 0 || epoch == ROUNDS + 1);
		cr_assert(passed_over == (epoch == 0));
		taken += epoch != 0;
		if (epoch != 0 || at % 40 == 0) {
			cr_assert(run("verify", disk_log.path, NULL) == NODE_DIVERGED,
				  "byte %" PRIu64 ": %s", at, out);
			cr_assert(complains("is not what the log gives: a"), "%s", err);
		}
		bytes[at] ^= 1;
	}
	cr_assert(taken <= 2 * SHARDS, "%d", taken);
	free(bytes);
	close(fd);
}

/* Each field of the header made wrong, with a checksum that is right: a checkpoint of another log, of
 * another node, of a moment that the log has not reached. */
static const struct {
	const char *field;
	size_t offset;
	const char *told; /* NULL: the log is refused, as one that lost the block */
} lies[] = {
    {"magic", offsetof(struct checkpoint_header, magic), "it is none"},
    {"version", offsetof(struct checkpoint_header, version), "it is of another version"},
    {"shards", offsetof(struct checkpoint_header, shards), "another number of shards"},
    {"log_id", offsetof(struct checkpoint_header, log_id), "it is of another log"},
    {"seq", offsetof(struct checkpoint_header, seq), "its name is not that of its block"},
    {"epoch", offsetof(struct checkpoint_header, epoch), "a shard is not at its block's epoch"},
    {"time_ms", offsetof(struct checkpoint_header, time_ms), "a shard is not at its block's epoch"},
    {"payload_bytes", offsetof(struct checkpoint_header, payload_bytes), "contradict each other"},
    {"payload_hash", offsetof(struct checkpoint_header, payload_hash), "contents' hash"},
    {"meta_bytes", offsetof(struct checkpoint_header, meta_bytes), "the meta has the wrong size"},
    {"meta, shards", offsetof(struct checkpoint_header, meta) + 8, "another number of shards"},
    {"meta, window", offsetof(struct checkpoint_header, meta) + 25, "another window_s or ahead_s"},
    {"reserved", offsetof(struct checkpoint_header, reserved), "its header's fields contradict"},
    {"a row's bytes", offsetof(struct checkpoint_header, rows[1].bytes), "contradict each other"},
    {"a row's digest", offsetof(struct checkpoint_header, rows[1].digest), "a shard's digest"},
    {"an unused row", offsetof(struct checkpoint_header, rows[SHARDS]), "contradict each other"},
    {"segment", offsetof(struct checkpoint_header, segment), NULL},
    {"offset", offsetof(struct checkpoint_header, offset) + 1, NULL},
    {"offset, unaligned", offsetof(struct checkpoint_header, offset), NULL},
    {"offset, beyond", offsetof(struct checkpoint_header, offset) + 5, NULL},
    {"block_hash", offsetof(struct checkpoint_header, block_hash), NULL},
};

Test(checkpoint, every_wrong_field_is_named)
{
	struct checkpoint_header header;
	uint64_t epoch;

	make_checkpoints("20");
	int fd = open(file_of(ROUNDS), O_RDWR);
	cr_assert(fd >= 0);
	cr_assert(pread(fd, &header, sizeof(header), 0) == sizeof(header));
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct checkpoint_header lie = header;
		((uint8_t *)&lie)[lies[i].offset] ^= 0x10;
		lie.checksum = wal_header_checksum(&lie, sizeof(lie));
		cr_assert(pwrite(fd, &lie, sizeof(lie), 0) == sizeof(lie));
		passed_over = 0;
		told[0] = '\0';
		enum node_end end = resume(&epoch);
		if (lies[i].told == NULL) {
			cr_assert(end == NODE_CORRUPT, "%s: %d, %s", lies[i].field, (int)end, told);
			continue;
		}
		cr_assert(end == NODE_SOUND && epoch == 40 && passed_over == 1, "%s: %s, %s",
			  lies[i].field, told, node.text);
		cr_assert(strstr(told, lies[i].told) != NULL, "%s: %s", lies[i].field, told);
		/* Nor does verify take it for good. */
		int status = run("verify", disk_log.path, NULL);
		cr_assert((status == NODE_SOUND && prints("1 damaged")) || status == NODE_DIVERGED,
			  "%s: %s", lies[i].field, out);
	}
	close(fd);
}

Test(checkpoint, verify_compares_them_with_the_replay)
{
	struct checkpoint_header header;

	make_checkpoints("10");
	cr_assert(run("verify", disk_log.path, NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("checkpoints       5 equal to the replay, 0 damaged\n"), "%s", out);
	flip_file(file_of(ROUNDS), 3 * WAL_PAGE / 2);
	cr_assert(run("verify", disk_log.path, NULL) == NODE_SOUND, "it is of no harm");
	cr_assert(prints("checkpoints       4 equal to the replay, 1 damaged\n"), "%s", out);
	cr_assert(complains("is not used"), "%s", err);
	/* Whole, and of another state. */
	int fd = open(file_of(19), O_RDWR);
	cr_assert(pread(fd, &header, sizeof(header), 0) == sizeof(header));
	header.rows[1].digest.lo ^= 1;
	header.checksum = wal_header_checksum(&header, sizeof(header));
	cr_assert(pwrite(fd, &header, sizeof(header), 0) == sizeof(header));
	close(fd);
	cr_assert(run("verify", disk_log.path, NULL) == NODE_DIVERGED, "%s", out);
	cr_assert(complains("the checkpoint behind block 19 (epoch 20) is not what the log gives"),
		  "%s", err);
}

Test(checkpoint, a_log_without_its_block_is_refused)
{
	const struct shard_limits limits = books_limits(SHARDS);
	const struct log_meta meta = log_meta_from_limits(&limits);
	struct books_log longer = disk_log;
	char kept[128];
	uint64_t epoch;

	make_checkpoints("100");
	snprintf(kept, sizeof(kept), "%s", file_of(ROUNDS));
	/* The same log as far as its identity goes, but shorter. */
	books_free(books);
	books = books_new(SHARDS);
	log_new(&disk_log);
	log_open(&disk_log, &meta, sizeof(meta));
	log_put(&disk_log, books, WAL_OPEN);
	log_put(&disk_log, books, WAL_DATA);
	log_close(&disk_log);
	cr_assert(rename(kept, file_of(ROUNDS)) == 0);
	cr_assert(resume(&epoch) == NODE_CORRUPT, "%s", told);
	cr_assert(strstr(node.text, "was durable") != NULL, "%s", node.text);
	/* Nor does verify call such a log sound, or trim touch it. */
	cr_assert(run("verify", disk_log.path, NULL) == NODE_CORRUPT, "%s", out);
	cr_assert(complains("the log ends at epoch 2, and the checkpoint behind block 40"), "%s",
		  err);
	cr_assert(run("verify", disk_log.path, "--to", "2", NULL) == NODE_SOUND, "%s", err);
	cr_assert(run("trim", disk_log.path, NULL) == NODE_CORRUPT);
	log_remove(&longer);
}

Test(checkpoint, keeps_the_newest_and_cleans_up)
{
	uint64_t seqs[CHECKPOINTS_MAX];
	char left_over[128];

	snprintf(left_over, sizeof(left_over), "%s/%020d.checkpoint-unfinished", disk_log.path, 7);
	int fd = open(left_over, O_CREAT | O_WRONLY, 0600);
	cr_assert(fd >= 0);
	close(fd);
	cr_assert(run("checkpoint", disk_log.path, "--every", "10", NULL) == NODE_SOUND, "%s", err);
	cr_assert(prints("checkpoint behind block 9, epoch 10 "), "%s", out);
	cr_assert(checkpoint_list(disk_log.path, seqs, CHECKPOINTS_MAX) == 2);
	cr_assert(seqs[0] == ROUNDS && access(left_over, F_OK) != 0);
	/* Nothing is new: nothing is written. */
	cr_assert(run("checkpoint", disk_log.path, NULL) == NODE_SOUND);
	cr_assert(prints("nothing new"), "%s", out);
	/* An interrupted one leaves those that were there. */
	cr_assert(run("checkpoint", disk_log.path, "--directory", "/nowhere", NULL) ==
		  NODE_UNREADABLE);
	cr_assert(complains("/nowhere"));
	cr_assert(run("checkpoint", disk_log.path, "--follow", NULL) == NODE_USAGE);
}
