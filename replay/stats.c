/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay stats: what the log holds over time, as it was logged: rates, statuses, sizes and how
 * long epochs were. Nothing is replayed.
 */
#include <inttypes.h>
#include <stdio.h>

#include "replay/command.h"
#include "replay/json.h"

struct period {
	uint64_t start_ms;
	uint64_t blocks;
	uint64_t records;
	uint64_t record_bytes;
	uint64_t disk_bytes;
	uint64_t received;   /* transfers, each once */
	uint64_t crossing;   /* of them: between shards */
	uint64_t decided;    /* with a final status */
	uint64_t done;	     /* of them: money moved */
	uint64_t accounts;   /* account operations */
	uint64_t gap_max_ms; /* between blocks */
};

struct stats {
	struct moment from;
	struct moment to;
	uint64_t every_ms;
	bool as_json;
	struct json json;
	struct period now;
	struct period all;
	uint64_t statuses[STATUS_LIMIT]; /* final ones */
	uint64_t last_ms;
	bool begun;
};

static void add_record(struct stats *stats, const struct record_head *head)
{
	struct period *now = &stats->now;
	unsigned status = STATUS_LIMIT;

	now->records++;
	switch (head->kind) {
	case RECORD_TRANSFER:
		now->received++;
		now->crossing += head->arg == STATUS_PENDING;
		if (head->arg != STATUS_PENDING)
			status = head->arg;
		break;
	case RECORD_ACCOUNT:
		now->accounts++;
		break;
	case RECORD_VOTE:
		status = head->arg;
		break;
	case RECORD_TIMEOUT:
		status = STATUS_TRY_TIMEOUT;
		break;
	default:
		break;
	}
	if (status >= STATUS_LIMIT)
		return;
	stats->statuses[status]++;
	now->decided++;
	now->done += status == STATUS_OK;
}

static void add_block(struct stats *stats, const struct wal_block *block)
{
	const struct wal_block_header *header = block->header;
	struct period *now = &stats->now;
	struct record record;

	if (stats->begun && header->time_ms - stats->last_ms > now->gap_max_ms)
		now->gap_max_ms = header->time_ms - stats->last_ms;
	stats->last_ms = header->time_ms;
	stats->begun = true;
	now->blocks++;
	now->disk_bytes += WAL_PAGE + header->payload_bytes;
	for (uint32_t i = 0; i < header->section_count; i++) {
		uint64_t size;
		const uint8_t *bytes = wal_block_section(block, i, &size);
		now->record_bytes += size;
		for (size_t used; (used = record_decode(bytes, size, &record)) != 0;
		     bytes += used, size -= used)
			add_record(stats, &record.head);
	}
}

static void print_period(struct stats *stats, const char *key, const struct period *period,
			 uint64_t ms)
{
	double seconds = (double)ms / 1000;
	struct json *json = &stats->json;
	char time[32];

	command_time_text(period->start_ms, time);
	if (!stats->as_json) {
		printf("%-24s %10.3f %10" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64
		       " %12" PRIu64 " %12.0f %10.1f %8" PRIu64 "\n",
		       time, seconds, period->blocks, period->received, period->crossing,
		       period->done, period->decided - period->done,
		       seconds > 0 ? (double)period->received / seconds : 0,
		       (double)period->disk_bytes / (1 << 20), period->gap_max_ms);
		return;
	}
	json_object(json, key);
	json_text(json, "from", time);
	json_real(json, "seconds", seconds);
	json_u64(json, "blocks", period->blocks);
	json_u64(json, "records", period->records);
	json_u64(json, "record_bytes", period->record_bytes);
	json_u64(json, "disk_bytes", period->disk_bytes);
	json_u64(json, "transfers_received", period->received);
	json_u64(json, "transfers_between_shards", period->crossing);
	json_u64(json, "transfers_done", period->done);
	json_u64(json, "transfers_refused", period->decided - period->done);
	json_u64(json, "account_operations", period->accounts);
	json_u64(json, "longest_gap_ms", period->gap_max_ms);
	json_close(json);
}

static void close_period(struct stats *stats, uint64_t end_ms)
{
	struct period *now = &stats->now;
	struct period *all = &stats->all;

	if (now->blocks > 0)
		print_period(stats, NULL, now, end_ms - now->start_ms);
	all->blocks += now->blocks;
	all->records += now->records;
	all->record_bytes += now->record_bytes;
	all->disk_bytes += now->disk_bytes;
	all->received += now->received;
	all->crossing += now->crossing;
	all->decided += now->decided;
	all->done += now->done;
	all->accounts += now->accounts;
	if (now->gap_max_ms > all->gap_max_ms)
		all->gap_max_ms = now->gap_max_ms;
}

static enum node_end read_all(struct stats *stats, struct node *node)
{
	enum node_end end = node_seek(node, &stats->from);
	struct wal_block block;

	while (end == NODE_SOUND && node_peek(node, &block, &end) &&
	       moment_includes(&stats->to, block.header)) {
		uint64_t time_ms = block.header->time_ms;
		if (!moment_begins_after(&stats->from, block.header)) {
			uint64_t start_ms = time_ms - time_ms % stats->every_ms;
			if (stats->begun && start_ms != stats->now.start_ms) {
				close_period(stats, stats->now.start_ms + stats->every_ms);
				stats->now = (struct period){.start_ms = start_ms};
			}
			if (!stats->begun) {
				stats->now.start_ms = start_ms;
				stats->all.start_ms = time_ms;
			}
			add_block(stats, &block);
		}
		node_skip(node);
	}
	close_period(stats, stats->now.start_ms + stats->every_ms);
	return end;
}

static void print_totals(struct stats *stats)
{
	struct json *json = &stats->json;

	if (stats->as_json) {
		json_close(json);
	} else {
		puts("\ntotal");
	}
	print_period(stats, "total", &stats->all, stats->last_ms - stats->all.start_ms);
	if (stats->as_json)
		json_object(json, "statuses");
	for (unsigned i = 0; i < STATUS_LIMIT; i++) {
		if (stats->statuses[i] == 0)
			continue;
		if (stats->as_json)
			json_u64(json, status_name(i), stats->statuses[i]);
		else
			printf("%-24s %12" PRIu64 "\n", status_name(i), stats->statuses[i]);
	}
	if (stats->as_json) {
		json_close(json);
		json_close(json);
	}
}

enum node_end command_stats(int argc, char **argv)
{
	static struct node node;
	static struct stats stats;
	uint64_t every_s = 60;
	const char *arguments[1];
	const struct command_option options[] = {
	    {"from", OPTION_FROM, &stats.from}, {"to", OPTION_MOMENT, &stats.to},
	    {"every", OPTION_COUNT, &every_s},	{"json", OPTION_FLAG, &stats.as_json},
	    {NULL, OPTION_END, NULL},
	};

	stats.from = MOMENT_FIRST;
	stats.to = MOMENT_LAST;
	if (!command_parse(argc, argv, options, arguments, 1,
			   "stats LOG [--from EPOCH|TIME] [--to EPOCH|TIME] [--every SECONDS] "
			   "[--json]"))
		return NODE_USAGE;
	if (every_s > UINT64_C(1) << 32)
		every_s = UINT64_C(1) << 32;
	stats.every_ms = every_s * 1000;
	enum node_end end = node_open(&node, arguments[0]);
	if (end != NODE_SOUND) {
		command_error("%s", node.text);
		return end;
	}
	if (stats.as_json) {
		stats.json = json_begin(stdout);
		json_object(&stats.json, NULL);
		json_array(&stats.json, "periods");
	} else {
		printf("%-24s %10s %10s %12s %12s %12s %12s %12s %10s %8s\n", "from", "seconds",
		       "blocks", "transfers", "crossing", "done", "refused", "per second", "MiB",
		       "gap ms");
	}
	end = read_all(&stats, &node);
	print_totals(&stats);
	if (end != NODE_SOUND)
		command_error("%s", node.text);
	node_close(&node);
	return end;
}
