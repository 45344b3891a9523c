/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenVPN's control packets, without their wrapping: what the bytes mean.
 */
#include "controlplane/ovpn_packet.h"

#include "controlplane/ovpn_bytes.h"

#include <errno.h>
#include <string.h>

#define EARLY_TYPE_FLAGS 1

int cp_ovpn_body_parse(struct cp_ovpn_body *body, uint8_t opcode, const uint8_t *bytes,
                       size_t length)
{
	size_t at = 1;

	memset(body, 0, sizeof(*body));
	if (length < 1 || bytes[0] > CP_OVPN_ACKS_MAX)
		return -EBADMSG;
	body->ack_count = bytes[0];
	if (body->ack_count > 0) {
		if (length < at + 4 * body->ack_count + CP_OVPN_SESSION_ID_LEN)
			return -EBADMSG;
		for (size_t i = 0; i < body->ack_count; i++, at += 4)
			body->acks[i] = cp_get_be32(bytes + at);
		memcpy(body->peer_session_id, bytes + at, CP_OVPN_SESSION_ID_LEN);
		at += CP_OVPN_SESSION_ID_LEN;
	}
	if (opcode == CP_OVPN_ACK)
		return length == at && body->ack_count > 0 ? 0 : -EBADMSG;
	if (length < at + 4)
		return -EBADMSG;
	body->id = cp_get_be32(bytes + at);
	at += 4;
	body->payload = bytes + at;
	body->payload_length = length - at;
	return 0;
}

size_t cp_ovpn_body_length(const struct cp_ovpn_body *body, uint8_t opcode)
{
	size_t length = 1;

	if (body->ack_count > 0)
		length += 4 * body->ack_count + CP_OVPN_SESSION_ID_LEN;
	if (opcode != CP_OVPN_ACK)
		length += 4 + body->payload_length;
	return length;
}

size_t cp_ovpn_body_write(const struct cp_ovpn_body *body, uint8_t opcode, uint8_t *bytes)
{
	size_t at = 1;

	bytes[0] = (uint8_t)body->ack_count;
	for (size_t i = 0; i < body->ack_count; i++, at += 4)
		cp_put_be32(bytes + at, body->acks[i]);
	if (body->ack_count > 0) {
		memcpy(bytes + at, body->peer_session_id, CP_OVPN_SESSION_ID_LEN);
		at += CP_OVPN_SESSION_ID_LEN;
	}
	if (opcode == CP_OVPN_ACK)
		return at;
	cp_put_be32(bytes + at, body->id);
	at += 4;
	if (body->payload_length > 0)
		memcpy(bytes + at, body->payload, body->payload_length);
	return at + body->payload_length;
}

int cp_ovpn_early_parse(const uint8_t *payload, size_t length, uint16_t *flags)
{
	*flags = 0;
	while (length > 0) {
		uint16_t type, value_length;

		if (length < 4)
			return -EBADMSG;
		type = cp_get_be16(payload);
		value_length = cp_get_be16(payload + 2);
		if (value_length > length - 4 || (type == EARLY_TYPE_FLAGS && value_length != 2))
			return -EBADMSG;
		if (type == EARLY_TYPE_FLAGS)
			*flags = cp_get_be16(payload + 4);
		payload += 4 + value_length;
		length -= 4u + value_length;
	}
	return 0;
}
