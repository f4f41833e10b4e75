/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/slot_map.h"
#include "engine/sysfs.h"

#define LIST_BYTES     128
#define NODES_MAX      64
#define INTERRUPTS_MAX 16 /* named; more are only counted */

static bool is_empty(const cpu_set_t *cpus)
{
	return CPU_COUNT(cpus) == 0;
}

/* CPUs of `cpus` that are not in `others`. */
static cpu_set_t without(const cpu_set_t *cpus, const cpu_set_t *others)
{
	cpu_set_t both;
	cpu_set_t left;

	CPU_AND(&both, cpus, others);
	CPU_XOR(&left, cpus, &both);
	return left;
}

static void check_count(struct check_report *report, const struct check_subject *subject)
{
	char list[LIST_BYTES];
	unsigned cpus = (unsigned)CPU_COUNT(&subject->cpus);

	sysfs_format_cpus(&subject->cpus, list, sizeof(list));
	if (!subject->cpus_known) {
		check_say(report, CHECK_OK, "cores", "cpus %s may be used", list);
		return;
	}
	if (subject->lcores < 2) {
		check_say(report, CHECK_FAIL, "cores", "one lcore; the engine needs two or more");
		check_advise(report, "one for the log, one or more for workers: -l 2,3, or on one "
				     "shared core --lcores 0@0,1@0");
		return;
	}
	if (cpus < subject->lcores) {
		check_say(report, CHECK_WARN, "cores", "%u lcores share cpus %s", subject->lcores,
			  list);
		check_advise(report,
			     "give each lcore a cpu of its own, or set [engine] idle=sleep");
		return;
	}
	check_say(report, CHECK_OK, "cores", "%u lcores on cpus %s", subject->lcores, list);
}

/* Only where the configuration says something: the default suits any number of lcores. */
static void check_owners(struct check_report *report, const struct check_subject *subject)
{
	const struct engine_config *config = subject->config;
	uint8_t owner[SHARDS_MAX];
	char fault[SLOT_MAP_FAULT_MAX];

	if (config == NULL || config->shard_workers_count == 0 || !subject->cpus_known ||
	    subject->lcores < 2)
		return;
	uint32_t workers = subject->lcores - 1;
	if (workers > config->limits.shards)
		workers = config->limits.shards;
	if (slot_map_owners(owner, config->shard_workers, config->shard_workers_count,
			    config->limits.shards, workers, fault) == 0) {
		check_say(report, CHECK_OK, "shards", "each of %u workers has some", workers);
		return;
	}
	check_say(report, CHECK_FAIL, "shards", "[engine] shard_workers: %s", fault);
	check_advise(report, "change it, or the number of lcores");
}

static void check_isolated(struct check_report *report, const struct check_subject *subject)
{
	char list[LIST_BYTES];
	cpu_set_t isolated;
	cpu_set_t tickless;
	cpu_set_t online;

	sysfs_cpus(subject->root, &isolated, "/sys/devices/system/cpu/isolated");
	sysfs_cpus(subject->root, &tickless, "/sys/devices/system/cpu/nohz_full");
	cpu_set_t shared = without(&subject->cpus, &isolated);
	cpu_set_t ticking = without(&subject->cpus, &tickless);
	if (is_empty(&shared) && is_empty(&ticking)) {
		check_say(report, CHECK_OK, "isolated cpus", "the engine's are, and tickless");
		return;
	}
	sysfs_format_cpus(is_empty(&shared) ? &ticking : &shared, list, sizeof(list));
	check_say(report, CHECK_WARN, "isolated cpus", "%s: cpus %s",
		  is_empty(&shared) ? "the timer still ticks on" : "other work may be put on",
		  list);
	sysfs_cpus(subject->root, &online, "/sys/devices/system/cpu/online");
	cpu_set_t others = without(&online, &subject->cpus);
	if (is_empty(&others)) {
		check_advise(report,
			     "the engine has every cpu: leave one to the rest of the machine");
		return;
	}
	sysfs_format_cpus(&subject->cpus, list, sizeof(list));
	check_advise(report,
		     "keep the scheduler and the timer off the engine's cpus; holds from the "
		     "next boot on");
	check_command(report,
		      "echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX isolcpus=%s nohz_full=%s "
		      "rcu_nocbs=%s\"' >/etc/default/grub.d/giro.cfg && update-grub",
		      list, list, list);
}

struct interrupts {
	const struct check_subject *subject;
	unsigned count;
	unsigned numbers[INTERRUPTS_MAX];
};

static void add_interrupt(void *context, const char *rest)
{
	struct interrupts *interrupts = context;
	const char *root = interrupts->subject->root;
	char actions[SYSFS_TEXT_BYTES];
	cpu_set_t cpus;
	cpu_set_t ours;

	if (*rest < '0' || *rest > '9')
		return;
	/* One that nobody handles never comes. */
	if (sysfs_text(root, actions, "/sys/kernel/irq/%s/actions", rest) && actions[0] == '\0')
		return;
	/* Where it really goes, if the kernel says so. */
	if (!sysfs_cpus(root, &cpus, "/proc/irq/%s/effective_affinity_list", rest) ||
	    is_empty(&cpus))
		sysfs_cpus(root, &cpus, "/proc/irq/%s/smp_affinity_list", rest);
	CPU_AND(&ours, &cpus, &interrupts->subject->cpus);
	if (is_empty(&ours))
		return;
	if (interrupts->count < INTERRUPTS_MAX)
		interrupts->numbers[interrupts->count] = (unsigned)strtoul(rest, NULL, 10);
	interrupts->count++;
}

static void check_interrupts(struct check_report *report, const struct check_subject *subject)
{
	struct interrupts interrupts = {.subject = subject};
	char list[LIST_BYTES];
	char numbers[12 * INTERRUPTS_MAX] = "";
	cpu_set_t online;

	sysfs_each(subject->root, "/proc/irq", "", add_interrupt, &interrupts);
	if (interrupts.count == 0) {
		check_say(report, CHECK_OK, "irq affinity",
			  "no interrupt comes to the engine's "
			  "cpus");
		return;
	}
	check_say(report, CHECK_WARN, "irq affinity", "%u interrupts may come to the engine's cpus",
		  interrupts.count);
	sysfs_cpus(subject->root, &online, "/sys/devices/system/cpu/online");
	cpu_set_t others = without(&online, &subject->cpus);
	if (is_empty(&others)) {
		check_advise(report, "the engine has every cpu: leave it fewer, so that others can "
				     "take them");
		return;
	}
	for (unsigned i = 0; i < interrupts.count && i < INTERRUPTS_MAX; i++)
		snprintf(numbers + strlen(numbers), sizeof(numbers) - strlen(numbers), " %u",
			 interrupts.numbers[i]);
	sysfs_format_cpus(&others, list, sizeof(list));
	check_advise(report,
		     "move them, and keep irqbalance from bringing them back; some cannot be "
		     "moved");
	check_command(report, "for irq in%s; do echo %s >/proc/irq/$irq/smp_affinity_list; done",
		      numbers, list);
}

static void check_governor(struct check_report *report, const struct check_subject *subject)
{
	char governor[SYSFS_TEXT_BYTES];
	char found[SYSFS_TEXT_BYTES] = "";
	char list[LIST_BYTES];
	cpu_set_t slow;
	bool any = false;

	CPU_ZERO(&slow);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &subject->cpus) ||
		    !sysfs_text(subject->root, governor,
				"/sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", cpu))
			continue;
		any = true;
		if (strcmp(governor, "performance") == 0)
			continue;
		CPU_SET(cpu, &slow);
		memcpy(found, governor, sizeof(found));
	}
	if (is_empty(&slow)) {
		check_say(report, CHECK_OK, "governor", "%s",
			  any ? "performance" : "none: firmware or the hypervisor decides");
		return;
	}
	sysfs_format_cpus(&slow, list, sizeof(list));
	check_say(report, CHECK_WARN, "governor", "%.32s on cpus %s", found, list);
	check_advise(report, "a cpu that changes its frequency adds to every latency");
	check_command(report, "cpupower --cpu %s frequency-set --governor performance", list);
}

/* For information: what is better depends on what is wanted. */
static void check_turbo(struct check_report *report, const struct check_subject *subject)
{
	int64_t off =
	    sysfs_number(subject->root, -1, "/sys/devices/system/cpu/intel_pstate/no_turbo");
	int64_t boost = sysfs_number(subject->root, -1, "/sys/devices/system/cpu/cpufreq/boost");

	if (off < 0 && boost < 0)
		check_say(report, CHECK_OK, "turbo", "not the kernel's to set");
	else if (off == 0 || boost == 1)
		check_say(report, CHECK_OK, "turbo",
			  "on: faster; off, the latency varies less with what other cores do");
	else
		check_say(report, CHECK_OK, "turbo", "off: steady, a little slower");
}

static void check_siblings(struct check_report *report, const struct check_subject *subject)
{
	char list[LIST_BYTES];
	cpu_set_t siblings;
	cpu_set_t others;
	unsigned inside = 0;

	CPU_ZERO(&others);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &subject->cpus) ||
		    !sysfs_cpus(subject->root, &siblings,
				"/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", cpu))
			continue;
		cpu_set_t outside = without(&siblings, &subject->cpus);
		inside += CPU_COUNT(&siblings) - CPU_COUNT(&outside) > 1;
		CPU_OR(&others, &others, &outside);
	}
	if (inside == 0 && is_empty(&others)) {
		check_say(report, CHECK_OK, "smt siblings", "no two threads share a core");
		return;
	}
	sysfs_format_cpus(&others, list, sizeof(list));
	if (inside > 0) {
		check_say(report, CHECK_WARN, "smt siblings", "%u cpus of the engine share cores",
			  inside);
		check_advise(report, "give the engine one thread a core");
		return;
	}
	check_say(report, CHECK_WARN, "smt siblings", "the engine shares cores with cpus %s", list);
	check_advise(report, "take those out of service, or keep work off them");
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &others))
			check_command(report, "echo 0 >/sys/devices/system/cpu/cpu%u/online", cpu);
	}
}

/* Linux schedules the threads of a session (setsid) as one group against each thread of the kernel's
 * own, such as those which end durable writes of files. */
static void check_autogroup(struct check_report *report, const struct check_subject *subject)
{
	if (sysfs_number(subject->root, 0, "/proc/sys/kernel/sched_autogroup_enabled") == 0) {
		check_say(report, CHECK_OK, "autogroup", "off: threads are scheduled one by one");
		return;
	}
	check_say(report, CHECK_WARN, "autogroup",
		  "on: the threads of a session share their CPUs with the kernel's as one");
	check_advise(report,
		     "where CPUs are shared this adds milliseconds to the slowest replies, and "
		     "other work of the same session can hold up the log for seconds");
	check_command(report, "sysctl -w kernel.sched_autogroup_enabled=0");
}

/* Cores, the port, and the pages that tables will lie in. */
static void check_nodes(struct check_report *report, const struct check_subject *subject)
{
	unsigned nodes = 0;
	int first = -1;
	int used = 0;

	for (int node = 0; node < NODES_MAX; node++) {
		cpu_set_t cpus;
		cpu_set_t ours;
		if (!sysfs_cpus(subject->root, &cpus, "/sys/devices/system/node/node%d/cpulist",
				node))
			continue;
		nodes++;
		CPU_AND(&ours, &cpus, &subject->cpus);
		if (is_empty(&ours))
			continue;
		used++;
		if (first < 0)
			first = node;
		int64_t free_pages = 0;
		free_pages += sysfs_number(subject->root, 0,
					   "/sys/devices/system/node/node%d/hugepages/"
					   "hugepages-2048kB/free_hugepages",
					   node);
		free_pages += sysfs_number(subject->root, 0,
					   "/sys/devices/system/node/node%d/hugepages/"
					   "hugepages-1048576kB/free_hugepages",
					   node);
		if (free_pages > 0 || !subject->hugepages || subject->lcores > 0)
			continue;
		check_say(report, CHECK_WARN, "numa memory",
			  "node %d has cores of the engine and no free hugepage", node);
		check_advise(report, "its shards' tables would lie on another node");
		check_command(report,
			      "echo 1024 >/sys/devices/system/node/node%d/hugepages/"
			      "hugepages-2048kB/nr_hugepages",
			      node);
	}
	if (nodes <= 1) {
		check_say(report, CHECK_OK, "numa", "one node");
		return;
	}
	if (used == 1 && (subject->port_node < 0 || subject->port_node == first)) {
		check_say(report, CHECK_OK, "numa", "all of the engine is on node %d of %u", first,
			  nodes);
		return;
	}
	check_say(report, CHECK_WARN, "numa", "the engine's cores are on %d nodes", used);
	check_advise(report, "every message and frame between them crosses the link: take cores of "
			     "the port's node");
}

void check_cores(struct check_report *report, const struct check_subject *subject)
{
	check_count(report, subject);
	check_owners(report, subject);
	check_isolated(report, subject);
	check_interrupts(report, subject);
	check_governor(report, subject);
	check_turbo(report, subject);
	check_siblings(report, subject);
	check_autogroup(report, subject);
	check_nodes(report, subject);
}

void check_clock(struct check_report *report, const struct check_subject *subject)
{
	/* Those that are read without a system call. */
	static const char *const good[] = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page",
					   "arch_sys_counter"};
	char source[SYSFS_TEXT_BYTES];
	char available[SYSFS_TEXT_BYTES];

	if (!sysfs_text(subject->root, source,
			"/sys/devices/system/clocksource/clocksource0/current_clocksource")) {
		check_say(report, CHECK_WARN, "clock source", "not known");
		return;
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (strcmp(source, good[i]) != 0)
			continue;
		check_say(report, CHECK_OK, "clock source", "%.64s", source);
		return;
	}
	check_say(report, CHECK_WARN, "clock source", "%.64s: each look at the clock is slow",
		  source);
	sysfs_text(subject->root, available,
		   "/sys/devices/system/clocksource/clocksource0/available_clocksource");
	if (strstr(available, "tsc") == NULL) {
		check_advise(report,
			     "the kernel does not trust this machine's tsc: look for why with "
			     "dmesg | grep -i tsc");
		return;
	}
	check_advise(report, "tsc is there, and was not chosen");
	check_command(report,
		      "echo tsc >/sys/devices/system/clocksource/clocksource0/current_clocksource");
}
