/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the dataplane says of all environments and tunnels at one moment.
 */
#pragma once

#include <stddef.h>

#include "common/ipc_proto.h"
#include "controlplane/dp_client.h"

struct cp_dp_picture {
	struct ipc_environment_state *states;
	size_t state_count;
	struct ipc_tunnel_info *tunnels;
	size_t tunnel_count;
};

/* Asks the dataplane. Returns 0, -ENOMEM, -ENOTCONN or -errno: then the picture is empty. It is
 * freed by cp_dp_picture_fini() in every case. Not on the connection's thread. */
int cp_dp_picture_take(struct cp_dp *dp, struct cp_dp_picture *picture);
void cp_dp_picture_fini(struct cp_dp_picture *picture);

/* NULL: it has none of that name. */
const struct ipc_environment_state *cp_dp_picture_state(const struct cp_dp_picture *picture,
                                                        const char *environment);
const struct ipc_tunnel_info *cp_dp_picture_tunnel(const struct cp_dp_picture *picture,
                                                   const char *environment, const char *server);
