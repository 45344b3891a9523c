/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an OpenVPN client and its server tell each other about themselves in plain text.
 */
#include "controlplane/ovpn_about.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bits of IV_PROTO, and what each promises. */
#define PROTO_DATA_V2 (1u << 1)
#define PROTO_PUSH_UNASKED (1u << 2)
#define PROTO_TLS_EKM (1u << 3)
#define PROTO_AUTH_PENDING (1u << 4)
#define PROTO_DNS (1u << 6)
#define PROTO_CC_EXIT (1u << 7)
#define PROTO_AUTH_FAILED_TEMP (1u << 8)
#define PROTO_DYN_TLS_CRYPT (1u << 9)
#define PROTO_AEAD_EPOCH (1u << 10)

#define PROTO                                                                                  \
	(PROTO_DATA_V2 | PROTO_PUSH_UNASKED | PROTO_TLS_EKM | PROTO_AUTH_PENDING | PROTO_DNS | \
	 PROTO_CC_EXIT | PROTO_AUTH_FAILED_TEMP | PROTO_DYN_TLS_CRYPT | PROTO_AEAD_EPOCH)

#define MTU_MAX 1600u /* a larger one is not pushed to us */

struct text {
	char *bytes;
	size_t room;
	size_t length;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *text, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length =
		vsnprintf(text->bytes + text->length, text->room - text->length, format, arguments);
	va_end(arguments);
	if (length > 0)
		text->length += (size_t)length;
	if (text->length >= text->room)
		text->length = text->room - 1;
}

void cp_ovpn_about_options(const struct cp_ovpn_settings *settings, const struct cp_ovpn_link *link,
                           char *text, size_t room)
{
	struct text to = { text, room, 0 };

	add(&to, "V4,dev-type tun,link-mtu %u,tun-mtu %u,proto %s%s", settings->tun_mtu + 41u,
	    (unsigned)settings->tun_mtu, link->is_tcp ? "TCP" : "UDP", link->is_ipv6 ? "v6" : "v4");
	if (link->is_tcp)
		add(&to, "_CLIENT");
	if (settings->framing != CP_OVPN_FRAMING_NONE)
		add(&to, ",comp-lzo");
	if (settings->wrapping == CP_OVPN_TLS_AUTH && settings->key_direction >= 0)
		add(&to, ",keydir %d", settings->key_direction);
	if (settings->fallback)
		add(&to, ",cipher %s", cp_ovpn_cipher_name(settings->fallback));
	add(&to, ",auth %s,keysize 256", cp_ovpn_digest_name(settings->digest));
	if (settings->wrapping == CP_OVPN_TLS_AUTH)
		add(&to, ",tls-auth");
	add(&to, ",key-method 2,tls-client");
}

static bool has_cipher(const struct cp_ovpn_settings *settings, enum cp_ovpn_cipher cipher)
{
	for (size_t i = 0; i < settings->cipher_count; i++)
		if (settings->ciphers[i] == cipher)
			return true;
	return false;
}

void cp_ovpn_about_ciphers(const struct cp_ovpn_settings *settings, char *text, size_t room)
{
	struct text to = { text, room, 0 };

	text[0] = 0;
	for (size_t i = 0; i < settings->cipher_count; i++)
		add(&to, "%s%s", i ? ":" : "", cp_ovpn_cipher_name(settings->ciphers[i]));
}

void cp_ovpn_about_peer_info(const struct cp_ovpn_settings *settings, char *text, size_t room)
{
	struct text to = { text, room, 0 };
	char ciphers[256];

	cp_ovpn_about_ciphers(settings, ciphers, sizeof(ciphers));
	add(&to, "IV_VER=sallyport\nIV_PLAT=linux\nIV_TCPNL=1\nIV_MTU=%u\n", MTU_MAX);
	if (has_cipher(settings, CP_OVPN_AES_256_GCM) && has_cipher(settings, CP_OVPN_AES_128_GCM))
		add(&to, "IV_NCP=2\n"); /* for servers before 2.5: it says just these two */
	add(&to, "IV_CIPHERS=%s\nIV_PROTO=%u\n", ciphers, PROTO);
	add(&to, "IV_LZO_STUB=1\nIV_COMP_STUB=1\nIV_COMP_STUBv2=1\n");
}

bool cp_ovpn_about_server_cipher(const char *options, char *name, size_t room)
{
	static const char key[] = "cipher ";

	for (const char *at = options; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, key, strlen(key)) != 0)
			continue;
		at += strlen(key);
		snprintf(name, room, "%.*s", (int)strcspn(at, ","), at);
		return name[0] != 0;
	}
	return false;
}
