/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-bench: what came of it, for people and as JSON.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "client/bench.h"

static const struct {
	const char *name;
	double share;
} percentiles[] = {
    {"p50", 0.50}, {"p90", 0.90}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999},
};
#define PERCENTILES (sizeof(percentiles) / sizeof(percentiles[0]))

static double mean_us(const struct histogram *latency)
{
	return latency->count > 0 ? latency->sum / (double)latency->count / 1e3 : 0;
}

static double per_second(const struct bench *bench, uint64_t count)
{
	return bench->measured_s > 0 ? (double)count / bench->measured_s : 0;
}

static const char *verdict(const struct bench *bench)
{
	if (!bench->checked)
		return "not checked";
	if (!bench->sum_zero)
		return "WRONG: the balances do not add up to zero";
	if (!bench->balances_match)
		return "WRONG: balances differ from what the outcomes say";
	return bench->in_doubt > 0 ? "adds up to zero (some outcomes are not known, so the single "
				     "balances were not compared)"
				   : "adds up to zero, and each balance is what the outcomes say";
}

void bench_print(const struct bench *bench)
{
	const struct bench_options *options = &bench->options;
	const struct giro_info *info = giro_info(bench->giro);

	printf("load         ");
	if (options->rate > 0)
		printf("open loop at %.0f transfers/s", options->rate);
	else
		printf("closed loop of %u payers", options->in_flight * options->batch);
	printf(", %u accounts, skew %.3f, %.1f %% across shards\n", options->accounts,
	       options->skew, bench->cross * 100);
	printf("datagrams    %u transfers of 64 bytes, at most %u in flight\n",
	       info->datagram_records, options->in_flight);
	printf("engine       %s, %u shards\n", options->server, info->shards);
	printf("rate         %.0f transfers/s done, %.0f outcomes/s, over %.2f s\n",
	       per_second(bench, bench->moved), per_second(bench, bench->completed),
	       bench->measured_s);
	printf("latency      ");
	for (size_t i = 0; i < PERCENTILES; i++)
		printf("%s %.3f  ", percentiles[i].name,
		       (double)histogram_percentile(&bench->latency, percentiles[i].share) / 1e6);
	printf("max %.3f ms\n", (double)bench->latency.max / 1e6);
	printf("outcomes     ");
	for (int i = 0; i < OUTCOME_COUNTS; i++) {
		if (bench->outcomes[i] > 0)
			printf("%s %" PRIu64 "  ", giro_outcome_name(i - OUTCOME_ZERO),
			       bench->outcomes[i]);
	}
	const struct giro_statistics *a = &bench->before, *b = &bench->after;
	printf("\nnetwork      %" PRIu64 " datagrams sent, %" PRIu64 " of them again; %" PRIu64
	       " answers, %" PRIu64 " stale, %" PRIu64 " bad; busy %" PRIu64 " datagrams, %" PRIu64
	       " records; pending %" PRIu64 "; misplaced %" PRIu64 "\n",
	       b->datagrams - a->datagrams, b->retransmits - a->retransmits,
	       b->replies - a->replies, b->replies_stale - a->replies_stale,
	       b->replies_bad - a->replies_bad, b->datagrams_busy - a->datagrams_busy,
	       b->records_busy - a->records_busy, b->records_pending - a->records_pending,
	       b->records_misplaced - a->records_misplaced);
	printf("ledger       %s\n", verdict(bench));
}

static void json_network(FILE *file, const struct bench *bench)
{
	const struct giro_statistics *a = &bench->before, *b = &bench->after;

	fprintf(
	    file,
	    "  \"network\": {\"datagrams\": %" PRIu64 ", \"retransmits\": %" PRIu64
	    ", \"replies\": %" PRIu64 ", \"replies_stale\": %" PRIu64 ", \"replies_bad\": %" PRIu64
	    ", \"datagrams_busy\": %" PRIu64 ", \"records_busy\": %" PRIu64
	    ", \"records_pending\": %" PRIu64 ", \"records_misplaced\": %" PRIu64 "},\n",
	    b->datagrams - a->datagrams, b->retransmits - a->retransmits, b->replies - a->replies,
	    b->replies_stale - a->replies_stale, b->replies_bad - a->replies_bad,
	    b->datagrams_busy - a->datagrams_busy, b->records_busy - a->records_busy,
	    b->records_pending - a->records_pending, b->records_misplaced - a->records_misplaced);
}

bool bench_write_json(const struct bench *bench, const char *path)
{
	const struct bench_options *options = &bench->options;
	const struct giro_info *info = giro_info(bench->giro);
	const char *comma = "";
	FILE *file = fopen(path, "w");

	if (file == NULL)
		return false;
	fprintf(file,
		"{\n"
		"  \"shards\": %u,\n"
		"  \"accounts\": %u,\n"
		"  \"batch\": %u,\n"
		"  \"in_flight\": %u,\n"
		"  \"skew\": %g,\n"
		"  \"cross\": %.6f,\n"
		"  \"offered_rate\": %.3f,\n"
		"  \"seconds\": %.6f,\n"
		"  \"transfers\": %" PRIu64 ",\n"
		"  \"rate\": %.3f,\n"
		"  \"outcome_rate\": %.3f,\n"
		"  \"latency_us\": {\"mean\": %.3f, ",
		info->shards, options->accounts, info->datagram_records, options->in_flight,
		options->skew, bench->cross, options->rate, bench->measured_s, bench->moved,
		per_second(bench, bench->moved), per_second(bench, bench->completed),
		mean_us(&bench->latency));
	for (size_t i = 0; i < PERCENTILES; i++)
		fprintf(file, "\"%s\": %.3f, ", percentiles[i].name,
			(double)histogram_percentile(&bench->latency, percentiles[i].share) / 1e3);
	fprintf(file, "\"max\": %.3f},\n  \"outcomes\": {", (double)bench->latency.max / 1e3);
	for (int i = 0; i < OUTCOME_COUNTS; i++) {
		if (bench->outcomes[i] == 0)
			continue;
		fprintf(file, "%s\"%s\": %" PRIu64, comma, giro_outcome_name(i - OUTCOME_ZERO),
			bench->outcomes[i]);
		comma = ", ";
	}
	fprintf(file, "},\n");
	json_network(file, bench);
	fprintf(file,
		"  \"ledger\": {\"checked\": %s, \"sum_zero\": %s, \"balances_match\": %s, "
		"\"mismatches\": %" PRIu64 ", \"in_doubt\": %" PRIu64 "}\n}\n",
		bench->checked ? "true" : "false", bench->sum_zero ? "true" : "false",
		bench->balances_match ? "true" : "false",
		bench->in_doubt > 0 ? 0 : bench->mismatches, bench->in_doubt);
	return fclose(file) == 0;
}
