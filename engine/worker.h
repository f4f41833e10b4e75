/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker: the shards of one lcore, the datagrams it has in hand and the epoch it is in. All that
 * happens between a checked datagram and its finished reply, without the port, the rings or DPDK,
 * so that the simulator runs the same code.
 *
 *   datagram --> worker_accept() --+                         +--> sink.messages (to peers)
 *                                  +-> batch -> shard_apply -+--> section of the open epoch
 *   message  --> worker_message() -+                         +--> results, into the request's bytes
 *                                                                    |
 *                       held until their epoch is committed  <-------+
 *                                  |
 *   worker_turn()  ----------------+--> sink.replies (payload in the request's own packet)
 *
 * A reply is held by the epoch of its latest result; one list an epoch slot, so that a commit
 * releases whole lists.
 *
 * All of a worker is used by its own thread only, but for the moment when it stands still and is
 * given other shards (workers_move_shards()); nothing blocks or allocates.
 */
#ifndef GIRO_ENGINE_WORKER_H
#define GIRO_ENGINE_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/epoch.h"
#include "engine/intake.h"
#include "engine/meter.h"
#include "engine/slot_map.h"
#include "net/wire.h"
#include "shard/shard.h"

/* Datagrams in hand at once, at most; the index must fit a token. */
#define WORKER_REQUESTS_MAX 65536

/* What a client is told to wait after BUSY. */
#define WORKER_RETRY_AFTER_MS 2

/* Replies given to the sink in one call, at most. */
#define WORKER_REPLIES_BURST 32

/* A datagram in hand. */
struct worker_request {
	void *packet;	  /* the caller's; goes back with the reply */
	uint8_t *payload; /* inside it; results overwrite the records */
	uint64_t epoch;	  /* latest epoch of the results so far */
	uint32_t next;	  /* in the free list or in a held list */
	uint16_t count;
	uint16_t waiting; /* results still to come */
};

struct worker_reply {
	void *packet;
	size_t payload_size;
};

/* Where a worker's output goes. `messages` must take all (rings are sized for it); they may be for
 * shards of this worker too. Called inside the worker's functions. */
struct worker_sink {
	void *context;
	void (*messages)(void *context, const struct shard_message *messages, uint32_t count);
	void (*replies)(void *context, const struct worker_reply *replies, uint32_t count);
};

struct worker_config {
	uint32_t index;
	uint32_t requests;   /* 1..WORKER_REQUESTS_MAX */
	uint32_t shards_max; /* that it may ever have; 0: as many as it begins with */
	struct epoch_clock *clock;
	struct worker_sink sink;
	uint64_t log_id;       /* for INFO */
	uint16_t datagram_max; /* for INFO: largest UDP payload of the port */
	struct meter *meter;   /* the caller's, told when shards are at work; NULL: none */
};

/* Counters of what a worker refuses or drops; written by the worker, read by telemetry. */
struct worker_counts {
	uint64_t datagrams;	 /* taken in hand */
	uint64_t replies;	 /* given to the sink */
	uint64_t faults[5];	 /* dropped, by -enum wire_fault */
	uint64_t infos;		 /* INFO answered */
	uint64_t refused;	 /* answered BAD_* as a whole */
	uint64_t busy_requests;	 /* answered BUSY as a whole: `requests` in hand */
	uint64_t over_rate;	 /* new work in them was BUSY: more ids a second than configured */
	uint64_t epochs_entered; /* sealed the one before */
	uint64_t caught_up;	 /* entered an epoch because a message came from it */
	uint64_t held;		 /* replies that had to wait for a commit */
	uint64_t released;	 /* of these, replies whose commit came */
};

/* Inputs on their way to one shard. */
struct worker_batch {
	struct shard *shard;
	struct intake intake;
	uint32_t count;
	struct shard_input inputs[SHARD_BURST_MAX];
};

struct worker_list {
	uint32_t head; /* WORKER_NONE: empty */
	uint32_t tail;
};

#define WORKER_NONE UINT32_MAX

struct worker {
	struct worker_config config;
	const struct slot_map *map; /* set by the caller at every turn, see worker_set_map() */
	bool draining;		    /* no new work; set by the caller */

	uint64_t epoch;	      /* open for this worker */
	uint64_t committed;   /* as last seen */
	uint64_t wrote;	      /* as last published */
	uint64_t timeouts_ms; /* when time-outs were last looked for */

	uint32_t shard_count;
	struct worker_batch *batches;		   /* [shard_count] */
	struct worker_batch *batch_of[SHARDS_MAX]; /* by shard; NULL: another worker's */

	struct worker_request *requests;
	uint32_t requests_free; /* head of the free list */
	uint32_t requests_used;
	struct worker_list held[EPOCH_SLOTS_MAX]; /* by epoch % slots */

	struct worker_reply replies[WORKER_REPLIES_BURST];
	uint32_t reply_count;
	struct worker_counts counts;
};

/* Messages that can be under way at once from a worker with `from_shards` shards to one with
 * `to_shards`: the size of the ring between them, which then can never be full. Both sides' rows
 * send over the same ring. A row has one message under way; but where tries time out, the CANCEL
 * may follow a TRY that has not been taken yet, and the ACK its VOTE. */
static inline uint32_t worker_messages_max(uint32_t from_shards, uint32_t to_shards,
					   const struct shard_limits *limits)
{
	uint32_t messages_of_row = limits->try_timeout_ms != 0 ? 2 : 1;

	return from_shards * to_shards * 2 * limits->rows * messages_of_row;
}

/* Bytes of memory for a worker with at most these many shards and requests. */
size_t worker_bytes(uint32_t shards_max, uint32_t requests);

/* A worker that owns `shards`, one or more, all of which stand at the clock's committed epoch; it
 * enters the open one. `memory`: worker_bytes() zeroed bytes, aligned to a cache line; borrowed. */
struct worker *worker_new(void *memory, const struct worker_config *config,
			  struct shard *const *shards, uint32_t shard_count);

/* The map for all that follows, until the next call. */
static inline void worker_set_map(struct worker *worker, const struct slot_map *map)
{
	worker->map = map;
}

/* Sends the last message of every unfinished row again, as after a recovery. Once, before the first
 * datagram. */
void worker_resume(struct worker *worker);

/* What to do with a payload, before anyone takes it in hand. */
enum worker_route {
	WORKER_ROUTE_DROP,  /* counted; not to be answered */
	WORKER_ROUTE_REPLY, /* answered in place: `payload_size` bytes */
	WORKER_ROUTE_SHARD, /* for the worker that owns `shard`: worker_accept() there */
};

/* Checks a payload of `size` bytes and finds its shard: that of its first record. Answers INFO and
 * malformed datagrams in place. */
enum worker_route worker_route(struct worker *worker, uint8_t *payload, size_t size,
			       uint32_t *shard, size_t *payload_size);

/* Is there room in the open epoch for `records` more records of any kind to each shard? If not, the
 * worker takes nothing until it enters a new epoch: no datagrams and no messages. */
bool worker_has_room(const struct worker *worker, uint32_t records);

/* Has every link of the worker's shards half of its phase rows free? If not, a caller that can wait does
 * so before it hands over more transfers: with the rows used up they would be answered BUSY. */
bool worker_has_rows(const struct worker *worker);

/* Takes in hand a routed datagram for `shard`, one of the worker's own. Its reply comes out of the
 * sink, now or later; results go into `payload`. */
void worker_accept(struct worker *worker, uint32_t shard, void *packet, uint8_t *payload);

/* Answers a routed datagram BUSY, in place: nobody has room for it. Returns the payload's bytes. */
size_t worker_refuse(struct worker *worker, uint8_t *payload);

/* Takes a message to one of the worker's shards. */
void worker_message(struct worker *worker, const struct shard_message *message);

/* Applies what is batched. After a burst. */
void worker_flush(struct worker *worker);

/* Enters a newer epoch if there is one, looks for time-outs now and then, releases replies whose
 * epochs were committed, and hands out finished replies. Returns true when anything happened. Entering
 * an epoch, here and in worker_message(), takes as long as a walk through all of the shards' memory
 * when a cut was asked for (engine/cut.h). */
bool worker_turn(struct worker *worker);

/* The worker's last act: applies what is batched and seals the newest epoch. The caller has been
 * told to stop by whoever opens epochs, and none is opened any more. */
void worker_stop(struct worker *worker);

/* Nothing in hand, nothing batched, no row under way: the worker may stop. */
bool worker_is_idle(const struct worker *worker);

/* Nothing batched, no row under way, and all datagrams in hand have all their results: they only wait
 * for a commit, which needs no shard any more. With no message on its way the shards may go. */
bool worker_is_settled(const struct worker *worker);

/* Gives shard i to workers[owner[i]], with what its old worker kept for it; worker w has index w, and
 * each gets one shard or more, up to its `shards_max`. All stand still in the same epoch, the newest,
 * and are settled; their threads see it by what lets them go on. Any thread. */
void workers_move_shards(struct worker *const *workers, uint32_t worker_count,
			 const uint8_t owner[SHARDS_MAX]);

#endif
