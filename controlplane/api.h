/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operators' API: JSON lines on the Unix socket RUN_DIR/control.sock; docs/cli.md describes
 * them.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "controlplane/config.h"
#include "controlplane/dp_client.h"
#include "controlplane/reload.h"
#include "controlplane/supervisor.h"
#include "controlplane/takeover.h"

/* What the API tells about; borrowed, outlives the API. */
struct cp_api_context {
	const char *instance;
	uint64_t epoch;           /* of this control plane */
	struct cp_reload *reload; /* it has the configuration in force */
	struct cp_dp *dp;
	struct cp_supervisor *supervisor;
	struct cp_takeover *takeover;
};

struct cp_api;

/*
 * Listens and starts the API's thread. The socket gets mode 0660 and GROUP (-1: it keeps the
 * process's), so call this while still allowed to give it away; CONTEXT is copied. Served are root,
 * our own user and members of GROUP. Returns 0, -EADDRINUSE (another control plane serves there) or
 * -errno.
 */
int cp_api_start(const struct cp_api_context *context, const char *run_dir, gid_t group,
                 struct cp_api **api);

/* The same with a socket that listens already, a predecessor's: LISTENER (taken). */
int cp_api_inherit(const struct cp_api_context *context, const char *run_dir, int listener,
                   struct cp_api **api);

/* The listening socket; borrowed. */
int cp_api_listener(const struct cp_api *api);

/* Ends the thread; the socket stays for a successor, who has it, too. */
void cp_api_leave(struct cp_api *api);

/* Ends the thread, removes the socket where that is allowed; NULL is allowed. A request that waits
 * for the dataplane is waited for. */
void cp_api_stop(struct cp_api *api);
