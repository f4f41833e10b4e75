/* SPDX-License-Identifier: Apache-2.0
 *
 * The status page: status.html, made part of the program by embed.py.
 */
#ifndef GIRO_MONITOR_STATUS_PAGE_H
#define GIRO_MONITOR_STATUS_PAGE_H

#include <stddef.h>

extern const char status_page[];
extern const size_t status_page_bytes;

#endif
