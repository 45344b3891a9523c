/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API over its real socket: answers, pages, clients that are slow, rude or strangers.
 */
#include "tests/unit/controlplane/api_world.h"

#include <jansson.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define STRANGER 65534 /* nobody */

static struct world world;
static char run_dir[] = "/tmp/test_api.XXXXXX";
static char path[sizeof(run_dir) + sizeof("/control.sock")];
static struct cp_api *api;

static int setup_all(void **state)
{
	(void)state;
	if (!mkdtemp(run_dir))
		return -1;
	snprintf(path, sizeof(path), "%s/control.sock", run_dir);
	return chmod(run_dir, 0755);
}

static int teardown_all(void **state)
{
	(void)state;
	return rmdir(run_dir); /* fails if a socket was left over */
}

static int setup(void **state)
{
	(void)state;
	world_init(&world);
	return cp_api_start(&world.context, run_dir, (gid_t)-1, &api);
}

static int teardown(void **state)
{
	(void)state;
	cp_api_stop(api);
	return 0;
}

/* ---- a client ---- */

static int try_connect(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timeval patience = { .tv_sec = 20 };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience))) {
		close(fd);
		return -1;
	}
	return fd;
}

static int dial(void)
{
	int fd = try_connect();

	assert_true(fd >= 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads a line byte by byte: what follows belongs to the next one. */
static json_t *hear(int fd)
{
	size_t size = 1u << 20, length = 0;
	char *line = malloc(size);
	json_t *reply;

	assert_non_null(line);
	do {
		assert_true(length < size);
		assert_int_equal(recv(fd, line + length, 1, 0), 1);
	} while (line[length++] != '\n');
	reply = json_loadb(line, length, 0, NULL);
	free(line);
	assert_non_null(reply);
	return reply;
}

static json_t *ask_on(int fd, const char *request)
{
	say(fd, request);
	say(fd, "\n");
	return hear(fd);
}

static json_t *ask(const char *request)
{
	int fd = dial();
	json_t *reply = ask_on(fd, request);

	close(fd);
	return reply;
}

/* The member of OBJECT at a path like "result/environments/0/name". */
static json_t *at(json_t *object, const char *where)
{
	char copy[256], *rest = copy, *key;

	snprintf(copy, sizeof(copy), "%s", where);
	while ((key = strsep(&rest, "/"))) {
		object = json_is_array(object) ? json_array_get(object, strtoul(key, NULL, 10))
		                               : json_object_get(object, key);
		if (!object)
			fail_msg("no \"%s\" of \"%s\"", key, where);
	}
	return object;
}

#define assert_text(reply, where, text) \
	assert_string_equal(json_string_value(at(reply, where)), text)
#define assert_number(reply, where, number) \
	assert_int_equal(json_integer_value(at(reply, where)), number)
#define assert_is(reply, where, truth) assert_int_equal(json_is_true(at(reply, where)), truth)
#define assert_nothing(reply, where) assert_true(json_is_null(at(reply, where)))

/* ---- answers ---- */

static void test_status(void **state)
{
	json_t *reply = ask("{\"command\": \"status\"}");

	(void)state;
	assert_is(reply, "ok", true);
	assert_text(reply, "result/instance", "edge");
	assert_text(reply, "result/gateway", "gw-a");
	assert_text(reply, "result/controlplane/epoch", "0000000000001234");
	assert_number(reply, "result/controlplane/pid", getpid());
	assert_is(reply, "result/dataplane/connected", true);
	assert_text(reply, "result/dataplane/epoch", "8000000000000001");
	assert_number(reply, "result/dataplane/generation", 7);
	assert_int_equal(json_array_size(at(reply, "result/environments")), 2);
	assert_text(reply, "result/environments/0/name", "production");
	assert_text(reply, "result/environments/0/pod_address", "10.0.0.33");
	assert_text(reply, "result/environments/0/active", "a");
	assert_number(reply, "result/environments/0/tunnels_up", 2);
	assert_number(reply, "result/environments/0/tunnels_total", 2);
	assert_number(reply, "result/environments/0/forwards", 2);
	assert_number(reply, "result/environments/0/traffic/bytes_in", 5400000000);
	assert_int_equal(json_array_size(at(reply, "result/environments/0/tunnels")), 2);
	assert_text(reply, "result/environments/1/tunnels/0/server", "c");
	json_decref(reply);
}

static void test_upgrade(void **state)
{
	json_t *reply = ask("{\"command\": \"status\"}");

	(void)state;
	assert_nothing(reply, "result/controlplane/upgrade");
	json_decref(reply);
	reply = ask("{\"command\": \"upgrade\"}");
	assert_is(reply, "ok", true);
	assert_number(reply, "result/pid", 4711);
	json_decref(reply);
	world.takeover_status = -EALREADY;
	reply = ask("{\"command\": \"upgrade\"}");
	assert_text(reply, "code", "busy");
	json_decref(reply);
	world.takeover_status = -ENOTSUP;
	reply = ask("{\"command\": \"upgrade\"}");
	assert_text(reply, "code", "refused");
	assert_non_null(strstr(json_string_value(at(reply, "error")), "restart the container"));
	json_decref(reply);
	world.takeover_phase = CP_TAKEOVER_FAILED;
	world.takeover_why = "the successor ended with status 2";
	reply = ask("{\"command\": \"status\"}");
	assert_is(reply, "result/controlplane/upgrade/running", false);
	assert_text(reply, "result/controlplane/upgrade/why", "the successor ended with status 2");
	json_decref(reply);
}

static void test_reload(void **state)
{
	struct cp_change change = { .kind = CP_CHANGED,
		                    .what = CP_FORWARD,
		                    .effect = CP_AT_ONCE,
		                    .environment = "production",
		                    .protocol = IPPROTO_UDP,
		                    .port_be = htons(53),
		                    .from = "192.0.2.1:53",
		                    .to = "192.0.2.2:53" };
	json_t *reply;

	(void)state;
	world.outcome.changes = (struct cp_changes){ &change, 1 };
	reply = ask("{\"command\": \"diff\"}");
	assert_is(reply, "result/applied", false);
	assert_number(reply, "result/total", 1);
	assert_text(reply, "result/changes/0/change", "changed");
	assert_text(reply, "result/changes/0/what", "forward");
	assert_text(reply, "result/changes/0/forward/protocol", "udp");
	assert_number(reply, "result/changes/0/forward/port", 53);
	assert_text(reply, "result/changes/0/to", "192.0.2.2:53");
	assert_nothing(reply, "result/changes/0/key");
	json_decref(reply);
	assert_int_equal(world.reloads, 0);
	reply = ask("{\"command\": \"reload\"}");
	assert_is(reply, "result/applied", true);
	json_decref(reply);
	assert_int_equal(world.reloads, 1);
	json_decref(ask("{\"command\": \"rollback\"}"));
	assert_int_equal(world.rollbacks, 1);
}

static void test_reload_is_refused(void **state)
{
	struct cp_mistake mistake = {
		.file = "production.conf", .line = 7, .key = "environment.colour", .text = "no"
	};
	json_t *reply;

	(void)state;
	world.outcome.mistakes = (struct cp_mistakes){ &mistake, 1 };
	world.outcome_status = -EINVAL;
	reply = ask("{\"command\": \"reload\"}");
	assert_is(reply, "result/applied", false);
	assert_text(reply, "result/mistakes/0/key", "environment.colour");
	assert_number(reply, "result/mistakes/0/line", 7);
	json_decref(reply);
	world.outcome.mistakes.count = 0;
	snprintf(world.outcome.why, sizeof(world.outcome.why), "no slot left");
	reply = ask("{\"command\": \"reload\"}");
	assert_text(reply, "code", "refused");
	assert_text(reply, "error", "nothing has changed: no slot left");
	json_decref(reply);
	world.outcome_status = -ENOENT;
	reply = ask("{\"command\": \"rollback\"}");
	assert_text(reply, "code", "not-found");
	json_decref(reply);
}

static void test_reconnect(void **state)
{
	json_t *reply = ask(
		"{\"command\": \"reconnect\", \"arguments\": {\"environment\": \"production\"}}");

	(void)state;
	assert_number(reply, "result/tunnels", 2);
	json_decref(reply);
	reply = ask("{\"command\": \"reconnect\", \"arguments\": {\"environment\": "
	            "\"production\", \"server\": \"x\"}}");
	assert_text(reply, "code", "not-found");
	json_decref(reply);
	reply = ask("{\"command\": \"reconnect\"}");
	assert_text(reply, "code", "bad-request");
	json_decref(reply);
}

static void test_health(void **state)
{
	json_t *reply = ask("{\"command\": \"health\"}");

	(void)state;
	assert_text(reply, "result/state", "ready");
	json_decref(reply);
	reply = ask("{\"command\": \"drain\", \"arguments\": {\"environment\": \"staging\"}}");
	assert_is(reply, "result/draining", true);
	json_decref(reply);
	reply = ask("{\"command\": \"health\"}"); /* the best one counts */
	assert_text(reply, "result/state", "ready");
	assert_text(reply, "result/environments/1/state", "draining");
	json_decref(reply);
	world.states[0].active[0] = 0;
	world.states[1].sessions = 7;
	world.states[1].sessions_closed = 3;
	reply = ask("{\"command\": \"health\"}");
	assert_text(reply, "result/state", "draining");
	assert_number(reply, "result/environments/1/sessions", 7);
	assert_number(reply, "result/environments/1/sessions_open", 4);
	assert_text(reply, "result/environments/0/state", "down");
	json_decref(reply);
	world.states[1].is_lost = 1; /* drained and dead: down */
	reply = ask("{\"command\": \"health\", \"arguments\": {\"environment\": \"staging\"}}");
	assert_text(reply, "result/state", "down");
	assert_int_equal(json_array_size(at(reply, "result/environments")), 1);
	json_decref(reply);
	world_disconnect(&world, "away");
	reply = ask("{\"command\": \"health\"}");
	assert_text(reply, "result/state", "down");
	assert_nothing(reply, "result/environments/1/sessions_open");
	json_decref(reply);
	world.takeover_phase = CP_TAKEOVER_RUNNING; /* a successor has it: as the tunnels were */
	world.takeover_why = "";
	reply = ask("{\"command\": \"health\"}");
	assert_text(reply, "result/environments/0/state", "ready");
	json_decref(reply);
}

/* The successor serves the same socket, and the predecessor leaves it where it is. */
static void test_socket_is_handed_over(void **state)
{
	struct cp_api *successor;
	int listener_copy;

	(void)state;
	listener_copy = dup(cp_api_listener(api));
	cp_api_leave(api);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(cp_api_inherit(&world.context, run_dir, listener_copy, &successor), 0);
	api = successor;
	json_decref(ask("{\"command\": \"version\"}"));
}

static void test_status_without_dataplane(void **state)
{
	json_t *reply;

	(void)state;
	world_disconnect(&world, "nothing listens there");
	reply = ask("{\"command\": \"status\"}");
	assert_is(reply, "ok", true);
	assert_is(reply, "result/dataplane/connected", false);
	assert_text(reply, "result/dataplane/why", "nothing listens there");
	assert_text(reply, "result/environments/0/name", "production");
	assert_nothing(reply, "result/environments/0/active");
	assert_nothing(reply, "result/environments/0/traffic");
	assert_nothing(reply, "result/environments/0/tunnels/0/traffic");
	json_decref(reply);
}

/* It is connected, but the request fails. */
static void test_status_of_a_silent_dataplane(void **state)
{
	json_t *reply;

	(void)state;
	world.list_status = -ETIMEDOUT;
	reply = ask("{\"command\": \"status\"}");
	assert_is(reply, "result/dataplane/connected", false);
	assert_non_null(
		strstr(json_string_value(at(reply, "result/dataplane/why")), "does not answer"));
	assert_nothing(reply, "result/environments/0/sessions");
	json_decref(reply);
}

static void test_tunnels(void **state)
{
	json_t *reply;

	(void)state;
	world_break_tunnel(&world, "password or account refused by the server \xff\x1b[2J");
	reply = ask("{\"command\": \"tunnels\"}");
	assert_int_equal(json_array_size(at(reply, "result/tunnels")), 3);
	assert_is(reply, "result/tunnels/0/up", true);
	assert_is(reply, "result/tunnels/0/active", true);
	assert_text(reply, "result/tunnels/0/suite", "AES_GCM_16_256");
	assert_text(reply, "result/tunnels/0/inner_address", "10.10.10.1");
	assert_number(reply, "result/tunnels/0/inner_mtu", 1400);
	assert_number(reply, "result/tunnels/0/traffic/bytes_out", 1234567);
	assert_is(reply, "result/tunnels/1/up", false);
	assert_text(reply, "result/tunnels/1/phase", "waiting");
	assert_text(reply, "result/tunnels/1/why",
	            "password or account refused by the server ?\x1b[2J");
	assert_nothing(reply, "result/tunnels/1/inner_address");
	assert_number(reply, "result/tunnels/1/attempts", 3);
	json_decref(reply);

	reply = ask("{\"command\": \"tunnels\", \"arguments\": {\"environment\": \"staging\"}}");
	assert_int_equal(json_array_size(at(reply, "result/tunnels")), 1);
	assert_text(reply, "result/tunnels/0/server", "c");
	json_decref(reply);
}

static void test_forwards(void **state)
{
	json_t *reply = ask("{\"command\": \"forwards\"}");

	(void)state;
	assert_int_equal(json_array_size(at(reply, "result/forwards")), 3);
	assert_number(reply, "result/forwards/0/port", 33000);
	assert_text(reply, "result/forwards/0/to_address", "192.168.100.30");
	assert_number(reply, "result/forwards/0/to_port", 8080);
	assert_nothing(reply, "result/forwards/0/preferred");
	assert_text(reply, "result/forwards/0/active", "a");
	assert_text(reply, "result/forwards/1/protocol", "udp");
	assert_text(reply, "result/forwards/1/preferred", "b");
	assert_text(reply, "result/forwards/2/environment", "staging");
	assert_nothing(reply, "result/next");
	json_decref(reply);

	reply = ask("{\"command\": \"forwards\", \"arguments\": {\"limit\": 2}}");
	assert_int_equal(json_array_size(at(reply, "result/forwards")), 2);
	assert_text(reply, "result/next", "2");
	json_decref(reply);
	reply = ask(
		"{\"command\": \"forwards\", \"arguments\": {\"limit\": 2, \"cursor\": \"2\"}}");
	assert_int_equal(json_array_size(at(reply, "result/forwards")), 1);
	assert_text(reply, "result/forwards/0/environment", "staging");
	assert_nothing(reply, "result/next");
	json_decref(reply);
	reply = ask(
		"{\"command\": \"forwards\", \"arguments\": {\"cursor\": \"18446744073709551615\"}}");
	assert_int_equal(json_array_size(at(reply, "result/forwards")), 0);
	assert_nothing(reply, "result/next");
	json_decref(reply);
}

/* Each of N sessions comes once, over pages and the dataplane's own parts. */
static void test_session_pages(void **state)
{
	char request[128], cursor[32] = "0";
	bool seen[2500] = { false };
	size_t total = 0;
	int fd = dial();

	(void)state;
	world_add_sessions(&world, 5000);
	for (bool is_last = false; !is_last;) {
		json_t *reply, *session;
		size_t i;

		snprintf(request, sizeof(request),
		         "{\"command\": \"sessions\", \"arguments\": "
		         "{\"environment\": \"staging\", \"limit\": 700, \"cursor\": \"%s\"}}",
		         cursor);
		reply = ask_on(fd, request);
		assert_is(reply, "ok", true);
		assert_true(json_array_size(at(reply, "result/sessions")) <= 700);
		json_array_foreach(at(reply, "result/sessions"), i, session) {
			json_int_t number = json_integer_value(at(session, "client_port")) - 10000;

			assert_text(session, "environment", "staging");
			assert_int_equal(number % 2, 1);
			assert_in_range(number, 0, 4999);
			assert_false(seen[number / 2]);
			seen[number / 2] = true;
			total++;
		}
		is_last = json_is_null(at(reply, "result/next"));
		if (!is_last)
			snprintf(cursor, sizeof(cursor), "%s",
			         json_string_value(at(reply, "result/next")));
		json_decref(reply);
	}
	assert_int_equal(total, 2500);
	close(fd);
}

static void test_liveness(void **state)
{
	json_t *reply;

	(void)state;
	world.tunnels[0].liveness = IPC_LIVENESS_DEAD;
	world.tunnels[0].deaths = 2;
	world.tunnels[1].liveness = IPC_LIVENESS_ALIVE;
	world.tunnels[1].rtt_us = 12500;
	world.tunnels[1].rtt_deviation_us = 300;
	world.tunnels[1].alive_since_ns = 1;
	reply = ask("{\"command\": \"tunnels\"}");
	assert_text(reply, "result/tunnels/0/liveness", "dead");
	assert_number(reply, "result/tunnels/0/deaths", 2);
	assert_nothing(reply, "result/tunnels/0/alive_seconds");
	assert_nothing(reply, "result/tunnels/0/rtt_ms");
	assert_text(reply, "result/tunnels/1/liveness", "alive");
	assert_true(json_number_value(at(reply, "result/tunnels/1/rtt_ms")) == 12.5);
	assert_true(json_number_value(at(reply, "result/tunnels/1/rtt_deviation_ms")) == 0.3);
	assert_true(json_number_value(at(reply, "result/tunnels/1/alive_seconds")) > 0);
	assert_text(reply, "result/tunnels/2/liveness", "unknown");
	json_decref(reply);

	world_disconnect(&world, "gone");
	reply = ask("{\"command\": \"tunnels\"}");
	assert_nothing(reply, "result/tunnels/0/liveness");
	json_decref(reply);
}

static void test_last_move(void **state)
{
	struct ipc_environment_state *production = &world.states[0];
	json_t *reply = ask("{\"command\": \"status\"}");

	(void)state;
	assert_nothing(reply, "result/environments/0/last_move");
	json_decref(reply);
	strcpy(production->moved_from, "b");
	production->move_reason = IPC_MOVE_DEAD;
	production->moved_ns = 1;
	production->detection_ns = 152345678;
	production->switch_ns = 41000;
	production->sessions_kept = 3;
	production->sessions_reset = 4;
	production->moves[IPC_MOVE_DEAD] = 7;
	production->is_lost = 1;
	reply = ask("{\"command\": \"status\"}");
	assert_text(reply, "result/environments/0/last_move/from", "b");
	assert_text(reply, "result/environments/0/last_move/to", "a");
	assert_text(reply, "result/environments/0/last_move/reason", "dead");
	assert_true(json_number_value(at(reply, "result/environments/0/last_move/detection_ms")) ==
	            152.345);
	assert_true(json_number_value(at(reply, "result/environments/0/last_move/switch_ms")) ==
	            0.041);
	assert_number(reply, "result/environments/0/last_move/sessions_kept", 3);
	assert_number(reply, "result/environments/0/last_move/sessions_reset", 4);
	assert_is(reply, "result/environments/0/last_move/settled", false);
	assert_number(reply, "result/environments/0/moves_by_reason/dead", 7);
	assert_number(reply, "result/environments/0/moves_by_reason/by-hand", 0);
	assert_is(reply, "result/environments/0/lost", true);
	assert_is(reply, "result/environments/1/lost", false);
	json_decref(reply);
}

#define MOVE(arguments) "{\"command\": \"move\", \"arguments\": {" arguments "}}"

static void test_move(void **state)
{
	json_t *reply = ask(MOVE("\"environment\": \"production\", \"server\": \"b\""));

	(void)state;
	assert_is(reply, "ok", true);
	assert_text(reply, "result/from", "a");
	assert_text(reply, "result/to", "b");
	assert_is(reply, "result/moved", true);
	json_decref(reply);
	assert_string_equal(world.states[0].active, "b");
	assert_int_equal(world.states[0].move_reason, IPC_MOVE_BY_HAND);
	assert_string_equal(world.states[1].active, "c");

	reply = ask(MOVE("\"environment\": \"production\", \"server\": \"b\""));
	assert_is(reply, "result/moved", false);
	json_decref(reply);
	assert_int_equal(world.states[0].move_counter, 1);

	/* none named: the best other one; a stale counter is read again */
	world.moves_ahead = 1;
	reply = ask(MOVE("\"environment\": \"production\""));
	assert_text(reply, "result/to", "a");
	json_decref(reply);
	assert_string_equal(world.states[0].active, "a");
	assert_int_equal(world.states[0].move_counter, 3);
}

static void test_move_is_refused(void **state)
{
	static const struct {
		const char *request, *code, *words;
	} cases[] = {
		{ MOVE("\"environment\": \"production\", \"server\": \"b\""), "refused",
		  "server b is not up" },
		{ MOVE("\"environment\": \"production\""), "refused", "no other server" },
		{ MOVE("\"environment\": \"production\", \"server\": \"c\""), "not-found",
		  "has no server" },
		{ MOVE("\"environment\": \"staging\""), "refused", "no other server" },
		{ MOVE("\"environment\": \"prod\""), "not-found", "no environment" },
		{ MOVE("\"server\": \"b\""), "bad-request", "needs an environment" },
		{ MOVE("\"environment\": \"production\", \"server\": \"B\""), "bad-request",
		  "name of a server" },
		{ "{\"command\": \"move\"}", "bad-request", "needs an environment" },
	};
	json_t *reply;

	(void)state;
	world_break_tunnel(&world, "no answer");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		reply = ask(cases[i].request);
		assert_is(reply, "ok", false);
		assert_text(reply, "code", cases[i].code);
		assert_non_null(strstr(json_string_value(at(reply, "error")), cases[i].words));
		json_decref(reply);
	}
	world.tunnels[1].is_up = 1;
	world.tunnels[1].liveness = IPC_LIVENESS_DEAD;
	reply = ask(cases[0].request);
	assert_non_null(strstr(json_string_value(at(reply, "error")), "server b does not answer"));
	json_decref(reply);
	world.list_status = -ENOTCONN;
	reply = ask(cases[0].request);
	assert_text(reply, "code", "no-dataplane");
	json_decref(reply);
	world.list_status = 0;
	world.tunnels[1].liveness = IPC_LIVENESS_ALIVE;
	world.moves_ahead = 10;
	reply = ask(cases[0].request);
	assert_text(reply, "code", "refused");
	json_decref(reply);
	assert_string_equal(world.states[0].active, "a");
}

static void test_refusals(void **state)
{
	json_t *reply = ask("nonsense");

	(void)state;
	assert_is(reply, "ok", false);
	assert_text(reply, "code", "bad-request");
	json_decref(reply);

	reply = ask("{\"command\": \"sessions\", \"arguments\": {\"environment\": \"nowhere\"}}");
	assert_text(reply, "code", "not-found");
	assert_text(reply, "error", "there is no environment \"nowhere\"");
	json_decref(reply);

	world_disconnect(&world, "nothing listens there");
	reply = ask("{\"command\": \"sessions\"}");
	assert_text(reply, "code", "no-dataplane");
	assert_text(reply, "error", "nothing listens there");
	json_decref(reply);
}

/* ---- clients ---- */

static void test_lines_in_pieces_and_together(void **state)
{
	int fd = dial();
	char contract[16];
	json_t *reply;

	(void)state;
	snprintf(contract, sizeof(contract), "%u.%u", IPC_VERSION_MAJOR, IPC_VERSION_MINOR);
	say(fd, "{\"comm");
	say(fd, "and\": \"version\"}\n{\"command\": \"forwards\"}\n{\"command\":");
	reply = hear(fd);
	assert_text(reply, "result/contract", contract);
	json_decref(reply);
	reply = hear(fd);
	assert_int_equal(json_array_size(at(reply, "result/forwards")), 3);
	json_decref(reply);
	say(fd, "\"version\"}\n");
	reply = hear(fd);
	assert_is(reply, "ok", true);
	json_decref(reply);
	close(fd);
}

static void test_endless_line(void **state)
{
	char much[8192], byte;
	int fd = dial();
	json_t *reply;

	(void)state;
	memset(much, ' ', sizeof(much));
	assert_int_equal(send(fd, much, sizeof(much), MSG_NOSIGNAL), sizeof(much));
	reply = hear(fd);
	assert_text(reply, "code", "bad-request");
	json_decref(reply);
	assert_true(recv(fd, &byte, 1, 0) <= 0); /* closed */
	close(fd);
}

/* A client that asks much and never reads holds up nobody. */
static void test_slow_client(void **state)
{
	const char request[] = "{\"command\": \"sessions\"}\n";
	const struct timeval soon = { .tv_usec = 200000 };
	int slow = dial(), half = dial();
	json_t *reply;

	(void)state;
	world_add_sessions(&world, 1000);
	assert_int_equal(setsockopt(slow, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)), 0);
	say(half, "{\"command\"");
	while (send(slow, request, strlen(request), MSG_NOSIGNAL) > 0) /* until its queue is full */
		;
	for (int i = 0; i < 20; i++) {
		reply = ask("{\"command\": \"status\"}");
		assert_is(reply, "ok", true);
		json_decref(reply);
	}
	say(half, ": \"version\"}\n");
	reply = hear(half);
	assert_is(reply, "ok", true);
	json_decref(reply);
	close(half);
	close(slow);
}

/* More clients than there are places: the others wait for one. */
static void test_many_clients(void **state)
{
	int idle[32], waiting;
	json_t *reply;

	(void)state;
	for (size_t i = 0; i < 32; i++) {
		idle[i] = dial();
		json_decref(ask_on(idle[i], "{\"command\": \"version\"}"));
	}
	waiting = dial();
	say(waiting, "{\"command\": \"version\"}\n");
	close(idle[7]);
	reply = hear(waiting);
	assert_is(reply, "ok", true);
	json_decref(reply);
	close(waiting);
	for (size_t i = 0; i < 32; i++)
		if (i != 7)
			close(idle[i]);
}

/* ---- who may ask, and where ---- */

/* What a stranger with the supplementary group GROUP gets: 1 a reply, 0 a closed connection. */
static int ask_as_stranger(gid_t group)
{
	int status;
	pid_t child = fork();

	if (!child) {
		const char request[] = "{\"command\": \"version\"}\n";
		char byte;
		int fd;

		if (setgroups(1, &group) || setgid(STRANGER) || setuid(STRANGER))
			_exit(2);
		fd = try_connect();
		if (fd < 0)
			_exit(3);
		/* it may be closed before or after this */
		if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
			_exit(0);
		_exit(recv(fd, &byte, 1, 0) == 1);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_strangers(void **state)
{
	struct cp_api *own = NULL;

	(void)state;
	if (geteuid()) {
		print_message("needs root to become somebody else\n");
		skip();
	}
	cp_api_stop(api);
	api = NULL;
	assert_int_equal(cp_api_start(&world.context, run_dir, 12345, &own), 0);
	assert_int_equal(chmod(path, 0666), 0); /* so that the API's own check is what is seen */
	assert_int_equal(ask_as_stranger(12346), 0);
	assert_int_equal(ask_as_stranger(12345), 1);
	cp_api_stop(own);
}

static void test_socket_file(void **state)
{
	struct cp_api *second;
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	/* a second one does not take the first one's place */
	assert_int_equal(cp_api_start(&world.context, run_dir, (gid_t)-1, &second), -EADDRINUSE);
	json_decref(ask("{\"command\": \"version\"}"));
	cp_api_stop(api);
	assert_int_equal(stat(path, &st), -1);
	api = NULL;
	assert_int_equal(cp_api_start(&world.context, "/nonexistent", (gid_t)-1, &second), -ENOENT);
}

/* The file of a control plane that was killed. */
static void test_left_over_file(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	cp_api_stop(api);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(cp_api_start(&world.context, run_dir, (gid_t)-1, &api), 0);
	json_decref(ask("{\"command\": \"version\"}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_status, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upgrade, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reconnect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_health, setup, teardown),
		cmocka_unit_test_setup_teardown(test_socket_is_handed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_status_without_dataplane, setup, teardown),
		cmocka_unit_test_setup_teardown(test_status_of_a_silent_dataplane, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tunnels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_liveness, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_move, setup, teardown),
		cmocka_unit_test_setup_teardown(test_move, setup, teardown),
		cmocka_unit_test_setup_teardown(test_move_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forwards, setup, teardown),
		cmocka_unit_test_setup_teardown(test_session_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lines_in_pieces_and_together, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endless_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_clients, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strangers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_socket_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_left_over_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
