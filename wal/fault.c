/* SPDX-License-Identifier: Apache-2.0 */
#include "wal/fault.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define RESTORE                                                                       \
	"Restore the segment from a backup or a replica and start again; until then " \
	"nothing is written to the log."

const char *wal_reason_text(enum wal_reason reason)
{
	switch (reason) {
#define REASON_TEXT(name, text) \
	case WAL_REASON_##name: \
		return text;
		WAL_REASON_LIST(REASON_TEXT)
#undef REASON_TEXT
	}
	return "unknown reason";
}

__attribute__((format(printf, 6, 7))) static int fault(struct wal_reader *reader, int error,
						       enum wal_reason reason, uint64_t segment,
						       uint64_t offset, const char *format, ...)
{
	struct wal_fault *fault = &reader->fault;
	memset(fault, 0, sizeof(*fault));
	fault->error = error;
	fault->reason = reason;
	fault->segment = segment;
	fault->offset = offset;
	fault->seq = reader->position.next_seq;
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(fault->text, sizeof(fault->text), format, arguments);
	va_end(arguments);
	if (error == -EUCLEAN)
		reader->counts.corruptions++;
	return error;
}

int wal_fault_system(struct wal_reader *reader, int error)
{
	return fault(reader, error, WAL_REASON_NONE, reader->position.segment, 0,
		     "the log cannot be read: %s", strerror(-error));
}

int wal_fault_read(struct wal_reader *reader, uint64_t segment, uint64_t offset, int loaded)
{
	if (loaded == 0)
		return wal_fault_segment(reader, segment, WAL_REASON_SEGMENT_SIZE);
	/* It was listed. */
	if (loaded == -ENOENT)
		return fault(reader, loaded, WAL_REASON_REMOVED, segment, offset,
			     "log segment %" PRIu64 ": %s (giro-replay trim does so). Read it "
			     "again, with the archive if it was archived.",
			     segment, wal_reason_text(WAL_REASON_REMOVED));
	if (loaded == -EBADMSG)
		return wal_fault_segment(reader, segment, WAL_REASON_ARCHIVE);
	return fault(reader, loaded, WAL_REASON_UNREADABLE, segment, offset,
		     "log segment %" PRIu64 " cannot be read near offset %" PRIu64
		     ": %s. Check the device (dmesg, smartctl); if the sector is lost, restore the "
		     "segment from a backup or a replica.",
		     segment, offset, strerror(-loaded));
}

int wal_fault_segment(struct wal_reader *reader, uint64_t segment, enum wal_reason reason)
{
	const char *text = wal_reason_text(reason);
	if (reason == WAL_REASON_VERSION)
		return fault(reader, -EPROTONOSUPPORT, reason, segment, 0,
			     "log segment %" PRIu64 ": %s; this giro reads version %d. Use the "
			     "giro that wrote the log.",
			     segment, text, WAL_VERSION);
	return fault(reader, -EUCLEAN, reason, segment, 0, "log segment %" PRIu64 ": %s. %s",
		     segment, text, RESTORE);
}

int wal_fault_block(struct wal_reader *reader, uint64_t segment, uint64_t offset,
		    enum wal_reason reason)
{
	return fault(reader, reason == WAL_REASON_VERSION ? -EPROTONOSUPPORT : -EUCLEAN, reason,
		     segment, offset,
		     "log block %" PRIu64 " (segment %" PRIu64 ", offset %" PRIu64
		     "): %s; this giro reads version %d. Use the giro that wrote the log.",
		     reader->position.next_seq, segment, offset, wal_reason_text(reason),
		     WAL_VERSION);
}

int wal_fault_lost(struct wal_reader *reader, uint64_t segment, uint64_t offset,
		   enum wal_reason reason, const struct wal_witness *witness)
{
	int error = fault(reader, -EUCLEAN, reason, segment, offset,
			  "log block %" PRIu64 " (segment %" PRIu64 ", offset %" PRIu64
			  ") is damaged: %s. Block %" PRIu64 " (segment %" PRIu64
			  ", offset %" PRIu64 ") says that it was durable: acknowledged work "
			  "is lost. %s",
			  reader->position.next_seq, segment, offset, wal_reason_text(reason),
			  witness->seq, witness->segment, witness->offset, RESTORE);
	reader->fault.witness_segment = witness->segment;
	reader->fault.witness_offset = witness->offset;
	reader->fault.witness_seq = witness->seq;
	return error;
}
