/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as the engine's configuration file. A file that is taken gives limits that the engine can
 * be started with; a refusal is one line that names the file.
 */
#include <rte_log.h>

#include "engine/config.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/target.h"
#include "wal/format.h"

enum { TAKEN, TAKEN_WITH_ADDRESS, REFUSALS };

struct fuzz_branch fuzz_branches[] = {
    [TAKEN] = {"taken", 0},
    [TAKEN_WITH_ADDRESS] = {"taken, with another address than the sample's", 0},
    {"is neither [section] nor key=value", 0},
    {"not an ini file", 0},
    {"unknown section", 0},
    {"given twice: section", 0},
    {"unknown key", 0},
    {"given twice: key", 0},
    {"must have 'address'", 0},
    {"must have 'path'", 0},
    {"must be a shorter text", 0},
    {"must be an IPv4 address", 0},
    {"must be poll, yield or sleep", 0},
    {"must be a number in", 0},
    {"rows must be a power of two", 0},
    {"ahead must not exceed the window", 0},
    {"buffer_kib must be a multiple of 4", 0},
    {"epochs must be more than writes", 0},
    {"buffer_kib * shards must not exceed", 0},
    {"segment_mib must hold at least four", 0},
    {"segment_mib is too small", 0},
    {NULL, 0},
};

static void check_taken(const struct engine_config *config)
{
	static const uint8_t sample[4] = {10, 77, 0, 1};

	CHECK(shard_limits_fault(&config->limits) == NULL);
	CHECK(shard_bytes(&config->limits) > 0);
	CHECK(config->prefix_bits <= 32 && config->idle <= IDLE_SLEEP);
	CHECK(config->mtu >= 1280 && config->requests >= 1);
	CHECK(config->section_bytes % WAL_PAGE == 0 && config->epochs > config->writes);
	CHECK(config->section_bytes * config->limits.shards <= WAL_PAYLOAD_MAX);
	CHECK(config->segment_bytes <= WAL_SEGMENT_BYTES_MAX);
	CHECK(strlen(config->log_path) < CONFIG_TEXT_MAX);
	fuzz_reach(memcmp(config->address, sample, 4) == 0 ? TAKEN : TAKEN_WITH_ADDRESS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = memory_file_set(0, data, size);
	struct engine_config config;
	char error[CONFIG_ERROR_MAX];

	/* It tells of every bad line in its own words too. */
	rte_log_set_global_level(RTE_LOG_EMERG);
	int result = config_load(&config, path, error);
	CHECK(result == 0 || result == -1);
	if (result == 0) {
		check_taken(&config);
		return 0;
	}
	CHECK(strncmp(error, path, strlen(path)) == 0);
	CHECK(strlen(error) < CONFIG_ERROR_MAX && strchr(error, '\n') == NULL);
	fuzz_reach_text(REFUSALS, error);
	return 0;
}
