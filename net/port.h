/* SPDX-License-Identifier: Apache-2.0
 *
 * The port: bursts of frames from and to one Ethernet device, whatever its poll mode driver.
 *
 *              queue 0            queue 1                    one worker lcore each
 *            +---------+        +---------+
 *   NIC ---> | rx    tx| ---    | rx    tx|  --->   net_port_rx() -> net_port_parse()
 *            +---------+        +---------+              |  UDP: the payload, in the mbuf
 *                 \      one pool     /                  v
 *                  +-----------------+       net_port_reply() -> net_port_tx(), same mbuf
 *
 * The device comes from EAL arguments (-a PCI, --vdev=...); nothing here knows a driver by name.
 * What a driver offers is used and what it lacks is done in software: checksums, RSS over UDP
 * flows, one rte_flow rule per shard's UDP port. Every frame lies in one buffer, sized for the MTU,
 * so that a request's mbuf always becomes its reply's.
 *
 * Queue q is polled by one lcore only, and only that lcore writes its counters. Opening and closing
 * are the main thread's, while no worker polls; steering is one thread's at a time.
 *
 * No blocking. net_port_rx() and net_port_tx() never wait by themselves, and drivers of real NICs
 * never do. net_af_packet (DPDK 22.11) calls poll() without a timeout inside its transmit function
 * when the next slot of its TX ring is not free. That poll() returns at once while the socket has
 * send buffer left (less than half of net.core.wmem_default in use), and when the interface goes
 * down; it sleeps only when the ring is full *and* that much data sits in the kernel, unsent. What
 * prevents it:
 *   - qdisc_bypass=1 (the PMD's default): no frame waits in a queueing discipline, holding its slot;
 *   - framecnt above all replies that can be outstanding. Each transmit call drains the ring itself,
 *     so this matters where an interface stalls; 2048 is ample.
 * A slow client holds no slots: on a veth pair the kernel frees a slot when the peer's IP input
 * takes the frame, before any socket buffer.
 *
 * EAL arguments that work with a veth end IF (all with --iova-mode=va and a --file-prefix):
 *   MTU 1500   --vdev=net_af_packet0,iface=IF,qpairs=2,framecnt=2048
 *   MTU 9000   the same and framesz=9216,blocksz=36864. A slot holds the MTU and 88 bytes; ethdev
 *              cannot tell its size, and a frame beyond it is cut off, which shows as drops named
 *              ip-length. The driver reads a whole slot into a buffer: framesz is at most 2048 at
 *              MTU 1500 and 9472 at 9000.
 *   AF_XDP     --vdev=net_af_xdp0,iface=IF,busy_budget=0: MTU up to 3302, one queue
 *   tap        --vdev=net_tap0,iface=NEW: MTU up to 1504
 */
#ifndef GIRO_NET_PORT_H
#define GIRO_NET_PORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "base/limits.h"
#include "net/frame.h"

#define NET_PORT_QUEUES_MAX 64
#define NET_PORT_RULES_MAX  SHARDS_MAX
#define NET_PORT_ERROR_MAX  512

/* Each mbuf has a private area of this size, for whoever owns the mbuf. */
#define NET_PORT_PRIVATE_BYTES 32

struct net_port_config {
	const char *device;	 /* ethdev name or PCI address; NULL or "": the first port */
	uint8_t address[4];	 /* the engine's IPv4 address, in writing order */
	uint8_t prefix_bits;	 /* 0..32 */
	uint16_t queues;	 /* wanted: one a worker that polls */
	uint16_t mtu;		 /* 68..NET_FRAME_MTU_MAX: bytes of an IPv4 packet */
	uint16_t rx_descriptors; /* a queue; rounded to what the device takes */
	uint16_t tx_descriptors;
	uint32_t mbufs;	       /* in the pool: descriptors of all queues + replies held + caches */
	uint32_t link_wait_ms; /* how long to wait for the link; a link still down is no error */
};

/* Written by the queue's lcore alone; read by anyone, relaxed: each counter is exact, the set is
 * not a snapshot. */
struct net_port_queue {
	_Alignas(CACHE_LINE) _Atomic uint64_t received; /* frames from the device */
	_Atomic uint64_t replied;			/* ARP and ICMP answered in place */
	_Atomic uint64_t sent;				/* frames the device took */
	_Atomic uint64_t refused; /* frames freed because the device cannot send them */
	_Atomic uint64_t tx_full; /* bursts that the device took only in part */
	_Atomic uint64_t dropped[NET_DROPS];
};
_Static_assert(sizeof(struct net_port_queue) % CACHE_LINE == 0, "one writer per cache line");

struct net_port {
	/* Written at open; read by every worker. */
	struct net_interface self;
	uint16_t id;	  /* of the ethdev */
	uint16_t queues;  /* in use, 1..wanted; RX and TX alike */
	uint16_t mtu;	  /* bytes of the largest IPv4 packet both ways */
	uint16_t rules;	  /* rte_flow rules in force; 0: steering is software's */
	uint32_t offload; /* NET_OFFLOAD_* bits that the device does */
	uint16_t rx_descriptors;
	uint16_t tx_descriptors;
	uint32_t mbufs;
	uint32_t mbuf_bytes; /* data room of each, headroom included */
	bool started;
	bool link_up; /* at open */
	bool rss;
	int claim;		/* descriptor that holds a kernel interface's address, or -1 */
	char mtu_note[96];	/* how the MTU is ensured when not by the driver; "" otherwise */
	char steering_note[96]; /* why rules are not in force */
	struct rte_mempool *pool;
	struct rte_flow *rule[NET_PORT_RULES_MAX];

	struct net_port_queue queue[NET_PORT_QUEUES_MAX];
};

struct net_port_stats {
	uint64_t received;
	uint64_t replied;
	uint64_t sent;
	uint64_t refused;
	uint64_t tx_full;
	uint64_t dropped[NET_DROPS];
	uint64_t device_missed;	   /* frames the device, or the kernel below it, had no room for */
	uint64_t device_no_buffer; /* frames the device lost for want of mbufs */
	uint64_t device_errors;	   /* frames the device refused or failed to send */
};

/* Opens and starts the device; EAL is up. `port` is zeroed memory that stays in place until
 * net_port_close(). Main thread; blocks at most link_wait_ms beyond what the driver takes. Returns
 * 0, or -1 with one line for people in `error` and everything undone. */
int net_port_open(struct net_port *port, const struct net_port_config *config,
		  char error[NET_PORT_ERROR_MAX]);

/* Asks the device to bring UDP port udp_ports[i] to queue queues[i]; rules that were in force go first.
 * All `count` rules are put in force or none: half-steered traffic would hide that the rest goes the
 * slow way. Returns true when they are; else the engine hands over in software, as it does for what
 * comes in between, and port->steering_note says why. Between open and close, workers may poll; calls
 * into the driver may take milliseconds. */
bool net_port_steer(struct net_port *port, const uint16_t *udp_ports, const uint16_t *queues,
		    unsigned count);

/* The largest MTU that a device of this kind can be given. A driver that states none leaves it to the
 * kernel interface below: then it is giro's own limit. Any thread. */
uint32_t net_port_mtu_max(const struct rte_eth_dev_info *info);

/* Bytes that the pool will take; for sizing before anything is allocated. */
size_t net_port_memory_bytes(const struct net_port_config *config);

/* Writes the lines of the start screen: device, address, queues, offloads, steering, buffers. */
void net_port_describe(const struct net_port *port, FILE *out);

/* Sums the queues' counters and adds the device's. Any thread; may call into the driver. */
void net_port_stats(const struct net_port *port, struct net_port_stats *stats);

/* Is the link up now? Of a driver on a kernel interface the kernel is asked, since such drivers say
 * that it is always up; one that knows no link counts as up. Any thread; a system call or so. */
bool net_port_link_is_up(const struct net_port *port);

/* Stops and closes the device and frees the pool. Every mbuf must have come back: sent or freed. */
void net_port_close(struct net_port *port);

/* Up to `count` frames of `queue` into `mbufs`, which the caller then owns. Its lcore only. */
uint16_t net_port_rx(struct net_port *port, uint16_t queue, struct rte_mbuf **mbufs,
		     uint16_t count);

/* Judges a received frame and counts it when it is dropped or answered in place. The caller keeps
 * the mbuf: to answer (UDP), to send back (REPLY), to free (DROP). Its lcore only. */
enum net_verdict net_port_parse(struct net_port *port, uint16_t queue, struct rte_mbuf *mbuf,
				struct net_frame *frame);

/* Counts a drop that the caller decided. Its lcore only. */
void net_port_count_drop(struct net_port *port, uint16_t queue, enum net_drop drop);

/* Makes the mbuf of a request the frame of its reply: `payload_size` bytes of answer stand at the
 * request's payload already. Any lcore that owns the mbuf. */
void net_port_reply(const struct net_port *port, struct rte_mbuf *mbuf,
		    const struct net_frame *frame, size_t payload_size);

/* Hands the first frames of `mbufs` to the device and returns how many it took; those are no longer
 * the caller's. The rest is to be offered again, or freed. Its lcore only. */
uint16_t net_port_tx(struct net_port *port, uint16_t queue, struct rte_mbuf **mbufs,
		     uint16_t count);

/* The frame's first byte in its mbuf. */
static inline uint8_t *net_port_bytes(struct rte_mbuf *mbuf)
{
	return rte_pktmbuf_mtod(mbuf, uint8_t *);
}

/* The IPv4 address that a UDP frame came from, as it stands in the frame. */
static inline uint32_t net_port_source(struct rte_mbuf *mbuf, const struct net_frame *frame)
{
	uint32_t address;

	__builtin_memcpy(&address, net_port_bytes(mbuf) + frame->udp_offset - 8, sizeof(address));
	return address;
}

/* The UDP payload in its mbuf. */
static inline uint8_t *net_port_payload(struct rte_mbuf *mbuf, const struct net_frame *frame)
{
	return rte_pktmbuf_mtod_offset(mbuf, uint8_t *, frame->payload_offset);
}

#endif
