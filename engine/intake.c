/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/intake.h"

#define ID INT64_C(1000)

void intake_init(struct intake *intake, uint64_t ids_per_second, uint64_t burst_ms, uint64_t taken,
		 uint64_t now_ms)
{
	int64_t burst = (int64_t)(ids_per_second * burst_ms);

	*intake = (struct intake){
	    .credit_max = burst > ID ? burst : ID,
	    .rate = ids_per_second,
	    .now_ms = now_ms,
	    .taken = taken,
	};
	intake->credit = intake->credit_max;
}

bool intake_is_open(struct intake *intake, uint64_t taken, uint64_t now_ms)
{
	uint64_t passed_ms = now_ms - intake->now_ms;

	intake->credit -= (int64_t)(taken - intake->taken) * ID;
	intake->taken = taken;
	if (passed_ms > 0) {
		intake->now_ms = now_ms;
		/* A day makes up for any debt, and its credit is far from the largest number. */
		if (passed_ms > UINT64_C(86400) * 1000)
			passed_ms = UINT64_C(86400) * 1000;
		intake->credit += (int64_t)(passed_ms * intake->rate);
		if (intake->credit > intake->credit_max)
			intake->credit = intake->credit_max;
	}
	return intake->credit > 0;
}
