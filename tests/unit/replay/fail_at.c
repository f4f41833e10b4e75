/* SPDX-License-Identifier: Apache-2.0
 *
 * Loaded before the C library (LD_PRELOAD), it counts the calls that change files and lets one of them
 * end badly: a crash or a failing disk at every single step.
 *
 *   GIRO_FAIL_AT    number of the call, from 1
 *   GIRO_FAIL_HOW   kill: SIGKILL instead of the call; error: EIO; half: only writes are counted, and
 *                   half of one is done, then SIGKILL
 *
 * It says on stderr that it struck, and in which call.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The C library's own function of that name. */
#define REAL(name) (__extension__(__typeof__(&name)) dlsym(RTLD_NEXT, #name))

static bool is_how(const char *how)
{
	const char *given = getenv("GIRO_FAIL_HOW");

	return given != NULL && strcmp(given, how) == 0;
}

/* Is this the call? Says so, and kills if that is all that is wanted. */
static bool strikes(const char *call)
{
	static long calls;
	const char *at = getenv("GIRO_FAIL_AT");
	bool counts = !is_how("half") || strstr(call, "write") != NULL;
	char text[64];

	if (at == NULL || !counts || ++calls != strtol(at, NULL, 10))
		return false;
	int size = snprintf(text, sizeof(text), "fail_at: %s\n", call);
	REAL(write)(STDERR_FILENO, text, (size_t)size);
	if (is_how("kill"))
		raise(SIGKILL);
	errno = EIO;
	return true;
}

ssize_t write(int fd, const void *bytes, size_t size)
{
	if (fd <= STDERR_FILENO || !strikes("write"))
		return REAL(write)(fd, bytes, size);
	if (!is_how("half"))
		return -1;
	REAL(write)(fd, bytes, size / 2);
	raise(SIGKILL);
	return -1;
}

static ssize_t write_at(int fd, const void *bytes, size_t size, off_t offset)
{
	if (!strikes("pwrite"))
		return REAL(pwrite)(fd, bytes, size, offset);
	if (!is_how("half"))
		return -1;
	REAL(pwrite)(fd, bytes, size / 2, offset);
	raise(SIGKILL);
	return -1;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	return write_at(fd, bytes, size, offset);
}

int fsync(int fd)
{
	return strikes("fsync") ? -1 : REAL(fsync)(fd);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return strikes("renameat") ? -1 : REAL(renameat)(from_fd, from, to_fd, to);
}

int rename(const char *from, const char *to)
{
	return strikes("rename") ? -1 : REAL(rename)(from, to);
}

int unlinkat(int fd, const char *name, int flags)
{
	return strikes("unlinkat") ? -1 : REAL(unlinkat)(fd, name, flags);
}

int mkdir(const char *path, mode_t mode)
{
	return strikes("mkdir") ? -1 : REAL(mkdir)(path, mode);
}

int openat(int fd, const char *name, int flags, ...)
{
	mode_t mode = 0;

	if ((flags & O_CREAT) != 0) {
		va_list args;
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
		if (strikes("openat"))
			return -1;
	}
	return REAL(openat)(fd, name, flags, mode);
}
