/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration messages: what is sent is what the contract's own decoder accepts, in the
 * contract's order.
 */
#include "tests/unit/common/unit.h"

#include <arpa/inet.h>
#include <errno.h>

#include "common/ipc_codec.h"
#include "controlplane/dp_messages.h"

#define FORWARDS 300u

struct sent {
	uint16_t types[32];
	size_t count;
	size_t forwards;
	uint16_t refuse_type; /* 0: none */
	struct ipc_egress rules[2];
	size_t rule_count;
};

static struct cp_config *make_config(void)
{
	struct cp_config *config = calloc(1, sizeof(*config));
	struct cp_environment *environment = calloc(1, sizeof(*environment));

	strcpy(config->name, "gw-a");
	strcpy(config->uplink.device, "af_packet:uplink");
	config->uplink.address_be = htonl(0xc6336401);
	config->uplink.prefix_length = 24;
	config->uplink.router_be = htonl(0xc63364fe);
	config->uplink.mtu = 1500;
	config->cluster = config->uplink;
	strcpy(config->cluster.device, "af_packet:cluster");
	config->cluster.address_be = htonl(0x0a000002);
	config->cluster.router_be = 0;
	config->routes[0] = (struct ipc_prefix){ .address_be = htonl(0x0a000000), .length = 16 };
	config->route_count = 1;
	strcpy(config->cores, "auto");
	config->sessions = 65536;
	config->idle = IPC_IDLE_ADAPTIVE;
	config->allow_slow_crypto = true;
	config->environments = environment;
	config->environment_count = 1;
	strcpy(environment->name, "production");
	environment->pod_address_be = htonl(0x0a000021);
	environment->sources[0] =
		(struct ipc_prefix){ .address_be = htonl(0x0a000100), .length = 24 };
	environment->source_count = 1;
	environment->session_quota = 1000;
	environment->port_quota = 1024;
	environment->rate_bps = 3000000000u;
	environment->keep_sessions = true;
	environment->is_unprobed = true;
	environment->probe_target_be = htonl(0xc0a86401);
	strcpy(environment->servers[0].name, "a");
	environment->servers[0].priority = 1;
	strcpy(environment->servers[1].name, "b");
	environment->servers[1].priority = 2;
	environment->server_count = 2;
	environment->forwards = calloc(FORWARDS, sizeof(*environment->forwards));
	environment->forward_count = FORWARDS;
	for (size_t i = 0; i < FORWARDS; i++) {
		environment->forwards[i] = (struct cp_forward){
			.protocol = 6,
			.port_be = htons((uint16_t)(33000 + i)),
			.to_address_be = htonl(0xc0a8641e),
			.to_port_be = htons(8080),
		};
	}
	strcpy(environment->forwards[0].server, "b");
	return config;
}

static void free_config(struct cp_config *config)
{
	free(config->environments[0].forwards);
	free(config->environments);
	free(config);
}

static void assert_decodes(uint16_t type, const void *body, size_t length)
{
	_Alignas(8) uint8_t message[IPC_MSG_MAX];
	struct ipc_header header = { .type = type,
		                     .seq = 1,
		                     .length = (uint32_t)(sizeof(header) + length) };
	const struct ipc_header *decoded;
	const void *decoded_body;

	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), body, length);
	assert_int_equal(ipc_decode(message, sizeof(header) + length, &decoded, &decoded_body), 0);
}

static int take(void *context, uint16_t type, const void *body, size_t length)
{
	struct sent *sent = context;

	assert_decodes(type, body, length);
	assert_true(sent->count < 32);
	sent->types[sent->count++] = type;
	if (type == IPC_CONFIG_ENVIRONMENT) {
		const struct ipc_environment *environment = body;

		assert_int_equal(environment->flags,
		                 IPC_ENVIRONMENT_KEEP_SESSIONS | IPC_ENVIRONMENT_UNPROBED);
		assert_int_equal(environment->probe_target_be, htonl(0xc0a86401));
		assert_int_equal(environment->session_quota, 1000);
		assert_int_equal(environment->port_quota, 1024);
		assert_int_equal(environment->rate_bps, 3000000000u);
	}
	if (type == IPC_CONFIG_EGRESS)
		memcpy(&sent->rules[sent->rule_count++], body, length);
	if (type == IPC_CONFIG_FORWARDS) {
		const struct ipc_forward *forward = body;

		for (size_t i = 0; i < length / sizeof(*forward); i++, sent->forwards++)
			assert_int_equal(ntohs(forward[i].port_be), 33000 + sent->forwards);
	}
	return type == sent->refuse_type ? -EINVAL : 0;
}

static void test_node_is_valid(void **state)
{
	struct cp_config *config = make_config();
	struct ipc_node node;

	(void)state;
	memset(&node, 0xff, sizeof(node));
	cp_dp_build_node(config, &node);
	assert_decodes(IPC_NODE, &node, sizeof(node));
	assert_string_equal(node.uplink.device, "af_packet:uplink");
	assert_int_equal(node.cluster.address_be, htonl(0x0a000002));
	assert_int_equal(node.flags, IPC_NODE_ALLOW_SLOW_CRYPTO);
	assert_int_equal(node.idle, IPC_IDLE_ADAPTIVE);
	assert_int_equal(node.route_count, 1);
	free_config(config);
}

static void test_generation_comes_in_order(void **state)
{
	static const uint16_t expected[] = {
		IPC_CONFIG_BEGIN,    IPC_CONFIG_ENVIRONMENT, IPC_CONFIG_SERVER,   IPC_CONFIG_SERVER,
		IPC_CONFIG_FORWARDS, IPC_CONFIG_FORWARDS,    IPC_CONFIG_FORWARDS, IPC_CONFIG_COMMIT,
	};
	struct cp_config *config = make_config();
	struct sent sent = { 0 };

	(void)state;
	assert_int_equal(cp_dp_build_generation(config, 7, take, &sent), 0);
	assert_int_equal(sent.count, 8);
	assert_memory_equal(sent.types, expected, sizeof(expected));
	assert_int_equal(sent.forwards, FORWARDS);
	free_config(config);
}

static void test_full_part_is_not_followed_by_an_empty_one(void **state)
{
	struct cp_config *config = make_config();
	struct sent sent = { 0 };

	(void)state;
	config->environments[0].forward_count = IPC_FORWARDS_MAX;
	assert_int_equal(cp_dp_build_generation(config, 7, take, &sent), 0);
	assert_int_equal(sent.count, 6);
	config->environments[0].forward_count = 0;
	sent = (struct sent){ 0 };
	assert_int_equal(cp_dp_build_generation(config, 7, take, &sent), 0);
	assert_int_equal(sent.count, 5);
	free_config(config);
}

static void test_egress_comes_last(void **state)
{
	static const uint16_t expected[] = {
		IPC_CONFIG_EGRESS,
		IPC_CONFIG_EGRESS,
		IPC_CONFIG_INBOUND,
		IPC_CONFIG_COMMIT,
	};
	struct cp_config *config = make_config();
	struct cp_egress *egress = &config->egress;
	struct sent sent = { 0 };

	(void)state;
	config->environments[0].forward_count = 0;
	config->environments[0].snat_be[0] = htonl(0xcb00710b);
	config->environments[0].snat_count = 1;
	egress->is_set = true;
	egress->addresses_be[0] = htonl(0xcb00710a);
	egress->address_count = 1;
	egress->sources[0] = (struct ipc_prefix){ .address_be = htonl(0x0a000000), .length = 16 };
	egress->source_count = 1;
	egress->allow[0] = (struct ipc_prefix){ .address_be = htonl(0x0a090000), .length = 16 };
	egress->allow_count = 1;
	egress->inbound[0] = (struct cp_inbound){ .protocol = 6,
		                                  .port_be = htons(443),
		                                  .to_port_be = htons(8443),
		                                  .to_address_be = htonl(0x0a000114) };
	egress->inbound_count = 1;
	assert_int_equal(cp_dp_build_generation(config, 7, take, &sent), 0);
	assert_int_equal(sent.count, 8);
	assert_memory_equal(sent.types + 4, expected, sizeof(expected));
	assert_string_equal(sent.rules[0].environment, "");
	assert_int_equal(sent.rules[0].allow_count, 1);
	assert_int_equal(sent.rules[0].addresses_be[0], htonl(0xcb00710a));
	assert_string_equal(sent.rules[1].environment, "production");
	assert_int_equal(sent.rules[1].allow_count, 0);
	assert_int_equal(sent.rules[1].sources[0].address_be, htonl(0x0a000100));
	free_config(config);
}

static void test_refusal_ends_the_walk(void **state)
{
	struct cp_config *config = make_config();
	struct sent sent = { .refuse_type = IPC_CONFIG_SERVER };

	(void)state;
	assert_int_equal(cp_dp_build_generation(config, 7, take, &sent), -EINVAL);
	assert_int_equal(sent.count, 3);
	free_config(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_node_is_valid),
		cmocka_unit_test(test_generation_comes_in_order),
		cmocka_unit_test(test_full_part_is_not_followed_by_an_empty_one),
		cmocka_unit_test(test_egress_comes_last),
		cmocka_unit_test(test_refusal_ends_the_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
