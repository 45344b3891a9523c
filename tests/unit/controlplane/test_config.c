/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration: what good files become, and that each mistake is reported at its place.
 *
 * SALLYPORT_ROOT is the root of the source tree, for the examples and the documentation.
 */
#include "controlplane/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include "controlplane/config_read.h"
#include "tests/unit/common/unit.h"

#define ADDRESS(a, b, c, d) htonl((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The parts of a good configuration; a case replaces one line. */
#define UPLINK \
	"uplink: { device = \"0000:00:06.0\"; address = \"203.0.113.10/24\"; router = \"203.0.113.1\"; };\n"
#define CLUSTER \
	"cluster: { device = \"af_packet:eth1\"; address = \"10.0.0.2/32\"; router = \"10.0.0.1\"; };\n"
#define GATEWAY(name, uplink, cluster, rest) "gateway: {\n" name uplink cluster "};\n" rest
#define NAME "name = \"gw-a\";\n"
#define GOOD_GATEWAY GATEWAY(NAME, UPLINK, CLUSTER, "")

#define HEAD "name = \"production\"; pod_address = \"10.0.0.33\"; sources = [\"10.0.1.0/24\"];\n"
#define LOGIN \
	"auth = \"eap-mschapv2\"; account = \"me\"; password_file = \"/s/p\"; server_ca = \"/s/ca\";\n"
#define SERVERS "servers = ( { name = \"a\"; address = \"198.51.100.101\"; } );\n"
#define FORWARDS "forwards = ( { port = 33000; to = \"192.168.100.30:8080\"; } );\n"
#define ENVIRONMENT(head, login, servers, forwards) \
	"environment: {\n" head login servers forwards "};\n"
#define GOOD_ENVIRONMENT ENVIRONMENT(HEAD, LOGIN, SERVERS, FORWARDS)

static char *read_whole(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 16);

	if (!file)
		fail_msg("%s: %s", path, strerror(errno));
	assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
	fclose(file);
	return text;
}

static struct cp_config *parse(const char *gateway, const char *const *environments, size_t count)
{
	struct cp_mistakes mistakes;
	struct cp_config *config;

	if (cp_config_parse(gateway, environments, count, &config, &mistakes) != 0)
		cp_mistakes_print(&mistakes, stderr);
	assert_int_equal(mistakes.count, 0);
	assert_non_null(config);
	cp_mistakes_fini(&mistakes);
	return config;
}

/* The mistakes of a configuration that has some; to be freed. */
static struct cp_mistakes refuse(const char *gateway, const char *const *environments, size_t count)
{
	struct cp_mistakes mistakes;
	struct cp_config *config;

	assert_int_equal(cp_config_parse(gateway, environments, count, &config, &mistakes),
	                 -EINVAL);
	assert_null(config);
	return mistakes;
}

/* ---- good ones ---- */

static void test_defaults(void **state)
{
	const char *environment = GOOD_ENVIRONMENT;
	struct cp_config *config = parse(GOOD_GATEWAY, &environment, 1);
	const struct cp_server *server;

	(void)state;
	assert_string_equal(config->name, "gw-a");
	assert_string_equal(config->zone, "");
	assert_int_equal(config->uplink.mtu, 1500);
	assert_int_equal(config->uplink.queues, 0);
	assert_string_equal(config->cores, "auto");
	assert_int_equal(config->workers, 0);
	assert_int_equal(config->sessions, 1048576);
	assert_int_equal(config->mbufs, 0);
	assert_int_equal(config->memory_mb, 0);
	assert_int_equal(config->idle, IPC_IDLE_POLL);
	assert_int_equal(config->hugepages, IPC_HUGEPAGES_AUTO);
	assert_int_equal(config->replay_window, 1024);
	assert_false(config->allow_slow_crypto);
	assert_string_equal(config->user, "sallyport");
	assert_int_equal(config->ike_log_level, 0);
	assert_int_equal(config->environment_count, 1);
	assert_int_equal(config->environments[0].session_quota, 1048576);
	assert_int_equal(config->environments[0].port_quota, 0);
	assert_int_equal(config->environments[0].rate_bps, 0);
	assert_int_equal(config->environments[0].vpn, CP_VPN_IPSEC);
	assert_int_equal(config->environments[0].probe_target_be, 0);
	assert_false(config->environments[0].keep_sessions);
	assert_int_equal(config->environments[0].failback_s, 0);
	assert_int_equal(config->environments[0].hold_down_s, 60);
	server = &config->environments[0].servers[0];
	assert_int_equal(server->priority, 1);
	assert_string_equal(server->identity, "198.51.100.101");
	assert_string_equal(server->esp_proposals[0], "aes256gcm16");
	assert_string_equal(server->esp_proposals[1], "aes128gcm16");
	assert_string_equal(server->esp_proposals[2], "chacha20poly1305");
	assert_string_equal(server->esp_proposals[3], "aes256-sha256");
	assert_string_equal(server->esp_proposals[4], "aes128-sha256");
	assert_string_equal(server->esp_proposals[5], "");
	assert_int_equal(server->revocation, CP_REVOCATION_IF_AVAILABLE);
	assert_false(server->is_identity_set);
	assert_int_equal(server->child_rekey_bytes, 0);
	assert_int_equal(server->ike_rekey_s, 14400);
	assert_int_equal(server->child_rekey_s, 3600);
	assert_int_equal(server->dpd_s, 30);
	assert_false(server->force_udp);
	assert_int_equal(server->retry_min_s, 1);
	assert_int_equal(server->retry_max_s, 60);
	/* The defaults hold what the check demands of others. */
	for (size_t i = 0; server->ike_proposals[i][0]; i++)
		assert_null(cp_ike_proposal_fault(server->ike_proposals[i]));
	for (size_t i = 0; server->esp_proposals[i][0]; i++)
		assert_null(cp_esp_proposal_fault(server->esp_proposals[i]));
	cp_config_release(config);
}

static void test_every_key(void **state)
{
	const char *gateway =
		"gateway: { name = \"gw-a\"; zone = \"zone-a\";\n"
		"  uplink: { device = \"mac:02:00:00:00:00:0a\"; address = \"203.0.113.10/24\"; router = \"203.0.113.1\"; mtu = 1400; queues = 2; };\n"
		"  cluster: { device = \"memif:/run/m.sock,role=client\"; address = \"10.0.0.2/32\"; router = \"10.9.9.9\"; mtu = 8896; queues = 3;\n"
		"             routes = [\"10.0.0.0/16\", \"172.16.0.0/12\"]; }; };\n"
		"dataplane: { cores = \"2-5,8\"; workers = 4; sessions = 0x10000; mbufs = 8192; memory_mb = 512; idle = \"adaptive\";\n"
		"             hugepages = \"off\"; replay_window = 64; allow_slow_crypto = true; };\n"
		"controlplane: { user = \"nobody\"; ike_log_level = -1; };\n";
	const char *environment =
		"environment: { name = \"production\"; pod_address = \"10.0.0.33\"; sources = (\"10.0.1.0/24\", \"10.0.2.0/24\");\n"
		"  vpn = \"ipsec\"; auth = \"eap-mschapv2\"; account = \"me\"; password_file = \"/s/p\"; server_ca = \"/s/ca\";\n"
		"  ike_proposals = \"aes256-sha256-modp2048\"; esp_proposals = [\"aes128gcm16-ecp256-esn-noesn\"];\n"
		"  ike_rekey = 0; child_rekey = 5; dpd = 10; force_encapsulation = true; retry: { min = 2; max = 20; };\n"
		"  quota: { sessions = 200000; ports = 16000; }; rate = \"2.5 Gbps\";\n"
		"  probe: { target = \"192.168.100.1\"; }; keep_sessions = true; failback = \"after 300 s\"; hold_down = 30;\n"
		"  servers = ( { name = \"late\"; address = \"198.51.100.101\"; priority = 10; zone = \"z1\"; },\n"
		"              { name = \"second\"; address = \"vpn-b.customer.example\"; server_identity = \"vpn-b\"; account = \"you\";\n"
		"                child_rekey = 900; retry: { max = 30; }; },\n"
		"              { name = \"first\"; address = \"198.51.100.103\"; priority = 1; auth = \"psk\"; secret_file = \"/s/psk\"; } );\n"
		"  forwards = ( { port = 33000; to = \"192.168.100.30:8080\"; transport = \"tcp\"; server = \"second\"; },\n"
		"               { port = 65535; to = \"192.168.100.31:1\"; },\n"
		"               { port = 33000; to = \"192.168.100.53:53\"; transport = \"udp\"; } ); };\n";
	struct cp_config *config = parse(gateway, &environment, 1);
	const struct cp_environment *production = cp_config_environment(config, "production");
	const struct cp_server *server;

	(void)state;
	assert_string_equal(config->zone, "zone-a");
	assert_string_equal(config->uplink.device, "mac:02:00:00:00:00:0a");
	assert_int_equal(config->uplink.address_be, ADDRESS(203, 0, 113, 10));
	assert_int_equal(config->uplink.prefix_length, 24);
	assert_int_equal(config->uplink.router_be, ADDRESS(203, 0, 113, 1));
	assert_int_equal(config->uplink.mtu, 1400);
	assert_int_equal(config->uplink.queues, 2);
	assert_string_equal(config->cluster.device, "memif:/run/m.sock,role=client");
	assert_int_equal(config->cluster.prefix_length, 32);
	assert_int_equal(config->cluster.router_be, ADDRESS(10, 9, 9, 9));
	assert_int_equal(config->cluster.mtu, 8896);
	assert_int_equal(config->cluster.queues, 3);
	assert_int_equal(config->route_count, 2);
	assert_int_equal(config->routes[1].address_be, ADDRESS(172, 16, 0, 0));
	assert_int_equal(config->routes[1].length, 12);
	assert_string_equal(config->cores, "2-5,8");
	assert_int_equal(config->workers, 4);
	assert_int_equal(config->sessions, 65536);
	assert_int_equal(config->mbufs, 8192);
	assert_int_equal(config->memory_mb, 512);
	assert_int_equal(config->idle, IPC_IDLE_ADAPTIVE);
	assert_int_equal(config->hugepages, IPC_HUGEPAGES_OFF);
	assert_int_equal(config->replay_window, 64);
	assert_true(config->allow_slow_crypto);
	assert_string_equal(config->user, "nobody");
	assert_int_equal(config->ike_log_level, -1);

	assert_non_null(production);
	assert_string_equal(production->file, "environment-1.conf");
	assert_int_equal(production->pod_address_be, ADDRESS(10, 0, 0, 33));
	assert_int_equal(production->source_count, 2);
	assert_int_equal(production->session_quota, 200000);
	assert_int_equal(production->port_quota, 16000);
	assert_int_equal(production->rate_bps, 2500000000u);
	assert_int_equal(production->probe_target_be, ADDRESS(192, 168, 100, 1));
	assert_true(production->keep_sessions);
	assert_int_equal(production->failback_s, 300);
	assert_int_equal(production->hold_down_s, 30);
	assert_int_equal(production->server_count, 3);
	assert_string_equal(production->servers[0].name, "first");
	assert_string_equal(production->servers[1].name, "second");
	assert_string_equal(production->servers[2].name, "late");

	server = cp_config_server(production, "late");
	assert_string_equal(server->zone, "z1");
	assert_string_equal(server->account, "me");
	assert_int_equal(server->auth, CP_AUTH_EAP_MSCHAPV2);
	assert_string_equal(server->secret_file, "/s/p");
	assert_string_equal(server->ca_file, "/s/ca");
	assert_string_equal(server->ike_proposals[0], "aes256-sha256-modp2048");
	assert_string_equal(server->ike_proposals[1], "");
	assert_string_equal(server->esp_proposals[0], "aes128gcm16-ecp256-esn-noesn");
	assert_string_equal(server->esp_proposals[1], "");
	assert_int_equal(server->ike_rekey_s, 0);
	assert_int_equal(server->child_rekey_s, 5);
	assert_int_equal(server->dpd_s, 10);
	assert_true(server->force_udp);
	assert_int_equal(server->retry_min_s, 2);
	assert_int_equal(server->retry_max_s, 20);

	server = cp_config_server(production, "second");
	assert_int_equal(server->priority, 2);
	assert_string_equal(server->address, "vpn-b.customer.example");
	assert_string_equal(server->identity, "vpn-b");
	assert_string_equal(server->account, "you");
	assert_int_equal(server->child_rekey_s, 900);
	assert_int_equal(server->retry_min_s, 2);
	assert_int_equal(server->retry_max_s, 30);

	server = cp_config_server(production, "first");
	assert_int_equal(server->auth, CP_AUTH_PSK);
	assert_string_equal(server->secret_file, "/s/psk");
	assert_string_equal(server->ca_file, "");

	assert_int_equal(production->forward_count, 3);
	assert_int_equal(production->forwards[0].protocol, IPPROTO_TCP);
	assert_int_equal(production->forwards[0].port_be, htons(33000));
	assert_int_equal(production->forwards[0].to_address_be, ADDRESS(192, 168, 100, 30));
	assert_int_equal(production->forwards[0].to_port_be, htons(8080));
	assert_string_equal(production->forwards[0].server, "second");
	assert_string_equal(production->forwards[1].server, "");
	assert_int_equal(production->forwards[1].protocol, IPPROTO_TCP);
	assert_int_equal(production->forwards[2].protocol,
	                 IPPROTO_UDP); /* beside the TCP forward of the same port */
	assert_int_equal(production->forwards[2].port_be, htons(33000));
	assert_null(cp_config_environment(config, "staging"));
	assert_null(cp_config_server(production, "c"));
	cp_config_release(config);
}

static void test_examples(void **state)
{
	char *gateway = read_whole(SALLYPORT_ROOT "/conf/gateway.conf");
	char *environment = read_whole(SALLYPORT_ROOT "/conf/environments.d/production.conf");
	struct cp_config *config = parse(gateway, (const char *const *)&environment, 1);

	(void)state;
	assert_non_null(cp_config_environment(config, "production"));
	cp_config_release(config);
	free(gateway);
	free(environment);
}

static void test_no_environments(void **state)
{
	(void)state;
	cp_config_release(parse(GOOD_GATEWAY, NULL, 0));
}

/* ---- bad ones: exactly one mistake each ---- */

struct bad {
	const char *gateway, *environment; /* NULL: the good one */
	unsigned line;
	const char *key, *text; /* TEXT: a part of it */
};

#define BAD_UPLINK(line_text)                                                                       \
	GATEWAY(NAME,                                                                               \
	        "uplink: {\n device = \"0000:00:06.0\"; address = \"203.0.113.10/24\";\n" line_text \
	        "\n};\n",                                                                           \
	        CLUSTER, "")
#define BAD_DEVICE(device)                                                                      \
	GATEWAY(NAME, "uplink: { device = \"" device "\"; address = \"203.0.113.10/24\"; };\n", \
	        CLUSTER, "")
#define BAD_ADDRESS(address)                                                                  \
	GATEWAY(NAME, "uplink: { device = \"0000:00:06.0\"; address = \"" address "\"; };\n", \
	        CLUSTER, "")
#define BAD_DATAPLANE(line_text) GATEWAY(NAME, UPLINK, CLUSTER, "dataplane: {\n" line_text "\n};\n")
#define BAD_CONTROLPLANE(line_text) \
	GATEWAY(NAME, UPLINK, CLUSTER, "controlplane: {\n" line_text "\n};\n")
#define BAD_HEAD(head) ENVIRONMENT(head "\n", LOGIN, SERVERS, FORWARDS)
#define BAD_LOGIN(login) ENVIRONMENT(HEAD, login "\n", SERVERS, FORWARDS)
#define MORE(line_text) ENVIRONMENT(HEAD, LOGIN, SERVERS, FORWARDS line_text "\n")
#define BAD_SERVERS(servers) ENVIRONMENT(HEAD, LOGIN, servers "\n", "")
#define BAD_FORWARDS(forwards) ENVIRONMENT(HEAD, LOGIN, SERVERS, "forwards = (\n" forwards "\n);\n")

#define BAD_EGRESS(text) GATEWAY(NAME, UPLINK, CLUSTER, "egress: {" text "};\n")

static const struct bad bad[] = {
	/* syntax */
	{ "gateway: {\n name = ;\n};", NULL, 2, "", "syntax error" },
	{ "gateway: {\n name = \"a\";\n name = \"b\";\n};", NULL, 3, "", "duplicate setting name" },
	{ GOOD_GATEWAY "gateway: { };", NULL, 6, "", "duplicate setting name" },
	{ "gateway: {\n x = [1, \"a\"];\n};", NULL, 2, "", "mismatched element type in array" },
	{ "\n@include \"/etc/passwd\"\n", NULL, 2, "", "@include is not allowed" },
	{ "/*\n*/\n \t@include \"/etc/passwd\"\n", NULL, 3, "", "@include is not allowed" },
	{ "gateway: {\n name = \"gw-a;\n zone = 1;\n};\n# end", NULL, 2, "",
	  "the text that starts here does not end" },
	{ "\n/* gateway: {\n};\n", NULL, 2, "", "the comment that starts here does not end" },
	{ "x = \"\\\"\n@include \";\n", NULL, 2, "", "@include is not allowed" },
	{ "x = ((((((((((((((((\n(1)))))))))))))))));", NULL, 2, "", "nested too deep" },
	{ BAD_DATAPLANE("sessions = 4294968320;"), NULL, 7, "", "the number is too large" },
	{ BAD_DATAPLANE("sessions = 0x100000400;"), NULL, 7, "", "the number is too large" },
	{ BAD_DATAPLANE("sessions = 00000000004294968320L;"), NULL, 7, "",
	  "the number is too large" },

	/* gateway.conf: structure */
	{ "", NULL, 0, "gateway", "is missing" },
	{ "gateway = 5;", NULL, 1, "gateway", "must be a group" },
	{ GATEWAY("", UPLINK, CLUSTER, ""), NULL, 1, "gateway.name", "is missing" },
	{ GATEWAY(NAME, "", CLUSTER, ""), NULL, 1, "gateway.uplink", "is missing" },
	{ GATEWAY(NAME, UPLINK, "", ""), NULL, 1, "gateway.cluster", "is missing" },
	{ GATEWAY(NAME, "uplink: { address = \"203.0.113.10/24\"; };\n", CLUSTER, ""), NULL, 3,
	  "gateway.uplink.device", "is missing" },
	{ GATEWAY(NAME, "uplink: { device = \"0000:00:06.0\"; };\n", CLUSTER, ""), NULL, 3,
	  "gateway.uplink.address", "is missing" },
	{ GATEWAY(NAME "zoen = \"z\";\n", UPLINK, CLUSTER, ""), NULL, 3, "gateway.zoen",
	  "did you mean \"zone\"?" },
	{ GATEWAY(NAME "fortytwo = 42;\n", UPLINK, CLUSTER, ""), NULL, 3, "gateway.fortytwo",
	  "is not a key here" },
	{ GATEWAY(NAME, UPLINK, CLUSTER, "dataplan: { };\n"), NULL, 6, "dataplan",
	  "did you mean \"dataplane\"?" },
	/* gateway.conf: egress */
	{ BAD_EGRESS(""), NULL, 6, "egress.sources", "is missing" },
	{ BAD_EGRESS("sources = [];"), NULL, 6, "egress.sources", "at least one prefix" },
	{ BAD_EGRESS("sources = [\"10.0.0.1/16\"];"), NULL, 6, "egress.sources.[0]",
	  "no host bits" },
	{ BAD_EGRESS("sources = [\"10.0.0.0/16\"]; snat_address = [];"), NULL, 6,
	  "egress.snat_address", "1 to 16 addresses" },
	{ BAD_EGRESS("sources = [\"10.0.0.0/16\"]; snat_address = \"127.0.0.1\";"), NULL, 6,
	  "egress.snat_address", "unicast" },
	{ BAD_EGRESS(
		  "sources = [\"10.0.0.0/16\"]; snat_address = [\"203.0.113.10\", \"203.0.113.10\"];"),
	  NULL, 6, "egress.snat_address.[1]", "twice" },
	{ BAD_EGRESS("sources = [\"10.0.0.0/16\"]; snat_address = \"10.0.0.2\";"), NULL, 6,
	  "egress", "10.0.0.2 is the cluster port" },
	{ BAD_EGRESS("sources = [\"10.0.0.0/16\"]; snat_address = \"203.0.113.1\";"), NULL, 6,
	  "egress", "203.0.113.1 is the address of a router" },
	{ BAD_EGRESS("sources = [\"10.0.0.0/16\"]; snat_address = \"10.0.0.33\";"), NULL, 6,
	  "egress", "is the pod_address of the environment" },
	{ BAD_EGRESS("sources = [\"10.0.0.0/16\"]; public_address = 5;"), NULL, 6,
	  "egress.public_address", "must be text" },
	{ BAD_EGRESS("sources = [\"10.0.0.0/16\"]; allow = [\"10.0.0.0\"];"), NULL, 6,
	  "egress.allow.[0]", "must be a prefix" },
	{ BAD_EGRESS("sources = [\"10.0.0.0/16\"];\ninbound = ( { to = \"10.0.1.20:8443\"; } );"),
	  NULL, 7, "egress.inbound.[0].port", "is missing" },
	{ BAD_EGRESS("sources = [\"10.0.0.0/16\"];\ninbound = ( { port = 443; } );"), NULL, 7,
	  "egress.inbound.[0].to", "is missing" },
	{ BAD_EGRESS(
		  "sources = [\"10.0.0.0/16\"];\ninbound = ( { port = 443; to = \"10.0.1.20\"; } );"),
	  NULL, 7, "egress.inbound.[0].to", "address and a port" },
	{ BAD_EGRESS(
		  "sources = [\"10.0.0.0/16\"];\ninbound = ( { port = 443; to = \"10.0.1.20:1\"; transport = \"sctp\"; } );"),
	  NULL, 7, "egress.inbound.[0].transport", "\"tcp\" or \"udp\"" },
	{ BAD_EGRESS(
		  "sources = [\"10.0.0.0/16\"];\ninbound = ( { port = 4500; to = \"10.0.1.20:1\"; transport = \"udp\"; } );"),
	  NULL, 7, "egress.inbound.[0].port", "4500 is IKE" },
	{ BAD_EGRESS(
		  "sources = [\"10.0.0.0/16\"];\ninbound = ( { port = 443; to = \"10.0.1.20:1\"; address = \"203.0.113.11\"; } );"),
	  NULL, 7, "egress.inbound.[0].address", "one of the snat addresses" },
	{ BAD_EGRESS(
		  "sources = [\"10.0.0.0/16\"];\ninbound = ( { port = 443; to = \"10.0.1.20:1\"; },\n { port = 443; to = \"10.0.1.21:1\"; address = \"203.0.113.10\"; } );"),
	  NULL, 8, "egress.inbound.[1].port", "443 is already mapped at line 7" },
	{ GATEWAY(NAME, UPLINK, CLUSTER, "environment: { };\n"), NULL, 6, "environment",
	  "environments.d" },
	{ GATEWAY("name = 5;\n", UPLINK, CLUSTER, ""), NULL, 2, "gateway.name",
	  "must be text in quotes" },
	{ GATEWAY("name = \"Gateway A\";\n", UPLINK, CLUSTER, ""), NULL, 2, "gateway.name",
	  "must be a name" },
	{ GATEWAY(NAME "zone = \"\";\n", UPLINK, CLUSTER, ""), NULL, 3, "gateway.zone",
	  "must be a name" },

	/* gateway.conf: ports */
	{ BAD_UPLINK("mtu = 575;"), NULL, 5, "gateway.uplink.mtu", "must be 576 to 9000, not 575" },
	{ BAD_UPLINK("mtu = 9001;"), NULL, 5, "gateway.uplink.mtu", "must be 576 to 9000" },
	{ BAD_UPLINK("mtu = \"1500\";"), NULL, 5, "gateway.uplink.mtu", "must be a whole number" },
	{ BAD_UPLINK("mtu = 1500.0;"), NULL, 5, "gateway.uplink.mtu", "must be a whole number" },
	{ BAD_UPLINK("queues = -1;"), NULL, 5, "gateway.uplink.queues", "must be 0 to 64" },
	{ BAD_UPLINK("router = \"203.0.114.1\";"), NULL, 5, "gateway.uplink.router",
	  "must be in the port's subnet" },
	{ BAD_UPLINK("router = \"203.0.113.10\";"), NULL, 5, "gateway.uplink.router",
	  "own address" },
	{ BAD_UPLINK("router = \"203.0.113.255\";"), NULL, 5, "gateway.uplink.router",
	  "first or last" },
	{ BAD_UPLINK("router = \"gw\";"), NULL, 5, "gateway.uplink.router",
	  "must be a unicast IPv4 address" },
	{ BAD_UPLINK("routes = [\"10.0.0.0/8\"];"), NULL, 5, "gateway.uplink.routes",
	  "is not a key here" },
	{ BAD_ADDRESS("203.0.113.10"), NULL, 3, "gateway.uplink.address", "prefix length" },
	{ BAD_ADDRESS("203.0.113.10/33"), NULL, 3, "gateway.uplink.address", "prefix length" },
	{ BAD_ADDRESS("203.0.113.10/0"), NULL, 3, "gateway.uplink.address", "prefix length" },
	{ BAD_ADDRESS("127.0.0.1/8"), NULL, 3, "gateway.uplink.address", "unicast" },
	{ BAD_ADDRESS("203.0.113.0/24"), NULL, 3, "gateway.uplink.address", "first or last" },
	{ BAD_ADDRESS("203.0.113.255/24"), NULL, 3, "gateway.uplink.address", "first or last" },
	{ BAD_ADDRESS("10.0.0.2/24"), NULL, 4, "gateway.cluster.address",
	  "another address than the uplink's" },
	{ BAD_DEVICE("eth0"), NULL, 3, "gateway.uplink.device", "must be a PCI address" },
	{ BAD_DEVICE("af_packet:eth1"), NULL, 4, "gateway.cluster.device", "another device" },
	{ GATEWAY(NAME, UPLINK,
	          "cluster: { device = \"vdev:net_null0\"; address = \"10.0.0.2/24\";\n routes = [\"10.0.0.0/16\"]; };\n",
	          ""),
	  NULL, 4, "gateway.cluster.router", "the routes go through it" },
	{ GATEWAY(NAME, UPLINK,
	          "cluster: { device = \"vdev:net_null0\"; address = \"10.0.0.2/24\"; router = \"10.0.0.1\";\n routes = [\"10.0.0.1/16\"]; };\n",
	          ""),
	  NULL, 5, "gateway.cluster.routes.[0]", "must be a prefix" },

	/* gateway.conf: dataplane and control plane */
	{ BAD_DATAPLANE("sessions = 1023;"), NULL, 7, "dataplane.sessions",
	  "must be 1024 to 16777216, not 1023" },
	{ BAD_DATAPLANE("workers = 65;"), NULL, 7, "dataplane.workers", "must be 0 to 64" },
	{ BAD_DATAPLANE("cores = \"5-2\";"), NULL, 7, "dataplane.cores",
	  "must be \"auto\" or a list" },
	{ BAD_DATAPLANE("idle = \"sleep\";"), NULL, 7, "dataplane.idle",
	  "must be \"poll\" or \"adaptive\"" },
	{ BAD_DATAPLANE("hugepages = true;"), NULL, 7, "dataplane.hugepages",
	  "must be text in quotes" },
	{ BAD_DATAPLANE("replay_window = 100;"), NULL, 7, "dataplane.replay_window",
	  "a multiple of 32" },
	{ BAD_DATAPLANE("replay_window = 4128;"), NULL, 7, "dataplane.replay_window",
	  "32 to 4096" },
	{ BAD_DATAPLANE("allow_slow_crypto = 1;"), NULL, 7, "dataplane.allow_slow_crypto",
	  "must be true or false" },
	{ BAD_DATAPLANE("memory = 5;"), NULL, 7, "dataplane.memory", "did you mean" },
	{ BAD_CONTROLPLANE("user = \"No Body\";"), NULL, 7, "controlplane.user", "system user" },
	{ BAD_CONTROLPLANE("ike_log_level = 5;"), NULL, 7, "controlplane.ike_log_level",
	  "must be -1 to 4" },

	/* environments: structure */
	{ NULL, "", 0, "environment", "is missing" },
	{ NULL, "environment: {\n", 2, "", "syntax error" },
	{ NULL, GOOD_ENVIRONMENT "gateway: { };", 7, "gateway", "belongs in gateway.conf" },
	{ NULL,
	  ENVIRONMENT("pod_address = \"10.0.0.33\"; sources = [\"10.0.1.0/24\"];\n", LOGIN, SERVERS,
	              ""),
	  1, "environment.name", "is missing" },
	{ NULL, ENVIRONMENT("name = \"x\"; sources = [\"10.0.1.0/24\"];\n", LOGIN, SERVERS, ""), 1,
	  "environment.pod_address", "is missing" },
	{ NULL, ENVIRONMENT("name = \"x\"; pod_address = \"10.0.0.33\";\n", LOGIN, SERVERS, ""), 1,
	  "environment.sources", "is missing" },
	{ NULL, ENVIRONMENT(HEAD, LOGIN, "", ""), 1, "environment.servers", "is missing" },
	{ NULL, BAD_HEAD("name = \"x\"; sources = [\"10.0.1.0/24\"]; pod_address = \"10.0.0.2\";"),
	  2, "environment.pod_address", "address of a port" },
	{ NULL,
	  BAD_HEAD("name = \"x\"; sources = [\"10.0.1.0/24\"]; pod_address = \"203.0.113.10\";"), 2,
	  "environment.pod_address", "address of a port" },
	{ NULL, BAD_HEAD("name = \"x\"; sources = [\"10.0.1.0/24\"]; pod_address = \"10.0.0.1\";"),
	  2, "environment.pod_address", "address of a router" },
	{ NULL, BAD_HEAD("name = \"x\"; sources = [\"10.0.1.0/24\"]; pod_address = \"224.0.0.1\";"),
	  2, "environment.pod_address", "unicast" },
	{ NULL, BAD_HEAD("name = \"x\"; sources = []; pod_address = \"10.0.0.33\";"), 2,
	  "environment.sources", "at least one prefix" },
	{ NULL, BAD_HEAD("name = \"x\"; sources = \"10.0.1.0/24\"; pod_address = \"10.0.0.33\";"),
	  2, "environment.sources", "must be a list" },
	{ NULL, BAD_HEAD("name = \"x\"; sources = [5]; pod_address = \"10.0.0.33\";"), 2,
	  "environment.sources.[0]", "must be text" },
	{ NULL,
	  BAD_HEAD(
		  "name = \"x\"; sources = [\"10.0.1.0/24\",\n\"10.0.1.1/24\"]; pod_address = \"10.0.0.33\";"),
	  3, "environment.sources.[1]", "no host bits" },
	{ NULL, MORE("vpn = \"l2tp\";"), 6, "environment.vpn", "must be \"ipsec\" or \"openvpn\"" },
	{ NULL, MORE("data_ciphers = \"AES-256-GCM\";"), 6, "environment.data_ciphers",
	  "has no use with this vpn" },
	{ NULL, MORE("probe: { target = \"198.51.100.300\"; };"), 6, "environment.probe.target",
	  "unicast" },
	{ NULL, MORE("probe: { target = \"nobody\"; };"), 6, "environment.probe.target",
	  "\"none\"" },
	{ NULL, MORE("probe: { target = \"127.0.0.1\"; };"), 6, "environment.probe.target",
	  "unicast" },
	{ NULL, MORE("probe: { };"), 6, "environment.probe.target", "is missing" },
	{ NULL, MORE("failback = 300;"), 6, "environment.failback", "must be text" },
	{ NULL, MORE("failback = \"after 300\";"), 6, "environment.failback", "after 300 s" },
	{ NULL, MORE("failback = \"after 300 s.\";"), 6, "environment.failback", "after 300 s" },
	{ NULL, MORE("failback = \"after -1 s\";"), 6, "environment.failback", "after 300 s" },
	{ NULL, MORE("failback = \"after 0 s\";"), 6, "environment.failback", "1 to 86400" },
	{ NULL, MORE("failback = \"after 86401 s\";"), 6, "environment.failback", "1 to 86400" },
	{ NULL, MORE("failback = \"after 99999999999999999999 s\";"), 6, "environment.failback",
	  "1 to 86400" },
	{ NULL, MORE("hold_down = 0;"), 6, "environment.hold_down", "must be 1 to 86400" },
	{ NULL, MORE("keep_sessions = 1;"), 6, "environment.keep_sessions", "must be" },
	{ NULL, MORE("quota: { sessions = 0; };"), 6, "environment.quota.sessions",
	  "must be 1 to 16777216" },
	{ NULL, MORE("quota: { ports = 255; };"), 6, "environment.quota.ports", "256 to 64512" },
	{ NULL, MORE("quota: { ports = 64513; };"), 6, "environment.quota.ports", "256 to 64512" },
	{ NULL, MORE("rate = 3;"), 6, "environment.rate", "must be text" },
	{ NULL, MORE("rate = \"3\";"), 6, "environment.rate", "64 kbps to 1000 Gbps" },
	{ NULL, MORE("rate = \"Gbps\";"), 6, "environment.rate", "64 kbps to 1000 Gbps" },
	{ NULL, MORE("rate = \"3 gbps\";"), 6, "environment.rate", "64 kbps to 1000 Gbps" },
	{ NULL, MORE("rate = \"3  Gbps\";"), 6, "environment.rate", "64 kbps to 1000 Gbps" },
	{ NULL, MORE("rate = \"3 Gbps \";"), 6, "environment.rate", "64 kbps to 1000 Gbps" },
	{ NULL, MORE("rate = \"-3 Gbps\";"), 6, "environment.rate", "64 kbps to 1000 Gbps" },
	{ NULL, MORE("rate = \"3. Gbps\";"), 6, "environment.rate", "64 kbps to 1000 Gbps" },
	{ NULL, MORE("rate = \".5 Gbps\";"), 6, "environment.rate", "64 kbps to 1000 Gbps" },
	{ NULL, MORE("rate = \"1.2345 Gbps\";"), 6, "environment.rate", "64 kbps to 1000 Gbps" },
	{ NULL, MORE("rate = \"1.2.3 Gbps\";"), 6, "environment.rate", "64 kbps to 1000 Gbps" },
	{ NULL, MORE("rate = \"63.999 kbps\";"), 6, "environment.rate", "64 kbps to 1000 Gbps" },
	{ NULL, MORE("rate = \"1000.001 Gbps\";"), 6, "environment.rate", "64 kbps to 1000 Gbps" },
	{ NULL, MORE("rate = \"0 Gbps\";"), 6, "environment.rate", "64 kbps to 1000 Gbps" },
	{ NULL, MORE("rate = \"99999999999999999999 kbps\";"), 6, "environment.rate",
	  "64 kbps to 1000 Gbps" },
	{ NULL, MORE("acount = \"x\";"), 6, "environment.acount", "did you mean \"account\"?" },

	/* environments: logging in */
	{ NULL, BAD_LOGIN("auth = \"eap-tls\"; key_file = \"/s/k\"; server_ca = \"/s/ca\";"), 4,
	  "environment.servers.[0].certificate_file", "is missing: auth = \"eap-tls\" needs it" },
	{ NULL,
	  BAD_LOGIN("auth = \"certificate\"; certificate_file = \"/s/c\"; server_ca = \"/s/ca\";"),
	  4, "environment.servers.[0].key_file", "is missing: auth = \"certificate\" needs it" },
	{ NULL,
	  BAD_LOGIN("auth = \"certificate\"; certificate_file = \"/s/c\"; key_file = \"/s/k\";"), 4,
	  "environment.servers.[0].server_ca", "is missing" },
	{ NULL, MORE("key_file = \"/s/k\";"), 6, "environment.key_file",
	  "has no use: no server has auth = \"eap-tls\" or \"certificate\"" },
	{ NULL, MORE("aaa_identity = \"radius\";"), 6, "environment.aaa_identity", "has no use" },
	{ NULL,
	  BAD_SERVERS(
		  "servers = ( { name = \"a\"; address = \"198.51.100.101\"; certificate_file = \"/s\"; } );"),
	  4, "environment.servers.[0].certificate_file",
	  "has no use with auth = \"eap-mschapv2\"" },
	{ NULL, MORE("revocation = \"always\";"), 6, "environment.revocation",
	  "must be \"off\" or \"if-available\" or \"strict\"" },
	{ NULL, MORE("child_rekey_bytes = \"12X\";"), 6, "environment.child_rekey_bytes",
	  "must be 0 (no limit) or 1048576" },
	{ NULL, MORE("child_rekey_bytes = 1000;"), 6, "environment.child_rekey_bytes",
	  "must be 0 (no limit)" },
	{ NULL, MORE("child_rekey_bytes = \"2000000T\";"), 6, "environment.child_rekey_bytes",
	  "must be 0 (no limit)" },
	{ NULL, MORE("child_rekey_packets = true;"), 6, "environment.child_rekey_packets",
	  "must be 0 (no limit) or 1000" },
	{ NULL, BAD_LOGIN("auth = \"none\";"), 3, "environment.auth",
	  "must be \"eap-mschapv2\" or \"eap-tls\" or \"certificate\" or \"psk\"" },
	{ NULL, BAD_LOGIN(""), 4, "environment.servers.[0].auth", "is missing" },
	{ NULL,
	  BAD_LOGIN("auth = \"eap-mschapv2\"; password_file = \"/s/p\"; server_ca = \"/s/ca\";"), 4,
	  "environment.servers.[0].account", "is missing: auth = \"eap-mschapv2\" needs it" },
	{ NULL, BAD_LOGIN("auth = \"eap-mschapv2\"; account = \"me\"; server_ca = \"/s/ca\";"), 4,
	  "environment.servers.[0].password_file", "is missing" },
	{ NULL, BAD_LOGIN("auth = \"eap-mschapv2\"; account = \"me\"; password_file = \"/s/p\";"),
	  4, "environment.servers.[0].server_ca", "is missing" },
	{ NULL, BAD_LOGIN("auth = \"psk\"; account = \"me\";"), 4,
	  "environment.servers.[0].secret_file", "is missing: auth = \"psk\" needs it" },
	{ NULL,
	  BAD_LOGIN(
		  "auth = \"psk\"; account = \"me\"; secret_file = \"/s\"; password_file = \"/p\";"),
	  3, "environment.password_file", "has no use" },
	{ NULL, MORE("secret_file = \"/s\";"), 6, "environment.secret_file", "has no use" },
	{ NULL,
	  BAD_SERVERS(
		  "servers = ( { name = \"a\"; address = \"198.51.100.101\"; secret_file = \"/s\"; } );"),
	  4, "environment.servers.[0].secret_file", "has no use" },
	{ NULL,
	  BAD_LOGIN(
		  "auth = \"eap-mschapv2\"; account = \"\"; password_file = \"/s/p\"; server_ca = \"/s/ca\";"),
	  3, "environment.account", "must not be empty" },
	{ NULL,
	  BAD_LOGIN(
		  "auth = \"eap-mschapv2\"; account = \"a\\nb\"; password_file = \"/s/p\"; server_ca = \"/s/ca\";"),
	  3, "environment.account", "control characters" },
	{ NULL,
	  BAD_LOGIN(
		  "auth = \"eap-mschapv2\"; account = \"me\"; password_file = \"s/p\"; server_ca = \"/s/ca\";"),
	  3, "environment.password_file", "must be an absolute path" },
	{ NULL, MORE("ike_proposals = \"AES256\";"), 6, "environment.ike_proposals",
	  "must be words joined by '-'" },
	{ NULL, MORE("ike_proposals = [];"), 6, "environment.ike_proposals", "must have 1 to 8" },
	{ NULL, MORE("esp_proposals = [\"aes256gcm16\",\n\"aes256gcm16-sha256\"];"), 7,
	  "environment.esp_proposals.[1]", "must not mix" },
	{ NULL, MORE("esp_proposals = [\"aes256-sha256\",\n\"3des-sha1\"];"), 7,
	  "environment.esp_proposals.[1]", "no other ESP algorithm" },
	{ NULL, MORE("esp_proposals = \"aes256\";"), 6, "environment.esp_proposals",
	  "need sha256" },
	{ NULL, MORE("esp_proposals = 5;"), 6, "environment.esp_proposals", "must be text" },
	{ NULL, MORE("ike_rekey = 2;"), 6, "environment.ike_rekey",
	  "must be 0 (never) or 3 to 604800" },
	{ NULL, MORE("child_rekey = 86401;"), 6, "environment.child_rekey",
	  "must be 0 (never) or 3 to 86400" },
	{ NULL, MORE("dpd = 0;"), 6, "environment.dpd", "must be 1 to 3600" },
	{ NULL, MORE("force_encapsulation = \"yes\";"), 6, "environment.force_encapsulation",
	  "must be true or false" },
	{ NULL, MORE("retry: { min = 61; };"), 6, "environment.retry",
	  "min (61) must not be greater than max (60)" },
	{ NULL, MORE("retry: { min = 0; };"), 6, "environment.retry.min", "must be 1 to 3600" },

	/* environments: servers */
	{ NULL, BAD_SERVERS("servers = ();"), 4, "environment.servers",
	  "must have 1 to 8 servers" },
	{ NULL, BAD_SERVERS("servers = { name = \"a\"; };"), 4, "environment.servers",
	  "must be a list" },
	{ NULL, BAD_SERVERS("servers = ( 5 );"), 4, "environment.servers.[0]", "must be a group" },
	{ NULL, BAD_SERVERS("servers = ( { address = \"198.51.100.101\"; } );"), 4,
	  "environment.servers.[0].name", "is missing" },
	{ NULL, BAD_SERVERS("servers = ( { name = \"a\"; } );"), 4,
	  "environment.servers.[0].address", "is missing" },
	{ NULL,
	  BAD_SERVERS(
		  "servers = ( { name = \"a\"; address = \"198.51.100.101\"; },\n { name = \"a\"; address = \"198.51.100.102\"; } );"),
	  5, "environment.servers.[1].name", "name of an earlier server" },
	{ NULL,
	  BAD_SERVERS(
		  "servers = ( { name = \"a\"; address = \"198.51.100.101\"; local_port = 501; } );"),
	  4, "environment.servers.[0].local_port", "must be 500 (with 4500) or 1024 to 65534" },
	{ NULL,
	  BAD_SERVERS(
		  "servers = ( { name = \"a\"; address = \"198.51.100.101\"; local_port = 4499; } );"),
	  4, "environment.servers.[0].local_port", "but for 4499 and 4500" },
	{ NULL,
	  BAD_SERVERS(
		  "servers = ( { name = \"a\"; address = \"198.51.100.101\"; local_port = 65535; } );"),
	  4, "environment.servers.[0].local_port", "not 65535" },
	{ NULL,
	  BAD_SERVERS(
		  "servers = ( { name = \"a\"; address = \"198.51.100.101\"; local_port = \"500\"; } );"),
	  4, "environment.servers.[0].local_port", "must be a whole number" },
	{ NULL,
	  BAD_SERVERS(
		  "servers = ( { name = \"a\"; address = \"198.51.100.101\"; local_port = 6000; },\n { name = \"b\"; address = \"198.51.100.101\"; account = \"you\"; local_port = 6000; } );"),
	  5, "environment.servers.[1].local_port", "6000 is taken by server \"a\"" },
	{ NULL,
	  BAD_SERVERS(
		  "servers = ( { name = \"a\"; address = \"198.51.100.101\"; local_port = 6000; },\n { name = \"b\"; address = \"198.51.100.102\"; local_port = 6001; } );"),
	  5, "environment.servers.[1].local_port", "6001 is taken by server \"a\"" },
	{ NULL,
	  BAD_SERVERS(
		  "servers = ( { name = \"a\"; address = \"198.51.100.101\"; },\n { name = \"b\"; address = \"198.51.100.101\"; } );"),
	  5, "environment.servers.[1]", "account \"me\" is already used on server 198.51.100.101" },
	{ NULL,
	  BAD_SERVERS(
		  "servers = ( { name = \"a\"; address = \"vpn.example.com\"; },\n { name = \"b\"; address = \"VPN.example.com\"; } );"),
	  5, "environment.servers.[1]", "is already used" },
	{ NULL, BAD_SERVERS("servers = ( { name = \"a\"; address = \"198.51.100\"; } );"), 4,
	  "environment.servers.[0].address", "IPv4 address or a DNS name" },
	{ NULL, BAD_SERVERS("servers = ( { name = \"a\"; address = \"127.0.0.1\"; } );"), 4,
	  "environment.servers.[0].address", "unicast" },
	{ NULL, BAD_SERVERS("servers = ( { name = \"a\"; address = \"203.0.113.10\"; } );"), 4,
	  "environment.servers.[0].address", "own address" },
	{ NULL,
	  BAD_SERVERS(
		  "servers = ( { name = \"a\"; address = \"198.51.100.101\"; priority = 0; } );"),
	  4, "environment.servers.[0].priority", "must be 1 to 65535" },
	{ NULL,
	  BAD_SERVERS(
		  "servers = ( { name = \"a\"; address = \"198.51.100.101\"; pod_address = \"10.0.0.1\"; } );"),
	  4, "environment.servers.[0].pod_address", "is not a key here" },

	/* environments: forwards */
	{ NULL, BAD_FORWARDS("{ to = \"192.168.100.30:80\"; }"), 6, "environment.forwards.[0].port",
	  "is missing" },
	{ NULL, BAD_FORWARDS("{ port = 80; }"), 6, "environment.forwards.[0].to", "is missing" },
	{ NULL, BAD_FORWARDS("{ port = 0; to = \"192.168.100.30:80\"; }"), 6,
	  "environment.forwards.[0].port", "must be 1 to 65535" },
	{ NULL, BAD_FORWARDS("{ port = 65536; to = \"192.168.100.30:80\"; }"), 6,
	  "environment.forwards.[0].port", "must be 1 to 65535" },
	{ NULL, BAD_FORWARDS("{ port = 80; to = \"192.168.100.30\"; }"), 6,
	  "environment.forwards.[0].to", "address and a port" },
	{ NULL, BAD_FORWARDS("{ port = 80; to = \"intranet:80\"; }"), 6,
	  "environment.forwards.[0].to", "address and a port" },
	{ NULL, BAD_FORWARDS("{ port = 80; to = \"127.0.0.1:80\"; }"), 6,
	  "environment.forwards.[0].to", "unicast" },
	{ NULL, BAD_FORWARDS("{ port = 80; to = \"192.168.100.30:80\"; transport = \"sctp\"; }"), 6,
	  "environment.forwards.[0].transport", "must be \"tcp\" or \"udp\"" },
	{ NULL,
	  BAD_FORWARDS(
		  "{ port = 53; to = \"192.168.100.53:53\"; transport = \"udp\"; },\n{ port = 53; to = \"192.168.100.54:53\"; transport = \"udp\"; }"),
	  7, "environment.forwards.[1].port", "53 is already forwarded at line 6" },
	{ NULL, BAD_FORWARDS("{ port = 80; to = \"192.168.100.30:80\"; server = \"b\"; }"), 6,
	  "environment.forwards.[0].server", "\"b\" is not a server of this environment" },
	{ NULL,
	  BAD_FORWARDS(
		  "{ port = 80; to = \"192.168.100.30:80\"; },\n{ port = 80; to = \"192.168.100.31:80\"; }"),
	  7, "environment.forwards.[1].port", "80 is already forwarded at line 6" },
	{ NULL, BAD_FORWARDS("80"), 6, "environment.forwards.[0]", "must be a group" },
};

static void check_bad(const struct bad *c)
{
	const char *environment = c->environment ? c->environment : GOOD_ENVIRONMENT;
	const char *file = c->environment ? "environment-1.conf" : "gateway.conf";
	struct cp_mistakes mistakes;
	struct cp_config *config;
	int rc = cp_config_parse(c->gateway ? c->gateway : GOOD_GATEWAY, &environment, 1, &config,
	                         &mistakes);
	const struct cp_mistake *found = mistakes.list;

	if (rc != -EINVAL || config || mistakes.count != 1 || strcmp(found->file, file) != 0 ||
	    found->line != c->line || strcmp(found->key, c->key) != 0 ||
	    !strstr(found->text, c->text)) {
		cp_mistakes_print(&mistakes, stderr);
		fail_msg("expected %s:%u: %s: %s", file, c->line, c->key, c->text);
	}
	cp_mistakes_fini(&mistakes);
	assert_int_equal(mistakes.count, 0);
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		check_bad(&bad[i]);
}

/* ---- egress ---- */

static const struct cp_config *parse_egress(const char *egress, const char *environment)
{
	char *gateway = calloc(1, 4096), *text = calloc(1, 4096);
	struct cp_config *config;

	snprintf(gateway, 4096, "%s%s", GOOD_GATEWAY, egress);
	snprintf(
		text, 4096, "environment: { %s %s %s %s };\n", HEAD, LOGIN,
		"servers = ( { name = \"a\"; address = \"198.51.100.101\"; local_port = 6000; } );",
		environment);
	config = parse(gateway, (const char *const *)&text, 1);
	free(gateway);
	free(text);
	return config;
}

static void test_egress(void **state)
{
	const struct cp_config *c = parse_egress("egress: { sources = [\"10.0.0.0/16\"]; };", "");
	const struct cp_egress *e = &c->egress;

	(void)state;
	assert_true(e->is_set);
	assert_int_equal(e->address_count, 1);
	assert_int_equal(e->addresses_be[0], ADDRESS(203, 0, 113, 10)); /* the uplink's */
	assert_int_equal(e->inbound_count, 0);
	assert_int_equal(c->environments[0].snat_count, 0);
	cp_config_release((struct cp_config *)(uintptr_t)c);

	c = parse_egress(
		"egress: { snat_address = [\"203.0.113.11\", \"203.0.113.12\"]; public_address = \"198.51.100.10\";\n"
		"sources = [\"10.0.0.0/16\"]; allow = [\"10.9.0.0/16\", \"192.168.0.0/24\"];\n"
		"inbound = ( { port = 443; to = \"10.0.0.20:8443\"; address = \"203.0.113.13\"; },\n"
		"  { port = 443; to = \"10.0.0.21:53\"; transport = \"udp\"; } ); };",
		"snat_address = \"203.0.113.13\";");
	e = &c->egress;
	assert_int_equal(e->address_count, 2);
	assert_int_equal(e->addresses_be[1], ADDRESS(203, 0, 113, 12));
	assert_int_equal(e->public_count, 1);
	assert_int_equal(e->source_count, 1);
	assert_int_equal(e->allow_count, 2);
	assert_int_equal(e->inbound_count, 2);
	assert_int_equal(e->inbound[0].address_be, ADDRESS(203, 0, 113, 13));
	assert_int_equal(e->inbound[0].to_port_be, htons(8443));
	assert_int_equal(e->inbound[0].protocol, IPPROTO_TCP);
	assert_int_equal(e->inbound[1].protocol, IPPROTO_UDP);
	assert_int_equal(e->inbound[1].address_be, 0);
	assert_int_equal(c->environments[0].snat_count, 1);
	assert_int_equal(c->environments[0].snat_be[0], ADDRESS(203, 0, 113, 13));
	cp_config_release((struct cp_config *)(uintptr_t)c);
}

static void test_egress_between_files(void **state)
{
	const char *gateway = GATEWAY(
		NAME, UPLINK, CLUSTER,
		"egress: { sources = [\"10.0.0.0/16\"]; inbound = (\n{ port = 6001; to = \"10.0.1.20:1\"; transport = \"udp\"; } ); };\n");
	const char *environments[] = {
		ENVIRONMENT(
			HEAD "snat_address = \"203.0.113.11\";\n", LOGIN,
			"servers = ( { name = \"a\"; address = \"198.51.100.101\"; local_port = 6000; } );",
			FORWARDS),
		ENVIRONMENT(
			"name = \"staging\"; pod_address = \"10.0.0.34\"; sources = [\"10.0.1.0/24\"];\nsnat_address = \"203.0.113.12\";\n",
			LOGIN, "servers = ( { name = \"a\"; address = \"198.51.100.102\"; } );",
			FORWARDS),
	};
	struct cp_mistakes mistakes;

	(void)state;
	mistakes = refuse(gateway, environments, 2);
	assert_int_equal(mistakes.count, 2);
	assert_string_equal(mistakes.list[0].key, "egress.inbound.[0].port");
	assert_non_null(strstr(mistakes.list[0].text, "a port of the tunnel to server \"a\""));
	assert_string_equal(mistakes.list[1].file, "environment-2.conf");
	assert_string_equal(mistakes.list[1].key, "environment.snat_address");
	assert_non_null(strstr(mistakes.list[1].text, "has the same sources"));
	cp_mistakes_fini(&mistakes);
}

/* ---- the order of servers ---- */

/* Of servers with equal priority those in the gateway's zone come first. */
static void test_own_zone_first(void **state)
{
	const char *environment = ENVIRONMENT(
		HEAD, LOGIN,
		"servers = (\n"
		"{ name = \"a\"; address = \"198.51.100.101\"; priority = 7; zone = \"zone-a\"; },\n"
		"{ name = \"b\"; address = \"198.51.100.102\"; priority = 7; zone = \"zone-b\"; },\n"
		"{ name = \"c\"; address = \"198.51.100.103\"; priority = 7; },\n"
		"{ name = \"d\"; address = \"198.51.100.104\"; priority = 7; zone = \"zone-b\"; },\n"
		"{ name = \"e\"; address = \"198.51.100.105\"; priority = 1; zone = \"zone-a\"; } );\n",
		"failback = \"manual\"; probe: { target = \"none\"; };");
	static const struct {
		const char *zone, *order;
	} cases[] = {
		{ "", "eabcd" },
		{ "zone = \"zone-a\";", "eabcd" },
		{ "zone = \"zone-b\";", "ebdac" },
		{ "zone = \"zone-c\";", "eabcd" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char gateway[1024];
		struct cp_config *config;

		snprintf(gateway, sizeof(gateway), GATEWAY(NAME "%s", UPLINK, CLUSTER, ""),
		         cases[i].zone);
		config = parse(gateway, &environment, 1);
		for (size_t s = 0; s < 5; s++)
			assert_int_equal(config->environments[0].servers[s].name[0],
			                 cases[i].order[s]);
		assert_int_equal(config->environments[0].failback_s, 0);
		assert_true(config->environments[0].is_unprobed);
		assert_int_equal(config->environments[0].probe_target_be, 0);
		cp_config_release(config);
	}
}

/* ---- several files, several mistakes ---- */

static char *print(const struct cp_mistakes *mistakes)
{
	size_t length;
	char *text = NULL;
	FILE *to = open_memstream(&text, &length);

	assert_non_null(to);
	cp_mistakes_print(mistakes, to);
	fclose(to);
	return text;
}

static void test_all_mistakes_in_order(void **state)
{
	const char *environments[] = {
		ENVIRONMENT(HEAD, LOGIN, SERVERS,
		            "forwards = (\n{ port = 0; to = \"x\"; } );\nfailback = 1;\n"),
		"environment: {\n",
		ENVIRONMENT(HEAD, LOGIN, SERVERS, ""),
	};
	struct cp_mistakes mistakes;
	char *text;

	(void)state;
	mistakes = refuse(BAD_UPLINK("mtu = 5;\n speed = 3;"), environments, 3);
	text = print(&mistakes);
	assert_string_equal(
		text,
		"environment-2.conf:2: syntax error\n"
		"gateway.conf:5: gateway.uplink.mtu: must be 576 to 9000, not 5\n"
		"gateway.conf:6: gateway.uplink.speed: is not a key here\n"
		"environment-1.conf:6: environment.forwards.[0].port: must be 1 to 65535, not 0\n"
		"environment-1.conf:6: environment.forwards.[0].to: must be a unicast IPv4 address and a port, as \"192.168.100.30:8080\"\n"
		"environment-1.conf:7: environment.failback: must be text in quotes\n"
		"environment-3.conf:2: environment.name: \"production\" is the name of the environment in environment-1.conf\n"
		"environment-3.conf:2: environment.pod_address: is the pod_address of the environment in environment-1.conf\n"
		"environment-3.conf:4: environment.servers.[0]: account \"me\" is already used on server 198.51.100.101 in "
		"environment-1.conf: one would throw the other out\n");
	free(text);
	cp_mistakes_fini(&mistakes);
}

/* A hopeless file does not fill the memory with mistakes. */
static void test_many_mistakes(void **state)
{
	size_t count = CP_MISTAKES_MAX + 100, length;
	struct cp_mistakes mistakes;
	char *text;
	FILE *file = open_memstream(&text, &length);

	(void)state;
	fputs("gateway: {\n", file);
	for (size_t i = 0; i < count; i++)
		fprintf(file, "key%zu = 1;\n", i);
	fputs("};\n", file);
	fclose(file);
	mistakes = refuse(text, NULL, 0);
	assert_int_equal(mistakes.count, CP_MISTAKES_MAX + 1);
	assert_non_null(strstr(mistakes.list[CP_MISTAKES_MAX].text, "more mistakes"));
	cp_mistakes_fini(&mistakes);
	free(text);
}

static void test_limits(void **state)
{
	struct cp_mistakes mistakes;
	size_t length;
	char *text;
	FILE *file = open_memstream(&text, &length);

	(void)state;
	fputs("environment: { " HEAD LOGIN SERVERS "forwards = (", file);
	for (unsigned i = 0; i <= CP_FORWARDS_MAX; i++)
		fprintf(file, "%s{ port = %u; to = \"192.0.2.1:80\"; }", i ? "," : "", i + 1);
	fputs("); };", file);
	fclose(file);
	mistakes = refuse(GOOD_GATEWAY, (const char *const *)&text, 1);
	assert_int_equal(mistakes.count, 1);
	assert_non_null(strstr(mistakes.list[0].text, "at most 16384 forwards"));
	cp_mistakes_fini(&mistakes);
	free(text);
}

/* ---- forms of text ---- */

static void test_devices(void **state)
{
	static const char *const good[] = {
		"0000:00:06.0",
		"abcd:EF:1f.7",
		"mac:02:00:00:00:00:01",
		"mac:0A:bb:CC:00:00:01",
		"af_packet:eth0",
		"af_packet:veth-up.100",
		"af_xdp:ens5",
		"memif:/run/sallyport/edge/m.sock",
		"memif:/m,role=server",
		"memif:/m,role=client",
		"vdev:net_null0",
		"vdev:net_pcap0,rx_pcap=/tmp/in.pcap,tx_pcap=/tmp/out.pcap",
	};
	static const char *const wrong[] = {
		"",
		"eth0",
		"00:06.0",
		"0000:00:06.8",
		"0000:00:06.0 ",
		"0000:00:06",
		"mac:01:00:00:00:00:01",
		"mac:00:00:00:00:00:00",
		"mac:02:00:00:00:00",
		"mac:02-00-00-00-00-01",
		"af_packet:",
		"af_packet:a,b",
		"af_packet:../x",
		"af_packet:..",
		"af_packet:sixteen-letters-",
		"af_xdp:e th0",
		"memif:relative",
		"memif:/m,role=peer",
		"memif:/m,id=1",
		"memif:/m,role=server,x=1",
		"memif:",
		"vdev:eth0",
		"vdev:net_",
		"vdev:net_null0 --huge",
		"pci:0000:00:06.0",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		if (cp_device_fault(good[i]))
			fail_msg("%s was refused", good[i]);
	for (size_t i = 0; i < COUNT(wrong); i++)
		if (!cp_device_fault(wrong[i]))
			fail_msg("%s was taken", wrong[i]);
}

static void test_other_forms(void **state)
{
	static const struct {
		const char *(*fault)(const char *);
		const char *text;
		bool is_good;
	} cases[] = {
		{ cp_cores_fault, "auto", true },
		{ cp_cores_fault, "0", true },
		{ cp_cores_fault, "2-5,8", true },
		{ cp_cores_fault, "1023", true },
		{ cp_cores_fault, "", false },
		{ cp_cores_fault, "1024", false },
		{ cp_cores_fault, "1,", false },
		{ cp_cores_fault, ",1", false },
		{ cp_cores_fault, "1-", false },
		{ cp_cores_fault, "3-2", false },
		{ cp_cores_fault, "1,1", false },
		{ cp_cores_fault, "1-3,2", false },
		{ cp_cores_fault, "1 ,2", false },
		{ cp_cores_fault, "00001", false },
		{ cp_cores_fault, "a", false },
		{ cp_server_address_fault, "vpn", true },
		{ cp_server_address_fault, "a-b.example.com", true },
		{ cp_server_address_fault, "1a.example", true },
		{ cp_server_address_fault, "198.51.100.1", true },
		{ cp_server_address_fault, "", false },
		{ cp_server_address_fault, "-a.example", false },
		{ cp_server_address_fault, "a..b", false },
		{ cp_server_address_fault, "a.b.", false },
		{ cp_server_address_fault, "a_b.example", false },
		{ cp_server_address_fault, "1.2.3.400", false },
		{ cp_server_address_fault, "2001:db8::1", false },
		{ cp_server_address_fault, "0.0.0.0", false },
		{ cp_ike_proposal_fault, "aes256gcm16-prfsha384-ecp384", true },
		{ cp_ike_proposal_fault, "aes256", false },
		{ cp_ike_proposal_fault, "aes256-sha256-modp2048", true },
		{ cp_ike_proposal_fault, "aes256gcm16-sha384-x25519", true },
		{ cp_ike_proposal_fault, "aes128-aes256-prfsha256-sha1-modp1024-ecp256", true },
		{ cp_ike_proposal_fault, "aes256-modp2048", false },
		{ cp_ike_proposal_fault, "aes256-sha256", false },
		{ cp_ike_proposal_fault, "aes256gcm16-aes256-sha256-modp2048", false },
		{ cp_ike_proposal_fault, "aes256gcm16-modp2048", false },
		{ cp_ike_proposal_fault, "sha256-modp2048", false },
		{ cp_ike_proposal_fault, "aes257-sha256-modp2048", false },
		{ cp_ike_proposal_fault, "aes-sha256-modp2048", false },
		{ cp_ike_proposal_fault, "aes256-sha256-modp2048-esn", false },
		{ cp_ike_proposal_fault, "aes256-sha256-modp2048-", false },
		{ cp_ike_proposal_fault, "aes256--sha1", false },
		{ cp_ike_proposal_fault, "-aes256-sha1", false },
		{ cp_ike_proposal_fault, "aes256-sha256,aes128-sha1", false },
		{ cp_ike_proposal_fault, "", false },
		{ cp_esp_proposal_fault, "aes256gcm16", true },
		{ cp_esp_proposal_fault, "aes128gcm16-aes256gcm16", true },
		{ cp_esp_proposal_fault, "aes192gcm16-modp2048-esn", true },
		{ cp_esp_proposal_fault, "aes256gcm16-x25519-noesn-esn", true },
		{ cp_esp_proposal_fault, "aes256gcm8", false },
		{ cp_esp_proposal_fault, "aes256-sha256", true },
		{ cp_esp_proposal_fault, "aes128-sha1", true },
		{ cp_esp_proposal_fault, "aes192-sha384-ecp384-esn", true },
		{ cp_esp_proposal_fault, "aes256-aes128-sha512-sha256-modp2048-esn-noesn", true },
		{ cp_esp_proposal_fault, "aes256-sha512", true },
		{ cp_esp_proposal_fault, "chacha20poly1305-x25519", true },
		{ cp_esp_proposal_fault, "aes256gcm16-chacha20poly1305", true },
		{ cp_esp_proposal_fault, "aes256", false },
		{ cp_esp_proposal_fault, "aes256-esn", false },
		{ cp_esp_proposal_fault, "sha256", false },
		{ cp_esp_proposal_fault, "sha256-aes256", false },
		{ cp_esp_proposal_fault, "aes256-sha256_96", false },
		{ cp_esp_proposal_fault, "aes256-md5", false },
		{ cp_esp_proposal_fault, "3des-sha1", false },
		{ cp_esp_proposal_fault, "aes256ctr-sha256", false },
		{ cp_esp_proposal_fault, "aes256-aesxcbc", false },
		{ cp_esp_proposal_fault, "chacha20poly1305-sha256", false },
		{ cp_esp_proposal_fault, "null-sha256", false },
		{ cp_esp_proposal_fault, "aes256gcm16-aes128", false },
		{ cp_esp_proposal_fault, "aes256gcm16-sha256", false },
		{ cp_esp_proposal_fault, "aes256gcm16-", false },
		{ cp_esp_proposal_fault, "ecp256", false },
		{ cp_esp_proposal_fault, "", false },
		{ cp_esp_proposal_fault, "chacha20poly1305", true },
		{ cp_esp_proposal_fault, "null", false },
		{ cp_user_fault, "sallyport", true },
		{ cp_user_fault, "_x-1", true },
		{ cp_user_fault, "", false },
		{ cp_user_fault, "1a", false },
		{ cp_user_fault, "root:", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		if ((cases[i].fault(cases[i].text) == NULL) != cases[i].is_good)
			fail_msg("\"%s\" was %s", cases[i].text,
			         cases[i].is_good ? "refused" : "taken");
}

static void test_amounts(void **state)
{
	static const struct {
		const char *text;
		uint64_t amount; /* 0: refused */
	} cases[] = {
		{ "1", 1 },
		{ "500M", 500ull << 20 },
		{ "64G", 64ull << 30 },
		{ "3K", 3072 },
		{ "2T", 2ull << 40 },
		{ "1048576T", 1ull << 60 },
		{ "1048577T", 0 },
		{ "18446744073709551616", 0 },
		{ "", 0 },
		{ "G", 0 },
		{ "1g", 0 },
		{ "1GB", 0 },
		{ "-1", 0 },
		{ " 1", 0 },
		{ "1152921504606846977", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t amount = 0;
		int rc = cp_amount_parse(cases[i].text, &amount);

		if (rc != (cases[i].amount ? 0 : -EINVAL) || (rc == 0 && amount != cases[i].amount))
			fail_msg("\"%s\" became %llu", cases[i].text, (unsigned long long)amount);
	}
}

static void test_certificates(void **state)
{
	const char *environment =
		"environment: { name = \"x\"; pod_address = \"10.0.0.33\"; sources = [\"10.0.1.0/24\"]; server_ca = \"/s/ca\";\n"
		"  auth = \"eap-tls\"; certificate_file = \"/s/c\"; key_file = \"/s/k\"; revocation = \"strict\"; aaa_identity = \"radius\";\n"
		"  child_rekey_bytes = \"64G\"; child_rekey_packets = 5000;\n"
		"  servers = ( { name = \"tls\"; address = \"198.51.100.101\"; },\n"
		"              { name = \"plain\"; address = \"198.51.100.102\"; auth = \"certificate\"; account = \"gw\";\n"
		"                key_file = \"/s/k2\"; revocation = \"off\"; server_identity = \"vpn\"; },\n"
		"              { name = \"psk\"; address = \"198.51.100.103\"; auth = \"psk\"; account = \"me\"; secret_file = \"/s/p\"; } ); };\n";
	struct cp_config *config = parse(GOOD_GATEWAY, &environment, 1);
	const struct cp_server *tls = &config->environments[0].servers[0], *plain = tls + 1,
			       *psk = tls + 2;

	(void)state;
	assert_int_equal(tls->auth, CP_AUTH_EAP_TLS);
	assert_string_equal(tls->account, "");
	assert_string_equal(tls->certificate_file, "/s/c");
	assert_string_equal(tls->secret_file, "/s/k");
	assert_string_equal(tls->aaa_identity, "radius");
	assert_int_equal(tls->revocation, CP_REVOCATION_STRICT);
	assert_false(tls->is_identity_set);
	assert_true(tls->child_rekey_bytes == 64ull << 30);
	assert_true(tls->child_rekey_packets == 5000);
	assert_int_equal(plain->auth, CP_AUTH_CERTIFICATE);
	assert_string_equal(plain->secret_file, "/s/k2");
	assert_int_equal(plain->revocation, CP_REVOCATION_OFF);
	assert_true(plain->is_identity_set);
	assert_string_equal(psk->certificate_file, "");
	assert_string_equal(psk->secret_file, "/s/p");
	assert_string_equal(psk->ca_file, "");
	cp_config_release(config);
}

/* ---- files ---- */

static void write_text(const char *path, const char *text, mode_t mode)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static char *environment_here(const char *name, unsigned last_byte)
{
	static char text[1024];
	char here[CP_PATH_LEN];

	assert_non_null(getcwd(here, sizeof(here)));
	snprintf(
		text, sizeof(text),
		"environment: { name = \"%s\"; pod_address = \"10.0.0.%u\"; sources = [\"10.0.1.0/24\"];\n"
		"auth = \"eap-mschapv2\"; account = \"%s\";\n"
		"password_file = \"%s/password\";\n"
		"server_ca = \"%s/ca.pem\";\n" SERVERS "};\n",
		name, last_byte, name, here, here);
	return text;
}

static void assert_load(int rc, const char *expected)
{
	struct cp_mistakes mistakes;
	struct cp_config *config;
	char *text;

	assert_int_equal(cp_config_load("conf", &config, &mistakes), rc);
	text = print(&mistakes);
	if (rc == 0)
		assert_string_equal(text, "");
	else if (!strstr(text, expected) || mistakes.count != 1)
		fail_msg("%s is not the only mistake in: %s", expected, text);
	free(text);
	cp_mistakes_fini(&mistakes);
	cp_config_release(config);
}

static void test_load(void **state)
{
	static char big[CP_FILE_BYTES_MAX + 2];

	(void)state;
	assert_int_equal(mkdir("conf", 0700), 0);
	write_text("conf/gateway.conf", GOOD_GATEWAY, 0644);
	assert_load(-EINVAL, "conf/environments.d: No such file or directory");
	assert_int_equal(mkdir("conf/environments.d", 0700), 0);
	assert_load(0, "");

	write_text("conf/environments.d/a.conf", environment_here("a", 33), 0644);
	write_text("ca.pem", "-----BEGIN", 0644);
	assert_load(-EINVAL, "conf/environments.d/a.conf:3: environment.password_file:");
	write_text("password", "swordfish", 0644);
	assert_load(-EINVAL, "and by no others");
	assert_int_equal(chmod("password", 0440), 0);
	assert_load(0, "");
	write_text("password", "", 0600);
	assert_load(-EINVAL, "must not be empty");
	write_text("password", "swordfish", 0600);
	write_text("ca.pem", "", 0644);
	assert_load(-EINVAL, "conf/environments.d/a.conf:4: environment.server_ca:");
	write_text("ca.pem", "-----BEGIN", 0644);

	/* Only *.conf, in the order of their names; links are followed. */
	write_text("conf/environments.d/a.conf.bak", "garbage", 0644);
	write_text("conf/environments.d/.hidden.conf", "garbage", 0644);
	write_text("b", environment_here("b", 34), 0644);
	assert_int_equal(symlink("../../b", "conf/environments.d/0.conf"), 0);
	assert_load(0, "");
	write_text("b", environment_here("b", 33), 0644);
	assert_load(
		-EINVAL,
		"conf/environments.d/a.conf:1: environment.pod_address: is the pod_address of the environment in conf/environments.d/0.conf");
	write_text("b", environment_here("b", 34), 0644);

	assert_int_equal(mkdir("conf/environments.d/directory.conf", 0700), 0);
	assert_load(-EINVAL, "directory.conf: must be a regular file");
	assert_int_equal(rmdir("conf/environments.d/directory.conf"), 0);
	assert_int_equal(mkfifo("conf/environments.d/fifo.conf", 0600), 0);
	assert_load(-EINVAL, "fifo.conf: must be a regular file");
	assert_int_equal(unlink("conf/environments.d/fifo.conf"), 0);

	memset(big, ' ', sizeof(big) - 1);
	write_text("conf/gateway.conf", big, 0644);
	assert_load(-EINVAL, "conf/gateway.conf: must have at most 4194304 bytes");
	assert_int_equal(unlink("conf/gateway.conf"), 0);
	assert_load(-EINVAL, "conf/gateway.conf: No such file or directory");

	unlink("conf/environments.d/a.conf");
	unlink("conf/environments.d/a.conf.bak");
	unlink("conf/environments.d/.hidden.conf");
	unlink("conf/environments.d/0.conf");
	rmdir("conf/environments.d");
	rmdir("conf");
	unlink("b");
	unlink("ca.pem");
	unlink("password");
}

static void test_nul_byte(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(mkdir("conf", 0700), 0);
	assert_int_equal(mkdir("conf/environments.d", 0700), 0);
	fd = open("conf/gateway.conf", O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "a\0b", 3), 3);
	close(fd);
	assert_load(-EINVAL, "NUL byte");
	unlink("conf/gateway.conf");
	rmdir("conf/environments.d");
	rmdir("conf");
}

static void test_too_many_files(void **state)
{
	char path[64];

	(void)state;
	assert_int_equal(mkdir("conf", 0700), 0);
	assert_int_equal(mkdir("conf/environments.d", 0700), 0);
	write_text("conf/gateway.conf", GOOD_GATEWAY, 0644);
	write_text("ca.pem", "-----BEGIN", 0644);
	write_text("password", "swordfish", 0600);
	for (unsigned i = 0; i <= CP_ENVIRONMENTS_MAX; i++) {
		char name[16];

		if (i == CP_ENVIRONMENTS_MAX)
			assert_load(0, "");
		snprintf(name, sizeof(name), "e%u", i);
		snprintf(path, sizeof(path), "conf/environments.d/%u.conf", i);
		write_text(path, environment_here(name, 33 + i), 0644);
	}
	assert_load(-EINVAL, "conf/environments.d: must have at most 128 files");
	for (unsigned i = 0; i <= CP_ENVIRONMENTS_MAX; i++) {
		snprintf(path, sizeof(path), "conf/environments.d/%u.conf", i);
		unlink(path);
	}
	unlink("password");
	unlink("ca.pem");
	unlink("conf/gateway.conf");
	rmdir("conf/environments.d");
	rmdir("conf");
}

/* ---- outer ports ---- */

static void assert_ports(const struct cp_server *server, unsigned ike, unsigned natt)
{
	assert_int_equal(server->ike_port, ike);
	assert_int_equal(server->natt_port, natt);
}

static void test_ports(void **state)
{
	static const char *const texts[] = {
		"environment: { name = \"production\"; pod_address = \"10.0.0.33\"; sources = [\"10.0.1.0/24\"]; vpn = \"ipsec\";\n"
		"  auth = \"psk\"; secret_file = \"/s\";\n"
		"  servers = ( { name = \"a\"; address = \"vpn.customer.example\"; account = \"a\"; },\n"
		"              { name = \"b\"; address = \"VPN.customer.example\"; account = \"b\"; },\n"
		"              { name = \"c\"; address = \"198.51.100.102\"; account = \"a\"; },\n"
		"              { name = \"d\"; address = \"198.51.100.102\"; account = \"d\"; local_port = 6000; } );\n"
		"  forwards = ( { port = 1; to = \"192.168.1.1:1\"; } ); };\n",
		"environment: { name = \"staging\"; pod_address = \"10.0.0.34\"; sources = [\"10.0.1.0/24\"]; vpn = \"ipsec\";\n"
		"  auth = \"psk\"; secret_file = \"/s\";\n"
		"  servers = ( { name = \"b\"; address = \"vpn.customer.example\"; account = \"c\"; },\n"
		"              { name = \"c\"; address = \"198.51.100.103\"; account = \"a\"; local_port = 500; } );\n"
		"  forwards = ( { port = 1; to = \"192.168.1.1:1\"; } ); };\n",
	};
	struct cp_config *config = parse(GOOD_GATEWAY, texts, 2);
	const struct cp_server *production = config->environments[0].servers,
			       *staging = config->environments[1].servers;
	unsigned derived = production[1].ike_port, other = staging[0].ike_port;

	(void)state;
	assert_ports(&production[0], 500, 4500);
	assert_in_range(derived, 10000, 19998);
	assert_int_equal(derived % 2, 0);
	assert_ports(&production[1], derived, derived + 1);
	assert_ports(&production[2], 500, 4500);
	assert_ports(&production[3], 6000, 6001);
	assert_in_range(other, 10000, 19998);
	assert_int_not_equal(other, derived);
	assert_ports(&staging[1], 500, 4500);
	cp_config_release(config);

	/* neither the order of the files nor what else is there changes what is derived from a name
	 */
	config = parse(GOOD_GATEWAY, (const char *const[]){ texts[1], texts[0] }, 2);
	assert_ports(&config->environments[0].servers[0], 500, 4500);
	assert_ports(&config->environments[1].servers[1], derived, derived + 1);
	cp_config_release(config);
}

/* ---- the documentation ---- */

static bool is_documented(const char *text, const char *path)
{
	char row[CP_TEXT_LEN + 8];

	snprintf(row, sizeof(row), "\n| `%s` |", path);
	return strstr(text, row);
}

static bool is_known(const char *path)
{
	const struct cp_key_group *const lists[] = { cp_gateway_key_groups,
		                                     cp_environment_key_groups };
	char known[CP_TEXT_LEN];

	for (size_t i = 0; i < COUNT(lists); i++) {
		for (const struct cp_key_group *group = lists[i]; group->path; group++) {
			for (const struct cp_key *key = group->keys; key->name; key++) {
				snprintf(known, sizeof(known), "%s%s", group->path, key->name);
				if (strcmp(known, path) == 0)
					return true;
			}
		}
	}
	return false;
}

static void check_documented(const char *text, const struct cp_key_group *groups)
{
	char path[CP_TEXT_LEN];

	for (; groups->path; groups++) {
		for (const struct cp_key *key = groups->keys; key->name; key++) {
			snprintf(path, sizeof(path), "%s%s", groups->path, key->name);
			if (!is_documented(text, path))
				fail_msg("%s is not in docs/configuration.md", path);
		}
	}
}

/* Every row whose first cell is `words.with.dots` names a key, but for the tables of devices and
 * files. */
static void check_known(const char *text)
{
	char path[CP_TEXT_LEN];
	unsigned rows = 0;

	for (const char *row = text; (row = strstr(row, "\n| `")); row++) {
		size_t length = strspn(row + 4, "abcdefghijklmnopqrstuvwxyz_.");

		if (row[4 + length] != '`' || length >= sizeof(path) ||
		    strncmp(row + 4, "gateway.conf`", 13) == 0)
			continue;
		memcpy(path, row + 4, length);
		path[length] = 0;
		rows++;
		if (!is_known(path))
			fail_msg("docs/configuration.md has %s, which is no key", path);
	}
	assert_true(rows > 60);
}

static void test_documentation(void **state)
{
	char *text = read_whole(SALLYPORT_ROOT "/docs/configuration.md");

	(void)state;
	check_documented(text, cp_gateway_key_groups);
	check_documented(text, cp_environment_key_groups);
	check_known(text);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_own_zone_first),
		cmocka_unit_test(test_egress),
		cmocka_unit_test(test_egress_between_files),
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_no_environments),
		cmocka_unit_test(test_amounts),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_all_mistakes_in_order),
		cmocka_unit_test(test_many_mistakes),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_other_forms),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_nul_byte),
		cmocka_unit_test(test_too_many_files),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_documentation),
	};

	return cmocka_run_group_tests(tests, unit_enter_directory, unit_leave_directory);
}
