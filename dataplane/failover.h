/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of an environment's tunnels carries its traffic. Runs on the environment's home worker.
 */
#pragma once

#include <stdint.h>

#include "common/ipc_proto.h"
#include "dataplane/worker.h"

/* Looks at the environment's tunnels anew, after any of them, its SAs or its configuration changed:
 * decides which are up, and moves the environment to the most preferred one that is up if its
 * active one is not. Returns 1 if it moved, else 0. */
int dp_failover_refresh(struct dp_worker *w, uint16_t environment);

/* Compare and set: makes TUNNEL the active one if the move counter is EXPECTED. -ESTALE: it is not;
 * -ENETDOWN: the tunnel is not up; 0: it is the active one now (the counter rises even if it was
 * before). */
int dp_failover_move(struct dp_worker *w, uint16_t environment, uint16_t tunnel, uint64_t expected);
