/* SPDX-License-Identifier: Apache-2.0
 *
 * How many datagrams may be unanswered at one shard, and how long to wait for an answer.
 *
 * The window works as TCP's does (RFC 5681, RFC 6298), in datagrams: it doubles each round trip
 * until the first loss, then grows by one datagram a round trip; a loss halves it, a BUSY takes a
 * quarter off it, each at most once a round trip. It grows only while it is what limits the sender.
 *
 * An answer waits for the engine's disk, so round trips vary by more than the network would let
 * them; the wait is never shorter than RTO_MIN_NS. An answer to a repeated datagram cannot be told
 * from the answer to its first copy: it is timed from the first, and used only when it is longer
 * than the estimate, so that a wait that is too short grows long enough.
 */
#ifndef GIRO_CLIENT_CONGESTION_H
#define GIRO_CLIENT_CONGESTION_H

#include <stdbool.h>
#include <stdint.h>

#define WINDOW_FIRST 32.0 /* datagrams, before anything is known */
#define WINDOW_MIN   2.0

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
	uint64_t cut_ns; /* when the window was last reduced */
};

/* `window_max` >= 1, datagrams. */
void client_congestion_init(struct client_congestion *congestion, uint32_t window_max);

/* An answer came `elapsed_ns` after the datagram was first sent. `limited`: the window was what
 * kept the sender from sending more. */
void client_congestion_answered(struct client_congestion *congestion, uint64_t elapsed_ns,
				bool repeated, bool limited);

/* No answer came in time. */
void client_congestion_lost(struct client_congestion *congestion, uint64_t now_ns);

/* The engine answered BUSY. */
void client_congestion_busy(struct client_congestion *congestion, uint64_t now_ns);

/* How long to wait for an answer to a datagram that was repeated `repeats` times: doubles with
 * each, up to BACKOFF_MAX_NS, and varies by a quarter with `random`. */
uint64_t client_congestion_wait_ns(const struct client_congestion *congestion, unsigned repeats,
				   uint64_t random);

/* How long to wait before asking again for what is PENDING or misplaced: a round trip at first,
 * then doubling, up to ASK_MAX_NS, varied likewise. */
#define ASK_MIN_NS 1000000ull
#define ASK_MAX_NS 500000000ull
uint64_t client_congestion_ask_ns(const struct client_congestion *congestion, unsigned repeats,
				  uint64_t random);

#endif
