/* SPDX-License-Identifier: Apache-2.0 */
#include "shard/record.h"

#include <string.h>

#include "base/check.h"

static const struct {
	const char *name;
	size_t bytes;
} kinds[] = {
    [RECORD_TRANSFER] = {"TRANSFER", sizeof(struct record_head) + sizeof(struct transfer)},
    [RECORD_ACCOUNT] = {"ACCOUNT", sizeof(struct record_head) + sizeof(struct account_operation)},
    [RECORD_TRY] = {"TRY", sizeof(struct record_head) + sizeof(struct record_try)},
    [RECORD_VOTE] = {"VOTE", sizeof(struct record_head)},
    [RECORD_CONFIRM] = {"CONFIRM", sizeof(struct record_head)},
    [RECORD_CANCEL] = {"CANCEL", sizeof(struct record_head)},
    [RECORD_ACK] = {"ACK", sizeof(struct record_head)},
    [RECORD_TIMEOUT] = {"TIMEOUT", sizeof(struct record_head)},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

size_t record_bytes(unsigned kind)
{
	return kind < KINDS ? kinds[kind].bytes : 0;
}

const char *record_name(unsigned kind)
{
	return kind < KINDS && kinds[kind].name != NULL ? kinds[kind].name : "?";
}

size_t record_encode(const struct record *record, uint8_t *out)
{
	size_t bytes = record_bytes(record->head.kind);

	CHECK(bytes != 0);
	memcpy(out, &record->head, sizeof(record->head));
	memcpy(out + sizeof(record->head), &record->transfer, bytes - sizeof(record->head));
	return bytes;
}

size_t record_decode(const uint8_t *bytes, size_t size, struct record *record)
{
	size_t need;

	if (size < sizeof(record->head))
		return 0;
	memcpy(&record->head, bytes, sizeof(record->head));
	need = record_bytes(record->head.kind);
	if (need == 0 || need > size)
		return 0;
	memcpy(&record->transfer, bytes + sizeof(record->head), need - sizeof(record->head));
	return need;
}
