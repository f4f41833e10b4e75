/* SPDX-License-Identifier: Apache-2.0
 *
 * libgiro inside an event loop: reads payments from standard input, a line each, and writes an
 * outcome for each to standard output, in whatever order they come. One thread, one epoll, many
 * payments under way; reading pauses while libgiro has no room.
 *
 *   cc loop.c $(pkg-config --cflags --libs giro) -o loop
 *   some-program | ./loop [HOST[:PORT]]
 *
 *   payments:  ID DEBIT CREDIT AMOUNT LEDGER     ID: a UUIDv7, or - for a new one
 *   outcomes:  ID OUTCOME                        TIMED_OUT: send the same line, with this ID, again
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <giro.h>

#define INPUT_BYTES 4096
#define BATCH	    64

struct payment {
	struct giro_id id;
	size_t next_free;
};

struct loop {
	struct giro *giro;
	int epoll_fd;
	bool reading; /* standard input is watched */
	bool ended;   /* and has ended */
	size_t used;
	char input[INPUT_BYTES];
	struct payment *payments; /* giro_capacity() of them; the context is the index */
	size_t first_free;
};

static void die(const char *what)
{
	fprintf(stderr, "loop: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

/* False when the line is no payment. */
static bool parse(struct giro *giro, const char *line, struct giro_transfer *transfer)
{
	char id[64], debit[64], credit[64];

	*transfer = (struct giro_transfer){0};
	if (sscanf(line, "%63s %63s %63s %" SCNu64 " %" SCNu32, id, debit, credit,
		   &transfer->amount, &transfer->ledger) != 5)
		return false;
	if (strcmp(id, "-") == 0)
		transfer->id = giro_id_new(giro);
	else if (giro_id_parse(id, &transfer->id) != 0)
		return false;
	return giro_id_parse(debit, &transfer->debit) == 0 &&
	       giro_id_parse(credit, &transfer->credit) == 0;
}

static void print_outcome(struct giro_id id, int outcome)
{
	char text[GIRO_ID_TEXT_BYTES];

	printf("%s %s\n", giro_id_format(id, text), giro_outcome_name(outcome));
}

/* Submits the whole lines of the input. Returns false when libgiro is full: the rest stays. */
static bool take_lines(struct loop *loop)
{
	struct giro_transfer transfer;
	size_t at = 0;
	bool room = true;
	char *end;

	while ((end = memchr(loop->input + at, '\n', loop->used - at)) != NULL) {
		*end = '\0';
		if (!parse(loop->giro, loop->input + at, &transfer)) {
			fprintf(stderr, "loop: not a payment: %s\n", loop->input + at);
			at = (size_t)(end + 1 - loop->input);
			continue;
		}
		const size_t place = loop->first_free;
		const int error = giro_submit_transfer(loop->giro, &transfer, place);
		if (error == GIRO_FULL) {
			*end = '\n';
			room = false;
			break;
		}
		at = (size_t)(end + 1 - loop->input);
		if (error != 0) {
			print_outcome(transfer.id, error);
			continue;
		}
		loop->first_free = loop->payments[place].next_free;
		loop->payments[place].id = transfer.id;
	}
	loop->used -= at;
	memmove(loop->input, loop->input + at, loop->used);
	if (room && loop->used == sizeof(loop->input)) {
		fprintf(stderr, "loop: a line is too long\n");
		exit(EXIT_FAILURE);
	}
	return room;
}

static void read_input(struct loop *loop)
{
	const ssize_t got = read(STDIN_FILENO, loop->input + loop->used, INPUT_BYTES - loop->used);

	if (got < 0)
		die("standard input");
	loop->used += (size_t)got;
	loop->ended = got == 0;
	if (loop->ended && loop->used > 0 && loop->input[loop->used - 1] != '\n')
		loop->input[loop->used++] = '\n'; /* take_lines() leaves room */
}

/* Watches standard input while there is room for what it may bring. */
static void watch_input(struct loop *loop, bool wanted)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = STDIN_FILENO};

	if (wanted == loop->reading)
		return;
	if (epoll_ctl(loop->epoll_fd, wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, STDIN_FILENO, &event))
		die("watching standard input (a pipe or a terminal is wanted)");
	loop->reading = wanted;
}

static void print_completions(struct loop *loop)
{
	struct giro_completion completions[BATCH];
	size_t count;

	do {
		count = giro_poll(loop->giro, completions, BATCH, 0);
		for (size_t i = 0; i < count; i++) {
			const size_t place = (size_t)completions[i].context;
			print_outcome(loop->payments[place].id, completions[i].outcome);
			loop->payments[place].next_free = loop->first_free;
			loop->first_free = place;
		}
	} while (count == BATCH);
	fflush(stdout);
}

static void run(struct loop *loop)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = giro_fd(loop->giro)};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, event.data.fd, &event))
		die("epoll");
	for (;;) {
		const bool room = take_lines(loop);
		/* Sends what was submitted, and takes what has arrived: the end of each round. */
		print_completions(loop);
		if (loop->ended && loop->used == 0 && giro_outstanding(loop->giro) == 0)
			return;
		watch_input(loop, room && !loop->ended);
		const int count = epoll_wait(loop->epoll_fd, &event, 1, -1);
		if (count < 0 && errno != EINTR)
			die("epoll");
		if (count > 0 && event.data.fd == STDIN_FILENO)
			read_input(loop);
	}
}

int main(int argc, char **argv)
{
	static struct loop loop;
	char message[GIRO_MESSAGE_BYTES];

	if (giro_open(&loop.giro, argc > 1 ? argv[1] : "127.0.0.1", NULL, message) != 0) {
		fprintf(stderr, "loop: %s\n", message);
		return EXIT_FAILURE;
	}
	const size_t capacity = giro_capacity(loop.giro);
	loop.payments = calloc(capacity, sizeof(*loop.payments));
	loop.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop.payments == NULL || loop.epoll_fd < 0)
		die("starting");
	for (size_t i = 0; i < capacity; i++)
		loop.payments[i].next_free = i + 1;
	run(&loop);
	free(loop.payments);
	close(loop.epoll_fd);
	giro_close(loop.giro);
	return EXIT_SUCCESS;
}
