/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's own timers, under a clock that the test moves. libcharon and the dataplane are
 * played by the test; tunnels, orphans, limits and the policy of moves are the real ones.
 */
#include "controlplane/supervisor.c"
#include "controlplane/supervisor_doubt.c"

#include "controlplane/ike_config.h"
#include "controlplane/ike_keepsake.h"
#include "controlplane/ike_kernel.h"
#include "controlplane/ovpn_client.h"
#include "tests/unit/common/unit.h"

#define SECOND 1000u
#define EPOCH 0x1234567800000001ull
#define IKE 77u /* an IKE_SA's number */

/* ---- who else there is ---- */

static uint64_t now_ms;
static struct cp_config config, without_b;
static struct cp_supervisor *supervisor;
static struct ipc_tunnel_info info;                /* of a, as the dataplane says */
static struct ipc_peer peer;                       /* of PEER_SET */
static unsigned lists[64];                         /* by type */
static unsigned checks, retired, initiated, ended; /* calls */

/* What clock_gettime() is compiled to in the supervisor's files (meson.build). */
int moved_clock(clockid_t clock, struct timespec *t)
{
	assert_int_equal(clock, CLOCK_MONOTONIC);
	*t = (struct timespec){ .tv_sec = (time_t)(now_ms / 1000),
		                .tv_nsec = (long)(now_ms % 1000) * 1000000 };
	return 0;
}

int cp_dp_list(struct cp_dp *client, uint16_t type, size_t entry_size,
               void (*each)(void *context, const void *entry), void *context)
{
	(void)client;
	(void)entry_size;
	lists[type]++;
	if (type == IPC_TUNNELS)
		each(context, &info);
	return 0;
}

int cp_dp_call(struct cp_dp *client, uint16_t type, const void *body, size_t body_length,
               void *reply, size_t reply_size)
{
	(void)client;
	if (type == IPC_PEER_SET) {
		assert_int_equal(body_length, sizeof(peer));
		memcpy(&peer, body, sizeof(peer));
	}
	(void)reply;
	(void)reply_size;
	return 0;
}

void cp_dp_state(struct cp_dp *client, struct cp_dp_state *state)
{
	(void)client;
	*state = (struct cp_dp_state){ .epoch = EPOCH };
}

int cp_dp_start(struct cp_dp *client, const struct cp_dp_callbacks *callbacks)
{
	(void)client;
	(void)callbacks;
	return 0;
}

int cp_dp_configure(struct cp_dp *client, const struct cp_config *new, char why[CP_DP_WHY_LEN])
{
	(void)client;
	(void)new;
	(void)why;
	return 0;
}

void cp_dp_pause(struct cp_dp *client, const char *why)
{
	(void)client;
	(void)why;
}

void cp_dp_resume(struct cp_dp *client)
{
	(void)client;
}

void cp_resolve(const char *name, uint32_t attempt, size_t tag, cp_resolved_fn done, void *context)
{
	(void)name;
	(void)attempt;
	(void)tag;
	(void)done;
	(void)context;
}

int cp_ike_start(struct cp_ike *ike)
{
	(void)ike;
	return 0;
}

int cp_ike_config_check(const struct cp_server *server, char why[CP_WHY_LEN])
{
	(void)server;
	(void)why;
	return 0;
}

int cp_ike_config_initiate(struct cp_ike *ike, const struct cp_ike_tunnel *tunnel,
                           uint32_t remote_be, char why[CP_WHY_LEN])
{
	(void)ike;
	(void)tunnel;
	(void)remote_be;
	(void)why;
	initiated++;
	return 0;
}

void cp_ike_expect(size_t tunnel_count)
{
	(void)tunnel_count;
}

void cp_ike_check(uint32_t ike_id)
{
	assert_int_equal(ike_id, IKE);
	checks++;
}

void cp_ike_terminate(uint32_t ike_id)
{
	assert_int_equal(ike_id, IKE);
	ended++;
}

void cp_ike_terminate_late(uint32_t ike_id, unsigned seconds)
{
	(void)ike_id;
	(void)seconds;
}

void cp_ike_freeze(void)
{
}

void cp_ike_thaw(const struct cp_ike *ike)
{
	(void)ike;
}

void cp_ike_mute(struct cp_ike *ike)
{
	(void)ike;
}

void cp_ike_socket_receive(const struct ipc_punt *punt, const void *payload)
{
	(void)punt;
	(void)payload;
}

bool cp_ike_kernel_has(const struct ipc_sa_id *id)
{
	(void)id;
	return false;
}

void cp_ike_kernel_rekey(uint32_t spi_be, uint32_t destination_be)
{
	(void)spi_be;
	(void)destination_be;
}

const struct cp_protocol cp_protocol_openvpn = { .name = "openvpn" }; /* there is none */

int cp_ovpn_client_start(struct cp_ike *ike)
{
	(void)ike;
	return 0;
}

bool cp_ovpn_client_receive(const struct cp_ike *ike, const struct ipc_punt *punt,
                            const void *payload)
{
	(void)ike;
	(void)punt;
	(void)payload;
	return false;
}

void cp_ovpn_client_send(const struct cp_ike *ike, const struct ipc_punt *punt, const void *packet)
{
	(void)ike;
	(void)punt;
	(void)packet;
}

void cp_ovpn_client_keys_changed(const struct cp_ike *ike)
{
	(void)ike;
}

bool cp_ovpn_client_has(const struct cp_ike *ike, const struct ipc_sa_id *id)
{
	(void)ike;
	(void)id;
	return false;
}

uint64_t cp_ovpn_client_dropped(const struct cp_ike *ike, const struct cp_server *of)
{
	(void)ike;
	(void)of;
	return 0;
}

void cp_ovpn_client_freeze(const struct cp_ike *ike)
{
	(void)ike;
}

void cp_ovpn_client_thaw(const struct cp_ike *ike)
{
	(void)ike;
}

void cp_ike_keepsake_read(struct cp_ike *ike)
{
	(void)ike;
}

bool cp_ike_keepsake_has(const struct cp_ike_tunnel *tunnel)
{
	(void)tunnel;
	return false;
}

void cp_ike_keepsake_retire(struct cp_ike *ike, const struct cp_ike_tunnel *tunnel)
{
	(void)ike;
	assert_string_equal(tunnel->id.server, "a");
	retired++;
}

bool cp_supervisor_has_rival(const struct cp_supervisor *s, size_t index, uint32_t remote_be,
                             char why[CP_WHY_LEN])
{
	(void)s;
	(void)index;
	(void)remote_be;
	(void)why;
	return false;
}

/* ---- a gateway with one environment and its servers a and b ---- */

static struct cp_config configuration(size_t servers, const char *last)
{
	static struct cp_environment places[8];
	static size_t used;
	struct cp_environment *e = &places[used++ % 8];

	*e = (struct cp_environment){ .name = "production", .server_count = servers };
	for (size_t i = 0; i < servers; i++) {
		e->servers[i] = (struct cp_server){ .retry_min_s = 1, .retry_max_s = 60 };
		snprintf(e->servers[i].name, sizeof(e->servers[i].name), "%c", (char)('a' + i));
	}
	snprintf(e->servers[servers - 1].name, sizeof(e->servers[0].name), "%s", last);
	return (struct cp_config){ .environments = e, .environment_count = 1, .holders = 1000 };
}

static int set_up(void **state)
{
	(void)state;
	now_ms = 5000 * SECOND;
	memset(lists, 0, sizeof(lists));
	checks = retired = initiated = ended = 0;
	config = configuration(2, "b");
	without_b = configuration(1, "a");
	info = (struct ipc_tunnel_info){ .is_up = 1, .liveness = IPC_LIVENESS_DEAD };
	memcpy(info.id.environment, "production", sizeof("production"));
	memcpy(info.id.server, "a", sizeof("a"));
	return cp_supervisor_create(&config, NULL, EPOCH, &supervisor);
}

static int tear_down(void **state)
{
	(void)state;
	cp_ike_tunnels_tidy(&supervisor->ike, UINT64_MAX / 2);
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++)
		free((void *)supervisor->ike.tunnels[i].server);
	free(supervisor->ike.tunnels);
	free(supervisor->tunnels);
	free(supervisor);
	return 0;
}

static void happen(size_t index, struct cp_event event)
{
	cp_supervisor_step(supervisor, index, &event);
}

/* Tunnel a is up. */
static void come_up_a(void)
{
	const uint32_t somewhere_be = htonl(0x0a141e01);

	happen(0, (struct cp_event){ .type = CP_EVENT_READY });
	happen(0, (struct cp_event){ .type = CP_EVENT_RESOLVED, .remote_be = somewhere_be });
	happen(0, (struct cp_event){ .type = CP_EVENT_ADMITTED });
	assert_int_equal(initiated, 1);
	happen(0, (struct cp_event){ .type = CP_EVENT_IKE_BEGUN, .ike_id = IKE });
	happen(0, (struct cp_event){ .type = CP_EVENT_CHILD_UP,
	                             .ike_id = IKE,
	                             .child_id = 1,
	                             .inner_be = somewhere_be,
	                             .remote_be = somewhere_be });
	assert_int_equal(supervisor->tunnels[0].state.phase, CP_TUNNEL_UP);
}

/* How long the supervisor would sleep. */
static uint64_t rest_ms(void)
{
	return next_deadline_ms(supervisor, now_ms) - now_ms;
}

/* A pass of its loop without an event, DELTA_MS later. */
static void pass(uint64_t delta_ms)
{
	static const struct cp_event time_passed = { .type = CP_EVENT_TIME };

	now_ms += delta_ms;
	cp_supervisor_look_at_sas(supervisor, false);
	look_at_moves(supervisor, false);
	look_at_sources(supervisor);
	for (size_t i = 0; i < supervisor->ike.tunnel_count; i++)
		cp_supervisor_step(supervisor, i, &time_passed);
	admit(supervisor);
	cp_supervisor_retire(supervisor);
	cp_ike_tunnels_tidy(&supervisor->ike, now_ms);
}

/* ---- its timers ---- */

static void assert_peer(uint32_t address, uint16_t port)
{
	assert_int_equal(ntohl(peer.remote_be), address);
	assert_int_equal(ntohs(peer.remote_port_be), port);
}

/* A server that floats: its control packets come from there, unless another login is tried. */
static void test_a_server_that_floats(void **state)
{
	struct cp_event floated = { .type = CP_EVENT_FLOATED,
		                    .ike_id = IKE,
		                    .remote_be = htonl(0x0a141e02),
		                    .remote_port_be = htons(7) };

	(void)state;
	happen(0, (struct cp_event){ .type = CP_EVENT_READY });
	happen(0, (struct cp_event){ .type = CP_EVENT_RESOLVED, .remote_be = htonl(0x0a141e01) });
	happen(0, (struct cp_event){ .type = CP_EVENT_ADMITTED });
	happen(0, (struct cp_event){ .type = CP_EVENT_IKE_BEGUN, .ike_id = IKE });
	happen(0, floated); /* a session that is gone on with */
	assert_peer(0x0a141e02, 7);
	happen(0, (struct cp_event){ .type = CP_EVENT_IKE_GONE, .ike_id = IKE });
	now_ms = supervisor->tunnels[0].state.deadline_ms;
	initiated = 0;
	come_up_a();
	assert_peer(0x0a141e01, 0);
	happen(0, floated);
	assert_peer(0x0a141e02, 7);
	happen(0, (struct cp_event){ .type = CP_EVENT_LOST });
	happen(0, (struct cp_event){ .type = CP_EVENT_READY_NEW });
	assert_peer(0x0a141e02, 7);
	happen(0, (struct cp_event){
			  .type = CP_EVENT_CHILD_REKEYED, .old_child_id = 1, .child_id = 2 });
	assert_int_equal(supervisor->tunnels[0].state.phase, CP_TUNNEL_UP);
	happen(0, (struct cp_event){ .type = CP_EVENT_RENEW });
	happen(0, (struct cp_event){ .type = CP_EVENT_RESOLVED, .remote_be = htonl(0x0a141e01) });
	happen(0, (struct cp_event){ .type = CP_EVENT_ADMITTED });
	assert_peer(0x0a141e01, 0);
	floated.remote_be = htonl(0x0a141e03);
	happen(0, floated);
	assert_peer(0x0a141e01, 0);
	happen(0, (struct cp_event){ .type = CP_EVENT_NOT_BEGUN, .why = "no" });
	assert_peer(0x0a141e03, 7);
}

static void test_a_dead_server_is_asked_every_10_s(void **state)
{
	(void)state;
	come_up_a();
	pass(0); /* refused sources are looked at, too */
	look_at_moves(supervisor, true);
	assert_int_equal(checks, 1);
	look_at_moves(supervisor, true); /* another tunnel's change */
	assert_int_equal(checks, 1);
	for (unsigned i = 1; i < 10; i++) {
		assert_in_range(rest_ms(), 1, DEAD_CHECK_MS);
		pass(DEAD_CHECK_MS - 1);
		assert_int_equal(checks, i);
		pass(1);
		assert_int_equal(checks, i + 1);
	}
	info.liveness = IPC_LIVENESS_ALIVE;
	look_at_moves(supervisor, true);
	pass(10 * DEAD_CHECK_MS);
	assert_int_equal(checks, 10);
	info.liveness = IPC_LIVENESS_DEAD; /* once more, at once */
	look_at_moves(supervisor, true);
	assert_int_equal(checks, 11);
}

/* A server whose IKE alone is silent keeps its tunnel; one of which nothing is heard does not. */
static void test_an_ike_sa_is_given_up_if_esp_is_silent_too(void **state)
{
	const struct cp_event silent = { .type = CP_EVENT_SILENT, .ike_id = IKE };

	(void)state;
	come_up_a();
	supervisor->is_dp_ready = true;
	info.liveness = IPC_LIVENESS_ALIVE;
	info.heard_ns = now_ms * MS_NS;
	now_ms += PASSES_MS - 1;
	assert_false(cp_supervisor_doubt(supervisor, 0, &silent));
	assert_int_equal(ended, 0);
	assert_true(supervisor->tunnels[0].is_ike_silent);
	now_ms += 1;
	assert_false(cp_supervisor_doubt(supervisor, 0, &silent));
	assert_int_equal(ended, 1);
	assert_string_equal(supervisor->tunnels[0].state.reason, "the server stopped answering");
}

/* What IKE leaves unanswered matters to who is dead, or suspect and silent since it was asked. */
static void test_ike_gives_a_second_opinion(void **state)
{
	const struct cp_event unanswered = { .type = CP_EVENT_UNANSWERED, .ike_id = IKE };

	(void)state;
	come_up_a();
	assert_false(cp_supervisor_doubt(supervisor, 0, &unanswered)); /* not asked */
	look_at_moves(supervisor, true);
	assert_int_equal(checks, 1);
	assert_true(cp_supervisor_doubt(supervisor, 0, &unanswered));
	info.liveness = IPC_LIVENESS_SUSPECT;
	assert_true(cp_supervisor_doubt(supervisor, 0, &unanswered));
	info.heard_ns = now_ms * MS_NS + 1;
	assert_false(cp_supervisor_doubt(supervisor, 0, &unanswered));
	info.liveness = IPC_LIVENESS_ALIVE;
	assert_false(cp_supervisor_doubt(supervisor, 0, &unanswered));
}

static void test_sas_are_looked_at_every_second_if_there_are_limits(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++)
		pass(SECOND);
	assert_int_equal(lists[IPC_SA_LIST], 0);
	supervisor->has_limits = true;
	for (unsigned i = 0; i < 10; i++) {
		assert_in_range(rest_ms(), 1, CP_LIMITS_POLL_MS);
		pass(CP_LIMITS_POLL_MS / 2);
	}
	assert_int_equal(lists[IPC_SA_LIST], 5);
	cp_supervisor_look_at_sas(supervisor, true); /* the dataplane says so */
	assert_int_equal(lists[IPC_SA_LIST], 6);
}

static void test_refused_sources_are_looked_at_every_10_s(void **state)
{
	unsigned before;

	(void)state;
	pass(0);
	before = lists[IPC_STATE];
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(rest_ms(), CP_SOURCES_LOOK_MS);
		pass(CP_SOURCES_LOOK_MS - 1);
		assert_int_equal(lists[IPC_STATE], before + i - 1);
		pass(1);
		assert_int_equal(lists[IPC_STATE], before + i);
	}
}

/* A predecessor's IKE_SA ends two seconds after our own tunnel is up. */
static void test_what_was_left_ends_when_ours_is_up(void **state)
{
	(void)state;
	supervisor->tunnels[0].has_left_ike = true;
	pass(100 * SECOND);
	assert_int_equal(retired, 0);
	come_up_a();
	assert_in_range(rest_ms(), 0, CP_ORPHANS_POLL_MS);
	pass(CP_ORPHANS_GRACE_MS - 1);
	assert_int_equal(retired, 0);
	pass(1);
	assert_int_equal(retired, 1);
	pass(100 * SECOND);
	assert_int_equal(retired, 1);
}

/* A tunnel's place rests for a minute, but its own tunnel may have it back at once. */
static void test_places_rest(void **state)
{
	struct cp_config with_c = configuration(2, "c"), with_d = configuration(2, "d");

	(void)state;
	cp_supervisor_adopt(supervisor, &without_b);
	assert_false(supervisor->tunnels[1].is_configured);
	cp_supervisor_adopt(supervisor, &config);
	assert_true(supervisor->tunnels[1].is_configured);
	assert_int_equal(supervisor->ike.tunnel_count, 2);

	cp_supervisor_adopt(supervisor, &without_b);
	pass(60 * SECOND - 1);
	cp_supervisor_adopt(supervisor, &with_c);
	assert_int_equal(supervisor->ike.tunnel_count, 3);
	assert_string_equal(supervisor->ike.tunnels[1].id.server, "b");
	assert_string_equal(supervisor->ike.tunnels[2].id.server, "c");
	pass(1);
	cp_supervisor_adopt(supervisor, &with_d);
	assert_int_equal(supervisor->ike.tunnel_count, 3);
	assert_string_equal(supervisor->ike.tunnels[1].id.server, "d");
}

/* Threads of libcharon may look at settings of before for ten minutes. */
static void test_settings_are_kept(void **state)
{
	struct cp_config other = configuration(2, "b");
	const struct cp_server *before = supervisor->ike.tunnels[0].server;

	(void)state;
	other.environments[0].servers[0].retry_max_s = 61;
	pass(2ull * CP_IKE_SETTINGS_KEEP_MS); /* those of the start are gone */
	assert_null(supervisor->ike.replaced);
	cp_supervisor_adopt(supervisor, &other);
	assert_ptr_not_equal(supervisor->ike.tunnels[0].server, before);
	pass(CP_IKE_SETTINGS_KEEP_MS - 1);
	assert_non_null(supervisor->ike.replaced);
	assert_int_equal(before->retry_max_s, 60);
	pass(1);
	assert_null(supervisor->ike.replaced);
}

/* It wakes up for whatever is due first, and once an hour if nothing is. */
static void test_sleeps_until_something_is_due(void **state)
{
	(void)state;
	pass(0);
	assert_int_equal(rest_ms(), CP_SOURCES_LOOK_MS);
	supervisor->sources_due_ms = UINT64_MAX;
	assert_int_equal(rest_ms(), 3600 * SECOND);
	supervisor->moves_due_ms = now_ms + 7 * SECOND;
	assert_int_equal(rest_ms(), 7 * SECOND);
	happen(0, (struct cp_event){ .type = CP_EVENT_READY });
	happen(0, (struct cp_event){ .type = CP_EVENT_NOT_BEGUN, .why = "no such name" });
	assert_in_range(rest_ms(), 700, 1300); /* retry_min */
	pass(rest_ms() - 1);
	assert_int_equal(supervisor->tunnels[0].state.phase, CP_TUNNEL_WAITING);
	pass(1);
	assert_int_equal(supervisor->tunnels[0].state.phase, CP_TUNNEL_CONNECTING);
}

static const char *renewal_of_a(void)
{
	static struct cp_tunnel_view views[2];

	assert_int_equal(cp_supervisor_tunnels(supervisor, views, 2), 2);
	assert_string_equal(views[0].id.server, "a");
	return views[0].renewal;
}

/* Why there is a new login beside what is up: what became of it, or what led to it. */
static void test_a_renewal_says_why(void **state)
{
	(void)state;
	come_up_a();
	assert_string_equal(renewal_of_a(), "");
	happen(0, (struct cp_event){ .type = CP_EVENT_RENEW });
	assert_string_equal(renewal_of_a(), "logging in anew");
	happen(0,
	       (struct cp_event){ .type = CP_EVENT_UNRENEWED, .ike_id = IKE, .why = "no answer" });
	assert_string_equal(renewal_of_a(), "no answer");
	happen(0, (struct cp_event){ .type = CP_EVENT_NOT_BEGUN, .why = "no such name" });
	assert_string_equal(renewal_of_a(), "no such name");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_server_that_floats),
		TEST(test_a_dead_server_is_asked_every_10_s),
		TEST(test_an_ike_sa_is_given_up_if_esp_is_silent_too),
		TEST(test_ike_gives_a_second_opinion),
		TEST(test_sas_are_looked_at_every_second_if_there_are_limits),
		TEST(test_refused_sources_are_looked_at_every_10_s),
		TEST(test_what_was_left_ends_when_ours_is_up),
		TEST(test_places_rest),
		TEST(test_settings_are_kept),
		TEST(test_a_renewal_says_why),
		TEST(test_sleeps_until_something_is_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
