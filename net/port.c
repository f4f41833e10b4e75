/* SPDX-License-Identifier: Apache-2.0 */
#include "net/port.h"

#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_ether.h>

#include "base/check.h"
#include "net/kernel_drops.h"
#include "net/kernel_interface.h"

/* Mbufs that a queue's lcore may have in its pool cache. */
#define POOL_CACHE 256
/* What a driver may keep for itself in a buffer before the frame (XDP: 256 bytes). */
#define BUFFER_SLACK 256
/* Frame slots of drivers that copy are 2048 bytes by default, and a buffer must hold a slot. */
#define BUFFER_MIN   2048
#define BUFFER_ROUND 256
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

static void device_name(uint16_t id, char name[RTE_ETH_NAME_MAX_LEN])
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
		device_name(each, name);
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
static uint32_t mtu_limit(const struct rte_eth_dev_info *info)
{
	uint32_t overhead = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
	if (info->max_mtu != UINT16_MAX && info->max_rx_pktlen > info->max_mtu)
		overhead = info->max_rx_pktlen - info->max_mtu;
	uint32_t by_frame = info->max_rx_pktlen - RTE_MIN(overhead, info->max_rx_pktlen);
	return RTE_MIN((uint32_t)info->max_mtu, by_frame);
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

	device_name(port->id, name);
	bool within = port->mtu <= mtu_limit(info);
	if (within) {
		rc = rte_eth_dev_set_mtu(port->id, port->mtu);
		if (rc == 0 || (rc == -ENOTSUP && info->if_index == 0))
			return 0;
	}
	bool states_none = info->max_mtu == UINT16_MAX && info->max_rx_pktlen == RTE_ETHER_MAX_LEN;
	if (within ? rc == -ENOTSUP : states_none)
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
			    info->driver_name, port->mtu, mtu_limit(info));
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
			    "RX queue %u refused (%s): buffers hold %u bytes at MTU %u; the "
			    "driver's frame slots may be larger (net_af_packet: framesz)",
			    q, rte_strerror(-rc), port->mbuf_bytes - RTE_PKTMBUF_HEADROOM,
			    port->mtu);
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

	device_name(port->id, name);
	choose_offloads(port, info, &conf);
	conf.rxmode.mtu = RTE_MIN((uint32_t)port->mtu, mtu_limit(info));
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

static struct rte_flow *create_rule(const struct net_port *port, uint16_t udp_port, uint16_t queue,
				    struct rte_flow_error *error)
{
	struct rte_flow_item_ipv4 ip = {0};
	struct rte_flow_item_udp udp = {.hdr.dst_port = rte_cpu_to_be_16(udp_port)};
	struct rte_flow_action_queue target = {.index = queue};
	const struct rte_flow_attr attributes = {.ingress = 1};

	memcpy(&ip.hdr.dst_addr, port->self.address, sizeof(ip.hdr.dst_addr));
	struct rte_flow_item_ipv4 ip_mask = {.hdr.dst_addr = RTE_BE32(UINT32_MAX)};
	struct rte_flow_item_udp udp_mask = {.hdr.dst_port = RTE_BE16(UINT16_MAX)};
	const struct rte_flow_item pattern[] = {
	    {.type = RTE_FLOW_ITEM_TYPE_ETH},
	    {.type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &ip, .mask = &ip_mask},
	    {.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &udp, .mask = &udp_mask},
	    {.type = RTE_FLOW_ITEM_TYPE_END},
	};
	const struct rte_flow_action actions[] = {
	    {.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &target},
	    {.type = RTE_FLOW_ACTION_TYPE_END},
	};

	if (rte_flow_validate(port->id, &attributes, pattern, actions, error) != 0)
		return NULL;
	return rte_flow_create(port->id, &attributes, pattern, actions, error);
}

static void destroy_rules(struct net_port *port)
{
	struct rte_flow_error ignored;
	for (unsigned i = 0; i < port->rules; i++)
		(void)rte_flow_destroy(port->id, port->rule[i], &ignored);
	port->rules = 0;
}

bool net_port_steer(struct net_port *port, const uint16_t *udp_ports, const uint16_t *queues,
		    unsigned rules)
{
	CHECK(rules <= NET_PORT_RULES_MAX && port->rules == 0);
	if (port->queues == 1) {
		snprintf(port->steering_note, sizeof(port->steering_note), "one queue takes all");
		return false;
	}
	for (unsigned i = 0; i < rules; i++) {
		struct rte_flow_error error = {0};
		port->rule[i] = create_rule(port, udp_ports[i], queues[i], &error);
		if (port->rule[i] == NULL) {
			destroy_rules(port);
			snprintf(port->steering_note, sizeof(port->steering_note),
				 "no rte_flow rule for UDP port %u: %s", udp_ports[i],
				 error.message != NULL ? error.message : rte_strerror(rte_errno));
			return false;
		}
		port->rules++;
	}
	return true;
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

	device_name(port->id, name);
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
	destroy_rules(port);
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
