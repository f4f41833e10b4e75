/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the oracle share among themselves.
 */
#ifndef GIRO_TESTS_SIM_ORACLE_PRIVATE_H
#define GIRO_TESTS_SIM_ORACLE_PRIVATE_H

#include "tests/sim/oracle.h"

/* Room for what becomes of an id that is not known yet. */
struct oracle_outcome *oracle_new_outcome(struct oracle *oracle, struct id128 id, uint32_t home);

/* After a block: conservation, floors, and every amount in flight in a row. */
void oracle_check_boundary(struct oracle *oracle);

#endif
