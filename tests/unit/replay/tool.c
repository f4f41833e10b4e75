/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/replay/tool.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
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

int run(const char *arg, ...)
{
	char *argv[ARGS_MAX] = {(char *)(uintptr_t)GIRO_REPLAY};
	FILE *files[2] = {tmpfile(), tmpfile()};
	va_list args;
	int argc = 1;
	int status;

	cr_assert(files[0] != NULL && files[1] != NULL);
	va_start(args, arg);
	for (; arg != NULL; arg = va_arg(args, const char *)) {
		cr_assert(argc < ARGS_MAX - 1);
		argv[argc++] = (char *)(uintptr_t)arg;
	}
	va_end(args);
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
	cr_assert(WIFEXITED(status), "killed by signal %d: %s", WTERMSIG(status), err);
	return WEXITSTATUS(status);
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
