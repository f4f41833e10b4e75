/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/top.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "monitor/rates.h"
#include "monitor/source.h"
#include "monitor/top_screen.h"

#define DELAY_MIN_S 0.1
#define DELAY_MAX_S 3600

static const char help[] =
    "Usage: giro top [--delay SECONDS] [--once] [--json] [--file-prefix NAME | --socket PATH]\n"
    "\n"
    "Shows what the engine on this machine does: rates, latency, log and epochs, cores and "
    "shards.\n"
    "Needs the rights of the engine's user. q ends it.\n"
    "\n"
    "  -d, --delay SECONDS     between two looks, 0.1 to 3600 (1)\n"
    "      --once              one look over one delay, to a file or a pipe too\n"
    "      --json              one JSON object a look, one a line\n"
    "      --file-prefix NAME  the engine's EAL argument of that name\n"
    "      --socket PATH       its telemetry socket\n"
    "                          Without either: the one engine that runs here\n"
    "\n"
    "BUSY is the share of time with work; RX DEC APP RNG SEA TX are its parts in percent: "
    "receive,\n"
    "decode, apply, rings between workers, epochs, transmit. HELD: replies that wait for the "
    "disk.\n"
    "WINDOW: fill of the fullest part of the exactly-once window. ROWS: transfers to other shards\n"
    "under way.\n";

enum exit_status {
	EXIT_DONE = 0,
	EXIT_USAGE = 2,
	EXIT_NO_ENGINE = 3,
};

struct top {
	double delay_s;
	bool once;
	bool json;
	const char *prefix;
	const char *socket;
	json_t *before; /* the last reading, or NULL */
	char error[MONITOR_ERROR_MAX];
};

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal)
{
	(void)signal;
	stop_requested = 1;
}

/* Only so that it interrupts the wait. */
static void take_note(int signal)
{
	(void)signal;
}

static json_t *read_engine(struct top *top)
{
	char found[MONITOR_PATH_MAX];

	if (top->socket != NULL)
		return monitor_read(top->socket, top->error);
	if (monitor_find(top->prefix, "--socket", found, top->error) != 0)
		return NULL;
	return monitor_read(found, top->error);
}

/* The terminal. */

static struct termios terminal_before;

static void terminal_enter(void)
{
	struct termios raw;

	tcgetattr(STDIN_FILENO, &terminal_before);
	raw = terminal_before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	/* The other screen, without a cursor. */
	fputs("\033[?1049h\033[?25l", stdout);
}

static void terminal_leave(void)
{
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
}

static struct top_screen terminal_screen(void)
{
	struct winsize size = {0};
	bool known =
	    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;

	return (struct top_screen){
	    .out = stdout,
	    .columns = known ? size.ws_col : TOP_COLUMNS,
	    .lines = known ? size.ws_row : TOP_LINES,
	    .terminal = true,
	};
}

/* Waits for the delay, a key or a signal. Returns false when it is time to end. */
static bool wait_in_terminal(double seconds)
{
	struct pollfd keys = {.fd = STDIN_FILENO, .events = POLLIN};
	char key;

	if (poll(&keys, 1, (int)(seconds * 1000)) > 0) {
		ssize_t bytes = read(STDIN_FILENO, &key, 1);
		if (bytes == 0 || (bytes == 1 && (key == 'q' || key == 'Q')))
			return false;
	}
	return stop_requested == 0;
}

static double until(const struct timespec *start, double seconds)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	double passed =
	    (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) * 1e-9;
	return passed < seconds ? seconds - passed : 0;
}

static void draw(struct top *top, const struct rates *rates, const json_t *now)
{
	struct top_screen screen = terminal_screen();

	fputs("\033[H", stdout);
	if (rates != NULL)
		top_draw(&screen, rates, now);
	else
		top_draw_error(&screen, now != NULL ? "measuring" : top->error);
	fputs("\033[J", stdout);
	fflush(stdout);
}

static int run_in_terminal(struct top *top)
{
	static struct rates rates;
	double wait_s = 0;

	terminal_enter();
	while (wait_in_terminal(wait_s)) {
		struct timespec start;
		clock_gettime(CLOCK_MONOTONIC, &start);
		json_t *now = read_engine(top);
		bool measured = now != NULL && top->before != NULL &&
				rates_between(&rates, top->before, now) == 0;
		draw(top, measured ? &rates : NULL, now);
		json_decref(top->before);
		top->before = now;
		/* A first look has nothing to compare with: the second comes soon. */
		wait_s = until(&start, measured || top->delay_s < 1 ? top->delay_s : 1);
	}
	terminal_leave();
	return EXIT_DONE;
}

/* Without a terminal. */

static void sleep_s(double seconds)
{
	const struct timespec time = {
	    .tv_sec = (time_t)seconds,
	    .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
	};

	nanosleep(&time, NULL);
}

static void print_look(const struct top *top, const struct rates *rates, const json_t *now)
{
	struct top_screen screen = {.out = stdout, .columns = TOP_COLUMNS, .lines = UINT32_MAX};

	if (!top->json) {
		top_draw(&screen, rates, now);
	} else {
		json_t *json = top_json(rates, now);
		json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
		json_decref(json);
		putchar('\n');
	}
	fflush(stdout);
}

static int run_in_pipe(struct top *top)
{
	static struct rates rates;
	int result = EXIT_NO_ENGINE;

	top->before = read_engine(top);
	while (top->before != NULL && stop_requested == 0) {
		sleep_s(top->delay_s);
		json_t *now = read_engine(top);
		/* Another life of the engine: there is nothing to compare with. */
		if (now != NULL && rates_between(&rates, top->before, now) == 0) {
			print_look(top, &rates, now);
			result = EXIT_DONE;
		}
		json_decref(top->before);
		top->before = now;
		if (top->once && result == EXIT_DONE)
			return EXIT_DONE;
	}
	if (stop_requested != 0)
		return EXIT_DONE;
	fprintf(stderr, "giro top: %s\n", top->error);
	return EXIT_NO_ENGINE;
}

/* The command line. */

static int usage(const char *what)
{
	fprintf(stderr, "giro top: %s\nTry: giro top --help\n", what);
	return EXIT_USAGE;
}

/* Returns 0, or the exit status to end with, or -1 after --help. */
static int parse(struct top *top, int argc, char **argv)
{
	static const struct option options[] = {
	    {"delay", required_argument, NULL, 'd'},
	    {"once", no_argument, NULL, 'o'},
	    {"json", no_argument, NULL, 'j'},
	    {"file-prefix", required_argument, NULL, 'f'},
	    {"socket", required_argument, NULL, 's'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	char *end;
	int option;

	while ((option = getopt_long(argc, argv, "+d:h", options, NULL)) != -1) {
		switch (option) {
		case 'd':
			top->delay_s = strtod(optarg, &end);
			if (end == optarg || *end != '\0' ||
			    !(top->delay_s >= DELAY_MIN_S && top->delay_s <= DELAY_MAX_S))
				return usage("--delay: expected seconds, 0.1 to 3600");
			break;
		case 'o':
			top->once = true;
			break;
		case 'j':
			top->json = true;
			break;
		case 'f':
			top->prefix = optarg;
			break;
		case 's':
			top->socket = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return -1;
		default:
			return usage("see the line above");
		}
	}
	if (optind != argc)
		return usage("it takes no further words");
	if (top->prefix != NULL && top->socket != NULL)
		return usage("--file-prefix or --socket, not both");
	return 0;
}

int monitor_top(int argc, char **argv)
{
	struct sigaction stop = {.sa_handler = request_stop};
	struct sigaction resize = {.sa_handler = take_note};
	struct top top = {.delay_s = 1};
	int wrong = parse(&top, argc, argv);

	if (wrong != 0)
		return wrong > 0 ? wrong : EXIT_DONE;
	bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	if (!top.once && !top.json && !terminal)
		return usage("this is no terminal: give --once or --json");
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGWINCH, &resize, NULL);
	int result = top.once || top.json ? run_in_pipe(&top) : run_in_terminal(&top);
	json_decref(top.before);
	return result;
}
