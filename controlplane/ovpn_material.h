/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Certificates and secrets of an OpenVPN tunnel, read anew for each login.
 *
 * They are in files of their own or in the blocks of a profile. A file that holds a secret must not
 * be readable by others.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/secret.h"
#include "controlplane/config.h"
#include "controlplane/tunnel.h"

#define CP_OVPN_STATIC_KEY_LEN 256u
#define CP_OVPN_WKC_MAX 1024u

struct cp_ovpn_material {
	char account[CP_TEXT_LEN];  /* empty: none is sent */
	struct sp_secret *password; /* NULL: likewise; without a NUL, up to 4095 bytes */
	char *ca;                   /* PEM, NUL-terminated, as are the next two; NULL: none */
	char *certificate;          /* ours, and behind it intermediate ones */
	char *crl;
	struct sp_secret *key;  /* of `certificate`: PEM, not NUL-terminated; NULL: none */
	struct sp_secret *wrap; /* CP_OVPN_STATIC_KEY_LEN bytes: of tls-auth, tls-crypt, or Kc of
	                           tls-crypt-v2; NULL: no wrapping */
	size_t wkc_length;      /* tls-crypt-v2: what the server wants back; else 0 */
	uint8_t wkc[CP_OVPN_WKC_MAX];
};

/* Fills MATERIAL for SERVER, whose settings are OpenVPN's. Returns 0; or -errno with WHY in words
 * and nothing in MATERIAL. Blocks on files; any thread. */
int cp_ovpn_material_load(const struct cp_server *server, struct cp_ovpn_material *material,
                          char why[CP_WHY_LEN]);

/* Wipes and frees what MATERIAL has; it may be empty (all zero). */
void cp_ovpn_material_wipe(struct cp_ovpn_material *material);
