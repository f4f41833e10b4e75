/* SPDX-License-Identifier: Apache-2.0
 *
 * The limits that every layer shares. A limit of one layer alone stands in that layer.
 */
#ifndef GIRO_BASE_LIMITS_H
#define GIRO_BASE_LIMITS_H

/* Shards of one log. A slot map entry is one byte and a log block header has one table row each. */
#define SHARDS_MAX 64

/* Slots that account ids hash to; fixed for ever, since it decides the placement of accounts. */
#define SLOTS 4096

#define CACHE_LINE 64

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "wire and log records are little-endian and are used in place"
#endif

#endif
