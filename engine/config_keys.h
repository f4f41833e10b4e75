/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to config*.c and the control thread: the table of keys, one row each, and a key's value as text.
 */
#ifndef GIRO_ENGINE_CONFIG_KEYS_H
#define GIRO_ENGINE_CONFIG_KEYS_H

#include <stddef.h>

#include "engine/config.h"

enum key_type {
	KEY_TEXT,
	KEY_ADDRESS,
	KEY_IDLE,
	KEY_WORKERS, /* shard_workers */
	KEY_NUMBER,
};

struct config_key {
	const char *section;
	const char *name;
	enum key_type type;
	size_t offset;	/* in struct engine_config */
	size_t size;	/* of a number's field */
	uint64_t scale; /* the field holds value * scale */
	uint64_t min;
	uint64_t max;
	const char *value; /* default; NULL: the key must be given */
	const char *text;
};

/* In the order of the sample; origins stand in the same order. */
extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* Read again at SIGHUP: all of this section, and this key. Nothing else. */
#define CONFIG_LIVE_SECTION "clients"
#define CONFIG_LIVE_KEY	    "shard_workers"

/* Row of a key, or -1. */
int config_key_find(const char *section, const char *name);

/* The key's value in `config`, as it would be written in the file. */
void config_key_value(const struct config_key *key, const struct engine_config *config,
		      char text[CONFIG_TEXT_MAX]);

#endif
