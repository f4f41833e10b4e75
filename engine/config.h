/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's configuration: one ini file, read with rte_cfgfile. Every key is in one table with
 * its range, its default and its text; a key or section that is not there is refused, a value out
 * of range too, so that a typing error cannot become a default.
 *
 * Read at start by the main thread. The section [clients] and [engine] shard_workers are read again
 * at SIGHUP, see engine/control.h; the rest holds until the process ends.
 */
#ifndef GIRO_ENGINE_CONFIG_H
#define GIRO_ENGINE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/client_rate.h"
#include "engine/idle.h"
#include "shard/shard.h"

#define CONFIG_TEXT_MAX	 256
#define CONFIG_ERROR_MAX 512

/* Rows in the table of keys, and settings on a command line, at most. */
#define CONFIG_KEYS_MAX	    64
#define CONFIG_SETTINGS_MAX 64

struct engine_config {
	char device[CONFIG_TEXT_MAX]; /* ethdev name or PCI address; "": the first */
	uint8_t address[4];
	uint8_t prefix_bits;
	uint16_t udp_port; /* shard i listens on udp_port + i */
	uint16_t mtu;
	uint16_t queues; /* at most, each way */
	uint16_t rx_descriptors;
	uint16_t tx_descriptors;

	uint32_t requests; /* datagrams in hand, a worker */
	enum idle_policy idle;

	struct shard_limits limits;

	/* Which worker has each shard, see slot_map_owners(). May change while running. */
	uint8_t shard_workers[SHARDS_MAX];
	uint8_t shard_workers_count; /* 0, or as many as shards */

	char log_path[CONFIG_TEXT_MAX];
	uint64_t segment_bytes;
	uint64_t section_bytes; /* a shard's records of one epoch */
	uint32_t epochs;	/* epochs between open and durable */
	uint32_t writes;	/* blocks in flight to the disk */

	struct client_limits clients; /* may change while running */
};

/* Where a configuration comes from: a file, and settings that prevail over it. Borrowed. */
struct config_input {
	const char *path;
	const char *settings[CONFIG_SETTINGS_MAX]; /* "section.key=value", of the command line */
	unsigned setting_count;
};

enum config_source {
	CONFIG_DEFAULT,
	CONFIG_FILE,
	CONFIG_COMMAND_LINE,
};

/* Where each value comes from, in the order of the table of keys. */
struct config_origins {
	struct {
		enum config_source source;
		unsigned line; /* CONFIG_FILE: from 1 on */
	} key[CONFIG_KEYS_MAX];
};

/* Reads `input`. Returns 0, or -1 with one line for people in `error`. Any thread; blocks on the
 * file, and allocates while it reads. */
int config_read(struct engine_config *config, struct config_origins *origins,
		const struct config_input *input, char error[CONFIG_ERROR_MAX]);

/* The same for a file alone. */
int config_load(struct engine_config *config, const char *path, char error[CONFIG_ERROR_MAX]);

/* Writes a documented sample: every key with its default, range and text. */
void config_print_sample(FILE *out);

/* Writes the effective configuration as a file that gives the same again: every key with its value
 * and where that comes from, then, as comments, what follows from them. */
void config_print_effective(const struct engine_config *config,
			    const struct config_origins *origins, const struct config_input *input,
			    FILE *out);

/* Calls `changed` for every key whose value differs: "[section] key", both values, and whether the
 * key may change while the engine runs. Returns how many differ. */
unsigned config_differences(const struct engine_config *from, const struct engine_config *to,
			    void (*changed)(void *context, const char *key, const char *from_value,
					    const char *to_value, bool live),
			    void *context);

const char *config_idle_name(enum idle_policy idle);

#endif
