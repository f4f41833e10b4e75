/* SPDX-License-Identifier: Apache-2.0
 *
 * What is behind the opaque handle. A record is always in exactly one place:
 *
 *        submit                         reply with final status, time-out
 *   -----------> flight: FILLING -> READY -> SENT ----------------------------> completion ring
 *                   ^                 ^       |  \                                   ^
 *                   |                 +-------+   \ reply with transient statuses    |
 *                   |                   lost       v                                 |
 *                 retry ring <------------------ PAUSED -----------------------------+
 *                         after a while                  late reply, time-out
 *
 * A flight is one datagram. It keeps its bytes and its request id from READY on, so a repeat is
 * the same datagram and whichever copy's reply comes first decides. Only PAUSED breaks it up: when
 * its time is over, the records still undecided go into new datagrams, steered by the map of then.
 *
 * One thread at a time; nothing is allocated after client_session_new().
 */
#ifndef GIRO_CLIENT_SESSION_H
#define GIRO_CLIENT_SESSION_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "client/congestion.h"
#include "client/giro.h"
#include "client/map.h"
#include "client/uuid7.h"
#include "net/wire.h"

#define DATAGRAM_DEFAULT   WIRE_DATAGRAM_1500
#define DATAGRAM_MIN	   (sizeof(struct wire_header) + sizeof(struct wire_info_request))
#define IN_FLIGHT_DEFAULT  256
#define IN_FLIGHT_MAX	   16384
#define TIMEOUT_DEFAULT_MS 10000
#define OPEN_DEFAULT_MS	   5000

/* Datagrams handed to the kernel, or taken from it, with one system call. */
#define BURST 64
/* Bursts read from one socket before the others have their turn. */
#define BURSTS_IN_A_ROW 8

/* INFO is read again after so many repeats without an answer: the engine may have been restarted,
 * with another map or on another log. */
#define REPEATS_BEFORE_INFO 3

/* Map readings that a differing map version alone may start are this far apart. */
#define MAP_PAUSE_NS 100000000ull
/* How soon an unanswered INFO is repeated at first. */
#define INFO_RTO_NS 100000000ull

/* The kernel's socket buffers, when it grants them. */
#define SOCKET_BUFFER_BYTES (4 << 20)
/* After the kernel had no room for a datagram. */
#define SEND_PAUSE_NS 1000000ull

#define KINDS (WIRE_LOOKUP_TRANSFER + 1)

/* The low 16 bits of a request id: index of a flight, or INFO_INDEX + page. */
#define INFO_INDEX 0xfff0u
_Static_assert(2 * IN_FLIGHT_MAX + 2 * SHARDS_MAX < INFO_INDEX, "flights fit a request id");

/* What a blocking call waits for. */
struct client_waiter {
	bool done;
	int outcome;
};

/* A record's way back to its submitter. */
struct client_ticket {
	uint64_t context;	      /* the caller's, or a struct client_waiter * */
	struct giro_account *account; /* where an account lookup goes */
	uint64_t deadline_ns;
	uint32_t repeats; /* in flights before this one */
	bool waited;	  /* by a blocking call: no completion is queued */
};

enum client_flight_state {
	FLIGHT_FREE,
	FLIGHT_FILLING, /* takes records; in filling[kind][shard] */
	FLIGHT_READY,	/* in its peer's queue */
	FLIGHT_SENT,	/* counted in in_flight; repeated at due_ns */
	FLIGHT_PAUSED,	/* answered BUSY, or not in full; asks again at due_ns */
};

#define FLIGHT_WORDS ((WIRE_RECORDS_MAX + 63) / 64)

struct client_flight {
	TAILQ_ENTRY(client_flight) link; /* free list or its peer's queue */
	uint8_t *payload;
	struct client_ticket *tickets;	  /* one a record */
	uint64_t undecided[FLIGHT_WORDS]; /* bit per record without an outcome */
	uint64_t request_id;
	uint64_t opened_ns;	/* first record came */
	uint64_t first_sent_ns; /* zero before */
	uint64_t due_ns;
	uint64_t deadline_ns; /* earliest of its undecided records, or earlier */
	uint32_t repeats;     /* times sent again */
	uint32_t silent;      /* of these, since the last answer */
	uint32_t doublings;   /* of the wait for its answer */
	uint16_t index;
	uint16_t count; /* records */
	uint16_t left;	/* undecided ones */
	uint8_t kind;
	uint8_t shard;
	uint8_t state;
	bool whole;	/* PAUSED: send the same datagram again, not only what is undecided */
	bool misplaced; /* PAUSED: a record was on the wrong shard, so wait for the map too */
};
TAILQ_HEAD(client_flight_queue, client_flight);

/* One shard's port. */
struct client_peer {
	int fd; /* connected UDP socket, -1 when there is none */
	uint16_t port;
	uint32_t in_flight;
	uint32_t queued;
	struct client_congestion congestion;
	struct client_flight_queue queue; /* FLIGHT_READY */
};

/* A record on its way from one datagram to another. */
struct client_retry {
	uint8_t record[WIRE_RECORD_BYTES];
	struct client_ticket ticket;
	uint8_t kind;
};

struct giro {
	struct giro_options options; /* defaults filled in */
	struct sockaddr_in server;
	int epoll_fd;
	int timer_fd;
	int home_fd;	 /* connected to `server`, for INFO */
	int send_errno;	 /* last error of a send, zero when none */
	bool one_by_one; /* the kernel cuts up no messages for us */
	bool log_changed;

	struct client_random random;
	client_uuid7_last uuid7_own;
	client_uuid7_last *uuid7_last;
	uint64_t sequence; /* of the next request id */

	struct client_map map;
	struct client_map_reading reading;
	uint64_t reading_id[MAP_PAGES];
	uint64_t reading_sent_ns;
	uint64_t reading_due_ns;
	uint64_t reading_ended_ns;
	uint64_t reading_trip_ns; /* round trip of the INFO answered last */
	unsigned reading_repeats;
	int info_refused; /* status of an INFO refused whole, zero when none */

	struct giro_info info;
	struct giro_statistics statistics;

	struct client_peer peer[SHARDS_MAX];
	uint32_t in_flight;
	uint64_t next_due_ns; /* no timer is due before */
	uint64_t wake_ns;     /* when the sender has something to do again; made anew each round */
	uint64_t armed_ns;    /* timer_fd's expiry, zero when disarmed */

	struct client_flight *flights;
	uint32_t flight_count;
	struct client_flight_queue free;
	uint32_t free_count;
	struct client_flight *filling[KINDS][SHARDS_MAX];
	uint32_t filling_count;
	uint8_t *payloads;
	struct client_ticket *tickets;
	uint32_t flight_bytes;	 /* room in each payload */
	uint32_t flight_records; /* tickets of each flight */

	size_t capacity;    /* records outstanding at most; size of the two rings */
	size_t outstanding; /* accepted and not handed out */
	struct client_retry *retries;
	size_t retry_first;
	size_t retry_count;
	struct giro_completion *completions;
	size_t completion_first;
	size_t completion_count;

	uint8_t *receive_buffer; /* BURST datagrams */
	struct iovec receive_iov[BURST];
	struct mmsghdr receive_message[BURST];
};

uint64_t client_now_ns(void);
/* The same clock and the wall clock as of the kernel's last tick, up to 10 ms ago: for what is asked for
 * each record. */
uint64_t client_tick_ns(void);
uint64_t client_wall_ms(void);

/* giro.c: takes what an INFO said; connects what it moved. */
void client_apply_info(struct giro *giro, uint64_t now_ns);

/* submit.c */

/* Puts a record into the datagram being filled for its kind and shard. False when there is none and
 * no flight is free. */
bool client_fill(struct giro *giro, unsigned kind, const void *record,
		 const struct client_ticket *ticket);
/* FILLING -> READY */
void client_flight_close(struct giro *giro, struct client_flight *flight);
/* Accepts a record: 0, GIRO_FULL or GIRO_LOG_CHANGED. */
int client_submit(struct giro *giro, unsigned kind, const void *record,
		  struct client_ticket *ticket);

/* flight.c */

int client_flights_new(struct giro *giro);
void client_flights_delete(struct giro *giro);
/* A flight in FILLING without records, or NULL. */
struct client_flight *client_flight_take(struct giro *giro, unsigned kind, unsigned shard);
/* From any state to FREE; its records must be decided or moved. */
void client_flight_release(struct giro *giro, struct client_flight *flight);
/* To READY, at the head of its peer's queue when `first`. */
void client_flight_queue(struct giro *giro, struct client_flight *flight, bool first);
/* Takes it out of its peer's queue, or out of what is in flight. */
void client_flight_unlink(struct giro *giro, struct client_flight *flight);

/* complete.c */

void client_complete(struct giro *giro, const struct client_ticket *ticket, uint32_t repeats,
		     int outcome, uint64_t epoch);
/* Decides record `i` of a flight. */
void client_flight_decide(struct giro *giro, struct client_flight *flight, unsigned i, int outcome,
			  uint64_t epoch);
/* Decides all undecided records of a flight whose deadline is at or before `now_ns`, and frees it
 * if none is left. */
void client_flight_expire(struct giro *giro, struct client_flight *flight, int outcome,
			  uint64_t now_ns);
/* The same for the retry ring. */
void client_retries_expire(struct giro *giro, int outcome, uint64_t now_ns);
/* Moves a flight's undecided records to the retry ring and frees it. */
void client_flight_break_up(struct giro *giro, struct client_flight *flight);

/* answer.c: takes one datagram that arrived. */
void client_answer(struct giro *giro, const uint8_t *payload, size_t size, uint64_t now_ns);

/* reading.c: the INFO requests of a map reading. */
void client_reading_begin(struct giro *giro, uint8_t pages, uint64_t now_ns);
void client_reading_step(struct giro *giro, uint64_t now_ns);
void client_reading_answer(struct giro *giro, const uint8_t *payload, size_t size, uint64_t now_ns);

/* socket.c */

/* A UDP socket connected to `address` and watched by the session's epoll, or -1 with errno. */
int client_socket_open(struct giro *giro, const struct sockaddr_in *address);
void client_socket_close(struct giro *giro, int fd);
/* Reads what has arrived on all sockets. */
void client_receive(struct giro *giro);

/* send.c */

/* Sends the READY flights of all peers that their windows allow. */
void client_send(struct giro *giro, uint64_t now_ns);

/* poll.c */

/* Makes giro_poll() look at its timers by `due_ns`. */
static inline void client_due(struct giro *giro, uint64_t due_ns)
{
	if (due_ns < giro->next_due_ns)
		giro->next_due_ns = due_ns;
}

/* Makes giro_poll() come back by `wake_ns`, though no timer be due. */
static inline void client_wake(struct giro *giro, uint64_t wake_ns)
{
	if (wake_ns < giro->wake_ns)
		giro->wake_ns = wake_ns;
}

/* One round of all that is due, without waiting. Datagrams may fill up for `linger_ns`. */
void client_advance(struct giro *giro, uint64_t linger_ns);
/* Waits for a datagram or a timer, up to `until_ns` on the clock of client_now_ns(). */
void client_wait(struct giro *giro, uint64_t until_ns);
/* Makes giro_fd() readable when the next timer is due, or at once when completions are queued. For
 * the end of a call: to wait after it would be to spin. */
void client_arm(struct giro *giro);
/* Ends all that is under way with GIRO_LOG_CHANGED. */
void client_log_changed(struct giro *giro);
/* How many datagrams may be unanswered at `peer` at the moment. */
uint32_t client_window(const struct client_peer *peer);

#endif
