/* SPDX-License-Identifier: Apache-2.0
 *
 * giro top: the one command that asks the engine's telemetry, on its own machine, not its port.
 */
#include "client/command.h"
#include "monitor/top.h"

enum exit_code command_top(const struct command *command, int argc, char **argv)
{
	(void)command;
	return (enum exit_code)monitor_top(argc, argv);
}
