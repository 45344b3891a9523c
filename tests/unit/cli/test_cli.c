/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real `sallyport` program against the real API, a real segment of counters and real
 * configuration files: what it prints and what it ends with. The program's path is the first
 * argument.
 */
#include <arpa/inet.h>

#include "tests/unit/cli/program.h"

#include "common/ipc_sock.h"
#include "common/stats_layout.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- status ---- */

static void test_status(void **state)
{
	json_t *status;

	(void)state;
	expect_exit("status", 0);
	expect_in(output, "gateway gw-a, zone zone-a, instance edge\n");
	expect_in(output, "control plane  running  pid ");
	expect_in(output,
	          "dataplane      running  pid 4243, epoch 8000000000000001, generation 7\n");
	expect_in(output,
	          "ENVIRONMENT  ADDRESS    ACTIVE      TUNNELS UP  SESSIONS    SENT  RECEIVED\n"
	          "production   10.0.0.33  a (zone-a)  2 of 2             0  1.2 MB    5.4 GB\n"
	          "staging      10.0.0.34  c (zone-c)  1 of 1             0  1.2 MB    5.4 GB\n");
	expect_not_in(output, "moved");
	expect_not_in(output, "down");
	assert_string_equal(errors, "");

	expect_exit("--json status", 0);
	status = json_output();
	assert_true(json_is_true(
		json_object_get(json_object_get(status, "controlplane"), "reachable")));
	assert_true(json_is_true(json_object_get(json_object_get(status, "dataplane"), "running")));
	assert_int_equal(json_array_size(json_object_get(status, "environments")), 2);
	json_decref(status);
}

static void test_status_after_a_move(void **state)
{
	struct ipc_environment_state *production = &world.states[0];

	(void)state;
	strcpy(production->active, "b");
	strcpy(production->moved_from, "a");
	production->move_reason = IPC_MOVE_DEAD;
	production->moved_ns = 1;
	production->detection_ns = 152345678;
	production->switch_ns = 4100000;
	production->sessions_reset = 12;
	world.states[1].move_reason = IPC_MOVE_UP; /* from nowhere: nothing to tell */
	world.states[1].moved_ns = 1;
	world.tunnels[0].is_active = 0;
	world.tunnels[1].is_active = 1;
	world.tunnels[0].liveness = IPC_LIVENESS_DEAD;
	expect_exit("status", 1);
	expect_in(output, "  b (zone-b)  2 of 2 ");
	expect_in(output, "\nproduction moved from a to b ");
	expect_in(
		output,
		" ago (dead): detected in 152 ms, switched in 4.1 ms, 0 sessions kept, 12 reset\n");
	expect_in(output, "tunnel production/a is up, but nobody answers through it\n");
	expect_not_in(output, "staging moved");
	world.tunnels[1].rtt_us = 12345;
	expect_exit("tunnels", 1);
	expect_in(output, " up, standby, dead ");
	expect_in(output, " 12.3 ms ");
}

static void test_move(void **state)
{
	(void)state;
	expect_exit("move production --to b", 0);
	assert_string_equal(output, "production moved from a to b\n");
	expect_exit("move production --to b", 0);
	assert_string_equal(output, "production is on b already\n");
	expect_exit("--json move production", 0);
	expect_in(output, "\"to\": \"a\"");
	expect_exit("move staging", 1);
	expect_in(errors, "no other server that is up and answers");
	expect_exit("move production --to c", 2);
	expect_exit("move production --to C", 2);
	expect_in(errors, "--to must be");
	expect_exit("move nowhere", 2);
	expect_exit("move", 2);
	expect_in(errors, "which environment");
	expect_exit("status --to b", 2);
	expect_in(errors, "does not go with 'status'");
}

static void test_status_of_a_broken_tunnel(void **state)
{
	(void)state;
	world_break_tunnel(&world, "password or account refused by the server");
	expect_exit("status", 1);
	expect_in(output, "1 of 2");
	expect_in(
		output,
		"\ntunnel production/b is down, waiting: password or account refused by the server; "
		"next attempt in 2 min (3 so far)\n");
	expect_exit("status --json", 1);
	expect_in(output, "\"why\": \"password or account refused by the server\"");
}

/* What is amiss with a tunnel that is up is said, and what its server told besides. */
static void test_notices(void **state)
{
	struct cp_tunnel_view *view = &world.views[0];

	(void)state;
	expect_exit("status", 0);
	expect_not_in(output, "tunnel production/a");
	strcpy(view->limits, "the server's selectors leave out 1 of 3 forwards");
	strcpy(view->told.notice, "the server may compress with LZO");
	view->told.dns_be[0] = inet_addr("192.168.100.53");
	view->told.dns_count = 1;
	view->stream_dropped = 17;
	expect_exit("status", 0);
	expect_in(output,
	          "\ntunnel production/a: the server's selectors leave out 1 of 3 forwards\n"
	          "tunnel production/a: the server may compress with LZO\n");
	expect_exit("tunnels", 0);
	expect_in(output, " in UDP; the server's selectors leave out 1 of 3 forwards; "
	                  "the server may compress with LZO\n");
	expect_exit("tunnels --json", 0);
	expect_in(output, "\"notice\": \"the server may compress with LZO\"");
	expect_in(output, "\"name_servers\": [\n        \"192.168.100.53\"\n      ]");
	expect_in(output, "\"stream_dropped\": 17");
}

static void test_status_of_a_renewal(void **state)
{
	(void)state;
	strcpy(world.views[0].renewal, "the server did not answer when new keys were due");
	expect_exit("status", 0);
	expect_in(output, "\ntunnel production/a is up, but not renewed: "
	                  "the server did not answer when new keys were due\n");
}

static void test_status_with_a_warning(void **state)
{
	(void)state;
	strcpy(world.dp.warning, "the node's settings changed: restart the dataplane");
	expect_exit("status", 1);
	expect_in(output, "degraded");
	expect_in(output, "; the node's settings changed: restart the dataplane\n");
}

static void test_status_without_dataplane(void **state)
{
	int fd;

	(void)state;
	world_disconnect(&world, "nothing listens at its socket");
	world_break_tunnel(&world, "the dataplane is not there"); /* 4 goes before 1 */
	expect_exit("status", 4);
	expect_in(output, "dataplane      not running  nothing listens at its socket\n");
	expect_in(output, "production   10.0.0.33  -       1 of 2             -     -         -\n");
	expect_exit("tunnels", 4);
	expect_in(errors, "dataplane: nothing listens at its socket\n");
	expect_exit("sessions", 4);
	expect_in(errors, "sallyport: dataplane: nothing listens at its socket\n");

	fd = listen_as_dataplane();
	expect_exit("status", 4);
	expect_in(output, "dataplane      not connected  nothing listens");
	assert_int_equal(ipc_accept(fd, (uid_t)-1), -EAGAIN); /* it was looked at, not disturbed */
	close(fd);
	expect_exit("status", 4);
	expect_in(output,
	          "dataplane      not running  nothing listens"); /* the file is still there */
}

static void test_status_without_controlplane(void **state)
{
	json_t *status;
	int fd;

	(void)state;
	expect_exit("--instance edge status", 3);
	expect_in(output, "instance edge\n");
	expect_in(output, "control plane  not reachable  nothing answers at /tmp/test_cli.");
	expect_in(output, "'systemctl start sallyport-controlplane@edge'");
	expect_in(output, "dataplane      not running    -\n");

	fd = listen_as_dataplane();
	expect_exit("status", 3);
	expect_in(output, "dataplane      running        waits for a control plane to start it\n");
	expect_exit("status --json", 3);
	status = json_output();
	assert_true(json_is_false(
		json_object_get(json_object_get(status, "controlplane"), "reachable")));
	assert_true(json_is_true(json_object_get(json_object_get(status, "dataplane"), "running")));
	json_decref(status);
	close(fd);

	expect_exit("tunnels", 3);
	expect_exit("forwards", 3);
	expect_exit("sessions", 3);
	expect_exit("version", 0);
	expect_in(output, "sallyport 0.");
}

/* ---- lists ---- */

static void test_tunnels(void **state)
{
	(void)state;
	expect_exit("tunnels", 0);
	expect_in(
		output,
		"production   a       zone-a  vpn-a.customer.example  up, active   3 min  10.10.10.1  "
		"1 min    -  1.2 MB     999 B       3  AES_GCM_16_256, in UDP\n");
	expect_in(output, "production   b       zone-b  vpn-b.customer.example  up, standby ");
	world_break_tunnel(&world, "\x1b[2J\xc2\x9b"
	                           "31mowned\r\n");
	expect_exit("tunnels", 1);
	expect_in(
		output,
		"waiting: \\x1b[2J\\xc2\\x9b31mowned\\x0d\\x0a; next attempt in 2 min (3 so far)\n");
	expect_not_in(output, "\x1b");
	expect_exit("tunnels --environment staging", 0);
	expect_not_in(output, "production");
	expect_exit("tunnels --json", 1);
	expect_not_in(output, "\xc2\x9b");
	expect_not_in(output, "\x1b");
	expect_exit("tunnels --environment nowhere", 2);
	expect_in(errors, "there is no environment \"nowhere\"");
}

static void test_forwards(void **state)
{
	json_t *result;

	(void)state;
	expect_exit("forwards", 0);
	assert_string_equal(
		output,
		"ENVIRONMENT  PROTOCOL  LISTENS          TO                   PREFERRED  ACTIVE\n"
		"production   tcp       10.0.0.33:33000  192.168.100.30:8080  -          a\n"
		"production   udp       10.0.0.33:53     192.168.100.30:8080  b          a\n"
		"staging      tcp       10.0.0.34:33000  192.168.100.30:8080  -          c\n");
	expect_exit("forwards --json --environment staging", 0);
	result = json_output();
	assert_int_equal(json_array_size(json_object_get(result, "forwards")), 1);
	json_decref(result);
	world.environments[1].forward_count = 0;
	expect_exit("forwards --environment staging", 0);
	assert_string_equal(output, "no forwards\n");
}

static size_t lines_of(const char *text)
{
	size_t lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static void test_sessions(void **state)
{
	json_t *result;

	(void)state;
	expect_exit("sessions", 0);
	assert_string_equal(output, "no sessions\n");
	world_add_sessions(&world, 1);
	expect_exit("sessions", 0);
	assert_string_equal(
		output,
		"ENVIRONMENT  SERVER  PROTOCOL  CLIENT           PORT  INNER             TARGET               "
		"STATE              AGE  IDLE    SENT  RECEIVED\n"
		"production   a       tcp       10.0.1.5:10000  33000  10.10.10.1:20000  192.168.100.30:8080  "
		"established  1 h 1 min   0 s  1.5 kB       0 B\n");
	world_add_sessions(&world, 5000);
	expect_exit("sessions", 0);
	assert_int_equal(lines_of(output), 1 + 100 + 1);
	expect_in(output, "\n... there are more; --limit N shows up to N\n");
	expect_exit("sessions --limit 2300 --environment staging", 0);
	assert_int_equal(lines_of(output), 1 + 2300 + 1);
	expect_not_in(output, "production");
	expect_exit("sessions --limit 5000 --json", 0);
	result = json_output();
	assert_int_equal(json_array_size(json_object_get(result, "sessions")), 5000);
	assert_true(json_is_true(json_object_get(result, "complete")));
	json_decref(result);
}

/* ---- counters ---- */

struct segment {
	struct sp_stats_header header;
	struct sp_stats_counter directory[4];
	uint64_t cells[2][8]; /* of two workers */
};

static const struct segment segment = {
	.header = { .magic = SP_STATS_MAGIC,
	            .version = SP_STATS_VERSION,
	            .counters = 4,
	            .epoch = 0xabc,
	            .workers = 2,
	            .worker_stride = sizeof(segment.cells[0]),
	            .cells_offset = offsetof(struct segment, cells),
	            .size = sizeof(segment) },
	.directory = { { .name = "drop/no-session", .offset = 0 },
	               { .name = "drop/replay", .offset = 8 },
	               { .name = "port/uplink/rx-packets", .offset = 16 },
	               { .name = "port/\x1b[2J", .offset = 24 } },
	.cells = { { 3, 0, 1000000, 1 }, { 4, 0, 2000000, 1 } },
};

static void test_counters(void **state)
{
	json_t *result;
	int fd;

	(void)state;
	expect_exit("counters", 4);
	expect_in(errors, "the dataplane was not started");

	write_file("stats", &segment, sizeof(segment));
	expect_exit("counters", 4);
	expect_in(errors, "these are its last values");
	expect_in(output, "drop/no-session");

	fd = listen_as_dataplane();
	expect_exit("counters", 0);
	assert_string_equal(output, "COUNTER                   VALUE\n"
	                            "drop/no-session               7\n"
	                            "port/uplink/rx-packets  3000000\n"
	                            "port/\\x1b[2J                  2\n");
	expect_exit("counters --all drop/", 0);
	assert_string_equal(output, "COUNTER          VALUE\n"
	                            "drop/no-session      7\n"
	                            "drop/replay          0\n");
	expect_exit("counters --workers port/uplink", 0);
	assert_string_equal(output, "COUNTER                   VALUE  WORKER 0  WORKER 1\n"
	                            "port/uplink/rx-packets  3000000   1000000   2000000\n");
	expect_exit("counters drop/replay", 0);
	expect_in(output, "no such counters");
	expect_exit("counters --json --all --workers drop/", 0);
	result = json_output();
	assert_string_equal(json_string_value(json_object_get(result, "epoch")),
	                    "0000000000000abc");
	assert_int_equal(json_object_size(json_object_get(result, "counters")), 2);
	expect_in(output, "\"value\": 7");
	json_decref(result);
	expect_exit("status", 3);
	expect_in(output, "dataplane      running        started, epoch 0000000000000abc\n");
	close(fd);

	write_file("stats", "rubbish", 7);
	expect_exit("counters", 4);
	expect_in(errors, "not a segment of counters");
}

/* ---- check ---- */

static const char gateway_text[] =
	"gateway: { name = \"gw-a\"; zone = \"zone-a\";\n"
	"  uplink: { device = \"0000:00:06.0\"; address = \"203.0.113.10/24\"; router = \"203.0.113.1\"; };\n"
	"  cluster: { device = \"0000:00:07.0\"; address = \"10.0.0.2/24\"; };\n"
	"};\n"
	"controlplane: { user = \"root\"; };\n"; /* who may enter our directory */

static void write_environment(const char *port)
{
	char text[1024], path[256];

	path_of(path, "environments.d");
	assert_true(!mkdir(path, 0700) || errno == EEXIST);
	snprintf(
		text, sizeof(text),
		"environment: { name = \"production\"; pod_address = \"10.0.0.33\"; sources = [\"10.0.1.0/24\"];\n"
		"  vpn = \"ipsec\"; auth = \"psk\"; account = \"gw\"; secret_file = \"%s/psk\";\n"
		"  servers = ( { name = \"a\"; address = \"198.51.100.101\"; } );\n"
		"  forwards = ( { port = %s; to = \"192.168.100.30:8080\"; } );\n"
		"};\n",
		directory, port);
	write_file("environments.d/production.conf", text, strlen(text));
	write_file("psk", "example\n", 8);
	write_file("gateway.conf", gateway_text, strlen(gateway_text));
}

static void test_check(void **state)
{
	json_t *result;

	(void)state;
	expect_exit("check", 2);
	expect_in(output, "gateway.conf");
	expect_in(errors, "mistake");

	write_environment("33000");
	expect_exit("check", 0);
	expect_in(output, "is good: gateway gw-a, 1 environment, 1 server, 1 forward\n");
	expect_exit("check --json", 0);
	expect_in(output, "\"ok\": true");

	write_environment("70000");
	expect_exit("check", 2);
	expect_in(output, "/environments.d/production.conf:4: environment.forwards.");
	expect_in(errors, "1 mistake in /tmp/test_cli.");
	expect_exit("check --json", 2);
	result = json_output();
	assert_true(json_is_false(json_object_get(result, "ok")));
	assert_int_equal(json_array_size(json_object_get(result, "mistakes")), 1);
	json_decref(result);

	write_environment("\x1b[2J");
	expect_exit("check", 2);
	expect_not_in(output, "\x1b");
}

/* ---- usage ---- */

static void test_usage(void **state)
{
	(void)state;
	expect_exit("help", 0);
	expect_in(output, "usage: sallyport [OPTIONS] COMMAND");
	expect_exit("--help", 0);
	expect_exit("help sessions", 0);
	expect_in(output, "usage: sallyport [OPTIONS] sessions [--environment E] [--limit N]");
	expect_exit("sessions --help", 0);
	expect_in(output, "usage: sallyport [OPTIONS] sessions");
	expect_exit("help reboot", 2);
	expect_exit("reboot", 2);
	expect_in(errors, "there is no command 'reboot'");
	expect_exit("status --limit 3", 2);
	expect_in(errors, "an option does not go with 'status'");
	expect_exit("status now", 2);
	expect_in(errors, "'status' takes no argument");
	expect_exit("--limit x sessions", 2);
	expect_exit("--version", 0);
}

static void test_no_command(void **state)
{
	char *argv[] = { (char *)program, NULL };
	int status;
	pid_t child = fork();

	(void)state;
	if (!child) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(99);
		execv(program, argv);
		_exit(99);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 2);
}

/* A full disk is not success. */
static void test_lost_output(void **state)
{
	char *argv[] = { (char *)program, (char *)"help", NULL };
	int status;
	pid_t child = fork();

	(void)state;
	if (!child) {
		if (!freopen("/dev/full", "w", stdout) || !freopen("/dev/null", "w", stderr))
			_exit(99);
		execv(program, argv);
		_exit(99);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_status, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_status_of_a_renewal, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_status_of_a_broken_tunnel, start_with_api,
		                                stop),
		cmocka_unit_test_setup_teardown(test_status_with_a_warning, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_status_without_dataplane, start_with_api,
		                                stop),
		cmocka_unit_test_setup_teardown(test_status_without_controlplane, start, stop),
		cmocka_unit_test_setup_teardown(test_notices, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_tunnels, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_status_after_a_move, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_move, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_forwards, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_sessions, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_counters, start, stop),
		cmocka_unit_test_setup_teardown(test_check, start, stop),
		cmocka_unit_test_setup_teardown(test_usage, start, stop),
		cmocka_unit_test_setup_teardown(test_no_command, start, stop),
		cmocka_unit_test_setup_teardown(test_lost_output, start, stop),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: test_cli PATH-OF-SALLYPORT\n");
		return 2;
	}
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
