/* SPDX-License-Identifier: Apache-2.0
 *
 * What went wrong while reading a log, kept in reader->fault and said in words: what, where, what
 * to do. Each function returns the negative errno that the reader returns in turn.
 */
#ifndef GIRO_WAL_FAULT_H
#define GIRO_WAL_FAULT_H

#include "wal/reader.h"
#include "wal/search.h"

/* Memory or the list of segments: `error` as it came. */
int wal_fault_system(struct wal_reader *reader, int error);

/* A read at a place of the log: `loaded` is an error, or 0 for a segment that ends too early. */
int wal_fault_read(struct wal_reader *reader, uint64_t segment, uint64_t offset, int loaded);

/* A segment as a whole. */
int wal_fault_segment(struct wal_reader *reader, uint64_t segment, enum wal_reason reason);

/* A block that this version cannot read. */
int wal_fault_block(struct wal_reader *reader, uint64_t segment, uint64_t offset,
		    enum wal_reason reason);

/* A block that was durable, as the witness says, and is not there. */
int wal_fault_lost(struct wal_reader *reader, uint64_t segment, uint64_t offset,
		   enum wal_reason reason, const struct wal_witness *witness);

#endif
