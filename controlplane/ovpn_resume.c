/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session that goes on in another process: what it needs, and its new beginning.
 */
#include "controlplane/ovpn_resume.h"

#include <errno.h>
#include <string.h>

#include "controlplane/ovpn_session_private.h"

#define VERSION 2u
#define TOKEN_MAX 384u
#define ROUTES_MAX 24u

/* As the keepsake has it: read by the same build or a later one of the same version. */
struct saved {
	uint32_t version;
	uint32_t unix_s; /* of the wrappings */
	uint8_t own_id[CP_OVPN_SESSION_ID_LEN];
	uint8_t server_id[CP_OVPN_SESSION_ID_LEN];
	uint8_t next_key_id;
	uint8_t cipher;
	uint8_t framing;
	uint8_t prefix_length;
	uint8_t has_tls_ekm;
	uint8_t has_cc_exit;
	uint8_t has_aead_epoch;
	uint8_t has_lz4;
	uint8_t has_lzo;
	uint8_t has_default_route;
	uint8_t has_renewal_wrap;
	uint8_t dns_count;
	uint32_t peer_id;
	uint32_t local_be;
	uint32_t peer_be;
	uint32_t ping_s;
	uint32_t ping_restart_s;
	uint16_t tun_mtu;
	uint16_t token_length;
	uint32_t route_count;
	uint32_t dns_be[CP_OVPN_DNS_MAX];
	struct ipc_prefix routes[ROUTES_MAX];
	uint8_t send_cipher[32]; /* of dynamic tls-crypt */
	uint8_t send_hmac[32];
	uint8_t receive_cipher[32];
	uint8_t receive_hmac[32];
	uint8_t token[TOKEN_MAX]; /* account, NUL, token */
};
_Static_assert(sizeof(struct saved) <= IPC_KEEPSAKE_MAX, "a session fits into a keepsake");

static void save_push(const struct cp_ovpn_push *push, struct saved *saved)
{
	saved->framing = (uint8_t)push->framing;
	saved->prefix_length = push->prefix_length;
	saved->has_cc_exit = push->has_cc_exit;
	saved->has_aead_epoch = push->has_aead_epoch;
	saved->has_lz4 = push->has_lz4;
	saved->has_lzo = push->has_lzo;
	saved->has_default_route = push->has_default_route;
	saved->peer_id = push->peer_id;
	saved->local_be = push->local_be;
	saved->peer_be = push->peer_be;
	saved->dns_count = (uint8_t)push->dns_count;
	memcpy(saved->dns_be, push->dns_be, sizeof(saved->dns_be));
	saved->ping_s = push->ping_s;
	saved->ping_restart_s = push->ping_restart_s;
	saved->tun_mtu = push->tun_mtu;
	saved->route_count = (uint32_t)push->route_count;
	memcpy(saved->routes, push->routes, push->route_count * sizeof(push->routes[0]));
}

static void restore_push(const struct saved *saved, struct cp_ovpn_push *push)
{
	push->is_complete = true;
	push->framing = (enum cp_ovpn_framing)saved->framing;
	push->prefix_length = saved->prefix_length;
	push->topology = CP_OVPN_SUBNET;
	push->has_tls_ekm = saved->has_tls_ekm;
	push->has_cc_exit = saved->has_cc_exit;
	push->has_aead_epoch = saved->has_aead_epoch;
	push->has_lz4 = saved->has_lz4;
	push->has_lzo = saved->has_lzo;
	push->has_default_route = saved->has_default_route;
	push->cipher = (enum cp_ovpn_cipher)saved->cipher;
	push->peer_id = saved->peer_id;
	push->local_be = saved->local_be;
	push->peer_be = saved->peer_be;
	push->dns_count = saved->dns_count;
	memcpy(push->dns_be, saved->dns_be, sizeof(push->dns_be));
	push->ping_s = saved->ping_s;
	push->ping_restart_s = saved->ping_restart_s;
	push->tun_mtu = saved->tun_mtu;
	push->route_count = saved->route_count;
	memcpy(push->routes, saved->routes, saved->route_count * sizeof(push->routes[0]));
}

size_t cp_ovpn_session_save(const struct cp_ovpn_session *session, uint8_t *bytes, size_t room)
{
	const struct cp_ovpn_wrap *renewals = &cp_ovpn_session_secrets(session)->renewals;
	struct saved *saved = (struct saved *)(void *)bytes;

	if (session->state != CP_OVPN_UP || room < sizeof(*saved) ||
	    session->push->route_count > ROUTES_MAX || session->token->length > TOKEN_MAX)
		return 0;
	memset(saved, 0, sizeof(*saved));
	saved->version = VERSION;
	saved->unix_s = session->unix_s;
	memcpy(saved->own_id, session->own_id, sizeof(saved->own_id));
	memcpy(saved->server_id, session->server_id, sizeof(saved->server_id));
	saved->next_key_id = session->next_key_id;
	saved->cipher = (uint8_t)session->cipher;
	saved->has_tls_ekm = session->has_tls_ekm;
	saved->has_renewal_wrap = session->has_renewal_wrap;
	save_push(session->push, saved);
	memcpy(saved->send_cipher, renewals->send_cipher, sizeof(saved->send_cipher));
	memcpy(saved->send_hmac, renewals->send_hmac, sizeof(saved->send_hmac));
	memcpy(saved->receive_cipher, renewals->receive_cipher, sizeof(saved->receive_cipher));
	memcpy(saved->receive_hmac, renewals->receive_hmac, sizeof(saved->receive_hmac));
	saved->token_length = (uint16_t)session->token->length;
	memcpy(saved->token, session->token->data, session->token->length);
	return sizeof(*saved);
}

static bool is_offered(const struct cp_ovpn_settings *settings, uint8_t cipher)
{
	for (size_t i = 0; i < settings->cipher_count; i++)
		if (settings->ciphers[i] == cipher)
			return true;
	return settings->fallback && settings->fallback == cipher;
}

static bool are_routes_usable(const struct saved *saved)
{
	bool are_usable = saved->route_count <= ROUTES_MAX;

	for (size_t i = 0; are_usable && i < saved->route_count; i++)
		are_usable = saved->routes[i].length <= 32;
	return are_usable;
}

/* As what was pushed must be (ovpn_push.c). */
static bool is_push_usable(const struct saved *saved)
{
	const bool has_peer = saved->peer_id != CP_OVPN_NO_PEER;

	return are_routes_usable(saved) && saved->prefix_length <= 32 &&
	       saved->framing >= CP_OVPN_FRAMING_NONE &&
	       saved->framing <= CP_OVPN_FRAMING_STUB_V2 && saved->local_be &&
	       saved->dns_count <= CP_OVPN_DNS_MAX && saved->tun_mtu >= CP_OVPN_MTU_MIN &&
	       (!has_peer || saved->peer_id <= IPC_OPENVPN_PEER_MAX) &&
	       (has_peer || !saved->has_aead_epoch);
}

/* The dataplane is trusted, but it may have been given this by another version. */
static bool is_usable(const struct cp_ovpn_session *session, const struct saved *saved,
                      size_t length)
{
	const bool has_token = saved->token_length > 0;

	if (length != sizeof(*saved) || saved->version != VERSION)
		return false;
	if (saved->unix_s == UINT32_MAX || saved->next_key_id == 0 ||
	    saved->next_key_id >= CP_OVPN_KEY_IDS || saved->token_length > TOKEN_MAX ||
	    !is_push_usable(saved))
		return false;
	if (has_token && !memchr(saved->token, 0, saved->token_length))
		return false;
	return is_offered(&session->settings, saved->cipher);
}

/* The server takes a later time for a new beginning of the ids that count packets. */
static void restore_wraps(struct cp_ovpn_session *session, const struct saved *saved)
{
	struct cp_ovpn_session_secrets *secrets = cp_ovpn_session_secrets(session);
	uint8_t key[CP_OVPN_STATIC_KEY_LEN] = { 0 };

	if (session->unix_s <= saved->unix_s)
		session->unix_s = saved->unix_s + 1;
	secrets->first.unix_s = session->unix_s;
	session->has_renewal_wrap = saved->has_renewal_wrap;
	if (!saved->has_renewal_wrap)
		return;
	/* the places of a static key that we send and receive with */
	memcpy(key, saved->receive_cipher, sizeof(saved->receive_cipher));
	memcpy(key + 64, saved->receive_hmac, sizeof(saved->receive_hmac));
	memcpy(key + 128, saved->send_cipher, sizeof(saved->send_cipher));
	memcpy(key + 192, saved->send_hmac, sizeof(saved->send_hmac));
	cp_ovpn_wrap_crypt(&secrets->renewals, key, session->unix_s);
	sp_wipe(key, sizeof(key));
}

int cp_ovpn_session_resume(struct cp_ovpn_session *session, const uint8_t *bytes, size_t length,
                           uint64_t now_ms)
{
	const struct saved *saved = (const struct saved *)(const void *)bytes;

	if (session->state != CP_OVPN_NEW || !is_usable(session, saved, length))
		return -EINVAL;
	memcpy(session->own_id, saved->own_id, sizeof(session->own_id));
	memcpy(session->server_id, saved->server_id, sizeof(session->server_id));
	session->has_server_id = true;
	session->next_key_id = saved->next_key_id;
	session->cipher = (enum cp_ovpn_cipher)saved->cipher;
	session->has_tls_ekm = saved->has_tls_ekm;
	session->token->length = saved->token_length;
	memcpy(session->token->data, saved->token, saved->token_length);
	restore_push(saved, session->push);
	restore_wraps(session, saved);
	session->is_resuming = true;
	session->state = CP_OVPN_UP;
	session->last_ms = now_ms;
	session->calls->up(session->context, session->push);
	cp_ovpn_session_negotiate_again(session, now_ms);
	cp_ovpn_session_finish(session, now_ms);
	return 0;
}
