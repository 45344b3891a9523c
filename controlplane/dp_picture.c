/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the dataplane says of all environments and tunnels at one moment.
 */
#include "controlplane/dp_picture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TUNNELS_MAX ((size_t)CP_ENVIRONMENTS_MAX * CP_SERVERS_MAX)

static void keep_tunnel(void *context, const void *entry)
{
	struct cp_dp_picture *picture = context;

	if (picture->tunnel_count < TUNNELS_MAX)
		picture->tunnels[picture->tunnel_count++] = *(const struct ipc_tunnel_info *)entry;
}

static void keep_state(void *context, const void *entry)
{
	struct cp_dp_picture *picture = context;

	if (picture->state_count < CP_ENVIRONMENTS_MAX)
		picture->states[picture->state_count++] =
			*(const struct ipc_environment_state *)entry;
}

int cp_dp_picture_take(struct cp_dp *dp, struct cp_dp_picture *picture)
{
	int rc = 0;

	memset(picture, 0, sizeof(*picture));
	picture->tunnels = calloc(TUNNELS_MAX, sizeof(*picture->tunnels));
	picture->states = calloc(CP_ENVIRONMENTS_MAX, sizeof(*picture->states));
	if (!picture->tunnels || !picture->states)
		rc = -ENOMEM;
	if (rc == 0)
		rc = cp_dp_list(dp, IPC_STATE, sizeof(*picture->states), keep_state, picture);
	if (rc == 0)
		rc = cp_dp_list(dp, IPC_TUNNELS, sizeof(*picture->tunnels), keep_tunnel, picture);
	if (rc != 0)
		picture->state_count = picture->tunnel_count = 0;
	return rc;
}

void cp_dp_picture_fini(struct cp_dp_picture *picture)
{
	free(picture->tunnels);
	free(picture->states);
}

const struct ipc_environment_state *cp_dp_picture_state(const struct cp_dp_picture *picture,
                                                        const char *environment)
{
	for (size_t i = 0; i < picture->state_count; i++) {
		if (strncmp(picture->states[i].name, environment, IPC_NAME_LEN) == 0)
			return &picture->states[i];
	}
	return NULL;
}

const struct ipc_tunnel_info *cp_dp_picture_tunnel(const struct cp_dp_picture *picture,
                                                   const char *environment, const char *server)
{
	for (size_t i = 0; i < picture->tunnel_count; i++) {
		const struct ipc_tunnel *id = &picture->tunnels[i].id;

		if (strncmp(id->environment, environment, IPC_NAME_LEN) == 0 &&
		    strncmp(id->server, server, IPC_NAME_LEN) == 0)
			return &picture->tunnels[i];
	}
	return NULL;
}
