/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much of the static addresses is in use: counted in the background, a bounded part of a
 * worker's sessions at a time, so that the operator sees a destination run out of ports before
 * it does, and packets pay nothing for it. Control thread.
 */
#pragma once

#include <stdint.h>

#include "common/ipc_proto.h"
#include "dataplane/core.h"

#define DP_EGRESS_USE_TOP 16u   /* destinations that are told of */
#define DP_EGRESS_USE_ALARM 80u /* per cent of a destination's ports: a line in the log */
#define DP_EGRESS_USE_ROUND_NS 1000000000ull

struct dp_egress_count;

/* NULL: no memory. */
struct dp_egress_count *dp_egress_count_create(void);
void dp_egress_count_destroy(struct dp_egress_count *c);

/* Goes on counting: one worker, one step. A round begins at most once a second. About every 10 ms.
 */
void dp_egress_count_step(struct dp_egress_count *c, struct dp_core *core, uint64_t now_ns);

/* Of the last whole round: the addresses, then the destinations, the busiest first. Copies up to
 * MAX entries from FIRST on; returns how many, and how many there are in ALL. */
uint32_t dp_egress_count_list(const struct dp_egress_count *c, uint32_t first,
                              struct ipc_egress_use *entries, uint32_t max, uint32_t *all);

/* Ports in use towards the busiest destination. */
uint32_t dp_egress_count_busiest(const struct dp_egress_count *c);
