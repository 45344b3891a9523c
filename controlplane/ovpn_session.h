/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One OpenVPN session with one server, as its client: packets and time go in, packets, data keys
 * and the end come out.
 *
 * A session begins with a reset and ends once; a reconnect is a new session. It has a control
 * channel (resets, TLS, messages) and hands out the keys of the data channel, which is the
 * dataplane's. It knows neither sockets nor threads: the caller has one thread for it, a monotonic
 * clock in milliseconds that never goes back, and calls cp_ovpn_session_tick() at the deadline.
 *
 * Callbacks are called inside of the functions of this header. They may not call these functions,
 * and what they are given is the session's: it is gone when they return.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ipc_proto.h"
#include "common/secret.h"
#include "controlplane/tunnel.h"
#include "controlplane/tunnel_state.h"

struct cp_ovpn_settings;
struct cp_ovpn_material;
struct cp_ovpn_push;
struct cp_ovpn_session;

#define CP_OVPN_PACKET_MAX 2048u /* a control packet, without IP and UDP headers */
#define CP_OVPN_DATA_KEY_MAX 96u /* AES-256 and SHA-512 */

/* A key of the data channel, both directions, as the contract wants it (struct ipc_openvpn). */
struct cp_ovpn_key {
	uint8_t key_id;
	uint8_t format;     /* IPC_OPENVPN_FORMAT_* */
	uint8_t framing;    /* IPC_OPENVPN_FRAMING_* */
	uint8_t flags;      /* IPC_OPENVPN_FLOAT, IPC_OPENVPN_LZ4 */
	uint16_t algorithm; /* enum ipc_algorithm */
	uint32_t peer_id;   /* 24 bits, or IPC_OPENVPN_NO_PEER: DATA_V1 */
	uint16_t length;    /* bytes of send[] and of receive[] */
	uint8_t send[CP_OVPN_DATA_KEY_MAX];
	uint8_t receive[CP_OVPN_DATA_KEY_MAX];
	char cipher[64]; /* as OpenVPN calls it, with the digest where it has one */
};

/* What the caller is to do after the end. */
enum cp_ovpn_next {
	CP_OVPN_RETRY = 1,   /* with this server again, after pause_s at least */
	CP_OVPN_RETRY_OTHER, /* with the next remote of the profile, after pause_s at least */
	CP_OVPN_NEVER,       /* not before somebody changed something */
};

struct cp_ovpn_end {
	enum cp_ovpn_next next;
	uint32_t pause_s; /* what the server asked for; 0: nothing */
	enum cp_rank rank;
	char why[CP_WHY_LEN]; /* in words; the server's are printable ASCII */
};

struct cp_ovpn_calls {
	/* A control packet for the server. */
	void (*send)(void *context, const uint8_t *packet, size_t length);
	/* The server let us in: what it pushed, complete and acceptable. Once, before the first
	 * key. */
	void (*up)(void *context, const struct cp_ovpn_push *push);
	/* A key that may be received with from now on. Two at most are alive. */
	void (*key)(void *context, const struct cp_ovpn_key *key);
	/* Data packets are sent under KEY_ID from now on. */
	void (*use)(void *context, uint8_t key_id);
	/* KEY_ID ends now in both directions. It is not called at the end of the session. */
	void (*forget)(void *context, uint8_t key_id);
	/* No new keys came, and WHY in words. The session goes on with the one that it has until
	 * that ends, and tries again. */
	void (*unrenewed)(void *context, const char *why);
	/* It will not get any: the server has given up its control channel, or leaves it unanswered
	 * for so long. Another session is wanted beside it. */
	void (*stuck)(void *context);
	/* The dataplane is to send OCC exit in the data channel: the server knows no other way. */
	void (*send_exit)(void *context);
	/* Something that an operator may want to know; printable. */
	void (*tell)(void *context, const char *text);
	/* The session is over: nothing is sent, no key is valid any more. Once. It is still the
	 * caller's to destroy, later. */
	void (*ended)(void *context, const struct cp_ovpn_end *end);
};

struct cp_ovpn_link {
	bool is_tcp;
	bool is_ipv6; /* the outer header; both are for sizes and for what we tell the server */
};

/* Makes a session; nothing is sent yet. SETTINGS and MATERIAL are borrowed for this call alone.
 * TOKEN is the caller's and must outlive the session: the password that the server gave us in place
 * of the real one, empty at first; the session writes it, reads it and wipes it when the server
 * does not take it any more, and the next session with this account is given it again. UNIX_S is
 * the wall clock, for the wrapping. CONTEXT is handed to each callback.
 * Returns NULL with WHY in words, for example when a certificate cannot be read. */
struct cp_ovpn_session *cp_ovpn_session_create(const struct cp_ovpn_settings *settings,
                                               const struct cp_ovpn_material *material,
                                               const struct cp_ovpn_link *link,
                                               struct sp_secret *token, uint32_t unix_s,
                                               const struct cp_ovpn_calls *calls, void *context,
                                               char why[CP_WHY_LEN]);

/* Wipes and frees; says nothing to the server. NULL is allowed. */
void cp_ovpn_session_destroy(struct cp_ovpn_session *session);

/* Sends the first packet. Once. */
void cp_ovpn_session_start(struct cp_ovpn_session *session, uint64_t now_ms);

/* A control packet from the server's address: any bytes. What is not authentic is not answered. */
void cp_ovpn_session_receive(struct cp_ovpn_session *session, const uint8_t *packet, size_t length,
                             uint64_t now_ms);

/* Does what is due. */
void cp_ovpn_session_tick(struct cp_ovpn_session *session, uint64_t now_ms);

/* When cp_ovpn_session_tick() is wanted next; UINT64_MAX: not at all. Changes with each call. */
uint64_t cp_ovpn_session_deadline_ms(const struct cp_ovpn_session *session);

/* A data packet under KEY_ID was authentic. The first one under a new key makes us send with it;
 * each postpones ping-restart, so report at least every second in which there were some. */
void cp_ovpn_session_heard(struct cp_ovpn_session *session, uint8_t key_id, uint64_t now_ms);
/* When something authentic was heard last, of control or data; as the clock of the calls. */
uint64_t cp_ovpn_session_heard_ms(const struct cp_ovpn_session *session);

/* Changes whenever the token does: what was saved of the session is out of date then. */
unsigned cp_ovpn_session_token_count(const struct cp_ovpn_session *session);

/* Wants new data keys, for example because packet ids run out. True: they are being negotiated.
 * False: the session is not up, or its control channel is dead. */
bool cp_ovpn_session_renegotiate(struct cp_ovpn_session *session, uint64_t now_ms);

/* Takes leave of the server; ended() follows within a second or two, at once where there is nothing
 * to say. */
void cp_ovpn_session_stop(struct cp_ovpn_session *session, uint64_t now_ms);

/* "TLSv1.3, TLS_AES_256_GCM_SHA384", or "" while there is none. */
const char *cp_ovpn_session_tls(const struct cp_ovpn_session *session);
