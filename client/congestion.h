/* SPDX-License-Identifier: Apache-2.0
 *
 * How many datagrams may be unanswered at one shard, how fast they may leave, and how long to wait
 * for an answer.
 *
 * The window works as TCP's does (RFC 5681, RFC 6298), in datagrams: it doubles each round trip
 * until the first loss, then grows by one datagram a round trip; a loss halves it, a BUSY takes a
 * quarter off it, each at most once a round trip. It grows only while it is what limits the sender.
 *
 * The engine answers in volleys, one for each block of its log, so a window that only follows the
 * answers would be sent in volleys too, each as large as the window: more than the queues on the
 * way may hold. Pacing spreads it. Datagrams are paid for with tokens, which come at a quarter more
 * than a window a round trip (twice a window while it doubles), and PACE_BURST of which are kept at
 * most.
 *
 * An answer waits for the engine's disk, so round trips vary by more than the network would let
 * them; the wait is never shorter than RTO_MIN_NS. An answer to a repeated datagram cannot be told
 * from the answer to its first copy, so it is not timed: under loss the estimate would grow by the
 * waits themselves. Instead, as Karn and Partridge have it, the doubled wait of a datagram that had
 * no answer is that of the next ones too, until one is answered that was sent once.
 */
#ifndef GIRO_CLIENT_CONGESTION_H
#define GIRO_CLIENT_CONGESTION_H

#include <stdbool.h>
#include <stdint.h>

#define WINDOW_FIRST 32.0 /* datagrams, before anything is known */
#define WINDOW_MIN   2.0

#define PACE_BURST 32.0 /* datagrams that may leave at once */
#define PACE_FEW   8u	/* not fewer of a longer queue: each time costs a system call */

#define RTO_FIRST_NS   250000000ull
#define RTO_MIN_NS     50000000ull
#define RTO_MAX_NS     1000000000ull
#define BACKOFF_MAX_NS 2000000000ull

struct client_congestion {
	double window;	  /* datagrams */
	double threshold; /* below it the window doubles each round trip */
	double window_max;
	uint64_t srtt_ns; /* smoothed round trip; zero before the first answer */
	uint64_t rttvar_ns;
	uint64_t rto_ns;
	unsigned doublings; /* of the wait, since a datagram sent once was answered */
	uint64_t cut_ns;    /* when the window was last reduced */
	double tokens;	    /* datagrams that may leave, as of paced_ns */
	uint64_t paced_ns;  /* zero before the first */
};

/* `window_max` >= 1, datagrams. */
void client_congestion_init(struct client_congestion *congestion, uint32_t window_max);

/* An answer came `elapsed_ns` after the datagram was first sent, which it was once unless
 * `repeated`. `limited`: the window was what kept the sender from sending more. */
void client_congestion_answered(struct client_congestion *congestion, uint64_t elapsed_ns,
				bool repeated, bool limited);

/* No answer came in time to a datagram whose wait was doubled so often. */
void client_congestion_lost(struct client_congestion *congestion, unsigned doublings,
			    uint64_t now_ns);

/* The engine answered BUSY. */
void client_congestion_busy(struct client_congestion *congestion, uint64_t now_ns);

/* How many of `wanted` datagrams may leave now: all, or else PACE_FEW or more, or none. */
uint32_t client_congestion_may_send(struct client_congestion *congestion, uint32_t wanted,
				    uint64_t now_ns);

/* `count` of them have left. */
void client_congestion_sent(struct client_congestion *congestion, uint32_t count);

/* How long after the last client_congestion_may_send() some of `wanted` >= 1 datagrams may leave. */
uint64_t client_congestion_pause_ns(const struct client_congestion *congestion, uint32_t wanted);

/* How often to double the wait for an answer to a datagram that was repeated `repeats` times. */
unsigned client_congestion_doublings(const struct client_congestion *congestion, unsigned repeats);

/* A wait that is doubled so often, up to BACKOFF_MAX_NS, and varied by a quarter with `random`. */
uint64_t client_congestion_wait_ns(const struct client_congestion *congestion, unsigned doublings,
				   uint64_t random);

/* How long to wait before asking again for what is PENDING or misplaced: a round trip at first,
 * then doubling, up to ASK_MAX_NS, varied likewise. */
#define ASK_MIN_NS 1000000ull
#define ASK_MAX_NS 500000000ull
uint64_t client_congestion_ask_ns(const struct client_congestion *congestion, unsigned repeats,
				  uint64_t random);

#endif
