/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What servers push and say: real replies, split ones, and those that must end the session.
 */
#include "controlplane/ovpn_push.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "tests/unit/common/unit.h"

#define ADDRESS(a, b, c, d) htonl((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct cp_ovpn_settings settings;

static int setup(void **state)
{
	(void)state;
	cp_ovpn_settings_init(&settings);
	return 0;
}

static int append(struct cp_ovpn_push *push, const char *text, char why[CP_WHY_LEN])
{
	/* an exact copy without its NUL, so that a step over its end is seen */
	const size_t length = strlen(text);
	char *copy = malloc(length ? length : 1);
	int rc;

	assert_non_null(copy);
	memcpy(copy, text, length);
	rc = cp_ovpn_push_append(push, copy, length, why);
	free(copy);
	return rc;
}

static void take(struct cp_ovpn_push *push, const char *text)
{
	char why[CP_WHY_LEN] = "";

	cp_ovpn_push_begin(push, &settings);
	if (append(push, text, why) != 1)
		fail_msg("%s: %s", text, why);
	assert_true(push->is_complete);
}

static void assert_refused(const char *text, int rc, const char *expected)
{
	char why[CP_WHY_LEN] = "";
	struct cp_ovpn_push push;

	cp_ovpn_push_begin(&push, &settings);
	assert_int_equal(append(&push, text, why), rc);
	if (!strstr(why, expected))
		fail_msg("%s: \"%s\" is not in \"%s\"", text, expected, why);
	cp_ovpn_push_fini(&push);
}

/* As a stock server of 2.6 answers. */
static void test_stock(void **state)
{
	struct cp_ovpn_push push;

	(void)state;
	take(&push,
	     "PUSH_REPLY,route 192.168.100.0 255.255.255.0,dhcp-option DNS 192.168.100.53,dhcp-option DOMAIN corp.example,"
	     "route-gateway 10.8.0.1,topology subnet,ping 10,ping-restart 120,ifconfig 10.8.0.2 255.255.255.0,peer-id 3,"
	     "cipher AES-256-GCM,protocol-flags cc-exit tls-ekm dyn-tls-crypt,tun-mtu 1500,compress lz4-v2,explicit-exit-notify 2");
	assert_int_equal(push.local_be, ADDRESS(10, 8, 0, 2));
	assert_int_equal(push.prefix_length, 24);
	assert_int_equal(push.peer_be, 0);
	assert_int_equal(push.topology, CP_OVPN_SUBNET);
	assert_int_equal(push.route_count, 1);
	assert_int_equal(push.routes[0].address_be, ADDRESS(192, 168, 100, 0));
	assert_int_equal(push.routes[0].length, 24);
	assert_false(push.has_default_route);
	assert_int_equal(push.dns_count, 1);
	assert_int_equal(push.dns_be[0], ADDRESS(192, 168, 100, 53));
	assert_string_equal(push.domain, "corp.example");
	assert_int_equal(push.peer_id, 3);
	assert_int_equal(push.cipher, CP_OVPN_AES_256_GCM);
	assert_true(push.has_cc_exit && push.has_tls_ekm && push.has_dyn_tls_crypt);
	assert_false(push.has_aead_epoch);
	assert_int_equal(push.framing, CP_OVPN_FRAMING_STUB_V2);
	assert_true(push.has_lz4);
	assert_false(push.has_lzo);
	assert_int_equal(push.ping_s, 10);
	assert_int_equal(push.ping_restart_s, 120);
	assert_int_equal(push.exit_notify, 2);
	assert_int_equal(push.tun_mtu, 1500);
	assert_null(push.token);
	assert_string_equal(push.ignored, "");
	cp_ovpn_push_fini(&push);
}

/* A server of long ago: no peer id, no cipher, two ends of a link. */
static void test_old(void **state)
{
	struct cp_ovpn_push push;

	(void)state;
	take(&push,
	     "PUSH_REPLY,redirect-gateway def1 bypass-dhcp,comp-lzo adaptive,ifconfig 10.8.0.6 10.8.0.5,frobnicate 3\r\n");
	assert_int_equal(push.topology, CP_OVPN_NET30);
	assert_int_equal(push.local_be, ADDRESS(10, 8, 0, 6));
	assert_int_equal(push.peer_be, ADDRESS(10, 8, 0, 5));
	assert_int_equal(push.prefix_length, 32);
	assert_true(push.has_default_route);
	assert_int_equal(push.peer_id, CP_OVPN_NO_PEER);
	assert_int_equal(push.cipher, 0);
	assert_int_equal(push.framing, CP_OVPN_FRAMING_LZO);
	assert_true(push.has_lzo);
	assert_int_equal(push.ping_s, 0);
	assert_int_equal(push.ping_restart_s, 0);
	assert_string_equal(push.ignored, "frobnicate");
	cp_ovpn_push_fini(&push);

	take(&push, "PUSH_REPLY");
	assert_int_equal(push.local_be, 0);
	cp_ovpn_push_fini(&push);
	take(&push, "PUSH_REPLY,");
	cp_ovpn_push_fini(&push);
}

static void test_parts(void **state)
{
	struct cp_ovpn_push push;
	char why[CP_WHY_LEN];

	(void)state;
	cp_ovpn_push_begin(&push, &settings);
	assert_int_equal(
		append(&push, "PUSH_REPLY,route 10.1.0.0 255.255.0.0,push-continuation 2", why), 0);
	assert_int_equal(
		append(&push, "PUSH_REPLY,route 10.2.0.0 255.255.0.0, push-continuation 2", why),
		0);
	assert_false(push.is_complete);
	assert_int_equal(
		append(&push,
	               "PUSH_REPLY,ifconfig 10.8.0.2 255.255.255.0,topology subnet,push-continuation 1",
	               why),
		1);
	assert_int_equal(push.route_count, 2);
	assert_int_equal(push.prefix_length, 24);
	/* nothing may follow */
	assert_int_equal(append(&push, "PUSH_REPLY,route 10.3.0.0 255.255.0.0", why), -EINVAL);
	cp_ovpn_push_fini(&push);
}

static void test_compression(void **state)
{
	static const struct {
		const char *option;
		enum cp_ovpn_framing framing;
		bool has_lz4, has_lzo;
	} cases[] = {
		{ "compress", CP_OVPN_FRAMING_STUB, false, false },
		{ "compress stub", CP_OVPN_FRAMING_STUB, false, false },
		{ "compress stub-v2", CP_OVPN_FRAMING_STUB_V2, false, false },
		{ "compress lz4", CP_OVPN_FRAMING_STUB, true, false },
		{ "compress lz4-v2", CP_OVPN_FRAMING_STUB_V2, true, false },
		{ "compress lzo", CP_OVPN_FRAMING_LZO, false, true },
		{ "comp-lzo no", CP_OVPN_FRAMING_LZO, false, false },
		{ "comp-lzo", CP_OVPN_FRAMING_LZO, false, true },
		{ "comp-lzo yes", CP_OVPN_FRAMING_LZO, false, true },
		{ "ping 5", CP_OVPN_FRAMING_NONE, false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct cp_ovpn_push push;
		char text[64];

		snprintf(text, sizeof(text), "PUSH_REPLY,%s", cases[i].option);
		take(&push, text);
		assert_int_equal(push.framing, cases[i].framing);
		assert_int_equal(push.has_lz4, cases[i].has_lz4);
		assert_int_equal(push.has_lzo, cases[i].has_lzo);
		cp_ovpn_push_fini(&push);
	}
	assert_refused("PUSH_REPLY,compress zstd", -ENOTSUP,
	               "compression zstd, which is not known");
	settings.framing = CP_OVPN_FRAMING_STUB;
	settings.has_lz4 = true;
	{
		struct cp_ovpn_push push;

		take(&push, "PUSH_REPLY,ping 5");
		assert_int_equal(push.framing, CP_OVPN_FRAMING_STUB);
		assert_true(push.has_lz4);
	}
}

static void test_cipher(void **state)
{
	struct cp_ovpn_push push;

	(void)state;
	assert_refused(
		"PUSH_REPLY,cipher AES-256-CBC", -ENOTSUP,
		"the cipher AES-256-CBC, we offered AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305");
	assert_refused("PUSH_REPLY,cipher BF-CBC", -ENOTSUP, "the cipher BF-CBC");
	assert_refused("PUSH_REPLY,cipher", -EINVAL, "malformed \"cipher\"");
	settings.fallback = CP_OVPN_AES_256_CBC;
	take(&push, "PUSH_REPLY,cipher aes-256-cbc");
	assert_int_equal(push.cipher, CP_OVPN_AES_256_CBC);
}

static void test_bad(void **state)
{
	static char longer[CP_OVPN_PUSH_MAX + 2] = "PUSH_REPLY,";
	static char option[300] = "PUSH_REPLY,";

	(void)state;
	assert_refused("", -EINVAL, "malformed");
	assert_refused("PUSH_REPL", -EINVAL, "malformed");
	assert_refused("PUSH_REPLYX", -EINVAL, "malformed");
	assert_refused("PUSH_REPLY,ping\t10", -EINVAL, "malformed");
	assert_refused("PUSH_REPLY,ifconfig 10.8.0.2", -EINVAL, "malformed \"ifconfig\"");
	assert_refused("PUSH_REPLY,ifconfig 10.8.0.2 x", -EINVAL, "malformed \"ifconfig\"");
	assert_refused("PUSH_REPLY,ifconfig 224.0.0.1 255.255.255.0", -EINVAL, "ifconfig");
	assert_refused("PUSH_REPLY,topology subnet,ifconfig 10.8.0.2 255.0.255.0", -EINVAL,
	               "255.0.255.0 as a netmask");
	assert_refused("PUSH_REPLY,topology ring", -EINVAL, "topology");
	assert_refused("PUSH_REPLY,peer-id 16777216", -EINVAL, "peer-id");
	assert_refused("PUSH_REPLY,peer-id -1", -EINVAL, "peer-id");
	assert_refused("PUSH_REPLY,peer-id 99999999999999999999", -EINVAL, "peer-id");
	assert_refused("PUSH_REPLY,ping 700000", -EINVAL, "ping");
	assert_refused("PUSH_REPLY,protocol-flags tls-ekm warp", -ENOTSUP,
	               "protocol flag warp, which is not known");
	assert_refused("PUSH_REPLY,key-derivation hkdf", -ENOTSUP, "key derivation hkdf");
	assert_refused("PUSH_REPLY,protocol-flags aead-epoch", -EINVAL, "no peer-id");
	assert_refused("PUSH_REPLY,client-nat snat 10.0.0.0 255.0.0.0 11.0.0.0", -ENOTSUP,
	               "client-nat");
	assert_refused("PUSH_REPLY,echo \"open", -EINVAL, "quote that does not end");
	assert_refused("PUSH_REPLY,tun-mtu 68", -EINVAL, "tun-mtu");
	assert_refused("PUSH_REPLY,auth-token", -EINVAL, "auth-token");
	assert_refused("PUSH_REPLY,auth-token-user !", -EINVAL, "auth-token-user");
	memset(option + 11, 'a', 257);
	assert_refused(option, -EINVAL, "more than 256 bytes");
	memset(longer + 11, ',', sizeof(longer) - 12);
	assert_refused(longer, -EINVAL, "too long");
}

static void test_too_many_routes(void **state)
{
	struct cp_ovpn_push push;
	char why[CP_WHY_LEN], text[64];
	int rc = 0;

	(void)state;
	cp_ovpn_push_begin(&push, &settings);
	for (unsigned i = 0; i < CP_OVPN_ROUTES_MAX; i++) {
		snprintf(text, sizeof(text), "PUSH_REPLY,route 10.%u.%u.1,push-continuation 2",
		         i >> 8, i & 255);
		assert_int_equal(append(&push, text, why), 0);
	}
	rc = append(&push, "PUSH_REPLY,route 10.9.9.9", why);
	assert_int_equal(rc, -EINVAL);
	assert_non_null(strstr(why, "more than 512 routes"));
}

static void test_token(void **state)
{
	struct cp_ovpn_push push;

	(void)state;
	take(&push, "PUSH_REPLY,auth-token SESS_ID_AT_abc,auth-token-user YW5uYQ==");
	assert_non_null(push.token);
	assert_int_equal(push.token->length, 14);
	assert_memory_equal(push.token->data, "SESS_ID_AT_abc", 14);
	assert_string_equal(push.token_account, "anna");
	cp_ovpn_push_fini(&push);
	assert_null(push.token);
}

static void test_filters(void **state)
{
	struct cp_ovpn_push push;

	(void)state;
	settings.filters[0] = (struct cp_ovpn_filter){ CP_OVPN_PULL_ACCEPT, "route 192.168." };
	settings.filters[1] = (struct cp_ovpn_filter){ CP_OVPN_PULL_IGNORE, "route" };
	settings.filters[2] = (struct cp_ovpn_filter){ CP_OVPN_PULL_REJECT, "dhcp-option WINS" };
	settings.filter_count = 3;
	take(&push,
	     "PUSH_REPLY,route 10.0.0.0 255.0.0.0, route 192.168.100.0 255.255.255.0,dhcp-option DNS 10.0.0.1");
	assert_int_equal(push.route_count, 1);
	assert_int_equal(push.routes[0].address_be, ADDRESS(192, 168, 100, 0));
	assert_int_equal(push.dns_count, 1);
	assert_refused("PUSH_REPLY,dhcp-option WINS 10.0.0.1", -ENOTSUP, "pull-filter rejects");
}

static void test_dead(void **state)
{
	struct cp_ovpn_push push;

	(void)state;
	settings.ping_restart_s = 60;
	take(&push, "PUSH_REPLY,ping 10");
	assert_int_equal(push.ping_restart_s, 60);
	take(&push, "PUSH_REPLY,ping-exit 30");
	assert_int_equal(push.ping_restart_s, 30);
	assert_true(push.is_exit_wanted);
	settings.dead_s = 15;
	take(&push, "PUSH_REPLY,ping-restart 120");
	assert_int_equal(push.ping_restart_s, 15);
}

/* ---- ranges ---- */

static void assert_ranges(const char *text, const char *expected)
{
	struct cp_range ranges[4];
	struct cp_ovpn_push push;
	char out[256] = "";
	size_t count;

	take(&push, text);
	count = cp_ovpn_push_ranges(&push, ranges, COUNT(ranges));
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(ranges[i].first_port, 0);
		assert_int_equal(ranges[i].last_port, 65535);
		assert_int_equal(ranges[i].protocol, 0);
		sprintf(out + strlen(out), "%s%08x-%08x", i ? " " : "", ranges[i].first,
		        ranges[i].last);
	}
	assert_string_equal(out, expected);
	cp_ovpn_push_fini(&push);
}

#define SUBNET ",topology subnet,ifconfig 10.8.0.2 255.255.255.0"

static void test_ranges(void **state)
{
	(void)state;
	assert_ranges("PUSH_REPLY" SUBNET, "0a080000-0a0800ff");
	assert_ranges("PUSH_REPLY,ifconfig 10.8.0.6 10.8.0.5", "0a080005-0a080006");
	assert_ranges("PUSH_REPLY,redirect-gateway def1" SUBNET, "00000000-ffffffff");
	assert_ranges("PUSH_REPLY,redirect-gateway !ipv4 ipv6" SUBNET, "0a080000-0a0800ff");
	assert_ranges("PUSH_REPLY,redirect-private def1" SUBNET, "0a080000-0a0800ff");
	assert_ranges(
		"PUSH_REPLY,route 192.168.1.0 255.255.255.0,route 192.168.0.0 255.255.255.0" SUBNET,
		"0a080000-0a0800ff c0a80000-c0a801ff");
	/* the router of a route may be anything in the tunnel, but not the gateway outside */
	assert_ranges(
		"PUSH_REPLY,route 10.1.0.0 255.255.0.0 10.8.0.1 5,route 10.2.0.0 255.255.0.0 net_gateway,"
		"route 10.3.0.9 default vpn_gateway,route vpn_gateway 255.255.255.255,route 10.4.0.0 255.0.255.0" SUBNET,
		"0a010000-0a01ffff 0a030009-0a030009 0a080000-0a0800ff");
	assert_ranges("PUSH_REPLY,route 0.0.0.0 128.0.0.0,route 128.0.0.0 128.0.0.0",
	              "00000000-ffffffff");
	/* host bits do not count */
	assert_ranges("PUSH_REPLY,route 192.168.100.7 255.255.255.0", "c0a86400-c0a864ff");
	/* too many for the list: none is left out */
	assert_ranges(
		"PUSH_REPLY,route 10.0.0.1,route 10.0.0.3,route 10.0.0.5,route 10.0.0.7,route 10.0.0.9",
		"0a000001-0a000001 0a000003-0a000003 0a000005-0a000005 0a000007-0a000009");

	settings.routes[0] =
		(struct ipc_prefix){ .address_be = ADDRESS(172, 16, 0, 0), .length = 12 };
	settings.route_count = 1;
	assert_ranges("PUSH_REPLY" SUBNET, "0a080000-0a0800ff ac100000-ac1fffff");
	/* the profile decides alone */
	settings.route_nopull = true;
	assert_ranges("PUSH_REPLY,route 192.168.1.0 255.255.255.0,redirect-gateway" SUBNET,
	              "0a080000-0a0800ff ac100000-ac1fffff");
	settings.route_count = 0;
	assert_ranges("PUSH_REPLY,route 192.168.1.0 255.255.255.0" SUBNET, "00000000-ffffffff");
	settings.route_nopull = false;
	settings.has_default_route = true;
	assert_ranges("PUSH_REPLY" SUBNET, "00000000-ffffffff");
}

/* ---- messages ---- */

static void test_messages(void **state)
{
	static const struct {
		const char *text;
		struct cp_ovpn_message message;
	} cases[] = {
		{ "PUSH_REPLY,ping 10", { .type = CP_OVPN_PUSH_REPLY } },
		{ "AUTH_FAILED", { .type = CP_OVPN_AUTH_FAILED } },
		{ "AUTH_FAILED,Data channel cipher negotiation failed (no shared cipher)\r\n",
		  { .type = CP_OVPN_AUTH_FAILED,
		    .text = "Data channel cipher negotiation failed (no shared cipher)" } },
		{ "AUTH_FAILED,TEMP", { .type = CP_OVPN_AUTH_FAILED_TEMP } },
		{ "AUTH_FAILED,TEMP:later", { .type = CP_OVPN_AUTH_FAILED_TEMP, .text = "later" } },
		{ "AUTH_FAILED,TEMP[backoff 42,advance addr]: no more seats",
		  { .type = CP_OVPN_AUTH_FAILED_TEMP,
		    .text = "no more seats",
		    .backoff_s = 42,
		    .advance = CP_OVPN_ADVANCE_ADDRESS } },
		{ "AUTH_FAILED,TEMP[advance remote, backoff 5,colour red]:x",
		  { .type = CP_OVPN_AUTH_FAILED_TEMP,
		    .text = "x",
		    .backoff_s = 5,
		    .advance = CP_OVPN_ADVANCE_REMOTE } },
		{ "AUTH_FAILED,TEMP[backoff 1",
		  { .type = CP_OVPN_AUTH_FAILED_TEMP, .backoff_s = 1 } },
		{ "AUTH_FAILED,TEMP[backoff 99999999999]", { .type = CP_OVPN_AUTH_FAILED_TEMP } },
		{ "AUTH_FAILED,SESSION: token expired",
		  { .type = CP_OVPN_AUTH_FAILED_SESSION, .text = "token expired" } },
		{ "AUTH_FAILED,CRV1:R,E:Om01u7Fh4LrGBS7uh0SWmzwabUiGiW6l:Y3Ix:Please enter token PIN",
		  { .type = CP_OVPN_AUTH_CHALLENGE, .text = "Please enter token PIN" } },
		{ "AUTH_PENDING", { .type = CP_OVPN_AUTH_PENDING } },
		{ "AUTH_PENDING,timeout 180", { .type = CP_OVPN_AUTH_PENDING, .timeout_s = 180 } },
		{ "INFO,hello, world", { .type = CP_OVPN_INFO, .text = "hello, world" } },
		{ "INFO_PRE,WEB_AUTH::https://sso.example/",
		  { .type = CP_OVPN_INFO_PRE, .text = "WEB_AUTH::https://sso.example/" } },
		{ "RESTART", { .type = CP_OVPN_RESTART } },
		{ "RESTART,[N]server is going down",
		  { .type = CP_OVPN_RESTART,
		    .text = "server is going down",
		    .advance = CP_OVPN_ADVANCE_REMOTE } },
		{ "RESTART,[P]", { .type = CP_OVPN_RESTART, .keeps_login = true } },
		{ "RESTART,plain", { .type = CP_OVPN_RESTART, .text = "plain" } },
		{ "HALT,banned", { .type = CP_OVPN_HALT, .text = "banned" } },
		{ "PUSH_UPDATE,route 10.0.0.0",
		  { .type = CP_OVPN_PUSH_UPDATE, .text = "route 10.0.0.0" } },
		{ "EXIT", { .type = CP_OVPN_EXIT } },
		{ "HALTED,x", { .type = CP_OVPN_UNKNOWN, .text = "HALTED,x" } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct cp_ovpn_message message, expected = cases[i].message;

		if (!expected.backoff_s)
			expected.backoff_s = CP_OVPN_UNSET;
		if (!expected.timeout_s)
			expected.timeout_s = CP_OVPN_UNSET;
		if (!expected.advance)
			expected.advance = CP_OVPN_ADVANCE_NO;
		assert_int_equal(
			cp_ovpn_message_parse(cases[i].text, strlen(cases[i].text), &message), 0);
		if (message.type != expected.type || strcmp(message.text, expected.text) != 0 ||
		    message.backoff_s != expected.backoff_s ||
		    message.timeout_s != expected.timeout_s ||
		    message.advance != expected.advance ||
		    message.keeps_login != expected.keeps_login)
			fail_msg("%s became %d \"%s\" %u %u %d %d", cases[i].text, message.type,
			         message.text, message.backoff_s, message.timeout_s,
			         message.advance, message.keeps_login);
	}
}

static void test_bad_messages(void **state)
{
	char text[CP_OVPN_MESSAGE_MAX + 1];
	struct cp_ovpn_message message;

	(void)state;
	assert_int_equal(cp_ovpn_message_parse("", 0, &message), -EINVAL);
	assert_int_equal(cp_ovpn_message_parse("\r\n", 2, &message), -EINVAL);
	assert_int_equal(cp_ovpn_message_parse("INFO,\x1b[2J", 9, &message), -EINVAL);
	memset(text, 'a', sizeof(text));
	assert_int_equal(cp_ovpn_message_parse(text, sizeof(text), &message), -EINVAL);
	assert_int_equal(cp_ovpn_message_parse(text, sizeof(text) - 1, &message), 0);
	assert_int_equal(strlen(message.text), CP_WHY_LEN - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_stock, setup),
		cmocka_unit_test_setup(test_old, setup),
		cmocka_unit_test_setup(test_parts, setup),
		cmocka_unit_test_setup(test_compression, setup),
		cmocka_unit_test_setup(test_cipher, setup),
		cmocka_unit_test_setup(test_bad, setup),
		cmocka_unit_test_setup(test_too_many_routes, setup),
		cmocka_unit_test_setup(test_token, setup),
		cmocka_unit_test_setup(test_filters, setup),
		cmocka_unit_test_setup(test_dead, setup),
		cmocka_unit_test_setup(test_ranges, setup),
		cmocka_unit_test_setup(test_messages, setup),
		cmocka_unit_test_setup(test_bad_messages, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
