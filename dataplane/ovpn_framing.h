/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands between OpenVPN's encryption and the inner packet: a byte or two of a server that was
 * told to compress, and messages of the protocol itself.
 */
#pragma once

#include <stdint.h>

#include "dataplane/batch.h"

struct dp_sa_in;
struct dp_worker;

/*
 * Undoes the framing of SA's server: *PAYLOAD and *LENGTH become what was framed. A packet that was
 * compressed moves to another buffer (p->m), which is at least as large as the payload.
 * DP_OVPN_FRAMING: that is no framing of this kind; DP_OVPN_COMPRESSED: compressed as we cannot or
 * may not undo; DP_NO_MBUF. Worker only.
 */
enum dp_verdict dp_ovpn_unframe(struct dp_worker *w, struct dp_pkt *p, const struct dp_sa_in *sa,
                                uint8_t **payload, unsigned *length);

enum dp_ovpn_message {
	DP_OVPN_MESSAGE_NONE = 0,
	DP_OVPN_MESSAGE_PING,
	DP_OVPN_MESSAGE_OCC, /* to be ignored */
	DP_OVPN_MESSAGE_EXIT,
};

/* What message a payload is. */
enum dp_ovpn_message dp_ovpn_message(const uint8_t *payload, unsigned length);

#define DP_OVPN_PING_BYTES 16u
extern const uint8_t dp_ovpn_ping_payload[DP_OVPN_PING_BYTES];
#define DP_OVPN_EXIT_BYTES 17u
extern const uint8_t dp_ovpn_exit_payload[DP_OVPN_EXIT_BYTES];
