/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One negotiation of data keys between us and an OpenVPN server: two resets, a TLS handshake, the
 * exchange of key method 2. Afterwards it is the channel for messages until the next one begins.
 *
 * It knows packets without their wrapping; the session puts that around (ovpn_session.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/ovpn_keys.h"
#include "controlplane/ovpn_packet.h"
#include "controlplane/ovpn_reliable.h"
#include "controlplane/ovpn_tls.h"

enum cp_ovpn_phase {
	CP_OVPN_RESETTING = 1, /* until both resets are there, and ours is acknowledged */
	CP_OVPN_SHAKING,       /* TLS */
	CP_OVPN_SHAKEN,        /* our message of key method 2 is wanted */
	CP_OVPN_HELLO_SENT,    /* until the server's is there */
	CP_OVPN_HELLO_GOT,     /* until all of ours is acknowledged */
	CP_OVPN_ACTIVE,        /* keys can be derived, messages pass */
	CP_OVPN_FAILED,        /* nothing comes of it any more */
};

struct cp_ovpn_negotiation {
	uint8_t key_id;
	enum cp_ovpn_phase phase;
	uint64_t begun_ms;
	uint64_t active_ms;
	bool wants_wkc;     /* the server: the wrapped client key once more */
	size_t payload_max; /* of our packets; without a wrapped client key */
	size_t wkc_length;  /* of it, 0: there is none */
	struct cp_ovpn_reliable reliable;
	struct cp_ovpn_tls_stream *stream;
	struct sp_secret *secrets; /* struct cp_ovpn_entropy: ours */
	struct cp_ovpn_server_hello server;
};

/* Puts our reset, OPCODE, into the window. TIMEOUT_MS: of the first retransmission. NULL: no
 * memory, or no random numbers. */
struct cp_ovpn_negotiation *cp_ovpn_negotiation_create(struct cp_ovpn_tls *tls, uint8_t key_id,
                                                       enum cp_ovpn_opcode opcode,
                                                       uint32_t timeout_ms, uint64_t now_ms);
/* Wipes and frees; NULL is allowed. */
void cp_ovpn_negotiation_destroy(struct cp_ovpn_negotiation *negotiation);

/* Our random numbers. */
const struct cp_ovpn_entropy *cp_ovpn_negotiation_entropy(
	const struct cp_ovpn_negotiation *negotiation);

/* An authentic packet of this key id. */
void cp_ovpn_negotiation_receive(struct cp_ovpn_negotiation *negotiation, uint8_t opcode,
                                 const struct cp_ovpn_body *body, uint64_t now_ms);

/* Goes on as far as it can. 0, or -EPROTO with WHY in words: it failed for good. */
int cp_ovpn_negotiation_step(struct cp_ovpn_negotiation *negotiation, uint64_t now_ms,
                             char why[CP_WHY_LEN]);

/* Sends LENGTH bytes inside TLS as one record: in CP_OVPN_SHAKEN our message of key method 2, in
 * CP_OVPN_ACTIVE another one. 0 or -EPROTO. */
int cp_ovpn_negotiation_write(struct cp_ovpn_negotiation *negotiation, const uint8_t *bytes,
                              size_t length, uint64_t now_ms);

/* In CP_OVPN_ACTIVE: as cp_ovpn_tls_read(). */
long cp_ovpn_negotiation_read(struct cp_ovpn_negotiation *negotiation, uint8_t *bytes,
                              char why[CP_WHY_LEN]);

/* A bare ACK has to wait: the acknowledgement goes with the packet that brings the wrapped client
 * key. */
bool cp_ovpn_negotiation_holds_acks(const struct cp_ovpn_negotiation *negotiation);
