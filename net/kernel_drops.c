/* SPDX-License-Identifier: Apache-2.0 */
#include "net/kernel_drops.h"

#include <stdatomic.h>
#include <sys/socket.h>

#include <linux/if_packet.h>
#include <linux/if_xdp.h>

/* Descriptors looked at. A driver opens its sockets at start, when few others are in use. */
#define DESCRIPTORS_MAX 1024

/* The kernel forgets what it has told. */
static uint64_t packet_drops(int fd)
{
	struct tpacket_stats_v3 stats = {0};
	socklen_t size = sizeof(stats);

	return getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0 ? stats.tp_drops
										 : 0;
}

/* Since the socket was opened. The driver tells of what the kernel counts as rx_dropped. */
static uint64_t xdp_drops(int fd)
{
	struct xdp_statistics stats = {0};
	socklen_t size = sizeof(stats);

	return getsockopt(fd, SOL_XDP, XDP_STATISTICS, &stats, &size) == 0 ? stats.rx_ring_full : 0;
}

uint64_t net_kernel_drops(void)
{
	/* Writers: whoever asks, by adding. */
	static _Atomic uint64_t forgotten;
	uint64_t drops = 0;

	for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
		int domain = 0;
		socklen_t size = sizeof(domain);
		if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0)
			continue;
		if (domain == AF_PACKET)
			atomic_fetch_add_explicit(&forgotten, packet_drops(fd),
						  memory_order_relaxed);
		else if (domain == AF_XDP)
			drops += xdp_drops(fd);
	}
	return drops + atomic_load_explicit(&forgotten, memory_order_relaxed);
}
