/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/summary.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define HASH_FORMAT "%016" PRIx64 "%016" PRIx64
#define LINE_BYTES  256

int summary_make(struct summary *summary, const struct wal_block_header *block,
		 struct shard *const *shards, uint32_t shard_count, const struct audit *audit,
		 const uint8_t *sha256)
{
	*summary = (struct summary){
	    .log_id = block->log_id,
	    .seq = block->seq,
	    .epoch = block->epoch,
	    .time_ms = block->time_ms,
	    .incarnation = block->incarnation,
	    .segment = block->segment,
	    .offset = block->offset,
	    .chain = wal_header_hash(block),
	    .hashed = sha256 != NULL,
	    .shards = shard_count,
	    .rows_pending = audit->rows_pending,
	    .ledger_count = audit->ledger_count,
	};
	if (sha256 != NULL)
		memcpy(summary->sha256, sha256, SUMMARY_SHA256);
	for (uint32_t i = 0; i < shard_count; i++)
		summary->digests[i] = shard_digest(shards[i]);
	summary->ledgers = calloc((size_t)audit->ledger_count + 1, sizeof(*summary->ledgers));
	if (summary->ledgers == NULL)
		return -ENOMEM;
	if (audit->ledger_count > 0)
		memcpy(summary->ledgers, audit->ledgers,
		       audit->ledger_count * sizeof(*summary->ledgers));
	return 0;
}

static void print_sha256(FILE *out, const struct summary *summary)
{
	fputs("sha256 ", out);
	for (int i = 0; i < SUMMARY_SHA256 && summary->hashed; i++)
		fprintf(out, "%02x", summary->sha256[i]);
	fputs(summary->hashed ? "\n" : "-\n", out);
}

static void print_lines(FILE *out, const struct summary *summary)
{
	char text[48];

	fprintf(out, "giro-summary %d\n", SUMMARY_VERSION);
	fprintf(out, "log %016" PRIx64 "\n", summary->log_id);
	fprintf(out, "block %" PRIu64 "\n", summary->seq);
	fprintf(out, "epoch %" PRIu64 "\n", summary->epoch);
	fprintf(out, "time_ms %" PRIu64 "\n", summary->time_ms);
	fprintf(out, "incarnation %" PRIu64 "\n", summary->incarnation);
	fprintf(out, "segment %" PRIu64 "\n", summary->segment);
	fprintf(out, "offset %" PRIu64 "\n", summary->offset);
	fprintf(out, "chain " HASH_FORMAT "\n", summary->chain.hi, summary->chain.lo);
	print_sha256(out, summary);
	fprintf(out, "shards %" PRIu32 "\n", summary->shards);
	for (uint32_t i = 0; i < summary->shards; i++)
		fprintf(out, "digest %" PRIu32 " " HASH_FORMAT "\n", i, summary->digests[i].hi,
			summary->digests[i].lo);
	fprintf(out, "pending %" PRIu64 "\n", summary->rows_pending);
	fprintf(out, "ledgers %" PRIu32 "\n", summary->ledger_count);
	for (uint32_t i = 0; i < summary->ledger_count; i++) {
		const struct audit_ledger *ledger = &summary->ledgers[i];
		fprintf(out, "ledger %" PRIu32 " accounts %" PRIu64 " credit %s", ledger->ledger,
			ledger->accounts, audit_sum_text(ledger->positive, text));
		fprintf(out, " balances %s", audit_sum_text(ledger->balances, text));
		fprintf(out, " flight %s\n", audit_sum_text(ledger->in_flight, text));
	}
}

char *summary_text(const struct summary *summary)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	print_lines(out, summary);
	fflush(out);
	fprintf(out, "checksum %016" PRIx64 "\n", (uint64_t)XXH3_64bits(text, size));
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/* Takes the next line apart; false when it is not the one that is expected, or does not match. */
__attribute__((format(scanf, 3, 4))) static bool line(const char **at, int values,
						      const char *format, ...)
{
	const char *end = strchr(*at, '\n');
	char copy[LINE_BYTES];
	va_list args;

	if (end == NULL || (size_t)(end - *at) >= sizeof(copy))
		return false;
	memcpy(copy, *at, (size_t)(end - *at));
	copy[end - *at] = '\0';
	*at = end + 1;
	va_start(args, format);
	int found = vsscanf(copy, format, args);
	va_end(args);
	return found == values;
}

/* Nothing but digits and a sign in front; what is too large fails the comparison of the whole. */
static audit_sum read_sum(const char *text)
{
	bool minus = *text == '-';
	__extension__ unsigned __int128 sum = 0;

	for (text += minus; *text >= '0' && *text <= '9'; text++)
		sum = sum * 10 + (unsigned)(*text - '0');
	return minus ? (audit_sum)-sum : (audit_sum)sum;
}

static bool read_sha256(const char **at, struct summary *summary)
{
	char text[LINE_BYTES];

	if (!line(at, 1, "sha256 %255s", text))
		return false;
	summary->hashed = strcmp(text, "-") != 0;
	for (int i = 0; i < SUMMARY_SHA256 && summary->hashed; i++) {
		unsigned value;
		if (strlen(text) != 2 * SUMMARY_SHA256 ||
		    sscanf(text + (ptrdiff_t)2 * i, "%2x", &value) != 1)
			return false;
		summary->sha256[i] = (uint8_t)value;
	}
	return true;
}

static bool read_ledgers(const char **at, struct summary *summary)
{
	if (!line(at, 1, "ledgers %" SCNu32, &summary->ledger_count) ||
	    summary->ledger_count > SUMMARY_BYTES_MAX / 8)
		return false;
	summary->ledgers = calloc((size_t)summary->ledger_count + 1, sizeof(*summary->ledgers));
	for (uint32_t i = 0; summary->ledgers != NULL && i < summary->ledger_count; i++) {
		struct audit_ledger *ledger = &summary->ledgers[i];
		char sums[3][48];
		if (!line(at, 5,
			  "ledger %" SCNu32 " accounts %" SCNu64
			  " credit %47s balances %47s flight %47s",
			  &ledger->ledger, &ledger->accounts, sums[0], sums[1], sums[2]))
			return false;
		ledger->positive = read_sum(sums[0]);
		ledger->balances = read_sum(sums[1]);
		ledger->in_flight = read_sum(sums[2]);
	}
	return summary->ledgers != NULL;
}

static bool read_lines(const char *at, struct summary *summary)
{
	uint32_t version;
	uint32_t index;

	if (!line(&at, 1, "giro-summary %" SCNu32, &version) ||
	    !line(&at, 1, "log %" SCNx64, &summary->log_id) ||
	    !line(&at, 1, "block %" SCNu64, &summary->seq) ||
	    !line(&at, 1, "epoch %" SCNu64, &summary->epoch) ||
	    !line(&at, 1, "time_ms %" SCNu64, &summary->time_ms) ||
	    !line(&at, 1, "incarnation %" SCNu64, &summary->incarnation) ||
	    !line(&at, 1, "segment %" SCNu64, &summary->segment) ||
	    !line(&at, 1, "offset %" SCNu64, &summary->offset) ||
	    !line(&at, 2, "chain %16" SCNx64 "%16" SCNx64, &summary->chain.hi,
		  &summary->chain.lo) ||
	    !read_sha256(&at, summary) || !line(&at, 1, "shards %" SCNu32, &summary->shards) ||
	    summary->shards < 1 || summary->shards > SHARDS_MAX)
		return false;
	for (uint32_t i = 0; i < summary->shards; i++) {
		if (!line(&at, 3, "digest %" SCNu32 " %16" SCNx64 "%16" SCNx64, &index,
			  &summary->digests[i].hi, &summary->digests[i].lo))
			return false;
	}
	return line(&at, 1, "pending %" SCNu64, &summary->rows_pending) &&
	       read_ledgers(&at, summary);
}

static char *read_file(const char *path, char *error)
{
	FILE *file = fopen(path, "re");
	char *text = file == NULL ? NULL : calloc(1, SUMMARY_BYTES_MAX + 1);

	if (text == NULL) {
		snprintf(error, SUMMARY_TEXT_BYTES, "summary %s: %s", path, strerror(errno));
	} else {
		fread(text, 1, SUMMARY_BYTES_MAX, file);
		if (ferror(file)) {
			snprintf(error, SUMMARY_TEXT_BYTES, "summary %s: %s", path,
				 strerror(errno));
			free(text);
			text = NULL;
		}
	}
	if (file != NULL)
		fclose(file);
	return text;
}

int summary_read(struct summary *summary, const char *path, char *error)
{
	*summary = (struct summary){0};
	char *text = read_file(path, error);
	uint32_t version = 0;

	if (text == NULL)
		return -EIO;
	/* Taken apart and put together again it must be the same, its checksum included. */
	bool sound = read_lines(text, summary);
	char *again = sound ? summary_text(summary) : NULL;
	sound = again != NULL && strcmp(again, text) == 0;
	free(again);
	if (!sound) {
		bool newer = sscanf(text, "giro-summary %" SCNu32, &version) == 1 &&
			     version != SUMMARY_VERSION;
		snprintf(error, SUMMARY_TEXT_BYTES,
			 newer ? "summary %s: it is of another version; use the giro that wrote it"
			       : "summary %s: it is none, or was changed: its checksum or a line "
				 "is wrong",
			 path);
		summary_free(summary);
	}
	free(text);
	return sound ? 0 : -EUCLEAN;
}

static uint32_t differ_u64(FILE *out, const char *what, uint64_t kept, uint64_t found)
{
	if (kept == found)
		return 0;
	fprintf(out, "%s: %" PRIu64 " in the summary, %" PRIu64 " in the log\n", what, kept, found);
	return 1;
}

static uint32_t differ_sum(FILE *out, uint32_t ledger, const char *what, audit_sum kept,
			   audit_sum found)
{
	char texts[2][48];

	if (kept == found)
		return 0;
	fprintf(out, "ledger %" PRIu32 ", %s: %s in the summary, %s in the log\n", ledger, what,
		audit_sum_text(kept, texts[0]), audit_sum_text(found, texts[1]));
	return 1;
}

static const struct audit_ledger *ledger_of(const struct summary *summary, uint32_t ledger)
{
	for (uint32_t i = 0; i < summary->ledger_count; i++) {
		if (summary->ledgers[i].ledger == ledger)
			return &summary->ledgers[i];
	}
	return NULL;
}

static uint32_t compare_ledgers(const struct summary *kept, const struct summary *found, FILE *out)
{
	uint32_t count = differ_u64(out, "ledgers", kept->ledger_count, found->ledger_count);

	for (uint32_t i = 0; i < kept->ledger_count; i++) {
		const struct audit_ledger *a = &kept->ledgers[i];
		const struct audit_ledger *b = ledger_of(found, a->ledger);
		if (b == NULL) {
			fprintf(out, "ledger %" PRIu32 ": in the summary, not in the log\n",
				a->ledger);
			count++;
			continue;
		}
		count += differ_sum(out, a->ledger, "accounts", (audit_sum)a->accounts,
				    (audit_sum)b->accounts);
		count += differ_sum(out, a->ledger, "in credit", a->positive, b->positive);
		count += differ_sum(out, a->ledger, "balances", a->balances, b->balances);
		count += differ_sum(out, a->ledger, "in flight", a->in_flight, b->in_flight);
	}
	return count;
}

uint32_t summary_compare(const struct summary *kept, const struct summary *found, FILE *out)
{
	uint32_t count = 0;

	count += differ_u64(out, "block", kept->seq, found->seq);
	count += differ_u64(out, "epoch", kept->epoch, found->epoch);
	count += differ_u64(out, "time_ms", kept->time_ms, found->time_ms);
	count += differ_u64(out, "incarnation", kept->incarnation, found->incarnation);
	count += differ_u64(out, "segment", kept->segment, found->segment);
	count += differ_u64(out, "offset", kept->offset, found->offset);
	if (!wal_hash_equal(kept->chain, found->chain)) {
		fputs("chain: the block, or one before it, is another one\n", out);
		count++;
	}
	if (kept->hashed && found->hashed &&
	    memcmp(kept->sha256, found->sha256, SUMMARY_SHA256) != 0) {
		fputs("sha256: some byte of some block up to there is another one\n", out);
		count++;
	}
	count += differ_u64(out, "shards", kept->shards, found->shards);
	for (uint32_t i = 0; i < kept->shards && i < found->shards; i++) {
		if (memcmp(&kept->digests[i], &found->digests[i], sizeof(kept->digests[i])) == 0)
			continue;
		fprintf(out, "digest: the state of shard %" PRIu32 " is another one\n", i);
		count++;
	}
	count += differ_u64(out, "rows pending", kept->rows_pending, found->rows_pending);
	return count + compare_ledgers(kept, found, out);
}

void summary_free(struct summary *summary)
{
	free(summary->ledgers);
	summary->ledgers = NULL;
}
