/* SPDX-License-Identifier: Apache-2.0
 *
 * CHECK(): a broken invariant stops the process, in release builds too. An engine that has lost
 * an invariant must not go on moving money; the log up to here is what recovery starts from.
 *
 * For programming errors and impossible states only. Bad input is a status or an error code.
 */
#ifndef GIRO_BASE_CHECK_H
#define GIRO_BASE_CHECK_H

#define CHECK(condition)                              \
	((void)(__builtin_expect(!!(condition), 1) || \
		(check_failed(#condition, __FILE__, __LINE__), 0)))

/* Prints the condition and its place to stderr, then aborts. Any thread. */
__attribute__((noreturn, cold)) void check_failed(const char *condition, const char *file,
						  int line);

#endif
