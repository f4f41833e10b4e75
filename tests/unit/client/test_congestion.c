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
	client_congestion_lost(&congestion, 7 * MS);
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
		client_congestion_lost(&congestion, now + i);
	cr_expect(congestion.window == 50);
	client_congestion_lost(&congestion, now + congestion.rto_ns);
	cr_expect(congestion.window == 25);
	answers(25, MS);
	cr_expect(congestion.window > 25.9 && congestion.window <= 26);
	for (unsigned i = 2; i < 40; i++)
		client_congestion_lost(&congestion, now + i * 10000 * MS);
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

Test(congestion, a_repeated_datagram_can_only_lengthen_the_estimate)
{
	client_congestion_init(&congestion, 100);
	answers(50, 100 * MS);
	const uint64_t before = congestion.srtt_ns;
	client_congestion_answered(&congestion, MS, true, true);
	cr_expect(congestion.srtt_ns == before);
	client_congestion_answered(&congestion, 500 * MS, true, true);
	cr_expect(congestion.srtt_ns > before);
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
