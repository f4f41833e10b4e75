/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay dump: blocks and records as text, without replaying them.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "replay/command.h"
#include "replay/node.h"

static void print_transfer(const struct record *record)
{
	const struct transfer *transfer = &record->transfer;
	char id[48];
	char debit[48];
	char credit[48];

	printf(" %s id %s debit %s credit %s amount %" PRIu64 " ledger %" PRIu32 " code %u",
	       status_name(record->head.arg), command_id_text(transfer->id, id),
	       command_id_text(transfer->debit, debit), command_id_text(transfer->credit, credit),
	       transfer->amount, transfer->ledger, transfer->code);
	if (record->head.arg == STATUS_PENDING)
		printf(" to shard %u seq %" PRIu32, record->head.peer, record->head.seq_low);
}

static void print_operation(const struct record *record)
{
	const struct account_operation *operation = &record->operation;
	char id[48];
	char account[48];

	printf(" %s id %s account %s action %u ledger %" PRIu32 " floor %" PRId64,
	       status_name(record->head.arg), command_id_text(operation->id, id),
	       command_id_text(operation->account, account), operation->action, operation->ledger,
	       operation->floor);
}

static void print_record(const struct record *record)
{
	char id[48];
	char credit[48];

	printf("    %-8s", record_name(record->head.kind));
	switch (record->head.kind) {
	case RECORD_TRANSFER:
		print_transfer(record);
		break;
	case RECORD_ACCOUNT:
		print_operation(record);
		break;
	case RECORD_TRY:
		printf(" %s shard %u seq %" PRIu32 " id %s credit %s amount %" PRIu64
		       " ledger %" PRIu32 " code %u low -%u",
		       status_name(record->head.arg), record->head.peer, record->head.seq_low,
		       command_id_text(record->try.transfer, id),
		       command_id_text(record->try.credit, credit), record->try.amount,
		       record->try.ledger, record->try.code, record->try.low_delta);
		break;
	case RECORD_VOTE:
		printf(" %s shard %u seq %" PRIu32, status_name(record->head.arg),
		       record->head.peer, record->head.seq_low);
		break;
	default:
		printf(" shard %u seq %" PRIu32, record->head.peer, record->head.seq_low);
		if (record->head.kind == RECORD_CONFIRM || record->head.kind == RECORD_CANCEL)
			printf(" low -%u", record->head.arg);
		break;
	}
	putchar('\n');
}

static bool print_section(const struct wal_block *block, uint32_t index)
{
	uint64_t size;
	const uint8_t *bytes = wal_block_section(block, index, &size);
	uint64_t at = 0;

	if (size == 0)
		return true;
	printf("  shard %u: %" PRIu64 " bytes\n", index, size);
	while (at < size) {
		struct record record;
		size_t used = record_decode(bytes + at, size - at, &record);
		if (used == 0) {
			command_error("block %" PRIu64 ", shard %u, byte %" PRIu64
				      ": no whole record of a known kind",
				      block->header->seq, index, at);
			return false;
		}
		print_record(&record);
		at += used;
	}
	return true;
}

static bool print_block(const struct wal_block *block)
{
	const struct wal_block_header *header = block->header;
	char time[32];

	printf("block %" PRIu64 " %s epoch %" PRIu64 " %s segment %" PRIu64 " offset %" PRIu64
	       " incarnation %" PRIu64 " durable %" PRIu64 " payload %" PRIu64 " prev %016" PRIx64
	       "%016" PRIx64 "\n",
	       header->seq, command_block_type(header->type), header->epoch,
	       command_time_text(header->time_ms, time), header->segment, header->offset,
	       header->incarnation, header->durable_count, header->payload_bytes,
	       header->prev_hash.hi, header->prev_hash.lo);
	for (uint32_t i = 0; i < header->section_count; i++) {
		if (!print_section(block, i))
			return false;
	}
	return true;
}

enum node_end command_dump(int argc, char **argv)
{
	static const struct option options[] = {
	    {"from-epoch", required_argument, NULL, 'f'},
	    {"to-epoch", required_argument, NULL, 't'},
	    {NULL, 0, NULL, 0},
	};
	static struct node node;
	uint64_t from = 0;
	uint64_t to = UINT64_MAX;
	struct wal_block block;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?' || !command_parse_epoch(optarg, option == 'f' ? &from : &to))
			return NODE_USAGE;
	}
	if (optind + 1 != argc) {
		command_error("usage: giro-replay dump LOG [--from-epoch N] [--to-epoch N]");
		return NODE_USAGE;
	}
	enum node_end end = node_open(&node, argv[optind]);
	if (end != NODE_SOUND) {
		command_error("%s", node.text);
		return end;
	}
	const struct moment first = {.epoch = from, .time_ms = UINT64_MAX};
	end = node_seek(&node, &first);
	while (end == NODE_SOUND && node_peek(&node, &block, &end) && block.header->epoch <= to) {
		if (block.header->epoch >= from && !print_block(&block)) {
			end = NODE_CORRUPT;
			break;
		}
		node_skip(&node);
	}
	if (end != NODE_SOUND && node.text[0] != '\0')
		command_error("%s", node.text);
	node_close(&node);
	return end;
}
