/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "client/giro.h"
#include "client/uuid7.h"

#define IDS 200000

static bool less(struct id128 a, struct id128 b)
{
	return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}

Test(ids, a_uuid7_has_its_time_version_and_variant)
{
	client_uuid7_last last = 0;
	struct client_random random = {{1, 2, 3, 4}};

	for (unsigned i = 0; i < 1000; i++) {
		const struct id128 id = client_uuid7_new(&last, &random, 0x0123456789abull);
		cr_assert(id_time_ms(id) == 0x0123456789abull);
		cr_assert((id.hi >> 12 & 0xf) == 7);
		cr_assert(id.lo >> 62 == 2);
	}
}

/* The clock as it is read, millisecond by millisecond: standing, stepping back a little, jumping.
 */
Test(ids, ids_only_grow)
{
	static const uint64_t clock[] = {1000, 1000, 1001, 1000, 990,
					 1001, 5000, 4999, 5000, 15000};
	client_uuid7_last last = 0;
	struct client_random random = {{1, 2, 3, 4}};
	struct id128 previous = {0};

	for (unsigned i = 0; i < sizeof(clock) / sizeof(clock[0]); i++) {
		for (unsigned j = 0; j < 100; j++) {
			const struct id128 id = client_uuid7_new(&last, &random, clock[i]);
			cr_assert(less(previous, id), "clock %u", i);
			previous = id;
		}
	}
}

Test(ids, more_ids_than_a_millisecond_holds_run_into_the_next)
{
	client_uuid7_last last = 0;
	struct client_random random = {{1, 2, 3, 4}};
	struct id128 id = {0};

	for (unsigned i = 0; i < 3 * (1u << 14) + 1; i++)
		id = client_uuid7_new(&last, &random, 1000);
	cr_expect(id_time_ms(id) == 1003);
}

Test(ids, a_clock_set_back_is_believed)
{
	client_uuid7_last last = 0;
	struct client_random random = {{1, 2, 3, 4}};

	client_uuid7_new(&last, &random, 100000000);
	const struct id128 id = client_uuid7_new(&last, &random, 50000000);
	cr_expect(id_time_ms(id) == 50000000);
}

static struct id128 made[4][IDS / 4];

static void *make(void *argument)
{
	struct id128 *ids = argument;
	struct client_random random;

	cr_assert(client_random_seed(&random) == 0);
	for (unsigned i = 0; i < IDS / 4; i++)
		ids[i] = client_uuid7_new(&client_uuid7_process, &random, 123456);
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	return less(*(const struct id128 *)a, *(const struct id128 *)b) ? -1 : 1;
}

Test(ids, threads_make_no_id_twice)
{
	static struct id128 all[IDS];
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, make, made[i]);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned j = 1; j < IDS / 4; j++)
			cr_assert(less(made[i][j - 1], made[i][j]));
	}
	memcpy(all, made, sizeof(all));
	qsort(all, IDS, sizeof(all[0]), by_value);
	/* The places alone differ, before any random bit is looked at. */
	for (unsigned i = 1; i < IDS; i++)
		cr_assert(all[i - 1].hi != all[i].hi || all[i - 1].lo >> 60 != all[i].lo >> 60);
}

Test(ids, a_derived_id_depends_on_all_of_its_digest_that_fits)
{
	const struct id128 zero = client_uuid7_derive(77, (struct id128){0, 0});

	cr_expect(id_time_ms(zero) == 77);
	cr_expect((zero.hi >> 12 & 0xf) == 7);
	cr_expect(zero.lo >> 62 == 2);
	for (unsigned bit = 2; bit < 64; bit++)
		cr_expect(!id_equal(zero, client_uuid7_derive(77, (struct id128){1ull << bit, 0})));
	for (unsigned bit = 0; bit < 12; bit++)
		cr_expect(!id_equal(zero, client_uuid7_derive(77, (struct id128){0, 1ull << bit})));
}

Test(ids, text)
{
	static const struct {
		const char *text;
		int error;
		uint64_t hi, lo;
		const char *again; /* as it is written back; NULL: the same */
	} rows[] = {
	    {"0", 0, 0, 0, NULL},
	    {"1", 0, 0, 1, NULL},
	    {"007", 0, 0, 7, "7"},
	    {"18446744073709551615", 0, 0, UINT64_MAX, NULL},
	    {"18446744073709551616", 0, 1, 0, "00000000-0000-0001-0000-000000000000"},
	    {"340282366920938463463374607431768211455", 0, UINT64_MAX, UINT64_MAX,
	     "ffffffff-ffff-ffff-ffff-ffffffffffff"},
	    {"340282366920938463463374607431768211456", -1, 0, 0, NULL},
	    {"999999999999999999999999999999999999999", -1, 0, 0, NULL},
	    {"0123456-89ab", -1, 0, 0, NULL},
	    {"01234567-89ab-7cde-8f01-23456789abcd", 0, 0x0123456789ab7cdeull,
	     0x8f0123456789abcdull, NULL},
	    {"01234567-89AB-7CDE-8F01-23456789ABCD", 0, 0x0123456789ab7cdeull,
	     0x8f0123456789abcdull, "01234567-89ab-7cde-8f01-23456789abcd"},
	    {"01234567-89ab-7cde-8f01-23456789abcg", -1, 0, 0, NULL},
	    {"01234567-89ab-7cde-8f0-123456789abcd", -1, 0, 0, NULL},
	    {"01234567-89ab-7cde-8f01-23456789abcd0", -1, 0, 0, NULL},
	    {"", -1, 0, 0, NULL},
	    {"-1", -1, 0, 0, NULL},
	    {" 1", -1, 0, 0, NULL},
	    {"1 ", -1, 0, 0, NULL},
	    {"0x1", -1, 0, 0, NULL},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct giro_id id = {.lo = 99, .hi = 99};
		char text[GIRO_ID_TEXT_BYTES];
		cr_expect(giro_id_parse(rows[i].text, &id) == rows[i].error, "\"%s\"",
			  rows[i].text);
		if (rows[i].error != 0) {
			cr_expect(id.lo == 99 && id.hi == 99);
			continue;
		}
		cr_expect(id.lo == rows[i].lo && id.hi == rows[i].hi, "\"%s\"", rows[i].text);
		cr_expect_str_eq(giro_id_format(id, text),
				 rows[i].again ? rows[i].again : rows[i].text);
	}
}

Test(outcome, has_a_name_and_a_text)
{
	cr_expect_str_eq(giro_outcome_name(GIRO_OK), "OK");
	cr_expect_str_eq(giro_outcome_name(GIRO_ACCOUNT_NOT_EMPTY), "ACCOUNT_NOT_EMPTY");
	cr_expect_str_eq(giro_outcome_name(99), "UNKNOWN_STATUS");
	cr_expect_str_eq(giro_outcome_name(-99), "UNKNOWN_ERROR");
	for (int i = GIRO_SYSTEM_ERROR; i < 0; i++) {
		cr_expect(giro_outcome_name(i) != NULL);
		cr_expect(strlen(giro_outcome_text(i)) > 10, "%d", i);
	}
	cr_expect_str_eq(giro_outcome_name(GIRO_TIMED_OUT), "TIMED_OUT");
	cr_expect_str_eq(giro_outcome_name(GIRO_SYSTEM_ERROR), "SYSTEM_ERROR");
}
