/* SPDX-License-Identifier: Apache-2.0
 *
 * libgiro: a client of the giro engine over plain UDP sockets.
 *
 * A session steers records to the engine's shards, packs them into datagrams, keeps many datagrams
 * in flight, repeats what is lost with the same ids, and reports one outcome for every record:
 *
 *   giro_submit_*()            +--- filling, one datagram a kind and shard
 *        |                     |        full, or giro_poll()/giro_flush()
 *        v                     v
 *   record 64 bytes ----> datagram ----> in flight ----> answered ----> completion queue
 *                              ^             |               |               |
 *                              |             | lost: same    | transient:    v
 *                              +-------------+ bytes again   | only those  giro_poll()
 *                              +-----------------------------+ records
 *
 * The window of datagrams in flight follows loss and BUSY, and is spread over a round trip; waiting
 * is asleep (client/congestion.h has the rule, docs/protocol.md that of every client).
 *
 * Exactly once: an id makes its record happen at most once however often it is sent, by this
 * session or by another one. So whatever comes of a submission (GIRO_TIMED_OUT, a crash of this
 * process), submitting the same record again with the same id is safe, and is the way to learn its
 * outcome, until the id is older than the engine's window (struct giro_info, window_ms).
 *
 * Threads: a session belongs to one thread at a time; sessions share nothing but the clock of
 * giro_id_new(). A session does not survive fork(): use it in one of the two processes only.
 * Memory: allocated by giro_open() alone, bounded by its options.
 * Blocking: only giro_open(), giro_poll() with a timeout, giro_ping() and the *_wait() functions.
 */
#ifndef GIRO_H
#define GIRO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GIRO_API __attribute__((visibility("default")))

#define GIRO_DEFAULT_PORT 7400

/* Outcomes. Zero and above: the engine's status of the record (docs/protocol.md says when a retry
 * helps). Below zero: this library's own errors, which say nothing about what the engine did. */
enum giro_outcome {
	GIRO_OK = 0,

	/* the engine refused the whole datagram: this library and the engine do not fit together */
	GIRO_BAD_VERSION = 1,
	GIRO_BAD_KIND = 2,
	GIRO_BAD_COUNT = 3,

	/* content of the record */
	GIRO_RESERVED_NOT_ZERO = 10,
	GIRO_BAD_ACTION = 11,
	GIRO_ACCOUNT_ZERO = 12,
	GIRO_SAME_ACCOUNT = 13,
	GIRO_AMOUNT_ZERO = 14,
	GIRO_LEDGER_ZERO = 15,
	GIRO_FLOOR_POSITIVE = 16,

	/* placement and exactly once; the library retries WRONG_SHARD, PENDING and BUSY itself */
	GIRO_WRONG_SHARD = 20,
	GIRO_PENDING = 21,
	GIRO_ID_EXPIRED = 22, /* if the record was sent before, its outcome is no longer known */
	GIRO_ID_AHEAD = 23,   /* the clock that made the id is ahead of the engine's */
	GIRO_ID_REUSED = 24,
	GIRO_TRANSFER_NOT_FOUND = 25,
	GIRO_BUSY = 26,

	/* the debit account, or the account of an operation */
	GIRO_DEBIT_NOT_FOUND = 30,
	GIRO_DEBIT_LEDGER_MISMATCH = 31,
	GIRO_DEBIT_CLOSED = 32,
	GIRO_DEBIT_FROZEN = 33,
	GIRO_INSUFFICIENT_FUNDS = 34,

	/* the credit account */
	GIRO_CREDIT_NOT_FOUND = 40,
	GIRO_CREDIT_LEDGER_MISMATCH = 41,
	GIRO_CREDIT_CLOSED = 42,
	GIRO_CREDIT_FROZEN = 43,
	GIRO_CREDIT_OVERFLOW = 44,
	GIRO_TRY_TIMEOUT = 45,

	/* account operations and lookups */
	GIRO_ACCOUNT_EXISTS = 50,
	GIRO_ACCOUNT_DIFFERS = 51,
	GIRO_ACCOUNT_NOT_FOUND = 52,
	GIRO_ACCOUNT_ALREADY_CLOSED = 53,
	GIRO_ACCOUNT_NOT_EMPTY = 54,

	/* of this library */
	GIRO_TIMED_OUT = -1,	/* no outcome in time: it may or may not happen; same id again */
	GIRO_FULL = -2,		/* as much under way as the options allow: giro_poll() first */
	GIRO_LOG_CHANGED = -3,	/* the engine now writes another log: open a new session */
	GIRO_NO_ANSWER = -4,	/* giro_open(): nothing answered at that address */
	GIRO_BAD_ADDRESS = -5,	/* giro_open(): not HOST or HOST:PORT, or not to be resolved */
	GIRO_BAD_OPTION = -6,	/* giro_open(): an option is out of its range */
	GIRO_BAD_INFO = -7,	/* the engine's INFO contradicts the protocol */
	GIRO_SYSTEM_ERROR = -8, /* a system call failed, errno says why */
};

/* "INSUFFICIENT_FUNDS", "TIMED_OUT": the name without its prefix. Static; any thread. */
GIRO_API const char *giro_outcome_name(int outcome);

/* One line for people, without a full stop. Static; any thread. */
GIRO_API const char *giro_outcome_text(int outcome);

/* Ids: a 128-bit number; a UUID is its big-endian text, so its first 8 bytes are `hi`. */

struct giro_id {
	uint64_t lo;
	uint64_t hi;
};

/* Longest text of an id, with its NUL: a decimal number of 39 digits. */
#define GIRO_ID_TEXT_BYTES 40

/* Reads an id: decimal digits, or a UUID (8-4-4-4-12 hexadecimal digits). Returns 0, or -1 and
 * leaves `id` alone when `text` is neither or does not fit 128 bits. Any thread. */
GIRO_API int giro_id_parse(const char *text, struct giro_id *id);

/* Writes an id as people want to see it: a decimal number below 2^64, a UUID from there on. Both
 * are read back by giro_id_parse(). Returns `text`. Any thread. */
GIRO_API char *giro_id_format(struct giro_id id, char text[GIRO_ID_TEXT_BYTES]);

/* Records */

struct giro_transfer {
	struct giro_id id;     /* of giro_id_new(), or time-ordered in the same layout */
	struct giro_id debit;  /* account that pays */
	struct giro_id credit; /* account that receives */
	uint64_t amount;       /* minor units, > 0 */
	uint32_t ledger;       /* currency of both accounts, > 0 */
	uint16_t code;	       /* yours: giro keeps it, never reads it */
	uint16_t flags;	       /* zero */
};

enum giro_action {
	GIRO_CREATE = 1,
	GIRO_FREEZE = 2,   /* refuse new debits and credits; those under way finish */
	GIRO_UNFREEZE = 3, /* undo a freeze */
	GIRO_CLOSE = 4,	   /* for ever; only when balance, held and incoming are zero */
};

/* Floor of an issuer, the kind of account through which money enters and leaves a ledger. */
#define GIRO_FLOOR_ISSUER INT64_MIN

struct giro_operation {
	struct giro_id id;	/* of giro_id_new() */
	struct giro_id account; /* non-zero */
	int64_t floor;		/* GIRO_CREATE: lowest balance - held, <= 0; else zero */
	uint32_t ledger;	/* GIRO_CREATE: > 0; else zero */
	uint16_t action;	/* enum giro_action */
	uint16_t flags;		/* zero */
};

#define GIRO_ACCOUNT_FROZEN 0x1u
#define GIRO_ACCOUNT_CLOSED 0x2u

struct giro_account {
	struct giro_id account;
	int64_t balance;   /* minor units */
	uint64_t held;	   /* debits under way */
	uint64_t incoming; /* credits under way */
	int64_t floor;	   /* lowest balance - held */
	uint32_t ledger;
	uint32_t flags; /* GIRO_ACCOUNT_FROZEN, GIRO_ACCOUNT_CLOSED */
	uint64_t epoch; /* durable epoch as of which the account was read */
};

/* Sessions */

struct giro; /* opaque */

/* Zero everywhere is a good default. `bytes` must be sizeof(struct giro_options): it lets a later
 * version of the library tell which fields its caller knows. */
struct giro_options {
	uint32_t bytes;
	uint32_t datagram_bytes;   /* largest UDP payload to send: 1248 .. 8972; 0: 1472, which
				      fits an MTU of 1500. The engine's and the path's limits
				      reduce it further */
	uint32_t datagram_records; /* most records to a datagram; 0: as many as fit */
	uint32_t in_flight;	   /* most datagrams unanswered at a time: 1 .. 16384; 0: 256 */
	uint32_t timeout_ms;	   /* after which a record is GIRO_TIMED_OUT; 0: 10 000 */
	uint32_t open_timeout_ms;  /* how long giro_open() waits for an answer; 0: 5000 */
	uint32_t linger_us;	   /* how long giro_poll() lets a datagram fill up; 0: not at all */
	uint32_t reserved;	   /* zero */
};

#define GIRO_SHARDS_MAX	   64
#define GIRO_MESSAGE_BYTES 256

/* What the engine said at the last INFO, and what the session makes of it. */
struct giro_info {
	uint64_t log_id;	   /* identity of the engine's log */
	uint64_t committed;	   /* highest durable epoch */
	uint64_t window_ms;	   /* ids older than this are refused, ID_EXPIRED */
	uint64_t ahead_ms;	   /* ids further ahead than this are refused, ID_AHEAD */
	uint64_t now_ms;	   /* the engine's clock, Unix milliseconds, when it answered */
	int64_t clock_offset_ms;   /* the engine's clock less this machine's */
	uint64_t accounts_max;	   /* accounts a shard can hold */
	uint32_t map_version;	   /* of the slot map */
	uint32_t shards;	   /* 1 .. GIRO_SHARDS_MAX */
	uint32_t datagram_bytes;   /* largest payload this session sends */
	uint32_t datagram_records; /* most records to a datagram of this session */
	uint16_t version_min;	   /* protocol versions the engine speaks */
	uint16_t version_max;
	uint16_t port[GIRO_SHARDS_MAX]; /* UDP port of each shard; zero above `shards` */
};

/* Counted since giro_open(). */
struct giro_statistics {
	uint64_t records;	    /* submitted */
	uint64_t completions;	    /* outcomes handed out, the *_wait() functions' included */
	uint64_t timeouts;	    /* records that ended GIRO_TIMED_OUT */
	uint64_t datagrams;	    /* sent, repeats included */
	uint64_t retransmits;	    /* of these, sent again because no answer came */
	uint64_t replies;	    /* received and used */
	uint64_t replies_stale;	    /* received for what was answered already */
	uint64_t replies_bad;	    /* received damaged or contradicting their request */
	uint64_t datagrams_busy;    /* refused whole with BUSY */
	uint64_t records_busy;	    /* answered BUSY one by one */
	uint64_t records_pending;   /* answered PENDING */
	uint64_t records_misplaced; /* answered WRONG_SHARD */
	uint64_t map_refreshes;	    /* slot maps read after the first one */
	uint64_t unreachable;	    /* ICMP said that no engine listens; taken as a loss */
	uint64_t send_errors;	    /* the kernel refused to send; taken as a loss */
};

/* Opens a session with the engine at `server`: "HOST" or "HOST:PORT", IPv4 or a name that resolves
 * to it, PORT the UDP port of the engine's shard 0. Reads INFO. `options` may be NULL.
 * Returns 0 and the session, which giro_close() ends, or a negative enum giro_outcome, with one
 * line that says what is wrong and what to do in `message` unless that is NULL. Blocks up to
 * open_timeout_ms, and for as long as the name takes to resolve. */
GIRO_API int giro_open(struct giro **session, const char *server,
		       const struct giro_options *options, char message[GIRO_MESSAGE_BYTES]);

/* Ends a session. Records without an outcome are forgotten: they may or may not happen. Takes
 * NULL. */
GIRO_API void giro_close(struct giro *session);

/* The engine as of the last INFO; good until the next call with this session. */
GIRO_API const struct giro_info *giro_info(const struct giro *session);

GIRO_API const struct giro_statistics *giro_statistics(const struct giro *session);

/* The shard that owns `account` by the session's slot map. */
GIRO_API uint32_t giro_shard(const struct giro *session, struct giro_id account);

/* A new id: a UUIDv7 of now. Unique, and larger than all that this process made before it. The
 * time is this machine's, or the engine's where the two are further apart than the engine's
 * ahead_ms (struct giro_info, clock_offset_ms, tells). */
GIRO_API struct giro_id giro_id_new(struct giro *session);

/* Asynchronous: submit, then poll. */

/* Most records that can be without a completion handed out; a submission beyond it is GIRO_FULL. */
GIRO_API size_t giro_capacity(const struct giro *session);

/* Records submitted whose completions giro_poll() has not handed out. */
GIRO_API size_t giro_outstanding(const struct giro *session);

/* Each copies its record and returns 0, or GIRO_FULL, or GIRO_LOG_CHANGED. Never blocks, sends
 * nothing itself. `context` comes back in the completion. Content is judged by the engine. */
GIRO_API int giro_submit_transfer(struct giro *session, const struct giro_transfer *transfer,
				  uint64_t context);
GIRO_API int giro_submit_operation(struct giro *session, const struct giro_operation *operation,
				   uint64_t context);

/* `account` is written when the outcome is GIRO_OK; it must live until the completion. */
GIRO_API int giro_submit_account_lookup(struct giro *session, struct giro_id id,
					struct giro_account *account, uint64_t context);

/* Asks for the outcome of the transfer `id` that `debit` was to pay. The completion's outcome is
 * the transfer's, or TRANSFER_NOT_FOUND when the window holds no such transfer. */
GIRO_API int giro_submit_transfer_lookup(struct giro *session, struct giro_id id,
					 struct giro_id debit, uint64_t context);

struct giro_completion {
	uint64_t context; /* of the submission */
	uint64_t epoch;	  /* log epoch that holds the outcome; zero when nothing is logged */
	int32_t outcome;  /* enum giro_outcome; never GIRO_FULL */
	uint32_t repeats; /* times the record was sent again */
};

/* Does what is due (receive, time out, send) and hands out up to `max` completions. Waits for the
 * first one up to `timeout_us` microseconds; 0: does not wait; negative: without limit, but returns
 * 0 at once when nothing is outstanding. Returns how many. */
GIRO_API size_t giro_poll(struct giro *session, struct giro_completion *completions, size_t max,
			  int64_t timeout_us);

/* Sends what waits in datagrams not yet full, as far as the window allows. Never blocks. */
GIRO_API void giro_flush(struct giro *session);

/* A descriptor for an event loop: readable when giro_poll() has something to do, be it an answer
 * or a timer. Level-triggered: poll until giro_poll() hands out fewer than `max`. Submissions leave
 * with the next giro_poll() or giro_flush(), so end a round of the loop with one of them. The
 * session owns it. */
GIRO_API int giro_fd(const struct giro *session);

/* Blocking: each submits one record and waits for its outcome, up to timeout_ms. Completions of
 * other records stay in the queue for giro_poll(); GIRO_FULL when they fill it. They return the
 * enum giro_outcome. */

GIRO_API int giro_transfer_wait(struct giro *session, const struct giro_transfer *transfer);
GIRO_API int giro_operation_wait(struct giro *session, const struct giro_operation *operation);
GIRO_API int giro_account_wait(struct giro *session, struct giro_id id,
			       struct giro_account *account);
GIRO_API int giro_transfer_outcome_wait(struct giro *session, struct giro_id id,
					struct giro_id debit);

/* The same, making the operation's id themselves. */
GIRO_API int giro_account_create(struct giro *session, struct giro_id account, uint32_t ledger,
				 int64_t floor);
GIRO_API int giro_account_freeze(struct giro *session, struct giro_id account);
GIRO_API int giro_account_unfreeze(struct giro *session, struct giro_id account);
GIRO_API int giro_account_close(struct giro *session, struct giro_id account);

/* One INFO there and back. Returns 0 with the round trip in microseconds and giro_info() fresh, or
 * GIRO_TIMED_OUT after `timeout_ms`, or GIRO_LOG_CHANGED. */
GIRO_API int giro_ping(struct giro *session, uint32_t timeout_ms, uint64_t *round_trip_us);

#ifdef __cplusplus
}
#endif

#endif
