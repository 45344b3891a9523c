/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the certificate that an OpenVPN server shows is that of the server we want: what the
 * directives of a profile ask beyond the chain to the CA.
 */
#pragma once

#include "controlplane/ovpn_settings.h"
#include "controlplane/tunnel.h"

#include <openssl/x509_vfy.h>

/* A step of OpenSSL's verification, as its verify callback gets it: IS_OK and CONTEXT are what
 * OpenSSL says. Returns 1: go on, 0: it is refused and WHY says so. A certificate authority that
 * has no CRL in the store is no reason to refuse, as with OpenVPN itself. */
int cp_ovpn_verify(const struct cp_ovpn_settings *settings, int is_ok, X509_STORE_CTX *context,
                   char why[CP_WHY_LEN]);
