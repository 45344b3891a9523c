/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other side of controlplane/dp_client.h, controlplane/supervisor.h and controlplane/reload.h,
 * played from a struct.
 */
#include "tests/unit/controlplane/api_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ENTRIES_MAX                                                            \
	((IPC_MSG_MAX - sizeof(struct ipc_header) - sizeof(struct ipc_list)) / \
	 sizeof(struct ipc_session))

static struct world *current;

/* ---- what api.c calls ---- */

void cp_dp_state(struct cp_dp *client, struct cp_dp_state *state)
{
	(void)client;
	*state = current->dp;
}

int cp_dp_list(struct cp_dp *client, uint16_t type, size_t entry_size,
               void (*each)(void *context, const void *entry), void *context)
{
	(void)client;
	(void)entry_size;
	if (current->list_status)
		return current->list_status;
	for (size_t i = 0; type == IPC_STATE && i < current->config.environment_count; i++)
		each(context, &current->states[i]);
	for (size_t i = 0; type == IPC_EGRESS && i < current->use_count; i++)
		each(context, &current->uses[i]);
	for (size_t i = 0; type == IPC_TUNNELS && i < current->view_count; i++)
		each(context, &current->tunnels[i]);
	return 0;
}

/* As a dataplane does: the cursor is a position, a part may have fewer entries than asked for. */
int cp_dp_exchange(struct cp_dp *client, uint16_t type, const void *body, size_t body_length,
                   void *reply, size_t reply_size, size_t *reply_length)
{
	const struct ipc_session_query *query = body;
	struct ipc_list *list = reply;
	struct ipc_session *to = (struct ipc_session *)(list + 1);
	size_t i;

	(void)client;
	if (!current->dp.is_connected)
		return -ENOTCONN;
	if (type != IPC_SESSIONS || body_length != sizeof(*query) || reply_size > IPC_MSG_MAX)
		return -EPROTO;
	memset(list, 0, sizeof(*list));
	list->entry_size = sizeof(*to);
	for (i = query->cursor; i < current->session_count; i++) {
		const struct ipc_session *session = &current->sessions[i];

		if (list->count == query->limit || list->count == ENTRIES_MAX)
			break;
		if (!query->environment[0] ||
		    !strcmp(session->tunnel.environment, query->environment))
			to[list->count++] = *session;
	}
	list->next = i < current->session_count ? i : 0;
	*reply_length = sizeof(*list) + list->count * sizeof(*to);
	return 0;
}

/* The dataplane's part of a move, as dataplane/failover.c does it. */
int cp_dp_call(struct cp_dp *client, uint16_t type, const void *body, size_t body_length,
               void *reply, size_t reply_size)
{
	const struct ipc_move *move = body;

	(void)client;
	(void)reply;
	if (type != IPC_MOVE || body_length != sizeof(*move) || reply_size != sizeof(*move))
		return -EPROTO;
	for (size_t i = 0; i < current->config.environment_count; i++) {
		struct ipc_environment_state *state = &current->states[i];

		if (strcmp(state->name, move->environment))
			continue;
		if (current->moves_ahead) { /* somebody else was quicker */
			current->moves_ahead--;
			state->move_counter++;
		}
		if (state->move_counter != move->move_counter)
			return -ESTALE;
		memcpy(state->moved_from, state->active, sizeof(state->moved_from));
		memcpy(state->active, move->server, sizeof(state->active));
		state->move_reason = move->reason;
		state->move_counter++;
		return 0;
	}
	return -ENOENT;
}

size_t cp_supervisor_tunnels(struct cp_supervisor *supervisor, struct cp_tunnel_view *views,
                             size_t max)
{
	(void)supervisor;
	for (size_t i = 0; i < current->view_count && i < max; i++)
		views[i] = current->views[i];
	return current->view_count;
}

int cp_takeover_begin(struct cp_takeover *takeover, pid_t *pid)
{
	(void)takeover;
	*pid = current->successor;
	return current->takeover_status;
}

enum cp_takeover_phase cp_takeover_phase(struct cp_takeover *takeover,
                                         char why[CP_TAKEOVER_WHY_LEN])
{
	(void)takeover;
	snprintf(why, CP_TAKEOVER_WHY_LEN, "%s", current->takeover_why);
	return current->takeover_phase;
}

size_t cp_supervisor_renew(struct cp_supervisor *supervisor, const char *environment,
                           const char *server)
{
	size_t count = 0;

	(void)supervisor;
	for (size_t i = 0; i < current->view_count; i++)
		count += strcmp(current->views[i].id.environment, environment) == 0 &&
		         (!server || strcmp(current->views[i].id.server, server) == 0);
	current->renewed = count;
	return count;
}

const struct cp_config *cp_reload_running(struct cp_reload *reload)
{
	(void)reload;
	return cp_config_hold(&current->config);
}

static int play(struct cp_outcome *outcome)
{
	*outcome = current->outcome;
	return current->outcome_status;
}

int cp_reload_diff(struct cp_reload *reload, struct cp_outcome *outcome)
{
	(void)reload;
	return play(outcome);
}

int cp_reload_apply(struct cp_reload *reload, struct cp_outcome *outcome)
{
	(void)reload;
	current->reloads++;
	return play(outcome);
}

int cp_reload_rollback(struct cp_reload *reload, struct cp_outcome *outcome)
{
	(void)reload;
	current->rollbacks++;
	return play(outcome);
}

static int drain(const char *environment, bool is_draining)
{
	for (size_t i = 0; i < current->config.environment_count; i++) {
		if (!environment || strcmp(current->environments[i].name, environment) == 0)
			current->environments[i].is_draining = is_draining;
	}
	return 0;
}

int cp_reload_drain(struct cp_reload *reload, const char *environment, char why[CP_DP_WHY_LEN])
{
	(void)reload;
	(void)why;
	return drain(environment, true);
}

int cp_reload_undrain(struct cp_reload *reload, const char *environment, char why[CP_DP_WHY_LEN])
{
	(void)reload;
	(void)why;
	return drain(environment, false);
}

void cp_outcome_fini(struct cp_outcome *outcome)
{
	(void)outcome; /* the world's */
}

void cp_outcome_log(const struct cp_outcome *outcome, int rc)
{
	(void)outcome;
	(void)rc;
}

/* ---- the gateway ---- */

static void set_tunnel(struct world *world, size_t i, const char *environment, const char *server)
{
	struct cp_tunnel_view *view = &world->views[i];
	struct ipc_tunnel_info *info = &world->tunnels[i];
	struct timespec now;

	snprintf(view->id.environment, sizeof(view->id.environment), "%s", environment);
	snprintf(view->id.server, sizeof(view->id.server), "%s", server);
	snprintf(view->zone, sizeof(view->zone), "zone-%s", server);
	snprintf(view->protocol, sizeof(view->protocol), "ipsec");
	snprintf(view->server_address, sizeof(view->server_address), "vpn-%s.customer.example",
	         server);
	snprintf(view->suite, sizeof(view->suite), "AES_GCM_16_256");
	view->remote_be = inet_addr("198.51.100.101");
	view->inner_be = inet_addr("10.10.10.1");
	view->phase = CP_TUNNEL_UP;
	view->udp_encapsulation = true;
	view->since_s = (uint64_t)time(NULL) - 185;
	view->child_rekeys = 2;
	view->ike_rekeys = 1;
	info->id = view->id;
	info->inner_mtu = 1400;
	info->is_up = 1;
	info->bytes_out = 1234567;
	info->bytes_in = 999;
	clock_gettime(CLOCK_MONOTONIC, &now);
	info->heard_ns = ((uint64_t)now.tv_sec - 90) * 1000000000u;
}

static void add_server(struct cp_environment *environment, const char *name)
{
	struct cp_server *server = &environment->servers[environment->server_count++];

	snprintf(server->name, sizeof(server->name), "%s", name);
}

static void set_environment(struct world *world, size_t i, const char *name, const char *active)
{
	struct cp_environment *environment = &world->environments[i];

	snprintf(environment->name, sizeof(environment->name), "%s", name);
	environment->pod_address_be = htonl(ntohl(inet_addr("10.0.0.33")) + (uint32_t)i);
	environment->session_quota = 1000;
	snprintf(world->states[i].name, sizeof(world->states[i].name), "%s", name);
	snprintf(world->states[i].active, sizeof(world->states[i].active), "%s", active);
	world->states[i].bytes_out = 1234567;
	world->states[i].bytes_in = 5400000000;
}

static void set_forward(struct cp_forward *forward, uint8_t protocol, uint16_t port,
                        const char *server)
{
	forward->protocol = protocol;
	forward->port_be = htons(port);
	forward->to_address_be = inet_addr("192.168.100.30");
	forward->to_port_be = htons(8080);
	snprintf(forward->server, sizeof(forward->server), "%s", server);
}

void world_init(struct world *world)
{
	memset(world, 0, sizeof(*world));
	current = world;
	world->takeover_why = "";
	world->successor = 4711;
	snprintf(world->config.name, sizeof(world->config.name), "gw-a");
	snprintf(world->config.zone, sizeof(world->config.zone), "zone-a");
	world->config.environments = world->environments;
	world->config.environment_count = 2;
	set_environment(world, 0, "production", "a");
	set_environment(world, 1, "staging", "c");
	add_server(&world->environments[0], "a");
	add_server(&world->environments[0], "b");
	add_server(&world->environments[1], "c");
	set_forward(&world->forwards[0], IPPROTO_TCP, 33000, "");
	set_forward(&world->forwards[1], IPPROTO_UDP, 53, "b");
	set_forward(&world->forwards[2], IPPROTO_TCP, 33000, "");
	world->environments[0].forwards = &world->forwards[0];
	world->environments[0].forward_count = 2;
	world->environments[1].forwards = &world->forwards[2];
	world->environments[1].forward_count = 1;
	set_tunnel(world, 0, "production", "a");
	set_tunnel(world, 1, "production", "b");
	set_tunnel(world, 2, "staging", "c");
	world->tunnels[0].is_active = world->tunnels[2].is_active = 1;
	world->view_count = 3;
	world->dp = (struct cp_dp_state){
		.is_connected = true, .epoch = 0x8000000000000001, .generation = 7, .pid = 4243
	};
	world->context =
		(struct cp_api_context){ .instance = "edge", .epoch = 0x1234, .reload = NULL };
	world->config.holders = 1;
}

void world_add_sessions(struct world *world, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct ipc_session *session = &world->sessions[i];

		session->tunnel = world->views[i % 2 ? 2 : 0].id;
		session->client_be = inet_addr("10.0.1.5");
		session->client_port_be = htons((uint16_t)(10000 + i));
		session->forward_port_be = htons(33000);
		session->inner_be = inet_addr("10.10.10.1");
		session->inner_port_be = htons((uint16_t)(20000 + i));
		session->target_be = inet_addr("192.168.100.30");
		session->target_port_be = htons(8080);
		session->protocol = IPPROTO_TCP;
		session->state = IPC_SESSION_ESTABLISHED;
		session->age_s = 3700;
		session->bytes_out = 1500;
	}
	world->session_count = count;
}

void world_break_tunnel(struct world *world, const char *why)
{
	struct cp_tunnel_view *view = &world->views[1];

	view->phase = CP_TUNNEL_WAITING;
	snprintf(view->why, sizeof(view->why), "%s", why);
	view->suite[0] = '\0';
	view->inner_be = 0;
	view->attempts = 3;
	view->retry_at_s = (uint64_t)time(NULL) + 150; /* "2 min" for half a minute */
	world->tunnels[1].is_up = 0;
}

void world_disconnect(struct world *world, const char *why)
{
	world->dp.is_connected = false;
	snprintf(world->dp.why, sizeof(world->dp.why), "%s", why);
}
