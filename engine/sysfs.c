/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sysfs.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *open_path(const char *root, const char *format, va_list arguments)
{
	char path[SYSFS_PATH_BYTES];
	int used = snprintf(path, sizeof(path), "%s", root);

	if (used < 0 || (size_t)used >= sizeof(path))
		return NULL;
	int more = vsnprintf(path + used, sizeof(path) - (size_t)used, format, arguments);
	if (more < 0 || (size_t)(used + more) >= sizeof(path))
		return NULL;
	return fopen(path, "re");
}

static bool read_line(FILE *file, char text[SYSFS_TEXT_BYTES])
{
	text[0] = '\0';
	if (file == NULL)
		return false;
	bool read = fgets(text, SYSFS_TEXT_BYTES, file) != NULL;
	/* An empty file is an empty list, an error is none. */
	read = read || (feof(file) && !ferror(file));
	text[strcspn(text, "\n")] = '\0';
	fclose(file);
	return read;
}

bool sysfs_text(const char *root, char text[SYSFS_TEXT_BYTES], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	FILE *file = open_path(root, format, arguments);
	va_end(arguments);
	return read_line(file, text);
}

int64_t sysfs_number(const char *root, int64_t missing, const char *format, ...)
{
	char text[SYSFS_TEXT_BYTES];
	va_list arguments;
	char *end;

	va_start(arguments, format);
	FILE *file = open_path(root, format, arguments);
	va_end(arguments);
	if (!read_line(file, text))
		return missing;
	int64_t number = strtoll(text, &end, 10);
	return end == text ? missing : number;
}

bool sysfs_parse_cpus(const char *text, cpu_set_t *cpus)
{
	CPU_ZERO(cpus);
	text += strspn(text, " \t\n");
	while (*text != '\0') {
		char *end;
		unsigned long first = strtoul(text, &end, 10);
		unsigned long last = first;
		if (end == text)
			return false;
		if (*end == '-') {
			text = end + 1;
			last = strtoul(text, &end, 10);
			if (end == text)
				return false;
		}
		if (last >= CPU_SETSIZE || first > last)
			return false;
		for (unsigned long cpu = first; cpu <= last; cpu++)
			CPU_SET(cpu, cpus);
		text = end + strspn(end, " \t\n");
		if (*text == '\0')
			break;
		if (*text++ != ',')
			return false;
	}
	return true;
}

bool sysfs_cpus(const char *root, cpu_set_t *cpus, const char *format, ...)
{
	char text[SYSFS_TEXT_BYTES];
	va_list arguments;

	va_start(arguments, format);
	FILE *file = open_path(root, format, arguments);
	va_end(arguments);
	CPU_ZERO(cpus);
	/* "(null)" is what some kernels say for a list that was never given. */
	if (!read_line(file, text) || !sysfs_parse_cpus(text, cpus)) {
		CPU_ZERO(cpus);
		return false;
	}
	return true;
}

unsigned sysfs_each(const char *root, const char *path, const char *prefix,
		    void (*entry)(void *context, const char *rest), void *context)
{
	char directory_path[SYSFS_PATH_BYTES];
	struct dirent *each;
	unsigned count = 0;

	snprintf(directory_path, sizeof(directory_path), "%s%s", root, path);
	DIR *directory = opendir(directory_path);
	if (directory == NULL)
		return 0;
	while ((each = readdir(directory)) != NULL) {
		if (each->d_name[0] == '.' || strncmp(each->d_name, prefix, strlen(prefix)) != 0)
			continue;
		count++;
		if (entry != NULL)
			entry(context, each->d_name + strlen(prefix));
	}
	closedir(directory);
	return count;
}

void sysfs_format_cpus(const cpu_set_t *cpus, char *text, size_t bytes)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		char item[32];
		if (!CPU_ISSET(cpu, cpus))
			continue;
		unsigned last = cpu;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, cpus))
			last++;
		if (last > cpu)
			snprintf(item, sizeof(item), "%s%u-%u", used > 0 ? "," : "", cpu, last);
		else
			snprintf(item, sizeof(item), "%s%u", used > 0 ? "," : "", cpu);
		if (used + strlen(item) + 4 >= bytes) {
			snprintf(text + used, bytes - used, "...");
			return;
		}
		used += (size_t)snprintf(text + used, bytes - used, "%s", item);
		cpu = last;
	}
}
