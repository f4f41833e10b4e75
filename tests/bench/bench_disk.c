/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-bench-disk: what the disk under a folder gives the log, without giro. The same kind of write
 * that the log makes (O_DIRECT, RWF_DSYNC, into space that was written before, so that no metadata
 * changes), one in flight.
 *
 * Prints one line of JSON: latency of the writes and their rate.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "client/bench_histogram.h"

#define WRITE_BYTES_MAX (64u << 20)
#define FILE_BYTES_MAX	(64u << 20)
#define PAGE		4096u

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "giro-bench-disk: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void write_at(int fd, void *bytes, size_t size, uint64_t offset)
{
	const struct iovec vector = {.iov_base = bytes, .iov_len = size};

	if (pwritev2(fd, &vector, 1, (off_t)offset, RWF_DSYNC) != (ssize_t)size)
		fail("a durable write");
}

/* A file without a name: it is gone when this process is, however it ends. */
static int open_file(const char *folder, uint8_t *bytes, size_t size, uint64_t file_bytes)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_DIRECT, 0600);

	if (fd < 0)
		fail(folder);
	for (uint64_t at = 0; at < file_bytes; at += size) {
		if (pwrite(fd, bytes, size, (off_t)at) != (ssize_t)size)
			fail("filling the file");
	}
	if (fsync(fd) != 0)
		fail("fsync");
	return fd;
}

static void report(const struct histogram *latency, size_t size, double seconds)
{
	const double writes = (double)latency->count;

	printf("{\"write_bytes\": %zu, \"writes\": %" PRIu64
	       ", \"p50_us\": %.1f, \"p90_us\": %.1f, "
	       "\"p99_us\": %.1f, \"max_us\": %.1f, \"writes_per_second\": %.0f, "
	       "\"mib_per_second\": %.1f}\n",
	       size, latency->count, (double)histogram_percentile(latency, 0.5) / 1e3,
	       (double)histogram_percentile(latency, 0.9) / 1e3,
	       (double)histogram_percentile(latency, 0.99) / 1e3, (double)latency->max / 1e3,
	       writes / seconds, writes * (double)size / seconds / 1048576);
}

int main(int argc, char **argv)
{
	static struct histogram latency;
	char *end;

	if (argc != 4) {
		fputs("usage: giro-bench-disk FOLDER WRITE_BYTES SECONDS\n", stderr);
		return 2;
	}
	const size_t size = strtoull(argv[2], &end, 10);
	const double seconds = strtod(argv[3], NULL);
	if (*end != '\0' || size == 0 || size % PAGE != 0 || size > WRITE_BYTES_MAX ||
	    !(seconds > 0)) {
		fputs("giro-bench-disk: WRITE_BYTES is a multiple of 4096 up to 64 MiB\n", stderr);
		return 2;
	}
	uint8_t *bytes = aligned_alloc(PAGE, size);
	if (bytes == NULL)
		fail("memory");
	memset(bytes, 0x5a, size);
	const uint64_t file_bytes = FILE_BYTES_MAX / size * size;
	const int fd = open_file(argv[1], bytes, size, file_bytes);

	const uint64_t start_ns = now_ns();
	uint64_t before_ns = start_ns;
	for (uint64_t at = 0; (double)(before_ns - start_ns) < seconds * 1e9; at += size) {
		write_at(fd, bytes, size, at % file_bytes);
		const uint64_t after_ns = now_ns();
		histogram_add(&latency, after_ns - before_ns);
		before_ns = after_ns;
	}
	report(&latency, size, (double)(before_ns - start_ns) / 1e9);
	free(bytes);
	close(fd);
	return 0;
}
