/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN's reliability layer: control packets in order and each once, over datagrams.
 */
#include "controlplane/ovpn_reliable.h"

#include <assert.h>
#include <string.h>

#define EARLY_ACKS 3u         /* so many later ones acknowledged: this one is lost */
#define INTERVAL_MAX_MS 8000u /* so that a negotiation gets more than five tries at a packet */

void cp_ovpn_reliable_init(struct cp_ovpn_reliable *reliable, uint32_t timeout_ms)
{
	memset(reliable, 0, sizeof(*reliable));
	reliable->timeout_ms = timeout_ms;
}

bool cp_ovpn_reliable_has_room(const struct cp_ovpn_reliable *reliable)
{
	/* a packet's place is its id modulo the window: free when the window has moved past it */
	return !reliable->out[reliable->next_out % CP_OVPN_SEND_WINDOW].is_used;
}

void cp_ovpn_reliable_push(struct cp_ovpn_reliable *reliable, uint8_t opcode,
                           const uint8_t *payload, size_t length, uint64_t now_ms)
{
	struct cp_ovpn_outgoing *packet = &reliable->out[reliable->next_out % CP_OVPN_SEND_WINDOW];

	assert(!packet->is_used && length <= sizeof(packet->payload));
	packet->is_used = true;
	packet->opcode = opcode;
	packet->overtaken = 0;
	packet->was_sent = false;
	packet->id = reliable->next_out++;
	packet->interval_ms = reliable->timeout_ms;
	packet->due_ms = now_ms;
	packet->length = length;
	if (length > 0)
		memcpy(packet->payload, payload, length);
}

bool cp_ovpn_reliable_is_acked(const struct cp_ovpn_reliable *reliable)
{
	for (size_t i = 0; i < CP_OVPN_SEND_WINDOW; i++)
		if (reliable->out[i].is_used)
			return false;
	return true;
}

static void overtake(struct cp_ovpn_reliable *reliable, uint32_t acked)
{
	for (size_t i = 0; i < CP_OVPN_SEND_WINDOW; i++) {
		struct cp_ovpn_outgoing *packet = &reliable->out[i];

		if (packet->is_used && packet->was_sent && packet->id < acked)
			packet->overtaken++;
	}
}

void cp_ovpn_reliable_acked(struct cp_ovpn_reliable *reliable, const uint32_t *ids, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct cp_ovpn_outgoing *packet = &reliable->out[ids[i] % CP_OVPN_SEND_WINDOW];

		if (!packet->is_used || packet->id != ids[i] || !packet->was_sent)
			continue;
		packet->is_used = false;
		overtake(reliable, ids[i]);
	}
}

static bool is_due(const struct cp_ovpn_outgoing *packet, uint64_t now_ms)
{
	return packet->is_used && (packet->due_ms <= now_ms || packet->overtaken >= EARLY_ACKS);
}

static void schedule(struct cp_ovpn_outgoing *packet, uint64_t now_ms)
{
	packet->due_ms = now_ms + packet->interval_ms;
	packet->overtaken = 0;
	packet->was_sent = true;
	if (packet->interval_ms * 2 <= INTERVAL_MAX_MS)
		packet->interval_ms *= 2;
}

const struct cp_ovpn_outgoing *cp_ovpn_reliable_due(struct cp_ovpn_reliable *reliable,
                                                    uint64_t now_ms)
{
	/* from the oldest on */
	for (uint32_t i = 0; i < CP_OVPN_SEND_WINDOW; i++) {
		struct cp_ovpn_outgoing *packet =
			&reliable->out[(reliable->next_out + i) % CP_OVPN_SEND_WINDOW];

		if (!is_due(packet, now_ms))
			continue;
		reliable->retransmissions += packet->was_sent;
		schedule(packet, now_ms);
		return packet;
	}
	return NULL;
}

uint64_t cp_ovpn_reliable_deadline_ms(const struct cp_ovpn_reliable *reliable)
{
	uint64_t deadline_ms = UINT64_MAX;

	for (size_t i = 0; i < CP_OVPN_SEND_WINDOW; i++) {
		const struct cp_ovpn_outgoing *packet = &reliable->out[i];

		if (packet->is_used && packet->overtaken >= EARLY_ACKS)
			return 0;
		if (packet->is_used && packet->due_ms < deadline_ms)
			deadline_ms = packet->due_ms;
	}
	return deadline_ms;
}

void cp_ovpn_reliable_hurry(struct cp_ovpn_reliable *reliable, uint64_t now_ms)
{
	for (size_t i = 0; i < CP_OVPN_SEND_WINDOW; i++) {
		reliable->out[i].due_ms = now_ms;
		reliable->out[i].interval_ms = reliable->timeout_ms;
	}
}

static bool owe(struct cp_ovpn_reliable *reliable, uint32_t id)
{
	for (size_t i = 0; i < reliable->ack_count; i++)
		if (reliable->acks[i] == id)
			return true;
	if (reliable->ack_count == CP_OVPN_ACKS_MAX)
		return false;
	reliable->acks[reliable->ack_count++] = id;
	return true;
}

bool cp_ovpn_reliable_receive(struct cp_ovpn_reliable *reliable, uint8_t opcode, uint32_t id,
                              const uint8_t *payload, size_t length)
{
	struct cp_ovpn_incoming *packet = &reliable->in[id % CP_OVPN_RECEIVE_WINDOW];
	uint32_t ahead = id - reliable->next_in;

	if (ahead > INT32_MAX) /* it was delivered before */
		return owe(reliable, id);
	if (ahead >= CP_OVPN_RECEIVE_WINDOW || length > sizeof(packet->payload) ||
	    !owe(reliable, id))
		return false;
	if (packet->is_used)
		return true;
	packet->is_used = true;
	packet->opcode = opcode;
	packet->length = length;
	if (length > 0)
		memcpy(packet->payload, payload, length);
	return true;
}

const struct cp_ovpn_incoming *cp_ovpn_reliable_next(struct cp_ovpn_reliable *reliable)
{
	struct cp_ovpn_incoming *packet = &reliable->in[reliable->next_in % CP_OVPN_RECEIVE_WINDOW];

	if (!packet->is_used)
		return NULL;
	packet->is_used = false;
	reliable->next_in++;
	return packet;
}

bool cp_ovpn_reliable_has_next(const struct cp_ovpn_reliable *reliable)
{
	return reliable->in[reliable->next_in % CP_OVPN_RECEIVE_WINDOW].is_used;
}

void cp_ovpn_reliable_abandon(struct cp_ovpn_reliable *reliable)
{
	for (size_t i = 0; i < CP_OVPN_SEND_WINDOW; i++)
		reliable->out[i].is_used = false;
	reliable->ack_count = 0;
}

/* ID becomes the first of those that were given. */
static void give(struct cp_ovpn_reliable *reliable, uint32_t id)
{
	size_t place = 0;

	while (place < reliable->given_count && reliable->given[place] != id)
		place++;
	if (place == CP_OVPN_ACKS_MAX)
		place--;
	else if (place == reliable->given_count)
		reliable->given_count++;
	memmove(reliable->given + 1, reliable->given, place * sizeof(*reliable->given));
	reliable->given[0] = id;
}

size_t cp_ovpn_reliable_take_acks(struct cp_ovpn_reliable *reliable, uint32_t *acks, size_t max)
{
	size_t taken = reliable->ack_count < max ? reliable->ack_count : max, count;

	for (size_t i = 0; i < taken; i++)
		give(reliable, reliable->acks[i]);
	reliable->ack_count -= taken;
	memmove(reliable->acks, reliable->acks + taken,
	        reliable->ack_count * sizeof(*reliable->acks));
	count = reliable->given_count < max ? reliable->given_count : max;
	memcpy(acks, reliable->given, count * sizeof(*acks));
	return count;
}
