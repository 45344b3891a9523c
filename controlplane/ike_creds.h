/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where libcharon finds secrets and trust: each tunnel's own, read anew at each authentication.
 */
#pragma once

#include "controlplane/ike_tunnels.h"

/* Called while libcharon loads its features, and when it unloads them. IKE outlives both. Return 0
 * or -errno. */
int cp_ike_creds_attach(struct cp_ike *ike);
void cp_ike_creds_detach(void);
