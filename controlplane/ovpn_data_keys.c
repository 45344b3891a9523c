/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keys of an OpenVPN session's data channel: which there are, and which one is sent with.
 *
 * Two are alive at most, of negotiations that follow each other. A new key is received with at
 * once. It is sent with when the server used it, or when its negotiation is long enough ago that
 * the server has it for sure: before, a packet under it could be one that the server cannot open.
 */
#include "controlplane/ovpn_session_private.h"

#include "controlplane/ovpn_about.h"

#include <string.h>

#define SWITCH_MAX_S 60u /* a stock server switches then, too */
/* A server has its new keys when the last acknowledgement came; if that was lost, it asks again
 * after 2 s. */
#define SWITCH_MIN_S 3u

/* After a negotiation began: when we send with its key even if the server does not. */
static uint64_t switch_ms(const struct cp_ovpn_session *session)
{
	const struct cp_ovpn_settings *settings = &session->settings;
	uint64_t wait_ms = SWITCH_MAX_S * 1000;

	if (session->is_resuming) /* keys are to be ours soon */
		return cp_ovpn_after_s(session->newest.begun_ms, SWITCH_MIN_S);
	if (settings->hand_window_s * UINT64_C(1000) < wait_ms)
		wait_ms = settings->hand_window_s * UINT64_C(1000);
	if (settings->reneg_s && settings->reneg_s * UINT64_C(500) < wait_ms)
		wait_ms = settings->reneg_s * UINT64_C(500);
	if (wait_ms < SWITCH_MIN_S * 1000)
		wait_ms = SWITCH_MIN_S * 1000;
	return session->newest.begun_ms + wait_ms;
}

static int derive(struct cp_ovpn_session *session, uint8_t key2[CP_OVPN_KEY2_LEN])
{
	struct cp_ovpn_negotiation *negotiation = session->current;

	if (session->has_tls_ekm)
		return cp_ovpn_tls_export(negotiation->stream, CP_OVPN_EKM_DATA, key2,
		                          CP_OVPN_KEY2_LEN);
	return cp_ovpn_derive_classic(cp_ovpn_negotiation_entropy(negotiation),
	                              &negotiation->server.entropy, session->own_id,
	                              session->server_id, key2);
}

static uint8_t contract_framing(enum cp_ovpn_framing framing)
{
	switch (framing) {
	case CP_OVPN_FRAMING_LZO:
		return IPC_OPENVPN_FRAMING_LZO_NO;
	case CP_OVPN_FRAMING_STUB:
		return IPC_OPENVPN_FRAMING_STUB;
	case CP_OVPN_FRAMING_STUB_V2:
		return IPC_OPENVPN_FRAMING_STUB_V2;
	case CP_OVPN_FRAMING_NONE:
		break;
	}
	return IPC_OPENVPN_FRAMING_NONE;
}

static void use(struct cp_ovpn_session *session, uint8_t key_id)
{
	session->sending = key_id;
	session->is_resuming = false;
	session->calls->use(session->context, key_id);
}

static void forget_older(struct cp_ovpn_session *session)
{
	if (!session->older.is_live)
		return;
	session->older.is_live = false;
	session->calls->forget(session->context, session->older.key_id);
}

/* The key of the current negotiation becomes the newest one. False: the session ends. */
static bool install(struct cp_ovpn_session *session)
{
	const struct cp_ovpn_push *push = session->push;
	struct cp_ovpn_key key = { .key_id = session->current->key_id,
		                   .framing = contract_framing(push->framing),
		                   .peer_id = push->peer_id };
	uint8_t key2[CP_OVPN_KEY2_LEN];
	bool is_good;

	key.format = push->has_aead_epoch ? IPC_OPENVPN_FORMAT_EPOCH : IPC_OPENVPN_FORMAT_DEFAULT;
	if (push->has_lz4)
		key.flags |= IPC_OPENVPN_LZ4;
	if (session->settings.may_float && !session->link.is_tcp)
		key.flags |= IPC_OPENVPN_FLOAT;
	is_good = derive(session, key2) == 0 &&
	          cp_ovpn_cut(key2, session->cipher, session->settings.digest, &key) == 0;
	sp_wipe(key2, sizeof(key2));
	if (is_good) {
		forget_older(session);
		session->older = session->newest;
		session->unrenewed_ms = 0;
		session->newest =
			(struct cp_ovpn_live_key){ true, key.key_id, session->current->begun_ms };
		session->calls->key(session->context, &key);
	} else {
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_EXACT,
		                    "no data keys could be derived");
	}
	sp_wipe(&key, sizeof(key));
	return is_good;
}

/* What the server pushed wins, then what its options say, then our fallback. */
static enum cp_ovpn_cipher choose(const struct cp_ovpn_session *session, char wanted[64])
{
	const struct cp_ovpn_settings *settings = &session->settings;
	enum cp_ovpn_cipher cipher = session->push->cipher;

	strcpy(wanted, "none");
	if (!cipher && cp_ovpn_about_server_cipher(session->current->server.options, wanted, 64) &&
	    cp_ovpn_cipher_parse(wanted, &cipher) < 0)
		cipher = 0;
	if (cipher && strcmp(wanted, "none") == 0)
		strcpy(wanted, cp_ovpn_cipher_name(cipher));
	for (size_t i = 0; cipher && i < settings->cipher_count; i++)
		if (settings->ciphers[i] == cipher)
			return cipher;
	if (session->push->cipher && session->push->cipher != settings->fallback)
		return 0;
	return settings->fallback;
}

void cp_ovpn_data_keys_begin(struct cp_ovpn_session *session)
{
	const struct cp_ovpn_push *push = session->push;
	char wanted[64], ours[256];

	session->has_tls_ekm = push->has_tls_ekm;
	session->cipher = choose(session, wanted);
	if (!session->cipher) {
		cp_ovpn_about_ciphers(&session->settings, ours, sizeof(ours));
		cp_ovpn_session_end(session, CP_OVPN_RETRY, CP_RANK_EXACT,
		                    "no common cipher: the server's is %s, ours are %s", wanted,
		                    ours);
		return;
	}
	if (push->has_aead_epoch &&
	    (push->peer_id == CP_OVPN_NO_PEER || !cp_ovpn_cipher_is_aead(session->cipher))) {
		cp_ovpn_session_end(
			session, CP_OVPN_RETRY, CP_RANK_EXACT,
			"the server pushed aead-epoch, but no AEAD cipher with a peer id");
		return;
	}
	if (install(session))
		use(session, session->newest.key_id);
}

void cp_ovpn_data_keys_renew(struct cp_ovpn_session *session)
{
	install(session);
}

void cp_ovpn_data_keys_settle(struct cp_ovpn_session *session)
{
	if (session->sending != session->newest.key_id)
		use(session, session->newest.key_id);
}

void cp_ovpn_data_keys_heard(struct cp_ovpn_session *session, uint8_t key_id)
{
	if (session->newest.is_live && session->newest.key_id == key_id)
		cp_ovpn_data_keys_settle(session);
}

static uint64_t forget_ms(const struct cp_ovpn_session *session)
{
	return cp_ovpn_after_s(session->newest.begun_ms, session->settings.tran_window_s);
}

void cp_ovpn_data_keys_tick(struct cp_ovpn_session *session, uint64_t now_ms)
{
	if (session->sending != session->newest.key_id && now_ms >= switch_ms(session))
		cp_ovpn_data_keys_settle(session);
	if (session->older.is_live && now_ms >= forget_ms(session))
		forget_older(session);
}

uint64_t cp_ovpn_data_keys_deadline_ms(const struct cp_ovpn_session *session)
{
	if (session->sending != session->newest.key_id)
		return switch_ms(session);
	return session->older.is_live ? forget_ms(session) : UINT64_MAX;
}
