/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directives of OpenVPN's profiles: what each becomes, which ones are skipped, and why others
 * are refused.
 */
#include "controlplane/ovpn_directives.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/netaddr.h"
#include "controlplane/config_read.h"

/* ---- words ---- */

static const char *word(const struct cp_ovpn_reading *reading, unsigned index)
{
	return index < reading->line->count ? reading->line->words[index] : "";
}

static bool has_word(const struct cp_ovpn_reading *reading, unsigned index)
{
	return index < reading->line->count;
}

static bool read_number(struct cp_ovpn_reading *reading, unsigned index, uint64_t min, uint64_t max,
                        uint64_t *number)
{
	const char *text = word(reading, index);
	const size_t digits = strspn(text, "0123456789");
	const uint64_t value = digits && digits < 19 ? strtoull(text, NULL, 10) : UINT64_MAX;

	if (text[digits] || value < min || value > max) {
		cp_ovpn_complain(reading, "must be a number from %llu to %llu, not \"%.40s\"",
		                 (unsigned long long)min, (unsigned long long)max, text);
		return false;
	}
	*number = value;
	return true;
}

static void read_seconds(struct cp_ovpn_reading *reading, unsigned index, uint32_t *seconds)
{
	uint64_t number;

	if (read_number(reading, index, 0, 604800, &number))
		*seconds = (uint32_t)number;
}

static bool read_text(struct cp_ovpn_reading *reading, unsigned index, char *target, size_t size)
{
	const char *text = word(reading, index);

	if (!*text || strlen(text) >= size) {
		cp_ovpn_complain(reading, "must have a text of up to %zu bytes behind it",
		                 size - 1);
		return false;
	}
	memcpy(target, text, strlen(text) + 1);
	return true;
}

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
	if (strcmp(word(reading, 1), "[inline]") == 0)
		return false;
	if (!*word(reading, 1)) {
		cp_ovpn_complain(reading, "must name a file, or be a block <%s>", word(reading, 0));
		return false;
	}
	place->is_inline = false;
	return join(reading, word(reading, 1), place->file);
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
	if (strcmp(word(reading, 2), "dir") == 0)
		cp_ovpn_complain(reading, "must be one file: directories are not read");
	else
		read_place(reading, &reading->profile->settings.crl);
}

static void read_direction(struct cp_ovpn_reading *reading, unsigned index)
{
	uint64_t direction;

	if (read_number(reading, index, 0, 1, &direction))
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
	if (wrapping == CP_OVPN_TLS_AUTH && has_word(reading, 2))
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
	    (!has_word(reading, 1) || strcmp(word(reading, 1), "[inline]") == 0)) {
		profile->password_line = reading->line->number;
		profile->asks_password = !profile->settings.login.file[0];
	} else if (read_secret_place(reading, &profile->settings.login)) {
		profile->asks_password = false;
	}
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
	*transport = transport_of(word(reading, index));
	if (!*transport)
		cp_ovpn_complain(
			reading,
			"must be udp, udp4, tcp, tcp4, tcp-client or tcp4-client, not \"%.40s\": the uplink has IPv4",
			word(reading, index));
}

static bool read_port(struct cp_ovpn_reading *reading, unsigned index, uint16_t *port)
{
	uint64_t number;

	if (!read_number(reading, index, 1, 65535, &number))
		return false;
	*port = (uint16_t)number;
	return true;
}

static void take_remote(struct cp_ovpn_reading *reading)
{
	struct cp_ovpn_settings *settings =
		reading->is_in_connection ? &reading->profile->settings : &reading->outside;
	struct cp_ovpn_remote remote = { 0 };
	const char *fault = cp_server_address_fault(word(reading, 1));

	if (reading->is_in_connection)
		remote = (struct cp_ovpn_remote){ .port = reading->port,
			                          .transport = reading->transport };
	if (fault) {
		cp_ovpn_complain(reading, "%s", fault);
		return;
	}
	if (!read_text(reading, 1, remote.address, sizeof(remote.address)))
		return;
	if (has_word(reading, 2) && !read_port(reading, 2, &remote.port))
		return;
	if (has_word(reading, 3))
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

static void take_dev(struct cp_ovpn_reading *reading)
{
	if (strncmp(word(reading, 1), "tun", 3) != 0)
		cp_ovpn_complain(reading, "must be tun: frames of tap are not carried");
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
	if (strcmp(word(reading, 1), "p2p") != 0)
		cp_ovpn_complain(reading, "is a server's: only clients are done");
}

/* ---- data channel ---- */

/* Ciphers that we do not do are left out of the offer, as long as one is left. */
static void take_data_ciphers(struct cp_ovpn_reading *reading)
{
	struct cp_ovpn_settings *settings = &reading->profile->settings;
	const char *at = word(reading, 1);
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
	if (cp_ovpn_cipher_parse(word(reading, 1), cipher) != 0)
		cp_ovpn_complain(
			reading,
			"%.40s is not done: must be AES-256-GCM, AES-192-GCM, AES-128-GCM, CHACHA20-POLY1305, AES-256-CBC, AES-192-CBC or AES-128-CBC",
			word(reading, 1));
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
	if (cp_ovpn_digest_parse(word(reading, 1), &reading->profile->settings.digest) != 0)
		cp_ovpn_complain(reading, "%.40s is not done: must be SHA1, SHA256 or SHA512",
		                 word(reading, 1));
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
		if (strcmp(kinds[i].name, word(reading, 1)) == 0) {
			reading->profile->settings.framing = kinds[i].framing;
			reading->profile->settings.has_lz4 = kinds[i].has_lz4;
			return;
		}
	}
	cp_ovpn_complain(reading, "must be stub, stub-v2, lz4, lz4-v2 or lzo, not \"%.40s\"",
	                 word(reading, 1));
}

static void take_tun_mtu(struct cp_ovpn_reading *reading)
{
	uint64_t mtu;

	if (read_number(reading, 1, 576, 65535, &mtu))
		reading->profile->settings.tun_mtu = (uint16_t)mtu;
}

static void take_packet_size(struct cp_ovpn_reading *reading)
{
	uint64_t size;

	if (read_number(reading, 1, 154, 2048, &size))
		reading->profile->settings.control_bytes = (uint16_t)size;
}

static void take_fragment(struct cp_ovpn_reading *reading)
{
	if (strcmp(word(reading, 1), "0") != 0)
		cp_ovpn_complain(
			reading,
			"is not done: large packets are fragmented by IP; take it out at the server too, both sides must agree");
}

/* ---- TLS, and who the server is ---- */

static bool read_tls_version(struct cp_ovpn_reading *reading, enum cp_ovpn_tls_version *version)
{
	const char *text = word(reading, 1);

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
	if (strcmp(word(reading, 1), "1.0") == 0 || strcmp(word(reading, 1), "1.1") == 0 ||
	    !read_tls_version(reading, &reading->profile->settings.tls_max))
		cp_ovpn_complain(reading, "must be 1.2 or 1.3: nothing older is done");
}

static void take_tls_cipher(struct cp_ovpn_reading *reading)
{
	read_text(reading, 1, reading->profile->settings.tls_ciphers, CP_OVPN_LIST_LEN);
}

static void take_tls_ciphersuites(struct cp_ovpn_reading *reading)
{
	read_text(reading, 1, reading->profile->settings.tls_ciphersuites, CP_OVPN_LIST_LEN);
}

static void take_tls_groups(struct cp_ovpn_reading *reading)
{
	read_text(reading, 1, reading->profile->settings.tls_groups, CP_OVPN_LIST_LEN);
}

static void take_cert_profile(struct cp_ovpn_reading *reading)
{
	static const char *const names[] = { [CP_OVPN_CERT_LEGACY] = "legacy",
		                             [CP_OVPN_CERT_PREFERRED] = "preferred",
		                             [CP_OVPN_CERT_INSECURE] = "insecure",
		                             [CP_OVPN_CERT_SUITE_B] = "suiteb" };

	for (size_t i = 1; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], word(reading, 1)) == 0) {
			reading->profile->settings.cert_profile = (enum cp_ovpn_cert_profile)i;
			return;
		}
	}
	cp_ovpn_complain(reading, "must be legacy, preferred, suiteb or insecure");
}

static void take_remote_cert_tls(struct cp_ovpn_reading *reading)
{
	if (strcmp(word(reading, 1), "server") == 0)
		reading->profile->settings.remote_cert_tls = true;
	else
		cp_ovpn_complain(reading, "must be server: that is whom a client calls");
}

static void take_eku(struct cp_ovpn_reading *reading)
{
	read_text(reading, 1, reading->profile->settings.eku,
	          sizeof(reading->profile->settings.eku));
}

static void take_ku(struct cp_ovpn_reading *reading)
{
	struct cp_ovpn_settings *settings = &reading->profile->settings;

	if (!has_word(reading, 1)) {
		settings->remote_cert_tls = true; /* any usage, but there must be one */
		return;
	}
	settings->key_usage_count = 0;
	for (unsigned i = 1; i < reading->line->count; i++) {
		const char *text = word(reading, i);

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
	const char *mode = has_word(reading, 2) ? word(reading, 2) : "subject";

	if (!read_text(reading, 1, settings->name, sizeof(settings->name)))
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
		if (strcmp(word(reading, 1), "[inline]") != 0)
			add_fingerprint(reading, word(reading, 1));
		return;
	}
	cp_ovpn_lines_begin(&lines, reading->line->block, reading->line->block_length,
	                    reading->line->block_number);
	while ((rc = cp_ovpn_lines_next(&lines, &line, &fault)) != 0)
		add_fingerprint(reading, rc < 0 ? "" : line.words[0]);
}

/* ---- times ---- */

static void take_hand_window(struct cp_ovpn_reading *reading)
{
	uint64_t number;

	if (read_number(reading, 1, 5, 3600, &number))
		reading->profile->settings.hand_window_s = (uint32_t)number;
}

static void take_tran_window(struct cp_ovpn_reading *reading)
{
	read_seconds(reading, 1, &reading->profile->settings.tran_window_s);
}

static void take_tls_timeout(struct cp_ovpn_reading *reading)
{
	uint64_t number;

	if (read_number(reading, 1, 1, 60, &number))
		reading->profile->settings.tls_timeout_s = (uint32_t)number;
}

static void take_reneg_sec(struct cp_ovpn_reading *reading)
{
	read_seconds(reading, 1, &reading->profile->settings.reneg_s);
}

static void take_reneg_bytes(struct cp_ovpn_reading *reading)
{
	read_number(reading, 1, 0, UINT64_C(1) << 59, &reading->profile->reneg_bytes);
}

static void take_reneg_packets(struct cp_ovpn_reading *reading)
{
	read_number(reading, 1, 0, UINT64_C(1) << 59, &reading->profile->reneg_packets);
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

	if (!has_word(reading, 1) || read_number(reading, 1, 0, 10, &number))
		reading->profile->settings.exit_notify = (uint32_t)number;
}

static void take_connect_retry(struct cp_ovpn_reading *reading)
{
	uint64_t first, longest;

	if (!read_number(reading, 1, 1, 3600, &first))
		return;
	longest = first > 300 ? first : 300;
	if (has_word(reading, 2) && !read_number(reading, 2, first, 3600, &longest))
		return;
	reading->profile->retry_min_s = (uint32_t)first;
	reading->profile->retry_max_s = (uint32_t)longest;
}

static void take_connect_timeout(struct cp_ovpn_reading *reading)
{
	uint64_t number;

	if (read_number(reading, 1, 1, 3600, &number))
		reading->profile->settings.connect_timeout_s = (uint32_t)number;
}

/* ---- routes ---- */

static void take_route(struct cp_ovpn_reading *reading)
{
	struct cp_ovpn_settings *settings = &reading->profile->settings;
	const char *mask = has_word(reading, 2) ? word(reading, 2) : "255.255.255.255";
	const char *router = has_word(reading, 3) ? word(reading, 3) : "vpn_gateway";
	struct ipc_prefix route;
	uint32_t mask_be = UINT32_MAX;

	if (strcmp(router, "net_gateway") == 0 || strcmp(router, "remote_host") == 0)
		return; /* around the tunnel */
	if (sp_address_parse(word(reading, 1), &route.address_be) != 0 ||
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
		has_ipv4 &= strcmp(word(reading, i), "!ipv4") != 0;
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
		if (strcmp(actions[i], word(reading, 1)) == 0)
			filter.action = (enum cp_ovpn_filter_action)i;
	}
	if (!filter.action) {
		cp_ovpn_complain(reading, "must say accept, ignore or reject");
		return;
	}
	if (!read_text(reading, 2, filter.text, sizeof(filter.text)))
		return;
	if (settings->filter_count == CP_OVPN_FILTERS_MAX)
		cp_ovpn_complain(reading, "there must be at most %u", CP_OVPN_FILTERS_MAX);
	else
		settings->filters[settings->filter_count++] = filter;
}

/* ---- the rest ---- */

static void take_setenv(struct cp_ovpn_reading *reading)
{
	if (strcmp(word(reading, 1), "FORWARD_COMPATIBLE") == 0)
		reading->is_tolerant = strcmp(word(reading, 2), "1") == 0;
}

static void take_ignore_unknown(struct cp_ovpn_reading *reading)
{
	for (unsigned i = 1; i < reading->line->count; i++) {
		if (reading->tolerated_count == CP_OVPN_TOLERATED_MAX ||
		    strlen(word(reading, i)) >= CP_OVPN_DIRECTIVE_LEN) {
			cp_ovpn_complain(reading, "must have at most %u names of up to %u bytes",
			                 CP_OVPN_TOLERATED_MAX, CP_OVPN_DIRECTIVE_LEN - 1);
			return;
		}
		strcpy(reading->tolerated[reading->tolerated_count++], word(reading, i));
	}
}

/* ---- the list ---- */

static const struct {
	const char *name;
	cp_ovpn_take_fn take;
} takers[] = {
	{ "client", take_client },
	{ "tls-client", take_tls_client },
	{ "pull", take_pull },
	{ "mode", take_mode },
	{ "dev", take_dev },
	{ "dev-type", take_dev },
	{ "remote", take_remote },
	{ "port", take_port },
	{ "rport", take_port },
	{ "proto", take_proto },
	{ "proto-force", take_proto_force },
	{ "remote-random", take_remote_random },
	{ "float", take_float },
	{ "ca", take_ca },
	{ "cert", take_cert },
	{ "key", take_key },
	{ "crl-verify", take_crl },
	{ "tls-auth", take_tls_auth },
	{ "tls-crypt", take_tls_crypt },
	{ "tls-crypt-v2", take_tls_crypt_v2 },
	{ "key-direction", take_key_direction },
	{ "auth-user-pass", take_auth_user_pass },
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
};

cp_ovpn_take_fn cp_ovpn_find_taker(const char *name)
{
	for (size_t i = 0; i < sizeof(takers) / sizeof(takers[0]); i++) {
		if (strcmp(takers[i].name, name) == 0)
			return takers[i].take;
	}
	return NULL;
}
