/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A login: what the supervisor is told of it, and what is left to a successor. The session and the
 * dataplane are played by the test; the keys' leases are the real ones.
 */
#include "controlplane/ovpn_login.c"

#include "controlplane/protocol.h"
#include "tests/unit/controlplane/ovpn_dataplane.h"

#define SECOND 1000u
#define NUMBER (CP_OVPN_NUMBERS | 1u)

/* ---- the session ---- */

struct cp_ovpn_session {
	bool is_started, is_resumed, is_stopped, is_destroyed, is_stuck;
	unsigned renegotiations, tokens;
	uint64_t heard_ms;
	size_t kept; /* bytes that it would leave */
	uint8_t saved;
	struct cp_ovpn_link link;
};
static struct cp_ovpn_session session;
static bool is_connected, has_lzo;
static unsigned lines; /* of the log */
static unsigned forgets;
static char why_not[CP_WHY_LEN];
static const struct cp_ovpn_end *ending; /* with the next packet; NULL: not */
static struct cp_ovpn_login *login;

struct cp_ovpn_session *cp_ovpn_session_create(const struct cp_ovpn_settings *settings,
                                               const struct cp_ovpn_material *material,
                                               const struct cp_ovpn_link *link,
                                               struct sp_secret *token, uint32_t unix_s,
                                               const struct cp_ovpn_calls *given, void *context,
                                               char why[CP_WHY_LEN])
{
	(void)settings;
	(void)material;
	(void)token;
	(void)unix_s;
	(void)context;
	assert_ptr_equal(given, &calls);
	session = (struct cp_ovpn_session){ .link = *link };
	snprintf(why, CP_WHY_LEN, "%s", why_not);
	return why_not[0] ? NULL : &session;
}

void cp_ovpn_session_destroy(struct cp_ovpn_session *s)
{
	if (s)
		s->is_destroyed = true;
}

void cp_ovpn_session_start(struct cp_ovpn_session *s, uint64_t now_ms)
{
	(void)now_ms;
	s->is_started = true;
}

void cp_ovpn_session_receive(struct cp_ovpn_session *s, const uint8_t *packet, size_t length,
                             uint64_t now_ms)
{
	assert_int_equal(length, 1);
	if (packet[0]) /* authentic */
		s->heard_ms = now_ms;
	if (ending)
		calls.ended(login, ending);
}

void cp_ovpn_session_tick(struct cp_ovpn_session *s, uint64_t now_ms)
{
	(void)s;
	(void)now_ms;
}

uint64_t cp_ovpn_session_deadline_ms(const struct cp_ovpn_session *s)
{
	(void)s;
	return UINT64_MAX;
}

void cp_ovpn_session_heard(struct cp_ovpn_session *s, uint8_t key_id, uint64_t now_ms)
{
	(void)key_id;
	s->heard_ms = now_ms;
}

uint64_t cp_ovpn_session_heard_ms(const struct cp_ovpn_session *s)
{
	return s->heard_ms;
}

unsigned cp_ovpn_session_token_count(const struct cp_ovpn_session *s)
{
	return s->tokens;
}

bool cp_ovpn_session_renegotiate(struct cp_ovpn_session *s, uint64_t now_ms)
{
	(void)now_ms;
	s->renegotiations += !s->is_stuck;
	return !s->is_stuck;
}

void cp_ovpn_session_stop(struct cp_ovpn_session *s, uint64_t now_ms)
{
	(void)now_ms;
	s->is_stopped = true;
}

size_t cp_ovpn_session_save(const struct cp_ovpn_session *s, uint8_t *bytes, size_t room)
{
	assert_true(s->kept <= room);
	memset(bytes, s->saved, s->kept);
	return s->kept;
}

int cp_ovpn_session_resume(struct cp_ovpn_session *s, const uint8_t *bytes, size_t length,
                           uint64_t now_ms)
{
	(void)now_ms;
	assert_int_equal(length, 20);
	assert_int_equal(bytes[0], 0x77);
	s->is_resumed = true;
	return 0;
}

/* ---- who else there is ---- */

int cp_ovpn_material_load(const struct cp_server *server, struct cp_ovpn_material *material,
                          char why[CP_WHY_LEN])
{
	(void)server;
	(void)why;
	*material = (struct cp_ovpn_material){ 0 };
	return 0;
}

void cp_ovpn_material_wipe(struct cp_ovpn_material *material)
{
	(void)material;
}

int cp_ovpn_streams_connect(struct cp_ovpn_streams *streams, uint32_t number, int socket,
                            const struct ipc_punt *from, uint16_t own_port_be)
{
	(void)streams;
	(void)from;
	assert_int_equal(number, NUMBER);
	assert_int_equal(socket, 5);
	assert_int_equal(own_port_be, htons(30001));
	is_connected = true;
	return 0;
}

void cp_ovpn_streams_forget(struct cp_ovpn_streams *streams, uint16_t port_be)
{
	(void)streams;
	assert_int_equal(port_be, htons(20000));
	forgets++;
}

void cp_ovpn_streams_close(struct cp_ovpn_streams *streams, uint32_t number)
{
	(void)streams;
	(void)number;
	is_connected = false;
}

int cp_ovpn_streams_send(struct cp_ovpn_streams *streams, uint32_t number, const uint8_t *packet,
                         size_t length)
{
	(void)streams;
	(void)number;
	(void)packet;
	(void)length;
	return 0;
}

void sp_log(enum sp_log_level level, const char *format, ...)
{
	(void)format;
	lines += level <= SP_LOG_INFO;
}

static char events[512];
static struct cp_event last;

static void on_report(void *context, size_t tunnel, const struct cp_event *event)
{
	static const char *const names[] = {
		[CP_EVENT_IKE_BEGUN] = "begun",     [CP_EVENT_IKE_GONE] = "gone",
		[CP_EVENT_CHILD_UP] = "up",         [CP_EVENT_CHILD_REKEYED] = "rekeyed",
		[CP_EVENT_CHILD_DOWN] = "down",     [CP_EVENT_REASON] = "reason",
		[CP_EVENT_UNANSWERED] = "doubt",    [CP_EVENT_SILENT] = "silent",
		[CP_EVENT_ANSWERED] = "answered",   [CP_EVENT_FLOATED] = "floated",
		[CP_EVENT_UNRENEWED] = "unrenewed", [CP_EVENT_UNSURE] = "unsure",
	};
	const size_t used = strlen(events);

	(void)context;
	assert_int_equal(tunnel, 0);
	assert_int_equal(event->ike_id, NUMBER);
	snprintf(events + used, sizeof(events) - used, "%s%s", used ? " " : "", names[event->type]);
	if (event->type == CP_EVENT_REASON || event->type == CP_EVENT_FLOATED ||
	    event->type == CP_EVENT_UNRENEWED || event->type == CP_EVENT_CHILD_UP)
		last = *event;
}

static void assert_events(const char *expected)
{
	assert_string_equal(events, expected);
	events[0] = 0;
}

/* ---- a tunnel ---- */

static struct cp_config config;
static struct cp_ovpn_settings settings;
static struct cp_server server;
static struct cp_ike_tunnel tunnels[1];
static struct cp_ike ike;
static struct cp_ike_sas known;
static struct sp_secret *token;
static _Atomic uint32_t next_child;
static uint64_t now;

#define REMOTE htonl(0xc6336465u)

static struct cp_ovpn_login *log_in(enum cp_ovpn_beginning beginning)
{
	static uint8_t streams;
	char why[CP_WHY_LEN] = "";

	login = cp_ovpn_login_create(&ike, &tunnels[0], 0, REMOTE, NUMBER, &known, &next_child,
	                             token, (struct cp_ovpn_streams *)(void *)&streams, beginning,
	                             now, why);
	return login;
}

static int set_up(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	events[0] = why_not[0] = 0;
	lines = 0;
	ending = NULL;
	has_lzo = false;
	now = 5000 * SECOND;
	next_child = 1;
	config.uplink.address_be = htonl(0xcb00710au);
	config.replay_window = 64;
	cp_ovpn_settings_init(&settings);
	settings.own_port = 20000;
	settings.remote_count = 1;
	settings.remotes[0] = (struct cp_ovpn_remote){ .port = 1194, .transport = IPPROTO_UDP };
	server = (struct cp_server){ .openvpn = &settings, .account = "me" };
	tunnels[0].server = &server;
	tunnels[0].id = (struct ipc_tunnel){ .environment = "production", .server = "a" };
	ike = (struct cp_ike){ .config = &config, .tunnels = tunnels, .report = on_report };
	token = sp_secret_create();
	cp_ike_sas_init(&known);
	return token ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	cp_ovpn_login_destroy(login);
	login = NULL;
	cp_ike_sas_fini(&known);
	sp_secret_destroy(token);
	return 0;
}

static void give_key(uint8_t id)
{
	const struct cp_ovpn_key key = {
		.key_id = id, .algorithm = IPC_AES256_GCM16, .length = 40, .cipher = "AES-256-GCM"
	};

	calls.key(login, &key);
	cp_ovpn_login_tick(login, false, now);
}

static void come_up(void)
{
	struct cp_ovpn_push push;

	assert_non_null(log_in(CP_OVPN_ANEW));
	assert_true(session.is_started);
	cp_ovpn_push_begin(&push, &settings);
	push.local_be = htonl(0x0a141e02u);
	push.ping_restart_s = 60;
	push.dns_be[0] = htonl(0xc0a86435u);
	push.dns_count = 1;
	push.has_lzo = has_lzo;
	session.kept = 20;
	session.saved = 0x77;
	calls.up(login, &push);
	give_key(0);
	calls.use(login, 0);
	assert_events("begun up");
}

static uint32_t spi_of(uint8_t key_id)
{
	return cp_ovpn_leases_find(&login->leases, key_id)->spi_be;
}

/* ---- its life ---- */

static void test_up_and_end(void **state)
{
	(void)state;
	come_up();
	assert_int_equal(last.inner_be, htonl(0x0a141e02u));
	assert_int_equal(last.remote_be, REMOTE);
	assert_int_equal(last.remote_port_be, 0);
	assert_int_equal(last.spi_be, spi_of(0));
	assert_string_equal(last.suite, "AES-256-GCM");
	assert_int_equal(last.told.dns_count, 1);
	assert_int_equal(last.told.dns_be[0], htonl(0xc0a86435u));
	assert_string_equal(last.told.notice, "");
	give_key(1);
	assert_events("");
	calls.use(login, 1);
	assert_events("rekeyed");
	calls.forget(login, 0);
	assert_int_equal(fake.count, 2);
	cp_ovpn_login_end(login);
	assert_events("down gone");
	assert_int_equal(fake.count, 0);
	assert_true(login->is_over && session.is_destroyed);
	assert_int_equal(cp_ovpn_login_deadline_ms(login), 0);
	/* what still comes is not for it */
	cp_ovpn_login_end(login);
	cp_ovpn_login_leave(login, now);
	cp_ovpn_login_ask(login, now);
	cp_ovpn_login_tick(login, true, now);
	assert_events("");
}

/* What nobody here can read is said where a tunnel is up. */
static void test_lzo(void **state)
{
	(void)state;
	has_lzo = true;
	come_up();
	assert_non_null(strstr(last.told.notice, "may compress with LZO"));
	assert_int_equal(lines, 1);
}

static void test_cannot_begin(void **state)
{
	(void)state;
	snprintf(why_not, sizeof(why_not), "no such certificate");
	assert_null(log_in(CP_OVPN_ANEW));
	assert_events("");
	why_not[0] = 0;
	settings.remote_count = 0; /* a reload took it away */
	assert_null(log_in(CP_OVPN_ANEW));
}

/* A key that the dataplane does not take ends it, with the reason. */
static void test_key_is_refused(void **state)
{
	(void)state;
	come_up();
	fake.add_status = -ENOMEM;
	give_key(1);
	assert_events("reason down gone");
	assert_non_null(strstr(last.why, "did not take a data key"));
	assert_int_equal(last.rank, CP_RANK_EXACT);
}

/* ---- what the server does ---- */

/* It says in the data channel that it ends: told once, however often it says so. */
static void test_server_leaves(void **state)
{
	(void)state;
	come_up();
	cp_ovpn_login_tick(login, true, now);
	assert_events("");
	fake_hear(spi_of(0), REMOTE, htons(1194));
	fake_find(spi_of(0), IPC_IN)->flags |= IPC_SA_EXITED;
	cp_ovpn_login_tick(login, false, now); /* nobody said that there is something to see */
	assert_events("");
	cp_ovpn_login_tick(login, true, now);
	assert_events("reason down gone");
	assert_string_equal(last.why, "the server took leave");
	assert_int_equal(last.pause_s, 0);
	assert_int_equal(fake.count, 0);
	cp_ovpn_login_tick(login, true, now);
	assert_events("");
}

/* We took leave ourselves: that it answers in kind is no news. */
static void test_both_leave(void **state)
{
	(void)state;
	come_up();
	assert_true(cp_ovpn_login_make_way(login, 15, now));
	assert_true(session.is_stopped);
	fake_find(spi_of(0), IPC_IN)->flags |= IPC_SA_EXITED;
	cp_ovpn_login_tick(login, true, now);
	assert_events("");
	cp_ovpn_login_tick(login, false, now + 15 * SECOND);
	assert_events("down gone");
}

static bool matches(uint32_t remote_be, uint16_t port)
{
	const struct ipc_punt punt = { .source_be = remote_be,
		                       .source_port_be = htons(port),
		                       .destination_port_be = htons(20000) };

	return cp_ovpn_login_matches(login, &punt);
}

/* Its control packets come from where its data does, and ours go there. */
static void test_server_floats(void **state)
{
	const uint32_t elsewhere_be = htonl(0xc633646fu);

	(void)state;
	come_up();
	assert_true(matches(REMOTE, 1194));
	fake_hear(spi_of(0), elsewhere_be, htons(7));
	cp_ovpn_login_tick(login, true, now);
	assert_events("floated");
	assert_int_equal(last.remote_be, elsewhere_be);
	assert_int_equal(last.remote_port_be, htons(7));
	assert_true(matches(elsewhere_be, 7));
	assert_false(matches(REMOTE, 1194) || matches(elsewhere_be, 1194));
	calls.send(login, (const uint8_t *)"x", 1);
	assert_int_equal(fake.punt.destination_be, elsewhere_be);
	assert_int_equal(fake.punt.destination_port_be, htons(7));
	cp_ovpn_login_tick(login, true, now);
	assert_events("");
	assert_int_equal(login->remote_be, REMOTE); /* a successor looks for what was kept there */
	/* and goes on where the server is */
	cp_ovpn_login_destroy(login);
	assert_non_null(log_in(CP_OVPN_GO_ON));
	assert_true(session.is_resumed);
	assert_events("begun floated");
	assert_int_equal(last.remote_be, elsewhere_be);
	assert_int_equal(last.remote_port_be, htons(7));
	assert_true(matches(elsewhere_be, 7));
	give_key(1);
	calls.use(login, 1);
	assert_events("up");
	assert_int_equal(last.remote_be, elsewhere_be);
	assert_int_equal(last.remote_port_be, htons(7));
}

/* Also when a look for new keys is the first to find out. */
static void test_server_floats_before_new_keys(void **state)
{
	const uint32_t elsewhere_be = htonl(0xc633646fu);

	(void)state;
	come_up();
	assert_int_equal(fake.saves, 1);
	fake_hear(spi_of(0), elsewhere_be, htons(7));
	cp_ovpn_login_rekey(login, cp_ovpn_leases_find(&login->leases, 0), now);
	assert_events("floated");
	assert_int_equal(last.remote_be, elsewhere_be);
	assert_int_equal(fake.saves, 2);
	assert_int_equal(session.heard_ms, now);
	assert_int_equal(session.renegotiations, 1);
	cp_ovpn_login_tick(login, true, now);
	assert_events("");
}

/* It may say what it likes: ten lines a minute are written. */
static void test_server_talks(void **state)
{
	(void)state;
	come_up();
	lines = 0;
	for (unsigned i = 0; i < 1000; i++)
		calls.tell(login, "hello");
	assert_in_range(lines, TOLD_A_MINUTE, 2 * TOLD_A_MINUTE); /* a minute may have passed */
	login->said_s -= 60;
	lines = 0;
	for (unsigned i = 0; i < 1000; i++)
		calls.tell(login, "hello");
	assert_in_range(lines, TOLD_A_MINUTE, 2 * TOLD_A_MINUTE);
}

/* ---- doubt ---- */

static void test_asks(void **state)
{
	(void)state;
	come_up();
	cp_ovpn_login_ask(login, now);
	assert_int_equal(session.renegotiations, 1);
	assert_int_equal(cp_ovpn_login_deadline_ms(login), now + FIRST_LOOK_MS);
	cp_ovpn_login_tick(login, false, now + UNANSWERED_MS - 1);
	assert_events("");
	cp_ovpn_login_receive(login, (const uint8_t *)"\0", 1, now + UNANSWERED_MS - 1);
	assert_events(""); /* anybody can write the server's address on a packet */
	cp_ovpn_login_tick(login, false, now + UNANSWERED_MS);
	assert_events("doubt");
	cp_ovpn_login_receive(login, (const uint8_t *)"\1", 1, now + UNANSWERED_MS + 1);
	assert_events("answered");
	cp_ovpn_login_ask(login, now + ASK_AGAIN_MS - 1); /* so soon again? */
	assert_int_equal(session.renegotiations, 1);
	now += ASK_AGAIN_MS;
	cp_ovpn_login_ask(login, now);
	cp_ovpn_login_tick(login, false, now + UNANSWERED_MS);
	cp_ovpn_login_tick(login, false, now + SILENT_MS);
	assert_events("doubt silent");
}

/* The dataplane has lost them: the next one is sent with at once, and followed by another. */
static void test_lost_keys(void **state)
{
	struct cp_ovpn_lease *lease;

	(void)state;
	come_up();
	lease = cp_ovpn_leases_find(&login->leases, 0);
	fake.count = 0;
	cp_ovpn_login_rekey(login, lease, now);
	assert_int_equal(session.renegotiations, 1);
	give_key(1);
	assert_events("rekeyed");
	assert_int_equal(fake_count(IPC_OUT), 1);
	assert_int_equal(session.renegotiations, 2);
}

/* No new keys: the old one goes on as long as it can, and a login beside it does not wait. */
static void test_unrenewed(void **state)
{
	(void)state;
	come_up();
	calls.unrenewed(login, "no answer");
	assert_events("unrenewed");
	assert_string_equal(last.why, "no answer");
	assert_false(cp_ovpn_login_make_way(login, 15, now));
	assert_false(session.is_stopped);
	calls.stuck(login);
	assert_events("unsure");
	session.is_stuck = true; /* it cannot be asked, and does not answer */
	cp_ovpn_login_ask(login, now);
	cp_ovpn_login_tick(login, false, now + UNANSWERED_MS);
	assert_events("doubt");
	cp_ovpn_login_tick(login, false, now + SILENT_MS);
	assert_events("silent");
	fake_find(spi_of(0), IPC_OUT)->flags |= IPC_SA_SPENT;
	cp_ovpn_login_tick(login, false, now + SILENT_MS + POLL_MIN_MS);
	assert_events("reason down gone");
	assert_string_equal(last.why, "no new keys came before the old one had no numbers left");
	assert_int_equal(fake.count, 0);
}

/* One that got its key is as any other. */
static void test_renewed_late(void **state)
{
	(void)state;
	come_up();
	calls.unrenewed(login, "no answer");
	give_key(1);
	calls.use(login, 1);
	assert_events("unrenewed rekeyed");
	fake_find(spi_of(0), IPC_OUT)->flags |= IPC_SA_SPENT;
	cp_ovpn_login_tick(login, true, now + SECOND);
	assert_events("");
	assert_true(cp_ovpn_login_make_way(login, 15, now));
}

/* The key before the one that goes on has no numbers left: nobody sends with it. */
static void test_older_key_is_spent(void **state)
{
	(void)state;
	come_up();
	give_key(1);
	calls.use(login, 1);
	calls.unrenewed(login, "no answer");
	assert_events("rekeyed unrenewed");
	fake_find(spi_of(0), IPC_OUT)->flags |= IPC_SA_SPENT;
	cp_ovpn_login_tick(login, true, now + SECOND);
	assert_events("");
	fake_find(spi_of(1), IPC_OUT)->flags |= IPC_SA_SPENT;
	cp_ovpn_login_tick(login, true, now + 2 * SECOND);
	assert_events("reason down gone");
}

/* Nor is there one to go on with. */
static void test_unrenewed_without_keys(void **state)
{
	(void)state;
	come_up();
	fake.count = 0;
	cp_ovpn_login_rekey(login, cp_ovpn_leases_find(&login->leases, 0), now);
	calls.unrenewed(login, "no answer");
	cp_ovpn_login_tick(login, false, now);
	assert_events("reason down gone");
	assert_string_equal(last.why, "no answer");
}

/* ---- what a successor needs ---- */

static void test_keepsake(void **state)
{
	(void)state;
	come_up();
	assert_int_equal(fake.saves, 1);
	assert_int_equal(fake.keepsake.length, offsetof(struct kept, session) + 20);
	give_key(1);
	assert_int_equal(fake.saves, 2);
	cp_ovpn_login_tick(login, false, now);
	assert_int_equal(fake.saves, 2); /* nothing is new */
	/* a successor */
	events[0] = 0;
	cp_ovpn_login_destroy(login);
	assert_int_equal(fake.count, 3);
	assert_non_null(log_in(CP_OVPN_GO_ON));
	assert_true(session.is_resumed && !session.is_started);
	cp_ovpn_login_end(login);
	assert_int_equal(fake.keepsake.length, offsetof(struct kept, session) + 20);
}

/* The server renews the token behind the key: what a successor has must be the new one. */
static void test_token_is_renewed(void **state)
{
	(void)state;
	come_up();
	give_key(1);
	assert_int_equal(fake.saves, 2);
	session.tokens++;
	session.saved = 0x78;
	cp_ovpn_login_receive(login, (const uint8_t *)"\1", 1, now);
	assert_int_equal(fake.saves, 3);
	assert_int_equal(fake.keepsake.data[offsetof(struct kept, session)], 0x78);
	cp_ovpn_login_receive(login, (const uint8_t *)"\1", 1, now);
	assert_int_equal(fake.saves, 3);
}

/* Somebody else's, or for somewhere else, is not gone on with. */
static void test_keepsake_that_does_not_fit(void **state)
{
	(void)state;
	come_up();
	cp_ovpn_login_destroy(login);
	snprintf(server.account, sizeof(server.account), "you");
	assert_non_null(log_in(CP_OVPN_GO_ON));
	assert_true(session.is_started && !session.is_resumed);
	cp_ovpn_login_destroy(login);
	snprintf(server.account, sizeof(server.account), "me");
	settings.remotes[0].port = 1195;
	assert_non_null(log_in(CP_OVPN_GO_ON));
	assert_true(session.is_started && !session.is_resumed);
	cp_ovpn_login_destroy(login);
	settings.remotes[0].port = 1194;
	fake.keepsake.length = 3;
	assert_non_null(log_in(CP_OVPN_GO_ON));
	assert_true(session.is_started && !session.is_resumed);
}

/* A session that ended by itself leaves nothing to go on with. */
static void test_ended(void **state)
{
	const struct cp_ovpn_end end = { .next = CP_OVPN_NEVER,
		                         .rank = CP_RANK_EXACT,
		                         .why = "HALT" };

	(void)state;
	come_up();
	server.retry_max_s = 60;
	session.kept = 0;
	ending = &end;
	cp_ovpn_login_receive(login, (const uint8_t *)"\1", 1, now);
	assert_events("reason down gone");
	assert_string_equal(last.why, "HALT");
	assert_int_equal(last.pause_s, 60);
	assert_int_equal(fake.keepsake.length, 0);
}

/* ---- over TCP ---- */

static void test_stream(void **state)
{
	(void)state;
	settings.remotes[0].transport = IPPROTO_TCP;
	assert_non_null(log_in(CP_OVPN_GO_ON));
	assert_true(is_connected && session.link.is_tcp);
	assert_false(session.is_started || matches(REMOTE, 1194));
	assert_int_equal(fake.flows, 1);
	cp_ovpn_login_connected(login, now);
	assert_true(session.is_started);
	cp_ovpn_login_broken(login, "the server closed the TCP connection");
	assert_events("begun reason gone");
	assert_string_equal(last.why, "the server closed the TCP connection");
	assert_false(is_connected);
	assert_int_equal(fake.flows, 0);
}

/* What TCP connections dropped counts for a tunnel, and while it goes by TCP. */
static void test_drops_are_forgotten(void **state)
{
	static const struct {
		uint8_t transport;
		enum cp_ovpn_beginning beginning;
		unsigned forgets;
	} logins[] = {
		{ IPPROTO_TCP, CP_OVPN_GO_ON, 1 },
		{ IPPROTO_TCP, CP_OVPN_ANEW, 0 },
		{ IPPROTO_UDP, CP_OVPN_ANEW, 1 },
		{ IPPROTO_UDP, CP_OVPN_GO_ON, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
		settings.remotes[0].transport = logins[i].transport;
		forgets = 0;
		assert_non_null(log_in(logins[i].beginning));
		assert_int_equal(forgets, logins[i].forgets);
		cp_ovpn_login_end(login);
		cp_ovpn_login_destroy(login);
		login = NULL;
	}
}

static void test_stream_without_answer(void **state)
{
	(void)state;
	settings.remotes[0].transport = IPPROTO_TCP;
	settings.connect_timeout_s = 5;
	assert_non_null(log_in(CP_OVPN_ANEW));
	assert_int_equal(cp_ovpn_login_deadline_ms(login), now + 5 * SECOND);
	cp_ovpn_login_tick(login, true, now + 5 * SECOND - 1);
	assert_events("begun");
	cp_ovpn_login_tick(login, false, now + 5 * SECOND);
	assert_events("reason gone");
	assert_non_null(strstr(last.why, "no answer"));
	assert_int_equal(fake.flows, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_up_and_end),
		TEST(test_lzo),
		TEST(test_cannot_begin),
		TEST(test_key_is_refused),
		TEST(test_server_leaves),
		TEST(test_both_leave),
		TEST(test_server_floats),
		TEST(test_server_floats_before_new_keys),
		TEST(test_server_talks),
		TEST(test_asks),
		TEST(test_lost_keys),
		TEST(test_unrenewed),
		TEST(test_renewed_late),
		TEST(test_older_key_is_spent),
		TEST(test_unrenewed_without_keys),
		TEST(test_keepsake),
		TEST(test_token_is_renewed),
		TEST(test_keepsake_that_does_not_fit),
		TEST(test_ended),
		TEST(test_stream),
		TEST(test_drops_are_forgotten),
		TEST(test_stream_without_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
