/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-engine: moves money.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "engine/engine.h"
#include "engine/log.h"

int engine_log_type;

static volatile int stop_requested;

static const char usage[] =
    "usage: giro-engine --config FILE [-- EAL arguments]\n"
    "       giro-engine --sample-config\n"
    "\n"
    "The main lcore writes the log, every further lcore is a worker. For example\n"
    "  giro-engine --config giro.ini -- -l 0,1 --iova-mode=va --file-prefix=giro -a 0000:01:00.0\n"
    "  giro-engine --config giro.ini -- -l 0,1 --iova-mode=va --file-prefix=giro --no-pci\n"
    "              --vdev=net_af_packet0,iface=veth0\n"
    "\n"
    "SIGTERM or SIGINT: finishes what is under way, seals and closes the log, exits with 0.\n"
    "exit status: 0 stopped cleanly, 1 could not start, 2 usage, 3 the log failed while running\n";

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

/* Splits our arguments from EAL's. Returns the config's path, or NULL. */
static const char *parse_arguments(int argc, char **argv, int *eal_argc, char **eal_argv)
{
	const char *config = NULL;
	int i = 1;

	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
			config = argv[++i];
		} else {
			fprintf(stderr, "giro-engine: unknown argument '%s'\n", argv[i]);
			return NULL;
		}
	}
	*eal_argc = 0;
	eal_argv[(*eal_argc)++] = argv[0];
	for (i++; i < argc; i++)
		eal_argv[(*eal_argc)++] = argv[i];
	if (config == NULL)
		fprintf(stderr, "giro-engine: --config FILE is missing\n");
	return config;
}

static void print_error(const char *error)
{
	fprintf(stderr, "giro-engine: %s\n", error);
}

int main(int argc, char **argv)
{
	static struct engine engine;
	static struct engine_config config;
	char error[ENGINE_ERROR_MAX];
	int eal_argc;

	if (argc == 2 && strcmp(argv[1], "--sample-config") == 0) {
		config_print_sample(stdout);
		return EXIT_CLEAN;
	}
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(usage, stdout);
		return EXIT_CLEAN;
	}
	char **eal_argv = calloc((size_t)argc + 1, sizeof(*eal_argv));
	if (eal_argv == NULL)
		return EXIT_START;
	const char *path = parse_arguments(argc, argv, &eal_argc, eal_argv);
	if (path == NULL) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (config_load(&config, path, error) != 0) {
		print_error(error);
		return EXIT_START;
	}
	if (rte_eal_init(eal_argc, eal_argv) < 0) {
		snprintf(error, sizeof(error),
			 "EAL did not start: %s (its own lines above say more; with hugepages "
			 "missing, reserve some: sysctl vm.nr_hugepages=1024)",
			 rte_strerror(rte_errno));
		print_error(error);
		return EXIT_START;
	}
	engine_log_type = rte_log_register_type_and_pick_level("giro", RTE_LOG_INFO);
	catch_signals();
	if (engine_start(&engine, &config, error) != 0) {
		print_error(error);
		rte_eal_cleanup();
		return EXIT_START;
	}
	engine_describe(&engine, stdout);
	int result = engine_run(&engine, &stop_requested);
	engine_report(&engine, stdout);
	engine_close(&engine);
	rte_eal_cleanup();
	return result == 0 ? EXIT_CLEAN : EXIT_LOG;
}
