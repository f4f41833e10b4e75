/* SPDX-License-Identifier: Apache-2.0
 *
 * Epochs: sealing, group commit, held replies, crash and recovery. docs/tcc.md is its text.
 *
 *   worker 0  epoch 5 |             messages carry their sender's epoch
 *      ^ v            |  open = 5
 *   worker 1  epoch 4 |             sealed: 3
 *                     |
 *   writer    3: in flight   2: on disk   1: on disk            committed = 2
 *                     |
 *   disk      a block names its predecessor (chain hash) and the committed epoch its writer knew
 *
 * Two workers change their shards, send each other messages, read, and hold replies. The writer
 * opens epochs, submits a block when both workers have sealed its epoch, with WRITES in flight that
 * complete in any order. A crash may come between any two steps; of each write in flight it leaves
 * the new block, the old content or a torn one. Recovery takes the contiguous prefix of the log
 * whose chain holds, and the next life goes on behind it, over what else is still on the disk.
 *
 * Compiled with
 *   EPOCHS   the highest epoch opened while there are faults (default 4)
 *   LIVES    crashes + 1 (default 3)
 *   BUG_...  one planted mistake, which the check must find
 *   SEEK=... a situation that the check must be able to reach; it reports an error there
 */

#ifndef EPOCHS
#define EPOCHS 4
#endif
#ifndef LIVES
#define LIVES 3
#endif
#define WRITES 2
#define AHEAD  2	    /* epochs opened beyond the last one submitted */
#define LIMIT  (EPOCHS + 5) /* what is under way when faults stop needs a few epochs more */

/* Situations worth a proof that the search has been there. */
#define SEEK_OUT_OF_ORDER  1 /* a write completes before an earlier one */
#define SEEK_SEAL_ON_NEWER 2 /* a message makes its receiver seal */
#define SEEK_STALE_BLOCK   3 /* recovery finds a block of a lost past behind its prefix */
#define SEEK_HOLE	   4 /* recovery finds a block of the last life behind a hole */
#define SEEK_EFFECT_CUT	   5 /* a crash keeps a message's sending and takes back its effect */
#define SEEK_EACH_LIFE_COMMITS 6 /* the end, with an epoch committed by each of three lives */
#ifndef SEEK
#define SEEK 0
#endif
#define SEEN(situation) assert(SEEK != situation)

#define NOTHING 255 /* no reply held */

typedef Worker {
	byte epoch;   /* the one it writes in; all before are sealed */
	byte changed  /* the last one in which its shard changed */
};

/* A client with one request at a time, to either worker. Replies do not depend on each other, so
 * one at a time is as good as many. */
typedef Reply {
	byte waits; /* the epoch that it is held for, or NOTHING */
	byte needs  /* the epoch that its content comes from; for the assertions alone */
};

/* Message m goes from worker m to the other. Its epochs are kept until both are durable. */
typedef Message {
	byte sent;    /* sender's epoch, carried in the message; 0: no message */
	byte received /* receiver's epoch; 0: on its way */
};

/* The life that wrote a block stands for its content: a life writes an epoch once. */
typedef Block {
	byte life;   /* 0: no valid block */
	byte before; /* chain hash: the life that wrote its predecessor */
	byte hint    /* highest committed epoch known when it was written */
#ifdef BUG_INCARNATION_FROM_LOG
	;
	byte incarnation
#endif
};

Worker worker[2];
Reply reply;
Message message[2];
byte open = 1; /* newest epoch */

Block disk[LIMIT];
Block flying[LIMIT]; /* writes in flight, life 0: none */
byte flights;
byte submitted; /* all epochs up to here were given to the device */
byte committed;
byte life = 1;
#ifdef BUG_INCARNATION_FROM_LOG
byte incarnation = 1;
#endif

byte told;	     /* highest epoch that a released reply came from; no crash takes it back */
byte history[LIMIT]; /* for the assertions: the life whose block of an epoch is the true one */

/* Names for what must hold, for pan to print; all false, and in no state. */
hidden byte buffer_is_open, effect_has_cause, promise_stands, recovered_is_history;
hidden byte torn_tail_is_no_loss, epochs_suffice;
#define MUST(condition, name)            \
	if                               \
	:: !(condition) -> assert(name)  \
	:: else                          \
	fi

byte e; /* scratch, zero between steps */

/* ---- replies ---- */

#ifdef BUG_REPLY_BEFORE_COMMIT
#define RELEASED submitted
#else
#define RELEASED committed
#endif

/* As soon as it may: a reply that goes out later can only be safer. */
inline release()
{
	if
	:: reply.waits <= RELEASED ->
		told = (reply.needs > told -> reply.needs : told);
		reply.waits = NOTHING;
		reply.needs = 0
	:: else
	fi
}

inline hold(w, until)
{
	reply.needs = worker[w].changed;
	reply.waits = until;
	release()
}

/* ---- workers ---- */

inline change(w)
{
	MUST(worker[w].epoch > submitted, buffer_is_open); /* the writer has not taken it */
	worker[w].changed = worker[w].epoch
}

inline receive(m, w)
{
	if
#ifndef BUG_NO_SEAL_ON_NEWER
	:: worker[w].epoch < message[m].sent ->
		SEEN(SEEK_SEAL_ON_NEWER);
		worker[w].epoch = message[m].sent
#endif
	:: else
	fi;
	change(w);
	message[m].received = worker[w].epoch
}

#ifdef BUG_READ_NOT_HELD
#define READ_WAITS(w) 0
#else
#define READ_WAITS(w) worker[w].changed
#endif

#ifdef BUG_IDLE_SHARD_NEVER_SEALS
#define MAY_SEAL(w) (worker[w].epoch < open && worker[w].changed == worker[w].epoch)
#else
#define MAY_SEAL(w) (worker[w].epoch < open)
#endif

/* New work comes in only while there are faults, so that an end can be asked for. */
#define NEW_WORK(w)                                                                           \
	:: d_step { worker[w].changed < worker[w].epoch -> change(w) }                        \
	:: d_step { reply.waits == NOTHING -> change(w); hold(w, worker[w].changed) }         \
	:: d_step { reply.waits == NOTHING -> hold(w, READ_WAITS(w)) }                        \
	:: d_step { message[w].sent == 0 -> change(w); message[w].sent = worker[w].epoch }

#define GOES_ON(w)                                                                            \
	:: d_step { MAY_SEAL(w) -> worker[w].epoch++ }                                        \
	:: d_step { message[1 - w].sent != 0 && message[1 - w].received == 0 ->               \
		receive(1 - w, w) }

/* ---- log writer ---- */

#ifdef BUG_GATHER_UNSEALED
#define SEALED(epoch_) (worker[0].epoch > epoch_ || worker[1].epoch > epoch_)
#else
#define SEALED(epoch_) (worker[0].epoch > epoch_ && worker[1].epoch > epoch_)
#endif

#define MAY_SUBMIT (flights < WRITES && SEALED((submitted + 1)))

inline submit()
{
	submitted++;
	flights++;
	flying[submitted].life = life;
	flying[submitted].before = history[submitted - 1];
#ifdef BUG_HINT_IS_SUBMITTED
	flying[submitted].hint = submitted - 1;
#else
	flying[submitted].hint = committed;
#endif
#ifdef BUG_INCARNATION_FROM_LOG
	flying[submitted].incarnation = incarnation;
#endif
	history[submitted] = life;
	release()
}

inline land(at)
{
	disk[at].life = flying[at].life;
	disk[at].before = flying[at].before;
	disk[at].hint = flying[at].hint
#ifdef BUG_INCARNATION_FROM_LOG
	;
	disk[at].incarnation = flying[at].incarnation
#endif
}

inline forget_flight(at)
{
	flying[at].life = 0;
	flying[at].before = 0;
	flying[at].hint = 0
#ifdef BUG_INCARNATION_FROM_LOG
	;
	flying[at].incarnation = 0
#endif
}

inline forget_message(m)
{
	if
	:: message[m].received != 0 && message[m].received <= committed &&
	   message[m].sent <= committed ->
		message[m].sent = 0;
		message[m].received = 0
	:: else
	fi
}

inline complete(at)
{
	land(at);
	forget_flight(at);
	flights--;
	if
	:: at > committed + 1 -> SEEN(SEEK_OUT_OF_ORDER)
	:: else
	fi;
#ifdef BUG_COMMIT_PAST_HOLE
	committed = (at > committed -> at : committed)
#else
	do
	:: committed < submitted && flying[committed + 1].life == 0 -> committed++
	:: else -> break
	od;
#endif
	forget_message(0);
	forget_message(1);
	release()
}

/* Two writes can be in flight among the epochs committed + 1 .. submitted. */
#define COMPLETES(distance)                                                             \
	:: d_step { committed + distance <= submitted && flying[committed + distance].life != 0 -> \
		complete((committed + distance)) }
#define WRITER                                                                          \
	:: d_step { MAY_SUBMIT -> submit() }                                            \
	COMPLETES(1) COMPLETES(2) COMPLETES(3) COMPLETES(4)

#define MAY_OPEN (open < submitted + 1 + AHEAD)

/* ---- crash and recovery ---- */

#ifdef BUG_STALE_BLOCK_ACCEPTED
#define FOLLOWS(at) (disk[at].life != 0)
#else
#ifdef BUG_INCARNATION_FROM_LOG
#define FOLLOWS(at) (disk[at].life != 0 && disk[at].incarnation >= disk[at - 1].incarnation)
#else
#define FOLLOWS(at) (disk[at].life != 0 && disk[at].before == disk[at - 1].life)
#endif
#endif

/* Which of the writes in flight reached the disk. */
inline power_fails()
{
	e = 1;
	do
	:: e < LIMIT && flying[e].life != 0 ->
		if
		:: land(e)
		:: disk[e].life = 0; disk[e].before = 0; disk[e].hint = 0 /* torn */
		:: skip /* not begun: what was there is still there */
		fi;
		forget_flight(e);
		e++
	:: e < LIMIT && flying[e].life == 0 -> e++
	:: e == LIMIT -> break
	od;
	e = 0;
	flights = 0
}

inline recover_worker(w)
{
	worker[w].epoch = committed + 1;
	worker[w].changed = (worker[w].changed > committed -> committed : worker[w].changed)
}

/* The rings are gone; TC/C's rows send again what is still needed (tcc.pml). */
inline recover_message(m)
{
	/* No effect without its cause. */
	MUST(message[m].received == 0 || message[m].received > committed ||
	     message[m].sent <= committed, effect_has_cause);
	if
	:: message[m].sent != 0 && message[m].sent <= committed &&
	   message[m].received > committed -> SEEN(SEEK_EFFECT_CUT)
	:: else
	fi;
	message[m].sent = 0;
	message[m].received = 0
}

inline recover()
{
	committed = 0;
#ifdef BUG_RECOVERY_SKIPS_HOLE
	for (e : 1 .. LIMIT - 1) {
		committed = (disk[e].life != 0 -> e : committed)
	}
#else
	do
	:: committed < LIMIT - 1 && FOLLOWS((committed + 1)) -> committed++
	:: else -> break
	od;
#endif
	/* Nothing that was told is taken back. */
	MUST(told <= committed, promise_stands);
	/* What is recovered is what this history wrote, and all of it. */
	for (e : 1 .. LIMIT - 1) {
		MUST(e > committed || (disk[e].life != 0 && disk[e].life == history[e]),
		     recovered_is_history);
		/* A torn tail never looks like the loss of a block that was committed. */
		MUST(disk[e].life == 0 || disk[e].hint <= committed, torn_tail_is_no_loss);
		if
		:: e > committed + 1 && disk[e].life == life -> SEEN(SEEK_HOLE)
		:: e == committed + 1 && disk[e].life != 0 && disk[e].life != life ->
			SEEN(SEEK_STALE_BLOCK)
		:: else
		fi;
		history[e] = (e > committed -> 0 : history[e])
	}
	e = 0;
	life++;
#ifdef BUG_INCARNATION_FROM_LOG
	incarnation = disk[committed].incarnation + 1;
#endif
	submitted = committed;
	open = committed + 1;
	recover_message(0);
	recover_message(1);
	recover_worker(0);
	recover_worker(1);
	reply.waits = NOTHING;
	reply.needs = 0
}

/* ---- all together ---- */

#define SOMETHING_TO_WRITE (worker[0].changed == open || worker[1].changed == open)
#define ALL_DURABLE                                                                     \
	(worker[0].changed <= committed && worker[1].changed <= committed &&            \
	 reply.waits == NOTHING &&                                                      \
	 message[0].sent == 0 && message[1].sent == 0 && committed == submitted)
#define ALL_SEALED_IS_COMMITTED (!SEALED((committed + 1)))

active proctype engine()
{
	d_step {
		worker[0].epoch = 1;
		worker[1].epoch = 1;
		reply.waits = NOTHING
	}

	/* A cycle in here is no lack of progress: faults can go on for ever. */
progress_faults:
	do
	NEW_WORK(0)
	NEW_WORK(1)
	GOES_ON(0)
	GOES_ON(1)
	:: d_step { open < EPOCHS && MAY_OPEN -> open++ }
	WRITER
	:: atomic { life < LIVES -> power_fails(); recover() }
	:: break
	od;

	/* In here there must be no cycle at all, and no end before all that was done is durable. */
	do
	GOES_ON(0)
	GOES_ON(1)
	:: d_step { SOMETHING_TO_WRITE && MAY_OPEN -> MUST(open < LIMIT - 1, epochs_suffice); open++ }
	WRITER
	:: ALL_DURABLE && ALL_SEALED_IS_COMMITTED -> break
	od;
	if
	:: life == LIVES && history[1] == 1 && history[2] == 2 && committed >= 3 &&
	   history[3] == LIVES -> SEEN(SEEK_EACH_LIFE_COMMITS)
	:: else
	fi
}
