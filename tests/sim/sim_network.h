/* SPDX-License-Identifier: Apache-2.0
 *
 * Between clients and the node: datagrams that are lost, doubled, delayed, reordered and damaged,
 * each way. It outlives the node: a reply may arrive after a crash.
 */
#ifndef GIRO_TESTS_SIM_SIM_NETWORK_H
#define GIRO_TESTS_SIM_SIM_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim;

#define PACKET_BYTES_MAX 1280
#define NETWORK_MAX	 4096

struct sim_packet {
	uint8_t bytes[PACKET_BYTES_MAX];
	size_t size;
	bool to_client;
	bool damaged;
	uint32_t home; /* shard that the client sent it to */
	uint64_t due_us;
	uint64_t number; /* in the order sent */

	/* In the node's hands: the request as it came, and what was durable then. */
	uint8_t request[PACKET_BYTES_MAX];
	size_t request_size;
	uint64_t known_ms;
	uint32_t shard;
};

struct sim_network {
	struct sim *sim;
	struct sim_packet *packets[NETWORK_MAX];
	uint32_t count;
	uint64_t sent;
	uint64_t delivered[2]; /* highest number delivered, each way */
};

void network_init(struct sim_network *network, struct sim *sim);
void network_free(struct sim_network *network);

/* A client sends a datagram to the node. */
void network_send(struct sim_network *network, const uint8_t *bytes, size_t size, uint32_t home);

/* The node sends its reply in the request's own packet, which it gives away. */
void network_reply(struct sim_network *network, struct sim_packet *packet, size_t size);

/* Delivers one datagram that is due, if there is one. */
bool network_deliver(struct sim_network *network);

#endif
