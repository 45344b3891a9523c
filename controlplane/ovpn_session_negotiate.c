/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The negotiations of an OpenVPN session: begins them, and takes the current one on.
 */
#include "controlplane/ovpn_session_private.h"

#include "controlplane/ovpn_about.h"

#define OUTER_IPV4 28u /* IP and UDP headers */
#define OUTER_IPV6 48u
#define ACK_BLOCK (1 + 4 * CP_OVPN_PIGGYBACK_ACKS + CP_OVPN_SESSION_ID_LEN)
#define PAYLOAD_MIN 16u

/* Bytes of TLS that fit into one packet. */
static size_t payload_max(const struct cp_ovpn_session *session, uint8_t key_id)
{
	size_t around = (session->link.is_ipv6 ? OUTER_IPV6 : OUTER_IPV4) + CP_OVPN_HEAD_LEN +
	                ACK_BLOCK + 4 +
	                cp_ovpn_wrap_overhead(cp_ovpn_session_wrap(session, key_id));
	size_t whole = session->settings.control_bytes;

	if (whole > CP_OVPN_PACKET_MAX)
		whole = CP_OVPN_PACKET_MAX;
	return whole > around + PAYLOAD_MIN ? whole - around : PAYLOAD_MIN;
}

void cp_ovpn_session_negotiate(struct cp_ovpn_session *session, uint8_t key_id,
                               enum cp_ovpn_opcode opcode, uint64_t now_ms)
{
	struct cp_ovpn_negotiation *negotiation = cp_ovpn_negotiation_create(
		session->tls, key_id, opcode, session->settings.tls_timeout_s * 1000, now_ms);

	if (!negotiation) {
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_EXACT, "out of memory");
		return;
	}
	negotiation->payload_max = payload_max(session, key_id);
	if (opcode == CP_OVPN_HARD_RESET_CLIENT_V3)
		negotiation->wkc_length = cp_ovpn_session_secrets(session)->first.wkc_length;
	cp_ovpn_negotiation_destroy(session->current);
	session->current = negotiation;
}

void cp_ovpn_session_negotiate_again(struct cp_ovpn_session *session, uint64_t now_ms)
{
	const struct cp_ovpn_negotiation *last = session->current;
	/* of one that it did not answer the server does not know: it is the next one still */
	bool is_known = !last || last->phase != CP_OVPN_FAILED;
	uint8_t key_id = is_known ? session->next_key_id : last->key_id;

	cp_ovpn_data_keys_settle(session);
	if (is_known)
		session->next_key_id = session->next_key_id % (CP_OVPN_KEY_IDS - 1) + 1;
	cp_ovpn_session_negotiate(session, key_id, CP_OVPN_SOFT_RESET, now_ms);
}

void cp_ovpn_session_miss(struct cp_ovpn_session *session, enum cp_rank rank, const char *why,
                          uint64_t now_ms)
{
	uint64_t patience_ms = session->settings.tran_window_s * UINT64_C(500); /* half of it */

	if (session->state != CP_OVPN_UP || !session->newest.is_live) {
		cp_ovpn_session_end(session, CP_OVPN_RETRY, rank, "%s", why);
		return;
	}
	session->current->phase = CP_OVPN_FAILED;
	if (!session->unrenewed_ms)
		session->unrenewed_ms = session->current->begun_ms;
	session->calls->unrenewed(session->context, why);
	if (cp_ovpn_session_is_answered(session) || now_ms - session->unrenewed_ms >= patience_ms)
		session->calls->stuck(session->context);
	else
		cp_ovpn_session_negotiate_again(session, now_ms);
}

/* Our message of key method 2. */
static void say_hello(struct cp_ovpn_session *session, uint64_t now_ms)
{
	char options[CP_OVPN_OPTIONS_MAX], peer_info[CP_OVPN_OPTIONS_MAX];
	struct cp_ovpn_client_hello hello = {
		.entropy = cp_ovpn_negotiation_entropy(session->current),
		.options = options,
		.peer_info = peer_info,
	};
	uint8_t bytes[CP_OVPN_KEY_METHOD_MAX];
	struct sp_secret *password;
	long length;

	if (cp_ovpn_messages_login(session, &hello.account, &password) < 0) {
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_EXACT, "out of memory");
		return;
	}
	hello.password = password;
	cp_ovpn_about_options(&session->settings, &session->link, options, sizeof(options));
	cp_ovpn_about_peer_info(&session->settings, peer_info, sizeof(peer_info));
	length = cp_ovpn_client_hello_write(&hello, bytes);
	if (length < 0)
		cp_ovpn_session_end(session, CP_OVPN_NEVER, CP_RANK_EXACT,
		                    "account and password are too long for OpenVPN");
	else if (cp_ovpn_negotiation_write(session->current, bytes, (size_t)length, now_ms) < 0)
		cp_ovpn_session_miss(session, CP_RANK_EXACT, "TLS: nothing can be sent", now_ms);
	sp_wipe(bytes, sizeof(bytes));
	sp_secret_destroy(password);
}

/* The current negotiation has just become active. */
static void activate(struct cp_ovpn_session *session, uint64_t now_ms)
{
	cp_ovpn_tls_describe(session->current->stream, session->tls_text,
	                     sizeof(session->tls_text));
	if (session->state != CP_OVPN_OPENING) {
		cp_ovpn_data_keys_renew(session);
		return;
	}
	session->state = CP_OVPN_PULLING;
	session->up_until_ms = cp_ovpn_after_s(now_ms, session->settings.hand_window_s);
	cp_ovpn_messages_pull(session, now_ms);
}

/* Until nothing changes any more. */
static void go_on(struct cp_ovpn_session *session, uint64_t now_ms)
{
	struct cp_ovpn_negotiation *negotiation = session->current;
	enum cp_ovpn_phase before;
	char why[CP_WHY_LEN];

	do {
		before = negotiation->phase;
		if (cp_ovpn_negotiation_step(negotiation, now_ms, why) < 0) {
			cp_ovpn_session_miss(session, CP_RANK_EXACT, why, now_ms);
			return;
		}
		if (negotiation->phase == CP_OVPN_SHAKEN)
			say_hello(session, now_ms);
		if (negotiation->phase == CP_OVPN_ACTIVE && before != CP_OVPN_ACTIVE)
			activate(session, now_ms);
	} while (cp_ovpn_session_is_running(session) && negotiation->phase != before &&
	         negotiation->phase != CP_OVPN_FAILED);
}

void cp_ovpn_session_advance(struct cp_ovpn_session *session, uint64_t now_ms)
{
	const struct cp_ovpn_negotiation *negotiation = session->current;

	do {
		go_on(session, now_ms);
		if (!cp_ovpn_session_is_running(session) || negotiation->phase != CP_OVPN_ACTIVE)
			return;
		cp_ovpn_messages_read(session, now_ms);
		/* what found no room before */
	} while (cp_ovpn_session_is_running(session) &&
	         cp_ovpn_reliable_has_next(&negotiation->reliable));
}
