/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/thread_time.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static double task_seconds(const char *task)
{
	char path[64];
	unsigned long long ran_ns = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/schedstat", task);
	FILE *file = fopen(path, "r");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%llu", &ran_ns) != 1)
		ran_ns = 0;
	fclose(file);
	return (double)ran_ns / 1e9;
}

static int task_has_name(const char *task, const char *name)
{
	char path[64];
	char found[32] = "";

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", task);
	FILE *file = fopen(path, "r");
	if (file == NULL)
		return 0;
	if (fgets(found, sizeof(found), file) == NULL)
		found[0] = '\0';
	fclose(file);
	found[strcspn(found, "\n")] = '\0';
	return strcmp(found, name) == 0;
}

double thread_seconds(const char *name)
{
	const struct dirent *entry;
	double seconds = 0;
	DIR *tasks = opendir("/proc/self/task");

	if (tasks == NULL)
		return 0;
	while ((entry = readdir(tasks)) != NULL) {
		if (entry->d_name[0] != '.' && task_has_name(entry->d_name, name))
			seconds += task_seconds(entry->d_name);
	}
	closedir(tasks);
	return seconds;
}

double main_thread_seconds(void)
{
	char task[24];

	snprintf(task, sizeof(task), "%d", getpid());
	return task_seconds(task);
}
