/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An OpenVPN server for the tests of a session, in the same process and on the same virtual clock,
 * as simple as can be: one client, one negotiation at a time, no loss of its own.
 */
#pragma once

#include "tests/unit/controlplane/hex.h"

#include "controlplane/ovpn_keys.h"
#include "controlplane/ovpn_material.h"
#include "controlplane/ovpn_packet.h"
#include "controlplane/ovpn_reliable.h"
#include "controlplane/ovpn_session.h"
#include "controlplane/ovpn_wrap.h"

#include <openssl/ssl.h>

struct peer_packet {
	size_t length;
	uint8_t bytes[CP_OVPN_PACKET_MAX];
};

struct peer_queue {
	size_t count;
	struct peer_packet packets[64];
};

/* Server, client, the wire between them, and what the client's callbacks said. */
struct peer {
	uint64_t now_ms;

	/* the wire */
	struct peer_queue to_server, to_client;
	unsigned loss_percent;
	unsigned seed;

	/* the server */
	SSL_CTX *tls;
	char *certificate; /* PEM */
	uint8_t own_id[CP_OVPN_SESSION_ID_LEN];
	uint8_t client_id[CP_OVPN_SESSION_ID_LEN];
	uint8_t key_id;
	SSL *ssl;
	struct cp_ovpn_reliable reliable;
	struct cp_ovpn_wrap wrap, renewals;
	bool has_renewals;
	bool is_mute;       /* says nothing any more */
	bool is_thankless;  /* acknowledges nothing but resets */
	bool is_hello_done; /* of this negotiation */
	bool wants_wkc;     /* early negotiation */
	struct cp_ovpn_entropy client_entropy, entropy;
	uint8_t key2[CP_OVPN_KEY2_LEN]; /* by the exporter, of this negotiation */
	char login[256];                /* "account/password" of it */
	const char *push;               /* NULL: nothing is pushed unasked */
	char heard[512];                /* the client's messages, each followed by '|' */
	char opcodes[256];              /* of what the client sent, each followed by ' ' */

	/* the client */
	struct cp_ovpn_settings settings;
	struct cp_ovpn_material material;
	struct cp_ovpn_link link;
	struct sp_secret *token;
	struct cp_ovpn_session *session;
	char events[512]; /* "up key0 use0 ..." */
	struct cp_ovpn_key key;
	struct cp_ovpn_end end;
	char told[256];
	unsigned tellings;
	char unrenewed[256];
};

/* A server with a new certificate, and a client's settings that trust it. */
void peer_init(struct peer *peer);
void peer_fini(struct peer *peer);

/* Begins the session with the settings as they are. */
void peer_start(struct peer *peer);

/* Another control plane, which has only BYTES, in place of the session that there is; UNIX_S is its
 * clock. Returns what cp_ovpn_session_resume() does; nothing settles yet. */
int peer_resume(struct peer *peer, const uint8_t *bytes, size_t length, uint32_t unix_s);

/* Carries packets to and fro until there are none. */
void peer_settle(struct peer *peer);

/* Lets time pass until UNTIL_MS, with every deadline on the way. */
void peer_pass(struct peer *peer, uint64_t until_ms);

/* The server sends TEXT inside TLS, and all settles. */
void peer_say(struct peer *peer, const char *text);

/* The same; it is sent as its window allows. */
void peer_say_later(struct peer *peer, const char *text);

/* The server wants new keys. Its reset is sent; nothing settles yet. */
void peer_renegotiate(struct peer *peer);

/* Begins the session with the settings as they are, until it is up: "up key0 use0". */
void peer_connect(struct peer *peer);

/* The same of a server and a client that are new. */
void peer_come_up(struct peer *peer);

/* What happened since it was asked last. */
const char *peer_events(struct peer *peer);
