/* SPDX-License-Identifier: Apache-2.0
 *
 * The oracle: knows what must be true, by code of its own. It sees three things only:
 *
 *   1. what clients sent;
 *   2. what was written to the disk and which writes completed: from these it knows which blocks
 *      are durable, and executes their records by rules of its own over linear arrays;
 *   3. the results on their way to clients, and the state that a start recovers.
 *
 * From the log alone it says what every account, outcome and phase row must be after every epoch.
 * It shares formats with the code under test, and the hash that places accounts, nothing else.
 *
 * All functions end the run with a message when something is wrong.
 */
#ifndef GIRO_TESTS_SIM_ORACLE_H
#define GIRO_TESTS_SIM_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/transfer.h"
#include "shard/record.h"
#include "tests/sim/shape.h"
#include "tests/sim/sim_disk.h"
#include "wal/format.h"

struct sim;

#define ORACLE_ACCOUNTS_MAX 160
#define ORACLE_OUTCOMES_MAX 4096
#define ORACLE_PENDING_MAX  256
#define ORACLE_NONE	    UINT32_MAX

/* What a read of an account may give; one for each change. */
struct oracle_version {
	uint64_t epoch;
	int64_t balance;
	uint64_t held;
	uint64_t incoming;
	uint32_t flags;
};

struct oracle_account {
	struct id128 id;
	uint32_t shard;
	uint32_t ledger;
	int64_t floor;
	struct oracle_version now;
	struct oracle_version *versions;
	uint32_t version_count;
	uint32_t version_capacity;
	uint32_t acknowledged; /* leading versions that clients know of: reads must show them */
};

enum oracle_coordinator { ROW_NONE, ROW_TRYING, ROW_CONFIRMING, ROW_CANCELLING, ROW_FINISHED };

enum oracle_participant { PART_NONE, PART_YES, PART_NO, PART_CONFIRMED, PART_CANCELLED, PART_MARK };

/* What became of an id at one shard. */
struct oracle_outcome {
	uint8_t content[64]; /* the record as sent */
	struct id128 id;
	uint32_t home;
	bool is_transfer;
	bool acknowledged;	 /* a client was told */
	uint16_t status;	 /* STATUS_PENDING while a row is open */
	uint64_t epoch;		 /* that the outcome is logged in; of the try while pending */
	uint32_t debit_version;	 /* versions there must be when the outcome is known: counts, */
	uint32_t credit_version; /* zero for none; of the account for an operation: debit */
	uint32_t debit;		 /* accounts, ORACLE_NONE for none */
	uint32_t credit;

	/* Of a transfer between shards. */
	uint32_t peer; /* == home: none */
	uint64_t seq;
	uint64_t started_ms;
	enum oracle_coordinator coordinator;
	enum oracle_participant participant;
	uint16_t vote;
	uint16_t decided; /* OK, or why cancelled */
};

/* Tries from one shard to another. */
struct oracle_link {
	uint32_t *rows; /* outcome by number: numbers have no gaps */
	uint64_t next;
	uint64_t low;
	uint64_t capacity;
	uint64_t told_low; /* as the participant heard it */
};

/* A block that was submitted and is not known to be durable. */
struct oracle_block {
	struct wal_block_header *header; /* and the payload behind it */
	uint64_t bytes;
	bool completed;
};

struct oracle {
	struct sim *sim;
	uint32_t shards;

	/* Blocks: the durable ones are applied. */
	uint64_t durable_count;
	uint64_t durable_epoch;
	uint64_t durable_ms;
	uint64_t log_id;
	uint64_t incarnation;
	uint64_t segments; /* begun */
	struct oracle_block pending[ORACLE_PENDING_MAX];
	uint32_t pending_count;
	bool segment_header_done[SIM_SEGMENTS_MAX];

	/* The state after them. */
	struct oracle_account accounts[ORACLE_ACCOUNTS_MAX];
	uint32_t account_count;
	uint64_t shard_accounts[SIM_SHARDS_MAX];
	uint64_t changed_epoch[SIM_SHARDS_MAX];
	struct oracle_outcome outcomes[ORACLE_OUTCOMES_MAX];
	uint32_t outcome_count;
	uint32_t outcome_map[ORACLE_OUTCOMES_MAX * 2]; /* index + 1 by id and home */
	struct oracle_link links[SIM_SHARDS_MAX][SIM_SHARDS_MAX];
	uint64_t rows_max; /* limits of the running node */
	uint64_t accounts_max;
	uint64_t try_timeout_ms;
	uint64_t clock_max_ms; /* latest time that the node was ever given */
};

void oracle_init(struct oracle *oracle, struct sim *sim);
void oracle_free(struct oracle *oracle);

/* The disk: a write was submitted; it completed, as a whole or not. */
void oracle_submitted(struct sim *sim, uint64_t segment, uint64_t offset, const uint8_t *data,
		      uint64_t bytes);
void oracle_completed(struct sim *sim, uint64_t segment, uint64_t offset, bool whole);

/* A start has read `count` blocks: all that were durable must be among them, and nothing else than
 * what was submitted behind those. They count as durable when it writes OPEN behind them. */
void oracle_read(struct oracle *oracle, uint64_t count);

/* The shards' state must be the one after the durable blocks, in every account, outcome and row. */
void oracle_compare(struct oracle *oracle, struct shard *const *shards, const char *when);

/* A reply leaves the node: `request` is the datagram as it came, when at most `known_ms` was
 * durable. */
void oracle_check_reply(struct oracle *oracle, const uint8_t *request, size_t request_size,
			const uint8_t *reply, size_t reply_size, uint64_t known_ms);

/* What the log knows of an id at a shard, or NULL. */
struct oracle_outcome *oracle_outcome(struct oracle *oracle, struct id128 id, uint32_t home);

/* The account, or NULL. */
struct oracle_account *oracle_account(struct oracle *oracle, struct id128 id);

/* The shard of an account id. */
static inline uint32_t oracle_shard(const struct oracle *oracle, struct id128 account)
{
	return id_slot(account) % oracle->shards;
}

/* The versions of an account that a read in `epoch` can have seen: from *first on (the count of
 * versions seen, 0: none yet) to *last. */
void oracle_readable(const struct oracle_account *account, uint64_t epoch, uint32_t *first,
		     uint32_t *last);

/* Does a read show the account's state after its first `version` changes? */
struct wire_account;
bool oracle_shows(const struct oracle_account *account, uint32_t version,
		  const struct wire_account *read);

/* Executes the records of one block and checks the state behind it; oracle_model.c. */
void oracle_apply(struct oracle *oracle, const struct wal_block_header *header);

/* The lowest content error of a record, or STATUS_OK. */
enum status oracle_transfer_fault(const struct transfer *transfer);
enum status oracle_operation_fault(const struct account_operation *operation);

#endif
