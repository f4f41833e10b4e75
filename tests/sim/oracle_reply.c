/* SPDX-License-Identifier: Apache-2.0
 *
 * Results on their way to clients, against what is durable.
 */
#include <inttypes.h>
#include <string.h>

#include "net/wire.h"
#include "tests/sim/oracle_private.h"
#include "tests/sim/sim.h"

/* One record and its result. */
struct pair {
	struct oracle *oracle;
	unsigned kind;
	uint32_t index;
	uint32_t shard; /* that the datagram went to */
	uint64_t known_ms;
	const uint8_t *record;
};

__attribute__((noreturn, format(printf, 2, 3))) static void wrong(const struct pair *pair,
								  const char *format, ...)
{
	static const char *const kinds[] = {"?",       "INFO",		 "TRANSFER",
					    "ACCOUNT", "LOOKUP_ACCOUNT", "LOOKUP_TRANSFER"};
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sim_fail(pair->oracle->sim, "reply to %s, record %u: %s", kinds[pair->kind], pair->index,
		 text);
}

/* Refused for what the clock said? It stood between what was durable when the request came, and the
 * latest time that the node was ever given. */
static void check_time(const struct pair *pair, enum status status, struct id128 id)
{
	const struct oracle *oracle = pair->oracle;
	const struct shard_limits *limits = &oracle->sim->shape.node.limits;

	if (status == STATUS_ID_EXPIRED &&
	    id_time_ms(id) + limits->window_ms >= oracle->clock_max_ms)
		wrong(pair, "ID_EXPIRED inside the window");
	if (status == STATUS_ID_AHEAD && id_time_ms(id) <= pair->known_ms + limits->ahead_ms)
		wrong(pair, "ID_AHEAD inside the window");
}

/* An outcome that was decided: it must be in the durable log, just so. */
static void check_decided(const struct pair *pair, const struct oracle_outcome *outcome,
			  enum status status, uint64_t epoch)
{
	if (outcome == NULL)
		wrong(pair, "%s, but nothing durable says so", status_name(status));
	if (outcome->status != status)
		wrong(pair, "%s, but the log says %s", status_name(status),
		      status_name(outcome->status));
	if (epoch != outcome->epoch)
		wrong(pair, "%s of epoch %" PRIu64 ", but it was epoch %" PRIu64,
		      status_name(status), epoch, outcome->epoch);
}

static void check_epoch(const struct pair *pair, uint64_t epoch)
{
	if (epoch > pair->oracle->durable_epoch)
		wrong(pair, "told before it was durable: epoch %" PRIu64 ", durable is %" PRIu64,
		      epoch, pair->oracle->durable_epoch);
}

/* TRANSFER and ACCOUNT. */
static void check_result(const struct pair *pair, const struct wire_result *result)
{
	struct oracle *oracle = pair->oracle;
	bool is_transfer = pair->kind == WIRE_TRANSFER;
	struct transfer transfer;
	struct account_operation operation;

	memcpy(&transfer, pair->record, sizeof(transfer));
	memcpy(&operation, pair->record, sizeof(operation));
	struct id128 id = transfer.id;
	struct id128 account = is_transfer ? transfer.debit : operation.account;
	enum status fault =
	    is_transfer ? oracle_transfer_fault(&transfer) : oracle_operation_fault(&operation);
	uint32_t home = oracle_shard(oracle, account);
	enum status wanted = fault != STATUS_OK	   ? fault
			     : home != pair->shard ? STATUS_WRONG_SHARD
						   : STATUS_OK;
	enum status status = result->status;
	struct oracle_outcome *outcome = oracle_outcome(oracle, id, home);
	bool same = outcome != NULL && outcome->is_transfer == is_transfer &&
		    memcmp(outcome->content, pair->record, sizeof(outcome->content)) == 0;

	check_epoch(pair, result->epoch);
	if (wanted != STATUS_OK ||
	    (status >= STATUS_RESERVED_NOT_ZERO && status <= STATUS_WRONG_SHARD)) {
		if (status != wanted)
			wrong(pair, "%s instead of %s", status_name(status), status_name(wanted));
		return;
	}
	switch (status) {
	case STATUS_PENDING:
	case STATUS_BUSY:
		return;
	case STATUS_ID_EXPIRED:
	case STATUS_ID_AHEAD:
		check_time(pair, status, id);
		return;
	case STATUS_ID_REUSED:
		if (outcome == NULL || same)
			wrong(pair, "ID_REUSED, but nothing durable says so");
		return;
	default:
		check_decided(pair, same ? outcome : NULL, status, result->epoch);
	}
}

static void check_transfer_lookup(const struct pair *pair, const struct wire_result *result)
{
	struct oracle *oracle = pair->oracle;
	struct wire_lookup_transfer lookup;

	memcpy(&lookup, pair->record, sizeof(lookup));
	uint32_t home = oracle_shard(oracle, lookup.debit);
	enum status status = result->status;
	enum status wanted = id_is_zero(lookup.debit) ? STATUS_ACCOUNT_ZERO : STATUS_OK;
	if ((lookup.reserved[0] | lookup.reserved[1] | lookup.reserved[2] | lookup.reserved[3]) !=
	    0)
		wanted = STATUS_RESERVED_NOT_ZERO;
	if (wanted == STATUS_OK && home != pair->shard)
		wanted = STATUS_WRONG_SHARD;

	check_epoch(pair, result->epoch);
	if (wanted != STATUS_OK || status == STATUS_WRONG_SHARD) {
		if (status != wanted)
			wrong(pair, "%s instead of %s", status_name(status), status_name(wanted));
		return;
	}
	switch (status) {
	case STATUS_PENDING:
	case STATUS_TRANSFER_NOT_FOUND:
		return;
	case STATUS_ID_EXPIRED:
	case STATUS_ID_AHEAD:
		check_time(pair, status, lookup.id);
		return;
	default:
		check_decided(pair, oracle_outcome(oracle, lookup.id, home), status, result->epoch);
	}
}

bool oracle_shows(const struct oracle_account *account, uint32_t version,
		  const struct wire_account *read)
{
	if (version == 0)
		return read->status == STATUS_ACCOUNT_NOT_FOUND;
	const struct oracle_version *wanted = &account->versions[version - 1];
	return read->status == STATUS_OK && read->balance == wanted->balance &&
	       read->held == wanted->held && read->incoming == wanted->incoming &&
	       read->flags == wanted->flags && read->floor == account->floor &&
	       read->ledger == account->ledger;
}

/* A read shows the exact durable state of its epoch, or one inside it. */
static void check_account_lookup(const struct pair *pair, const struct wire_account *read)
{
	struct oracle *oracle = pair->oracle;
	struct wire_lookup_account lookup;

	memcpy(&lookup, pair->record, sizeof(lookup));
	enum status wanted = id_is_zero(lookup.account) ? STATUS_ACCOUNT_ZERO : STATUS_OK;
	for (uint32_t i = 0; i < 6; i++)
		wanted = lookup.reserved[i] != 0 ? STATUS_RESERVED_NOT_ZERO : wanted;
	if (wanted == STATUS_OK && oracle_shard(oracle, lookup.account) != pair->shard)
		wanted = STATUS_WRONG_SHARD;

	check_epoch(pair, read->epoch);
	if (!id_equal(read->account, lookup.account))
		wrong(pair, "it is about another account");
	if (wanted != STATUS_OK) {
		if (read->status != wanted)
			wrong(pair, "%s instead of %s", status_name(read->status),
			      status_name(wanted));
		return;
	}
	const struct oracle_account *account = oracle_account(oracle, lookup.account);
	uint32_t first = 0;
	uint32_t last = 0;
	if (account != NULL)
		oracle_readable(account, read->epoch, &first, &last);
	for (uint32_t version = first; version <= last; version++) {
		if (oracle_shows(account, version, read))
			return;
	}
	wrong(pair,
	      "%s balance %" PRId64 " held %" PRIu64 " incoming %" PRIu64
	      " flags %u in epoch %" PRIu64 ": no state that is durable",
	      status_name(read->status), read->balance, read->held, read->incoming, read->flags,
	      read->epoch);
}

/* INFO and datagrams that are refused as a whole. */
static void check_whole(struct oracle *oracle, const struct wire_header *header,
			const uint8_t *reply)
{
	struct sim *sim = oracle->sim;
	struct wire_info info;

	if (header->status != STATUS_OK) {
		if (header->count != 0)
			sim_fail(sim, "a refused datagram has results");
		return;
	}
	memcpy(&info, reply + sizeof(*header), sizeof(info));
	/* Empty epochs are as durable as the block before them. */
	if (oracle->pending_count > 0 && info.committed >= oracle->pending[0].header->epoch)
		sim_fail(sim, "INFO says that epoch %" PRIu64 " is durable: %" PRIu64 " is",
			 info.committed, oracle->durable_epoch);
	if (info.shards != oracle->shards || info.log_id != oracle->log_id)
		sim_fail(sim, "INFO of another log");
}

void oracle_check_reply(struct oracle *oracle, const uint8_t *request, size_t request_size,
			const uint8_t *reply, size_t reply_size, uint64_t known_ms)
{
	struct sim *sim = oracle->sim;
	struct wire_header asked;
	struct wire_header header;

	memcpy(&asked, request, sizeof(asked));
	memcpy(&header, reply, sizeof(header));
	if (header.request_id != asked.request_id || reply_size > request_size ||
	    header.kind != (asked.kind | WIRE_REPLY))
		sim_fail(sim, "a reply that does not fit its request");
	if (header.status != STATUS_OK || asked.kind == WIRE_INFO) {
		check_whole(oracle, &header, reply);
		return;
	}
	size_t bytes = wire_result_record_bytes(asked.kind);
	if (header.count != asked.count || reply_size != sizeof(header) + header.count * bytes)
		sim_fail(sim, "a reply with another number of results");
	struct pair pair = {.oracle = oracle, .kind = asked.kind, .known_ms = known_ms};
	for (uint32_t i = 0; i < header.count; i++) {
		const uint8_t *result = reply + sizeof(header) + i * bytes;
		struct wire_result outcome;
		struct wire_account account;
		struct id128 first;
		pair.index = i;
		pair.record = request + sizeof(header) + (size_t)i * WIRE_RECORD_BYTES;
		if (i == 0) {
			memcpy(&first, pair.record + client_account_offset(asked.kind),
			       sizeof(first));
			pair.shard = oracle_shard(oracle, first);
		}
		reach(sim, REACH_REPLIES_CHECKED);
		memcpy(&outcome, result, sizeof(outcome));
		if (asked.kind == WIRE_LOOKUP_ACCOUNT) {
			memcpy(&account, result, sizeof(account));
			check_account_lookup(&pair, &account);
		} else if (asked.kind == WIRE_LOOKUP_TRANSFER) {
			check_transfer_lookup(&pair, &outcome);
		} else {
			check_result(&pair, &outcome);
		}
	}
}
