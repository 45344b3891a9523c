/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each tunnel's policy of revocation, applied after the revocation plugin has looked at one
 * certificate of a chain.
 *
 * The plugin refuses what was revoked. What it could not find out it lets pass and reports as an
 * alert, on the same thread, just before it is our turn; its notes in the auth_cfg_t say why.
 */
#include "controlplane/ike_revocation.h"

#include <daemon.h>
#include <credentials/cert_validator.h>

#include <stdio.h>

#include "common/log.h"

typedef struct private_revocation_t private_revocation_t;

struct private_revocation_t {
	cert_validator_t public;
	struct cp_ike *ike;
};

static private_revocation_t *revocation;
static __thread bool is_unknown;

void cp_ike_revocation_is_unknown(void)
{
	is_unknown = TRUE;
}

/* The plugin adds one note a certificate: the last one is about this one. */
static cert_validation_t last_note(auth_cfg_t *auth, auth_rule_t wanted)
{
	enumerator_t *enumerator = auth->create_enumerator(auth);
	uintptr_t value, last = VALIDATION_SKIPPED;
	auth_rule_t rule;

	while (enumerator->enumerate(enumerator, &rule, &value)) {
		if (rule == wanted)
			last = value;
	}
	enumerator->destroy(enumerator);
	return last;
}

#define NAMES_NOTHING "it names neither a CRL nor an OCSP responder"

static const char *reason_of(auth_cfg_t *auth)
{
	const cert_validation_t ocsp = last_note(auth, AUTH_RULE_OCSP_VALIDATION);
	const cert_validation_t crl = last_note(auth, AUTH_RULE_CRL_VALIDATION);

	if (ocsp == VALIDATION_STALE || crl == VALIDATION_STALE)
		return "its CRL or OCSP answer is out of date";
	if (ocsp == VALIDATION_FAILED || crl == VALIDATION_FAILED)
		return "neither a CRL nor an OCSP answer could be fetched";
	return NAMES_NOTHING;
}

METHOD(cert_validator_t, validate_online, bool, private_revocation_t *this, certificate_t *subject,
       certificate_t *issuer, u_int pathlen, bool anchor, auth_cfg_t *auth)
{
	ike_sa_t *ike_sa = charon->bus->get_sa(charon->bus);
	const struct cp_ike_tunnel *tunnel =
		ike_sa ? cp_ike_find(this->ike, ike_sa->get_name(ike_sa)) : NULL;
	const bool was_unknown = is_unknown;
	const char *reason = reason_of(auth);
	char name[128];

	is_unknown = FALSE;
	if (!was_unknown || !tunnel || tunnel->server->revocation == CP_REVOCATION_OFF)
		return TRUE;
	snprintf(name, sizeof(name), "%Y", subject->get_subject(subject));
	if (tunnel->server->revocation == CP_REVOCATION_STRICT) {
		cp_ike_explain(
			this->ike, tunnel, ike_sa->get_unique_id(ike_sa), CP_RANK_EXACT,
			"whether \"%.90s\" was revoked is not known (%s), and revocation is \"strict\"",
			name, reason);
		return FALSE;
	}
	sp_log(streq(reason, NAMES_NOTHING) ? SP_LOG_DEBUG : SP_LOG_WARN,
	       "ike: a certificate is taken without knowing whether it was revoked tunnel=%s certificate=\"%s\" why=\"%s\"",
	       tunnel->name, name, reason);
	return TRUE;
}

int cp_ike_revocation_attach(struct cp_ike *ike)
{
	INIT(revocation, .public = { .validate_online = _validate_online, }, .ike = ike, );
	lib->credmgr->add_validator(lib->credmgr, &revocation->public);
	return 0;
}

void cp_ike_revocation_detach(void)
{
	lib->credmgr->remove_validator(lib->credmgr, &revocation->public);
	free(revocation);
	revocation = NULL;
}
