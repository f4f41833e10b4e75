/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that a decoder opens by name, in memory: nothing is left behind when a run ends badly.
 *
 * A decoder that maps its file is compiled with open, mmap and munmap renamed to those here, so that
 * the mapping is an allocation of exactly the file's size and a sanitizer sees one byte too far.
 */
#ifndef GIRO_TESTS_FUZZ_MEMORY_FILE_H
#define GIRO_TESTS_FUZZ_MEMORY_FILE_H

#include <stddef.h>
#include <sys/types.h>

#define MEMORY_FILES 2

/* Gives file `index` this content and returns a path to it: the kernel's, which any open() takes. */
const char *memory_file_set(unsigned index, const void *bytes, size_t size);

/* Opens file 0, whatever the path. */
int memory_file_open(const char *path, int flags, ...);

void *memory_file_map(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int memory_file_unmap(void *address, size_t size);

#endif
