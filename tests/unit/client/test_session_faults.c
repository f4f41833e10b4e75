/* SPDX-License-Identifier: Apache-2.0
 *
 * libgiro against a stand-in engine that loses, repeats, reorders, refuses and starts anew.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "client/congestion.h"
#include "tests/unit/client/session_stand.h"

Test(session_faults, each_record_goes_to_its_shard_once)
{
	start(4);
	open_session((struct giro_options){0});
	run(20000);
	cr_expect(done() == 20000);
	cr_expect(engine.executed == 20000);
	cr_expect(engine.wrong_port == 0);
	cr_expect(engine.misplaced == 0);
	cr_expect(giro_statistics(giro)->replies_bad == 0);
	finish();
}

Test(session_faults, survives_loss_repetition_reordering_and_damage)
{
	engine.fate = mixture;
	start(4);
	open_session((struct giro_options){.timeout_ms = 50000});
	run(5000);
	cr_expect(done() == 5000);
	cr_expect(engine.executed == 5000);
	const struct giro_statistics *statistics = giro_statistics(giro);
	cr_expect(statistics->retransmits > 0);
	cr_expect(statistics->replies_stale > 0);
	cr_expect(statistics->replies_bad > 0);
	cr_expect(statistics->datagrams_busy > 0);
	cr_expect(statistics->completions == 5000);
	finish();
}

Test(session_faults, sends_again_only_what_was_transient)
{
	engine.judge = hesitant;
	start(2);
	open_session((struct giro_options){.timeout_ms = 50000});
	run(5000);
	cr_expect(engine.executed == 5000);
	cr_expect(done() + tally.by_outcome[GIRO_INSUFFICIENT_FUNDS + 16] == 5000);
	cr_expect(tally.by_outcome[GIRO_INSUFFICIENT_FUNDS + 16] > 0);
	cr_expect(giro_statistics(giro)->records_pending > 0);
	cr_expect(giro_statistics(giro)->records_busy > 0);
	/* A wait for the disk of this machine may look like a loss; without one, none is sent
	 * without need. */
	if (giro_statistics(giro)->retransmits == 0)
		cr_expect(engine.needless_repeats == 0);
	finish();
}

Test(session_faults, follows_a_map_that_changes_under_it)
{
	start(4);
	open_session((struct giro_options){.timeout_ms = 50000});
	run(2000);
	engine.rotate = 1;
	engine.map_version = 2;
	/* A map that was read just now is not read again at once. */
	const double deadline = now_s() + DEADLINE_S;
	while (giro_info(giro)->map_version != 2) {
		run(1000);
		cr_expect(done() == 1000);
		cr_assert(now_s() < deadline);
	}
	cr_expect(giro_statistics(giro)->map_refreshes >= 1);
	cr_expect(giro_statistics(giro)->records_misplaced > 0);
	/* With the new map all goes to the right port again. */
	engine.wrong_port = 0;
	engine.misplaced = 0;
	run(2000);
	cr_expect(engine.wrong_port == 0);
	cr_expect(engine.misplaced == 0);
	finish();
}

/* The map changes without a new version: WRONG_SHARD is all that the client hears of it. */
Test(session_faults, a_misplaced_record_alone_makes_it_read_the_map)
{
	start(4);
	open_session((struct giro_options){.timeout_ms = 50000});
	engine.rotate = 3;
	submit(20);
	complete(20);
	cr_expect(done() == 20);
	cr_expect(giro_statistics(giro)->records_misplaced > 0);
	cr_expect(giro_statistics(giro)->map_refreshes > 0);
	cr_expect(engine.executed_again == 0);
	finish();
}

Test(session_faults, survives_a_restart_of_the_engine)
{
	const double deadline = now_s() + DEADLINE_S;

	start(2);
	open_session((struct giro_options){.timeout_ms = 50000});
	run(1000);
	stand_in_stop(&engine);
	submit(500);
	while (giro_statistics(giro)->unreachable == 0 || giro_statistics(giro)->retransmits == 0) {
		collect(500, 1000);
		cr_assert(now_s() < deadline);
	}
	cr_expect(tally.completions == 0);
	stand_in_start(&engine);
	complete(500);
	cr_expect(done() == 500);
	cr_expect(engine.executed == 1500);
	cr_expect(engine.altered_repeats == 0);
	finish();
}

Test(session_faults, survives_a_restart_with_fewer_shards_and_smaller_datagrams)
{
	const double deadline = now_s() + DEADLINE_S;

	start(4);
	open_session((struct giro_options){.timeout_ms = 50000});
	run(1000);
	stand_in_stop(&engine);
	submit(500);
	while (giro_statistics(giro)->retransmits == 0) {
		collect(500, 1000);
		cr_assert(now_s() < deadline);
	}
	engine.shards = 2;
	engine.records_max = 5;
	engine.records_largest = 0;
	engine.map_version = 2;
	stand_in_start(&engine);
	complete(500);
	cr_expect(done() == 500);
	cr_expect(engine.executed_again == 0);
	engine.records_largest = 0;
	run(500);
	cr_expect(engine.records_largest == 5);
	cr_expect(giro_info(giro)->shards == 2);
	finish();
}

Test(session_faults, a_time_out_is_told_and_the_same_id_tells_the_outcome)
{
	engine.fate = lose_all;
	start(1);
	open_session((struct giro_options){.timeout_ms = 300});
	const struct giro_transfer record = transfer(0);
	cr_expect(giro_transfer_wait(giro, &record) == GIRO_TIMED_OUT);
	cr_expect(giro_statistics(giro)->timeouts == 1);
	cr_assert(engine.executed == 1);
	cr_expect(giro_outstanding(giro) == 0);
	engine.rotate = 1; /* with one shard: answer from now on */
	const double deadline = now_s() + DEADLINE_S;
	int outcome = GIRO_TIMED_OUT;
	while (outcome == GIRO_TIMED_OUT && now_s() < deadline)
		outcome = giro_transfer_wait(giro, &record);
	cr_expect(outcome == GIRO_OK);
	cr_expect(engine.executed == 1);
	cr_expect(stand_in_times(&engine, record.id.lo, record.id.hi) >= 2);
	finish();
}

Test(session_faults, all_time_out_once_when_nothing_answers)
{
	engine.fate = lose_all;
	start(1);
	open_session((struct giro_options){.timeout_ms = 400, .in_flight = 8});
	run(3000);
	cr_expect(tally.by_outcome[GIRO_TIMED_OUT + 16] == 3000);
	finish();
}

static enum fate answer_the_first_copy_only(struct stand_in *stand_in, unsigned n)
{
	(void)stand_in;
	return n == 0 ? LATE : LATE_INSTEAD;
}

Test(session_faults, the_reply_to_any_copy_counts)
{
	engine.fate = answer_the_first_copy_only;
	start(1);
	open_session((struct giro_options){.timeout_ms = 20000});
	run(22);
	cr_expect(done() == 22);
	cr_expect(giro_statistics(giro)->retransmits > 0);
	finish();
}

/* A window that stays full: the engine says BUSY to whatever comes. */
static unsigned always_busy(struct stand_in *stand_in, uint64_t id_lo, unsigned times)
{
	(void)id_lo;
	(void)times;
	return stand_in->rotate == 0 ? GIRO_BUSY : GIRO_OK;
}

Test(session_faults, busy_for_long_is_asked_ever_more_rarely)
{
	engine.judge = always_busy;
	start(1);
	open_session((struct giro_options){.timeout_ms = 1500});
	const struct giro_transfer record = transfer(0);
	cr_expect(giro_transfer_wait(giro, &record) == GIRO_TIMED_OUT);
	/* 1.5 s of 2 ms waits would be hundreds. */
	const unsigned times = stand_in_times(&engine, record.id.lo, record.id.hi);
	cr_expect(times >= 2 && times < 30, "%u", times);
	finish();
}

static enum fate garble(struct stand_in *stand_in, unsigned n)
{
	(void)stand_in;
	return n < 2 ? GARBLED : ANSWER;
}

Test(session_faults, a_reply_that_contradicts_its_request_is_ignored)
{
	engine.fate = garble;
	start(1);
	open_session((struct giro_options){0});
	run(22);
	cr_expect(done() == 22);
	cr_expect(giro_statistics(giro)->replies_bad > 0);
	finish();
}

static enum fate wrong_version(struct stand_in *stand_in, unsigned n)
{
	(void)stand_in;
	(void)n;
	return VERSION_WHOLE;
}

Test(session_faults, a_refusal_of_the_datagram_is_each_records_outcome)
{
	engine.fate = wrong_version;
	start(1);
	open_session((struct giro_options){0});
	run(100);
	cr_expect(tally.by_outcome[GIRO_BAD_VERSION + 16] == 100);
	cr_expect(engine.executed == 0);
	finish();
}

Test(session_faults, another_log_ends_the_session)
{
	start(2);
	open_session((struct giro_options){.timeout_ms = 50000});
	run(100);
	stand_in_stop(&engine);
	submit(100);
	engine.log_id = 12;
	engine.fate = lose_all; /* so that INFO speaks first */
	stand_in_start(&engine);
	complete(100);
	cr_expect(tally.by_outcome[GIRO_LOG_CHANGED + 16] == 100);
	const struct giro_transfer record = transfer(0);
	cr_expect(giro_submit_transfer(giro, &record, 0) == GIRO_LOG_CHANGED);
	cr_expect(giro_transfer_wait(giro, &record) == GIRO_LOG_CHANGED);
	finish();
}
