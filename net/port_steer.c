/* SPDX-License-Identifier: Apache-2.0
 *
 * Steering: one rte_flow rule for each shard's UDP port.
 */
#include <string.h>

#include <rte_errno.h>

#include "base/check.h"
#include "net/port_parts.h"

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

void net_port_unsteer(struct net_port *port)
{
	struct rte_flow_error ignored;
	for (unsigned i = 0; i < port->rules; i++)
		(void)rte_flow_destroy(port->id, port->rule[i], &ignored);
	port->rules = 0;
}

bool net_port_steer(struct net_port *port, const uint16_t *udp_ports, const uint16_t *queues,
		    unsigned rules)
{
	CHECK(rules <= NET_PORT_RULES_MAX);
	net_port_unsteer(port);
	if (port->queues == 1) {
		snprintf(port->steering_note, sizeof(port->steering_note), "one queue takes all");
		return false;
	}
	for (unsigned i = 0; i < rules; i++) {
		struct rte_flow_error error = {0};
		port->rule[i] = create_rule(port, udp_ports[i], queues[i], &error);
		if (port->rule[i] == NULL) {
			net_port_unsteer(port);
			snprintf(port->steering_note, sizeof(port->steering_note),
				 "no rte_flow rule for UDP port %u: %s", udp_ports[i],
				 error.message != NULL ? error.message : rte_strerror(rte_errno));
			return false;
		}
		port->rules++;
	}
	return true;
}
