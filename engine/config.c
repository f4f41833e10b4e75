/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cfgfile.h>

#include "engine/config_keys.h"
#include "engine/epoch.h"
#include "engine/log_writer.h"
#include "engine/worker.h"
#include "net/frame.h"
#include "wal/writer.h"

#define FIELD(field) \
	offsetof(struct engine_config, field), sizeof(((struct engine_config *)0)->field)
#define NO_RANGE 0, 0, 0

const struct config_key config_keys[] = {
    {"port", "device", KEY_TEXT, FIELD(device), NO_RANGE, "",
     "Ethernet device: an ethdev name or PCI address; empty: the first that EAL found"},
    {"port", "address", KEY_ADDRESS, FIELD(address), NO_RANGE, NULL,
     "the engine's IPv4 address and prefix, such as 10.77.0.1/24"},
    {"port", "udp_port", KEY_NUMBER, FIELD(udp_port), 1, 1, 65535 - SHARDS_MAX, "7400",
     "UDP port of shard 0; shard i listens on udp_port + i"},
    {"port", "mtu", KEY_NUMBER, FIELD(mtu), 1, 1280, NET_FRAME_MTU_MAX, "1500",
     "largest IPv4 packet, bytes"},
    {"port", "queues", KEY_NUMBER, FIELD(queues), 1, 1, WORKERS_MAX, "64",
     "receive and transmit queues, at most; as a rule one a worker, as far as the device has them"},
    {"port", "rx_descriptors", KEY_NUMBER, FIELD(rx_descriptors), 1, 64, 32768, "1024",
     "receive descriptors a queue"},
    {"port", "tx_descriptors", KEY_NUMBER, FIELD(tx_descriptors), 1, 64, 32768, "1024",
     "transmit descriptors a queue"},
    {"engine", "shards", KEY_NUMBER, FIELD(limits.shards), 1, 1, SHARDS_MAX, "1",
     "account shards; fixed for the life of a log"},
    {"engine", "requests", KEY_NUMBER, FIELD(requests), 1, 1, WORKER_REQUESTS_MAX, "4096",
     "datagrams in hand, a worker; more are answered BUSY, and those of one client that has as "
     "many in hand as there is room for more, or of one host that has twice as many"},
    {"engine", "idle", KEY_IDLE, FIELD(idle), NO_RANGE, "sleep",
     "what a thread without work does: poll (cores of their own), yield, or sleep (shared cores)"},
    {"engine", "shard_workers", KEY_WORKERS, FIELD(shard_workers), NO_RANGE, "",
     "worker of each shard, such as 0,1,0,1; each worker has one or more; empty: shard i has "
     "worker "
     "i % workers"},
    {"shard", "accounts", KEY_NUMBER, FIELD(limits.accounts_max), 1, 1, UINT64_C(1) << 32,
     "1000000", "accounts a shard can hold"},
    {"shard", "window_s", KEY_NUMBER, FIELD(limits.window_ms), 1000, 1, 7 * 24 * 3600, "60",
     "how long an id's outcome is remembered, seconds; fixed for the life of a log"},
    {"shard", "ahead_s", KEY_NUMBER, FIELD(limits.ahead_ms), 1000, 0, 3600, "10",
     "how far ahead of the engine's clock an id may be, seconds; fixed for the life of a log"},
    {"shard", "ids_per_second", KEY_NUMBER, FIELD(limits.ids_per_second), 1, 1, UINT64_C(1) << 30,
     "100000",
     "new ids a second that a shard takes, and remembers for the whole window; more are BUSY"},
    {"shard", "rows", KEY_NUMBER, FIELD(limits.rows), 1, PHASE_ROWS_MIN, PHASE_ROWS_MAX, "4096",
     "cross-shard transfers under way from a shard to one other; a power of two"},
    {"shard", "try_timeout_ms", KEY_NUMBER, FIELD(limits.try_timeout_ms), 1, 0, 3600000, "10000",
     "cancel a cross-shard transfer whose try has had no answer for so long; 0: never"},
    {"log", "path", KEY_TEXT, FIELD(log_path), NO_RANGE, NULL,
     "an existing directory, or a block device"},
    {"log", "segment_mib", KEY_NUMBER, FIELD(segment_bytes), 1 << 20, 1, 1 << 20, "256",
     "size of a log segment, MiB; fixed for the life of a log"},
    {"log", "buffer_kib", KEY_NUMBER, FIELD(section_bytes), 1 << 10, 64, 1 << 15, "1024",
     "records of one shard in one epoch, KiB; a multiple of 4"},
    {"log", "epochs", KEY_NUMBER, FIELD(epochs), 1, EPOCH_SLOTS_MIN, EPOCH_SLOTS_MAX, "8",
     "epochs between the open and the durable one"},
    {"log", "writes", KEY_NUMBER, FIELD(writes), 1, 1, WAL_BLOCKS_IN_FLIGHT_MAX, "2",
     "log blocks in flight to the disk"},
    {"clients", "records_per_second", KEY_NUMBER, FIELD(clients.records_per_second), 1, 0,
     CLIENT_RATE_MAX, "0",
     "records a second from one address to one worker, more are answered BUSY; 0: no limit"},
    {"clients", "burst_ms", KEY_NUMBER, FIELD(clients.burst_ms), 1, 1, CLIENT_BURST_MS_MAX, "100",
     "how long a client may have saved up for, milliseconds of records_per_second"},
};
#define KEYS (sizeof(config_keys) / sizeof(config_keys[0]))
_Static_assert(KEYS <= CONFIG_KEYS_MAX, "every key has its origin");

const size_t config_key_count = KEYS;

static const char *const idle_names[] = {
    [IDLE_POLL] = "poll",
    [IDLE_YIELD] = "yield",
    [IDLE_SLEEP] = "sleep",
};

const char *config_idle_name(enum idle_policy idle)
{
	return idle_names[idle];
}

/* Setting one key. Each returns NULL or what the value should have been. */

static const char *set_text(struct engine_config *config, const struct config_key *key,
			    const char *value)
{
	/* One that fills rte_cfgfile's room may have been cut by it. */
	_Static_assert(CONFIG_TEXT_MAX <= CFG_VALUE_LEN, "so long a value is cut");
	if (strlen(value) >= CONFIG_TEXT_MAX - 1)
		return "a shorter text";
	strcpy((char *)config + key->offset, value);
	return NULL;
}

static const char *set_address(struct engine_config *config, const char *value)
{
	static const char wanted[] = "an IPv4 address and prefix such as 10.77.0.1/24";
	char address[INET_ADDRSTRLEN];
	const char *slash = strchr(value, '/');
	char *end;

	if (slash == NULL || (size_t)(slash - value) >= sizeof(address))
		return wanted;
	memcpy(address, value, (size_t)(slash - value));
	address[slash - value] = '\0';
	long bits = strtol(slash + 1, &end, 10);
	if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || bits > 32 ||
	    inet_pton(AF_INET, address, config->address) != 1)
		return wanted;
	config->prefix_bits = (uint8_t)bits;
	return NULL;
}

static const char *set_idle(struct engine_config *config, const char *value)
{
	for (size_t i = 0; i < sizeof(idle_names) / sizeof(idle_names[0]); i++) {
		if (strcmp(value, idle_names[i]) == 0) {
			config->idle = (enum idle_policy)i;
			return NULL;
		}
	}
	return "poll, yield or sleep";
}

static const char *set_workers(struct engine_config *config, const char *value)
{
	static const char wanted[] = "numbers of workers, one for each shard, such as 0,1,0,1";

	config->shard_workers_count = 0;
	while (*value != '\0') {
		char *end;
		unsigned long worker = strtoul(value, &end, 10);
		if (*value < '0' || *value > '9' || worker >= WORKERS_MAX ||
		    config->shard_workers_count == SHARDS_MAX || (*end != ',' && *end != '\0') ||
		    (*end == ',' && end[1] == '\0'))
			return wanted;
		config->shard_workers[config->shard_workers_count++] = (uint8_t)worker;
		value = *end == ',' ? end + 1 + strspn(end + 1, " ") : end;
	}
	return NULL;
}

static const char *set_number(struct engine_config *config, const struct config_key *key,
			      const char *value)
{
	static char wanted[96];
	uint8_t *field = (uint8_t *)config + key->offset;
	char *end;

	errno = 0;
	uint64_t number = strtoull(value, &end, 10);
	if (*value < '0' || *value > '9' || *end != '\0' || errno != 0 || number < key->min ||
	    number > key->max) {
		snprintf(wanted, sizeof(wanted), "a number in %" PRIu64 "..%" PRIu64, key->min,
			 key->max);
		return wanted;
	}
	/* Little-endian: the low bytes of the value are the narrow field. */
	number *= key->scale;
	memcpy(field, &number, key->size);
	return NULL;
}

static const char *set_key(struct engine_config *config, const struct config_key *key,
			   const char *value)
{
	switch (key->type) {
	case KEY_TEXT:
		return set_text(config, key, value);
	case KEY_ADDRESS:
		return set_address(config, value);
	case KEY_IDLE:
		return set_idle(config, value);
	case KEY_WORKERS:
		return set_workers(config, value);
	default:
		return set_number(config, key, value);
	}
}

/* What no single key can tell. */
static const char *check_whole(const struct engine_config *config)
{
	const char *fault = shard_limits_fault(&config->limits);

	if (fault != NULL)
		return fault;
	if (config->shard_workers_count != 0 &&
	    config->shard_workers_count != config->limits.shards)
		return "[engine] shard_workers must name a worker for each shard: as many numbers "
		       "as "
		       "shards";
	if (config->section_bytes % WAL_PAGE != 0)
		return "buffer_kib must be a multiple of 4";
	if (config->epochs <= config->writes)
		return "epochs must be more than writes";
	if (config->section_bytes * config->limits.shards > WAL_PAYLOAD_MAX)
		return "buffer_kib * shards must not exceed 64 MiB, the largest log block";
	uint64_t payload_max = config->section_bytes * config->limits.shards;
	if (config->segment_bytes < 4 * payload_max)
		return "segment_mib must hold at least four blocks of buffer_kib * shards";
	if (log_writer_segments_ahead(config->epochs, payload_max, config->segment_bytes) >
	    WAL_SEGMENTS_AHEAD_MAX)
		return "segment_mib is too small: eight segments must hold 2 * epochs blocks of "
		       "buffer_kib * shards";
	return NULL;
}

int config_key_find(const char *section, const char *name)
{
	for (size_t i = 0; i < KEYS; i++) {
		if (strcmp(config_keys[i].section, section) == 0 &&
		    strcmp(config_keys[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

static bool is_section(const char *section)
{
	for (size_t i = 0; i < KEYS; i++) {
		if (strcmp(config_keys[i].section, section) == 0)
			return true;
	}
	return false;
}

/* What is wrong with entry `index` of a section, or NULL. rte_cfgfile takes the first of two and says
 * nothing. */
static const char *entry_fault(const char *section, const struct rte_cfgfile_entry *entries,
			       int index)
{
	if (config_key_find(section, entries[index].name) < 0)
		return "unknown key";
	for (int i = 0; i < index; i++) {
		if (strcmp(entries[i].name, entries[index].name) == 0)
			return "given twice: key";
	}
	return NULL;
}

/* Refuses what no key of ours asks for, and what would be passed over. */
static int refuse_unknown(struct rte_cfgfile *file, const char *path, char error[CONFIG_ERROR_MAX])
{
	int sections = rte_cfgfile_num_sections(file, NULL, 0);

	for (int s = 0; s < sections; s++) {
		struct rte_cfgfile_entry entries[64];
		char section[CFG_NAME_LEN];
		int count = rte_cfgfile_section_entries_by_index(file, s, section, entries, 64);
		const char *fault = !is_section(section) ? "unknown section" : NULL;
		if (fault == NULL &&
		    rte_cfgfile_num_sections(file, section, strlen(section) + 1) > 1)
			fault = "given twice: section";
		if (fault != NULL) {
			snprintf(error, CONFIG_ERROR_MAX, "%s: %s [%.64s]", path, fault, section);
			return -1;
		}
		for (int i = 0; i < count; i++) {
			fault = entry_fault(section, entries, i);
			if (fault == NULL)
				continue;
			snprintf(error, CONFIG_ERROR_MAX, "%s: %s '%.64s' in [%.64s]", path, fault,
				 entries[i].name, section);
			return -1;
		}
	}
	return 0;
}

/* Where a value stands, for people: the file and its line, or the command line. */
static void place_of(char text[CONFIG_TEXT_MAX], const struct config_input *input,
		     const struct config_origins *origins, size_t key)
{
	if (origins->key[key].source == CONFIG_COMMAND_LINE)
		snprintf(text, CONFIG_TEXT_MAX, "%.200s, --set", input->path);
	else if (origins->key[key].source == CONFIG_FILE)
		snprintf(text, CONFIG_TEXT_MAX, "%.200s:%u", input->path, origins->key[key].line);
	else
		snprintf(text, CONFIG_TEXT_MAX, "%.200s", input->path);
}

/* The value that the command line gives `key`, or NULL. The last one counts. */
static const char *setting_of(const struct config_input *input, const struct config_key *key)
{
	size_t section = strlen(key->section);
	size_t name = strlen(key->name);

	for (unsigned i = input->setting_count; i-- > 0;) {
		const char *text = input->settings[i];
		if (strncmp(text, key->section, section) == 0 && text[section] == '.' &&
		    strncmp(text + section + 1, key->name, name) == 0 &&
		    text[section + 1 + name] == '=')
			return text + section + 1 + name + 1;
	}
	return NULL;
}

static int refuse_settings(const struct config_input *input, char error[CONFIG_ERROR_MAX])
{
	for (unsigned i = 0; i < input->setting_count; i++) {
		bool known = false;
		for (size_t k = 0; k < KEYS && !known; k++) {
			const struct config_input one = {.settings = {input->settings[i]},
							 .setting_count = 1};
			known = setting_of(&one, &config_keys[k]) != NULL;
		}
		if (known)
			continue;
		snprintf(error, CONFIG_ERROR_MAX,
			 "--set %.200s is not section.key=value with a key of the configuration; "
			 "--sample-config shows them all",
			 input->settings[i]);
		return -1;
	}
	return 0;
}

static int set_all(struct engine_config *config, struct config_origins *origins,
		   const struct config_input *input, struct rte_cfgfile *file,
		   char error[CONFIG_ERROR_MAX])
{
	char place[CONFIG_TEXT_MAX];

	for (size_t i = 0; i < KEYS; i++) {
		const struct config_key *key = &config_keys[i];
		const char *value = setting_of(input, key);
		if (value != NULL)
			origins->key[i].source = CONFIG_COMMAND_LINE;
		else if ((value = rte_cfgfile_get_entry(file, key->section, key->name)) != NULL)
			origins->key[i].source = CONFIG_FILE;
		else
			value = key->value;
		place_of(place, input, origins, i);
		if (value == NULL) {
			snprintf(error, CONFIG_ERROR_MAX, "%s: [%s] must have '%s': %s", place,
				 key->section, key->name, key->text);
			return -1;
		}
		const char *wanted = set_key(config, key, value);
		if (wanted != NULL) {
			snprintf(error, CONFIG_ERROR_MAX, "%s: [%s] %s must be %s, not '%.100s'",
				 place, key->section, key->name, wanted, value);
			return -1;
		}
	}
	return 0;
}

/* The word at `text`, up to any of `end`, without the blanks around it. */
static void cut_word(char *word, size_t capacity, const char *text, const char *end)
{
	text += strspn(text, " \t");
	size_t length = strcspn(text, end);
	while (length > 0 && strchr(" \t\r\n", text[length - 1]) != NULL)
		length--;
	snprintf(word, capacity, "%.*s", (int)length, text);
}

/* Notes the line of each key. Refuses a line that is neither a section nor key=value nor a comment:
 * rte_cfgfile passes it over. */
static int read_lines(FILE *file, struct config_origins *origins, const char *path,
		      char error[CONFIG_ERROR_MAX])
{
	char line[CFG_NAME_LEN + CFG_VALUE_LEN + 4]; /* rte_cfgfile takes no longer ones */
	char section[CFG_NAME_LEN] = "";
	char name[CFG_NAME_LEN];

	for (unsigned number = 1; fgets(line, sizeof(line), file) != NULL; number++) {
		const char *text = line + strspn(line, " \t\r\n");
		if (*text == '\0' || *text == '#')
			continue;
		if (*text == '[') {
			cut_word(section, sizeof(section), text + 1, "]#");
			continue;
		}
		if (strcspn(text, "=") >= strcspn(text, "#")) {
			snprintf(error, CONFIG_ERROR_MAX,
				 "%s: line %u is neither [section] nor key=value", path, number);
			return -1;
		}
		cut_word(name, sizeof(name), text, "=");
		int key = config_key_find(section, name);
		if (key >= 0)
			origins->key[key].line = number;
	}
	return 0;
}

/* rte_cfgfile tells a missing file from a bad line only in its own log. */
static int read_file(struct rte_cfgfile **file, struct config_origins *origins, const char *path,
		     char error[CONFIG_ERROR_MAX])
{
	struct rte_cfgfile_parameters parameters = {.comment_character = '#'};

	FILE *readable = fopen(path, "r");
	if (readable == NULL) {
		snprintf(error, CONFIG_ERROR_MAX, "%s: %s", path, strerror(errno));
		return -1;
	}
	int result = read_lines(readable, origins, path, error);
	fclose(readable);
	if (result != 0)
		return result;
	*file = rte_cfgfile_load_with_params(path, CFG_FLAG_EMPTY_VALUES, &parameters);
	if (*file == NULL) {
		snprintf(error, CONFIG_ERROR_MAX,
			 "%s: not an ini file of [section] and key=value lines ('#' comments)",
			 path);
		return -1;
	}
	return 0;
}

int config_read(struct engine_config *config, struct config_origins *origins,
		const struct config_input *input, char error[CONFIG_ERROR_MAX])
{
	struct rte_cfgfile *file;

	*config = (struct engine_config){0};
	*origins = (struct config_origins){0};
	if (refuse_settings(input, error) != 0 ||
	    read_file(&file, origins, input->path, error) != 0)
		return -1;
	int result = refuse_unknown(file, input->path, error);
	if (result == 0)
		result = set_all(config, origins, input, file, error);
	rte_cfgfile_close(file);
	if (result != 0)
		return result;
	const char *fault = check_whole(config);
	if (fault != NULL) {
		snprintf(error, CONFIG_ERROR_MAX, "%s: %s", input->path, fault);
		return -1;
	}
	return 0;
}

int config_load(struct engine_config *config, const char *path, char error[CONFIG_ERROR_MAX])
{
	const struct config_input input = {.path = path};
	struct config_origins origins;

	return config_read(config, &origins, &input, error);
}
