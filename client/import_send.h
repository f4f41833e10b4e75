/* SPDX-License-Identifier: Apache-2.0
 *
 * Sends one list of an import after the other and keeps the journal.
 *
 * Rows are sent in order, many at a time. Before the first of a chunk of rows is sent, the journal
 * durably has the chunk's base time, and with it the ids of its rows; what the engine answered is
 * journaled as it comes. A chunk is what is sent in about CHUNK_NS, so that few rows are in doubt
 * after a crash and the base time is young when its rows are sent.
 */
#ifndef GIRO_CLIENT_IMPORT_SEND_H
#define GIRO_CLIENT_IMPORT_SEND_H

#include <signal.h>

#include "client/import_input.h"

/* A row is without an outcome, or has status STATE - 1. ID_EXPIRED there means: the outcome can no
 * longer be known. */
#define STATE_OPEN 0
#define STATE_NONE 0xff /* the row has nothing to send: an opening balance of zero */

static inline bool state_decided(uint8_t state)
{
	return state != STATE_OPEN && state != STATE_NONE;
}

struct import_base {
	uint64_t first;
	uint64_t base_ms;
	uint32_t count;
	uint8_t list;
};

struct import_options {
	bool in_order;
	bool existing; /* accounts may exist already */
	bool quiet;
	uint32_t patience_s;
};

struct import {
	struct giro *giro;
	struct import_options options;
	struct import_input input;
	struct journal journal;
	uint64_t rows[LISTS];
	uint64_t total[LISTS]; /* rows less those with nothing to send */
	uint64_t decided[LISTS];
	uint8_t *state[LISTS]; /* by row */
	struct import_base *bases;
	size_t base_count;
	size_t base_room;
	volatile sig_atomic_t *stop;
};

enum import_end {
	IMPORT_DONE = 0,  /* every row of the list has an outcome, or never will */
	IMPORT_STOPPED,	  /* a signal */
	IMPORT_NO_ANSWER, /* the engine did not answer for the patience */
	IMPORT_LOG_CHANGED,
	IMPORT_MISFIT,	   /* the engine refuses the protocol */
	IMPORT_NO_JOURNAL, /* the journal cannot be written; errno says why */
};

/* Notes a BASE; false when out of memory. */
bool import_add_base(struct import *import, enum import_list list, uint64_t first, uint32_t count,
		     uint64_t base_ms);

/* Sends what is open of a list. */
enum import_end import_send(struct import *import, enum import_list list);

#endif
