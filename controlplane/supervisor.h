/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps every configured tunnel up: connects, explains failures, retries, survives the restart of
 * either process.
 *
 * A thread of its own takes what libcharon, the resolver and the connection to the dataplane
 * report, steps the tunnel's state machine (tunnel_state.h) and does what that says.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "controlplane/config.h"
#include "controlplane/dp_client.h"
#include "controlplane/tunnel.h"

struct cp_supervisor;

/* CONFIG and DP are borrowed and outlive the supervisor. Returns 0 or -ENOMEM. */
int cp_supervisor_create(const struct cp_config *config, struct cp_dp *dp, uint64_t epoch,
                         struct cp_supervisor **supervisor);

/* Starts libcharon, the supervisor's thread and the connection to the dataplane. Returns 0 or
 * -errno; what is wrong is logged. */
int cp_supervisor_start(struct cp_supervisor *supervisor);

/* From now on nothing is sent to a server and nothing is changed in the dataplane; the process may
 * end then. */
void cp_supervisor_mute(struct cp_supervisor *supervisor);

/* Copies the state of up to MAX tunnels, in the order of the configuration; returns how many
 * tunnels there are. Any thread. */
size_t cp_supervisor_tunnels(struct cp_supervisor *supervisor, struct cp_tunnel_view *views,
                             size_t max);
