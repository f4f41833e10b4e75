/* SPDX-License-Identifier: Apache-2.0
 *
 * Scratch storage for the tests of the real storages; gone when the process ends, however it ends.
 */
#ifndef GIRO_TEST_LOOP_DEVICE_H
#define GIRO_TEST_LOOP_DEVICE_H

#include <stdint.h>

#define SCRATCH_PATH_BYTES 128

/* Makes an empty directory under the system's directory for temporary files. */
void scratch_directory(char *path);

/* Removes a directory of plain files. */
void scratch_remove(const char *path);

/* Attaches a zeroed file of `bytes` to a loop device and stores the device's path. Skips the test
 * with a message where that is not possible. The device goes away with the process. */
void scratch_loop_device(char *path, uint64_t bytes);

/* Mounts a fresh ext4 of `bytes` on the existing directory `path`, visible to this process alone.
 * Skips the test with a message where that is not possible. */
void scratch_small_ext4(const char *path, uint64_t bytes);

#endif
