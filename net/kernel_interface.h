/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel interface that some drivers ride on (net_af_packet, net_af_xdp, net_tap), by its index
 * in this network namespace. Knows no DPDK.
 *
 * A NIC that is bound to vfio-pci can be opened once. A kernel interface can be ridden by any number
 * of processes, each of which gets every frame: two engines with one address would both answer, out
 * of two logs. So an engine claims interface and address for as long as it lives.
 *
 * Blocks, but for one system call or so; start and control only.
 */
#ifndef GIRO_NET_KERNEL_INTERFACE_H
#define GIRO_NET_KERNEL_INTERFACE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

/* Sees to it that the interface has at least the MTU wanted. Returns the MTU that it has then, 0
 * when there is no such interface; `name` is its name. */
uint32_t net_kernel_raise_mtu(unsigned index, uint16_t wanted, char name[IF_NAMESIZE]);

/* Is it there, up, and has it a carrier? */
bool net_kernel_is_up(unsigned index);

/* Claims `address` (IPv4, in writing order) on the interface, waiting up to `wait_ms` for a
 * predecessor that is just ending. Returns a descriptor that holds the claim until it is closed,
 * -EADDRINUSE when another process has it, or another negative errno. */
int net_kernel_claim(unsigned index, const uint8_t address[4], uint32_t wait_ms);

#endif
