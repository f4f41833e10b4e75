/* SPDX-License-Identifier: Apache-2.0
 *
 * The `giro` command: one function a noun, each with its own command line.
 */
#ifndef GIRO_CLIENT_COMMAND_H
#define GIRO_CLIENT_COMMAND_H

#include <stdint.h>

#include "client/giro.h"

enum exit_code {
	EXIT_DONE = 0,
	EXIT_REFUSED = 1,    /* the engine refused it, or some of it */
	EXIT_USAGE = 2,	     /* the command line or an input file is wrong; nothing was sent */
	EXIT_NO_OUTCOME = 3, /* the engine did not answer; it may or may not have happened */
	EXIT_UNKNOWN = 4,    /* import: outcomes that can no longer be known */
};

/* What stands before the command. */
struct command {
	const char *server;
	uint32_t timeout_ms;
};

/* Opens a session or prints why not; NULL then. Warns when the clocks are too far apart. */
struct giro *command_open(const struct command *command, const struct giro_options *options);

/* Prints "WHAT: OUTCOME, text" for anything but GIRO_OK; returns the exit code. */
enum exit_code command_outcome(const char *what, int outcome);

/* Read an argument, or print what is wrong with it and exit with EXIT_USAGE. */
struct giro_id command_id(const char *name, const char *text);
uint64_t command_number(const char *name, const char *text, uint64_t low, uint64_t high);
int64_t command_floor(const char *text);

/* Prints a line about the command line and how to get help; exits with EXIT_USAGE. */
__attribute__((noreturn, format(printf, 2, 3))) void command_usage(const char *command,
								   const char *format, ...);

/* argv[0] is the command's name. */
enum exit_code command_info(const struct command *command, int argc, char **argv);
enum exit_code command_ping(const struct command *command, int argc, char **argv);
enum exit_code command_account(const struct command *command, int argc, char **argv);
enum exit_code command_transfer(const struct command *command, int argc, char **argv);
enum exit_code command_import(const struct command *command, int argc, char **argv);
enum exit_code command_top(const struct command *command, int argc, char **argv);

#endif
