/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps every configured tunnel up: connects, explains failures, retries, survives the restart of
 * either process.
 */
#include "controlplane/supervisor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/netaddr.h"
#include "controlplane/event_queue.h"
#include "controlplane/ike_config.h"
#include "controlplane/ike_daemon.h"
#include "controlplane/ike_keepsake.h"
#include "controlplane/ike_kernel.h"
#include "controlplane/ike_socket.h"
#include "controlplane/moves.h"
#include "controlplane/orphans.h"
#include "controlplane/rekey_limits.h"
#include "controlplane/resolver.h"
#include "controlplane/tunnel_state.h"

/* Handshakes with one server address at a time: a stock strongSwan ignores an address that has five
 * of them half open, and wants cookies from the third on. */
#define HANDSHAKES_MAX 4u
/* After that time what the server sent on an SA is no longer on its way. */
#define TERMINATE_LATE_S 5u
/* How often a server whose tunnel is dead is asked by IKE whether it still knows us. */
#define DEAD_CHECK_MS 10000u

struct tunnel {
	struct cp_tunnel_state state; /* stepped with the lock held */
	const struct cp_ike_tunnel *ike;
	size_t orphan_count;
	bool was_carried;     /* there were orphans when the dataplane was found; with the lock */
	uint64_t up_ms;       /* our outbound SA is there since; 0: it is not */
	bool has_left_ike;    /* predecessors' IKE_SAs at the server */
	uint64_t switched_ms; /* the server sends on our SAs since; 0: it does not */
	uint64_t checked_ms;  /* dead, as the dataplane says, and asked by IKE then; 0: it is not */
};

struct cp_supervisor {
	const struct cp_config *config;
	struct cp_dp *dp;
	struct cp_ike ike;
	struct cp_orphans orphans; /* the thread's own */
	struct cp_rekey_limits limits;
	bool has_limits;
	uint64_t limits_ms; /* when the counters were last looked at */
	struct cp_moves moves;
	uint64_t moves_due_ms;    /* when environments are looked at again; 0: after a change */
	_Atomic uint64_t changed; /* IPC_CHANGED_* not looked at yet */
	struct tunnel *tunnels;
	pthread_t thread;

	struct cp_event_queue queue;
	pthread_mutex_t lock; /* tunnels[].state and what follows */
	bool has_read;        /* the dataplane's SAs, once */
	bool is_leaving;      /* shall stand aside */
	bool is_aside;        /* does */
	pthread_cond_t moved; /* is_leaving or is_aside */
	bool was_aside;       /* since the dataplane was there last; the thread's own */
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

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

	cp_event_queue_put(&((struct cp_supervisor *)context)->queue, CP_ALL_TUNNELS, &event);
}

static void on_dp_changed(void *context, uint64_t changed)
{
	struct cp_supervisor *supervisor = context;

	supervisor->changed |= changed;
	cp_event_queue_ring(&supervisor->queue);
}

static void on_dp_datagram(void *context, const struct ipc_punt *punt, const void *payload)
{
	(void)context;
	cp_ike_socket_receive(punt, payload);
}

static void on_resolved(void *context, size_t tunnel, uint32_t address_be, const char *error)
{
	struct cp_supervisor *supervisor = context;
	struct cp_event event = { .type = CP_EVENT_RESOLVED, .remote_be = address_be };

	if (error) {
		event.type = CP_EVENT_NOT_BEGUN;
		snprintf(event.why, sizeof(event.why),
		         "the server's address \"%s\" cannot be resolved: %s",
		         supervisor->tunnels[tunnel].ike->server->address, error);
	}
	cp_event_queue_put(&supervisor->queue, tunnel, &event);
}

/* ---- what is to be done ---- */

static void say(const struct tunnel *tunnel, unsigned todo, const struct cp_tunnel_state *state)
{
	const struct ipc_tunnel *id = &tunnel->ike->id;
	char remote[SP_ADDRESS_TEXT], inner[SP_ADDRESS_TEXT];
	const uint64_t now = now_ms();

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
	if (todo & CP_SAY_UP)
		sp_log(SP_LOG_INFO,
		       "supervisor: up environment=%s server=%s remote=%s inner=%s suite=%s udp=%s",
		       id->environment, id->server, sp_address_format(remote, state->remote_be),
		       sp_address_format(inner, state->inner_be), state->suite,
		       state->is_udp ? "yes" : "no");
}

static int set_peer(struct cp_supervisor *supervisor, const struct tunnel *tunnel,
                    uint32_t remote_be)
{
	const struct ipc_peer peer = {
		.id = tunnel->ike->id,
		.remote_be = remote_be,
		.ike_port_be = htons(tunnel->ike->server->ike_port),
		.natt_port_be = htons(tunnel->ike->server->natt_port),
	};

	return cp_dp_call(supervisor->dp, IPC_PEER_SET, &peer, sizeof(peer), NULL, 0);
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
                         uint32_t remote_be)
{
	const struct tunnel *tunnel = &supervisor->tunnels[index];
	struct cp_event failed = { .type = CP_EVENT_NOT_BEGUN };
	int rc = set_peer(supervisor, tunnel, remote_be);

	if (rc != 0)
		snprintf(failed.why, sizeof(failed.why),
		         "the dataplane did not take the server's address: %s", strerror(-rc));
	else if (todo & CP_DO_CONNECT)
		rc = cp_ike_config_initiate(&supervisor->ike, tunnel->ike, remote_be, failed.why);
	if (rc != 0)
		cp_event_queue_put(&supervisor->queue, index, &failed);
}

static void come_up(struct cp_supervisor *supervisor, struct tunnel *tunnel, uint32_t inner_be)
{
	set_tunnel(supervisor, tunnel, inner_be);
	if (!tunnel->up_ms)
		tunnel->up_ms = now_ms();
	tunnel->orphan_count = cp_orphans_count(&supervisor->orphans, &tunnel->ike->id);
}

static void perform(struct cp_supervisor *supervisor, size_t index, unsigned todo,
                    const struct cp_tunnel_state *state)
{
	struct tunnel *tunnel = &supervisor->tunnels[index];

	if (supervisor->ike.is_muted)
		return;
	say(tunnel, todo, state);
	if (todo & CP_DO_TERMINATE) {
		for (size_t i = 0; i < state->doomed_count; i++)
			cp_ike_terminate(state->doomed[i]);
	}
	if (todo & CP_DO_TERMINATE_LATE) {
		for (size_t i = 0; i < state->doomed_count; i++)
			cp_ike_terminate_late(state->doomed[i], TERMINATE_LATE_S);
	}
	if (todo & CP_DO_DOWN) {
		set_tunnel(supervisor, tunnel, 0);
		tunnel->up_ms = tunnel->switched_ms = 0;
	}
	if (todo & CP_DO_RESOLVE)
		cp_resolve(tunnel->ike->server->address, state->attempts - 1, index, on_resolved,
		           supervisor);
	if (todo & (CP_DO_PEER | CP_DO_CONNECT))
		connect_peer(supervisor, index, todo, state->remote_be);
	if (todo & CP_DO_REKEY) {
		for (size_t i = 0; i < state->child_count; i++)
			cp_ike_kernel_rekey(state->children[i].spi_be,
			                    supervisor->config->uplink.address_be);
	}
	if (todo & CP_DO_UP)
		come_up(supervisor, tunnel, state->inner_be);
}

static void step(struct cp_supervisor *supervisor, size_t index, const struct cp_event *event)
{
	struct cp_tunnel_state copy;
	unsigned todo;

	pthread_mutex_lock(&supervisor->lock);
	todo = cp_tunnel_state_step(&supervisor->tunnels[index].state, event, now_ms());
	copy = supervisor->tunnels[index].state;
	pthread_mutex_unlock(&supervisor->lock);
	if (todo)
		perform(supervisor, index, todo, &copy);
}

/* ---- the dataplane's SAs ---- */

static bool is_configured(void *context, const struct ipc_tunnel *id)
{
	const struct cp_supervisor *supervisor = context;

	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		if (memcmp(&supervisor->ike.tunnels[i].id, id, sizeof(*id)) == 0)
			return true;
	}
	return false;
}

static void read_orphans(struct cp_supervisor *supervisor)
{
	int rc = cp_orphans_read(&supervisor->orphans);

	if (rc != 0)
		sp_log(SP_LOG_WARN, "supervisor: the dataplane's SAs could not be read error=%s",
		       strerror(-rc));
	cp_orphans_drop_strangers(&supervisor->orphans, is_configured, supervisor);
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		struct cp_ike_tunnel *tunnel = &supervisor->ike.tunnels[i];
		uint32_t suite = cp_orphans_suite(&supervisor->orphans, &tunnel->id);

		if (suite)
			tunnel->suite = suite;
		pthread_mutex_lock(&supervisor->lock);
		supervisor->tunnels[i].was_carried = suite != 0;
		pthread_mutex_unlock(&supervisor->lock);
	}
	cp_ike_keepsake_read(&supervisor->ike);
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++)
		supervisor->tunnels[i].has_left_ike =
			cp_ike_keepsake_has(&supervisor->ike.tunnels[i]);
	pthread_mutex_lock(&supervisor->lock);
	supervisor->has_read = rc == 0;
	pthread_mutex_unlock(&supervisor->lock);
}

static const struct cp_server *server_of(const struct cp_supervisor *supervisor,
                                         const struct ipc_tunnel *id)
{
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		if (memcmp(&supervisor->ike.tunnels[i].id, id, sizeof(*id)) == 0)
			return supervisor->ike.tunnels[i].server;
	}
	return NULL;
}

static void rekey_if_used_up(void *context, const void *entry)
{
	struct cp_supervisor *supervisor = context;
	const struct ipc_sa_info *info = entry;
	const struct cp_server *server = server_of(supervisor, &info->tunnel);
	const bool is_expiring = info->flags & IPC_SA_EXPIRING;

	if (info->control_epoch != supervisor->orphans.epoch || !server)
		return;
	if (!is_expiring && !cp_rekey_limits_reached(&supervisor->limits, server, info))
		return;
	sp_log(SP_LOG_INFO, "supervisor: %s, rekeying environment=%s server=%s spi=%08x",
	       is_expiring ? "sequence numbers run out" : "an SA has carried its share",
	       info->tunnel.environment, info->tunnel.server, ntohl(info->id.spi_be));
	cp_ike_kernel_rekey(info->id.spi_be, info->id.destination_be);
}

/* When the dataplane says that something is with its SAs, and once a second if there are limits. */
static void look_at_sas(struct cp_supervisor *supervisor, bool have_changed)
{
	const uint64_t now = now_ms();

	if (supervisor->has_limits && now - supervisor->limits_ms >= CP_LIMITS_POLL_MS)
		have_changed = true;
	if (!have_changed)
		return;
	supervisor->limits_ms = now;
	cp_dp_list(supervisor->dp, IPC_SA_LIST, sizeof(struct ipc_sa_info), rekey_if_used_up,
	           supervisor);
}

/* ---- the dataplane's view of tunnels and environments ---- */

/* A server that does not answer inside its tunnel may have lost it in a restart: IKE finds that out
 * sooner when it asks now. */
static void ask_dead(struct cp_supervisor *supervisor, const struct cp_dp_picture *picture)
{
	const uint64_t now = now_ms();

	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		struct tunnel *tunnel = &supervisor->tunnels[i];
		const struct ipc_tunnel *id = &tunnel->ike->id;
		const struct ipc_tunnel_info *info =
			cp_dp_picture_tunnel(picture, id->environment, id->server);

		if (!info || !info->is_up || info->liveness != IPC_LIVENESS_DEAD) {
			tunnel->checked_ms = 0;
			continue;
		}
		if (tunnel->checked_ms && now - tunnel->checked_ms < DEAD_CHECK_MS)
			continue;
		tunnel->checked_ms = now;
		for (size_t k = 0; k < tunnel->state.ike_count; k++)
			cp_ike_check(tunnel->state.ikes[k]);
	}
}

/* When the next dead server is to be asked again; 0: there is none. */
static uint64_t next_check_ms(const struct cp_supervisor *supervisor)
{
	uint64_t next = 0;

	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		const uint64_t checked = supervisor->tunnels[i].checked_ms;

		if (checked && (!next || checked + DEAD_CHECK_MS < next))
			next = checked + DEAD_CHECK_MS;
	}
	return next;
}

static void look_at_moves(struct cp_supervisor *supervisor, bool have_changed)
{
	struct cp_dp_picture picture;
	struct cp_dp_state dp;
	uint64_t due_ns, check_ms;

	if (!have_changed && (!supervisor->moves_due_ms || now_ms() < supervisor->moves_due_ms))
		return;
	supervisor->moves_due_ms = 0;
	cp_dp_state(supervisor->dp, &dp);
	if (cp_dp_picture_take(supervisor->dp, &picture) == 0) {
		ask_dead(supervisor, &picture);
		due_ns = cp_moves_look(&supervisor->moves, supervisor->config, dp.epoch, &picture,
		                       now_ms() * 1000000);
		check_ms = next_check_ms(supervisor);
		supervisor->moves_due_ms = due_ns ? due_ns / 1000000 + 1 : 0;
		if (check_ms && (!due_ns || check_ms < supervisor->moves_due_ms))
			supervisor->moves_due_ms = check_ms;
	}
	cp_dp_picture_fini(&picture);
}

/* ---- whose turn it is ---- */

static size_t count_handshakes(const struct cp_supervisor *supervisor, uint32_t remote_be)
{
	size_t count = 0;

	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		const struct cp_tunnel_state *state = &supervisor->tunnels[i].state;

		count += state->is_negotiating && state->remote_be == remote_be;
	}
	return count;
}

static void admit(struct cp_supervisor *supervisor)
{
	static const struct cp_event admitted = { .type = CP_EVENT_ADMITTED };

	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		const struct cp_tunnel_state *state = &supervisor->tunnels[i].state;

		if (state->is_queued &&
		    count_handshakes(supervisor, state->remote_be) < HANDSHAKES_MAX)
			step(supervisor, i, &admitted);
	}
}

static void retire_orphans(struct cp_supervisor *supervisor)
{
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		struct tunnel *tunnel = &supervisor->tunnels[i];

		if (tunnel->orphan_count && tunnel->up_ms && tunnel->state.child_count)
			tunnel->orphan_count =
				cp_orphans_retire(&supervisor->orphans, &tunnel->ike->id,
			                          tunnel->state.children[0].spi_be,
			                          supervisor->config->uplink.address_be,
			                          tunnel->up_ms, &tunnel->switched_ms, now_ms());
		/* together with the SAs, or as late as they would have gone */
		if (tunnel->has_left_ike && tunnel->up_ms && !tunnel->orphan_count &&
		    now_ms() - tunnel->up_ms >= CP_ORPHANS_GRACE_MS) {
			cp_ike_keepsake_retire(&supervisor->ike, tunnel->ike);
			tunnel->has_left_ike = false;
		}
	}
}

/* ---- the thread ---- */

/* When something is due without an event. */
static uint64_t next_deadline_ms(const struct cp_supervisor *supervisor, uint64_t now)
{
	uint64_t deadline = now + (supervisor->has_limits ? CP_LIMITS_POLL_MS : 3600 * 1000);

	if (supervisor->moves_due_ms && supervisor->moves_due_ms < deadline)
		deadline = supervisor->moves_due_ms;
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

static void handle(struct cp_supervisor *supervisor, const struct cp_queued *item)
{
	static const struct cp_event overtaken = { .type = CP_EVENT_OVERTAKEN };
	const bool is_ready = item->event.type == CP_EVENT_READY;

	if (item->tunnel != CP_ALL_TUNNELS) {
		step(supervisor, item->tunnel, &item->event);
		return;
	}
	if (item->event.type != CP_EVENT_LOST)
		read_orphans(supervisor);
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		struct tunnel *tunnel = &supervisor->tunnels[i];

		if (is_ready && was_overtaken(supervisor, tunnel)) {
			tunnel->up_ms = tunnel->switched_ms = 0;
			step(supervisor, i, &overtaken);
		} else {
			step(supervisor, i, &item->event);
		}
	}
	if (item->event.type != CP_EVENT_LOST)
		supervisor->was_aside = false;
}

/* Called with the lock held. */
static void stand_aside(struct cp_supervisor *supervisor)
{
	pthread_mutex_unlock(&supervisor->lock);
	cp_ike_freeze();
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
}

static void *run(void *argument)
{
	static const struct cp_event time_passed = { .type = CP_EVENT_TIME };
	struct cp_supervisor *supervisor = argument;

	for (;;) {
		bool is_rung;
		uint64_t changed;
		struct cp_queued *item = cp_event_queue_take(
			&supervisor->queue, next_deadline_ms(supervisor, now_ms()), &is_rung);

		pthread_mutex_lock(&supervisor->lock);
		if (supervisor->is_leaving)
			stand_aside(supervisor);
		pthread_mutex_unlock(&supervisor->lock);
		if (item)
			handle(supervisor, item);
		free(item);
		if (supervisor->ike.is_muted)
			continue;
		changed = atomic_exchange(&supervisor->changed, 0);
		look_at_sas(supervisor, changed & IPC_CHANGED_SAS);
		look_at_moves(supervisor, changed & IPC_CHANGED_TUNNELS);
		for (size_t i = 0; i < supervisor->ike.tunnel_count; i++)
			step(supervisor, i, &time_passed);
		admit(supervisor);
		retire_orphans(supervisor);
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
	new->config = config;
	new->dp = dp;
	cp_event_queue_init(&new->queue);
	new->ike = (struct cp_ike){
		.config = config, .dp = dp, .report = on_ike_event, .context = new
	};
	cp_orphans_init(&new->orphans, dp, epoch);
	cp_moves_init(&new->moves, dp);
	new->has_limits = cp_rekey_limits_any(config);
	if (cp_ike_tunnels_init(&new->ike) != 0)
		goto err;
	new->tunnels =
		calloc(new->ike.tunnel_count ? new->ike.tunnel_count : 1, sizeof(*new->tunnels));
	if (!new->tunnels)
		goto err;
	for (size_t i = 0; i < new->ike.tunnel_count; i++) {
		new->tunnels[i].ike = &new->ike.tunnels[i];
		cp_tunnel_state_init(&new->tunnels[i].state, new->ike.tunnels[i].server,
		                     (uint32_t)(epoch >> 32) + (uint32_t)i, now_ms());
	}
	pthread_mutex_init(&new->lock, NULL);
	pthread_cond_init(&new->moved, NULL);
	*supervisor = new;
	return 0;

err:
	free(new->ike.tunnels);
	free(new);
	return -ENOMEM;
}

int cp_supervisor_start(struct cp_supervisor *supervisor)
{
	int rc = cp_ike_start(&supervisor->ike);

	return rc != 0 ? rc : -pthread_create(&supervisor->thread, NULL, run, supervisor);
}

int cp_supervisor_connect(struct cp_supervisor *supervisor)
{
	const struct cp_dp_callbacks callbacks = {
		.ready = on_dp_ready,
		.lost = on_dp_lost,
		.changed = on_dp_changed,
		.datagram = on_dp_datagram,
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

bool cp_supervisor_progress(struct cp_supervisor *supervisor, struct cp_progress *progress)
{
	bool has_read;

	*progress = (struct cp_progress){ 0 };
	pthread_mutex_lock(&supervisor->lock);
	has_read = supervisor->has_read;
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++) {
		const struct tunnel *tunnel = &supervisor->tunnels[i];
		const struct cp_tunnel_state *state = &tunnel->state;

		if (!tunnel->was_carried)
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

void cp_supervisor_mute(struct cp_supervisor *supervisor)
{
	cp_ike_mute(&supervisor->ike);
}

static void fill_view(const struct tunnel *tunnel, struct cp_tunnel_view *view)
{
	const struct cp_tunnel_state *state = &tunnel->state;
	const uint64_t now = now_ms();
	const uint64_t now_s = (uint64_t)time(NULL);

	*view = (struct cp_tunnel_view){
		.id = tunnel->ike->id,
		.protocol = "ipsec",
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
	};
	memcpy(view->zone, tunnel->ike->server->zone, sizeof(view->zone));
	snprintf(view->server_address, sizeof(view->server_address), "%s",
	         tunnel->ike->server->address);
	snprintf(view->why, sizeof(view->why), "%s", state->why);
	if (state->phase == CP_TUNNEL_UP) {
		snprintf(view->suite, sizeof(view->suite), "%s", state->suite);
		snprintf(view->limits, sizeof(view->limits), "%s", state->limits);
	}
}

size_t cp_supervisor_tunnels(struct cp_supervisor *supervisor, struct cp_tunnel_view *views,
                             size_t max)
{
	const size_t count = supervisor->ike.tunnel_count;

	pthread_mutex_lock(&supervisor->lock);
	for (size_t i = 0; i < count && i < max; i++)
		fill_view(&supervisor->tunnels[i], &views[i]);
	pthread_mutex_unlock(&supervisor->lock);
	return count;
}
