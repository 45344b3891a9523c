/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where libcharon finds secrets and trust: each tunnel's own, read anew at each authentication.
 *
 * libcharon asks all credential sets with names of identities, which two tunnels may share. So the
 * answer depends on the IKE_SA that the asking thread works on: no tunnel can see another one's
 * password or CA.
 */
#include "controlplane/ike_creds.h"

#include <daemon.h>
#include <credentials/credential_set.h>

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "common/secret.h"
#include "controlplane/ike_auth.h"

typedef struct private_creds_t private_creds_t;
typedef struct secret_enumerator_t secret_enumerator_t;

struct private_creds_t {
	credential_set_t set;
	struct cp_ike *ike;
};

/** Enumerates one shared key. */
struct secret_enumerator_t {
	enumerator_t public;
	shared_key_t *key;
	bool is_done;
};

static private_creds_t *creds;

METHOD(enumerator_t, secret_enumerate, bool, secret_enumerator_t *this, va_list args)
{
	shared_key_t **key;
	id_match_t *me, *other;

	VA_ARGS_VGET(args, key, me, other);
	if (this->is_done)
		return FALSE;
	this->is_done = TRUE;
	*key = this->key;
	if (me)
		*me = ID_MATCH_PERFECT;
	if (other)
		*other = ID_MATCH_PERFECT;
	return TRUE;
}

METHOD(enumerator_t, secret_destroy, void, secret_enumerator_t *this)
{
	this->key->destroy(this->key);
	free(this);
}

/* The tunnel that the asking thread works for; NULL: none, and then there is nothing to be had. */
static const struct cp_ike_tunnel *current_tunnel(private_creds_t *this, ike_sa_t **ike_sa)
{
	*ike_sa = charon->bus->get_sa(charon->bus);
	return *ike_sa ? cp_ike_find(this->ike, (*ike_sa)->get_name(*ike_sa)) : NULL;
}

METHOD(credential_set_t, create_shared_enumerator, enumerator_t *, private_creds_t *this,
       shared_key_type_t type, identification_t *me, identification_t *other)
{
	secret_enumerator_t *enumerator;
	const struct cp_ike_tunnel *tunnel;
	struct sp_secret *secret;
	char why[CP_WHY_LEN];
	ike_sa_t *ike_sa;
	int rc;

	tunnel = current_tunnel(this, &ike_sa);
	if (!tunnel || cp_ike_auth_has_certificate(tunnel->server->auth) ||
	    type != (tunnel->server->auth == CP_AUTH_PSK ? SHARED_IKE : SHARED_EAP))
		return enumerator_create_empty();
	secret = sp_secret_create();
	rc = secret ? sp_secret_read_file(secret, tunnel->server->secret_file) : -ENOMEM;
	if (rc != 0) {
		cp_ike_auth_explain_file(tunnel->server->secret_file, rc, why);
		cp_ike_explain(this->ike, tunnel, ike_sa->get_unique_id(ike_sa), CP_RANK_EXACT,
		               "%s", why);
		sp_secret_destroy(secret);
		return enumerator_create_empty();
	}
	INIT(enumerator,
		.public = {
			.enumerate = enumerator_enumerate_default,
			.venumerate = _secret_enumerate,
			.destroy = _secret_destroy,
		},
		/* the key wipes its copy when it goes */
		.key = shared_key_create(type, chunk_clone(chunk_create(secret->data, secret->length))),
	);
	sp_secret_destroy(secret);
	return &enumerator->public;
}

/* ---- certificates and private keys ---- */

/* Whether a certificate of the peer's configuration is an answer: the CAs that the configuration
 * names are the only ones that may vouch for a server; our own certificates are never trusted. */
static bool is_wanted(auth_rule_t rule, certificate_t *certificate, key_type_t type,
                      identification_t *id, bool trusted)
{
	const bool is_ours = rule == AUTH_RULE_SUBJECT_CERT || rule == AUTH_RULE_IM_CERT;
	public_key_t *public;
	bool has_type = TRUE;

	if ((rule != AUTH_RULE_CA_CERT && !is_ours) || (is_ours && trusted))
		return FALSE;
	if (type != KEY_ANY) {
		public = certificate->get_public_key(certificate);
		has_type = public && public->get_type(public) == type;
		DESTROY_IF(public);
	}
	return has_type && (!id || certificate->has_subject(certificate, id));
}

static void add_wanted(linked_list_t *list, auth_cfg_t *auth, key_type_t type, identification_t *id,
                       bool trusted)
{
	enumerator_t *enumerator = auth->create_enumerator(auth);
	certificate_t *certificate;
	auth_rule_t rule;

	while (enumerator->enumerate(enumerator, &rule, &certificate)) {
		if ((rule == AUTH_RULE_CA_CERT || rule == AUTH_RULE_SUBJECT_CERT ||
		     rule == AUTH_RULE_IM_CERT) &&
		    is_wanted(rule, certificate, type, id, trusted))
			list->insert_last(list, certificate->get_ref(certificate));
	}
	enumerator->destroy(enumerator);
}

static void destroy_certificates(linked_list_t *list)
{
	list->destroy_offset(list, offsetof(certificate_t, destroy));
}

METHOD(credential_set_t, create_cert_enumerator, enumerator_t *, private_creds_t *this,
       certificate_type_t type, key_type_t key, identification_t *id, bool trusted)
{
	linked_list_t *list;
	peer_cfg_t *config;
	enumerator_t *rounds;
	auth_cfg_t *auth;
	ike_sa_t *ike_sa;

	if (!current_tunnel(this, &ike_sa) || (type != CERT_X509 && type != CERT_ANY))
		return enumerator_create_empty();
	config = ike_sa->get_peer_cfg(ike_sa);
	if (!config)
		return enumerator_create_empty();
	list = linked_list_create();
	for (int is_local = 0; is_local <= 1; is_local++) {
		rounds = config->create_auth_cfg_enumerator(config, is_local);
		while (rounds->enumerate(rounds, &auth))
			add_wanted(list, auth, key, id, trusted);
		rounds->destroy(rounds);
	}
	return enumerator_create_cleaner(list->create_enumerator(list),
	                                 (void *)destroy_certificates, list);
}

static void release_key(void *item)
{
	private_key_t *key = item;

	key->destroy(key); /* wipes it */
}

METHOD(credential_set_t, create_private_enumerator, enumerator_t *, private_creds_t *this,
       key_type_t type, identification_t *id)
{
	const struct cp_ike_tunnel *tunnel;
	char why[CP_WHY_LEN];
	private_key_t *key;
	ike_sa_t *ike_sa;

	tunnel = current_tunnel(this, &ike_sa);
	if (!tunnel || !cp_ike_auth_has_certificate(tunnel->server->auth))
		return enumerator_create_empty();
	key = cp_ike_auth_load_key(tunnel->server, why);
	if (!key) {
		cp_ike_explain(this->ike, tunnel, ike_sa->get_unique_id(ike_sa), CP_RANK_EXACT,
		               "%s", why);
		return enumerator_create_empty();
	}
	if ((type != KEY_ANY && key->get_type(key) != type) ||
	    (id && !key->has_fingerprint(key, id->get_encoding(id)))) {
		key->destroy(key);
		return enumerator_create_empty();
	}
	return enumerator_create_single(key, release_key);
}

METHOD(credential_set_t, create_cdp_enumerator, enumerator_t *, private_creds_t *this,
       certificate_type_t type, identification_t *id)
{
	return enumerator_create_empty();
}

METHOD(credential_set_t, cache_cert, void, private_creds_t *this, certificate_t *certificate)
{
}

int cp_ike_creds_attach(struct cp_ike *ike)
{
	INIT(creds,
		.set = {
			.create_private_enumerator = _create_private_enumerator,
			.create_cert_enumerator = _create_cert_enumerator,
			.create_shared_enumerator = _create_shared_enumerator,
			.create_cdp_enumerator = _create_cdp_enumerator,
			.cache_cert = _cache_cert,
		},
		.ike = ike,
	);
	lib->credmgr->add_set(lib->credmgr, &creds->set);
	return 0;
}

void cp_ike_creds_detach(void)
{
	lib->credmgr->remove_set(lib->credmgr, &creds->set);
	free(creds);
	creds = NULL;
}
