/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into an engine: shifts its wall clock by the milliseconds that stand in the file named by
 * CLOCK_SHIFT, a little-endian i64 that a test rewrites while the engine runs. No namespace shifts
 * CLOCK_REALTIME, and setting the machine's own clock is not a test's business.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int (*next)(clockid_t clock, struct timespec *now);
static const volatile int64_t *shift_ms;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CLOCK_SHIFT");

	next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	void *mapped = mmap(NULL, sizeof(*shift_ms), PROT_READ, MAP_SHARED, fd, 0);
	if (mapped != MAP_FAILED)
		shift_ms = mapped;
	close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = next(clock, now);

	if (result == 0 && clock == CLOCK_REALTIME && shift_ms != NULL) {
		int64_t ns = now->tv_sec * INT64_C(1000000000) + now->tv_nsec + *shift_ms * 1000000;
		now->tv_sec = ns / 1000000000;
		now->tv_nsec = ns % 1000000000;
	}
	return result;
}
