/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN's control packets, without their wrapping: what the bytes mean.
 *
 * A packet is a head (opcode, key id, the sender's session id) and a body (acknowledgements, packet
 * id, payload); a wrapping stands between them (ovpn_wrap.h). All integers are big-endian.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum cp_ovpn_opcode {
	CP_OVPN_SOFT_RESET = 3, /* renegotiation, key id 1..7 */
	CP_OVPN_CONTROL = 4,    /* a piece of TLS */
	CP_OVPN_ACK = 5,        /* acknowledgements alone */
	CP_OVPN_DATA_V1 = 6,
	CP_OVPN_HARD_RESET_CLIENT = 7, /* opens a session */
	CP_OVPN_HARD_RESET_SERVER = 8,
	CP_OVPN_DATA_V2 = 9,
	CP_OVPN_HARD_RESET_CLIENT_V3 = 10, /* the same, wrapped client key appended */
	CP_OVPN_CONTROL_WKC = 11,          /* CONTROL, wrapped client key appended */
};

#define CP_OVPN_KEY_IDS 8u
#define CP_OVPN_SESSION_ID_LEN 8u
#define CP_OVPN_HEAD_LEN 9u /* first byte, session id */
#define CP_OVPN_ACKS_MAX 8u
#define CP_OVPN_BODY_MIN 5u /* of what is no ACK: a count of 0, a packet id */

struct cp_ovpn_body {
	size_t ack_count;
	uint32_t acks[CP_OVPN_ACKS_MAX];
	uint8_t peer_session_id[CP_OVPN_SESSION_ID_LEN]; /* with ack_count > 0 */
	uint32_t id;                                     /* none in an ACK */
	const uint8_t *payload;                          /* borrowed; none in an ACK */
	size_t payload_length;
};

static inline uint8_t cp_ovpn_first_byte(enum cp_ovpn_opcode opcode, uint8_t key_id)
{
	return (uint8_t)(opcode << 3 | key_id);
}

static inline uint8_t cp_ovpn_opcode(uint8_t first_byte)
{
	return first_byte >> 3;
}

static inline uint8_t cp_ovpn_key_id(uint8_t first_byte)
{
	return first_byte & 7;
}

/* Reads the body of a packet with OPCODE. -EBADMSG: it is none; an empty payload is fine. */
int cp_ovpn_body_parse(struct cp_ovpn_body *body, uint8_t opcode, const uint8_t *bytes,
                       size_t length);

/* How many bytes cp_ovpn_body_write() writes. */
size_t cp_ovpn_body_length(const struct cp_ovpn_body *body, uint8_t opcode);

/* Writes it; returns its length. */
size_t cp_ovpn_body_write(const struct cp_ovpn_body *body, uint8_t opcode, uint8_t *bytes);

#define CP_OVPN_EARLY_RESEND_WKC 0x0001u

/* The payload of HARD_RESET_SERVER, type-length-values of the early negotiation: the flags in it, 0
 * where there are none. -EBADMSG: malformed. */
int cp_ovpn_early_parse(const uint8_t *payload, size_t length, uint16_t *flags);
