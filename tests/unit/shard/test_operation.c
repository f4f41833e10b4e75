/* SPDX-License-Identifier: Apache-2.0
 *
 * Account operations: every action, every refusal, exactly once.
 */
#include <criterion/criterion.h>

#include "tests/unit/shard/network.h"

#define LEDGER 7

/* Accounts of the table: what stands on shard 0 before the row's operation. */
enum {
	MISSING = 1,
	EMPTY,	   /* floor 0 */
	OVERDRAFT, /* floor -50 */
	FROZEN,
	CLOSED,
	CLOSED_FROZEN,
	FUNDED,	  /* balance 10 */
	OWING,	  /* balance -10 */
	HELD,	  /* balance 0, held 10 */
	AWAITING, /* balance 0, incoming 10 */
};

static void pay(struct network *network, uint64_t number, struct id128 debit, struct id128 credit)
{
	const struct transfer transfer = {
	    .id = time_id(network_now(network), number),
	    .debit = debit,
	    .credit = credit,
	    .amount = 10,
	    .ledger = LEDGER,
	};

	network_transfer(network, &transfer, 1);
}

static struct network *network_with_accounts(void)
{
	struct shard_limits limits = network_limits(2);
	struct network *network = network_new(&limits);
	struct id128 remote = account_id(1, 1);

	network_account(network, CREATE_ACCOUNT, remote, LEDGER, FLOOR_ISSUER);
	for (uint64_t i = EMPTY; i <= AWAITING; i++) {
		bool credit = i == OVERDRAFT || i == OWING || i == HELD;
		network_account(network, CREATE_ACCOUNT, account_id(0, i), LEDGER,
				credit ? -50 : 0);
	}
	network_account(network, FREEZE_ACCOUNT, account_id(0, FROZEN), 0, 0);
	network_account(network, CLOSE_ACCOUNT, account_id(0, CLOSED), 0, 0);
	network_account(network, FREEZE_ACCOUNT, account_id(0, CLOSED_FROZEN), 0, 0);
	network_account(network, CLOSE_ACCOUNT, account_id(0, CLOSED_FROZEN), 0, 0);
	pay(network, 1, account_id(0, OWING), account_id(0, FUNDED));
	pay(network, 2, account_id(0, HELD), remote);
	pay(network, 3, remote, account_id(0, AWAITING));
	network_deliver(network, 1);
	cr_assert_eq(network_find(network, account_id(0, HELD))->held, 10);
	cr_assert_eq(network_find(network, account_id(0, AWAITING))->incoming, 10);
	return network;
}

struct row {
	const char *name;
	uint16_t action;
	uint64_t account;
	uint32_t ledger;
	int64_t floor;
	uint16_t flags;
	uint64_t reserved[2];
	enum status status;
	uint32_t flags_after;
};

#define F ACCOUNT_FROZEN
#define C ACCOUNT_CLOSED

static const struct row rows[] = {
    {"create", 1, MISSING, LEDGER, 0, 0, {0}, STATUS_OK, 0},
    {"create an overdraft", 1, MISSING, LEDGER, -1, 0, {0}, STATUS_OK, 0},
    {"create an issuer", 1, MISSING, LEDGER, INT64_MIN, 0, {0}, STATUS_OK, 0},
    {"create again", 1, EMPTY, LEDGER, 0, 0, {0}, STATUS_ACCOUNT_EXISTS, 0},
    {"create again, frozen", 1, FROZEN, LEDGER, 0, 0, {0}, STATUS_ACCOUNT_EXISTS, F},
    {"create again, closed", 1, CLOSED, LEDGER, 0, 0, {0}, STATUS_ACCOUNT_EXISTS, C},
    {"other floor", 1, EMPTY, LEDGER, -1, 0, {0}, STATUS_ACCOUNT_DIFFERS, 0},
    {"other ledger", 1, EMPTY, LEDGER + 1, 0, 0, {0}, STATUS_ACCOUNT_DIFFERS, 0},
    {"floor above zero", 1, MISSING, LEDGER, 1, 0, {0}, STATUS_FLOOR_POSITIVE, 0},
    {"no ledger", 1, MISSING, 0, 0, 0, {0}, STATUS_LEDGER_ZERO, 0},
    {"no ledger, floor above zero", 1, MISSING, 0, 1, 0, {0}, STATUS_LEDGER_ZERO, 0},
    {"no account", 1, 0, LEDGER, 0, 0, {0}, STATUS_ACCOUNT_ZERO, 0},
    {"no account, no ledger", 1, 0, 0, 0, 0, {0}, STATUS_ACCOUNT_ZERO, 0},
    {"flags", 1, MISSING, LEDGER, 0, 1, {0}, STATUS_RESERVED_NOT_ZERO, 0},
    {"reserved 0", 1, MISSING, LEDGER, 0, 0, {1, 0}, STATUS_RESERVED_NOT_ZERO, 0},
    {"reserved 1", 1, MISSING, LEDGER, 0, 0, {0, 1}, STATUS_RESERVED_NOT_ZERO, 0},
    {"action 0", 0, EMPTY, 0, 0, 0, {0}, STATUS_BAD_ACTION, 0},
    {"action 5", 5, EMPTY, 0, 0, 0, {0}, STATUS_BAD_ACTION, 0},
    {"action 65535", 65535, EMPTY, 0, 0, 0, {0}, STATUS_BAD_ACTION, 0},
    {"action 5, no account", 5, 0, 0, 0, 0, {0}, STATUS_BAD_ACTION, 0},
    {"action 5, flags", 5, 0, 0, 0, 1, {0}, STATUS_RESERVED_NOT_ZERO, 0},
    {"freeze", 2, EMPTY, 0, 0, 0, {0}, STATUS_OK, F},
    {"freeze again", 2, FROZEN, 0, 0, 0, {0}, STATUS_OK, F},
    {"freeze with a ledger", 2, EMPTY, LEDGER, 0, 0, {0}, STATUS_RESERVED_NOT_ZERO, 0},
    {"freeze with a floor", 2, EMPTY, 0, -1, 0, {0}, STATUS_RESERVED_NOT_ZERO, 0},
    {"freeze with money", 2, FUNDED, 0, 0, 0, {0}, STATUS_OK, F},
    {"freeze what is not there", 2, MISSING, 0, 0, 0, {0}, STATUS_ACCOUNT_NOT_FOUND, 0},
    {"freeze what is closed", 2, CLOSED, 0, 0, 0, {0}, STATUS_ACCOUNT_ALREADY_CLOSED, C},
    {"freeze nothing", 2, 0, 0, 0, 0, {0}, STATUS_ACCOUNT_ZERO, 0},
    {"unfreeze", 3, FROZEN, 0, 0, 0, {0}, STATUS_OK, 0},
    {"unfreeze what is not frozen", 3, EMPTY, 0, 0, 0, {0}, STATUS_OK, 0},
    {"unfreeze what is not there", 3, MISSING, 0, 0, 0, {0}, STATUS_ACCOUNT_NOT_FOUND, 0},
    {"unfreeze what is closed",
     3,
     CLOSED_FROZEN,
     0,
     0,
     0,
     {0},
     STATUS_ACCOUNT_ALREADY_CLOSED,
     C | F},
    {"close", 4, EMPTY, 0, 0, 0, {0}, STATUS_OK, C},
    {"close an overdraft at zero", 4, OVERDRAFT, 0, 0, 0, {0}, STATUS_OK, C},
    {"close what is frozen", 4, FROZEN, 0, 0, 0, {0}, STATUS_OK, C | F},
    {"close again", 4, CLOSED, 0, 0, 0, {0}, STATUS_ACCOUNT_ALREADY_CLOSED, C},
    {"close with money", 4, FUNDED, 0, 0, 0, {0}, STATUS_ACCOUNT_NOT_EMPTY, 0},
    {"close with a debt", 4, OWING, 0, 0, 0, {0}, STATUS_ACCOUNT_NOT_EMPTY, 0},
    {"close with money held", 4, HELD, 0, 0, 0, {0}, STATUS_ACCOUNT_NOT_EMPTY, 0},
    {"close with money coming", 4, AWAITING, 0, 0, 0, {0}, STATUS_ACCOUNT_NOT_EMPTY, 0},
    {"close what is not there", 4, MISSING, 0, 0, 0, {0}, STATUS_ACCOUNT_NOT_FOUND, 0},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static struct account_operation operation_of(const struct row *row)
{
	return (struct account_operation){
	    .id = time_id(NETWORK_START_MS, 1000),
	    .account = {.lo = row->account},
	    .floor = row->floor,
	    .ledger = row->ledger,
	    .action = row->action,
	    .flags = row->flags,
	    .reserved = {row->reserved[0], row->reserved[1]},
	};
}

static bool is_content_error(enum status status)
{
	return status >= STATUS_RESERVED_NOT_ZERO && status <= STATUS_FLOOR_POSITIVE;
}

Test(operation, every_action_and_refusal)
{
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *row = &rows[i];
		struct network *network = network_with_accounts();
		const struct account_operation operation = operation_of(row);
		uint32_t logged = network->log[0].count;

		int status = network_operation(network, &operation);
		cr_expect_eq(status, (int)row->status, "%s: %s", row->name,
			     status_name((unsigned)status));
		const struct account *account = network_find(network, operation.account);
		cr_expect_eq(account != NULL ? account->flags : 0, row->flags_after, "%s",
			     row->name);
		cr_expect_eq(network->log[0].count - logged, is_content_error(row->status) ? 0 : 1,
			     "%s: all but content errors are logged", row->name);
		cr_expect_eq(network->replies[network->reply_count - 1].epoch,
			     is_content_error(row->status) ? 0 : 1, "%s", row->name);
		if (row->action == CREATE_ACCOUNT && row->status == STATUS_OK) {
			cr_expect_eq(account->floor, row->floor, "%s", row->name);
			cr_expect_eq(account->ledger, row->ledger, "%s", row->name);
		}
		network_free(network);
	}
}

Test(operation, repeat_gets_the_first_outcome_and_changes_nothing)
{
	for (size_t i = 0; i < ROWS; i++) {
		struct network *network = network_with_accounts();
		const struct account_operation operation = operation_of(&rows[i]);

		network_operation(network, &operation);
		/* Undo what can be undone, by another operation. */
		network_account(network, FREEZE_ACCOUNT, account_id(0, FROZEN), 0, 0);
		network_account(network, UNFREEZE_ACCOUNT, account_id(0, EMPTY), 0, 0);
		network_account(network, CREATE_ACCOUNT, account_id(0, MISSING), LEDGER, -7);
		network_tick(network, 100);
		struct shard_digest before = shard_digest(network->shard[0]);
		int status = network_operation(network, &operation);
		struct shard_digest after = shard_digest(network->shard[0]);
		cr_expect_eq(status, (int)rows[i].status, "%s: %s", rows[i].name,
			     status_name((unsigned)status));
		cr_expect(before.lo == after.lo && before.hi == after.hi, "%s", rows[i].name);
		network_free(network);
	}
}

Test(operation, id_with_other_content_is_refused)
{
	struct network *network = network_with_accounts();
	struct account_operation operation = operation_of(&rows[0]);

	cr_assert_eq(network_operation(network, &operation), STATUS_OK);
	operation.floor = -1;
	cr_assert_eq(network_operation(network, &operation), STATUS_ID_REUSED);
	const struct transfer transfer = {
	    .id = operation.id,
	    .debit = account_id(0, OWING),
	    .credit = account_id(0, FUNDED),
	    .amount = 1,
	    .ledger = LEDGER,
	};
	cr_assert_eq(network_transfer(network, &transfer, 1), STATUS_ID_REUSED);
	network_free(network);
}

Test(operation, id_outside_the_window_or_on_the_wrong_shard_is_refused)
{
	struct network *network = network_with_accounts();
	struct account_operation operation = operation_of(&rows[0]);
	struct shard_input input = {.kind = SHARD_INPUT_ACCOUNT, .home = 1, .token = 1};

	operation.id = time_id(NETWORK_START_MS - network->limits.window_ms - 1, 1);
	cr_assert_eq(network_operation(network, &operation), STATUS_ID_EXPIRED);
	operation.id = time_id(NETWORK_START_MS + network->limits.ahead_ms + 1, 1);
	cr_assert_eq(network_operation(network, &operation), STATUS_ID_AHEAD);
	input.operation = operation;
	input.hash = id_hash(operation.account);
	network_apply(network, 0, &input);
	cr_assert_eq(network->replies[network->reply_count - 1].status, STATUS_WRONG_SHARD);
	network_tick(network, 1);
	cr_assert_eq(network_operation(network, &operation), STATUS_OK, "the clock has caught up");
	network_free(network);
}

Test(operation, full_account_table_is_busy_and_keeps_no_memory_of_it)
{
	struct shard_limits limits = network_limits(1);
	limits.accounts_max = 2;
	struct network *network = network_new(&limits);
	struct account_operation operation = operation_of(&rows[0]);

	network_account(network, CREATE_ACCOUNT, account_id(0, 8), LEDGER, 0);
	network_account(network, CREATE_ACCOUNT, account_id(0, 9), LEDGER, 0);
	uint32_t logged = network->log[0].count;
	cr_assert_eq(network_operation(network, &operation), STATUS_BUSY);
	cr_assert_eq(network->replies[network->reply_count - 1].epoch, 0);
	cr_assert_eq(network_operation(network, &operation), STATUS_BUSY);
	cr_assert_eq(network->log[0].count, logged);
	cr_assert_eq(network->shard[0]->events[SHARD_EVENT_BUSY_ACCOUNTS], 2);
	cr_assert_eq(network_account(network, CREATE_ACCOUNT, account_id(0, 8), LEDGER, 0),
		     STATUS_ACCOUNT_EXISTS, "what is there needs no room");
	network_free(network);
}

Test(operation, frozen_account_finishes_what_is_under_way)
{
	struct network *network = network_with_accounts();

	network_account(network, FREEZE_ACCOUNT, account_id(0, HELD), 0, 0);
	network_account(network, FREEZE_ACCOUNT, account_id(0, AWAITING), 0, 0);
	network_settle(network);
	cr_assert_eq(network_find(network, account_id(0, HELD))->balance, -10);
	cr_assert_eq(network_find(network, account_id(0, HELD))->held, 0);
	cr_assert_eq(network_find(network, account_id(0, AWAITING))->balance, 10);
	cr_assert_eq(network_find(network, account_id(0, AWAITING))->incoming, 0);
	network_free(network);
}
