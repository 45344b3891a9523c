/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session that goes on in another control plane. What stock servers think of it is
 * tests/e2e/test_openvpn_life.py.
 */
#include "tests/unit/controlplane/ovpn_peer.h"

#include "controlplane/ovpn_resume.h"
#include "controlplane/ovpn_session_private.h"

#include <errno.h>
#include <string.h>

#define PUSHED                                                                  \
	"PUSH_REPLY,ifconfig 10.8.0.2 255.255.255.0,topology subnet,peer-id 7," \
	"cipher AES-256-GCM,ping 10,ping-restart 60,protocol-flags cc-exit tls-ekm"
#define MORE ",route 192.168.0.0 255.255.0.0,dhcp-option DNS 192.168.100.53,comp-lzo yes"

struct saved {
	size_t length;
	_Alignas(8) uint8_t bytes[IPC_KEEPSAKE_MAX];
};

static void save(struct peer *peer, struct saved *saved)
{
	saved->length = cp_ovpn_session_save(peer->session, saved->bytes, sizeof(saved->bytes));
	assert_int_not_equal(saved->length, 0);
}

static void come_up(struct peer *peer, const char *push)
{
	peer_init(peer);
	peer->push = push;
	peer_start(peer);
	peer_settle(peer);
	assert_string_equal(peer_events(peer), "up key0 use0 ");
}

/* The server sees new keys of the session that it knows; what it pushed still counts. */
static void test_goes_on(void **state)
{
	struct saved saved;
	struct peer peer;

	(void)state;
	come_up(&peer, PUSHED);
	save(&peer, &saved);
	assert_int_equal(peer_resume(&peer, saved.bytes, saved.length, 101), 0);
	peer_settle(&peer);
	assert_string_equal(peer_events(&peer), "up key1 ");
	assert_int_equal(peer.key.peer_id, 7);
	assert_memory_equal(peer.key.send, peer.key2, 32);
	assert_string_equal(peer.login, "alice/secret");
	/* sent with when the server does, or after 3 s */
	peer_pass(&peer, peer.now_ms + 2999);
	assert_string_equal(peer_events(&peer), "");
	peer_pass(&peer, peer.now_ms + 1);
	assert_string_equal(peer_events(&peer), "use1 ");
	/* and on */
	save(&peer, &saved);
	assert_int_equal(peer_resume(&peer, saved.bytes, saved.length, 102), 0);
	peer_settle(&peer);
	assert_string_equal(peer_events(&peer), "up key2 ");
	cp_ovpn_session_heard(peer.session, 2, peer.now_ms);
	assert_string_equal(peer_events(&peer), "use2 ");
	peer_fini(&peer);
}

/* All that was pushed and is still of use, after another login would have been told it again. */
static void test_what_was_pushed(void **state)
{
	static const char *const pushes[] = {
		PUSHED MORE,
		"PUSH_REPLY,ifconfig 10.8.0.6 10.8.0.5,topology net30,cipher AES-256-GCM" MORE,
	};
	struct cp_range ranges[2][CP_RANGES_MAX];
	struct cp_ovpn_push before, pushed;
	struct saved saved;
	struct peer peer;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t count;

		come_up(&peer, pushes[i]);
		save(&peer, &saved);
		before = *peer.session->push;
		before.settings = &peer.settings;
		count = cp_ovpn_push_ranges(&before, ranges[0], CP_RANGES_MAX);
		assert_int_equal(peer_resume(&peer, saved.bytes, saved.length, 101), 0);
		pushed = *peer.session->push;
		assert_int_equal(pushed.peer_be, before.peer_be);
		assert_int_equal(pushed.dns_count, 1);
		assert_int_equal(pushed.dns_be[0], before.dns_be[0]);
		assert_true(pushed.has_lzo);
		assert_int_equal(cp_ovpn_push_ranges(&pushed, ranges[1], CP_RANGES_MAX), count);
		assert_memory_equal(ranges[0], ranges[1], count * sizeof(ranges[0][0]));
		peer_settle(&peer);
		peer_fini(&peer);
	}
}

/* The server's token is the password, then, too. */
static void test_token(void **state)
{
	struct saved saved;
	struct peer peer;

	(void)state;
	come_up(&peer, PUSHED ",auth-token SESS_ID_1");
	save(&peer, &saved);
	assert_int_equal(peer_resume(&peer, saved.bytes, saved.length, 101), 0);
	peer_settle(&peer);
	assert_string_equal(peer.login, "alice/SESS_ID_1");
	peer_fini(&peer);
}

/* The server renews it in the session: what was saved before is out of date, and it can be told. */
static void test_token_is_renewed(void **state)
{
	struct saved saved;
	struct peer peer;
	unsigned count;

	(void)state;
	come_up(&peer, PUSHED ",auth-token SESS_ID_1");
	count = cp_ovpn_session_token_count(peer.session);
	peer_say(&peer, "PUSH_REPLY,auth-token SESS_ID_2");
	assert_int_equal(cp_ovpn_session_token_count(peer.session), count + 1);
	peer_say(&peer, "PUSH_REPLY,ping 20");
	assert_int_equal(cp_ovpn_session_token_count(peer.session), count + 1);
	save(&peer, &saved);
	assert_int_equal(peer_resume(&peer, saved.bytes, saved.length, 101), 0);
	peer_settle(&peer);
	assert_string_equal(peer.login, "alice/SESS_ID_2");
	peer_fini(&peer);
}

static void test_server_has_forgotten_it(void **state)
{
	struct saved saved;
	struct peer peer;

	(void)state;
	come_up(&peer, PUSHED);
	save(&peer, &saved);
	peer.is_mute = true;
	assert_int_equal(peer_resume(&peer, saved.bytes, saved.length, 101), 0);
	assert_string_equal(peer_events(&peer), "up ");
	peer_pass(&peer, peer.now_ms + 4000);
	assert_string_equal(peer_events(&peer), "ended ");
	assert_string_equal(peer.end.why, "the server has forgotten the session of before");
	peer_fini(&peer);
}

/* Of another version, cut, or of other settings: it is begun anew. */
static void test_what_does_not_fit_is_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} cases[] = { { 0, 9 }, { 24, 0 }, { 24, 8 }, { 25, 7 }, { 26, 0 }, { 26, 9 }, { 27, 33 } };
	struct saved saved, wrong;
	struct peer peer;

	(void)state;
	come_up(&peer, PUSHED);
	save(&peer, &saved);
	assert_int_equal(peer_resume(&peer, saved.bytes, saved.length - 1, 101), -EINVAL);
	assert_int_equal(peer_resume(&peer, saved.bytes, 0, 101), -EINVAL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		wrong = saved;
		wrong.bytes[cases[i].at] = cases[i].value;
		assert_int_equal(peer_resume(&peer, wrong.bytes, wrong.length, 101), -EINVAL);
	}
	assert_string_equal(peer_events(&peer), "");
	cp_ovpn_session_start(peer.session, peer.now_ms); /* it can be */
	peer_fini(&peer);
}

static void test_nothing_to_save(void **state)
{
	struct saved saved;
	struct peer peer;

	(void)state;
	peer_init(&peer);
	peer_start(&peer);
	assert_int_equal(cp_ovpn_session_save(peer.session, saved.bytes, sizeof(saved.bytes)), 0);
	peer_fini(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goes_on),
		cmocka_unit_test(test_what_was_pushed),
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_token_is_renewed),
		cmocka_unit_test(test_server_has_forgotten_it),
		cmocka_unit_test(test_what_does_not_fit_is_refused),
		cmocka_unit_test(test_nothing_to_save),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
