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
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/secret.h"

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

static void explain_file(private_creds_t *this, const struct cp_ike_tunnel *tunnel,
                         ike_sa_t *ike_sa, int error)
{
	const char *file = tunnel->server->secret_file;
	struct passwd entry, *user = NULL;
	char buffer[1024];
	const char *user_name;
	uint32_t id = ike_sa->get_unique_id(ike_sa);

	getpwuid_r(geteuid(), &entry, buffer, sizeof(buffer), &user);
	user_name = user ? user->pw_name : "?";
	if (error == -EACCES)
		cp_ike_explain(
			this->ike, tunnel, id, CP_RANK_EXACT,
			"the secret in %s cannot be used: user %s must be able to read it and nobody else: make it "
			"mode 0400 and owned by %s, or 0440 root:%s",
			file, user_name, user_name, user_name);
	else
		cp_ike_explain(this->ike, tunnel, id, CP_RANK_EXACT,
		               "the secret in %s cannot be read: %s", file,
		               error == -ENODATA ? "the file is empty" : strerror(-error));
}

METHOD(credential_set_t, create_shared_enumerator, enumerator_t *, private_creds_t *this,
       shared_key_type_t type, identification_t *me, identification_t *other)
{
	secret_enumerator_t *enumerator;
	const struct cp_ike_tunnel *tunnel;
	struct sp_secret *secret;
	ike_sa_t *ike_sa;
	int rc;

	tunnel = current_tunnel(this, &ike_sa);
	if (!tunnel || type != (tunnel->server->auth == CP_AUTH_PSK ? SHARED_IKE : SHARED_EAP))
		return enumerator_create_empty();
	secret = sp_secret_create();
	rc = secret ? sp_secret_read_file(secret, tunnel->server->secret_file) : -ENOMEM;
	if (rc != 0) {
		explain_file(this, tunnel, ike_sa, rc);
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

static void release_certificate(void *item)
{
	certificate_t *certificate = item;

	certificate->destroy(certificate);
}

/* The CA that the tunnel's configuration names: the only one that may vouch for its server. */
METHOD(credential_set_t, create_cert_enumerator, enumerator_t *, private_creds_t *this,
       certificate_type_t type, key_type_t key, identification_t *id, bool trusted)
{
	certificate_t *ca = NULL;
	enumerator_t *rounds;
	peer_cfg_t *config;
	auth_cfg_t *auth;
	ike_sa_t *ike_sa;

	if (!current_tunnel(this, &ike_sa) || (type != CERT_X509 && type != CERT_ANY))
		return enumerator_create_empty();
	config = ike_sa->get_peer_cfg(ike_sa);
	if (!config)
		return enumerator_create_empty();
	rounds = config->create_auth_cfg_enumerator(config, FALSE);
	while (!ca && rounds->enumerate(rounds, &auth))
		ca = auth->get(auth, AUTH_RULE_CA_CERT);
	rounds->destroy(rounds);
	if (!ca || (id && !ca->has_subject(ca, id)))
		return enumerator_create_empty();
	return enumerator_create_single(ca->get_ref(ca), release_certificate);
}

METHOD(credential_set_t, create_private_enumerator, enumerator_t *, private_creds_t *this,
       key_type_t type, identification_t *id)
{
	return enumerator_create_empty();
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
