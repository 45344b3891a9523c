/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What protects OpenVPN's control packets before TLS does: nothing, tls-auth (HMAC), or tls-crypt
 * (AES-256-CTR with HMAC-SHA256 as its IV). The client's half of it.
 *
 * A wrapping counts all that is sent through it, retransmissions too, and refuses what it received
 * before. One for each key and session; it holds keys, so it lives in a struct sp_secret.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CP_OVPN_STATIC_KEY_LEN 256u /* cipher 64, HMAC 64, for each of two directions */
#define CP_OVPN_WKC_MAX 1024u       /* a wrapped client key */
#define CP_OVPN_DIGEST_MAX 64u

enum cp_ovpn_wrap_kind {
	CP_OVPN_WRAP_NOTHING = 0,
	CP_OVPN_WRAP_AUTH,
	CP_OVPN_WRAP_CRYPT,
};

/* Which half of a tls-auth key we send with. */
enum cp_ovpn_direction {
	CP_OVPN_DIRECTION_NONE = 0, /* both sides use the first half for both */
	CP_OVPN_DIRECTION_0,        /* key-direction 0: send with the first */
	CP_OVPN_DIRECTION_1,        /* key-direction 1, usual for clients: send with the second */
};

struct cp_ovpn_wrap {
	enum cp_ovpn_wrap_kind kind;
	char digest[16];      /* OpenSSL's name; of WRAP_AUTH */
	size_t digest_length; /* bytes of the HMAC on the wire */
	uint8_t send_cipher[32];
	uint8_t send_hmac[CP_OVPN_DIGEST_MAX];
	uint8_t receive_cipher[32];
	uint8_t receive_hmac[CP_OVPN_DIGEST_MAX];
	uint32_t unix_s;  /* when it was made; goes out with each packet */
	uint32_t last_id; /* sent last */
	uint32_t peer_unix_s;
	uint32_t peer_id;     /* the highest received with peer_unix_s */
	uint64_t peer_window; /* bit N: peer_id - N was received */
	size_t wkc_length;    /* 0: none */
	uint8_t wkc[CP_OVPN_WKC_MAX];
};

/* No protection. */
void cp_ovpn_wrap_nothing(struct cp_ovpn_wrap *wrap);

/* tls-auth with DIGEST, OpenSSL's name ("SHA1"). -EINVAL: unknown digest. */
int cp_ovpn_wrap_auth(struct cp_ovpn_wrap *wrap, const uint8_t key[CP_OVPN_STATIC_KEY_LEN],
                      enum cp_ovpn_direction direction, const char *digest, uint32_t unix_s);

/* tls-crypt. */
void cp_ovpn_wrap_crypt(struct cp_ovpn_wrap *wrap, const uint8_t key[CP_OVPN_STATIC_KEY_LEN],
                        uint32_t unix_s);

/* tls-crypt-v2: KEY is the client's own, WKC the same wrapped for the server, which goes out behind
 * HARD_RESET_CLIENT_V3 and CONTROL_WKC. Announces early negotiation. -EINVAL: not a wrapped key. */
int cp_ovpn_wrap_crypt_v2(struct cp_ovpn_wrap *wrap, const uint8_t key[CP_OVPN_STATIC_KEY_LEN],
                          const uint8_t *wkc, size_t wkc_length, uint32_t unix_s);

/* Bytes that it adds to head and body, without a wrapped client key. */
size_t cp_ovpn_wrap_overhead(const struct cp_ovpn_wrap *wrap);

/* Makes a packet of HEAD (CP_OVPN_HEAD_LEN bytes) and BODY; returns its length, or -ENOSPC (it does
 * not fit in ROOM), -EIO (OpenSSL). */
long cp_ovpn_wrap(struct cp_ovpn_wrap *wrap, const uint8_t *head, const uint8_t *body,
                  size_t body_length, uint8_t *packet, size_t room);

/* Takes it off a packet; BODY has room for LENGTH bytes. Returns the body's length, or -EBADMSG
 * (not authentic), -EALREADY (authentic, but received before or too old), -EIO (OpenSSL). */
long cp_ovpn_unwrap(struct cp_ovpn_wrap *wrap, const uint8_t *packet, size_t length, uint8_t *body);
