/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "client/congestion.h"

#define MS 1000000ull

static struct client_congestion congestion;

static void answers(unsigned count, uint64_t elapsed_ns)
{
	for (unsigned i = 0; i < count; i++)
		client_congestion_answered(&congestion, elapsed_ns, false, true);
}

Test(congestion, starts_small_and_never_passes_its_limit)
{
	client_congestion_init(&congestion, 1000);
	cr_expect(congestion.window == WINDOW_FIRST);
	answers(32, MS);
	cr_expect(congestion.window == 64, "doubles in a round trip");
	answers(100000, MS);
	cr_expect(congestion.window == 1000);
	client_congestion_init(&congestion, 5);
	cr_expect(congestion.window == 5);
	client_congestion_init(&congestion, 1);
	client_congestion_lost(&congestion, 0, 7 * MS);
	cr_expect(congestion.window == 1);
}

Test(congestion, does_not_grow_while_nobody_needs_it)
{
	client_congestion_init(&congestion, 1000);
	for (unsigned i = 0; i < 1000; i++)
		client_congestion_answered(&congestion, MS, false, false);
	cr_expect(congestion.window == WINDOW_FIRST);
}

Test(congestion, a_loss_halves_it_once_a_round_and_it_grows_slowly_from_there)
{
	client_congestion_init(&congestion, 1000);
	answers(68, MS); /* to 100 */
	const uint64_t now = 1000 * MS;
	for (unsigned i = 0; i < 20; i++)
		client_congestion_lost(&congestion, 0, now + i);
	cr_expect(congestion.window == 50);
	client_congestion_lost(&congestion, 0, now + congestion.rto_ns);
	cr_expect(congestion.window == 25);
	answers(25, MS);
	cr_expect(congestion.window > 25.9 && congestion.window <= 26);
	for (unsigned i = 2; i < 40; i++)
		client_congestion_lost(&congestion, 0, now + i * 10000 * MS);
	cr_expect(congestion.window == WINDOW_MIN);
}

Test(congestion, busy_takes_a_quarter_off)
{
	client_congestion_init(&congestion, 1000);
	answers(68, MS);
	client_congestion_busy(&congestion, 1000 * MS);
	client_congestion_busy(&congestion, 1000 * MS + 1);
	cr_expect(congestion.window == 75);
}

Test(congestion, the_wait_follows_the_round_trips)
{
	client_congestion_init(&congestion, 100);
	cr_expect(congestion.rto_ns == RTO_FIRST_NS);
	answers(1, 100 * MS);
	cr_expect(congestion.srtt_ns == 100 * MS);
	cr_expect(congestion.rto_ns == 300 * MS); /* RFC 6298: R + 4 * R/2 */
	answers(200, 100 * MS);
	cr_expect(congestion.rto_ns < 101 * MS);
	answers(200, MS / 10);
	cr_expect(congestion.rto_ns == RTO_MIN_NS);
	answers(200, 10000 * MS);
	cr_expect(congestion.rto_ns == RTO_MAX_NS);
}

Test(congestion, a_repeated_datagram_is_not_timed)
{
	client_congestion_init(&congestion, 100);
	answers(50, 100 * MS);
	const uint64_t srtt = congestion.srtt_ns, rto = congestion.rto_ns;
	client_congestion_answered(&congestion, MS, true, true);
	client_congestion_answered(&congestion, 500 * MS, true, true);
	cr_expect(congestion.srtt_ns == srtt && congestion.rto_ns == rto);
}

Test(congestion, a_doubled_wait_stays_until_a_datagram_sent_once_is_answered)
{
	client_congestion_init(&congestion, 100);
	answers(50, 10 * MS);
	cr_expect(client_congestion_doublings(&congestion, 0) == 0);
	for (unsigned i = 0; i < 20; i++) /* lost together */
		client_congestion_lost(&congestion, 0, 1000 * MS);
	cr_expect(client_congestion_doublings(&congestion, 0) == 1);
	client_congestion_lost(&congestion, 1, 2000 * MS);
	cr_expect(client_congestion_doublings(&congestion, 0) == 2);
	cr_expect(client_congestion_doublings(&congestion, 3) == 3);
	client_congestion_answered(&congestion, 500 * MS, true, true);
	cr_expect(client_congestion_doublings(&congestion, 0) == 2);
	client_congestion_answered(&congestion, 10 * MS, false, true);
	cr_expect(client_congestion_doublings(&congestion, 0) == 0);
}

/* Round trips become longer than the wait: every datagram is repeated until the wait has grown. */
Test(congestion, a_wait_that_is_too_short_grows_long_enough)
{
	for (uint64_t trip = 51 * MS; trip < 900 * MS; trip += MS) {
		client_congestion_init(&congestion, 100);
		answers(50, 10 * MS);
		unsigned datagrams = 0;
		for (bool repeated = true; repeated; datagrams++) {
			unsigned repeats = 0;
			uint64_t passed = 0;
			for (;;) {
				const unsigned doublings =
				    client_congestion_doublings(&congestion, repeats);
				passed += client_congestion_wait_ns(&congestion, doublings, 0);
				if (passed >= trip)
					break;
				client_congestion_lost(&congestion, doublings, passed);
				repeats++;
			}
			repeated = repeats > 0;
			client_congestion_answered(&congestion, trip, repeated, true);
			cr_assert(datagrams < 10, "%.0f ms", (double)trip / 1e6);
		}
		cr_expect(congestion.srtt_ns > 10 * MS);
	}
}

Test(congestion, waits_double_up_to_a_limit_and_vary_by_a_quarter)
{
	client_congestion_init(&congestion, 100);
	answers(50, 100 * MS);
	for (unsigned repeats = 0; repeats < 40; repeats++) {
		uint64_t middle = congestion.rto_ns;
		for (unsigned i = 0; i < repeats && middle < BACKOFF_MAX_NS; i++)
			middle *= 2;
		middle = middle < BACKOFF_MAX_NS ? middle : BACKOFF_MAX_NS;
		uint64_t low = UINT64_MAX, high = 0;
		for (uint64_t random = 0; random < 1000; random++) {
			const uint64_t wait = client_congestion_wait_ns(
			    &congestion, repeats, random * 0x9e3779b97f4a7c15ull);
			low = wait < low ? wait : low;
			high = wait > high ? wait : high;
		}
		cr_expect(low >= middle / 4 * 3 && low < middle / 100 * 80);
		cr_expect(high <= middle / 4 * 5 + 4 && high > middle / 100 * 120);
	}
	cr_expect(client_congestion_ask_ns(&congestion, 40, 0) <= ASK_MAX_NS);
}

/* Sends as much as it may over `span_ns`, looking every 10 us; returns how much. */
static unsigned send_over(uint64_t from_ns, uint64_t span_ns)
{
	unsigned sent = 0;

	for (uint64_t now = from_ns; now < from_ns + span_ns; now += 10000) {
		const uint32_t count = client_congestion_may_send(&congestion, 1000, now);
		cr_assert(count <= PACE_BURST, "%u at once", count);
		cr_assert(count == 0 || count >= PACE_FEW, "%u at a time", count);
		client_congestion_sent(&congestion, count);
		sent += count;
	}
	return sent;
}

Test(congestion, a_window_is_spread_over_a_round_trip)
{
	client_congestion_init(&congestion, 1000);
	answers(168, 10 * MS); /* to 200 */
	client_congestion_lost(&congestion, 0, 1000 * MS);
	cr_expect(congestion.window == 100);
	/* A burst, and then 100 datagrams and a quarter in 10 ms. */
	const unsigned sent = send_over(1000 * MS, 10 * MS);
	cr_expect(sent > 132 && sent <= 157, "%u", sent);
	const unsigned more = send_over(1010 * MS, 10 * MS);
	cr_expect(more > 110 && more <= 133, "%u", more);
	/* A pause earns no more than a burst. */
	cr_expect(client_congestion_may_send(&congestion, 1000, 9000 * MS) == PACE_BURST);
}

Test(congestion, a_pause_is_as_long_as_it_must_be)
{
	client_congestion_init(&congestion, 1000);
	answers(10, 10 * MS);
	for (unsigned wanted = 1; wanted < 100; wanted++) {
		uint64_t now = wanted * 1000 * MS;
		client_congestion_sent(&congestion,
				       client_congestion_may_send(&congestion, 32, now));
		cr_expect(client_congestion_may_send(&congestion, wanted, now) == 0);
		const uint64_t pause = client_congestion_pause_ns(&congestion, wanted);
		cr_expect(pause > 0 && pause < 10 * MS);
		now += pause;
		cr_expect(client_congestion_may_send(&congestion, wanted, now) > 0, "%u", wanted);
	}
}

Test(congestion, few_datagrams_are_not_kept_waiting)
{
	client_congestion_init(&congestion, 1000);
	cr_expect(client_congestion_may_send(&congestion, 1, 5 * MS) == 1);
	cr_expect(client_congestion_may_send(&congestion, 32, 5 * MS) == 32);
	client_congestion_sent(&congestion, 30);
	cr_expect(client_congestion_may_send(&congestion, 2, 5 * MS) == 2);
	cr_expect(client_congestion_may_send(&congestion, 3, 5 * MS) == 0);
}
