/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libcharon's life in this process, and what the supervisor asks of it.
 */
#pragma once

#include "controlplane/ike_tunnels.h"

/* Starts libcharon with our own parts in it. IKE lives until the process ends. Returns 0 or -errno;
 * what is wrong is logged. */
int cp_ike_start(struct cp_ike *ike);

/* There are this many tunnels now. */
void cp_ike_expect(size_t tunnel_count);

/* Ends an IKE_SA at once; the server is told once, its answer is not waited for. Does not block. */
void cp_ike_terminate(uint32_t ike_id);

/* The same after SECONDS. */
void cp_ike_terminate_late(uint32_t ike_id, unsigned seconds);

/* Stops libcharon as if time stood still: IKE_SAs stay as they are, nothing is sent, no timer
 * fires. What its threads are in the middle of is waited for, up to 2 s. Not on its threads. */
void cp_ike_freeze(void);

/* Ends that; what was due meanwhile happens now, once. */
void cp_ike_thaw(const struct cp_ike *ike);

/* Asks the server now whether it still has this IKE_SA; without an answer it ends as after any
 * other request. Does not block. */
void cp_ike_check(uint32_t ike_id);

/* Nothing is sent to servers, changed in the dataplane or reported from now on. libcharon is not
 * shut down: that would delete SAs. */
void cp_ike_mute(struct cp_ike *ike);
