/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to port*.c: what its parts need of each other.
 */
#ifndef GIRO_NET_PORT_PARTS_H
#define GIRO_NET_PORT_PARTS_H

#include "net/port.h"

/* What ethdev calls the device. */
void net_port_device_name(uint16_t id, char name[RTE_ETH_NAME_MAX_LEN]);

/* Takes all steering rules out of force. */
void net_port_unsteer(struct net_port *port);

#endif
