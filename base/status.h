/* SPDX-License-Identifier: Apache-2.0
 *
 * Every outcome of a record, on the wire, in the log and in the client, in one enum.
 *
 * The order is the precedence: of all the reasons to refuse a record the lowest number is the one
 * given, whether the two accounts share a shard or not. Numbers are part of protocol version 1:
 * they are never reused, and a new status takes a number that keeps the order.
 *
 * Final statuses are decided once and remembered: every later copy of the same record gets the same
 * one. Content errors are the same for every copy without being remembered, since they depend on
 * the record alone. The transient ones (see status_is_transient()) execute nothing; the same record
 * may be sent again.
 */
#ifndef GIRO_BASE_STATUS_H
#define GIRO_BASE_STATUS_H

#include <stdbool.h>

/* X(name, number, text) */
#define STATUS_LIST(X)                                                                   \
	X(OK, 0, "done")                                                                 \
	/* the datagram as a whole (in the header of a reply without records) */         \
	X(BAD_VERSION, 1, "protocol version not supported")                              \
	X(BAD_KIND, 2, "unknown kind of request")                                        \
	X(BAD_COUNT, 3, "record count does not match the datagram's length")             \
	/* content of the record */                                                      \
	X(RESERVED_NOT_ZERO, 10, "a reserved field or flag is not zero")                 \
	X(BAD_ACTION, 11, "unknown account action")                                      \
	X(ACCOUNT_ZERO, 12, "an account id is zero")                                     \
	X(SAME_ACCOUNT, 13, "debit and credit are the same account")                     \
	X(AMOUNT_ZERO, 14, "amount is zero")                                             \
	X(LEDGER_ZERO, 15, "ledger is zero")                                             \
	X(FLOOR_POSITIVE, 16, "floor is above zero")                                     \
	/* placement and exactly once */                                                 \
	X(WRONG_SHARD, 20, "account is not on the shard of the datagram's first record") \
	X(PENDING, 21, "still under way; ask again for the outcome")                     \
	X(ID_EXPIRED, 22, "id is older than the window; its outcome is no longer known") \
	X(ID_AHEAD, 23, "id is further ahead of the engine's clock than allowed")        \
	X(ID_REUSED, 24, "id was used with different content")                           \
	X(TRANSFER_NOT_FOUND, 25, "no such transfer in the window")                      \
	X(BUSY, 26, "a limit is reached; nothing was executed, send again later")        \
	/* the debit account, or the account of an operation */                          \
	X(DEBIT_NOT_FOUND, 30, "debit account does not exist")                           \
	X(DEBIT_LEDGER_MISMATCH, 31, "debit account belongs to another ledger")          \
	X(DEBIT_CLOSED, 32, "debit account is closed")                                   \
	X(DEBIT_FROZEN, 33, "debit account is frozen")                                   \
	X(INSUFFICIENT_FUNDS, 34, "debit account would fall below its floor")            \
	/* the credit account */                                                         \
	X(CREDIT_NOT_FOUND, 40, "credit account does not exist")                         \
	X(CREDIT_LEDGER_MISMATCH, 41, "credit account belongs to another ledger")        \
	X(CREDIT_CLOSED, 42, "credit account is closed")                                 \
	X(CREDIT_FROZEN, 43, "credit account is frozen")                                 \
	X(CREDIT_OVERFLOW, 44, "credit account would exceed the largest balance")        \
	X(TRY_TIMEOUT, 45, "credit account's shard did not answer in time; cancelled")   \
	/* account operations and lookups */                                             \
	X(ACCOUNT_EXISTS, 50, "account exists with the same ledger and floor")           \
	X(ACCOUNT_DIFFERS, 51, "account exists with another ledger or floor")            \
	X(ACCOUNT_NOT_FOUND, 52, "account does not exist")                               \
	X(ACCOUNT_ALREADY_CLOSED, 53, "account is closed")                               \
	X(ACCOUNT_NOT_EMPTY, 54, "account has a balance or money in flight")

enum status {
#define STATUS_ENUM(name, number, text) STATUS_##name = (number),
	STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
};

/* Room for an array indexed by status. */
#define STATUS_LIMIT 64

/* "INSUFFICIENT_FUNDS", or "UNKNOWN_STATUS" for a number that is no status. Static; any thread. */
const char *status_name(unsigned status);

/* One line for people, without a full stop. Static; any thread. */
const char *status_text(unsigned status);

/* Nothing was executed because of the moment, not because of the record: sending the same record
 * again may give another status (WRONG_SHARD after the map was refreshed, ID_AHEAD after waiting).
 */
static inline bool status_is_transient(unsigned status)
{
	return status == STATUS_WRONG_SHARD || status == STATUS_PENDING ||
	       status == STATUS_ID_AHEAD || status == STATUS_BUSY;
}

#endif
