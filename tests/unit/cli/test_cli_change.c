/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands that change something, and those that tell whether it may be done: what they print
 * and what they end with. The program's path is the first argument.
 */
#include "tests/unit/cli/program.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

/* ---- diff, reload, rollback ---- */

static const struct cp_change changes[] = {
	{ .kind = CP_CHANGED,
	  .what = CP_FORWARD,
	  .effect = CP_AT_ONCE,
	  .environment = "production",
	  .protocol = IPPROTO_UDP,
	  .port_be = 0x3500, /* 53 */
	  .from = "192.0.2.1:53",
	  .to = "192.0.2.2:53" },
	{ .kind = CP_ADDED,
	  .what = CP_SERVER,
	  .effect = CP_AT_ONCE,
	  .environment = "staging",
	  .server = "d" },
	{ .kind = CP_CHANGED,
	  .what = CP_KEY,
	  .effect = CP_RENEGOTIATES,
	  .environment = "staging",
	  .server = "c",
	  .key = "dpd",
	  .from = "30",
	  .to = "20" },
	{ .kind = CP_CHANGED,
	  .what = CP_KEY,
	  .effect = CP_NEEDS_BOTH,
	  .key = "dataplane.sessions",
	  .from = "65536",
	  .to = "32768" },
};

static const char changes_in_words[] =
	"production: forward udp/53 changed: 192.0.2.1:53 -> 192.0.2.2:53\n"
	"staging: server d added\n"
	"staging: server c: dpd changed: 30 -> 20 (its tunnel is negotiated anew)\n"
	"gateway: dataplane.sessions changed: 65536 -> 32768 (needs a restart of both processes)\n";

/* The keys of docs/cli.md, each of which is always there. */
static void expect_outcome(bool is_applied, size_t total, size_t mistakes)
{
	json_t *result = json_output(), *list = json_object_get(result, "changes"), *change;
	static const char *const keys[] = { "change", "what", "environment", "server", "forward",
		                            "key",    "from", "to",          "effect" };
	size_t i;

	assert_int_equal(json_boolean_value(json_object_get(result, "applied")), is_applied);
	assert_int_equal(json_integer_value(json_object_get(result, "total")), total);
	assert_int_equal(json_array_size(json_object_get(result, "mistakes")), mistakes);
	assert_int_equal(json_array_size(list), total);
	json_array_foreach(list, i, change) {
		assert_int_equal(json_object_size(change), sizeof(keys) / sizeof(keys[0]));
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			assert_non_null(json_object_get(change, keys[k]));
	}
	json_decref(result);
}

static void test_reload(void **state)
{
	char words[1024];

	(void)state;
	expect_exit("reload", 0);
	assert_string_equal(output, "nothing is different\n");
	world.outcome.changes = (struct cp_changes){ (struct cp_change *)changes, 4 };
	expect_exit("diff", 0);
	assert_string_equal(output, changes_in_words);
	assert_int_equal(world.reloads, 1);
	expect_exit("--json diff", 0);
	expect_outcome(false, 4, 0);
	expect_exit("reload", 0);
	snprintf(words, sizeof(words), "%sin force\n", changes_in_words);
	assert_string_equal(output, words);
	expect_exit("reload --json", 0);
	expect_outcome(true, 4, 0);
	assert_int_equal(world.reloads, 3);
	expect_exit("rollback", 0);
	expect_in(output, "in force again; the files are as they were");
	expect_exit("--json rollback", 0);
	expect_outcome(true, 4, 0);
	assert_int_equal(world.rollbacks, 2);
}

static void test_reload_of_mistakes(void **state)
{
	struct cp_mistake mistakes[] = {
		{ "/etc/x.conf", 7, "environment.colour", "there is no such key" },
		{ "/etc/y.conf", 0, "", "cannot be \x1b[2Jread" },
	};

	(void)state;
	world.outcome.mistakes = (struct cp_mistakes){ mistakes, 2 };
	world.outcome_status = -EINVAL;
	expect_exit("reload", 2);
	assert_string_equal(output, "/etc/x.conf:7: environment.colour: there is no such key\n"
	                            "/etc/y.conf: cannot be \\x1b[2Jread\n");
	expect_in(errors, "2 mistakes: nothing has changed\n");
	expect_exit("diff", 2);
	expect_in(errors, "2 mistakes: nothing would change\n");
	expect_exit("--json reload", 2);
	expect_not_in(output, "\x1b");
	expect_outcome(false, 0, 2);
}

static void test_reload_that_is_refused(void **state)
{
	(void)state;
	snprintf(world.outcome.why, sizeof(world.outcome.why), "no slot left");
	world.outcome_status = -ENOSPC;
	expect_exit("reload", 1);
	assert_string_equal(errors, "sallyport: nothing has changed: no slot left\n");
	assert_string_equal(output, "");
	snprintf(world.outcome.why, sizeof(world.outcome.why), "nothing was replaced yet");
	world.outcome_status = -ENOENT;
	expect_exit("--json rollback", 2);
	assert_string_equal(errors, "sallyport: nothing was replaced yet\n");
	assert_string_equal(output, "");
}

/* ---- reconnect ---- */

static void test_reconnect(void **state)
{
	json_t *result;

	(void)state;
	expect_exit("reconnect production", 0);
	assert_string_equal(output, "2 tunnels are logging in anew; 'tunnels' tells how it goes\n");
	expect_exit("reconnect production b", 0);
	expect_in(output, "1 tunnel is logging in anew");
	assert_int_equal(world.renewed, 1);
	expect_exit("--json reconnect --environment staging c", 0);
	result = json_output();
	assert_int_equal(json_object_size(result), 1);
	assert_int_equal(json_integer_value(json_object_get(result, "tunnels")), 1);
	json_decref(result);
	expect_exit("reconnect nowhere", 2);
	expect_in(errors, "nowhere");
	expect_exit("reconnect production c", 2);
}

/* ---- drain, health ---- */

static void test_drain(void **state)
{
	json_t *result;

	(void)state;
	expect_exit("drain", 0);
	assert_string_equal(output, "drained: no session is open\n");
	assert_true(world.environments[0].is_draining && world.environments[1].is_draining);
	expect_exit("undrain", 0);
	assert_string_equal(output, "new sessions are taken\n");
	assert_false(world.environments[0].is_draining || world.environments[1].is_draining);

	/* what is over does not count */
	world.states[0].sessions = 5;
	world.states[0].sessions_closed = 5;
	expect_exit("drain --environment production", 0);
	assert_true(world.environments[0].is_draining);
	assert_false(world.environments[1].is_draining);
	world.states[0].sessions = 8;
	expect_exit("drain production --deadline 0", 1);
	assert_string_equal(output, "draining: new sessions are refused, 3 are open\n");
	expect_exit("--json drain production --deadline 0", 1);
	result = json_output();
	assert_int_equal(json_object_size(result), 2);
	assert_true(json_is_false(json_object_get(result, "drained")));
	assert_int_equal(json_integer_value(json_object_get(result, "sessions")), 3);
	json_decref(result);
	expect_exit("--json drain staging", 0); /* another one's do not count */
	result = json_output();
	assert_true(json_is_true(json_object_get(result, "drained")));
	json_decref(result);
	expect_exit("undrain production --json", 0);
	result = json_output();
	assert_true(json_is_false(json_object_get(result, "draining")));
	json_decref(result);

	world_disconnect(&world, "away");
	expect_exit("drain", 4);
	expect_in(errors, "dataplane: away");
}

static void test_health(void **state)
{
	json_t *result, *environment;

	(void)state;
	world.states[1].sessions = 9;
	world.states[1].sessions_closed = 2;
	expect_exit("health", 0);
	assert_string_equal(output, "ready\n"
	                            "production: ready, 0 open sessions\n"
	                            "staging: ready, 7 open sessions\n");
	world.states[0].active[0] = '\0';
	expect_exit("health", 0); /* the best one counts */
	expect_in(output, "production: down, 0 open sessions\n");
	expect_exit("health production", 1);
	assert_string_equal(output, "production: down, 0 open sessions\n");
	world.environments[1].is_draining = true;
	expect_exit("health --json", 1);
	result = json_output();
	assert_string_equal(json_string_value(json_object_get(result, "state")), "draining");
	assert_true(json_is_object(json_object_get(result, "dataplane")));
	environment = json_array_get(json_object_get(result, "environments"), 1);
	assert_int_equal(json_object_size(environment), 5);
	assert_string_equal(json_string_value(json_object_get(environment, "name")), "staging");
	assert_true(json_is_true(json_object_get(environment, "draining")));
	assert_int_equal(json_integer_value(json_object_get(environment, "sessions")), 9);
	assert_int_equal(json_integer_value(json_object_get(environment, "sessions_open")), 7);
	json_decref(result);
	world_disconnect(&world, "away");
	expect_exit("health staging", 1);
	assert_string_equal(output, "staging: down\n");
}

/* ---- egress ---- */

static void test_egress(void **state)
{
	json_t *result, *use;

	(void)state;
	expect_exit("egress", 0);
	assert_string_equal(output, "no egress\n");
	world.uses[0] = (struct ipc_egress_use){ .address_be = inet_addr("203.0.113.10"),
		                                 .ports = 16128,
		                                 .capacity = 64512,
		                                 .sessions = 20000 };
	world.uses[1] = world.uses[0];
	world.uses[1].remote_be = inet_addr("192.0.2.80");
	world.uses[1].remote_port_be = htons(443);
	world.uses[1].protocol = IPPROTO_TCP;
	world.uses[1].sessions = 16128;
	world.use_count = 2;
	expect_exit("egress", 0);
	assert_string_equal(
		output, "ADDRESS       DESTINATION     PROTOCOL  PORTS     OF  USED  SESSIONS\n"
			"203.0.113.10  all             -         16128  64512   25%     20000\n"
			"203.0.113.10  192.0.2.80:443  tcp       16128  64512   25%     16128\n");
	expect_exit("--json egress", 0);
	result = json_output();
	assert_int_equal(json_array_size(json_object_get(result, "egress")), 2);
	use = json_array_get(json_object_get(result, "egress"), 0);
	assert_int_equal(json_object_size(use), 7);
	assert_true(json_is_null(json_object_get(use, "remote_address")));
	assert_true(json_is_null(json_object_get(use, "protocol")));
	assert_int_equal(json_integer_value(json_object_get(use, "capacity")), 64512);
	json_decref(result);
	world.list_status = -ENOTCONN;
	expect_exit("egress", 4);
	expect_in(errors, "dataplane: ");
}

/* ---- upgrade ---- */

static void test_upgrade(void **state)
{
	json_t *result;

	(void)state;
	world.takeover_status = -EALREADY;
	expect_exit("upgrade", 1);
	expect_in(errors, "sallyport: ");
	world.takeover_status = 0;
	world.takeover_phase = CP_TAKEOVER_FAILED;
	world.takeover_why = "the successor ended with status 2";
	expect_exit("--json upgrade", 1);
	assert_string_equal(
		errors,
		"sallyport: the old control plane goes on: the successor ended with status 2\n");
	assert_string_equal(output, "");
	world.successor = getpid(); /* who serves is the new one */
	expect_exit("--json upgrade", 0);
	result = json_output();
	assert_int_equal(json_object_size(result), 1);
	assert_int_equal(json_integer_value(json_object_get(result, "pid")), getpid());
	json_decref(result);
	expect_exit("upgrade", 0);
	expect_in(output, " is the control plane now\n");
}

/* ---- mistakes ---- */

static void test_usage(void **state)
{
	static const struct {
		const char *line, *says;
	} mistakes[] = {
		{ "reload now", "'reload' takes no argument" },
		{ "diff now", "'diff' takes no argument" },
		{ "rollback twice", "'rollback' takes no argument" },
		{ "upgrade now", "'upgrade' takes no argument" },
		{ "egress production", "'egress' takes no argument" },
		{ "reload --environment production", "does not go with 'reload'" },
		{ "rollback --deadline 3", "does not go with 'rollback'" },
		{ "upgrade --deadline 3", "does not go with 'upgrade'" },
		{ "egress --limit 3", "does not go with 'egress'" },
		{ "undrain --deadline 3", "does not go with 'undrain'" },
		{ "health --limit 3", "does not go with 'health'" },
		{ "move production --deadline 3", "does not go with 'move'" },
		{ "reconnect", "needs the name of an environment" },
		{ "reconnect --environment staging c d", "needs the name of an environment" },
		{ "reconnect Staging", "'Staging' is not a name" },
		{ "reconnect staging C", "'C' is not a name" },
		{ "reconnect staging c --to c", "does not go with 'reconnect'" },
		{ "drain nowhere", "nowhere" },
		{ "drain Staging", "is not the name of an environment" },
		{ "drain staging c", "takes one argument" },
		{ "drain staging --environment production", "named twice" },
		{ "drain --deadline -1", "--deadline must be" },
		{ "drain --deadline 1x", "--deadline must be" },
		{ "drain --deadline 86401", "--deadline must be" },
		{ "drain --deadline", "" },
		{ "undrain nowhere", "nowhere" },
		{ "health nowhere", "nowhere" },
		{ "health a/b", "is not the name of an environment" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		expect_exit(mistakes[i].line, 2);
		expect_in(errors, mistakes[i].says);
		assert_string_equal(output, "");
	}
	assert_int_equal(world.reloads + world.rollbacks + world.renewed, 0);
	assert_false(world.environments[0].is_draining || world.environments[1].is_draining);
}

/* Each says so, at once, and prints nothing that a program could take for an answer. */
static void test_without_controlplane(void **state)
{
	static const char *const lines[] = {
		"diff",   "reload",  "rollback", "reconnect production", "drain", "undrain",
		"health", "upgrade", "egress",   "move production",
	};
	char line[64];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		expect_exit(lines[i], 3);
		expect_in(errors, "sallyport: control plane: ");
		snprintf(line, sizeof(line), "--json %s", lines[i]);
		expect_exit(line, 3);
		assert_string_equal(output, "");
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reload, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_reload_of_mistakes, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_reload_that_is_refused, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_reconnect, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_drain, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_health, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_egress, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_upgrade, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_usage, start_with_api, stop),
		cmocka_unit_test_setup_teardown(test_without_controlplane, start, stop),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: test_cli_change PATH-OF-SALLYPORT\n");
		return 2;
	}
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
