/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker lcore: run to completion. It polls its queue and its rings, lets its worker apply what
 * came, and sends what the worker hands out.
 *
 *   port queue --rx--> parse --> route --+--> own worker --> sink --> rings of peers / tx
 *                                        |
 *                                        +--> hand-over ring of the worker that owns the shard
 *   rings from every worker (also its own): messages by value, 64 bytes
 *   hand-over rings from every worker: mbufs, requests to serve or replies to send
 *
 * The port is emptied faster than requests are served: what came waits here and not in the device,
 * which would lose the rest without a word. A request is admitted only while what its source has in
 * hand, plus what its host has, is less than twice the room that is left, in datagrams and in records
 * that wait (dynamic threshold: A. Choudhury, E. Hahne, IEEE/ACM ToN 1998), else it is answered BUSY at
 * once. So a client that sends without end holds half of the room, all of a host's clients together two
 * thirds, however many ports they send from, and there is some left for everyone else: for other hosts,
 * and for a modest client beside a greedy one. To refuse costs time too: a turn that has refused some
 * takes no more, and what is lost in the device then is counted there.
 *
 * All rings have one producer and one consumer lcore. None can be full by construction: message
 * rings hold every message that the rows of the shard pairs can have under way, hand-over rings
 * hold every mbuf there is.
 *
 * A request goes by the map that its lcore has when it looks at it. One that waited here, or in a
 * hand-over ring, while its shard got another worker (engine/shard_move.h) is handed on to that.
 *
 * No lock, no system call (but what a driver does in rx and tx, and the idle policy), no
 * allocation.
 */
#ifndef GIRO_ENGINE_LCORE_H
#define GIRO_ENGINE_LCORE_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_ring.h>

#include "engine/client_rate.h"
#include "engine/config.h"
#include "engine/meter.h"
#include "engine/slot_map.h"
#include "engine/worker.h"
#include "net/port.h"

/* Frames, mbufs and messages taken at once. */
#define LCORE_BURST 32
_Static_assert(LCORE_BURST <= METER_BURST_MAX, "every burst has its counter");

/* Bursts that are taken from the port, or from another lcore, in one loop; datagrams served in it. */
#define LCORE_PORT_BURSTS 8
#define LCORE_SERVED	  (2 * LCORE_BURST)

/* Refused in one turn, from one ring or queue, before it takes no more of it. */
#define LCORE_REFUSED 32

/* Records that may wait to be served: some milliseconds of work, whatever the datagrams' size. */
#define LCORE_RECORDS_WAITING 32768u

/* Sources that are told apart by a hash of address and port, and hosts by one of the address. */
#define LCORE_SOURCES 1024

/* What the main thread tells the lcores. */
enum lcore_order {
	LCORE_RUN,
	LCORE_DRAIN, /* no new work; finish what is under way */
	LCORE_STOP,  /* seal and return */
	LCORE_PARK,  /* enter the newest epoch and stand still: others have the worker */
};

struct lcore_shared {
	struct slot_map *map; /* RCU: rcu_dereference() by workers, replaced by the main thread */
	struct client_limits *limits; /* RCU: likewise, by the control thread */
	struct net_port *port;
	enum idle_policy idle;
	uint32_t workers;
	uint16_t records_max;				     /* in one datagram of this MTU */
	struct rte_ring *messages[WORKERS_MAX][WORKERS_MAX]; /* [from][to], by value */
	struct rte_ring *handover[WORKERS_MAX][WORKERS_MAX]; /* [from][to], mbufs */

	/* The order, and above it the number of orders given so far, so that no two are the same.
	 * Writer: the main thread, release: with LCORE_STOP and LCORE_PARK, the last epoch is open.
	 * Readers: lcores; an order may be seen a turn late. */
	alignas(CACHE_LINE) _Atomic uint32_t order;
};

#define LCORE_ORDER_BITS 2

static inline enum lcore_order lcore_order_of(uint32_t word)
{
	return (enum lcore_order)(word & ((1u << LCORE_ORDER_BITS) - 1));
}

/* Main thread. Returns the word that stands in `order` now. */
static inline uint32_t lcore_give_order(struct lcore_shared *shared, enum lcore_order order)
{
	uint32_t word = atomic_load_explicit(&shared->order, memory_order_relaxed);

	word = ((word >> LCORE_ORDER_BITS) + 1) << LCORE_ORDER_BITS | order;
	/* pairs with the acquire in lcore_main(): the newest epoch is seen with it, and what was
	 * done to a worker that stood still */
	atomic_store_explicit(&shared->order, word, memory_order_release);
	return word;
}

struct lcore_counts {
	uint64_t loops;
	uint64_t loops_idle;
	uint64_t handed_over; /* requests for another worker */
	uint64_t handed_on;   /* of these, admitted before their shard moved there */
	uint64_t tx_handed;   /* replies for another worker's queue */
	uint64_t no_room;     /* loops that served nothing: the epoch's section was full */
};

struct lcore {
	struct lcore_shared *shared;
	struct worker *worker;
	struct client_table *clients;
	uint32_t index; /* of the worker */
	unsigned id;	/* EAL's lcore */
	bool has_queue; /* polls and feeds port queue `index` */
	bool resume;	/* rows were recovered unfinished: send their messages first */

	/* Frames to send: a ring of its own, as large as all mbufs. */
	struct rte_mbuf **tx;
	uint32_t tx_mask;
	uint32_t tx_head;
	uint32_t tx_tail;

	/* Requests admitted and not served yet: a ring as large, of the same mask. */
	struct rte_mbuf **waiting;
	uint32_t waiting_head;
	uint32_t waiting_tail;
	uint32_t requests; /* in hand at once, at most */
	uint32_t admitted; /* in hand: waiting, or with the worker */
	uint32_t refused;  /* ever, wraps */
	uint32_t waiting_records;
	uint32_t records_of[LCORE_SOURCES]; /* of these, by source */
	uint32_t records_of_host[LCORE_SOURCES];
	uint32_t in_hand[LCORE_SOURCES]; /* of those admitted, by source */
	uint32_t in_hand_of_host[LCORE_SOURCES];
	struct lcore_counts counts;
	struct meter meter;

	/* Draining and nothing in hand. Writer: the lcore. Reader: the main thread. */
	alignas(CACHE_LINE) _Atomic bool idle;
	/* The word of the last LCORE_DRAIN that a whole turn was done by, or of the LCORE_PARK that it
	 * stands still for. Writer: the lcore, release after all that its worker did. Reader: the main
	 * thread. */
	_Atomic uint32_t obeyed;
};

/* The sink of an lcore's worker; context is the lcore. */
void lcore_sink_messages(void *context, const struct shard_message *messages, uint32_t count);
void lcore_sink_replies(void *context, const struct worker_reply *replies, uint32_t count);

/* The loop; to be launched by rte_eal_remote_launch() with a struct lcore. Returns 0 after
 * LCORE_STOP, everything sealed. */
int lcore_main(void *lcore);

#endif
