/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening a port: from what a driver offers and the configuration wants to a started device.
 */
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ether.h>

#include "net/kernel_interface.h"
#include "net/port_parts.h"

/* Mbufs that a queue's lcore may have in its pool cache. */
#define POOL_CACHE 256
/* What a driver may keep for itself in a buffer before the frame (XDP: 256 bytes). */
#define BUFFER_SLACK 256
/* Frame slots of drivers that copy are 2048 bytes by default, and a buffer must hold a slot. */
#define BUFFER_MIN   2048
#define BUFFER_ROUND 256
/* The largest MTU whose buffer, with mbuf, private area and headroom, is within a page of 4 KiB. */
#define PAGE_FRAME_MTU 3302
/* What a frame slot of net_af_packet holds beside an IPv4 packet: its header (66 bytes with the
 * alignment), the link header and two tags. */
#define FRAME_SLOT_OVERHEAD (66 + NET_FRAME_LINK_BYTES_MAX)
#define LINK_POLL_MS	    10
/* How long a killed predecessor may take to let go of its claim. */
#define CLAIM_WAIT_MS 5000

#define RX_CHECKSUMS (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)
#define TX_CHECKSUMS (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)

__attribute__((format(printf, 2, 3))) static int fail(char error[NET_PORT_ERROR_MAX],
						      const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(error, NET_PORT_ERROR_MAX, format, arguments);
	va_end(arguments);
	return -1;
}

/* Devices that another one drives from within (failsafe, bonding) are not ours to open. */
static uint16_t next_device(uint16_t from)
{
	return (uint16_t)rte_eth_find_next_owned_by(from, RTE_ETH_DEV_NO_OWNER);
}

static int find_device(const char *wanted, uint16_t *id, char error[NET_PORT_ERROR_MAX])
{
	char names[256] = "";
	size_t used = 0;

	for (uint16_t each = next_device(0); each < RTE_MAX_ETHPORTS;
	     each = next_device((uint16_t)(each + 1))) {
		char name[RTE_ETH_NAME_MAX_LEN];
		net_port_device_name(each, name);
		if (wanted == NULL || wanted[0] == '\0' || strcmp(wanted, name) == 0) {
			*id = each;
			return 0;
		}
		int n = snprintf(names + used, sizeof(names) - used, " %s", name);
		used += n > 0 && used + (size_t)n < sizeof(names) ? (size_t)n : 0;
	}
	/* A PCI address may be written without its domain; ethdev knows the ways. */
	if (wanted != NULL && rte_eth_dev_get_port_by_name(wanted, id) == 0)
		return 0;
	if (names[0] == '\0')
		return fail(error, "no Ethernet device: give one to EAL, "
				   "-a 0000:01:00.0 or --vdev=net_af_packet0,iface=IF");
	return fail(error, "no Ethernet device \"%s\"; EAL has:%s", wanted, names);
}

/* The largest MTU that ethdev will let us ask for. */
static uint32_t ethdev_mtu_max(const struct rte_eth_dev_info *info)
{
	uint32_t overhead = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
	if (info->max_mtu != UINT16_MAX && info->max_rx_pktlen > info->max_mtu)
		overhead = info->max_rx_pktlen - info->max_mtu;
	uint32_t by_frame = info->max_rx_pktlen - RTE_MIN(overhead, info->max_rx_pktlen);
	return RTE_MIN((uint32_t)info->max_mtu, by_frame);
}

/* net_af_packet of DPDK 22.11: the standard's frame length is no limit of its own. */
static bool states_no_mtu(const struct rte_eth_dev_info *info)
{
	return info->max_mtu == UINT16_MAX && info->max_rx_pktlen == RTE_ETHER_MAX_LEN &&
	       info->if_index != 0;
}

uint32_t net_port_mtu_max(const struct rte_eth_dev_info *info)
{
	return states_no_mtu(info) ? NET_FRAME_MTU_MAX
				   : RTE_MIN(ethdev_mtu_max(info), (uint32_t)NET_FRAME_MTU_MAX);
}

/* Makes the device take packets of port->mtu. A driver on a kernel interface that states nothing
 * but the standard's frame length (net_af_packet of DPDK 22.11) is held back by ethdev alone: there
 * the interface's MTU decides. One that states a length of its own (net_tap, net_af_xdp) means it,
 * and would never send a larger frame. */
static int set_mtu(struct net_port *port, const struct rte_eth_dev_info *info,
		   char error[NET_PORT_ERROR_MAX])
{
	char interface[IF_NAMESIZE] = "";
	char name[RTE_ETH_NAME_MAX_LEN];
	uint32_t kernel = 0;
	int rc = -EINVAL;

	net_port_device_name(port->id, name);
	bool within = port->mtu <= ethdev_mtu_max(info);
	if (within) {
		rc = rte_eth_dev_set_mtu(port->id, port->mtu);
		if (rc == 0 || (rc == -ENOTSUP && info->if_index == 0))
			return 0;
	}
	if (within ? rc == -ENOTSUP : states_no_mtu(info))
		kernel = net_kernel_raise_mtu(info->if_index, port->mtu, interface);
	if (kernel >= port->mtu) {
		snprintf(port->mtu_note, sizeof(port->mtu_note),
			 "by kernel interface %s; net_af_packet needs framesz >= %u too", interface,
			 port->mtu + FRAME_SLOT_OVERHEAD);
		return 0;
	}
	if (kernel > 0)
		return fail(error,
			    "device %s cannot have MTU %u: its interface %s has %u and does not "
			    "take more; try: ip link set dev %s mtu %u",
			    name, port->mtu, interface, kernel, interface, port->mtu);
	if (!within)
		return fail(error, "device %s (%s) cannot have MTU %u: its limit is %u", name,
			    info->driver_name, port->mtu, ethdev_mtu_max(info));
	return fail(
	    error,
	    "device %s (%s) refuses MTU %u (%s); net_af_packet does so when its frame slots "
	    "are too small: give framesz=%u or more in --vdev",
	    name, info->driver_name, port->mtu, rte_strerror(-rc), port->mtu + FRAME_SLOT_OVERHEAD);
}

static void choose_offloads(struct net_port *port, const struct rte_eth_dev_info *info,
			    struct rte_eth_conf *conf)
{
	conf->rxmode.offloads = info->rx_offload_capa & RX_CHECKSUMS;
	conf->txmode.offloads = info->tx_offload_capa & TX_CHECKSUMS;
	if (conf->rxmode.offloads & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM)
		port->offload |= NET_OFFLOAD_RX_IP;
	if (conf->rxmode.offloads & RTE_ETH_RX_OFFLOAD_UDP_CKSUM)
		port->offload |= NET_OFFLOAD_RX_UDP;
	if (conf->txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM)
		port->offload |= NET_OFFLOAD_TX_IP;
	if (conf->txmode.offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
		port->offload |= NET_OFFLOAD_TX_UDP;

	uint64_t hash = info->flow_type_rss_offloads & RTE_ETH_RSS_NONFRAG_IPV4_UDP;
	if (port->queues > 1 && hash != 0) {
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf->rx_adv_conf.rss_conf.rss_hf = hash;
		port->rss = true;
	}
}

static uint32_t buffer_bytes(uint32_t mtu, uint32_t least)
{
	uint32_t frame = mtu + NET_FRAME_LINK_BYTES_MAX + RTE_ETHER_CRC_LEN;
	least = RTE_MAX(least, (uint32_t)BUFFER_MIN);
	return RTE_ALIGN_CEIL(RTE_MAX(frame + BUFFER_SLACK, least), BUFFER_ROUND) +
	       RTE_PKTMBUF_HEADROOM;
}

size_t net_port_memory_bytes(const struct net_port_config *config)
{
	uint32_t object = (uint32_t)sizeof(struct rte_mbuf) + buffer_bytes(config->mtu, 0);
	return (size_t)config->mbufs * rte_mempool_calc_obj_size(object, 0, NULL);
}

static int make_pool(struct net_port *port, const struct rte_eth_dev_info *info,
		     char error[NET_PORT_ERROR_MAX])
{
	char name[32];
	uint32_t least = (uint32_t)port->queues *
			 ((uint32_t)port->rx_descriptors + port->tx_descriptors + POOL_CACHE);
	uint32_t bytes = buffer_bytes(port->mtu, info->min_rx_bufsize);

	if (port->mbufs <= least)
		return fail(error,
			    "%u mbufs are too few: %u queues of %u + %u descriptors and %u cached "
			    "take %u, and the replies held come on top",
			    port->mbufs, port->queues, port->rx_descriptors, port->tx_descriptors,
			    POOL_CACHE, least);
	if (bytes > UINT16_MAX)
		return fail(error, "the driver wants buffers of %u bytes; giro's end at %u", bytes,
			    UINT16_MAX);
	snprintf(name, sizeof(name), "giro-port-%u", port->id);
	port->mbuf_bytes = bytes;
	port->pool = rte_pktmbuf_pool_create(name, port->mbufs, POOL_CACHE, NET_PORT_PRIVATE_BYTES,
					     (uint16_t)bytes, rte_eth_dev_socket_id(port->id));
	if (port->pool == NULL)
		return fail(
		    error,
		    "no memory for %u mbufs of %u bytes (%s): give EAL more, by hugepages or "
		    "-m, or configure fewer",
		    port->mbufs, bytes, rte_strerror(rte_errno));
	return 0;
}

static int setup_queues(struct net_port *port, const struct rte_eth_dev_info *info,
			const struct rte_eth_conf *conf, char error[NET_PORT_ERROR_MAX])
{
	int socket = rte_eth_dev_socket_id(port->id);
	unsigned node = socket < 0 ? 0 : (unsigned)socket;
	struct rte_eth_rxconf rx = info->default_rxconf;
	struct rte_eth_txconf tx = info->default_txconf;

	rx.offloads = conf->rxmode.offloads;
	tx.offloads = conf->txmode.offloads;
	for (uint16_t q = 0; q < port->queues; q++) {
		int rc = rte_eth_rx_queue_setup(port->id, q, port->rx_descriptors, node, &rx,
						port->pool);
		if (rc != 0)
			return fail(
			    error,
			    "RX queue %u refused (%s), with %u buffers of %u bytes for MTU %u. The "
			    "driver's frame slots may be larger (net_af_packet: framesz); or it "
			    "puts "
			    "a frame and its heads into a page (net_af_xdp: MTU %u at most), wants "
			    "more buffers, may not lock the memory (ulimit -l), or another process "
			    "has the queue",
			    q, rte_strerror(-rc), port->mbufs,
			    port->mbuf_bytes - RTE_PKTMBUF_HEADROOM, port->mtu, PAGE_FRAME_MTU);
		rc = rte_eth_tx_queue_setup(port->id, q, port->tx_descriptors, node, &tx);
		if (rc != 0)
			return fail(error, "TX queue %u refused: %s", q, rte_strerror(-rc));
	}
	return 0;
}

static int configure(struct net_port *port, const struct rte_eth_dev_info *info,
		     char error[NET_PORT_ERROR_MAX])
{
	struct rte_eth_conf conf = {0};
	char name[RTE_ETH_NAME_MAX_LEN];

	net_port_device_name(port->id, name);
	choose_offloads(port, info, &conf);
	conf.rxmode.mtu = RTE_MIN((uint32_t)port->mtu, ethdev_mtu_max(info));
	int rc = rte_eth_dev_configure(port->id, port->queues, port->queues, &conf);
	if (rc != 0)
		return fail(error, "device %s (%s) refuses its configuration: %s", name,
			    info->driver_name, rte_strerror(-rc));
	rc = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &port->rx_descriptors,
					      &port->tx_descriptors);
	if (rc != 0)
		return fail(error, "device %s refuses its descriptor counts: %s", name,
			    rte_strerror(-rc));
	if (set_mtu(port, info, error) != 0 || make_pool(port, info, error) != 0)
		return -1;
	return setup_queues(port, info, &conf, error);
}

static void await_link(struct net_port *port, uint32_t wait_ms)
{
	uint64_t deadline = rte_get_timer_cycles() + rte_get_timer_hz() * wait_ms / 1000;
	struct rte_eth_link link;

	for (;;) {
		/* A driver without link state is as good as up. */
		if (rte_eth_link_get_nowait(port->id, &link) != 0 ||
		    link.link_status == RTE_ETH_LINK_UP) {
			port->link_up = true;
			return;
		}
		if (rte_get_timer_cycles() >= deadline)
			return;
		rte_delay_us_sleep(LINK_POLL_MS * 1000);
	}
}

static int start(struct net_port *port, const struct net_port_config *config,
		 char error[NET_PORT_ERROR_MAX])
{
	struct rte_ether_addr mac;
	int rc = rte_eth_macaddr_get(port->id, &mac);
	if (rc != 0)
		return fail(error, "no MAC address from the device: %s", rte_strerror(-rc));
	memcpy(port->self.mac, mac.addr_bytes, sizeof(port->self.mac));

	rc = rte_eth_dev_start(port->id);
	if (rc != 0)
		return fail(error, "the device does not start: %s", rte_strerror(-rc));
	port->started = true;
	/* Frames for others would only be dropped; a driver that cannot filter is no error. */
	(void)rte_eth_promiscuous_disable(port->id);
	await_link(port, config->link_wait_ms);
	return 0;
}

static int check_config(const struct net_port_config *config, char error[NET_PORT_ERROR_MAX])
{
	if (config->mtu < RTE_ETHER_MIN_MTU || config->mtu > NET_FRAME_MTU_MAX)
		return fail(error, "MTU %u is not within %u..%u", config->mtu, RTE_ETHER_MIN_MTU,
			    NET_FRAME_MTU_MAX);
	if (config->queues == 0 || config->queues > NET_PORT_QUEUES_MAX)
		return fail(error, "%u queues are not within 1..%u", config->queues,
			    NET_PORT_QUEUES_MAX);
	if (config->prefix_bits > 32)
		return fail(error, "address prefix /%u is longer than 32", config->prefix_bits);
	return 0;
}

static int claim(struct net_port *port, const struct rte_eth_dev_info *info,
		 char error[NET_PORT_ERROR_MAX])
{
	const uint8_t *address = port->self.address;
	char name[IF_NAMESIZE] = "?";

	port->claim = -1;
	if (info->if_index == 0)
		return 0;
	int fd = net_kernel_claim(info->if_index, address, CLAIM_WAIT_MS);
	if (fd == -EADDRINUSE) {
		if_indextoname(info->if_index, name);
		return fail(error,
			    "another engine has address %u.%u.%u.%u on interface %s: stop that "
			    "one, or give this one an address of its own",
			    address[0], address[1], address[2], address[3], name);
	}
	if (fd < 0)
		return fail(error, "no claim on the interface: %s", strerror(-fd));
	port->claim = fd;
	return 0;
}

int net_port_open(struct net_port *port, const struct net_port_config *config,
		  char error[NET_PORT_ERROR_MAX])
{
	struct rte_eth_dev_info info;

	if (check_config(config, error) != 0 || find_device(config->device, &port->id, error) != 0)
		return -1;
	int rc = rte_eth_dev_info_get(port->id, &info);
	if (rc != 0)
		return fail(error, "the device does not describe itself: %s", rte_strerror(-rc));

	memcpy(port->self.address, config->address, sizeof(port->self.address));
	port->self.prefix_bits = config->prefix_bits;
	port->mtu = config->mtu;
	port->mbufs = config->mbufs;
	port->rx_descriptors = config->rx_descriptors;
	port->tx_descriptors = config->tx_descriptors;
	/* A queue is a pair here: the worker that receives a request also sends its reply. */
	uint16_t pairs = (uint16_t)RTE_MIN(info.max_rx_queues, info.max_tx_queues);
	port->queues = (uint16_t)RTE_MIN(config->queues, pairs);
	if (port->queues == 0)
		return fail(error, "driver %s offers no queue pair", info.driver_name);

	if (claim(port, &info, error) != 0)
		return -1;
	if (configure(port, &info, error) != 0 || start(port, config, error) != 0) {
		net_port_close(port);
		return -1;
	}
	return 0;
}
