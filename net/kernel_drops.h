/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames that were lost between a kernel interface and this process: packet and XDP sockets drop what
 * comes while their ring is full, and the drivers on top of them (net_af_packet, net_af_xdp of DPDK
 * 22.11) do not tell.
 */
#ifndef GIRO_NET_KERNEL_DROPS_H
#define GIRO_NET_KERNEL_DROPS_H

#include <stdint.h>

/* Frames dropped so far at all such sockets of this process; zero without any. Any thread; some
 * system calls, no waiting. */
uint64_t net_kernel_drops(void);

#endif
