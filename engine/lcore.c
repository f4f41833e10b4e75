/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/lcore.h"

#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_prefetch.h>
#include <rte_ring_elem.h>
#include <urcu-qsbr.h>

#include "base/check.h"
#include "engine/clock.h"

/* What stands in the private area of an mbuf in the engine's hands. */
struct packet {
	struct net_frame frame;
	uint32_t arrival; /* meter_tick() when it was received */
	/* Buckets of LCORE_SOURCES: by address and port, by address alone. */
	uint32_t source : 10;
	uint32_t host : 10;
	uint32_t shard : 8;    /* of a request */
	uint32_t is_reply : 1; /* handed over to be sent, not served */
};
_Static_assert(sizeof(struct packet) <= NET_PORT_PRIVATE_BYTES, "fits the private area");

static struct packet *packet_of(struct rte_mbuf *mbuf)
{
	return rte_mbuf_to_priv(mbuf);
}

/* Sending. */

static void tx_push(struct lcore *lcore, struct rte_mbuf *mbuf)
{
	CHECK(lcore->tx_tail - lcore->tx_head <= lcore->tx_mask);
	lcore->tx[lcore->tx_tail++ & lcore->tx_mask] = mbuf;
}

static void handover_push(struct lcore *lcore, uint32_t to, struct rte_mbuf *mbuf)
{
	int full = rte_ring_sp_enqueue(lcore->shared->handover[lcore->index][to], mbuf);

	CHECK(full == 0);
}

/* A finished frame: out of the own queue, or over the worker that has one. */
static void send_frame(struct lcore *lcore, struct rte_mbuf *mbuf)
{
	if (lcore->has_queue) {
		tx_push(lcore, mbuf);
		return;
	}
	packet_of(mbuf)->is_reply = true;
	lcore->counts.tx_handed++;
	handover_push(lcore, lcore->index % lcore->shared->port->queues, mbuf);
}

/* Hands the device what it takes; the rest waits for the next loop. */
static bool tx_flush(struct lcore *lcore)
{
	uint32_t before = lcore->tx_head;

	while (lcore->tx_head != lcore->tx_tail) {
		uint32_t at = lcore->tx_head & lcore->tx_mask;
		uint32_t count = lcore->tx_tail - lcore->tx_head;
		if (count > lcore->tx_mask + 1 - at)
			count = lcore->tx_mask + 1 - at;
		if (count > LCORE_BURST)
			count = LCORE_BURST;
		uint16_t sent = net_port_tx(lcore->shared->port, (uint16_t)lcore->index,
					    &lcore->tx[at], (uint16_t)count);
		lcore->tx_head += sent;
		if (sent < count)
			break;
	}
	return lcore->tx_head != before;
}

static void reply(struct lcore *lcore, struct rte_mbuf *mbuf, size_t payload_size)
{
	net_port_reply(lcore->shared->port, mbuf, &packet_of(mbuf)->frame, payload_size);
	send_frame(lcore, mbuf);
}

void lcore_sink_replies(void *context, const struct worker_reply *replies, uint32_t count)
{
	struct lcore *lcore = context;
	enum stage before = meter_enter(&lcore->meter, STAGE_TX);

	/* Replies that leave together came at about the same time: the middle one is measured. */
	meter_replies(&lcore->meter, packet_of(replies[count / 2].packet)->arrival, count);
	for (uint32_t i = 0; i < count; i++) {
		lcore->in_hand[packet_of(replies[i].packet)->source]--;
		lcore->in_hand_of_host[packet_of(replies[i].packet)->host]--;
		reply(lcore, replies[i].packet, replies[i].payload_size);
	}
	lcore->admitted -= count;
	meter_enter(&lcore->meter, before);
}

/* Runs of messages for the same worker go over with one publish of the ring's index. */
void lcore_sink_messages(void *context, const struct shard_message *messages, uint32_t count)
{
	struct lcore *lcore = context;
	const uint8_t *worker = lcore->worker->map->worker;
	enum stage before = meter_enter(&lcore->meter, STAGE_RING);
	uint32_t start = 0;

	while (start < count) {
		uint32_t to = worker[messages[start].to];
		uint32_t end = start + 1;
		while (end < count && worker[messages[end].to] == to)
			end++;
		unsigned sent = rte_ring_sp_enqueue_bulk_elem(
		    lcore->shared->messages[lcore->index][to], &messages[start],
		    sizeof(messages[0]), end - start, NULL);
		CHECK(sent == end - start);
		start = end;
	}
	meter_enter(&lcore->meter, before);
}

/* Receiving. */

static uint64_t bucket_of(uint64_t key)
{
	_Static_assert(LCORE_SOURCES == 1 << 10, "ten bits of the hash");
	return key * UINT64_C(0x9e3779b97f4a7c15) >> 54;
}

static void note_source(struct rte_mbuf *mbuf, struct packet *packet)
{
	uint64_t address = net_port_source(mbuf, &packet->frame);

	packet->host = bucket_of(address << 16) & (LCORE_SOURCES - 1);
	packet->source = bucket_of(address << 16 | packet->frame.source_port) & (LCORE_SOURCES - 1);
}

static uint32_t records_in(struct rte_mbuf *mbuf)
{
	struct wire_header header;

	memcpy(&header, net_port_payload(mbuf, &packet_of(mbuf)->frame), sizeof(header));
	return header.count;
}

/* Have the client and its host as much in hand as they may have? */
static bool has_its_share(const struct lcore *lcore, const struct packet *packet)
{
	uint32_t requests = lcore->in_hand[packet->source] + lcore->in_hand_of_host[packet->host];
	uint32_t records = lcore->records_of[packet->source] + lcore->records_of_host[packet->host];
	uint32_t waiting = RTE_MIN(lcore->waiting_records, LCORE_RECORDS_WAITING);

	return requests >= 2 * (lcore->requests - lcore->admitted) ||
	       records >= 2 * (LCORE_RECORDS_WAITING - waiting);
}

/* A request for a shard of this lcore waits to be served, or is refused. */
static void admit(struct lcore *lcore, struct rte_mbuf *mbuf)
{
	struct packet *packet = packet_of(mbuf);
	uint32_t records = records_in(mbuf);

	if (has_its_share(lcore, packet)) {
		lcore->refused++;
		reply(lcore, mbuf,
		      worker_refuse(lcore->worker, net_port_payload(mbuf, &packet->frame)));
		return;
	}
	lcore->in_hand[packet->source]++;
	lcore->in_hand_of_host[packet->host]++;
	lcore->records_of[packet->source] += records;
	lcore->records_of_host[packet->host] += records;
	lcore->waiting_records += records;
	lcore->admitted++;
	lcore->waiting[lcore->waiting_tail++ & lcore->tx_mask] = mbuf;
}

/* The worker whose shard a request is for, by the map of this turn. */
static uint32_t owner_of(const struct lcore *lcore, struct rte_mbuf *mbuf)
{
	return lcore->worker->map->worker[packet_of(mbuf)->shard];
}

static void admit_or_hand_over(struct lcore *lcore, struct rte_mbuf *mbuf)
{
	uint32_t owner = owner_of(lcore, mbuf);

	if (owner == lcore->index) {
		admit(lcore, mbuf);
		return;
	}
	lcore->counts.handed_over++;
	handover_push(lcore, owner, mbuf);
}

/* An admitted request whose shard went to another worker: that one admits it anew. */
static void hand_on(struct lcore *lcore, struct rte_mbuf *mbuf)
{
	lcore->in_hand[packet_of(mbuf)->source]--;
	lcore->in_hand_of_host[packet_of(mbuf)->host]--;
	lcore->admitted--;
	lcore->counts.handed_on++;
	admit_or_hand_over(lcore, mbuf);
}

/* The next request that waits leaves the ring. */
static struct rte_mbuf *waiting_pop(struct lcore *lcore)
{
	struct rte_mbuf *mbuf = lcore->waiting[lcore->waiting_head++ & lcore->tx_mask];
	uint32_t records = records_in(mbuf);

	lcore->records_of[packet_of(mbuf)->source] -= records;
	lcore->records_of_host[packet_of(mbuf)->host] -= records;
	lcore->waiting_records -= records;
	return mbuf;
}

/* Serves some of what waits, when the open epoch has room for it, and as long as there are rows for
 * transfers between shards: those under way finish soon, so to wait is better than to refuse. */
static bool serve_waiting(struct lcore *lcore)
{
	uint32_t count = lcore->waiting_tail - lcore->waiting_head;

	if (count == 0)
		return false;
	if (count > LCORE_SERVED)
		count = LCORE_SERVED;
	meter_enter(&lcore->meter, STAGE_DECODE);
	if (!worker_has_room(lcore->worker, count * (uint32_t)lcore->shared->records_max)) {
		lcore->counts.no_room++;
		return false;
	}
	uint32_t served = 0;
	for (; served < count && worker_has_rows(lcore->worker); served++) {
		struct rte_mbuf *mbuf = waiting_pop(lcore);
		const struct packet *packet = packet_of(mbuf);
		if (owner_of(lcore, mbuf) != lcore->index) {
			hand_on(lcore, mbuf);
			continue;
		}
		worker_accept(lcore->worker, packet->shard, mbuf,
			      net_port_payload(mbuf, &packet->frame));
	}
	return served > 0;
}

/* Answers in place a datagram of a client that is over its limit. */
static bool refuse_over_limit(struct lcore *lcore, struct rte_mbuf *mbuf)
{
	const struct client_limits *limits = rcu_dereference(lcore->shared->limits);
	uint8_t *payload = net_port_payload(mbuf, &packet_of(mbuf)->frame);
	uint16_t retry_after_ms;
	struct wire_header header;

	if (limits->records_per_second == 0)
		return false;
	memcpy(&header, payload, sizeof(header));
	if (client_table_admit(lcore->clients, limits,
			       net_port_source(mbuf, &packet_of(mbuf)->frame), header.count,
			       clock_ns(CLOCK_MONOTONIC), &retry_after_ms))
		return false;
	reply(
	    lcore, mbuf,
	    wire_seal_reply(payload, 0, STATUS_BUSY, retry_after_ms, lcore->worker->map->version));
	return true;
}

static void take_datagram(struct lcore *lcore, struct rte_mbuf *mbuf)
{
	struct packet *packet = packet_of(mbuf);
	const struct slot_map *map = lcore->worker->map;
	size_t payload_size;
	uint32_t shard;

	if ((uint16_t)(packet->frame.destination_port - map->port[0]) >= map->shards) {
		net_port_count_drop(lcore->shared->port, (uint16_t)lcore->index, NET_DROP_UDP_PORT);
		rte_pktmbuf_free(mbuf);
		return;
	}
	switch (worker_route(lcore->worker, net_port_payload(mbuf, &packet->frame),
			     packet->frame.payload_size, &shard, &payload_size)) {
	case WORKER_ROUTE_DROP:
		rte_pktmbuf_free(mbuf);
		return;
	case WORKER_ROUTE_REPLY:
		reply(lcore, mbuf, payload_size);
		return;
	default:
		break;
	}
	packet->shard = shard & 0xff;
	if (refuse_over_limit(lcore, mbuf))
		return;
	note_source(mbuf, packet);
	packet->is_reply = false;
	admit_or_hand_over(lcore, mbuf);
}

static uint16_t poll_port_once(struct lcore *lcore)
{
	struct net_port *port = lcore->shared->port;
	struct rte_mbuf *mbufs[LCORE_BURST];

	meter_enter(&lcore->meter, STAGE_RX);
	uint16_t count = net_port_rx(port, (uint16_t)lcore->index, mbufs, LCORE_BURST);
	meter_enter(&lcore->meter, STAGE_DECODE);
	if (count == 0)
		return 0;
	uint32_t arrival = meter_tick(&lcore->meter);
	meter_burst(&lcore->meter, count);
	for (uint16_t i = 0; i < count; i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
	for (uint16_t i = 0; i < count; i++) {
		struct net_frame *frame = &packet_of(mbufs[i])->frame;
		packet_of(mbufs[i])->arrival = arrival;
		switch (net_port_parse(port, (uint16_t)lcore->index, mbufs[i], frame)) {
		case NET_VERDICT_UDP:
			take_datagram(lcore, mbufs[i]);
			break;
		case NET_VERDICT_REPLY:
			tx_push(lcore, mbufs[i]);
			break;
		default:
			rte_pktmbuf_free(mbufs[i]);
			break;
		}
	}
	return count;
}

/* Is another worker behind with what it was handed? Then it waits in the device, as it would have. */
static bool handover_is_behind(const struct lcore *lcore)
{
	for (uint32_t to = 0; to < lcore->shared->workers; to++) {
		if (to != lcore->index &&
		    rte_ring_count(lcore->shared->handover[lcore->index][to]) >
			LCORE_PORT_BURSTS * LCORE_BURST)
			return true;
	}
	return false;
}

static bool poll_port(struct lcore *lcore)
{
	uint32_t refused = lcore->refused;
	uint16_t count = LCORE_BURST;
	bool active = false;

	if (!lcore->has_queue)
		return false;
	/* To refuse costs too: beyond some of it there would be time for nothing else. */
	for (unsigned burst = 0;
	     burst < LCORE_PORT_BURSTS && count == LCORE_BURST &&
	     lcore->refused - refused < LCORE_REFUSED && !handover_is_behind(lcore);
	     burst++) {
		count = poll_port_once(lcore);
		active |= count > 0;
	}
	return active;
}

static uint16_t poll_handover_once(struct lcore *lcore, struct rte_ring *ring)
{
	struct rte_mbuf *mbufs[LCORE_BURST];

	unsigned count = rte_ring_sc_dequeue_burst(ring, (void **)mbufs, LCORE_BURST, NULL);
	if (count > 0)
		meter_enter(&lcore->meter, STAGE_DECODE);
	for (unsigned i = 0; i < count; i++) {
		if (packet_of(mbufs[i])->is_reply)
			tx_push(lcore, mbufs[i]);
		else
			admit_or_hand_over(lcore, mbufs[i]);
	}
	return (uint16_t)count;
}

static bool poll_handover(struct lcore *lcore)
{
	bool active = false;

	for (uint32_t from = 0; from < lcore->shared->workers; from++) {
		uint32_t refused = lcore->refused;
		uint16_t count = LCORE_BURST;
		if (from == lcore->index)
			continue;
		for (unsigned burst = 0; burst < LCORE_PORT_BURSTS && count == LCORE_BURST &&
					 lcore->refused - refused < LCORE_REFUSED;
		     burst++) {
			count =
			    poll_handover_once(lcore, lcore->shared->handover[from][lcore->index]);
			active |= count > 0;
		}
	}
	return active;
}

/* Empties the ring as far as the open epoch has room: a transfer between shards is four messages,
 * so taking one burst a loop would let rows pile up. Ends, since every row's messages do. */
static bool poll_message_ring(struct lcore *lcore, struct rte_ring *ring)
{
	struct shard_message messages[LCORE_BURST];
	unsigned count = LCORE_BURST;
	bool active = false;

	while (count == LCORE_BURST && worker_has_room(lcore->worker, LCORE_BURST)) {
		count = rte_ring_sc_dequeue_burst_elem(ring, messages, sizeof(messages[0]),
						       LCORE_BURST, NULL);
		for (unsigned i = 0; i < count; i++)
			worker_message(lcore->worker, &messages[i]);
		active |= count > 0;
	}
	return active;
}

static bool poll_messages(struct lcore *lcore)
{
	bool active = false;

	for (uint32_t from = 0; from < lcore->shared->workers; from++)
		active |= poll_message_ring(lcore, lcore->shared->messages[from][lcore->index]);
	return active;
}

/* Messages first: they finish what is under way, and free rows for what comes. */
static bool poll(struct lcore *lcore)
{
	meter_enter(&lcore->meter, STAGE_RING);
	bool active = poll_messages(lcore);

	active |= poll_handover(lcore);
	active |= poll_port(lcore);
	active |= serve_waiting(lcore);
	worker_flush(lcore->worker);
	return active;
}

/* The loop. */

static void publish_idle(struct lcore *lcore, bool active)
{
	bool idle = !active && worker_is_idle(lcore->worker) && lcore->admitted == 0 &&
		    lcore->tx_head == lcore->tx_tail;

	atomic_store_explicit(&lcore->idle, idle, memory_order_relaxed);
}

static void obeyed(struct lcore *lcore, uint32_t word)
{
	/* pairs with the acquire in engine_is_obeyed() */
	atomic_store_explicit(&lcore->obeyed, word, memory_order_release);
}

/* Stands still for as long as this order holds. No map is in use meanwhile: the next turn takes the
 * one that is in force then. */
static void park(struct lcore *lcore, uint32_t word, struct idle *idle)
{
	worker_turn(lcore->worker);
	worker_flush(lcore->worker);
	meter_turn(&lcore->meter, true);
	obeyed(lcore, word);
	/* pairs with the release in lcore_give_order() */
	while (atomic_load_explicit(&lcore->shared->order, memory_order_acquire) == word) {
		rcu_quiescent_state();
		meter_turn(&lcore->meter, false);
		idle_rest(idle);
	}
}

int lcore_main(void *context)
{
	struct lcore *lcore = context;
	struct lcore_shared *shared = lcore->shared;
	struct idle idle;
	uint32_t word;

	idle_init(&idle, shared->idle);
	meter_start(&lcore->meter, rte_get_tsc_hz());
	rcu_register_thread();
	worker_set_map(lcore->worker, rcu_dereference(shared->map));
	if (lcore->resume)
		worker_resume(lcore->worker);
	/* pairs with the release in lcore_give_order() */
	while (lcore_order_of(word = atomic_load_explicit(&shared->order, memory_order_acquire)) !=
	       LCORE_STOP) {
		enum lcore_order order = lcore_order_of(word);
		worker_set_map(lcore->worker, rcu_dereference(shared->map));
		if (order == LCORE_PARK) {
			park(lcore, word, &idle);
			continue;
		}
		lcore->worker->draining = order == LCORE_DRAIN;
		meter_enter(&lcore->meter, STAGE_SEAL);
		bool active = worker_turn(lcore->worker);
		active |= poll(lcore);
		meter_enter(&lcore->meter, STAGE_TX);
		active |= tx_flush(lcore);
		rcu_quiescent_state();

		meter_turn(&lcore->meter, active);
		lcore->counts.loops++;
		if (order == LCORE_DRAIN) {
			publish_idle(lcore, active);
			obeyed(lcore, word);
		}
		if (active) {
			idle_end(&idle);
			continue;
		}
		lcore->counts.loops_idle++;
		idle_rest(&idle);
	}
	worker_stop(lcore->worker);
	rcu_unregister_thread();
	return 0;
}
