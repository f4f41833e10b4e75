/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to shard/: how one input is applied. shard.h has the contract.
 */
#ifndef GIRO_SHARD_APPLY_H
#define GIRO_SHARD_APPLY_H

#include "shard/shard.h"

/* What is computed of a client's input before any of its burst is applied. */
struct prepared {
	uint64_t id_hash;	   /* of the transfer's or operation's id */
	uint64_t content;	   /* XXH3-64 of the record */
	struct window_place place; /* of the id */
	struct account *debit;	   /* account_look()'s */
	struct account *credit;	   /* the same, when it is here; a TRY's too */
};

/* What clients ask: apply_client.c. Each input's preparation is used up. */
void apply_transfer(struct shard *shard, const struct shard_input *input, struct prepared *prepared,
		    struct shard_effects *effects);
void apply_operation(struct shard *shard, const struct shard_input *input,
		     struct prepared *prepared, struct shard_effects *effects);

/* What peers say, and time-outs: apply_peer.c. */
void apply_message(struct shard *shard, const struct shard_input *input,
		   const struct prepared *prepared, struct shard_effects *effects);
void apply_timeout(struct shard *shard, const struct shard_input *input,
		   struct shard_effects *effects);

/* Appends a reply and counts its status. */
static inline void effect_reply(struct shard *shard, struct shard_effects *effects, uint64_t token,
				enum status status, uint64_t epoch)
{
	shard->statuses[status]++;
	effects->replies[effects->reply_count++] = (struct shard_reply){
	    .token = token,
	    .epoch = epoch,
	    .status = status,
	};
}

/* Appends the head of a record; the caller appends the body. Every change passes here. */
static inline void effect_record(struct shard *shard, struct shard_effects *effects,
				 enum record_kind kind, uint32_t peer, uint32_t arg, uint64_t seq)
{
	const struct record_head head = {
	    .kind = (uint8_t)kind,
	    .peer = (uint8_t)peer,
	    .arg = (uint16_t)arg,
	    .seq_low = (uint32_t)seq,
	};

	shard->changed_epoch = shard->epoch;
	__builtin_memcpy(effects->log + effects->log_bytes, &head, sizeof(head));
	effects->log_bytes += sizeof(head);
}

/* Room for the body of a record, aligned to 8 bytes as all records are. */
static inline void *effect_record_room(struct shard_effects *effects, size_t bytes)
{
	void *room = effects->log + effects->log_bytes;

	effects->log_bytes += bytes;
	return room;
}

static inline void effect_record_body(struct shard_effects *effects, const void *body, size_t bytes)
{
	__builtin_memcpy(effect_record_room(effects, bytes), body, bytes);
}

/* A coordinator's message about a row; kind TRY, CONFIRM or CANCEL as the row's state says. */
void effect_coordinator_message(const struct shard *shard, uint32_t peer,
				const struct coordinator_row *row, struct shard_effects *effects);

#endif
