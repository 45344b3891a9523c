/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a server of the configuration to libcharon's configuration of it, and the start of a
 * connection.
 */
#pragma once

#include "controlplane/ike_tunnels.h"

/* Whether libcharon understands every proposal of the server and the plugins for it are loaded. On
 * -EINVAL, WHY says which one is wrong. */
int cp_ike_config_check(const struct cp_server *server, char why[CP_WHY_LEN]);

/* Starts an IKE_SA to REMOTE_BE; what becomes of it is reported. The certificates are read here,
 * anew each time. Returns 0, or -EINVAL with WHY. */
int cp_ike_config_initiate(struct cp_ike *ike, const struct cp_ike_tunnel *tunnel,
                           uint32_t remote_be, char why[CP_WHY_LEN]);
