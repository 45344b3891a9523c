/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tls-auth, tls-crypt, tls-crypt-v2 and dynamic tls-crypt, against packets that stock servers
 * accepted or sent.
 */
#include "tests/unit/controlplane/hex.h"

#include <errno.h>

#include "controlplane/ovpn_packet.h"
#include "controlplane/ovpn_wrap.h"
#include "tests/unit/controlplane/ovpn_vectors.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define TV1_UNIX_S 0x6b02b08fu
#define TV2_UNIX_S 0x6b02b091u
#define TV3_UNIX_S 0x6b02b093u

static uint8_t static_key[CP_OVPN_STATIC_KEY_LEN];

static int load_key(void **state)
{
	(void)state;
	unhex(TV0_KEY, static_key, sizeof(static_key));
	return 0;
}

/* We make PACKET of BODY. */
static void check_wrap(struct cp_ovpn_wrap *wrap, const char *body, const char *packet)
{
	uint8_t expected[2048], bytes[2048], made[2048];
	long length;

	unhex(packet, expected, sizeof(expected));
	length = cp_ovpn_wrap(wrap, expected, bytes, unhex(body, bytes, sizeof(bytes)), made,
	                      sizeof(made));
	assert_true(length > 0);
	assert_hex(made, (size_t)length, packet);
}

static void check_unwrap(struct cp_ovpn_wrap *wrap, const char *packet, const char *body)
{
	uint8_t bytes[2048], found[2048];
	long length = cp_ovpn_unwrap(wrap, bytes, unhex(packet, bytes, sizeof(bytes)), found);

	assert_true(length >= 0);
	assert_hex(found, (size_t)length, body);
}

static void test_tls_crypt(void **state)
{
	struct cp_ovpn_wrap wrap;

	(void)state;
	cp_ovpn_wrap_crypt(&wrap, static_key, TV1_UNIX_S);
	check_wrap(&wrap, TV1_CLIENT_BODY, TV1_CLIENT_PACKET);
	check_unwrap(&wrap, TV1_SERVER_PACKET, TV1_SERVER_BODY);
	wrap.last_id = 2;
	check_wrap(&wrap, TV1B_BODY, TV1B_PACKET);
}

/* A whole session, with a renegotiation under the dynamic key. */
static void test_tls_crypt_session(void **state)
{
	struct cp_ovpn_wrap first, renewals;
	uint8_t key[CP_OVPN_STATIC_KEY_LEN], exported[CP_OVPN_STATIC_KEY_LEN];

	(void)state;
	unhex(TV12_EXPORTED, exported, sizeof(exported));
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = exported[i] ^ static_key[i];
	assert_hex(key, sizeof(key), TV12_KEY);
	cp_ovpn_wrap_crypt(&first, static_key, TV1_UNIX_S);
	cp_ovpn_wrap_crypt(&renewals, key, TV1_UNIX_S);
	for (size_t i = 0; i < COUNT(ovpn_tls_crypt_session); i++) {
		const struct ovpn_recorded *recorded = &ovpn_tls_crypt_session[i];
		struct cp_ovpn_wrap *wrap = recorded->key_id ? &renewals : &first;

		if (recorded->is_ours)
			check_wrap(wrap, recorded->body, recorded->packet);
		else
			check_unwrap(wrap, recorded->packet, recorded->body);
	}
}

static void test_tls_auth(void **state)
{
	struct cp_ovpn_wrap wrap;

	(void)state;
	assert_int_equal(
		cp_ovpn_wrap_auth(&wrap, static_key, CP_OVPN_DIRECTION_1, "SHA1", TV2_UNIX_S), 0);
	check_wrap(&wrap, TV2_CLIENT_BODY, TV2_CLIENT_PACKET);
	check_unwrap(&wrap, TV2_SERVER_PACKET, TV2_SERVER_BODY);
	assert_int_equal(cp_ovpn_wrap_auth(&wrap, static_key, CP_OVPN_DIRECTION_1, "NO-SUCH", 1),
	                 -EINVAL);
}

/* What one side sends with, the other one receives with. */
static void test_directions(void **state)
{
	static const struct {
		enum cp_ovpn_direction ours, theirs, wrong;
	} cases[] = {
		{ CP_OVPN_DIRECTION_NONE, CP_OVPN_DIRECTION_NONE, CP_OVPN_DIRECTION_0 },
		{ CP_OVPN_DIRECTION_0, CP_OVPN_DIRECTION_1, CP_OVPN_DIRECTION_0 },
		{ CP_OVPN_DIRECTION_1, CP_OVPN_DIRECTION_0, CP_OVPN_DIRECTION_1 },
	};
	uint8_t head[CP_OVPN_HEAD_LEN] = { 0x38, 1 }, body[5] = { 0 }, packet[256], found[256];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct cp_ovpn_wrap ours, theirs;
		long length;

		cp_ovpn_wrap_auth(&ours, static_key, cases[i].ours, "SHA512", 7);
		cp_ovpn_wrap_auth(&theirs, static_key, cases[i].theirs, "SHA512", 7);
		length = cp_ovpn_wrap(&ours, head, body, sizeof(body), packet, sizeof(packet));
		assert_int_equal(length,
		                 sizeof(head) + cp_ovpn_wrap_overhead(&ours) + sizeof(body));
		assert_int_equal(cp_ovpn_unwrap(&theirs, packet, (size_t)length, found),
		                 sizeof(body));
		cp_ovpn_wrap_auth(&theirs, static_key, cases[i].wrong, "SHA512", 7);
		assert_int_equal(cp_ovpn_unwrap(&theirs, packet, (size_t)length, found), -EBADMSG);
	}
}

static void test_tls_crypt_v2(void **state)
{
	uint8_t kc[CP_OVPN_STATIC_KEY_LEN], wkc[CP_OVPN_WKC_MAX];
	size_t wkc_length = unhex(TV3_WKC, wkc, sizeof(wkc));
	struct cp_ovpn_wrap wrap;

	(void)state;
	unhex(TV3_KC, kc, sizeof(kc));
	assert_int_equal(cp_ovpn_wrap_crypt_v2(&wrap, kc, wkc, wkc_length, TV3_UNIX_S), 0);
	check_wrap(&wrap, TV3_CLIENT_BODY, TV3_CLIENT_PACKET);
	check_unwrap(&wrap, TV3_SERVER_PACKET, TV3_SERVER_BODY);
	check_wrap(&wrap, TV3_WKC_BODY, TV3_WKC_PACKET);
	assert_int_equal(cp_ovpn_wrap_crypt_v2(&wrap, kc, wkc, wkc_length - 1, TV3_UNIX_S),
	                 -EINVAL);
	assert_int_equal(cp_ovpn_wrap_crypt_v2(&wrap, kc, wkc, 1, TV3_UNIX_S), -EINVAL);
}

/* One bit of any byte, or a byte less. */
static void test_what_is_not_authentic(void **state)
{
	static const char *const packets[] = { TV1_SERVER_PACKET, TV2_SERVER_PACKET };
	uint8_t packet[256], found[256];

	(void)state;
	for (size_t kind = 0; kind < COUNT(packets); kind++) {
		size_t length = unhex(packets[kind], packet, sizeof(packet));
		struct cp_ovpn_wrap wrap;

		if (kind == 0)
			cp_ovpn_wrap_crypt(&wrap, static_key, 1);
		else
			cp_ovpn_wrap_auth(&wrap, static_key, CP_OVPN_DIRECTION_1, "SHA1", 1);
		for (size_t i = 0; i < length; i++) {
			packet[i] ^= 0x10;
			assert_int_equal(cp_ovpn_unwrap(&wrap, packet, length, found), -EBADMSG);
			packet[i] ^= 0x10;
			assert_int_equal(cp_ovpn_unwrap(&wrap, packet, i, found), -EBADMSG);
		}
		assert_true(cp_ovpn_unwrap(&wrap, packet, length, found) > 0);
	}
}

static void test_replays(void **state)
{
	static const struct {
		uint32_t id, unix_s;
		bool is_new;
	} cases[] = {
		{ 0, 100, false },  { 1, 100, true },   { 1, 100, false },  { 5, 100, true },
		{ 3, 100, true },   { 3, 100, false },  { 100, 100, true }, { 37, 100, true },
		{ 36, 100, false }, { 37, 100, false }, { 99, 100, true },  { 101, 99, false },
		{ 1, 101, true },   { 1, 101, false },  { 2, 101, true },   { 200, 100, false },
	};
	uint8_t head[CP_OVPN_HEAD_LEN] = { 0x20, 1 }, body[5] = { 0 }, packet[256], found[256];
	uint8_t swapped[CP_OVPN_STATIC_KEY_LEN];
	struct cp_ovpn_wrap ours, theirs;

	(void)state;
	memcpy(swapped, static_key + 128, 128);
	memcpy(swapped + 128, static_key, 128);
	cp_ovpn_wrap_crypt(&ours, static_key, 1);
	for (size_t i = 0; i < COUNT(cases); i++) {
		long length;

		cp_ovpn_wrap_crypt(&theirs, swapped, cases[i].unix_s);
		theirs.last_id = cases[i].id - 1;
		length = cp_ovpn_wrap(&theirs, head, body, sizeof(body), packet, sizeof(packet));
		length = cp_ovpn_unwrap(&ours, packet, (size_t)length, found);
		assert_int_equal(length, cases[i].is_new ? (long)sizeof(body) : -EALREADY);
	}
}

static void test_no_room(void **state)
{
	uint8_t head[CP_OVPN_HEAD_LEN] = { 0x20, 1 }, body[5] = { 0 }, packet[64];
	struct cp_ovpn_wrap wrap;

	(void)state;
	cp_ovpn_wrap_crypt(&wrap, static_key, 1);
	assert_int_equal(cp_ovpn_wrap(&wrap, head, body, sizeof(body), packet, 53), -ENOSPC);
	assert_int_equal(cp_ovpn_wrap(&wrap, head, body, sizeof(body), packet, 54), 54);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tls_crypt),    cmocka_unit_test(test_tls_crypt_session),
		cmocka_unit_test(test_tls_auth),     cmocka_unit_test(test_directions),
		cmocka_unit_test(test_tls_crypt_v2), cmocka_unit_test(test_what_is_not_authentic),
		cmocka_unit_test(test_replays),      cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, load_key, NULL);
}
