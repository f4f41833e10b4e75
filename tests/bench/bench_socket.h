/* SPDX-License-Identifier: Apache-2.0
 *
 * The socket of a program that loads an engine without libgiro.
 */
#ifndef GIRO_TESTS_BENCH_SOCKET_H
#define GIRO_TESTS_BENCH_SOCKET_H

/* A non-blocking UDP socket from `from` (NULL: whatever address) to `address` and `port`, with buffers
 * of `bytes` each way. -1 with errno. */
int bench_socket(const char *from, const char *address, unsigned port, int bytes);

#endif
