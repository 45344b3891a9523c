/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One OpenVPN session with one server: its packets, its time, its beginning and its end.
 */
#include "controlplane/ovpn_session.h"

#include "controlplane/ovpn_about.h"
#include "controlplane/ovpn_session_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#define OUTER_IPV4 28u /* IP and UDP headers */
#define OUTER_IPV6 48u
#define PIGGYBACK_ACKS 4u
#define ACK_BLOCK (1 + 4 * PIGGYBACK_ACKS + CP_OVPN_SESSION_ID_LEN)
#define PACKET_MIN (CP_OVPN_HEAD_LEN + CP_OVPN_BODY_MIN)
#define PAYLOAD_MIN 16u
#define LEAVE_S 2u /* for EXIT's acknowledgement */

_Static_assert(sizeof(struct cp_ovpn_session_secrets) <= SP_SECRET_MAX, "session secrets");

/* ---- making one ---- */

static int make_wrap(struct cp_ovpn_session *session, const struct cp_ovpn_material *material,
                     char why[CP_WHY_LEN])
{
	static const enum cp_ovpn_direction directions[] = { CP_OVPN_DIRECTION_0,
		                                             CP_OVPN_DIRECTION_1 };
	const struct cp_ovpn_settings *settings = &session->settings;
	struct cp_ovpn_session_secrets *secrets = cp_ovpn_session_secrets(session);
	int direction = settings->key_direction;
	int rc = 0;

	if (settings->wrapping == CP_OVPN_WRAP_NONE) {
		cp_ovpn_wrap_nothing(&secrets->first);
		return 0;
	}
	if (!material->wrap || material->wrap->length < CP_OVPN_STATIC_KEY_LEN) {
		snprintf(why, CP_WHY_LEN, "the key of tls-auth or tls-crypt is missing");
		return -EINVAL;
	}
	memcpy(secrets->static_key, material->wrap->data, CP_OVPN_STATIC_KEY_LEN);
	if (settings->wrapping == CP_OVPN_TLS_AUTH)
		rc = cp_ovpn_wrap_auth(&secrets->first, secrets->static_key,
		                       direction < 0 ? CP_OVPN_DIRECTION_NONE
		                                     : directions[direction != 0],
		                       cp_ovpn_digest_name(settings->digest), session->unix_s);
	else if (settings->wrapping == CP_OVPN_TLS_CRYPT)
		cp_ovpn_wrap_crypt(&secrets->first, secrets->static_key, session->unix_s);
	else
		rc = cp_ovpn_wrap_crypt_v2(&secrets->first, secrets->static_key, material->wkc,
		                           material->wkc_length, session->unix_s);
	if (rc < 0)
		snprintf(why, CP_WHY_LEN, "the key of tls-auth or tls-crypt cannot be used");
	return rc;
}

static int copy_login(struct cp_ovpn_session *session, const struct cp_ovpn_material *material)
{
	if (!material->password)
		return 0;
	session->password = sp_secret_create();
	if (!session->password)
		return -ENOMEM;
	session->password->length = material->password->length;
	memcpy(session->password->data, material->password->data, material->password->length);
	snprintf(session->account, sizeof(session->account), "%s", material->account);
	return 0;
}

static bool choose_id(uint8_t id[CP_OVPN_SESSION_ID_LEN])
{
	id[0] |= 1; /* never all zero */
	return RAND_bytes(id + 1, CP_OVPN_SESSION_ID_LEN - 1) == 1 && RAND_bytes(id, 1) == 1 &&
	       (id[0] || id[1] || id[2] || id[3]);
}

/* What needs memory, random numbers or OpenSSL. */
static int equip(struct cp_ovpn_session *session, const struct cp_ovpn_material *material,
                 char why[CP_WHY_LEN])
{
	snprintf(why, CP_WHY_LEN, "out of memory");
	session->secrets = sp_secret_create();
	session->push = calloc(1, sizeof(*session->push));
	if (!session->secrets || !session->push || copy_login(session, material) < 0)
		return -ENOMEM;
	session->secrets->length = sizeof(struct cp_ovpn_session_secrets);
	memset(session->secrets->data, 0, session->secrets->length);
	cp_ovpn_push_begin(session->push, &session->settings);
	if (!choose_id(session->own_id)) {
		snprintf(why, CP_WHY_LEN, "no random numbers");
		return -EIO;
	}
	session->tls = cp_ovpn_tls_create(&session->settings, material, why);
	return session->tls ? make_wrap(session, material, why) : -EINVAL;
}

struct cp_ovpn_session *cp_ovpn_session_create(const struct cp_ovpn_settings *settings,
                                               const struct cp_ovpn_material *material,
                                               const struct cp_ovpn_link *link,
                                               struct sp_secret *token, uint32_t unix_s,
                                               const struct cp_ovpn_calls *calls, void *context,
                                               char why[CP_WHY_LEN])
{
	struct cp_ovpn_session *session = calloc(1, sizeof(*session));

	if (!session) {
		snprintf(why, CP_WHY_LEN, "out of memory");
		return NULL;
	}
	session->settings = *settings;
	session->link = *link;
	session->calls = calls;
	session->context = context;
	session->token = token;
	session->unix_s = unix_s;
	session->state = CP_OVPN_NEW;
	session->next_key_id = 1;
	if (equip(session, material, why) < 0) {
		cp_ovpn_session_destroy(session);
		return NULL;
	}
	return session;
}

void cp_ovpn_session_destroy(struct cp_ovpn_session *session)
{
	if (!session)
		return;
	cp_ovpn_negotiation_destroy(session->current);
	cp_ovpn_tls_destroy(session->tls);
	if (session->push)
		cp_ovpn_push_fini(session->push);
	free(session->push);
	sp_secret_destroy(session->password);
	sp_secret_destroy(session->secrets);
	free(session);
}

/* ---- packets ---- */

static bool is_running(const struct cp_ovpn_session *session)
{
	return session->state >= CP_OVPN_OPENING && session->state <= CP_OVPN_LEAVING;
}

static struct cp_ovpn_wrap *wrap_of(const struct cp_ovpn_session *session, uint8_t key_id)
{
	struct cp_ovpn_session_secrets *secrets = cp_ovpn_session_secrets(session);

	return key_id && session->has_renewal_wrap ? &secrets->renewals : &secrets->first;
}

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
	packet_length =
		cp_ovpn_wrap(wrap_of(session, key_id), head, bytes, length, packet, sizeof(packet));
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
	size_t bare_max = wrap_of(session, session->current->key_id)->kind == CP_OVPN_WRAP_NOTHING
	                          ? PIGGYBACK_ACKS
	                          : CP_OVPN_ACKS_MAX;
	const struct cp_ovpn_outgoing *packet;

	while ((packet = cp_ovpn_reliable_due(reliable, now_ms))) {
		struct cp_ovpn_body body = { .id = packet->id,
			                     .payload = packet->payload,
			                     .payload_length = packet->length };

		body.ack_count = cp_ovpn_reliable_take_acks(reliable, body.acks, PIGGYBACK_ACKS);
		transmit(session, packet->opcode, &body);
	}
	while (reliable->ack_count > 0 && !cp_ovpn_negotiation_holds_acks(session->current)) {
		struct cp_ovpn_body body = { 0 };

		body.ack_count = cp_ovpn_reliable_take_acks(reliable, body.acks, bare_max);
		transmit(session, CP_OVPN_ACK, &body);
	}
}

/* ---- negotiations ---- */

/* Bytes of TLS that fit into one packet. */
static size_t payload_max(const struct cp_ovpn_session *session, uint8_t key_id)
{
	size_t around = (session->link.is_ipv6 ? OUTER_IPV6 : OUTER_IPV4) + CP_OVPN_HEAD_LEN +
	                ACK_BLOCK + 4 + cp_ovpn_wrap_overhead(wrap_of(session, key_id));
	size_t whole = session->settings.control_bytes;

	if (whole > CP_OVPN_PACKET_MAX)
		whole = CP_OVPN_PACKET_MAX;
	return whole > around + PAYLOAD_MIN ? whole - around : PAYLOAD_MIN;
}

static void negotiate(struct cp_ovpn_session *session, uint8_t key_id, enum cp_ovpn_opcode opcode,
                      uint64_t now_ms)
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

/* Either side wants new keys. */
static void negotiate_again(struct cp_ovpn_session *session, uint64_t now_ms)
{
	cp_ovpn_data_keys_settle(session);
	negotiate(session, session->next_key_id, CP_OVPN_SOFT_RESET, now_ms);
	session->next_key_id = session->next_key_id % (CP_OVPN_KEY_IDS - 1) + 1;
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
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_EXACT,
		                    "TLS: nothing can be sent");
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

/* Takes the current negotiation as far as it goes. */
static void advance(struct cp_ovpn_session *session, uint64_t now_ms)
{
	struct cp_ovpn_negotiation *negotiation = session->current;
	enum cp_ovpn_phase before;
	char why[CP_WHY_LEN];

	do {
		before = negotiation->phase;
		if (cp_ovpn_negotiation_step(negotiation, now_ms, why) < 0) {
			cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_EXACT, "%s", why);
			return;
		}
		if (negotiation->phase == CP_OVPN_SHAKEN)
			say_hello(session, now_ms);
		if (negotiation->phase == CP_OVPN_ACTIVE && before != CP_OVPN_ACTIVE)
			activate(session, now_ms);
	} while (is_running(session) && negotiation->phase != before);
	if (is_running(session) && negotiation->phase == CP_OVPN_ACTIVE)
		cp_ovpn_messages_read(session, now_ms);
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

/* Every function of the header ends with this: sends what there is, and tells of the end. */
static void finish(struct cp_ovpn_session *session, uint64_t now_ms)
{
	if (session->current && session->state != CP_OVPN_OVER)
		flush(session, now_ms); /* also an alert, or the last acknowledgement */
	if (session->state != CP_OVPN_ENDING)
		return;
	session->state = CP_OVPN_OVER;
	session->calls->ended(session->context, &session->end);
}

/* Why there is no session in time. */
static void give_up(struct cp_ovpn_session *session)
{
	const char *wrapping =
		session->settings.wrapping == CP_OVPN_TLS_AUTH ? "tls-auth" : "tls-crypt";

	if (session->refused > 0 && !session->has_server_id)
		cp_ovpn_session_end(
			session, CP_OVPN_RETRY_OTHER, CP_RANK_EXACT,
			"what the server answers does not pass %s: another key%s", wrapping,
			session->settings.wrapping == CP_OVPN_TLS_AUTH ? ", direction or digest"
								       : "");
	else if (!session->has_server_id && session->settings.wrapping == CP_OVPN_WRAP_NONE)
		cp_ovpn_session_end(session, CP_OVPN_RETRY_OTHER, CP_RANK_VAGUE,
		                    "no answer (a server that wants tls-auth or tls-crypt gives "
		                    "none)");
	else if (!session->has_server_id)
		cp_ovpn_session_end(session, CP_OVPN_RETRY_OTHER, CP_RANK_VAGUE,
		                    "no answer (nor if its key for %s is not ours)", wrapping);
	else if (session->state == CP_OVPN_PULLING)
		cp_ovpn_session_end(session, CP_OVPN_RETRY_OTHER, CP_RANK_NOTIFY,
		                    "the server pushes nothing");
	else
		cp_ovpn_session_end(session, CP_OVPN_RETRY_OTHER, CP_RANK_NOTIFY,
		                    "the server answered but did not finish the TLS handshake; "
		                    "it may refuse our certificate, or want one");
}

/* ---- the header ---- */

void cp_ovpn_session_start(struct cp_ovpn_session *session, uint64_t now_ms)
{
	bool is_v3 = session->settings.wrapping == CP_OVPN_TLS_CRYPT_V2;

	session->state = CP_OVPN_OPENING;
	session->last_ms = now_ms;
	session->up_until_ms = cp_ovpn_after_s(now_ms, session->settings.hand_window_s);
	negotiate(session, 0, is_v3 ? CP_OVPN_HARD_RESET_CLIENT_V3 : CP_OVPN_HARD_RESET_CLIENT,
	          now_ms);
	finish(session, now_ms);
}

/* Whether a packet with these may mean anything now; nothing was looked at but its first byte. */
static bool is_expected(const struct cp_ovpn_session *session, uint8_t opcode, uint8_t key_id)
{
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

	if (!is_running(session) || length < PACKET_MIN || length > sizeof(bytes))
		return;
	opcode = cp_ovpn_opcode(packet[0]);
	key_id = cp_ovpn_key_id(packet[0]);
	if (!is_expected(session, opcode, key_id))
		return;
	body_length = cp_ovpn_unwrap(wrap_of(session, key_id), packet, length, bytes);
	if (body_length < 0) {
		session->refused += body_length == -EBADMSG;
		return;
	}
	if (cp_ovpn_body_parse(&body, opcode, bytes, (size_t)body_length) < 0 ||
	    !is_ours(session, packet, &body))
		return;
	session->last_ms = now_ms;
	if (key_id != session->current->key_id) {
		negotiate_again(session, now_ms);
		if (!is_running(session)) {
			finish(session, now_ms);
			return;
		}
	}
	cp_ovpn_negotiation_receive(session->current, opcode, &body, now_ms);
	advance(session, now_ms);
	if (session->state == CP_OVPN_LEAVING &&
	    cp_ovpn_reliable_is_acked(&session->current->reliable))
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_VAGUE, "we took leave");
	finish(session, now_ms);
}

/* Until when the negotiation under way must be through. */
static uint64_t window_ms(const struct cp_ovpn_session *session)
{
	const struct cp_ovpn_settings *settings = &session->settings;

	if (session->state == CP_OVPN_OPENING && !session->has_server_id &&
	    settings->connect_timeout_s && settings->connect_timeout_s < settings->hand_window_s)
		return cp_ovpn_after_s(session->current->begun_ms, settings->connect_timeout_s);
	if (session->state == CP_OVPN_OPENING || session->state == CP_OVPN_PULLING)
		return session->up_until_ms;
	if (session->state == CP_OVPN_UP && session->current->phase != CP_OVPN_ACTIVE)
		return cp_ovpn_after_s(session->current->begun_ms, settings->hand_window_s);
	return UINT64_MAX;
}

static uint64_t renegotiate_ms(const struct cp_ovpn_session *session)
{
	if (session->state != CP_OVPN_UP || session->current->phase != CP_OVPN_ACTIVE ||
	    session->settings.reneg_s == 0)
		return UINT64_MAX;
	return cp_ovpn_after_s(session->current->active_ms, session->settings.reneg_s);
}

static uint64_t silence_ms(const struct cp_ovpn_session *session)
{
	if (session->state != CP_OVPN_UP || session->push->ping_restart_s == 0)
		return UINT64_MAX;
	return cp_ovpn_after_s(session->last_ms, session->push->ping_restart_s);
}

static void tick_up(struct cp_ovpn_session *session, uint64_t now_ms)
{
	if (now_ms >= window_ms(session)) {
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_NOTIFY,
		                    "the server did not answer when new keys were due");
		return;
	}
	if (now_ms >= silence_ms(session)) {
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_VAGUE,
		                    "nothing was heard of the server for %u s (ping-restart)",
		                    session->push->ping_restart_s);
		return;
	}
	if (now_ms >= renegotiate_ms(session))
		negotiate_again(session, now_ms);
	cp_ovpn_data_keys_tick(session, now_ms);
}

void cp_ovpn_session_tick(struct cp_ovpn_session *session, uint64_t now_ms)
{
	if (!is_running(session))
		return;
	if (session->state == CP_OVPN_UP)
		tick_up(session, now_ms);
	else if (session->state == CP_OVPN_LEAVING && now_ms >= session->leave_ms)
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_VAGUE, "we took leave");
	else if (now_ms >= window_ms(session))
		give_up(session);
	else if (session->state == CP_OVPN_PULLING)
		cp_ovpn_messages_pull(session, now_ms);
	finish(session, now_ms);
}

static void earlier(uint64_t *deadline_ms, uint64_t other_ms)
{
	if (other_ms < *deadline_ms)
		*deadline_ms = other_ms;
}

uint64_t cp_ovpn_session_deadline_ms(const struct cp_ovpn_session *session)
{
	uint64_t deadline_ms;

	if (!is_running(session))
		return UINT64_MAX;
	deadline_ms = cp_ovpn_reliable_deadline_ms(&session->current->reliable);
	earlier(&deadline_ms, window_ms(session));
	earlier(&deadline_ms, renegotiate_ms(session));
	earlier(&deadline_ms, silence_ms(session));
	if (session->state == CP_OVPN_PULLING)
		earlier(&deadline_ms, session->ask_ms);
	if (session->state == CP_OVPN_LEAVING)
		earlier(&deadline_ms, session->leave_ms);
	if (session->state == CP_OVPN_UP)
		earlier(&deadline_ms, cp_ovpn_data_keys_deadline_ms(session));
	return deadline_ms;
}

void cp_ovpn_session_heard(struct cp_ovpn_session *session, uint8_t key_id, uint64_t now_ms)
{
	if (session->state != CP_OVPN_UP)
		return;
	session->last_ms = now_ms;
	cp_ovpn_data_keys_heard(session, key_id);
}

void cp_ovpn_session_renegotiate(struct cp_ovpn_session *session, uint64_t now_ms)
{
	if (session->state != CP_OVPN_UP || session->current->phase != CP_OVPN_ACTIVE)
		return;
	negotiate_again(session, now_ms);
	finish(session, now_ms);
}

void cp_ovpn_session_stop(struct cp_ovpn_session *session, uint64_t now_ms)
{
	bool is_up = session->state == CP_OVPN_UP;

	if (!is_running(session) || session->state == CP_OVPN_LEAVING)
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
	finish(session, now_ms);
}

const char *cp_ovpn_session_tls(const struct cp_ovpn_session *session)
{
	return session->tls_text;
}
