/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN's "key method 2": what both sides tell each other inside TLS, and how the keys of the
 * data channel come of it.
 *
 * The 256 bytes of a negotiation are cut as those of a static key: for each direction 64 bytes for
 * the cipher and 64 for the HMAC; the client sends with the first half.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "controlplane/ovpn_packet.h"
#include "controlplane/ovpn_session.h"
#include "controlplane/ovpn_settings.h"

#define CP_OVPN_KEY2_LEN 256u
#define CP_OVPN_KEY_METHOD_MAX 2048u /* bytes of such a message */
#define CP_OVPN_OPTIONS_MAX 512u
#define CP_OVPN_EKM_DATA "EXPORTER-OpenVPN-datakeys"
#define CP_OVPN_EKM_WRAP "EXPORTER-OpenVPN-dynamic-tls-crypt"

/* Random numbers, of which the classic derivation makes the keys. */
struct cp_ovpn_entropy {
	uint8_t pre_master[48]; /* the client's alone */
	uint8_t random1[32];
	uint8_t random2[32];
};

struct cp_ovpn_client_hello {
	const struct cp_ovpn_entropy *entropy;
	const char *options;
	const char *account; /* NULL: no account and no password */
	const struct sp_secret *password;
	const char *peer_info;
};

struct cp_ovpn_server_hello {
	struct cp_ovpn_entropy entropy; /* without a pre_master */
	char options[CP_OVPN_OPTIONS_MAX];
};

/* Writes our message; returns its length, or -EMSGSIZE: it does not fit. The caller wipes BYTES. */
long cp_ovpn_client_hello_write(const struct cp_ovpn_client_hello *hello,
                                uint8_t bytes[CP_OVPN_KEY_METHOD_MAX]);

/* Reads the server's, a whole TLS record. -EBADMSG: it is none. */
int cp_ovpn_server_hello_parse(struct cp_ovpn_server_hello *hello, const uint8_t *bytes,
                               size_t length);

/* The classic derivation, TLS 1.0's PRF. 0 or -EIO (OpenSSL does not offer it). */
int cp_ovpn_derive_classic(const struct cp_ovpn_entropy *client,
                           const struct cp_ovpn_entropy *server,
                           const uint8_t client_id[CP_OVPN_SESSION_ID_LEN],
                           const uint8_t server_id[CP_OVPN_SESSION_ID_LEN],
                           uint8_t key2[CP_OVPN_KEY2_LEN]);

/* Fills algorithm, length, send, receive and cipher of KEY out of KEY2; key->format says which way.
 * -EINVAL: a cipher's key is all zero. */
int cp_ovpn_cut(const uint8_t key2[CP_OVPN_KEY2_LEN], enum cp_ovpn_cipher cipher,
                enum cp_ovpn_digest digest, struct cp_ovpn_key *key);
