/* SPDX-License-Identifier: Apache-2.0
 *
 * A machine made of files: what the kernel would say of it in /sys and /proc, below a folder of its
 * own; and what a check said of it.
 */
#ifndef GIRO_TESTS_MACHINE_H
#define GIRO_TESTS_MACHINE_H

#include "engine/check.h"

struct machine {
	char root[128];
	char *said;
	size_t said_bytes;
	struct check_report report;
};

/* An empty machine, and an empty report of it. */
void machine_begin(struct machine *machine);
void machine_end(struct machine *machine);

/* A file with one line; folders on the way are made. */
void machine_put(struct machine *machine, const char *path, const char *text);

/* What was said so far. */
const char *machine_said(struct machine *machine);

/* Forgets what was said. */
void machine_listen(struct machine *machine);

/* The line with this verdict on this name was said; returns where, so that what follows can be
 * looked at. */
const char *machine_assert_said(struct machine *machine, const char *verdict, const char *name,
				const char *part);

#endif
