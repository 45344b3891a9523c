/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Certificates and secrets of an OpenVPN tunnel, read anew for each login.
 */
#include "controlplane/ovpn_material.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/config_read.h"
#include "controlplane/ovpn_settings.h"
#include "controlplane/ovpn_text.h"

#define PASSWORD_MAX 4095u /* of OpenVPN, where it was built for long ones */
#define NO_OTHERS "must be readable by us and by no others (mode 0400, 0440, 0600 or 0640)"

__attribute__((format(printf, 2, 3))) static int fail(char why[CP_WHY_LEN], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, CP_WHY_LEN, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* ---- places ---- */

/* What is at a place; `whole` holds it. */
struct piece {
	struct cp_ovpn_text whole;
	const char *at;
	size_t length;
};

static void drop_piece(struct piece *piece)
{
	cp_ovpn_text_wipe(&piece->whole);
}

static const char *words_of(int error)
{
	switch (error) {
	case ENODATA:
		return "is empty";
	case EFBIG:
		return "is too long";
	case EILSEQ:
		return "has a NUL byte";
	case EINVAL:
	case EISDIR:
		return "is not a regular file";
	}
	return strerror(error);
}

static int take_piece(const struct cp_ovpn_place *place, const char *block, bool is_secret,
                      struct piece *piece, char why[CP_WHY_LEN])
{
	int rc = cp_ovpn_text_read(&piece->whole, place->file);

	if (rc != 0)
		return fail(why, "%.160s: %s", place->file, words_of(-rc));
	if (is_secret && !piece->whole.is_private) {
		drop_piece(piece);
		return fail(why, "%.160s: " NO_OTHERS, place->file);
	}
	piece->at = piece->whole.bytes;
	piece->length = piece->whole.length;
	if (place->is_inline)
		piece->at = cp_ovpn_block(&piece->whole, block, &piece->length);
	if (piece->at && piece->length)
		return 0;
	drop_piece(piece);
	return fail(why, "%.160s: has no <%s> any more", place->file, block);
}

/* ---- certificates ---- */

/* *TEXT is the caller's; it stays NULL where there is no such place. */
static int load_text(const struct cp_ovpn_place *place, const char *block, char **text,
                     char why[CP_WHY_LEN])
{
	struct piece piece;
	int rc;

	if (!place->file[0])
		return 0;
	rc = take_piece(place, block, false, &piece, why);
	if (rc != 0)
		return rc;
	*text = strndup(piece.at, piece.length);
	drop_piece(&piece);
	return *text ? 0 : fail(why, "out of memory");
}

/* ---- secrets ---- */

static int keep_secret(struct sp_secret **secret, const void *bytes, size_t length,
                       const char *file, char why[CP_WHY_LEN])
{
	if (length > SP_SECRET_MAX)
		return fail(why, "%.160s: is too long", file);
	*secret = sp_secret_create();
	if (!*secret)
		return fail(why, "out of memory");
	memcpy((*secret)->data, bytes, length);
	(*secret)->length = length;
	return 0;
}

static int load_key(const struct cp_ovpn_place *place, struct sp_secret **key, char why[CP_WHY_LEN])
{
	struct piece piece;
	int rc;

	if (!place->file[0])
		return 0;
	rc = take_piece(place, "key", true, &piece, why);
	if (rc != 0)
		return rc;
	if (cp_key_text_is_encrypted(piece.at, piece.length))
		rc = fail(why, "%.160s: the private key is encrypted, and there is nobody to ask",
		          place->file);
	else
		rc = keep_secret(key, piece.at, piece.length, place->file, why);
	drop_piece(&piece);
	return rc;
}

/* The inside of a PEM-like armour; NULL: there is none. */
static const char *find_armoured(const struct piece *piece, const char *label, size_t *length)
{
	char begin[64], end[64];
	const char *start, *stop;

	snprintf(begin, sizeof(begin), "-----BEGIN %s-----", label);
	snprintf(end, sizeof(end), "-----END %s-----", label);
	start = memmem(piece->at, piece->length, begin, strlen(begin));
	if (!start)
		return NULL;
	start += strlen(begin);
	stop = memmem(start, (size_t)(piece->at + piece->length - start), end, strlen(end));
	if (!stop)
		return NULL;
	*length = (size_t)(stop - start);
	return start;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* -1: not a hexadecimal digit. */
static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Exactly CP_OVPN_STATIC_KEY_LEN bytes. */
static bool decode_hex(const char *text, size_t length, uint8_t *bytes)
{
	size_t digits = 0;

	for (size_t i = 0; i < length; i++) {
		const int digit = digit_of(text[i]);

		if (is_space(text[i]))
			continue;
		if (digit < 0 || digits == 2 * CP_OVPN_STATIC_KEY_LEN)
			return false;
		bytes[digits / 2] = (uint8_t)(digits % 2 ? bytes[digits / 2] | digit : digit << 4);
		digits++;
	}
	return digits == 2 * CP_OVPN_STATIC_KEY_LEN;
}

static int load_static_key(const struct piece *piece, struct cp_ovpn_material *material,
                           const char *file, char why[CP_WHY_LEN])
{
	size_t length;
	const char *text = find_armoured(piece, "OpenVPN Static key V1", &length);
	int rc;

	material->wrap = sp_secret_create();
	if (!material->wrap)
		return fail(why, "out of memory");
	rc = text && decode_hex(text, length, material->wrap->data) ? 0 : -EINVAL;
	material->wrap->length = CP_OVPN_STATIC_KEY_LEN;
	return rc == 0 ? 0
	               : fail(why,
	                      "%.160s: is not a static key of 2048 bits (openvpn --genkey secret)",
	                      file);
}

/* Kc, and the wrapped key for the server, whose last two bytes are its length. */
static int load_client_key(const struct piece *piece, struct cp_ovpn_material *material,
                           const char *file, char why[CP_WHY_LEN])
{
	size_t length, total;
	const char *text = find_armoured(piece, "OpenVPN tls-crypt-v2 client key", &length);
	struct sp_secret *secret = sp_secret_create();

	material->wrap = secret;
	if (!secret)
		return fail(why, "out of memory");
	total = text ? cp_ovpn_base64(text, length, secret->data,
	                              CP_OVPN_STATIC_KEY_LEN + CP_OVPN_WKC_MAX)
	             : 0;
	if (total < CP_OVPN_STATIC_KEY_LEN + 2)
		return fail(why, "%.160s: is not a client key of tls-crypt-v2", file);
	material->wkc_length = total - CP_OVPN_STATIC_KEY_LEN;
	memcpy(material->wkc, secret->data + CP_OVPN_STATIC_KEY_LEN, material->wkc_length);
	secret->length = CP_OVPN_STATIC_KEY_LEN;
	if ((size_t)(material->wkc[material->wkc_length - 2] << 8 |
	             material->wkc[material->wkc_length - 1]) != material->wkc_length)
		return fail(why, "%.160s: the client key of tls-crypt-v2 was cut", file);
	return 0;
}

static int load_wrap(const struct cp_ovpn_settings *settings, struct cp_ovpn_material *material,
                     char why[CP_WHY_LEN])
{
	static const char *const blocks[] = { [CP_OVPN_TLS_AUTH] = "tls-auth",
		                              [CP_OVPN_TLS_CRYPT] = "tls-crypt",
		                              [CP_OVPN_TLS_CRYPT_V2] = "tls-crypt-v2" };
	struct piece piece;
	int rc;

	if (settings->wrapping == CP_OVPN_WRAP_NONE)
		return 0;
	rc = take_piece(&settings->wrap_key, blocks[settings->wrapping], true, &piece, why);
	if (rc != 0)
		return rc;
	if (settings->wrapping == CP_OVPN_TLS_CRYPT_V2)
		rc = load_client_key(&piece, material, settings->wrap_key.file, why);
	else
		rc = load_static_key(&piece, material, settings->wrap_key.file, why);
	drop_piece(&piece);
	return rc;
}

/* ---- account and password ---- */

/* The next line without its end; what follows it is in *REST. */
static size_t take_line(const char *text, size_t length, const char **rest)
{
	const char *newline = memchr(text, '\n', length);
	size_t own = newline ? (size_t)(newline - text) : length;

	*rest = newline ? newline + 1 : text + length;
	return own && text[own - 1] == '\r' ? own - 1 : own;
}

static int split_login(const struct piece *piece, struct cp_ovpn_material *material,
                       const char *file, char why[CP_WHY_LEN])
{
	const char *password, *end;
	const size_t account_length = take_line(piece->at, piece->length, &password);
	const size_t left = (size_t)(piece->at + piece->length - password);
	const size_t password_length = take_line(password, left, &end);

	if (account_length < 1 || account_length >= sizeof(material->account))
		return fail(why, "%.160s: its first line must be the account, up to %u characters",
		            file, CP_TEXT_LEN - 1);
	if (password_length < 1 || password_length > PASSWORD_MAX)
		return fail(why, "%.160s: its second line must be the password, up to %u bytes",
		            file, PASSWORD_MAX);
	memcpy(material->account, piece->at, account_length);
	return keep_secret(&material->password, password, password_length, file, why);
}

static int load_password_file(const struct cp_server *server, struct cp_ovpn_material *material,
                              char why[CP_WHY_LEN])
{
	int rc;

	memcpy(material->account, server->account, sizeof(material->account));
	material->password = sp_secret_create();
	if (!material->password)
		return fail(why, "out of memory");
	rc = sp_secret_read_file(material->password, server->secret_file);
	if (rc == -EACCES)
		return fail(why, "%.160s: " NO_OTHERS, server->secret_file);
	if (rc != 0)
		return fail(why, "%.160s: %s", server->secret_file, words_of(-rc));
	if (material->password->length > PASSWORD_MAX ||
	    memchr(material->password->data, 0, material->password->length))
		return fail(why, "%.160s: a password is text of up to %u bytes",
		            server->secret_file, PASSWORD_MAX);
	return 0;
}

static int load_login(const struct cp_server *server, struct cp_ovpn_material *material,
                      char why[CP_WHY_LEN])
{
	const struct cp_ovpn_place *login = &server->openvpn->login;
	struct piece piece;
	int rc;

	if (!server->openvpn->has_password)
		return 0;
	if (!login->file[0])
		return load_password_file(server, material, why);
	rc = take_piece(login, "auth-user-pass", true, &piece, why);
	if (rc != 0)
		return rc;
	rc = split_login(&piece, material, login->file, why);
	drop_piece(&piece);
	return rc;
}

/* ---- public ---- */

int cp_ovpn_material_load(const struct cp_server *server, struct cp_ovpn_material *material,
                          char why[CP_WHY_LEN])
{
	const struct cp_ovpn_settings *settings = server->openvpn;
	int rc;

	*material = (struct cp_ovpn_material){ 0 };
	rc = load_text(&settings->ca, "ca", &material->ca, why);
	if (rc == 0)
		rc = load_text(&settings->certificate, "cert", &material->certificate, why);
	if (rc == 0)
		rc = load_text(&settings->crl, "crl-verify", &material->crl, why);
	if (rc == 0)
		rc = load_key(&settings->key, &material->key, why);
	if (rc == 0)
		rc = load_wrap(settings, material, why);
	if (rc == 0)
		rc = load_login(server, material, why);
	if (rc != 0)
		cp_ovpn_material_wipe(material);
	return rc;
}

void cp_ovpn_material_wipe(struct cp_ovpn_material *material)
{
	sp_secret_destroy(material->password);
	sp_secret_destroy(material->key);
	sp_secret_destroy(material->wrap);
	free(material->ca);
	free(material->certificate);
	free(material->crl);
	sp_wipe(material, sizeof(*material));
}
