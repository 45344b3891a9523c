/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a tunnel's two sides prove who they are: identities, certificates, keys, as libcharon wants
 * them.
 *
 * Certificates live in the configuration of the peer, where the credential set (ike_creds.c) finds
 * them: a new attempt has new ones. A private key lives only while it is used.
 */
#include "controlplane/ike_auth.h"

#include <daemon.h>
#include <credentials/certificates/x509.h>

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/secret.h"
#include "controlplane/config_read.h"

#define PEM_ANY "-----BEGIN"
#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"
#define PEM_END "-----END CERTIFICATE-----"
#define CERTIFICATES_MAX 64u /* of one file */

typedef int (*use_certificate_fn)(auth_cfg_t *auth, certificate_t *certificate, unsigned number,
                                  const char *path, char why[CP_WHY_LEN]);

bool cp_ike_auth_has_certificate(enum cp_auth auth)
{
	return auth == CP_AUTH_CERTIFICATE || auth == CP_AUTH_EAP_TLS;
}

/* ---- files ---- */

void cp_ike_auth_explain_file(const char *file, int error, char why[CP_WHY_LEN])
{
	struct passwd entry, *user = NULL;
	char buffer[1024];
	const char *user_name;

	getpwuid_r(geteuid(), &entry, buffer, sizeof(buffer), &user);
	user_name = user ? user->pw_name : "?";
	if (error == -EACCES)
		snprintf(
			why, CP_WHY_LEN,
			"the secret in %.100s cannot be used: user %s must be able to read it and nobody else: make it "
			"mode 0400 and owned by %s, or 0440 root:%s",
			file, user_name, user_name, user_name);
	else
		snprintf(why, CP_WHY_LEN, "the secret in %.180s cannot be read: %s", file,
		         error == -ENODATA ? "the file is empty" : strerror(-error));
}

private_key_t *cp_ike_auth_load_key(const struct cp_server *server, char why[CP_WHY_LEN])
{
	struct sp_secret *secret = sp_secret_create();
	private_key_t *key = NULL;
	int rc = secret ? sp_secret_read_file(secret, server->secret_file) : -ENOMEM;

	if (rc != 0) {
		cp_ike_auth_explain_file(server->secret_file, rc, why);
	} else if (cp_key_text_is_encrypted((const char *)secret->data, secret->length)) {
		snprintf(
			why, CP_WHY_LEN,
			"the private key in %.100s is encrypted: decrypt it (openssl pkey) and protect it by its mode",
			server->secret_file);
	} else {
		key = lib->creds->create(lib->creds, CRED_PRIVATE_KEY, KEY_ANY, BUILD_BLOB_PEM,
		                         chunk_create(secret->data, secret->length), BUILD_END);
		if (!key)
			snprintf(why, CP_WHY_LEN, "%.180s cannot be read as a private key",
			         server->secret_file);
	}
	sp_secret_destroy(secret);
	return key;
}

static int use_one(auth_cfg_t *auth, chunk_t data, unsigned number, use_certificate_fn use,
                   const char *path, char why[CP_WHY_LEN])
{
	certificate_t *certificate = lib->creds->create(lib->creds, CRED_CERTIFICATE, CERT_X509,
	                                                BUILD_BLOB_PEM, data, BUILD_END);

	if (!certificate || number > CERTIFICATES_MAX) {
		snprintf(why, CP_WHY_LEN, "%.160s: its certificate number %u cannot be %s", path,
		         number, certificate ? "taken: that are too many" : "read");
		DESTROY_IF(certificate);
		return -EINVAL;
	}
	return use(auth, certificate, number, path, why); /* takes it */
}

/* Where TEXT begins in DATA; NULL: nowhere. */
static const char *find_text(const char *data, const char *end, const char *text)
{
	const size_t length = strlen(text);

	for (; (size_t)(end - data) >= length; data++) {
		if (memcmp(data, text, length) == 0)
			return data;
	}
	return NULL;
}

/* Hands each certificate of a file, PEM or DER, to USE. */
static int use_certificates(auth_cfg_t *auth, chunk_t file, use_certificate_fn use,
                            const char *path, char why[CP_WHY_LEN])
{
	const char *at = (const char *)file.ptr, *end = at + file.len;
	unsigned count = 0;
	int rc = 0;

	if (!find_text(at, end, PEM_ANY))
		return use_one(auth, file, 1, use, path, why);
	while (rc == 0 && (at = find_text(at, end, PEM_BEGIN))) {
		const char *last = find_text(at, end, PEM_END);
		const char *next = last ? last + strlen(PEM_END) : end;

		rc = use_one(auth, chunk_create((u_char *)at, next - at), ++count, use, path, why);
		at = next;
	}
	if (count == 0) {
		snprintf(why, CP_WHY_LEN, "%.180s has no certificate in it", path);
		return -EINVAL;
	}
	return rc;
}

static int read_certificates(auth_cfg_t *auth, const char *path, use_certificate_fn use,
                             char why[CP_WHY_LEN])
{
	chunk_t *file = chunk_map((char *)path, FALSE);
	int rc;

	if (!file) {
		snprintf(why, CP_WHY_LEN, "%.160s cannot be read: %s", path, strerror(errno));
		return -EINVAL;
	}
	rc = use_certificates(auth, *file, use, path, why);
	chunk_unmap(file);
	return rc;
}

/* ---- the server ---- */

static int use_authority(auth_cfg_t *auth, certificate_t *certificate, unsigned number,
                         const char *path, char why[CP_WHY_LEN])
{
	if (!(((x509_t *)certificate)->get_flags((x509_t *)certificate) & X509_CA)) {
		snprintf(why, CP_WHY_LEN,
		         "%.120s: its certificate number %u is not a CA's certificate", path,
		         number);
		certificate->destroy(certificate);
		return -EINVAL;
	}
	auth->add(auth, AUTH_RULE_CA_CERT, certificate);
	return 0;
}

/* libcharon trusts chains that end in a self-signed certificate alone. */
static bool has_root(auth_cfg_t *auth)
{
	enumerator_t *enumerator = auth->create_enumerator(auth);
	certificate_t *certificate;
	bool has_one = FALSE;
	auth_rule_t rule;

	while (!has_one && enumerator->enumerate(enumerator, &rule, &certificate))
		has_one = rule == AUTH_RULE_CA_CERT &&
		          certificate->issued_by(certificate, certificate, NULL);
	enumerator->destroy(enumerator);
	return has_one;
}

static int fill_remote(auth_cfg_t *auth, const struct cp_server *server, char why[CP_WHY_LEN])
{
	auth->add(auth, AUTH_RULE_IDENTITY,
	          identification_create_from_string((char *)server->identity));
	if (server->auth == CP_AUTH_PSK) {
		auth->add(auth, AUTH_RULE_AUTH_CLASS, AUTH_CLASS_PSK);
		return 0;
	}
	/* An identity that nobody configured is not asked for: the server tells its own, and that
	 * one or its certificate must name the address. */
	if (!server->is_identity_set)
		auth->add(auth, AUTH_RULE_IDENTITY_LOOSE, TRUE);
	auth->add(auth, AUTH_RULE_AUTH_CLASS, AUTH_CLASS_PUBKEY);
	if (read_certificates(auth, server->ca_file, use_authority, why) != 0)
		return -EINVAL;
	if (has_root(auth))
		return 0;
	snprintf(
		why, CP_WHY_LEN,
		"%.120s has no self-signed certificate: the chain of CAs up to its root must be in it",
		server->ca_file);
	return -EINVAL;
}

/* ---- ourselves ---- */

static int use_own(auth_cfg_t *auth, certificate_t *certificate, unsigned number, const char *path,
                   char why[CP_WHY_LEN])
{
	auth->add(auth, number == 1 ? AUTH_RULE_SUBJECT_CERT : AUTH_RULE_IM_CERT, certificate);
	return 0;
}

static int check_validity(certificate_t *certificate, const char *path, char why[CP_WHY_LEN])
{
	time_t not_before, not_after;
	char when[32];

	if (certificate->get_validity(certificate, NULL, &not_before, &not_after))
		return 0;
	snprintf(when, sizeof(when), "%T", time(NULL) < not_before ? &not_before : &not_after,
	         TRUE);
	snprintf(why, CP_WHY_LEN, "our own certificate in %.120s %s %s", path,
	         time(NULL) < not_before ? "is not valid before" : "expired on", when);
	return -EINVAL;
}

static int check_key(certificate_t *certificate, const struct cp_server *server,
                     char why[CP_WHY_LEN])
{
	private_key_t *key = cp_ike_auth_load_key(server, why);
	public_key_t *public;
	bool do_match;

	if (!key)
		return -EINVAL;
	public = certificate->get_public_key(certificate);
	do_match = public && key->belongs_to(key, public);
	DESTROY_IF(public);
	key->destroy(key);
	if (do_match)
		return 0;
	snprintf(why, CP_WHY_LEN,
	         "the private key in %.110s is not that of the certificate in %.110s",
	         server->secret_file, server->certificate_file);
	return -EINVAL;
}

static int add_own_certificate(auth_cfg_t *auth, const struct cp_server *server,
                               char why[CP_WHY_LEN])
{
	certificate_t *certificate;

	if (read_certificates(auth, server->certificate_file, use_own, why) != 0)
		return -EINVAL;
	certificate = auth->get(auth, AUTH_RULE_SUBJECT_CERT);
	if (check_validity(certificate, server->certificate_file, why) != 0)
		return -EINVAL;
	return check_key(certificate, server, why);
}

static int fill_local(auth_cfg_t *auth, const struct cp_server *server, char why[CP_WHY_LEN])
{
	certificate_t *certificate;
	identification_t *id;

	if (cp_ike_auth_has_certificate(server->auth) &&
	    add_own_certificate(auth, server, why) != 0)
		return -EINVAL;
	certificate = auth->get(auth, AUTH_RULE_SUBJECT_CERT);
	if (server->account[0] || !certificate)
		id = identification_create_from_string((char *)server->account);
	else
		id = certificate->get_subject(certificate)
		             ->clone(certificate->get_subject(certificate));
	auth->add(auth, AUTH_RULE_IDENTITY, id);
	switch (server->auth) {
	case CP_AUTH_PSK:
		auth->add(auth, AUTH_RULE_AUTH_CLASS, AUTH_CLASS_PSK);
		return 0;
	case CP_AUTH_CERTIFICATE:
		auth->add(auth, AUTH_RULE_AUTH_CLASS, AUTH_CLASS_PUBKEY);
		return 0;
	case CP_AUTH_EAP_TLS:
	case CP_AUTH_EAP_MSCHAPV2:
		break;
	}
	auth->add(auth, AUTH_RULE_AUTH_CLASS, AUTH_CLASS_EAP);
	auth->add(auth, AUTH_RULE_EAP_TYPE,
	          server->auth == CP_AUTH_EAP_TLS ? EAP_TLS : EAP_MSCHAPV2);
	auth->add(auth, AUTH_RULE_EAP_IDENTITY, id->clone(id));
	if (server->aaa_identity[0])
		auth->add(auth, AUTH_RULE_AAA_IDENTITY,
		          identification_create_from_string((char *)server->aaa_identity));
	return 0;
}

int cp_ike_auth_add(peer_cfg_t *peer, const struct cp_ike_tunnel *tunnel, char why[CP_WHY_LEN])
{
	auth_cfg_t *local = auth_cfg_create(), *remote = auth_cfg_create();

	if (fill_local(local, tunnel->server, why) != 0 ||
	    fill_remote(remote, tunnel->server, why) != 0) {
		local->destroy(local);
		remote->destroy(remote);
		return -EINVAL;
	}
	peer->add_auth_cfg(peer, local, TRUE);
	peer->add_auth_cfg(peer, remote, FALSE);
	return 0;
}
