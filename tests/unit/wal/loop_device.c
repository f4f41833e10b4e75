/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/wal/loop_device.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static void scratch_path(char *path, const char *what)
{
	const char *base = getenv("TMPDIR");
	snprintf(path, SCRATCH_PATH_BYTES, "%s/giro-%s-XXXXXX", base != NULL ? base : "/tmp", what);
}

void scratch_directory(char *path)
{
	scratch_path(path, "log");
	cr_assert(mkdtemp(path) != NULL, "%s: %s", path, strerror(errno));
}

void scratch_remove(const char *path)
{
	DIR *list = opendir(path);
	cr_assert(list != NULL);
	struct dirent *file;
	while ((file = readdir(list)) != NULL) {
		if (file->d_name[0] != '.')
			unlinkat(dirfd(list), file->d_name, 0);
	}
	closedir(list);
	rmdir(path);
}

/* First line of a command's output, or an empty one. */
static void output_of(const char *command, char *line, int bytes)
{
	line[0] = '\0';
	FILE *pipe = popen(command, "r");
	if (pipe == NULL)
		return;
	if (fgets(line, bytes, pipe) == NULL)
		line[0] = '\0';
	pclose(pipe);
	line[strcspn(line, "\n")] = '\0';
}

/* Attaches; with the device open here, detaching means: as soon as it is closed everywhere. */
static void attach(const char *file, char *device)
{
	char command[2 * SCRATCH_PATH_BYTES];
	snprintf(command, sizeof(command), "losetup --find --show %s", file);
	output_of(command, device, SCRATCH_PATH_BYTES);
	if (device[0] != '/') {
		unlink(file);
		cr_skip("losetup could not attach a loop device (root and /dev/loop-control?)");
	}
	int holder = open(device, O_RDONLY | O_CLOEXEC);
	cr_assert(holder >= 0, "%s: %s", device, strerror(errno));
	snprintf(command, sizeof(command), "losetup --detach %s", device);
	cr_assert(system(command) == 0);
	unlink(file);
}

static void make_file(char *file, uint64_t bytes)
{
	scratch_path(file, "disk");
	int fd = mkstemp(file);
	cr_assert(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
	close(fd);
}

void scratch_loop_device(char *path, uint64_t bytes)
{
	char file[SCRATCH_PATH_BYTES];
	make_file(file, bytes);
	attach(file, path);
}

void scratch_small_ext4(const char *path, uint64_t bytes)
{
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		cr_skip("a mount namespace of its own needs root");
	char file[SCRATCH_PATH_BYTES];
	char device[SCRATCH_PATH_BYTES];
	char command[2 * SCRATCH_PATH_BYTES];
	make_file(file, bytes);
	snprintf(command, sizeof(command), "mkfs.ext4 -q -F -m 0 -O ^has_journal %s", file);
	if (system(command) != 0) {
		unlink(file);
		cr_skip("mkfs.ext4 is needed (package e2fsprogs)");
	}
	attach(file, device);
	cr_assert(mount(device, path, "ext4", 0, NULL) == 0, "%s", strerror(errno));
}
