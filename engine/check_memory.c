/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/check.h"
#include "engine/sysfs.h"

#define PAGE_SIZES_MAX 8
#define GIB	       (UINT64_C(1) << 30)
/* What EAL takes beside what is asked of it, and what lies unused at the ends of areas. */
#define SLACK_BYTES (64u << 20)

struct pages {
	const char *root;
	unsigned sizes;
	uint64_t kib[PAGE_SIZES_MAX];
	uint64_t total[PAGE_SIZES_MAX];
	uint64_t free[PAGE_SIZES_MAX];
	uint64_t free_bytes;
};

static void add_size(void *context, const char *rest)
{
	struct pages *pages = context;
	char *end;
	uint64_t kib = strtoull(rest, &end, 10);

	if (end == rest || pages->sizes == PAGE_SIZES_MAX)
		return;
	int64_t total = sysfs_number(pages->root, 0,
				     "/sys/kernel/mm/hugepages/hugepages-%s/nr_hugepages", rest);
	int64_t free = sysfs_number(pages->root, 0,
				    "/sys/kernel/mm/hugepages/hugepages-%s/free_hugepages", rest);
	pages->kib[pages->sizes] = kib;
	pages->total[pages->sizes] = (uint64_t)total;
	pages->free[pages->sizes] = (uint64_t)free;
	pages->free_bytes += (uint64_t)free * kib << 10;
	pages->sizes++;
}

static void advise_pages(struct check_report *report, const struct pages *pages, uint64_t needed)
{
	uint64_t page_bytes = UINT64_C(2) << 20;
	uint64_t had = 0;

	for (unsigned i = 0; i < pages->sizes; i++) {
		if (pages->kib[i] << 10 == page_bytes)
			had = pages->total[i];
	}
	uint64_t missing = needed > pages->free_bytes ? needed - pages->free_bytes : 0;
	check_advise(report,
		     "for good: a file in /etc/sysctl.d, or hugepagesz=1G hugepages=N on the "
		     "kernel's command line, which also spares page table walks");
	check_command(report, "sysctl -w vm.nr_hugepages=%" PRIu64,
		      had + (missing + page_bytes - 1) / page_bytes);
}

void check_hugepages(struct check_report *report, const struct check_subject *subject)
{
	struct pages pages = {.root = subject->root};
	uint64_t total = 0;
	bool giant = false;

	if (!subject->hugepages) {
		check_say(report, CHECK_WARN, "hugepages", "EAL runs without them (--no-huge)");
		check_advise(report, "for tests only: every random access walks the page tables");
		return;
	}
	sysfs_each(subject->root, "/sys/kernel/mm/hugepages", "hugepages-", add_size, &pages);
	for (unsigned i = 0; i < pages.sizes; i++) {
		total += pages.total[i];
		giant |= pages.kib[i] << 10 >= GIB && pages.total[i] > 0;
	}
	uint64_t needed = subject->memory_needed > 0 ? subject->memory_needed + SLACK_BYTES : 0;
	uint64_t free_mib = pages.free_bytes >> 20;
	if (total == 0) {
		check_say(report, CHECK_FAIL, "hugepages", "none reserved");
		advise_pages(report, &pages, needed > 0 ? needed : GIB);
	} else if (needed > pages.free_bytes) {
		check_say(report, CHECK_FAIL, "hugepages",
			  "%" PRIu64 " MiB free, the configuration needs about %" PRIu64 " MiB",
			  free_mib, needed >> 20);
		advise_pages(report, &pages, needed);
	} else if (needed >= 4 * GIB && !giant) {
		check_say(report, CHECK_WARN, "hugepages",
			  "%" PRIu64 " MiB free, %" PRIu64 " MiB needed, but none of 1 GiB",
			  free_mib, needed >> 20);
		check_advise(report,
			     "tables this large miss the TLB with small pages: hugepagesz=1G "
			     "hugepages=N on the kernel's command line");
	} else if (needed > 0) {
		check_say(report, CHECK_OK, "hugepages",
			  "%" PRIu64 " MiB free, about %" PRIu64 " MiB needed", free_mib,
			  needed >> 20);
	} else {
		check_say(report, CHECK_OK, "hugepages", "%" PRIu64 " MiB free", free_mib);
	}
}
