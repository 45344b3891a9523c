/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS as OpenVPN's control channel uses it: a client over memory, without sockets.
 */
#include "controlplane/ovpn_tls.h"

#include "controlplane/ovpn_verify.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

/* DEFAULT without what is weak or has no forward secrecy, as OpenVPN has it. */
#define DEFAULT_CIPHERS "DEFAULT:!EXP:!LOW:!MEDIUM:!kDH:!kECDH:!DSS:!PSK:!SRP:!kRSA"

struct cp_ovpn_tls {
	const struct cp_ovpn_settings *settings;
	SSL_CTX *context;
};

struct cp_ovpn_tls_stream {
	const struct cp_ovpn_settings *settings;
	SSL *ssl; /* owns both BIOs */
	BIO *in;
	BIO *out;
	char refused[CP_WHY_LEN]; /* by our checks */
};

/* The oldest error in OpenSSL's queue, and the queue is empty then. */
static const char *take_error(unsigned long *code)
{
	const char *reason;

	*code = ERR_peek_error();
	reason = *code ? ERR_reason_error_string(*code) : NULL;
	ERR_clear_error();
	return reason ? reason : "no reason given";
}

static int say(char why[CP_WHY_LEN], const char *what)
{
	unsigned long code;

	snprintf(why, CP_WHY_LEN, "%s: %s", what, take_error(&code));
	return -EINVAL;
}

/* ---- what we bring along ---- */

/* Keys with a passphrase are refused when the configuration is read, or here. */
static int no_passphrase(char *buffer, int size, int is_write, void *context)
{
	(void)buffer;
	(void)size;
	(void)is_write;
	(void)context;
	return -1;
}

static BIO *open_text(const char *pem)
{
	return BIO_new_mem_buf(pem, (int)strlen(pem));
}

/* Certificates and CRLs of PEM; returns how many of both, or -1. */
static int fill_store(X509_STORE *store, const char *pem, int *crls)
{
	BIO *bio = open_text(pem);
	STACK_OF(X509_INFO) *all =
		bio ? PEM_X509_INFO_read_bio(bio, NULL, no_passphrase, NULL) : NULL;
	int count = all ? 0 : -1;

	for (int i = 0; all && i < sk_X509_INFO_num(all); i++) {
		const X509_INFO *one = sk_X509_INFO_value(all, i);

		if (one->x509 && X509_STORE_add_cert(store, one->x509))
			count++;
		if (one->crl && X509_STORE_add_crl(store, one->crl)) {
			count++;
			++*crls;
		}
	}
	sk_X509_INFO_pop_free(all, X509_INFO_free);
	BIO_free(bio);
	return count;
}

static int load_authorities(SSL_CTX *context, const struct cp_ovpn_material *material,
                            char why[CP_WHY_LEN])
{
	X509_STORE *store = SSL_CTX_get_cert_store(context);
	int crls = 0;

	if (material->ca && fill_store(store, material->ca, &crls) <= 0)
		return say(why, "the CA certificate cannot be read");
	if (material->crl && fill_store(store, material->crl, &crls) <= 0)
		return say(why, "the CRL cannot be read");
	if (crls > 0)
		X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return 0;
}

static int load_certificate(SSL_CTX *context, const char *pem, char why[CP_WHY_LEN])
{
	BIO *bio = open_text(pem);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
	int ok = certificate && SSL_CTX_use_certificate(context, certificate);

	X509_free(certificate);
	while (ok && (certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)))
		ok = SSL_CTX_add0_chain_cert(context, certificate);
	BIO_free(bio);
	if (!ok)
		return say(why, "our certificate cannot be used");
	ERR_clear_error(); /* the end of the file */
	return 0;
}

static int load_key(SSL_CTX *context, const struct sp_secret *secret, char why[CP_WHY_LEN])
{
	BIO *bio = BIO_new_mem_buf(secret->data, (int)secret->length);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	int ok = key && SSL_CTX_use_PrivateKey(context, key) && SSL_CTX_check_private_key(context);

	EVP_PKEY_free(key);
	BIO_free(bio);
	return ok ? 0 : say(why, "our private key cannot be used");
}

/* ---- how we speak ---- */

/* Names of OpenVPN's profiles, "TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256", as OpenSSL's. */
static void translate(const char *list, bool is_suites, char text[2 * CP_OVPN_LIST_LEN])
{
	char copy[CP_OVPN_LIST_LEN], *rest = NULL;
	size_t at = 0;

	snprintf(copy, sizeof(copy), "%s", list);
	text[0] = 0;
	for (char *name = strtok_r(copy, ":", &rest); name; name = strtok_r(NULL, ":", &rest)) {
		char standard[CP_OVPN_LIST_LEN];
		const char *known;

		strcpy(standard, name);
		for (char *c = standard; *c; c++)
			if (*c == '-')
				*c = '_';
		known = is_suites ? standard : OPENSSL_cipher_name(standard);
		if (strcmp(known, "(NONE)") == 0)
			known = name;
		at += (size_t)snprintf(text + at, 2 * CP_OVPN_LIST_LEN - at, "%s%s", at ? ":" : "",
		                       known);
		if (at >= 2 * CP_OVPN_LIST_LEN)
			return;
	}
}

static int set_ciphers(SSL_CTX *context, const struct cp_ovpn_settings *settings,
                       char why[CP_WHY_LEN])
{
	bool is_suite_b = settings->cert_profile == CP_OVPN_CERT_SUITE_B;
	char text[2 * CP_OVPN_LIST_LEN];

	if (settings->tls_ciphers[0])
		translate(settings->tls_ciphers, false, text);
	else
		strcpy(text, is_suite_b ? "SUITEB128" : DEFAULT_CIPHERS);
	if (!SSL_CTX_set_cipher_list(context, text))
		return say(why, "tls-cipher");
	if (settings->tls_ciphersuites[0]) {
		translate(settings->tls_ciphersuites, true, text);
		if (!SSL_CTX_set_ciphersuites(context, text))
			return say(why, "tls-ciphersuites");
	}
	if (settings->tls_groups[0] && !SSL_CTX_set1_groups_list(context, settings->tls_groups))
		return say(why, "tls-groups");
	return 0;
}

static int set_versions(SSL_CTX *context, const struct cp_ovpn_settings *settings,
                        char why[CP_WHY_LEN])
{
	int lowest = settings->tls_min == CP_OVPN_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
	int highest = settings->tls_max == CP_OVPN_TLS_1_2 ? TLS1_2_VERSION : 0;

	if (!SSL_CTX_set_min_proto_version(context, lowest) ||
	    !SSL_CTX_set_max_proto_version(context, highest))
		return say(why, "tls-version-min");
	return 0;
}

static int security_level(enum cp_ovpn_cert_profile profile)
{
	switch (profile) {
	case CP_OVPN_CERT_INSECURE:
		return 0;
	case CP_OVPN_CERT_PREFERRED:
	case CP_OVPN_CERT_SUITE_B:
		return 2;
	case CP_OVPN_CERT_LEGACY:
		break;
	}
	return 1;
}

static int verify(int is_ok, X509_STORE_CTX *context)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct cp_ovpn_tls_stream *stream = SSL_get_app_data(ssl);

	return cp_ovpn_verify(stream->settings, is_ok, context, stream->refused);
}

static int configure(SSL_CTX *context, const struct cp_ovpn_settings *settings,
                     const struct cp_ovpn_material *material, char why[CP_WHY_LEN])
{
	int rc;

	SSL_CTX_set_security_level(context, security_level(settings->cert_profile));
	SSL_CTX_set_options(context,
	                    SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, verify);
	SSL_CTX_set_default_passwd_cb(context, no_passphrase);
	rc = set_versions(context, settings, why);
	if (rc == 0)
		rc = set_ciphers(context, settings, why);
	if (rc == 0)
		rc = load_authorities(context, material, why);
	if (rc == 0 && material->certificate)
		rc = load_certificate(context, material->certificate, why);
	if (rc == 0 && material->certificate && material->key)
		rc = load_key(context, material->key, why);
	return rc;
}

struct cp_ovpn_tls *cp_ovpn_tls_create(const struct cp_ovpn_settings *settings,
                                       const struct cp_ovpn_material *material,
                                       char why[CP_WHY_LEN])
{
	struct cp_ovpn_tls *tls = calloc(1, sizeof(*tls));

	ERR_clear_error();
	if (tls)
		tls->context = SSL_CTX_new(TLS_client_method());
	if (!tls || !tls->context) {
		snprintf(why, CP_WHY_LEN, "out of memory");
		free(tls);
		return NULL;
	}
	tls->settings = settings;
	if (configure(tls->context, settings, material, why) < 0) {
		cp_ovpn_tls_destroy(tls);
		return NULL;
	}
	return tls;
}

void cp_ovpn_tls_destroy(struct cp_ovpn_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->context);
	free(tls);
}

/* ---- one connection ---- */

struct cp_ovpn_tls_stream *cp_ovpn_tls_stream_create(struct cp_ovpn_tls *tls)
{
	struct cp_ovpn_tls_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->settings = tls->settings;
	stream->ssl = SSL_new(tls->context);
	stream->in = BIO_new(BIO_s_mem());
	stream->out = BIO_new(BIO_s_mem());
	if (!stream->ssl || !stream->in || !stream->out) {
		SSL_free(stream->ssl);
		BIO_free(stream->in);
		BIO_free(stream->out);
		free(stream);
		return NULL;
	}
	SSL_set_bio(stream->ssl, stream->in, stream->out);
	SSL_set_app_data(stream->ssl, stream);
	SSL_set_connect_state(stream->ssl);
	return stream;
}

void cp_ovpn_tls_stream_destroy(struct cp_ovpn_tls_stream *stream)
{
	if (!stream)
		return;
	SSL_free(stream->ssl);
	free(stream);
}

int cp_ovpn_tls_feed(struct cp_ovpn_tls_stream *stream, const uint8_t *bytes, size_t length)
{
	return BIO_write(stream->in, bytes, (int)length) == (int)length ? 0 : -ENOMEM;
}

size_t cp_ovpn_tls_unread(const struct cp_ovpn_tls_stream *stream)
{
	return BIO_ctrl_pending(stream->in);
}

size_t cp_ovpn_tls_drain(struct cp_ovpn_tls_stream *stream, uint8_t *bytes, size_t room)
{
	int length = BIO_read(stream->out, bytes, (int)room);

	return length > 0 ? (size_t)length : 0;
}

/* What a call of OpenSSL that returned RC failed of; 0: nothing, it waits for the server. */
static int explain(struct cp_ovpn_tls_stream *stream, int rc, char why[CP_WHY_LEN])
{
	unsigned long code;
	const char *reason;

	switch (SSL_get_error(stream->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		snprintf(why, CP_WHY_LEN, "TLS: the server closed the connection");
		return -EPROTO;
	default:
		break;
	}
	reason = take_error(&code);
	if (stream->refused[0])
		snprintf(why, CP_WHY_LEN, "%s", stream->refused);
	else if (ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET)
		snprintf(why, CP_WHY_LEN, "TLS: the server refused us: %s", reason);
	else
		snprintf(why, CP_WHY_LEN, "TLS: %s", reason);
	return -EPROTO;
}

int cp_ovpn_tls_shake(struct cp_ovpn_tls_stream *stream, char why[CP_WHY_LEN])
{
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(stream->ssl);
	return rc == 1 ? 1 : explain(stream, rc, why);
}

int cp_ovpn_tls_write(struct cp_ovpn_tls_stream *stream, const uint8_t *bytes, size_t length)
{
	ERR_clear_error();
	return SSL_write(stream->ssl, bytes, (int)length) == (int)length ? 0 : -EPROTO;
}

long cp_ovpn_tls_read(struct cp_ovpn_tls_stream *stream, uint8_t *bytes, char why[CP_WHY_LEN])
{
	int rc;

	ERR_clear_error();
	rc = SSL_read(stream->ssl, bytes, (int)CP_OVPN_RECORD_MAX);
	return rc > 0 ? rc : explain(stream, rc, why);
}

int cp_ovpn_tls_export(struct cp_ovpn_tls_stream *stream, const char *label, uint8_t *bytes,
                       size_t length)
{
	return SSL_export_keying_material(stream->ssl, bytes, length, label, strlen(label), NULL, 0,
	                                  0) == 1
	               ? 0
	               : -EPROTO;
}

void cp_ovpn_tls_describe(const struct cp_ovpn_tls_stream *stream, char *text, size_t room)
{
	snprintf(text, room, "%s, %s", SSL_get_version(stream->ssl),
	         SSL_get_cipher_name(stream->ssl));
}
