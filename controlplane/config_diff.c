/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is different between two configurations: tables say which field is which key and what its
 * change takes.
 */
#include "controlplane/config_diff.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/netaddr.h"
#include "controlplane/ovpn_settings.h"

enum value_kind {
	VALUE_TEXT,
	VALUE_BOOL,
	VALUE_UINT16,
	VALUE_UINT32,
	VALUE_UINT64,
	VALUE_INT,
	VALUE_ADDRESS,   /* uint32_t in network byte order; 0: none */
	VALUE_INTERFACE, /* struct cp_port: address and prefix length */
	VALUE_PREFIXES,  /* their count is at `count` */
	VALUE_ADDRESSES, /* likewise */
	VALUE_INBOUND,   /* struct cp_inbound; likewise */
	VALUE_PROPOSALS,
	VALUE_CHOICE,   /* an enum; names[] by value */
	VALUE_RATE,     /* uint64_t, bit/s; 0: none */
	VALUE_ENDPOINT, /* address and port, one behind the other */
	VALUE_PROBE,    /* struct cp_environment; no address: "none" or not set */
	VALUE_FAILBACK, /* uint32_t, s; 0: "manual" */
	VALUE_SECONDS,  /* uint32_t; CP_OVPN_UNSET: not set */
	VALUE_PLACE,    /* struct cp_ovpn_place */
	VALUE_REMOTES,  /* struct cp_ovpn_settings: all of them */
	VALUE_CIPHERS,  /* likewise */
	VALUE_FILTERS,  /* likewise */
	VALUE_MARKS,    /* likewise: fingerprints, and usages of keys */
};

struct field {
	const char *key;
	enum value_kind kind;
	size_t offset;
	enum cp_effect effect;
	size_t count;
	const char *const *names;
};

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
	{ "gateway." #port ".device", VALUE_TEXT, NODE(port.device), CP_NEEDS_BOTH, 0, NULL },        \
		{ "gateway." #port ".address", VALUE_INTERFACE, NODE(port), CP_NEEDS_BOTH, 0, NULL }, \
		{ "gateway." #port ".router",                                                         \
		  VALUE_ADDRESS,                                                                      \
		  NODE(port.router_be),                                                               \
		  CP_NEEDS_BOTH,                                                                      \
		  0,                                                                                  \
		  NULL },                                                                             \
		{ "gateway." #port ".mtu", VALUE_UINT16, NODE(port.mtu), CP_NEEDS_BOTH, 0, NULL },    \
	{                                                                                             \
		"gateway." #port ".queues", VALUE_UINT16, NODE(port.queues), CP_NEEDS_BOTH, 0,        \
			NULL                                                                          \
	}

static const struct field gateway_fields[] = {
	{ "gateway.name", VALUE_TEXT, NODE(name), CP_NEEDS_BOTH, 0, NULL },
	{ "gateway.zone", VALUE_TEXT, NODE(zone), CP_AT_ONCE, 0, NULL },
	PORT_FIELDS(uplink),
	PORT_FIELDS(cluster),
	{ "gateway.cluster.routes", VALUE_PREFIXES, NODE(routes), CP_NEEDS_BOTH, NODE(route_count),
	  NULL },
	{ "dataplane.cores", VALUE_TEXT, NODE(cores), CP_NEEDS_BOTH, 0, NULL },
	{ "dataplane.workers", VALUE_UINT32, NODE(workers), CP_NEEDS_BOTH, 0, NULL },
	{ "dataplane.sessions", VALUE_UINT32, NODE(sessions), CP_NEEDS_BOTH, 0, NULL },
	{ "dataplane.mbufs", VALUE_UINT32, NODE(mbufs), CP_NEEDS_BOTH, 0, NULL },
	{ "dataplane.memory_mb", VALUE_UINT32, NODE(memory_mb), CP_NEEDS_BOTH, 0, NULL },
	{ "dataplane.idle", VALUE_CHOICE, NODE(idle), CP_NEEDS_BOTH, 0, idle_names },
	{ "dataplane.hugepages", VALUE_CHOICE, NODE(hugepages), CP_NEEDS_BOTH, 0, hugepages_names },
	{ "dataplane.replay_window", VALUE_UINT32, NODE(replay_window), CP_NEEDS_CONTROLPLANE, 0,
	  NULL },
	{ "dataplane.allow_slow_crypto", VALUE_BOOL, NODE(allow_slow_crypto), CP_NEEDS_BOTH, 0,
	  NULL },
	{ "egress", VALUE_BOOL, NODE(egress.is_set), CP_AT_ONCE, 0, NULL },
	{ "egress.snat_address", VALUE_ADDRESSES, NODE(egress.addresses_be), CP_AT_ONCE,
	  NODE(egress.address_count), NULL },
	{ "egress.public_address", VALUE_ADDRESSES, NODE(egress.public_be), CP_AT_ONCE,
	  NODE(egress.public_count), NULL },
	{ "egress.sources", VALUE_PREFIXES, NODE(egress.sources), CP_AT_ONCE,
	  NODE(egress.source_count), NULL },
	{ "egress.allow", VALUE_PREFIXES, NODE(egress.allow), CP_AT_ONCE, NODE(egress.allow_count),
	  NULL },
	{ "egress.inbound", VALUE_INBOUND, NODE(egress.inbound), CP_AT_ONCE,
	  NODE(egress.inbound_count), NULL },
	{ "controlplane.user", VALUE_TEXT, NODE(user), CP_NEEDS_CONTROLPLANE, 0, NULL },
	{ "controlplane.health", VALUE_ENDPOINT, NODE(health_be), CP_NEEDS_CONTROLPLANE, 0, NULL },
	{ "controlplane.ike_log_level", VALUE_INT, NODE(ike_log_level), CP_NEEDS_CONTROLPLANE, 0,
	  NULL },
	{ 0 },
};

#define ENDPOINT_LEN (sizeof(uint32_t) + sizeof(uint16_t))
_Static_assert(NODE(health_port_be) == NODE(health_be) + sizeof(uint32_t), "an endpoint");

#define ENVIRONMENT(member) offsetof(struct cp_environment, member)

static const struct field environment_fields[] = {
	{ "pod_address", VALUE_ADDRESS, ENVIRONMENT(pod_address_be), CP_AT_ONCE, 0, NULL },
	{ "sources", VALUE_PREFIXES, ENVIRONMENT(sources), CP_AT_ONCE, ENVIRONMENT(source_count),
	  NULL },
	{ "vpn", VALUE_CHOICE, ENVIRONMENT(vpn), CP_AT_ONCE, 0, vpn_names },
	{ "snat_address", VALUE_ADDRESSES, ENVIRONMENT(snat_be), CP_AT_ONCE,
	  ENVIRONMENT(snat_count), NULL },
	{ "quota.sessions", VALUE_UINT32, ENVIRONMENT(session_quota), CP_AT_ONCE, 0, NULL },
	{ "quota.ports", VALUE_UINT32, ENVIRONMENT(port_quota), CP_AT_ONCE, 0, NULL },
	{ "rate", VALUE_RATE, ENVIRONMENT(rate_bps), CP_AT_ONCE, 0, NULL },
	{ "probe.target", VALUE_PROBE, 0, CP_AT_ONCE, 0, NULL },
	{ "keep_sessions", VALUE_BOOL, ENVIRONMENT(keep_sessions), CP_AT_ONCE, 0, NULL },
	{ "failback", VALUE_FAILBACK, ENVIRONMENT(failback_s), CP_AT_ONCE, 0, NULL },
	{ "hold_down", VALUE_UINT32, ENVIRONMENT(hold_down_s), CP_AT_ONCE, 0, NULL },
	{ 0 },
};

#define SERVER(member) offsetof(struct cp_server, member)

/* What libcharon gets with a negotiation takes one; what we look at ourselves does not. */
static const struct field server_fields[] = {
	{ "zone", VALUE_TEXT, SERVER(zone), CP_AT_ONCE, 0, NULL },
	{ "priority", VALUE_UINT16, SERVER(priority), CP_AT_ONCE, 0, NULL },
	{ "address", VALUE_TEXT, SERVER(address), CP_RENEGOTIATES, 0, NULL },
	{ "local_port", VALUE_UINT16, SERVER(ike_port), CP_RENEGOTIATES, 0, NULL },
	{ "auth", VALUE_CHOICE, SERVER(auth), CP_RENEGOTIATES, 0, auth_names },
	{ "account", VALUE_TEXT, SERVER(account), CP_RENEGOTIATES, 0, NULL },
	{ "password_file", VALUE_TEXT, SERVER(secret_file), CP_RENEGOTIATES, 0, NULL },
	{ "certificate_file", VALUE_TEXT, SERVER(certificate_file), CP_RENEGOTIATES, 0, NULL },
	{ "server_ca", VALUE_TEXT, SERVER(ca_file), CP_RENEGOTIATES, 0, NULL },
	{ "revocation", VALUE_CHOICE, SERVER(revocation), CP_RENEGOTIATES, 0, revocation_names },
	{ "server_identity", VALUE_TEXT, SERVER(identity), CP_RENEGOTIATES, 0, NULL },
	{ "aaa_identity", VALUE_TEXT, SERVER(aaa_identity), CP_RENEGOTIATES, 0, NULL },
	{ "ike_proposals", VALUE_PROPOSALS, SERVER(ike_proposals), CP_RENEGOTIATES, 0, NULL },
	{ "esp_proposals", VALUE_PROPOSALS, SERVER(esp_proposals), CP_RENEGOTIATES, 0, NULL },
	{ "ike_rekey", VALUE_UINT32, SERVER(ike_rekey_s), CP_RENEGOTIATES, 0, NULL },
	{ "child_rekey", VALUE_UINT32, SERVER(child_rekey_s), CP_RENEGOTIATES, 0, NULL },
	{ "child_rekey_bytes", VALUE_UINT64, SERVER(child_rekey_bytes), CP_AT_ONCE, 0, NULL },
	{ "child_rekey_packets", VALUE_UINT64, SERVER(child_rekey_packets), CP_AT_ONCE, 0, NULL },
	{ "dpd", VALUE_UINT32, SERVER(dpd_s), CP_RENEGOTIATES, 0, NULL },
	{ "force_encapsulation", VALUE_BOOL, SERVER(force_udp), CP_RENEGOTIATES, 0, NULL },
	{ "retry.min", VALUE_UINT32, SERVER(retry_min_s), CP_AT_ONCE, 0, NULL },
	{ "retry.max", VALUE_UINT32, SERVER(retry_max_s), CP_AT_ONCE, 0, NULL },
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
static const struct field openvpn_fields[] = {
	OPENVPN_ROW("profile", VALUE_TEXT, profile, NULL),
	{ "remote", VALUE_REMOTES, 0, CP_RENEGOTIATES, 0, NULL },
	OPENVPN_ROW("remote-random", VALUE_BOOL, is_random, NULL),
	OPENVPN_ROW("float", VALUE_BOOL, may_float, NULL),
	OPENVPN_ROW("local_port", VALUE_UINT16, own_port, NULL),
	{ "data_ciphers", VALUE_CIPHERS, 0, CP_RENEGOTIATES, 0, NULL },
	OPENVPN_ROW("data_ciphers_fallback", VALUE_CHOICE, fallback, cipher_choices),
	OPENVPN_ROW("digest", VALUE_CHOICE, digest, digest_names),
	OPENVPN_ROW("compress", VALUE_CHOICE, framing, framing_names),
	OPENVPN_ROW("compress lz4", VALUE_BOOL, has_lz4, NULL),
	OPENVPN_ROW("wrapping", VALUE_CHOICE, wrapping, wrapping_names),
	OPENVPN_ROW("wrapping_key", VALUE_PLACE, wrap_key, NULL),
	OPENVPN_ROW("key_direction", VALUE_INT, key_direction, NULL),
	OPENVPN_ROW("max-packet-size", VALUE_UINT16, control_bytes, NULL),
	OPENVPN_ROW("tls_version_min", VALUE_CHOICE, tls_min, tls_names),
	OPENVPN_ROW("tls-version-max", VALUE_CHOICE, tls_max, tls_names),
	OPENVPN_ROW("tls-cipher", VALUE_TEXT, tls_ciphers, NULL),
	OPENVPN_ROW("tls-ciphersuites", VALUE_TEXT, tls_ciphersuites, NULL),
	OPENVPN_ROW("tls-groups", VALUE_TEXT, tls_groups, NULL),
	OPENVPN_ROW("tls-cert-profile", VALUE_CHOICE, cert_profile, cert_names),
	OPENVPN_ROW("server_ca", VALUE_PLACE, ca, NULL),
	OPENVPN_ROW("crl_file", VALUE_PLACE, crl, NULL),
	OPENVPN_ROW("certificate_file", VALUE_PLACE, certificate, NULL),
	OPENVPN_ROW("key_file", VALUE_PLACE, key, NULL),
	OPENVPN_ROW("remote_cert_tls", VALUE_BOOL, remote_cert_tls, NULL),
	OPENVPN_ROW("remote-cert-eku", VALUE_TEXT, eku, NULL),
	{ "peer-fingerprint", VALUE_MARKS, 0, CP_RENEGOTIATES, 0, NULL },
	OPENVPN_ROW("verify-x509-name type", VALUE_CHOICE, name_mode, name_modes),
	OPENVPN_ROW("verify-x509-name", VALUE_TEXT, name, NULL),
	OPENVPN_ROW("auth-user-pass", VALUE_BOOL, has_password, NULL),
	OPENVPN_ROW("auth-user-pass file", VALUE_PLACE, login, NULL),
	OPENVPN_ROW("hand-window", VALUE_SECONDS, hand_window_s, NULL),
	OPENVPN_ROW("tran-window", VALUE_SECONDS, tran_window_s, NULL),
	OPENVPN_ROW("tls-timeout", VALUE_SECONDS, tls_timeout_s, NULL),
	OPENVPN_ROW("ping", VALUE_SECONDS, ping_s, NULL),
	OPENVPN_ROW("ping-restart", VALUE_SECONDS, ping_restart_s, NULL),
	OPENVPN_ROW("exit_notify", VALUE_UINT32, exit_notify, NULL),
	OPENVPN_ROW("connect-timeout", VALUE_SECONDS, connect_timeout_s, NULL),
	OPENVPN_ROW("tun-mtu", VALUE_UINT16, tun_mtu, NULL),
	OPENVPN_ROW("route_nopull", VALUE_BOOL, route_nopull, NULL),
	OPENVPN_ROW("redirect-gateway", VALUE_BOOL, has_default_route, NULL),
	{ "route", VALUE_PREFIXES, OPENVPN(routes), CP_RENEGOTIATES, OPENVPN(route_count), NULL },
	{ "pull-filter", VALUE_FILTERS, 0, CP_RENEGOTIATES, 0, NULL },
	{ 0 },
};

/* ---- values ---- */

static const void *at(const void *base, size_t offset)
{
	return (const char *)base + offset;
}

/* Lists of elements of SIZE bytes, without padding. */
static bool is_same_list(const struct field *field, size_t size, const void *a, const void *b)
{
	const size_t count = *(const size_t *)at(a, field->count);

	return count == *(const size_t *)at(b, field->count) &&
	       memcmp(at(a, field->offset), at(b, field->offset), count * size) == 0;
}

_Static_assert(sizeof(struct cp_inbound) == 16, "cp_inbound has no padding");

static bool is_same_probe(const struct cp_environment *a, const struct cp_environment *b)
{
	return a->probe_target_be == b->probe_target_be && a->is_unprobed == b->is_unprobed;
}

static bool is_same_place(const struct cp_ovpn_place *a, const struct cp_ovpn_place *b)
{
	return a->is_inline == b->is_inline && strcmp(a->file, b->file) == 0;
}

static bool are_same_remotes(const struct cp_ovpn_settings *a, const struct cp_ovpn_settings *b)
{
	bool is_same = a->remote_count == b->remote_count;

	for (size_t i = 0; is_same && i < a->remote_count; i++)
		is_same = a->remotes[i].port == b->remotes[i].port &&
		          a->remotes[i].transport == b->remotes[i].transport &&
		          strcmp(a->remotes[i].address, b->remotes[i].address) == 0;
	return is_same;
}

static bool are_same_filters(const struct cp_ovpn_settings *a, const struct cp_ovpn_settings *b)
{
	bool is_same = a->filter_count == b->filter_count;

	for (size_t i = 0; is_same && i < a->filter_count; i++)
		is_same = a->filters[i].action == b->filters[i].action &&
		          strcmp(a->filters[i].text, b->filters[i].text) == 0;
	return is_same;
}

static bool are_same_marks(const struct cp_ovpn_settings *a, const struct cp_ovpn_settings *b)
{
	return a->fingerprint_count == b->fingerprint_count &&
	       memcmp(a->fingerprints, b->fingerprints,
	              a->fingerprint_count * sizeof(a->fingerprints[0])) == 0 &&
	       a->key_usage_count == b->key_usage_count &&
	       memcmp(a->key_usages, b->key_usages,
	              a->key_usage_count * sizeof(a->key_usages[0])) == 0;
}

static bool is_same(const struct field *field, const void *a, const void *b)
{
	const void *x = at(a, field->offset), *y = at(b, field->offset);
	const struct cp_port *p = x, *q = y;

	switch (field->kind) {
	case VALUE_TEXT:
		return strcmp(x, y) == 0;
	case VALUE_BOOL:
		return *(const bool *)x == *(const bool *)y;
	case VALUE_UINT16:
		return *(const uint16_t *)x == *(const uint16_t *)y;
	case VALUE_UINT32:
	case VALUE_ADDRESS:
	case VALUE_FAILBACK:
	case VALUE_SECONDS:
		return *(const uint32_t *)x == *(const uint32_t *)y;
	case VALUE_UINT64:
	case VALUE_RATE:
		return *(const uint64_t *)x == *(const uint64_t *)y;
	case VALUE_INT:
	case VALUE_CHOICE:
		return *(const int *)x == *(const int *)y;
	case VALUE_ENDPOINT:
		return memcmp(x, y, ENDPOINT_LEN) == 0;
	case VALUE_PROBE:
		return is_same_probe(x, y);
	case VALUE_INTERFACE:
		return p->address_be == q->address_be && p->prefix_length == q->prefix_length;
	case VALUE_PREFIXES:
		return is_same_list(field, sizeof(struct ipc_prefix), a, b);
	case VALUE_ADDRESSES:
		return is_same_list(field, sizeof(uint32_t), a, b);
	case VALUE_INBOUND:
		return is_same_list(field, sizeof(struct cp_inbound), a, b);
	case VALUE_PROPOSALS:
		return memcmp(x, y, sizeof(((struct cp_server *)0)->ike_proposals)) == 0;
	case VALUE_PLACE:
		return is_same_place(x, y);
	case VALUE_REMOTES:
		return are_same_remotes(x, y);
	case VALUE_CIPHERS:
		return ((const struct cp_ovpn_settings *)x)->cipher_count ==
		               ((const struct cp_ovpn_settings *)y)->cipher_count &&
		       memcmp(((const struct cp_ovpn_settings *)x)->ciphers,
		              ((const struct cp_ovpn_settings *)y)->ciphers,
		              ((const struct cp_ovpn_settings *)x)->cipher_count *
		                      sizeof(enum cp_ovpn_cipher)) == 0;
	case VALUE_FILTERS:
		return are_same_filters(x, y);
	case VALUE_MARKS:
		return are_same_marks(x, y);
	}
	return false;
}

/* Appends to TEXT; what has no room is replaced by "...". */
__attribute__((format(printf, 2, 3))) static void append(char text[CP_VALUE_LEN],
                                                         const char *format, ...)
{
	size_t used = strlen(text);
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text + used, CP_VALUE_LEN - used, format, arguments);
	va_end(arguments);
	if (length >= 0 && used + (size_t)length >= CP_VALUE_LEN)
		memcpy(text + CP_VALUE_LEN - 4, "...", 4);
}

static void append_address(char text[CP_VALUE_LEN], uint32_t address_be)
{
	char address[SP_ADDRESS_TEXT];

	append(text, "%s", address_be ? sp_address_format(address, address_be) : "");
}

static void append_prefixes(char text[CP_VALUE_LEN], const struct ipc_prefix *prefixes,
                            size_t count)
{
	for (size_t i = 0; i < count; i++) {
		append(text, "%s", i ? ", " : "");
		append_address(text, prefixes[i].address_be);
		append(text, "/%u", prefixes[i].length);
	}
}

static void append_inbound(char text[CP_VALUE_LEN], const struct cp_inbound *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		append(text, "%s%s/%u to ", i ? ", " : "",
		       list[i].protocol == IPPROTO_UDP ? "udp" : "tcp", ntohs(list[i].port_be));
		append_address(text, list[i].to_address_be);
		append(text, ":%u", ntohs(list[i].to_port_be));
	}
}

static void append_openvpn(char text[CP_VALUE_LEN], enum value_kind kind,
                           const struct cp_ovpn_settings *settings)
{
	switch (kind) {
	case VALUE_REMOTES:
		for (size_t i = 0; i < settings->remote_count; i++)
			append(text, "%s%s:%u/%s", i ? ", " : "", settings->remotes[i].address,
			       settings->remotes[i].port,
			       settings->remotes[i].transport == IPPROTO_UDP ? "udp" : "tcp");
		break;
	case VALUE_CIPHERS:
		for (size_t i = 0; i < settings->cipher_count; i++)
			append(text, "%s%s", i ? ", " : "",
			       cp_ovpn_cipher_name(settings->ciphers[i]));
		break;
	case VALUE_FILTERS:
		for (size_t i = 0; i < settings->filter_count; i++)
			append(text, "%s\"%s\"", i ? ", " : "", settings->filters[i].text);
		break;
	default:
		for (size_t i = 0; i < settings->fingerprint_count; i++)
			append(text, "%s%02x:%02x:%02x...", i ? ", " : "",
			       settings->fingerprints[i][0], settings->fingerprints[i][1],
			       settings->fingerprints[i][2]);
		for (size_t i = 0; i < settings->key_usage_count; i++)
			append(text, "%s%04x", i ? ", " : "", settings->key_usages[i]);
		break;
	}
}

/* The value in BASE as the file would have it. */
static void format_value(const struct field *field, const void *base, char text[CP_VALUE_LEN])
{
	const void *x = at(base, field->offset);
	const char(*proposals)[CP_TEXT_LEN] = x;

	text[0] = 0;
	switch (field->kind) {
	case VALUE_TEXT:
		append(text, "%s", (const char *)x);
		break;
	case VALUE_BOOL:
		append(text, "%s", *(const bool *)x ? "true" : "false");
		break;
	case VALUE_UINT16:
		append(text, "%u", *(const uint16_t *)x);
		break;
	case VALUE_UINT32:
		append(text, "%" PRIu32, *(const uint32_t *)x);
		break;
	case VALUE_RATE:
		if (*(const uint64_t *)x)
			append(text, "%.10g Mbps", (double)*(const uint64_t *)x / 1e6);
		break;
	case VALUE_UINT64:
		append(text, "%" PRIu64, *(const uint64_t *)x);
		break;
	case VALUE_INT:
		append(text, "%d", *(const int *)x);
		break;
	case VALUE_CHOICE:
		append(text, "%s", field->names[*(const int *)x]);
		break;
	case VALUE_ENDPOINT:
		append_address(text, *(const uint32_t *)x);
		if (*(const uint32_t *)x)
			append(text, ":%u", ntohs(*(const uint16_t *)at(x, sizeof(uint32_t))));
		break;
	case VALUE_PROBE:
		if (((const struct cp_environment *)x)->is_unprobed)
			append(text, "none");
		append_address(text, ((const struct cp_environment *)x)->probe_target_be);
		break;
	case VALUE_FAILBACK:
		if (*(const uint32_t *)x)
			append(text, "after %" PRIu32 " s", *(const uint32_t *)x);
		else
			append(text, "manual");
		break;
	case VALUE_ADDRESS:
		append_address(text, *(const uint32_t *)x);
		break;
	case VALUE_INTERFACE:
		append_address(text, ((const struct cp_port *)x)->address_be);
		append(text, "/%u", ((const struct cp_port *)x)->prefix_length);
		break;
	case VALUE_PREFIXES:
		append_prefixes(text, x, *(const size_t *)at(base, field->count));
		break;
	case VALUE_ADDRESSES:
		for (size_t i = 0; i < *(const size_t *)at(base, field->count); i++) {
			append(text, "%s", i ? ", " : "");
			append_address(text, ((const uint32_t *)x)[i]);
		}
		break;
	case VALUE_INBOUND:
		append_inbound(text, x, *(const size_t *)at(base, field->count));
		break;
	case VALUE_PROPOSALS:
		for (size_t i = 0; i < CP_PROPOSALS_MAX && proposals[i][0]; i++)
			append(text, "%s%s", i ? ", " : "", proposals[i]);
		break;
	case VALUE_SECONDS:
		if (*(const uint32_t *)x != CP_OVPN_UNSET)
			append(text, "%" PRIu32, *(const uint32_t *)x);
		break;
	case VALUE_PLACE:
		append(text, "%s", ((const struct cp_ovpn_place *)x)->file);
		break;
	case VALUE_REMOTES:
	case VALUE_CIPHERS:
	case VALUE_FILTERS:
	case VALUE_MARKS:
		append_openvpn(text, field->kind, x);
		break;
	}
}

/* ---- the list ---- */

struct diff {
	struct cp_changes *changes;
	size_t room;
	bool is_out_of_memory;
};

/* A new entry, or NULL: no memory. */
static struct cp_change *add(struct diff *diff, enum cp_change_kind kind, enum cp_change_what what,
                             const char *environment, const char *server)
{
	struct cp_changes *changes = diff->changes;
	struct cp_change *change;

	if (changes->count == diff->room) {
		const size_t room = diff->room ? 2 * diff->room : 16;
		struct cp_change *list = reallocarray(changes->list, room, sizeof(*list));

		if (!list) {
			diff->is_out_of_memory = true;
			return NULL;
		}
		changes->list = list;
		diff->room = room;
	}
	change = &changes->list[changes->count++];
	*change = (struct cp_change){ .kind = kind, .what = what, .effect = CP_AT_ONCE };
	snprintf(change->environment, sizeof(change->environment), "%s", environment);
	snprintf(change->server, sizeof(change->server), "%s", server);
	return change;
}

/* The key that a server's secret has in the file. */
static const char *key_of(const struct field *field, const void *base)
{
	const struct cp_server *server = base;

	if (field->offset != SERVER(secret_file) || strcmp(field->key, "password_file") != 0)
		return field->key;
	if (server->openvpn)
		return "password_file";
	switch (server->auth) {
	case CP_AUTH_PSK:
		return "secret_file";
	case CP_AUTH_EAP_MSCHAPV2:
		return "password_file";
	case CP_AUTH_EAP_TLS:
	case CP_AUTH_CERTIFICATE:
		break;
	}
	return "key_file";
}

static void diff_fields(struct diff *diff, const struct field *fields, const void *from,
                        const void *to, const char *environment, const char *server)
{
	for (const struct field *field = fields; field->key; field++) {
		struct cp_change *change;

		if (is_same(field, from, to))
			continue;
		change = add(diff, CP_CHANGED, CP_KEY, environment, server);
		if (!change)
			return;
		change->key = fields == server_fields ? key_of(field, to) : field->key;
		change->effect = field->effect;
		format_value(field, from, change->from);
		format_value(field, to, change->to);
	}
}

/* ---- forwards ---- */

static void format_forward(const struct cp_forward *forward, char text[CP_VALUE_LEN])
{
	text[0] = 0;
	append_address(text, forward->to_address_be);
	append(text, ":%u", ntohs(forward->to_port_be));
	if (forward->server[0])
		append(text, " by %s", forward->server);
}

static void add_forward(struct diff *diff, enum cp_change_kind kind, const char *environment,
                        const struct cp_forward *from, const struct cp_forward *to)
{
	struct cp_change *change = add(diff, kind, CP_FORWARD, environment, "");

	if (!change)
		return;
	change->protocol = (from ? from : to)->protocol;
	change->port_be = (from ? from : to)->port_be;
	if (from)
		format_forward(from, change->from);
	if (to)
		format_forward(to, change->to);
}

static bool is_same_forward(const struct cp_forward *a, const struct cp_forward *b)
{
	return a->to_address_be == b->to_address_be && a->to_port_be == b->to_port_be &&
	       strcmp(a->server, b->server) == 0;
}

static size_t place_of(const struct cp_forward *forward)
{
	return (forward->protocol == IPPROTO_UDP ? 65536u : 0u) + ntohs(forward->port_be);
}

static void diff_forwards(struct diff *diff, const struct cp_environment *from,
                          const struct cp_environment *to)
{
	/* by protocol and port, of FROM; what TO has too is taken out */
	const struct cp_forward **places = calloc(2 * 65536, sizeof(*places));

	if (!places) {
		diff->is_out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < from->forward_count; i++)
		places[place_of(&from->forwards[i])] = &from->forwards[i];
	for (size_t i = 0; i < to->forward_count; i++) {
		const struct cp_forward *new = &to->forwards[i], *old = places[place_of(new)];

		places[place_of(new)] = NULL;
		if (!old)
			add_forward(diff, CP_ADDED, to->name, NULL, new);
		else if (!is_same_forward(old, new))
			add_forward(diff, CP_CHANGED, to->name, old, new);
	}
	for (size_t i = 0; i < from->forward_count; i++) {
		if (places[place_of(&from->forwards[i])])
			add_forward(diff, CP_REMOVED, to->name, &from->forwards[i], NULL);
	}
	free(places);
}

/* ---- environments ---- */

static void diff_servers(struct diff *diff, const struct cp_environment *from,
                         const struct cp_environment *to)
{
	for (size_t i = 0; i < to->server_count; i++) {
		const struct cp_server *new = &to->servers[i];
		const struct cp_server *old = cp_config_server(from, new->name);

		if (old)
			diff_fields(diff, server_fields, old, new, to->name, new->name);
		else
			add(diff, CP_ADDED, CP_SERVER, to->name, new->name);
		if (old && old->openvpn && new->openvpn)
			diff_fields(diff, openvpn_fields, old->openvpn, new->openvpn, to->name,
			            new->name);
	}
	for (size_t i = 0; i < from->server_count; i++) {
		if (!cp_config_server(to, from->servers[i].name))
			add(diff, CP_REMOVED, CP_SERVER, to->name, from->servers[i].name);
	}
}

/* "2 servers, 14 forwards" */
static void format_size(const struct cp_environment *environment, char text[CP_VALUE_LEN])
{
	text[0] = 0;
	append(text, "%zu server%s, %zu forward%s", environment->server_count,
	       environment->server_count == 1 ? "" : "s", environment->forward_count,
	       environment->forward_count == 1 ? "" : "s");
}

static void diff_environments(struct diff *diff, const struct cp_config *from,
                              const struct cp_config *to)
{
	struct cp_change *change;

	for (size_t i = 0; i < to->environment_count; i++) {
		const struct cp_environment *new = &to->environments[i];
		const struct cp_environment *old = cp_config_environment(from, new->name);

		if (!old) {
			change = add(diff, CP_ADDED, CP_ENVIRONMENT, new->name, "");
			if (change)
				format_size(new, change->to);
			continue;
		}
		diff_fields(diff, environment_fields, old, new, new->name, "");
		diff_servers(diff, old, new);
		diff_forwards(diff, old, new);
	}
	for (size_t i = 0; i < from->environment_count; i++) {
		if (cp_config_environment(to, from->environments[i].name))
			continue;
		change = add(diff, CP_REMOVED, CP_ENVIRONMENT, from->environments[i].name, "");
		if (change)
			format_size(&from->environments[i], change->from);
	}
}

/* ---- public ---- */

int cp_config_diff(const struct cp_config *from, const struct cp_config *to,
                   struct cp_changes *changes)
{
	struct diff diff = { .changes = changes };

	*changes = (struct cp_changes){ 0 };
	diff_fields(&diff, gateway_fields, from, to, "", "");
	diff_environments(&diff, from, to);
	if (!diff.is_out_of_memory)
		return 0;
	cp_changes_fini(changes);
	return -ENOMEM;
}

void cp_changes_fini(struct cp_changes *changes)
{
	free(changes->list);
	*changes = (struct cp_changes){ 0 };
}

void cp_config_keep_node(struct cp_config *config, const struct cp_config *running)
{
	memcpy(config->name, running->name, sizeof(config->name));
	config->uplink = running->uplink;
	config->cluster = running->cluster;
	memcpy(config->routes, running->routes, sizeof(config->routes));
	config->route_count = running->route_count;
	memcpy(config->cores, running->cores, sizeof(config->cores));
	config->workers = running->workers;
	config->sessions = running->sessions;
	config->mbufs = running->mbufs;
	config->memory_mb = running->memory_mb;
	config->idle = running->idle;
	config->hugepages = running->hugepages;
	config->replay_window = running->replay_window;
	config->allow_slow_crypto = running->allow_slow_crypto;
	memcpy(config->user, running->user, sizeof(config->user));
	config->ike_log_level = running->ike_log_level;
	config->health_be = running->health_be;
	config->health_port_be = running->health_port_be;
}

static bool need_renewal(const struct field *fields, const void *a, const void *b)
{
	for (const struct field *field = fields; field->key; field++) {
		if (field->effect == CP_RENEGOTIATES && !is_same(field, a, b))
			return true;
	}
	return false;
}

bool cp_server_needs_renewal(const struct cp_server *a, const struct cp_server *b)
{
	if (!a->openvpn != !b->openvpn || need_renewal(server_fields, a, b))
		return true;
	if (a->openvpn)
		return need_renewal(openvpn_fields, a->openvpn, b->openvpn);
	return a->is_identity_set != b->is_identity_set;
}

const char *cp_change_kind_name(enum cp_change_kind kind)
{
	return kind == CP_ADDED ? "added" : kind == CP_REMOVED ? "removed" : "changed";
}

const char *cp_change_what_name(enum cp_change_what what)
{
	switch (what) {
	case CP_ENVIRONMENT:
		return "environment";
	case CP_SERVER:
		return "server";
	case CP_FORWARD:
		return "forward";
	case CP_KEY:
		break;
	}
	return "key";
}

const char *cp_effect_name(enum cp_effect effect)
{
	switch (effect) {
	case CP_AT_ONCE:
		return "at-once";
	case CP_RENEGOTIATES:
		return "renegotiates";
	case CP_NEEDS_CONTROLPLANE:
		return "needs-controlplane-restart";
	case CP_NEEDS_BOTH:
		break;
	}
	return "needs-restart";
}

static bool has_key(const struct field *fields, const char *key)
{
	for (; fields->key; fields++) {
		if (strcmp(fields->key, key) == 0)
			return true;
	}
	return false;
}

bool cp_config_diff_knows(const char *path)
{
	/* in a field under another key, or what things are told apart by */
	static const char *const others[] = {
		"environment",
		"environment.name",
		"environment.servers",
		"environment.forwards",
		"environment.servers.name",
		"environment.secret_file",
		"environment.key_file",
		"environment.forwards.port",
		"environment.forwards.to",
		"environment.quota",
		"environment.forwards.transport",
		"environment.probe",
		"egress.inbound.port",
		"egress.inbound.to",
		"egress.inbound.transport",
		"egress.inbound.address",
		"environment.retry",
		"environment.forwards.server",
		"environment.port",
		"environment.transport",
		"environment.tls_auth_file",
		"environment.tls_crypt_file",
		"environment.tls_crypt_v2_file",
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strcmp(path, others[i]) == 0)
			return true;
	}
	if (strncmp(path, "environment.", strlen("environment.")) != 0)
		return has_key(gateway_fields, path);
	path += strlen("environment.");
	if (strncmp(path, "servers.", strlen("servers.")) == 0)
		return has_key(server_fields, path + strlen("servers."));
	return has_key(environment_fields, path) || has_key(server_fields, path) ||
	       has_key(openvpn_fields, path);
}
