/* SPDX-License-Identifier: Apache-2.0 */
#include <ifaddrs.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>

#include "engine/check.h"
#include "engine/sysfs.h"
#include "net/port.h"

#define RX_CHECKSUMS (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)
#define TX_CHECKSUMS (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)

static bool find(const struct engine_config *config, uint16_t *id)
{
	const char *device = config != NULL ? config->device : "";

	if (device[0] != '\0')
		return rte_eth_dev_get_port_by_name(device, id) == 0;
	*id = (uint16_t)rte_eth_find_next_owned_by(0, RTE_ETH_DEV_NO_OWNER);
	return *id < RTE_MAX_ETHPORTS;
}

int check_port_node(const struct engine_config *config)
{
	uint16_t id;

	return find(config, &id) ? rte_eth_dev_socket_id(id) : -1;
}

static void check_mtu(struct check_report *report, const struct check_subject *subject,
		      const struct rte_eth_dev_info *info, const char *interface)
{
	unsigned mtu = subject->config->mtu;
	int64_t kernel = interface[0] != '\0'
			     ? sysfs_number(subject->root, -1, "/sys/class/net/%s/mtu", interface)
			     : -1;
	uint32_t most = net_port_mtu_max(info);

	if (mtu > most) {
		check_say(report, CHECK_FAIL, "mtu", "%u wanted, the device takes %u", mtu, most);
		check_advise(report, "lower [port] mtu, or use another driver");
		return;
	}
	if (kernel >= 0 && kernel < mtu) {
		check_say(report, CHECK_WARN, "mtu", "%u wanted, %s has %" PRId64, mtu, interface,
			  kernel);
		check_advise(report, "the engine raises it if it may; the other end and the switch "
				     "must agree");
		check_command(report, "ip link set dev %s mtu %u", interface, mtu);
		return;
	}
	check_say(report, CHECK_OK, "mtu", "%u", mtu);
}

static void check_offloads(struct check_report *report, const struct rte_eth_dev_info *info)
{
	bool rx = (info->rx_offload_capa & RX_CHECKSUMS) == RX_CHECKSUMS;
	bool tx = (info->tx_offload_capa & TX_CHECKSUMS) == TX_CHECKSUMS;

	check_say(report, rx && tx ? CHECK_OK : CHECK_WARN, "offloads", "checksums %s",
		  rx && tx ? "by the device"
		  : rx	   ? "of what is sent by the engine"
		  : tx	   ? "of what is received by the engine"
			   : "by the engine");
	if (!rx || !tx)
		check_advise(report, "this driver has no more to give; it costs some tens of "
				     "nanoseconds a datagram");
}

static void check_queues(struct check_report *report, const struct check_subject *subject,
			 const struct rte_eth_dev_info *info)
{
	unsigned workers = subject->lcores > 1 ? subject->lcores - 1 : 1;
	uint16_t queues = (uint16_t)RTE_MIN(info->max_rx_queues, info->max_tx_queues);
	bool rss = (info->flow_type_rss_offloads & RTE_ETH_RSS_NONFRAG_IPV4_UDP) != 0;

	if (subject->config != NULL) {
		workers = RTE_MIN(workers, subject->config->limits.shards);
		queues = (uint16_t)RTE_MIN(queues, subject->config->queues);
	}
	bool enough = queues >= workers;
	check_say(report, enough ? CHECK_OK : CHECK_WARN, "queues", "%u each way for %u workers",
		  queues, workers);
	if (!enough)
		check_advise(report, "workers without one get their work from others' rings");
	if (workers == 1)
		return;
	check_say(report, rss ? CHECK_OK : CHECK_WARN, "steering",
		  rss ? "the device spreads UDP flows" : "the device does not spread UDP flows");
	if (!rss)
		check_advise(report, "datagrams may come to a worker that hands them on: a hop "
				     "between cores each");
}

static void check_descriptors(struct check_report *report, const struct engine_config *config,
			      const struct rte_eth_dev_info *info)
{
	uint16_t rx = info->rx_desc_lim.nb_max;
	uint16_t tx = info->tx_desc_lim.nb_max;
	bool fits =
	    (rx == 0 || config->rx_descriptors <= rx) && (tx == 0 || config->tx_descriptors <= tx);

	check_say(report, fits ? CHECK_OK : CHECK_WARN, "descriptors", "%u to receive, %u to send",
		  config->rx_descriptors, config->tx_descriptors);
	if (!fits)
		check_advise(report, "the device takes %u and %u: the engine will take those", rx,
			     tx);
}

/* The kernel's end of a driver that rides on an interface of the kernel's. */
static void check_interface(struct check_report *report, const struct check_subject *subject,
			    const char *name)
{
	struct ifaddrs *addresses;
	bool addressed = false;

	if (sysfs_number(subject->root, 0, "/sys/class/net/%s/carrier", name) == 1) {
		check_say(report, CHECK_OK, "link", "%s is up", name);
	} else {
		check_say(report, CHECK_WARN, "link", "%s is down", name);
		check_command(report, "ip link set dev %s up", name);
	}
	if (getifaddrs(&addresses) != 0)
		return;
	for (const struct ifaddrs *each = addresses; each != NULL; each = each->ifa_next) {
		addressed |= each->ifa_addr != NULL && each->ifa_addr->sa_family == AF_INET &&
			     strcmp(each->ifa_name, name) == 0;
	}
	freeifaddrs(addresses);
	check_say(report, addressed ? CHECK_WARN : CHECK_OK, "kernel address",
		  addressed ? "%s has one" : "%s has none", name);
	if (addressed) {
		check_advise(report, "the kernel answers beside the engine: ARP, and ICMP errors");
		check_command(report, "ip address flush dev %s", name);
	}
}

void check_port(struct check_report *report, const struct check_subject *subject)
{
	const struct engine_config *config = subject->config;
	struct rte_eth_dev_info info;
	char interface[IF_NAMESIZE] = "";
	char name[RTE_ETH_NAME_MAX_LEN] = "";
	uint16_t id;

	if (!find(config, &id) || rte_eth_dev_info_get(id, &info) != 0) {
		check_say(report, CHECK_FAIL, "port", "EAL has no Ethernet device %s",
			  config != NULL ? config->device : "");
		check_advise(report, "give one to EAL, -a 0000:01:00.0 bound to vfio-pci, or "
				     "--vdev=net_af_packet0,iface=IF");
		return;
	}
	rte_eth_dev_get_name_by_port(id, name);
	if (info.if_index != 0)
		if_indextoname(info.if_index, interface);
	int node = rte_eth_dev_socket_id(id);
	check_say(report, CHECK_OK, "port", "%s, driver %s%s%s", name, info.driver_name,
		  interface[0] != '\0' ? ", on interface " : "", interface);
	if (node >= 0)
		check_say(report, CHECK_OK, "port numa", "node %d", node);
	check_queues(report, subject, &info);
	check_offloads(report, &info);
	if (config != NULL) {
		check_mtu(report, subject, &info, interface);
		check_descriptors(report, config, &info);
	}
	if (interface[0] != '\0')
		check_interface(report, subject, interface);
}
