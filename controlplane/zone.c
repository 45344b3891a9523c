/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy of moves: where an environment goes back to, and when; where an operator may send it.
 * Pure.
 */
#include "controlplane/zone.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SECOND_NS 1000000000ull

static const struct ipc_tunnel_info *tunnel_of(const struct cp_environment *environment,
                                               const struct cp_dp_picture *picture,
                                               const struct cp_server *server)
{
	return cp_dp_picture_tunnel(picture, environment->name, server->name);
}

/* Somebody answers through it. */
static bool is_alive(const struct ipc_tunnel_info *tunnel)
{
	return tunnel && tunnel->is_up && tunnel->liveness == IPC_LIVENESS_ALIVE &&
	       tunnel->alive_since_ns;
}

/* The most preferred server that lives and is preferred to the active one. *IS_ANY_SUSPECT: one of
 * them is silent at the moment, and nobody tells when it is heard again. */
static const struct cp_server *find_better(const struct cp_environment *environment,
                                           const struct cp_dp_picture *picture, const char *active,
                                           bool *is_any_suspect)
{
	*is_any_suspect = false;
	for (size_t i = 0; i < environment->server_count; i++) {
		const struct cp_server *server = &environment->servers[i];
		const struct ipc_tunnel_info *tunnel = tunnel_of(environment, picture, server);

		if (strncmp(server->name, active, IPC_NAME_LEN) == 0)
			return NULL;
		if (is_alive(tunnel))
			return server;
		*is_any_suspect |= tunnel && tunnel->liveness == IPC_LIVENESS_SUSPECT;
	}
	return NULL;
}

const struct cp_server *cp_zone_failback(const struct cp_environment *environment,
                                         const struct cp_dp_picture *picture, uint64_t now_ns,
                                         uint64_t *due_ns)
{
	const struct ipc_environment_state *state = cp_dp_picture_state(picture, environment->name);
	const uint64_t hold_down_ns = environment->hold_down_s * SECOND_NS;
	const struct cp_server *better;
	uint64_t lived_ns, held_ns;
	bool is_any_suspect;

	*due_ns = 0;
	if (!state || !state->active[0] || state->move_reason == IPC_MOVE_BY_HAND)
		return NULL;
	better = find_better(environment, picture, state->active, &is_any_suspect);
	if (!better) {
		*due_ns = is_any_suspect ? now_ns + SECOND_NS : 0;
		return NULL;
	}
	held_ns = state->moved_ns + hold_down_ns;
	if (state->move_reason == IPC_MOVE_UP && now_ns < held_ns)
		return better;
	if (!environment->failback_s)
		return NULL;
	lived_ns = tunnel_of(environment, picture, better)->alive_since_ns +
	           environment->failback_s * SECOND_NS;
	if (now_ns >= lived_ns && now_ns >= held_ns)
		return better;
	*due_ns = lived_ns > held_ns ? lived_ns : held_ns;
	return NULL;
}

/* Why nothing can be sent through it; empty: it can. */
static const char *fault_of(const struct ipc_tunnel_info *tunnel)
{
	if (!tunnel || !tunnel->is_up)
		return "is not up: see sallyport tunnels";
	if (tunnel->liveness == IPC_LIVENESS_DEAD)
		return "does not answer";
	return "";
}

static const struct cp_server *choose_named(const struct cp_environment *environment,
                                            const struct cp_dp_picture *picture, const char *name,
                                            char why[CP_WHY_LEN])
{
	const struct cp_server *server = cp_config_server(environment, name);
	const char *fault = "is not configured";

	if (server)
		fault = fault_of(tunnel_of(environment, picture, server));
	if (*fault)
		snprintf(why, CP_WHY_LEN, "server %s %s", name, fault);
	return *fault ? NULL : server;
}

const struct cp_server *cp_zone_choose(const struct cp_environment *environment,
                                       const struct cp_dp_picture *picture, const char *name,
                                       char why[CP_WHY_LEN])
{
	const struct ipc_environment_state *state = cp_dp_picture_state(picture, environment->name);

	if (*name)
		return choose_named(environment, picture, name, why);
	for (size_t i = 0; i < environment->server_count; i++) {
		const struct cp_server *server = &environment->servers[i];

		if (state && strncmp(server->name, state->active, IPC_NAME_LEN) == 0)
			continue;
		if (!*fault_of(tunnel_of(environment, picture, server)))
			return server;
	}
	snprintf(why, CP_WHY_LEN, "environment %s has no other server that is up and answers",
	         environment->name);
	return NULL;
}

const char *cp_move_reason_name(uint8_t reason)
{
	switch (reason) {
	case IPC_MOVE_NONE:
		return "none";
	case IPC_MOVE_UP:
		return "up";
	case IPC_MOVE_DOWN:
		return "down";
	case IPC_MOVE_DEAD:
		return "dead";
	case IPC_MOVE_REMOVED:
		return "removed";
	case IPC_MOVE_BY_HAND:
		return "by-hand";
	case IPC_MOVE_BACK:
		return "back";
	default: /* of a later dataplane */
		return "other";
	}
}

const char *cp_liveness_name(uint8_t liveness)
{
	switch (liveness) {
	case IPC_LIVENESS_ALIVE:
		return "alive";
	case IPC_LIVENESS_SUSPECT:
		return "suspect";
	case IPC_LIVENESS_DEAD:
		return "dead";
	default:
		return "unknown";
	}
}
