/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/jobs.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "tests/sim/sim.h"

/* Exit status of a process whose seed decided two different things. */
#define NOT_THE_SAME 4

/* Shared by the parent and one job. */
struct job {
	uint64_t seed; /* running */
	uint64_t seeds_run;
	struct reach reach;
};

struct shared {
	_Atomic uint64_t next; /* seed to be taken by the next job that is free */
	struct job jobs[JOBS_MAX];
};

static struct sim sim;

static void run_one(uint64_t seed, uint32_t steps, struct reach *reach)
{
	static struct reach ignored;

	alarm(JOBS_SEED_SECONDS);
	uint64_t digest = sim_run(&sim, seed, steps, reach);
	if (seed % JOBS_RERUN_EVERY != 0)
		return;
	if (sim_run(&sim, seed, steps, &ignored) != digest) {
		fprintf(stderr, "seed %" PRIu64 ": a second run decided otherwise\n", seed);
		_exit(NOT_THE_SAME);
	}
	reach->counts[REACH_RERUNS]++;
}

/* A job: takes seeds until there are none. */
__attribute__((noreturn)) static void work(const struct jobs *jobs, struct shared *shared,
					   struct job *job)
{
	/* What a failing seed says is said when it is run again. */
	int nowhere = open("/dev/null", O_WRONLY);

	CHECK(nowhere >= 0 && dup2(nowhere, STDERR_FILENO) >= 0);
	for (;;) {
		uint64_t seed = atomic_fetch_add(&shared->next, 1);
		if (seed > jobs->last)
			break;
		job->seed = seed;
		run_one(seed, jobs->steps, &job->reach);
		job->seeds_run++;
	}
	_exit(0);
}

static void on_signal(int number)
{
	trace_dump();
	signal(number, SIG_DFL);
	raise(number);
}

static const char *reason_of(int status, char text[64])
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(text, 64, "it hangs");
	else if (WIFSIGNALED(status))
		snprintf(text, 64, "%s", strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == NOT_THE_SAME)
		snprintf(text, 64, "a second run decided otherwise");
	else if (WEXITSTATUS(status) == SIM_FAILED)
		snprintf(text, 64, "the oracle objects");
	else
		snprintf(text, 64, "exit status %d", WEXITSTATUS(status));
	return text;
}

/* Runs a failing seed again, keeping its trace. */
static void show(uint64_t seed, uint32_t steps)
{
	int status;
	char steps_text[32] = "";

	fflush(NULL);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		static struct reach reach;
		static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGALRM};
		for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
			signal(signals[i], on_signal);
		trace_mode = TRACE_LAST;
		run_one(seed, steps, &reach);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		fprintf(stderr, "seed %" PRIu64 " did not fail again\n", seed);
	if (steps != 0)
		snprintf(steps_text, sizeof(steps_text), " --steps %u", steps);
	fprintf(stderr, "reproduce: giro-sim --seeds %" PRIu64 "..%" PRIu64 "%s --trace\n", seed,
		seed, steps_text);
}

static pid_t start_job(const struct jobs *jobs, struct shared *shared, struct job *job)
{
	fflush(NULL);
	pid_t child = fork();

	CHECK(child >= 0);
	if (child == 0)
		work(jobs, shared, job);
	return child;
}

/* A job ended with a seed unfinished. */
static void fail(struct jobs *jobs, const struct job *job, int status)
{
	char reason[64];

	fprintf(stderr, "FAIL: seed %" PRIu64 ": %s\n", job->seed, reason_of(status, reason));
	if (jobs->failures == 0 || job->seed < jobs->first_failure)
		jobs->first_failure = job->seed;
	jobs->failures++;
}

void jobs_run(struct jobs *jobs)
{
	struct shared *shared =
	    mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t children[JOBS_MAX];
	uint32_t running = 0;

	CHECK(shared != MAP_FAILED && jobs->count >= 1 && jobs->count <= JOBS_MAX);
	atomic_store(&shared->next, jobs->first);
	for (uint32_t i = 0; i < jobs->count; i++, running++)
		children[i] = start_job(jobs, shared, &shared->jobs[i]);
	while (running > 0) {
		int status;
		pid_t ended = waitpid(-1, &status, 0);
		CHECK(ended > 0);
		uint32_t i = 0;
		while (i < jobs->count && children[i] != ended)
			i++;
		if (i == jobs->count)
			continue;
		running--;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			continue;
		fail(jobs, &shared->jobs[i], status);
		if (jobs->keep_going) {
			show(shared->jobs[i].seed, jobs->steps);
			children[i] = start_job(jobs, shared, &shared->jobs[i]);
			running++;
		} else {
			/* The others finish their seed and take no more. */
			atomic_store(&shared->next, jobs->last + 1);
		}
	}
	if (jobs->failures > 0 && !jobs->keep_going)
		show(jobs->first_failure, jobs->steps);
	for (uint32_t i = 0; i < jobs->count; i++) {
		jobs->seeds_run += shared->jobs[i].seeds_run;
		reach_add(&jobs->reach, &shared->jobs[i].reach);
	}
	munmap(shared, sizeof(*shared));
}

void jobs_trace(uint64_t seed, uint32_t steps)
{
	static struct reach reach;

	trace_mode = TRACE_ALL;
	setvbuf(stdout, NULL, _IOLBF, 0);
	sim_run(&sim, seed, steps, &reach);
}
