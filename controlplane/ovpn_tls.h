/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS as OpenVPN's control channel uses it: a client over memory, without sockets. What all
 * negotiations of a session share, and one TLS connection for each of them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "controlplane/ovpn_material.h"
#include "controlplane/ovpn_settings.h"
#include "controlplane/tunnel.h"

#define CP_OVPN_RECORD_MAX 16384u /* the plaintext of a TLS record */

struct cp_ovpn_tls;        /* certificates, versions, ciphers, checks of the server */
struct cp_ovpn_tls_stream; /* one connection */

/* SETTINGS must outlive it, MATERIAL need not. NULL with WHY in words: a certificate, key or list
 * of ciphers cannot be used. */
struct cp_ovpn_tls *cp_ovpn_tls_create(const struct cp_ovpn_settings *settings,
                                       const struct cp_ovpn_material *material,
                                       char why[CP_WHY_LEN]);
/* NULL is allowed. */
void cp_ovpn_tls_destroy(struct cp_ovpn_tls *tls);

/* NULL: no memory. It must not outlive TLS. */
struct cp_ovpn_tls_stream *cp_ovpn_tls_stream_create(struct cp_ovpn_tls *tls);
/* NULL is allowed. */
void cp_ovpn_tls_stream_destroy(struct cp_ovpn_tls_stream *stream);

/* Bytes from the server. 0 or -ENOMEM. */
int cp_ovpn_tls_feed(struct cp_ovpn_tls_stream *stream, const uint8_t *bytes, size_t length);
/* How many of them were not read yet. */
size_t cp_ovpn_tls_unread(const struct cp_ovpn_tls_stream *stream);

/* Up to ROOM bytes for the server; returns how many. */
size_t cp_ovpn_tls_drain(struct cp_ovpn_tls_stream *stream, uint8_t *bytes, size_t room);

/* Goes on with the handshake. 1: it is complete; 0: it waits for the server; -EPROTO with WHY in
 * words: it failed, and an alert may be left to drain. */
int cp_ovpn_tls_shake(struct cp_ovpn_tls_stream *stream, char why[CP_WHY_LEN]);

/* Sends LENGTH bytes (at most CP_OVPN_RECORD_MAX) as one record, after the handshake. 0 or -EPROTO.
 */
int cp_ovpn_tls_write(struct cp_ovpn_tls_stream *stream, const uint8_t *bytes, size_t length);

/* The plaintext of the next record; BYTES has room for CP_OVPN_RECORD_MAX. Returns its length, 0:
 * none is complete; -EPROTO with WHY: the connection is dead or closed. */
long cp_ovpn_tls_read(struct cp_ovpn_tls_stream *stream, uint8_t *bytes, char why[CP_WHY_LEN]);

/* LENGTH bytes of keying material for LABEL (RFC 5705, no context). 0 or -EPROTO. */
int cp_ovpn_tls_export(struct cp_ovpn_tls_stream *stream, const char *label, uint8_t *bytes,
                       size_t length);

/* "TLSv1.3, TLS_AES_256_GCM_SHA384". */
void cp_ovpn_tls_describe(const struct cp_ovpn_tls_stream *stream, char *text, size_t room);
