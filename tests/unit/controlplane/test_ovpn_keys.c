/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Key method 2, and the keys that come of it, against recorded exchanges.
 */
#include "tests/unit/controlplane/hex.h"

#include <errno.h>

#include "controlplane/ovpn_about.h"
#include "controlplane/ovpn_bytes.h"
#include "controlplane/ovpn_keys.h"
#include "tests/unit/controlplane/ovpn_vectors.h"

#define RANDOMS_OFF 5

static void fill(struct sp_secret *secret, const char *value)
{
	secret->length = strlen(value);
	memcpy(secret->data, value, secret->length);
}

static void test_client_hello(void **state)
{
	static const char peer_info[] = "IV_VER=2.6.14\nIV_PLAT=linux\nIV_TCPNL=1\nIV_MTU=1600\n"
					"IV_NCP=2\nIV_CIPHERS=AES-256-GCM:AES-128-GCM:"
					"CHACHA20-POLY1305\nIV_PROTO=990\nIV_LZO_STUB=1\n"
					"IV_COMP_STUB=1\nIV_COMP_STUBv2=1\n";
	struct sp_secret *password = sp_secret_create();
	struct cp_ovpn_entropy entropy;
	struct cp_ovpn_client_hello hello = {
		.entropy = &entropy,
		.options = "V4,dev-type tun,link-mtu 1541,tun-mtu 1500,proto UDPv4,auth SHA1,"
			   "keysize 256,key-method 2,tls-client",
		.account = "alice",
		.password = password,
		.peer_info = peer_info,
	};
	uint8_t expected[512], bytes[CP_OVPN_KEY_METHOD_MAX];
	long length;

	(void)state;
	unhex(TV4_CLIENT, expected, sizeof(expected));
	memcpy(&entropy, expected + RANDOMS_OFF, sizeof(entropy));
	fill(password, "p@ss w\xc3\xb6rd");
	length = cp_ovpn_client_hello_write(&hello, bytes);
	assert_true(length > 0);
	assert_hex(bytes, (size_t)length, TV4_CLIENT);

	/* without a password: two empty strings */
	hello.account = NULL;
	assert_int_equal(cp_ovpn_client_hello_write(&hello, bytes), length - 6 - 11);
	sp_secret_destroy(password);
}

static void test_client_hello_too_long(void **state)
{
	struct sp_secret *password = sp_secret_create();
	struct cp_ovpn_entropy entropy = { 0 };
	struct cp_ovpn_client_hello hello = { &entropy, "", "a", password, "" };
	uint8_t bytes[CP_OVPN_KEY_METHOD_MAX];

	(void)state;
	memset(password->data, 'p', sizeof(password->data));
	password->length = 4095;
	assert_int_equal(cp_ovpn_client_hello_write(&hello, bytes), -EMSGSIZE);
	password->length = 1800;
	assert_true(cp_ovpn_client_hello_write(&hello, bytes) > 0);
	sp_secret_destroy(password);
}

static void test_server_hello(void **state)
{
	uint8_t bytes[512];
	size_t length = unhex(TV4_SERVER, bytes, sizeof(bytes));
	struct cp_ovpn_server_hello hello;

	(void)state;
	assert_int_equal(cp_ovpn_server_hello_parse(&hello, bytes, length), 0);
	assert_memory_equal(hello.entropy.random1, bytes + RANDOMS_OFF, 32);
	assert_memory_equal(hello.entropy.random2, bytes + RANDOMS_OFF + 32, 32);
	assert_string_equal(hello.options,
	                    "V4,dev-type tun,link-mtu 1541,tun-mtu 1500,proto UDPv4,auth SHA1,"
	                    "keysize 128,key-method 2,tls-server");
	/* old servers leave out the strings at the end, all of them if they like */
	assert_int_equal(cp_ovpn_server_hello_parse(&hello, bytes, length - 6), 0);
	assert_int_equal(cp_ovpn_server_hello_parse(&hello, bytes, RANDOMS_OFF + 64), 0);
	assert_string_equal(hello.options, "");
	assert_int_equal(cp_ovpn_server_hello_parse(&hello, bytes, RANDOMS_OFF + 63), -EBADMSG);
	assert_int_equal(cp_ovpn_server_hello_parse(&hello, bytes, RANDOMS_OFF + 80), -EBADMSG);
	bytes[4] = 1; /* the dead key method */
	assert_int_equal(cp_ovpn_server_hello_parse(&hello, bytes, length), -EBADMSG);
	bytes[4] = 2;
	bytes[0] = 1;
	assert_int_equal(cp_ovpn_server_hello_parse(&hello, bytes, length), -EBADMSG);
	bytes[0] = 0;
	bytes[RANDOMS_OFF + 64 + 1 + cp_get_be16(bytes + RANDOMS_OFF + 64)] = 'x'; /* no NUL */
	assert_int_equal(cp_ovpn_server_hello_parse(&hello, bytes, length), -EBADMSG);
}

static void test_classic_derivation(void **state)
{
	struct cp_ovpn_entropy client, server = { 0 };
	uint8_t client_id[8], server_id[8], key2[CP_OVPN_KEY2_LEN];

	(void)state;
	unhex(TV5_PRE_MASTER, client.pre_master, sizeof(client.pre_master));
	unhex(TV5_C_RANDOM1, client.random1, 32);
	unhex(TV5_C_RANDOM2, client.random2, 32);
	unhex(TV5_S_RANDOM1, server.random1, 32);
	unhex(TV5_S_RANDOM2, server.random2, 32);
	unhex(TV5_CLIENT_ID, client_id, 8);
	unhex(TV5_SERVER_ID, server_id, 8);
	assert_int_equal(cp_ovpn_derive_classic(&client, &server, client_id, server_id, key2), 0);
	assert_hex(key2, sizeof(key2), TV5_KEY2);
}

static void test_cut(void **state)
{
	static const struct {
		const char *key2;
		enum cp_ovpn_cipher cipher;
		uint16_t algorithm;
		const char *send, *receive, *name;
	} cases[] = {
		{ TV6_KEY2, CP_OVPN_AES_256_GCM, IPC_AES256_GCM16, TV6_SEND TV6_SEND_IV,
		  TV6_RECEIVE TV6_RECEIVE_IV, "AES-256-GCM" },
		{ TV7_KEY2, CP_OVPN_AES_128_GCM, IPC_AES128_GCM16, TV7_SEND TV7_SEND_IV,
		  TV7_RECEIVE TV7_RECEIVE_IV, "AES-128-GCM" },
		{ TV8_KEY2, CP_OVPN_CHACHA20_POLY1305, IPC_CHACHA20_POLY1305, TV8_SEND TV8_SEND_IV,
		  TV8_RECEIVE TV8_RECEIVE_IV, "CHACHA20-POLY1305" },
		{ TV10_KEY2, CP_OVPN_AES_256_CBC, IPC_AES256_CBC_SHA256_256,
		  TV10_SEND TV10_SEND_HMAC, TV10_RECEIVE TV10_RECEIVE_HMAC, "AES-256-CBC, SHA256" },
	};
	uint8_t key2[CP_OVPN_KEY2_LEN];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cp_ovpn_key key = { .format = IPC_OPENVPN_FORMAT_DEFAULT };

		unhex(cases[i].key2, key2, sizeof(key2));
		assert_int_equal(cp_ovpn_cut(key2, cases[i].cipher, CP_OVPN_SHA256, &key), 0);
		assert_int_equal(key.algorithm, cases[i].algorithm);
		assert_hex(key.send, key.length, cases[i].send);
		assert_hex(key.receive, key.length, cases[i].receive);
		assert_string_equal(key.cipher, cases[i].name);
	}
}

static void test_cut_epoch(void **state)
{
	struct cp_ovpn_key key = { .format = IPC_OPENVPN_FORMAT_EPOCH };
	uint8_t key2[CP_OVPN_KEY2_LEN] = { 0 };

	(void)state;
	unhex(TV15_SEND, key2, 32);
	unhex(TV15_RECEIVE, key2 + 128, 32);
	assert_int_equal(cp_ovpn_cut(key2, CP_OVPN_AES_128_GCM, CP_OVPN_SHA1, &key), 0);
	assert_int_equal(key.algorithm, IPC_AES128_GCM16);
	assert_hex(key.send, key.length, TV15_SEND);
	assert_hex(key.receive, key.length, TV15_RECEIVE);
}

/* A derivation that failed without a word. */
static void test_cut_zero(void **state)
{
	struct cp_ovpn_key key = { .format = IPC_OPENVPN_FORMAT_DEFAULT };
	uint8_t key2[CP_OVPN_KEY2_LEN];

	(void)state;
	memset(key2, 7, sizeof(key2));
	assert_int_equal(cp_ovpn_cut(key2, CP_OVPN_AES_256_CBC, CP_OVPN_SHA512, &key), 0);
	assert_int_equal(key.length, CP_OVPN_DATA_KEY_MAX);
	memset(key2 + 128, 0, 32);
	assert_int_equal(cp_ovpn_cut(key2, CP_OVPN_AES_256_GCM, CP_OVPN_SHA1, &key), -EINVAL);
}

static void test_about(void **state)
{
	struct cp_ovpn_settings settings;
	char text[512];

	(void)state;
	cp_ovpn_settings_init(&settings);
	cp_ovpn_about_options(&settings, &(struct cp_ovpn_link){ false, false }, text,
	                      sizeof(text));
	assert_string_equal(text,
	                    "V4,dev-type tun,link-mtu 1541,tun-mtu 1500,proto UDPv4,auth SHA1,"
	                    "keysize 256,key-method 2,tls-client");
	settings.wrapping = CP_OVPN_TLS_AUTH;
	settings.key_direction = 1;
	settings.framing = CP_OVPN_FRAMING_LZO;
	settings.fallback = CP_OVPN_AES_256_CBC;
	settings.digest = CP_OVPN_SHA256;
	cp_ovpn_about_options(&settings, &(struct cp_ovpn_link){ true, true }, text, sizeof(text));
	assert_string_equal(text, "V4,dev-type tun,link-mtu 1541,tun-mtu 1500,proto TCPv6_CLIENT,"
	                          "comp-lzo,keydir 1,cipher AES-256-CBC,auth SHA256,keysize 256,"
	                          "tls-auth,key-method 2,tls-client");
	settings.ciphers[0] = CP_OVPN_AES_128_GCM;
	settings.ciphers[1] = CP_OVPN_AES_256_GCM;
	settings.cipher_count = 2;
	cp_ovpn_about_peer_info(&settings, text, sizeof(text));
	assert_non_null(strstr(text, "\nIV_NCP=2\n"));
	assert_non_null(strstr(text, "\nIV_CIPHERS=AES-128-GCM:AES-256-GCM\n"));
	assert_int_equal(text[strlen(text) - 1], '\n');
	settings.cipher_count = 1;
	cp_ovpn_about_peer_info(&settings, text, sizeof(text));
	assert_null(strstr(text, "IV_NCP"));
	assert_true(cp_ovpn_about_server_cipher("V4,cipher AES-256-CBC,auth SHA1", text, 64));
	assert_string_equal(text, "AES-256-CBC");
	assert_false(cp_ovpn_about_server_cipher("V4,xcipher AES,auth SHA1", text, 64));
	assert_false(cp_ovpn_about_server_cipher("", text, 64));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client_hello), cmocka_unit_test(test_client_hello_too_long),
		cmocka_unit_test(test_server_hello), cmocka_unit_test(test_classic_derivation),
		cmocka_unit_test(test_cut),          cmocka_unit_test(test_cut_epoch),
		cmocka_unit_test(test_cut_zero),     cmocka_unit_test(test_about),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
