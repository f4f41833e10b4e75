/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/memory_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"

#define PATH_BYTES 32

static int files[MEMORY_FILES];
static char paths[MEMORY_FILES][PATH_BYTES];

const char *memory_file_set(unsigned index, const void *bytes, size_t size)
{
	CHECK(index < MEMORY_FILES);
	if (paths[index][0] == '\0') {
		files[index] = memfd_create("fuzz", MFD_CLOEXEC);
		CHECK(files[index] >= 0);
		snprintf(paths[index], PATH_BYTES, "/proc/self/fd/%d", files[index]);
	}
	CHECK(ftruncate(files[index], 0) == 0);
	CHECK(pwrite(files[index], bytes, size, 0) == (ssize_t)size);
	return paths[index];
}

int memory_file_open(const char *path, int flags, ...)
{
	(void)path;
	(void)flags;
	return dup(files[0]);
}

void *memory_file_map(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	(void)address;
	(void)protection;
	(void)flags;
	void *bytes = malloc(size);

	CHECK(bytes != NULL);
	CHECK(pread(fd, bytes, size, offset) == (ssize_t)size);
	return bytes;
}

int memory_file_unmap(void *address, size_t size)
{
	(void)size;
	free(address);
	return 0;
}
