/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A gateway as the API sees it: the supervisor, the connection to the dataplane and live change
 * play what a test writes here. Everything else in these tests is real.
 */
#pragma once

#include "controlplane/api.h"

#define WORLD_SESSIONS_MAX 5000u

struct world {
	struct cp_api_context context;
	struct cp_config config;
	struct cp_environment environments[2];
	struct cp_forward forwards[3];
	struct cp_dp_state dp;
	struct cp_tunnel_view views[3];
	size_t view_count;
	struct ipc_tunnel_info tunnels[3];
	struct ipc_environment_state states[2];
	struct ipc_session sessions[WORLD_SESSIONS_MAX];
	size_t session_count;
	int list_status; /* what the dataplane answers to lists: 0 or -errno */
	struct ipc_egress_use uses[2];
	size_t use_count;
	int takeover_status; /* of cp_takeover_begin() */
	pid_t successor;     /* whom it starts; 4711 */
	enum cp_takeover_phase takeover_phase;
	const char *takeover_why;
	unsigned moves_ahead;      /* how many moves somebody else makes just before ours */
	struct cp_outcome outcome; /* what every reading of a configuration comes to */
	int outcome_status;
	unsigned reloads, rollbacks;
	size_t renewed; /* tunnels, by the last reconnect */
};

/* A gateway "gw-a" in good order: production with servers a (active) and b, staging with server c,
 * two and one forwards, no sessions. One world at a time. */
void world_init(struct world *world);

/* The session with number N: even ones are production's through a, odd ones staging's through c. */
void world_add_sessions(struct world *world, size_t count);

/* Production's server b is down. */
void world_break_tunnel(struct world *world, const char *why);

/* The dataplane is away. */
void world_disconnect(struct world *world, const char *why);
