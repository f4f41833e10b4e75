/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_network.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/sim.h"

void network_init(struct sim_network *network, struct sim *sim)
{
	memset(network, 0, sizeof(*network));
	network->sim = sim;
}

void network_free(struct sim_network *network)
{
	for (uint32_t i = 0; i < network->count; i++)
		free(network->packets[i]);
	network->count = 0;
}

static void damage(struct sim *sim, struct sim_packet *packet)
{
	reach(sim, REACH_DATAGRAM_DAMAGED);
	packet->damaged = true;
	if (rng_chance(&sim->rng, 200)) {
		packet->size = rng_below(&sim->rng, packet->size);
		return;
	}
	for (uint64_t flips = rng_range(&sim->rng, 1, 3); flips > 0; flips--) {
		uint64_t bit = rng_below(&sim->rng, packet->size * 8);
		packet->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

/* Puts a packet on its way, or loses it. */
static void put(struct sim_network *network, struct sim_packet *packet)
{
	struct sim *sim = network->sim;
	const struct shape *shape = &sim->shape;
	uint64_t delay_us = rng_below(&sim->rng, shape->delay_us + 1);

	packet->number = ++network->sent;
	if (!sim->settling && rng_chance(&sim->rng, shape->net_loss)) {
		reach(sim, REACH_DATAGRAM_LOST);
		free(packet);
		return;
	}
	if (network->count == NETWORK_MAX) {
		free(packet);
		return;
	}
	if (!sim->settling && rng_chance(&sim->rng, shape->net_late)) {
		reach(sim, REACH_DATAGRAM_LATE);
		delay_us += shape->delay_us * rng_below(&sim->rng, 200);
	}
	if (!sim->settling && packet->size > 0 && rng_chance(&sim->rng, shape->net_damage)) {
		/* Three flips may undo each other; then nothing was damaged. */
		uint8_t before[PACKET_BYTES_MAX];
		size_t size = packet->size;
		memcpy(before, packet->bytes, size);
		damage(sim, packet);
		if (packet->size == size && memcmp(before, packet->bytes, size) == 0)
			packet->damaged = false;
	}
	packet->due_us = sim->now_us + delay_us;
	network->packets[network->count++] = packet;
}

static void put_copies(struct sim_network *network, struct sim_packet *packet)
{
	struct sim *sim = network->sim;

	while (!sim->settling && rng_chance(&sim->rng, sim->shape.net_copy)) {
		struct sim_packet *copy = malloc(sizeof(*copy));
		CHECK(copy != NULL);
		memcpy(copy, packet, sizeof(*copy));
		reach(sim, REACH_DATAGRAM_COPIED);
		put(network, copy);
	}
	put(network, packet);
}

void network_send(struct sim_network *network, const uint8_t *bytes, size_t size, uint32_t home)
{
	struct sim_packet *packet = calloc(1, sizeof(*packet));

	CHECK(packet != NULL && size <= PACKET_BYTES_MAX);
	memcpy(packet->bytes, bytes, size);
	packet->size = size;
	packet->home = home;
	reach(network->sim, REACH_DATAGRAM_SENT);
	put_copies(network, packet);
}

void network_reply(struct sim_network *network, struct sim_packet *packet, size_t size)
{
	packet->size = size;
	packet->to_client = true;
	put_copies(network, packet);
}

bool network_deliver(struct sim_network *network)
{
	struct sim *sim = network->sim;

	if (network->count == 0)
		return false;
	/* A few tries at random find one that is due, in no particular order. */
	for (int tries = 0; tries < 4; tries++) {
		uint32_t index = (uint32_t)rng_below(&sim->rng, network->count);
		struct sim_packet *packet = network->packets[index];
		if (packet->due_us > sim->now_us)
			continue;
		network->packets[index] = network->packets[--network->count];
		uint64_t *highest = &network->delivered[packet->to_client];
		if (packet->number < *highest)
			reach(sim, REACH_DATAGRAM_OVERTAKEN);
		else
			*highest = packet->number;
		if (packet->to_client) {
			client_receive(&sim->client, packet->bytes, packet->size, packet->damaged);
			free(packet);
		} else {
			sim_node_receive(&sim->node, packet);
		}
		return true;
	}
	return false;
}
