/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/verify_report.h"

#include <inttypes.h>
#include <stdio.h>

#include "replay/command.h"
#include "replay/json.h"

static void print_ledgers(const struct audit *audit)
{
	char sum[48];
	char in_flight[48];
	char total[48];

	for (uint32_t i = 0; i < audit->ledger_count; i++) {
		const struct audit_ledger *ledger = &audit->ledgers[i];
		printf("ledger %-10" PRIu32 " %" PRIu64 " accounts, %s in credit, %s in flight, "
		       "sum %s%s\n",
		       ledger->ledger, ledger->accounts, audit_sum_text(ledger->positive, sum),
		       audit_sum_text(ledger->in_flight, in_flight),
		       audit_sum_text(ledger->balances + ledger->in_flight, total),
		       ledger->below_floor > 0 ? ", ACCOUNTS BELOW THEIR FLOOR" : "");
	}
	printf("rows pending      %" PRIu64 "\n", audit->rows_pending);
}

static void print_fault(const struct proof *proof)
{
	const struct replay_fault *fault = &proof->node->fault;

	if (!proof->node->diverged)
		return;
	printf("fault             block %" PRIu64 ", epoch %" PRIu64 ", segment %" PRIu64
	       ", offset %" PRIu64 "\n",
	       fault->seq, fault->epoch, fault->segment, fault->block_offset);
	if (fault->shard != REPLAY_NO_SHARD)
		printf("  record          shard %u, record %" PRIu64 ", byte %" PRIu64
		       " of its section\n",
		       fault->shard, fault->record, fault->offset);
	if (fault->expected[0] != '\0')
		printf("  expected        %s\n", fault->expected);
	if (fault->found[0] != '\0')
		printf("  found           %s\n", fault->found);
	printf(
	    "  what to do      keep the log, stop the engine, compare with a replica (giro-replay "
	    "diff)\n");
}

/* Where it began, if not at the first byte: what is before that nobody looked at. */
static void print_trust(const struct proof *proof)
{
	char time[32];

	if (proof->trusted)
		printf("on trust          the checkpoint behind block %" PRIu64 ", epoch %" PRIu64
		       " (%s): nothing before it was looked at\n",
		       proof->base.seq, proof->base.epoch,
		       command_time_text(proof->base.time_ms, time));
}

static void print_summary(const struct proof *proof)
{
	const struct summary *against = proof->request->against;

	if (against == NULL)
		return;
	if (!proof->compared)
		puts("summary           not compared");
	else if (proof->differences > 0)
		printf("summary           %" PRIu32 " differences\n", proof->differences);
	else
		printf("summary           the log up to block %" PRIu64 ", epoch %" PRIu64
		       ", is the one it was made of (%s)\n",
		       against->seq, against->epoch,
		       against->hashed && proof->hashed ? "every byte, by SHA-256"
							: "by the chain of hashes; SHA-256 was "
							  "not compared");
}

void verify_print_text(const struct proof *proof, enum node_end end)
{
	const struct node *node = proof->node;
	const struct replay_counts *counts = &node->replay.counts;
	const struct wal_tail *tail = wal_reader_tail(&node->reader);
	bool diverged = end == NODE_DIVERGED;
	char time[32];

	printf("log               %" PRIu64 " blocks to epoch %" PRIu64 " (%s), id %016" PRIx64
	       ", incarnation %" PRIu64 "\n",
	       counts->blocks, node->epoch, command_time_text(node->time_ms, time), tail->log_id,
	       tail->incarnation);
	printf("shards            %u\n", node->limits.shards);
	printf("transfers         %" PRIu64 " decided, %" PRIu64 " done, %" PRIu64
	       " between shards\n",
	       counts->transfers, counts->transfers_done, counts->transfers_cross);
	printf("records           %" PRIu64 ", %s\n", counts->records,
	       diverged ? "equal until they differ" : "every outcome computed again and equal");
	if (counts->transfers > 0)
		printf("bytes a transfer  %.1f\n",
		       (double)counts->record_bytes / (double)counts->transfers);
	printf("digests           %" PRIu64 " compared and equal\n", counts->digests_checked);
	printf("conservation      at %" PRIu64 " epochs every ledger sums to zero; %" PRIu64
	       " full audits\n",
	       proof->played.epochs, proof->played.audits);
	printf("checkpoints       %u equal to the replay, %u damaged\n", proof->equal_count,
	       proof->damaged);
	print_trust(proof);
	print_summary(proof);
	if (proof->seconds > 0)
		printf("replayed          %.3f s, %.0f records/s, %" PRIu64 " threads\n",
		       proof->seconds, (double)counts->records / proof->seconds,
		       proof->played.threads);
	if (proof->audited)
		print_ledgers(&proof->audit);
	print_fault(proof);
	printf("verdict           %s\n", command_verdict(end));
}

static void json_ledgers(struct json *json, const struct audit *audit)
{
	char text[48];

	json_u64(json, "rows_pending", audit->rows_pending);
	json_array(json, "ledgers");
	for (uint32_t i = 0; i < audit->ledger_count; i++) {
		const struct audit_ledger *ledger = &audit->ledgers[i];
		json_object(json, NULL);
		json_u64(json, "ledger", ledger->ledger);
		json_u64(json, "accounts", ledger->accounts);
		json_text(json, "in_credit", audit_sum_text(ledger->positive, text));
		json_text(json, "in_flight", audit_sum_text(ledger->in_flight, text));
		json_text(json, "sum", audit_sum_text(ledger->balances + ledger->in_flight, text));
		json_u64(json, "below_floor", ledger->below_floor);
		json_close(json);
	}
	json_close(json);
}

static void json_fault(struct json *json, const struct node *node, enum node_end end)
{
	const struct replay_fault *fault = &node->fault;
	const struct wal_fault *lost = &node->reader.fault;

	json_object(json, "fault");
	json_text(json, "text", node->text);
	if (node->diverged) {
		json_u64(json, "block", fault->seq);
		json_u64(json, "epoch", fault->epoch);
		json_u64(json, "segment", fault->segment);
		json_u64(json, "offset", fault->block_offset);
		if (fault->shard != REPLAY_NO_SHARD) {
			json_u64(json, "shard", fault->shard);
			json_u64(json, "record", fault->record);
			json_u64(json, "section_offset", fault->offset);
		}
		json_text(json, "expected", fault->expected);
		json_text(json, "found", fault->found);
	} else if (end == NODE_CORRUPT && lost->error != 0) {
		json_u64(json, "block", lost->seq);
		json_u64(json, "segment", lost->segment);
		json_u64(json, "offset", lost->offset);
		json_text(json, "found", wal_reason_text(lost->reason));
	}
	json_close(json);
}

static void json_proof(struct json *json, const struct proof *proof)
{
	json_bool(json, "from_first_byte", !proof->trusted);
	if (proof->trusted) {
		json_u64(json, "trusted_block", proof->base.seq);
		json_u64(json, "trusted_epoch", proof->base.epoch);
	}
	if (proof->request->against == NULL)
		return;
	json_bool(json, "summary_compared", proof->compared);
	json_bool(json, "summary_by_sha256",
		  proof->compared && proof->hashed && proof->request->against->hashed);
	json_u64(json, "summary_differences", proof->differences);
}

void verify_print_json(const struct proof *proof, enum node_end end)
{
	const struct node *node = proof->node;
	const struct replay_counts *counts = &node->replay.counts;
	const struct wal_tail *tail = wal_reader_tail(&node->reader);
	struct json json = json_begin(stdout);
	char text[32];

	json_object(&json, NULL);
	json_text(&json, "verdict", command_verdict(end));
	json_u64(&json, "exit_status", (uint64_t)end);
	snprintf(text, sizeof(text), "%016" PRIx64, tail->log_id);
	json_text(&json, "log_id", text);
	json_u64(&json, "incarnation", tail->incarnation);
	json_u64(&json, "blocks", counts->blocks);
	json_u64(&json, "epoch", node->epoch);
	json_text(&json, "time", command_time_text(node->time_ms, text));
	json_u64(&json, "shards", node->limits.shards);
	json_u64(&json, "transfers_decided", counts->transfers);
	json_u64(&json, "transfers_done", counts->transfers_done);
	json_u64(&json, "transfers_between_shards", counts->transfers_cross);
	json_u64(&json, "records", counts->records);
	json_u64(&json, "record_bytes", counts->record_bytes);
	json_u64(&json, "digests", counts->digests_checked);
	json_u64(&json, "epochs_conserved", proof->played.epochs);
	json_u64(&json, "audits", proof->played.audits);
	json_u64(&json, "checkpoints_equal", proof->equal_count);
	json_u64(&json, "checkpoints_damaged", proof->damaged);
	json_proof(&json, proof);
	json_u64(&json, "threads", proof->played.threads);
	json_real(&json, "seconds", proof->seconds);
	if (proof->audited)
		json_ledgers(&json, &proof->audit);
	if (end != NODE_SOUND)
		json_fault(&json, node, end);
	json_close(&json);
}
