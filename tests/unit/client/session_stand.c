/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/client/session_stand.h"

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

struct stand_in engine;
struct giro *giro;

double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void start(unsigned shards)
{
	engine.shards = shards;
	engine.log_id = 11;
	engine.map_version = 1;
	stand_in_start(&engine);
}

void open_session(struct giro_options options)
{
	char message[GIRO_MESSAGE_BYTES];

	options.bytes = sizeof(options);
	const int error = giro_open(&giro, stand_in_server(&engine), &options, message);
	cr_assert(error == 0, "%s: %s", giro_outcome_name(error), message);
}

void finish(void)
{
	giro_close(giro);
	stand_in_end(&engine);
}

struct giro_id account(uint64_t i)
{
	return (struct giro_id){.lo = i + 1, .hi = 77};
}

struct giro_transfer transfer(uint64_t i)
{
	return (struct giro_transfer){
	    .id = giro_id_new(giro),
	    .debit = account(i % 100),
	    .credit = account((i + 1) % 100),
	    .amount = 1,
	    .ledger = 1,
	};
}

struct tally tally;

void collect(unsigned count, int64_t timeout_us)
{
	struct giro_completion completions[64];
	const size_t got = giro_poll(giro, completions, 64, timeout_us);

	for (size_t i = 0; i < got; i++) {
		cr_assert(completions[i].context < count);
		tally.outcomes[completions[i].context]++;
		tally.completions++;
		tally.by_outcome[completions[i].outcome + 16]++;
	}
}

void submit(unsigned count)
{
	memset(&tally, 0, sizeof(tally));
	for (unsigned i = 0; i < count; i++) {
		const struct giro_transfer record = transfer(i);
		cr_assert(giro_submit_transfer(giro, &record, i) == 0);
	}
}

void complete(unsigned count)
{
	const double deadline = now_s() + DEADLINE_S;

	while (tally.completions < count) {
		collect(count, 1000);
		cr_assert(now_s() < deadline, "%u of %u outcomes in %d s", tally.completions, count,
			  DEADLINE_S);
	}
}

void run(unsigned count)
{
	const double deadline = now_s() + DEADLINE_S;
	unsigned submitted = 0;

	memset(&tally, 0, sizeof(tally));
	while (tally.completions < count) {
		while (submitted < count) {
			const struct giro_transfer record = transfer(submitted);
			if (giro_submit_transfer(giro, &record, submitted) == GIRO_FULL)
				break;
			submitted++;
		}
		collect(count, 1000);
		cr_assert(now_s() < deadline, "%u of %u outcomes in %d s", tally.completions, count,
			  DEADLINE_S);
	}
	/* Exactly once, also when more copies of answers come in. */
	collect(count, 0);
	cr_expect(tally.completions == count);
	for (unsigned i = 0; i < count; i++)
		cr_expect(tally.outcomes[i] == 1, "transfer %u has %u outcomes", i,
			  tally.outcomes[i]);
	cr_expect(giro_outstanding(giro) == 0);
	cr_expect(engine.executed_again == 0);
	cr_expect(engine.altered_repeats == 0);
	cr_expect(engine.malformed == 0);
}

unsigned done(void)
{
	return tally.by_outcome[GIRO_OK + 16];
}

enum fate mixture(struct stand_in *stand_in, unsigned n)
{
	static const enum fate fates[] = {
	    ANSWER,	LOSE_REQUEST, TWICE, LATE,   LOSE_REPLY, ANSWER, DAMAGED,
	    BUSY_WHOLE, LATE,	      TWICE, ANSWER, ANSWER,	 LATE,
	};

	(void)stand_in;
	return fates[n % (sizeof(fates) / sizeof(fates[0]))];
}

unsigned hesitant(struct stand_in *stand_in, uint64_t id_lo, unsigned times)
{
	(void)stand_in;
	if (id_lo % 3 == 0 && times < 2)
		return GIRO_PENDING;
	if (id_lo % 4 == 1 && times < 1)
		return GIRO_BUSY;
	return id_lo % 5 == 0 ? GIRO_INSUFFICIENT_FUNDS : GIRO_OK;
}

enum fate lose_all(struct stand_in *stand_in, unsigned n)
{
	(void)n;
	return stand_in->rotate == 0 ? LOSE_REPLY : ANSWER;
}
