/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's configuration: one ini file, read with rte_cfgfile. Every key is in one table with
 * its range, its default and its text; a key or section that is not there is refused, a value out
 * of range too, so that a typing error cannot become a default.
 *
 * Read once at start, by the main thread.
 */
#ifndef GIRO_ENGINE_CONFIG_H
#define GIRO_ENGINE_CONFIG_H

#include <stdint.h>
#include <stdio.h>

#include "engine/idle.h"
#include "shard/shard.h"

#define CONFIG_TEXT_MAX	 256
#define CONFIG_ERROR_MAX 512

struct engine_config {
	char device[CONFIG_TEXT_MAX]; /* ethdev name or PCI address; "": the first */
	uint8_t address[4];
	uint8_t prefix_bits;
	uint16_t udp_port; /* shard i listens on udp_port + i */
	uint16_t mtu;
	uint16_t rx_descriptors;
	uint16_t tx_descriptors;

	uint32_t requests; /* datagrams in hand, a worker */
	enum idle_policy idle;

	struct shard_limits limits;

	char log_path[CONFIG_TEXT_MAX];
	uint64_t segment_bytes;
	uint64_t section_bytes; /* a shard's records of one epoch */
	uint32_t epochs;	/* epochs between open and durable */
	uint32_t writes;	/* blocks in flight to the disk */
};

/* Reads `path`. Returns 0, or -1 with one line for people in `error`. */
int config_load(struct engine_config *config, const char *path, char error[CONFIG_ERROR_MAX]);

/* Writes a documented sample: every key with its default, range and text. */
void config_print_sample(FILE *out);

const char *config_idle_name(enum idle_policy idle);

#endif
