/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy of moves, over years of virtual time, against a dataplane played from structs.
 */
#include "controlplane/moves.h"
#include "controlplane/zone.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"

#define SECOND 1000000000ull

/* ---- the dataplane ---- */

static struct ipc_environment_state state;
static struct ipc_tunnel_info tunnels[3];
static struct cp_dp_picture picture;
static struct cp_environment environment;
static struct cp_config config;
static struct cp_moves moves;
static uint64_t now;
static unsigned calls;
static int refusal; /* what MOVE answers */

int cp_dp_list(struct cp_dp *client, uint16_t type, size_t entry_size,
               void (*each)(void *context, const void *entry), void *context)
{
	(void)client;
	(void)type;
	(void)entry_size;
	(void)each;
	(void)context;
	return -ENOTCONN;
}

static void move_to(const char *to, enum ipc_move_reason reason)
{
	memcpy(state.moved_from, state.active, sizeof(state.moved_from));
	snprintf(state.active, sizeof(state.active), "%s", to);
	state.move_reason = (uint8_t)reason;
	state.moved_ns = now;
	state.move_counter++;
	state.moves[reason]++;
	state.is_settled = 1;
}

int cp_dp_call(struct cp_dp *client, uint16_t type, const void *body, size_t body_length,
               void *reply, size_t reply_size)
{
	const struct ipc_move *move = body;

	(void)client;
	(void)reply;
	assert_int_equal(type, IPC_MOVE);
	assert_int_equal(body_length, sizeof(*move));
	assert_int_equal(reply_size, sizeof(*move));
	calls++;
	if (refusal)
		return refusal;
	assert_int_equal(move->move_counter, state.move_counter);
	move_to(move->server, move->reason);
	return 0;
}

static void set_alive(size_t i, bool is_alive)
{
	if (is_alive && tunnels[i].liveness != IPC_LIVENESS_ALIVE)
		tunnels[i].alive_since_ns = now;
	if (!is_alive)
		tunnels[i].alive_since_ns = 0;
	tunnels[i].liveness = is_alive ? IPC_LIVENESS_ALIVE : IPC_LIVENESS_DEAD;
}

/* Servers a, b and c are up and alive, a is active; nothing has been moved. */
static int setup(void **context)
{
	(void)context;
	now = 1000 * SECOND;
	calls = 0;
	refusal = 0;
	memset(&state, 0, sizeof(state));
	memset(tunnels, 0, sizeof(tunnels));
	memset(&environment, 0, sizeof(environment));
	strcpy(environment.name, "production");
	strcpy(state.name, "production");
	for (size_t i = 0; i < 3; i++) {
		environment.servers[i].name[0] = (char)('a' + i);
		strcpy(tunnels[i].id.environment, "production");
		tunnels[i].id.server[0] = (char)('a' + i);
		tunnels[i].is_up = 1;
		set_alive(i, true);
	}
	environment.server_count = 3;
	environment.hold_down_s = 60;
	strcpy(state.active, "a");
	config.environments = &environment;
	config.environment_count = 1;
	picture = (struct cp_dp_picture){ &state, 1, tunnels, 3 };
	cp_moves_init(&moves, NULL);
	return 0;
}

static uint64_t look(void)
{
	return cp_moves_look(&moves, &config, 1, &picture, now);
}

/* What a dataplane does: the active one died, the first that lives takes over. */
static void fail_over(void)
{
	for (size_t i = 0; i < 3; i++) {
		if (tunnels[i].liveness == IPC_LIVENESS_ALIVE) {
			move_to(environment.servers[i].name, IPC_MOVE_DEAD);
			return;
		}
	}
}

/* ---- moving back ---- */

static void test_manual(void **context)
{
	(void)context;
	set_alive(0, false);
	fail_over();
	set_alive(0, true);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(look(), 0);
		now += 3600 * SECOND;
	}
	assert_int_equal(calls, 0);
	assert_string_equal(state.active, "b");
}

static void test_after_a_time(void **context)
{
	(void)context;
	environment.failback_s = 300;
	set_alive(0, false);
	fail_over();
	assert_int_equal(look(), 0);
	now += 1000 * SECOND;
	assert_int_equal(look(), 0); /* a is dead */
	set_alive(0, true);
	assert_int_equal(look(), now + 300 * SECOND);
	now += 299 * SECOND;
	assert_int_equal(look(), now + SECOND);
	assert_int_equal(calls, 0);
	now += SECOND;
	assert_int_equal(look(), 0);
	assert_int_equal(calls, 1);
	assert_string_equal(state.active, "a");
	assert_int_equal(state.move_reason, IPC_MOVE_BACK);
	now += 1000 * SECOND;
	look();
	assert_int_equal(calls, 1);
}

/* A break in its life begins the time anew. */
static void test_time_without_a_break(void **context)
{
	(void)context;
	environment.failback_s = 300;
	set_alive(0, false);
	fail_over();
	for (unsigned i = 0; i < 100; i++) {
		set_alive(0, true);
		look();
		now += 250 * SECOND;
		look();
		set_alive(0, false);
		look();
		now += 100 * SECOND;
		look();
	}
	assert_int_equal(calls, 0);
}

static void test_hold_down(void **context)
{
	(void)context;
	environment.failback_s = 1;
	environment.hold_down_s = 60;
	set_alive(0, false);
	fail_over();
	set_alive(0, true);
	assert_int_equal(look(), now + 60 * SECOND);
	now += 59 * SECOND;
	look();
	assert_int_equal(calls, 0);
	now += SECOND;
	look();
	assert_int_equal(calls, 1);
}

/* A server that is dead for half a second in every two, for an hour. */
static void test_flapping(void **context)
{
	(void)context;
	environment.failback_s = 1;
	environment.hold_down_s = 60;
	for (unsigned half = 0; half < 7200; half++) {
		set_alive(0, half % 4 < 3);
		if (state.active[0] == 'a' && tunnels[0].liveness == IPC_LIVENESS_DEAD)
			fail_over();
		look();
		now += SECOND / 2;
	}
	assert_in_range(state.moves[IPC_MOVE_DEAD], 50, 60);
	assert_in_range(state.moves[IPC_MOVE_BACK], 50, 60);
}

/* Not the best one at any price: the best one that lives. */
static void test_best_that_lives(void **context)
{
	(void)context;
	environment.failback_s = 10;
	set_alive(0, false);
	set_alive(1, false);
	fail_over();
	assert_string_equal(state.active, "c");
	set_alive(1, true);
	now += 100 * SECOND;
	look();
	assert_string_equal(state.active, "b");
	tunnels[0].is_up = 0;
	tunnels[0].liveness = IPC_LIVENESS_ALIVE;
	tunnels[0].alive_since_ns = 1;
	now += 100 * SECOND;
	look();
	assert_string_equal(state.active, "b");
	tunnels[0].is_up = 1;
	tunnels[0].liveness = IPC_LIVENESS_UNKNOWN;
	look();
	assert_string_equal(state.active, "b");
	tunnels[0].liveness = IPC_LIVENESS_SUSPECT;
	assert_int_equal(look(), now + SECOND); /* nobody tells when it is heard again */
	assert_string_equal(state.active, "b");
	set_alive(0, true);
	now += 100 * SECOND;
	look();
	assert_string_equal(state.active, "a");
}

static void test_by_hand_stays(void **context)
{
	(void)context;
	environment.failback_s = 1;
	move_to("b", IPC_MOVE_BY_HAND);
	now += 100000 * SECOND;
	assert_int_equal(look(), 0);
	assert_int_equal(calls, 0);
	set_alive(1, false); /* until that one fails */
	set_alive(0, false);
	fail_over();
	set_alive(0, true);
	now += 61 * SECOND;
	look();
	assert_string_equal(state.active, "a");
}

/* Which tunnel is up first is chance: the preferred one takes over at once, for a while. */
static void test_start(void **context)
{
	(void)context;
	set_alive(0, false);
	move_to("b", IPC_MOVE_UP);
	look();
	now += 3 * SECOND;
	set_alive(0, true);
	look();
	assert_string_equal(state.active, "a");
	assert_int_equal(state.move_reason, IPC_MOVE_BACK);

	set_alive(0, false);
	move_to("b", IPC_MOVE_UP);
	now += 60 * SECOND;
	set_alive(0, true);
	look();
	assert_string_equal(state.active, "b");
}

static void test_nothing_known(void **context)
{
	(void)context;
	environment.failback_s = 1;
	state.active[0] = 0;
	assert_int_equal(look(), 0);
	picture.state_count = 0;
	assert_int_equal(look(), 0);
	picture.state_count = 1;
	strcpy(state.active, "gone"); /* a server of the next configuration */
	now += 100 * SECOND;
	picture.tunnel_count = 0;
	assert_int_equal(look(), 0);
	assert_int_equal(calls, 0);
}

static void test_refused_move_is_tried_again(void **context)
{
	(void)context;
	environment.failback_s = 10;
	set_alive(0, false);
	fail_over();
	set_alive(0, true);
	now += 100 * SECOND;
	refusal = -ESTALE;
	assert_int_equal(look(), now + SECOND);
	refusal = 0;
	now += SECOND;
	assert_int_equal(look(), 0);
	assert_string_equal(state.active, "a");
}

/* ---- by hand ---- */

static void test_choose(void **context)
{
	char why[CP_WHY_LEN] = "";

	(void)context;
	assert_string_equal(cp_zone_choose(&environment, &picture, "", why)->name, "b");
	assert_string_equal(cp_zone_choose(&environment, &picture, "c", why)->name, "c");
	assert_string_equal(cp_zone_choose(&environment, &picture, "a", why)->name, "a");
	tunnels[1].is_up = 0;
	assert_string_equal(cp_zone_choose(&environment, &picture, "", why)->name, "c");
	assert_null(cp_zone_choose(&environment, &picture, "b", why));
	assert_non_null(strstr(why, "server b is not up"));
	set_alive(2, false);
	assert_null(cp_zone_choose(&environment, &picture, "", why));
	assert_non_null(strstr(why, "no other server"));
	assert_null(cp_zone_choose(&environment, &picture, "c", why));
	assert_non_null(strstr(why, "server c does not answer"));
	assert_null(cp_zone_choose(&environment, &picture, "d", why));
	assert_non_null(strstr(why, "not configured"));
	/* nobody was asked yet: it may be tried */
	tunnels[2].liveness = IPC_LIVENESS_UNKNOWN;
	assert_string_equal(cp_zone_choose(&environment, &picture, "", why)->name, "c");
}

/* ---- the log ---- */

static FILE *log_file;

static size_t count_lines(const char *words)
{
	char line[1024];
	size_t count = 0;

	rewind(log_file);
	while (fgets(line, sizeof(line), log_file))
		count += strstr(line, words) != NULL;
	fseek(log_file, 0, SEEK_END);
	return count;
}

static void test_each_move_is_one_line(void **context)
{
	const int saved = dup(STDERR_FILENO);

	(void)context;
	log_file = tmpfile();
	assert_non_null(log_file);
	fflush(stderr);
	dup2(fileno(log_file), STDERR_FILENO);
	state.move_counter = 5; /* of before we came */
	look();
	assert_int_equal(count_lines("moved"), 0);

	move_to("b", IPC_MOVE_DEAD);
	state.detection_ns = 151200000;
	state.switch_ns = 40000;
	state.is_settled = 0;
	look();
	assert_int_equal(count_lines("moved"), 0);
	state.is_settled = 1;
	state.sessions_reset = 12;
	for (unsigned i = 0; i < 3; i++)
		look();
	assert_int_equal(count_lines("moved"), 1);
	assert_int_equal(count_lines("environment=production from=a to=b reason=dead "
	                             "detection_ms=151.2 switch_ms=0.040 sessions_kept=0 "
	                             "sessions_reset=12 moves=1"),
	                 1);
	move_to("c", IPC_MOVE_DEAD);
	move_to("a", IPC_MOVE_BY_HAND);
	look();
	assert_int_equal(count_lines("from=c to=a reason=by-hand"), 1);
	assert_int_equal(count_lines("moves=2"), 1);
	assert_int_equal(count_lines("moved"), 2);

	/* a new dataplane counts from 0 */
	memset(&state, 0, sizeof(state));
	strcpy(state.name, "production");
	move_to("b", IPC_MOVE_UP);
	cp_moves_look(&moves, &config, 2, &picture, now);
	assert_int_equal(count_lines("from=- to=b reason=up"), 1);
	dup2(saved, STDERR_FILENO);
	close(saved);
	fclose(log_file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_manual, setup),
		cmocka_unit_test_setup(test_after_a_time, setup),
		cmocka_unit_test_setup(test_time_without_a_break, setup),
		cmocka_unit_test_setup(test_hold_down, setup),
		cmocka_unit_test_setup(test_flapping, setup),
		cmocka_unit_test_setup(test_best_that_lives, setup),
		cmocka_unit_test_setup(test_by_hand_stays, setup),
		cmocka_unit_test_setup(test_start, setup),
		cmocka_unit_test_setup(test_nothing_known, setup),
		cmocka_unit_test_setup(test_refused_move_is_tried_again, setup),
		cmocka_unit_test_setup(test_choose, setup),
		cmocka_unit_test_setup(test_each_move_is_one_line, setup),
	};

	sp_log_init("test", SP_LOG_INFO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
