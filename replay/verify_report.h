/* SPDX-License-Identifier: Apache-2.0
 *
 * What verify found, on stdout: for people, or as one JSON object.
 */
#ifndef GIRO_REPLAY_VERIFY_REPORT_H
#define GIRO_REPLAY_VERIFY_REPORT_H

#include "replay/proof.h"

void verify_print_text(const struct proof *proof, enum node_end end);
void verify_print_json(const struct proof *proof, enum node_end end);

#endif
