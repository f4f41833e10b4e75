/* SPDX-License-Identifier: Apache-2.0 */
#include "client/congestion.h"

void client_congestion_init(struct client_congestion *congestion, uint32_t window_max)
{
	*congestion = (struct client_congestion){
	    .window = window_max < WINDOW_FIRST ? window_max : WINDOW_FIRST,
	    .threshold = window_max,
	    .window_max = window_max,
	    .rto_ns = RTO_FIRST_NS,
	    .tokens = PACE_BURST,
	};
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
	if (value < low)
		return low;
	return value > high ? high : value;
}

static void sample(struct client_congestion *congestion, uint64_t elapsed_ns)
{
	if (congestion->srtt_ns == 0) {
		congestion->srtt_ns = elapsed_ns;
		congestion->rttvar_ns = elapsed_ns / 2;
	} else {
		const uint64_t srtt = congestion->srtt_ns;
		const uint64_t off = srtt > elapsed_ns ? srtt - elapsed_ns : elapsed_ns - srtt;
		congestion->rttvar_ns = (3 * congestion->rttvar_ns + off) / 4;
		congestion->srtt_ns = (7 * srtt + elapsed_ns) / 8;
	}
	congestion->rto_ns =
	    clamp(congestion->srtt_ns + 4 * congestion->rttvar_ns, RTO_MIN_NS, RTO_MAX_NS);
}

void client_congestion_answered(struct client_congestion *congestion, uint64_t elapsed_ns,
				bool repeated, bool limited)
{
	elapsed_ns = clamp(elapsed_ns, 1, RTO_MAX_NS);
	if (!repeated) {
		sample(congestion, elapsed_ns);
		congestion->doublings = 0;
	}

	if (!limited || congestion->window >= congestion->window_max)
		return;
	if (congestion->window < congestion->threshold)
		congestion->window += 1.0;
	else
		congestion->window += 1.0 / congestion->window;
	if (congestion->window > congestion->window_max)
		congestion->window = congestion->window_max;
}

static void cut(struct client_congestion *congestion, uint64_t now_ns, double keep,
		uint64_t pause_ns)
{
	const double low =
	    congestion->window_max < WINDOW_MIN ? congestion->window_max : WINDOW_MIN;

	/* What was lost together is one sign of congestion, not many. */
	if (congestion->cut_ns != 0 && now_ns - congestion->cut_ns < pause_ns)
		return;
	congestion->cut_ns = now_ns;
	congestion->window *= keep;
	if (congestion->window < low)
		congestion->window = low;
	congestion->threshold = congestion->window;
}

void client_congestion_lost(struct client_congestion *congestion, unsigned doublings,
			    uint64_t now_ns)
{
	if (congestion->doublings <= doublings)
		congestion->doublings = doublings + 1;
	cut(congestion, now_ns, 0.5, congestion->rto_ns);
}

void client_congestion_busy(struct client_congestion *congestion, uint64_t now_ns)
{
	cut(congestion, now_ns, 0.75, congestion->srtt_ns);
}

/* Tokens a nanosecond. */
static double pace(const struct client_congestion *congestion)
{
	const double gain = congestion->window < congestion->threshold ? 2.0 : 1.25;
	const uint64_t trip_ns = congestion->srtt_ns ? congestion->srtt_ns : RTO_FIRST_NS;

	return gain * congestion->window / (double)trip_ns;
}

uint32_t client_congestion_may_send(struct client_congestion *congestion, uint32_t wanted,
				    uint64_t now_ns)
{
	if (congestion->paced_ns != 0)
		congestion->tokens += pace(congestion) * (double)(now_ns - congestion->paced_ns);
	if (congestion->tokens > PACE_BURST)
		congestion->tokens = PACE_BURST;
	congestion->paced_ns = now_ns;
	const uint32_t tokens = (uint32_t)congestion->tokens;
	if (wanted <= tokens)
		return wanted;
	return tokens < PACE_FEW ? 0 : tokens;
}

void client_congestion_sent(struct client_congestion *congestion, uint32_t count)
{
	congestion->tokens -= count;
}

uint64_t client_congestion_pause_ns(const struct client_congestion *congestion, uint32_t wanted)
{
	const double few = wanted < PACE_FEW ? wanted : PACE_FEW;
	const double missing = few - congestion->tokens;

	/* One more, so that rounding never asks for a pause that brings too little. */
	return missing <= 0 ? 0 : (uint64_t)(missing / pace(congestion)) + 1;
}

/* Doubles `first` `times` times, up to `max`, then varies it between 3/4 and 5/4. */
static uint64_t backoff(uint64_t first, unsigned times, uint64_t max, uint64_t random)
{
	uint64_t wait = first;

	for (unsigned i = 0; i < times && wait < max; i++)
		wait *= 2;
	if (wait > max)
		wait = max;
	return wait - wait / 4 + random % (wait / 2 + 1);
}

unsigned client_congestion_doublings(const struct client_congestion *congestion, unsigned repeats)
{
	return repeats > congestion->doublings ? repeats : congestion->doublings;
}

uint64_t client_congestion_wait_ns(const struct client_congestion *congestion, unsigned doublings,
				   uint64_t random)
{
	return backoff(congestion->rto_ns, doublings, BACKOFF_MAX_NS, random);
}

uint64_t client_congestion_ask_ns(const struct client_congestion *congestion, unsigned repeats,
				  uint64_t random)
{
	const uint64_t first = congestion->srtt_ns > ASK_MIN_NS ? congestion->srtt_ns : ASK_MIN_NS;

	return backoff(first, repeats, ASK_MAX_NS, random);
}
