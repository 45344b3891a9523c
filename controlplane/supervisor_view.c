/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What others may know of the tunnels: copies, made with the supervisor's lock.
 */
#include "controlplane/supervisor_private.h"

#include "controlplane/ovpn_client.h"

#include <stdio.h>
#include <string.h>

/* Behind what there is already. */
static void add_notice(struct cp_told *told, const char *text)
{
	const size_t used = strlen(told->notice);

	snprintf(told->notice + used, sizeof(told->notice) - used, "%s%s", used ? "; " : "", text);
}

static void fill_view(const struct cp_supervisor *supervisor, const struct tunnel *tunnel,
                      struct cp_tunnel_view *view)
{
	const struct cp_tunnel_state *state = &tunnel->state;
	const struct cp_server *server = tunnel->ike->server;
	const uint64_t now = cp_now_ms();
	const uint64_t now_s = (uint64_t)time(NULL);

	*view = (struct cp_tunnel_view){
		.id = tunnel->ike->id,
		.remote_be = state->remote_be,
		.inner_be = state->phase == CP_TUNNEL_UP ? state->inner_be : 0,
		.phase = state->phase,
		.udp_encapsulation = state->is_udp,
		.attempts = state->attempts,
		.since_s = now_s - (now - state->since_ms) / 1000,
		.retry_at_s = state->phase == CP_TUNNEL_WAITING && state->deadline_ms > now
		                      ? now_s + (state->deadline_ms - now + 999) / 1000
		                      : 0,
		.ike_rekeys = state->ike_rekeys,
		.child_rekeys = state->child_rekeys,
		.connects = state->connects,
		.stream_dropped = cp_ovpn_client_dropped(&supervisor->ike, server),
	};
	snprintf(view->protocol, sizeof(view->protocol), "%s", cp_protocol_of(server)->name);
	memcpy(view->zone, server->zone, sizeof(view->zone));
	snprintf(view->server_address, sizeof(view->server_address), "%s", server->address);
	snprintf(view->why, sizeof(view->why), "%s", state->why);
	if (state->phase == CP_TUNNEL_UP) {
		snprintf(view->suite, sizeof(view->suite), "%s", state->suite);
		snprintf(view->limits, sizeof(view->limits), "%s", state->limits);
		view->told = state->told;
		if (view->stream_dropped)
			add_notice(&view->told, "its TCP connection was too slow at times, and "
			                        "packets for it were dropped");
		if (state->renewal[0] || state->unrenewed[0])
			snprintf(view->renewal, sizeof(view->renewal), "%s",
			         state->renewal[0] ? state->renewal : state->unrenewed);
		else if (state->is_renewing)
			snprintf(view->renewal, sizeof(view->renewal), "logging in anew");
	}
}

size_t cp_supervisor_tunnels(struct cp_supervisor *supervisor, struct cp_tunnel_view *views,
                             size_t max)
{
	size_t count;

	pthread_mutex_lock(&supervisor->lock);
	count = supervisor->listing_count;
	for (size_t i = 0; i < count && i < max; i++)
		fill_view(supervisor, &supervisor->tunnels[supervisor->listing[i]], &views[i]);
	pthread_mutex_unlock(&supervisor->lock);
	return count;
}

bool cp_supervisor_progress(struct cp_supervisor *supervisor, struct cp_progress *progress)
{
	bool has_read;

	*progress = (struct cp_progress){ 0 };
	pthread_mutex_lock(&supervisor->lock);
	has_read = supervisor->has_read;
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		const struct tunnel *tunnel = &supervisor->tunnels[i];
		const struct cp_tunnel_state *state = &tunnel->state;

		if (!tunnel->was_carried || !tunnel->is_configured)
			continue;
		progress->wanted++;
		progress->up += state->phase == CP_TUNNEL_UP;
		progress->failed += state->phase == CP_TUNNEL_WAITING &&
		                    state->attempts >= CP_TAKEOVER_ATTEMPTS;
		if (state->phase != CP_TUNNEL_UP)
			snprintf(progress->why, sizeof(progress->why), "%s: %s", tunnel->ike->name,
			         state->why[0] ? state->why : "still connecting");
	}
	pthread_mutex_unlock(&supervisor->lock);
	return has_read;
}
