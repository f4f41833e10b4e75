/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker makes of datagrams: where they go, what is answered in place, what is refused.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/engine/stand.h"

static struct stand *stand;
static struct id128 issuer[STAND_SHARDS_MAX];
static struct id128 wallet[STAND_SHARDS_MAX];

static void start(const struct stand_options *options)
{
	stand = stand_new(options);
	for (uint32_t i = 0; i < options->shards; i++) {
		issuer[i] = account_on(options->shards, i, 0);
		wallet[i] = account_on(options->shards, i, 1);
	}
	stand_fill(stand, 1);
}

static void stop(void)
{
	stand_free(stand);
}

TestSuite(worker_requests, .fini = stop);

/* Opens an epoch and commits the one before. */
static void commit(void)
{
	uint64_t epoch = epoch_newest(&stand->clock);

	stand_open(stand, 1);
	stand_turn(stand);
	stand_commit(stand, epoch);
}

static uint8_t *record_at(struct packet *packet)
{
	return packet->payload + sizeof(struct wire_header);
}

/* Puts a right checksum on a payload that the test changed. */
static void seal_again(struct packet *packet)
{
	uint64_t checksum = wire_checksum(packet->payload, packet->size);

	memcpy(packet->payload, &checksum, sizeof(checksum));
}

Test(worker_requests, each_kind_goes_to_the_shard_of_its_account)
{
	enum { SHARDS = 5 };

	start(&(struct stand_options){.shards = SHARDS, .workers = 2});
	for (uint32_t i = 0; i < SHARDS; i++) {
		struct id128 other = wallet[(i + 1) % SHARDS];
		const struct transfer pay = {.debit = wallet[i], .credit = other, .id = other};
		const struct account_operation operation = {.account = wallet[i], .id = other};
		const struct wire_lookup_account look = {.account = wallet[i]};
		const struct wire_lookup_transfer find = {.debit = wallet[i], .id = other};
		const struct {
			unsigned kind;
			const void *record;
		} rows[] = {
		    {WIRE_TRANSFER, &pay},
		    {WIRE_ACCOUNT, &operation},
		    {WIRE_LOOKUP_ACCOUNT, &look},
		    {WIRE_LOOKUP_TRANSFER, &find},
		};
		for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
			struct packet *packet =
			    stand_packet(stand, rows[row].kind, rows[row].record, 1);
			uint32_t shard = UINT32_MAX;
			size_t size = 0;
			cr_assert(worker_route(stand->worker[0], packet->payload, packet->size,
					       &shard, &size) == WORKER_ROUTE_SHARD);
			cr_assert(shard == i, "kind %u", rows[row].kind);
		}
	}
}

struct damage {
	const char *name;
	size_t offset; /* of the byte changed */
	uint8_t value;
	size_t size; /* 0: as it was */
	bool sealed; /* with a checksum that matches */
	int fault;
};

static const struct damage damages[] = {
    {"no header", 0, 0, 31, false, WIRE_FAULT_SHORT},
    {"nothing", 0, 0, 1, false, WIRE_FAULT_SHORT},
    {"too long", 0, 0, WIRE_DATAGRAM_MAX + 1, false, WIRE_FAULT_SHORT},
    {"not ours", 8, 0, 0, true, WIRE_FAULT_MAGIC},
    {"a reply", 13, WIRE_TRANSFER | WIRE_REPLY, 0, true, WIRE_FAULT_REPLY},
    {"amount changed", 32 + 48, 0xff, 0, false, WIRE_FAULT_CHECKSUM},
    {"last byte changed", 32 + 63, 0xff, 0, false, WIRE_FAULT_CHECKSUM},
};

Test(worker_requests, damaged_datagrams_are_dropped_and_counted)
{
	start(&(struct stand_options){.shards = 1, .workers = 1});
	const struct worker_counts *counts = &stand->worker[0]->counts;
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		const struct damage *row = &damages[i];
		struct packet *packet = stand_pay(stand, wallet[0], issuer[0], 1);
		uint64_t before = counts->faults[-row->fault];
		uint64_t datagrams = counts->datagrams;
		if (row->size == 0)
			packet->payload[row->offset] = row->value;
		if (row->sealed)
			seal_again(packet);
		packet->size = row->size != 0 ? row->size : packet->size;
		cr_assert(stand_send(stand, 0, packet) == WORKER_ROUTE_DROP, "%s", row->name);
		cr_assert(counts->faults[-row->fault] == before + 1, "%s", row->name);
		cr_assert(counts->datagrams == datagrams && !packet->answered);
	}
}

/* worker_has_room() is asked for as many records as the port's datagrams hold: one that is larger
 * all the same could write beyond the section. */
Test(worker_requests, datagram_larger_than_the_ports_is_dropped)
{
	enum { RECORDS = 23 };
	struct transfer transfers[RECORDS] = {{.ledger = 1}};

	start(
	    &(struct stand_options){.shards = 1, .workers = 1, .datagram_max = WIRE_DATAGRAM_1500});
	for (uint32_t i = 0; i < RECORDS; i++)
		transfers[i].debit = wallet[0];
	struct packet *fits = stand_packet(stand, WIRE_TRANSFER, transfers, RECORDS - 1);
	struct packet *larger = stand_packet(stand, WIRE_TRANSFER, transfers, RECORDS);
	cr_assert(fits->size <= WIRE_DATAGRAM_1500 && larger->size > WIRE_DATAGRAM_1500);
	cr_assert(stand_send(stand, 0, fits) == WORKER_ROUTE_SHARD);
	cr_assert(stand_send(stand, 0, larger) == WORKER_ROUTE_DROP);
	cr_assert(stand->worker[0]->counts.faults[-WIRE_FAULT_SHORT] == 1);
}

struct malformed {
	const char *name;
	size_t offset;
	uint8_t value;
	int shorter; /* bytes cut off */
	enum status status;
};

static const struct malformed malformeds[] = {
    {"version 0", 12, 0, 0, STATUS_BAD_VERSION},
    {"version 2", 12, 2, 0, STATUS_BAD_VERSION},
    {"kind 0", 13, 0, 0, STATUS_BAD_KIND},
    {"kind 6", 13, 6, 0, STATUS_BAD_KIND},
    {"kind 127", 13, 127, 0, STATUS_BAD_KIND},
    {"no records", 14, 0, 0, STATUS_BAD_COUNT},
    {"more than there are", 14, 2, 0, STATUS_BAD_COUNT},
    {"cut off", 14, 1, 1, STATUS_BAD_COUNT},
    {"map version given", 24, 1, 0, STATUS_BAD_COUNT},
    {"status given", 28, 1, 0, STATUS_BAD_COUNT},
    {"retry given", 30, 1, 0, STATUS_BAD_COUNT},
};

Test(worker_requests, malformed_datagrams_are_refused_as_a_whole)
{
	start(&(struct stand_options){.shards = 1, .workers = 1});
	for (size_t i = 0; i < sizeof(malformeds) / sizeof(malformeds[0]); i++) {
		const struct malformed *row = &malformeds[i];
		struct packet *packet = stand_pay(stand, wallet[0], issuer[0], 1);
		uint64_t refused = stand->worker[0]->counts.refused;
		struct wire_header request = packet_header(packet);
		packet->payload[row->offset] = row->value;
		packet->size -= (size_t)row->shorter;
		seal_again(packet);
		cr_assert(stand_send(stand, 0, packet) == WORKER_ROUTE_REPLY, "%s", row->name);
		struct wire_header reply = packet_header(packet);
		cr_assert(packet->reply_size == sizeof(reply), "%s", row->name);
		cr_assert(reply.status == row->status, "%s: %u", row->name, reply.status);
		cr_assert(reply.request_id == request.request_id && reply.count == 0);
		cr_assert(reply.version == WIRE_VERSION && (reply.kind & WIRE_REPLY) != 0);
		cr_assert(reply.map_version == 1 && reply.retry_after_ms == 0);
		cr_assert(reply.checksum == wire_checksum(packet->payload, packet->reply_size));
		cr_assert(stand->worker[0]->counts.refused == refused + 1);
	}
}

Test(worker_requests, info_gives_the_map_page_by_page)
{
	start(&(struct stand_options){.shards = 3, .workers = 2});
	const struct shard_limits *limits = &stand->limits;
	for (uint32_t first = 0; first < SLOTS; first += WIRE_INFO_SLOTS) {
		const struct wire_info_request request = {.first_slot = (uint16_t)first};
		struct packet *packet = stand_packet(stand, WIRE_INFO, &request, 1);
		struct wire_info info;
		cr_assert(stand_send(stand, 1, packet) == WORKER_ROUTE_REPLY);
		cr_assert(wire_check_reply(packet->payload, packet->reply_size, WIRE_INFO) == 0);
		memcpy(&info, record_at(packet), sizeof(info));
		cr_assert(info.version_min == 1 && info.version_max == 1 && info.shards == 3);
		cr_assert(info.first_slot == first && info.datagram_max == WIRE_DATAGRAM_MAX);
		cr_assert(info.records_max == WIRE_RECORDS_MAX && info.reserved == 0);
		cr_assert(info.window_ms == limits->window_ms && info.ahead_ms == limits->ahead_ms);
		cr_assert(info.now_ms == stand->now_ms && info.log_id == STAND_LOG_ID);
		cr_assert(info.committed == epoch_committed(&stand->clock));
		cr_assert(info.accounts_max == limits->accounts_max);
		for (uint32_t i = 0; i < SHARDS_MAX; i++)
			cr_assert(info.port[i] == (i < 3 ? STAND_UDP_PORT + i : 0));
		for (uint32_t i = 0; i < WIRE_INFO_SLOTS; i++)
			cr_assert(info.slot[i] == (first + i) % 3);
	}
	cr_assert(stand->worker[1]->counts.infos == SLOTS / WIRE_INFO_SLOTS);
}

Test(worker_requests, info_shows_no_epoch_before_it_is_durable)
{
	const struct wire_info_request request = {0};

	start(&(struct stand_options){.shards = 1, .workers = 1, .slots = 8});
	uint64_t durable = epoch_committed(&stand->clock);
	stand_send_pay(stand, wallet[0], issuer[0], 1);
	stand_open(stand, 1);
	stand_turn(stand);
	struct packet *packet = stand_packet(stand, WIRE_INFO, &request, 1);
	stand_send(stand, 0, packet);
	struct wire_info info;
	memcpy(&info, record_at(packet), sizeof(info));
	cr_assert(info.committed == durable);
}

struct bad_info {
	const char *name;
	size_t offset; /* in the record */
	uint8_t value;
};

static const struct bad_info bad_infos[] = {
    {"not a page's first slot", 0, 1},
    {"behind the last page", 1, SLOTS >> 8},
    {"far behind it", 1, 0xfc},
    {"reserved16", 2, 1},
    {"reserved", 8, 1},
    {"last reserved", 63, 1},
    {"padding", 64, 1},
    {"last padding", sizeof(struct wire_info_request) - 1, 1},
};

Test(worker_requests, malformed_info_is_refused)
{
	start(&(struct stand_options){.shards = 1, .workers = 1});
	for (size_t i = 0; i < sizeof(bad_infos) / sizeof(bad_infos[0]); i++) {
		const struct wire_info_request request = {0};
		struct packet *packet = stand_packet(stand, WIRE_INFO, &request, 1);
		record_at(packet)[bad_infos[i].offset] = bad_infos[i].value;
		seal_again(packet);
		cr_assert(stand_send(stand, 0, packet) == WORKER_ROUTE_REPLY);
		struct wire_header reply = packet_header(packet);
		cr_assert(reply.status == STATUS_RESERVED_NOT_ZERO, "%s", bad_infos[i].name);
		cr_assert(reply.count == 0 && packet->reply_size == sizeof(reply));
	}
}

/* Every result at its record's place, whenever it came, over more than one burst. */
Test(worker_requests, results_are_in_the_order_of_the_records)
{
	enum { RECORDS = WIRE_RECORDS_MAX };
	static const struct {
		uint64_t amount;
		bool from_issuer;
		enum status status;
	} rows[] = {
	    {1, true, STATUS_OK},	    {5000, false, STATUS_INSUFFICIENT_FUNDS},
	    {0, true, STATUS_AMOUNT_ZERO},  {2, true, STATUS_OK}, /* to the other shard */
	    {3, true, STATUS_WRONG_SHARD},  {4, true, STATUS_OK},
	    {6, true, STATUS_SAME_ACCOUNT},
	};
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	struct transfer transfers[RECORDS];

	_Static_assert(RECORDS > 2 * SHARD_BURST_MAX, "three bursts");
	start(&(struct stand_options){.shards = 2, .workers = 2, .rows = 64});
	for (uint32_t i = 0; i < RECORDS; i++) {
		uint32_t row = i % ROWS;
		transfers[i] = (struct transfer){
		    .id = stand_id(stand),
		    .debit = rows[row].from_issuer ? issuer[0] : wallet[0],
		    .credit = rows[row].from_issuer ? wallet[0] : issuer[0],
		    .amount = rows[row].amount,
		    .ledger = STAND_LEDGER,
		};
		if (row == 3)
			transfers[i].credit = wallet[1];
		if (rows[row].status == STATUS_WRONG_SHARD)
			transfers[i].debit = issuer[1];
		if (rows[row].status == STATUS_SAME_ACCOUNT)
			transfers[i].credit = transfers[i].debit;
	}
	struct packet *packet = stand_packet(stand, WIRE_TRANSFER, transfers, RECORDS);
	stand_send(stand, 0, packet);
	stand_deliver(stand);
	uint64_t epoch = epoch_newest(&stand->clock);
	commit();
	uint64_t paid = 0;
	for (uint32_t i = 0; i < RECORDS; i++) {
		struct wire_result result = packet_result(packet, i);
		bool logged = rows[i % ROWS].status == STATUS_OK ||
			      rows[i % ROWS].status == STATUS_INSUFFICIENT_FUNDS;
		cr_assert(result.status == rows[i % ROWS].status, "record %u: %s", i,
			  status_name(result.status));
		cr_assert(result.epoch == (logged ? epoch : 0), "record %u", i);
		cr_assert(result.reserved == 0 && result.retry_after_ms == 0);
		paid += result.status == STATUS_OK ? rows[i % ROWS].amount : 0;
	}
	cr_assert(shard_account(stand->shard[0], issuer[0])->balance == -1000 - (int64_t)paid);
}

Test(worker_requests, accounts_and_lookups_answer_record_by_record)
{
	start(&(struct stand_options){.shards = 2, .workers = 1});
	struct id128 none = account_on(2, 0, 9);
	const struct account_operation operations[] = {
	    {.id = stand_id(stand), .account = wallet[0], .action = FREEZE_ACCOUNT},
	    {.id = stand_id(stand), .account = none, .action = FREEZE_ACCOUNT},
	    {.id = stand_id(stand), .account = wallet[1], .action = FREEZE_ACCOUNT},
	    {.id = stand_id(stand), .account = wallet[0], .action = 9},
	};
	struct packet *changed = stand_packet(stand, WIRE_ACCOUNT, operations, 4);
	stand_send(stand, 0, changed);
	commit();
	cr_assert(packet_result(changed, 0).status == STATUS_OK);
	cr_assert(packet_result(changed, 1).status == STATUS_ACCOUNT_NOT_FOUND);
	cr_assert(packet_result(changed, 2).status == STATUS_WRONG_SHARD);
	cr_assert(packet_result(changed, 3).status == STATUS_BAD_ACTION);

	const struct wire_lookup_account lookups[] = {
	    {.account = wallet[0]}, {.account = none},
	    {.account = wallet[1]}, {.account = wallet[0], .reserved = {1}},
	    {.account = {0, 0}},    {.account = issuer[0]},
	};
	static const enum status statuses[] = {STATUS_OK,	    STATUS_ACCOUNT_NOT_FOUND,
					       STATUS_WRONG_SHARD,  STATUS_RESERVED_NOT_ZERO,
					       STATUS_ACCOUNT_ZERO, STATUS_OK};
	struct packet *looked = stand_packet(stand, WIRE_LOOKUP_ACCOUNT, lookups, 6);
	stand_send(stand, 0, looked);
	stand_turn(stand);
	for (uint32_t i = 0; i < 6; i++) {
		struct wire_account account = packet_account(looked, i);
		cr_assert(account.status == statuses[i], "record %u", i);
		cr_assert(id_equal(account.account, lookups[i].account));
		if (account.status != STATUS_OK)
			cr_assert(account.balance == 0 && account.floor == 0 &&
				  account.ledger == 0 && account.flags == 0);
	}
	cr_assert(packet_account(looked, 0).flags == ACCOUNT_FROZEN);
	cr_assert(packet_account(looked, 0).balance == 1000);
	cr_assert(packet_account(looked, 5).balance == -1000);
	cr_assert(packet_account(looked, 5).floor == FLOOR_ISSUER);
	cr_assert(packet_account(looked, 5).ledger == STAND_LEDGER);

	const struct wire_lookup_transfer finds[] = {
	    {.id = operations[0].id, .debit = wallet[0]},
	    {.id = stand_id(stand), .debit = wallet[0]},
	    {.id = operations[0].id, .debit = wallet[1]},
	    {.id = operations[0].id},
	    {.id = {1, 1}, .debit = wallet[0]},
	};
	static const enum status found[] = {STATUS_OK, STATUS_TRANSFER_NOT_FOUND,
					    STATUS_WRONG_SHARD, STATUS_ACCOUNT_ZERO,
					    STATUS_ID_EXPIRED};
	struct packet *find = stand_packet(stand, WIRE_LOOKUP_TRANSFER, finds, 5);
	stand_send(stand, 0, find);
	stand_turn(stand);
	for (uint32_t i = 0; i < 5; i++)
		cr_assert(packet_result(find, i).status == found[i], "record %u", i);
}

Test(worker_requests, held_and_incoming_are_seen_while_money_is_under_way)
{
	start(&(struct stand_options){.shards = 2, .workers = 1});
	stand_send_pay(stand, wallet[0], wallet[1], 5);
	stand_deliver_one(stand, 0);
	struct packet *debit = stand_look(stand, wallet[0]);
	struct packet *credit = stand_look(stand, wallet[1]);
	stand_send(stand, 0, debit);
	stand_send(stand, 0, credit);
	commit();
	cr_assert(packet_account(debit, 0).held == 5 && packet_account(debit, 0).balance == 1000);
	cr_assert(packet_account(credit, 0).incoming == 5);
	cr_assert(packet_account(credit, 0).balance == 1000);
	stand_deliver(stand);
}

Test(worker_requests, busy_when_requests_run_out)
{
	enum { REQUESTS = 4 };
	struct packet *held[REQUESTS];

	start(&(struct stand_options){.shards = 1, .workers = 1, .requests = REQUESTS});
	for (uint32_t i = 0; i < REQUESTS; i++)
		held[i] = stand_send_pay(stand, wallet[0], issuer[0], 1);
	struct packet *refused[WORKER_REPLIES_BURST + 1];
	for (uint32_t i = 0; i <= WORKER_REPLIES_BURST; i++)
		refused[i] = stand_send_pay(stand, wallet[0], issuer[0], 1);
	stand_turn(stand);
	for (uint32_t i = 0; i <= WORKER_REPLIES_BURST; i++) {
		struct wire_header reply = packet_header(refused[i]);
		cr_assert(refused[i]->answered && reply.status == STATUS_BUSY);
		cr_assert(reply.count == 0 && refused[i]->reply_size == sizeof(reply));
		cr_assert(reply.retry_after_ms == WORKER_RETRY_AFTER_MS);
		cr_assert(wire_check_reply(refused[i]->payload, refused[i]->reply_size,
					   WIRE_TRANSFER) == STATUS_BUSY);
	}
	cr_assert(stand->worker[0]->counts.busy_requests == WORKER_REPLIES_BURST + 1);
	commit();
	for (uint32_t i = 0; i < REQUESTS; i++)
		cr_assert(packet_result(held[i], 0).status == STATUS_OK);
	cr_assert(shard_account(stand->shard[0], wallet[0])->balance == 1000 - REQUESTS);
	struct packet *again = stand_send_pay(stand, wallet[0], issuer[0], 1);
	commit();
	cr_assert(packet_result(again, 0).status == STATUS_OK, "they are free again");
}

/* Above the rate an id is refused for as long as the rate needs, and then taken, under the same id:
 * it never has to wait until it expires. */
Test(worker_requests, new_ids_above_the_rate_wait_for_time_to_pass)
{
	enum { RATE = 4, TRANSFERS = 24 };
	struct transfer transfers[TRANSFERS];
	uint32_t taken = 0;
	uint32_t rounds = 0;

	start(&(struct stand_options){
	    .shards = 1, .workers = 1, .requests = 2 * TRANSFERS, .ids_per_second = RATE});
	for (uint32_t i = 0; i < TRANSFERS; i++)
		memcpy(&transfers[i], record_at(stand_pay(stand, wallet[0], issuer[0], 1)),
		       sizeof(transfers[i]));
	for (uint32_t before = 0; taken < TRANSFERS; before = taken, rounds++) {
		struct packet *sent[TRANSFERS];
		for (uint32_t i = 0; i < TRANSFERS; i++) {
			sent[i] = stand_packet(stand, WIRE_TRANSFER, &transfers[i], 1);
			stand_send(stand, 0, sent[i]);
		}
		uint64_t epoch = epoch_newest(&stand->clock);
		stand_open(stand, 1000);
		stand_turn(stand);
		stand_commit(stand, epoch);
		taken = 0;
		for (uint32_t i = 0; i < TRANSFERS; i++) {
			enum status status = packet_result(sent[i], 0).status;
			cr_assert(status == STATUS_OK || status == STATUS_BUSY);
			cr_assert(status == STATUS_OK || i >= before, "a repeat is answered");
			taken += status == STATUS_OK;
		}
		if (rounds > 0)
			cr_assert(taken == before + RATE || taken == TRANSFERS, "%u after %u",
				  taken, before);
	}
	cr_assert(rounds > 2 && stand->worker[0]->counts.over_rate > 0);
}

Test(worker_requests, rows_are_short_when_more_than_half_of_a_link_is_under_way)
{
	enum { ROWS = 4 };

	start(&(struct stand_options){.shards = 2, .workers = 2, .rows = ROWS});
	for (uint32_t i = 0; i <= ROWS / 2; i++) {
		cr_assert(worker_has_rows(stand->worker[0]), "%u under way", i);
		stand_send_pay(stand, wallet[0], wallet[1], 1);
		worker_flush(stand->worker[0]);
	}
	cr_assert_not(worker_has_rows(stand->worker[0]));
	cr_assert(worker_has_rows(stand->worker[1]), "the other way is another link");
	stand_deliver(stand);
	cr_assert(worker_has_rows(stand->worker[0]));
	commit();
}

/* The two reasons for which a worker takes nothing new. */
static void no_new_work(bool draining)
{
	stand->worker[0]->draining = draining;
	atomic_store(&stand->clock.has_space, draining);
}

Test(worker_requests, repeats_and_lookups_go_on_while_new_work_is_refused)
{
	for (int draining = 0; draining < 2; draining++) {
		struct transfer two[2];
		start(&(struct stand_options){.shards = 2, .workers = 2, .slots = 8});
		struct packet *known = stand_pay(stand, wallet[0], issuer[0], 5);
		memcpy(&two[0], record_at(known), sizeof(two[0]));
		stand_send(stand, 0, known);
		struct packet *cross = stand_send_pay(stand, wallet[0], wallet[1], 7);
		two[1] = two[0];
		two[1].id = stand_id(stand);

		no_new_work(draining);
		struct packet *both = stand_packet(stand, WIRE_TRANSFER, two, 2);
		struct packet *look = stand_look(stand, wallet[0]);
		const struct account_operation freeze = {
		    .id = stand_id(stand), .account = wallet[0], .action = FREEZE_ACCOUNT};
		struct packet *change = stand_packet(stand, WIRE_ACCOUNT, &freeze, 1);
		stand_send(stand, 0, both);
		stand_send(stand, 0, look);
		stand_send(stand, 0, change);
		stand_turn(stand);
		cr_assert(packet_result(change, 0).status == STATUS_BUSY);
		cr_assert(packet_result(change, 0).retry_after_ms == WORKER_RETRY_AFTER_MS);
		stand_deliver(stand); /* what is under way goes on */
		commit();
		cr_assert(packet_result(both, 0).status == STATUS_OK);
		cr_assert(packet_result(both, 1).status == STATUS_BUSY);
		cr_assert(packet_result(both, 1).retry_after_ms == WORKER_RETRY_AFTER_MS);
		cr_assert(packet_result(both, 1).epoch == 0);
		cr_assert(packet_account(look, 0).balance == 995);
		cr_assert(packet_result(cross, 0).status == STATUS_OK);
		cr_assert(worker_is_idle(stand->worker[0]));

		stand->worker[0]->draining = false;
		atomic_store(&stand->clock.has_space, true);
		struct packet *again = stand_packet(stand, WIRE_TRANSFER, &two[1], 1);
		stand_send(stand, 0, again);
		commit();
		cr_assert(packet_result(again, 0).status == STATUS_OK, "nothing was executed");
		if (draining == 0)
			stop();
	}
}

Test(worker_requests, room_is_what_the_open_section_holds)
{
	enum { SECTION = 4096, RECORDS = SECTION / RECORD_BYTES_MAX };

	start(&(struct stand_options){.shards = 2, .workers = 1, .section_bytes = SECTION});
	struct worker *worker = stand->worker[0];
	commit();
	cr_assert(worker_has_room(worker, RECORDS));
	cr_assert_not(worker_has_room(worker, RECORDS + 1));

	/* one shard's section is enough to say no; what is batched counts */
	struct packet *packet = stand_pay(stand, wallet[1], issuer[1], 1);
	worker_accept(worker, 1, packet, packet->payload);
	cr_assert_not(worker_has_room(worker, RECORDS));
	worker_flush(worker);
	cr_assert(worker_has_room(worker, RECORDS - 1));
	cr_assert_not(worker_has_room(worker, RECORDS));

	for (uint32_t i = 1; i < RECORDS; i++)
		stand_send_pay(stand, wallet[1], issuer[1], 1);
	cr_assert_not(worker_has_room(worker, 1));
	cr_assert(epoch_section(&stand->clock, 1, worker->epoch)->bytes ==
		  RECORDS * RECORD_BYTES_MAX);
	stand_open(stand, 1);
	stand_turn(stand);
	cr_assert(worker_has_room(worker, RECORDS), "a new epoch, a new section");
}

Test(worker_requests, a_new_map_is_used_and_told)
{
	static struct slot_map moved;

	start(&(struct stand_options){.shards = 2, .workers = 2});
	moved = stand->map;
	moved.version = 2;
	moved.slot[id_slot(wallet[0])] = 1;
	for (uint32_t w = 0; w < 2; w++)
		worker_set_map(stand->worker[w], &moved);
	struct packet *packet = stand_pay(stand, wallet[0], issuer[0], 1);
	uint32_t shard = UINT32_MAX;
	size_t size = 0;
	cr_assert(worker_route(stand->worker[0], packet->payload, packet->size, &shard, &size) ==
		  WORKER_ROUTE_SHARD);
	cr_assert(shard == 1);
	/* one that was on its way by the old map is told to look again */
	worker_accept(stand->worker[0], 0, packet, packet->payload);
	worker_flush(stand->worker[0]);
	stand_turn(stand);
	cr_assert(packet_result(packet, 0).status == STATUS_WRONG_SHARD);
	cr_assert(packet_header(packet).map_version == 2);
}
