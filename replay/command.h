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
#include "replay/moment.h"
#include "replay/node.h"

enum node_end command_verify(int argc, char **argv);
enum node_end command_balance(int argc, char **argv);
enum node_end command_balances(int argc, char **argv);
enum node_end command_statement(int argc, char **argv);
enum node_end command_transfer(int argc, char **argv);
enum node_end command_phases(int argc, char **argv);
enum node_end command_stats(int argc, char **argv);
enum node_end command_diff(int argc, char **argv);
enum node_end command_checkpoint(int argc, char **argv);
enum node_end command_export(int argc, char **argv);
enum node_end command_dump(int argc, char **argv);
enum node_end command_seal_check(int argc, char **argv);
enum node_end command_trim(int argc, char **argv);

/* What was given as --archive, which every command knows; NULL: nothing. */
const char *command_archive(void);

/* Prints one line "giro-replay: ..." to stderr. */
__attribute__((format(printf, 1, 2))) void command_error(const char *format, ...);

/* Each reads what was given on the command line. Returns false, after a complaint, when it is none:
 * an epoch; a number; a moment ("1234" or RFC 3339), the last or the first of a range; an id, in
 * decimal, in hexadecimal with 0x, or as a UUID. */
bool command_parse_epoch(const char *text, uint64_t *epoch);
bool command_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *number);
bool command_parse_moment(const char *text, struct moment *moment);
bool command_parse_from(const char *text, struct moment *moment);
bool command_parse_id(const char *text, struct id128 *id);

enum command_option_kind {
	OPTION_END = 0,
	OPTION_FLAG,   /* bool */
	OPTION_TEXT,   /* const char * */
	OPTION_COUNT,  /* uint64_t, from 1 */
	OPTION_MOMENT, /* struct moment */
	OPTION_FROM,   /* struct moment, the first of a range */
};

struct command_option {
	const char *name;
	enum command_option_kind kind;
	void *value; /* where it goes; what is not given is left as it is */
};

#define COMMAND_OPTIONS_MAX 16

/* Reads a command's options, up to OPTION_END, and its `count` other arguments. Returns false after a
 * complaint, with the usage if the number of arguments is wrong. */
bool command_parse(int argc, char **argv, const struct command_option *options,
		   const char **arguments, int count, const char *usage);

/* Writes a 128-bit number in decimal; `text` has room for 48 bytes. Returns text. */
char *command_id_text(struct id128 id, char text[48]);

/* Writes Unix milliseconds as RFC 3339 in UTC; `text` has room for 32 bytes. Returns text. */
char *command_time_text(uint64_t time_ms, char text[32]);

/* "DATA", "OPEN", "CLOSE". Static. */
const char *command_block_type(unsigned type);

/* "sound", "sound, with a torn tail", "CORRUPT", ... Static. */
const char *command_verdict(enum node_end end);

/* Opens the log and plays it up to `at`, from the newest good checkpoint before that in the directory
 * `checkpoints` (NULL: the log's own; "none": from the first byte). Returns how that
 * ended; after NODE_SOUND and NODE_TORN the node stands there and the caller closes it, else all is
 * closed and has been complained about. */
enum node_end command_play_to(struct node *node, const char *log, const char *checkpoints,
			      const struct moment *at);

/* The same up to the last block before a range that begins with `from`. */
enum node_end command_play_before(struct node *node, const char *log, const char *checkpoints,
				  const struct moment *from);

/* Tells that a checkpoint is not used. */
void command_tell(void *context, const char *text);

/* The last block of the state as of `at` that was played, for people: "as of epoch 7 (...)". */
void command_print_moment(const struct node *node);

#endif
