/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/memory.h"

#include <dirent.h>
#include <stdio.h>

#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#define HUGEPAGES_DIRECTORY "/sys/kernel/mm/hugepages"

static uint64_t free_in_heaps(void)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < rte_socket_count(); i++) {
		struct rte_malloc_socket_stats stats;
		if (rte_malloc_get_socket_stats(rte_socket_id_by_idx(i), &stats) == 0)
			bytes += stats.heap_freesz_bytes;
	}
	return bytes;
}

static uint64_t free_hugepages(void)
{
	DIR *directory = opendir(HUGEPAGES_DIRECTORY);
	struct dirent *entry;
	uint64_t bytes = 0;

	if (directory == NULL)
		return 0;
	while ((entry = readdir(directory)) != NULL) {
		unsigned long kib;
		unsigned long pages;
		char path[sizeof(HUGEPAGES_DIRECTORY) + 300];
		if (sscanf(entry->d_name, "hugepages-%lukB", &kib) != 1)
			continue;
		snprintf(path, sizeof(path), HUGEPAGES_DIRECTORY "/%s/free_hugepages",
			 entry->d_name);
		FILE *file = fopen(path, "r");
		if (file == NULL)
			continue;
		if (fscanf(file, "%lu", &pages) == 1)
			bytes += (uint64_t)pages * kib * 1024;
		fclose(file);
	}
	closedir(directory);
	return bytes;
}

uint64_t memory_available(void)
{
	return free_in_heaps() + (rte_eal_has_hugepages() ? free_hugepages() : 0);
}
