/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-engine: moves money.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "engine/check.h"
#include "engine/control.h"
#include "engine/engine.h"
#include "engine/log.h"

int engine_log_type;

static volatile int stop_requested;

static const char usage[] =
    "usage: giro-engine --config FILE [--set SECTION.KEY=VALUE]... [-- EAL arguments]\n"
    "       giro-engine --check [--tune] [--config FILE [--set ...]] [-- EAL arguments]\n"
    "       giro-engine --print-config --config FILE [--set ...]\n"
    "       giro-engine --sample-config\n"
    "\n"
    "The main lcore writes the log, every further lcore is a worker. For example\n"
    "  giro-engine --config giro.ini -- -l 0,1 --iova-mode=va --file-prefix=giro -a 0000:01:00.0\n"
    "  giro-engine --config giro.ini -- -l 0,1 --iova-mode=va --file-prefix=giro --no-pci\n"
    "              --vdev=net_af_packet0,iface=veth0\n"
    "\n"
    "  --set            prevails over the file; may be given again and again\n"
    "  --print-config   shows the effective configuration and the origin of each value\n"
    "  --check          looks at this machine, the configuration and the device and says what "
    "would\n"
    "                   slow the engine down or keep it from starting. Writes nothing but a file "
    "of\n"
    "                   its own in the log's directory, which it removes\n"
    "  --tune           with --check: prints the commands that would mend it; runs none of them\n"
    "\n"
    "SIGTERM or SIGINT: finishes what is under way, seals and closes the log, exits with 0.\n"
    "SIGHUP: reads [clients] and [engine] shard_workers of the configuration again.\n"
    "exit status: 0 stopped cleanly, 1 could not start, 2 usage, 3 the log failed while running;\n"
    "with --check: 0 all is well, 1 warnings, 2 failures or usage\n";

enum exit_status {
	EXIT_CLEAN = 0,
	EXIT_START = 1,
	EXIT_USAGE = 2,
	EXIT_LOG = 3,
};

static void request_stop(int signal)
{
	(void)signal;
	stop_requested = 1;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = request_stop};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

enum mode {
	MODE_RUN,
	MODE_CHECK,
	MODE_PRINT_CONFIG,
};

struct arguments {
	enum mode mode;
	bool tune;
	struct config_input input;
	int eal_argc;
	char **eal_argv;
};

/* One of our arguments at argv[i]. Returns how many words it took, 0 when it is none. */
static int parse_argument(struct arguments *arguments, int argc, char **argv, int i)
{
	struct config_input *input = &arguments->input;

	if (strcmp(argv[i], "--check") == 0) {
		arguments->mode = MODE_CHECK;
		return 1;
	}
	if (strcmp(argv[i], "--print-config") == 0) {
		arguments->mode = MODE_PRINT_CONFIG;
		return 1;
	}
	if (strcmp(argv[i], "--tune") == 0) {
		arguments->tune = true;
		return 1;
	}
	if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
		input->path = argv[i + 1];
		return 2;
	}
	if (strcmp(argv[i], "--set") == 0 && i + 1 < argc &&
	    input->setting_count < CONFIG_SETTINGS_MAX) {
		input->settings[input->setting_count++] = argv[i + 1];
		return 2;
	}
	return 0;
}

/* Splits our arguments from EAL's. Returns 0, or -1 after saying why. */
static int parse_arguments(struct arguments *arguments, int argc, char **argv)
{
	int i = 1;

	while (i < argc && strcmp(argv[i], "--") != 0) {
		int words = parse_argument(arguments, argc, argv, i);
		if (words == 0) {
			fprintf(stderr, "giro-engine: unknown argument '%s'\n", argv[i]);
			return -1;
		}
		i += words;
	}
	arguments->eal_argv = calloc((size_t)argc + 1, sizeof(*arguments->eal_argv));
	if (arguments->eal_argv == NULL)
		return -1;
	arguments->eal_argv[arguments->eal_argc++] = argv[0];
	for (i++; i < argc; i++)
		arguments->eal_argv[arguments->eal_argc++] = argv[i];
	if (arguments->input.path == NULL && arguments->mode != MODE_CHECK) {
		fprintf(stderr, "giro-engine: --config FILE is missing\n");
		return -1;
	}
	if (arguments->tune && arguments->mode != MODE_CHECK) {
		fprintf(stderr, "giro-engine: --tune goes with --check\n");
		return -1;
	}
	return 0;
}

static void print_error(const char *error)
{
	fprintf(stderr, "giro-engine: %s\n", error);
}

static int run(struct engine *engine, const struct engine_config *config,
	       const struct arguments *arguments)
{
	static struct control control;
	char error[ENGINE_ERROR_MAX];

	control_block_signals();
	if (rte_eal_init(arguments->eal_argc, arguments->eal_argv) < 0) {
		snprintf(error, sizeof(error),
			 "EAL did not start: %s (its own lines above say more; with hugepages "
			 "missing, reserve some: sysctl vm.nr_hugepages=1024)",
			 rte_strerror(rte_errno));
		print_error(error);
		return EXIT_START;
	}
	engine_log_type = rte_log_register_type_and_pick_level("giro", RTE_LOG_INFO);
	catch_signals();
	if (engine_start(engine, config, error) != 0) {
		print_error(error);
		/* Not cleaned up: closing the device could take it from an engine that has it. */
		return EXIT_START;
	}
	control_init(&control, engine, &arguments->input);
	int failed = control_start(&control);
	if (failed != 0)
		LOG_WARNING("no control thread (%s): SIGHUP and trouble go unnoticed",
			    strerror(-failed));
	engine_describe(engine, stdout);
	int result = engine_run(engine, &stop_requested);
	control_stop(&control);
	engine_report(engine, stdout);
	engine_close(engine);
	rte_eal_cleanup();
	return result == 0 ? EXIT_CLEAN : EXIT_LOG;
}

int main(int argc, char **argv)
{
	static struct engine engine;
	static struct engine_config config;
	struct config_origins origins;
	struct arguments arguments = {0};
	char error[ENGINE_ERROR_MAX];

	if (argc == 2 && strcmp(argv[1], "--sample-config") == 0) {
		config_print_sample(stdout);
		return EXIT_CLEAN;
	}
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(usage, stdout);
		return EXIT_CLEAN;
	}
	if (parse_arguments(&arguments, argc, argv) != 0) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (arguments.mode == MODE_CHECK)
		return check_run(&arguments.input, arguments.tune, arguments.eal_argc,
				 arguments.eal_argv, stdout);
	if (config_read(&config, &origins, &arguments.input, error) != 0) {
		print_error(error);
		return EXIT_START;
	}
	if (arguments.mode == MODE_PRINT_CONFIG) {
		config_print_effective(&config, &origins, &arguments.input, stdout);
		return EXIT_CLEAN;
	}
	return run(&engine, &config, &arguments);
}
