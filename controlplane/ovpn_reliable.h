/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN's reliability layer: control packets in order and each once, over datagrams. Pure, with
 * the caller's clock in milliseconds; one for each negotiation of a key.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/ovpn_packet.h"

#define CP_OVPN_SEND_WINDOW 6u
#define CP_OVPN_RECEIVE_WINDOW 12u
#define CP_OVPN_PAYLOAD_MAX 2048u

struct cp_ovpn_outgoing {
	bool is_used;
	uint8_t opcode;
	uint8_t overtaken; /* later packets that were acknowledged while this one was not */
	bool was_sent;
	uint32_t id;
	uint32_t interval_ms; /* until the next retransmission after the coming one */
	uint64_t due_ms;
	size_t length;
	uint8_t payload[CP_OVPN_PAYLOAD_MAX];
};

struct cp_ovpn_incoming {
	bool is_used;
	uint8_t opcode;
	size_t length;
	uint8_t payload[CP_OVPN_PAYLOAD_MAX];
};

struct cp_ovpn_reliable {
	uint32_t timeout_ms;
	uint32_t next_out;
	uint32_t next_in;
	struct cp_ovpn_outgoing out[CP_OVPN_SEND_WINDOW];   /* at id % SEND_WINDOW */
	struct cp_ovpn_incoming in[CP_OVPN_RECEIVE_WINDOW]; /* at id % RECEIVE_WINDOW */
	uint32_t acks[CP_OVPN_ACKS_MAX];                    /* owed */
	size_t ack_count;
	uint32_t given[CP_OVPN_ACKS_MAX]; /* sent before, the last ones first */
	size_t given_count;
	uint64_t retransmissions;
};

/* TIMEOUT_MS: until the first retransmission; doubles each time. */
void cp_ovpn_reliable_init(struct cp_ovpn_reliable *reliable, uint32_t timeout_ms);

/* Whether one more packet may be pushed: the window is not full. */
bool cp_ovpn_reliable_has_room(const struct cp_ovpn_reliable *reliable);

/* Puts a packet into the window; due at once. Precondition: there is room. */
void cp_ovpn_reliable_push(struct cp_ovpn_reliable *reliable, uint8_t opcode,
                           const uint8_t *payload, size_t length, uint64_t now_ms);

/* Nothing that was pushed waits for its acknowledgement. */
bool cp_ovpn_reliable_is_acked(const struct cp_ovpn_reliable *reliable);

/* The peer has these. Ids that were never sent are left alone. */
void cp_ovpn_reliable_acked(struct cp_ovpn_reliable *reliable, const uint32_t *ids, size_t count);

/* The packet to send now, NULL: none; its next retransmission is scheduled by that. */
const struct cp_ovpn_outgoing *cp_ovpn_reliable_due(struct cp_ovpn_reliable *reliable,
                                                    uint64_t now_ms);

/* When _due() will have one; UINT64_MAX: when something happens. */
uint64_t cp_ovpn_reliable_deadline_ms(const struct cp_ovpn_reliable *reliable);

/* The peer lives: all that waits is due again at once, with the first interval. */
void cp_ovpn_reliable_hurry(struct cp_ovpn_reliable *reliable, uint64_t now_ms);

/* A packet came in. Owes an acknowledgement where it is or was in the window, and keeps what is
 * new. Returns false where nothing is owed: too far ahead, too long, or too many are owed. */
bool cp_ovpn_reliable_receive(struct cp_ovpn_reliable *reliable, uint8_t opcode, uint32_t id,
                              const uint8_t *payload, size_t length);

/* The next packet in order, NULL: it is not there. Borrowed until _next() or _receive(). */
const struct cp_ovpn_incoming *cp_ovpn_reliable_next(struct cp_ovpn_reliable *reliable);

/* Whether _next() has one. */
bool cp_ovpn_reliable_has_next(const struct cp_ovpn_reliable *reliable);

/* Nothing is sent again, and nothing is owed. */
void cp_ovpn_reliable_abandon(struct cp_ovpn_reliable *reliable);

/* Takes up to MAX acknowledgements: those that are owed, then some that were given before, since a
 * packet that brought them may be lost. A server keeps no state of us until it got one, so that one
 * must be in retransmissions, too. Returns how many. */
size_t cp_ovpn_reliable_take_acks(struct cp_ovpn_reliable *reliable, uint32_t *acks, size_t max);
