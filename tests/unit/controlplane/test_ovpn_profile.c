/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Profiles as customers hand them out, and every directive that is refused.
 */
#include "controlplane/ovpn_profile.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "controlplane/ovpn_text.h"
#include "tests/unit/common/unit.h"

#define PATH "/etc/sallyport/edge/customers/acme.ovpn"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ADDRESS(a, b, c, d) htonl((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

struct complaints {
	unsigned count;
	unsigned line; /* of the first one */
	char directive[64];
	char text[512];
};

static void complain(void *context, unsigned line, const char *directive, const char *text)
{
	struct complaints *complaints = context;

	if (complaints->count++)
		return;
	complaints->line = line;
	snprintf(complaints->directive, sizeof(complaints->directive), "%s", directive);
	snprintf(complaints->text, sizeof(complaints->text), "%s", text);
}

static struct complaints read_text(const char *text, struct cp_ovpn_profile *profile)
{
	struct complaints complaints = { 0 };
	const size_t length = strlen(text);
	char *copy = malloc(length ? length : 1); /* a step over its end is seen */

	assert_non_null(copy);
	memcpy(copy, text, length);
	cp_ovpn_profile_read(profile, PATH, copy, length, complain, &complaints);
	free(copy);
	return complaints;
}

static struct cp_ovpn_profile take(const char *text)
{
	struct cp_ovpn_profile profile;
	struct complaints complaints = read_text(text, &profile);

	if (complaints.count)
		fail_msg("%u: %s: %s", complaints.line, complaints.directive, complaints.text);
	return profile;
}

/* As the firewall of a customer exports it: tls-auth, password and certificate, CBC. */
static void test_firewall(void **state)
{
	struct cp_ovpn_profile profile = take(
		"dev tun\r\npersist-tun\r\npersist-key\r\ndata-ciphers AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305:AES-256-CBC\r\n"
		"data-ciphers-fallback AES-256-CBC\r\nauth SHA256\r\ntls-client\r\nclient\r\nresolv-retry infinite\r\n"
		"remote vpn.acme.example 1194 udp4\r\nnobind\r\nverify-x509-name \"vpn.acme.example\" name\r\nauth-user-pass\r\n"
		"remote-cert-tls server\r\nexplicit-exit-notify\r\nauth-nocache\r\n\r\n"
		"<ca>\r\n-----BEGIN CERTIFICATE-----\r\nMIIB\r\n-----END CERTIFICATE-----\r\n</ca>\r\n"
		"<cert>\r\n-----BEGIN CERTIFICATE-----\r\nMIIC\r\n-----END CERTIFICATE-----\r\n</cert>\r\n"
		"<key>\r\n-----BEGIN PRIVATE KEY-----\r\nMIIE\r\n-----END PRIVATE KEY-----\r\n</key>\r\n"
		"key-direction 1\r\n<tls-auth>\r\n#\r\n# 2048 bit OpenVPN static key\r\n#\r\n-----BEGIN OpenVPN Static key V1-----\r\n00\r\n"
		"-----END OpenVPN Static key V1-----\r\n</tls-auth>\r\n");
	const struct cp_ovpn_settings *settings = &profile.settings;

	(void)state;
	assert_string_equal(settings->profile, PATH);
	assert_int_equal(settings->remote_count, 1);
	assert_string_equal(settings->remotes[0].address, "vpn.acme.example");
	assert_int_equal(settings->remotes[0].port, 1194);
	assert_int_equal(settings->remotes[0].transport, IPPROTO_UDP);
	assert_int_equal(settings->cipher_count, 4);
	assert_int_equal(settings->ciphers[3], CP_OVPN_AES_256_CBC);
	assert_int_equal(settings->fallback, CP_OVPN_AES_256_CBC);
	assert_int_equal(settings->digest, CP_OVPN_SHA256);
	assert_int_equal(settings->name_mode, CP_OVPN_NAME_EXACT);
	assert_string_equal(settings->name, "vpn.acme.example");
	assert_true(settings->remote_cert_tls);
	assert_true(settings->has_password && profile.asks_password);
	assert_int_equal(profile.password_line, 13);
	assert_int_equal(settings->exit_notify, 1);
	assert_int_equal(settings->wrapping, CP_OVPN_TLS_AUTH);
	assert_int_equal(settings->key_direction, 1);
	assert_true(settings->wrap_key.is_inline && settings->ca.is_inline);
	assert_true(settings->certificate.is_inline && settings->key.is_inline);
	assert_string_equal(settings->key.file, PATH);
	assert_int_equal(profile.secret_line, 28);
}

/* Of an access server: several remotes, of which some are TCP, and notes for its own clients. */
static void test_access_server(void **state)
{
	struct cp_ovpn_profile profile = take(
		"# OVPN_ACCESS_SERVER_PROFILE=anna@vpn.acme.example\n# Automatically generated\nsetenv FORWARD_COMPATIBLE 1\nclient\n"
		"server-poll-timeout 4\nnobind\nremote vpn.acme.example 1194 udp\nremote vpn.acme.example 443 tcp\nremote 198.51.100.9 1194 udp\n"
		"dev tun\ndev-type tun\nns-something 5\nremote-cert-tls server\ntls-version-min 1.2\nreneg-sec 604800\nauth-user-pass\n"
		"verb 3\npush-peer-info\nsetenv UV_PLAT linux\nsetenv opt frobnicate 1 2\nsetenv opt tls-cert-profile preferred\n"
		"<ca>\nx\n</ca>\n<tls-crypt-v2>\n-----BEGIN OpenVPN tls-crypt-v2 client key-----\nAAAA\n-----END OpenVPN tls-crypt-v2 client key-----\n</tls-crypt-v2>\n");
	const struct cp_ovpn_settings *settings = &profile.settings;

	(void)state;
	assert_int_equal(settings->remote_count, 3);
	assert_int_equal(settings->remotes[1].port, 443);
	assert_int_equal(settings->remotes[1].transport, IPPROTO_TCP);
	assert_string_equal(settings->remotes[2].address, "198.51.100.9");
	assert_int_equal(settings->connect_timeout_s, 4);
	assert_int_equal(settings->reneg_s, 604800);
	assert_int_equal(settings->cert_profile, CP_OVPN_CERT_PREFERRED);
	assert_int_equal(settings->wrapping, CP_OVPN_TLS_CRYPT_V2);
	assert_string_equal(settings->certificate.file, "");
}

/* Of many years ago, with files beside it. */
static void test_old(void **state)
{
	struct cp_ovpn_profile profile = take(
		"\xef\xbb\xbf##############\n; Sample client-side OpenVPN 2.0 config file\n--client\ndev tun0 # the device\nproto tcp-client\nremote 203.0.113.77\nport 8443\n"
		"ca keys/ca.crt\ncert keys/gw.crt\nkey \"keys/our key.pem\"\ntls-auth /etc/ta.key 0\ncipher AES-256-CBC\nauth RSA-SHA512\ncomp-lzo\n"
		"keepalive 10 60\nping-timer-rem\nmute 20\nuser nobody\ngroup nogroup\nscript-security 2\nup /etc/openvpn/update-resolv-conf\n"
		"down /etc/openvpn/update-resolv-conf\nroute 192.168.100.7 255.255.255.0\nroute 10.9.9.9 255.255.255.255 net_gateway\n"
		"dhcp-option DNS 192.168.100.53\nconnect-retry 5 60\nauth-user-pass login.txt\nreneg-bytes 64000000\nreneg-pkts 5000\nfloat\n");
	const struct cp_ovpn_settings *settings = &profile.settings;

	(void)state;
	assert_int_equal(settings->remotes[0].port, 8443);
	assert_int_equal(settings->remotes[0].transport, IPPROTO_TCP);
	assert_string_equal(settings->ca.file, "/etc/sallyport/edge/customers/keys/ca.crt");
	assert_string_equal(settings->key.file, "/etc/sallyport/edge/customers/keys/our key.pem");
	assert_false(settings->key.is_inline);
	assert_string_equal(settings->wrap_key.file, "/etc/ta.key");
	assert_int_equal(settings->key_direction, 0);
	/* the server may negotiate or not */
	assert_int_equal(settings->cipher_count, 4);
	assert_int_equal(settings->ciphers[0], CP_OVPN_AES_256_GCM);
	assert_int_equal(settings->ciphers[3], CP_OVPN_AES_256_CBC);
	assert_int_equal(settings->fallback, CP_OVPN_AES_256_CBC);
	assert_int_equal(settings->digest, CP_OVPN_SHA512);
	assert_int_equal(settings->framing, CP_OVPN_FRAMING_LZO);
	assert_int_equal(settings->ping_s, 10);
	assert_int_equal(settings->ping_restart_s, 60);
	assert_int_equal(settings->route_count, 1);
	assert_int_equal(settings->routes[0].address_be, ADDRESS(192, 168, 100, 0));
	assert_int_equal(settings->routes[0].length, 24);
	assert_int_equal(profile.retry_min_s, 5);
	assert_int_equal(profile.retry_max_s, 60);
	assert_true(settings->has_password);
	assert_false(profile.asks_password);
	assert_string_equal(settings->login.file, "/etc/sallyport/edge/customers/login.txt");
	assert_true(profile.reneg_bytes == 64000000 && profile.reneg_packets == 5000);
	assert_true(settings->may_float);
	assert_int_equal(profile.secret_line, 0);
}

static void test_connections(void **state)
{
	struct cp_ovpn_profile profile = take(
		"client\nport 1195\nremote not.used.example\n<connection>\nremote a.example\n</connection>\n"
		"<connection>\nremote b.example\nproto tcp\nport 443\n</connection>\n<connection>\nproto tcp4\nremote c.example 80\nnobind\n</connection>\n"
		"<connection>\nremote d.example 7 udp4\n</connection>\nremote-random\n");
	const struct cp_ovpn_remote *remotes = profile.settings.remotes;

	(void)state;
	assert_int_equal(profile.settings.remote_count, 4);
	assert_string_equal(remotes[0].address, "a.example");
	assert_int_equal(remotes[0].port, 1195);
	assert_int_equal(remotes[0].transport, IPPROTO_UDP);
	assert_int_equal(remotes[1].port, 443);
	assert_int_equal(remotes[1].transport, IPPROTO_TCP);
	assert_int_equal(remotes[2].port, 80);
	assert_int_equal(remotes[2].transport, IPPROTO_TCP);
	assert_int_equal(remotes[3].port, 7);
	assert_int_equal(remotes[3].transport, IPPROTO_UDP);
	assert_true(profile.settings.is_random);

	profile = take("client\nremote a 1 udp\nremote b 2 tcp\nproto-force tcp\n");
	assert_int_equal(profile.settings.remote_count, 1);
	assert_string_equal(profile.settings.remotes[0].address, "b");
}

/* What is left, each with what it becomes. */
static void test_single(void **state)
{
	struct cp_ovpn_profile profile = take(
		"client\n<auth-user-pass>\nanna\nsesame\n</auth-user-pass>\nncp-ciphers AES-192-GCM:BF-CBC:?AES-128-CBC:?X\ncipher AES-128-GCM\n"
		"data-ciphers-fallback AES-192-CBC\ncompress lz4-v2\ntun-mtu 1400\nmssfix 1300\nmax-packet-size 1000\nfragment 0\n"
		"tls-version-min 1.0\ntls-version-max 1.3\ntls-cipher TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384\ntls-ciphersuites TLS_AES_256_GCM_SHA384\n"
		"tls-groups X25519:secp384r1\nremote-cert-eku \"TLS Web Server Authentication\"\nremote-cert-ku a0 88\nverify-x509-name 'C=DE, O=Acme, CN=vpn'\n"
		"crl-verify crl.pem\n<peer-fingerprint>\n00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\n</peer-fingerprint>\n"
		"hand-window 30\ntran-window 600\ntls-timeout 4\nreneg-sec 0 0\nping 7\nping-exit 70\nexplicit-exit-notify 3\nconnect-timeout 11\n"
		"redirect-gateway def1\nroute-nopull\npull-filter accept \"route 192.168.\"\npull-filter ignore redirect-gateway\nignore-unknown-option xyz \"abc\"\nxyz 5\nabc\n");
	const struct cp_ovpn_settings *settings = &profile.settings;

	(void)state;
	assert_true(settings->has_password && settings->login.is_inline);
	assert_false(profile.asks_password);
	assert_int_equal(profile.secret_line, 2);
	assert_int_equal(settings->cipher_count, 2);
	assert_int_equal(settings->ciphers[0], CP_OVPN_AES_192_GCM);
	assert_int_equal(settings->ciphers[1], CP_OVPN_AES_128_CBC);
	assert_int_equal(settings->fallback, CP_OVPN_AES_192_CBC);
	assert_int_equal(settings->framing, CP_OVPN_FRAMING_STUB_V2);
	assert_true(settings->has_lz4);
	assert_int_equal(settings->tun_mtu, 1400);
	assert_int_equal(settings->control_bytes, 1000);
	assert_int_equal(settings->tls_min, CP_OVPN_TLS_1_2);
	assert_int_equal(settings->tls_max, CP_OVPN_TLS_1_3);
	assert_string_equal(settings->tls_ciphers, "TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384");
	assert_string_equal(settings->tls_ciphersuites, "TLS_AES_256_GCM_SHA384");
	assert_string_equal(settings->tls_groups, "X25519:secp384r1");
	assert_string_equal(settings->eku, "TLS Web Server Authentication");
	assert_int_equal(settings->key_usage_count, 2);
	assert_int_equal(settings->key_usages[0], 0xa0);
	assert_int_equal(settings->name_mode, CP_OVPN_NAME_SUBJECT);
	assert_string_equal(settings->name, "C=DE, O=Acme, CN=vpn");
	assert_string_equal(settings->crl.file, "/etc/sallyport/edge/customers/crl.pem");
	assert_int_equal(settings->fingerprint_count, 1);
	assert_int_equal(settings->fingerprints[0][31], 0xff);
	assert_int_equal(settings->hand_window_s, 30);
	assert_int_equal(settings->tran_window_s, 600);
	assert_int_equal(settings->tls_timeout_s, 4);
	assert_int_equal(settings->reneg_s, 0);
	assert_int_equal(settings->ping_s, 7);
	assert_int_equal(settings->ping_restart_s, 70);
	assert_int_equal(settings->exit_notify, 3);
	assert_int_equal(settings->connect_timeout_s, 11);
	assert_true(settings->has_default_route && settings->route_nopull);
	assert_int_equal(settings->filter_count, 2);
	assert_int_equal(settings->filters[0].action, CP_OVPN_PULL_ACCEPT);
	assert_string_equal(settings->filters[0].text, "route 192.168.");
	assert_int_equal(settings->filters[1].action, CP_OVPN_PULL_IGNORE);
}

/* What a profile without anything but a remote has. */
static void test_bare(void **state)
{
	struct cp_ovpn_profile profile = take("client\nremote a\n");

	(void)state;
	assert_int_equal(profile.settings.remotes[0].port, 1194);
	assert_int_equal(profile.settings.remotes[0].transport, IPPROTO_UDP);
	assert_int_equal(profile.settings.cipher_count, 3);
	assert_int_equal(profile.settings.fallback, 0);
	assert_false(profile.settings.remote_cert_tls);
	assert_false(profile.settings.has_password);
	assert_int_equal(profile.settings.exit_notify, 0);
	take("tls-client\npull\nremote a\n");
}

/* In each text the last line is the one that is refused. */
static void test_bad(void **state)
{
	static const struct {
		const char *text, *directive, *why;
	} bad[] = {
		{ "frobnicate", "", "no directive" },
		{ "setenv opt dev tap", "dev", "must be tun" },
		{ "dev tap0", "dev", "must be tun" },
		{ "dev vpn0", "dev", "must be tun" },
		{ "dev tun0\ndev-type tap", "dev-type", "must be tun" },
		/* a bracket is missing: what follows is a key's, and logs are read by others */
		{ "c0ffee00c0ffee00c0ffee00c0ffee00", "", "no directive" },
		{ "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "", "no directive" },
		{ "QmFzZTY0", "", "no directive" },
		{ "hunter2-secret", "", "no directive" },
		{ "sesame open", "", "no directive" },
		{ "<hunter2>\n</hunter2>", "", "no directive" },
		{ "secret-hunter2", "secret", "not safe" },
		{ "plugin /usr/lib/x.so", "plugin", "never run" },
		{ "tls-verify /bin/true", "tls-verify", "scripts never run" },
		{ "management 127.0.0.1 7505", "management", "is not done" },
		{ "http-proxy proxy.example 8080", "http-proxy", "called directly" },
		{ "socks-proxy proxy.example", "socks-proxy", "called directly" },
		{ "secret static.key", "secret", "not safe" },
		{ "pkcs12 me.p12", "pkcs12", "take it apart" },
		{ "pkcs11-id x", "pkcs11", "must be in files" },
		{ "static-challenge \"PIN\" 1", "static-challenge", "nobody to answer" },
		{ "askpass", "askpass", "nobody to answer" },
		{ "server 10.8.0.0 255.255.255.0", "server", "only clients" },
		{ "mode server", "mode", "only clients" },
		{ "config other.ovpn", "config", "one file" },
		{ "ns-cert-type server", "ns-cert-type", "remote-cert-tls server" },
		{ "remote-cert-tls client", "remote-cert-tls", "must be server" },
		{ "fragment 1300", "fragment", "is not done" },
		{ "cipher BF-CBC", "cipher", "BF-CBC is not done" },
		{ "cipher none", "cipher", "none is not done" },
		{ "data-ciphers BF-CBC:DES-CBC", "data-ciphers", "must have one of" },
		{ "auth MD5", "auth", "MD5 is not done" },
		{ "auth none", "auth", "none is not done" },
		{ "compress zstd", "compress", "must be stub" },
		{ "proto udp6", "proto", "the uplink has IPv4" },
		{ "remote a 1194 tcp6", "remote", "the uplink has IPv4" },
		{ "remote 2001:db8::1", "remote", "must be an IPv4 address or a DNS name" },
		{ "remote", "remote", "must be an IPv4 address or a DNS name" },
		{ "remote a 0", "remote", "from 1 to 65535" },
		{ "remote a 99999999999999999999", "remote", "from 1 to 65535" },
		{ "remote a 1194 udp\nproto-force tcp", "", "leaves no remote" },
		{ "tls-version-min 0.9", "tls-version-min", "must be 1.0 to 1.3" },
		{ "tls-version-max 1.1", "tls-version-max", "nothing older" },
		{ "tls-cert-profile good", "tls-cert-profile", "must be legacy" },
		{ "verify-x509-name a username", "verify-x509-name", "must be of type" },
		{ "verify-x509-name", "verify-x509-name", "must have a text" },
		{ "peer-fingerprint 00:11", "peer-fingerprint", "32 pairs" },
		{ "remote-cert-ku 12345", "remote-cert-ku", "hexadecimal masks" },
		{ "key-direction 2", "key-direction", "from 0 to 1" },
		{ "ca", "ca", "must name a file, or be a block <ca>" },
		{ "crl-verify crls dir", "crl-verify", "must be one file" },
		{ "tls-auth a\ntls-crypt b", "tls-crypt", "one wraps" },
		{ "route a.example", "route", "IPv4 address and a netmask" },
		{ "route 10.0.0.0 255.0.255.0", "route", "without gaps" },
		{ "pull-filter drop x", "pull-filter", "accept, ignore or reject" },
		{ "pull-filter ignore", "pull-filter", "must have a text" },
		{ "tun-mtu 100", "tun-mtu", "from 576" },
		{ "hand-window 0", "hand-window", "from 5" },
		{ "ping x", "ping", "from 0" },
		{ "keepalive 10", "keepalive", "from 0" },
		{ "connect-retry 9 3", "connect-retry", "from 9" },
		{ "client-nat snat 10.0.0.0 255.0.0.0 11.0.0.0", "client-nat",
		  "a forward's target" },
		{ "setenv \"x", "", "quote that does not end" },
		{ "setenv a\\b", "", "write two of them" },
		{ "setenv a\\", "", "ends in a backslash" },
		{ "setenv 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "", "too many words" },
		{ "<ca>\nx", "", "does not end" },
		{ "<connection>\nca x\n</connection>", "ca", "must not be in a <connection>" },
		{ "<connection>\n<connection>\n</connection>", "", "does not end" },
		{ "<key>\n-----BEGIN ENCRYPTED PRIVATE KEY-----\n</key>", "key",
		  "must not be encrypted" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct cp_ovpn_profile profile;
		struct complaints complaints;
		char text[512];

		snprintf(text, sizeof(text), "client\n%s\n", bad[i].text);
		complaints = read_text(text, &profile);
		if (complaints.count != 1 || !strstr(complaints.text, bad[i].why) ||
		    strcmp(complaints.directive, bad[i].directive) != 0)
			fail_msg("%s: %u, %u: %s: %s", bad[i].text, complaints.count,
			         complaints.line, complaints.directive, complaints.text);
	}
}

/* dev-type says what it is, whatever it is called. */
static void test_device(void **state)
{
	(void)state;
	take("client\ndev vpn0\ndev-type tun\n");
	take("client\ndev-type tun\ndev tap0\n");
	take("client\ndev tun\n");
}

static void assert_line(const char *text, unsigned line)
{
	struct cp_ovpn_profile profile;
	struct complaints complaints = read_text(text, &profile);

	assert_int_equal(complaints.count, 1);
	assert_int_equal(complaints.line, line);
}

static void test_lines(void **state)
{
	(void)state;
	assert_line("client\n\n# x\nfrobnicate\n", 4);
	assert_line("client\n<ca>\nfrobnicate\n</ca>\nfrobnicate\n", 5);
	assert_line("client\n<connection>\nremote a\nfrobnicate\n</connection>\n", 4);
	assert_line("client\n<connection>\nremote a\n</connection>\nfrobnicate", 5);
	assert_line("remote a\n", 0); /* it is not said that we are a client */
	assert_line("", 0);
}

/* Everything that the description of the protocol counts among what customers need. */
static void test_treatment(void **state)
{
	static const struct {
		enum cp_ovpn_treatment treatment;
		const char *names;
	} groups[] = {
		{ CP_OVPN_HONOURED,
		  "client dev proto remote ca cert key tls-crypt tls-auth key-direction tls-crypt-v2 auth-user-pass remote-cert-tls "
		  "verify-x509-name remote-random data-ciphers ncp-ciphers cipher data-ciphers-fallback auth comp-lzo compress reneg-sec "
		  "tls-version-min tls-cipher tls-ciphersuites tls-groups tls-cert-profile tun-mtu fragment keepalive ping ping-restart "
		  "ping-exit explicit-exit-notify float connect-retry connect-timeout server-poll-timeout crl-verify peer-fingerprint "
		  "remote-cert-eku remote-cert-ku redirect-gateway route route-nopull pull-filter setenv ignore-unknown-option" },
		{ CP_OVPN_SKIPPED,
		  "nobind resolv-retry persist-key persist-tun verb mute mssfix push-peer-info ifconfig-noexec auth-token-user setenv-safe auth-nocache dhcp-option block-outside-dns "
		  "up down script-security route-up route-ipv6" },
		{ CP_OVPN_REFUSED,
		  "plugin management management-hold http-proxy-option http-proxy socks-proxy secret pkcs11-id pkcs12 askpass ns-cert-type static-challenge" },
		{ CP_OVPN_UNKNOWN_DIRECTIVE, "frobnicate connections pluginx" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(groups); i++) {
		char names[1024], *rest = names, *name;

		snprintf(names, sizeof(names), "%s", groups[i].names);
		while ((name = strsep(&rest, " "))) {
			if (cp_ovpn_profile_treats(name) != groups[i].treatment)
				fail_msg("%s is treated otherwise", name);
		}
	}
	assert_int_equal(cp_ovpn_profile_treats(""), CP_OVPN_UNKNOWN_DIRECTIVE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_firewall),  cmocka_unit_test(test_access_server),
		cmocka_unit_test(test_old),       cmocka_unit_test(test_connections),
		cmocka_unit_test(test_single),    cmocka_unit_test(test_bare),
		cmocka_unit_test(test_bad),       cmocka_unit_test(test_lines),
		cmocka_unit_test(test_treatment), cmocka_unit_test(test_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
