/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/check.h"

#include <errno.h>
#include <liburing.h>
#include <limits.h>
#include <string.h>
#include <sys/timex.h>
#include <sys/utsname.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_version.h>

#include "engine/engine.h"
#include "engine/sysfs.h"

/* Versions. */

static void check_versions(struct check_report *report)
{
	struct utsname system = {0};
	struct io_uring ring;

	uname(&system);
	check_say(report, CHECK_OK, "versions", "giro %s, %s, %s %s", GIRO_VERSION, rte_version(),
		  system.sysname, system.release);
	int failed = io_uring_queue_init(2, &ring, 0);
	if (failed == 0) {
		io_uring_queue_exit(&ring);
		check_say(report, CHECK_OK, "io_uring", "the kernel lets this process use it");
		return;
	}
	check_say(report, CHECK_FAIL, "io_uring", "the log cannot be written: %s",
		  strerror(-failed));
	check_advise(report,
		     "allow it here, and in the container's seccomp profile if there is one");
	check_command(report, "sysctl -w kernel.io_uring_disabled=0");
}

/* The clock's discipline is no file. */
static void check_synchronised(struct check_report *report)
{
	struct timex state = {0};

	if (adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) == 0) {
		check_say(report, CHECK_OK, "clock sync", "the kernel's clock is disciplined");
		return;
	}
	check_say(report, CHECK_WARN, "clock sync", "nobody disciplines this machine's clock");
	check_advise(report, "ids carry their time: a clock that is off by more than ahead_s or "
			     "window_s refuses them");
	check_command(report, "apt-get install chrony && systemctl enable --now chrony");
}

/* EAL. */

static bool has_argument(int argc, char **argv, const char *wanted)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], wanted) == 0)
			return true;
	}
	return false;
}

static bool start_eal(struct check_report *report, struct check_subject *subject, int argc,
		      char **argv)
{
	if (argc <= 1) {
		check_say(report, CHECK_WARN, "eal",
			  "no EAL arguments: port not looked at, cores "
			  "not known");
		check_advise(report, "give the engine's own behind --, such as -- -l 2,3 -a "
				     "0000:01:00.0");
		return false;
	}
	/* Its own lines go before ours; only what is wrong is of interest here. */
	rte_log_set_global_level(RTE_LOG_WARNING);
	if (rte_eal_init(argc, argv) < 0) {
		check_say(report, CHECK_FAIL, "eal", "does not start: %s (its own lines say more)",
			  rte_strerror(rte_errno));
		check_advise(report, "an engine with this --file-prefix or device may be running; "
				     "else see hugepages");
		return false;
	}
	CPU_ZERO(&subject->cpus);
	for (unsigned lcore = rte_get_next_lcore(UINT_MAX, 0, 0); lcore < RTE_MAX_LCORE;
	     lcore = rte_get_next_lcore(lcore, 0, 0)) {
		const cpu_set_t cpus = rte_lcore_cpuset(lcore);
		CPU_OR(&subject->cpus, &subject->cpus, &cpus);
	}
	subject->cpus_known = true;
	subject->lcores = rte_lcore_count();
	subject->hugepages = rte_eal_has_hugepages() != 0;
	check_say(report, CHECK_OK, "eal", "%u lcores", subject->lcores);
	return true;
}

static const struct engine_config *load(struct check_report *report,
					const struct config_input *input,
					struct engine_config *config)
{
	struct config_origins origins;
	char error[CONFIG_ERROR_MAX];

	if (input->path == NULL) {
		check_say(report, CHECK_WARN, "configuration",
			  "none given: log and memory not looked at");
		check_advise(report, "add --config FILE");
		return NULL;
	}
	if (config_read(config, &origins, input, error) != 0) {
		check_say(report, CHECK_FAIL, "configuration", "%s", error);
		return NULL;
	}
	check_say(report, CHECK_OK, "configuration", "%s", input->path);
	return config;
}

int check_run(const struct config_input *input, bool tune, int eal_argc, char **eal_argv, FILE *out)
{
	static struct engine_config config;
	struct check_report report = {.out = out, .tune = tune};
	struct check_subject subject = {
	    .root = "",
	    .port_node = -1,
	    .hugepages = !has_argument(eal_argc, eal_argv, "--no-huge"),
	};

	if (tune)
		fprintf(out, "# giro-engine: what would mend this machine. Read it before you run "
			     "it.\n");
	check_versions(&report);
	subject.config = load(&report, input, &config);
	sched_getaffinity(0, sizeof(subject.cpus), &subject.cpus);
	/* Before EAL takes pages of its own. */
	if (subject.config != NULL) {
		unsigned cpus = (unsigned)CPU_COUNT(&subject.cpus);
		subject.memory_needed = engine_memory_needed(&config, cpus > 1 ? cpus - 1 : 1);
	}
	check_hugepages(&report, &subject);
	bool eal = start_eal(&report, &subject, eal_argc, eal_argv);
	subject.port_node = eal ? check_port_node(subject.config) : -1;
	check_cores(&report, &subject);
	check_clock(&report, &subject);
	check_synchronised(&report);
	if (subject.config != NULL)
		check_log(&report, &subject);
	/* EAL is not cleaned up: it would close the device, and an engine that runs on the same kernel
	 * interface may lose it (net_af_xdp detaches whatever XDP program is there). */
	if (eal)
		check_port(&report, &subject);
	return check_end(&report);
}
