/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"

#include <signal.h>

#include <criterion/criterion.h>

Test(check, holds)
{
	int evaluated = 0;
	CHECK(++evaluated == 1);
	cr_expect_eq(evaluated, 1, "a condition is evaluated once");
}

Test(check, broken_aborts_in_every_build, .signal = SIGABRT)
{
	CHECK(1 + 1 == 3);
}
