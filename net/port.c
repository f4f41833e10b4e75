/* SPDX-License-Identifier: Apache-2.0
 *
 * An open port: bursts, counters, what it says of itself, and its end.
 */
#include "net/port.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "net/kernel_drops.h"
#include "net/kernel_interface.h"
#include "net/port_parts.h"

void net_port_device_name(uint16_t id, char name[RTE_ETH_NAME_MAX_LEN])
{
	if (rte_eth_dev_get_name_by_port(id, name) != 0)
		snprintf(name, RTE_ETH_NAME_MAX_LEN, "port %u", id);
}

/* The counters' lcore is their only writer: a plain add, made of loads and stores that other
 * threads may race with. */
static inline void count(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
	atomic_store_explicit(counter, value + n, memory_order_relaxed);
}

static const char *by(const struct net_port *port, enum net_offload bit)
{
	return port->offload & bit ? "device" : "software";
}

void net_port_describe(const struct net_port *port, FILE *out)
{
	struct rte_eth_dev_info info;
	char name[RTE_ETH_NAME_MAX_LEN];
	const uint8_t *mac = port->self.mac;
	const uint8_t *ip = port->self.address;
	bool known = rte_eth_dev_info_get(port->id, &info) == 0;

	net_port_device_name(port->id, name);
	fprintf(out,
		"port      %s (%s), %u.%u.%u.%u/%u, MAC %02x:%02x:%02x:%02x:%02x:%02x, link %s\n",
		name, known ? info.driver_name : "unknown driver", ip[0], ip[1], ip[2], ip[3],
		port->self.prefix_bits, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],
		port->link_up ? "up" : "down");
	fprintf(out, "          MTU %u%s%s%s\n", port->mtu, port->mtu_note[0] ? " (" : "",
		port->mtu_note, port->mtu_note[0] ? ")" : "");
	fprintf(out, "          %u queue%s of %u RX + %u TX descriptors, RSS over UDP flows: %s\n",
		port->queues, port->queues == 1 ? "" : "s", port->rx_descriptors,
		port->tx_descriptors, port->rss ? "yes" : "no");
	fprintf(out, "          checksums: RX IPv4 %s, RX UDP %s, TX IPv4 %s, TX UDP %s\n",
		by(port, NET_OFFLOAD_RX_IP), by(port, NET_OFFLOAD_RX_UDP),
		by(port, NET_OFFLOAD_TX_IP), by(port, NET_OFFLOAD_TX_UDP));
	if (port->rules > 0)
		fprintf(out, "          steering: %u rte_flow rules\n", port->rules);
	else
		fprintf(out, "          steering: hand-over in software%s%s\n",
			port->steering_note[0] ? "; " : "", port->steering_note);
	fprintf(out, "          %u mbufs of %u bytes: %zu MiB\n", port->mbufs, port->mbuf_bytes,
		(size_t)port->mbufs * port->pool->elt_size >> 20);
}

void net_port_stats(const struct net_port *port, struct net_port_stats *stats)
{
	struct rte_eth_stats device;

	*stats = (struct net_port_stats){0};
	for (unsigned q = 0; q < port->queues; q++) {
		const struct net_port_queue *queue = &port->queue[q];
		stats->received += atomic_load_explicit(&queue->received, memory_order_relaxed);
		stats->replied += atomic_load_explicit(&queue->replied, memory_order_relaxed);
		stats->sent += atomic_load_explicit(&queue->sent, memory_order_relaxed);
		stats->refused += atomic_load_explicit(&queue->refused, memory_order_relaxed);
		stats->tx_full += atomic_load_explicit(&queue->tx_full, memory_order_relaxed);
		for (unsigned reason = 0; reason < NET_DROPS; reason++)
			stats->dropped[reason] +=
			    atomic_load_explicit(&queue->dropped[reason], memory_order_relaxed);
	}
	if (rte_eth_stats_get(port->id, &device) == 0) {
		stats->device_missed = device.imissed + net_kernel_drops();
		stats->device_no_buffer = device.rx_nombuf;
		stats->device_errors = device.ierrors + device.oerrors;
	}
}

bool net_port_link_is_up(const struct net_port *port)
{
	struct rte_eth_dev_info info;
	struct rte_eth_link link;

	if (rte_eth_dev_info_get(port->id, &info) == 0 && info.if_index != 0)
		return net_kernel_is_up(info.if_index);
	return rte_eth_link_get_nowait(port->id, &link) != 0 || link.link_status == RTE_ETH_LINK_UP;
}

void net_port_close(struct net_port *port)
{
	net_port_unsteer(port);
	if (port->started) {
		(void)rte_eth_dev_stop(port->id);
		port->started = false;
	}
	(void)rte_eth_dev_close(port->id);
	rte_mempool_free(port->pool);
	port->pool = NULL;
	if (port->claim >= 0)
		close(port->claim);
	port->claim = -1;
}

uint16_t net_port_rx(struct net_port *port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t burst)
{
	uint16_t received = rte_eth_rx_burst(port->id, queue, mbufs, burst);
	if (received > 0)
		count(&port->queue[queue].received, received);
	return received;
}

void net_port_count_drop(struct net_port *port, uint16_t queue, enum net_drop reason)
{
	CHECK(reason < NET_DROPS);
	count(&port->queue[queue].dropped[reason], 1);
}

/* What the device found out about this frame. A checksum that it calls bad, or did not look at, is
 * verified in software: drivers disagree about a UDP checksum of zero. */
static unsigned rx_offload(const struct rte_mbuf *mbuf)
{
	unsigned offload = 0;
	if ((mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
		offload |= NET_OFFLOAD_RX_IP;
	if ((mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		offload |= NET_OFFLOAD_RX_UDP;
	return offload;
}

static void set_size(struct rte_mbuf *mbuf, size_t size)
{
	mbuf->data_len = (uint16_t)size;
	mbuf->pkt_len = (uint32_t)size;
}

enum net_verdict net_port_parse(struct net_port *port, uint16_t queue, struct rte_mbuf *mbuf,
				struct net_frame *frame)
{
	struct net_port_queue *counters = &port->queue[queue];
	enum net_verdict verdict = NET_VERDICT_DROP;

	/* Buffers hold the MTU; a driver that splits frames all the same, or takes tags off, is put
	 * right here, once. */
	if ((mbuf->nb_segs > 1 && rte_pktmbuf_linearize(mbuf) != 0) ||
	    (mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED && rte_vlan_insert(&mbuf) != 0))
		*frame = (struct net_frame){.drop = NET_DROP_SEGMENTED};
	else
		verdict = net_frame_parse(&port->self, net_port_bytes(mbuf), mbuf->data_len,
					  rx_offload(mbuf), frame);

	switch (verdict) {
	case NET_VERDICT_UDP:
		break;
	case NET_VERDICT_REPLY:
		set_size(mbuf, frame->size);
		mbuf->ol_flags = 0;
		count(&counters->replied, 1);
		break;
	case NET_VERDICT_DROP:
		count(&counters->dropped[frame->drop], 1);
		break;
	}
	return verdict;
}

void net_port_reply(const struct net_port *port, struct rte_mbuf *mbuf,
		    const struct net_frame *frame, size_t payload_size)
{
	unsigned offload = port->offload;
	uint64_t flags = 0;

	set_size(mbuf, net_frame_reply_udp(net_port_bytes(mbuf), frame, payload_size, offload));
	if (offload & NET_OFFLOAD_TX_IP)
		flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
	if (offload & NET_OFFLOAD_TX_UDP)
		flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
	mbuf->ol_flags = flags;
	mbuf->tx_offload = rte_mbuf_tx_offload(
	    frame->ip_offset, (uint64_t)frame->udp_offset - frame->ip_offset, 0, 0, 0, 0, 0);
}

uint16_t net_port_tx(struct net_port *port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t burst)
{
	struct net_port_queue *counters = &port->queue[queue];
	uint16_t ready = rte_eth_tx_prepare(port->id, queue, mbufs, burst);
	uint16_t sent = rte_eth_tx_burst(port->id, queue, mbufs, ready);

	if (sent > 0)
		count(&counters->sent, sent);
	if (sent < ready) {
		count(&counters->tx_full, 1);
		return sent;
	}
	if (ready < burst) {
		/* The device will never take this one: offering it again would block the rest. */
		rte_pktmbuf_free(mbufs[ready]);
		count(&counters->refused, 1);
		return (uint16_t)(ready + 1);
	}
	return sent;
}
