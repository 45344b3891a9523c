/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One login at an OpenVPN server: a session, its data keys in the dataplane, and what the
 * supervisor is told of it.
 */
#include "controlplane/ovpn_login.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "controlplane/ovpn_material.h"
#include "controlplane/ovpn_push.h"
#include "controlplane/ovpn_resume.h"
#include "controlplane/ovpn_settings.h"

#define TOLD_A_MINUTE 10u   /* of what a server says: lines of the log */
#define KEY_SPARE_S 60u     /* beyond which nobody needs a key */
#define POLL_MIN_MS 1000u   /* between looks at keys in use */
#define FIRST_LOOK_MS 200u  /* while the first packet under a new key is waited for */
#define ASK_AGAIN_MS 10000u /* new keys cost a handshake */
#define UNANSWERED_MS 2500u
#define SILENT_MS 10000u

/* What of a login is left to a successor. */
struct kept {
	uint32_t remote_be;
	uint16_t remote_port_be;
	uint16_t local_port_be;
	uint64_t who; /* we are at the server */
	/* what is before has to be the same */
	uint32_t at_be; /* where the server is by now */
	uint16_t at_port_be;
	uint16_t pad;
	uint8_t session[IPC_KEEPSAKE_MAX - 24];
};
_Static_assert(sizeof(struct kept) == IPC_KEEPSAKE_MAX, "kept");

/* ---- what the supervisor is told ---- */

static void report(const struct cp_ovpn_login *login, struct cp_event *event)
{
	event->ike_id = login->number;
	cp_ike_report(login->ike, login->tunnel, event);
}

static void report_type(const struct cp_ovpn_login *login, enum cp_event_type type)
{
	struct cp_event event = { .type = type };

	report(login, &event);
}

/* The server is elsewhere than where this login was begun. */
static bool has_floated(const struct cp_ovpn_login *login)
{
	const struct cp_ovpn_path *path = &login->leases.path;

	return path->remote_be != login->remote_be || path->remote_port_be != login->remote_port_be;
}

/* A key is sent with: the login is up, or has new keys. */
static void report_key(struct cp_ovpn_login *login, const struct cp_ovpn_lease *lease)
{
	struct cp_event event = {
		.type = login->child ? CP_EVENT_CHILD_REKEYED : CP_EVENT_CHILD_UP,
		.child_id = lease->child,
		.old_child_id = login->child,
		.spi_be = lease->spi_be,
		.inner_be = login->inner_be,
		.remote_be = login->leases.path.remote_be,
		.remote_port_be = has_floated(login) ? login->leases.path.remote_port_be : 0,
		.range_count = login->range_count,
		.told = login->told,
	};

	snprintf(event.suite, sizeof(event.suite), "%s", lease->cipher);
	memcpy(event.ranges, login->ranges, sizeof(event.ranges));
	login->child = lease->child;
	report(login, &event);
}

/* Nothing is left of it. */
static void report_end(struct cp_ovpn_login *login)
{
	struct cp_event down = { .type = CP_EVENT_CHILD_DOWN, .child_id = login->child };

	if (login->child)
		report(login, &down);
	login->child = 0;
	report_type(login, CP_EVENT_IKE_GONE);
}

/* Its packets come from elsewhere, and are authentic: the dataplane sends there already, and the
 * control channel follows. */
static void follow(const struct cp_ovpn_login *login)
{
	struct cp_event event = { .type = CP_EVENT_FLOATED,
		                  .remote_be = login->leases.path.remote_be,
		                  .remote_port_be = login->leases.path.remote_port_be };

	report(login, &event);
}

/* ---- what the session wants ---- */

static void on_send(void *context, const uint8_t *packet, size_t length)
{
	const struct cp_ovpn_login *login = context;
	const struct cp_ovpn_path *path = &login->leases.path;
	const struct ipc_punt punt = {
		.source_be = path->local_be,
		.destination_be = path->remote_be,
		.source_port_be = path->local_port_be,
		.destination_port_be = path->remote_port_be,
		.length = (uint32_t)length,
	};
	int rc = 0;

	if (login->streams && !login->ike->is_muted)
		rc = cp_ovpn_streams_send(login->streams, login->number, packet, length);
	else if (!login->ike->is_muted)
		rc = cp_dp_send_datagram(login->ike->dp, &punt, packet);

	if (rc != 0) /* as good as lost on the way: it is sent again */
		sp_log(SP_LOG_DEBUG, "ovpn: a packet was not sent error=%s", strerror(-rc));
}

static void tell_of(const struct cp_ovpn_push *push, struct cp_told *told)
{
	_Static_assert(CP_OVPN_DNS_MAX <= CP_DNS_MAX, "name servers");
	*told = (struct cp_told){ .dns_count = push->dns_count };
	memcpy(told->dns_be, push->dns_be, push->dns_count * sizeof(push->dns_be[0]));
	if (push->has_lzo)
		snprintf(told->notice, sizeof(told->notice),
		         "the server may compress with LZO, which is not read: such packets are "
		         "dropped (drop/openvpn-compressed); ask for `comp-lzo no` there");
}

static void on_up(void *context, const struct cp_ovpn_push *push)
{
	struct cp_ovpn_login *login = context;
	const uint64_t restart_ms = push->ping_restart_s * UINT64_C(1000);

	login->inner_be = push->local_be;
	login->range_count = cp_ovpn_push_ranges(push, login->ranges, CP_RANGES_MAX);
	login->leases.path.ping_s = push->ping_s < UINT16_MAX ? (uint16_t)push->ping_s : UINT16_MAX;
	login->poll_ms = restart_ms ? restart_ms / 8 : 0;
	if (login->poll_ms && login->poll_ms < POLL_MIN_MS)
		login->poll_ms = POLL_MIN_MS;
	tell_of(push, &login->told);
	if (login->told.notice[0])
		sp_log(SP_LOG_WARN, "ovpn: %s tunnel=%s", login->told.notice, login->tunnel->name);
	if (push->ignored[0])
		sp_log(SP_LOG_INFO, "ovpn: ignored what the server pushed tunnel=%s options=\"%s\"",
		       login->tunnel->name, push->ignored);
}

static void use_key(struct cp_ovpn_login *login, uint8_t key_id);

static void on_key(void *context, const struct cp_ovpn_key *key)
{
	struct cp_ovpn_login *login = context;
	struct cp_ovpn_lease *lease;

	if (cp_ovpn_leases_add(&login->leases, key, (*login->next_child)++ | 0x80000000u, &lease,
	                       login->broken) != 0)
		login->is_broken = true;
	login->look_ms = 0;
	login->is_unsaved = true;
	login->is_unrenewed = false;
	if (login->has_lost_keys) { /* there is nothing else to send with */
		login->has_lost_keys = false;
		login->is_renewed_twice = true;
		use_key(login, key->key_id);
	}
}

static void on_use(void *context, uint8_t key_id)
{
	use_key(context, key_id);
}

static void use_key(struct cp_ovpn_login *login, uint8_t key_id)
{
	struct cp_ovpn_lease *lease = cp_ovpn_leases_find(&login->leases, key_id);

	if (!lease || lease->is_sending)
		return;
	if (cp_ovpn_leases_use(&login->leases, lease) == 0) {
		report_key(login, lease);
		return;
	}
	login->is_broken = true;
	snprintf(login->broken, sizeof(login->broken), "the dataplane did not take a data key");
}

static void on_forget(void *context, uint8_t key_id)
{
	struct cp_ovpn_login *login = context;
	struct cp_ovpn_lease *lease = cp_ovpn_leases_find(&login->leases, key_id);

	if (lease)
		cp_ovpn_leases_remove(&login->leases, lease);
}

static void on_unrenewed(void *context, const char *why)
{
	struct cp_ovpn_login *login = context;
	struct cp_event event = { .type = CP_EVENT_UNRENEWED };

	if (login->has_lost_keys) { /* there is none to go on with */
		login->is_broken = true;
		snprintf(login->broken, sizeof(login->broken), "%s", why);
		return;
	}
	login->is_unrenewed = true;
	login->look_ms = 0;
	sp_log(SP_LOG_WARN, "ovpn: no new keys, the old one goes on tunnel=%s why=\"%s\"",
	       login->tunnel->name, why);
	snprintf(event.why, sizeof(event.why), "%s", why);
	report(login, &event);
}

static void on_stuck(void *context)
{
	report_type(context, CP_EVENT_UNSURE);
}

static void on_send_exit(void *context)
{
	const struct cp_ovpn_login *login = context;

	/* a server that knows no EXIT finds out by its own ping-restart */
	sp_log(SP_LOG_DEBUG, "ovpn: the server is not told of the end tunnel=%s",
	       login->tunnel->name);
}

/* A server says what it likes, as often as it likes. */
static void on_tell(void *context, const char *text)
{
	struct cp_ovpn_login *login = context;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((uint64_t)now.tv_sec - login->said_s >= 60) {
		login->said_s = (uint64_t)now.tv_sec;
		login->said = 0;
	}
	if (login->said++ >= TOLD_A_MINUTE)
		return;
	sp_log(SP_LOG_INFO, "ovpn: tunnel=%s %s", login->tunnel->name, text);
}

static void on_ended(void *context, const struct cp_ovpn_end *end)
{
	struct cp_ovpn_login *login = context;
	const struct cp_server *server = login->tunnel->server;
	struct cp_event reason = { .type = CP_EVENT_REASON,
		                   .rank = end->rank,
		                   .pause_s = end->pause_s };

	if (login->makes_way)
		return;
	if (end->next == CP_OVPN_NEVER && reason.pause_s < server->retry_max_s)
		reason.pause_s = server->retry_max_s;
	snprintf(reason.why, sizeof(reason.why), "%s", end->why);
	report(login, &reason);
	login->is_over = true;
	login->is_unsaved = true;
}

static const struct cp_ovpn_calls calls = {
	.send = on_send,
	.up = on_up,
	.key = on_key,
	.use = on_use,
	.forget = on_forget,
	.unrenewed = on_unrenewed,
	.stuck = on_stuck,
	.send_exit = on_send_exit,
	.tell = on_tell,
	.ended = on_ended,
};

/* ---- what a successor needs ---- */

/* FNV-1a: as whom we log in. */
static uint64_t who_of(const struct cp_server *server)
{
	uint64_t hash = 14695981039346656037u ^ server->openvpn->certificate_hash;

	for (const char *c = server->account; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 1099511628211u;
	return (hash ^ (uint64_t)server->openvpn->wrapping) * 1099511628211u;
}

static void describe(const struct cp_ovpn_login *login, struct kept *kept)
{
	const struct cp_ovpn_path *path = &login->leases.path;

	kept->remote_be = login->remote_be;
	kept->remote_port_be = login->remote_port_be;
	kept->local_port_be = path->local_port_be;
	kept->who = who_of(login->tunnel->server);
	kept->at_be = path->remote_be;
	kept->at_port_be = path->remote_port_be;
}

/* Leaves it with the dataplane; an empty one while there is nothing to go on with. */
static void save(struct cp_ovpn_login *login)
{
	struct ipc_keepsake keepsake = { .id = login->tunnel->id };
	struct kept *kept = (struct kept *)(void *)keepsake.data;
	size_t length =
		login->session && !login->streams
			? cp_ovpn_session_save(login->session, kept->session, sizeof(kept->session))
			: 0;
	int rc;

	login->is_unsaved = false;
	login->saved_tokens = login->session ? cp_ovpn_session_token_count(login->session) : 0;
	if (length) {
		describe(login, kept);
		keepsake.length = (uint32_t)(offsetof(struct kept, session) + length);
	}
	rc = cp_dp_call(login->ike->dp, IPC_KEEPSAKE_SET, &keepsake, sizeof(keepsake), NULL, 0);
	sp_wipe(&keepsake, sizeof(keepsake));
	if (rc != 0)
		sp_log(SP_LOG_DEBUG, "ovpn: no keepsake tunnel=%s error=%s", login->tunnel->name,
		       strerror(-rc));
}

/* Whether it goes on with the session of a predecessor. */
static bool resume(struct cp_ovpn_login *login, uint64_t now_ms)
{
	const size_t head = offsetof(struct kept, session);
	struct cp_ovpn_path *path = &login->leases.path;
	struct ipc_keepsake keepsake;
	const struct kept *kept = (const struct kept *)(const void *)keepsake.data;
	struct kept ours = { 0 };
	int rc = cp_dp_call(login->ike->dp, IPC_KEEPSAKE_GET, &login->tunnel->id,
	                    sizeof(login->tunnel->id), &keepsake, sizeof(keepsake));

	describe(login, &ours);
	if (rc == 0 &&
	    (keepsake.length < head || memcmp(kept, &ours, offsetof(struct kept, at_be)) != 0 ||
	     !kept->at_be || !kept->at_port_be))
		rc = -ENOENT;
	if (rc == 0) {
		path->remote_be = kept->at_be;
		path->remote_port_be = kept->at_port_be;
		rc = cp_ovpn_session_resume(login->session, kept->session, keepsake.length - head,
		                            now_ms);
	}
	sp_wipe(&keepsake, sizeof(keepsake));
	if (rc != 0) { /* the next one begins where it was looked up */
		path->remote_be = login->remote_be;
		path->remote_port_be = login->remote_port_be;
		return false;
	}
	sp_log(SP_LOG_INFO, "ovpn: going on with the session of a predecessor tunnel=%s",
	       login->tunnel->name);
	if (has_floated(login))
		follow(login);
	return true;
}

/* ---- over TCP ---- */

static int connect_stream(struct cp_ovpn_login *login, uint64_t now_ms, char why[CP_WHY_LEN])
{
	const struct cp_ovpn_settings *settings = login->tunnel->server->openvpn;
	struct cp_ovpn_path *path = &login->leases.path;
	const struct ipc_punt from = { .source_be = path->remote_be,
		                       .destination_be = path->local_be,
		                       .source_port_be = path->remote_port_be,
		                       .destination_port_be = path->local_port_be };
	int rc;

	login->flow = (struct ipc_flow){ .remote_be = path->remote_be,
		                         .remote_port_be = path->remote_port_be };
	rc = cp_dp_open_flow(login->ike->dp, &login->flow);
	if (rc >= 0) {
		rc = cp_ovpn_streams_connect(login->streams, login->number, rc, &from,
		                             login->flow.local_port_be);
		if (rc != 0)
			cp_dp_close_flow(login->ike->dp, &login->flow);
	}
	if (rc != 0) {
		snprintf(why, CP_WHY_LEN, "the TCP connection could not be made: %s",
		         strerror(-rc));
		return rc;
	}
	path->stream_port_be = login->flow.local_port_be;
	login->connect_ms = now_ms + settings->connect_timeout_s * UINT64_C(1000);
	return 0;
}

static void close_stream(struct cp_ovpn_login *login)
{
	if (!login->streams)
		return;
	cp_ovpn_streams_close(login->streams, login->number);
	cp_dp_close_flow(login->ike->dp, &login->flow);
	login->streams = NULL;
}

/* ---- its life ---- */

/* After anything that may have ended it. */
static void settle(struct cp_ovpn_login *login)
{
	if (login->is_broken && !login->is_over) {
		struct cp_event reason = { .type = CP_EVENT_REASON, .rank = CP_RANK_EXACT };

		memcpy(reason.why, login->broken, sizeof(reason.why));
		report(login, &reason);
		login->is_over = true;
	}
	if (!login->is_over) {
		/* a token that was renewed comes behind its key */
		if (login->is_unsaved ||
		    cp_ovpn_session_token_count(login->session) != login->saved_tokens)
			save(login);
		return;
	}
	if (!login->session)
		return;
	cp_ovpn_leases_remove_all(&login->leases);
	close_stream(login);
	report_end(login);
	cp_ovpn_session_destroy(login->session);
	login->session = NULL;
	if (login->is_unsaved)
		save(login);
}

/* A key lives until the next one has long taken its place, or that long after everybody went
 * silent.
 */
static uint32_t key_seconds(const struct cp_ovpn_settings *settings)
{
	return cp_ovpn_renew_s(settings) + settings->tran_window_s + KEY_SPARE_S;
}

struct cp_ovpn_login *cp_ovpn_login_create(const struct cp_ike *ike,
                                           const struct cp_ike_tunnel *tunnel, unsigned remote,
                                           uint32_t remote_be, uint32_t number,
                                           struct cp_ike_sas *known, _Atomic uint32_t *next_child,
                                           struct sp_secret *token, struct cp_ovpn_streams *streams,
                                           enum cp_ovpn_beginning beginning, uint64_t now_ms,
                                           char why[CP_WHY_LEN])
{
	const struct cp_server *server = tunnel->server;
	const struct cp_ovpn_settings *settings = server->openvpn;
	struct cp_ovpn_link link = { .is_tcp = false };
	struct cp_ovpn_material material = { 0 };
	struct cp_ovpn_login *login;

	if (!settings || remote >= settings->remote_count) {
		snprintf(why, CP_WHY_LEN, "its settings have just changed");
		return NULL;
	}
	link.is_tcp = settings->remotes[remote].transport == IPPROTO_TCP;
	if (cp_ovpn_material_load(server, &material, why) != 0)
		return NULL;
	login = calloc(1, sizeof(*login));
	if (!login) {
		snprintf(why, CP_WHY_LEN, "no memory");
		goto err_material;
	}
	*login = (struct cp_ovpn_login){
		.number = number,
		.ike = ike,
		.tunnel = tunnel,
		.remote_be = remote_be,
		.remote_port_be = htons(settings->remotes[remote].port),
		.next_child = next_child,
		.streams = link.is_tcp ? streams : NULL,
		.connect_ms = UINT64_MAX,
		.look_ms = UINT64_MAX,
		.end_ms = UINT64_MAX,
		.leases = { .dp = ike->dp,
		            .known = known,
		            .tunnel = (size_t)(tunnel - ike->tunnels),
		            .path = { .tunnel = tunnel->id,
		                      .local_be = ike->config->uplink.address_be,
		                      .remote_be = remote_be,
		                      .local_port_be = htons(settings->own_port),
		                      .remote_port_be = htons(settings->remotes[remote].port),
		                      .replay_window = ike->config->replay_window,
		                      .hard_seconds = key_seconds(settings) } },
	};
	login->session = cp_ovpn_session_create(settings, &material, &link, token,
	                                        (uint32_t)time(NULL), &calls, login, why);
	if (!login->session)
		goto err_login;
	/* what was dropped counts from a tunnel's first login on, and while it goes by TCP */
	if (!login->streams || beginning == CP_OVPN_GO_ON)
		cp_ovpn_streams_forget(streams, login->leases.path.local_port_be);
	if (login->streams && connect_stream(login, now_ms, why) != 0)
		goto err_session;
	cp_ovpn_material_wipe(&material);
	report_type(login, CP_EVENT_IKE_BEGUN);
	if (!login->streams && (beginning == CP_OVPN_ANEW || !resume(login, now_ms)))
		cp_ovpn_session_start(login->session, now_ms);
	settle(login);
	return login;

err_session:
	cp_ovpn_session_destroy(login->session);
err_login:
	free(login);
err_material:
	cp_ovpn_material_wipe(&material);
	return NULL;
}

void cp_ovpn_login_destroy(struct cp_ovpn_login *login)
{
	if (!login)
		return;
	cp_ovpn_leases_forget(&login->leases);
	close_stream(login);
	cp_ovpn_session_destroy(login->session);
	free(login);
}

bool cp_ovpn_login_matches(const struct cp_ovpn_login *login, const struct ipc_punt *punt)
{
	const struct cp_ovpn_path *path = &login->leases.path;

	return !login->is_over && !login->streams && punt->source_be == path->remote_be &&
	       punt->source_port_be == path->remote_port_be &&
	       punt->destination_port_be == path->local_port_be;
}

static bool is_connecting(const struct cp_ovpn_login *login)
{
	return login->connect_ms != UINT64_MAX;
}

void cp_ovpn_login_connected(struct cp_ovpn_login *login, uint64_t now_ms)
{
	if (login->is_over || !is_connecting(login))
		return;
	login->connect_ms = UINT64_MAX;
	cp_ovpn_session_start(login->session, now_ms);
	settle(login);
}

void cp_ovpn_login_broken(struct cp_ovpn_login *login, const char *why)
{
	struct cp_event reason = { .type = CP_EVENT_REASON, .rank = CP_RANK_VAGUE };

	if (login->is_over)
		return;
	snprintf(reason.why, sizeof(reason.why), "%s", why);
	report(login, &reason);
	login->is_over = true;
	settle(login);
}

void cp_ovpn_login_receive(struct cp_ovpn_login *login, const uint8_t *packet, size_t length,
                           uint64_t now_ms)
{
	cp_ovpn_session_receive(login->session, packet, length, now_ms);
	/* anybody may write the server's address on a packet: only what is authentic is an answer
	 */
	if (login->asked_ms && cp_ovpn_session_heard_ms(login->session) >= login->asked_ms) {
		login->asked_ms = 0;
		login->is_unanswered = false;
		report_type(login, CP_EVENT_ANSWERED);
	}
	settle(login);
}

/* ---- what becomes of its keys ---- */

/* The server said in the data channel that it ends. */
static void end_as_told(struct cp_ovpn_login *login)
{
	struct cp_event reason = { .type = CP_EVENT_REASON, .rank = CP_RANK_NOTIFY };

	if (login->makes_way)
		return;
	snprintf(reason.why, sizeof(reason.why), "the server took leave");
	report(login, &reason);
	login->is_over = true;
	login->is_unsaved = true;
}

/* Everything that a look tells is passed on: the next one does not tell it again. */
static void look_at_key(struct cp_ovpn_login *login, struct cp_ovpn_lease *lease, uint64_t now_ms)
{
	const struct cp_ovpn_path before = login->leases.path;
	const struct cp_ovpn_path *path = &login->leases.path;
	const uint8_t key_id = lease->key_id;

	if (cp_ovpn_leases_look(&login->leases, lease))
		cp_ovpn_session_heard(login->session, key_id, now_ms);
	if (path->remote_be == before.remote_be && path->remote_port_be == before.remote_port_be)
		return;
	follow(login);
	login->is_unsaved = true; /* a successor goes there, too */
}

static void look_at_keys(struct cp_ovpn_login *login, uint64_t now_ms)
{
	uint64_t next_ms = login->poll_ms ? now_ms + login->poll_ms : UINT64_MAX;

	if (login->is_unrenewed)
		next_ms = now_ms + POLL_MIN_MS;

	for (size_t i = 0; i < CP_OVPN_LEASES_MAX && !login->is_over; i++) {
		struct cp_ovpn_lease *lease = &login->leases.keys[i];

		if (!lease->spi_be)
			continue;
		look_at_key(login, lease, now_ms);
		if (lease->is_exited && !login->is_over)
			end_as_told(login);
		if (lease->spi_be && !lease->is_heard && now_ms + FIRST_LOOK_MS < next_ms)
			next_ms = now_ms + FIRST_LOOK_MS;
		if (login->is_unrenewed && cp_ovpn_leases_is_spent(&login->leases, lease)) {
			login->is_broken = true;
			snprintf(login->broken, sizeof(login->broken),
			         "no new keys came before the old one had no numbers left");
		}
	}
	login->look_ms = next_ms;
}

/* The server leaves what it was asked unanswered. */
static void doubt(struct cp_ovpn_login *login, uint64_t now_ms)
{
	if (!login->asked_ms)
		return;
	if (now_ms - login->asked_ms >= SILENT_MS) {
		login->asked_ms = 0;
		login->is_unanswered = false;
		report_type(login, CP_EVENT_SILENT);
	} else if (!login->is_unanswered && now_ms - login->asked_ms >= UNANSWERED_MS) {
		login->is_unanswered = true;
		report_type(login, CP_EVENT_UNANSWERED);
	}
}

void cp_ovpn_login_tick(struct cp_ovpn_login *login, bool have_keys_changed, uint64_t now_ms)
{
	if (now_ms >= login->end_ms)
		cp_ovpn_login_end(login);
	if (!login->is_over && now_ms >= login->connect_ms)
		cp_ovpn_login_broken(login,
		                     "no answer: the TCP connection could not be made in time");
	if (login->is_over || is_connecting(login))
		return;
	if (have_keys_changed || now_ms >= login->look_ms)
		look_at_keys(login, now_ms);
	if (!login->is_over && now_ms >= cp_ovpn_session_deadline_ms(login->session))
		cp_ovpn_session_tick(login->session, now_ms);
	doubt(login, now_ms);
	if (login->is_renewed_twice && !login->is_over) {
		login->is_renewed_twice = false;
		cp_ovpn_session_renegotiate(login->session, now_ms);
	}
	settle(login);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t cp_ovpn_login_deadline_ms(const struct cp_ovpn_login *login)
{
	uint64_t deadline = sooner(login->look_ms, login->end_ms);

	if (login->is_over)
		return 0;
	if (is_connecting(login))
		return sooner(deadline, login->connect_ms);
	if (login->asked_ms)
		deadline =
			sooner(deadline, login->asked_ms + (login->is_unanswered ? SILENT_MS
		                                                                 : UNANSWERED_MS));
	return sooner(deadline, cp_ovpn_session_deadline_ms(login->session));
}

void cp_ovpn_login_end(struct cp_ovpn_login *login)
{
	login->is_over = true;
	settle(login);
}

bool cp_ovpn_login_make_way(struct cp_ovpn_login *login, unsigned seconds, uint64_t now_ms)
{
	if (login->is_over || !login->child || login->is_unanswered || login->is_unrenewed)
		return false;
	if (!login->makes_way) {
		login->makes_way = true;
		login->end_ms = now_ms + seconds * UINT64_C(1000);
		cp_ovpn_session_stop(login->session, now_ms);
		settle(login);
	}
	return true;
}

void cp_ovpn_login_leave(struct cp_ovpn_login *login, uint64_t now_ms)
{
	if (login->is_over)
		return;
	if (is_connecting(login)) {
		cp_ovpn_login_end(login);
		return;
	}
	cp_ovpn_session_stop(login->session, now_ms);
	settle(login);
}

void cp_ovpn_login_rekey(struct cp_ovpn_login *login, struct cp_ovpn_lease *lease, uint64_t now_ms)
{
	if (login->is_over)
		return;
	look_at_key(login, lease, now_ms);
	if (!lease->spi_be && login->streams) {
		cp_ovpn_login_broken(login, "the TCP connection ended with the dataplane");
		return;
	}
	login->has_lost_keys |= !lease->spi_be;
	cp_ovpn_session_renegotiate(login->session, now_ms);
	settle(login);
}

void cp_ovpn_login_ask(struct cp_ovpn_login *login, uint64_t now_ms)
{
	if (login->is_over || is_connecting(login) || login->asked_ms ||
	    (login->renewed_ms && now_ms - login->renewed_ms < ASK_AGAIN_MS))
		return;
	/* nothing comes of a dead control channel, so only data can speak for the server */
	if (cp_ovpn_session_renegotiate(login->session, now_ms) || login->is_unrenewed)
		login->asked_ms = login->renewed_ms = now_ms;
	settle(login);
}
