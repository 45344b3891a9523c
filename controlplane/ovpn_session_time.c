/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is due in an OpenVPN session, and when: retransmissions, new keys, an end in silence.
 */
#include "controlplane/ovpn_session_private.h"

#define RESUME_S 4u /* to answer a session that another process began */

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

/* Until when the negotiation under way must be through. */
static uint64_t window_ms(const struct cp_ovpn_session *session)
{
	const struct cp_ovpn_settings *settings = &session->settings;

	if (session->state == CP_OVPN_OPENING && !session->has_server_id &&
	    settings->connect_timeout_s && settings->connect_timeout_s < settings->hand_window_s)
		return cp_ovpn_after_s(session->current->begun_ms, settings->connect_timeout_s);
	if (session->state == CP_OVPN_OPENING || session->state == CP_OVPN_PULLING)
		return session->up_until_ms;
	if (session->is_resuming && session->current->phase != CP_OVPN_ACTIVE)
		return cp_ovpn_after_s(session->current->begun_ms, RESUME_S);
	if (session->state == CP_OVPN_UP && session->current->phase != CP_OVPN_ACTIVE &&
	    session->current->phase != CP_OVPN_FAILED)
		return cp_ovpn_after_s(session->current->begun_ms, settings->hand_window_s);
	return UINT64_MAX;
}

static uint64_t renegotiate_ms(const struct cp_ovpn_session *session)
{
	if (session->state != CP_OVPN_UP || session->current->phase != CP_OVPN_ACTIVE)
		return UINT64_MAX;
	return cp_ovpn_after_s(session->current->active_ms, cp_ovpn_renew_s(&session->settings));
}

/* When it has no key any more. */
static uint64_t keyless_ms(const struct cp_ovpn_session *session)
{
	if (session->state != CP_OVPN_UP || !session->unrenewed_ms)
		return UINT64_MAX;
	return cp_ovpn_after_s(session->unrenewed_ms, session->settings.tran_window_s);
}

static uint64_t silence_ms(const struct cp_ovpn_session *session)
{
	if (session->state != CP_OVPN_UP || session->push->ping_restart_s == 0)
		return UINT64_MAX;
	return cp_ovpn_after_s(session->last_ms, session->push->ping_restart_s);
}

/* New keys are not there in time. */
static void miss_window(struct cp_ovpn_session *session, uint64_t now_ms)
{
	const char *why = "the server did not answer when new keys were due";

	if (session->is_resuming)
		why = "the server has forgotten the session of before";
	else if (cp_ovpn_session_is_answered(session))
		why = "the server answered when new keys were due, but did not go on";
	cp_ovpn_session_miss(session, CP_RANK_NOTIFY, why, now_ms);
}

static void tick_up(struct cp_ovpn_session *session, uint64_t now_ms)
{
	if (now_ms >= window_ms(session))
		miss_window(session, now_ms);
	if (now_ms >= keyless_ms(session))
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_VAGUE,
		                    "no new keys came before the old one ended");
	if (now_ms >= silence_ms(session)) {
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_VAGUE,
		                    "nothing was heard of the server for %u s (ping-restart)",
		                    session->push->ping_restart_s);
		return;
	}
	if (now_ms >= renegotiate_ms(session))
		cp_ovpn_session_negotiate_again(session, now_ms);
	cp_ovpn_data_keys_tick(session, now_ms);
}

void cp_ovpn_session_tick(struct cp_ovpn_session *session, uint64_t now_ms)
{
	if (!cp_ovpn_session_is_running(session))
		return;
	if (session->state == CP_OVPN_UP)
		tick_up(session, now_ms);
	else if (session->state == CP_OVPN_LEAVING && now_ms >= session->leave_ms)
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_VAGUE, "we took leave");
	else if (now_ms >= window_ms(session))
		give_up(session);
	else if (session->state == CP_OVPN_PULLING)
		cp_ovpn_messages_pull(session, now_ms);
	cp_ovpn_session_finish(session, now_ms);
}

static void earlier(uint64_t *deadline_ms, uint64_t other_ms)
{
	if (other_ms < *deadline_ms)
		*deadline_ms = other_ms;
}

uint64_t cp_ovpn_session_deadline_ms(const struct cp_ovpn_session *session)
{
	uint64_t deadline_ms;

	if (!cp_ovpn_session_is_running(session))
		return UINT64_MAX;
	deadline_ms = cp_ovpn_reliable_deadline_ms(&session->current->reliable);
	earlier(&deadline_ms, window_ms(session));
	earlier(&deadline_ms, renegotiate_ms(session));
	earlier(&deadline_ms, silence_ms(session));
	earlier(&deadline_ms, keyless_ms(session));
	if (session->state == CP_OVPN_PULLING)
		earlier(&deadline_ms, session->ask_ms);
	if (session->state == CP_OVPN_LEAVING)
		earlier(&deadline_ms, session->leave_ms);
	if (session->state == CP_OVPN_UP)
		earlier(&deadline_ms, cp_ovpn_data_keys_deadline_ms(session));
	return deadline_ms;
}
