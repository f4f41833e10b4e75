/* SPDX-License-Identifier: Apache-2.0
 *
 * libgiro against a stand-in engine that answers: opening, sending, waiting, every kind of call.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client/congestion.h"
#include "tests/unit/client/session_stand.h"

/* In place of libc's: counts the messages that the kernel is to cut up, and refuses them as one does
 * that cannot. */
static struct {
	int refuse_with; /* errno; zero: takes them */
	unsigned asked;
	unsigned datagrams; /* in messages that were taken */
} segments;

int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	for (unsigned i = 0; i < count; i++) {
		if (messages[i].msg_hdr.msg_controllen == 0)
			continue;
		segments.asked++;
		if (segments.refuse_with != 0) {
			errno = segments.refuse_with;
			return i > 0 ? (int)syscall(SYS_sendmmsg, fd, messages, i, flags) : -1;
		}
		segments.datagrams += (unsigned)messages[i].msg_hdr.msg_iovlen;
	}
	return (int)syscall(SYS_sendmmsg, fd, messages, count, flags);
}

Test(session, opens_and_says_what_it_found)
{
	start(3);
	open_session((struct giro_options){0});
	const struct giro_info *info = giro_info(giro);
	cr_expect(info->shards == 3);
	cr_expect(info->log_id == 11);
	cr_expect(info->committed == 77);
	cr_expect(info->window_ms == 60000);
	cr_expect(info->ahead_ms == 5000);
	cr_expect(info->datagram_bytes == 1472);
	cr_expect(info->datagram_records == 22);
	for (unsigned i = 0; i < 3; i++)
		cr_expect(info->port[i] == engine.port[i]);
	cr_expect(info->port[3] == 0);
	cr_expect(engine.infos >= 4);
	finish();
}

/* What is asked for, what the engine allows, what comes of it. */
Test(session, datagrams_are_as_large_as_both_sides_allow)
{
	static const struct {
		uint32_t bytes, records;
		uint16_t engine_bytes, engine_records;
		uint32_t want_records;
	} rows[] = {
	    {0, 0, 8972, 139, 22},    {8972, 0, 8972, 139, 139},  {8972, 0, 1472, 139, 22},
	    {8972, 0, 8972, 50, 50},  {8972, 7, 8972, 139, 7},	  {0, 1, 8972, 139, 1},
	    {1248, 0, 8972, 139, 19}, {1472, 999, 8972, 139, 22},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(&engine, 0, sizeof(engine));
		engine.datagram_max = rows[i].engine_bytes;
		engine.records_max = rows[i].engine_records;
		start(1);
		open_session((struct giro_options){
		    .datagram_bytes = rows[i].bytes,
		    .datagram_records = rows[i].records,
		});
		run(1000);
		cr_expect(engine.records_largest == rows[i].want_records, "row %u: %u records", i,
			  (unsigned)engine.records_largest);
		finish();
	}
}

Test(session, open_says_what_is_wrong)
{
	static const struct {
		const char *server;
		uint32_t datagram_bytes, in_flight;
		int error;
		const char *says;
	} rows[] = {
	    {"", 0, 0, GIRO_BAD_ADDRESS, "HOST"},
	    {"127.0.0.1:", 0, 0, GIRO_BAD_ADDRESS, "port"},
	    {"127.0.0.1:0", 0, 0, GIRO_BAD_ADDRESS, "port"},
	    {"127.0.0.1:65536", 0, 0, GIRO_BAD_ADDRESS, "port"},
	    {"127.0.0.1:7400x", 0, 0, GIRO_BAD_ADDRESS, "port"},
	    {"127.0.0.1:1", 0, 0, GIRO_NO_ANSWER, "nothing listens"},
	    {"127.0.0.1:7400", 1247, 0, GIRO_BAD_OPTION, "datagram_bytes"},
	    {"127.0.0.1:7400", 8973, 0, GIRO_BAD_OPTION, "datagram_bytes"},
	    {"127.0.0.1:7400", 0, 16385, GIRO_BAD_OPTION, "in_flight"},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct giro_options options = {
		    .bytes = sizeof(options),
		    .datagram_bytes = rows[i].datagram_bytes,
		    .in_flight = rows[i].in_flight,
		    .open_timeout_ms = 1000,
		};
		char message[GIRO_MESSAGE_BYTES];
		const int error = giro_open(&giro, rows[i].server, &options, message);
		cr_expect(error == rows[i].error, "row %u: %s", i, giro_outcome_name(error));
		cr_expect(giro == NULL);
		cr_expect(strstr(message, rows[i].says) != NULL, "row %u: \"%s\"", i, message);
	}
}

Test(session, open_tells_apart_what_answers)
{
	static const struct {
		bool bad_info, silent;
		uint16_t version_max;
		int error;
	} rows[] = {
	    {true, false, 1, GIRO_BAD_INFO},
	    {false, true, 1, GIRO_NO_ANSWER},
	    {false, false, 2, GIRO_BAD_VERSION},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct giro_options options = {
		    .bytes = sizeof(options),
		    .open_timeout_ms = rows[i].silent ? 300 : 20000,
		};
		memset(&engine, 0, sizeof(engine));
		engine.bad_info = rows[i].bad_info;
		engine.silent = rows[i].silent;
		engine.version_max = rows[i].version_max;
		start(1);
		const int error = giro_open(&giro, stand_in_server(&engine), &options, NULL);
		cr_expect(error == rows[i].error, "row %u: %s", i, giro_outcome_name(error));
		stand_in_end(&engine);
	}
}

Test(session, datagrams_of_one_size_are_one_message)
{
	start(2);
	open_session((struct giro_options){.timeout_ms = 20000});
	run(5000);
	cr_expect(done() == 5000);
	/* The first window of each shard at least; later it may be one for each answer. */
	cr_expect(segments.datagrams >= 2 * (unsigned)WINDOW_FIRST, "%u", segments.datagrams);
	finish();
}

static void refuse_segments(int why)
{
	segments.refuse_with = why;
	start(1);
	open_session((struct giro_options){.timeout_ms = 20000});
	run(5000);
	cr_expect(done() == 5000);
	cr_expect(giro_statistics(giro)->send_errors == 0);
	cr_expect(segments.asked == 1, "%u times", segments.asked);
	finish();
}

Test(session, a_device_that_cuts_up_no_messages_is_asked_once)
{
	refuse_segments(EIO);
}

Test(session, a_kernel_that_cuts_up_no_messages_is_asked_once)
{
	refuse_segments(EINVAL);
}

static double cpu_s(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* Far more than it takes, and a tenth of what a wait that spins would take. */
#define CPU_OF_A_WAIT_S 0.15

Test(session, waits_asleep)
{
	engine.fate = lose_all;
	start(4);
	open_session((struct giro_options){.timeout_ms = 1500, .linger_us = 300});
	submit(3000); /* more than the window lets go */
	const double before = cpu_s();
	while (tally.completions < 3000)
		collect(3000, -1);
	cr_expect(tally.by_outcome[GIRO_TIMED_OUT + 16] == 3000);
	cr_expect(cpu_s() - before < CPU_OF_A_WAIT_S, "%.3f s", cpu_s() - before);
	finish();
}

Test(session, is_full_at_its_capacity_and_not_before)
{
	struct giro_completion completion;

	engine.fate = lose_all;
	start(1);
	open_session((struct giro_options){.timeout_ms = 300, .in_flight = 1});
	unsigned submitted = 0;
	struct giro_transfer record;
	for (;;) {
		record = transfer(submitted);
		if (giro_submit_transfer(giro, &record, submitted) != 0)
			break;
		submitted++;
	}
	cr_expect(submitted == giro_capacity(giro));
	cr_expect(giro_outstanding(giro) == submitted);
	/* Completions that nobody takes keep the session full. */
	const double deadline = now_s() + DEADLINE_S;
	while (giro_statistics(giro)->timeouts < submitted && now_s() < deadline)
		giro_poll(giro, NULL, 0, 0);
	cr_expect(giro_submit_transfer(giro, &record, 0) == GIRO_FULL);
	cr_expect(giro_transfer_wait(giro, &record) == GIRO_FULL);
	cr_assert(giro_poll(giro, &completion, 1, 0) == 1);
	cr_expect(completion.context == 0);
	cr_expect(completion.outcome == GIRO_TIMED_OUT);
	cr_expect(giro_submit_transfer(giro, &record, 0) == 0);
	finish();
}

/* An event loop that does nothing unless the descriptor is readable. */
Test(session, its_descriptor_drives_an_event_loop)
{
	const double deadline = now_s() + DEADLINE_S;

	engine.fate = mixture;
	start(4);
	open_session((struct giro_options){.timeout_ms = 50000, .linger_us = 500});
	submit(3000);
	collect(3000, 0);
	while (tally.completions < 3000) {
		struct pollfd readable = {.fd = giro_fd(giro), .events = POLLIN};
		cr_assert(poll(&readable, 1, DEADLINE_S * 1000) == 1, "the descriptor sleeps");
		collect(3000, 0);
		cr_assert(now_s() < deadline);
	}
	cr_expect(done() == 3000);
	finish();
}

Test(session, blocking_calls_leave_other_completions_alone)
{
	start(2);
	open_session((struct giro_options){0});
	submit(100);
	const struct giro_transfer record = transfer(7);
	cr_expect(giro_transfer_wait(giro, &record) == GIRO_OK);
	complete(100);
	finish();
}

Test(session, looks_up_accounts_and_transfers)
{
	struct giro_account found = {0};

	engine.judge = hesitant;
	start(2);
	open_session((struct giro_options){0});
	cr_expect(giro_account_wait(giro, account(3), &found) == GIRO_OK);
	cr_expect(found.account.lo == 4 && found.account.hi == 77);
	cr_expect(found.balance == -5);
	cr_expect(found.held == 6);
	cr_expect(found.incoming == 7);
	cr_expect(found.floor == -8);
	cr_expect(found.ledger == 9);
	cr_expect(found.flags == GIRO_ACCOUNT_FROZEN);
	cr_expect(found.epoch == 78);
	const struct giro_id missing = {.lo = 1, .hi = 404};
	cr_expect(giro_account_wait(giro, missing, &found) == GIRO_ACCOUNT_NOT_FOUND);

	struct giro_transfer record = transfer(1);
	record.id.lo = record.id.lo / 60 * 60 + 5; /* refused by the script, at once */
	cr_expect(giro_transfer_wait(giro, &record) == GIRO_INSUFFICIENT_FUNDS);
	cr_expect(giro_transfer_outcome_wait(giro, record.id, record.debit) ==
		  GIRO_INSUFFICIENT_FUNDS);
	cr_expect(giro_transfer_outcome_wait(giro, giro_id_new(giro), record.debit) ==
		  GIRO_TRANSFER_NOT_FOUND);
	finish();
}

Test(session, account_operations_and_ping)
{
	uint64_t round_trip_us = 0;

	start(2);
	open_session((struct giro_options){0});
	cr_expect(giro_account_create(giro, account(1), 1, 0) == GIRO_OK);
	cr_expect(giro_account_freeze(giro, account(1)) == GIRO_OK);
	cr_expect(giro_account_unfreeze(giro, account(1)) == GIRO_OK);
	cr_expect(giro_account_close(giro, account(1)) == GIRO_OK);
	cr_expect(engine.executed == 4);
	cr_expect(engine.malformed == 0);
	const unsigned infos = engine.infos;
	cr_expect(giro_ping(giro, 5000, &round_trip_us) == 0);
	cr_expect(engine.infos > infos);
	stand_in_stop(&engine);
	cr_expect(giro_ping(giro, 200, &round_trip_us) == GIRO_TIMED_OUT);
	stand_in_start(&engine);
	cr_expect(giro_ping(giro, 5000, &round_trip_us) == 0);
	finish();
}

/* Offset of the engine's clock against ahead_ms = 5000: ids carry this machine's time unless the
 * two are too far apart. */
Test(session, ids_follow_the_engines_clock_when_this_one_is_far_off)
{
	static const struct {
		int64_t offset_ms;
		bool corrected;
	} rows[] = {{0, false}, {-3000, false}, {3000, false}, {-3600000, true}, {3600000, true}};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct timespec now;
		memset(&engine, 0, sizeof(engine));
		engine.clock_offset_ms = rows[i].offset_ms;
		start(1);
		open_session((struct giro_options){0});
		clock_gettime(CLOCK_REALTIME, &now);
		const int64_t wall_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
		const int64_t id_ms = (int64_t)(giro_id_new(giro).hi >> 16);
		const int64_t want_ms = rows[i].corrected ? wall_ms + rows[i].offset_ms : wall_ms;
		cr_expect(id_ms > want_ms - 60000 && id_ms < want_ms + 60000, "row %u", i);
		finish();
	}
}
