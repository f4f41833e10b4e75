/* SPDX-License-Identifier: Apache-2.0
 *
 * giro-replay diff: what its two forms share. Without an option it compares two logs, with one a log
 * and a running engine.
 */
#ifndef GIRO_REPLAY_DIFF_H
#define GIRO_REPLAY_DIFF_H

#include "replay/node.h"

#define DIFF_USAGE \
	"diff LOG LOG, or diff LOG --engine PREFIX|SOCKET [--checkpoints DIR|none] [--json]"

/* Takes the command's arguments and returns the tool's exit status. */
enum node_end diff_engine(int argc, char **argv);

#endif
