/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directives of OpenVPN's profiles about the way: servers, data channel, times, routes.
 */
#include "controlplane/ovpn_directives.h"

#include <netinet/in.h>
#include <string.h>

#include "common/netaddr.h"
#include "controlplane/config_read.h"

static void read_seconds(struct cp_ovpn_reading *reading, unsigned index, uint32_t *seconds)
{
	uint64_t number;

	if (cp_ovpn_read_number(reading, index, 0, 604800, &number))
		*seconds = (uint32_t)number;
}

/* ---- where to ---- */

static uint8_t transport_of(const char *name)
{
	static const char *const udp[] = { "udp", "udp4" };
	static const char *const tcp[] = { "tcp", "tcp4", "tcp-client", "tcp4-client" };

	for (size_t i = 0; i < sizeof(udp) / sizeof(udp[0]); i++) {
		if (strcmp(udp[i], name) == 0)
			return IPPROTO_UDP;
	}
	for (size_t i = 0; i < sizeof(tcp) / sizeof(tcp[0]); i++) {
		if (strcmp(tcp[i], name) == 0)
			return IPPROTO_TCP;
	}
	return 0;
}

static void read_transport(struct cp_ovpn_reading *reading, unsigned index, uint8_t *transport)
{
	*transport = transport_of(cp_ovpn_word(reading, index));
	if (!*transport)
		cp_ovpn_complain(
			reading,
			"must be udp, udp4, tcp, tcp4, tcp-client or tcp4-client, not \"%.40s\": the uplink has IPv4",
			cp_ovpn_word(reading, index));
}

static bool read_port(struct cp_ovpn_reading *reading, unsigned index, uint16_t *port)
{
	uint64_t number;

	if (!cp_ovpn_read_number(reading, index, 1, 65535, &number))
		return false;
	*port = (uint16_t)number;
	return true;
}

static void take_remote(struct cp_ovpn_reading *reading)
{
	struct cp_ovpn_settings *settings =
		reading->is_in_connection ? &reading->profile->settings : &reading->outside;
	struct cp_ovpn_remote remote = { 0 };
	const char *fault = cp_server_address_fault(cp_ovpn_word(reading, 1));

	if (reading->is_in_connection)
		remote = (struct cp_ovpn_remote){ .port = reading->port,
			                          .transport = reading->transport };
	if (fault) {
		cp_ovpn_complain(reading, "%s", fault);
		return;
	}
	if (!cp_ovpn_read_text(reading, 1, remote.address, sizeof(remote.address)))
		return;
	if (cp_ovpn_has_word(reading, 2) && !read_port(reading, 2, &remote.port))
		return;
	if (cp_ovpn_has_word(reading, 3))
		read_transport(reading, 3, &remote.transport);
	if (settings->remote_count == CP_OVPN_REMOTES_MAX)
		cp_ovpn_complain(reading, "there must be at most %u", CP_OVPN_REMOTES_MAX);
	else
		settings->remotes[settings->remote_count++] = remote;
}

/* In a <connection> they may stand behind its remote. */
static struct cp_ovpn_remote *last_remote(struct cp_ovpn_reading *reading)
{
	struct cp_ovpn_settings *settings = &reading->profile->settings;

	return reading->is_in_connection && settings->remote_count
	               ? &settings->remotes[settings->remote_count - 1]
	               : NULL;
}

static void take_port(struct cp_ovpn_reading *reading)
{
	if (read_port(reading, 1, &reading->port) && last_remote(reading))
		last_remote(reading)->port = reading->port;
}

static void take_proto(struct cp_ovpn_reading *reading)
{
	read_transport(reading, 1, &reading->transport);
	if (last_remote(reading))
		last_remote(reading)->transport = reading->transport;
}

static void take_proto_force(struct cp_ovpn_reading *reading)
{
	read_transport(reading, 1, &reading->forced_transport);
}

static void take_remote_random(struct cp_ovpn_reading *reading)
{
	reading->profile->settings.is_random = true;
}

static void take_float(struct cp_ovpn_reading *reading)
{
	reading->profile->settings.may_float = true;
}

/* Its name says what it is, unless dev-type does: that is known at the end. */
static void take_dev(struct cp_ovpn_reading *reading)
{
	reading->dev_line = reading->line->number;
	reading->is_named_tun = strncmp(cp_ovpn_word(reading, 1), "tun", 3) == 0;
}

static void take_dev_type(struct cp_ovpn_reading *reading)
{
	reading->has_dev_type = true;
	if (strcmp(cp_ovpn_word(reading, 1), "tun") != 0)
		cp_ovpn_complain(reading, CP_OVPN_NOT_TUN);
}

static void take_client(struct cp_ovpn_reading *reading)
{
	reading->has_client = true;
}

static void take_tls_client(struct cp_ovpn_reading *reading)
{
	reading->has_tls_client = true;
}

static void take_pull(struct cp_ovpn_reading *reading)
{
	reading->has_pull = true;
}

static void take_mode(struct cp_ovpn_reading *reading)
{
	if (strcmp(cp_ovpn_word(reading, 1), "p2p") != 0)
		cp_ovpn_complain(reading, "is a server's: only clients are done");
}

/* ---- data channel ---- */

/* Ciphers that we do not do are left out of the offer, as long as one is left. */
static void take_data_ciphers(struct cp_ovpn_reading *reading)
{
	struct cp_ovpn_settings *settings = &reading->profile->settings;
	const char *at = cp_ovpn_word(reading, 1);
	char name[32];

	settings->cipher_count = 0;
	while (*at) {
		const size_t length = strcspn(at, ":");
		enum cp_ovpn_cipher *next = &settings->ciphers[settings->cipher_count];

		if (length < sizeof(name) && settings->cipher_count < CP_OVPN_CIPHERS_MAX) {
			memcpy(name, at, length);
			name[length] = 0;
			settings->cipher_count +=
				cp_ovpn_cipher_parse(name + (name[0] == '?'), next) == 0;
		}
		at += length + (at[length] == ':');
	}
	reading->has_data_ciphers = true;
	if (!settings->cipher_count)
		cp_ovpn_complain(
			reading,
			"must have one of AES-256-GCM, AES-192-GCM, AES-128-GCM, CHACHA20-POLY1305, AES-256-CBC, AES-192-CBC, AES-128-CBC");
}

static void read_cipher(struct cp_ovpn_reading *reading, enum cp_ovpn_cipher *cipher)
{
	if (cp_ovpn_cipher_parse(cp_ovpn_word(reading, 1), cipher) != 0)
		cp_ovpn_complain(
			reading,
			"%.40s is not done: must be AES-256-GCM, AES-192-GCM, AES-128-GCM, CHACHA20-POLY1305, AES-256-CBC, AES-192-CBC or AES-128-CBC",
			cp_ovpn_word(reading, 1));
}

static void take_cipher(struct cp_ovpn_reading *reading)
{
	read_cipher(reading, &reading->cipher);
}

static void take_fallback(struct cp_ovpn_reading *reading)
{
	read_cipher(reading, &reading->profile->settings.fallback);
}

static void take_auth(struct cp_ovpn_reading *reading)
{
	if (cp_ovpn_digest_parse(cp_ovpn_word(reading, 1), &reading->profile->settings.digest) != 0)
		cp_ovpn_complain(reading, "%.40s is not done: must be SHA1, SHA256 or SHA512",
		                 cp_ovpn_word(reading, 1));
}

static void take_comp_lzo(struct cp_ovpn_reading *reading)
{
	reading->profile->settings.framing = CP_OVPN_FRAMING_LZO;
	reading->profile->settings.has_lz4 = false;
}

static void take_compress(struct cp_ovpn_reading *reading)
{
	static const struct {
		const char *name;
		enum cp_ovpn_framing framing;
		bool has_lz4;
	} kinds[] = {
		{ "", CP_OVPN_FRAMING_STUB, false },
		{ "stub", CP_OVPN_FRAMING_STUB, false },
		{ "stub-v2", CP_OVPN_FRAMING_STUB_V2, false },
		{ "lz4", CP_OVPN_FRAMING_STUB, true },
		{ "lz4-v2", CP_OVPN_FRAMING_STUB_V2, true },
		{ "lzo", CP_OVPN_FRAMING_LZO, false },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, cp_ovpn_word(reading, 1)) == 0) {
			reading->profile->settings.framing = kinds[i].framing;
			reading->profile->settings.has_lz4 = kinds[i].has_lz4;
			return;
		}
	}
	cp_ovpn_complain(reading, "must be stub, stub-v2, lz4, lz4-v2 or lzo, not \"%.40s\"",
	                 cp_ovpn_word(reading, 1));
}

static void take_tun_mtu(struct cp_ovpn_reading *reading)
{
	uint64_t mtu;

	if (cp_ovpn_read_number(reading, 1, 576, 65535, &mtu))
		reading->profile->settings.tun_mtu = (uint16_t)mtu;
}

static void take_packet_size(struct cp_ovpn_reading *reading)
{
	uint64_t size;

	if (cp_ovpn_read_number(reading, 1, 154, 2048, &size))
		reading->profile->settings.control_bytes = (uint16_t)size;
}

static void take_fragment(struct cp_ovpn_reading *reading)
{
	if (strcmp(cp_ovpn_word(reading, 1), "0") != 0)
		cp_ovpn_complain(
			reading,
			"is not done: large packets are fragmented by IP; take it out at the server too, both sides must agree");
}

/* ---- times ---- */

static void take_hand_window(struct cp_ovpn_reading *reading)
{
	uint64_t number;

	if (cp_ovpn_read_number(reading, 1, 5, 3600, &number))
		reading->profile->settings.hand_window_s = (uint32_t)number;
}

static void take_tran_window(struct cp_ovpn_reading *reading)
{
	read_seconds(reading, 1, &reading->profile->settings.tran_window_s);
}

static void take_tls_timeout(struct cp_ovpn_reading *reading)
{
	uint64_t number;

	if (cp_ovpn_read_number(reading, 1, 1, 60, &number))
		reading->profile->settings.tls_timeout_s = (uint32_t)number;
}

static void take_reneg_sec(struct cp_ovpn_reading *reading)
{
	read_seconds(reading, 1, &reading->profile->settings.reneg_s);
}

static void take_reneg_bytes(struct cp_ovpn_reading *reading)
{
	cp_ovpn_read_number(reading, 1, 0, UINT64_C(1) << 59, &reading->profile->reneg_bytes);
}

static void take_reneg_packets(struct cp_ovpn_reading *reading)
{
	cp_ovpn_read_number(reading, 1, 0, UINT64_C(1) << 59, &reading->profile->reneg_packets);
}

static void take_ping(struct cp_ovpn_reading *reading)
{
	read_seconds(reading, 1, &reading->profile->settings.ping_s);
}

static void take_ping_restart(struct cp_ovpn_reading *reading)
{
	read_seconds(reading, 1, &reading->profile->settings.ping_restart_s);
}

static void take_keepalive(struct cp_ovpn_reading *reading)
{
	read_seconds(reading, 1, &reading->profile->settings.ping_s);
	read_seconds(reading, 2, &reading->profile->settings.ping_restart_s);
}

static void take_exit_notify(struct cp_ovpn_reading *reading)
{
	uint64_t number = 1;

	if (!cp_ovpn_has_word(reading, 1) || cp_ovpn_read_number(reading, 1, 0, 10, &number))
		reading->profile->settings.exit_notify = (uint32_t)number;
}

static void take_connect_retry(struct cp_ovpn_reading *reading)
{
	uint64_t first, longest;

	if (!cp_ovpn_read_number(reading, 1, 1, 3600, &first))
		return;
	longest = first > 300 ? first : 300;
	if (cp_ovpn_has_word(reading, 2) && !cp_ovpn_read_number(reading, 2, first, 3600, &longest))
		return;
	reading->profile->retry_min_s = (uint32_t)first;
	reading->profile->retry_max_s = (uint32_t)longest;
}

static void take_connect_timeout(struct cp_ovpn_reading *reading)
{
	uint64_t number;

	if (cp_ovpn_read_number(reading, 1, 1, 3600, &number))
		reading->profile->settings.connect_timeout_s = (uint32_t)number;
}

/* ---- routes ---- */

static void take_route(struct cp_ovpn_reading *reading)
{
	struct cp_ovpn_settings *settings = &reading->profile->settings;
	const char *mask =
		cp_ovpn_has_word(reading, 2) ? cp_ovpn_word(reading, 2) : "255.255.255.255";
	const char *router =
		cp_ovpn_has_word(reading, 3) ? cp_ovpn_word(reading, 3) : "vpn_gateway";
	struct ipc_prefix route;
	uint32_t mask_be = UINT32_MAX;

	if (strcmp(router, "net_gateway") == 0 || strcmp(router, "remote_host") == 0)
		return; /* around the tunnel */
	if (sp_address_parse(cp_ovpn_word(reading, 1), &route.address_be) != 0 ||
	    (strcmp(mask, "default") != 0 && sp_address_parse(mask, &mask_be) != 0)) {
		cp_ovpn_complain(reading, "must have an IPv4 address and a netmask");
		return;
	}
	for (route.length = 0; route.length < 32 && sp_prefix_mask_be(route.length) != mask_be;)
		route.length++;
	if (sp_prefix_mask_be(route.length) != mask_be)
		cp_ovpn_complain(reading, "must have a netmask without gaps");
	else if (settings->route_count == IPC_PREFIXES_MAX)
		cp_ovpn_complain(reading, "there must be at most %u", IPC_PREFIXES_MAX);
	else
		settings->routes[settings->route_count++] =
			(struct ipc_prefix){ .address_be = route.address_be & mask_be,
			                     .length = route.length };
}

static void take_redirect(struct cp_ovpn_reading *reading)
{
	bool has_ipv4 = true;

	for (unsigned i = 1; i < reading->line->count; i++)
		has_ipv4 &= strcmp(cp_ovpn_word(reading, i), "!ipv4") != 0;
	reading->profile->settings.has_default_route |= has_ipv4;
}

static void take_route_nopull(struct cp_ovpn_reading *reading)
{
	reading->profile->settings.route_nopull = true;
}

static void take_pull_filter(struct cp_ovpn_reading *reading)
{
	static const char *const actions[] = { [CP_OVPN_PULL_ACCEPT] = "accept",
		                               [CP_OVPN_PULL_IGNORE] = "ignore",
		                               [CP_OVPN_PULL_REJECT] = "reject" };
	struct cp_ovpn_settings *settings = &reading->profile->settings;
	struct cp_ovpn_filter filter = { 0 };

	for (size_t i = 1; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(actions[i], cp_ovpn_word(reading, 1)) == 0)
			filter.action = (enum cp_ovpn_filter_action)i;
	}
	if (!filter.action) {
		cp_ovpn_complain(reading, "must say accept, ignore or reject");
		return;
	}
	if (!cp_ovpn_read_text(reading, 2, filter.text, sizeof(filter.text)))
		return;
	if (settings->filter_count == CP_OVPN_FILTERS_MAX)
		cp_ovpn_complain(reading, "there must be at most %u", CP_OVPN_FILTERS_MAX);
	else
		settings->filters[settings->filter_count++] = filter;
}

/* ---- the rest ---- */

static void take_setenv(struct cp_ovpn_reading *reading)
{
	if (strcmp(cp_ovpn_word(reading, 1), "FORWARD_COMPATIBLE") == 0)
		reading->is_tolerant = strcmp(cp_ovpn_word(reading, 2), "1") == 0;
}

static void take_ignore_unknown(struct cp_ovpn_reading *reading)
{
	for (unsigned i = 1; i < reading->line->count; i++) {
		if (reading->tolerated_count == CP_OVPN_TOLERATED_MAX ||
		    strlen(cp_ovpn_word(reading, i)) >= CP_OVPN_DIRECTIVE_LEN) {
			cp_ovpn_complain(reading, "must have at most %u names of up to %u bytes",
			                 CP_OVPN_TOLERATED_MAX, CP_OVPN_DIRECTIVE_LEN - 1);
			return;
		}
		strcpy(reading->tolerated[reading->tolerated_count++], cp_ovpn_word(reading, i));
	}
}

const struct cp_ovpn_taker cp_ovpn_way_takers[] = {
	{ "client", take_client },
	{ "tls-client", take_tls_client },
	{ "pull", take_pull },
	{ "mode", take_mode },
	{ "dev", take_dev },
	{ "dev-type", take_dev_type },
	{ "remote", take_remote },
	{ "port", take_port },
	{ "rport", take_port },
	{ "proto", take_proto },
	{ "proto-force", take_proto_force },
	{ "remote-random", take_remote_random },
	{ "float", take_float },
	{ "data-ciphers", take_data_ciphers },
	{ "ncp-ciphers", take_data_ciphers },
	{ "cipher", take_cipher },
	{ "data-ciphers-fallback", take_fallback },
	{ "auth", take_auth },
	{ "comp-lzo", take_comp_lzo },
	{ "compress", take_compress },
	{ "tun-mtu", take_tun_mtu },
	{ "max-packet-size", take_packet_size },
	{ "fragment", take_fragment },
	{ "hand-window", take_hand_window },
	{ "tran-window", take_tran_window },
	{ "tls-timeout", take_tls_timeout },
	{ "reneg-sec", take_reneg_sec },
	{ "reneg-bytes", take_reneg_bytes },
	{ "reneg-pkts", take_reneg_packets },
	{ "keepalive", take_keepalive },
	{ "ping", take_ping },
	{ "ping-restart", take_ping_restart },
	{ "ping-exit", take_ping_restart },
	{ "explicit-exit-notify", take_exit_notify },
	{ "connect-retry", take_connect_retry },
	{ "connect-timeout", take_connect_timeout },
	{ "server-poll-timeout", take_connect_timeout },
	{ "route", take_route },
	{ "redirect-gateway", take_redirect },
	{ "route-nopull", take_route_nopull },
	{ "pull-filter", take_pull_filter },
	{ "setenv", take_setenv },
	{ "ignore-unknown-option", take_ignore_unknown },
	{ 0 },
};
