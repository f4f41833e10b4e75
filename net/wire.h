/* SPDX-License-Identifier: Apache-2.0
 *
 * Wire protocol version 1: what is inside a UDP datagram. docs/protocol.md is its text for people;
 * the two must agree to the byte.
 *
 *   0               8       12  13  14      16              24      28      30      32
 *  +---------------+-------+---+---+-------+---------------+-------+-------+-------+
 *  |   checksum    | magic |ver|knd| count |  request id   |  map  |status | retry |  header
 *  +---------------+-------+---+---+-------+---------------+-------+-------+-------+
 *  | record 0 ...                                            64 bytes in a request |
 *  | record count-1                             16 or 64 bytes in a reply, by kind |
 *  +-------------------------------------------------------------------------------+
 *
 * One datagram of requests is answered by one datagram of results, in the same order. A result is
 * never longer than its request record, so a reply is never longer than its request.
 *
 * Everything is little-endian. Reserved fields are zero and checked. The checksum is XXH3-64 (seed
 * 0) of the whole UDP payload behind it: the 16-bit sum of UDP is too weak to guard amounts, and is
 * optional in IPv4.
 *
 * Pure functions on bytes, no allocation; any thread.
 */
#ifndef GIRO_NET_WIRE_H
#define GIRO_NET_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/status.h"
#include "base/transfer.h"

#define WIRE_MAGIC   0x4f524947u /* "GIRO" in memory */
#define WIRE_VERSION 1

/* The largest UDP payload giro takes: an IPv4 datagram of 9000 bytes. */
#define WIRE_DATAGRAM_MAX (9000 - 20 - 8)
/* The payload that an Ethernet MTU of 1500 carries. */
#define WIRE_DATAGRAM_1500 (1500 - 20 - 8)

#define WIRE_RECORD_BYTES 64
#define WIRE_RECORDS_MAX  ((WIRE_DATAGRAM_MAX - 32) / WIRE_RECORD_BYTES)

enum wire_kind {
	WIRE_INFO = 1,		  /* one struct wire_info_request -> struct wire_info */
	WIRE_TRANSFER = 2,	  /* struct transfer -> struct wire_result */
	WIRE_ACCOUNT = 3,	  /* struct account_operation -> struct wire_result */
	WIRE_LOOKUP_ACCOUNT = 4,  /* struct wire_lookup_account -> struct wire_account */
	WIRE_LOOKUP_TRANSFER = 5, /* struct wire_lookup_transfer -> struct wire_result */
	WIRE_REPLY = 0x80,	  /* or-ed to the request's kind in its reply */
};

struct wire_header {
	uint64_t checksum; /* XXH3-64 of the payload from `magic` to its end */
	uint32_t magic;
	uint8_t version;
	uint8_t kind;	      /* enum wire_kind */
	uint16_t count;	      /* records that follow; zero in a reply that refuses the datagram */
	uint64_t request_id;  /* chosen by the client, echoed */
	uint32_t map_version; /* request: zero; reply: version of the engine's slot map */
	uint16_t status;      /* request: zero; reply: OK, BAD_*, or BUSY for the whole datagram */
	uint16_t retry_after_ms; /* request: zero; reply with BUSY: wait at least this long */
};
_Static_assert(sizeof(struct wire_header) == 32, "no padding");
_Static_assert(offsetof(struct wire_header, request_id) == 16, "no hole before request_id");

/* Outcome of a transfer, an account operation or LOOKUP_TRANSFER. */
struct wire_result {
	uint16_t status;	 /* enum status */
	uint16_t retry_after_ms; /* with BUSY: wait at least this long; else zero */
	uint32_t reserved;	 /* zero */
	uint64_t epoch;		 /* log epoch that holds the outcome; zero when nothing is logged */
};
_Static_assert(sizeof(struct wire_result) == 16, "no padding");

struct wire_lookup_account {
	struct id128 account;
	uint64_t reserved[6]; /* zero */
};
_Static_assert(sizeof(struct wire_lookup_account) == 64, "no padding");

struct wire_account {
	struct id128 account;
	int64_t balance;   /* minor units */
	uint64_t held;	   /* debits under way */
	uint64_t incoming; /* credits under way */
	int64_t floor;	   /* lowest balance - held */
	uint32_t ledger;
	uint16_t status; /* OK; or else only the id and the epoch tell anything */
	uint16_t flags;	 /* ACCOUNT_FROZEN, ACCOUNT_CLOSED */
	uint64_t epoch;	 /* durable epoch as of which the account was read */
};
_Static_assert(sizeof(struct wire_account) == 64, "no padding");

struct wire_lookup_transfer {
	struct id128 id;
	struct id128 debit;   /* the transfer's debit account: its shard knows the outcome */
	uint64_t reserved[4]; /* zero */
};
_Static_assert(sizeof(struct wire_lookup_transfer) == 64, "no padding");

/* A page of the slot map travels with every INFO. */
#define WIRE_INFO_SLOTS 1024

struct wire_info_request {
	uint16_t first_slot; /* first slot of the page wanted, a multiple of WIRE_INFO_SLOTS */
	uint16_t reserved16[3];
	uint64_t reserved[7];
	/* Padding, zero, so that the reply is no longer than the request. */
	uint8_t padding[SHARDS_MAX * 2 + WIRE_INFO_SLOTS];
};

struct wire_info {
	uint16_t version_min; /* protocol versions the engine speaks */
	uint16_t version_max;
	uint16_t shards;
	uint16_t first_slot;	   /* of the page below */
	uint16_t datagram_max;	   /* largest UDP payload the engine's port takes, bytes */
	uint16_t records_max;	   /* most records in one datagram */
	uint32_t reserved;	   /* zero */
	uint64_t window_ms;	   /* ids older than this are refused, ID_EXPIRED */
	uint64_t ahead_ms;	   /* ids further ahead than this are refused, ID_AHEAD */
	uint64_t now_ms;	   /* the engine's clock, Unix milliseconds */
	uint64_t committed;	   /* highest durable epoch */
	uint64_t log_id;	   /* identity of the log; changes when the money starts afresh */
	uint64_t accounts_max;	   /* accounts a shard can hold */
	uint16_t port[SHARDS_MAX]; /* UDP port of each shard; zero above `shards` */
	uint8_t slot[WIRE_INFO_SLOTS]; /* shard of slots first_slot .. first_slot + 1023 */
};
_Static_assert(sizeof(struct wire_info) == 64 + SHARDS_MAX * 2 + WIRE_INFO_SLOTS, "no padding");
_Static_assert(sizeof(struct wire_info_request) == sizeof(struct wire_info), "no amplification");

/* Why a datagram is not even answered; each is counted by the engine. */
enum wire_fault {
	WIRE_FAULT_SHORT = -1,	  /* shorter than a header or longer than WIRE_DATAGRAM_MAX */
	WIRE_FAULT_MAGIC = -2,	  /* not giro's */
	WIRE_FAULT_REPLY = -3,	  /* a reply where a request is wanted, or the reverse */
	WIRE_FAULT_CHECKSUM = -4, /* damaged on the way */
};

/* The checksum that a payload of `size` >= 32 bytes should carry. */
uint64_t wire_checksum(const uint8_t *payload, size_t size);

/* Bytes of one request record / one result record of `kind`; zero for an unknown kind. */
size_t wire_request_record_bytes(unsigned kind);
size_t wire_result_record_bytes(unsigned kind);

/* Checks a payload that came to the engine. Returns
 *   0                   well formed: `count` records of the kind follow the header;
 *   STATUS_BAD_VERSION, STATUS_BAD_KIND, STATUS_BAD_COUNT   answer with that status, no records;
 *   enum wire_fault     drop without an answer.
 * Reserved header fields that are not zero count as BAD_COUNT. Does not look into the records. */
int wire_check_request(const uint8_t *payload, size_t size);

/* Checks a payload that came to the client, as an answer to a request of `kind`. Returns 0 with
 * records, a positive enum status when the engine refused the datagram, or an enum wire_fault. */
int wire_check_reply(const uint8_t *payload, size_t size, unsigned kind);

/* Name of a fault for counters and messages, "checksum". Static. */
const char *wire_fault_name(int fault);

/* Writes a request header for `count` records that stand behind it already, checksum last. Returns
 * the payload's size. */
size_t wire_seal_request(uint8_t *payload, unsigned kind, unsigned count, uint64_t request_id);

/* Turns the request header at `payload` into its reply's, in place, for `count` results that stand
 * behind it already (count 0 with a status that refuses the whole datagram). Returns the size. */
size_t wire_seal_reply(uint8_t *payload, unsigned count, unsigned status, unsigned retry_after_ms,
		       uint32_t map_version);

/* Content checks that need no state: the lowest-numbered content error, or STATUS_OK. */
enum status wire_check_info(const struct wire_info_request *request);
enum status wire_check_lookup_account(const struct wire_lookup_account *lookup);
enum status wire_check_lookup_transfer(const struct wire_lookup_transfer *lookup);

#endif
