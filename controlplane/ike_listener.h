/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libcharon's bus tells, as events of tunnels and reasons in words.
 */
#pragma once

#include "controlplane/ike_tunnels.h"

/* Called while libcharon loads its features, and when it unloads them. IKE outlives both. Return 0
 * or -errno. */
int cp_ike_listener_attach(struct cp_ike *ike);
void cp_ike_listener_detach(void);
