/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps every configured tunnel up: connects, explains failures, retries, survives the restart of
 * either process.
 *
 * A thread of its own takes what libcharon, the resolver and the connection to the dataplane
 * report, steps the tunnel's state machine (tunnel_state.h) and does what that says.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/config.h"
#include "controlplane/dp_client.h"
#include "controlplane/tunnel.h"

struct cp_supervisor;

/* CONFIG is held, DP is borrowed and outlives the supervisor. Returns 0 or -ENOMEM. */
int cp_supervisor_create(const struct cp_config *config, struct cp_dp *dp, uint64_t epoch,
                         struct cp_supervisor **supervisor);

/* Starts libcharon, OpenVPN's thread and the supervisor's thread; tunnels are idle before
 * cp_supervisor_connect(). Returns 0 or -errno; what is wrong is logged. */
int cp_supervisor_start(struct cp_supervisor *supervisor);

/* Starts the connection to the dataplane, and with it everything. Returns 0 or -errno. */
int cp_supervisor_connect(struct cp_supervisor *supervisor);

/* Leaves the dataplane to a successor (takeover.h), with IKE_SAs and tunnels kept as they are. On
 * return nothing reaches the dataplane any more. Any thread but libcharon's. */
void cp_supervisor_step_aside(struct cp_supervisor *supervisor);

/* The successor failed: goes on where it stopped. A tunnel that the successor had connected already
 * is connected again, beside what there is. */
void cp_supervisor_take_back(struct cp_supervisor *supervisor);

#define CP_PROGRESS_WHY_LEN (2 * IPC_NAME_LEN + 4 + CP_WHY_LEN)

/* How far a successor is. */
struct cp_progress {
	size_t wanted;                 /* tunnels that a predecessor had up */
	size_t up;                     /* of these */
	size_t failed;                 /* of these: tried CP_TAKEOVER_ATTEMPTS times */
	char why[CP_PROGRESS_WHY_LEN]; /* of one that is not up: its name and the reason */
};
#define CP_TAKEOVER_ATTEMPTS 2u

/* False: the predecessor's SAs were not read yet. Any thread. */
bool cp_supervisor_progress(struct cp_supervisor *supervisor, struct cp_progress *progress);
/*
 * Puts CONFIG in force, here and in the dataplane: new tunnels are connected, those that are gone
 * are ended, those whose settings changed are renewed, all others do not notice. Returns 0; or
 * -errno with WHY in words: then nothing has changed. Any thread.
 */
int cp_supervisor_configure(struct cp_supervisor *supervisor, const struct cp_config *config,
                            char why[CP_DP_WHY_LEN]);

/* Logs the tunnels of ENVIRONMENT in anew, or the one to SERVER (NULL: all): make before break
 * where they are up. Certificates and secrets are read again. Returns how many. Any thread. */
size_t cp_supervisor_renew(struct cp_supervisor *supervisor, const char *environment,
                           const char *server);

/* From now on nothing is sent to a server and nothing is changed in the dataplane; the process may
 * end then. */
void cp_supervisor_mute(struct cp_supervisor *supervisor);

/* Copies the state of up to MAX tunnels, in the order of the configuration; returns how many
 * tunnels there are. Any thread. */
size_t cp_supervisor_tunnels(struct cp_supervisor *supervisor, struct cp_tunnel_view *views,
                             size_t max);
