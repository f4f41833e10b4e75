/* SPDX-License-Identifier: Apache-2.0 */
#include "net/kernel_drops.h"

#include <stdatomic.h>
#include <sys/socket.h>

#include <linux/if_packet.h>

/* Descriptors looked at. A driver opens its sockets at start, when few others are in use. */
#define DESCRIPTORS_MAX 1024

uint64_t net_kernel_drops(void)
{
	/* The kernel forgets what it has told. Writers: whoever asks, by adding. */
	static _Atomic uint64_t drops;

	for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
		struct tpacket_stats_v3 stats = {0};
		socklen_t size = sizeof(stats);
		int domain = 0;
		socklen_t domain_size = sizeof(domain);
		if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size) == 0 &&
		    domain == AF_PACKET &&
		    getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0)
			atomic_fetch_add_explicit(&drops, stats.tp_drops, memory_order_relaxed);
	}
	return atomic_load_explicit(&drops, memory_order_relaxed);
}
