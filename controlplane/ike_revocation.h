/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a server's certificate was revoked: each tunnel's policy over strongSwan's revocation
 * plugin, and what that may fetch.
 */
#pragma once

#include "controlplane/ike_tunnels.h"

/* Called while libcharon loads its features, and when it unloads them: the fetcher before any other
 * one, the validator after the plugin's. IKE outlives both. Return 0 or -errno. */
int cp_ike_fetcher_attach(struct cp_ike *ike);
void cp_ike_fetcher_detach(void);
int cp_ike_revocation_attach(struct cp_ike *ike);
void cp_ike_revocation_detach(void);

/* The plugin, on this thread, could not tell whether the certificate that it looks at was revoked.
 */
void cp_ike_revocation_is_unknown(void);
