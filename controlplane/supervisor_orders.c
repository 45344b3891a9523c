/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What other threads have the supervisor do: take over another configuration, log in anew. It is
 * done on the supervisor's thread, between two events.
 */
#include "controlplane/supervisor_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "controlplane/config_diff.h"
#include "controlplane/ike_daemon.h"
#include "controlplane/ike_keepsake.h"
#include "controlplane/ovpn_settings.h"

/* A DELETE is answered by then, or given up. */
#define PLACE_REST_MS 60000u
#define NOWHERE SIZE_MAX

/* ---- places ---- */

static struct ipc_tunnel id_of(const struct cp_environment *environment,
                               const struct cp_server *server)
{
	struct ipc_tunnel id = { 0 };

	snprintf(id.environment, sizeof(id.environment), "%s", environment->name);
	snprintf(id.server, sizeof(id.server), "%s", server->name);
	return id;
}

static size_t find(const struct cp_supervisor *supervisor, const struct ipc_tunnel *id)
{
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		if (memcmp(&supervisor->ike.tunnels[i].id, id, sizeof(*id)) == 0)
			return i;
	}
	return NOWHERE;
}

/* For a tunnel that is new: its own of before, else one that nobody had, else one that rested. */
static size_t find_place(const struct cp_supervisor *supervisor, const struct ipc_tunnel *id)
{
	const uint64_t now = cp_now_ms();
	size_t own = find(supervisor, id);

	if (own != NOWHERE)
		return own;
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		const struct tunnel *tunnel = &supervisor->tunnels[i];

		if (!tunnel->is_configured && now - tunnel->removed_ms >= PLACE_REST_MS)
			return i;
	}
	return supervisor->ike.tunnel_count < CP_IKE_TUNNELS_MAX ? supervisor->ike.tunnel_count
	                                                         : NOWHERE;
}

/* ---- from one configuration to the next ---- */

static void end(struct cp_supervisor *supervisor, size_t index)
{
	static const struct cp_event removed = { .type = CP_EVENT_REMOVED };
	struct tunnel *tunnel = &supervisor->tunnels[index];

	sp_log(SP_LOG_INFO, "supervisor: removed environment=%s server=%s",
	       tunnel->ike->id.environment, tunnel->ike->id.server);
	cp_supervisor_step(supervisor, index, &removed);
	if (tunnel->has_left_ike)
		cp_ike_keepsake_retire(&supervisor->ike, tunnel->ike);
	tunnel->has_left_ike = false;
	tunnel->orphan_count = 0;
	tunnel->is_configured = false;
	tunnel->removed_ms = cp_now_ms();
}

static size_t begin(struct cp_supervisor *supervisor, const struct ipc_tunnel *id,
                    const struct cp_server *server)
{
	static const struct cp_event ready = { .type = CP_EVENT_READY };
	const uint64_t now = cp_now_ms();
	const size_t index = find_place(supervisor, id);
	struct tunnel *tunnel;

	if (index == NOWHERE || cp_ike_tunnel_add(&supervisor->ike, index, id, server, now) != 0) {
		sp_log(SP_LOG_ERR, "supervisor: no room for a tunnel environment=%s server=%s",
		       id->environment, id->server);
		return NOWHERE;
	}
	tunnel = &supervisor->tunnels[index];
	pthread_mutex_lock(&supervisor->lock);
	*tunnel = (struct tunnel){ .ike = &supervisor->ike.tunnels[index],
		                   .lookup = tunnel->lookup,
		                   .is_configured = true };
	cp_tunnel_state_init(&tunnel->state, server, supervisor->seed++, now);
	pthread_mutex_unlock(&supervisor->lock);
	if (supervisor->is_dp_ready)
		cp_supervisor_step(supervisor, index, &ready);
	return index;
}

/* OpenVPN's settings are a copy of each one's own. */
static bool is_same_server(const struct cp_server *a, const struct cp_server *b)
{
	struct cp_server other;

	if (!a->openvpn || !b->openvpn)
		return memcmp(a, b, sizeof(*a)) == 0;
	memcpy(&other, b, sizeof(other));
	other.openvpn = a->openvpn;
	return memcmp(a, &other, sizeof(*a)) == 0 &&
	       memcmp(a->openvpn, b->openvpn, sizeof(*a->openvpn)) == 0;
}

static void change(struct cp_supervisor *supervisor, size_t index, const struct cp_server *server)
{
	static const struct cp_event renew = { .type = CP_EVENT_RENEW };
	struct tunnel *tunnel = &supervisor->tunnels[index];
	const struct cp_server *old = tunnel->ike->server;
	const bool is_renewal = cp_server_needs_renewal(old, server);

	if (is_same_server(old, server))
		return;
	if (cp_ike_tunnel_set(&supervisor->ike, index, server, cp_now_ms()) != 0) {
		sp_log(SP_LOG_ERR, "supervisor: no memory for settings environment=%s server=%s",
		       tunnel->ike->id.environment, tunnel->ike->id.server);
		return;
	}
	/* what is expected of the next negotiation (ike_early.h) */
	if (strcmp(old->address, server->address) != 0 ||
	    memcmp(old->esp_proposals, server->esp_proposals, sizeof(old->esp_proposals)) != 0)
		supervisor->ike.tunnels[index].suite = 0;
	pthread_mutex_lock(&supervisor->lock);
	cp_tunnel_state_set_retry(&tunnel->state, server);
	pthread_mutex_unlock(&supervisor->lock);
	if (is_renewal)
		cp_supervisor_step(supervisor, index, &renew);
}

static void end_missing(struct cp_supervisor *supervisor, const struct cp_config *config)
{
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		const struct ipc_tunnel *id = &supervisor->ike.tunnels[i].id;
		const struct cp_environment *environment =
			cp_config_environment(config, id->environment);

		if (supervisor->tunnels[i].is_configured &&
		    (!environment || !cp_config_server(environment, id->server)))
			end(supervisor, i);
	}
}

/* The forwards may be others. */
static void renew_limits(struct cp_supervisor *supervisor)
{
	for (size_t i = 0; i < supervisor->listing_count; i++) {
		struct cp_tunnel_state *state = &supervisor->tunnels[supervisor->listing[i]].state;
		char limits[CP_WHY_LEN];

		if (!state->child_count)
			continue;
		cp_supervisor_limits(supervisor, supervisor->listing[i], limits);
		pthread_mutex_lock(&supervisor->lock);
		memcpy(state->limits, limits, sizeof(state->limits));
		pthread_mutex_unlock(&supervisor->lock);
	}
}

void cp_supervisor_adopt(struct cp_supervisor *supervisor, const struct cp_config *config)
{
	const struct cp_config *old = supervisor->config;
	size_t listing[CP_IKE_TUNNELS_MAX], count = 0;

	supervisor->config = cp_config_hold(config);
	supervisor->has_limits = cp_rekey_limits_any(config);
	end_missing(supervisor, config);
	for (size_t e = 0; e < config->environment_count; e++) {
		const struct cp_environment *environment = &config->environments[e];

		for (size_t s = 0; s < environment->server_count; s++) {
			const struct ipc_tunnel id = id_of(environment, &environment->servers[s]);
			size_t index = find(supervisor, &id);

			if (index != NOWHERE && supervisor->tunnels[index].is_configured)
				change(supervisor, index, &environment->servers[s]);
			else
				index = begin(supervisor, &id, &environment->servers[s]);
			if (index != NOWHERE)
				listing[count++] = index;
		}
	}
	pthread_mutex_lock(&supervisor->lock);
	memcpy(supervisor->listing, listing, count * sizeof(listing[0]));
	supervisor->listing_count = count;
	pthread_mutex_unlock(&supervisor->lock);
	if (old)
		renew_limits(supervisor);
	cp_config_release(old);
}

/* ---- orders ---- */

static int give(struct cp_supervisor *supervisor,
                int (*perform)(struct cp_supervisor *supervisor, void *argument), void *argument)
{
	struct cp_order order = { .perform = perform, .argument = argument };

	pthread_mutex_lock(&supervisor->ordering);
	pthread_mutex_lock(&supervisor->lock);
	if (supervisor->is_leaving) {
		order = (struct cp_order){ .result = -EBUSY, .is_done = true };
	} else {
		supervisor->order = &order;
		cp_event_queue_ring(&supervisor->queue);
	}
	while (!order.is_done)
		pthread_cond_wait(&supervisor->ordered, &supervisor->lock);
	pthread_mutex_unlock(&supervisor->lock);
	pthread_mutex_unlock(&supervisor->ordering);
	return order.result;
}

void cp_supervisor_obey(struct cp_supervisor *supervisor)
{
	struct cp_order *order;

	pthread_mutex_lock(&supervisor->lock);
	order = supervisor->order;
	pthread_mutex_unlock(&supervisor->lock);
	if (!order)
		return;
	order->result = order->perform(supervisor, order->argument);
	pthread_mutex_lock(&supervisor->lock);
	supervisor->order = NULL;
	order->is_done = true;
	pthread_cond_broadcast(&supervisor->ordered);
	if (supervisor->is_leaving) /* it waited for this */
		cp_event_queue_ring(&supervisor->queue);
	pthread_mutex_unlock(&supervisor->lock);
}

struct configuration {
	const struct cp_config *config;
	char *why;
};

/* Whether it can be done what the servers of CONFIG that are new or changed want. */
static int check_servers(const struct cp_config *config, char why[CP_DP_WHY_LEN])
{
	char fault[CP_WHY_LEN];

	for (size_t e = 0; e < config->environment_count; e++) {
		const struct cp_environment *environment = &config->environments[e];

		for (size_t s = 0; s < environment->server_count; s++) {
			const struct cp_server *server = &environment->servers[s];

			if (cp_protocol_of(server)->check(server, fault) == 0)
				continue;
			snprintf(why, CP_DP_WHY_LEN, "%s/%s: %.200s", environment->name,
			         server->name, fault);
			return -EINVAL;
		}
	}
	return 0;
}

static size_t count_tunnels(const struct cp_config *config)
{
	size_t count = 0;

	for (size_t e = 0; e < config->environment_count; e++)
		count += config->environments[e].server_count;
	return count;
}

static int perform_configure(struct cp_supervisor *supervisor, void *argument)
{
	struct configuration *order = argument;
	int rc;

	if (supervisor->ike.is_muted) {
		snprintf(order->why, CP_DP_WHY_LEN, "the control plane is ending");
		return -ECANCELED;
	}
	rc = check_servers(order->config, order->why);
	if (rc == 0)
		rc = cp_dp_configure(supervisor->dp, order->config, order->why);
	if (rc != 0)
		return rc;
	cp_ike_expect(count_tunnels(order->config));
	cp_supervisor_adopt(supervisor, order->config);
	return 0;
}

int cp_supervisor_configure(struct cp_supervisor *supervisor, const struct cp_config *config,
                            char why[CP_DP_WHY_LEN])
{
	struct configuration order = { config, why };
	int rc = give(supervisor, perform_configure, &order);

	if (rc == -EBUSY && !why[0])
		snprintf(why, CP_DP_WHY_LEN, "a new control plane is taking over");
	return rc;
}

struct renewal {
	const char *environment;
	const char *server;
	size_t count;
};

static int perform_renew(struct cp_supervisor *supervisor, void *argument)
{
	static const struct cp_event renew = { .type = CP_EVENT_RENEW };
	struct renewal *order = argument;

	for (size_t i = 0; i < supervisor->listing_count && !supervisor->ike.is_muted; i++) {
		const size_t index = supervisor->listing[i];
		const struct ipc_tunnel *id = &supervisor->ike.tunnels[index].id;

		if (strcmp(id->environment, order->environment) != 0 ||
		    (order->server && strcmp(id->server, order->server) != 0))
			continue;
		cp_supervisor_step(supervisor, index, &renew);
		order->count++;
	}
	return 0;
}

size_t cp_supervisor_renew(struct cp_supervisor *supervisor, const char *environment,
                           const char *server)
{
	struct renewal order = { .environment = environment, .server = server };

	give(supervisor, perform_renew, &order);
	return order.count;
}
