/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "client/giro.h"

#define SAME_NUMBER(name, number, text)                                              \
	_Static_assert((int)GIRO_##name == (int)STATUS_##name, "giro.h agrees with " \
							       "base/status.h");
STATUS_LIST(SAME_NUMBER)

static const struct {
	const char *name;
	const char *text;
} local[] = {
    [-GIRO_TIMED_OUT] = {"TIMED_OUT",
			 "no outcome in time; it may or may not have happened, send the same id "
			 "again to learn which"},
    [-GIRO_FULL] = {"FULL", "as many records are under way as the options allow"},
    [-GIRO_LOG_CHANGED] = {"LOG_CHANGED",
			   "the engine now writes another log than when the session was opened"},
    [-GIRO_NO_ANSWER] = {"NO_ANSWER", "no engine answered"},
    [-GIRO_BAD_ADDRESS] = {"BAD_ADDRESS", "the server's address is not usable"},
    [-GIRO_BAD_OPTION] = {"BAD_OPTION", "an option is out of its range"},
    [-GIRO_BAD_INFO] = {"BAD_INFO", "the engine's INFO contradicts the protocol"},
    [-GIRO_SYSTEM_ERROR] = {"SYSTEM_ERROR", "a system call failed"},
};
#define LOCALS ((int)(sizeof(local) / sizeof(local[0])))

const char *giro_outcome_name(int outcome)
{
	if (outcome >= 0)
		return status_name((unsigned)outcome);
	return outcome > -LOCALS ? local[-outcome].name : "UNKNOWN_ERROR";
}

const char *giro_outcome_text(int outcome)
{
	if (outcome >= 0)
		return status_text((unsigned)outcome);
	return outcome > -LOCALS ? local[-outcome].text : "unknown error";
}
