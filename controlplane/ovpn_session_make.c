/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an OpenVPN session is made of, and how it goes away.
 */
#include "controlplane/ovpn_session_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

_Static_assert(sizeof(struct cp_ovpn_session_secrets) <= SP_SECRET_MAX, "session secrets");

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
