/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of OpenVPN's algorithms, and the defaults of a tunnel.
 */
#include "controlplane/ovpn_settings.h"

#include <errno.h>
#include <string.h>

static const char *const cipher_names[] = {
	[CP_OVPN_AES_256_GCM] = "AES-256-GCM", [CP_OVPN_AES_192_GCM] = "AES-192-GCM",
	[CP_OVPN_AES_128_GCM] = "AES-128-GCM", [CP_OVPN_CHACHA20_POLY1305] = "CHACHA20-POLY1305",
	[CP_OVPN_AES_256_CBC] = "AES-256-CBC", [CP_OVPN_AES_192_CBC] = "AES-192-CBC",
	[CP_OVPN_AES_128_CBC] = "AES-128-CBC",
};

static const char *const digest_names[] = {
	[CP_OVPN_SHA1] = "SHA1",
	[CP_OVPN_SHA256] = "SHA256",
	[CP_OVPN_SHA512] = "SHA512",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *cp_ovpn_cipher_name(enum cp_ovpn_cipher cipher)
{
	return cipher >= 1 && cipher < COUNT(cipher_names) ? cipher_names[cipher] : "none";
}

const char *cp_ovpn_digest_name(enum cp_ovpn_digest digest)
{
	return digest >= 1 && digest < COUNT(digest_names) ? digest_names[digest] : "none";
}

int cp_ovpn_cipher_parse(const char *name, enum cp_ovpn_cipher *cipher)
{
	for (size_t i = 1; i < COUNT(cipher_names); i++) {
		if (strcasecmp(cipher_names[i], name) == 0) {
			*cipher = (enum cp_ovpn_cipher)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Also as "SHA-256" and "RSA-SHA256". */
int cp_ovpn_digest_parse(const char *name, enum cp_ovpn_digest *digest)
{
	static const struct {
		enum cp_ovpn_digest digest;
		const char *size;
	} sizes[] = { { CP_OVPN_SHA1, "1" }, { CP_OVPN_SHA256, "256" }, { CP_OVPN_SHA512, "512" } };

	if (strncasecmp(name, "RSA-", 4) == 0)
		name += 4;
	if (strncasecmp(name, "SHA", 3) != 0)
		return -EINVAL;
	name += name[3] == '-' ? 4 : 3;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		if (strcmp(sizes[i].size, name) == 0) {
			*digest = sizes[i].digest;
			return 0;
		}
	}
	return -EINVAL;
}

bool cp_ovpn_cipher_is_aead(enum cp_ovpn_cipher cipher)
{
	return cipher >= CP_OVPN_AES_256_GCM && cipher <= CP_OVPN_CHACHA20_POLY1305;
}

void cp_ovpn_settings_init(struct cp_ovpn_settings *settings)
{
	*settings = (struct cp_ovpn_settings){
		.ciphers = { CP_OVPN_AES_256_GCM, CP_OVPN_AES_128_GCM, CP_OVPN_CHACHA20_POLY1305 },
		.cipher_count = 3,
		.digest = CP_OVPN_SHA1,
		.framing = CP_OVPN_FRAMING_NONE,
		.wrapping = CP_OVPN_WRAP_NONE,
		.key_direction = -1,
		.control_bytes = 1250,
		.tls_min = CP_OVPN_TLS_1_2,
		.cert_profile = CP_OVPN_CERT_LEGACY,
		.hand_window_s = 60,
		.tran_window_s = 3600,
		.tls_timeout_s = 2,
		.reneg_s = 3600,
		.ping_s = CP_OVPN_UNSET,
		.ping_restart_s = CP_OVPN_UNSET,
		.connect_timeout_s = 120,
		.tun_mtu = 1500,
	};
}
