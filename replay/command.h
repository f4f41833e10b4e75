/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands of giro-replay. Each takes the arguments behind its own name and returns the tool's
 * exit status, an enum node_end.
 */
#ifndef GIRO_REPLAY_COMMAND_H
#define GIRO_REPLAY_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "replay/node.h"

enum node_end command_verify(int argc, char **argv);
enum node_end command_balances(int argc, char **argv);
enum node_end command_dump(int argc, char **argv);

/* Prints one line "giro-replay: ..." to stderr. */
__attribute__((format(printf, 1, 2))) void command_error(const char *format, ...);

/* Reads an epoch given on the command line. Returns false, after a complaint, when it is none. */
bool command_parse_epoch(const char *text, uint64_t *epoch);

/* Writes a 128-bit number in decimal; `text` has room for 48 bytes. Returns text. */
char *command_id_text(struct id128 id, char text[48]);

/* Writes Unix milliseconds as RFC 3339 in UTC; `text` has room for 32 bytes. Returns text. */
char *command_time_text(uint64_t time_ms, char text[32]);

#endif
