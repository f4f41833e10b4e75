/* SPDX-License-Identifier: Apache-2.0
 *
 * How much one client may ask: records a second from one source address, as a worker sees them. What
 * is over the limit is answered BUSY, with the time after which it will be taken.
 *
 *   due: when all that the client sent would have been sent at exactly its rate
 *
 *        now        due                        now + burst
 *   ------+----------+------------------------------+-----> admitted while due is left of it;
 *                    |  each record moves due by 1 / rate           else BUSY until it is
 *
 * One number a client, so a client that has not sent for a while is the same as one never seen. The
 * table is small and fixed: a client that finds its set full takes the place of the one with the
 * earliest due, which forgets that one's debt, if it had any.
 *
 * Debts are time at the old rate, so new limits begin with none. Workers share nothing: a client that sends to several of them may send at its rate to each. The
 * limits are published with RCU and replaced while workers run; a table is its worker's own. No
 * clock, no DPDK.
 */
#ifndef GIRO_ENGINE_CLIENT_RATE_H
#define GIRO_ENGINE_CLIENT_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define CLIENT_RATE_MAX	    1000000000u /* records a second */
#define CLIENT_BURST_MS_MAX 60000u

#define CLIENT_TABLE_SETS 1024u
#define CLIENT_TABLE_WAYS 4u

/* Never changes once it is published. */
struct client_limits {
	uint32_t records_per_second; /* from one address to one worker; 0: no limit */
	uint32_t burst_ms;	     /* this much of a second's records may come at once */
	uint32_t version;	     /* counts the limits published */
};

struct client_set {
	uint32_t address[CLIENT_TABLE_WAYS]; /* 0: free */
	uint64_t due_ns[CLIENT_TABLE_WAYS];
};

/* Zeroed memory is an empty table. Writer: its worker. Counters may be read by others. */
struct client_table {
	uint64_t refused;   /* datagrams answered BUSY */
	uint64_t forgotten; /* clients in debt whose place was needed */
	uint32_t version;   /* of the limits that the debts below were made under */
	struct client_set sets[CLIENT_TABLE_SETS];
};

/* May `records` (> 0) from `address` (IPv4, not 0, any byte order) be taken at `now_ns` of a clock
 * that never steps? If not, counts it and stores how long the client is to wait, at least 1 ms. A
 * datagram that begins within the limit is taken whole, so every client gets on. */
bool client_table_admit(struct client_table *table, const struct client_limits *limits,
			uint32_t address, uint32_t records, uint64_t now_ns,
			uint16_t *retry_after_ms);

#endif
