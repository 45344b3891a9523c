/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Environments with vpn = "openvpn": what their keys become, what is refused, ports, differences.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "controlplane/config_diff.h"
#include "controlplane/config_read.h"
#include "tests/unit/common/unit.h"

#define GATEWAY                                                                       \
	"gateway: { name = \"gw-a\"; uplink: { device = \"af_packet:up\"; address = " \
	"\"203.0.113.10/24\"; }; cluster: { device = \"af_packet:in\"; address = "    \
	"\"10.0.0.2/16\"; }; };"
#define HEAD(name, last, keys)                                             \
	"environment: { name = \"" name "\"; pod_address = \"10.0.0." last \
	"\"; sources = [\"10.0.1.0/24\"]; vpn = \"openvpn\";\n" keys "\nservers = ("
#define TAIL ");\n};\n"
#define PASSWORD "server_ca = \"/s/ca\"; account = \"me\"; password_file = \"/s/p\";"
#define A(more) "{ name = \"a\"; address = \"vpn.customer.example\"; " more " }"
#define ONE(keys, more) HEAD("production", "33", keys) A(more) TAIL

static struct cp_config *parse(const char *const *texts, size_t count)
{
	struct cp_mistakes mistakes;
	struct cp_config *config;

	if (cp_config_parse(GATEWAY, texts, count, &config, &mistakes) != 0)
		cp_mistakes_print(&mistakes, stderr);
	assert_non_null(config);
	cp_mistakes_fini(&mistakes);
	return config;
}

static struct cp_config *parse_one(const char *text)
{
	return parse(&text, 1);
}

static void test_defaults(void **state)
{
	struct cp_config *config = parse_one(ONE(PASSWORD, ""));
	const struct cp_server *server = &config->environments[0].servers[0];
	const struct cp_ovpn_settings *settings = server->openvpn;

	(void)state;
	assert_int_equal(config->environments[0].vpn, CP_VPN_OPENVPN);
	assert_non_null(settings);
	assert_string_equal(server->address, "vpn.customer.example");
	assert_string_equal(server->account, "me");
	assert_string_equal(server->secret_file, "/s/p");
	assert_int_equal(server->auth, 0);
	assert_int_equal(settings->remote_count, 1);
	assert_string_equal(settings->remotes[0].address, "vpn.customer.example");
	assert_int_equal(settings->remotes[0].port, 1194);
	assert_int_equal(settings->remotes[0].transport, IPPROTO_UDP);
	assert_int_equal(settings->cipher_count, 3);
	assert_int_equal(settings->ciphers[0], CP_OVPN_AES_256_GCM);
	assert_int_equal(settings->ciphers[1], CP_OVPN_AES_128_GCM);
	assert_int_equal(settings->ciphers[2], CP_OVPN_CHACHA20_POLY1305);
	assert_int_equal(settings->fallback, 0);
	assert_int_equal(settings->digest, CP_OVPN_SHA1);
	assert_int_equal(settings->framing, CP_OVPN_FRAMING_NONE);
	assert_int_equal(settings->wrapping, CP_OVPN_WRAP_NONE);
	assert_int_equal(settings->key_direction, -1);
	assert_int_equal(settings->tls_min, CP_OVPN_TLS_1_2);
	assert_string_equal(settings->ca.file, "/s/ca");
	assert_true(settings->remote_cert_tls);
	assert_int_equal(settings->name_mode, CP_OVPN_NAME_NONE);
	assert_true(settings->has_password);
	assert_string_equal(settings->certificate.file, "");
	assert_int_equal(settings->reneg_s, 3600);
	assert_int_equal(settings->dead_s, 0);
	assert_int_equal(settings->tun_mtu, 1500);
	assert_in_range(settings->own_port, 20000, 29999);
	cp_config_release(config);
}

/* The environment's keys are for all servers; a server's own win. */
static void test_every_key(void **state)
{
	struct cp_config *config = parse_one(
		HEAD("production", "33",
	             PASSWORD
	             "port = 443; transport = \"tcp\"; data_ciphers = [\"aes-256-cbc\", \"AES-256-GCM\"]; data_ciphers_fallback = \"AES-256-CBC\";"
	             "digest = \"SHA256\"; compress = \"lz4-v2\"; tls_auth_file = \"/s/ta\"; key_direction = 1; tls_version_min = \"1.3\";"
	             "remote_cert_tls = false; crl_file = \"/s/crl\"; exit_notify = 2; route_nopull = true; dpd = 20; child_rekey = 600;"
	             "child_rekey_packets = 5000; retry: { min = 2; max = 9; }; server_identity = \"vpn\";")
			A("") ", { name = \"b\"; address = \"198.51.100.7\"; transport = \"udp\"; port = 1195; tls_crypt_file = \"/s/tc\"; "
			      "certificate_file = \"/s/c\"; key_file = \"/s/k\"; local_port = 1194; compress = \"comp-lzo\"; }" TAIL);
	const struct cp_server *a = &config->environments[0].servers[0], *b = a + 1;

	(void)state;
	assert_int_equal(a->openvpn->remotes[0].port, 443);
	assert_int_equal(a->openvpn->remotes[0].transport, IPPROTO_TCP);
	assert_int_equal(a->openvpn->cipher_count, 2);
	assert_int_equal(a->openvpn->ciphers[0], CP_OVPN_AES_256_CBC);
	assert_int_equal(a->openvpn->fallback, CP_OVPN_AES_256_CBC);
	assert_int_equal(a->openvpn->digest, CP_OVPN_SHA256);
	assert_int_equal(a->openvpn->framing, CP_OVPN_FRAMING_STUB_V2);
	assert_true(a->openvpn->has_lz4);
	assert_int_equal(a->openvpn->wrapping, CP_OVPN_TLS_AUTH);
	assert_string_equal(a->openvpn->wrap_key.file, "/s/ta");
	assert_int_equal(a->openvpn->key_direction, 1);
	assert_int_equal(a->openvpn->tls_min, CP_OVPN_TLS_1_3);
	assert_false(a->openvpn->remote_cert_tls);
	assert_string_equal(a->openvpn->crl.file, "/s/crl");
	assert_int_equal(a->openvpn->exit_notify, 2);
	assert_true(a->openvpn->route_nopull);
	assert_int_equal(a->openvpn->dead_s, 20);
	assert_int_equal(a->openvpn->reneg_s, 600);
	assert_true(a->child_rekey_packets == 5000);
	assert_int_equal(a->retry_max_s, 9);
	assert_int_equal(a->openvpn->name_mode, CP_OVPN_NAME_EXACT);
	assert_string_equal(a->openvpn->name, "vpn");

	assert_int_equal(b->openvpn->remotes[0].port, 1195);
	assert_int_equal(b->openvpn->remotes[0].transport, IPPROTO_UDP);
	assert_int_equal(b->openvpn->wrapping, CP_OVPN_TLS_CRYPT);
	assert_int_equal(b->openvpn->key_direction, -1);
	assert_string_equal(b->openvpn->certificate.file, "/s/c");
	assert_string_equal(b->openvpn->key.file, "/s/k");
	assert_true(b->openvpn->has_password);
	assert_int_equal(b->openvpn->own_port, 1194);
	assert_int_equal(b->openvpn->framing, CP_OVPN_FRAMING_LZO);
	assert_false(b->openvpn->has_lz4);
	cp_config_release(config);
}

static void test_certificate_alone(void **state)
{
	struct cp_config *config = parse_one(ONE(
		"server_ca = \"/s/ca\"; certificate_file = \"/s/c\"; key_file = \"/s/k\";", ""));
	const struct cp_server *server = &config->environments[0].servers[0];

	(void)state;
	assert_false(server->openvpn->has_password);
	assert_string_equal(server->account, "");
	cp_config_release(config);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text, *key, *mistake;
	} bad[] = {
		{ ONE("account = \"me\"; password_file = \"/s/p\";", ""),
		  "environment.servers.[0].server_ca", "is missing" },
		{ ONE("server_ca = \"/s/ca\";", ""), "environment.servers.[0].account",
		  "is missing: a server asks for account and password_file" },
		{ ONE("server_ca = \"/s/ca\"; account = \"me\";", ""),
		  "environment.servers.[0].password_file", "is missing" },
		{ ONE("server_ca = \"/s/ca\"; password_file = \"/s/p\";", ""),
		  "environment.servers.[0].account", "is missing" },
		{ ONE(PASSWORD, "key_file = \"/s/k\";"), "environment.servers.[0].certificate_file",
		  "is missing" },
		{ ONE(PASSWORD, "certificate_file = \"/s/k\";"), "environment.servers.[0].key_file",
		  "is missing" },
		{ ONE(PASSWORD "auth = \"psk\";", ""), "environment.auth",
		  "has no use with this vpn" },
		{ ONE(PASSWORD, "ike_rekey = 5;"), "environment.servers.[0].ike_rekey",
		  "has no use with this vpn" },
		{ ONE(PASSWORD "data_cipher = \"AES-256-GCM\";", ""), "environment.data_cipher",
		  "did you mean \"data_ciphers\"?" },
		{ ONE(PASSWORD "data_ciphers = [\"AES-256-GCM\", \"BF-CBC\"];", ""),
		  "environment.data_ciphers.[1]", "no other cipher" },
		{ ONE(PASSWORD "data_ciphers = [];", ""), "environment.data_ciphers",
		  "1 to 8 ciphers" },
		{ ONE(PASSWORD "data_ciphers_fallback = \"none\";", ""),
		  "environment.data_ciphers_fallback", "must be a cipher" },
		{ ONE(PASSWORD "digest = \"MD5\";", ""), "environment.digest", "must be \"SHA1\"" },
		{ ONE(PASSWORD "compress = \"lzo\";", ""), "environment.compress",
		  "must be \"none\"" },
		{ ONE(PASSWORD "tls_auth_file = \"/s/1\"; tls_crypt_file = \"/s/2\";", ""),
		  "environment.tls_crypt_file", "must not stand beside tls_auth_file" },
		{ ONE(PASSWORD "tls_ = \"/s/1\"; tls_crypt_file = \"/s/2\";", ""),
		  "environment.tls_", "is not a key here" },
		{ ONE(PASSWORD "key_direction = 2;", ""), "environment.key_direction",
		  "must be 0 to 1" },
		{ ONE(PASSWORD "port = 0;", ""), "environment.port", "must be 1 to 65535" },
		{ ONE(PASSWORD "transport = \"sctp\";", ""), "environment.transport",
		  "must be \"tcp\" or \"udp\"" },
		{ ONE(PASSWORD, "local_port = 500;"), "environment.servers.[0].local_port",
		  "must be 1024 to 65535" },
		{ HEAD("production", "33", PASSWORD) "{ name = \"a\"; }" TAIL,
		  "environment.servers.[0].address", "is missing" },
		{ HEAD("production", "33", PASSWORD) A("") ", { name = \"b\"; address = "
		                                           "\"VPN.customer.example\"; }" TAIL,
		  "environment.servers.[1]", "account \"me\" is already used on server" },
		{ HEAD("production", "33",
		       "server_ca = \"/s/ca\"; certificate_file = \"/s/c\"; key_file = \"/s/k\";")
		          A("") ", { name = \"b\"; address = \"vpn.customer.example\"; }" TAIL,
		  "environment.servers.[1]", "certificate \"/s/c\" is already used on server" },
		{ HEAD("production", "33", PASSWORD) A(
			  "local_port = 2000;") ", { name = \"b\"; address = \"198.51.100.7\"; local_port = 2000; }" TAIL,
		  "environment.servers.[1].local_port", "2000 is taken by server \"a\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cp_mistakes mistakes;
		struct cp_config *config;

		assert_int_equal(cp_config_parse(GATEWAY, &bad[i].text, 1, &config, &mistakes),
		                 -EINVAL);
		if (mistakes.count != 1 || strcmp(mistakes.list[0].key, bad[i].key) != 0 ||
		    !strstr(mistakes.list[0].text, bad[i].mistake)) {
			cp_mistakes_print(&mistakes, stderr);
			fail_msg("expected %s: %s", bad[i].key, bad[i].mistake);
		}
		cp_mistakes_fini(&mistakes);
	}
}

/* One server host may run several OpenVPN servers, which do not know each other's clients. */
static void test_two_transports(void **state)
{
	struct cp_config *config = parse_one(HEAD("production", "33", PASSWORD)
	                                             A("") ", { name = \"tcp\"; address = "
	                                                   "\"vpn.customer.example\"; transport = "
	                                                   "\"tcp\"; }" TAIL);

	(void)state;
	assert_int_not_equal(config->environments[0].servers[0].openvpn->own_port,
	                     config->environments[0].servers[1].openvpn->own_port);
	assert_false(cp_server_is_rival(&config->environments[0].servers[0],
	                                &config->environments[0].servers[1]));
	cp_config_release(config);
}

/* Two names that may be one server: who would be thrown out there. */
static void test_rivals(void **state)
{
	static const struct {
		const char *other;
		bool is_rival;
	} cases[] = {
		{ "account = \"me\"; password_file = \"/s/q\";", true },
		{ "account = \"you\"; password_file = \"/s/q\";", false },
		{ "account = \"me\"; password_file = \"/s/q\"; port = 1195;", false },
		{ "account = \"me\"; password_file = \"/s/q\"; transport = \"tcp\";", false },
		{ "certificate_file = \"/s/c\"; key_file = \"/s/k\";", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cp_config *config;
		char text[2048];

		snprintf(
			text, sizeof(text),
			HEAD("production", "33", "server_ca = \"/s/ca\";") A(
				"account = \"me\"; password_file = \"/s/p\";") ", { name = \"b\"; address = \"other.example\"; %s }" TAIL,
			cases[i].other);
		config = parse_one(text);
		assert_int_equal(cp_server_is_rival(&config->environments[0].servers[0],
		                                    &config->environments[0].servers[1]),
		                 cases[i].is_rival);
		cp_config_release(config);
	}
}

/* A tunnel's port does not depend on what else there is, but no two have the same. */
static void test_ports(void **state)
{
	static const char *const ipsec =
		"environment: { name = \"old\"; pod_address = \"10.0.0.40\"; sources = [\"10.0.1.0/24\"]; auth = \"psk\";"
		"account = \"me\"; secret_file = \"/s\"; servers = ( { name = \"a\"; address = \"vpn.customer.example\"; local_port = 25000; } ); };";
	const char *const alone = ONE(PASSWORD, "");
	const char *both[] = { ipsec, alone };
	struct cp_config *one = parse_one(alone), *two = parse(both, 2), *moved;
	const uint16_t port = one->environments[0].servers[0].openvpn->own_port;
	char text[2048];

	(void)state;
	assert_int_equal(two->environments[1].servers[0].openvpn->own_port, port);
	assert_int_equal(two->environments[0].servers[0].ike_port, 25000);
	assert_int_equal(two->environments[0].servers[0].natt_port, 25001);
	cp_config_release(two);

	/* somebody else asks for it */
	snprintf(text, sizeof(text), HEAD("staging", "34", PASSWORD) A("local_port = %u;") TAIL,
	         port);
	both[0] = text;
	/* another account, so that it is another login */
	memcpy(strstr(text, "\"me\""), "\"us\"", 4);
	two = parse(both, 2);
	assert_int_equal(two->environments[0].servers[0].openvpn->own_port, port);
	assert_int_not_equal(two->environments[1].servers[0].openvpn->own_port, port);
	assert_in_range(two->environments[1].servers[0].openvpn->own_port, 20000, 29999);

	/* what runs keeps the port that it was given then */
	moved = parse_one(alone);
	both[1] = alone;
	moved->environments[0].servers[0].openvpn->own_port = 0;
	cp_config_keep_ports(moved, two);
	assert_int_equal(moved->environments[0].servers[0].openvpn->own_port,
	                 two->environments[1].servers[0].openvpn->own_port);
	cp_config_release(moved);
	cp_config_release(two);
	cp_config_release(one);
}

static void assert_change(const char *from_text, const char *to_text, const char *key,
                          const char *before, const char *after, enum cp_effect effect)
{
	struct cp_config *from = parse_one(from_text), *to = parse_one(to_text);
	struct cp_changes changes;
	bool is_found = false;

	assert_int_equal(cp_config_diff(from, to, &changes), 0);
	for (size_t i = 0; i < changes.count; i++) {
		const struct cp_change *change = &changes.list[i];

		if (change->what != CP_KEY || strcmp(change->key, key) != 0)
			continue;
		is_found = true;
		assert_string_equal(change->from, before);
		assert_string_equal(change->to, after);
		assert_int_equal(change->effect, effect);
	}
	if (!is_found)
		fail_msg("no change of %s", key);
	assert_int_equal(cp_server_needs_renewal(&from->environments[0].servers[0],
	                                         &to->environments[0].servers[0]),
	                 effect == CP_RENEGOTIATES);
	cp_changes_fini(&changes);
	cp_config_release(from);
	cp_config_release(to);
}

static void test_diff(void **state)
{
	const char *plain = ONE(PASSWORD, "");
	struct cp_config *config = parse_one(plain), *copy = cp_config_copy(config);
	struct cp_changes changes;

	(void)state;
	assert_int_equal(cp_config_diff(config, copy, &changes), 0);
	assert_int_equal(changes.count, 0);
	assert_false(cp_server_needs_renewal(&config->environments[0].servers[0],
	                                     &copy->environments[0].servers[0]));
	assert_ptr_not_equal(config->environments[0].servers[0].openvpn,
	                     copy->environments[0].servers[0].openvpn);
	cp_config_release(copy);
	cp_config_release(config);

	assert_change(plain, ONE(PASSWORD "port = 443; transport = \"tcp\";", ""), "remote",
	              "vpn.customer.example:1194/udp", "vpn.customer.example:443/tcp",
	              CP_RENEGOTIATES);
	assert_change(plain, ONE(PASSWORD "data_ciphers = [\"AES-256-CBC\", \"AES-256-GCM\"];", ""),
	              "data_ciphers", "AES-256-GCM, AES-128-GCM, CHACHA20-POLY1305",
	              "AES-256-CBC, AES-256-GCM", CP_RENEGOTIATES);
	assert_change(plain, ONE(PASSWORD "compress = \"lz4-v2\";", ""), "compress", "none",
	              "stub-v2", CP_RENEGOTIATES);
	assert_change(plain, ONE(PASSWORD "tls_crypt_file = \"/s/tc\";", ""), "wrapping", "none",
	              "tls-crypt", CP_RENEGOTIATES);
	assert_change(
		plain,
		ONE("server_ca = \"/s/ca2\"; account = \"me\"; password_file = \"/s/p\";", ""),
		"server_ca", "/s/ca", "/s/ca2", CP_RENEGOTIATES);
	assert_change(plain,
	              ONE("server_ca = \"/s/ca\"; account = \"me\"; password_file = \"/s/q\";", ""),
	              "password_file", "/s/p", "/s/q", CP_RENEGOTIATES);
	assert_change(plain, ONE(PASSWORD "data_ciphers_fallback = \"AES-128-CBC\";", ""),
	              "data_ciphers_fallback", "none", "AES-128-CBC", CP_RENEGOTIATES);
	assert_change(plain, ONE(PASSWORD "retry: { max = 30; };", ""), "retry.max", "60", "30",
	              CP_AT_ONCE);
}

/* ---- with files ---- */

static void write_text(const char *path, const char *text, mode_t mode)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

#define CERTIFICATE(name) "-----BEGIN CERTIFICATE-----\n" name "\n-----END CERTIFICATE-----\n"
#define INLINE_LOGIN "<auth-user-pass>\nanna\nsesame\n</auth-user-pass>\n"
#define PROFILE "client\nremote vpn.acme.example 1195\n<ca>\nx\n</ca>\n"

/* CONFIG_DIR with one environment of these KEYS and SERVERS, in which %s is where we are. */
static void write_environment(const char *name, const char *last, const char *keys,
                              const char *servers)
{
	char here[CP_PATH_LEN], path[CP_PATH_LEN], text[4096];
	char *at = text, *end = text + sizeof(text);

	assert_non_null(getcwd(here, sizeof(here)));
	at += snprintf(at, (size_t)(end - at),
	               "environment: { name = \"%s\"; pod_address = \"10.0.0.%s\"; sources = "
	               "[\"10.0.1.0/24\"]; vpn = \"openvpn\";\n",
	               name, last);
	at += snprintf(at, (size_t)(end - at), keys, here, here);
	at += snprintf(at, (size_t)(end - at), "\nservers = (");
	at += snprintf(at, (size_t)(end - at), servers, here, here);
	snprintf(at, (size_t)(end - at), ");\n};\n");
	snprintf(path, sizeof(path), "conf/environments.d/%s.conf", name);
	write_text(path, text, 0644);
}

static int setup_directory(void **state)
{
	(void)state;
	mkdir("conf", 0700);
	mkdir("conf/environments.d", 0700);
	write_text("conf/gateway.conf", GATEWAY, 0644);
	return 0;
}

static int remove_directory(void **state)
{
	static const char *const files[] = { "conf/environments.d/one.conf",
		                             "conf/environments.d/two.conf",
		                             "conf/gateway.conf",
		                             "acme.ovpn",
		                             "other.ovpn",
		                             "password",
		                             "ca.pem" };

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(files[i]);
	rmdir("conf/environments.d");
	rmdir("conf");
	return 0;
}

static struct cp_config *load(void)
{
	struct cp_mistakes mistakes;
	struct cp_config *config;

	if (cp_config_load("conf", &config, &mistakes) != 0)
		cp_mistakes_print(&mistakes, stderr);
	assert_non_null(config);
	cp_mistakes_fini(&mistakes);
	return config;
}

/* One mistake: in FILE and LINE, with TEXT. */
static void assert_mistake(const char *file, unsigned line, const char *text)
{
	struct cp_mistakes mistakes;
	struct cp_config *config;

	assert_int_equal(cp_config_load("conf", &config, &mistakes), -EINVAL);
	if (mistakes.count != 1 || mistakes.list[0].line != line ||
	    !strstr(mistakes.list[0].file, file) || !strstr(mistakes.list[0].text, text)) {
		cp_mistakes_print(&mistakes, stderr);
		fail_msg("expected %s:%u: %s", file, line, text);
	}
	cp_mistakes_fini(&mistakes);
}

static void test_profile(void **state)
{
	const struct cp_server *server;
	struct cp_config *config;

	(void)state;
	write_text("acme.ovpn", PROFILE INLINE_LOGIN "remote-cert-tls server\n", 0400);
	write_environment("one", "33", "profile = \"%s/acme.ovpn\";", "{ name = \"a\"; }");
	config = load();
	server = &config->environments[0].servers[0];
	assert_string_equal(server->address, "vpn.acme.example");
	assert_int_equal(server->openvpn->remotes[0].port, 1195);
	assert_string_equal(server->account, "anna");
	assert_true(server->openvpn->login.is_inline);
	assert_true(server->openvpn->remote_cert_tls);
	cp_config_release(config);

	/* a secret that others can read, and one that nobody needs to hide */
	assert_int_equal(chmod("acme.ovpn", 0644), 0);
	assert_mistake("/acme.ovpn", 6, "the profile holds a secret");
	write_text("acme.ovpn", PROFILE "auth-user-pass\n", 0644);
	assert_mistake("one.conf", 3, "the profile asks for them (auth-user-pass)");
	write_text("acme.ovpn", PROFILE "auth-user-pass\nplugin x\n", 0644);
	write_text("password", "swordfish", 0400);
	write_environment(
		"one", "33",
		"profile = \"%s/acme.ovpn\"; account = \"me\"; password_file = \"%s/password\";",
		"{ name = \"a\"; }");
	assert_mistake("/acme.ovpn", 7, "plugin: is not done");
	write_text("acme.ovpn", PROFILE "auth-user-pass\n", 0644);
	config = load();
	server = &config->environments[0].servers[0];
	assert_string_equal(server->account, "me");
	assert_false(server->openvpn->remote_cert_tls);
	cp_config_release(config);

	write_text("acme.ovpn", PROFILE "auth-user-pass\nremote 203.0.113.10\n", 0644);
	assert_mistake("one.conf", 3, "the gateway's own address");

	unlink("acme.ovpn");
	assert_mistake("one.conf", 2, "/acme.ovpn: No such file or directory");
	write_text("acme.ovpn", "client\nauth-user-pass\n<ca>\nx\n</ca>\n", 0644);
	assert_mistake("one.conf", 3, "is missing: the profile has no remote");
	write_text("acme.ovpn", "client\nauth-user-pass\nremote a\n", 0644);
	assert_mistake("one.conf", 3, "is missing");
}

/* Keys replace what the profile says, and each server may have its own one. */
static void test_profile_and_keys(void **state)
{
	const struct cp_server *a, *b;
	struct cp_config *config;

	(void)state;
	write_text(
		"acme.ovpn",
		PROFILE INLINE_LOGIN
		"remote second.example 9 tcp\nreneg-sec 900\ncipher AES-256-CBC\nconnect-retry 3 8\n",
		0400);
	write_text("other.ovpn",
	           "client\nremote other.example\nproto tcp\nca ca.pem\nauth-user-pass password\n",
	           0600);
	write_text("ca.pem", "x", 0644);
	write_text("password", "otto\nsecret\n", 0400);
	write_environment(
		"one", "33", "profile = \"%s/acme.ovpn\"; dpd = 9; data_ciphers = \"AES-128-GCM\";",
		"{ name = \"a\"; address = \"198.51.100.4\"; child_rekey = 60; remote_cert_tls = true; },\n"
		"{ name = \"b\"; profile = \"%s/other.ovpn\"; port = 443; }");
	config = load();
	a = &config->environments[0].servers[0];
	b = a + 1;
	assert_int_equal(a->openvpn->remote_count, 1);
	assert_string_equal(a->openvpn->remotes[0].address, "198.51.100.4");
	assert_int_equal(a->openvpn->remotes[0].port, 1195);
	assert_int_equal(a->openvpn->reneg_s, 60);
	assert_int_equal(a->openvpn->cipher_count, 1);
	assert_int_equal(a->openvpn->ciphers[0], CP_OVPN_AES_128_GCM);
	assert_int_equal(a->openvpn->fallback, CP_OVPN_AES_256_CBC);
	assert_true(a->openvpn->remote_cert_tls);
	assert_int_equal(a->openvpn->dead_s, 9);
	assert_int_equal(a->retry_min_s, 3);
	assert_string_equal(b->address, "other.example");
	assert_int_equal(b->openvpn->remotes[0].port, 443);
	assert_int_equal(b->openvpn->remotes[0].transport, IPPROTO_TCP);
	assert_string_equal(b->account, "otto");
	assert_int_equal(b->openvpn->reneg_s, 3600);
	assert_int_equal(b->openvpn->dead_s, 9);
	assert_int_equal(b->openvpn->ciphers[0], CP_OVPN_AES_128_GCM);
	cp_config_release(config);

	/* what it lacks may come from keys */
	write_text("acme.ovpn", PROFILE "cert ca.pem\n", 0400);
	write_environment("one", "33", "profile = \"%s/acme.ovpn\"; key_file = \"%s/password\";",
	                  "{ name = \"a\"; }");
	config = load();
	a = &config->environments[0].servers[0];
	assert_non_null(strstr(a->openvpn->certificate.file, "/ca.pem"));
	assert_non_null(strstr(a->openvpn->key.file, "/password"));
	cp_config_release(config);
	write_environment("one", "33", "profile = \"%s/acme.ovpn\";", "{ name = \"a\"; }");
	assert_mistake("one.conf", 3, "a certificate needs its key");

	/* what is wrong with a shared profile is told once */
	write_text("acme.ovpn", PROFILE "plugin x\n", 0400);
	write_environment("one", "33", "profile = \"%s/acme.ovpn\";",
	                  "{ name = \"a\"; account = \"x\"; password_file = \"%s/password\"; },\n"
	                  "{ name = \"b\"; account = \"y\"; password_file = \"%s/password\"; }");
	assert_mistake("/acme.ovpn", 6, "plugin");
}

/* The same certificate is one login, in whatever file it is. */
static void test_same_certificate(void **state)
{
#define WITH(name)                                                                           \
	PROFILE "<cert>\n" CERTIFICATE(name) "</cert>\n<key>\n-----BEGIN PRIVATE KEY-----\n" \
					     "</key>\n"
	(void)state;
	write_text("acme.ovpn", WITH("MIIB"), 0400);
	write_text("other.ovpn", "# another file\n" WITH(" MIIB "), 0400);
	write_environment("one", "33", "profile = \"%s/acme.ovpn\";", "{ name = \"a\"; }");
	write_environment("two", "34", "profile = \"%s/other.ovpn\";", "{ name = \"a\"; }");
	assert_mistake("two.conf", 3, "is already used on server vpn.acme.example");
	write_text("other.ovpn", WITH("MIIC"), 0400);
	cp_config_release(load());
}

/* What a login would find in the files is found by the check. */
static void test_material(void **state)
{
	(void)state;
	write_text("acme.ovpn", PROFILE INLINE_LOGIN "<tls-crypt>\nx\n</tls-crypt>\n", 0400);
	write_environment("one", "33", "profile = \"%s/acme.ovpn\";", "{ name = \"a\"; }");
	assert_mistake("one.conf", 2, "is not a static key of 2048 bits");
	write_text("acme.ovpn", PROFILE "<auth-user-pass>\nanna\n</auth-user-pass>\n", 0400);
	assert_mistake("one.conf", 2, "its second line must be the password");
	write_text("acme.ovpn", PROFILE INLINE_LOGIN "tls-auth ta.key 1\n", 0400);
	assert_mistake("one.conf", 2, "/ta.key: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_certificate_alone),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_two_transports),
		cmocka_unit_test(test_rivals),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_diff),
		cmocka_unit_test_setup_teardown(test_profile, setup_directory, remove_directory),
		cmocka_unit_test_setup_teardown(test_profile_and_keys, setup_directory,
		                                remove_directory),
		cmocka_unit_test_setup_teardown(test_same_certificate, setup_directory,
		                                remove_directory),
		cmocka_unit_test_setup_teardown(test_material, setup_directory, remove_directory),
	};

	return cmocka_run_group_tests(tests, unit_enter_directory, unit_leave_directory);
}
