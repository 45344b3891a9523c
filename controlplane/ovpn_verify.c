/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the certificate that an OpenVPN server shows is that of the server we want.
 */
#include "controlplane/ovpn_verify.h"

#include "common/secret.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#define SUBJECT_LEN 256

/* As OpenVPN prints it: "C=DE, O=FO, CN=vpn.example.test". Returns false where it is too long. */
static bool print_subject(X509 *certificate, char text[SUBJECT_LEN])
{
	BIO *bio = BIO_new(BIO_s_mem());
	const char *printed;
	long length = 0;

	text[0] = 0;
	if (bio &&
	    X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0,
	                       XN_FLAG_SEP_CPLUS_SPC | XN_FLAG_FN_SN | ASN1_STRFLGS_UTF8_CONVERT |
	                               ASN1_STRFLGS_ESC_CTRL) >= 0)
		length = BIO_get_mem_data(bio, &printed);
	if (length > 0 && length < SUBJECT_LEN && !memchr(printed, 0, (size_t)length)) {
		memcpy(text, printed, (size_t)length);
		text[length] = 0;
	}
	BIO_free(bio);
	return text[0] != 0;
}

/* The last common name. */
static bool print_common_name(X509 *certificate, char text[SUBJECT_LEN])
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	unsigned char *utf8 = NULL;
	int last = -1, length, index = -1;

	text[0] = 0;
	while ((index = X509_NAME_get_index_by_NID(subject, NID_commonName, index)) >= 0)
		last = index;
	if (last < 0)
		return false;
	length = ASN1_STRING_to_UTF8(&utf8,
	                             X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
	if (length > 0 && length < SUBJECT_LEN && !memchr(utf8, 0, (size_t)length)) {
		memcpy(text, utf8, (size_t)length);
		text[length] = 0;
	}
	OPENSSL_free(utf8);
	return text[0] != 0;
}

static int refuse(X509_STORE_CTX *context, char why[CP_WHY_LEN], const char *format,
                  const char *what, const char *who)
{
	char text[2 * CP_WHY_LEN];

	X509_STORE_CTX_set_error(context, X509_V_ERR_APPLICATION_VERIFICATION);
	snprintf(text, sizeof(text), format, what, who);
	snprintf(why, CP_WHY_LEN, "TLS: %.*s", (int)CP_WHY_LEN - 6, text);
	return 0;
}

static bool has_fingerprint(const struct cp_ovpn_settings *settings, X509 *certificate)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned length;

	if (!X509_digest(certificate, EVP_sha256(), digest, &length) || length != 32)
		return false;
	for (size_t i = 0; i < settings->fingerprint_count; i++)
		if (sp_secret_equal(settings->fingerprints[i], digest, 32))
			return true;
	return false;
}

static bool has_name(const struct cp_ovpn_settings *settings, X509 *certificate,
                     char found[SUBJECT_LEN])
{
	switch (settings->name_mode) {
	case CP_OVPN_NAME_NONE:
		return true;
	case CP_OVPN_NAME_SUBJECT:
		return print_subject(certificate, found) && strcmp(found, settings->name) == 0;
	case CP_OVPN_NAME_EXACT:
		return print_common_name(certificate, found) && strcmp(found, settings->name) == 0;
	case CP_OVPN_NAME_PREFIX:
		return print_common_name(certificate, found) &&
		       strncmp(found, settings->name, strlen(settings->name)) == 0;
	}
	return false;
}

/* WANTED is an OID, or OpenSSL's name of it. */
static bool has_extended_usage(X509 *certificate, const char *wanted)
{
	EXTENDED_KEY_USAGE *usages = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
	bool is_there = false;

	for (int i = 0; usages && !is_there && i < sk_ASN1_OBJECT_num(usages); i++) {
		const ASN1_OBJECT *usage = sk_ASN1_OBJECT_value(usages, i);
		char name[128], oid[128];

		is_there =
			(OBJ_obj2txt(name, sizeof(name), usage, 0) > 0 &&
		         strcmp(name, wanted) == 0) ||
			(OBJ_obj2txt(oid, sizeof(oid), usage, 1) > 0 && strcmp(oid, wanted) == 0) ||
			(OBJ_obj2nid(usage) != NID_undef &&
		         strcmp(OBJ_nid2sn(OBJ_obj2nid(usage)), wanted) == 0);
	}
	sk_ASN1_OBJECT_pop_free(usages, ASN1_OBJECT_free);
	return is_there;
}

static bool has_usage(const struct cp_ovpn_settings *settings, X509 *certificate)
{
	uint32_t usage = X509_get_key_usage(certificate);

	if (settings->key_usage_count == 0)
		return true;
	if (usage == UINT32_MAX) /* it does not say */
		return false;
	for (size_t i = 0; i < settings->key_usage_count; i++)
		if (settings->key_usages[i] &&
		    (usage & settings->key_usages[i]) == settings->key_usages[i])
			return true;
	return false;
}

/* The server's own certificate; the chain above it is sound. */
static int check_server(const struct cp_ovpn_settings *settings, X509 *certificate,
                        X509_STORE_CTX *context, char why[CP_WHY_LEN])
{
	char subject[SUBJECT_LEN], found[SUBJECT_LEN] = "";

	if (!print_subject(certificate, subject))
		strcpy(subject, "(a subject that cannot be printed)");
	if (settings->fingerprint_count > 0 && !has_fingerprint(settings, certificate))
		return refuse(context, why,
		              "the server's certificate is none of peer-fingerprint: %s%s", subject,
		              "");
	if (settings->remote_cert_tls && (X509_get_key_usage(certificate) == UINT32_MAX ||
	                                  !has_extended_usage(certificate, "serverAuth")))
		return refuse(context, why,
		              "the certificate is not one of a TLS server (remote-cert-tls): %s%s",
		              subject, "");
	if (settings->eku[0] && !has_extended_usage(certificate, settings->eku))
		return refuse(context, why,
		              "the server's certificate lacks the extended key usage \"%s\": %s",
		              settings->eku, subject);
	if (!has_usage(settings, certificate))
		return refuse(context, why,
		              "the server's certificate has none of the wanted key usages: %s%s",
		              subject, "");
	if (!has_name(settings, certificate, found))
		return refuse(context, why,
		              "the server's name is not \"%s\" (verify-x509-name) but \"%s\"",
		              settings->name, found);
	return 1;
}

/* What OpenSSL found wrong. */
static int refuse_chain(X509_STORE_CTX *context, char why[CP_WHY_LEN])
{
	X509 *certificate = X509_STORE_CTX_get_current_cert(context);
	int error = X509_STORE_CTX_get_error(context);
	char subject[SUBJECT_LEN];
	const char *format = "the server's certificate is refused, %s: %s";

	if (!certificate || !print_subject(certificate, subject))
		strcpy(subject, "(no subject)");
	switch (error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
	case X509_V_ERR_CERT_REVOKED:
		format = "the server's certificate is not valid, %s: %s";
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		format = "the server's certificate is not from our CA, %s: %s";
		break;
	default:
		break;
	}
	refuse(context, why, format, X509_verify_cert_error_string(error), subject);
	X509_STORE_CTX_set_error(context, error); /* the alert follows from it */
	return 0;
}

int cp_ovpn_verify(const struct cp_ovpn_settings *settings, int is_ok, X509_STORE_CTX *context,
                   char why[CP_WHY_LEN])
{
	bool is_by_fingerprint = settings->fingerprint_count > 0 && !settings->ca.file[0];

	if (!is_ok && !is_by_fingerprint &&
	    X509_STORE_CTX_get_error(context) != X509_V_ERR_UNABLE_TO_GET_CRL)
		return refuse_chain(context, why);
	if (X509_STORE_CTX_get_error_depth(context) > 0)
		return 1;
	return check_server(settings, X509_STORE_CTX_get_current_cert(context), context, why);
}
