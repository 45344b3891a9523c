/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps every configured tunnel up: connects, explains failures, retries, survives the restart of
 * either process.
 */
#include "controlplane/supervisor_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/netaddr.h"
#include "controlplane/ike_daemon.h"
#include "controlplane/ike_socket.h"
#include "controlplane/ovpn_client.h"
#include "controlplane/resolver.h"

/* Handshakes with one server address at a time: a stock strongSwan ignores an address that has five
 * of them half open, and wants cookies from the third on. */
#define HANDSHAKES_MAX 4u
/* Events that are handled before all tunnels are looked at, which costs the more the more there
 * are. */
#define EVENTS_IN_A_ROW 64u
/* After that time what the server sent on an SA is no longer on its way. */
#define TERMINATE_LATE_S 5u

/* ---- from other threads ---- */

static void on_ike_event(void *context, size_t tunnel, const struct cp_event *event)
{
	cp_event_queue_put(&((struct cp_supervisor *)context)->queue, tunnel, event);
}

static void on_dp_ready(void *context, bool is_new_epoch)
{
	const struct cp_event event = { .type = is_new_epoch ? CP_EVENT_READY_NEW
		                                             : CP_EVENT_READY };

	((struct cp_supervisor *)context)->changed |= IPC_CHANGED_TUNNELS;
	cp_event_queue_put(&((struct cp_supervisor *)context)->queue, CP_ALL_TUNNELS, &event);
}

static void on_dp_lost(void *context)
{
	const struct cp_event event = { .type = CP_EVENT_LOST };
	struct cp_supervisor *supervisor = context;

	supervisor->lost_ns = cp_now_ms() * 1000000;
	cp_event_queue_put(&supervisor->queue, CP_ALL_TUNNELS, &event);
}

static void on_dp_changed(void *context, uint64_t changed)
{
	struct cp_supervisor *supervisor = context;

	supervisor->changed |= changed;
	cp_event_queue_ring(&supervisor->queue);
	if (changed & IPC_CHANGED_SAS)
		cp_ovpn_client_keys_changed(&supervisor->ike);
}

static void on_dp_datagram(void *context, const struct ipc_punt *punt, const void *payload)
{
	struct cp_supervisor *supervisor = context;

	if (!cp_ovpn_client_receive(&supervisor->ike, punt, payload))
		cp_ike_socket_receive(punt, payload);
}

static void on_dp_stream(void *context, const struct ipc_punt *punt, const void *packet)
{
	const struct cp_supervisor *supervisor = context;

	cp_ovpn_client_send(&supervisor->ike, punt, packet);
}

/* A look-up's tag: the tunnel, and which look-up of it. */
#define LOOKUP_SHIFT 16u
_Static_assert(CP_IKE_TUNNELS_MAX <= 1u << LOOKUP_SHIFT, "a tunnel's number in a tag");

static void on_resolved(void *context, size_t tag, uint32_t address_be, const char *error)
{
	struct cp_supervisor *supervisor = context;
	const size_t index = tag & ((1u << LOOKUP_SHIFT) - 1);
	struct tunnel *tunnel = &supervisor->tunnels[index];
	const struct cp_server *server = tunnel->ike->server;
	struct cp_event event = { .type = CP_EVENT_RESOLVED,
		                  .remote_be = address_be,
		                  .lookup = (uint32_t)(tag >> LOOKUP_SHIFT) };

	struct cp_remote remote;

	if (error) {
		cp_protocol_of(server)->choose(server, tunnel->remote, &remote);
		event.type = CP_EVENT_NOT_BEGUN;
		snprintf(event.why, sizeof(event.why),
		         "the server's address \"%s\" cannot be resolved: %s", remote.address,
		         error);
	}
	cp_event_queue_put(&supervisor->queue, index, &event);
}

/* ---- what is to be done ---- */

static void say(const struct tunnel *tunnel, unsigned todo, const struct cp_tunnel_state *state)
{
	const struct ipc_tunnel *id = &tunnel->ike->id;
	char remote[SP_ADDRESS_TEXT], inner[SP_ADDRESS_TEXT];
	const uint64_t now = cp_now_ms();

	if (todo & CP_SAY_LOST)
		sp_log(SP_LOG_WARN, "supervisor: lost environment=%s server=%s why=\"%s\"",
		       id->environment, id->server, state->why);
	if (todo & CP_SAY_FAILED)
		sp_log(SP_LOG_WARN,
		       "supervisor: not connected environment=%s server=%s attempt=%u retry_in_s=%.1f why=\"%s\"",
		       id->environment, id->server, state->attempts,
		       state->deadline_ms > now ? (double)(state->deadline_ms - now) / 1000 : 0.0,
		       state->why);
	if (todo & CP_SAY_LIMITS)
		sp_log(SP_LOG_WARN, "supervisor: unreachable environment=%s server=%s why=\"%s\"",
		       id->environment, id->server, state->limits);
	if (todo & CP_SAY_RENEGOTIATE)
		sp_log(SP_LOG_INFO, "supervisor: renegotiating environment=%s server=%s why=\"%s\"",
		       id->environment, id->server, state->why);
	if (todo & CP_SAY_RENEWING)
		sp_log(SP_LOG_INFO,
		       "supervisor: logging in anew beside the old login environment=%s server=%s",
		       id->environment, id->server);
	if (todo & CP_SAY_RENEWAL_FAILED)
		sp_log(SP_LOG_WARN,
		       "supervisor: the new login failed, the old one goes on environment=%s server=%s attempt=%u "
		       "retry_in_s=%.1f why=\"%s\"",
		       id->environment, id->server, state->renewal_attempts,
		       state->deadline_ms > now ? (double)(state->deadline_ms - now) / 1000 : 0.0,
		       state->renewal);
	if (todo & CP_SAY_UP)
		sp_log(SP_LOG_INFO,
		       "supervisor: up environment=%s server=%s remote=%s inner=%s suite=%s udp=%s",
		       id->environment, id->server, sp_address_format(remote, state->remote_be),
		       sp_address_format(inner, state->inner_be), state->suite,
		       state->is_udp ? "yes" : "no");
}

static int set_peer(struct cp_supervisor *supervisor, struct tunnel *tunnel,
                    const struct ipc_peer *peer)
{
	tunnel->peer = *peer;
	return cp_dp_call(supervisor->dp, IPC_PEER_SET, peer, sizeof(*peer), NULL, 0);
}

static void set_tunnel(struct cp_supervisor *supervisor, const struct tunnel *tunnel,
                       uint32_t inner_be)
{
	const struct ipc_tunnel_state message = {
		.id = tunnel->ike->id,
		.inner_address_be = inner_be,
		.is_up = inner_be != 0,
	};
	int rc = cp_dp_call(supervisor->dp, IPC_TUNNEL_SET, &message, sizeof(message), NULL, 0);

	if (rc != 0) /* a dataplane that is gone is told again when it is back */
		sp_log(rc == -ENOTCONN || rc == -ECONNRESET ? SP_LOG_DEBUG : SP_LOG_ERR,
		       "supervisor: the dataplane did not take a tunnel's state environment=%s server=%s error=%s",
		       message.id.environment, message.id.server, strerror(-rc));
}

/* Brings the server's address to the dataplane and, with CP_DO_CONNECT, knocks there. */
static void connect_peer(struct cp_supervisor *supervisor, size_t index, unsigned todo,
                         const struct cp_tunnel_state *state)
{
	const uint32_t remote_be = state->remote_be;
	const uint16_t port_be = state->up_port_be;
	struct tunnel *tunnel = &supervisor->tunnels[index];
	const struct cp_server *server = tunnel->ike->server;
	const struct cp_protocol *protocol = cp_protocol_of(server);
	struct ipc_peer peer = { .id = tunnel->ike->id, .remote_be = remote_be };
	struct cp_event failed = { .type = CP_EVENT_NOT_BEGUN };
	int rc;

	protocol->fill_peer(server, tunnel->remote, &peer);
	if (!(todo & CP_DO_CONNECT) && port_be && remote_be == state->up_remote_be)
		peer.remote_port_be = port_be;
	rc = set_peer(supervisor, tunnel, &peer);
	if (rc != 0)
		snprintf(failed.why, sizeof(failed.why),
		         "the dataplane did not take the server's address: %s", strerror(-rc));
	else if (todo & CP_DO_CONNECT)
		rc = protocol->connect(&supervisor->ike, tunnel->ike, tunnel->remote, remote_be,
		                       failed.why);
	if (rc != 0)
		cp_event_queue_put(&supervisor->queue, index, &failed);
}

/* The server is elsewhere; while another login is tried, its control packets wait for that. */
static void follow_peer(struct cp_supervisor *supervisor, struct tunnel *tunnel,
                        const struct cp_tunnel_state *state)
{
	const bool is_alone = !state->child_count ||
	                      memcmp(&tunnel->peer, &tunnel->up_at, sizeof(tunnel->peer)) == 0;
	char remote[SP_ADDRESS_TEXT];
	int rc;

	if (!state->child_count)
		tunnel->up_at = tunnel->peer;
	tunnel->up_at.remote_be = state->up_remote_be;
	tunnel->up_at.remote_port_be = state->up_port_be;
	sp_log(SP_LOG_INFO, "supervisor: the server floats environment=%s server=%s remote=%s:%u",
	       tunnel->ike->id.environment, tunnel->ike->id.server,
	       sp_address_format(remote, state->up_remote_be), ntohs(state->up_port_be));
	rc = is_alone ? set_peer(supervisor, tunnel, &tunnel->up_at) : 0;
	if (rc != 0) /* one that is gone is told again when it is back */
		sp_log(SP_LOG_WARN,
		       "supervisor: the dataplane did not take the server's address error=%s",
		       strerror(-rc));
}

static void come_up(struct cp_supervisor *supervisor, struct tunnel *tunnel, uint32_t inner_be)
{
	set_tunnel(supervisor, tunnel, inner_be);
	tunnel->up_at = tunnel->peer;
	if (!tunnel->up_ms)
		tunnel->up_ms = cp_now_ms();
	tunnel->orphan_count = cp_orphans_count(&supervisor->orphans, &tunnel->ike->id);
}

static void look_up(struct cp_supervisor *supervisor, size_t index,
                    const struct cp_tunnel_state *state)
{
	struct tunnel *tunnel = &supervisor->tunnels[index];
	const struct cp_server *server = tunnel->ike->server;
	const uint32_t attempt = state->attempts ? state->attempts : state->renewal_attempts;
	const uint32_t after_be = attempt > 1 ? state->tried_be : 0;
	struct cp_remote remote;

	if (++tunnel->lookup == 0)
		tunnel->lookup = 1;
	cp_protocol_of(server)->choose(server, attempt ? attempt - 1 : 0, &remote);
	tunnel->remote = remote.number;
	cp_resolve(remote.address, after_be, (size_t)tunnel->lookup << LOOKUP_SHIFT | index,
	           on_resolved, supervisor);
}

static void end_logins(struct cp_supervisor *supervisor, unsigned todo,
                       const struct cp_tunnel_state *state)
{
	for (size_t i = 0; i < state->doomed_count; i++) {
		const uint32_t login = state->doomed[i];
		const struct cp_protocol *protocol = cp_protocol_of_number(login);

		if (todo & CP_DO_TERMINATE_LATE)
			protocol->end_late(&supervisor->ike, login, TERMINATE_LATE_S);
		else if (state->is_removed)
			protocol->leave(&supervisor->ike, login);
		else
			protocol->end(&supervisor->ike, login);
	}
}

static void rekey_all(struct cp_supervisor *supervisor, const struct cp_tunnel_state *state)
{
	struct ipc_sa_id id = { .destination_be = supervisor->config->uplink.address_be,
		                .direction = IPC_IN };

	for (size_t i = 0; i < state->child_count; i++) {
		id.spi_be = state->children[i].spi_be;
		cp_protocol_of_number(state->children[i].id)->rekey(&supervisor->ike, &id);
	}
}

static void perform(struct cp_supervisor *supervisor, size_t index, unsigned todo,
                    const struct cp_tunnel_state *state)
{
	struct tunnel *tunnel = &supervisor->tunnels[index];

	if (supervisor->ike.is_muted)
		return;
	say(tunnel, todo, state);
	if (todo & (CP_DO_TERMINATE | CP_DO_TERMINATE_LATE))
		end_logins(supervisor, todo, state);
	if (todo & CP_DO_DOWN) {
		set_tunnel(supervisor, tunnel, 0);
		tunnel->up_ms = tunnel->switched_ms = 0;
	}
	if (todo & CP_DO_RESOLVE)
		look_up(supervisor, index, state);
	if (todo & CP_DO_FLOAT)
		follow_peer(supervisor, tunnel, state);
	if (todo & CP_DO_PEER_BACK)
		set_peer(supervisor, tunnel, &tunnel->up_at);
	if (todo & (CP_DO_PEER | CP_DO_CONNECT))
		connect_peer(supervisor, index, todo, state);
	if (todo & CP_DO_REKEY)
		rekey_all(supervisor, state);
	if (todo & CP_DO_UP)
		come_up(supervisor, tunnel, state->inner_be);
}

void cp_supervisor_limits(const struct cp_supervisor *supervisor, size_t index,
                          char limits[CP_WHY_LEN])
{
	const struct tunnel *tunnel = &supervisor->tunnels[index];
	const struct cp_environment *environment =
		cp_config_environment(supervisor->config, tunnel->ike->id.environment);

	limits[0] = 0;
	if (environment)
		cp_reach_check(environment, tunnel->ranges, tunnel->range_count, limits,
		               CP_WHY_LEN);
}

/* The event in full: what its selectors leave out is told by the configuration in force, and a
 * server that was found may be taken. */
static void complete(struct cp_supervisor *supervisor, size_t index, struct cp_event *event)
{
	struct tunnel *tunnel = &supervisor->tunnels[index];

	if (event->type == CP_EVENT_RESOLVED &&
	    cp_supervisor_has_rival(supervisor, index, event->remote_be, event->why))
		event->type = CP_EVENT_NOT_BEGUN;
	if (event->type != CP_EVENT_CHILD_UP && event->type != CP_EVENT_CHILD_REKEYED)
		return;
	memcpy(tunnel->ranges, event->ranges, sizeof(tunnel->ranges));
	tunnel->range_count = event->range_count;
	cp_supervisor_limits(supervisor, index, event->limits);
}

void cp_supervisor_step(struct cp_supervisor *supervisor, size_t index,
                        const struct cp_event *event)
{
	struct cp_tunnel_state copy;
	unsigned todo;

	pthread_mutex_lock(&supervisor->lock);
	todo = cp_tunnel_state_step(&supervisor->tunnels[index].state, event, cp_now_ms());
	if (todo)
		copy = supervisor->tunnels[index].state;
	pthread_mutex_unlock(&supervisor->lock);
	if (todo)
		perform(supervisor, index, todo, &copy);
}

static void step(struct cp_supervisor *supervisor, size_t index, const struct cp_event *event)
{
	cp_supervisor_step(supervisor, index, event);
}

/* ---- the dataplane's view of tunnels and environments ---- */

static void look_at_moves(struct cp_supervisor *supervisor, bool have_changed)
{
	struct cp_dp_picture picture;
	struct cp_dp_state dp;
	uint64_t due_ns, check_ms;

	if (!have_changed && (!supervisor->moves_due_ms || cp_now_ms() < supervisor->moves_due_ms))
		return;
	supervisor->moves_due_ms = 0;
	cp_dp_state(supervisor->dp, &dp);
	if (cp_dp_picture_take(supervisor->dp, &picture) == 0) {
		cp_supervisor_ask_doubtful(supervisor, &picture);
		due_ns = cp_moves_look(&supervisor->moves, supervisor->config, dp.epoch, &picture,
		                       cp_now_ms() * 1000000);
		check_ms = cp_supervisor_next_doubt_ms(supervisor);
		supervisor->moves_due_ms = due_ns ? due_ns / 1000000 + 1 : 0;
		if (check_ms && (!due_ns || check_ms < supervisor->moves_due_ms))
			supervisor->moves_due_ms = check_ms;
	}
	cp_dp_picture_fini(&picture);
}

static void look_at_sources(struct cp_supervisor *supervisor)
{
	struct cp_dp_picture picture;

	if (cp_now_ms() < supervisor->sources_due_ms)
		return;
	supervisor->sources_due_ms = cp_now_ms() + CP_SOURCES_LOOK_MS;
	if (cp_dp_picture_take(supervisor->dp, &picture) == 0)
		cp_sources_look(&supervisor->sources, supervisor->config, &picture,
		                cp_now_ms() * 1000000);
	cp_dp_picture_fini(&picture);
}

/* ---- whose turn it is ---- */

/* With whom handshakes are under way, an address for each of them. */
struct handshakes {
	uint32_t remotes_be[CP_IKE_TUNNELS_MAX];
	size_t count;
};

static void add_handshake(struct handshakes *handshakes, const struct cp_tunnel_state *state)
{
	if (state->is_negotiating)
		handshakes->remotes_be[handshakes->count++] = state->remote_be;
}

static size_t count_handshakes(const struct handshakes *handshakes, uint32_t remote_be)
{
	size_t count = 0;

	for (size_t i = 0; i < handshakes->count; i++)
		count += handshakes->remotes_be[i] == remote_be;
	return count;
}

static void admit(struct cp_supervisor *supervisor)
{
	static const struct cp_event admitted = { .type = CP_EVENT_ADMITTED };
	struct handshakes handshakes = { .count = 0 };

	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++)
		add_handshake(&handshakes, &supervisor->tunnels[i].state);
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		const struct cp_tunnel_state *state = &supervisor->tunnels[i].state;
		const bool is_counted = state->is_negotiating;

		if (!state->is_queued ||
		    count_handshakes(&handshakes, state->remote_be) >= HANDSHAKES_MAX)
			continue;
		step(supervisor, i, &admitted);
		if (!is_counted)
			add_handshake(&handshakes, state);
	}
}

/* ---- the thread ---- */

/* When something is due without an event. */
static uint64_t next_deadline_ms(const struct cp_supervisor *supervisor, uint64_t now)
{
	uint64_t deadline = now + (supervisor->has_limits ? CP_LIMITS_POLL_MS : 3600 * 1000);

	if (supervisor->moves_due_ms && supervisor->moves_due_ms < deadline)
		deadline = supervisor->moves_due_ms;
	if (supervisor->sources_due_ms < deadline)
		deadline = supervisor->sources_due_ms;
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		const struct tunnel *tunnel = &supervisor->tunnels[i];

		if (tunnel->state.deadline_ms && tunnel->state.deadline_ms < deadline)
			deadline = tunnel->state.deadline_ms;
		if ((tunnel->orphan_count || tunnel->has_left_ike) && tunnel->up_ms &&
		    now + CP_ORPHANS_POLL_MS < deadline)
			deadline = now + CP_ORPHANS_POLL_MS;
	}
	return deadline;
}

/* Whether a successor, which failed since, had begun with this tunnel. */
static bool was_overtaken(const struct cp_supervisor *supervisor, const struct tunnel *tunnel)
{
	return supervisor->was_aside && tunnel->state.child_count && tunnel->was_carried;
}

static void handle(struct cp_supervisor *supervisor, struct cp_queued *item)
{
	static const struct cp_event overtaken = { .type = CP_EVENT_OVERTAKEN };
	const bool is_ready = item->event.type == CP_EVENT_READY;

	if (item->tunnel != CP_ALL_TUNNELS) {
		if (item->event.lookup &&
		    item->event.lookup != supervisor->tunnels[item->tunnel].lookup)
			return; /* for settings of before */
		if (!cp_supervisor_doubt(supervisor, item->tunnel, &item->event))
			return;
		complete(supervisor, item->tunnel, &item->event);
		step(supervisor, item->tunnel, &item->event);
		return;
	}
	supervisor->is_dp_ready = item->event.type != CP_EVENT_LOST;
	if (supervisor->is_dp_ready)
		cp_supervisor_read_sas(supervisor);
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		struct tunnel *tunnel = &supervisor->tunnels[i];

		if (is_ready && was_overtaken(supervisor, tunnel)) {
			tunnel->up_ms = tunnel->switched_ms = 0;
			step(supervisor, i, &overtaken);
		} else {
			step(supervisor, i, &item->event);
		}
	}
	if (supervisor->is_dp_ready && supervisor->has_read)
		supervisor->was_aside = false;
}

/* Called with the lock held. */
static void stand_aside(struct cp_supervisor *supervisor)
{
	pthread_mutex_unlock(&supervisor->lock);
	cp_ike_freeze();
	cp_ovpn_client_freeze(&supervisor->ike);
	cp_dp_pause(supervisor->dp, "a successor is taking over");
	pthread_mutex_lock(&supervisor->lock);
	supervisor->is_aside = true;
	pthread_cond_broadcast(&supervisor->moved);
	while (supervisor->is_leaving)
		pthread_cond_wait(&supervisor->moved, &supervisor->lock);
	supervisor->is_aside = false;
	pthread_cond_broadcast(&supervisor->moved);
	supervisor->was_aside = true;
	cp_dp_resume(supervisor->dp);
	cp_ike_thaw(&supervisor->ike);
	cp_ovpn_client_thaw(&supervisor->ike);
}

static void *run(void *argument)
{
	static const struct cp_event time_passed = { .type = CP_EVENT_TIME };
	struct cp_supervisor *supervisor = argument;

	for (;;) {
		bool is_rung;
		uint64_t changed;
		struct cp_queued *item = cp_event_queue_take(
			&supervisor->queue, next_deadline_ms(supervisor, cp_now_ms()), &is_rung);

		pthread_mutex_lock(&supervisor->lock);
		if (supervisor->is_leaving && !supervisor->order)
			stand_aside(supervisor);
		pthread_mutex_unlock(&supervisor->lock);
		for (unsigned left = EVENTS_IN_A_ROW; item; left--) {
			handle(supervisor, item);
			free(item);
			item = left > 1 ? cp_event_queue_next(&supervisor->queue) : NULL;
		}
		cp_supervisor_obey(supervisor);
		if (supervisor->ike.is_muted)
			continue;
		changed = atomic_exchange(&supervisor->changed, 0);
		cp_supervisor_look_at_sas(supervisor, changed & IPC_CHANGED_SAS);
		look_at_moves(supervisor, changed & IPC_CHANGED_TUNNELS);
		look_at_sources(supervisor);
		for (size_t i = 0; i < supervisor->ike.tunnel_count; i++)
			step(supervisor, i, &time_passed);
		admit(supervisor);
		cp_supervisor_retire(supervisor);
		cp_ike_tunnels_tidy(&supervisor->ike, cp_now_ms());
	}
	return NULL;
}

/* ---- public ---- */

int cp_supervisor_create(const struct cp_config *config, struct cp_dp *dp, uint64_t epoch,
                         struct cp_supervisor **supervisor)
{
	struct cp_supervisor *new = calloc(1, sizeof(*new));

	if (!new)
		return -ENOMEM;
	new->dp = dp;
	new->seed = (uint32_t)(epoch >> 32);
	cp_event_queue_init(&new->queue);
	new->ike = (struct cp_ike){
		.config = cp_config_hold(config), .dp = dp, .report = on_ike_event, .context = new
	};
	cp_orphans_init(&new->orphans, dp, epoch);
	cp_moves_init(&new->moves, dp);
	pthread_mutex_init(&new->lock, NULL);
	pthread_mutex_init(&new->ordering, NULL);
	pthread_cond_init(&new->ordered, NULL);
	pthread_cond_init(&new->moved, NULL);
	new->tunnels = calloc(CP_IKE_TUNNELS_MAX, sizeof(*new->tunnels));
	if (!new->tunnels || cp_ike_tunnels_init(&new->ike) != 0) {
		free(new->tunnels);
		cp_config_release(new->ike.config);
		free(new);
		return -ENOMEM;
	}
	cp_supervisor_adopt(new, config);
	*supervisor = new;
	return 0;
}

int cp_supervisor_start(struct cp_supervisor *supervisor)
{
	int rc = cp_ike_start(&supervisor->ike);

	if (rc == 0)
		rc = cp_ovpn_client_start(&supervisor->ike);
	return rc != 0 ? rc : -pthread_create(&supervisor->thread, NULL, run, supervisor);
}

int cp_supervisor_connect(struct cp_supervisor *supervisor)
{
	const struct cp_dp_callbacks callbacks = {
		.ready = on_dp_ready,
		.lost = on_dp_lost,
		.changed = on_dp_changed,
		.datagram = on_dp_datagram,
		.stream = on_dp_stream,
		.context = supervisor,
	};

	return cp_dp_start(supervisor->dp, &callbacks);
}

void cp_supervisor_step_aside(struct cp_supervisor *supervisor)
{
	pthread_mutex_lock(&supervisor->lock);
	supervisor->is_leaving = true;
	cp_event_queue_ring(&supervisor->queue);
	while (!supervisor->is_aside)
		pthread_cond_wait(&supervisor->moved, &supervisor->lock);
	pthread_mutex_unlock(&supervisor->lock);
}

void cp_supervisor_take_back(struct cp_supervisor *supervisor)
{
	pthread_mutex_lock(&supervisor->lock);
	supervisor->is_leaving = false;
	pthread_cond_broadcast(&supervisor->moved);
	while (supervisor->is_aside)
		pthread_cond_wait(&supervisor->moved, &supervisor->lock);
	pthread_mutex_unlock(&supervisor->lock);
}

void cp_supervisor_mute(struct cp_supervisor *supervisor)
{
	cp_ike_mute(&supervisor->ike);
}
