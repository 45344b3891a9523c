/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN's thread: it has all logins and does what the supervisor orders.
 */
#include "controlplane/ovpn_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/secret.h"
#include "controlplane/ovpn_inbox.h"
#include "controlplane/ovpn_login.h"
#include "controlplane/ovpn_packet.h"
#include "controlplane/ovpn_settings.h"
#include "controlplane/ovpn_stream.h"
#include "controlplane/protocol.h"

#define LONG_MS 3600000u
/* A stock server that was told of a session's end forgets it 5 to 6 s later, and carries its data
 * until then. Before that, a new session from our port would be the old client to it, with the old
 * cipher and account. */
#define FORGOTTEN_MS 6500u
#define MAKE_WAY_S 15u

/* What a server gave in place of a password. */
struct token {
	struct sp_secret *secret;
	struct ipc_tunnel tunnel;       /* places are given to others */
	const struct cp_server *server; /* with whose settings; to be compared only */
	bool is_known;                  /* there was a login of ours */
};

struct cp_ovpn_client {
	struct cp_ike *ike;
	struct cp_ovpn_inbox inbox;
	struct cp_ike_sas known; /* the SAs that the dataplane acknowledged */
	struct cp_ovpn_streams *streams;
	_Atomic uint32_t next_login;
	_Atomic uint32_t next_child;
	pthread_t thread;

	/* the thread's own */
	struct cp_ovpn_login *logins;
	struct cp_ovpn_order *waiting; /* CONNECT, until the server has forgotten a session */
	struct token tokens[CP_IKE_TUNNELS_MAX];
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- orders ---- */

static struct cp_ovpn_login *find(const struct cp_ovpn_client *client, uint32_t number)
{
	struct cp_ovpn_login *login = client->logins;

	while (login && login->number != number)
		login = login->next;
	return login;
}

static struct token *token_of(struct cp_ovpn_client *client, size_t tunnel)
{
	const struct ipc_tunnel *id = &client->ike->tunnels[tunnel].id;
	struct token *token = &client->tokens[tunnel];

	if (!token->secret || memcmp(&token->tunnel, id, sizeof(*id)) != 0) {
		sp_secret_destroy(token->secret);
		*token = (struct token){ .secret = sp_secret_create(), .tunnel = *id };
	}
	/* other settings: it may be another account, or another server that must not see it */
	if (token->secret && token->server != client->ike->tunnels[tunnel].server) {
		sp_wipe(token->secret->data, token->secret->length);
		token->secret->length = 0;
		token->server = client->ike->tunnels[tunnel].server;
	}
	return token;
}

static void begin_login(struct cp_ovpn_client *client, const struct cp_ovpn_order *order)
{
	struct cp_event failed = { .type = CP_EVENT_NOT_BEGUN, .why = "no memory" };
	const struct cp_ike_tunnel *tunnel = &client->ike->tunnels[order->tunnel];
	struct token *token = token_of(client, order->tunnel);
	const enum cp_ovpn_beginning beginning = token->is_known ? CP_OVPN_ANEW : CP_OVPN_GO_ON;
	struct cp_ovpn_login *login = NULL;

	token->is_known = true;
	if (token->secret)
		login = cp_ovpn_login_create(client->ike, tunnel, order->remote, order->remote_be,
		                             order->number, &client->known, &client->next_child,
		                             token->secret, client->streams, beginning, now_ms(),
		                             failed.why);
	if (!login) {
		cp_ike_report(client->ike, tunnel, &failed);
		return;
	}
	login->next = client->logins;
	client->logins = login;
}

/* Whether an older login there has to end first. */
static bool must_wait(const struct cp_ovpn_client *client, const struct cp_ovpn_order *order)
{
	const struct cp_ike_tunnel *tunnel = &client->ike->tunnels[order->tunnel];
	bool must = false;

	for (struct cp_ovpn_login *login = client->logins; login; login = login->next)
		if (login->tunnel == tunnel && !login->streams &&
		    login->remote_be == order->remote_be)
			must |= cp_ovpn_login_make_way(login, MAKE_WAY_S, now_ms());
	return must;
}

static void connect_to(struct cp_ovpn_client *client, const struct cp_ovpn_order *order)
{
	struct cp_ovpn_order *copy = must_wait(client, order) ? malloc(sizeof(*copy)) : NULL;

	if (!copy) {
		begin_login(client, order);
		return;
	}
	*copy = *order;
	copy->due_ms = now_ms() + FORGOTTEN_MS;
	copy->next = client->waiting;
	client->waiting = copy;
}

/* Those whose time has come. */
static void begin_waiting(struct cp_ovpn_client *client)
{
	struct cp_ovpn_order **at = &client->waiting;

	while (*at) {
		struct cp_ovpn_order *order = *at;

		if (now_ms() < order->due_ms) {
			at = &order->next;
			continue;
		}
		*at = order->next;
		begin_login(client, order);
		free(order);
	}
}

static void rekey(struct cp_ovpn_client *client, uint32_t spi_be)
{
	for (struct cp_ovpn_login *login = client->logins; login; login = login->next)
		for (size_t i = 0; i < CP_OVPN_LEASES_MAX; i++)
			if (login->leases.keys[i].spi_be == spi_be) {
				cp_ovpn_login_rekey(login, &login->leases.keys[i], now_ms());
				return;
			}
}

/* Two logins of a tunnel share a port: each knows its own packets. */
static void deliver(struct cp_ovpn_client *client, const struct cp_ovpn_order *order)
{
	struct cp_ovpn_login *of = order->login ? find(client, order->login) : NULL;

	if (of && !of->is_over)
		cp_ovpn_login_receive(of, order->payload, order->punt.length, now_ms());
	if (order->login)
		return;
	for (struct cp_ovpn_login *login = client->logins; login; login = login->next)
		if (cp_ovpn_login_matches(login, &order->punt))
			cp_ovpn_login_receive(login, order->payload, order->punt.length, now_ms());
}

static void obey(struct cp_ovpn_client *client, const struct cp_ovpn_order *order)
{
	struct cp_ovpn_login *login = find(client, order->login);

	if (order->type == CP_OVPN_CONNECT)
		connect_to(client, order);
	else if (order->type == CP_OVPN_REKEY)
		rekey(client, order->spi_be);
	else if (order->type == CP_OVPN_DATAGRAM)
		deliver(client, order);
	else if (!login)
		return; /* it ended meanwhile */
	else if (order->type == CP_OVPN_CONNECTED)
		cp_ovpn_login_connected(login, now_ms());
	else if (order->type == CP_OVPN_BROKEN)
		cp_ovpn_login_broken(login, (const char *)order->payload);
	else if (order->type == CP_OVPN_END)
		cp_ovpn_login_end(login);
	else if (order->type == CP_OVPN_END_LATE)
		login->end_ms = now_ms() + order->seconds * UINT64_C(1000);
	else if (order->type == CP_OVPN_LEAVE)
		cp_ovpn_login_leave(login, now_ms());
	else
		cp_ovpn_login_ask(login, now_ms());
}

/* ---- the thread ---- */

static uint64_t next_deadline_ms(const struct cp_ovpn_client *client)
{
	uint64_t deadline = now_ms() + LONG_MS;

	if (client->ike->is_muted)
		return deadline; /* nothing is done any more, whatever is due */
	for (const struct cp_ovpn_order *order = client->waiting; order; order = order->next)
		if (order->due_ms < deadline)
			deadline = order->due_ms;
	for (const struct cp_ovpn_login *login = client->logins; login; login = login->next)
		if (cp_ovpn_login_deadline_ms(login) < deadline)
			deadline = cp_ovpn_login_deadline_ms(login);
	return deadline;
}

static void remove_what_is_over(struct cp_ovpn_client *client)
{
	struct cp_ovpn_login **at = &client->logins;

	while (*at) {
		struct cp_ovpn_login *login = *at;

		if (!login->is_over) {
			at = &login->next;
			continue;
		}
		*at = login->next;
		cp_ovpn_login_destroy(login);
	}
}

static void *run(void *argument)
{
	struct cp_ovpn_client *client = argument;

	for (;;) {
		bool is_rung;
		struct cp_ovpn_order *order =
			cp_ovpn_inbox_take(&client->inbox, next_deadline_ms(client), &is_rung);

		if (order && !client->ike->is_muted)
			obey(client, order);
		free(order);
		if (client->ike->is_muted)
			continue;
		for (struct cp_ovpn_login *login = client->logins; login; login = login->next)
			cp_ovpn_login_tick(login, is_rung, now_ms());
		remove_what_is_over(client);
		begin_waiting(client);
	}
	return NULL;
}

/* ---- TCP connections, on their thread ---- */

static void on_stream_open(void *context, uint32_t number)
{
	struct cp_ovpn_client *client = context;
	const struct cp_ovpn_order order = { .type = CP_OVPN_CONNECTED, .login = number };

	cp_ovpn_inbox_put(&client->inbox, &order, NULL, 0);
}

static bool is_data(uint8_t first)
{
	return first >> 3 == CP_OVPN_DATA_V1 || first >> 3 == CP_OVPN_DATA_V2;
}

/* Data goes to the dataplane at once; what it has no room for is lost, as on any full queue. */
static void on_stream_packet(void *context, uint32_t number, const struct ipc_punt *from,
                             const uint8_t *packet)
{
	struct cp_ovpn_client *client = context;
	const struct cp_ovpn_order order = { .type = CP_OVPN_DATAGRAM,
		                             .login = number,
		                             .punt = *from };

	if (client->ike->is_muted)
		return;
	if (is_data(packet[0]))
		cp_dp_open_packet(client->ike->dp, from, packet);
	else
		cp_ovpn_inbox_put(&client->inbox, &order, packet, from->length);
}

static void on_stream_broken(void *context, uint32_t number, const char *why)
{
	struct cp_ovpn_client *client = context;
	const struct cp_ovpn_order order = { .type = CP_OVPN_BROKEN, .login = number };

	cp_ovpn_inbox_put(&client->inbox, &order, why, strlen(why) + 1);
}

/* ---- from other threads ---- */

int cp_ovpn_client_start(struct cp_ike *ike)
{
	static const struct cp_ovpn_stream_calls stream_calls = { .open = on_stream_open,
		                                                  .packet = on_stream_packet,
		                                                  .broken = on_stream_broken };
	struct cp_ovpn_client *client = calloc(1, sizeof(*client));
	int rc;

	if (!client)
		return -ENOMEM;
	client->ike = ike;
	cp_ovpn_inbox_init(&client->inbox);
	cp_ike_sas_init(&client->known);
	client->next_login = client->next_child = 1;
	rc = cp_ovpn_streams_start(&stream_calls, client, &client->streams);
	if (rc == 0) {
		/* whole: the API may look at once */
		__atomic_store_n(&ike->openvpn, client, __ATOMIC_RELEASE);
		rc = -pthread_create(&client->thread, NULL, run, client);
	}
	if (rc != 0) {
		ike->openvpn = NULL;
		cp_ike_sas_fini(&client->known);
		free(client);
	}
	return rc;
}

bool cp_ovpn_client_receive(const struct cp_ike *ike, const struct ipc_punt *punt,
                            const void *payload)
{
	const struct cp_ovpn_order order = { .type = CP_OVPN_DATAGRAM, .punt = *punt };

	for (size_t i = 0; i < ike->tunnel_count; i++) {
		const struct cp_server *server = ike->tunnels[i].server;

		if (!server->openvpn ||
		    htons(server->openvpn->own_port) != punt->destination_port_be)
			continue;
		if (ike->openvpn && !ike->is_muted)
			cp_ovpn_inbox_put(&ike->openvpn->inbox, &order, payload, punt->length);
		return true;
	}
	return false;
}

void cp_ovpn_client_send(const struct cp_ike *ike, const struct ipc_punt *punt, const void *packet)
{
	if (ike->openvpn && !ike->is_muted)
		cp_ovpn_streams_send_data(ike->openvpn->streams, punt, packet);
}

void cp_ovpn_client_keys_changed(const struct cp_ike *ike)
{
	cp_ovpn_inbox_ring(&ike->openvpn->inbox);
}

bool cp_ovpn_client_has(const struct cp_ike *ike, const struct ipc_sa_id *id)
{
	return cp_ike_sas_has(&ike->openvpn->known, id);
}

uint64_t cp_ovpn_client_dropped(const struct cp_ike *ike, const struct cp_server *server)
{
	const struct cp_ovpn_client *client = __atomic_load_n(&ike->openvpn, __ATOMIC_ACQUIRE);

	return client && server->openvpn
	               ? cp_ovpn_streams_dropped(client->streams, htons(server->openvpn->own_port))
	               : 0;
}

void cp_ovpn_client_freeze(const struct cp_ike *ike)
{
	cp_ovpn_inbox_freeze(&ike->openvpn->inbox);
}

void cp_ovpn_client_thaw(const struct cp_ike *ike)
{
	cp_ovpn_inbox_thaw(&ike->openvpn->inbox);
}

/* ---- what the supervisor asks (protocol.h) ---- */

static int check(const struct cp_server *server, char why[CP_WHY_LEN])
{
	(void)server;
	(void)why;
	return 0; /* all that can be wrong with them is found when they are read */
}

static void choose(const struct cp_server *server, unsigned attempt, struct cp_remote *remote)
{
	const struct cp_ovpn_settings *settings = server->openvpn;
	const unsigned number = attempt % (unsigned)settings->remote_count;

	*remote = (struct cp_remote){ .number = number,
		                      .address = settings->remotes[number].address };
}

static void fill_peer(const struct cp_server *server, unsigned remote, struct ipc_peer *peer)
{
	peer->openvpn_port_be = htons(server->openvpn->own_port);
	peer->remote_port_be = htons(server->openvpn->remotes[remote].port);
}

static int connect_login(struct cp_ike *ike, const struct cp_ike_tunnel *tunnel, unsigned remote,
                         uint32_t remote_be, char why[CP_WHY_LEN])
{
	const struct cp_ovpn_order order = {
		.type = CP_OVPN_CONNECT,
		.tunnel = (size_t)(tunnel - ike->tunnels),
		.remote = remote,
		.remote_be = remote_be,
		.number = ike->openvpn->next_login++ | CP_OVPN_NUMBERS,
	};

	(void)why; /* what fails later is an event */
	cp_ovpn_inbox_put(&ike->openvpn->inbox, &order, NULL, 0);
	return 0;
}

static void order_of_login(struct cp_ike *ike, enum cp_ovpn_order_type type, uint32_t login,
                           unsigned seconds)
{
	const struct cp_ovpn_order order = { .type = type, .login = login, .seconds = seconds };

	cp_ovpn_inbox_put(&ike->openvpn->inbox, &order, NULL, 0);
}

static void end(struct cp_ike *ike, uint32_t login)
{
	order_of_login(ike, CP_OVPN_END, login, 0);
}

static void end_late(struct cp_ike *ike, uint32_t login, unsigned seconds)
{
	order_of_login(ike, CP_OVPN_END_LATE, login, seconds);
}

static void leave(struct cp_ike *ike, uint32_t login)
{
	order_of_login(ike, CP_OVPN_LEAVE, login, 0);
}

static void renew_keys(struct cp_ike *ike, const struct ipc_sa_id *id)
{
	const struct cp_ovpn_order order = { .type = CP_OVPN_REKEY, .spi_be = id->spi_be };

	cp_ovpn_inbox_put(&ike->openvpn->inbox, &order, NULL, 0);
}

static void ask(struct cp_ike *ike, uint32_t login)
{
	order_of_login(ike, CP_OVPN_ASK, login, 0);
}

const struct cp_protocol cp_protocol_openvpn = {
	.name = "openvpn",
	.check = check,
	.choose = choose,
	.fill_peer = fill_peer,
	.connect = connect_login,
	.end = end,
	.end_late = end_late,
	.leave = leave,
	.rekey = renew_keys,
	.ask = ask,
};
