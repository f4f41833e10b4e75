/* SPDX-License-Identifier: Apache-2.0
 *
 * What the runs reached: a counter for every fault, every status, every state and transition of the
 * phase rows and every rare branch that the code under test counts itself. A run over many seeds
 * fails when one of them stayed zero: what was never reached was never tested.
 */
#ifndef GIRO_TESTS_SIM_REACH_H
#define GIRO_TESTS_SIM_REACH_H

#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "engine/worker.h"
#include "shard/shard.h"
#include "wal/reader.h"
#include "wal/writer.h"

/* X(name, group, text): counted by the simulator itself. */
#define REACH_LIST(X)                                                                        \
	X(DATAGRAM_SENT, "network", "datagrams sent by clients")                             \
	X(DATAGRAM_LOST, "network", "datagram lost")                                         \
	X(DATAGRAM_COPIED, "network", "datagram duplicated")                                 \
	X(DATAGRAM_LATE, "network", "datagram delayed for long")                             \
	X(DATAGRAM_OVERTAKEN, "network", "datagram overtaken by a later one")                \
	X(DATAGRAM_DAMAGED, "network", "bits of a datagram flipped or its end cut")          \
	X(DAMAGE_CAUGHT_ENGINE, "network", "damaged request dropped by the engine")          \
	X(DAMAGE_CAUGHT_CLIENT, "network", "damaged reply dropped by the client")            \
	X(QUEUE_FULL, "network", "datagram lost at a full port queue")                       \
	X(HANDED_OVER, "network", "datagram handed to the owning worker")                    \
	X(SENT_AGAIN, "client", "operation sent again")                                      \
	X(ID_OTHER_CONTENT, "client", "id sent with other content")                          \
	X(ID_OTHER_SHARD, "client", "id sent with another debit account")                    \
	X(ID_OLD, "client", "id near or beyond the end of the window")                       \
	X(ID_AHEAD, "client", "id near or beyond the allowed future")                        \
	X(ANSWERED_TWICE, "client", "second final answer, the same")                         \
	X(EXPIRED_AFTERWARDS, "client", "known id expired later")                            \
	X(READ_OF_ACKNOWLEDGED, "client", "read after an acknowledged change")               \
	X(GIVEN_UP, "client", "answer never waited for")                                     \
	X(LINK_LOST, "links", "message between shards lost")                                 \
	X(LINK_COPIED, "links", "message between shards duplicated")                         \
	X(LINK_DELAYED, "links", "message between shards delayed")                           \
	X(LINK_OVERTAKEN, "links", "message between shards overtaken")                       \
	X(LINK_RESENT, "links", "unfinished rows sent again")                                \
	X(RING_HALF_FULL, "links", "message ring more than half full")                       \
	X(EPOCH_FULL, "limits", "worker took nothing: its epoch was full")                   \
	X(LOG_FULL, "limits", "new work refused: no room in the log")                        \
	X(CLOCK_FULL, "limits", "no epoch opened: all slots in use")                         \
	X(EPOCH_EMPTY, "limits", "epoch without records passed over")                        \
	X(WITNESS, "limits", "empty block written as a witness")                             \
	X(WORKER_PAUSED, "faults", "worker paused")                                          \
	X(WRITER_PAUSED, "faults", "log writer paused")                                      \
	X(CLOCK_JUMPED, "faults", "clock jumped ahead")                                      \
	X(CLOCK_STEPPED_BACK, "faults", "clock stepped back")                                \
	X(DISK_FULL, "faults", "disk full: no new segment")                                  \
	X(WRITE_FAILED, "faults", "write failed")                                            \
	X(WRITE_SHORT, "faults", "short write")                                              \
	X(WRITE_REFUSED, "faults", "write not accepted")                                     \
	X(WRITE_SPIKE, "faults", "write took very long")                                     \
	X(ENGINE_STOPPED_ITSELF, "faults", "engine stopped itself: the log failed")          \
	X(READ_FAILED, "faults", "read failed at start: refused")                            \
	X(START_WITHOUT_SPACE, "faults", "no start: no room for the first block")            \
	X(SEGMENT_RECYCLED, "faults", "new segment held old content")                        \
	X(CRASH, "crash", "crash")                                                           \
	X(CRASH_IDLE, "crash", "... with no write in flight")                                \
	X(CRASH_NONE_LANDED, "crash", "... nothing of a write in flight landed")             \
	X(CRASH_ALL_LANDED, "crash", "... a write in flight landed as a whole")              \
	X(CRASH_PART_LANDED, "crash", "... part of a write in flight landed")                \
	X(CRASH_HOLE, "crash", "... a later block landed, an earlier one did not")           \
	X(CRASH_HALF_SEALED, "crash", "... some workers had sealed, some had not")           \
	X(CRASH_MESSAGES_LOST, "crash", "... messages between shards were lost")             \
	X(CRASH_REVERTED, "crash", "... sectors that were never flushed went back")          \
	X(CRASH_IN_READ, "crash", "crash while the log was read")                            \
	X(CRASH_IN_OPEN, "crash", "crash while OPEN was written")                            \
	X(CRASH_OPEN_LANDED, "crash", "... and OPEN had landed")                             \
	X(UNACKNOWLEDGED_KEPT, "crash", "block that nobody was told of survived")            \
	X(BLOCKS_LOST, "crash", "blocks that nobody was told of were cut")                   \
	X(STOPPED, "crash", "clean stop and CLOSE")                                          \
	X(SHARDS_MOVED, "moves", "shards given to other workers")                            \
	X(SHARDS_MOVED_HELD, "moves", "... with replies held for a commit")                  \
	X(SHARDS_MOVED_LATE, "moves", "... with messages of finished rows on their way")     \
	X(SHARDS_STAYED, "moves", "shards stayed: rows did not finish in time")              \
	X(SHARDS_STOPPED, "moves", "stop in the midst of a move")                            \
	X(HANDED_ON, "moves", "datagram handed on: its shard moved while it waited")         \
	X(RECONFIGURED, "crash", "started with other sizes or workers")                      \
	X(META_CONFLICT, "crash", "smaller limits than the log's refused")                   \
	X(RECOVERED_TRYING, "recovery", "row recovered: coordinator TRYING")                 \
	X(RECOVERED_CONFIRMING, "recovery", "row recovered: coordinator CONFIRMING")         \
	X(RECOVERED_CANCELLING, "recovery", "row recovered: coordinator CANCELLING")         \
	X(RECOVERED_YES, "recovery", "row recovered: participant TRIED_YES")                 \
	X(RECOVERED_NO, "recovery", "row recovered: participant TRIED_NO")                   \
	X(RECOVERED_CONFIRMED, "recovery", "row recovered: participant CONFIRMED")           \
	X(RECOVERED_CANCELLED, "recovery", "row recovered: participant CANCELLED")           \
	X(RECOVERED_MARK, "recovery", "row recovered: participant CANCEL_MARK")              \
	X(ROT_HEADER, "damage", "bit rot in a block's header")                               \
	X(ROT_PAYLOAD, "damage", "bit rot in a block's payload")                             \
	X(ROT_SEGMENT_HEADER, "damage", "bit rot in a segment's header")                     \
	X(WRITE_MISDIRECTED, "damage", "block written over another one")                     \
	X(WRITE_LOST, "damage", "write that never reached the disk")                         \
	X(SEGMENT_CUT, "damage", "segment truncated")                                        \
	X(SEGMENT_GONE, "damage", "segment missing")                                         \
	X(DAMAGE_REFUSED, "damage", "damage to acknowledged work named and refused")         \
	X(DAMAGE_IS_TORN, "damage", "damage that no block witnesses: cut like a torn tail")  \
	X(ROW_TRYING, "rows", "coordinator: FREE -> TRYING")                                 \
	X(ROW_CONFIRMING, "rows", "coordinator: TRYING -> CONFIRMING")                       \
	X(ROW_CANCELLING_NO, "rows", "coordinator: TRYING -> CANCELLING, voted no")          \
	X(ROW_CANCELLING_LATE, "rows", "coordinator: TRYING -> CANCELLING, timed out")       \
	X(ROW_CONFIRMED, "rows", "coordinator: CONFIRMING -> FREE")                          \
	X(ROW_CANCELLED, "rows", "coordinator: CANCELLING -> FREE")                          \
	X(ROW_YES, "rows", "participant: NONE -> TRIED_YES")                                 \
	X(ROW_NO, "rows", "participant: NONE -> TRIED_NO")                                   \
	X(ROW_YES_CONFIRMED, "rows", "participant: TRIED_YES -> CONFIRMED")                  \
	X(ROW_YES_CANCELLED, "rows", "participant: TRIED_YES -> CANCELLED")                  \
	X(ROW_NO_CANCELLED, "rows", "participant: TRIED_NO -> CANCELLED")                    \
	X(ROW_MARKED, "rows", "participant: NONE -> CANCEL_MARK")                            \
	X(ROW_FORGOTTEN, "rows", "participant: finished row forgotten")                      \
	X(AUDIT_LIVE, "checks", "log audited while it was written")                          \
	X(EPOCHS_CHECKED, "checks", "committed epochs checked for conservation and floors")  \
	X(REPLIES_CHECKED, "checks", "results checked against the log")                      \
	X(STATES_COMPARED, "checks", "states compared account by account")                   \
	X(DIGESTS_COMPARED, "checks", "digests compared: running, replayed, other capacity") \
	X(CUTS_COMPARED, "checks", "digests asked for beside the work, equal to a replay's") \
	X(CUTS_UNDER_WAY, "checks", "... with transfers between shards under way")           \
	X(RERUNS, "checks", "seeds run twice with the same trace of digests")

enum reach_row {
#define REACH_ENUM(name, group, text) REACH_##name,
	REACH_LIST(REACH_ENUM)
#undef REACH_ENUM
	    REACH_OWN_ROWS,

	REACH_STATUS = REACH_OWN_ROWS,		   /* statuses that clients saw */
	REACH_EVENT = REACH_STATUS + STATUS_LIMIT, /* shard events */
	REACH_READER = REACH_EVENT + SHARD_EVENTS, /* struct wal_reader_counts */
	REACH_WRITER = REACH_READER +		   /* struct wal_writer_counts */
		       sizeof(struct wal_reader_counts) / sizeof(uint64_t),
	REACH_WORKER = REACH_WRITER + /* struct worker_counts */
		       sizeof(struct wal_writer_counts) / sizeof(uint64_t),
	REACH_ROWS = REACH_WORKER + sizeof(struct worker_counts) / sizeof(uint64_t),
};

/* One writer, the process that runs the seeds; the parent adds up. */
struct reach {
	uint64_t counts[REACH_ROWS];
};

/* Adds the counters of a shard, reader, writer or worker whose life is over. */
void reach_add_shard(struct reach *reach, const struct shard *shard);
void reach_add_reader(struct reach *reach, const struct wal_reader_counts *counts);
void reach_add_writer(struct reach *reach, const struct wal_writer_counts *counts);
void reach_add_worker(struct reach *reach, const struct worker_counts *counts);

void reach_add(struct reach *sum, const struct reach *more);

/* Prints the table. Returns how many rows are zero. */
uint32_t reach_print(const struct reach *reach, FILE *out);

/* Prints the members of a JSON object, by group and text. */
void reach_print_json(const struct reach *reach, FILE *out);

#endif
