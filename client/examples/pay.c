/* SPDX-License-Identifier: Apache-2.0
 *
 * The blocking half of libgiro in one page: opens two wallets, brings money in through an issuer,
 * moves some of it, and shows what to do with each kind of outcome.
 *
 *   cc pay.c $(pkg-config --cflags --libs giro) -o pay
 *   ./pay [HOST[:PORT] [LEDGER]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <giro.h>

#define ISSUER 1
#define ALICE  1001
#define BOB    1002

static struct giro_id account(uint64_t number)
{
	return (struct giro_id){.lo = number};
}

static void give_up(const char *what, int outcome)
{
	fprintf(stderr, "%s: %s, %s\n", what, giro_outcome_name(outcome),
		giro_outcome_text(outcome));
	exit(EXIT_FAILURE);
}

/* Opening an account that is there already is no failure: this program may run twice. */
static void open_account(struct giro *giro, uint64_t number, uint32_t ledger, int64_t floor)
{
	const int outcome = giro_account_create(giro, account(number), ledger, floor);

	if (outcome != GIRO_OK && outcome != GIRO_ACCOUNT_EXISTS)
		give_up("opening an account", outcome);
}

/* Pays once, however long it takes to learn that it was done. */
static void pay(struct giro *giro, uint64_t debit, uint64_t credit, uint64_t amount,
		uint32_t ledger)
{
	/* The id is the payment. A program that must not forget it in a crash stores the whole
	 * transfer before it sends it, and sends the stored one again when it is back. */
	const struct giro_transfer transfer = {
	    .id = giro_id_new(giro),
	    .debit = account(debit),
	    .credit = account(credit),
	    .amount = amount,
	    .ledger = ledger,
	};
	int outcome;

	/* TIMED_OUT says nothing about the payment; the same id again finds out. A new id here
	 * would be a second payment. */
	do {
		outcome = giro_transfer_wait(giro, &transfer);
	} while (outcome == GIRO_TIMED_OUT);
	if (outcome != GIRO_OK)
		give_up("payment", outcome);
}

static void show(struct giro *giro, uint64_t number)
{
	struct giro_account found;
	const int outcome = giro_account_wait(giro, account(number), &found);

	if (outcome != GIRO_OK)
		give_up("looking up an account", outcome);
	printf("%" PRIu64 " %" PRId64 "\n", number, found.balance);
}

int main(int argc, char **argv)
{
	const char *server = argc > 1 ? argv[1] : "127.0.0.1";
	const uint32_t ledger = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
	char message[GIRO_MESSAGE_BYTES];
	struct giro *giro;

	if (giro_open(&giro, server, NULL, message) != 0) {
		fprintf(stderr, "%s\n", message);
		return EXIT_FAILURE;
	}
	open_account(giro, ISSUER, ledger, GIRO_FLOOR_ISSUER);
	open_account(giro, ALICE, ledger, 0);
	open_account(giro, BOB, ledger, 0);
	pay(giro, ISSUER, ALICE, 5000, ledger);
	pay(giro, ALICE, BOB, 1250, ledger);
	show(giro, ALICE);
	show(giro, BOB);
	giro_close(giro);
	return EXIT_SUCCESS;
}
