/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What must hold between environments: names, addresses and accounts.
 */
#include "controlplane/config_read.h"

#include <string.h>

#include "common/netaddr.h"

static void check_name(struct cp_reader *reader, const struct cp_node *node, size_t own)
{
	const struct cp_environment *environments = reader->config->environments;

	for (size_t i = 0; i < own; i++) {
		if (environments[own].name[0] &&
		    strcmp(environments[i].name, environments[own].name) == 0) {
			cp_mistake(reader, cp_node_child(node, "name"), NULL,
			           "\"%s\" is the name of the environment in %s",
			           environments[own].name, environments[i].file);
			return;
		}
	}
}

static void check_pod_address(struct cp_reader *reader, const struct cp_node *node, size_t own)
{
	const struct cp_config *config = reader->config;
	const struct cp_node *key = cp_node_child(node, "pod_address");
	uint32_t address_be = config->environments[own].pod_address_be;

	if (!key || !address_be)
		return;
	if (address_be == config->uplink.address_be || address_be == config->cluster.address_be)
		cp_mistake(reader, key, NULL, "must not be the address of a port of the gateway");
	else if (address_be == config->uplink.router_be || address_be == config->cluster.router_be)
		cp_mistake(reader, key, NULL, "must not be the address of a router");
	for (size_t i = 0; i < own; i++) {
		if (config->environments[i].pod_address_be == address_be) {
			cp_mistake(reader, key, NULL, "is the pod_address of the environment in %s",
			           config->environments[i].file);
			return;
		}
	}
}

/* What a server knows us by: the account, or without one what the certificate says. */
static const char *name_of(const struct cp_server *server)
{
	if (server->account[0])
		return server->account;
	return server->openvpn ? server->openvpn->certificate.file : server->certificate_file;
}

static bool is_same_login(const struct cp_server *a, const struct cp_server *b)
{
	if (!a->account[0] && !b->account[0] && a->openvpn && b->openvpn &&
	    a->openvpn->certificate_hash && b->openvpn->certificate_hash)
		return a->openvpn->certificate_hash == b->openvpn->certificate_hash;
	return strcmp(name_of(a), name_of(b)) == 0;
}

static bool is_same_port(const struct cp_ovpn_remote *a, const struct cp_ovpn_remote *b)
{
	return a->port == b->port && a->transport == b->transport;
}

static bool is_same_remote(const struct cp_ovpn_remote *a, const struct cp_ovpn_remote *b)
{
	return is_same_port(a, b) && strcasecmp(a->address, b->address) == 0;
}

static bool share_remote(const struct cp_ovpn_settings *a, const struct cp_ovpn_settings *b,
                         bool (*is_same)(const struct cp_ovpn_remote *,
                                         const struct cp_ovpn_remote *))
{
	for (size_t i = 0; i < a->remote_count; i++) {
		for (size_t j = 0; j < b->remote_count; j++) {
			if (is_same(&a->remotes[i], &b->remotes[j]))
				return true;
		}
	}
	return false;
}

bool cp_server_is_rival(const struct cp_server *a, const struct cp_server *b)
{
	if (!a->openvpn != !b->openvpn || !is_same_login(a, b))
		return false;
	return !a->openvpn || share_remote(a->openvpn, b->openvpn, is_same_port);
}

/* By what is written in the files. */
static bool is_same_server(const struct cp_server *a, const struct cp_server *b)
{
	if (a->openvpn && b->openvpn)
		return share_remote(a->openvpn, b->openvpn, is_same_remote);
	return strcasecmp(a->address, b->address) == 0;
}

/* The server that an account is on already, among the environments and servers before (LAST, END).
 */
static const struct cp_environment *find_account(const struct cp_config *config,
                                                 const struct cp_server *server, size_t last,
                                                 const struct cp_server *end)
{
	for (size_t i = 0; i <= last; i++) {
		const struct cp_environment *environment = &config->environments[i];

		for (size_t j = 0; j < environment->server_count; j++) {
			const struct cp_server *other = &environment->servers[j];

			if (other == end)
				return NULL;
			if (is_same_server(other, server) && cp_server_is_rival(other, server))
				return environment;
		}
	}
	return NULL;
}

static const struct cp_node *find_server_node(const struct cp_node *environment, const char *name)
{
	const struct cp_node *servers = cp_node_child(environment, "servers");

	for (size_t i = 0; servers && i < servers->count; i++) {
		const struct cp_node *key = cp_node_child(&servers->children[i], "name");

		if (key && key->kind == CP_NODE_TEXT && strcmp(key->text, name) == 0)
			return &servers->children[i];
	}
	return environment;
}

/* The same account twice on one server: each login would throw the other one out. */
static void check_accounts(struct cp_reader *reader, const struct cp_node *node, size_t own)
{
	const struct cp_config *config = reader->config;
	const struct cp_environment *environment = &config->environments[own], *other;

	for (size_t i = 0; i < environment->server_count; i++) {
		const struct cp_server *server = &environment->servers[i];

		if (!name_of(server)[0] || !server->address[0])
			continue;
		other = find_account(config, server, own, server);
		if (other)
			cp_mistake(
				reader, find_server_node(node, server->name), NULL,
				"%s \"%s\" is already used on server %s in %s: one would throw the other out",
				server->account[0] ? "account" : "certificate", name_of(server),
				server->address, other->file);
	}
}

static bool is_own(const struct cp_config *config, const char *address)
{
	uint32_t address_be;

	return sp_address_parse(address, &address_be) == 0 &&
	       (address_be == config->uplink.address_be ||
	        address_be == config->cluster.address_be);
}

/* Of any of its remotes. */
static bool is_at_own_address(const struct cp_config *config, const struct cp_server *server)
{
	for (size_t i = 0; server->openvpn && i < server->openvpn->remote_count; i++) {
		if (is_own(config, server->openvpn->remotes[i].address))
			return true;
	}
	return is_own(config, server->address);
}

static void check_server_addresses(struct cp_reader *reader, const struct cp_node *node, size_t own)
{
	const struct cp_config *config = reader->config;
	const struct cp_environment *environment = &config->environments[own];

	for (size_t i = 0; i < environment->server_count; i++) {
		const struct cp_server *server = &environment->servers[i];

		if (is_at_own_address(config, server))
			cp_mistake(reader, find_server_node(node, server->name), "address",
			           "must not be the gateway's own address");
	}
}

void cp_check_environments(struct cp_reader *reader, const struct cp_node *const *roots)
{
	const struct cp_config *config = reader->config;
	size_t forwards = 0;

	for (size_t i = 0; i < config->environment_count; i++) {
		const struct cp_node *node = cp_node_child(roots[i], "environment");

		forwards += config->environments[i].forward_count;
		if (!node || node->kind != CP_NODE_GROUP)
			continue;
		check_name(reader, node, i);
		check_pod_address(reader, node, i);
		check_accounts(reader, node, i);
		check_server_addresses(reader, node, i);
	}
	if (forwards > CP_FORWARDS_MAX)
		cp_mistake_at(reader, "environments.d", 0,
		              "all environments together must have at most %u forwards",
		              CP_FORWARDS_MAX);
}
