/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's start, as far as the log goes, without DPDK: so that it runs under ASan on damaged
 * logs. Opens a log directory as the engine does, recovers, begins a new incarnation, and prints
 * every balance.
 *
 *   recover LOG SEGMENT_MIB SHARDS ACCOUNTS IDS_PER_SECOND WINDOW_S AHEAD_S
 *
 * Exit status: 0 recovered, the OPEN block is in the log; 1 refused, the reason is on stderr; 2
 * usage.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/recovery.h"

#define WRITES 2

static void print_balances(struct shard *const *shards, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct account_table *table = &shards[i]->accounts;
		for (uint64_t line = 0; line < table->line_count; line++) {
			const struct account *account = &table->lines[line];
			/* The accounts of these tests have small ids. */
			if (!id_is_zero(account->id))
				printf("%" PRIu64 ",%" PRId64 "\n", account->id.lo,
				       account->balance);
		}
	}
}

static bool make_shards(struct shard **shards, const struct shard_limits *limits)
{
	size_t bytes = wal_padded(shard_bytes(limits));

	for (uint32_t i = 0; i < limits->shards; i++) {
		void *memory = aligned_alloc(WAL_PAGE, bytes);
		if (memory == NULL)
			return false;
		shards[i] = shard_new(memset(memory, 0, bytes), limits, i);
	}
	return true;
}

static int recover(const char *path, uint64_t segment_bytes, const struct shard_limits *limits,
		   struct shard *const *shards)
{
	const struct wal_disk_options disk_options = {
	    .write = true, .segment_bytes = segment_bytes, .lock_wait_ms = 5000};
	const struct recovery_options options = {
	    .log = path, .limits = limits, .new_log_id = 1, .writes = WRITES};
	static struct recovery recovery;
	char error[RECOVERY_ERROR_MAX] = "";
	struct wal_disk *disk;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (wal_disk_open(&disk, path, &disk_options, error) != 0) {
		fprintf(stderr, "recover: %s\n", error);
		return 1;
	}
	int failed = recovery_read(&recovery, disk, &options, shards, error);
	if (failed == 0)
		failed = recovery_begin(&recovery, (uint64_t)now.tv_sec * 1000, shards, error);
	if (failed == 0) {
		print_balances(shards, limits->shards);
		recovery_close(&recovery);
	} else {
		fprintf(stderr, "recover: %s\n", error);
	}
	disk->ops->close(disk);
	return failed != 0;
}

int main(int argc, char **argv)
{
	struct shard *shards[SHARDS_MAX] = {0};
	uint64_t number[8] = {0};

	if (argc != 8) {
		fprintf(stderr, "usage: recover LOG SEGMENT_MIB SHARDS ACCOUNTS IDS_PER_SECOND "
				"WINDOW_S AHEAD_S\n");
		return 2;
	}
	for (int i = 2; i < argc; i++)
		number[i] = strtoull(argv[i], NULL, 10);
	const struct shard_limits limits = {
	    .shards = (uint32_t)number[3],
	    .rows = 4096,
	    .accounts_max = number[4],
	    .window_ms = number[6] * 1000,
	    .ahead_ms = number[7] * 1000,
	    .ids_per_second = number[5],
	};
	if (shard_limits_fault(&limits) != NULL || !make_shards(shards, &limits)) {
		fprintf(stderr, "recover: no such shards\n");
		return 2;
	}
	int status = recover(argv[1], number[2] << 20, &limits, shards);
	for (uint32_t i = 0; i < limits.shards; i++)
		free(shards[i]);
	return status;
}
