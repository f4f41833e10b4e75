/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/engine/machine.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void machine_begin(struct machine *machine)
{
	const char *base = getenv("TMPDIR");

	*machine = (struct machine){0};
	snprintf(machine->root, sizeof(machine->root), "%s/machine-XXXXXX",
		 base != NULL ? base : "/tmp");
	cr_assert_not_null(mkdtemp(machine->root), "%s: %s", machine->root, strerror(errno));
	machine_listen(machine);
}

static int remove_each(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
	(void)status;
	(void)flag;
	(void)walk;
	return remove(path);
}

void machine_end(struct machine *machine)
{
	fclose(machine->report.out);
	free(machine->said);
	nftw(machine->root, remove_each, 16, FTW_DEPTH | FTW_PHYS);
}

void machine_put(struct machine *machine, const char *path, const char *text)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "%s%s", machine->root, path);
	for (char *slash = strchr(whole + strlen(machine->root) + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		cr_assert(mkdir(whole, 0700) == 0 || errno == EEXIST, "%s: %s", whole,
			  strerror(errno));
		*slash = '/';
	}
	FILE *file = fopen(whole, "w");
	cr_assert_not_null(file, "%s: %s", whole, strerror(errno));
	cr_assert(fprintf(file, "%s\n", text) > 0 && fclose(file) == 0);
}

void machine_listen(struct machine *machine)
{
	if (machine->report.out != NULL)
		fclose(machine->report.out);
	free(machine->said);
	machine->said = NULL;
	machine->report = (struct check_report){.tune = machine->report.tune};
	machine->report.out = open_memstream(&machine->said, &machine->said_bytes);
	cr_assert_not_null(machine->report.out);
}

const char *machine_said(struct machine *machine)
{
	fflush(machine->report.out);
	return machine->said;
}

const char *machine_assert_said(struct machine *machine, const char *verdict, const char *name,
				const char *part)
{
	const char *said = machine_said(machine);
	char head[64];

	snprintf(head, sizeof(head), "%-5s %-15s ", verdict, name);
	const char *line = strstr(said, head);
	cr_assert(line != NULL && (line == said || line[-1] == '\n'), "no '%s' in:\n%s", head,
		  said);
	const char *end = strchr(line, '\n');
	const char *found = strstr(line, part);
	cr_assert(found != NULL && found < end, "no '%s' at '%s' in:\n%s", part, head, said);
	return line;
}
