/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An OpenVPN session on a virtual clock, with a server in the same process. What stock servers
 * think of it is tests/e2e/test_openvpn_engine.py.
 */
#include "tests/unit/controlplane/ovpn_peer.h"

#include "controlplane/ovpn_push.h"

#include "tests/unit/controlplane/ovpn_vectors.h"

#define MINUTE 60000u
#define PUSHED                                                                  \
	"PUSH_REPLY,ifconfig 10.8.0.2 255.255.255.0,topology subnet,peer-id 7," \
	"cipher AES-256-GCM,ping 10,ping-restart 0"

/* The client's key is what the server has, in the client's view. */
static void check_key(const struct peer *peer, const uint8_t key2[CP_OVPN_KEY2_LEN])
{
	assert_int_equal(peer->key.algorithm, IPC_AES256_GCM16);
	assert_int_equal(peer->key.length, 40);
	assert_memory_equal(peer->key.send, key2, 32);
	assert_memory_equal(peer->key.send + 32, key2 + 64, 8);
	assert_memory_equal(peer->key.receive, key2 + 128, 32);
	assert_memory_equal(peer->key.receive + 32, key2 + 192, 8);
}

static void test_comes_up(void **state)
{
	struct peer *peer = *state;

	peer_connect(peer);
	check_key(peer, peer->key2);
	assert_int_equal(peer->key.peer_id, 7);
	assert_string_equal(peer->login, "alice/secret");
	assert_string_equal(peer->heard, ""); /* nothing had to be asked for */
	assert_string_equal(cp_ovpn_session_tls(peer->session), "TLSv1.3, TLS_AES_256_GCM_SHA384");
}

static void test_classic_keys(void **state)
{
	uint8_t key2[CP_OVPN_KEY2_LEN];
	struct peer *peer = *state;

	peer->push = PUSHED;
	peer_connect(peer);
	assert_int_equal(cp_ovpn_derive_classic(&peer->client_entropy, &peer->entropy,
	                                        peer->client_id, peer->own_id, key2),
	                 0);
	check_key(peer, key2);
}

/* A server that names no cipher: that of its options, if it is ours, or the fallback. */
static void test_cipher_without_push(void **state)
{
	static const struct {
		enum cp_ovpn_cipher ours, fallback;
		const char *cipher; /* NULL: none in common */
	} cases[] = {
		{ CP_OVPN_AES_128_CBC, 0, "AES-128-CBC, SHA1" },
		{ CP_OVPN_AES_256_GCM, CP_OVPN_AES_256_CBC, "AES-256-CBC, SHA1" },
		{ CP_OVPN_AES_256_GCM, 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct peer peer;

		peer_init(&peer);
		peer.push = "PUSH_REPLY,ifconfig 10.8.0.2 255.255.255.0,topology subnet";
		peer.settings.ciphers[0] = cases[i].ours;
		peer.settings.cipher_count = 1;
		peer.settings.fallback = cases[i].fallback;
		peer_start(&peer);
		peer_settle(&peer);
		assert_string_equal(peer_events(&peer),
		                    cases[i].cipher ? "up key0 use0 " : "up ended ");
		if (cases[i].cipher)
			assert_string_equal(peer.key.cipher, cases[i].cipher);
		else
			assert_string_equal(peer.end.why, "no common cipher: the server's is "
			                                  "AES-128-CBC, ours are AES-256-GCM");
		assert_true(!cases[i].cipher || peer.key.peer_id == IPC_OPENVPN_NO_PEER);
		peer_fini(&peer);
	}
}

static void test_push_is_asked_for(void **state)
{
	struct peer *peer = *state;

	peer->push = NULL;
	peer_start(peer);
	peer_settle(peer);
	peer_pass(peer, 1999);
	assert_string_equal(peer->heard, "");
	peer_pass(peer, 2000);
	assert_string_equal(peer->heard, "PUSH_REQUEST|");
	peer_pass(peer, 12000);
	assert_string_equal(peer->heard, "PUSH_REQUEST|PUSH_REQUEST|PUSH_REQUEST|");
	peer_say(peer, PUSHED ",push-continuation 2");
	assert_string_equal(peer_events(peer), "");
	peer_say(peer, "PUSH_REPLY,route 10.9.0.0 255.255.0.0,push-continuation 1");
	assert_string_equal(peer_events(peer), "up key0 use0 ");
}

static void test_nothing_is_pushed(void **state)
{
	struct peer *peer = *state;

	peer->push = NULL;
	peer_start(peer);
	peer_settle(peer);
	peer_pass(peer, 1000 + MINUTE - 1);
	assert_string_equal(peer_events(peer), "");
	peer_say(peer, "AUTH_PENDING,timeout 120");
	peer_pass(peer, 1000 + 3 * MINUTE - 2);
	assert_string_equal(peer_events(peer), "");
	peer_pass(peer, 1000 + 3 * MINUTE);
	assert_string_equal(peer_events(peer), "ended ");
	assert_string_equal(peer->end.why, "the server pushes nothing");
	assert_int_equal(peer->end.next, CP_OVPN_RETRY_OTHER);
}

static void test_no_answer(void **state)
{
	struct peer peer;

	(void)state;
	peer_init(&peer);
	peer.is_mute = true;
	peer.settings.connect_timeout_s = 0;
	peer_start(&peer);
	peer_pass(&peer, 1000 + MINUTE - 1);
	assert_string_equal(peer_events(&peer), "");
	assert_string_equal(peer.opcodes, "7 7 7 7 7 7 7 7 7 "); /* 0 2 6 14 22 ... 54 s */
	peer_pass(&peer, 1000 + MINUTE);
	assert_string_equal(peer_events(&peer), "ended ");
	assert_true(cp_ovpn_session_deadline_ms(peer.session) == UINT64_MAX);
	peer_fini(&peer);

	peer_init(&peer);
	peer.is_mute = true;
	peer.settings.connect_timeout_s = 10;
	peer_start(&peer);
	peer_pass(&peer, 11000);
	assert_string_equal(peer_events(&peer), "ended ");
	assert_int_equal(peer.end.rank, CP_RANK_VAGUE);
	peer_fini(&peer);
}

/* Sixty seconds are enough with every fifth packet lost, whichever these are. */
static void test_loss(void **state)
{
	unsigned slow = 0;

	(void)state;
	for (unsigned seed = 1; seed <= 40; seed++) {
		struct peer peer;

		peer_init(&peer);
		peer.loss_percent = 20;
		peer.seed = seed * 7919;
		peer_start(&peer);
		peer_settle(&peer);
		peer_pass(&peer, 1000 + MINUTE - 1);
		assert_string_equal(peer_events(&peer), "up key0 use0 ");
		cp_ovpn_session_renegotiate(peer.session, peer.now_ms);
		peer_settle(&peer);
		peer_pass(&peer, 1000 + 2 * MINUTE - 2);
		slow += strcmp(peer_events(&peer), "key1 ") != 0;
		peer_fini(&peer);
	}
	assert_int_equal(slow, 0);
}

/* Received with at once; sent with when the server did, or a minute later. */
static void test_new_keys_by_us(void **state)
{
	struct peer *peer = *state;

	peer_connect(peer);
	peer_pass(peer, 10000);
	cp_ovpn_session_renegotiate(peer->session, peer->now_ms);
	cp_ovpn_session_renegotiate(peer->session, peer->now_ms); /* one is enough */
	peer_settle(peer);
	assert_string_equal(peer_events(peer), "key1 ");
	check_key(peer, peer->key2);
	assert_string_equal(peer->login, "alice/secret");
	cp_ovpn_session_heard(peer->session, 0, peer->now_ms);
	assert_string_equal(peer_events(peer), "");
	cp_ovpn_session_heard(peer->session, 1, peer->now_ms);
	assert_string_equal(peer_events(peer), "use1 ");

	cp_ovpn_session_renegotiate(peer->session, peer->now_ms);
	peer_settle(peer);
	assert_string_equal(peer_events(peer), "forget0 key2 ");
	peer_pass(peer, 10000 + MINUTE - 1);
	assert_string_equal(peer_events(peer), "");
	peer_pass(peer, 10000 + MINUTE);
	assert_string_equal(peer_events(peer), "use2 ");

	/* not switched yet when the next one begins: then it is time */
	cp_ovpn_session_renegotiate(peer->session, peer->now_ms);
	peer_settle(peer);
	assert_string_equal(peer_events(peer), "forget1 key3 ");
	cp_ovpn_session_renegotiate(peer->session, peer->now_ms);
	assert_string_equal(peer_events(peer), "use3 ");
	peer_settle(peer);
	assert_string_equal(peer_events(peer), "forget2 key4 ");
}

static void test_new_keys_by_time(void **state)
{
	struct peer *peer = *state;

	peer->push = PUSHED; /* no ping-restart */
	peer_start(peer);
	peer_settle(peer);
	peer_events(peer);
	peer->settings.tran_window_s = 3600;
	peer_pass(peer, 1000 + 3600 * 1000 - 1);
	assert_string_equal(peer_events(peer), "");
	peer_pass(peer, 1000 + 3600 * 1000);
	assert_string_equal(peer_events(peer), "key1 ");
	peer_pass(peer, 1000 + 3601 * 1000 + MINUTE);
	assert_string_equal(peer_events(peer), "use1 ");
}

/* Half of that would be too soon where the last acknowledgement got lost. */
static void test_new_keys_every_few_seconds(void **state)
{
	struct peer *peer = *state;

	peer->push = PUSHED;
	peer->settings.reneg_s = 4;
	peer_connect(peer);
	peer_pass(peer, 2000);
	cp_ovpn_session_renegotiate(peer->session, peer->now_ms);
	peer_settle(peer);
	assert_string_equal(peer_events(peer), "key1 ");
	peer_pass(peer, 4999);
	assert_string_equal(peer_events(peer), "");
	peer_pass(peer, 5000);
	assert_string_equal(peer_events(peer), "use1 ");
}

/* Where nobody wants new keys any more, the old one goes all the same. */
static void test_old_key_ends(void **state)
{
	struct peer *peer = *state;

	peer->push = PUSHED;
	peer->settings.reneg_s = 0;
	peer->settings.tran_window_s = 300;
	peer_start(peer);
	peer_settle(peer);
	cp_ovpn_session_renegotiate(peer->session, peer->now_ms);
	peer_settle(peer);
	cp_ovpn_session_heard(peer->session, 1, peer->now_ms);
	assert_string_equal(peer_events(peer), "up key0 use0 key1 use1 ");
	peer_pass(peer, 1000 + 299999);
	assert_string_equal(peer_events(peer), "");
	peer_pass(peer, 1000 + 300000);
	assert_string_equal(peer_events(peer), "forget0 ");
}

/* reneg-sec 0, or longer than a key may live: before it ends there is another one. */
static void test_no_key_is_for_ever(void **state)
{
	static const uint32_t never[] = { 0, 604800 };

	(void)state;
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		struct peer peer;

		peer_init(&peer);
		peer.push = PUSHED;
		peer.settings.reneg_s = never[i];
		peer_connect(&peer);
		assert_true(cp_ovpn_session_deadline_ms(peer.session) <= peer.now_ms + 79200000);
		peer_fini(&peer);
	}
}

static void test_new_keys_by_the_server(void **state)
{
	static const char *const events[] = {
		"key1 use1 ",         "forget0 key2 use2 ", "forget1 key3 use3 ",
		"forget2 key4 use4 ", "forget3 key5 use5 ", "forget4 key6 use6 ",
		"forget5 key7 use7 ", "forget6 key1 use1 ", /* 0 does not come back */
		"forget7 key2 use2 ",
	};
	struct peer *peer = *state;

	peer_connect(peer);
	for (unsigned i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		peer_renegotiate(peer);
		peer_settle(peer);
		check_key(peer, peer->key2);
		cp_ovpn_session_heard(peer->session, peer->key.key_id, peer->now_ms);
		assert_string_equal(peer_events(peer), events[i]);
	}
}

/* Both begin before they hear of the other: it is one negotiation. */
static void test_crossing_resets(void **state)
{
	struct peer *peer = *state;

	peer_connect(peer);
	peer_renegotiate(peer);
	cp_ovpn_session_renegotiate(peer->session, peer->now_ms);
	peer_settle(peer);
	assert_string_equal(peer_events(peer), "key1 ");
	check_key(peer, peer->key2);
}

/* The key that there is goes on; a successor is asked for until the server answers. */
static void test_new_keys_fail(void **state)
{
	struct peer *peer = *state;

	peer_connect(peer);
	peer->is_mute = true;
	peer->opcodes[0] = 0;
	assert_true(cp_ovpn_session_renegotiate(peer->session, peer->now_ms));
	peer_pass(peer, 1000 + MINUTE - 1);
	assert_string_equal(peer_events(peer), "");
	assert_string_equal(peer->opcodes, "3 3 3 3 3 3 3 3 3 "); /* 0 2 6 14 22 ... 54 s */
	peer_pass(peer, 1000 + MINUTE);
	assert_string_equal(peer_events(peer), "unrenewed ");
	assert_string_equal(peer->unrenewed, "the server did not answer when new keys were due");
	cp_ovpn_session_heard(peer->session, 0, peer->now_ms);
	peer->opcodes[0] = 0;
	peer_pass(peer, 1000 + MINUTE + 5999);
	assert_string_equal(peer->opcodes, "3 ");

	peer->is_mute = false;
	peer_pass(peer, 1000 + MINUTE + 6000);
	assert_string_equal(peer_events(peer), "key1 ");
	check_key(peer, peer->key2);
	cp_ovpn_session_heard(peer->session, 1, peer->now_ms);
	peer_renegotiate(peer); /* both count on from there */
	peer_settle(peer);
	assert_string_equal(peer_events(peer), "use1 forget0 key2 ");
	for (unsigned i = 2; i <= 62; i++) { /* beyond the first key's end */
		peer_pass(peer, 1000 + i * MINUTE);
		cp_ovpn_session_heard(peer->session, 2, peer->now_ms);
	}
	assert_null(strstr(peer_events(peer), "ended"));
}

/* Half of the time that is left another session is wanted, at its end there is none. Whoever is not
 * heard at all does not get so far. */
static void test_new_keys_fail_for_good(void **state)
{
	struct peer peer;

	(void)state;
	for (int is_silent = 0; is_silent < 2; is_silent++) {
		uint32_t end_s = is_silent ? 120 : 300;

		peer_init(&peer);
		peer.settings.tran_window_s = 300;
		peer_start(&peer);
		peer_settle(&peer);
		peer.is_mute = true;
		cp_ovpn_session_renegotiate(peer.session, peer.now_ms);
		for (uint32_t s = 1; s < end_s; s++) {
			peer_pass(&peer, 1000 + s * 1000);
			if (!is_silent)
				cp_ovpn_session_heard(peer.session, 0, peer.now_ms);
		}
		assert_string_equal(peer_events(&peer),
		                    is_silent
		                            ? "up key0 use0 unrenewed "
		                            : "up key0 use0 unrenewed unrenewed unrenewed stuck ");
		peer_pass(&peer, 1000 + end_s * 1000);
		assert_non_null(strstr(peer_events(&peer), "ended "));
		assert_string_equal(
			peer.end.why,
			is_silent ? "nothing was heard of the server for 120 s (ping-restart)"
				  : "no new keys came before the old one ended");
		peer_fini(&peer);
	}
}

/* Stuck, it is quiet, but there is still a way out: the server knows nothing of ours, and begins
 * itself; or is asked once more. */
static void test_stuck(void **state)
{
	struct peer peer;

	(void)state;
	for (int is_theirs = 0; is_theirs < 2; is_theirs++) {
		peer_init(&peer);
		peer.settings.tran_window_s = 120;
		peer_start(&peer);
		peer_settle(&peer);
		peer.is_mute = true;
		cp_ovpn_session_renegotiate(peer.session, peer.now_ms);
		peer_pass(&peer, 1000 + MINUTE);
		assert_string_equal(peer_events(&peer), "up key0 use0 unrenewed stuck ");
		peer.opcodes[0] = 0;
		cp_ovpn_session_heard(peer.session, 0, peer.now_ms);
		peer_pass(&peer, 1000 + MINUTE + MINUTE / 2);
		assert_string_equal(peer.opcodes, "");
		peer.is_mute = false;
		if (is_theirs)
			peer_renegotiate(&peer);
		else
			assert_true(cp_ovpn_session_renegotiate(peer.session, peer.now_ms));
		peer_settle(&peer);
		assert_string_equal(peer_events(&peer), "key1 ");
		check_key(&peer, peer.key2);
		peer_fini(&peer);
	}
}

/* TLS fails: the server knows, and takes no other negotiation of this session. */
static void test_new_keys_are_refused(void **state)
{
	struct peer peer, other;
	SSL_CTX *own;

	(void)state;
	peer_come_up(&peer);
	peer_init(&other);
	own = peer.tls;
	peer.tls = other.tls;
	assert_true(cp_ovpn_session_renegotiate(peer.session, peer.now_ms));
	peer_settle(&peer);
	assert_string_equal(peer_events(&peer), "unrenewed stuck ");
	assert_non_null(strstr(peer.unrenewed, "the server's certificate is not from our CA"));
	peer.tls = own;
	assert_false(cp_ovpn_session_renegotiate(peer.session, peer.now_ms));
	peer.key_id = 0;
	peer_renegotiate(&peer);
	peer_settle(&peer);
	cp_ovpn_session_heard(peer.session, 0, peer.now_ms);
	assert_string_equal(peer_events(&peer), "");
	cp_ovpn_session_stop(peer.session, peer.now_ms);
	assert_string_equal(peer_events(&peer), "occ-exit ended ");
	peer_fini(&peer);
	peer_fini(&other);
}

/* The server refuses the account now: that is the end, whatever keys there are. */
static void test_new_keys_for_others(void **state)
{
	struct peer *peer = *state;

	peer_connect(peer);
	cp_ovpn_session_renegotiate(peer->session, peer->now_ms);
	peer_settle(peer);
	peer_say(peer, "AUTH_FAILED,account locked");
	assert_string_equal(peer_events(peer), "key1 ended ");
	assert_string_equal(peer->end.why, "AUTH_FAILED, the server says: account locked");
}

/* A server that acknowledges nothing may say only so much; what it says is not lost. */
static void test_read_ahead_is_bounded(void **state)
{
	static const unsigned said[] = { 200,
		                         70 }; /* the latter are acknowledged, but not all read */
	char text[1000] = "INFO,";

	(void)state;
	memset(text + 5, 'x', sizeof(text) - 6);
	for (size_t n = 0; n < 2; n++) {
		struct peer peer;

		peer_init(&peer);
		peer.is_thankless = true;
		peer_start(&peer);
		peer_settle(&peer);
		for (unsigned i = 0; i < said[n]; i++) {
			peer_say_later(&peer, text);
			peer_settle(&peer);
		}
		assert_string_equal(peer_events(&peer), "");
		assert_in_range(peer.reliable.next_out, 64, 100); /* packets of a kilobyte */
		assert_int_equal(peer.tellings, 0);
		peer.is_thankless = false;
		if (n == 0) {
			peer_pass(&peer, 1000 + MINUTE - 1);
		} else { /* a single packet acknowledges all */
			peer.now_ms = cp_ovpn_session_deadline_ms(peer.session);
			cp_ovpn_session_tick(peer.session, peer.now_ms);
			peer.to_server.count = 1;
			peer_settle(&peer);
		}
		assert_string_equal(peer_events(&peer), "up key0 use0 ");
		assert_int_equal(peer.tellings, said[n]);
		peer_fini(&peer);
	}
}

static void test_dynamic_tls_crypt(void **state)
{
	uint8_t key[CP_OVPN_STATIC_KEY_LEN], swapped[CP_OVPN_STATIC_KEY_LEN];
	struct peer *peer = *state;

	peer->push = PUSHED ",protocol-flags cc-exit tls-ekm dyn-tls-crypt";
	peer_connect(peer);
	assert_int_equal(SSL_export_keying_material(peer->ssl, key, sizeof(key), CP_OVPN_EKM_WRAP,
	                                            strlen(CP_OVPN_EKM_WRAP), NULL, 0, 0),
	                 1);
	memcpy(swapped, key + 128, 128);
	memcpy(swapped + 128, key, 128);
	cp_ovpn_wrap_crypt(&peer->renewals, swapped, 100);
	peer->has_renewals = true;
	peer_renegotiate(peer);
	peer_settle(peer);
	assert_string_equal(peer_events(peer), "key1 ");
	/* one that is not wrapped means nothing now */
	peer->has_renewals = false;
	peer_renegotiate(peer);
	peer_settle(peer);
	assert_string_equal(peer_events(peer), "");
}

/* The server wants the client's key once more: with the first packet of TLS, and no ACK before. */
static void test_tls_crypt_v2(void **state)
{
	uint8_t kc[CP_OVPN_STATIC_KEY_LEN], swapped[CP_OVPN_STATIC_KEY_LEN];

	(void)state;
	unhex(TV3_KC, kc, sizeof(kc));
	memcpy(swapped, kc + 128, 128);
	memcpy(swapped + 128, kc, 128);
	for (int is_early = 0; is_early < 2; is_early++) {
		struct peer peer;

		peer_init(&peer);
		peer.settings.wrapping = CP_OVPN_TLS_CRYPT_V2;
		peer.material.wrap = sp_secret_create();
		peer.material.wrap->length = sizeof(kc);
		memcpy(peer.material.wrap->data, kc, sizeof(kc));
		peer.material.wkc_length = unhex(TV3_WKC, peer.material.wkc, CP_OVPN_WKC_MAX);
		cp_ovpn_wrap_crypt(&peer.wrap, swapped, 100);
		peer.wants_wkc = is_early;
		peer_connect(&peer);
		assert_ptr_equal(strstr(peer.opcodes, is_early ? "10 11 " : "10 4 "), peer.opcodes);
		peer_fini(&peer);
	}
}

static void test_ping_restart(void **state)
{
	struct peer *peer = *state;

	peer_connect(peer);
	peer_pass(peer, 100000);
	cp_ovpn_session_heard(peer->session, 0, peer->now_ms);
	peer_pass(peer, 100000 + 119999);
	assert_string_equal(peer_events(peer), "");
	peer_pass(peer, 100000 + 120000);
	assert_string_equal(peer_events(peer), "ended ");
	assert_string_equal(peer->end.why,
	                    "nothing was heard of the server for 120 s (ping-restart)");
}

static void test_what_the_server_says(void **state)
{
	static const struct {
		const char *text, *why;
		enum cp_ovpn_next next;
		uint32_t pause_s;
	} cases[] = {
		{ "AUTH_FAILED", "AUTH_FAILED: the server refuses account and password, or us",
		  CP_OVPN_RETRY, 0 },
		{ "AUTH_FAILED,account locked", "AUTH_FAILED, the server says: account locked",
		  CP_OVPN_RETRY, 0 },
		{ "AUTH_FAILED,TEMP[backoff 42,advance remote]: overloaded",
		  "the server puts us off", CP_OVPN_RETRY_OTHER, 42 },
		{ "AUTH_FAILED,CRV1:R,E:state:YWxpY2U=:Your code?",
		  "the server asks what only a person can answer", CP_OVPN_RETRY, 0 },
		{ "INFO_PRE,CR_TEXT:R,E:Your code?",
		  "the server asks what only a person can answer", CP_OVPN_RETRY, 0 },
		{ "RESTART,[N]maintenance", "the server restarts", CP_OVPN_RETRY_OTHER, 0 },
		{ "RESTART", "the server restarts", CP_OVPN_RETRY, 3 },
		{ "HALT,gone", "the server sent us away for good (HALT)", CP_OVPN_NEVER, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct peer peer;

		peer_init(&peer);
		peer.push = NULL;
		peer_start(&peer);
		peer_settle(&peer);
		peer_say(&peer, cases[i].text);
		assert_string_equal(peer_events(&peer), "ended ");
		assert_memory_equal(peer.end.why, cases[i].why, strlen(cases[i].why));
		assert_int_equal(peer.end.next, cases[i].next);
		assert_int_equal(peer.end.pause_s, cases[i].pause_s);
		/* the server knows that we read it */
		assert_true(cp_ovpn_reliable_is_acked(&peer.reliable));
		peer_fini(&peer);
	}
}

static void test_what_does_not_end_it(void **state)
{
	static const char *const texts[] = { "INFO,maintenance at nine",
		                             "INFO_PRE,maintenance at nine",
		                             "PUSH_UPDATE,route 1.2.3.4", "NEVER,HEARD",
		                             "AUTH_PENDING,timeout 5" };
	struct peer *peer = *state;

	peer_connect(peer);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		peer_say(peer, texts[i]);
		assert_string_equal(peer_events(peer), "");
		assert_true(i >= 2 ||
		            strcmp(peer->told, "the server says: maintenance at nine") == 0);
	}
}

/* From then on in place of the password, also in the next session, until it is refused. */
static void test_token(void **state)
{
	struct peer peer;
	struct sp_secret *token;

	(void)state;
	peer_init(&peer);
	peer.push = PUSHED ",auth-token first";
	peer_start(&peer);
	peer_settle(&peer);
	cp_ovpn_session_renegotiate(peer.session, peer.now_ms);
	peer_settle(&peer);
	assert_string_equal(peer.login, "alice/first");
	peer_say(&peer, "PUSH_REPLY,auth-token second");
	peer_say(&peer, "PUSH_REPLY"); /* says nothing of it */
	token = peer.token;
	peer.token = sp_secret_create();
	peer_fini(&peer);

	peer_init(&peer);
	sp_secret_destroy(peer.token);
	peer.token = token;
	peer.push = NULL;
	peer_start(&peer);
	peer_settle(&peer);
	assert_string_equal(peer.login, "alice/second");
	peer_say(&peer, "AUTH_FAILED,SESSION: expired");
	assert_string_equal(peer_events(&peer), "ended ");
	assert_int_equal(peer.end.next, CP_OVPN_RETRY);
	assert_int_equal(token->length, 0);
	peer_fini(&peer);
}

/* The account that came with a token stays when the token alone is renewed. */
static void test_token_account(void **state)
{
	struct peer *peer = *state;

	peer->push = PUSHED ",auth-token-user Ym9i,auth-token the-first-one";
	peer_start(peer);
	peer_settle(peer);
	peer_say(peer, "PUSH_REPLY,auth-token second");
	cp_ovpn_session_renegotiate(peer->session, peer->now_ms);
	peer_settle(peer);
	assert_string_equal(peer->login, "bob/second");
	peer_say(peer, "PUSH_REPLY,auth-token-user Y2Fyb2w=,auth-token third");
	cp_ovpn_session_renegotiate(peer->session, peer->now_ms);
	peer_settle(peer);
	assert_string_equal(peer->login, "carol/third");
}

/* A server that restarts knows its tokens no more, unless it says so. */
static void test_token_over_a_restart(void **state)
{
	static const char *const texts[] = { "RESTART,[P]", "RESTART" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct peer peer;

		peer_init(&peer);
		peer.push = PUSHED ",auth-token first";
		peer_start(&peer);
		peer_settle(&peer);
		assert_int_equal(peer.token->length, strlen("alice") + 1 + strlen("first"));
		peer_say(&peer, texts[i]);
		assert_string_equal(peer_events(&peer), "up key0 use0 ended ");
		assert_int_equal(peer.token->length > 0, i == 0);
		peer_fini(&peer);
	}
}

static void test_leave(void **state)
{
	struct peer peer;

	(void)state;
	peer_come_up(&peer);
	cp_ovpn_session_stop(peer.session, peer.now_ms);
	assert_string_equal(peer_events(&peer), "");
	peer_settle(&peer);
	assert_string_equal(peer.heard, "EXIT|");
	assert_string_equal(peer_events(&peer), "ended ");
	peer_fini(&peer);

	peer_come_up(&peer);
	peer.is_mute = true;
	cp_ovpn_session_stop(peer.session, peer.now_ms);
	peer_pass(&peer, peer.now_ms + 2000);
	assert_string_equal(peer_events(&peer), "ended ");
	peer_fini(&peer);

	peer_init(&peer);
	peer.push = PUSHED; /* without cc-exit */
	peer_start(&peer);
	peer_settle(&peer);
	cp_ovpn_session_stop(peer.session, peer.now_ms);
	assert_string_equal(peer_events(&peer), "up key0 use0 occ-exit ended ");
	peer_fini(&peer);

	peer_init(&peer);
	peer_start(&peer);
	cp_ovpn_session_stop(peer.session, peer.now_ms);
	assert_string_equal(peer_events(&peer), "ended ");
	peer_fini(&peer);
}

/* What somebody else may send, who does not know our session id. */
static void test_strangers(void **state)
{
	static const uint8_t reset[] = { 0x40, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0 };
	uint8_t packet[64];
	uint64_t heard_ms;
	struct peer *peer = *state;

	peer_start(peer);
	/* a server's reset that echoes nothing, and one that echoes another id */
	cp_ovpn_session_receive(peer->session, reset, sizeof(reset), peer->now_ms);
	cp_ovpn_session_receive(peer->session, packet,
	                        unhex("4009090909090909090100000000aabbccddeeff001100000000",
	                              packet, sizeof(packet)),
	                        peer->now_ms);
	assert_string_equal(peer->opcodes, "7 "); /* no answer */
	peer_settle(peer);
	assert_string_equal(peer_events(peer), "up key0 use0 ");

	/* resets and messages in the middle of a session, under every key id */
	peer->opcodes[0] = 0;
	heard_ms = cp_ovpn_session_heard_ms(peer->session);
	peer->now_ms += 10;
	for (unsigned first = 0; first < 256; first++) {
		memcpy(packet, reset, sizeof(reset));
		packet[0] = (uint8_t)first;
		cp_ovpn_session_receive(peer->session, packet, sizeof(reset), peer->now_ms);
	}
	assert_string_equal(peer->opcodes, "");
	/* the server's id, but not what is expected */
	memcpy(packet + 1, peer->own_id, sizeof(peer->own_id));
	packet[0] = cp_ovpn_first_byte(CP_OVPN_SOFT_RESET, 2);
	cp_ovpn_session_receive(peer->session, packet, sizeof(reset), peer->now_ms);
	packet[0] = cp_ovpn_first_byte(CP_OVPN_CONTROL, 1);
	cp_ovpn_session_receive(peer->session, packet, sizeof(reset), peer->now_ms);
	assert_string_equal(peer->opcodes, "");
	assert_int_equal(cp_ovpn_session_heard_ms(peer->session), heard_ms);
	peer_say(peer, "INFO,alive");
	assert_true(cp_ovpn_session_heard_ms(peer->session) > heard_ms);
	assert_string_equal(peer->told, "the server says: alive");
}

static void test_wrong_server(void **state)
{
	struct peer peer, other;

	(void)state;
	peer_init(&peer);
	peer_init(&other);
	peer.material.ca = other.certificate;
	peer_start(&peer);
	peer_settle(&peer);
	assert_string_equal(peer_events(&peer), "ended ");
	assert_non_null(strstr(peer.end.why, "the server's certificate is not from our CA"));
	assert_int_equal(peer.end.rank, CP_RANK_EXACT);
	peer_fini(&peer);
	peer_fini(&other);
}

static void test_bad_material(void **state)
{
	struct peer *peer = *state;
	char why[CP_WHY_LEN];
	static const struct cp_ovpn_calls none;

	peer->material.ca =
		(char *)"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	assert_null(cp_ovpn_session_create(&peer->settings, &peer->material, &peer->link,
	                                   peer->token, 1, &none, NULL, why));
	assert_memory_equal(why, "the CA certificate cannot be read", 33);
	peer->material.ca = peer->certificate;
	peer->settings.wrapping = CP_OVPN_TLS_CRYPT;
	assert_null(cp_ovpn_session_create(&peer->settings, &peer->material, &peer->link,
	                                   peer->token, 1, &none, NULL, why));
	assert_string_equal(why, "the key of tls-auth or tls-crypt is missing");
	peer->settings.wrapping = CP_OVPN_WRAP_NONE;
	strcpy(peer->settings.tls_ciphers, "TLS-NO-SUCH-CIPHER");
	assert_null(cp_ovpn_session_create(&peer->settings, &peer->material, &peer->link,
	                                   peer->token, 1, &none, NULL, why));
	assert_memory_equal(why, "tls-cipher", 10);
	strcpy(peer->settings.tls_ciphers, "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384:DEFAULT");
	peer->settings.tls_max = CP_OVPN_TLS_1_2;
	peer_start(peer);
	peer_settle(peer);
	assert_string_equal(cp_ovpn_session_tls(peer->session),
	                    "TLSv1.2, ECDHE-ECDSA-AES256-GCM-SHA384");
}

static int begin(void **state)
{
	static struct peer peer;

	peer_init(&peer);
	*state = &peer;
	return 0;
}

static int end(void **state)
{
	peer_fini(*state);
	return 0;
}

#define WITH_PEER(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_PEER(test_comes_up),
		WITH_PEER(test_classic_keys),
		cmocka_unit_test(test_cipher_without_push),
		WITH_PEER(test_push_is_asked_for),
		WITH_PEER(test_nothing_is_pushed),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_loss),
		WITH_PEER(test_new_keys_by_us),
		WITH_PEER(test_new_keys_by_time),
		WITH_PEER(test_new_keys_every_few_seconds),
		WITH_PEER(test_old_key_ends),
		cmocka_unit_test(test_no_key_is_for_ever),
		WITH_PEER(test_new_keys_by_the_server),
		WITH_PEER(test_crossing_resets),
		WITH_PEER(test_new_keys_fail),
		cmocka_unit_test(test_new_keys_fail_for_good),
		cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_new_keys_are_refused),
		WITH_PEER(test_new_keys_for_others),
		cmocka_unit_test(test_read_ahead_is_bounded),
		WITH_PEER(test_dynamic_tls_crypt),
		cmocka_unit_test(test_tls_crypt_v2),
		WITH_PEER(test_ping_restart),
		cmocka_unit_test(test_what_the_server_says),
		WITH_PEER(test_what_does_not_end_it),
		cmocka_unit_test(test_token),
		WITH_PEER(test_token_account),
		cmocka_unit_test(test_token_over_a_restart),
		cmocka_unit_test(test_leave),
		WITH_PEER(test_strangers),
		cmocka_unit_test(test_wrong_server),
		WITH_PEER(test_bad_material),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
