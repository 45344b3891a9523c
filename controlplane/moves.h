/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The moves of environments between their servers: each is logged, and those that policy wants are
 * asked for.
 */
#pragma once

#include <stdint.h>

#include "controlplane/config.h"
#include "controlplane/dp_client.h"
#include "controlplane/dp_picture.h"
#include "controlplane/zone.h"

/* What was said of an environment's moves; the supervisor's thread. */
struct cp_moves_told {
	char environment[IPC_NAME_LEN]; /* empty: free place */
	uint64_t move_counter;
};

struct cp_moves {
	struct cp_dp *dp;
	uint64_t epoch; /* of the dataplane that told[] is about */
	struct cp_moves_told told[CP_ENVIRONMENTS_MAX];
};

void cp_moves_init(struct cp_moves *moves, struct cp_dp *dp);

/* Looks at PICTURE, which the dataplane of EPOCH gave: logs new moves and moves back what CONFIG
 * wants moved back. Returns the monotonic time at which to call it again, ns; 0: when the dataplane
 * tells of a change. */
uint64_t cp_moves_look(struct cp_moves *moves, const struct cp_config *config, uint64_t epoch,
                       const struct cp_dp_picture *picture, uint64_t now_ns);

/* Neither ESP nor IKE is answered by the active server of STATE: to SERVER. Returns 0, -ESTALE (it
 * was moved meanwhile), -EBUSY (it was heard meanwhile) or -errno. The supervisor's thread. */
int cp_moves_from_dead(struct cp_dp *dp, const struct ipc_environment_state *state,
                       const char server[IPC_NAME_LEN]);

/* An operator's move of ENVIRONMENT to the server named SERVER (empty: the best other one). Returns
 * 0 with *FROM and *TO filled in (equal: it was there already), -EINVAL and WHY (it cannot go
 * there), or -errno of the dataplane. Any thread but the connection's. */
int cp_moves_by_hand(struct cp_dp *dp, const struct cp_environment *environment, const char *server,
                     char from[IPC_NAME_LEN], char to[IPC_NAME_LEN], char why[CP_WHY_LEN]);
