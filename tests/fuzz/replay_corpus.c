/* SPDX-License-Identifier: Apache-2.0
 *
 * A fuzz target without a fuzzer: runs every file of the corpus folders given, and of each also
 * prefixes, changes of one byte, and copies without one byte: all of them for a small file, evenly
 * spread ones for a large file. So each build checks its decoders, by any compiler, always the same
 * way.
 *
 *   fuzz-frame tests/fuzz/corpus/frame     fails when a branch in the target's table was never reached
 *   fuzz-frame FILE                        runs one input as it is, and says what it reached
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/fuzz/target.h"

#define INPUT_BYTES_MAX 16384
/* Places in a file at which it is changed, at most. */
#define PLACES_MAX 1500

/* What each byte is changed by: its lowest and highest bit, and all of them. */
static const uint8_t flips[] = {0x01, 0x80, 0xff};

/* Each run has an allocation of its own size, so that a sanitizer sees one byte too far. */
static void run_once(const uint8_t *input, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	CHECK(copy != NULL);
	memcpy(copy, input, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static unsigned long run_changes(uint8_t *input, size_t size, size_t at)
{
	static uint8_t shorter[INPUT_BYTES_MAX];

	for (size_t f = 0; f < sizeof(flips); f++) {
		input[at] ^= flips[f];
		run_once(input, size);
		input[at] ^= flips[f];
	}
	memcpy(shorter, input, at);
	memcpy(shorter + at, input + at + 1, size - at - 1);
	run_once(shorter, size - 1);
	run_once(input, at);
	return sizeof(flips) + 2;
}

static unsigned long run_input(uint8_t *input, size_t size)
{
	size_t step = size / PLACES_MAX + 1;
	unsigned long runs = 1;

	run_once(input, size);
	for (size_t at = 0; at < size; at += step)
		runs += run_changes(input, size, at);
	return runs;
}

static int run_file(const char *path, bool changed, unsigned long *runs)
{
	static uint8_t input[INPUT_BYTES_MAX];

	FILE *file = fopen(path, "rb");
	if (file == NULL) {
		perror(path);
		return 1;
	}
	size_t size = fread(input, 1, sizeof(input), file);
	fclose(file);
	if (changed)
		*runs += run_input(input, size);
	else
		run_once(input, size);
	return 0;
}

static int run_folder(const char *folder)
{
	unsigned long files = 0;
	unsigned long runs = 0;
	struct dirent **entries;

	int count = scandir(folder, &entries, NULL, alphasort);
	if (count < 0) {
		perror(folder);
		return 1;
	}
	int failed = 0;
	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.' && failed == 0) {
			char path[4096];
			snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
			files++;
			failed = run_file(path, true, &runs);
		}
		free(entries[i]);
	}
	free(entries);
	printf("%s: %lu files, %lu inputs\n", folder, files, runs);
	if (files == 0)
		fprintf(stderr, "%s: no corpus in it\n", folder);
	return failed || files == 0;
}

/* How many branches of the target's table were never reached. */
static unsigned report_branches(bool all)
{
	unsigned missing = 0;
	unsigned count = 0;

	for (const struct fuzz_branch *branch = fuzz_branches; branch->text != NULL; branch++) {
		if (branch->text[0] == '\0')
			continue;
		count++;
		missing += branch->count == 0;
		if (branch->count > 0)
			printf("%12lu  %s\n", branch->count, branch->text);
		else if (all)
			fprintf(stderr, "never reached: %s\n", branch->text);
	}
	printf("%u of %u branches reached\n", count - missing, count);
	return missing;
}

int main(int argc, char **argv)
{
	struct stat stat_of;
	unsigned long runs = 0;
	bool folders = false;

	if (argc < 2) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER...|FILE...\n", argv[0]);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		bool folder = stat(argv[i], &stat_of) == 0 && S_ISDIR(stat_of.st_mode);
		if ((folder ? run_folder(argv[i]) : run_file(argv[i], false, &runs)) != 0)
			return 1;
		folders |= folder;
	}
	return report_branches(folders) > 0 && folders;
}
