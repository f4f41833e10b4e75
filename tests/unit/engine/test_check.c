/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/sysfs.h"
#include "tests/unit/engine/machine.h"

#define MIB (UINT64_C(1) << 20)

static struct machine machine;
static struct check_subject subject;

static void use_cpus(const char *list)
{
	cr_assert(sysfs_parse_cpus(list, &subject.cpus));
	subject.cpus_known = true;
	subject.lcores = (unsigned)CPU_COUNT(&subject.cpus);
}

/* A good one: two nodes of four cores, the engine on the isolated ones of node 0. */
static void begin(void)
{
	machine_begin(&machine);
	subject = (struct check_subject){.root = machine.root, .port_node = 0, .hugepages = true};
	use_cpus("2-3");
	machine_put(&machine, "/sys/devices/system/cpu/online", "0-7");
	machine_put(&machine, "/sys/devices/system/cpu/isolated", "2-3");
	machine_put(&machine, "/sys/devices/system/cpu/nohz_full", "2-3");
	machine_put(&machine, "/sys/devices/system/node/node0/cpulist", "0-3");
	machine_put(&machine, "/sys/devices/system/node/node1/cpulist", "4-7");
	for (unsigned cpu = 0; cpu < 8; cpu++) {
		char path[128];
		char list[16];
		snprintf(path, sizeof(path),
			 "/sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", cpu);
		machine_put(&machine, path, "performance");
		snprintf(path, sizeof(path),
			 "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", cpu);
		snprintf(list, sizeof(list), "%u", cpu);
		machine_put(&machine, path, list);
	}
	machine_put(&machine, "/proc/irq/24/smp_affinity_list", "0-7");
	machine_put(&machine, "/proc/irq/24/effective_affinity_list", "1");
	machine_put(&machine, "/sys/devices/system/cpu/intel_pstate/no_turbo", "1");
	machine_put(&machine, "/sys/devices/system/clocksource/clocksource0/current_clocksource",
		    "tsc");
	machine_put(&machine, "/proc/sys/kernel/sched_autogroup_enabled", "0");
	machine_put(&machine, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "1024");
	machine_put(&machine, "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "512");
	machine_put(&machine, "/sys/dev/block/259:0/uevent", "DEVNAME=nvme0n1");
	machine_put(&machine, "/sys/dev/block/259:0/queue/rotational", "0");
	machine_put(&machine, "/sys/dev/block/259:0/queue/write_cache", "write through");
	machine_put(&machine, "/sys/dev/block/259:0/queue/scheduler", "[none] mq-deadline");
	machine_put(&machine, "/sys/dev/block/259:0/queue/io_poll", "1");
}

static void end(void)
{
	machine_end(&machine);
}

TestSuite(check, .init = begin, .fini = end);

static void look(void)
{
	machine_listen(&machine);
	check_hugepages(&machine.report, &subject);
	check_cores(&machine.report, &subject);
	check_clock(&machine.report, &subject);
	check_block_device(&machine.report, &subject, 259, 0);
}

Test(check, a_good_machine_is_good)
{
	subject.memory_needed = 900 * MIB;
	look();
	cr_assert(machine.report.counts[CHECK_WARN] == 0 && machine.report.counts[CHECK_FAIL] == 0,
		  "%s", machine_said(&machine));
	cr_assert(machine.report.counts[CHECK_OK] >= 14);
	cr_assert_eq(machine.report.commands, 0);
	cr_assert_eq(check_end(&machine.report), 0);
	machine_assert_said(&machine, "ok", "turbo", "off");
}

/* One thing wrong at a time: what is said of it, and the command that mends it. */
struct wrong {
	const char *path;
	const char *text;
	const char *verdict;
	const char *name;
	const char *part;
	const char *command; /* NULL: words only */
};

static const struct wrong wrongs[] = {
    {"/sys/devices/system/cpu/isolated", "3", "warn", "isolated cpus", "cpus 2",
     "isolcpus=2-3 nohz_full=2-3 rcu_nocbs=2-3"},
    {"/sys/devices/system/cpu/isolated", "(null)", "warn", "isolated cpus", "cpus 2-3", "isolcpus"},
    {"/sys/devices/system/cpu/nohz_full", "", "warn", "isolated cpus", "timer still ticks",
     "nohz_full=2-3"},
    {"/proc/irq/24/effective_affinity_list", "3", "warn", "irq affinity", "1 interrupts",
     "for irq in 24; do echo 0-1,4-7 >/proc/irq/$irq/smp_affinity_list"},
    {"/proc/irq/25/smp_affinity_list", "0-7", "warn", "irq affinity", "1 interrupts", "in 25;"},
    {"/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave", "warn", "governor",
     "powersave on cpus 3", "cpupower --cpu 3 frequency-set --governor performance"},
    {"/sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2,6", "warn", "smt siblings",
     "with cpus 6", "echo 0 >/sys/devices/system/cpu/cpu6/online"},
    {"/sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2-3", "warn", "smt siblings",
     "1 cpus of the engine", NULL},
    {"/proc/sys/kernel/sched_autogroup_enabled", "1", "warn", "autogroup", "of a session",
     "sysctl -w kernel.sched_autogroup_enabled=0"},
    {"/sys/devices/system/node/node0/cpulist", "0-2", "warn", "numa", "on 1 nodes", NULL},
    {"/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet", "warn",
     "clock source", "hpet", NULL},
    {"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "400", "FAIL", "hugepages",
     "800 MiB free", "sysctl -w vm.nr_hugepages=1106"},
    {"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0", "FAIL", "hugepages",
     "none reserved", "sysctl"},
    {"/sys/dev/block/259:0/queue/rotational", "1", "warn", "log device", "turns", NULL},
    {"/sys/dev/block/259:0/queue/write_cache", "write back", "warn", "write cache", "volatile",
     NULL},
    {"/sys/dev/block/259:0/queue/scheduler", "none [mq-deadline]", "warn", "io scheduler",
     "[mq-deadline]", "echo none >/sys/block/nvme0n1/queue/scheduler"},
    {"/sys/dev/block/259:0/uevent", "MAJOR=259", "warn", "log device", "not known (259:0)", NULL},
};

/* The command that stands below the line, or NULL. */
static const char *command_below(const char *line)
{
	for (const char *next = strchr(line, '\n'); next != NULL && next[1] == ' ';
	     next = strchr(next + 1, '\n')) {
		const char *text = next + 1 + strspn(next + 1, " ");
		if (text[0] == '$')
			return text + 2;
	}
	return NULL;
}

Test(check, each_fault_is_named_with_what_to_do)
{
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		const struct wrong *wrong = &wrongs[i];
		machine_end(&machine);
		begin();
		subject.memory_needed = 900 * MIB;
		machine_put(&machine, wrong->path, wrong->text);
		if (strstr(wrong->text, "0-2") != NULL)
			subject.port_node = 1;
		look();
		const char *line =
		    machine_assert_said(&machine, wrong->verdict, wrong->name, wrong->part);
		unsigned bad =
		    machine.report.counts[CHECK_WARN] + machine.report.counts[CHECK_FAIL];
		cr_assert(bad == 1 || strcmp(wrong->name, "log device") == 0, "%s: %u faults:\n%s",
			  wrong->name, bad, machine_said(&machine));
		const char *command = command_below(line);
		cr_assert_eq(command != NULL, wrong->command != NULL, "%s", machine_said(&machine));
		if (command != NULL) {
			char one[512];
			snprintf(one, sizeof(one), "%.*s", (int)strcspn(command, "\n"), command);
			cr_assert(strstr(one, wrong->command) != NULL, "'%s' lacks '%s'", one,
				  wrong->command);
		}
		cr_assert_eq(check_end(&machine.report),
			     strcmp(wrong->verdict, "FAIL") == 0 ? 2 : 1);
	}
}

Test(check, a_machine_that_tells_nothing_is_no_failure)
{
	machine_end(&machine);
	machine_begin(&machine);
	subject = (struct check_subject){.root = machine.root, .port_node = -1};
	use_cpus("0-1");
	look();
	cr_assert_eq(machine.report.counts[CHECK_FAIL], 0, "%s", machine_said(&machine));
	machine_assert_said(&machine, "ok", "governor", "firmware or the hypervisor");
	machine_assert_said(&machine, "ok", "numa", "one node");
	machine_assert_said(&machine, "warn", "clock source", "not known");
}

/* A command must not take the last cpu from the rest of the machine. */
Test(check, all_cpus_are_never_isolated)
{
	machine_put(&machine, "/sys/devices/system/cpu/isolated", "");
	machine_put(&machine, "/proc/irq/25/smp_affinity_list", "0-7");
	use_cpus("0-7");
	look();
	machine_assert_said(&machine, "warn", "isolated cpus", "0-7");
	machine_assert_said(&machine, "warn", "irq affinity", "2 interrupts");
	cr_assert_null(strstr(machine_said(&machine), "isolcpus"));
	cr_assert_null(strstr(machine_said(&machine), "smp_affinity_list;"));
}

Test(check, lcores)
{
	use_cpus("2");
	look();
	machine_assert_said(&machine, "FAIL", "cores", "one lcore");
	use_cpus("2-3");
	subject.lcores = 4;
	look();
	machine_assert_said(&machine, "warn", "cores", "4 lcores share cpus 2-3");
}

Test(check, workers_of_shards)
{
	static struct engine_config owned = {
	    .limits = {.shards = 3}, .shard_workers = {0, 1, 0}, .shard_workers_count = 3};

	use_cpus("1-3");
	subject.config = &owned;
	look();
	machine_assert_said(&machine, "ok", "shards", "each of 2 workers has some");
	subject.lcores = 4;
	look();
	machine_assert_said(&machine, "FAIL", "shards", "worker 2 of 3 has no shard");
	subject.lcores = 2;
	look();
	machine_assert_said(&machine, "FAIL", "shards", "shard 1 is given to worker 1");
	owned.shard_workers_count = 0;
	look();
	cr_assert_null(strstr(machine_said(&machine), "shard_workers"));
}

Test(check, a_partition_has_its_disks_queue)
{
	machine_put(&machine, "/sys/dev/block/8:1/partition", "1");
	machine_put(&machine, "/sys/dev/block/uevent", "DEVNAME=sda");
	machine_put(&machine, "/sys/dev/block/queue/rotational", "1");
	machine_put(&machine, "/sys/dev/block/queue/write_cache", "write back");
	machine_put(&machine, "/sys/dev/block/queue/fua", "1");
	check_block_device(&machine.report, &subject, 8, 1);
	machine_assert_said(&machine, "warn", "log device", "sda, a disk that turns");
	machine_assert_said(&machine, "ok", "write cache", "FUA");
}

/* Tuning: a script. Every line is a comment or a command. */
Test(check, tune_prints_commands_alone)
{
	unsigned commands = 0;

	machine.report.tune = true;
	machine_put(&machine, "/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave");
	machine_put(&machine, "/sys/dev/block/259:0/queue/scheduler", "none [bfq]");
	look();
	check_end(&machine.report);
	for (const char *line = machine_said(&machine); *line != '\0';
	     line = strchr(line, '\n') + 1)
		commands += line[0] != '#';
	cr_assert_eq(commands, 2, "%s", machine_said(&machine));
	cr_assert_not_null(strstr(machine_said(&machine), "\ncpupower --cpu 3 "));
	cr_assert_null(strstr(machine_said(&machine), "clock source"), "what is well is no news");
}

/* The log's place: the folder of the machine itself. */

static struct engine_config config;

static void make_log(void)
{
	config = (struct engine_config){.segment_bytes = 1 << 20, .section_bytes = 1 << 16};
	config.limits.shards = 1;
	config.epochs = 4;
	snprintf(config.log_path, sizeof(config.log_path), "%.100s/log", machine.root);
	machine_put(&machine, "/log/lock", "");
	subject.config = &config;
}

static unsigned files_in(const char *path)
{
	return sysfs_each(machine.root, path, "", NULL, NULL);
}

Test(check, a_directory_is_measured_and_left_as_it_was)
{
	make_log();
	machine_put(&machine, "/log/00000000000000000000.wal", "a segment");
	check_log(&machine.report, &subject);
	machine_assert_said(&machine, "ok", "log path", "directory");
	machine_assert_said(&machine, "ok", "log extents", "1 segments");
	const char *said = machine_said(&machine);
	cr_assert(strstr(said, "dsync latency") != NULL && strstr(said, "over 64 writes") != NULL,
		  "%s", said);
	cr_assert_null(strstr(said, "log lock"));
	cr_assert_eq(files_in("/log"), 2);
}

Test(check, times_are_in_order)
{
	uint64_t times_ns[CHECK_WRITES];

	make_log();
	cr_assert_eq(check_time_writes(config.log_path, times_ns), 0);
	cr_assert(times_ns[0] > 0);
	for (unsigned i = 1; i < CHECK_WRITES; i++)
		cr_assert(times_ns[i] >= times_ns[i - 1]);
	cr_assert_eq(check_time_writes("/nowhere/at/all", times_ns), -ENOENT);
	cr_assert_eq(files_in("/log"), 1);
}

Test(check, a_log_in_use_is_said)
{
	char lock[CONFIG_TEXT_MAX + 8];

	make_log();
	snprintf(lock, sizeof(lock), "%s/lock", config.log_path);
	int fd = open(lock, O_RDWR);
	cr_assert(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
	check_log(&machine.report, &subject);
	machine_assert_said(&machine, "warn", "log lock", "an engine is writing");
	close(fd);
}

Test(check, a_place_that_is_none)
{
	make_log();
	strcpy(config.log_path, "/nowhere/at/all");
	check_log(&machine.report, &subject);
	const char *line =
	    machine_assert_said(&machine, "FAIL", "log path", "/nowhere/at/all: No such file");
	cr_assert_not_null(command_below(line));
	machine_listen(&machine);
	strcpy(config.log_path, "/dev/null");
	check_log(&machine.report, &subject);
	machine_assert_said(&machine, "FAIL", "log path", "neither a directory nor a block device");
}

Test(check, little_room_is_said)
{
	make_log();
	config.segment_bytes = UINT64_C(1) << 50;
	check_log(&machine.report, &subject);
	machine_assert_said(&machine, "warn", "log space", "0 segments");
}
