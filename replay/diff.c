/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay diff: the first block, shard and record in which two logs differ. Copies of one log, or
 * the logs of replicas, are equal up to the end of the shorter one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "replay/command.h"
#include "replay/diff.h"

static struct node nodes[2];

/* Prints the first record in which two sections differ. */
static void print_record(uint32_t shard, const uint8_t *bytes[2], const uint64_t size[2])
{
	uint64_t at = 0;
	uint64_t index = 0;

	for (;; index++) {
		struct record records[2];
		size_t used[2];
		for (int i = 0; i < 2; i++)
			used[i] = record_decode(bytes[i] + at, size[i] - at, &records[i]);
		bool equal = used[0] != 0 && used[0] == used[1] &&
			     memcmp(bytes[0] + at, bytes[1] + at, used[0]) == 0;
		if (!equal) {
			printf("shard %u, record %" PRIu64 " (byte %" PRIu64 " of its section): ",
			       shard, index, at);
			for (int i = 0; i < 2; i++)
				printf("%s%s %s", i == 0 ? "" : " / ",
				       used[i] == 0 ? "nothing" : record_name(records[i].head.kind),
				       used[i] == 0 ? "" : status_name(records[i].head.arg));
			putchar('\n');
			return;
		}
		at += used[0];
	}
}

/* Says how two blocks of one number differ. Returns whether they do. */
static bool print_difference(const struct wal_block blocks[2])
{
	const struct wal_block_header *a = blocks[0].header;
	const struct wal_block_header *b = blocks[1].header;

	if (a->epoch == b->epoch && a->time_ms == b->time_ms && a->type == b->type &&
	    a->section_count == b->section_count &&
	    wal_hash_equal(a->payload_hash, b->payload_hash))
		return false;
	printf("block %" PRIu64 " differs: epoch %" PRIu64 " / %" PRIu64 ", time_ms %" PRIu64
	       " / %" PRIu64 ", type %u / %u\n",
	       a->seq, a->epoch, b->epoch, a->time_ms, b->time_ms, a->type, b->type);
	for (uint32_t s = 0; s < a->section_count && s < b->section_count; s++) {
		uint64_t size[2];
		const uint8_t *bytes[2];
		for (int i = 0; i < 2; i++)
			bytes[i] = wal_block_section(&blocks[i], s, &size[i]);
		if (size[0] != size[1] || memcmp(bytes[0], bytes[1], size[0]) != 0) {
			print_record(s, bytes, size);
			break;
		}
	}
	return true;
}

/* The longer log has at least one more block. */
static void print_lengths(const bool there[2], uint64_t seq, char *const *names)
{
	if (there[0] == there[1]) {
		printf("equal: %" PRIu64 " blocks\n", seq);
		return;
	}
	printf("equal for %" PRIu64 " blocks; %s goes on\n", seq, names[there[0] ? 0 : 1]);
}

static enum node_end compare(const char *const names[2])
{
	struct wal_block blocks[2];
	enum node_end ends[2] = {NODE_SOUND, NODE_SOUND};
	uint64_t seq = 0;

	for (;;) {
		bool there[2];
		for (int i = 0; i < 2; i++)
			there[i] = node_peek(&nodes[i], &blocks[i], &ends[i]);
		for (int i = 0; i < 2; i++) {
			if (ends[i] != NODE_SOUND)
				command_error("%s: %s", names[i], nodes[i].text);
			if (ends[i] == NODE_CORRUPT || ends[i] == NODE_UNREADABLE)
				return ends[i];
		}
		if (!there[0] || !there[1]) {
			print_lengths(there, seq, (char *const *)(uintptr_t)names);
			return NODE_SOUND;
		}
		uint64_t later = blocks[0].header->seq > blocks[1].header->seq
				     ? blocks[0].header->seq
				     : blocks[1].header->seq;
		bool level = blocks[0].header->seq == blocks[1].header->seq;
		if (level && print_difference(blocks))
			return NODE_DIVERGED;
		seq = later + level;
		/* One of them may begin later than the other: it waits. */
		for (int i = 0; i < 2; i++) {
			if (level || blocks[i].header->seq < later)
				node_skip(&nodes[i]);
		}
	}
}

enum node_end command_diff(int argc, char **argv)
{
	const char *names[2];
	const struct command_option options[] = {{NULL, OPTION_END, NULL}};

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--", 2) == 0)
			return diff_engine(argc, argv);
	}
	if (!command_parse(argc, argv, options, names, 2, DIFF_USAGE))
		return NODE_USAGE;
	for (int i = 0; i < 2; i++) {
		enum node_end end = node_open(&nodes[i], names[i]);
		if (end == NODE_SOUND)
			continue;
		command_error("%s", nodes[i].text);
		if (i == 1)
			node_close(&nodes[0]);
		return end;
	}
	enum node_end end = compare(names);
	node_close(&nodes[0]);
	node_close(&nodes[1]);
	return end;
}
