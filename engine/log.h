/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's messages to its operator: rte_log, on stderr, with EAL's levels. giro is a log type
 * of its own (--log-level=giro:debug). Workers do not use it while they poll.
 */
#ifndef GIRO_ENGINE_LOG_H
#define GIRO_ENGINE_LOG_H

#include <rte_log.h>

/* Registered by main(). */
extern int engine_log_type;

#define ENGINE_LOG(level, name, format, ...)                                                 \
	rte_log(RTE_LOG_##level, (uint32_t)engine_log_type, "giro " name ": " format "%s\n", \
		__VA_ARGS__)
#define LOG_ERROR(...)	 ENGINE_LOG(ERR, "error", __VA_ARGS__, "")
#define LOG_WARNING(...) ENGINE_LOG(WARNING, "warning", __VA_ARGS__, "")
#define LOG_INFO(...)	 ENGINE_LOG(INFO, "info", __VA_ARGS__, "")

#endif
