/* SPDX-License-Identifier: Apache-2.0
 *
 * TC/C between the shard of the debit account (coordinator) and the shard of the credit account
 * (participant). docs/tcc.md is its text; the names here are the names there.
 *
 *        coordinator                          participant
 *   row[number], low, next               row[number mod WINDOW], low
 *   balance, held                        balance, incoming
 *        |  TRY CONFIRM CANCEL (number, low)  |
 *        |----------------------------------->|
 *        |<-----------------------------------|
 *        |     YES NO ACK (number)            |
 *        |                                    |
 *      now -> sealed -> disk               now -> sealed -> disk
 *
 * The link is a set: a message that was sent can arrive at any later time, any number of times, in
 * any order, or never. That is loss, duplication, delay and reordering without a bound on either.
 *
 * A crash takes both shards back to the last durable epoch, which is the cut that their two seals
 * made. What had been sent in an epoch that is durable may still arrive after the crash; what was
 * sent in an epoch that the crash took back never does (a ring dies with its process; between
 * nodes the incarnation tells). Crashes, epochs and repeats are unlimited in number.
 *
 * Compiled with
 *   TRANSFERS   numbers the coordinator gives out, 2 or 3 (default 2)
 *   WINDOW      how many of them may be unfinished at a time, 1 or 2 (default 2)
 *   NO_CRASH    links are faulty, nobody crashes
 *   NO_EPOCHS   nothing is sealed, made durable or told; implies NO_CRASH
 *   CALM_KEEPS  when faults stop, each message still in the link may yet arrive once, instead of
 *               all of them being lost
 *   BUG_...     one planted mistake, which the check must find
 *   SEEK=...    a situation that the check must be able to reach; it reports an error there
 */

#ifndef TRANSFERS
#define TRANSFERS 2
#endif
#ifndef WINDOW
#define WINDOW 2
#endif

#define AMOUNT(n) ((n) == 0 -> 1 : 2)
#define OPENING	  3 /* the debit account, floor 0: enough for numbers 0 and 1 at once */

/* Situations worth a proof that the search has been there. */
#define SEEK_LATE_TRY	     1 /* a TRY meets the mark that its CANCEL left */
#define SEEK_STALE	     2 /* a message below the participant's low */
#define SEEK_DECIDED_VOTE    3 /* a vote comes for a row that timed out */
#define SEEK_ACK_AGAIN	     4 /* a CONFIRM comes for a row that is confirmed */
#define SEEK_SEAL_ON_NEWER   5 /* a message makes its receiver seal */
#define SEEK_CRASH_TAKES_ROW 6 /* a crash takes a row back to before its decision */
#define SEEK_ALL_CONFIRMED   7 /* the end, with every number confirmed and told */
#ifndef SEEK
#define SEEK 0
#endif
#define SEEN(situation) assert(SEEK != situation)

/* Coordinator rows. A row begins as TRYING when its number is given out. */
#define FREE	   0
#define TRYING	   1
#define CONFIRMING 2
#define CANCELLING 3
#define DONE_OK	   4
#define DONE_NO	   5

/* Participant rows. */
#define NONE	    0
#define TRIED_YES   1
#define TRIED_NO    2
#define CONFIRMED   3
#define CANCELLED   4 /* after a try */
#define CANCEL_MARK 5 /* the CANCEL overtook its TRY */

typedef Coordinator {
	byte row[TRANSFERS];
	byte next;    /* number of the next try */
	byte low;     /* lowest number not finished */
	byte balance = OPENING; /* of the debit account */
	byte held
};

typedef Participant {
	byte row[WINDOW]; /* of numbers low .. low + WINDOW - 1, at number mod WINDOW */
	byte low;
	byte balance; /* of the credit account */
	byte incoming;
	byte credited /* bit for each number; for the assertions alone */
};

Coordinator c, c_sealed, c_disk;
Participant p, p_sealed, p_disk;
bit c_is_sealed, p_is_sealed; /* sealed the epoch that is next to become durable */

/* What the client was told of each number: 0, DONE_OK or DONE_NO. No crash takes it back. */
byte told[TRANSFERS];

/* The link. A message's value says in which epoch it was sent. */
#define ABSENT	0
#define DURABLE 1 /* in one that is durable */
#define OPEN	2 /* in the one that is next to become durable */
#define NEWER	3 /* after its sender sealed that one */

#define TRY	0
#define CONFIRM 1
#define CANCEL	2
#define YES	0
#define NO	1
#define ACK	2
/* A message to the participant carries a low that is `behind` its number. */
#define TO_P(kind, number, behind) (((kind) * TRANSFERS + (number)) * WINDOW + (behind))
#define TO_C(kind, number)	   ((kind) * TRANSFERS + (number))
#define TO_P_COUNT (3 * TRANSFERS * WINDOW)
#define TO_C_COUNT (3 * TRANSFERS)
byte to_p[TO_P_COUNT];
byte to_c[TO_C_COUNT];

/* Names for what must hold, for pan to print; all false, and in no state. */
hidden byte floor_holds, holds_add_up, money_is_constant, both_or_neither, try_has_row;
hidden byte money_is_constant_on_disk, both_or_neither_on_disk, try_has_row_on_disk;
hidden byte promise_stands, window_holds, confirm_follows_try, confirmed_is_final;
hidden byte forgotten_row_is_finished, ack_follows_decision;
#define MUST(condition, name)            \
	if                               \
	:: !(condition) -> assert(name)  \
	:: else                          \
	fi

bit calm; /* faults have stopped */
byte i;	  /* scratch, zero between steps */

/* ---- sending ---- */

/* Of two copies the older one can do all that the newer one can, so one is enough. */
inline send_to_p(kind, number)
{
	MUST(number - c.low >= 0 && number - c.low < WINDOW, window_holds);
	if
	:: to_p[TO_P(kind, number, number - c.low)] == ABSENT ->
		to_p[TO_P(kind, number, number - c.low)] = (c_is_sealed -> NEWER : OPEN)
	:: else
	fi
}

inline send_to_c(kind, number)
{
	if
	:: to_c[TO_C(kind, number)] == ABSENT ->
		to_c[TO_C(kind, number)] = (p_is_sealed -> NEWER : OPEN)
	:: else
	fi
}

/* ---- coordinator ---- */

#ifdef BUG_FLOOR_WITHOUT_HELD
#define FUNDS(number) (c.balance >= AMOUNT(number))
#else
#define FUNDS(number) (c.balance >= c.held + AMOUNT(number))
#endif

#ifdef BUG_WINDOW_OVERRUN
#define WINDOW_ADMITS (c.next <= c.low + WINDOW)
#else
#define WINDOW_ADMITS (c.next < c.low + WINDOW)
#endif

/* A transfer without funds is refused and takes no number. */
#define MAY_TRY (c.next < TRANSFERS && WINDOW_ADMITS && FUNDS(c.next))

inline begin_try()
{
	c.held = c.held + AMOUNT(c.next);
	c.row[c.next] = TRYING;
	c.next++;
	send_to_p(TRY, c.next - 1)
}

inline confirm(number)
{
	c.row[number] = CONFIRMING;
	c.held = c.held - AMOUNT(number);
	c.balance = c.balance - AMOUNT(number);
	send_to_p(CONFIRM, number)
}

/* On a vote no, or without any vote when the try has taken too long. */
inline cancel(number)
{
	c.row[number] = CANCELLING;
#ifndef BUG_HELD_KEPT
	c.held = c.held - AMOUNT(number);
#endif
	send_to_p(CANCEL, number)
}

#ifdef BUG_LOW_BEFORE_ACK
#define FINISHED(number) (c.row[number] >= CONFIRMING)
#else
#define FINISHED(number) (c.row[number] >= DONE_OK)
#endif

inline advance_low()
{
	do
	:: c.low < c.next && FINISHED(c.low) -> c.low++
	:: else -> break
	od;
	skip /* a d_step must not end with a loop */
}

inline coordinator_takes(kind, number)
{
	if
	:: kind == YES && c.row[number] == TRYING -> confirm(number)
	:: kind == NO && c.row[number] == TRYING -> cancel(number)
#ifdef BUG_VOTE_AFTER_DECISION
	:: kind == YES && c.row[number] == CANCELLING ->
		c.held = c.held + AMOUNT(number);
		confirm(number)
#endif
	:: kind == ACK && c.row[number] == CONFIRMING -> c.row[number] = DONE_OK
	:: kind == ACK && c.row[number] == CANCELLING -> c.row[number] = DONE_NO
	:: kind == ACK && c.row[number] < CONFIRMING -> assert(ack_follows_decision)
	:: kind != ACK && c.row[number] == CANCELLING -> SEEN(SEEK_DECIDED_VOTE)
	:: else /* the answer to a copy */
	fi;
	advance_low()
}

/* ---- participant ---- */

#define SLOT(number) p.row[(number) % WINDOW]

/* NONE where nothing was heard of the number; its slot may still be another's. */
#define HEARD(number) ((number) < p.low + WINDOW -> SLOT(number) : NONE)

/* Numbers below `low` are finished at the coordinator. Only what changes the participant, and so is
 * in the log, may move its low: recovery must see every move. */
inline forget_below(new_low)
{
	do
	:: p.low < new_low ->
		MUST(SLOT(p.low) >= CONFIRMED, forgotten_row_is_finished);
		SLOT(p.low) = NONE;
		p.low++
	:: else -> break
	od
}

inline participate(number, new_low, state)
{
	forget_below(new_low);
	MUST(number < p.low + WINDOW && SLOT(number) == NONE, window_holds);
	SLOT(number) = state
}

#ifdef BUG_LATE_TRY
#define IS_NEWS(state) (state == NONE || state == CANCEL_MARK)
#else
#define IS_NEWS(state) (state == NONE)
#endif

inline take_try(number, new_low, vote)
{
	if
	:: IS_NEWS(HEARD(number)) ->
#ifdef BUG_LATE_TRY
		SLOT(number) = NONE;
#endif
		if
		:: vote == YES ->
			participate(number, new_low, TRIED_YES);
			p.incoming = p.incoming + AMOUNT(number)
		:: else -> participate(number, new_low, TRIED_NO)
		fi;
		send_to_c(vote, number)
	:: HEARD(number) == TRIED_YES || HEARD(number) == CONFIRMED -> send_to_c(YES, number)
	:: else ->
		if
		:: HEARD(number) == CANCEL_MARK -> SEEN(SEEK_LATE_TRY)
		:: else
		fi;
		send_to_c(NO, number)
	fi
}

inline take_confirm(number, new_low)
{
	if
	:: HEARD(number) == TRIED_YES ->
		SLOT(number) = CONFIRMED;
		p.incoming = p.incoming - AMOUNT(number);
		p.balance = p.balance + AMOUNT(number);
		p.credited = p.credited | (1 << number);
		forget_below(new_low);
		send_to_c(ACK, number)
	:: HEARD(number) == CONFIRMED ->
#ifdef BUG_CONFIRM_TWICE
		p.balance = p.balance + AMOUNT(number);
#endif
		SEEN(SEEK_ACK_AGAIN);
#ifdef BUG_NO_ACK_AGAIN
		skip
#else
		send_to_c(ACK, number)
#endif
	:: else -> assert(confirm_follows_try)
	fi
}

inline take_cancel(number, new_low)
{
	if
	:: HEARD(number) == TRIED_YES || HEARD(number) == TRIED_NO ->
#ifndef BUG_INCOMING_KEPT
		p.incoming = p.incoming - (SLOT(number) == TRIED_YES -> AMOUNT(number) : 0);
#endif
		SLOT(number) = CANCELLED;
		forget_below(new_low)
	:: HEARD(number) == NONE ->
#ifdef BUG_NO_MARK
		skip
#else
		participate(number, new_low, CANCEL_MARK)
#endif
	:: HEARD(number) == CONFIRMED -> assert(confirmed_is_final)
	:: else
	fi;
	send_to_c(ACK, number)
}

#ifdef BUG_STALE_ANSWERED
#define IS_STALE(number) false
#else
#define IS_STALE(number) (number < p.low)
#endif

inline participant_takes(kind, number, low_of_message, vote)
{
	if
	:: IS_STALE(number) -> SEEN(SEEK_STALE)
	:: else ->
		if
		:: kind == TRY -> take_try(number, low_of_message, vote)
		:: kind == CONFIRM -> take_confirm(number, low_of_message)
		:: kind == CANCEL -> take_cancel(number, low_of_message)
		fi
	fi
}

/* ---- epochs, log and crash ---- */

inline copy_c(to, from)
{
	for (i : 0 .. TRANSFERS - 1) {
		to.row[i] = from.row[i]
	}
	i = 0;
	to.next = from.next;
	to.low = from.low;
	to.balance = from.balance;
	to.held = from.held
}

inline copy_p(to, from)
{
	for (i : 0 .. WINDOW - 1) {
		to.row[i] = from.row[i]
	}
	i = 0;
	to.low = from.low;
	to.balance = from.balance;
	to.incoming = from.incoming;
	to.credited = from.credited
}

inline seal_c()
{
	copy_c(c_sealed, c);
	c_is_sealed = 1
}

inline seal_p()
{
	copy_p(p_sealed, p);
	p_is_sealed = 1
}

#ifdef BUG_NO_SEAL_ON_NEWER
#define SEAL_FIRST(message, is_sealed) (false)
#else
#define SEAL_FIRST(message, is_sealed) (message == NEWER && !is_sealed)
#endif

/* Both shards have sealed and the block is on disk. */
inline commit()
{
	copy_c(c_disk, c_sealed);
	copy_p(p_disk, p_sealed);
	c_is_sealed = 0;
	p_is_sealed = 0;
	copy_c(c_sealed, c_disk); /* one value for "nothing sealed" */
	copy_p(p_sealed, p_disk);
	for (i : 0 .. TO_P_COUNT - 1) {
		to_p[i] = (to_p[i] > DURABLE -> to_p[i] - 1 : to_p[i])
	}
	for (i : 0 .. TO_C_COUNT - 1) {
		to_c[i] = (to_c[i] > DURABLE -> to_c[i] - 1 : to_c[i])
	}
	i = 0
}

inline crash()
{
	if
	:: c.row[0] > TRYING && c_disk.row[0] == TRYING -> SEEN(SEEK_CRASH_TAKES_ROW)
	:: else
	fi;
	copy_c(c, c_disk);
	copy_p(p, p_disk);
	copy_c(c_sealed, c_disk);
	copy_p(p_sealed, p_disk);
	c_is_sealed = 0;
	p_is_sealed = 0;
#ifdef BUG_VOTE_FORGOTTEN
	for (i : 0 .. WINDOW - 1) {
		if
		:: p.row[i] == TRIED_YES || p.row[i] == TRIED_NO -> p.row[i] = NONE
		:: else
		fi
	}
	p.incoming = 0;
#endif
#ifdef BUG_MARK_FORGOTTEN
	for (i : 0 .. WINDOW - 1) {
		p.row[i] = (p.row[i] == CANCEL_MARK -> NONE : p.row[i])
	}
#endif
#ifdef BUG_LOST_EPOCH_ARRIVES
#define AFTER_CRASH(message) (message > DURABLE -> OPEN : message)
#else
#define AFTER_CRASH(message) (message > DURABLE -> ABSENT : message)
#endif
	for (i : 0 .. TO_P_COUNT - 1) {
		to_p[i] = AFTER_CRASH(to_p[i])
	}
	for (i : 0 .. TO_C_COUNT - 1) {
		to_c[i] = AFTER_CRASH(to_c[i])
	}
	i = 0
}

/* ---- once for each number ---- */

#if TRANSFERS == 2
#define SUM(macro, co, part) (macro(co, part, 0) + macro(co, part, 1))
#define EACH(macro)	     macro(0) macro(1)
#define EACH_BUT_FIRST(macro) macro(1)
#else
#define SUM(macro, co, part) (macro(co, part, 0) + macro(co, part, 1) + macro(co, part, 2))
#define EACH(macro)	     macro(0) macro(1) macro(2)
#define EACH_BUT_FIRST(macro) macro(1) macro(2)
#endif

/* ---- steps: the link ---- */

/* Once faults have stopped, the link delivers each message once. */
inline deliver_to_p(kind, number, behind, vote)
{
	if
	:: SEAL_FIRST(to_p[TO_P(kind, number, behind)], p_is_sealed) ->
		SEEN(SEEK_SEAL_ON_NEWER);
		seal_p()
	:: else
	fi;
	to_p[TO_P(kind, number, behind)] = (calm -> ABSENT : to_p[TO_P(kind, number, behind)]);
	participant_takes(kind, number, number - behind, vote)
}

inline deliver_to_c(kind, number)
{
	if
	:: SEAL_FIRST(to_c[TO_C(kind, number)], c_is_sealed) -> seal_c()
	:: else
	fi;
	to_c[TO_C(kind, number)] = (calm -> ABSENT : to_c[TO_C(kind, number)]);
	coordinator_takes(kind, number)
}

#define AT_P(kind, n, behind, vote)                            \
	:: d_step { to_p[TO_P(kind, n, behind)] != ABSENT ->   \
		deliver_to_p(kind, n, behind, vote) }
#define AT_C(kind, n)                                          \
	:: d_step { to_c[TO_C(kind, n)] != ABSENT ->           \
		deliver_to_c(kind, n) }

/* The vote is the credit account's business: either may come out. */
#define FROM_COORDINATOR(n, behind)                            \
	AT_P(TRY, n, behind, YES)                              \
	AT_P(TRY, n, behind, NO)                               \
	AT_P(CONFIRM, n, behind, NO)                           \
	AT_P(CANCEL, n, behind, NO)
#define WITH_LOW_ITSELF(n) FROM_COORDINATOR(n, 0)
#define WITH_LOW_BEFORE(n) FROM_COORDINATOR(n, 1)
#define FROM_PARTICIPANT(n) AT_C(YES, n) AT_C(NO, n) AT_C(ACK, n)

#if WINDOW == 1
#define ARRIVALS EACH(WITH_LOW_ITSELF) EACH(FROM_PARTICIPANT)
#else
#define ARRIVALS EACH(WITH_LOW_ITSELF) EACH_BUT_FIRST(WITH_LOW_BEFORE) EACH(FROM_PARTICIPANT)
#endif

/* ---- steps: the coordinator's own ---- */

#define BEGIN \
	:: d_step { MAY_TRY -> begin_try() }

#define TRY_TIMEOUT(n) \
	:: d_step { c.row[n] == TRYING -> cancel(n); advance_low() }

#define UNFINISHED(n) (c.row[n] == TRYING || c.row[n] == CONFIRMING || c.row[n] == CANCELLING)

inline send_again(n)
{
	if
	:: c.row[n] == TRYING -> send_to_p(TRY, n)
	:: c.row[n] == CONFIRMING -> send_to_p(CONFIRM, n)
	:: c.row[n] == CANCELLING -> send_to_p(CANCEL, n)
	fi
}

#ifdef BUG_NO_RESEND
#define REPEATS(n)
#define REPEATS_AFTER_TIMEOUT(n)
#else
/* While links are faulty a row may repeat itself at any time. */
#define REPEATS(n) \
	:: d_step { UNFINISHED(n) -> send_again(n) }

/* Afterwards it does so when its answer has not come: nothing of it is left in the link. */
#define REPEATS_AFTER_TIMEOUT(n) \
	:: d_step { UNFINISHED(n) && QUIET(n) -> send_again(n) }
#endif

#define OF_ROW_TO_P(n, behind)                                                          \
	(to_p[TO_P(TRY, n, behind)] + to_p[TO_P(CONFIRM, n, behind)] + to_p[TO_P(CANCEL, n, behind)])
#define QUIET(n)                                                                        \
	(OF_ROW_TO_P(n, 0) + OF_ROW_TO_P(n, WINDOW - 1) + to_c[TO_C(YES, n)] +          \
	 to_c[TO_C(NO, n)] + to_c[TO_C(ACK, n)] == 0)

/* ---- steps: epochs, and telling ---- */

#ifdef BUG_TELL_AT_CONFIRM
#define TELLABLE(n) (c_disk.row[n] == CONFIRMING || c_disk.row[n] >= DONE_OK)
#define OUTCOME(n)  (c_disk.row[n] == DONE_NO -> DONE_NO : DONE_OK)
#else
#ifdef BUG_TELL_BEFORE_DURABLE
#define TELLABLE(n) (c.row[n] >= DONE_OK)
#define OUTCOME(n)  c.row[n]
#else
#define TELLABLE(n) (c_disk.row[n] >= DONE_OK)
#define OUTCOME(n)  c_disk.row[n]
#endif
#endif

#define TELL(n) \
	:: d_step { told[n] == 0 && TELLABLE(n) -> told[n] = OUTCOME(n) }
#define TOLD(n) (n >= c.next || told[n] != 0)
#define NEW(n)	(c.row[n] != c_disk.row[n])

#ifdef NO_EPOCHS
#define NO_CRASH
#define COMMIT
#define SEAL
#define SEAL_WHAT_IS_NEW
#define ALL_TOLD true
#else
#define COMMIT \
	:: d_step { c_is_sealed && p_is_sealed -> commit() } EACH(TELL)
#define SEAL                                                    \
	:: d_step { !c_is_sealed -> seal_c() }                  \
	:: d_step { !p_is_sealed -> seal_p() }
/* An epoch is opened when there is something to write. The coordinator's rows change last. */
#define SEAL_WHAT_IS_NEW                                                  \
	:: d_step { !c_is_sealed && (SOME_NEW || p_is_sealed) -> seal_c() } \
	:: d_step { !p_is_sealed && c_is_sealed -> seal_p() }
#if TRANSFERS == 2
#define SOME_NEW (NEW(0) || NEW(1))
#define ALL_TOLD (TOLD(0) && TOLD(1))
#else
#define SOME_NEW (NEW(0) || NEW(1) || NEW(2))
#define ALL_TOLD (TOLD(0) && TOLD(1) && TOLD(2))
#endif
#endif

#ifdef NO_CRASH
#define CRASH
#else
#define CRASH \
	:: d_step { true -> crash() }
#endif

inline faults_stop()
{
	calm = 1;
#ifndef CALM_KEEPS
	for (i : 0 .. TO_P_COUNT - 1) {
		to_p[i] = ABSENT
	}
	for (i : 0 .. TO_C_COUNT - 1) {
		to_c[i] = ABSENT
	}
	i = 0
#endif
}

active proctype node()
{
	/* A cycle in here is no lack of progress: faults can go on for ever. */
progress_faults:
	do
	BEGIN
	ARRIVALS
	EACH(TRY_TIMEOUT)
	EACH(REPEATS)
	SEAL
	COMMIT
	CRASH
	:: d_step { c.next > 0 -> faults_stop() } -> break
	od;

	/* In here there must be no cycle at all, and no end before each row is finished, durable
	 * and told. */
	do
	BEGIN
	ARRIVALS
	EACH(TRY_TIMEOUT)
	EACH(REPEATS_AFTER_TIMEOUT)
	SEAL_WHAT_IS_NEW
	COMMIT
	:: c.low == c.next && ALL_TOLD -> break
	od;
	assert(c.held == 0 && p.incoming == 0);
	assert(c.balance + p.balance == OPENING);
	if
	:: p.credited == (1 << TRANSFERS) - 1 -> SEEN(SEEK_ALL_CONFIRMED)
	:: else
	fi
}

/* ---- what must always hold ---- */

#define CREDITED(part, n) ((part.credited >> (n)) & 1)
#define PHASE(part, n) \
	((n) >= part.low && (n) < part.low + WINDOW -> part.row[(n) % WINDOW] : NONE)

#define HOLDING(co, part, n) (co.row[n] == TRYING -> AMOUNT(n) : 0)
#define TRIED(co, part, n)   (PHASE(part, n) == TRIED_YES -> AMOUNT(n) : 0)
#define ON_WAY(co, part, n)  (co.row[n] == CONFIRMING && !CREDITED(part, n) -> AMOUNT(n) : 0)

/* Of one cut through both shards: now, or on disk. */
#define FLOOR_HOLDS(co) (co.balance >= co.held)
#define HOLDS_ADD_UP(co, part) \
	(co.held == SUM(HOLDING, co, part) && part.incoming == SUM(TRIED, co, part))
#define MONEY_IS_CONSTANT(co, part) \
	(co.balance + part.balance + SUM(ON_WAY, co, part) == OPENING)

/* Confirmed at both or at neither; at one only while CONFIRMING. */
#define BOTH_OR_NEITHER(co, part, n)                                                     \
	((!CREDITED(part, n) || co.row[n] == CONFIRMING || co.row[n] == DONE_OK) &&      \
	 (co.row[n] != DONE_OK || CREDITED(part, n)))

/* Nothing is tried that was not asked for, nothing stays tried behind the end, and a CONFIRM finds
 * its try. */
#define TRY_HAS_ROW(co, part, n)                                                         \
	((PHASE(part, n) != TRIED_YES || (co.row[n] != FREE && co.row[n] < DONE_OK)) &&  \
	 (co.row[n] != CONFIRMING || PHASE(part, n) == TRIED_YES || CREDITED(part, n)))

/* What was told stands on disk, at both shards. */
#define PROMISE_HOLDS(n)                                                                 \
	(told[n] == 0 ||                                                                 \
	 (c_disk.row[n] == told[n] && CREDITED(p_disk, n) == (told[n] == DONE_OK)))

#define CUT(co, part, constant)                                                              \
	:: d_step { !FLOOR_HOLDS(co) -> assert(floor_holds) }                                \
	:: d_step { !HOLDS_ADD_UP(co, part) -> assert(holds_add_up) }                        \
	:: d_step { !MONEY_IS_CONSTANT(co, part) -> assert(constant) }
#define ROW(n)                                                                               \
	:: d_step { !BOTH_OR_NEITHER(c, p, n) -> assert(both_or_neither) }                   \
	:: d_step { !TRY_HAS_ROW(c, p, n) -> assert(try_has_row) }                           \
	:: d_step { !BOTH_OR_NEITHER(c_disk, p_disk, n) -> assert(both_or_neither_on_disk) } \
	:: d_step { !TRY_HAS_ROW(c_disk, p_disk, n) -> assert(try_has_row_on_disk) }         \
	:: d_step { !PROMISE_HOLDS(n) -> assert(promise_stands) }

/* Looks at every state; can move only in one that must not be. */
active proctype oracle()
{
end:	do
	CUT(c, p, money_is_constant)
	CUT(c_disk, p_disk, money_is_constant_on_disk)
	EACH(ROW)
	od
}
