/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directives of OpenVPN's profiles about keys and trust: certificates, secrets, TLS, and who
 * the server must be.
 */
#include "controlplane/ovpn_directives.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/config_read.h"

/* ---- files and blocks ---- */

/* A file's name counts from the profile's directory. */
static bool join(struct cp_ovpn_reading *reading, const char *name, char path[CP_PATH_LEN])
{
	const char *slash = strrchr(reading->path, '/');
	const int directory = slash && name[0] != '/' ? (int)(slash + 1 - reading->path) : 0;

	if ((size_t)snprintf(path, CP_PATH_LEN, "%.*s%s", directory, reading->path, name) <
	    CP_PATH_LEN)
		return true;
	cp_ovpn_complain(reading, "the path is too long: at most %u characters", CP_PATH_LEN - 1);
	return false;
}

/* Takes "ca FILE" or "<ca>"; false: neither, or "ca [inline]", which says that the block follows.
 */
static bool read_place(struct cp_ovpn_reading *reading, struct cp_ovpn_place *place)
{
	if (reading->is_in_connection) {
		cp_ovpn_complain(reading, "must not be in a <connection>: it is for all of them");
		return false;
	}
	if (reading->line->block) {
		snprintf(place->file, sizeof(place->file), "%s", reading->path);
		place->is_inline = true;
		return true;
	}
	if (strcmp(cp_ovpn_word(reading, 1), "[inline]") == 0)
		return false;
	if (!*cp_ovpn_word(reading, 1)) {
		cp_ovpn_complain(reading, "must name a file, or be a block <%s>",
		                 cp_ovpn_word(reading, 0));
		return false;
	}
	place->is_inline = false;
	return join(reading, cp_ovpn_word(reading, 1), place->file);
}

static bool read_secret_place(struct cp_ovpn_reading *reading, struct cp_ovpn_place *place)
{
	if (reading->line->block && !reading->profile->secret_line)
		reading->profile->secret_line = reading->line->number;
	return read_place(reading, place);
}

static void take_ca(struct cp_ovpn_reading *reading)
{
	read_place(reading, &reading->profile->settings.ca);
}

static void take_cert(struct cp_ovpn_reading *reading)
{
	read_place(reading, &reading->profile->settings.certificate);
}

static void take_key(struct cp_ovpn_reading *reading)
{
	if (reading->line->block &&
	    cp_key_text_is_encrypted(reading->line->block, reading->line->block_length))
		cp_ovpn_complain(
			reading,
			"must not be encrypted: there is nobody to ask for its password at night; decrypt it (openssl pkey) and protect the profile by its mode");
	read_secret_place(reading, &reading->profile->settings.key);
}

static void take_crl(struct cp_ovpn_reading *reading)
{
	if (strcmp(cp_ovpn_word(reading, 2), "dir") == 0)
		cp_ovpn_complain(reading, "must be one file: directories are not read");
	else
		read_place(reading, &reading->profile->settings.crl);
}

static void read_direction(struct cp_ovpn_reading *reading, unsigned index)
{
	uint64_t direction;

	if (cp_ovpn_read_number(reading, index, 0, 1, &direction))
		reading->profile->settings.key_direction = (int)direction;
}

static void read_wrap(struct cp_ovpn_reading *reading, enum cp_ovpn_wrapping wrapping)
{
	struct cp_ovpn_settings *settings = &reading->profile->settings;

	if (settings->wrapping != CP_OVPN_WRAP_NONE && settings->wrapping != wrapping)
		cp_ovpn_complain(reading,
		                 "must not stand beside another key of its kind: one wraps");
	if (!read_secret_place(reading, &settings->wrap_key))
		return;
	settings->wrapping = wrapping;
	if (wrapping == CP_OVPN_TLS_AUTH && cp_ovpn_has_word(reading, 2))
		read_direction(reading, 2);
}

static void take_tls_auth(struct cp_ovpn_reading *reading)
{
	read_wrap(reading, CP_OVPN_TLS_AUTH);
}

static void take_tls_crypt(struct cp_ovpn_reading *reading)
{
	read_wrap(reading, CP_OVPN_TLS_CRYPT);
}

static void take_tls_crypt_v2(struct cp_ovpn_reading *reading)
{
	read_wrap(reading, CP_OVPN_TLS_CRYPT_V2);
}

static void take_key_direction(struct cp_ovpn_reading *reading)
{
	read_direction(reading, 1);
}

static void take_auth_user_pass(struct cp_ovpn_reading *reading)
{
	struct cp_ovpn_profile *profile = reading->profile;

	profile->settings.has_password = true;
	if (!reading->line->block &&
	    (!cp_ovpn_has_word(reading, 1) || strcmp(cp_ovpn_word(reading, 1), "[inline]") == 0)) {
		profile->password_line = reading->line->number;
		profile->asks_password = !profile->settings.login.file[0];
	} else if (read_secret_place(reading, &profile->settings.login)) {
		profile->asks_password = false;
	}
}

/* ---- TLS, and who the server is ---- */

static bool read_tls_version(struct cp_ovpn_reading *reading, enum cp_ovpn_tls_version *version)
{
	const char *text = cp_ovpn_word(reading, 1);

	if (strcmp(text, "1.0") == 0 || strcmp(text, "1.1") == 0 || strcmp(text, "1.2") == 0)
		*version = CP_OVPN_TLS_1_2;
	else if (strcmp(text, "1.3") == 0)
		*version = CP_OVPN_TLS_1_3;
	else
		return false;
	return true;
}

static void take_tls_min(struct cp_ovpn_reading *reading)
{
	if (!read_tls_version(reading, &reading->profile->settings.tls_min))
		cp_ovpn_complain(reading, "must be 1.0 to 1.3; less than 1.2 is not done");
}

static void take_tls_max(struct cp_ovpn_reading *reading)
{
	if (strcmp(cp_ovpn_word(reading, 1), "1.0") == 0 ||
	    strcmp(cp_ovpn_word(reading, 1), "1.1") == 0 ||
	    !read_tls_version(reading, &reading->profile->settings.tls_max))
		cp_ovpn_complain(reading, "must be 1.2 or 1.3: nothing older is done");
}

static void take_tls_cipher(struct cp_ovpn_reading *reading)
{
	cp_ovpn_read_text(reading, 1, reading->profile->settings.tls_ciphers, CP_OVPN_LIST_LEN);
}

static void take_tls_ciphersuites(struct cp_ovpn_reading *reading)
{
	cp_ovpn_read_text(reading, 1, reading->profile->settings.tls_ciphersuites,
	                  CP_OVPN_LIST_LEN);
}

static void take_tls_groups(struct cp_ovpn_reading *reading)
{
	cp_ovpn_read_text(reading, 1, reading->profile->settings.tls_groups, CP_OVPN_LIST_LEN);
}

static void take_cert_profile(struct cp_ovpn_reading *reading)
{
	static const char *const names[] = { [CP_OVPN_CERT_LEGACY] = "legacy",
		                             [CP_OVPN_CERT_PREFERRED] = "preferred",
		                             [CP_OVPN_CERT_INSECURE] = "insecure",
		                             [CP_OVPN_CERT_SUITE_B] = "suiteb" };

	for (size_t i = 1; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], cp_ovpn_word(reading, 1)) == 0) {
			reading->profile->settings.cert_profile = (enum cp_ovpn_cert_profile)i;
			return;
		}
	}
	cp_ovpn_complain(reading, "must be legacy, preferred, suiteb or insecure");
}

static void take_remote_cert_tls(struct cp_ovpn_reading *reading)
{
	if (strcmp(cp_ovpn_word(reading, 1), "server") == 0)
		reading->profile->settings.remote_cert_tls = true;
	else
		cp_ovpn_complain(reading, "must be server: that is whom a client calls");
}

static void take_eku(struct cp_ovpn_reading *reading)
{
	cp_ovpn_read_text(reading, 1, reading->profile->settings.eku,
	                  sizeof(reading->profile->settings.eku));
}

static void take_ku(struct cp_ovpn_reading *reading)
{
	struct cp_ovpn_settings *settings = &reading->profile->settings;

	if (!cp_ovpn_has_word(reading, 1)) {
		settings->remote_cert_tls = true; /* any usage, but there must be one */
		return;
	}
	settings->key_usage_count = 0;
	for (unsigned i = 1; i < reading->line->count; i++) {
		const char *text = cp_ovpn_word(reading, i);

		if (strspn(text, "0123456789abcdefABCDEF") != strlen(text) || strlen(text) > 4 ||
		    settings->key_usage_count == CP_OVPN_USAGES_MAX) {
			cp_ovpn_complain(reading, "must be 1 to %u hexadecimal masks",
			                 CP_OVPN_USAGES_MAX);
			return;
		}
		settings->key_usages[settings->key_usage_count++] =
			(uint16_t)strtoul(text, NULL, 16);
	}
}

static void take_x509_name(struct cp_ovpn_reading *reading)
{
	static const char *const modes[] = { [CP_OVPN_NAME_SUBJECT] = "subject",
		                             [CP_OVPN_NAME_EXACT] = "name",
		                             [CP_OVPN_NAME_PREFIX] = "name-prefix" };
	struct cp_ovpn_settings *settings = &reading->profile->settings;
	const char *mode = cp_ovpn_has_word(reading, 2) ? cp_ovpn_word(reading, 2) : "subject";

	if (!cp_ovpn_read_text(reading, 1, settings->name, sizeof(settings->name)))
		return;
	for (size_t i = 1; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i], mode) == 0) {
			settings->name_mode = (enum cp_ovpn_name_mode)i;
			return;
		}
	}
	cp_ovpn_complain(reading, "must be of type subject, name or name-prefix");
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "00:11:...": 32 pairs of digits, with or without colons. */
static bool decode_fingerprint(const char *text, uint8_t bytes[32])
{
	for (size_t i = 0; i < 32; i++) {
		if (digit_of(text[0]) < 0 || digit_of(text[1]) < 0)
			return false;
		bytes[i] = (uint8_t)(digit_of(text[0]) << 4 | digit_of(text[1]));
		text += 2;
		text += *text == ':' && i < 31;
	}
	return *text == 0;
}

static void add_fingerprint(struct cp_ovpn_reading *reading, const char *text)
{
	struct cp_ovpn_settings *settings = &reading->profile->settings;

	if (settings->fingerprint_count == CP_OVPN_FINGERPRINTS_MAX)
		cp_ovpn_complain(reading, "there must be at most %u", CP_OVPN_FINGERPRINTS_MAX);
	else if (decode_fingerprint(text, settings->fingerprints[settings->fingerprint_count]))
		settings->fingerprint_count++;
	else
		cp_ovpn_complain(
			reading,
			"must be the SHA-256 of a certificate: 32 pairs of hexadecimal digits");
}

static void take_fingerprint(struct cp_ovpn_reading *reading)
{
	struct cp_ovpn_lines lines;
	struct cp_ovpn_line line;
	const char *fault;
	int rc;

	if (!reading->line->block) {
		if (strcmp(cp_ovpn_word(reading, 1), "[inline]") != 0)
			add_fingerprint(reading, cp_ovpn_word(reading, 1));
		return;
	}
	cp_ovpn_lines_begin(&lines, reading->line->block, reading->line->block_length,
	                    reading->line->block_number);
	while ((rc = cp_ovpn_lines_next(&lines, &line, &fault)) != 0)
		add_fingerprint(reading, rc < 0 ? "" : line.words[0]);
}

const struct cp_ovpn_taker cp_ovpn_trust_takers[] = {
	{ "ca", take_ca },
	{ "cert", take_cert },
	{ "key", take_key },
	{ "crl-verify", take_crl },
	{ "tls-auth", take_tls_auth },
	{ "tls-crypt", take_tls_crypt },
	{ "tls-crypt-v2", take_tls_crypt_v2 },
	{ "key-direction", take_key_direction },
	{ "auth-user-pass", take_auth_user_pass },
	{ "tls-version-min", take_tls_min },
	{ "tls-version-max", take_tls_max },
	{ "tls-cipher", take_tls_cipher },
	{ "tls-ciphersuites", take_tls_ciphersuites },
	{ "tls-groups", take_tls_groups },
	{ "tls-cert-profile", take_cert_profile },
	{ "remote-cert-tls", take_remote_cert_tls },
	{ "remote-cert-eku", take_eku },
	{ "remote-cert-ku", take_ku },
	{ "verify-x509-name", take_x509_name },
	{ "peer-fingerprint", take_fingerprint },
	{ 0 },
};
