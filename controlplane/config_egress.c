/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gateway.conf: egress, what leaves for the Internet with which address, and what comes in; and the
 * addresses that an environment has of its own.
 */
#include "controlplane/config_read.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "common/netaddr.h"

#define IKE_PORT 500u
#define NATT_PORT 4500u

/* ---- addresses ---- */

static bool has_address(const uint32_t *addresses_be, size_t count, uint32_t address_be)
{
	for (size_t i = 0; i < count; i++) {
		if (addresses_be[i] == address_be)
			return true;
	}
	return false;
}

/* One address as a text, or a list of them. */
static void read_addresses(struct cp_reader *reader, const struct cp_node *node,
                           uint32_t target_be[IPC_EGRESS_ADDRESSES_MAX], size_t *count)
{
	const struct cp_node *entries = node->kind == CP_NODE_LIST ? node->children : node;
	size_t n = node->kind == CP_NODE_LIST ? node->count : 1;

	if (n < 1 || n > IPC_EGRESS_ADDRESSES_MAX) {
		cp_mistake(reader, node, NULL, "must have 1 to %u addresses",
		           IPC_EGRESS_ADDRESSES_MAX);
		return;
	}
	*count = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t address_be;

		if (!cp_node_is(reader, &entries[i], CP_NODE_TEXT))
			continue;
		if (sp_address_parse(entries[i].text, &address_be) != 0 ||
		    sp_address_is_martian(address_be))
			cp_mistake(reader, &entries[i], NULL,
			           "must be a unicast IPv4 address as \"203.0.113.10\"");
		else if (has_address(target_be, *count, address_be))
			cp_mistake(reader, &entries[i], NULL, "is there twice");
		else
			target_be[(*count)++] = address_be;
	}
}

static void read_snat(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_egress *egress = target;

	read_addresses(reader, node, egress->addresses_be, &egress->address_count);
}

static void read_public(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_egress *egress = target;

	read_addresses(reader, node, egress->public_be, &egress->public_count);
}

void cp_read_environment_snat(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_environment *environment = target;

	read_addresses(reader, node, environment->snat_be, &environment->snat_count);
}

/* ---- egress.inbound ---- */

static void read_inbound_to(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_inbound *inbound = target;

	cp_read_endpoint(reader, node, "10.0.1.20:8443", &inbound->to_address_be,
	                 &inbound->to_port_be);
}

const struct cp_key cp_inbound_keys[] = {
	{ .name = "port",
	  .kind = CP_KEY_PORT_BE,
	  .offset = offsetof(struct cp_inbound, port_be),
	  .is_required = true },
	{ .name = "to", .kind = CP_KEY_CUSTOM, .is_required = true, .read = read_inbound_to },
	{ .name = "transport",
	  .kind = CP_KEY_TRANSPORT,
	  .offset = offsetof(struct cp_inbound, protocol) },
	{ .name = "address",
	  .kind = CP_KEY_HOST_BE,
	  .offset = offsetof(struct cp_inbound, address_be) },
	{ 0 },
};

static void read_inbound(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_egress *egress = target;

	if (!cp_node_is(reader, node, CP_NODE_LIST))
		return;
	if (node->count > CP_INBOUND_MAX) {
		cp_mistake(reader, node, NULL, "must have at most %u ports", CP_INBOUND_MAX);
		return;
	}
	for (size_t i = 0; i < node->count; i++) {
		struct cp_inbound *inbound = &egress->inbound[egress->inbound_count++];
		const struct cp_section sections[] = { { cp_inbound_keys, inbound } };

		inbound->protocol = IPPROTO_TCP;
		cp_keys_read(reader, &node->children[i], sections, 1);
	}
}

/* ---- egress ---- */

const struct cp_key cp_egress_keys[] = {
	{ .name = "snat_address", .kind = CP_KEY_CUSTOM, .read = read_snat },
	{ .name = "public_address", .kind = CP_KEY_CUSTOM, .read = read_public },
	{ .name = "sources",
	  .kind = CP_KEY_PREFIXES,
	  .offset = offsetof(struct cp_egress, sources),
	  .count = offsetof(struct cp_egress, source_count),
	  .is_required = true },
	{ .name = "allow",
	  .kind = CP_KEY_PREFIXES,
	  .offset = offsetof(struct cp_egress, allow),
	  .count = offsetof(struct cp_egress, allow_count) },
	{ .name = "inbound", .kind = CP_KEY_CUSTOM, .read = read_inbound },
	{ 0 },
};

void cp_read_egress(struct cp_reader *reader, const struct cp_node *node, void *target)
{
	struct cp_config *config = target;
	const struct cp_section sections[] = { { cp_egress_keys, &config->egress } };

	config->egress.is_set = true;
	cp_keys_read(reader, node, sections, 1);
}

/* ---- what must hold between them and the rest ---- */

static void check_addresses(struct cp_reader *reader, const struct cp_node *at,
                            const uint32_t *addresses_be, size_t count)
{
	const struct cp_config *config = reader->config;

	for (size_t i = 0; i < count; i++) {
		char text[SP_ADDRESS_TEXT];

		sp_address_format(text, addresses_be[i]);
		if (addresses_be[i] == config->cluster.address_be)
			cp_mistake(reader, at, NULL, "%s is the cluster port's own address", text);
		if (addresses_be[i] == config->uplink.router_be ||
		    addresses_be[i] == config->cluster.router_be)
			cp_mistake(reader, at, NULL, "%s is the address of a router", text);
		for (size_t k = 0; k < config->environment_count; k++) {
			if (addresses_be[i] == config->environments[k].pod_address_be)
				cp_mistake(reader, at, NULL,
				           "%s is the pod_address of the environment in %s", text,
				           config->environments[k].file);
		}
	}
}

static const struct cp_server *find_port(const struct cp_config *config, uint16_t port)
{
	for (size_t i = 0; i < config->environment_count; i++) {
		const struct cp_environment *environment = &config->environments[i];

		for (size_t k = 0; k < environment->server_count; k++) {
			if (cp_server_uses_port(&environment->servers[k], port))
				return &environment->servers[k];
		}
	}
	return NULL;
}

static bool is_in_cluster(const struct cp_config *config, uint32_t address_be)
{
	if (sp_prefix_contains(config->cluster.address_be &
	                               sp_prefix_mask_be(config->cluster.prefix_length),
	                       config->cluster.prefix_length, address_be))
		return true;
	for (size_t i = 0; i < config->route_count; i++) {
		if (sp_prefix_contains(config->routes[i].address_be, config->routes[i].length,
		                       address_be))
			return true;
	}
	return config->route_count == 0 && config->cluster.router_be;
}

static bool owns_address(const struct cp_config *config, uint32_t address_be)
{
	bool owns =
		has_address(config->egress.addresses_be, config->egress.address_count, address_be);

	for (size_t i = 0; i < config->environment_count; i++)
		owns |= has_address(config->environments[i].snat_be,
		                    config->environments[i].snat_count, address_be);
	return owns;
}

static bool is_same_port(const struct cp_inbound *a, const struct cp_inbound *b)
{
	return a->port_be == b->port_be && a->protocol == b->protocol &&
	       (a->address_be == b->address_be || !a->address_be || !b->address_be);
}

static void check_inbound(struct cp_reader *reader, const struct cp_node *list)
{
	const struct cp_config *config = reader->config;
	const struct cp_egress *egress = &config->egress;

	for (size_t i = 0; list && i < egress->inbound_count; i++) {
		const struct cp_inbound *inbound = &egress->inbound[i];
		const struct cp_node *entry = &list->children[i];
		uint16_t port = ntohs(inbound->port_be);
		const struct cp_server *server = find_port(config, port);

		if (inbound->protocol == IPPROTO_UDP && (port == IKE_PORT || port == NATT_PORT))
			cp_mistake(reader, entry, "port", "%u is IKE's", port);
		else if (inbound->protocol == IPPROTO_UDP && server)
			cp_mistake(reader, entry, "port",
			           "%u is a port of the tunnel to server \"%s\"", port,
			           server->name);
		if (inbound->to_address_be && !is_in_cluster(config, inbound->to_address_be))
			cp_mistake(
				reader, entry, "to",
				"must be in the cluster: in its subnet or one of gateway.cluster.routes");
		if (inbound->address_be && !owns_address(config, inbound->address_be))
			cp_mistake(reader, entry, "address", "must be one of the snat addresses");
		for (size_t k = 0; k < i; k++) {
			if (port && is_same_port(inbound, &egress->inbound[k])) {
				cp_mistake(reader, entry, "port", "%u is already mapped at line %u",
				           port, list->children[k].line);
				break;
			}
		}
	}
}

/* A source leaves with the addresses of one environment. */
static void check_sources(struct cp_reader *reader, const struct cp_node *node, size_t own)
{
	const struct cp_environment *environments = reader->config->environments;
	const struct cp_environment *mine = &environments[own];

	for (size_t i = 0; i < own; i++) {
		const struct cp_environment *other = &environments[i];

		for (size_t k = 0; other->snat_count && k < other->source_count; k++) {
			for (size_t n = 0; n < mine->source_count; n++) {
				if (mine->sources[n].address_be == other->sources[k].address_be &&
				    mine->sources[n].length == other->sources[k].length)
					cp_mistake(
						reader, node, "snat_address",
						"the environment in %s has the same sources and an snat_address, too",
						other->file);
			}
		}
	}
}

void cp_check_egress(struct cp_reader *reader, const struct cp_node *gateway,
                     const struct cp_node *const *roots)
{
	struct cp_config *config = reader->config;
	const struct cp_node *node = gateway ? cp_node_child(gateway, "egress") : NULL;
	const struct cp_node *sources = node ? cp_node_child(node, "sources") : NULL;

	if (config->egress.is_set && config->egress.address_count == 0) {
		config->egress.addresses_be[0] = config->uplink.address_be;
		config->egress.address_count = config->uplink.address_be != 0;
	}
	if (sources && sources->kind == CP_NODE_LIST && sources->count == 0)
		cp_mistake(reader, sources, NULL,
		           "must name at least one prefix: who may leave for the Internet");
	if (node && node->kind == CP_NODE_GROUP) {
		check_addresses(reader, node, config->egress.addresses_be,
		                config->egress.address_count);
		check_inbound(reader, cp_node_child(node, "inbound"));
	}
	for (size_t i = 0; i < config->environment_count; i++) {
		const struct cp_node *own = cp_node_child(roots[i], "environment");
		const struct cp_node *snat = own ? cp_node_child(own, "snat_address") : NULL;

		if (!snat || !config->environments[i].snat_count)
			continue;
		check_addresses(reader, snat, config->environments[i].snat_be,
		                config->environments[i].snat_count);
		check_sources(reader, own, i);
	}
}
