/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/config.h"

/* The two keys that must be given. */
#define REQUIRED "[port]\naddress=10.77.0.1/24\n[log]\npath=/var/lib/giro\n"

static char path[128];
static char error[CONFIG_ERROR_MAX];
static struct engine_config config;

static void make_path(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(path, sizeof(path), "%s/config-XXXXXX", base != NULL ? base : "/tmp");
	int fd = mkstemp(path);
	cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
	close(fd);
}

static int load(const char *text)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	cr_assert(fputs(text, file) >= 0 && fclose(file) == 0);
	memset(error, 0, sizeof(error));
	return config_load(&config, path, error);
}

static void clean(void)
{
	unlink(path);
}

TestSuite(config, .init = make_path, .fini = clean);

Test(config, defaults_stand_where_nothing_is_said)
{
	static const uint8_t address[4] = {10, 77, 0, 1};

	cr_assert(load(REQUIRED) == 0, "%s", error);
	cr_assert_str_eq(config.device, "");
	cr_assert(memcmp(config.address, address, 4) == 0 && config.prefix_bits == 24);
	cr_assert(config.udp_port == 7400 && config.mtu == 1500);
	cr_assert(config.queues == 64);
	cr_assert(config.rx_descriptors == 1024 && config.tx_descriptors == 1024);
	cr_assert(config.requests == 4096 && config.idle == IDLE_SLEEP);
	cr_assert(config.limits.shards == 1 && config.limits.accounts_max == 1000000);
	cr_assert(config.limits.window_ms == 60000 && config.limits.ahead_ms == 10000);
	cr_assert(config.limits.ids_per_second == 100000 && config.limits.rows == 4096);
	cr_assert(config.limits.try_timeout_ms == 10000);
	cr_assert_str_eq(config.log_path, "/var/lib/giro");
	cr_assert(config.segment_bytes == UINT64_C(256) << 20 && config.section_bytes == 1 << 20);
	cr_assert(config.epochs == 8 && config.writes == 2);
	cr_assert(config.clients.records_per_second == 0 && config.clients.burst_ms == 100);
	cr_assert_eq(config.shard_workers_count, 0);
}

Test(config, workers_of_shards_are_a_list)
{
	static const uint8_t wanted[] = {0, 63, 0, 7};

	cr_assert(load(REQUIRED "[engine]\nshards=4\nshard_workers=0, 63,0,  7\n") == 0, "%s",
		  error);
	cr_assert_eq(config.shard_workers_count, 4);
	cr_assert(memcmp(config.shard_workers, wanted, sizeof(wanted)) == 0);
	cr_assert(load(REQUIRED "[engine]\nshards=4\nshard_workers=\n") == 0, "%s", error);
	cr_assert_eq(config.shard_workers_count, 0);

	/* the longest there is */
	char text[CONFIG_TEXT_MAX + 128] = REQUIRED "[engine]\nshards=64\nshard_workers=63";
	for (int i = 1; i < 64; i++)
		strcat(text, ",62");
	cr_assert(load(strcat(text, "\n")) == 0, "%s", error);
	cr_assert(config.shard_workers_count == 64 && config.shard_workers[63] == 62);
}

Test(config, every_key_arrives_in_its_field)
{
	cr_assert(load("# all of them\n"
		       "[port]\ndevice=net_af_packet0\naddress=192.168.255.7/32\nudp_port=1\n"
		       "mtu=9000\nqueues=1\nrx_descriptors=64\ntx_descriptors=32768\n"
		       "[engine]\nshards=3\nrequests=65536\nidle=poll\n"
		       "[shard]\naccounts=4294967296\nwindow_s=604800\nahead_s=0\n"
		       "ids_per_second=1\nrows=2\ntry_timeout_ms=0\n"
		       "[log]\npath=/dev/nvme0n1\nsegment_mib=1048576\nbuffer_kib=64\n"
		       "epochs=64\nwrites=1\n"
		       "[clients]\nrecords_per_second=1000000000\nburst_ms=60000\n") == 0,
		  "%s", error);
	cr_assert_str_eq(config.device, "net_af_packet0");
	cr_assert(config.address[0] == 192 && config.address[3] == 7 && config.prefix_bits == 32);
	cr_assert(config.udp_port == 1 && config.mtu == 9000 && config.queues == 1);
	cr_assert(config.rx_descriptors == 64 && config.tx_descriptors == 32768);
	cr_assert(config.limits.shards == 3 && config.requests == 65536);
	cr_assert(config.idle == IDLE_POLL);
	cr_assert(config.limits.accounts_max == UINT64_C(1) << 32);
	cr_assert(config.limits.window_ms == UINT64_C(604800000) && config.limits.ahead_ms == 0);
	cr_assert(config.limits.ids_per_second == 1 && config.limits.rows == 2);
	cr_assert(config.limits.try_timeout_ms == 0);
	cr_assert_str_eq(config.log_path, "/dev/nvme0n1");
	cr_assert(config.segment_bytes == UINT64_C(1) << 40 && config.section_bytes == 64 << 10);
	cr_assert(config.epochs == 64 && config.writes == 1);
	cr_assert(config.clients.records_per_second == 1000000000);
	cr_assert(config.clients.burst_ms == 60000);
}

struct good {
	const char *name;
	const char *text;
};

static const struct good goods[] = {
    {"spaces around key and value", "[port]\naddress = 10.77.0.1/24\n[log]\npath = /x\n"},
    {"comments and empty lines", "# one\n\n" REQUIRED "# two\n\nwrites=3 # three\n"},
    {"yield", REQUIRED "[engine]\nidle=yield\n"},
    {"smallest", REQUIRED "segment_mib=1\nbuffer_kib=64\nepochs=3\nwrites=1\n"},
    {"sections in any order", "[log]\npath=/x\n[port]\naddress=10.0.0.1/8\n"},
    {"64 shards", REQUIRED "[engine]\nshards=64\n"},
};

Test(config, takes)
{
	for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++)
		cr_assert(load(goods[i].text) == 0, "%s: %s", goods[i].name, error);
}

struct bad {
	const char *text;
	const char *says; /* part of the message */
};

static const struct bad bads[] = {
    /* what must be there */
    {"", "[port] must have 'address'"},
    {"[port]\naddress=10.77.0.1/24\n", "[log] must have 'path'"},
    {"[log]\npath=/x\n", "[port] must have 'address'"},
    /* what must not */
    {REQUIRED "[ports]\nmtu=1500\n", "unknown section [ports]"},
    {REQUIRED "[Engine]\nshards=2\n", "unknown section [Engine]"},
    {REQUIRED "sync=no\n", "unknown key 'sync' in [log]"},
    {REQUIRED "[engine]\npath=/x\n", "unknown key 'path' in [engine]"},
    {REQUIRED "[engine]\nShards=2\n", "unknown key 'Shards'"},
    {REQUIRED "writes=3\nwrites=4\n", "given twice: key 'writes' in [log]"},
    {REQUIRED "[port]\nmtu=9000\n", "given twice: section [port]"},
    {REQUIRED "nonsense\n", "line 5 is neither"},
    {"\n# writes=2\n" REQUIRED "writes 2\n", "line 7 is neither"},
    {REQUIRED "writes # = 2\n", "line 5 is neither"},
    {REQUIRED "[engine\nshards=2\n", "not an ini file"},
    {REQUIRED "=2\n", "unknown key ''"},
    {REQUIRED "; writes=2\n", "unknown key '; writes'"},
    {"address=10.77.0.1/24\n" REQUIRED, "not an ini file"},
    /* numbers */
    {REQUIRED "writes=0\n", "[log] writes must be a number in 1.."},
    {REQUIRED "writes=33\n", "[log] writes must be"},
    {REQUIRED "writes=\n", "[log] writes must be"},
    {REQUIRED "writes=-1\n", "not '-1'"},
    {REQUIRED "writes=+1\n", "not '+1'"},
    {REQUIRED "writes=2x\n", "not '2x'"},
    {REQUIRED "writes=0x2\n", "not '0x2'"},
    {REQUIRED "writes=2 3\n", "not '2 3'"},
    {REQUIRED "writes=1.5\n", "not '1.5'"},
    {REQUIRED "writes=18446744073709551617\n", "[log] writes must be"},
    {REQUIRED "epochs=2\n", "[log] epochs must be a number in 3..64"},
    {REQUIRED "epochs=65\n", "[log] epochs must be"},
    {REQUIRED "segment_mib=1048577\n", "[log] segment_mib must be"},
    {REQUIRED "buffer_kib=63\n", "[log] buffer_kib must be"},
    {REQUIRED "[engine]\nshards=0\n", "[engine] shards must be a number in 1..64"},
    {REQUIRED "[engine]\nshards=65\n", "[engine] shards must be"},
    {REQUIRED "[engine]\nrequests=65537\n", "[engine] requests must be"},
    {REQUIRED "[engine]\nidle=Poll\n", "idle must be poll, yield or sleep, not 'Poll'"},
    {REQUIRED "[engine]\nidle=\n", "idle must be poll, yield or sleep, not ''"},
    {REQUIRED "[shard]\nwindow_s=0\n", "[shard] window_s must be"},
    {REQUIRED "[shard]\nwindow_s=604801\n", "[shard] window_s must be"},
    {REQUIRED "[shard]\naccounts=0\n", "[shard] accounts must be"},
    {REQUIRED "[shard]\naccounts=4294967297\n", "[shard] accounts must be"},
    {REQUIRED "[shard]\nrows=32769\n", "[shard] rows must be"},
    {"[port]\naddress=10.77.0.1/24\nmtu=1279\n[log]\npath=/x\n", "[port] mtu must be"},
    {"[port]\naddress=10.77.0.1/24\nmtu=9001\n[log]\npath=/x\n", "[port] mtu must be"},
    {"[port]\naddress=10.77.0.1/24\nqueues=0\n[log]\npath=/x\n", "[port] queues must be"},
    {"[port]\naddress=10.77.0.1/24\nqueues=65\n[log]\npath=/x\n", "[port] queues must be"},
    {"[port]\naddress=10.77.0.1/24\nudp_port=0\n[log]\npath=/x\n", "[port] udp_port must be"},
    {"[port]\naddress=10.77.0.1/24\nudp_port=65472\n[log]\npath=/x\n",
     "[port] udp_port must be a number in 1..65471"},
    {REQUIRED "[clients]\nrecords_per_second=1000000001\n", "records_per_second must be"},
    {REQUIRED "[clients]\nburst_ms=0\n", "[clients] burst_ms must be"},
    {REQUIRED "[engine]\nshards=2\nshard_workers=0\n", "as many numbers as shards"},
    {REQUIRED "[engine]\nshards=2\nshard_workers=0,1,1\n", "as many numbers as shards"},
    {REQUIRED "[engine]\nshards=2\nshard_workers=0,64\n", "shard_workers must be numbers"},
    {REQUIRED "[engine]\nshards=2\nshard_workers=0,-1\n", "not '0,-1'"},
    {REQUIRED "[engine]\nshards=2\nshard_workers=0,1,\n", "not '0,1,'"},
    {REQUIRED "[engine]\nshards=2\nshard_workers=,1\n", "not ',1'"},
    {REQUIRED "[engine]\nshards=2\nshard_workers=0 1\n", "not '0 1'"},
    {REQUIRED "[engine]\nshards=2\nshard_workers=0,99999999999999999999\n", "must be numbers"},
    /* where it stands */
    {REQUIRED "# a comment\n\nwrites=33\n", ":7: [log] writes must be"},
    {REQUIRED " [engine] # cores\n\tshards = 65\n", ":6: [engine] shards must be"},
    /* addresses */
    {"[port]\naddress=10.77.0.1\n[log]\npath=/x\n", "IPv4 address and prefix"},
    {"[port]\naddress=\n[log]\npath=/x\n", "IPv4 address and prefix"},
    {"[port]\naddress=10.77.0/24\n[log]\npath=/x\n", "IPv4 address and prefix"},
    {"[port]\naddress=10.77.0.256/24\n[log]\npath=/x\n", "IPv4 address and prefix"},
    {"[port]\naddress=10.77.0.1/33\n[log]\npath=/x\n", "IPv4 address and prefix"},
    {"[port]\naddress=10.77.0.1/\n[log]\npath=/x\n", "IPv4 address and prefix"},
    {"[port]\naddress=10.77.0.1/-1\n[log]\npath=/x\n", "IPv4 address and prefix"},
    {"[port]\naddress=10.77.0.1/24x\n[log]\npath=/x\n", "IPv4 address and prefix"},
    {"[port]\naddress=10.77.0.1/99999999999999999999\n[log]\npath=/x\n", "IPv4 address and prefix"},
    {"[port]\naddress=fe80::1/64\n[log]\npath=/x\n", "IPv4 address and prefix"},
    {"[port]\naddress=some.host.name.that.is.long/24\n[log]\npath=/x\n", "IPv4 address and prefix"},
    /* what no single key can tell */
    {REQUIRED "[shard]\nrows=3\n", "rows must be a power of two"},
    {REQUIRED "[shard]\nwindow_s=5\nahead_s=6\n", "ahead must not exceed the window"},
    {REQUIRED "buffer_kib=66\n", "buffer_kib must be a multiple of 4"},
    {REQUIRED "epochs=4\nwrites=4\n", "epochs must be more than writes"},
    {REQUIRED "buffer_kib=2048\n[engine]\nshards=33\n", "must not exceed 64 MiB"},
    {REQUIRED "segment_mib=3\n", "at least four blocks"},
    {REQUIRED "segment_mib=4\nepochs=64\n", "segment_mib is too small"},
};

Test(config, refuses_and_says_why)
{
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		cr_assert(load(bads[i].text) == -1, "taken:\n%s", bads[i].text);
		cr_assert(strstr(error, bads[i].says) != NULL, "'%s' lacks '%s'", error,
			  bads[i].says);
		cr_assert(strncmp(error, path, strlen(path)) == 0, "'%s' lacks the file", error);
		cr_assert_null(strchr(error, '\n'));
	}
}

Test(config, text_that_is_too_long_is_refused)
{
	char text[2 * CONFIG_TEXT_MAX] = "[port]\naddress=10.77.0.1/24\n[log]\npath=/";

	memset(text + strlen(text), 'x', CONFIG_TEXT_MAX);
	cr_assert(load(text) == -1);
	cr_assert(error[0] != '\0');
}

Test(config, file_that_is_not_there_is_named)
{
	cr_assert(config_load(&config, "/nowhere/giro.ini", error) == -1);
	cr_assert_str_eq(error, "/nowhere/giro.ini: No such file or directory");
}

/* The sample says which keys it lacks, and is sound once they are given. */
Test(config, sample_is_a_config)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	cr_assert_not_null(out);
	config_print_sample(out);
	fclose(out);
	cr_assert(load(text) == -1);
	cr_assert(strstr(error, "must have") != NULL, "%s", error);

	static const char *const required[][2] = {
	    {"# required: address=\n", "           address=10.0.0.1/8\n"},
	    {"# required: path=\n", "            path=/x\n"},
	};
	char *filled = calloc(1, size + 128);
	char *at = text;
	for (int i = 0; i < 2; i++) {
		char *found = strstr(text, required[i][0]);
		cr_assert(found != NULL, "%s", required[i][0]);
		strncat(filled, at, (size_t)(found - at));
		strcat(filled, strchr(required[i][1], i == 0 ? 'a' : 'p'));
		at = found + strlen(required[i][0]);
	}
	strcat(filled, at);
	cr_assert(load(filled) == 0, "%s", error);
	struct engine_config sample = config;
	cr_assert(load("[port]\naddress=10.0.0.1/8\n[log]\npath=/x\n") == 0);
	cr_assert(memcmp(&sample, &config, sizeof(config)) == 0, "other than the defaults");
	free(filled);
	free(text);
}

/* The command line, origins, the effective configuration. */

static struct config_input input;
static struct config_origins origins;

static int read_with(const char *text, unsigned count, const char *const *settings)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	cr_assert(fputs(text, file) >= 0 && fclose(file) == 0);
	input = (struct config_input){.path = path, .setting_count = count};
	for (unsigned i = 0; i < count; i++)
		input.settings[i] = settings[i];
	return config_read(&config, &origins, &input, error);
}

static char *effective(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	cr_assert_not_null(out);
	config_print_effective(&config, &origins, &input, out);
	fclose(out);
	return text;
}

/* The line of a key in a printed configuration: what it is and where it comes from. */
static void assert_printed(const char *text, const char *setting, const char *origin)
{
	char line[512] = "";
	const char *at = strstr(text, setting);

	cr_assert(at != NULL && at[-1] == '\n', "no line '%s' in:\n%s", setting, text);
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
	char *comment = strstr(line, " # ");
	cr_assert(comment != NULL && line[strlen(setting)] == ' ', "%s", line);
	cr_assert_str_eq(comment + 3, origin, "%s", line);
}

Test(config, every_value_names_its_origin)
{
	static const char *const settings[] = {"log.writes=3", "port.mtu=9000", "log.writes=4"};
	char at_line[160];

	cr_assert(read_with(REQUIRED "writes=1\nepochs = 16 # many\n[shard]\n\nrows=8\n", 3,
			    settings) == 0,
		  "%s", error);
	cr_assert(config.writes == 4 && config.mtu == 9000 && config.epochs == 16);
	char *text = effective();
	assert_printed(text, "writes=4", "command line");
	assert_printed(text, "mtu=9000", "command line");
	assert_printed(text, "udp_port=7400", "default");
	snprintf(at_line, sizeof(at_line), "%s:2", path);
	assert_printed(text, "address=10.77.0.1/24", at_line);
	snprintf(at_line, sizeof(at_line), "%s:6", path);
	assert_printed(text, "epochs=16", at_line);
	snprintf(at_line, sizeof(at_line), "%s:9", path);
	assert_printed(text, "rows=8", at_line);
	free(text);
}

/* What is printed gives the same configuration again, every key of it. */
Test(config, the_effective_one_is_a_config)
{
	static const char *const settings[] = {"engine.idle=yield", "clients.burst_ms=7"};

	cr_assert(read_with("[port]\ndevice=net_ring0\naddress=10.1.2.3/20\nmtu=9000\n[shard]\n"
			    "window_s=7\nahead_s=2\ntry_timeout_ms=5\n[log]\npath=/x y\n"
			    "segment_mib=512\nbuffer_kib=2048\n[engine]\nshards=3\n"
			    "shard_workers=2,0,1\n",
			    2, settings) == 0,
		  "%s", error);
	struct engine_config first = config;
	char *text = effective();
	cr_assert(read_with(text, 0, NULL) == 0, "%s\n%s", error, text);
	cr_assert(memcmp(&first, &config, sizeof(config)) == 0, "%s", text);
	free(text);
}

Test(config, bad_settings_are_refused)
{
	static const struct bad settings[] = {
	    {"writes=3", "--set writes=3 is not section.key=value"},
	    {"log.writes", "--set log.writes is not"},
	    {"log.write=3", "--set log.write=3 is not"},
	    {"log.writes =3", "is not section.key=value"},
	    {"", "--set  is not"},
	    {"log.writes=33", ", --set: [log] writes must be a number in 1..32, not '33'"},
	    {"log.writes=", "[log] writes must be"},
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		cr_assert(read_with(REQUIRED, 1, &settings[i].text) == -1, "%s", settings[i].text);
		cr_assert(strstr(error, settings[i].says) != NULL, "'%s' lacks '%s'", error,
			  settings[i].says);
	}
}

Test(config, a_setting_can_give_a_required_key)
{
	static const char *const settings[] = {"log.path=/var/lib/giro=1"};

	cr_assert(read_with("[port]\naddress=10.77.0.1/24\n", 1, settings) == 0, "%s", error);
	cr_assert_str_eq(config.log_path, "/var/lib/giro=1");
}

/* Differences. */

static char differences[1024];

static void note(void *context, const char *key, const char *from, const char *to, bool live)
{
	size_t used = strlen(differences);

	(void)context;
	snprintf(differences + used, sizeof(differences) - used, "%s %s->%s %s\n", key, from, to,
		 live ? "live" : "start");
}

Test(config, differences_are_told_apart)
{
	cr_assert(load(REQUIRED) == 0);
	struct engine_config before = config;
	cr_assert_eq(config_differences(&before, &config, note, NULL), 0);
	cr_assert_str_eq(differences, "");
	cr_assert(load("[port]\naddress=10.77.0.2/24\n[log]\npath=/var/lib/giro\n[shard]\n"
		       "window_s=61\n[clients]\nburst_ms=5\nrecords_per_second=9\n[engine]\n"
		       "shard_workers=0\n") == 0,
		  "%s", error);
	cr_assert_eq(config_differences(&before, &config, note, NULL), 5);
	cr_assert_str_eq(differences, "[port] address 10.77.0.1/24->10.77.0.2/24 start\n"
				      "[engine] shard_workers ->0 live\n"
				      "[shard] window_s 60->61 start\n"
				      "[clients] records_per_second 0->9 live\n"
				      "[clients] burst_ms 100->5 live\n");
}
