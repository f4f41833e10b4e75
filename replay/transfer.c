/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay transfer: the story of one transfer, as it was logged. Nothing is replayed: the id tells
 * when it came, so that the index of the segments leads near it. (verify proves that what is logged is
 * what the shards computed.)
 *
 * A block's sections are written side by side, so each block is read until it tells nothing new: the
 * record that says which try it was may stand behind those that belong to it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "replay/command.h"
#include "replay/json.h"

#define EVENTS_MAX 16

struct event {
	uint64_t epoch;
	uint64_t time_ms;
	uint64_t block;
	uint32_t shard;
	uint32_t record; /* in its section */
	struct record_head head;
};

struct story {
	struct id128 id;
	bool received; /* the coordinator's record was seen */
	struct transfer transfer;
	uint32_t from;
	uint32_t to;
	uint32_t seq_low;
	bool known; /* from, to and seq_low are */
	struct event events[EVENTS_MAX];
	uint32_t count;
	bool finished;
	unsigned outcome;  /* when it is finished */
	bool cancel_first; /* the cancel overtook the try */
	bool tried;
};

static bool belongs(struct story *story, uint32_t shard, const struct record *record)
{
	const struct record_head *head = &record->head;

	switch (head->kind) {
	case RECORD_TRANSFER:
		return id_equal(record->transfer.id, story->id);
	case RECORD_ACCOUNT:
		return false;
	case RECORD_TRY:
		return id_equal(record->try.transfer, story->id) &&
		       (!story->known || (head->peer == story->from && shard == story->to));
	case RECORD_CONFIRM:
	case RECORD_CANCEL:
		return story->known && shard == story->to && head->peer == story->from &&
		       head->seq_low == story->seq_low;
	default:
		return story->known && shard == story->from && head->peer == story->to &&
		       head->seq_low == story->seq_low;
	}
}

static bool is_told(const struct story *story, const struct event *event)
{
	for (uint32_t i = 0; i < story->count; i++) {
		const struct event *told = &story->events[i];
		if (told->block == event->block && told->shard == event->shard &&
		    told->record == event->record)
			return true;
	}
	return false;
}

/* Records of the decision carry what it was; the rest follows from them. */
static void conclude(struct story *story, uint32_t shard, const struct record *record)
{
	const struct record_head *head = &record->head;

	switch (head->kind) {
	case RECORD_TRANSFER:
		story->received = true;
		story->transfer = record->transfer;
		story->finished = head->arg != STATUS_PENDING;
		story->outcome = head->arg;
		story->known = head->arg == STATUS_PENDING;
		story->from = shard;
		story->to = head->peer;
		story->seq_low = head->seq_low;
		break;
	case RECORD_TRY:
		story->tried = true;
		story->known = true;
		story->from = head->peer;
		story->to = shard;
		story->seq_low = head->seq_low;
		break;
	case RECORD_VOTE:
		story->outcome = head->arg;
		break;
	case RECORD_TIMEOUT:
		story->outcome = STATUS_TRY_TIMEOUT;
		break;
	case RECORD_CANCEL:
		story->cancel_first = !story->tried;
		break;
	case RECORD_ACK:
		story->finished = true;
		break;
	default:
		break;
	}
}

/* Returns whether the section told something new. */
static bool read_section(struct story *story, const struct wal_block *block, uint32_t shard)
{
	uint64_t size;
	const uint8_t *bytes = wal_block_section(block, shard, &size);
	struct record record;
	uint32_t index = 0;
	bool news = false;

	for (size_t used; (used = record_decode(bytes, size, &record)) != 0;
	     bytes += used, size -= used, index++) {
		const struct event event = {
		    .epoch = block->header->epoch,
		    .time_ms = block->header->time_ms,
		    .block = block->header->seq,
		    .shard = shard,
		    .record = index,
		    .head = record.head,
		};
		if (!belongs(story, shard, &record) || is_told(story, &event) ||
		    story->count == EVENTS_MAX)
			continue;
		story->events[story->count++] = event;
		conclude(story, shard, &record);
		news = true;
	}
	return news;
}

static void read_block(struct story *story, const struct wal_block *block)
{
	bool news = true;

	while (news) {
		news = false;
		for (uint32_t i = 0; i < block->header->section_count; i++)
			news |= read_section(story, block, i);
	}
}

/* The order in which things happen to a transfer, for those that share an epoch. */
static int rank(const struct event *event)
{
	static const int ranks[] = {
	    [RECORD_TRANSFER] = 0, [RECORD_TRY] = 1,	[RECORD_TIMEOUT] = 2, [RECORD_VOTE] = 2,
	    [RECORD_CONFIRM] = 3,  [RECORD_CANCEL] = 3, [RECORD_ACK] = 4,
	};

	return ranks[event->head.kind];
}

static void sort_events(struct story *story)
{
	for (uint32_t i = 1; i < story->count; i++) {
		struct event event = story->events[i];
		uint32_t at = i;
		for (; at > 0 && (story->events[at - 1].epoch > event.epoch ||
				  (story->events[at - 1].epoch == event.epoch &&
				   rank(&story->events[at - 1]) > rank(&event)));
		     at--)
			story->events[at] = story->events[at - 1];
		story->events[at] = event;
	}
}

static const char *describe(const struct story *story, const struct event *event)
{
	static char text[160];
	const struct record_head *head = &event->head;

	switch (head->kind) {
	case RECORD_TRANSFER:
		if (head->arg == STATUS_PENDING)
			snprintf(text, sizeof(text),
				 "received; amount held; try %" PRIu32 " sent to shard %u",
				 head->seq_low, head->peer);
		else
			snprintf(text, sizeof(text), "received; %s", status_text(head->arg));
		break;
	case RECORD_TRY:
		snprintf(text, sizeof(text), "try: %s%s",
			 head->arg == STATUS_OK ? "credit expected; votes yes" : "votes no: ",
			 head->arg == STATUS_OK ? "" : status_text(head->arg));
		break;
	case RECORD_VOTE:
		snprintf(text, sizeof(text), "decision: %s%s",
			 head->arg == STATUS_OK ? "confirm; debited" : "cancel; hold released: ",
			 head->arg == STATUS_OK ? "" : status_text(head->arg));
		break;
	case RECORD_TIMEOUT:
		snprintf(text, sizeof(text), "decision: cancel; hold released: no vote in time");
		break;
	case RECORD_CONFIRM:
		snprintf(text, sizeof(text), "confirmed; credited");
		break;
	case RECORD_CANCEL:
		snprintf(text, sizeof(text), "cancelled%s",
			 story->cancel_first ? "; out of order: the cancel overtook the try" : "");
		break;
	default:
		snprintf(text, sizeof(text), "acknowledged; finished, answered: %s",
			 status_name(story->outcome));
		break;
	}
	return text;
}

static void print_text(const struct story *story)
{
	const struct transfer *transfer = &story->transfer;
	char text[48];
	char time[32];

	printf("transfer  %s\n", command_id_text(story->id, text));
	printf("debit     %s\n", command_id_text(transfer->debit, text));
	printf("credit    %s\n", command_id_text(transfer->credit, text));
	printf("amount    %" PRIu64 " of ledger %" PRIu32 ", code %u\n", transfer->amount,
	       transfer->ledger, transfer->code);
	printf("outcome   %s\n\n", story->finished ? status_name(story->outcome) : "under way");
	printf("%-24s %12s %10s %5s %s\n", "time", "epoch", "block", "shard", "what");
	for (uint32_t i = 0; i < story->count; i++) {
		const struct event *event = &story->events[i];
		printf("%-24s %12" PRIu64 " %10" PRIu64 " %5u %s\n",
		       command_time_text(event->time_ms, time), event->epoch, event->block,
		       event->shard, describe(story, event));
	}
}

static void print_json(const struct story *story)
{
	const struct transfer *transfer = &story->transfer;
	struct json json = json_begin(stdout);
	char text[48];

	json_object(&json, NULL);
	json_text(&json, "transfer", command_id_text(story->id, text));
	json_text(&json, "debit", command_id_text(transfer->debit, text));
	json_text(&json, "credit", command_id_text(transfer->credit, text));
	json_u64(&json, "amount", transfer->amount);
	json_u64(&json, "ledger", transfer->ledger);
	json_u64(&json, "code", transfer->code);
	json_bool(&json, "finished", story->finished);
	if (story->finished)
		json_text(&json, "outcome", status_name(story->outcome));
	json_bool(&json, "out_of_order", story->cancel_first);
	json_array(&json, "events");
	for (uint32_t i = 0; i < story->count; i++) {
		const struct event *event = &story->events[i];
		json_object(&json, NULL);
		json_text(&json, "time", command_time_text(event->time_ms, text));
		json_u64(&json, "epoch", event->epoch);
		json_u64(&json, "block", event->block);
		json_u64(&json, "shard", event->shard);
		json_text(&json, "record", record_name(event->head.kind));
		json_text(&json, "what", describe(story, event));
		json_close(&json);
	}
	json_close(&json);
	json_close(&json);
}

/* An id is taken from `ahead` before its own time until `window` behind it. */
static struct moment arrival_from(const struct node *node, struct id128 id)
{
	uint64_t time_ms = id_time_ms(id);
	uint64_t ahead_ms = node->limits.ahead_ms;

	return (struct moment){.epoch = UINT64_MAX,
			       .time_ms = time_ms > ahead_ms ? time_ms - ahead_ms : 0};
}

static enum node_end find(struct node *node, struct story *story)
{
	const struct moment from = arrival_from(node, story->id);
	uint64_t last_ms = id_time_ms(story->id) + node->limits.window_ms;
	enum node_end end = node_seek(node, &from);
	struct wal_block block;

	if (end != NODE_SOUND)
		return end;
	while (!story->finished && node_peek(node, &block, &end) &&
	       (story->count > 0 || block.header->time_ms <= last_ms)) {
		read_block(story, &block);
		node_skip(node);
	}
	return end;
}

enum node_end command_transfer(int argc, char **argv)
{
	static struct node node;
	static struct story story;
	bool as_json = false;
	const char *arguments[2];
	const struct command_option options[] = {
	    {"json", OPTION_FLAG, &as_json},
	    {NULL, OPTION_END, NULL},
	};

	if (!command_parse(argc, argv, options, arguments, 2, "transfer LOG ID [--json]") ||
	    !command_parse_id(arguments[1], &story.id))
		return NODE_USAGE;
	enum node_end end = node_open(&node, arguments[0]);
	if (end != NODE_SOUND) {
		command_error("%s", node.text);
		return end;
	}
	bool whole = node_is_whole(&node);
	end = find(&node, &story);
	if (end != NODE_SOUND)
		command_error("%s", node.text);
	if (story.received) {
		sort_events(&story);
		if (as_json)
			print_json(&story);
		else
			print_text(&story);
	} else if (end == NODE_SOUND || end == NODE_TORN) {
		command_error("there is no transfer %s in the log: it never came, or nothing of it "
			      "was to be remembered (busy, or an error in its content)%s",
			      arguments[1],
			      whole ? ""
				    : "; or it is in the part that was trimmed: name the archive");
		end = NODE_NOT_FOUND;
	}
	node_close(&node);
	return end;
}
