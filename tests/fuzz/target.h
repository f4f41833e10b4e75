/* SPDX-License-Identifier: Apache-2.0
 *
 * What every fuzz target has beside LLVMFuzzerTestOneInput(): a table of the branches deep inside
 * the code that it is for. A target counts a branch when it sees that the code went there; the
 * replay of the corpus fails when one was never reached, since a decoder that refuses everything at
 * its first check passes every other test.
 */
#ifndef GIRO_TESTS_FUZZ_TARGET_H
#define GIRO_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_branch {
	const char *text;
	unsigned long count;
};

/* The target's table; ends with a NULL text. An empty text: a place that is no branch. */
extern struct fuzz_branch fuzz_branches[];

static inline void fuzz_reach(unsigned branch)
{
	fuzz_branches[branch].count++;
}

/* Counts the first branch from `from` on whose text is part of a refusal's. There must be one: no
 * refusal is left out of the table. */
static inline void fuzz_reach_text(unsigned from, const char *refusal)
{
	for (unsigned i = from; fuzz_branches[i].text != NULL; i++) {
		if (fuzz_branches[i].text[0] != '\0' &&
		    strstr(refusal, fuzz_branches[i].text) != NULL) {
			fuzz_branches[i].count++;
			return;
		}
	}
	check_failed(refusal, __FILE__, __LINE__);
}

/* Bytes of an input, taken from the front; zeros when there are no more. */
struct fuzz_bytes {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t fuzz_take(struct fuzz_bytes *bytes)
{
	if (bytes->left == 0)
		return 0;
	bytes->left--;
	return *bytes->at++;
}

#endif
