/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>

#include "engine/check.h"

static const char *const verdict_names[] = {
    [CHECK_OK] = "ok",
    [CHECK_WARN] = "warn",
    [CHECK_FAIL] = "FAIL",
};

void check_say(struct check_report *report, enum check_verdict verdict, const char *name,
	       const char *format, ...)
{
	va_list arguments;

	report->counts[verdict]++;
	report->last = verdict;
	if (report->tune && verdict == CHECK_OK)
		return;
	fprintf(report->out, "%s%-5s %-15s ", report->tune ? "# " : "", verdict_names[verdict],
		name);
	va_start(arguments, format);
	vfprintf(report->out, format, arguments);
	va_end(arguments);
	fputc('\n', report->out);
}

void check_advise(struct check_report *report, const char *format, ...)
{
	va_list arguments;

	if (report->tune && report->last == CHECK_OK)
		return;
	fprintf(report->out, "%s%-21s -> ", report->tune ? "# " : "", "");
	va_start(arguments, format);
	vfprintf(report->out, format, arguments);
	va_end(arguments);
	fputc('\n', report->out);
}

void check_command(struct check_report *report, const char *format, ...)
{
	va_list arguments;

	report->commands++;
	if (!report->tune)
		fprintf(report->out, "%-21s $ ", "");
	va_start(arguments, format);
	vfprintf(report->out, format, arguments);
	va_end(arguments);
	fputc('\n', report->out);
}

int check_end(struct check_report *report)
{
	fprintf(report->out, "%s%u ok, %u warnings, %u failures\n", report->tune ? "# " : "",
		report->counts[CHECK_OK], report->counts[CHECK_WARN], report->counts[CHECK_FAIL]);
	fflush(report->out);
	return report->counts[CHECK_FAIL] > 0 ? 2 : report->counts[CHECK_WARN] > 0 ? 1 : 0;
}
