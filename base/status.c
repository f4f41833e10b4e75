/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#define STATUS_BELOW_LIMIT(name, number, text) \
	_Static_assert((number) < STATUS_LIMIT, #name " exceeds STATUS_LIMIT");
STATUS_LIST(STATUS_BELOW_LIMIT)

const char *status_name(unsigned status)
{
	switch (status) {
#define STATUS_NAME(name, number, text) \
	case number:                    \
		return #name;
		STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
	default:
		return "UNKNOWN_STATUS";
	}
}

const char *status_text(unsigned status)
{
	switch (status) {
#define STATUS_TEXT(name, number, text) \
	case number:                    \
		return text;
		STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
	default:
		return "unknown status";
	}
}
