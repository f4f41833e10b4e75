/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "engine/config_keys.h"
#include "engine/epoch.h"
#include "engine/log_writer.h"
#include "net/frame.h"
#include "net/wire.h"

static bool is_live(const struct config_key *key)
{
	return strcmp(key->section, CONFIG_LIVE_SECTION) == 0 ||
	       strcmp(key->name, CONFIG_LIVE_KEY) == 0;
}

/* "0,1,0,1" */
static void workers_text(const struct engine_config *config, char text[CONFIG_TEXT_MAX])
{
	size_t length = 0;

	_Static_assert(SHARDS_MAX * sizeof("63") < CONFIG_TEXT_MAX && WORKERS_MAX <= 100,
		       "two digits and a comma for each");
	text[0] = '\0';
	for (unsigned i = 0; i < config->shard_workers_count; i++)
		length += (size_t)snprintf(text + length, CONFIG_TEXT_MAX - length, "%s%u",
					   i > 0 ? "," : "", config->shard_workers[i]);
}

void config_key_value(const struct config_key *key, const struct engine_config *config,
		      char text[CONFIG_TEXT_MAX])
{
	const uint8_t *field = (const uint8_t *)config + key->offset;
	uint64_t number = 0;

	switch (key->type) {
	case KEY_TEXT:
		snprintf(text, CONFIG_TEXT_MAX, "%s", (const char *)field);
		return;
	case KEY_ADDRESS:
		snprintf(text, CONFIG_TEXT_MAX, "%u.%u.%u.%u/%u", config->address[0],
			 config->address[1], config->address[2], config->address[3],
			 config->prefix_bits);
		return;
	case KEY_IDLE:
		snprintf(text, CONFIG_TEXT_MAX, "%s", config_idle_name(config->idle));
		return;
	case KEY_WORKERS:
		workers_text(config, text);
		return;
	default:
		memcpy(&number, field, key->size);
		snprintf(text, CONFIG_TEXT_MAX, "%" PRIu64, number / key->scale);
		return;
	}
}

static void print_section(const struct config_key *key, const char **section, FILE *out)
{
	if (*section == NULL || strcmp(*section, key->section) != 0)
		fprintf(out, "\n[%s]\n", key->section);
	*section = key->section;
}

void config_print_sample(FILE *out)
{
	const char *section = NULL;

	fprintf(out,
		"# giro-engine configuration: every key with its default. The section [%s] and "
		"the key\n# %s are read again at SIGHUP, the rest at start only.\n",
		CONFIG_LIVE_SECTION, CONFIG_LIVE_KEY);
	for (size_t i = 0; i < config_key_count; i++) {
		const struct config_key *key = &config_keys[i];
		print_section(key, &section, out);
		fprintf(out, "# %s", key->text);
		if (key->type == KEY_NUMBER)
			fprintf(out, " (%" PRIu64 "..%" PRIu64 ")", key->min, key->max);
		fprintf(out, "\n%s%s=%s\n", key->value == NULL ? "# required: " : "", key->name,
			key->value == NULL ? "" : key->value);
	}
}

/* What the engine works out from the keys. */
static void print_derived(const struct engine_config *config, FILE *out)
{
	uint32_t shards = config->limits.shards;
	uint64_t payload_max = config->section_bytes * shards;
	uint32_t datagram = config->mtu - NET_FRAME_IP_UDP_BYTES;

	fprintf(out, "\n# derived\n");
	fprintf(out, "# UDP ports: %u..%u, one a shard\n", config->udp_port,
		config->udp_port + shards - 1);
	fprintf(out, "# records in a datagram: %zu of %u bytes\n",
		(datagram - sizeof(struct wire_header)) / WIRE_RECORD_BYTES, WIRE_RECORD_BYTES);
	fprintf(out, "# memory of all shards: %" PRIu64 " MiB\n",
		shards * (uint64_t)shard_bytes(&config->limits) >> 20);
	fprintf(out, "# memory of log buffers: %" PRIu64 " MiB\n",
		(uint64_t)epoch_clock_bytes(shards, config->epochs, config->section_bytes) >> 20);
	fprintf(out, "# largest log block: %" PRIu64 " KiB\n", payload_max >> 10);
	fprintf(out, "# log segments kept ready: %" PRIu64 " (%" PRIu64 " MiB)\n",
		log_writer_segments_ahead(config->epochs, payload_max, config->segment_bytes),
		log_writer_segments_ahead(config->epochs, payload_max, config->segment_bytes) *
		    (config->segment_bytes >> 20));
}

void config_print_effective(const struct engine_config *config,
			    const struct config_origins *origins, const struct config_input *input,
			    FILE *out)
{
	const char *section = NULL;

	fprintf(out,
		"# giro-engine: the effective configuration and where each value comes from\n");
	for (size_t i = 0; i < config_key_count; i++) {
		const struct config_key *key = &config_keys[i];
		char line[CONFIG_TEXT_MAX + 64];
		char value[CONFIG_TEXT_MAX];
		print_section(key, &section, out);
		config_key_value(key, config, value);
		snprintf(line, sizeof(line), "%s=%s", key->name, value);
		fprintf(out, "%-36s # ", line);
		if (origins->key[i].source == CONFIG_COMMAND_LINE)
			fprintf(out, "command line\n");
		else if (origins->key[i].source == CONFIG_FILE)
			fprintf(out, "%s:%u\n", input->path, origins->key[i].line);
		else
			fprintf(out, "default\n");
	}
	print_derived(config, out);
}

unsigned config_differences(const struct engine_config *from, const struct engine_config *to,
			    void (*changed)(void *context, const char *key, const char *from_value,
					    const char *to_value, bool live),
			    void *context)
{
	unsigned count = 0;

	for (size_t i = 0; i < config_key_count; i++) {
		const struct config_key *key = &config_keys[i];
		char name[CONFIG_TEXT_MAX];
		char old[CONFIG_TEXT_MAX];
		char new[CONFIG_TEXT_MAX];
		config_key_value(key, from, old);
		config_key_value(key, to, new);
		if (strcmp(old, new) == 0)
			continue;
		count++;
		snprintf(name, sizeof(name), "[%s] %s", key->section, key->name);
		changed(context, name, old, new, is_live(key));
	}
	return count;
}
