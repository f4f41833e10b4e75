/* SPDX-License-Identifier: Apache-2.0
 *
 * A fuzz target without a fuzzer: runs every file of the corpus folders given, and of each also
 * every prefix and every change of one byte. So each build checks its decoders, by any compiler.
 *
 *   fuzz-frame tests/fuzz/corpus/frame
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_BYTES_MAX 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What each byte is changed by: its lowest and highest bit, and all of them. */
static const uint8_t flips[] = {0x01, 0x80, 0xff};

static unsigned long run_input(uint8_t *input, size_t size)
{
	unsigned long runs = 0;
	for (size_t prefix = 0; prefix <= size; prefix++, runs++)
		LLVMFuzzerTestOneInput(input, prefix);
	for (size_t i = 0; i < size; i++) {
		for (size_t f = 0; f < sizeof(flips); f++, runs++) {
			input[i] ^= flips[f];
			LLVMFuzzerTestOneInput(input, size);
			input[i] ^= flips[f];
		}
	}
	return runs;
}

static int run_file(const char *folder, const char *name, unsigned long *runs)
{
	static uint8_t input[INPUT_BYTES_MAX];
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "rb");
	if (file == NULL) {
		perror(path);
		return 1;
	}
	size_t size = fread(input, 1, sizeof(input), file);
	fclose(file);
	*runs += run_input(input, size);
	return 0;
}

static int run_folder(const char *folder)
{
	unsigned long files = 0;
	unsigned long runs = 0;
	struct dirent *entry;

	DIR *listing = opendir(folder);
	if (listing == NULL) {
		perror(folder);
		return 1;
	}
	while ((entry = readdir(listing)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		files++;
		if (run_file(folder, entry->d_name, &runs) != 0) {
			closedir(listing);
			return 1;
		}
	}
	closedir(listing);
	printf("%s: %lu files, %lu inputs\n", folder, files, runs);
	if (files == 0)
		fprintf(stderr, "%s: no corpus in it\n", folder);
	return files == 0;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER...\n", argv[0]);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		if (run_folder(argv[i]) != 0)
			return 1;
	}
	return 0;
}
