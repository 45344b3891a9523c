/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of a tunnel's phases.
 */
#include "controlplane/tunnel.h"

const char *cp_tunnel_phase_name(enum cp_tunnel_phase phase)
{
	switch (phase) {
	case CP_TUNNEL_IDLE:
		return "idle";
	case CP_TUNNEL_CONNECTING:
		return "connecting";
	case CP_TUNNEL_UP:
		return "up";
	case CP_TUNNEL_WAITING:
		return "waiting";
	}
	return "unknown";
}
