/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Second opinions: the dataplane says whose ESP is silent, IKE says whether the server lives.
 *
 * Where hosts answer probes the dataplane needs none. Where none does, a server of which nothing
 * comes back is asked by IKE, and its environment's others with it: if it leaves that unanswered,
 * and another one answers, the environment moves there. A server that answers is never taken for
 * dead, nor is one whose IKE alone is silent.
 */
#include "controlplane/supervisor_private.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"

#define DEAD_CHECK_MS 10000u   /* how often a dead server is asked whether it still knows us */
#define SUSPECT_CHECK_MS 2000u /* how often one is asked of which nothing came back */
#define PASSES_MS 10000u       /* ESP that was heard so lately passes */
#define MS_NS 1000000ull

static const struct ipc_tunnel_info *info_of(const struct cp_supervisor *supervisor, size_t index,
                                             const struct cp_dp_picture *picture)
{
	const struct ipc_tunnel *id = &supervisor->tunnels[index].ike->id;

	return cp_dp_picture_tunnel(picture, id->environment, id->server);
}

/* ---- asking ---- */

static bool is_active_suspect(const struct cp_dp_picture *picture,
                              const char environment[IPC_NAME_LEN])
{
	const struct ipc_environment_state *state = cp_dp_picture_state(picture, environment);
	const struct ipc_tunnel_info *active =
		state && state->active[0]
			? cp_dp_picture_tunnel(picture, environment, state->active)
			: NULL;

	return active && active->liveness == IPC_LIVENESS_SUSPECT;
}

/* How often the tunnel's server is to be asked; 0: there is no need. A dead one may have lost us in
 * a restart: IKE finds that out sooner when it asks now. */
static unsigned interval_ms(const struct cp_supervisor *supervisor, size_t index,
                            const struct cp_dp_picture *picture)
{
	const struct ipc_tunnel_info *info = info_of(supervisor, index, picture);

	if (!info || !info->is_up)
		return 0;
	if (info->liveness == IPC_LIVENESS_DEAD)
		return DEAD_CHECK_MS;
	return is_active_suspect(picture, info->id.environment) ? SUSPECT_CHECK_MS : 0;
}

void cp_supervisor_ask_doubtful(struct cp_supervisor *supervisor,
                                const struct cp_dp_picture *picture)
{
	const uint64_t now = cp_now_ms();

	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		struct tunnel *tunnel = &supervisor->tunnels[i];
		const unsigned every_ms = interval_ms(supervisor, i, picture);

		if (every_ms == 0)
			tunnel->checked_ms = 0;
		tunnel->check_every_ms = every_ms;
		if (every_ms == 0 || (tunnel->checked_ms && now - tunnel->checked_ms < every_ms))
			continue;
		tunnel->checked_ms = now;
		for (size_t k = 0; k < tunnel->state.ike_count; k++)
			cp_protocol_of_number(tunnel->state.ikes[k])
				->ask(&supervisor->ike, tunnel->state.ikes[k]);
	}
}

uint64_t cp_supervisor_next_doubt_ms(const struct cp_supervisor *supervisor)
{
	uint64_t next = 0;

	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		const struct tunnel *tunnel = &supervisor->tunnels[i];
		const uint64_t due = tunnel->checked_ms + tunnel->check_every_ms;

		if (tunnel->checked_ms && (!next || due < next))
			next = due;
	}
	return next;
}

/* ---- what follows ---- */

/* The most preferred other server of the environment that answered since SINCE_MS, in whatever
 * way. */
static const struct ipc_tunnel_info *find_witness(const struct cp_supervisor *supervisor,
                                                  const struct cp_dp_picture *picture,
                                                  const struct ipc_tunnel *not_this,
                                                  uint64_t since_ms)
{
	const struct cp_environment *environment =
		cp_config_environment(supervisor->config, not_this->environment);

	for (size_t i = 0; environment && i < environment->server_count; i++) {
		const struct ipc_tunnel_info *info = cp_dp_picture_tunnel(
			picture, environment->name, environment->servers[i].name);

		if (!info || !info->is_up || info->liveness == IPC_LIVENESS_DEAD ||
		    strncmp(info->id.server, not_this->server, IPC_NAME_LEN) == 0)
			continue;
		for (size_t k = 0; k < supervisor->ike.tunnel_count; k++) {
			const struct tunnel *tunnel = &supervisor->tunnels[k];

			if (memcmp(&tunnel->ike->id, &info->id, sizeof(info->id)) == 0 &&
			    (tunnel->answered_ms >= since_ms || info->heard_ns >= since_ms * MS_NS))
				return info;
		}
	}
	return NULL;
}

/* The environment moves, if this tunnel is its active one and another one answers. */
static void move(struct cp_supervisor *supervisor, const struct cp_dp_picture *picture,
                 const struct ipc_tunnel_info *info, uint64_t since_ms)
{
	const struct ipc_environment_state *state =
		cp_dp_picture_state(picture, info->id.environment);
	const struct ipc_tunnel_info *to = NULL;
	int rc;

	if (state && strncmp(state->active, info->id.server, IPC_NAME_LEN) == 0)
		to = find_witness(supervisor, picture, &info->id, since_ms);
	if (!to)
		return;
	rc = cp_moves_from_dead(supervisor->dp, state, to->id.server);
	sp_log(SP_LOG_DEBUG,
	       "supervisor: neither ESP nor IKE is answered environment=%.31s server=%.31s to=%.31s moved=%s",
	       info->id.environment, info->id.server, to->id.server,
	       rc == 0 ? "yes" : strerror(-rc));
}

/* Its server left IKE unanswered: true if nothing else came of it since it was asked, either. */
static bool on_unanswered(struct cp_supervisor *supervisor, size_t index)
{
	const uint64_t since_ms = supervisor->tunnels[index].checked_ms;
	const struct ipc_tunnel_info *info;
	struct cp_dp_picture picture;
	bool is_silent = false;

	if (!since_ms)
		return false; /* ESP passes */
	if (cp_dp_picture_take(supervisor->dp, &picture) == 0) {
		info = info_of(supervisor, index, &picture);
		is_silent = info && (info->liveness == IPC_LIVENESS_DEAD ||
		                     (info->liveness == IPC_LIVENESS_SUSPECT &&
		                      info->heard_ns < since_ms * MS_NS));
		if (is_silent && info->liveness == IPC_LIVENESS_SUSPECT)
			move(supervisor, &picture, info, since_ms);
	}
	cp_dp_picture_fini(&picture);
	return is_silent;
}

static bool does_esp_pass(struct cp_supervisor *supervisor, size_t index)
{
	struct cp_dp_picture picture;
	bool does_pass = false;

	if (cp_dp_picture_take(supervisor->dp, &picture) == 0) {
		const struct ipc_tunnel_info *info = info_of(supervisor, index, &picture);

		does_pass = info && info->is_up && info->heard_ns &&
		            info->heard_ns / MS_NS + PASSES_MS > cp_now_ms();
	}
	cp_dp_picture_fini(&picture);
	return does_pass;
}

/* IKE has been unanswered for ten seconds, and is asked on. What is up stays up as long as ESP
 * passes: its keys live on until their hard lifetime. */
static void on_silent(struct cp_supervisor *supervisor, size_t index, const struct cp_event *event)
{
	struct tunnel *tunnel = &supervisor->tunnels[index];
	struct cp_event reason = { .type = CP_EVENT_REASON,
		                   .ike_id = event->ike_id,
		                   .rank = CP_RANK_VAGUE };

	if (supervisor->is_dp_ready && does_esp_pass(supervisor, index)) {
		if (!tunnel->is_ike_silent)
			sp_log(SP_LOG_WARN,
			       "supervisor: the server does not answer control packets, but data passes environment=%s server=%s",
			       tunnel->ike->id.environment, tunnel->ike->id.server);
		tunnel->is_ike_silent = true;
		return;
	}
	snprintf(reason.why, sizeof(reason.why), "the server stopped answering");
	cp_supervisor_step(supervisor, index, &reason);
	cp_protocol_of_number(event->ike_id)->end(&supervisor->ike, event->ike_id);
}

bool cp_supervisor_doubt(struct cp_supervisor *supervisor, size_t index,
                         const struct cp_event *event)
{
	struct tunnel *tunnel = &supervisor->tunnels[index];

	switch (event->type) {
	case CP_EVENT_ANSWERED:
		tunnel->answered_ms = cp_now_ms();
		tunnel->is_ike_silent = false;
		return false;
	case CP_EVENT_SILENT:
		on_silent(supervisor, index, event);
		return false;
	case CP_EVENT_UNANSWERED:
		return on_unanswered(supervisor, index);
	default:
		return true;
	}
}
