/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a tunnel's two sides prove who they are: identities, certificates, keys, as libcharon wants
 * them.
 */
#pragma once

#include "controlplane/ike_tunnels.h"

/* strongSwan's own types; only ike_*.c look inside. */
struct peer_cfg_t;
struct private_key_t;

/* Adds both rounds of authentication to PEER; the files of certificates are read now. Returns 0, or
 * -EINVAL with WHY. */
int cp_ike_auth_add(struct peer_cfg_t *peer, const struct cp_ike_tunnel *tunnel,
                    char why[CP_WHY_LEN]);

/* Whether AUTH proves who we are with a certificate. */
bool cp_ike_auth_has_certificate(enum cp_auth auth);

/* The private key, read anew from its file; the caller destroys it. NULL: WHY says why. */
struct private_key_t *cp_ike_auth_load_key(const struct cp_server *server, char why[CP_WHY_LEN]);

/* What is wrong with a file that holds a secret, in words, for the user we run as. */
void cp_ike_auth_explain_file(const char *file, int error, char why[CP_WHY_LEN]);
