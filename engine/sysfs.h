/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading what the kernel says of its machine in /sys and /proc. Every path is looked up below a
 * root, so that a test can show a machine of its own; "" is the real one.
 *
 * Blocks; any thread.
 */
#ifndef GIRO_ENGINE_SYSFS_H
#define GIRO_ENGINE_SYSFS_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYSFS_TEXT_BYTES 4096
#define SYSFS_PATH_BYTES 512

/* The first line of the file that `format` names, without its end. False, and "", when it is not
 * there or cannot be read. */
__attribute__((format(printf, 3, 4))) bool sysfs_text(const char *root, char text[SYSFS_TEXT_BYTES],
						      const char *format, ...);

/* The decimal number that the file begins with, or `missing`. */
__attribute__((format(printf, 3, 4))) int64_t sysfs_number(const char *root, int64_t missing,
							   const char *format, ...);

/* A list of CPUs such as "0-3,8" in a file; empty when it is not there. Returns whether it was. */
__attribute__((format(printf, 3, 4))) bool sysfs_cpus(const char *root, cpu_set_t *cpus,
						      const char *format, ...);

/* The entries of a directory whose names begin with `prefix`, in no order. Calls `entry` with the
 * rest of each name; returns how many there were. */
unsigned sysfs_each(const char *root, const char *path, const char *prefix,
		    void (*entry)(void *context, const char *rest), void *context);

/* Writes a set of CPUs as a list such as "0-3,8"; cut off with "..." where the room ends. */
void sysfs_format_cpus(const cpu_set_t *cpus, char *text, size_t bytes);

/* Reads a list such as "0-3,8". False for anything else. */
bool sysfs_parse_cpus(const char *text, cpu_set_t *cpus);

#endif
