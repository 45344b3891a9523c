/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the configuration to the contract's configuration messages. Pure.
 */
#include "controlplane/dp_messages.h"

#include <arpa/inet.h>
#include <string.h>

#include "controlplane/ovpn_settings.h"

_Static_assert(CP_INBOUND_MAX == IPC_INBOUND_MAX, "inbound");
_Static_assert(sizeof(((struct ipc_node *)0)->cores) == sizeof(((struct cp_config *)0)->cores),
               "cores");
_Static_assert(sizeof(((struct ipc_port *)0)->device) == sizeof(((struct cp_port *)0)->device),
               "device");

/* Copies a name; what follows its end stays zero, as the contract wants it. */
static void copy_name(char to[IPC_NAME_LEN], const char *from)
{
	size_t length = strnlen(from, IPC_NAME_LEN - 1);

	memset(to, 0, IPC_NAME_LEN);
	memcpy(to, from, length);
}

static void build_port(const struct cp_port *from, struct ipc_port *to)
{
	memcpy(to->device, from->device, strnlen(from->device, sizeof(to->device) - 1));
	to->address_be = from->address_be;
	to->router_be = from->router_be;
	to->prefix_length = from->prefix_length;
	to->mtu = from->mtu;
	to->queues = from->queues;
}

void cp_dp_build_node(const struct cp_config *config, struct ipc_node *node)
{
	memset(node, 0, sizeof(*node));
	copy_name(node->name, config->name);
	build_port(&config->uplink, &node->uplink);
	build_port(&config->cluster, &node->cluster);
	memcpy(node->cores, config->cores, strnlen(config->cores, sizeof(node->cores) - 1));
	node->workers = config->workers;
	node->sessions = config->sessions;
	node->mbufs = config->mbufs;
	node->memory_mb = config->memory_mb;
	node->flags = config->allow_slow_crypto ? IPC_NODE_ALLOW_SLOW_CRYPTO : 0;
	node->idle = (uint8_t)config->idle;
	node->hugepages = (uint8_t)config->hugepages;
	node->route_count = (uint32_t)config->route_count;
	memcpy(node->routes, config->routes, config->route_count * sizeof(node->routes[0]));
}

static uint16_t own_port_be(const struct cp_server *server)
{
	return server->openvpn ? htons(server->openvpn->own_port) : 0;
}

static int emit_servers(const struct cp_environment *environment, cp_dp_emit_fn emit, void *context)
{
	for (size_t i = 0; i < environment->server_count; i++) {
		const struct cp_server *from = &environment->servers[i];
		struct ipc_server server = { .priority = from->priority,
			                     .ike_port_be = htons(from->ike_port),
			                     .natt_port_be = htons(from->natt_port),
			                     .openvpn_port_be = own_port_be(from) };
		int rc;

		copy_name(server.id.environment, environment->name);
		copy_name(server.id.server, environment->servers[i].name);
		rc = emit(context, IPC_CONFIG_SERVER, &server, sizeof(server));
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int emit_forwards(const struct cp_environment *environment, cp_dp_emit_fn emit,
                         void *context)
{
	struct ipc_forward part[IPC_FORWARDS_MAX];
	size_t used = 0;

	for (size_t i = 0; i < environment->forward_count; i++) {
		const struct cp_forward *from = &environment->forwards[i];
		struct ipc_forward *to = &part[used++];

		memset(to, 0, sizeof(*to));
		copy_name(to->environment, environment->name);
		copy_name(to->server, from->server);
		to->to_address_be = from->to_address_be;
		to->to_port_be = from->to_port_be;
		to->port_be = from->port_be;
		to->protocol = from->protocol;
		if (used == IPC_FORWARDS_MAX || i + 1 == environment->forward_count) {
			int rc = emit(context, IPC_CONFIG_FORWARDS, part, used * sizeof(part[0]));

			if (rc != 0)
				return rc;
			used = 0;
		}
	}
	return 0;
}

static int emit_environment(const struct cp_environment *from, cp_dp_emit_fn emit, void *context)
{
	struct ipc_environment environment = {
		.pod_address_be = from->pod_address_be,
		.session_quota = from->session_quota,
		.port_quota = from->port_quota,
		.rate_bps = from->rate_bps,
		.source_count = (uint32_t)from->source_count,
		.flags = (from->keep_sessions ? IPC_ENVIRONMENT_KEEP_SESSIONS : 0u) |
		         (from->is_unprobed ? IPC_ENVIRONMENT_UNPROBED : 0u) |
		         (from->is_draining ? IPC_ENVIRONMENT_DRAINING : 0u),
		.probe_target_be = from->probe_target_be,
	};
	int rc;

	copy_name(environment.name, from->name);
	memcpy(environment.sources, from->sources, from->source_count * sizeof(from->sources[0]));
	rc = emit(context, IPC_CONFIG_ENVIRONMENT, &environment, sizeof(environment));
	if (rc == 0)
		rc = emit_servers(from, emit, context);
	if (rc == 0)
		rc = emit_forwards(from, emit, context);
	return rc;
}

static int emit_rule(const char *environment, const uint32_t *addresses_be, size_t address_count,
                     const struct ipc_prefix *sources, size_t source_count,
                     const struct cp_egress *allowing, cp_dp_emit_fn emit, void *context)
{
	struct ipc_egress rule = { .address_count = (uint32_t)address_count,
		                   .source_count = (uint32_t)source_count };

	copy_name(rule.environment, environment);
	memcpy(rule.addresses_be, addresses_be, address_count * sizeof(*addresses_be));
	memcpy(rule.sources, sources, source_count * sizeof(*sources));
	if (allowing) {
		rule.allow_count = (uint32_t)allowing->allow_count;
		memcpy(rule.allow, allowing->allow, allowing->allow_count * sizeof(rule.allow[0]));
	}
	return emit(context, IPC_CONFIG_EGRESS, &rule, sizeof(rule));
}

static int emit_inbound(const struct cp_egress *egress, cp_dp_emit_fn emit, void *context)
{
	struct ipc_inbound inbound[IPC_INBOUND_MAX] = { 0 };

	for (size_t i = 0; i < egress->inbound_count; i++) {
		const struct cp_inbound *from = &egress->inbound[i];

		inbound[i] = (struct ipc_inbound){ .address_be = from->address_be,
			                           .to_address_be = from->to_address_be,
			                           .to_port_be = from->to_port_be,
			                           .port_be = from->port_be,
			                           .protocol = from->protocol };
	}
	return emit(context, IPC_CONFIG_INBOUND, inbound,
	            egress->inbound_count * sizeof(inbound[0]));
}

static int emit_egress(const struct cp_config *config, cp_dp_emit_fn emit, void *context)
{
	const struct cp_egress *egress = &config->egress;
	int rc = 0;

	if (egress->is_set)
		rc = emit_rule("", egress->addresses_be, egress->address_count, egress->sources,
		               egress->source_count, egress, emit, context);
	for (size_t i = 0; rc == 0 && i < config->environment_count; i++) {
		const struct cp_environment *e = &config->environments[i];

		if (e->snat_count)
			rc = emit_rule(e->name, e->snat_be, e->snat_count, e->sources,
			               e->source_count, NULL, emit, context);
	}
	if (rc == 0 && egress->inbound_count)
		rc = emit_inbound(egress, emit, context);
	return rc;
}

int cp_dp_build_generation(const struct cp_config *config, uint64_t generation, cp_dp_emit_fn emit,
                           void *context)
{
	const struct ipc_generation mark = { .generation = generation };
	int rc = emit(context, IPC_CONFIG_BEGIN, &mark, sizeof(mark));

	for (size_t i = 0; rc == 0 && i < config->environment_count; i++)
		rc = emit_environment(&config->environments[i], emit, context);
	if (rc == 0)
		rc = emit_egress(config, emit, context);
	if (rc == 0)
		rc = emit(context, IPC_CONFIG_COMMIT, &mark, sizeof(mark));
	return rc;
}
