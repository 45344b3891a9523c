/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a tunnel speaks OpenVPN: what the configuration and the customer's profile say, with all
 * defaults filled in. Immutable, and part of a struct cp_config.
 *
 * Ports are in host byte order. Secrets are not in here, only where they are.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/config.h"

#define CP_OVPN_REMOTES_MAX 16u
#define CP_OVPN_CIPHERS_MAX 8u
#define CP_OVPN_FINGERPRINTS_MAX 8u
#define CP_OVPN_USAGES_MAX 8u
#define CP_OVPN_FILTERS_MAX 16u
#define CP_OVPN_LIST_LEN 512u /* names of TLS ciphers and groups */
#define CP_OVPN_PORT 1194u
#define CP_OVPN_UNSET UINT32_MAX /* of a time or a size: nobody said; 0 is a value */

enum cp_ovpn_cipher {
	CP_OVPN_AES_256_GCM = 1,
	CP_OVPN_AES_192_GCM = 2,
	CP_OVPN_AES_128_GCM = 3,
	CP_OVPN_CHACHA20_POLY1305 = 4,
	CP_OVPN_AES_256_CBC = 5,
	CP_OVPN_AES_192_CBC = 6,
	CP_OVPN_AES_128_CBC = 7
};

/* Of HMACs: of data packets with a CBC cipher, of control packets with tls-auth. */
enum cp_ovpn_digest { CP_OVPN_SHA1 = 1, CP_OVPN_SHA256 = 2, CP_OVPN_SHA512 = 3 };

/* Of the control packets. */
enum cp_ovpn_wrapping {
	CP_OVPN_WRAP_NONE = 1,
	CP_OVPN_TLS_AUTH = 2,
	CP_OVPN_TLS_CRYPT = 3,
	CP_OVPN_TLS_CRYPT_V2 = 4
};

/* What a byte before each payload says; the server and we must agree. */
enum cp_ovpn_framing {
	CP_OVPN_FRAMING_NONE = 1,
	CP_OVPN_FRAMING_LZO = 2, /* comp-lzo, compress lzo: 0xfa, the payload */
	CP_OVPN_FRAMING_STUB =
		3, /* compress [stub|lz4]: 0xfb, the payload's first byte behind it */
	CP_OVPN_FRAMING_STUB_V2 = 4 /* compress stub-v2|lz4-v2: nothing, or 0x50 0x00 */
};

enum cp_ovpn_tls_version { CP_OVPN_TLS_ANY = 0, CP_OVPN_TLS_1_2 = 12, CP_OVPN_TLS_1_3 = 13 };

/* tls-cert-profile: how weak a key or signature of a certificate may be. */
enum cp_ovpn_cert_profile {
	CP_OVPN_CERT_LEGACY = 1,    /* OpenSSL's security level 1 */
	CP_OVPN_CERT_PREFERRED = 2, /* level 2 */
	CP_OVPN_CERT_INSECURE = 3,  /* level 0 */
	CP_OVPN_CERT_SUITE_B = 4
};

/* verify-x509-name: what of the server's certificate is compared with `name`. */
enum cp_ovpn_name_mode {
	CP_OVPN_NAME_NONE = 0,
	CP_OVPN_NAME_SUBJECT = 1, /* the whole subject, "C=DE, O=FO, CN=vpn.example.test" */
	CP_OVPN_NAME_EXACT = 2,   /* the common name */
	CP_OVPN_NAME_PREFIX = 3   /* what it begins with */
};

struct cp_ovpn_remote {
	char address[CP_TEXT_LEN]; /* IPv4 address or DNS name */
	uint16_t port;
	uint8_t transport; /* IPPROTO_UDP or IPPROTO_TCP */
};

/* Where a certificate or a secret is: a file of its own, or a block of the profile. */
struct cp_ovpn_place {
	char file[CP_PATH_LEN]; /* empty: there is none */
	bool is_inline;         /* file is the profile */
};

/* pull-filter: the first one whose text an option begins with decides. */
enum cp_ovpn_filter_action {
	CP_OVPN_PULL_ACCEPT = 1,
	CP_OVPN_PULL_IGNORE = 2,
	CP_OVPN_PULL_REJECT = 3 /* the session ends */
};

struct cp_ovpn_filter {
	enum cp_ovpn_filter_action action;
	char text[CP_TEXT_LEN];
};

struct cp_ovpn_settings {
	char profile[CP_PATH_LEN]; /* empty: all comes from keys */

	/* Where to: tried in this order, the next one after a failure. */
	struct cp_ovpn_remote remotes[CP_OVPN_REMOTES_MAX];
	size_t remote_count; /* at least 1 */
	bool is_random;      /* remote-random: `remotes` was turned by the names */
	bool may_float;      /* the server's address may change, once it is authenticated */

	/* Our own UDP or TCP port, different for each OpenVPN tunnel of the gateway. */
	uint16_t own_port;

	/* Data channel. */
	enum cp_ovpn_cipher ciphers[CP_OVPN_CIPHERS_MAX]; /* announced; preferred ones first */
	size_t cipher_count;                              /* at least 1 */
	enum cp_ovpn_cipher fallback; /* for a server that does not negotiate; 0: none */
	enum cp_ovpn_digest digest;   /* `auth` of a profile */
	enum cp_ovpn_framing framing; /* until the server pushes another one */
	bool has_lz4;                 /* `compress lz4` or `lz4-v2`: such packets may come */

	/* Control channel. */
	enum cp_ovpn_wrapping wrapping;
	int key_direction; /* of tls-auth: 0 or 1; -1: none */
	struct cp_ovpn_place wrap_key;
	uint16_t control_bytes; /* max-packet-size: of a control packet, its IP header included */

	/* TLS, and who the server must be. */
	enum cp_ovpn_tls_version tls_min;
	enum cp_ovpn_tls_version tls_max;
	char tls_ciphers[CP_OVPN_LIST_LEN];      /* up to 1.2: IANA's names with '-', or OpenSSL's;
	                                            ':' between them; empty: the default */
	char tls_ciphersuites[CP_OVPN_LIST_LEN]; /* 1.3; likewise */
	char tls_groups[CP_OVPN_LIST_LEN];
	enum cp_ovpn_cert_profile cert_profile;
	struct cp_ovpn_place ca; /* none: fingerprint_count is not 0 */
	struct cp_ovpn_place crl;
	struct cp_ovpn_place certificate; /* ours; none: the password alone */
	struct cp_ovpn_place key;         /* of `certificate` */
	bool remote_cert_tls;             /* it must be a server's certificate */
	char eku[CP_TEXT_LEN];            /* remote-cert-eku: an OID or a name; empty: not asked */
	uint16_t key_usages[CP_OVPN_USAGES_MAX]; /* remote-cert-ku: one of these masks must be
	                                            contained */
	size_t key_usage_count;
	enum cp_ovpn_name_mode name_mode;
	char name[CP_PATH_LEN];
	uint8_t fingerprints[CP_OVPN_FINGERPRINTS_MAX][32]; /* SHA-256 of the server's certificate:
	                                                       one must be it */
	size_t fingerprint_count;

	/* Login. */
	bool has_password;          /* account and password are sent */
	struct cp_ovpn_place login; /* auth-user-pass with a file or a block: account in its first
	                               line, password in its second; none: cp_server's account and
	                               secret_file */
	uint64_t certificate_hash;  /* of our certificate, to tell certificates apart; 0: there is
	                               none, or no file was looked at */

	/* Times in seconds. */
	uint32_t hand_window_s;
	uint32_t tran_window_s;
	uint32_t tls_timeout_s;
	uint32_t reneg_s;           /* new data keys after so long; 0: never: cp_ovpn_renew_s() */
	uint32_t ping_s;            /* until the server pushes another one; CP_OVPN_UNSET */
	uint32_t ping_restart_s;    /* likewise */
	uint32_t dead_s;            /* `dpd`: counts, whatever the server pushes; 0: not set */
	uint32_t exit_notify;       /* explicit-exit-notify: how often; 0: not at all */
	uint32_t connect_timeout_s; /* of one remote: until it answers first */

	/* Inside of the tunnel. */
	uint16_t tun_mtu;                           /* until the server pushes another one */
	bool route_nopull;                          /* pushed routes and DNS are ignored */
	bool has_default_route;                     /* redirect-gateway in the profile */
	struct ipc_prefix routes[IPC_PREFIXES_MAX]; /* `route` of the profile */
	size_t route_count;
	struct cp_ovpn_filter filters[CP_OVPN_FILTERS_MAX];
	size_t filter_count;
};

/* "AES-256-GCM", "SHA256"; what options say and logs show. */
const char *cp_ovpn_cipher_name(enum cp_ovpn_cipher cipher);
const char *cp_ovpn_digest_name(enum cp_ovpn_digest digest);
/* Case does not matter; -EINVAL: not one of ours. */
int cp_ovpn_cipher_parse(const char *name, enum cp_ovpn_cipher *cipher);
int cp_ovpn_digest_parse(const char *name, enum cp_ovpn_digest *digest);
/* Encrypts and authenticates: has no digest. */
bool cp_ovpn_cipher_is_aead(enum cp_ovpn_cipher cipher);

/* OpenVPN's defaults, for a tunnel without a profile. */
void cp_ovpn_settings_init(struct cp_ovpn_settings *settings);

/* No key is older than that when it is renewed. */
#define CP_OVPN_RENEW_MAX_S 79200u

/* How long after a negotiation the next one begins, seconds: reneg-sec, or a time of ours where
 * that is longer or 0, because keys end in the dataplane some time. */
static inline uint32_t cp_ovpn_renew_s(const struct cp_ovpn_settings *settings)
{
	return settings->reneg_s && settings->reneg_s < CP_OVPN_RENEW_MAX_S ? settings->reneg_s
	                                                                    : CP_OVPN_RENEW_MAX_S;
}
