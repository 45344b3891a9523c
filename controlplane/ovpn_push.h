/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an OpenVPN server says inside TLS, behind the exchange of keys: its push replies, which
 * configure us, and its other messages. Pure; every byte is the server's and is checked.
 *
 * Addresses are in network byte order (_be), times in seconds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/secret.h"
#include "controlplane/ovpn_settings.h"
#include "controlplane/reach.h"
#include "controlplane/tunnel.h"

#define CP_OVPN_MESSAGE_MAX 1024u /* bytes of one message; longer ones are refused */
#define CP_OVPN_PUSH_MAX 65536u   /* bytes of all parts of a reply together */
#define CP_OVPN_ROUTES_MAX 512u
#define CP_OVPN_DNS_MAX 8u
#define CP_OVPN_MTU_MIN 576u /* of the tunnel; smaller ones are refused */
#define CP_OVPN_NO_PEER UINT32_MAX

enum cp_ovpn_topology { CP_OVPN_NET30 = 1, CP_OVPN_P2P = 2, CP_OVPN_SUBNET = 3 };

struct cp_ovpn_push {
	const struct cp_ovpn_settings *settings; /* borrowed: limits, filters, what we offered */
	size_t bytes;                            /* of the parts so far */
	bool is_complete;

	uint32_t local_be;     /* our inner address; 0: none was pushed */
	uint32_t peer_be;      /* net30, p2p: the other end */
	uint8_t prefix_length; /* subnet: of our network; else 32 */
	enum cp_ovpn_topology topology;
	struct ipc_prefix routes[CP_OVPN_ROUTES_MAX]; /* into the tunnel */
	size_t route_count;
	bool has_default_route;
	uint32_t dns_be[CP_OVPN_DNS_MAX];
	size_t dns_count;
	char domain[CP_TEXT_LEN];

	uint32_t peer_id;           /* 24 bits; CP_OVPN_NO_PEER: DATA_V1 */
	enum cp_ovpn_cipher cipher; /* 0: not pushed */
	bool has_tls_ekm;           /* data keys by TLS exporter */
	bool has_cc_exit;           /* EXIT ends a session */
	bool has_dyn_tls_crypt;
	bool has_aead_epoch;
	enum cp_ovpn_framing framing; /* pushed, or the settings' */
	bool has_lz4;                 /* the server may send LZ4 */
	bool has_lzo;                 /* the server may send LZO, which nobody here can read */

	uint32_t ping_s;         /* 0: never */
	uint32_t ping_restart_s; /* 0: never; `dead_s` of the settings, or pushed */
	bool is_exit_wanted;     /* ping-exit: after so long an end; we log in again all the same */
	uint32_t exit_notify;
	uint32_t inactive_s;        /* 0: not pushed; likewise the next one */
	uint32_t session_timeout_s; /* the server ends the session then */
	uint16_t tun_mtu;           /* pushed, or the settings' */

	struct sp_secret *token;         /* auth-token: from now on the password; NULL: none */
	char token_account[CP_TEXT_LEN]; /* auth-token-user, decoded; empty: the account */
	char ignored[CP_WHY_LEN];        /* options that we do not know, for the log; may be cut */
};

/* Begins a reply: SETTINGS outlive PUSH. */
void cp_ovpn_push_begin(struct cp_ovpn_push *push, const struct cp_ovpn_settings *settings);

/* Takes a message that begins with "PUSH_REPLY", LENGTH bytes without its NUL. Returns 1: that was
 * the last part, PUSH is whole; 0: more will come; -EINVAL, -ENOTSUP (it orders what we refuse) or
 * -ENOMEM with WHY in words: the session must end. */
int cp_ovpn_push_append(struct cp_ovpn_push *push, const char *text, size_t length,
                        char why[CP_WHY_LEN]);

/* Wipes it. */
void cp_ovpn_push_fini(struct cp_ovpn_push *push);

/* Where what is forwarded may go: the network of our inner address, pushed routes and those of the
 * profile; everything with a default route. Neighbours are joined. Returns how many of MAX
 * were filled; where there are more, the last one reaches up to the end of the last one left out.
 */
size_t cp_ovpn_push_ranges(const struct cp_ovpn_push *push, struct cp_range *ranges, size_t max);

enum cp_ovpn_message_type {
	CP_OVPN_PUSH_REPLY = 1,
	CP_OVPN_AUTH_FAILED = 2,
	CP_OVPN_AUTH_FAILED_TEMP = 3,    /* log in again after `backoff_s` */
	CP_OVPN_AUTH_FAILED_SESSION = 4, /* the token is no longer good */
	CP_OVPN_AUTH_CHALLENGE = 5,      /* somebody should answer a question: refused */
	CP_OVPN_AUTH_PENDING = 6,
	CP_OVPN_INFO = 7,
	CP_OVPN_INFO_PRE = 8, /* `text` may be a question or an address to be opened: refused */
	CP_OVPN_RESTART = 9,
	CP_OVPN_HALT = 10,
	CP_OVPN_PUSH_UPDATE = 11, /* not announced, so not expected */
	CP_OVPN_EXIT = 12,
	CP_OVPN_UNKNOWN = 13
};

enum cp_ovpn_advance {
	CP_OVPN_ADVANCE_NO = 1,      /* the same address again */
	CP_OVPN_ADVANCE_ADDRESS = 2, /* the next address of the same remote */
	CP_OVPN_ADVANCE_REMOTE = 3   /* the next remote */
};

struct cp_ovpn_message {
	enum cp_ovpn_message_type type;
	char text[CP_WHY_LEN];        /* what people should read; may be empty, may be cut */
	uint32_t backoff_s;           /* TEMP; CP_OVPN_UNSET */
	uint32_t timeout_s;           /* AUTH_PENDING; CP_OVPN_UNSET */
	enum cp_ovpn_advance advance; /* TEMP, RESTART */
	bool keeps_login;             /* RESTART: the token stays good */
};

/* Reads LENGTH bytes without their NUL. Returns 0; -EINVAL: empty, too long or not printable: to be
 * dropped and counted. CR and LF at the end do not count. */
int cp_ovpn_message_parse(const char *text, size_t length, struct cp_ovpn_message *message);
