/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The key of an inbound CHILD_SA before its negotiation ends.
 *
 * The server sends on it once it has processed our last IKE_AUTH; whether its answer reaches us is
 * another matter. The key follows from the first exchange and the suite (RFC 7296 section 2.17), so
 * where the suite can be told in advance the dataplane gets it before IKE_AUTH is sent.
 */
#pragma once

#include "controlplane/ike_tunnels.h"

/* Called while libcharon loads its features, and when it unloads them. Return 0 or -errno. */
int cp_ike_early_attach(struct cp_ike *ike);
void cp_ike_early_detach(void);

/*
 * Fills algorithm, flags, key and key_length of ADD with what the first CHILD_SA of the IKE_SA that
 * this thread works on will most probably have. -EAGAIN: it is not its first one, or there is more
 * than one possibility. The caller wipes ADD.
 */
int cp_ike_early_key(const struct cp_ike_tunnel *tunnel, struct ipc_sa_add *add);
