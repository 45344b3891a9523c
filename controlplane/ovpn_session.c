/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One OpenVPN session with one server: its packets, its beginning and its end.
 */
#include "controlplane/ovpn_session.h"

#include "controlplane/ovpn_session_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PACKET_MIN (CP_OVPN_HEAD_LEN + CP_OVPN_BODY_MIN)
#define LEAVE_S 2u /* for EXIT's acknowledgement */

/* ---- packets ---- */

/* Wraps and sends; BODY gets the server's session id. */
static void transmit(struct cp_ovpn_session *session, uint8_t opcode, struct cp_ovpn_body *body)
{
	uint8_t head[CP_OVPN_HEAD_LEN], bytes[CP_OVPN_PACKET_MAX], packet[CP_OVPN_PACKET_MAX];
	uint8_t key_id = session->current->key_id;
	size_t length = cp_ovpn_body_length(body, opcode);
	long packet_length;

	if (length > sizeof(bytes))
		return;
	head[0] = cp_ovpn_first_byte(opcode, key_id);
	memcpy(head + 1, session->own_id, CP_OVPN_SESSION_ID_LEN);
	memcpy(body->peer_session_id, session->server_id, CP_OVPN_SESSION_ID_LEN);
	cp_ovpn_body_write(body, opcode, bytes);
	packet_length = cp_ovpn_wrap(cp_ovpn_session_wrap(session, key_id), head, bytes, length,
	                             packet, sizeof(packet));
	if (packet_length > 0)
		session->calls->send(session->context, packet, (size_t)packet_length);
	else
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_EXACT,
		                    "a control packet could not be made");
}

/* What is due of the current negotiation, with the acknowledgements that we owe. */
static void flush(struct cp_ovpn_session *session, uint64_t now_ms)
{
	struct cp_ovpn_reliable *reliable = &session->current->reliable;
	/* some servers refuse more than four where there is no wrapping */
	size_t bare_max = cp_ovpn_session_wrap(session, session->current->key_id)->kind ==
	                                  CP_OVPN_WRAP_NOTHING
	                          ? CP_OVPN_PIGGYBACK_ACKS
	                          : CP_OVPN_ACKS_MAX;
	const struct cp_ovpn_outgoing *packet;

	while ((packet = cp_ovpn_reliable_due(reliable, now_ms))) {
		struct cp_ovpn_body body = { .id = packet->id,
			                     .payload = packet->payload,
			                     .payload_length = packet->length };

		body.ack_count =
			cp_ovpn_reliable_take_acks(reliable, body.acks, CP_OVPN_PIGGYBACK_ACKS);
		transmit(session, packet->opcode, &body);
	}
	while (reliable->ack_count > 0 && !cp_ovpn_negotiation_holds_acks(session->current)) {
		struct cp_ovpn_body body = { 0 };

		body.ack_count = cp_ovpn_reliable_take_acks(reliable, body.acks, bare_max);
		transmit(session, CP_OVPN_ACK, &body);
	}
	if (session->current->phase == CP_OVPN_FAILED)
		cp_ovpn_reliable_abandon(reliable);
}

/* ---- the end ---- */

void cp_ovpn_session_end(struct cp_ovpn_session *session, enum cp_ovpn_next next, enum cp_rank rank,
                         const char *format, ...)
{
	va_list arguments;

	if (session->state >= CP_OVPN_ENDING)
		return;
	session->state = CP_OVPN_ENDING;
	session->end.next = next;
	session->end.rank = rank;
	va_start(arguments, format);
	vsnprintf(session->end.why, sizeof(session->end.why), format, arguments);
	va_end(arguments);
}

void cp_ovpn_session_finish(struct cp_ovpn_session *session, uint64_t now_ms)
{
	if (session->current && session->state != CP_OVPN_OVER)
		flush(session, now_ms); /* also an alert, or the last acknowledgement */
	if (session->state != CP_OVPN_ENDING)
		return;
	session->state = CP_OVPN_OVER;
	session->calls->ended(session->context, &session->end);
}

/* ---- the header ---- */

void cp_ovpn_session_start(struct cp_ovpn_session *session, uint64_t now_ms)
{
	bool is_v3 = session->settings.wrapping == CP_OVPN_TLS_CRYPT_V2;

	session->state = CP_OVPN_OPENING;
	session->last_ms = now_ms;
	session->up_until_ms = cp_ovpn_after_s(now_ms, session->settings.hand_window_s);
	cp_ovpn_session_negotiate(session, 0,
	                          is_v3 ? CP_OVPN_HARD_RESET_CLIENT_V3 : CP_OVPN_HARD_RESET_CLIENT,
	                          now_ms);
	cp_ovpn_session_finish(session, now_ms);
}

/* Whether a packet with these may mean anything now; nothing was looked at but its first byte. */
static bool is_expected(const struct cp_ovpn_session *session, uint8_t opcode, uint8_t key_id)
{
	/* a server that answered has given the session up as well by now */
	if (session->current->phase == CP_OVPN_FAILED)
		return opcode == CP_OVPN_SOFT_RESET && key_id == session->current->key_id &&
		       !cp_ovpn_session_is_answered(session);
	switch (opcode) {
	case CP_OVPN_HARD_RESET_SERVER:
		return key_id == 0 && session->current->key_id == 0;
	case CP_OVPN_SOFT_RESET:
		return key_id != 0 &&
		       (key_id == session->current->key_id ||
		        (key_id == session->next_key_id && session->state == CP_OVPN_UP &&
		         session->current->phase == CP_OVPN_ACTIVE));
	case CP_OVPN_CONTROL:
	case CP_OVPN_ACK:
		return key_id == session->current->key_id;
	default:
		return false;
	}
}

/* Whether it is from the server that we talk to, and for us. */
static bool is_ours(struct cp_ovpn_session *session, const uint8_t *packet,
                    const struct cp_ovpn_body *body)
{
	uint8_t opcode = cp_ovpn_opcode(packet[0]);

	if (body->ack_count > 0 &&
	    memcmp(body->peer_session_id, session->own_id, CP_OVPN_SESSION_ID_LEN) != 0)
		return false;
	if (opcode != CP_OVPN_ACK && (body->id == 0) != (opcode == CP_OVPN_HARD_RESET_SERVER ||
	                                                 opcode == CP_OVPN_SOFT_RESET))
		return false;
	if (session->has_server_id)
		return memcmp(packet + 1, session->server_id, CP_OVPN_SESSION_ID_LEN) == 0;
	/* who echoes our session id has seen it: without a wrapping that is all there is */
	if (opcode != CP_OVPN_HARD_RESET_SERVER || body->ack_count == 0)
		return false;
	memcpy(session->server_id, packet + 1, CP_OVPN_SESSION_ID_LEN);
	session->has_server_id = true;
	return true;
}

void cp_ovpn_session_receive(struct cp_ovpn_session *session, const uint8_t *packet, size_t length,
                             uint64_t now_ms)
{
	uint8_t bytes[CP_OVPN_PACKET_MAX], opcode, key_id;
	struct cp_ovpn_body body;
	long body_length;

	if (!cp_ovpn_session_is_running(session) || length < PACKET_MIN || length > sizeof(bytes))
		return;
	opcode = cp_ovpn_opcode(packet[0]);
	key_id = cp_ovpn_key_id(packet[0]);
	if (!is_expected(session, opcode, key_id))
		return;
	body_length = cp_ovpn_unwrap(cp_ovpn_session_wrap(session, key_id), packet, length, bytes);
	if (body_length < 0) {
		session->refused += body_length == -EBADMSG;
		return;
	}
	if (cp_ovpn_body_parse(&body, opcode, bytes, (size_t)body_length) < 0 ||
	    !is_ours(session, packet, &body))
		return;
	session->last_ms = now_ms;
	if (key_id != session->current->key_id || session->current->phase == CP_OVPN_FAILED) {
		cp_ovpn_session_negotiate_again(session, now_ms);
		if (!cp_ovpn_session_is_running(session)) {
			cp_ovpn_session_finish(session, now_ms);
			return;
		}
	}
	cp_ovpn_negotiation_receive(session->current, opcode, &body, now_ms);
	cp_ovpn_session_advance(session, now_ms);
	if (session->state == CP_OVPN_LEAVING &&
	    cp_ovpn_reliable_is_acked(&session->current->reliable))
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_VAGUE, "we took leave");
	cp_ovpn_session_finish(session, now_ms);
}

void cp_ovpn_session_heard(struct cp_ovpn_session *session, uint8_t key_id, uint64_t now_ms)
{
	if (session->state != CP_OVPN_UP)
		return;
	session->last_ms = now_ms;
	cp_ovpn_data_keys_heard(session, key_id);
}

uint64_t cp_ovpn_session_heard_ms(const struct cp_ovpn_session *session)
{
	return session->last_ms;
}

unsigned cp_ovpn_session_token_count(const struct cp_ovpn_session *session)
{
	return session->token_count;
}

bool cp_ovpn_session_renegotiate(struct cp_ovpn_session *session, uint64_t now_ms)
{
	bool has_failed = session->state == CP_OVPN_UP && session->current->phase == CP_OVPN_FAILED;

	if (session->state != CP_OVPN_UP || (has_failed && cp_ovpn_session_is_answered(session)))
		return false;
	if (session->current->phase == CP_OVPN_ACTIVE || has_failed) {
		cp_ovpn_session_negotiate_again(session, now_ms);
		cp_ovpn_session_finish(session, now_ms);
	}
	return session->state == CP_OVPN_UP;
}

void cp_ovpn_session_stop(struct cp_ovpn_session *session, uint64_t now_ms)
{
	bool is_up = session->state == CP_OVPN_UP;

	if (!cp_ovpn_session_is_running(session) || session->state == CP_OVPN_LEAVING)
		return;
	if (is_up && session->push->has_cc_exit && session->current->phase == CP_OVPN_ACTIVE) {
		session->state = CP_OVPN_LEAVING;
		session->leave_ms = cp_ovpn_after_s(now_ms, LEAVE_S);
		cp_ovpn_messages_send(session, "EXIT", now_ms);
	} else {
		if (is_up && !session->link.is_tcp)
			session->calls->send_exit(session->context);
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_VAGUE, "we took leave");
	}
	cp_ovpn_session_finish(session, now_ms);
}

const char *cp_ovpn_session_tls(const struct cp_ovpn_session *session)
{
	return session->tls_text;
}
