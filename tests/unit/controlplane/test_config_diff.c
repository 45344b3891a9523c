/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is told of the difference between two configurations, and that no key is forgotten.
 */
#include "tests/unit/common/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "controlplane/config_diff.h"
#include "controlplane/config_read.h"

#define GATEWAY(dataplane)                                                                               \
	"gateway: { name = \"gw-a\"; uplink: { device = \"af_packet:up\"; address = "                    \
	"\"203.0.113.10/24\"; }; cluster: { device = \"af_packet:in\"; address = \"10.0.0.2/16\"; }; };" \
	"dataplane: { " dataplane " };"
#define SERVER(name, more)                                                                       \
	"{ name = \"" name "\"; address = \"198.51.100.101\"; auth = \"psk\"; account = \"" name \
	"\"; secret_file = \"/s\"; " more " }"
#define ENVIRONMENT(name, address, servers, forwards)                  \
	"environment: { name = \"" name "\"; pod_address = \"" address \
	"\"; sources = [\"10.0.1.0/24\"]; servers = (" servers "); forwards = (" forwards "); };"
#define FORWARD(port, to) "{ port = " port "; to = \"" to "\"; }"

static struct cp_config *parse(const char *gateway, const char *const *environments, size_t count)
{
	struct cp_mistakes mistakes;
	struct cp_config *config;

	if (cp_config_parse(gateway, environments, count, &config, &mistakes) != 0)
		cp_mistakes_print(&mistakes, stderr);
	assert_non_null(config);
	cp_mistakes_fini(&mistakes);
	return config;
}

static struct cp_config *parse_one(const char *environment)
{
	return parse(GATEWAY(""), &environment, 1);
}

/* Takes both. The changes are to be freed. */
static struct cp_changes diff(struct cp_config *from, struct cp_config *to)
{
	struct cp_changes changes;

	assert_int_equal(cp_config_diff(from, to, &changes), 0);
	cp_config_release(from);
	cp_config_release(to);
	return changes;
}

static void test_same(void **state)
{
	const char *text = ENVIRONMENT("production", "10.0.0.33", SERVER("a", ""),
	                               FORWARD("33000", "192.168.100.30:8080"));
	struct cp_changes changes = diff(parse_one(text), parse_one(text));

	(void)state;
	assert_int_equal(changes.count, 0);
}

static void test_forwards(void **state)
{
	struct cp_changes changes = diff(
		parse_one(ENVIRONMENT("production", "10.0.0.33", SERVER("a", ""),
	                              FORWARD("1", "192.0.2.1:1") "," FORWARD("2", "192.0.2.1:2"))),
		parse_one(ENVIRONMENT(
			"production", "10.0.0.33", SERVER("a", ""),
			FORWARD("2", "192.0.2.9:2") ",{ port = 1; transport = \"udp\"; to = "
						    "\"192.0.2.1:1\"; server = \"a\"; }")));
	const struct cp_change *change = changes.list;

	(void)state;
	assert_int_equal(changes.count, 3);
	assert_int_equal(change->kind, CP_CHANGED);
	assert_int_equal(change->what, CP_FORWARD);
	assert_int_equal(ntohs(change->port_be), 2);
	assert_string_equal(change->from, "192.0.2.1:2");
	assert_string_equal(change->to, "192.0.2.9:2");
	assert_int_equal((++change)->kind, CP_ADDED);
	assert_int_equal(change->protocol, IPPROTO_UDP);
	assert_string_equal(change->to, "192.0.2.1:1 by a");
	assert_int_equal((++change)->kind, CP_REMOVED);
	assert_int_equal(change->protocol, IPPROTO_TCP);
	assert_int_equal(change->effect, CP_AT_ONCE);
	cp_changes_fini(&changes);
}

static void test_servers(void **state)
{
	struct cp_config *from = parse_one(ENVIRONMENT(
		"production", "10.0.0.33", SERVER("a", "dpd = 10;") "," SERVER("b", ""), ""));
	struct cp_config *to = parse_one(
		ENVIRONMENT("production", "10.0.0.34",
	                    SERVER("a", "dpd = 20; zone = \"z\";") "," SERVER("c", ""), ""));
	struct cp_changes changes;

	(void)state;
	assert_true(cp_server_needs_renewal(&from->environments[0].servers[0],
	                                    &to->environments[0].servers[0]));
	changes = diff(from, to);
	assert_int_equal(changes.count, 5);
	assert_string_equal(changes.list[0].key, "pod_address");
	assert_string_equal(changes.list[0].from, "10.0.0.33");
	assert_string_equal(changes.list[1].key, "zone");
	assert_int_equal(changes.list[1].effect, CP_AT_ONCE);
	assert_string_equal(changes.list[2].key, "dpd");
	assert_string_equal(changes.list[2].server, "a");
	assert_string_equal(changes.list[2].to, "20");
	assert_int_equal(changes.list[2].effect, CP_RENEGOTIATES);
	assert_int_equal(changes.list[3].kind, CP_ADDED);
	assert_string_equal(changes.list[3].server, "c");
	assert_int_equal(changes.list[4].kind, CP_REMOVED);
	assert_string_equal(changes.list[4].server, "b");
	cp_changes_fini(&changes);
}

static void test_environments(void **state)
{
	const char *const old[] = { ENVIRONMENT("production", "10.0.0.33", SERVER("a", ""), ""),
		                    ENVIRONMENT("staging", "10.0.0.34", SERVER("b", ""), "") };
	const char *const new[] = { ENVIRONMENT("production", "10.0.0.33", SERVER("a", ""), ""),
		                    ENVIRONMENT("qa", "10.0.0.34",
		                                SERVER("b", "") "," SERVER("c", ""),
		                                FORWARD("1", "192.0.2.1:1")) };
	struct cp_changes changes = diff(parse(GATEWAY(""), old, 2), parse(GATEWAY(""), new, 2));

	(void)state;
	assert_int_equal(changes.count, 2);
	assert_int_equal(changes.list[0].kind, CP_ADDED);
	assert_int_equal(changes.list[0].what, CP_ENVIRONMENT);
	assert_string_equal(changes.list[0].environment, "qa");
	assert_string_equal(changes.list[0].to, "2 servers, 1 forward");
	assert_int_equal(changes.list[1].kind, CP_REMOVED);
	assert_string_equal(changes.list[1].environment, "staging");
	cp_changes_fini(&changes);
}

/* What needs a restart is told, and keeps the value it has. */
static void test_node(void **state)
{
	const char *environment = ENVIRONMENT("production", "10.0.0.33", SERVER("a", ""), "");
	struct cp_config *from = parse(GATEWAY(""), &environment, 1);
	struct cp_config *to = parse(
		"gateway: { name = \"gw-b\"; zone = \"z\"; uplink: { device = \"af_packet:x\"; address = "
		"\"203.0.113.11/25\"; router = \"203.0.113.1\"; mtu = 1400; queues = 2; }; cluster: { "
		"device = \"af_packet:y\"; address = \"10.0.0.3/17\"; router = \"10.0.0.1\"; mtu = "
		"1401; queues = 3; routes = [\"10.9.0.0/16\"]; }; }; dataplane: { cores = \"2\"; workers = 1; sessions = "
		"2048; mbufs = 5000; memory_mb = 64; idle = \"adaptive\"; hugepages = \"off\"; "
		"replay_window = 64; allow_slow_crypto = true; }; controlplane: { user = \"nobody\"; "
		"ike_log_level = 1; };",
		&environment, 1);
	struct cp_changes changes;
	size_t kept = 0, told = 0;

	(void)state;
	assert_int_equal(cp_config_diff(from, to, &changes), 0);
	for (size_t i = 0; i < changes.count; i++)
		told += changes.list[i].effect >= CP_NEEDS_CONTROLPLANE;
	cp_changes_fini(&changes);
	assert_int_equal(told, 23);
	cp_config_keep_node(to, from);
	changes = diff(from, to);
	for (size_t i = 0; i < changes.count; i++)
		kept += changes.list[i].effect >= CP_NEEDS_CONTROLPLANE;
	assert_int_equal(kept, 0);
	assert_int_equal(changes.count,
	                 2); /* the zone; the quota that follows dataplane.sessions */
	cp_changes_fini(&changes);
}

/* A new file that sorts before an old one takes nothing from the old one's tunnel. */
static void test_ports_stay(void **state)
{
	const char *const new[] = { ENVIRONMENT("added", "10.0.0.34", SERVER("b", ""), ""),
		                    ENVIRONMENT("production", "10.0.0.33", SERVER("a", ""), "") };
	struct cp_config *running = parse_one(new[1]), *config = parse(GATEWAY(""), new, 2);
	const struct cp_server *old = &config->environments[1].servers[0];

	(void)state;
	assert_int_equal(running->environments[0].servers[0].ike_port, 500);
	assert_int_not_equal(old->ike_port, 500); /* as after a restart */
	cp_config_keep_ports(config, running);
	assert_int_equal(old->ike_port, 500);
	assert_int_equal(old->natt_port, 4500);
	assert_int_not_equal(config->environments[0].servers[0].ike_port, 500);
	cp_config_release(running);
	cp_config_release(config);
}

static void test_copy(void **state)
{
	const char *text = ENVIRONMENT("production", "10.0.0.33", SERVER("a", ""),
	                               FORWARD("33000", "192.168.100.30:8080"));
	struct cp_config *config = parse_one(text), *copy = cp_config_copy(config);
	struct cp_changes changes;

	(void)state;
	assert_non_null(copy);
	assert_int_equal(copy->source_count, 2);
	assert_string_equal(copy->sources[1].text, text);
	assert_ptr_not_equal(copy->environments[0].forwards, config->environments[0].forwards);
	changes = diff(config, copy);
	assert_int_equal(changes.count, 0);
}

static void require_known(const struct cp_key_group *groups)
{
	for (; groups->path; groups++) {
		for (const struct cp_key *key = groups->keys; key->name; key++) {
			char path[128];

			snprintf(path, sizeof(path), "%s%s", groups->path, key->name);
			if (key->kind == CP_KEY_REFUSED ||
			    (key->kind == CP_KEY_CUSTOM && !strchr(path, '.')) ||
			    strcmp(path, "gateway.uplink") == 0 ||
			    strcmp(path, "gateway.cluster") == 0)
				continue; /* a group, whose keys come on their own */
			if (!cp_config_diff_knows(path))
				fail_msg("config_diff.c does not compare %s", path);
		}
	}
}

static void test_no_key_is_forgotten(void **state)
{
	(void)state;
	require_known(cp_gateway_key_groups);
	require_known(cp_environment_key_groups);
	assert_false(cp_config_diff_knows("environment.servers.colour"));
	assert_false(cp_config_diff_knows("gateway.colour"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),    cmocka_unit_test(test_forwards),
		cmocka_unit_test(test_servers), cmocka_unit_test(test_environments),
		cmocka_unit_test(test_node),    cmocka_unit_test(test_ports_stay),
		cmocka_unit_test(test_copy),    cmocka_unit_test(test_no_key_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
