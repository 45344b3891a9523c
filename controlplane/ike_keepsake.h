/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the next control plane needs to end the IKE_SAs that this one leaves behind.
 *
 * Their numbers, keys and next message IDs are kept by the dataplane (KEEPSAKE_SET), so they
 * survive this process and nothing else. The successor sends an authenticated DELETE once its own
 * SAs carry the traffic.
 */
#pragma once

#include <stdbool.h>

#include "controlplane/ike_tunnels.h"

/* Called while libcharon loads its features, and when it unloads them. Return 0 or -errno. */
int cp_ike_keepsake_attach(struct cp_ike *ike);
void cp_ike_keepsake_detach(void);

/* The dataplane is there: reads what predecessors left, brings our own. Supervisor's thread. */
void cp_ike_keepsake_read(struct cp_ike *ike);

/* Whether there are IKE_SAs of predecessors to end. Any thread. */
bool cp_ike_keepsake_has(const struct cp_ike_tunnel *tunnel);

/* Ends the IKE_SAs of predecessors at the server, and forgets them. Any thread; does not wait. */
void cp_ike_keepsake_retire(struct cp_ike *ike, const struct cp_ike_tunnel *tunnel);
