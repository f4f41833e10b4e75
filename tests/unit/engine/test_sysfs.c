/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "engine/sysfs.h"
#include "tests/unit/engine/machine.h"

static struct machine machine;

static void begin(void)
{
	machine_begin(&machine);
}

static void end(void)
{
	machine_end(&machine);
}

TestSuite(sysfs, .init = begin, .fini = end);

struct list {
	const char *text;
	const char *formatted; /* NULL: refused */
};

static const struct list lists[] = {
    {"", ""},
    {"0", "0"},
    {"0-3", "0-3"},
    {"0,1,2,3", "0-3"},
    {"7,0-2, 4\n", "0-2,4,7"},
    {"1023", "1023"},
    {"1024", NULL},
    {"3-1", NULL},
    {"1-", NULL},
    {"-1", NULL},
    {"1;2", NULL},
    {"(null)", NULL},
    {"0-18446744073709551615", NULL},
};

Test(sysfs, lists_of_cpus)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		char text[64];
		cpu_set_t cpus;
		bool taken = sysfs_parse_cpus(lists[i].text, &cpus);
		cr_assert_eq(taken, lists[i].formatted != NULL, "'%s'", lists[i].text);
		if (!taken)
			continue;
		sysfs_format_cpus(&cpus, text, sizeof(text));
		cr_assert_str_eq(text, lists[i].formatted);
	}
}

Test(sysfs, a_list_that_is_too_long_says_so)
{
	char text[16];
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	for (unsigned cpu = 0; cpu < 100; cpu += 2)
		CPU_SET(cpu, &cpus);
	sysfs_format_cpus(&cpus, text, sizeof(text));
	cr_assert(strlen(text) < sizeof(text));
	cr_assert_str_eq(text + strlen(text) - 3, "...");
}

Test(sysfs, what_is_not_there_is_told_from_what_is_empty)
{
	char text[SYSFS_TEXT_BYTES];
	cpu_set_t cpus;

	machine_put(&machine, "/sys/empty", "");
	machine_put(&machine, "/sys/number", "42 and more");
	machine_put(&machine, "/sys/word", "performance");
	cr_assert(sysfs_text(machine.root, text, "/sys/%s", "empty"));
	cr_assert_str_eq(text, "");
	cr_assert(!sysfs_text(machine.root, text, "/sys/%s", "nothing"));
	cr_assert(sysfs_cpus(machine.root, &cpus, "/sys/empty") && CPU_COUNT(&cpus) == 0);
	cr_assert(!sysfs_cpus(machine.root, &cpus, "/sys/nothing") && CPU_COUNT(&cpus) == 0);
	cr_assert_eq(sysfs_number(machine.root, -7, "/sys/number"), 42);
	cr_assert_eq(sysfs_number(machine.root, -7, "/sys/word"), -7);
	cr_assert_eq(sysfs_number(machine.root, -7, "/sys/nothing"), -7);
}

static void count(void *context, const char *rest)
{
	strcat(context, rest);
}

Test(sysfs, entries_of_a_directory)
{
	char names[64] = "";

	machine_put(&machine, "/sys/d/page-a/x", "1");
	machine_put(&machine, "/sys/d/page-b/x", "1");
	machine_put(&machine, "/sys/d/other", "1");
	cr_assert_eq(sysfs_each(machine.root, "/sys/d", "page-", count, names), 2);
	cr_assert(strcmp(names, "ab") == 0 || strcmp(names, "ba") == 0, "%s", names);
	cr_assert_eq(sysfs_each(machine.root, "/sys/nothing", "", count, names), 0);
}
