/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gateway.conf: this node, its two ports, the dataplane's tuning, the control plane.
 */
#include "controlplane/config_read.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/netaddr.h"

#define BELONGS_ELSEWHERE "belongs in a file of its own in environments.d"

/* ---- gateway.uplink and gateway.cluster ---- */

static void read_device(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_port *port = target;
	const char *fault;

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	fault = cp_device_fault(node->text);
	if (fault)
		cp_mistake(reader, node, NULL, "%s", fault);
	else if (strlen(node->text) >= sizeof(port->device))
		cp_mistake(reader, node, NULL, "must be shorter: at most %zu characters",
		           sizeof(port->device) - 1);
	else
		memcpy(port->device, node->text, strlen(node->text) + 1);
}

/* The first and the last address of a subnet are no host's, but for /31 (RFC 3021) and /32. */
static bool is_edge_of_subnet(uint32_t address_be, uint8_t length)
{
	uint32_t host_be = address_be & ~sp_prefix_mask_be(length);

	return length < 31 && (host_be == 0 || host_be == ~sp_prefix_mask_be(length));
}

static void read_interface(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_port *port = target;
	uint32_t address_be;
	uint8_t length;

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	if (sp_interface_parse(node->text, &address_be, &length) != 0 || length == 0) {
		cp_mistake(reader, node, NULL,
		           "must be the port's address and prefix length, as \"192.0.2.10/24\"");
	} else if (sp_address_is_martian(address_be)) {
		cp_mistake(reader, node, NULL, "must be a unicast address");
	} else if (is_edge_of_subnet(address_be, length)) {
		cp_mistake(reader, node, NULL,
		           "must be a host's address, not its subnet's first or last one");
	} else {
		port->address_be = address_be;
		port->prefix_length = length;
	}
}

#define PORT_KEYS                                                                              \
	{ .name = "device", .kind = CP_KEY_CUSTOM, .is_required = true, .read = read_device }, \
		{ .name = "address",                                                           \
		  .kind = CP_KEY_CUSTOM,                                                       \
		  .is_required = true,                                                         \
		  .read = read_interface },                                                    \
		{ .name = "router",                                                            \
		  .kind = CP_KEY_HOST_BE,                                                      \
		  .offset = offsetof(struct cp_port, router_be) },                             \
		{ .name = "mtu",                                                               \
		  .kind = CP_KEY_UINT16,                                                       \
		  .offset = offsetof(struct cp_port, mtu),                                     \
		  .min = 576,                                                                  \
		  .max = 9000 },                                                               \
	{                                                                                      \
		.name = "queues", .kind = CP_KEY_UINT16,                                       \
		.offset = offsetof(struct cp_port, queues), .min = 0, .max = 64                \
	}

static const struct cp_key uplink_keys[] = {
	PORT_KEYS,
	{ 0 },
};

static const struct cp_key cluster_keys[] = {
	PORT_KEYS,
	{ 0 },
};

static const struct cp_key cluster_route_keys[] = {
	{ .name = "routes",
	  .kind = CP_KEY_PREFIXES,
	  .offset = offsetof(struct cp_config, routes),
	  .count = offsetof(struct cp_config, route_count) },
	{ 0 },
};

static void check_router(struct cp_reader *reader, const struct cp_node *node,
                         const struct cp_port *port)
{
	const struct cp_node *router = cp_node_child(node, "router");

	if (!router || !port->router_be || !port->address_be)
		return;
	if (port->router_be == port->address_be)
		cp_mistake(reader, router, NULL, "must not be the port's own address");
	else if (port->prefix_length < 32 &&
	         !sp_prefix_contains(port->address_be, port->prefix_length, port->router_be))
		cp_mistake(reader, router, NULL,
		           "must be in the port's subnet (or the address a /32)");
	else if (port->prefix_length < 32 &&
	         is_edge_of_subnet(port->router_be, port->prefix_length))
		cp_mistake(reader, router, NULL,
		           "must be a host's address, not its subnet's first or last one");
}

static void read_uplink(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_config *config = target;
	const struct cp_section sections[] = { { uplink_keys, &config->uplink } };

	cp_keys_read(reader, node, sections, 1);
	check_router(reader, node, &config->uplink);
}

static void read_cluster(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_config *config = target;
	const struct cp_section sections[] = { { cluster_keys, &config->cluster },
		                               { cluster_route_keys, config } };

	cp_keys_read(reader, node, sections, 2);
	check_router(reader, node, &config->cluster);
	if (config->route_count > 0 && !cp_node_child(node, "router"))
		cp_mistake(reader, node, "router", "is missing: the routes go through it");
}

/* ---- gateway ---- */

static const struct cp_key gateway_keys[] = {
	{ .name = "name",
	  .kind = CP_KEY_NAME,
	  .offset = offsetof(struct cp_config, name),
	  .is_required = true },
	{ .name = "zone", .kind = CP_KEY_NAME, .offset = offsetof(struct cp_config, zone) },
	{ .name = "uplink", .kind = CP_KEY_CUSTOM, .is_required = true, .read = read_uplink },
	{ .name = "cluster", .kind = CP_KEY_CUSTOM, .is_required = true, .read = read_cluster },
	{ 0 },
};

/* Two memif ports on one socket are one device, whatever their roles. */
static bool is_same_device(const char *a, const char *b)
{
	size_t length_a = strlen(a), length_b = strlen(b);

	if (strncmp(a, "memif:", 6) == 0 && strncmp(b, "memif:", 6) == 0) {
		length_a = strcspn(a, ",");
		length_b = strcspn(b, ",");
	}
	return length_a == length_b && strncasecmp(a, b, length_a) == 0;
}

static void read_gateway(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_config *config = target;
	const struct cp_section sections[] = { { gateway_keys, config } };
	const struct cp_node *cluster = cp_node_child(node, "cluster");

	cp_keys_read(reader, node, sections, 1);
	if (!cluster)
		return;
	if (config->uplink.device[0] &&
	    is_same_device(config->uplink.device, config->cluster.device))
		cp_mistake(reader, cp_node_child(cluster, "device"), NULL,
		           "must be another device than the uplink's");
	if (config->uplink.address_be && config->uplink.address_be == config->cluster.address_be)
		cp_mistake(reader, cp_node_child(cluster, "address"), NULL,
		           "must be another address than the uplink's");
}

/* ---- dataplane ---- */

static void read_cores(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_config *config = target;
	const char *fault;

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	fault = cp_cores_fault(node->text);
	if (fault)
		cp_mistake(reader, node, NULL, "%s", fault);
	else if (strlen(node->text) >= sizeof(config->cores))
		cp_mistake(reader, node, NULL, "must be shorter: at most %zu characters",
		           sizeof(config->cores) - 1);
	else
		memcpy(config->cores, node->text, strlen(node->text) + 1);
}

static void read_replay_window(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_config *config = target;

	if (!cp_node_is(reader, node, CP_NODE_INTEGER))
		return;
	if (node->integer < 32 || node->integer > 4096 || node->integer % 32 != 0)
		cp_mistake(reader, node, NULL, "must be 32 to 4096 and a multiple of 32, not %lld",
		           node->integer);
	else
		config->replay_window = (uint32_t)node->integer;
}

static const struct cp_choice idle_choices[] = {
	{ .name = "poll", .value = IPC_IDLE_POLL },
	{ .name = "adaptive", .value = IPC_IDLE_ADAPTIVE },
	{ 0 },
};

static const struct cp_choice hugepages_choices[] = {
	{ .name = "auto", .value = IPC_HUGEPAGES_AUTO },
	{ .name = "on", .value = IPC_HUGEPAGES_ON },
	{ .name = "off", .value = IPC_HUGEPAGES_OFF },
	{ 0 },
};

static const struct cp_key dataplane_keys[] = {
	{ .name = "cores", .kind = CP_KEY_CUSTOM, .read = read_cores },
	{ .name = "workers",
	  .kind = CP_KEY_UINT32,
	  .offset = offsetof(struct cp_config, workers),
	  .min = 0,
	  .max = 64 },
	{ .name = "sessions",
	  .kind = CP_KEY_UINT32,
	  .offset = offsetof(struct cp_config, sessions),
	  .min = 1024,
	  .max = 16777216 },
	{ .name = "mbufs",
	  .kind = CP_KEY_UINT32,
	  .offset = offsetof(struct cp_config, mbufs),
	  .min = 0,
	  .max = 16777216 },
	{ .name = "memory_mb",
	  .kind = CP_KEY_UINT32,
	  .offset = offsetof(struct cp_config, memory_mb),
	  .min = 0,
	  .max = 1048576 },
	{ .name = "idle",
	  .kind = CP_KEY_CHOICE,
	  .offset = offsetof(struct cp_config, idle),
	  .choices = idle_choices },
	{ .name = "hugepages",
	  .kind = CP_KEY_CHOICE,
	  .offset = offsetof(struct cp_config, hugepages),
	  .choices = hugepages_choices },
	{ .name = "replay_window", .kind = CP_KEY_CUSTOM, .read = read_replay_window },
	{ .name = "allow_slow_crypto",
	  .kind = CP_KEY_BOOL,
	  .offset = offsetof(struct cp_config, allow_slow_crypto) },
	{ 0 },
};

static void read_dataplane(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	const struct cp_section sections[] = { { dataplane_keys, target } };

	cp_keys_read(reader, node, sections, 1);
}

/* ---- controlplane ---- */

static void read_user(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_config *config = target;
	const char *fault;

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	fault = cp_user_fault(node->text);
	if (fault)
		cp_mistake(reader, node, NULL, "%s", fault);
	else
		memcpy(config->user, node->text, strlen(node->text) + 1);
}

static void read_health(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_config *config = target;
	uint32_t address_be;
	uint16_t port_be;

	if (!cp_node_is(reader, node, CP_NODE_TEXT))
		return;
	if (sp_endpoint_parse(node->text, &address_be, &port_be) != 0 || !address_be ||
	    ntohs(port_be) < 1024) {
		cp_mistake(reader, node, NULL,
		           "must be an IPv4 address of this node and a port from 1024 on, as "
		           "\"127.0.0.1:9180\"");
		return;
	}
	config->health_be = address_be;
	config->health_port_be = port_be;
}

static const struct cp_key controlplane_keys[] = {
	{ .name = "health", .kind = CP_KEY_CUSTOM, .read = read_health },
	{ .name = "user", .kind = CP_KEY_CUSTOM, .read = read_user },
	{ .name = "ike_log_level",
	  .kind = CP_KEY_INT,
	  .offset = offsetof(struct cp_config, ike_log_level),
	  .min = -1,
	  .max = 4 },
	{ 0 },
};

static void read_controlplane(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	const struct cp_section sections[] = { { controlplane_keys, target } };

	cp_keys_read(reader, node, sections, 1);
}

/* ---- the file ---- */

static const struct cp_key root_keys[] = {
	{ .name = "gateway", .kind = CP_KEY_CUSTOM, .is_required = true, .read = read_gateway },
	{ .name = "dataplane", .kind = CP_KEY_CUSTOM, .read = read_dataplane },
	{ .name = "controlplane", .kind = CP_KEY_CUSTOM, .read = read_controlplane },
	{ .name = "egress", .kind = CP_KEY_CUSTOM, .read = cp_read_egress },
	{ .name = "environment", .kind = CP_KEY_REFUSED, .why = BELONGS_ELSEWHERE },
	{ 0 },
};

const struct cp_key_group cp_gateway_key_groups[] = {
	{ "", root_keys },
	{ "gateway.", gateway_keys },
	{ "gateway.uplink.", uplink_keys },
	{ "gateway.cluster.", cluster_keys },
	{ "gateway.cluster.", cluster_route_keys },
	{ "dataplane.", dataplane_keys },
	{ "controlplane.", controlplane_keys },
	{ "egress.", cp_egress_keys },
	{ "egress.inbound.", cp_inbound_keys },
	{ NULL, NULL },
};

static void set_defaults(struct cp_config *config)
{
	config->uplink.mtu = 1500;
	config->cluster.mtu = 1500;
	strcpy(config->cores, "auto");
	config->sessions = 1048576;
	config->idle = IPC_IDLE_POLL;
	config->hugepages = IPC_HUGEPAGES_AUTO;
	config->replay_window = 1024;
	strcpy(config->user, "sallyport");
	config->ike_log_level = 0;
}

void cp_read_gateway(struct cp_reader *reader, const struct cp_node *root)
{
	const struct cp_section sections[] = { { root_keys, reader->config } };

	set_defaults(reader->config);
	cp_keys_read(reader, root, sections, 1);
}
