/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_client.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/sim.h"

uint64_t client_now_ms(const struct sim_client *client)
{
	return SIM_START_MS + client->sim->now_us / 1000;
}

size_t client_account_offset(unsigned kind)
{
	switch (kind) {
	case WIRE_TRANSFER:
	case WIRE_ACCOUNT:
	case WIRE_LOOKUP_TRANSFER:
		return 16;
	default:
		return 0;
	}
}

static uint32_t home_of(const struct sim_client *client, const struct client_operation *operation)
{
	struct id128 account;

	memcpy(&account, operation->content + client_account_offset(operation->kind),
	       sizeof(account));
	return oracle_shard(&client->sim->oracle, account);
}

static bool has_id(const struct client_operation *operation)
{
	return operation->kind == WIRE_TRANSFER || operation->kind == WIRE_ACCOUNT;
}

static uint32_t add_operation(struct sim_client *client, const struct client_operation *operation)
{
	CHECK(client->operation_count < CLIENT_OPERATIONS_MAX);
	client->operations[client->operation_count] = *operation;
	return client->operation_count++;
}

void client_init(struct sim_client *client, struct sim *sim)
{
	const struct shape *shape = &sim->shape;
	struct rng *rng = &sim->rng;

	memset(client, 0, sizeof(*client));
	client->sim = sim;
	for (uint32_t i = 0; i < shape->accounts; i++) {
		client->accounts[i] = (struct client_account){
		    .id = {.lo = rng_next(rng) | 1, .hi = rng_below(rng, 4)},
		    .ledger = 1 + i % shape->ledgers,
		    .floor = i < 2 * shape->ledgers ? FLOOR_ISSUER
			     : rng_chance(rng, 300) ? -(int64_t)rng_below(rng, 500)
						    : 0,
		};
	}
	for (uint32_t i = 0; i < shape->accounts; i++) {
		if (rng_chance(rng, 60) && i >= 2 * shape->ledgers)
			continue;
		struct client_operation operation = client_create_operation(client, i);
		add_operation(client, &operation);
	}
}

bool client_has_sent(const struct sim_client *client, const void *content, bool is_transfer)
{
	uint8_t kind = is_transfer ? WIRE_TRANSFER : WIRE_ACCOUNT;

	for (uint32_t i = 0; i < client->operation_count; i++) {
		const struct client_operation *operation = &client->operations[i];
		if (operation->copies > 0 && operation->kind == kind &&
		    memcmp(operation->content, content, sizeof(operation->content)) == 0)
			return true;
	}
	return false;
}

bool client_is_done(const struct sim_client *client)
{
	for (uint32_t i = 0; i < client->operation_count; i++) {
		if (client->operations[i].state < CLIENT_ANSWERED)
			return false;
	}
	return true;
}

/* Asking. */

/* What reads must show at least, and which outcomes must not be taken back. */
static void note(struct sim_client *client, struct client_datagram *datagram, uint32_t at,
		 const struct client_operation *operation)
{
	datagram->was_final[at] = operation->state == CLIENT_ANSWERED && has_id(operation) &&
				  operation->status != STATUS_ID_EXPIRED;
	struct oracle *oracle = &client->sim->oracle;
	if (operation->kind == WIRE_LOOKUP_ACCOUNT) {
		const struct oracle_account *account =
		    oracle_account(oracle, operation->lookup_account.account);
		datagram->must_show[at] = account == NULL ? 0 : account->acknowledged;
	} else if (operation->kind == WIRE_LOOKUP_TRANSFER) {
		const struct oracle_outcome *outcome = oracle_outcome(
		    oracle, operation->lookup_transfer.id, home_of(client, operation));
		datagram->must_show[at] = outcome != NULL && outcome->acknowledged;
	}
}

static struct client_datagram *new_datagram(struct sim_client *client, unsigned kind)
{
	if (client->datagram_count == CLIENT_DATAGRAMS_MAX)
		return NULL;
	struct client_datagram *datagram = &client->datagrams[client->datagram_count++];
	datagram->kind = (uint8_t)kind;
	return datagram;
}

static const char *kind_name(unsigned kind)
{
	static const char *const names[] = {"?",       "INFO",		 "TRANSFER",
					    "ACCOUNT", "LOOKUP_ACCOUNT", "LOOKUP_TRANSFER"};

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : names[0];
}

static void trace_asked(const struct sim_client *client, const struct client_datagram *datagram,
			const struct client_operation *first)
{
	for (uint32_t i = 0; i < datagram->count && trace_mode != TRACE_OFF; i++) {
		uint32_t index = datagram->operations[i];
		const struct client_operation *operation = &client->operations[index];
		trace("datagram %u to shard %u: operation %u, %s%s", client->datagram_count,
		      home_of(client, first), index, kind_name(operation->kind),
		      operation->copies > 1 ? ", again" : "");
	}
}

static void send(struct sim_client *client, const uint32_t *operations, uint32_t count)
{
	struct sim *sim = client->sim;
	struct client_operation *first = &client->operations[operations[0]];
	struct client_datagram *datagram = new_datagram(client, first->kind);
	uint8_t bytes[sizeof(struct wire_header) + SIM_RECORDS_MAX * WIRE_RECORD_BYTES];

	if (datagram == NULL)
		return;
	datagram->count = (uint8_t)count;
	for (uint32_t i = 0; i < count; i++) {
		struct client_operation *operation = &client->operations[operations[i]];
		datagram->operations[i] = (uint16_t)operations[i];
		note(client, datagram, i, operation);
		memcpy(bytes + sizeof(struct wire_header) + i * WIRE_RECORD_BYTES,
		       operation->content, WIRE_RECORD_BYTES);
		if (operation->copies > 0)
			reach(sim, REACH_SENT_AGAIN);
		operation->copies++;
		operation->retry_us = sim->now_us + 1 + rng_below(&sim->rng, sim->shape.retry_us);
		if (operation->state == CLIENT_NEW) {
			operation->state = CLIENT_WAITING;
			client->waiting++;
		}
	}
	size_t size = wire_seal_request(bytes, first->kind, count, client->datagram_count);
	trace_asked(client, datagram, first);
	network_send(&sim->network, bytes, size, home_of(client, first));
}

/* Fills a datagram with operations of the same kind that are due, from a random one on. */
static bool ask(struct sim_client *client)
{
	struct sim *sim = client->sim;
	uint32_t chosen[SIM_RECORDS_MAX] = {0};
	uint32_t count = 0;
	uint32_t most = (uint32_t)rng_range(&sim->rng, 1, sim->shape.records_max);
	bool mixed = !sim->settling && rng_chance(&sim->rng, 30);

	if (client->operation_count == 0)
		return false;
	uint32_t start = (uint32_t)rng_below(&sim->rng, client->operation_count);
	for (uint32_t i = 0; i < client->operation_count && count < most; i++) {
		uint32_t index = (start + i) % client->operation_count;
		struct client_operation *operation = &client->operations[index];
		bool due = operation->state == CLIENT_WAITING && operation->retry_us <= sim->now_us;
		if (operation->state == CLIENT_NEW)
			due = sim->settling || client->waiting + count < sim->shape.flight_max;
		if (!due)
			continue;
		const struct client_operation *first = &client->operations[chosen[0]];
		if (count > 0 && (operation->kind != first->kind ||
				  (!mixed && home_of(client, operation) != home_of(client, first))))
			continue;
		chosen[count++] = index;
	}
	if (count == 0)
		return false;
	send(client, chosen, count);
	return true;
}

/* Asks for what was answered or given up already: the same must come again. */
static void ask_again(struct sim_client *client)
{
	if (client->operation_count == 0)
		return;
	uint32_t index = (uint32_t)rng_below(&client->sim->rng, client->operation_count);
	if (client->operations[index].copies > 0)
		send(client, &index, 1);
}

static void ask_info(struct sim_client *client)
{
	struct sim *sim = client->sim;
	uint8_t bytes[sizeof(struct wire_header) + sizeof(struct wire_info_request)] = {0};
	struct wire_info_request request = {0};

	if (new_datagram(client, WIRE_INFO) == NULL)
		return;
	request.first_slot = (uint16_t)(WIRE_INFO_SLOTS * rng_below(&sim->rng, 5));
	if (rng_chance(&sim->rng, 100))
		request.padding[7] = 1;
	memcpy(bytes + sizeof(struct wire_header), &request, sizeof(request));
	size_t size = wire_seal_request(bytes, WIRE_INFO, 1, client->datagram_count);
	network_send(&sim->network, bytes, size, 0);
}

/* A datagram with a sound checksum and no sense. */
static void send_nonsense(struct sim_client *client)
{
	struct sim *sim = client->sim;
	uint8_t bytes[sizeof(struct wire_header) + 2 * WIRE_RECORD_BYTES] = {0};
	struct client_datagram *datagram = new_datagram(client, WIRE_TRANSFER);
	struct wire_header header;

	if (datagram == NULL)
		return;
	datagram->malformed = true;
	size_t size = wire_seal_request(bytes, WIRE_TRANSFER, 2, client->datagram_count);
	memcpy(&header, bytes, sizeof(header));
	switch (rng_below(&sim->rng, 7)) {
	case 0:
		header.version = 9;
		break;
	case 1:
		header.kind = 77;
		break;
	case 2:
		header.count = 3;
		break;
	case 3:
		header.count = 0;
		break;
	case 4:
		header.status = 1;
		break;
	case 5:
		header.kind |= WIRE_REPLY;
		break;
	default:
		header.magic++;
		break;
	}
	memcpy(bytes, &header, sizeof(header));
	header.checksum = wire_checksum(bytes, size);
	memcpy(bytes, &header.checksum, sizeof(header.checksum));
	datagram->kind = header.kind;
	if (rng_chance(&sim->rng, 100))
		size = rng_below(&sim->rng, sizeof(header));
	network_send(&sim->network, bytes, size, 0);
}

void client_act(struct sim_client *client)
{
	struct sim *sim = client->sim;
	uint64_t kind = rng_below(&sim->rng, 100);

	if (sim->settling) {
		ask(client);
		return;
	}
	if (kind < 4) {
		ask_again(client);
	} else if (kind == 4) {
		ask_info(client);
	} else if (kind == 5) {
		send_nonsense(client);
	} else if (kind < 50 && client->operation_count < sim->shape.operations_max &&
		   client->waiting < sim->shape.flight_max) {
		struct client_operation operation = client_next_operation(client);
		add_operation(client, &operation);
	} else if (kind == 50 && client->operation_count > 0) {
		struct client_operation *operation =
		    &client->operations[rng_below(&sim->rng, client->operation_count)];
		if (operation->state == CLIENT_WAITING) {
			reach(sim, REACH_GIVEN_UP);
			operation->state = CLIENT_GIVEN_UP;
			client->waiting--;
		}
	} else {
		ask(client);
	}
}

/* Answers. */

/* An account shows at least this from now on. */
static void acknowledge(struct sim_client *client, uint32_t account, uint32_t versions)
{
	if (account == ORACLE_NONE)
		return;
	struct oracle_account *known = &client->sim->oracle.accounts[account];
	if (known->acknowledged < versions)
		known->acknowledged = versions;
}

/* A status that is final for a record: it may never change, except that an id is forgotten when its
 * time is over. */
static void on_final(struct sim_client *client, uint32_t index, enum status status)
{
	struct sim *sim = client->sim;
	struct client_operation *operation = &client->operations[index];

	if (status == STATUS_ID_EXPIRED) {
		if (operation->state == CLIENT_ANSWERED && operation->status != status)
			reach(sim, REACH_EXPIRED_AFTERWARDS);
		operation->expired = true;
	} else if (operation->state == CLIENT_ANSWERED && operation->status != STATUS_ID_EXPIRED) {
		if (operation->status != status)
			sim_fail(sim, "operation %u was told %s, and now %s", index,
				 status_name(operation->status), status_name(status));
		reach(sim, REACH_ANSWERED_TWICE);
	}
	if (operation->state == CLIENT_WAITING)
		client->waiting--;
	if (operation->state == CLIENT_ANSWERED && status == STATUS_ID_EXPIRED)
		return;
	operation->state = CLIENT_ANSWERED;
	operation->status = (uint16_t)status;
	if (status != STATUS_OK && status < STATUS_DEBIT_NOT_FOUND)
		return;
	struct oracle_outcome *outcome =
	    oracle_outcome(&sim->oracle, operation->transfer.id, home_of(client, operation));
	outcome->acknowledged = true;
	if (status != STATUS_OK)
		return;
	acknowledge(client, outcome->debit, outcome->debit_version);
	acknowledge(client, outcome->credit, outcome->credit_version);
}

/* The account table of the operation's shard is full for ever: BUSY is all that can be said. */
static bool is_hopeless(struct sim_client *client, const struct client_operation *operation)
{
	const struct oracle *oracle = &client->sim->oracle;

	return operation->kind == WIRE_ACCOUNT && operation->operation.action == CREATE_ACCOUNT &&
	       oracle->shard_accounts[home_of(client, operation)] == oracle->accounts_max;
}

static void on_result(struct sim_client *client, const struct client_datagram *datagram,
		      uint32_t at, enum status status)
{
	struct sim *sim = client->sim;
	uint32_t index = datagram->operations[at];
	struct client_operation *operation = &client->operations[index];

	if (!status_is_transient(status)) {
		on_final(client, index, status);
		return;
	}
	if (datagram->was_final[at] && status != STATUS_WRONG_SHARD)
		sim_fail(sim, "operation %u was told %s before it was sent again, and now %s",
			 index, status_name(operation->status), status_name(status));
	if (sim->settling && operation->state == CLIENT_WAITING && status == STATUS_BUSY &&
	    is_hopeless(client, operation)) {
		operation->state = CLIENT_GIVEN_UP;
		client->waiting--;
	}
}

/* A read: some state from what was acknowledged before it on, and whoever reads later sees no
 * earlier one. */
static void on_account(struct sim_client *client, const struct client_datagram *datagram,
		       uint32_t at, const struct wire_account *read)
{
	struct sim *sim = client->sim;
	uint32_t index = datagram->operations[at];
	struct client_operation *operation = &client->operations[index];

	if (read->status != STATUS_WRONG_SHARD && operation->state == CLIENT_WAITING) {
		operation->state = CLIENT_ANSWERED;
		client->waiting--;
	}
	struct oracle_account *account =
	    oracle_account(&sim->oracle, operation->lookup_account.account);
	if ((read->status != STATUS_OK && read->status != STATUS_ACCOUNT_NOT_FOUND) ||
	    account == NULL)
		return;
	uint32_t version;
	uint32_t last;
	oracle_readable(account, read->epoch, &version, &last);
	if (version < datagram->must_show[at])
		version = datagram->must_show[at];
	while (version <= last && !oracle_shows(account, version, read))
		version++;
	if (version > last)
		sim_fail(sim,
			 "operation %u reads the past of an account: change %u was known "
			 "before it was sent",
			 index, datagram->must_show[at]);
	if (datagram->must_show[at] > 0)
		reach(sim, REACH_READ_OF_ACKNOWLEDGED);
	if (account->acknowledged < version)
		account->acknowledged = version;
}

/* An outcome that was known before the look-up was sent is found, or its time is over. */
static void on_transfer_lookup(struct sim_client *client, const struct client_datagram *datagram,
			       uint32_t at, enum status status)
{
	uint32_t index = datagram->operations[at];
	struct client_operation *operation = &client->operations[index];

	if (status == STATUS_WRONG_SHARD)
		return;
	if (datagram->must_show[at] != 0 &&
	    (status == STATUS_PENDING || status == STATUS_ID_AHEAD ||
	     status == STATUS_TRANSFER_NOT_FOUND))
		sim_fail(client->sim, "operation %u: an outcome that was known reads as %s", index,
			 status_name(status));
	if (status != STATUS_PENDING && operation->state == CLIENT_WAITING) {
		operation->state = CLIENT_ANSWERED;
		client->waiting--;
	}
}

static void hear(struct sim_client *client, const struct client_datagram *datagram, uint32_t at,
		 unsigned status)
{
	reach_status(client->sim, status);
	trace("client hears: operation %u, %s: %s", datagram->operations[at],
	      kind_name(datagram->kind), status_name(status));
}

static void take_results(struct sim_client *client, const struct client_datagram *datagram,
			 const uint8_t *results)
{
	size_t bytes = wire_result_record_bytes(datagram->kind);

	for (uint32_t i = 0; i < datagram->count; i++) {
		struct wire_account account;
		struct wire_result result;
		memcpy(&result, results + i * bytes, sizeof(result));
		if (datagram->kind == WIRE_LOOKUP_ACCOUNT) {
			memcpy(&account, results + i * bytes, sizeof(account));
			hear(client, datagram, i, account.status);
			on_account(client, datagram, i, &account);
			continue;
		}
		hear(client, datagram, i, result.status);
		if (datagram->kind == WIRE_LOOKUP_TRANSFER) {
			on_transfer_lookup(client, datagram, i, result.status);
		} else {
			on_result(client, datagram, i, result.status);
		}
	}
}

void client_receive(struct sim_client *client, uint8_t *bytes, size_t size, bool damaged)
{
	struct sim *sim = client->sim;
	struct wire_header header = {0};

	memcpy(&header, bytes, size < sizeof(header) ? size : sizeof(header));
	const struct client_datagram *datagram = header.request_id - 1 < client->datagram_count
						     ? &client->datagrams[header.request_id - 1]
						     : NULL;
	unsigned kind = datagram == NULL ? header.kind % WIRE_REPLY : datagram->kind;
	int fault = wire_check_reply(bytes, size, kind);

	if (damaged) {
		if (fault >= 0)
			sim_fail(sim, "a damaged reply was taken for a sound one");
		reach(sim, REACH_DAMAGE_CAUGHT_CLIENT);
		return;
	}
	if (fault < 0 || datagram == NULL)
		sim_fail(sim, "a reply that is none: %s", wire_fault_name(fault));
	if (datagram->malformed != (fault >= STATUS_BAD_VERSION && fault <= STATUS_BAD_COUNT))
		sim_fail(sim, "datagram %" PRIu64 " was answered with %s as a whole",
			 header.request_id, status_name((unsigned)fault));
	if (fault != 0) {
		reach_status(sim, header.status);
		return;
	}
	if (datagram->kind != WIRE_INFO)
		take_results(client, datagram, bytes + sizeof(header));
}
