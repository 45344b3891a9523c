/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which field of the configuration is which key, and what its change takes.
 */
#include "controlplane/config_fields.h"

#include "controlplane/ovpn_settings.h"

static const char *const auth_names[] = {
	"", [CP_AUTH_PSK] = "psk", [CP_AUTH_EAP_MSCHAPV2] = "eap-mschapv2",
	[CP_AUTH_EAP_TLS] = "eap-tls", [CP_AUTH_CERTIFICATE] = "certificate"
};
static const char *const revocation_names[] = { [CP_REVOCATION_OFF] = "off",
	                                        [CP_REVOCATION_IF_AVAILABLE] = "if-available",
	                                        [CP_REVOCATION_STRICT] = "strict" };
static const char *const vpn_names[] = { [CP_VPN_IPSEC] = "ipsec", [CP_VPN_OPENVPN] = "openvpn" };
static const char *const idle_names[] = {
	[IPC_IDLE_POLL] = "poll", [IPC_IDLE_ADAPTIVE] = "adaptive"
};
static const char *const hugepages_names[] = {
	[IPC_HUGEPAGES_AUTO] = "auto", [IPC_HUGEPAGES_ON] = "on", [IPC_HUGEPAGES_OFF] = "off"
};

#define NODE(member) offsetof(struct cp_config, member)
#define PORT_FIELDS(port)                                                                             \
	{ "gateway." #port ".device", CP_VALUE_TEXT, NODE(port.device), CP_NEEDS_BOTH, 0, NULL },     \
		{ "gateway." #port ".address",                                                        \
		  CP_VALUE_INTERFACE,                                                                 \
		  NODE(port),                                                                         \
		  CP_NEEDS_BOTH,                                                                      \
		  0,                                                                                  \
		  NULL },                                                                             \
		{ "gateway." #port ".router",                                                         \
		  CP_VALUE_ADDRESS,                                                                   \
		  NODE(port.router_be),                                                               \
		  CP_NEEDS_BOTH,                                                                      \
		  0,                                                                                  \
		  NULL },                                                                             \
		{ "gateway." #port ".mtu", CP_VALUE_UINT16, NODE(port.mtu), CP_NEEDS_BOTH, 0, NULL }, \
	{                                                                                             \
		"gateway." #port ".queues", CP_VALUE_UINT16, NODE(port.queues), CP_NEEDS_BOTH, 0,     \
			NULL                                                                          \
	}

const struct cp_field cp_gateway_fields[] = {
	{ "gateway.name", CP_VALUE_TEXT, NODE(name), CP_NEEDS_BOTH, 0, NULL },
	{ "gateway.zone", CP_VALUE_TEXT, NODE(zone), CP_AT_ONCE, 0, NULL },
	PORT_FIELDS(uplink),
	PORT_FIELDS(cluster),
	{ "gateway.cluster.routes", CP_VALUE_PREFIXES, NODE(routes), CP_NEEDS_BOTH,
	  NODE(route_count), NULL },
	{ "dataplane.cores", CP_VALUE_TEXT, NODE(cores), CP_NEEDS_BOTH, 0, NULL },
	{ "dataplane.workers", CP_VALUE_UINT32, NODE(workers), CP_NEEDS_BOTH, 0, NULL },
	{ "dataplane.sessions", CP_VALUE_UINT32, NODE(sessions), CP_NEEDS_BOTH, 0, NULL },
	{ "dataplane.mbufs", CP_VALUE_UINT32, NODE(mbufs), CP_NEEDS_BOTH, 0, NULL },
	{ "dataplane.memory_mb", CP_VALUE_UINT32, NODE(memory_mb), CP_NEEDS_BOTH, 0, NULL },
	{ "dataplane.idle", CP_VALUE_CHOICE, NODE(idle), CP_NEEDS_BOTH, 0, idle_names },
	{ "dataplane.hugepages", CP_VALUE_CHOICE, NODE(hugepages), CP_NEEDS_BOTH, 0,
	  hugepages_names },
	{ "dataplane.replay_window", CP_VALUE_UINT32, NODE(replay_window), CP_NEEDS_CONTROLPLANE, 0,
	  NULL },
	{ "dataplane.allow_slow_crypto", CP_VALUE_BOOL, NODE(allow_slow_crypto), CP_NEEDS_BOTH, 0,
	  NULL },
	{ "egress", CP_VALUE_BOOL, NODE(egress.is_set), CP_AT_ONCE, 0, NULL },
	{ "egress.snat_address", CP_VALUE_ADDRESSES, NODE(egress.addresses_be), CP_AT_ONCE,
	  NODE(egress.address_count), NULL },
	{ "egress.public_address", CP_VALUE_ADDRESSES, NODE(egress.public_be), CP_AT_ONCE,
	  NODE(egress.public_count), NULL },
	{ "egress.sources", CP_VALUE_PREFIXES, NODE(egress.sources), CP_AT_ONCE,
	  NODE(egress.source_count), NULL },
	{ "egress.allow", CP_VALUE_PREFIXES, NODE(egress.allow), CP_AT_ONCE,
	  NODE(egress.allow_count), NULL },
	{ "egress.inbound", CP_VALUE_INBOUND, NODE(egress.inbound), CP_AT_ONCE,
	  NODE(egress.inbound_count), NULL },
	{ "controlplane.user", CP_VALUE_TEXT, NODE(user), CP_NEEDS_CONTROLPLANE, 0, NULL },
	{ "controlplane.health", CP_VALUE_ENDPOINT, NODE(health_be), CP_NEEDS_CONTROLPLANE, 0,
	  NULL },
	{ "controlplane.ike_log_level", CP_VALUE_INT, NODE(ike_log_level), CP_NEEDS_CONTROLPLANE, 0,
	  NULL },
	{ 0 },
};

#define ENVIRONMENT(member) offsetof(struct cp_environment, member)

const struct cp_field cp_environment_fields[] = {
	{ "pod_address", CP_VALUE_ADDRESS, ENVIRONMENT(pod_address_be), CP_AT_ONCE, 0, NULL },
	{ "sources", CP_VALUE_PREFIXES, ENVIRONMENT(sources), CP_AT_ONCE, ENVIRONMENT(source_count),
	  NULL },
	{ "vpn", CP_VALUE_CHOICE, ENVIRONMENT(vpn), CP_RENEGOTIATES, 0, vpn_names },
	{ "snat_address", CP_VALUE_ADDRESSES, ENVIRONMENT(snat_be), CP_AT_ONCE,
	  ENVIRONMENT(snat_count), NULL },
	{ "quota.sessions", CP_VALUE_UINT32, ENVIRONMENT(session_quota), CP_AT_ONCE, 0, NULL },
	{ "quota.ports", CP_VALUE_UINT32, ENVIRONMENT(port_quota), CP_AT_ONCE, 0, NULL },
	{ "rate", CP_VALUE_RATE, ENVIRONMENT(rate_bps), CP_AT_ONCE, 0, NULL },
	{ "probe.target", CP_VALUE_PROBE, 0, CP_AT_ONCE, 0, NULL },
	{ "keep_sessions", CP_VALUE_BOOL, ENVIRONMENT(keep_sessions), CP_AT_ONCE, 0, NULL },
	{ "failback", CP_VALUE_FAILBACK, ENVIRONMENT(failback_s), CP_AT_ONCE, 0, NULL },
	{ "hold_down", CP_VALUE_UINT32, ENVIRONMENT(hold_down_s), CP_AT_ONCE, 0, NULL },
	{ 0 },
};

#define SERVER(member) offsetof(struct cp_server, member)

/* What libcharon gets with a negotiation takes one; what we look at ourselves does not. */
const struct cp_field cp_server_fields[] = {
	{ "zone", CP_VALUE_TEXT, SERVER(zone), CP_AT_ONCE, 0, NULL },
	{ "priority", CP_VALUE_UINT16, SERVER(priority), CP_AT_ONCE, 0, NULL },
	{ "address", CP_VALUE_TEXT, SERVER(address), CP_RENEGOTIATES, 0, NULL },
	{ "local_port", CP_VALUE_UINT16, SERVER(ike_port), CP_RENEGOTIATES, 0, NULL },
	{ "auth", CP_VALUE_CHOICE, SERVER(auth), CP_RENEGOTIATES, 0, auth_names },
	{ "account", CP_VALUE_TEXT, SERVER(account), CP_RENEGOTIATES, 0, NULL },
	{ "password_file", CP_VALUE_TEXT, SERVER(secret_file), CP_RENEGOTIATES, 0, NULL },
	{ "certificate_file", CP_VALUE_TEXT, SERVER(certificate_file), CP_RENEGOTIATES, 0, NULL },
	{ "server_ca", CP_VALUE_TEXT, SERVER(ca_file), CP_RENEGOTIATES, 0, NULL },
	{ "revocation", CP_VALUE_CHOICE, SERVER(revocation), CP_RENEGOTIATES, 0, revocation_names },
	{ "server_identity", CP_VALUE_TEXT, SERVER(identity), CP_RENEGOTIATES, 0, NULL },
	{ "aaa_identity", CP_VALUE_TEXT, SERVER(aaa_identity), CP_RENEGOTIATES, 0, NULL },
	{ "ike_proposals", CP_VALUE_PROPOSALS, SERVER(ike_proposals), CP_RENEGOTIATES, 0, NULL },
	{ "esp_proposals", CP_VALUE_PROPOSALS, SERVER(esp_proposals), CP_RENEGOTIATES, 0, NULL },
	{ "ike_rekey", CP_VALUE_UINT32, SERVER(ike_rekey_s), CP_RENEGOTIATES, 0, NULL },
	{ "child_rekey", CP_VALUE_UINT32, SERVER(child_rekey_s), CP_RENEGOTIATES, 0, NULL },
	{ "child_rekey_bytes", CP_VALUE_UINT64, SERVER(child_rekey_bytes), CP_AT_ONCE, 0, NULL },
	{ "child_rekey_packets", CP_VALUE_UINT64, SERVER(child_rekey_packets), CP_AT_ONCE, 0,
	  NULL },
	{ "dpd", CP_VALUE_UINT32, SERVER(dpd_s), CP_RENEGOTIATES, 0, NULL },
	{ "force_encapsulation", CP_VALUE_BOOL, SERVER(force_udp), CP_RENEGOTIATES, 0, NULL },
	{ "retry.min", CP_VALUE_UINT32, SERVER(retry_min_s), CP_AT_ONCE, 0, NULL },
	{ "retry.max", CP_VALUE_UINT32, SERVER(retry_max_s), CP_AT_ONCE, 0, NULL },
	{ 0 },
};

static const char *const cipher_choices[] = {
	"none",
	[CP_OVPN_AES_256_GCM] = "AES-256-GCM",
	[CP_OVPN_AES_192_GCM] = "AES-192-GCM",
	[CP_OVPN_AES_128_GCM] = "AES-128-GCM",
	[CP_OVPN_CHACHA20_POLY1305] = "CHACHA20-POLY1305",
	[CP_OVPN_AES_256_CBC] = "AES-256-CBC",
	[CP_OVPN_AES_192_CBC] = "AES-192-CBC",
	[CP_OVPN_AES_128_CBC] = "AES-128-CBC",
};
static const char *const digest_names[] = {
	[CP_OVPN_SHA1] = "SHA1", [CP_OVPN_SHA256] = "SHA256", [CP_OVPN_SHA512] = "SHA512"
};
static const char *const framing_names[] = { [CP_OVPN_FRAMING_NONE] = "none",
	                                     [CP_OVPN_FRAMING_LZO] = "comp-lzo",
	                                     [CP_OVPN_FRAMING_STUB] = "stub",
	                                     [CP_OVPN_FRAMING_STUB_V2] = "stub-v2" };
static const char *const wrapping_names[] = { [CP_OVPN_WRAP_NONE] = "none",
	                                      [CP_OVPN_TLS_AUTH] = "tls-auth",
	                                      [CP_OVPN_TLS_CRYPT] = "tls-crypt",
	                                      [CP_OVPN_TLS_CRYPT_V2] = "tls-crypt-v2" };
static const char *const tls_names[] = {
	"any", [CP_OVPN_TLS_1_2] = "1.2", [CP_OVPN_TLS_1_3] = "1.3"
};
static const char *const cert_names[] = { [CP_OVPN_CERT_LEGACY] = "legacy",
	                                  [CP_OVPN_CERT_PREFERRED] = "preferred",
	                                  [CP_OVPN_CERT_INSECURE] = "insecure",
	                                  [CP_OVPN_CERT_SUITE_B] = "suiteb" };
static const char *const name_modes[] = {
	"none", [CP_OVPN_NAME_SUBJECT] = "subject", [CP_OVPN_NAME_EXACT] = "name",
	[CP_OVPN_NAME_PREFIX] = "name-prefix"
};

#define OPENVPN(member) offsetof(struct cp_ovpn_settings, member)
#define OPENVPN_ROW(key, kind, member, names)                         \
	{                                                             \
		key, kind, OPENVPN(member), CP_RENEGOTIATES, 0, names \
	}

/* What has no key of its own is the profile's and is called as there. */
const struct cp_field cp_openvpn_fields[] = {
	OPENVPN_ROW("profile", CP_VALUE_TEXT, profile, NULL),
	{ "remote", CP_VALUE_REMOTES, 0, CP_RENEGOTIATES, 0, NULL },
	OPENVPN_ROW("remote-random", CP_VALUE_BOOL, is_random, NULL),
	OPENVPN_ROW("float", CP_VALUE_BOOL, may_float, NULL),
	OPENVPN_ROW("local_port", CP_VALUE_UINT16, own_port, NULL),
	{ "data_ciphers", CP_VALUE_CIPHERS, 0, CP_RENEGOTIATES, 0, NULL },
	OPENVPN_ROW("data_ciphers_fallback", CP_VALUE_CHOICE, fallback, cipher_choices),
	OPENVPN_ROW("digest", CP_VALUE_CHOICE, digest, digest_names),
	OPENVPN_ROW("compress", CP_VALUE_CHOICE, framing, framing_names),
	OPENVPN_ROW("compress lz4", CP_VALUE_BOOL, has_lz4, NULL),
	OPENVPN_ROW("wrapping", CP_VALUE_CHOICE, wrapping, wrapping_names),
	OPENVPN_ROW("wrapping_key", CP_VALUE_PLACE, wrap_key, NULL),
	OPENVPN_ROW("key_direction", CP_VALUE_INT, key_direction, NULL),
	OPENVPN_ROW("max-packet-size", CP_VALUE_UINT16, control_bytes, NULL),
	OPENVPN_ROW("tls_version_min", CP_VALUE_CHOICE, tls_min, tls_names),
	OPENVPN_ROW("tls-version-max", CP_VALUE_CHOICE, tls_max, tls_names),
	OPENVPN_ROW("tls-cipher", CP_VALUE_TEXT, tls_ciphers, NULL),
	OPENVPN_ROW("tls-ciphersuites", CP_VALUE_TEXT, tls_ciphersuites, NULL),
	OPENVPN_ROW("tls-groups", CP_VALUE_TEXT, tls_groups, NULL),
	OPENVPN_ROW("tls-cert-profile", CP_VALUE_CHOICE, cert_profile, cert_names),
	OPENVPN_ROW("server_ca", CP_VALUE_PLACE, ca, NULL),
	OPENVPN_ROW("crl_file", CP_VALUE_PLACE, crl, NULL),
	OPENVPN_ROW("certificate_file", CP_VALUE_PLACE, certificate, NULL),
	OPENVPN_ROW("key_file", CP_VALUE_PLACE, key, NULL),
	OPENVPN_ROW("remote_cert_tls", CP_VALUE_BOOL, remote_cert_tls, NULL),
	OPENVPN_ROW("remote-cert-eku", CP_VALUE_TEXT, eku, NULL),
	{ "peer-fingerprint", CP_VALUE_MARKS, 0, CP_RENEGOTIATES, 0, NULL },
	OPENVPN_ROW("verify-x509-name type", CP_VALUE_CHOICE, name_mode, name_modes),
	OPENVPN_ROW("verify-x509-name", CP_VALUE_TEXT, name, NULL),
	OPENVPN_ROW("auth-user-pass", CP_VALUE_BOOL, has_password, NULL),
	OPENVPN_ROW("auth-user-pass file", CP_VALUE_PLACE, login, NULL),
	OPENVPN_ROW("hand-window", CP_VALUE_SECONDS, hand_window_s, NULL),
	OPENVPN_ROW("tran-window", CP_VALUE_SECONDS, tran_window_s, NULL),
	OPENVPN_ROW("tls-timeout", CP_VALUE_SECONDS, tls_timeout_s, NULL),
	OPENVPN_ROW("ping", CP_VALUE_SECONDS, ping_s, NULL),
	OPENVPN_ROW("ping-restart", CP_VALUE_SECONDS, ping_restart_s, NULL),
	OPENVPN_ROW("exit_notify", CP_VALUE_UINT32, exit_notify, NULL),
	OPENVPN_ROW("connect-timeout", CP_VALUE_SECONDS, connect_timeout_s, NULL),
	OPENVPN_ROW("tun-mtu", CP_VALUE_UINT16, tun_mtu, NULL),
	OPENVPN_ROW("route_nopull", CP_VALUE_BOOL, route_nopull, NULL),
	OPENVPN_ROW("redirect-gateway", CP_VALUE_BOOL, has_default_route, NULL),
	{ "route", CP_VALUE_PREFIXES, OPENVPN(routes), CP_RENEGOTIATES, OPENVPN(route_count),
	  NULL },
	{ "pull-filter", CP_VALUE_FILTERS, 0, CP_RENEGOTIATES, 0, NULL },
	{ 0 },
};
