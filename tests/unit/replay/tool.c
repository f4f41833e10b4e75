/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/replay/tool.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 16

char out[OUTPUT_MAX];
char err[OUTPUT_MAX];

static void slurp(FILE *file, char *text)
{
	rewind(file);
	size_t size = fread(text, 1, OUTPUT_MAX - 1, file);
	cr_assert(size < OUTPUT_MAX - 1);
	text[size] = '\0';
	fclose(file);
}

/* The process's wait status. */
static int run_arguments(const char *arg, va_list args)
{
	char *argv[ARGS_MAX] = {(char *)(uintptr_t)GIRO_REPLAY};
	FILE *files[2] = {tmpfile(), tmpfile()};
	int argc = 1;
	int status;

	cr_assert(files[0] != NULL && files[1] != NULL);
	for (; arg != NULL; arg = va_arg(args, const char *)) {
		cr_assert(argc < ARGS_MAX - 1);
		argv[argc++] = (char *)(uintptr_t)arg;
	}
	pid_t child = fork();
	cr_assert(child >= 0);
	if (child == 0) {
		dup2(fileno(files[0]), STDOUT_FILENO);
		dup2(fileno(files[1]), STDERR_FILENO);
		execv(GIRO_REPLAY, argv);
		_exit(99);
	}
	cr_assert(waitpid(child, &status, 0) == child);
	slurp(files[0], out);
	slurp(files[1], err);
	return status;
}

int run(const char *arg, ...)
{
	va_list args;

	va_start(args, arg);
	int status = run_arguments(arg, args);
	va_end(args);
	cr_assert(WIFEXITED(status), "killed by signal %d: %s", WTERMSIG(status), err);
	return WEXITSTATUS(status);
}

int run_failing(long step, const char *how, const char *arg, ...)
{
	char number[24];
	va_list args;

	snprintf(number, sizeof(number), "%ld", step);
	cr_assert(access(FAIL_AT, R_OK) == 0, "%s is not built", FAIL_AT);
	setenv("GIRO_FAIL_AT", number, 1);
	setenv("GIRO_FAIL_HOW", how, 1);
	setenv("LD_PRELOAD", FAIL_AT, 1);
	/* Under ASan: its own library need not come first here. */
	const char *options = getenv("ASAN_OPTIONS");
	char more[256];
	snprintf(more, sizeof(more), "%s:verify_asan_link_order=0", options != NULL ? options : "");
	setenv("ASAN_OPTIONS", more, 1);
	va_start(args, arg);
	int status = run_arguments(arg, args);
	va_end(args);
	unsetenv("LD_PRELOAD");
	more[strlen(more) - strlen(":verify_asan_link_order=0")] = '\0';
	setenv("ASAN_OPTIONS", more, 1);
	unsetenv("GIRO_FAIL_AT");
	cr_assert(WIFEXITED(status) || WTERMSIG(status) == SIGKILL, "signal %d: %s",
		  WTERMSIG(status), err);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool prints(const char *text)
{
	return strstr(out, text) != NULL;
}

bool complains(const char *text)
{
	return strstr(err, text) != NULL;
}

bool complains_in_full(void)
{
	return strncmp(err, "giro-replay: ", 13) == 0 && !complains("giro-replay: \n");
}
