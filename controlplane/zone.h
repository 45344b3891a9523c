/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy of moves: where an environment goes back to, and when; where an operator may send it.
 * Pure.
 *
 * The dataplane moves by itself when the active tunnel fails. What is decided here loses nothing:
 * both tunnels live.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "controlplane/config.h"
#include "controlplane/dp_picture.h"
#include "controlplane/tunnel.h"

/*
 * The server that ENVIRONMENT shall be moved back to, at the monotonic time NOW_NS; NULL: none, and
 * *DUE_NS is when to ask again, 0: not before the dataplane tells of a change.
 *
 * That is the most preferred one that lives, if it is preferred to the active one, has lived for
 * failback_s without a break, and the last move was hold_down_s ago. An environment that has just
 * come up goes to it at once, whatever failback says: which tunnel is up first is chance. What was
 * moved by hand stays.
 */
const struct cp_server *cp_zone_failback(const struct cp_environment *environment,
                                         const struct cp_dp_picture *picture, uint64_t now_ns,
                                         uint64_t *due_ns);

/*
 * The server that an operator moves ENVIRONMENT to: the one named SERVER, or with an empty name the
 * most preferred one that lives and is not active. NULL: it cannot carry traffic, and WHY says so.
 */
const struct cp_server *cp_zone_choose(const struct cp_environment *environment,
                                       const struct cp_dp_picture *picture, const char *server,
                                       char why[CP_WHY_LEN]);

/* "dead", "by hand", ...: why the dataplane moved, enum ipc_move_reason. */
const char *cp_move_reason_name(uint8_t reason);
/* "alive", "dead", ...: enum ipc_liveness. */
const char *cp_liveness_name(uint8_t liveness);
